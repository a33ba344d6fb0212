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
    pairs, which = _pairs(cells.clone[member], levels[0][member])
    size = np.bincount(which, minlength=len(pairs)).astype(np.float64)
    pool = assessed & cells.counts & cells.t_cell
    rate = np.full(len(pairs), 0.5)
    for depth_first, level in enumerate(reversed(levels)):
        hits, total = _without_clone(cells.clone, level, hit, pool, member, which, len(pairs))
        if depth_first == 0:
            rate, around = (hits + 0.5) / (total + 1.0), total
        else:
            rate = (hits + PSEUDO_CELLS * rate) / (total + PSEUDO_CELLS)
    owner = pairs[:, 0]
    total = np.bincount(owner, weights=size * rate, minlength=cells.n_clones)
    fewest = np.bincount(owner, weights=size * (around >= MIN_BACKGROUND), minlength=cells.n_clones)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Matched(k, n, np.where((n > 0) & (2 * fewest >= n), total / n, np.nan))


def _levels(cells: Cells, subset: np.ndarray) -> list[np.ndarray]:
    """Stratum of each cell, finest first: sample x depth x subset, sample x depth, sample."""
    depth = cells.sample * DEPTH_BINS + cells.depth_bin
    return [depth * (subset.max(initial=0) + 1) + subset, depth, cells.sample]


def _pairs(clone: np.ndarray, stratum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs, which = np.unique(np.column_stack([clone, stratum]), axis=0, return_inverse=True)
    return pairs.astype(np.int64).reshape(-1, 2), np.asarray(which).ravel()


def _without_clone(
    clone: np.ndarray, level: np.ndarray, hit: np.ndarray, pool: np.ndarray, member: np.ndarray, which: np.ndarray,
    n_pairs: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Positive and all background cells in the stratum of each (clone, fine stratum) pair, the clone's own left out."""
    n_levels = int(level.max(initial=0)) + 1
    hits = np.bincount(level[pool], weights=hit[pool], minlength=n_levels)
    total = np.bincount(level[pool], minlength=n_levels).astype(np.float64)
    stratum = np.zeros(n_pairs, np.int64)
    stratum[which] = level[member]
    owner = np.zeros(n_pairs, np.int64)
    owner[which] = clone[member]
    own = pool & (clone >= 0)
    key, inverse = _pairs(clone[own], level[own])
    own_hits = np.bincount(inverse, weights=hit[own], minlength=len(key))
    own_total = np.bincount(inverse, minlength=len(key)).astype(np.float64)
    found = {(int(c), int(s)): i for i, (c, s) in enumerate(key)}
    at = np.array([found.get((int(c), int(s)), -1) for c, s in zip(owner, stratum, strict=True)], np.int64)
    mine_hits = np.where(at >= 0, np.append(own_hits, 0.0)[at], 0.0)
    mine_total = np.where(at >= 0, np.append(own_total, 0.0)[at], 0.0)
    return hits[stratum] - mine_hits, total[stratum] - mine_total
