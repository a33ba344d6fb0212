"""Molecules that should not be shared: one UMI in several cells (chimeras) or in several samples (index hopping).

A UMI of a feature that is seen in two cells is a chimera of the amplification, or chance: among n molecules with L
random bases n (n - 1) / (2 * 4^L) pairs agree by chance. One UMI of a feature in one barcode of two samples of a
sequencing pool is index hopping: chance needs the barcode too. DropletUtils' ``chimericDrops`` and ``swappedDrops``
filter by the same shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .._errors import InputError
from ..kernels import umis
from .molecules import CHIMERA, COUNTED, Molecules, with_fate

LEAST_SHARE = 0.8  # of the reads of a (UMI, feature) that the cell with most of them must have to keep it

__all__ = ["chimera_rows", "chimera_table", "collision_table", "drop_chimeras", "hopping"]


def _sharing(molecules: Molecules) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that count, the share of each in the reads of its (UMI, feature), and the cells that have it."""
    rows = np.flatnonzero(molecules.fate == COUNTED)
    share, cells = umis.shared(molecules.reads[rows], molecules.feature[rows], molecules.umi[rows])
    return rows, share, cells


def chimera_rows(molecules: Molecules) -> np.ndarray:
    """Rows of molecules whose UMI and feature several cells have."""
    rows, _, cells = _sharing(molecules)
    return rows[cells > 1]


def drop_chimeras(molecules: Molecules, least: float = LEAST_SHARE) -> Molecules:
    """Molecules with fate ``chimera`` where other cells have their UMI and feature too and this one has a small share.

    Parameters
    ----------
    least
        Share of the reads of the (UMI, feature) below which a molecule is dropped.
    """
    rows, share, cells = _sharing(molecules)
    return with_fate(molecules, rows[(cells > 1) & (share < least)], CHIMERA)


def chimera_table(molecules: Molecules, features: Sequence[str], umi_length: int) -> pd.DataFrame:
    """Per feature: molecules, (UMI, feature) pairs of cells seen and expected by chance, and what would be dropped."""
    rows, share, cells = _sharing(molecules)
    feature, several = molecules.feature[rows], cells > 1

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(feature, values, minlength=len(features))

    n = summed(np.ones(rows.size))
    pairs = summed((cells - 1) / 2.0)  # the m (m - 1) / 2 pairs of m cells, spread over their m rows
    return pd.DataFrame({"feature": list(features), "molecules": n.astype(np.int64),
                         "in_several_cells": summed(several).astype(np.int64), "pairs": np.rint(pairs).astype(np.int64),
                         "pairs_by_chance": np.maximum(np.asarray(umis.collisions(n, umi_length)), 0.0),
                         "minor": summed(several & (share < LEAST_SHARE)).astype(np.int64)})


def collision_table(molecules: Molecules, features: Sequence[str], umi_length: int) -> pd.DataFrame:
    """Per feature: molecules hidden because two of a cell have one UMI by chance, n^2 / (2 * 4^L) over the cells."""
    counted = molecules.counted
    rows = umis.tally(counted.cell, counted.feature, np.zeros(counted.cell.size, np.uint64))
    lost = np.asarray(umis.collisions(rows.reads.astype(np.float64), umi_length))
    most = np.zeros(len(features), np.int64)
    np.maximum.at(most, rows.feature, rows.reads)
    return pd.DataFrame({"feature": list(features), "most_in_a_cell": most,
                         "expected_collisions": np.bincount(rows.feature, lost, minlength=len(features))})


def hopping(tables: Mapping[str, pd.DataFrame], *, least: float = LEAST_SHARE,
            ) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Molecules of several samples of one sequencing pool that are one molecule read under several indices.

    Parameters
    ----------
    tables
        Molecule table of each sample: columns barcode, umi, feature, reads at least.
    least
        Share of the reads of a (barcode, UMI, feature) that the sample with most of them must have to keep it.

    Returns
    -------
    The tables without the molecules that were dropped, and a table per sample: ``sample``, ``molecules``, ``shared``
    (in another sample too), ``dropped``.

    Raises
    ------
    InputError
        Fewer than two samples.
    """
    if len(tables) < 2:
        raise InputError("index hopping", f"{len(tables)} sample", "give at least two samples of one sequencing pool")
    names = sorted(tables)
    every = pd.concat([tables[n][["barcode", "umi", "feature", "reads"]].assign(sample=n) for n in names],
                      ignore_index=True)
    keys = [every["barcode"].astype(str).str.split("-").str[0], every["umi"], every["feature"]]
    group = every.groupby(keys, sort=False).ngroup().to_numpy()
    share, samples = umis.shared(every["reads"].to_numpy(), group)
    drop = (samples > 1) & (share < least)
    summary = pd.DataFrame({"sample": names})
    belongs = every["sample"].to_numpy()
    for column, rows in (("molecules", np.ones(len(every), bool)), ("shared", samples > 1), ("dropped", drop)):
        summary[column] = [int((rows & (belongs == n)).sum()) for n in names]
    kept = {n: tables[n][~drop[belongs == n]].reset_index(drop=True) for n in names}
    return kept, summary
