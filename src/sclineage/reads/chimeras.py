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

__all__ = ["chimera_rows", "chimera_table", "collision_table", "drop_chimeras", "hopping",
           "molecule_keys"]


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


def molecule_keys(table: pd.DataFrame, prefix: str = "") -> np.ndarray:
    """A number of 64 bits for the barcode (its bases), UMI and feature of each molecule, the same in every sample.

    Parameters
    ----------
    table
        Columns barcode, umi, feature.
    prefix
        Written before the features.
    """
    bases = table["barcode"].astype(str).str.split("-").str[0]
    text = bases + " " + table["umi"].astype(str) + " " + prefix + table["feature"].astype(str)
    return pd.util.hash_array(text.to_numpy(dtype=object), categorize=False)


def hopping(samples: Mapping[str, tuple[np.ndarray, np.ndarray]], *, least: float = LEAST_SHARE) -> pd.DataFrame:
    """Molecules of several samples of one sequencing pool that are one molecule read under several indices.

    Parameters
    ----------
    samples
        Of each sample the `molecule_keys` of its molecules, each once, and their reads.
    least
        Share of the reads of a molecule below which a sample holds it by hopping.

    Returns
    -------
    A row per sample, by name: ``sample``, ``molecules``, ``shared`` (in another sample too), ``minor`` (of these, with
    less than `least` of the reads).

    Raises
    ------
    InputError
        Fewer than two samples.
    """
    if len(samples) < 2:
        raise InputError("index hopping", f"{len(samples)} sample", "give at least two samples of one sequencing pool")
    names = sorted(samples)
    belongs = np.repeat(np.arange(len(names)), [samples[n][0].size for n in names])
    share, several = umis.shared(np.concatenate([samples[n][1] for n in names]),
                                 np.concatenate([samples[n][0] for n in names]))
    masks = {"molecules": np.ones(belongs.size, bool), "shared": several > 1,
             "minor": (several > 1) & (share < least)}
    return pd.DataFrame({"sample": names} | {
        k: np.bincount(belongs[rows], minlength=len(names)) for k, rows in masks.items()})
