"""Nearest neighbours on the CPU; contract in ``knn.py``.

A leaf holds up to `LEAF` neighbouring points in strips of `LANES`, stored one coordinate after the other. The queries
of a leaf meet the other leaves from the near ones to the far: those that the box around a leaf does not exclude meet
its strips, first in the leading coordinates; the queries that these leave, in the rest. Scores are half squared
distances less the query's own half norm, in float32; their order of summation is free, because whatever they decide is
checked against a bound after `rerank`.

Of simulated scores of 100,000 cells (``benchmarks/kernels/knn.py``) half of all pairs meet in the leading coordinates
and 15 percent in the rest: a quarter of the multiply-adds of a search that leaves nothing out. They are 78 percent of
the time of the search; a thread of it on a busy machine did them at about 50 GFLOP/s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .knn_tile import LANES, ROWS, begin_tile, finish_tile

LEAF = 128  # points per leaf at most
HEAD = 16  # coordinates after which a strip may be given up
SPARE = 8  # candidates beyond k, so that rounding seldom needs the exact scan
STEP = 4  # coordinates per pass; dimensions are padded to a multiple
FAR = 1e30  # score of padding, and of a list that is not full; scaled points have coordinates of at most 1
FREE = {"reassoc", "contract", "nsz", "nnan"}


@njit(cache=True, fastmath=FREE)
def _boxes_gap(low: np.ndarray, high: np.ndarray, one: int, other: int) -> np.float32:
    """Half squared distance of two boxes, in the first coordinates."""
    total = np.float32(0)
    for j in range(HEAD):
        gap = max(max(low[one, j] - high[other, j], low[other, j] - high[one, j]), np.float32(0))
        total += gap * gap
    return np.float32(0.5) * total


@njit(cache=True)
def _insert(score: np.float32, row: int, scores: np.ndarray, rows: np.ndarray) -> None:
    """Put a candidate into a list sorted by score, from the end."""
    at = scores.size - 1
    while at > 0 and scores[at - 1] > score:
        scores[at], rows[at] = scores[at - 1], rows[at - 1]
        at -= 1
    scores[at], rows[at] = score, row


@njit(cache=True, fastmath=FREE)
def _near(heads: np.ndarray, reach: np.ndarray, low: np.ndarray, high: np.ndarray, leaf: int, gaps: np.ndarray,
          listed: np.ndarray) -> int:
    """List the queries, given as (HEAD, n), that are near enough to a box; how many."""
    gaps[:] = np.float32(0)
    for j in range(HEAD):
        least, largest = low[leaf, j], high[leaf, j]
        for q in range(gaps.size):
            gap = max(max(least - heads[j, q], heads[j, q] - largest), np.float32(0))
            gaps[q] += gap * gap
    count = 0
    for q in range(gaps.size):
        listed[count] = q
        count += np.float32(0.5) * gaps[q] <= reach[q]
    return count


@njit(cache=True)
def _fill(listed: np.ndarray, count: int) -> None:
    """Repeat the last of a list up to the end of its tile."""
    for at in range(count, -(-count // ROWS) * ROWS):
        listed[at] = listed[count - 1]


@njit(cache=True)
def _meet(queries: np.ndarray, near: np.ndarray, count: int, strip: np.ndarray, half: np.ndarray,
          tail_half: np.ndarray, most: np.ndarray, head_most: np.ndarray, room: np.ndarray, bits: np.ndarray,
          left: np.ndarray) -> int:
    """Scores of the listed queries for a strip of points; `left` gets those with a point that may enter their list."""
    for at in range(0, count, ROWS):
        begin_tile(queries, near, at, strip, 0, HEAD, half, room, head_most, bits)
    kept = 0
    for i in range(count):
        left[kept] = near[i]
        kept += bits[near[i]] != 0
    _fill(left, kept)
    for at in range(0, kept, ROWS):
        finish_tile(queries, left, at, strip, HEAD, queries.shape[1], tail_half, room, most, bits)
    return kept


@njit(cache=True)
def _take(bits: int, row: np.ndarray, place: int, myself: int, scores: np.ndarray, rows: np.ndarray) -> None:
    """Put the marked points of a strip that starts at `place` into a list."""
    last = scores.size - 1
    for t in range(LANES):
        if (bits >> t) & 1 and row[t] < scores[last] and place + t != myself:
            _insert(row[t], place + t, scores, rows)


@njit(cache=True)
def _search_leaf(mine: Any, entry: int, queries: np.ndarray, own: np.ndarray, own_head: np.ndarray, starts: np.ndarray,
                 low: np.ndarray, high: np.ndarray, first: int, blocks: np.ndarray, head_half: np.ndarray,
                 tail_half: np.ndarray, rows: np.ndarray, reach: np.ndarray) -> None:
    """Candidates of the points of one leaf; `reach`, half squared distance within which they still want points."""
    (size, k), begin = rows.shape, starts[mine]
    scores, room = np.full((size, k), np.float32(FAR), dtype=np.float32), np.empty((size, LANES), dtype=np.float32)
    heads, gaps = np.empty((HEAD, size), dtype=np.float32), np.empty(size, dtype=np.float32)
    most, head_most = np.empty(size, dtype=np.float32), np.empty(size, dtype=np.float32)
    bits = np.empty(size, dtype=np.uint16)
    near, left = np.empty(LEAF + ROWS, dtype=np.int64), np.empty(LEAF + ROWS, dtype=np.int64)
    for q in range(size):
        most[q] = head_most[q] = reach[q] = FAR
        for j in range(HEAD):
            heads[j, q] = queries[q, j]
    for step in range(len(blocks)):
        leaf = entry ^ step
        there, farthest = first + leaf, np.float32(0)
        for q in range(size):
            farthest = max(farthest, reach[q])
        if _boxes_gap(low, high, mine, there) > farthest:
            continue
        count = _near(heads, reach, low, high, there, gaps, near)
        _fill(near, count)
        for place in range(starts[there], starts[there + 1] if count else 0, LANES):
            s = (place - starts[there]) // LANES
            kept = _meet(queries, near, count, blocks[leaf, s], head_half[leaf, s], tail_half[leaf, s], most,
                         head_most, room, bits, left)
            for i in range(kept):
                q = left[i]
                if bits[q]:
                    _take(bits[q], room[q], place, begin + q, scores[q], rows[q])
                    most[q] = scores[q, k - 1]
                    head_most[q], reach[q] = most[q] + (own[q] - own_head[q]), most[q] + own[q]


@njit(cache=True, parallel=True)
def search(points: np.ndarray, starts: np.ndarray, low: np.ndarray, high: np.ndarray, own: np.ndarray,
           own_head: np.ndarray, first: int, entry: np.ndarray, blocks: np.ndarray, head_half: np.ndarray,
           tail_half: np.ndarray, rows: np.ndarray, bound: np.ndarray) -> None:
    """Candidates of every point in the leaves from `first` on, from the near leaves (in the tree) to the far ones.

    `blocks` float32 (leaves, strips, d, LANES) holds the points of those leaves, `head_half` and `tail_half` (leaves,
    strips, LANES) half their squared norms; `rows` (n, candidates) and `bound` (n,), half squared distance under which
    nothing was left out, are filled.
    """
    leaves = starts.size - 1
    for turn in prange(leaves):
        mine = np.int64(turn)
        if leaves % 7919 != 0:
            mine = mine * 7919 % leaves
        a, b = starts[mine], starts[mine + 1]
        _search_leaf(mine, entry[mine], points[a:b], own[a:b], own_head[a:b], starts, low, high, first, blocks,
                     head_half, tail_half, rows[a:b], bound[a:b])


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
