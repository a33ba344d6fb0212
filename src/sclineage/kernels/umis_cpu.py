"""Numba side of `umis`: radix sort, collapse within (cell, feature), low support."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

EXACT, CELLRANGER, DIRECTIONAL = 0, 1, 2
PAIRWISE = 48  # groups up to this size are compared pair by pair, larger ones are searched for each neighbour
_DIGIT = 11
_ONE, _THREE = np.uint64(1), np.uint64(3)


@njit(cache=True)
def radix_argsort(keys: np.ndarray) -> np.ndarray:
    """Stable ascending order of uint64 keys, int64; digits on which all keys agree cost nothing."""
    n = keys.size
    varying = np.uint64(0)
    for i in range(1, n):
        varying |= keys[i] ^ keys[0]
    here, there = keys.copy(), np.empty_like(keys)
    order, moved = np.arange(n, dtype=np.int64), np.empty(n, np.int64)
    starts = np.empty(1 << _DIGIT, np.int64)
    mask = np.uint64((1 << _DIGIT) - 1)
    for shift in range(0, 64, _DIGIT):
        by = np.uint64(shift)
        if (varying >> by) & mask == np.uint64(0):
            continue
        starts[:] = 0
        for i in range(n):
            starts[(here[i] >> by) & mask] += 1
        total = 0
        for digit in range(starts.size):
            count = starts[digit]
            starts[digit] = total
            total += count
        for i in range(n):
            digit = (here[i] >> by) & mask
            to = starts[digit]
            starts[digit] += 1
            there[to], moved[to] = here[i], order[i]
        here, there = there, here
        order, moved = moved, order
    return order


@njit(cache=True)
def distinct(keys: np.ndarray) -> tuple[int, np.ndarray]:
    """Bring the distinct ones of sorted keys to the front; how many, and how often each occurs (int32)."""
    rows = 0
    for i in range(keys.size):
        rows += i == 0 or keys[i] != keys[i - 1]
    reads = np.zeros(rows, np.int32)
    rows = 0
    for i in range(keys.size):
        key = keys[i]
        if rows == 0 or key != keys[rows - 1]:
            keys[rows] = key
            rows += 1
        reads[rows - 1] += 1
    return rows, reads


@njit(cache=True)
def group_starts(keys: np.ndarray, tail: int) -> np.ndarray:
    """First row of each run of sorted keys that agree but for the last `tail` bits, and the number of rows, int64."""
    by, groups = np.uint64(tail), 0
    for i in range(keys.size):
        groups += i == 0 or keys[i] >> by != keys[i - 1] >> by
    starts = np.empty(groups + 1, np.int64)
    groups = 0
    for i in range(keys.size):
        if i == 0 or keys[i] >> by != keys[i - 1] >> by:
            starts[groups] = i
            groups += 1
    starts[groups] = keys.size
    return starts


@njit(cache=True)
def split(keys: np.ndarray, tail: int, middle: int, cell: np.ndarray, feature: np.ndarray) -> None:
    """Take (cell, feature, UMI) apart; the UMIs stay in `keys`."""
    low, high = np.uint64(tail), np.uint64(middle)
    last, kept = (_ONE << high) - _ONE, (_ONE << low) - _ONE
    for i in range(keys.size):
        pair = keys[i] >> low
        cell[i], feature[i] = pair >> high, pair & last
        keys[i] &= kept


@njit(cache=True, forceinline=True)
def _one_apart(a: np.uint64, b: np.uint64) -> bool:
    """Whether two packed UMIs differ in exactly one base."""
    x = a ^ b
    x = (x | (x >> _ONE)) & np.uint64(0x5555555555555555)
    return x != np.uint64(0) and x & (x - _ONE) == np.uint64(0)


@njit(cache=True)
def _place(umis: np.ndarray, low: int, high: int, wanted: np.uint64) -> int:
    """Row of a UMI in the sorted rows low ... high - 1, or -1."""
    while low < high:
        middle = (low + high) // 2
        if umis[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def neighbours(umis: np.ndarray, first: int, last: int, row: int, length: int, out: np.ndarray) -> int:
    """Rows first ... last - 1 whose UMI differs from that of `row` in one base; returns how many."""
    n = 0
    if last - first <= PAIRWISE:
        for other in range(first, last):
            if _one_apart(umis[other], umis[row]):
                out[n] = other
                n += 1
        return n
    for position in range(length):
        shift = np.uint64(2 * position)
        base = (umis[row] >> shift) & _THREE
        for other in range(4):
            if np.uint64(other) != base:
                wanted = umis[row] ^ ((base ^ np.uint64(other)) << shift)
                at = _place(umis, first, last, wanted)
                if at < last and umis[at] == wanted:
                    out[n] = at
                    n += 1
    return n


@njit(cache=True)
def _to_best(umis: np.ndarray, reads: np.ndarray, first: int, last: int, length: int, near: np.ndarray,
             target: np.ndarray) -> None:
    for row in range(first, last):
        best = row
        for k in range(neighbours(umis, first, last, row, length, near)):
            other = near[k]
            if reads[other] > reads[best] or (reads[other] == reads[best] and umis[other] > umis[best]):
                best = other
        target[row] = best


@njit(cache=True)
def _by_reads(reads: np.ndarray, first: int, last: int, order: np.ndarray) -> None:
    """Rows of a group by descending reads, ties by row."""
    if last - first > PAIRWISE:
        order[first:last] = first + np.argsort(-reads[first:last], kind="mergesort")
        return
    for row in range(first, last):
        at = row
        while at > first and reads[order[at - 1]] < reads[row]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = row


@njit(cache=True)
def _reach(umis: np.ndarray, reads: np.ndarray, first: int, last: int, length: int, near: np.ndarray,
           order: np.ndarray, stack: np.ndarray, target: np.ndarray) -> None:
    _by_reads(reads, first, last, order)
    target[first:last] = -1
    for place in range(first, last):
        root = order[place]
        if target[root] >= 0:
            continue
        target[root] = root
        stack[first] = root
        height = first + 1
        while height > first:
            height -= 1
            row = stack[height]
            for k in range(neighbours(umis, first, last, row, length, near)):
                other = near[k]
                if target[other] < 0 and reads[row] >= 2 * reads[other] - 1:
                    target[other] = root
                    stack[height] = other
                    height += 1


@njit(cache=True, parallel=True)
def collapse(umis: np.ndarray, reads: np.ndarray, starts: np.ndarray, length: int, policy: int, chunk: int,
             target: np.ndarray) -> None:
    """Row that each row is counted with, group by group; `starts` bounds the groups."""
    groups = starts.size - 1
    order, stack = np.empty(umis.size, np.int64), np.empty(umis.size, np.int64)
    for part in prange(-(-groups // chunk)):
        near = np.empty(max(3 * length, PAIRWISE), np.int64)
        for group in range(part * chunk, min((part + 1) * chunk, groups)):
            first, last = starts[group], starts[group + 1]
            if last - first == 1:
                target[first] = first
            elif policy == CELLRANGER:
                _to_best(umis, reads, first, last, length, near, target)
            else:
                _reach(umis, reads, first, last, length, near, order, stack, target)


@njit(cache=True)
def sum_by_target(reads: np.ndarray, target: np.ndarray, out: np.ndarray) -> None:
    """Reads of each target row."""
    for row in range(reads.size):
        out[target[row]] += reads[row]


@njit(cache=True)
def move_one_read(reads: np.ndarray, target: np.ndarray, out: np.ndarray) -> None:
    """Reads after one read of each moved row has gone to its target."""
    for row in range(reads.size):
        out[row] += reads[row]
        if target[row] != row:
            out[row] -= 1
            out[target[row]] += 1


@njit(cache=True)
def below_top(order: np.ndarray, starts: np.ndarray, reads: np.ndarray, low: np.ndarray) -> None:
    """Mark the rows of each segment that do not hold its strict maximum."""
    for segment in range(starts.size - 1):
        first, last = starts[segment], starts[segment + 1]
        top, holders = reads[order[first]], 0
        for k in range(first, last):
            top = max(top, reads[order[k]])
        for k in range(first, last):
            holders += reads[order[k]] == top
        for k in range(first, last):
            low[order[k]] = reads[order[k]] < top or holders > 1
