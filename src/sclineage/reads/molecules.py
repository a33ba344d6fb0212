"""Molecules from the reads of targets: UMI collapse, votes of their reads, and the table ``molecules.tsv.gz``."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from .._provenance import whole
from ..kernels import umis
from ..kernels.barcodes_cpu import NO_N
from ..kernels.whitelists import Whitelist, decode

LOWEST_QUALITY = 33 + 10  # Cell Ranger refuses a UMI with a base below Q 10
COLUMNS = ("barcode", "umi", "feature", "reads", "unique_bases", "junction", "barcode_posterior")
SHARED = ":shared"  # ending of features that only have sequence which endogenous transcripts have too
JOIN = "_or_"  # between the names of targets that a feature cannot tell apart
FATES = ("counted", "other_feature", "endogenous", "chimera", "few_reads")
_ROWS = 1 << 18  # written at a time
COUNTED, OTHER_FEATURE, ENDOGENOUS, CHIMERA, FEW_READS = range(5)

__all__ = ["COLUMNS", "FATES", "SHARED", "Molecules", "TargetReads", "compress", "count_molecules", "families", "frame",
           "no_reads", "usable_umis", "write_molecules"]


@dataclass(frozen=True, slots=True)
class TargetReads:
    """Reads of target features with a barcode and a usable UMI.

    Attributes
    ----------
    cell
        int32 (n,): rank of the barcode in the sorted whitelist.
    feature
        int32 (n,): row of the feature list; -1 for reads of an endogenous transcript, which only vote.
    umi
        uint64 (n,): packed.
    unique_bases
        int32 (n,): bases of the read that no other transcript has.
    junction
        bool (n,): the read crosses a junction of the construct.
    posterior
        float32 (n,): of the barcode.
    reads
        int64 (n,): reads that the entry stands for.
    """

    cell: np.ndarray
    feature: np.ndarray
    umi: np.ndarray
    unique_bases: np.ndarray
    junction: np.ndarray
    posterior: np.ndarray
    reads: np.ndarray


@dataclass(frozen=True, slots=True)
class Molecules:
    """Molecules, sorted by (cell, feature, UMI); those that do not count are among them.

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
    fate
        uint8 (m,): position in `FATES`.
    """

    cell: np.ndarray
    feature: np.ndarray
    umi: np.ndarray
    reads: np.ndarray
    unique_bases: np.ndarray
    junction: np.ndarray
    posterior: np.ndarray
    fate: np.ndarray

    def take(self, rows: np.ndarray) -> Molecules:
        """Some of the molecules."""
        return Molecules(*(getattr(self, f.name)[rows] for f in fields(self)))

    @property
    def counted(self) -> Molecules:
        """Those that count."""
        return self.take(np.flatnonzero(self.fate == COUNTED))


def no_reads() -> TargetReads:
    """No read at all."""
    kinds = (np.int32, np.int32, np.uint64, np.int32, np.bool_, np.float32, np.int64)
    return TargetReads(*(np.zeros(0, k) for k in kinds))


def compress(*parts: TargetReads) -> TargetReads:
    """One entry per distinct (cell, feature, UMI) of several sets of reads, sorted by these three."""
    every = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(TargetReads)}
    rows = umis.tally(every["cell"], every["feature"].astype(np.int64) + 1, every["umi"], reads=every["reads"])
    first = rows.first[:-1]
    most = {k: np.maximum.reduceat(every[k][rows.order], first) if first.size else every[k][:0]
            for k in ("unique_bases", "junction", "posterior")}
    return TargetReads(rows.cell.astype(np.int32), (rows.feature - 1).astype(np.int32), rows.umi, **most,
                       reads=rows.reads)


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


def families(features: Sequence[str]) -> np.ndarray:
    """Family of each feature, int64 (its first member): features whose reads may come from one molecule.

    A feature and its ``:shared`` one are one family, and so are constructs and the features ``A_or_B`` of reads that
    fit several of them.
    """
    base = [f.removesuffix(SHARED) for f in features]
    parent = [base.index(b) for b in base]

    def root(k: int) -> int:
        while parent[k] != k:
            k = parent[k]
        return k

    for k, parts in enumerate(map(_parts(base).get, base)):
        for part in parts or ():
            low, high = sorted((root(k), root(base.index(part))))
            parent[high] = low
    return np.array([root(k) for k in range(len(base))], np.int64)


def _parts(names: Sequence[str]) -> dict[str, list[str]]:
    """The features that a feature ``A_or_B`` cannot tell apart."""
    known = set(names)
    split = {n: n.split(JOIN) for n in known if JOIN in n}
    return {n: parts for n, parts in split.items() if known.issuperset(parts)}


def count_molecules(reads: TargetReads, features: Sequence[str], *, umi_length: int,
                    policy: umis.Policy = "cellranger", device: umis.Place = "cpu") -> Molecules:
    """Collapse UMIs and let the reads of each molecule vote.

    Parameters
    ----------
    features
        Names of the features. Reads of one family (`families`) with the same UMI are one molecule, of the feature that
        says most.
    umi_length
        Bases per UMI.
    policy
        ``exact``, ``cellranger`` or ``directional`` (`kernels.umis`).

    Returns
    -------
    All molecules. ``other_feature``: under ``cellranger``, another feature of the cell has the UMI with at least as
    many reads; under any policy, two features claim the molecule with as many reads each. ``endogenous``: a read of
    this cell and UMI is of an endogenous transcript.
    """
    own = reads.feature >= 0
    targets = TargetReads(*(getattr(reads, f.name)[own] for f in fields(reads)))
    family = families(features)
    rows = umis.tally(targets.cell, family[targets.feature], targets.umi, reads=targets.reads)
    target = umis.collapse(rows, length=umi_length, policy=policy, device=device)
    kept, total = umis.merge(rows, target)
    molecule_of = np.full(rows.umi.size, -1, np.int64)
    molecule_of[kept] = np.arange(kept.size)
    of_entry = np.empty(rows.order.size, np.int64)
    of_entry[rows.order] = np.repeat(molecule_of[target], np.diff(rows.first))
    fate = np.full(kept.size, COUNTED, np.uint8)
    if policy == "cellranger":
        fate[umis.low_support(rows, target)[kept]] = OTHER_FEATURE
    elected, tied = _elected(targets, of_entry, features, kept.size)
    fate[tied] = OTHER_FEATURE
    fate[of_entry[_also_endogenous(targets, reads, ~own)]] = ENDOGENOUS
    unique, junction, posterior = (_most(a, of_entry, kept.size) for a in (targets.unique_bases, targets.junction,
                                                                           targets.posterior))
    found = Molecules(rows.cell[kept], elected, rows.umi[kept], total, unique, junction, posterior, fate)
    return found.take(umis.order_by(found.cell, found.feature, found.umi))


def _most(values: np.ndarray, of_entry: np.ndarray, molecules: int) -> np.ndarray:
    """Largest value among the entries of each molecule."""
    out = np.zeros(molecules, values.dtype)
    np.maximum.at(out, of_entry, values)
    return out


def _also_endogenous(targets: TargetReads, reads: TargetReads, others: np.ndarray) -> np.ndarray:
    """Entries of `targets` whose cell and UMI also have a read among the `others` of `reads`, bool."""
    cell = np.concatenate([reads.cell[others], targets.cell]).astype(np.int64)
    umi = np.concatenate([reads.umi[others], targets.umi])
    n = int(np.count_nonzero(others))
    members = umis.tally(cell, np.zeros(cell.size, np.int64), umi)
    group = np.empty(cell.size, np.int64)
    group[members.order] = np.repeat(np.arange(members.umi.size), np.diff(members.first))
    return np.isin(group[n:], group[:n])


def _elected(targets: TargetReads, of_entry: np.ndarray, features: Sequence[str], molecules: int,
             ) -> tuple[np.ndarray, np.ndarray]:
    """Feature of each molecule, and the molecules that two features claim with equally many reads.

    A feature of one target goes before one of several, and that before ``:shared``; among equals the most reads decide.
    """
    joint = _parts(features)
    rank = np.array([0 if f.endswith(SHARED) else 1 if f in joint else 2 for f in features], np.int64)
    votes = umis.tally(of_entry, targets.feature, np.zeros(of_entry.size, np.uint64), reads=targets.reads)
    order = np.lexsort((-votes.feature, votes.reads, rank[votes.feature], votes.cell))
    molecule, feature, reads = votes.cell[order], votes.feature[order], votes.reads[order]
    elected = np.zeros(molecules, np.int64)
    elected[molecule] = feature  # the last one of each molecule stays
    equal = (molecule[1:] == molecule[:-1]) & (rank[feature[1:]] == rank[feature[:-1]]) & (reads[1:] == reads[:-1])
    last = np.append(molecule[1:] != molecule[:-1], True)
    return elected, molecule[1:][equal & last[1:]]


def with_fate(molecules: Molecules, rows: np.ndarray, fate: int) -> Molecules:
    """The molecules with another fate for some of those that counted so far."""
    changed = molecules.fate.copy()
    changed[rows[changed[rows] == COUNTED]] = fate
    return replace(molecules, fate=changed)


def frame(molecules: Molecules, whitelist: Whitelist, features: Sequence[str], umi_length: int) -> pd.DataFrame:
    """The molecule table: barcodes with ``-1``, sorted by barcode, feature and UMI."""
    barcode = barcode_texts(molecules.cell, whitelist)
    umi = [u.tobytes().decode() for u in decode(molecules.umi, umi_length)]
    return pd.DataFrame({
        "barcode": pd.Series(barcode, dtype=object), "umi": pd.Series(umi, dtype=object),
        "feature": pd.Series([features[f] for f in molecules.feature], dtype=object), "reads": molecules.reads,
        "unique_bases": molecules.unique_bases.astype(np.int64), "junction": molecules.junction.astype(np.int64),
        "barcode_posterior": molecules.posterior.astype(np.float64)})


def barcode_texts(ranks: np.ndarray, whitelist: Whitelist) -> list[str]:
    """Barcodes with ``-1``."""
    return [b.tobytes().decode() + "-1" for b in decode(whitelist.codes()[ranks], whitelist.length)]


def write_molecules(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write ``molecules.tsv.gz`` whole, the same bytes for the same table."""
    with whole(path) as part, part.open("wb") as file, gzip.GzipFile(fileobj=file, mode="wb", mtime=0,
                                                                     filename="") as handle:
        for first in range(0, max(len(table), 1), _ROWS):
            text = table.iloc[first : first + _ROWS].loc[:, list(COLUMNS)].to_csv(
                sep="\t", index=False, float_format="%.6g", lineterminator="\n", header=first == 0)
            handle.write(text.encode())
