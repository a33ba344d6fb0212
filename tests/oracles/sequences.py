"""Slow plain distances and neighbour lists: the specification of ``kernels/sequences``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

BLOSUM62_ORDER = "ARNDCQEGHILKMFPSTWYV"
# Pairs of residues with a BLOSUM62 score above 0, from the published matrix; 0 for the listed ones, else negative.
POSITIVE = {"IV": 3, "FY": 3, "LM": 2, "IL": 2, "RK": 2, "DE": 2, "QE": 2, "HY": 2, "WY": 2, "AS": 1, "RQ": 1, "ND": 1,
            "NH": 1, "NS": 1, "QK": 1, "EK": 1, "IM": 1, "LV": 1, "MV": 1, "ST": 1, "FW": 1}
ZERO = ["AC", "AG", "AT", "AV", "RN", "RE", "RH", "NQ", "NE", "NG", "NK", "NT", "DQ", "DS", "QH", "QM", "QS", "EH",
        "ES", "GS", "IF", "LF", "KS", "MF", "TV"]


def substitution_cost(a: str, b: str) -> int:
    """3 min(4, 4 - BLOSUM62)."""
    if a == b:
        return 0
    score = POSITIVE.get(a + b, POSITIVE.get(b + a))
    if score is None:
        score = 0 if a + b in ZERO or b + a in ZERO else -1
    return 3 * min(4, 4 - score)


def hamming(a: str, b: str) -> int | None:
    return sum(x != y for x, y in zip(a, b, strict=True)) if len(a) == len(b) else None


def levenshtein(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        above, row = row, [i]
        for j, y in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y)))
    return row[-1]


def _with_gap(short: str, long: str, at: int) -> int:
    """Cost with the gap behind position `at` of the shorter sequence; the first 3 and last 2 residues are left out."""
    left = sum(substitution_cost(short[p], long[p]) for p in range(3, at))
    right = sum(substitution_cost(short[-1 - p], long[-1 - p]) for p in range(2, len(short) - at))
    return left + right


def _gap_positions(short: int, *, fixed: bool) -> range:
    if fixed:
        at = min(6, 3 + (short - 5) // 2)
        return range(at, at + 1)
    first, last = 5, short - 5
    while first > last:
        first, last = first - 1, last + 1
    return range(first, last + 1)


def tcrdist(a: str, b: str, *, gap: int, fixed: bool) -> int:
    short, long = sorted((a, b), key=len)
    if len(short) == len(long):
        return sum(substitution_cost(short[p], long[p]) for p in range(3, len(short) - 2))
    best = min(_with_gap(short, long, at) for at in _gap_positions(len(short), fixed=fixed))
    return best + gap * (len(long) - len(short))


def distance(a: str, b: str, metric: str) -> int | None:
    """Distance under one of the four metrics; None where there is none."""
    if metric == "hamming":
        return hamming(a, b)
    if metric == "levenshtein":
        return levenshtein(a, b)
    return tcrdist(a, b, gap=4, fixed=True) if metric == "tcrdist_scirpy" else tcrdist(a, b, gap=12, fixed=False)


def pairs(sequences: Sequence[str], metric: str, cutoff: int) -> list[tuple[int, int, int]]:
    """All (i, j, d), i < j, d <= cutoff, in order."""
    found = []
    for (i, a), (j, b) in combinations(enumerate(sequences), 2):
        d = distance(a, b, metric)
        if d is not None and d <= cutoff:
            found.append((i, j, d))
    return found


def nearest(sequences: Sequence[str], metric: str, cutoff: int, k: int) -> list[list[tuple[int, int]]]:
    """For every sequence its k nearest neighbours as (d, j), in order."""
    rows: list[list[tuple[int, int]]] = [[] for _ in sequences]
    for i, j, d in pairs(sequences, metric, cutoff):
        rows[i].append((d, j))
        rows[j].append((d, i))
    return [sorted(row)[:k] for row in rows]
