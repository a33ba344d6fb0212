"""Decoys with known truth made from real cells: planted arm changes, and pseudo-clones without any."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from scipy import sparse

from .._errors import InputError
from .arms import AUTOSOMES


def plant_arms(x: sparse.csr_matrix, arm: np.ndarray, cells: np.ndarray, *, losses: Collection[str] = (),
               gains: Collection[str] = (), dosage: float = 1.0, rng: int = 0) -> sparse.csr_matrix:
    """Counts in which some cells have lost or gained one copy of whole arms.

    A loss keeps each molecule with probability 1 - dosage / 2, a gain adds a copy of it with probability dosage / 2.

    Parameters
    ----------
    x
        CSR (cells, genes): raw counts, whole numbers.
    arm
        object (genes,): arm of each gene (``1p``), empty where unknown.
    cells
        bool (cells,): cells to change.
    losses, gains
        Arms, each in one of the two.
    dosage
        Share of the change of copies that shows in RNA, 0 to 1.
    rng
        Seed.

    Returns
    -------
    CSR of the type of `x`; the cells not chosen are as they were.

    Raises
    ------
    InputError
        Unknown arms, arms both lost and gained, or counts that are not whole.
    """
    unknown = sorted({*losses, *gains} - set(AUTOSOMES))
    if unknown or set(losses) & set(gains):
        what = f"unknown arm {unknown[0]!r}" if unknown else f"arm {min(set(losses) & set(gains))!r} lost and gained"
        raise InputError("losses, gains", what, "name autosomal arms such as 1p, each once")
    out = sparse.csr_matrix(x, copy=True)
    if not np.array_equal(out.data, np.round(out.data)):
        raise InputError("x", "counts that are not whole", "give raw counts")
    row = np.repeat(np.arange(x.shape[0]), np.diff(out.indptr))
    side = np.isin(arm, list(gains)).astype(int) - np.isin(arm, list(losses)).astype(int)
    change = np.where(cells[row], side[out.indices], 0)
    source, at = np.random.default_rng(rng), np.flatnonzero(change)
    moved = source.binomial(out.data[at].astype(np.int64), dosage / 2)
    out.data[at] = out.data[at] + (moved * change[at]).astype(out.data.dtype)
    out.eliminate_zeros()
    return out


def pseudo_clone(stratum: np.ndarray, like: np.ndarray, pool: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random cells with the mixture of strata of a clone.

    Parameters
    ----------
    stratum
        int64 (cells,).
    like
        int64: cells of the clone to imitate.
    pool
        bool (cells,): cells to draw from.
    rng
        Source of random numbers.

    Returns
    -------
    int64: as many different cells from each stratum as the clone has there, or all that the pool holds.
    """
    wanted = np.bincount(stratum[like], minlength=int(stratum.max(initial=0)) + 1)
    parts = []
    for level in np.flatnonzero(wanted):
        here = np.flatnonzero(pool & (stratum == level))
        parts.append(rng.choice(here, size=min(int(wanted[level]), here.size), replace=False))
    return np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
