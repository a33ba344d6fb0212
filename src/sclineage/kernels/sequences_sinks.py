"""What is made of the pairs that the CPU search of `sequences` finds; the contract is in ``sequences.py``.

The final state of a sink does not depend on the order in which pairs come: codes that are sorted afterwards, a
union-find, or the k smallest of each row. Any number of workers share it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .components_cpu import unite
from .sequences_bits import atomic_add, atomic_min
from .sequences_keys import LONG, ROW0, ROW1, SHORT, Task
from .sequences_pack import Index

FILL, UNITE, NEAREST = 0, 1, 2
HITS = 1024  # pairs that a worker holds back before it hands them to the sink
EMPTY = 0xFFFFFFFFFFFFFFFF
_EMPTY = np.uint64(EMPTY)
_ONE = np.uint64(1)


class Sink(NamedTuple):
    """Where pairs go.

    Attributes
    ----------
    mode
        FILL: codes; UNITE: union-find over distinct sequences; NEAREST: the k nearest of every sequence.
    first_bits, second_bits
        Left shifts of the two sequences in a pair code (the distance is in the lowest bits).
    codes, cursor
        uint64 codes; int64 (1,): how many were found, also where they no longer fitted in.
    parent
        int32 (distinct,): union-find.
    nearest, k
        uint64 (n * k,): distance << 32 | neighbour, ascending in each row.
    """

    mode: int
    first_bits: int
    second_bits: int
    codes: np.ndarray
    cursor: np.ndarray
    parent: np.ndarray
    nearest: np.ndarray
    k: int


@njit(cache=True)
def push_nearest(nearest: np.ndarray, k: int, row: int, code: np.uint64) -> None:
    """Offer a neighbour to a row: each place keeps the smaller code and hands the larger one on."""
    if code >= nearest[row * k + k - 1]:
        return
    for place in range(row * k, row * k + k):
        code = max(code, atomic_min(nearest, place, code))
        if code == _EMPTY:
            return


@njit(cache=True)
def _code(first: int, second: int, gap: int, first_bits: int, second_bits: int) -> np.uint64:
    low, high = min(first, second), max(first, second)
    return np.uint64(low) << np.uint64(first_bits) | np.uint64(high) << np.uint64(second_bits) | np.uint64(gap)


@njit(cache=True)
def _reserve(sink: Sink, found: int) -> int:
    """First place of so many codes, -1 where they do not fit."""
    start = atomic_add(sink.cursor, 0, found)
    return start if start + found <= sink.codes.size else -1


@njit(cache=True)
def _take(sink: Sink, left: np.ndarray, right: np.ndarray, gap: int) -> None:
    """Report every sequence on the left with every one on the right."""
    if sink.mode == NEAREST:
        for first in left:
            for second in right:
                push_nearest(sink.nearest, sink.k, first, np.uint64(gap) << np.uint64(32) | np.uint64(second))
                push_nearest(sink.nearest, sink.k, second, np.uint64(gap) << np.uint64(32) | np.uint64(first))
        return
    place = _reserve(sink, left.size * right.size)
    if place < 0:
        return
    for first in left:
        for second in right:
            sink.codes[place] = _code(first, second, gap, sink.first_bits, sink.second_bits)
            place += 1


@njit(cache=True)
def hand_over(index: Index, sink: Sink, hits: np.ndarray, held: int, task: Task) -> int:
    """Send the pairs held back to the sink, for all the sequences they stand for; return 0, the number held then."""
    member_start, members = index.member_start, index.members
    short, long = index.firsts[task[SHORT]], index.firsts[task[LONG]]
    if members.size + 1 == member_start.size and sink.mode == FILL:
        place = _reserve(sink, held)
        codes, first_bits, second_bits = sink.codes, sink.first_bits, sink.second_bits
        for hit in range(held if place >= 0 else 0):
            codes[place + hit] = _code(members[short + hits[hit, 0]], members[long + hits[hit, 1]], hits[hit, 2],
                                       first_bits, second_bits)
        return 0
    for hit in range(held):
        first, second, gap = short + hits[hit, 0], long + hits[hit, 1], hits[hit, 2]
        if sink.mode == UNITE:
            unite(sink.parent, first, second)
        else:
            _take(sink, members[member_start[first]:member_start[first + 1]],
                  members[member_start[second]:member_start[second + 1]], gap)
    return 0


@njit(cache=True)
def hold(hits: np.ndarray, held: int, x: int, y: int, gap: int) -> int:
    """Hold a pair back; return the number held, at most `HITS`: the caller hands those over.

    No tuple of arrays comes here: Numba would count their references for every pair, ten times its cost.
    """
    hits[held, 0], hits[held, 1], hits[held, 2] = x, y, gap
    return held + 1


@njit(cache=True)
def hand_over_duplicates(index: Index, task: Task, sink: Sink) -> None:
    """Report equal sequences, of the distinct ones that the task names."""
    if sink.mode == UNITE:
        return
    for u in range(task[ROW0], task[ROW1]):
        same = index.members[index.member_start[u]:index.member_start[u + 1]]
        for first in range(same.size - 1):
            _take(sink, same[first:first + 1], same[first + 1:], 0)
