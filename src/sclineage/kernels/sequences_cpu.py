"""Neighbour search on the CPU; the contract is in ``sequences.py``, the method in ``sequences_plan.py``.

Workers draw tasks from one counter. What a task finds goes to a sink whose final state does not depend on the order:
pair codes that are sorted afterwards, a union-find, or the k smallest of each row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from .components_cpu import unite
from .sequences_bits import (
    PER_WORD,
    RESIDUE_BITS,
    atomic_add,
    atomic_min,
    merged,
    occupied,
    popcount,
    shifted,
    trailing_zeros,
)
from .sequences_distance import distance, edit_task_owns, field_range
from .sequences_keys import (
    ALIGNED,
    BLOCKS,
    GAP,
    KIND,
    LIMIT,
    LONG,
    MAP,
    MIDDLE,
    ROW0,
    ROW1,
    SHORT,
    WILD,
    fill_masks,
    table_bits,
    task_key,
)
from .sequences_metrics import TCRDIST, Metric, gap_range
from .sequences_pack import Index
from .sequences_plan import BRUTE, CROSS, DUPLICATES, NO_FILTER, SELF, Plan

LOG, FILL, UNITE, NEAREST = 0, 1, 2, 3
TILE = 512
EMPTY = 0xFFFFFFFFFFFFFFFF
_EMPTY = np.uint64(EMPTY)
_ONE = np.uint64(1)


class Sink(NamedTuple):
    """Where pairs go.

    Attributes
    ----------
    mode
        LOG: codes into the worker's own segment as far as they fit, counts of every task; FILL: codes into the segment
        of the task; UNITE: union-find over distinct sequences; NEAREST: the k nearest of every sequence.
    first_bits, second_bits
        Left shifts of the two sequences in a pair code (the distance is in the lowest bits).
    codes, segments
        uint64 codes; int64 (workers or tasks, 2): start and end of each segment in it.
    counts
        int64 (tasks,): pairs found.
    parent
        int32 (distinct,): union-find.
    nearest, k
        uint64 (n * k,): distance << 32 | neighbour, ascending in each row.
    """

    mode: int
    first_bits: int
    second_bits: int
    codes: np.ndarray
    segments: np.ndarray
    counts: np.ndarray
    parent: np.ndarray
    nearest: np.ndarray
    k: int


# --- sinks ------------------------------------------------------------------------------------------------------------
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
def _take(sink: Sink, cursor: np.ndarray, first: int, second: int, gap: int) -> None:
    low, high = min(first, second), max(first, second)
    if sink.mode == NEAREST:
        push_nearest(sink.nearest, sink.k, low, np.uint64(gap) << np.uint64(32) | np.uint64(high))
        push_nearest(sink.nearest, sink.k, high, np.uint64(gap) << np.uint64(32) | np.uint64(low))
        return
    code = np.uint64(low) << np.uint64(sink.first_bits) | np.uint64(high) << np.uint64(sink.second_bits)
    sink.codes[cursor[0]] = code | np.uint64(gap)
    cursor[0] += 1


@njit(cache=True)
def _emit(index: Index, sink: Sink, cursor: np.ndarray, first: int, second: int, gap: int) -> None:
    """Report a pair of distinct sequences, for all the sequences they stand for."""
    if sink.mode == UNITE:
        unite(sink.parent, first, second)
        return
    a0, a1 = index.member_start[first], index.member_start[first + 1]
    b0, b1 = index.member_start[second], index.member_start[second + 1]
    found = np.int64(a1 - a0) * np.int64(b1 - b0)
    if sink.mode != NEAREST and cursor[0] + found > cursor[1]:
        cursor[0] += found  # does not fit: only counted
        return
    for a in range(a0, a1):
        for b in range(b0, b1):
            _take(sink, cursor, index.members[a], index.members[b], gap)


@njit(cache=True)
def _duplicates(index: Index, task: np.ndarray, sink: Sink, cursor: np.ndarray) -> None:
    if sink.mode == UNITE:
        return
    for u in range(task[ROW0], task[ROW1]):
        start, end = index.member_start[u], index.member_start[u + 1]
        found = np.int64(end - start) * np.int64(end - start - 1) // 2
        if sink.mode != NEAREST and cursor[0] + found > cursor[1]:
            cursor[0] += found
            continue
        for a in range(start, end):
            for b in range(a + 1, end):
                _take(sink, cursor, index.members[a], index.members[b], 0)


# --- which task owns a pair -------------------------------------------------------------------------------------------
@njit(cache=True)
def is_first_choice(mismatched: int, blocks: int, limit: int, wild: int) -> bool:
    """Whether `wild` is the first choice of `limit` blocks that holds the mismatched ones: those and the lowest."""
    if mismatched & ~wild:
        return False
    missing = limit - popcount(np.uint64(mismatched))
    block = 0
    while missing > 0 and block < blocks:
        if not (mismatched >> block) & 1:
            mismatched |= 1 << block
            missing -= 1
        block += 1
    return mismatched == wild


@njit(cache=True)
def mismatch_word(index: Index, metric: Metric, short: int, x: int, long: int, y: int, gap: int,
                  word: int) -> np.uint64:
    """Lowest bits of the residues of one word at which two sequences differ (merged letters) in a frame."""
    ahead = index.words[index.bases[short] + word * index.strides[short] + x]
    at, stride, width = index.bases[long] + y, index.strides[long], index.widths[long]
    if metric.kind != TCRDIST:
        return occupied(ahead ^ index.words[at + word * stride])
    difference = index.lengths[long] - index.lengths[short]
    left = field_range(word, metric.trim_left, gap)
    right = field_range(word, gap, index.lengths[short] - metric.trim_right)
    other = index.words[at + word * stride] & left
    other |= (shifted(index.words, at, stride, width, word, difference) if right else np.uint64(0)) & right
    return occupied(merged(ahead & (left | right)) ^ merged(other))


@njit(cache=True)
def _mismatched_blocks(index: Index, metric: Metric, plan: Plan, task: np.ndarray, x: int, y: int) -> int:
    """Blocks with a mismatch, as bits; -1 if there are more mismatches than the task allows."""
    count, mismatched = 0, 0
    for word in range(index.widths[task[SHORT]]):
        differing = mismatch_word(index, metric, task[SHORT], x, task[LONG], y, task[GAP], word)
        count += popcount(differing)
        if count > task[LIMIT]:
            return -1
        while differing:
            at = word * PER_WORD + trailing_zeros(differing) // RESIDUE_BITS
            mismatched |= 1 << plan.maps[task[MAP] + at]
            differing &= differing - _ONE
    return mismatched


@njit(cache=True)
def _earlier_gap(index: Index, metric: Metric, task: np.ndarray, x: int, y: int) -> bool:
    """Whether an earlier gap position would report the pair too."""
    difference = index.lengths[task[LONG]] - index.lengths[task[SHORT]]
    first, _ = gap_range(metric, index.lengths[task[SHORT]], difference)
    for gap in range(first, task[GAP]):
        count = 0
        for word in range(index.widths[task[SHORT]]):
            count += popcount(mismatch_word(index, metric, task[SHORT], x, task[LONG], y, gap, word))
        if count <= task[LIMIT]:
            return True
    return False


@njit(cache=True)
def owns(index: Index, metric: Metric, plan: Plan, task: np.ndarray, x: int, y: int) -> bool:
    """Whether this task is the one that reports row x of its short group with row y of its long group."""
    if task[MIDDLE] != ALIGNED:
        return edit_task_owns(index, metric.cutoff, task, plan.maps[task[MAP]:], x, y)
    mismatched = _mismatched_blocks(index, metric, plan, task, x, y)
    if mismatched < 0 or not is_first_choice(mismatched, task[BLOCKS], task[LIMIT], task[WILD]):
        return False
    return not _earlier_gap(index, metric, task, x, y)


# --- joins ------------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _offer(index: Index, metric: Metric, plan: Plan, task: np.ndarray, sink: Sink, cursor: np.ndarray,
           edits: np.ndarray, x: int, y: int) -> None:
    if owns(index, metric, plan, task, x, y):
        gap = distance(index, metric, task[SHORT], x, task[LONG], y, edits)
        if gap >= 0:
            _emit(index, sink, cursor, index.firsts[task[SHORT]] + x, index.firsts[task[LONG]] + y, gap)


@njit(cache=True)
def _join(index: Index, metric: Metric, plan: Plan, task: np.ndarray, sink: Sink, cursor: np.ndarray, edits: np.ndarray,
          head: np.ndarray, following: np.ndarray) -> None:
    """Join equal keys of the two groups (CROSS) or within one group (SELF) through a chained hash table."""
    short, long = task[SHORT], task[LONG]
    masks = np.empty((3, index.widths[short]), dtype=np.uint64)
    block_of = plan.maps[task[MAP]:task[MAP] + index.lengths[short]]
    fill_masks(masks, block_of, metric, task)
    bits = table_bits(index.counts[short])
    turn = np.uint64(64 - bits)
    head[:1 << bits] = -1
    itself = task[KIND] == SELF
    for x in range(index.counts[short]):
        at = index.bases[short] + x
        bucket = task_key(index.words, at, index.strides[short], index.widths[short], masks, 0, 0, metric) >> turn
        if itself:
            other = head[bucket]
            while other >= 0:
                _offer(index, metric, plan, task, sink, cursor, edits, other, x)
                other = following[other]
        following[x] = head[bucket]
        head[bucket] = x
    if itself:
        return
    difference = index.lengths[long] - index.lengths[short]
    middle = difference if task[MIDDLE] == ALIGNED else task[MIDDLE]
    for y in range(task[ROW0], task[ROW1]):
        at = index.bases[long] + y
        key = task_key(index.words, at, index.strides[long], index.widths[long], masks, middle, difference, metric)
        other = head[key >> turn]
        while other >= 0:
            if short != long or other != y:
                _offer(index, metric, plan, task, sink, cursor, edits, other, y)
            other = following[other]


# --- brute force ------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _count_tile(index: Index, metric: Metric, task: np.ndarray, x: int, start: int, counts: np.ndarray) -> None:
    """Mismatches (merged letters) of row x with rows start, start + 1, ... of the long group, over the task's frame."""
    short, long = task[SHORT], task[LONG]
    difference, core = index.lengths[long] - index.lengths[short], index.lengths[short] - metric.trim_right
    merge = metric.kind == TCRDIST
    counts[:] = 0
    for word in range(index.widths[short]):
        left, right = field_range(word, metric.trim_left, task[GAP]), field_range(word, task[GAP], core)
        ahead = index.words[index.bases[short] + word * index.strides[short] + x] & (left | right)
        row = index.words[index.bases[long] + word * index.strides[long] + start:][:counts.size]
        if right == 0 or difference == 0:
            for y in range(counts.size):
                other = row[y] & (left | right)
                differing = merged(ahead) ^ merged(other) if merge else ahead ^ other
                counts[y] += np.int32(popcount(occupied(differing)))
            continue
        for y in range(counts.size):
            other = row[y] & left
            other |= shifted(index.words, index.bases[long] + start + y, index.strides[long], index.widths[long], word,
                             difference) & right
            counts[y] += np.int32(popcount(occupied(merged(ahead) ^ merged(other))))


