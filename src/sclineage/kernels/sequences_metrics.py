"""The distances of `sequences`, as the kernels take them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .sequences_bits import CODES, RESIDUE, STANDARD, merged

HAMMING, LEVENSHTEIN, TCRDIST = 0, 1, 2

# BLOSUM62 below the diagonal (Henikoff and Henikoff 1992), residues in the order of STANDARD.
_BLOSUM62 = """
-1
-2 0
-2 -2 1
0 -3 -3 -3
-1 1 0 0 -3
-1 0 0 2 -4 2
0 -2 0 -1 -3 -2 -2
-2 0 1 -1 -3 0 0 -2
-1 -3 -3 -3 -1 -3 -3 -4 -3
-1 -2 -3 -4 -1 -2 -3 -4 -3 2
-1 2 0 -1 -3 1 1 -2 -1 -3 -2
-1 -1 -2 -3 -1 0 -2 -3 -2 1 2 -1
-2 -3 -3 -3 -2 -3 -3 -3 -1 0 0 -3 0
-1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4
1 -1 1 0 -1 0 0 0 -1 -2 -2 0 -1 -2 -1
0 -1 0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1 1
-3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1 1 -4 -3 -2
-2 -2 -2 -3 -2 -1 -2 -3 2 -1 -1 -2 -1 3 -3 -2 -2 2
0 -3 -3 -3 -1 -2 -2 -3 -3 3 1 -2 1 -1 -2 -2 0 -3 -1
"""
_MATCH_SCORE = 4
_WEIGHT = 3


class Metric(NamedTuple):
    """A distance and its cutoff, as the kernels take them.

    Numbers only: Numba counts the references of every array in a tuple at every call. ``cheapest`` is the least cost of
    a mismatch that merging I/V and F/Y does not hide; ``gap`` the penalty of each residue of length difference;
    ``free`` whether the best gap position is taken; the trims are residues left out at the two ends.
    """

    kind: int
    cutoff: int
    gap: int
    free: bool
    trim_left: int
    trim_right: int
    cheapest: int


def tcrdist_costs() -> np.ndarray:
    """Weighted distance of two residues by code: 3 min(4, 4 - BLOSUM62), 0 for equal ones (Dash et al. 2017)."""
    costs = np.zeros((32, 32), dtype=np.uint8)
    code = CODES[[ord(letter) for letter in STANDARD]]
    for row, line in enumerate(_BLOSUM62.split("\n")[1:-1], start=1):
        for column, score in enumerate(map(int, line.split())):
            cost = _WEIGHT * min(_MATCH_SCORE, _MATCH_SCORE - score)
            costs[code[row], code[column]] = costs[code[column], code[row]] = cost
    return costs


def _cheapest(costs: np.ndarray) -> int:
    codes = np.array([merged.py_func(np.uint64(code)) for code in range(RESIDUE + 1)])
    unlike = codes[:, None] != codes[None, :]
    return int(costs[unlike & (costs > 0)].min())


COSTS = tcrdist_costs()


def metric_of(name: str, cutoff: int, longest: int) -> Metric:
    """The metric of a name; a cutoff beyond the largest possible distance is lowered to it."""
    if name == "hamming":
        return Metric(HAMMING, min(cutoff, longest), 0, False, 0, 0, 1)
    if name == "levenshtein":
        return Metric(LEVENSHTEIN, min(cutoff, longest), 1, False, 0, 0, 1)
    gap, free = (_MATCH_SCORE, False) if name == "tcrdist_scirpy" else (_MATCH_SCORE * _WEIGHT, True)
    most = longest * max(int(COSTS.max()), gap)
    return Metric(TCRDIST, min(cutoff, most), gap, free, 3, 2, _cheapest(COSTS))


@njit(cache=True)
def gap_range(metric: Metric, short: int, difference: int) -> tuple[int, int]:
    """First and last gap position for a shorter sequence of this length, as pwseqdist (of tcrdist3) has them."""
    if difference == 0:
        return short - metric.trim_right, short - metric.trim_right
    if not metric.free:
        fixed = min(6, 3 + (short - 5) // 2)
        return fixed, fixed
    first, last = 5, short - 5
    while first > last:
        first, last = first - 1, last + 1
    return first, last
