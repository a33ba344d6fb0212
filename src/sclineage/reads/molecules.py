"""Molecules from the reads of targets: UMI collapse, chimera filter, and the table ``molecules.tsv.gz``."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._provenance import whole
from ..kernels import umis
from ..kernels.barcodes_cpu import NO_N
from ..kernels.whitelists import Whitelist, decode

LOWEST_QUALITY = 33 + 10  # Cell Ranger refuses a UMI with a base below Q 10
COLUMNS = ("barcode", "umi", "feature", "reads", "unique_bases", "junction", "barcode_posterior")

__all__ = ["COLUMNS", "Molecules", "TargetReads", "count_molecules", "frame", "usable_umis", "write_molecules"]


@dataclass(frozen=True, slots=True)
class TargetReads:
    """Reads of target features with a barcode and a usable UMI, one entry each.

    Attributes
    ----------
    cell
        int32 (n,): rank of the barcode in the sorted whitelist.
    feature
        int32 (n,): row of the feature list.
    umi
        uint64 (n,): packed.
    unique_bases
        int32 (n,): bases of the read that no other transcript has.
    junction
        bool (n,): the read crosses a junction of the construct.
    posterior
        float32 (n,): of the barcode.
    """

    cell: np.ndarray
    feature: np.ndarray
    umi: np.ndarray
    unique_bases: np.ndarray
    junction: np.ndarray
    posterior: np.ndarray


@dataclass(frozen=True, slots=True)
class Molecules:
    """Molecules, sorted by (cell, feature, UMI).

    Attributes
    ----------
    cell, feature, umi, reads
        int64, int64, uint64, int64 (m,).
    unique_bases
        int32 (m,): most of any of its reads.
    junction
        bool (m,): one of its reads crosses a junction.
    posterior
        float32 (m,): highest barcode posterior of its reads.
    dropped
        Molecules left out because another feature of the cell has the UMI with at least as many reads.
    """

    cell: np.ndarray
    feature: np.ndarray
    umi: np.ndarray
    reads: np.ndarray
    unique_bases: np.ndarray
    junction: np.ndarray
    posterior: np.ndarray
    dropped: int


def usable_umis(codes: np.ndarray, n_at: np.ndarray, length: int, lowest: np.ndarray | None = None) -> np.ndarray:
    """UMIs that can count, bool (n,): no N, not one base throughout, no base below Q 10 (Cell Ranger's rule).

    Parameters
    ----------
    codes, n_at
        As `kernels.barcodes.pack` gives them.
    lowest
        uint8 (n,): lowest quality byte of the UMI, or None.
    """
    repeats = np.array([sum(base << shift for shift in range(0, 2 * length, 2)) for base in range(4)], np.uint64)
    usable = (n_at == NO_N) & ~np.isin(codes, repeats)
    return usable if lowest is None else usable & (lowest >= LOWEST_QUALITY)


def count_molecules(reads: TargetReads, *, umi_length: int, policy: umis.Policy = "cellranger",
                    device: umis.Place = "cpu") -> Molecules:
    """Collapse UMIs and, under ``cellranger``, drop those that belong to another feature of the cell.

    Parameters
    ----------
    umi_length
        Bases per UMI.
    policy
        ``exact``, ``cellranger`` or ``directional`` (`kernels.umis`).
    """
    rows = umis.tally(reads.cell, reads.feature, reads.umi)
    target = umis.collapse(rows, length=umi_length, policy=policy, device=device)
    kept, total = umis.merge(rows, target)
    low = umis.low_support(rows, target)[kept] if policy == "cellranger" else np.zeros(kept.size, bool)
    molecule_of = np.full(rows.umi.size, -1, np.int64)
    molecule_of[kept] = np.arange(kept.size)
    of_read = np.empty(rows.order.size, np.int64)
    of_read[rows.order] = np.repeat(molecule_of[target], np.diff(rows.first))
    best = [np.zeros(kept.size, a.dtype) for a in (reads.unique_bases, reads.junction, reads.posterior)]
    for out, values in zip(best, (reads.unique_bases, reads.junction, reads.posterior), strict=True):
        np.maximum.at(out, of_read, values)
    keep = ~low
    return Molecules(rows.cell[kept][keep], rows.feature[kept][keep], rows.umi[kept][keep], total[keep],
                     best[0][keep], best[1][keep], best[2][keep], int(low.sum()))


def frame(molecules: Molecules, whitelist: Whitelist, features: Sequence[str], umi_length: int) -> pd.DataFrame:
    """The molecule table: barcodes with ``-1``, sorted by barcode, feature and UMI."""
    listed = whitelist.codes()[molecules.cell]
    barcode = [b.tobytes().decode() + "-1" for b in decode(listed, whitelist.length)]
    umi = [u.tobytes().decode() for u in decode(molecules.umi, umi_length)]
    return pd.DataFrame({
        "barcode": pd.Series(barcode, dtype=object), "umi": pd.Series(umi, dtype=object),
        "feature": pd.Series([features[f] for f in molecules.feature], dtype=object), "reads": molecules.reads,
        "unique_bases": molecules.unique_bases.astype(np.int64), "junction": molecules.junction.astype(np.int64),
        "barcode_posterior": molecules.posterior.astype(np.float64)})


def write_molecules(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write ``molecules.tsv.gz`` whole, the same bytes for the same table."""
    text = table.loc[:, list(COLUMNS)].to_csv(sep="\t", index=False, float_format="%.6g", lineterminator="\n")
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, filename="") as handle:
        handle.write(text.encode())
    with whole(path) as part:
        part.write_bytes(buffer.getvalue())
