"""Matched background: how often T cells of the same sample, subset and depth are positive, the clone left out.

A fixed background is a trap: four of five real benign clones seem to have lost a T-cell marker against one, none
against a matched one. Strata are shrunk to their parents, sample x subset x depth to sample x depth to sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .table import DEPTH_BINS, Cells, codes

PSEUDO_CELLS = 20.0
MIN_BACKGROUND = 20


@dataclass(frozen=True, slots=True)
class Matched:
    """Positive cells of each clone and the rate expected of it.

    Attributes
    ----------
    k, n
        float64 (n_clones,): positive and assessed cells of the clone.
    rate
        float64 (n_clones,): share expected from the background, NaN where the samples hold too few other T cells.
    """

    k: np.ndarray
    n: np.ndarray
    rate: np.ndarray


def matched(cells: Cells, positive: np.ndarray, *, by_subset: bool = True) -> Matched:
    """Compare each clone with the T cells around it.

    Parameters
    ----------
    cells
        Cells of the patient.
    positive
        float64 (n,): 1, 0, or NaN where not assessed.
    by_subset
        Match the annotation too (not for markers that define it).
    """
    assessed = np.isfinite(positive)
    hit = np.where(assessed, positive, 0.0)
    member = assessed & cells.in_clone
    k, n = cells.per_clone(hit, member), cells.per_clone(np.ones(hit.size), member)
    subset = codes(cells.subset)[0] if by_subset else np.zeros(hit.size, np.int64)
    levels = _levels(cells, subset)
    fine = levels[0]
    keys, first, which = np.unique(_key(cells.clone, fine)[member], return_index=True, return_inverse=True)
    rows = np.nonzero(member)[0][first]  # one cell of each (clone, stratum) pair
    size = np.bincount(which, minlength=keys.size).astype(np.float64)
    pool = assessed & cells.counts & cells.t_cell
    rate = around = np.zeros(keys.size)
    for level in reversed(levels):
        hits, total = _without_clone(cells.clone, level, hit, pool, rows)
        if level is cells.sample:
            rate, around = (hits + 0.5) / (total + 1.0), total
        else:
            rate = (hits + PSEUDO_CELLS * rate) / (total + PSEUDO_CELLS)
    owner = cells.clone[rows]
    expected = np.bincount(owner, weights=size * rate, minlength=cells.n_clones)
    enough = np.bincount(owner, weights=size * (around >= MIN_BACKGROUND), minlength=cells.n_clones)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Matched(k, n, np.where((n > 0) & (2 * enough >= n), expected / n, np.nan))


def _levels(cells: Cells, subset: np.ndarray) -> list[np.ndarray]:
    """Stratum of each cell, finest first: sample x depth x subset, sample x depth, sample."""
    depth = cells.sample * DEPTH_BINS + cells.depth_bin
    return [depth * (subset.max(initial=0) + 1) + subset, depth, cells.sample]


def _key(clone: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    return clone * (int(stratum.max(initial=0)) + 1) + stratum


def _without_clone(
    clone: np.ndarray, level: np.ndarray, hit: np.ndarray, pool: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positive and all background cells in the stratum of each cell of `rows`, the cell's own clone left out."""
    n_levels = int(level.max(initial=0)) + 1
    hits = np.bincount(level[pool], weights=hit[pool], minlength=n_levels)
    total = np.bincount(level[pool], minlength=n_levels).astype(np.float64)
    own = pool & (clone >= 0)
    key = _key(clone, level)
    known, inverse = np.unique(key[own], return_inverse=True)
    own_hits = np.append(np.bincount(inverse, weights=hit[own], minlength=known.size), 0.0)
    own_total = np.append(np.bincount(inverse, minlength=known.size), 0.0)
    at = np.searchsorted(known, key[rows])
    there = np.append(known, -1)[at] == key[rows]
    at = np.where(there, at, known.size)
    return hits[level[rows]] - own_hits[at], total[level[rows]] - own_total[at]
