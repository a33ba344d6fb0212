"""Neighbour search on the CPU; the contract is in ``sequences.py``, the method in ``sequences_plan.py``.

Workers draw tasks from one counter; what a task finds goes to a sink. The joins here take sequences of any length;
``sequences_joins.py`` has those of short ones.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .sequences_bits import atomic_add, merged, occupied, popcount, shifted
from .sequences_distance import distance, field_range, owns
from .sequences_filter import table_bits
from .sequences_joins import is_short, join_itself, join_two
from .sequences_keys import (
    ALIGNED,
    GAP,
    KIND,
    LIMIT,
    LONG,
    MAP,
    MIDDLE,
    ROW0,
    ROW1,
    SHORT,
    Task,
    fill_masks,
    plain_key,
    task_key,
)
from .sequences_metrics import TCRDIST, Metric
from .sequences_pack import Index
from .sequences_plan import BRUTE, CROSS, DUPLICATES, NO_FILTER, SELF, Plan
from .sequences_short import Scratch, make_scratch
from .sequences_sinks import HITS, Sink, hand_over, hand_over_duplicates, hold

TILE = 512
_ONE = np.uint64(1)


# --- joins ------------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _join_itself(index: Index, metric: Metric, plan: Plan, task: Task, sink: Sink, edits: np.ndarray,
                 scratch: Scratch, hits: np.ndarray) -> None:
    """Join equal keys within one group through a chained hash table."""
    group, words, kind = task[SHORT], index.words, metric.kind
    base, stride, width, length = index.bases[group], index.strides[group], index.widths[group], index.lengths[group]
    block_of = plan.maps[task[MAP]:task[MAP] + length]
    masks = np.empty((3, width), dtype=np.uint64)
    fill_masks(masks, block_of, metric, task)
    kept = masks[0] | masks[1] | masks[2]
    bits = table_bits(index.counts[group])
    head, following, turn, held = scratch.head, scratch.following, np.uint64(64 - bits), 0
    head[:1 << bits] = -1
    for x in range(index.counts[group]):
        bucket = plain_key(words, base + x, stride, kept, kind) >> turn
        here, other = (base + x, stride, width, length), head[bucket]
        following[x], head[bucket] = other, x
        while other >= 0:
            there = (base + other, stride, width, length)
            if owns(words, there, here, metric, task, block_of):
                gap = distance(words, there, here, metric, edits)
                if gap >= 0:
                    held = hold(hits, held, other, x, gap)
                    if held == HITS:
                        held = hand_over(index, sink, hits, held, task)
            other = following[other]
    hand_over(index, sink, hits, held, task)


@njit(cache=True)
def _build(index: Index, metric: Metric, task: Task, masks: np.ndarray, head: np.ndarray,
           following: np.ndarray) -> None:
    group, words = task[SHORT], index.words
    base, stride, kept = index.bases[group], index.strides[group], masks[0] | masks[1] | masks[2]
    bits = table_bits(index.counts[group])
    turn = np.uint64(64 - bits)
    head[:1 << bits] = -1
    for x in range(index.counts[group]):
        bucket = plain_key(words, base + x, stride, kept, metric.kind) >> turn
        following[x], head[bucket] = head[bucket], x


@njit(cache=True)
def _join_two(index: Index, metric: Metric, plan: Plan, task: Task, sink: Sink, edits: np.ndarray,
              scratch: Scratch, hits: np.ndarray) -> None:
    """Join the keys of the shorter group with those, shifted, of the longer one (or of the same group)."""
    short, long, words, kind = task[SHORT], task[LONG], index.words, metric.kind
    base, stride, width, length = index.bases[short], index.strides[short], index.widths[short], index.lengths[short]
    far, step, size, reach = index.bases[long], index.strides[long], index.widths[long], index.lengths[long]
    block_of = plan.maps[task[MAP]:task[MAP] + length]
    masks = np.empty((3, width), dtype=np.uint64)
    fill_masks(masks, block_of, metric, task)
    head, following = scratch.head, scratch.following
    _build(index, metric, task, masks, head, following)
    turn, held = np.uint64(64 - table_bits(index.counts[short])), 0
    middle = reach - length if task[MIDDLE] == ALIGNED else task[MIDDLE]
    for y in range(task[ROW0], task[ROW1]):
        here = (far + y, step, size, reach)
        x = head[task_key(words, far + y, step, size, masks, middle, reach - length, kind) >> turn]
        while x >= 0:
            there = (base + x, stride, width, length)
            if (short != long or x != y) and owns(words, there, here, metric, task, block_of):
                gap = distance(words, there, here, metric, edits)
                if gap >= 0:
                    held = hold(hits, held, x, y, gap)
                    if held == HITS:
                        held = hand_over(index, sink, hits, held, task)
            x = following[x]
    hand_over(index, sink, hits, held, task)


# --- brute force ------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _count_tile(index: Index, metric: Metric, task: Task, x: int, start: int, counts: np.ndarray) -> None:
    """Mismatches (merged letters) of row x with rows start, start + 1, ... of the long group, over the task's frame."""
    short, long, words = task[SHORT], task[LONG], index.words
    difference, core = index.lengths[long] - index.lengths[short], index.lengths[short] - metric.trim_right
    base, stride, width, merge = index.bases[long], index.strides[long], index.widths[long], metric.kind == TCRDIST
    counts[:] = 0
    for word in range(index.widths[short]):
        left, right = field_range(word, metric.trim_left, task[GAP]), field_range(word, task[GAP], core)
        ahead = words[index.bases[short] + word * index.strides[short] + x] & (left | right)
        row = words[base + word * stride + start:][:counts.size]
        if right == 0 or difference == 0:
            for y in range(counts.size):
                other = row[y] & (left | right)
                counts[y] += popcount(occupied(merged(ahead) ^ merged(other) if merge else ahead ^ other))
            continue
        for y in range(counts.size):
            other = (row[y] & left) | (shifted(words, base + start + y, stride, width, word, difference) & right)
            counts[y] += popcount(occupied(merged(ahead) ^ merged(other)))