@njit(cache=True)
def _brute(index: Index, metric: Metric, task: np.ndarray, sink: Sink, cursor: np.ndarray, edits: np.ndarray,
           counts: np.ndarray) -> None:
    short, long = task[SHORT], task[LONG]
    filtered = task[LIMIT] != NO_FILTER
    for x in range(task[ROW0], task[ROW1]):
        for start in range(x + 1 if short == long else 0, index.counts[long], TILE):
            tile = counts[:min(TILE, index.counts[long] - start)]
            if filtered:
                _count_tile(index, metric, task, x, start, tile)
            for y in range(tile.size):
                if filtered and tile[y] > task[LIMIT]:
                    continue
                gap = distance(index, metric, short, x, long, start + y, edits)
                if gap >= 0:
                    _emit(index, sink, cursor, index.firsts[short] + x, index.firsts[long] + start + y, gap)


# --- workers ----------------------------------------------------------------------------------------------------------
@njit(cache=True)
def table_rows(index: Index, tasks: np.ndarray) -> int:
    """Rows of the largest hash table that the tasks need."""
    rows = 1
    for task in tasks:
        if task[KIND] == SELF or task[KIND] == CROSS:
            rows = max(rows, index.counts[task[SHORT]])
    return rows


@njit(cache=True)
def _do(index: Index, metric: Metric, plan: Plan, task: np.ndarray, sink: Sink, cursor: np.ndarray, edits: np.ndarray,
        tables: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    if task[KIND] == DUPLICATES:
        _duplicates(index, task, sink, cursor)
    elif task[KIND] == BRUTE:
        _brute(index, metric, task, sink, cursor, edits, tables[2])
    else:
        _join(index, metric, plan, task, sink, cursor, edits, tables[0], tables[1])


@njit(cache=True)
def _work(index: Index, metric: Metric, plan: Plan, sink: Sink, counter: np.ndarray, rows: int,
          worker: int) -> int:
    """Draw tasks until none is left; return where the worker's segment ended."""
    tables = (np.empty(1 << table_bits(rows), dtype=np.int32), np.empty(rows, dtype=np.int32),
              np.empty(TILE, dtype=np.int32))
    edits = np.empty(4 * (metric.cutoff + 2), dtype=np.int64)
    cursor = np.zeros(2, dtype=np.int64)
    if sink.mode == LOG:
        cursor[:] = sink.segments[worker]
    while True:
        task = atomic_add(counter, 0, 1)
        if task >= plan.tasks.shape[0]:
            return cursor[0]
        if sink.mode == FILL:
            cursor[:] = sink.segments[task]
        before = cursor[0]
        _do(index, metric, plan, plan.tasks[task], sink, cursor, edits, tables)
        sink.counts[task] = cursor[0] - before


@njit(cache=True)
def run_alone(index: Index, metric: Metric, plan: Plan, sink: Sink) -> np.ndarray:
    """Do all tasks in this thread; as `run_together` with one worker."""
    counter, ends = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    ends[0] = _work(index, metric, plan, sink, counter, table_rows(index, plan.tasks), 0)
    return ends


@njit(cache=True, parallel=True)
def run_together(index: Index, metric: Metric, plan: Plan, sink: Sink, workers: int) -> np.ndarray:
    """Do all tasks; return where each worker's segment ended, int64 (workers,), past its end if it overflowed."""
    ends, counter, rows = np.zeros(workers, dtype=np.int64), np.zeros(1, dtype=np.int64), table_rows(index, plan.tasks)
    for worker in prange(workers):  # one call: Numba may reorder the statements of a parallel body around calls
        ends[worker] = _work(index, metric, plan, sink, counter, rows, worker)
    return ends


def run(index: Index, metric: Metric, plan: Plan, sink: Sink, workers: int) -> np.ndarray:
    """Do all tasks; as `run_together`, but one worker wakes no thread."""
    return run_alone(index, metric, plan, sink) if workers == 1 else run_together(index, metric, plan, sink, workers)


@njit(cache=True)
def split(codes: np.ndarray, halves: np.ndarray, gaps: np.ndarray, first_bits: int, second_bits: int,
          rows: np.ndarray) -> None:
    """Take sorted codes apart in place: second sequences to the front of `halves` (the same memory).

    Distances go to `gaps`, the number of pairs of each first sequence to `rows`.
    """
    below = (_ONE << np.uint64(second_bits)) - _ONE
    second = (_ONE << np.uint64(first_bits - second_bits)) - _ONE
    for pair in range(codes.size):
        code = codes[pair]
        gaps[pair] = code & below
        rows[code >> np.uint64(first_bits)] += 1
        halves[pair] = (code >> np.uint64(second_bits)) & second


