"""Nearest neighbours on the CPU; contract in ``knn.py``.

A leaf holds up to `LEAF` neighbouring points, stored one coordinate after the other so that one query meets all of
them in vector registers. Scores are half squared distances less the query's own half norm, in float32; their order of
summation is free, because whatever they decide is checked against a bound in `rerank`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

LEAF = 128  # points per leaf at most
HEAD = 16  # coordinates after which a leaf may be given up
SPARE = 8  # candidates beyond k, so that rounding seldom needs the exact scan
STEP = 4  # coordinates per pass; dimensions are padded to a multiple
FAR = 1e30  # score of padding, and of a list that is not full; scaled points have coordinates of at most 1
FREE = {"reassoc", "contract", "nsz", "nnan"}


@njit(cache=True, fastmath=FREE)
def _box_gap(point: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.float32:
    """Half squared distance of a point to a box."""
    total = np.float32(0)
    for j in range(point.size):
        gap = max(max(low[j] - point[j], point[j] - high[j]), np.float32(0))
        total += gap * gap
    return np.float32(0.5) * total


@njit(cache=True, fastmath=FREE)
def _boxes_gap(low: np.ndarray, high: np.ndarray, other_low: np.ndarray, other_high: np.ndarray) -> np.float32:
    """Half squared distance of two boxes."""
    total = np.float32(0)
    for j in range(low.size):
        gap = max(max(low[j] - other_high[j], other_low[j] - high[j]), np.float32(0))
        total += gap * gap
    return np.float32(0.5) * total


@njit(cache=True, fastmath=FREE)
def _scores(point: np.ndarray, block: np.ndarray, start: int, stop: int, out: np.ndarray, most: np.float32) -> bool:
    """Subtract products of coordinates `start` to `stop` from the scores of a leaf; whether one is `most` or less."""
    for j in range(start, stop, STEP):
        a, b, c, d = point[j], point[j + 1], point[j + 2], point[j + 3]
        for t in range(LEAF):
            out[t] -= a * block[j, t] + b * block[j + 1, t] + c * block[j + 2, t] + d * block[j + 3, t]
    near = False
    for t in range(LEAF):
        near |= out[t] <= most
    return near


@njit(cache=True)
def _insert(score: np.float32, row: int, scores: np.ndarray, rows: np.ndarray) -> None:
    """Put a candidate into a list sorted by score, from the end."""
    at = scores.size - 1
    while at > 0 and scores[at - 1] > score:
        scores[at], rows[at] = scores[at - 1], rows[at - 1]
        at -= 1
    scores[at], rows[at] = score, row


@njit(cache=True)
def _visit(point: np.ndarray, tail: np.float32, block: np.ndarray, half: np.ndarray,
           head_half: np.ndarray, first: int, width: int, myself: int, scores: np.ndarray, rows: np.ndarray,
           room: np.ndarray) -> None:
    """One query against one leaf."""
    last = scores.size - 1
    room[:] = head_half
    if not _scores(point, block, 0, HEAD, room, scores[last] + tail):
        return
    for t in range(LEAF):
        room[t] += half[t] - head_half[t]
    if not _scores(point, block, HEAD, point.size, room, scores[last]):
        return
    for t in range(width):
        if room[t] < scores[last] and first + t != myself:
            _insert(room[t], first + t, scores, rows)


@njit(cache=True, parallel=True)
def search(points: np.ndarray, starts: np.ndarray, blocks: np.ndarray, half: np.ndarray, head_half: np.ndarray,
           low: np.ndarray, high: np.ndarray, own: np.ndarray, own_head: np.ndarray, first: int, count: int,
           entry: np.ndarray, rows: np.ndarray, bound: np.ndarray) -> None:
    """Candidates of every point in `count` leaves from `first` on, from the near leaves (in the tree) to the far ones.

    `rows` (n, candidates) and `bound` (n,), half squared distance under which nothing was left out, are filled.
    """
    leaves, k = starts.size - 1, rows.shape[1]
    for turn in prange(leaves):
        mine = np.int64(turn)
        if leaves % 7919 != 0:
            mine = mine * 7919 % leaves
        begin, size = starts[mine], starts[mine + 1] - starts[mine]
        scores, room = np.full((size, k), np.float32(FAR), dtype=np.float32), np.empty(LEAF, dtype=np.float32)
        for step in range(count):
            leaf = first + (entry[mine] ^ step)
            farthest = np.float32(0)
            for q in range(size):
                farthest = max(farthest, scores[q, k - 1] + own[begin + q])
            if _boxes_gap(low[mine], high[mine], low[leaf], high[leaf]) > farthest:
                continue
            for q in range(begin, begin + size):
                if _box_gap(points[q], low[leaf], high[leaf]) <= scores[q - begin, k - 1] + own[q]:
                    _visit(points[q], own[q] - own_head[q], blocks[leaf], half[leaf], head_half[leaf],
                           starts[leaf], starts[leaf + 1] - starts[leaf], q, scores[q - begin], rows[q], room)
        for q in range(size):
            bound[begin + q] = scores[q, k - 1] + own[begin + q]


@njit(cache=True)
def squared(points: np.ndarray, a: int, b: int) -> float:
    """Squared distance in float64, coordinates in their order."""
    total = 0.0
    for j in range(points.shape[1]):
        gap = points[a, j] - points[b, j]
        total += gap * gap
    return total


@njit(cache=True)
def _place(value: float, row: int, values: np.ndarray, rows: np.ndarray) -> None:
    """Put a neighbour into a list sorted by (distance, index), if it belongs there."""
    at = values.size - 1
    if value > values[at] or (value == values[at] and row > rows[at]):
        return
    while at > 0 and (values[at - 1] > value or (values[at - 1] == value and rows[at - 1] > row)):
        values[at], rows[at] = values[at - 1], rows[at - 1]
        at -= 1
    values[at], rows[at] = value, row


@njit(cache=True, parallel=True)
def rerank(points: np.ndarray, order: np.ndarray, rows: np.ndarray, indices: np.ndarray, squares: np.ndarray) -> None:
    """The k nearest of the candidates in float64, the point itself first; `rows` are places in `order`."""
    for place in prange(order.size):
        me = order[place]
        for slot in range(indices.shape[1]):
            squares[me, slot], indices[me, slot] = np.inf, np.int32(2147483647)
        squares[me, 0], indices[me, 0] = -1.0, me
        for slot in range(rows.shape[1]):
            if rows[place, slot] >= 0:
                other = order[rows[place, slot]]
                _place(squared(points, me, other), other, squares[me], indices[me])


@njit(cache=True, parallel=True)
def scan(points: np.ndarray, doubtful: np.ndarray, order: np.ndarray, starts: np.ndarray, low: np.ndarray,
         high: np.ndarray, indices: np.ndarray, squares: np.ndarray) -> None:
    """Exact search in float64 for the rows that `rerank` could not certify; leaves farther than the list are left."""
    for at in prange(doubtful.size):
        me = doubtful[at]
        for slot in range(indices.shape[1]):
            squares[me, slot], indices[me, slot] = np.inf, np.int32(2147483647)
        squares[me, 0], indices[me, 0] = -1.0, me
        for leaf in range(starts.size - 1):
            gap = 0.0
            for j in range(points.shape[1]):
                apart = max(max(low[leaf, j] - points[me, j], points[me, j] - high[leaf, j]), 0.0)
                gap += apart * apart
            if gap > squares[me, squares.shape[1] - 1]:
                continue
            for place in range(starts[leaf], starts[leaf + 1]):
                if order[place] != me:
                    _place(squared(points, me, order[place]), order[place], squares[me], indices[me])


@njit(cache=True, parallel=True)
def shared_counts(ranked: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Members that the row of each point and the row of each of its neighbours share; `ranked` has sorted rows."""
    n, k = indices.shape
    counts = np.zeros((n, k), dtype=np.int32)
    for row in prange(n):
        for slot in range(k):
            other, i, j = indices[row, slot], 0, 0
            while i < k and j < k:
                a, b = ranked[row, i], ranked[other, j]
                counts[row, slot] += a == b
                i += a <= b
                j += b <= a
    return counts