@njit(cache=True)
def _brute(index: Index, metric: Metric, task: Task, sink: Sink, edits: np.ndarray,
           counts: np.ndarray, hits: np.ndarray) -> None:
    short, long, words, limit, held = task[SHORT], task[LONG], index.words, task[LIMIT], 0
    base, stride, width, length = index.bases[short], index.strides[short], index.widths[short], index.lengths[short]
    far, step, size, reach = index.bases[long], index.strides[long], index.widths[long], index.lengths[long]
    for x in range(task[ROW0], task[ROW1]):
        here = (base + x, stride, width, length)
        for start in range(x + 1 if short == long else 0, index.counts[long], TILE):
            tile = counts[:min(TILE, index.counts[long] - start)]
            if limit != NO_FILTER:
                _count_tile(index, metric, task, x, start, tile)
            for y in range(tile.size):
                if limit != NO_FILTER and tile[y] > limit:
                    continue
                gap = distance(words, here, (far + start + y, step, size, reach), metric, edits)
                if gap >= 0:
                    held = hold(hits, held, x, start + y, gap)
                    if held == HITS:
                        held = hand_over(index, sink, hits, held, task)
    hand_over(index, sink, hits, held, task)


# --- workers ----------------------------------------------------------------------------------------------------------
@njit(cache=True)
def table_rows(index: Index, tasks: np.ndarray) -> int:
    """Rows of the largest group that the tasks join."""
    rows = 1
    for task in tasks:
        if task[KIND] == SELF or task[KIND] == CROSS:
            rows = max(rows, index.counts[task[SHORT]], index.counts[task[LONG]])
    return rows


@njit(cache=True)
def _numbers(row: np.ndarray) -> Task:
    """A task's columns as a tuple: numbers cost nothing to hand on."""
    return row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10]


@njit(cache=True)
def _do(index: Index, metric: Metric, plan: Plan, task: Task, sink: Sink, edits: np.ndarray, scratch: Scratch,
        counts: np.ndarray, hits: np.ndarray) -> None:
    if task[KIND] == DUPLICATES:
        hand_over_duplicates(index, task, sink)
    elif task[KIND] == BRUTE:
        _brute(index, metric, task, sink, edits, counts, hits)
    elif task[KIND] == SELF:
        if is_short(index, task):
            join_itself(index, metric, plan, task, sink, scratch, hits)
        else:
            _join_itself(index, metric, plan, task, sink, edits, scratch, hits)
    elif is_short(index, task):
        join_two(index, metric, plan, task, sink, edits, scratch, hits)
    else:
        _join_two(index, metric, plan, task, sink, edits, scratch, hits)


@njit(cache=True)
def _work(index: Index, metric: Metric, plan: Plan, sink: Sink, counter: np.ndarray, rows: int) -> int:
    """Draw tasks until none is left; return how many were done."""
    scratch, counts, hits = make_scratch(rows), np.empty(TILE, dtype=np.int64), np.empty((HITS, 3), dtype=np.int64)
    edits, done = np.empty(4 * (metric.cutoff + 2), dtype=np.int64), 0
    while True:
        number = atomic_add(counter, 0, 1)
        if number >= plan.tasks.shape[0]:
            return done
        _do(index, metric, plan, _numbers(plan.tasks[number]), sink, edits, scratch, counts, hits)
        done += 1


@njit(cache=True)
def run_alone(index: Index, metric: Metric, plan: Plan, sink: Sink) -> None:
    """Do all tasks in this thread; as `run_together` with one worker."""
    _work(index, metric, plan, sink, np.zeros(1, dtype=np.int64), table_rows(index, plan.tasks))


@njit(cache=True, parallel=True)
def run_together(index: Index, metric: Metric, plan: Plan, sink: Sink, workers: int) -> np.ndarray:
    """Do all tasks; return how many each worker did."""
    done, counter, rows = np.zeros(workers, dtype=np.int64), np.zeros(1, dtype=np.int64), table_rows(index, plan.tasks)
    for worker in prange(workers):  # one call: Numba may reorder the statements of a parallel body around calls
        done[worker] = _work(index, metric, plan, sink, counter, rows)
    return done


def run(index: Index, metric: Metric, plan: Plan, sink: Sink, workers: int) -> None:
    """Do all tasks; as `run_together`, but one worker wakes no thread."""
    if workers == 1:
        run_alone(index, metric, plan, sink)
    else:
        run_together(index, metric, plan, sink, workers)


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


