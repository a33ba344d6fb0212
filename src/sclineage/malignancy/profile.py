"""Cells without a receptor that show a malignant clone's altered arms: members whose receptor was lost or not read.

One cell has few counts per arm, so a fixed bound would accuse normal cells of unusual make-up. The T cells of other
clones, scored alike, tell how often that happens; a clone gets its bound, or no members at all, from them.
"""

from __future__ import annotations

import numpy as np

from . import arms
from .table import ArmCells, ArmTest

GENETIC = 3.0  # nats of the clone's own copy-number line
LEAST_ARMS, LEAST_NULL = 2, 50
BOUND = 6.0  # nats, at least
FALSE_SHARE = 0.05  # expected share of normal cells among those found


def members(test: ArmTest, malignant: np.ndarray, candidate: np.ndarray, normal: np.ndarray,
            ) -> tuple[np.ndarray, np.ndarray]:
    """Cells that show a malignant clone's profile.

    Parameters
    ----------
    test
        Arm test with its cells.
    malignant
        bool (n_clones,): clones called malignant.
    candidate
        bool (m,): cells of the test without a receptor that may be T cells.
    normal
        bool (m,): cells of clones that nothing speaks against; reference and null at once.

    Returns
    -------
    int64 (m,): clone, -1 for none; float64 (m,): highest log-likelihood ratio of a profile, in nats, NaN for cells that
    were not scored. Only clones with two called arms, a copy-number line above 3 nats and fifty normal cells in their
    samples have a profile to look for; the expected share of normal cells among those found is at most 5 %.
    """
    owner = np.full(candidate.size, -1, np.int64)
    best = np.full(candidate.size, np.nan)
    called = test.called
    told = malignant & (np.nan_to_num(test.llr) > GENETIC) & ((called != 0).sum(axis=1) >= LEAST_ARMS)
    for c in np.flatnonzero(told):
        profile = np.where(called[c] != 0, np.nan_to_num(test.shift[c]), 0.0)
        cells, score, null = _scores(test.cells, int(c), profile, candidate, normal)
        if null.size < LEAST_NULL or not cells.size:
            continue
        with np.errstate(invalid="ignore"):
            better = ~(best[cells] >= score)
        best[cells[better]] = score[better]
        found = better & (score >= bound(score, null))
        owner[cells[better]] = -1
        owner[cells[found]] = c
    return owner, best


def _scores(of: ArmCells | None, clone: int, profile: np.ndarray, candidate: np.ndarray, normal: np.ndarray,
            ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates in the clone's samples that have a reference, their scores, and those of normal cells there."""
    assert of is not None
    near = np.isin(of.sample, np.unique(of.sample[of.clone == clone]))
    rows = np.flatnonzero((candidate | normal) & near)
    share = arms.reference_share(of.counts, of.clone, of.stratum, of.sample, normal, rows)
    score = arms.cell_scores(of.counts[rows], share, profile)
    known = np.isfinite(score)
    mine = candidate[rows] & known
    return rows[mine], score[mine], score[normal[rows] & known]


def bound(score: np.ndarray, null: np.ndarray) -> float:
    """Lowest score, not below 6 nats, at which at most one in twenty found is expected to be normal; inf without one.

    Expected by the share of normal cells at or above it, one more counted than seen.
    """
    for t in np.sort(score[score >= BOUND]):
        false = score.size * (1 + (null >= t).sum()) / (1 + null.size)
        if false <= FALSE_SHARE * (score >= t).sum():
            return float(t)
    return float("inf")
