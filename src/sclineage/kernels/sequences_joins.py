"""Joins of short sequences (24 residues, two words) by key: where nearly all of the time of `sequences` goes.

They find, task by task, the pairs that the joins of ``sequences_cpu.py`` find for sequences of any length. Here a
sequence is two numbers in registers, equal keys are compared exactly before anything else is asked, and which task
owns a pair is read from masks. A row costs a multiply-shift hash and a slot of a filter (``sequences_filter.py``); one
that the filter keeps, a link of a chained table; a candidate two words and about twenty integer operations.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .sequences_bits import PER_WORD, RESIDUE, RESIDUE_BITS, merged, occupied, popcount, trailing_zeros
from .sequences_distance import Row, distance, earlier_gap, field_range, pair_of_blocks
from .sequences_filter import table_bits
from .sequences_keys import (
    ALIGNED,
    BLOCKS,
    GAP,
    LIMIT,
    LONG,
    MAP,
    MIDDLE,
    ROW0,
    ROW1,
    SHORT,
    WILD,
    Task,
    fill_masks,
)
from .sequences_metrics import TCRDIST, Metric
from .sequences_pack import Index
from .sequences_plan import Plan
from .sequences_short import (
    MOST,
    Scratch,
    build,
    down,
    hash_of,
    highest,
    list_probing,
    lowest,
    note_group,
    place,
    residue_costs,
    shifted_key,
    zero_between,
)
from .sequences_sinks import HITS, Sink, hand_over, hold

Words = tuple[np.uint64, np.uint64]
Masks = tuple[np.uint64, np.uint64, np.uint64]
_RESIDUE, _ZERO, _ONE = np.uint64(RESIDUE), np.uint64(0), np.uint64(1)


@njit(cache=True)
def is_short(index: Index, task: Task) -> bool:
    """Whether a task's join can be done here."""
    reach = index.lengths[task[LONG]]
    return reach <= MOST and reach - index.lengths[task[SHORT]] < PER_WORD


# --- substitutions ----------------------------------------------------------------------------------------------------
@njit(cache=True)
def _frame(metric: Metric, length: int, gap: int) -> np.ndarray:
    """Masks (3, 2) of the residues that a frame compares: before the gap, behind it, none; by word."""
    masks = np.zeros((3, 2), dtype=np.uint64)
    for word in range(2):
        masks[0, word] = field_range(word, metric.trim_left, gap)
        masks[1, word] = field_range(word, gap, length - metric.trim_right)
    return masks


@njit(cache=True)
def _required(block_of: np.ndarray, task: Task) -> np.ndarray:
    """Masks (2 or more, 3) of the blocks that must hold a mismatch for the task to own a pair.

    It does if its choice of blocks is the first that holds the mismatches: those that it leaves out beyond the first
    block that it keeps. The third number is not 0 in a row that asks for nothing.
    """
    masks, row = np.zeros((max(2, task[LIMIT]), 3), dtype=np.uint64), 0
    first_kept = trailing_zeros(~np.uint64(task[WILD]))
    for block in range(first_kept, task[BLOCKS]):
        if not (task[WILD] >> block) & 1:
            continue
        for at in range(block_of.size):
            if block_of[at] == block:
                masks[row, at // PER_WORD] |= _RESIDUE << np.uint64(RESIDUE_BITS * (at % PER_WORD))
        row += 1
    masks[row:, 2] = _ONE
    return masks


@njit(cache=True)
def _reported(first: np.uint64, second: np.uint64, kept: Words, limit: int, a: Masks, b: Masks) -> bool:
    """Whether keys are equal, mismatches few enough, and two required blocks hold one: no branch, few pass."""
    few = popcount(occupied(first)) + popcount(occupied(second)) <= limit
    owned = ((first & a[0]) | (second & a[1]) | a[2] != _ZERO) & ((first & b[0]) | (second & b[1]) | b[2] != _ZERO)
    return ((first & kept[0]) | (second & kept[1]) == _ZERO) & few & owned


@njit(cache=True)
def _rest_required(first: np.uint64, second: np.uint64, required: np.ndarray) -> bool:
    """The same of the required blocks beyond the second."""
    owned = True
    for row in range(2, required.shape[0]):
        owned &= (first & required[row, 0]) | (second & required[row, 1]) | required[row, 2] != _ZERO
    return owned


@njit(cache=True)
def join_itself(index: Index, metric: Metric, plan: Plan, task: Task, sink: Sink, scratch: Scratch,
                hits: np.ndarray) -> None:
    """Join equal keys within one group."""
    words, length, limit, merging = index.words, index.lengths[task[SHORT]], task[LIMIT], metric.kind == TCRDIST
    block_of = plan.maps[task[MAP]:task[MAP] + length]
    frame, required = _frame(metric, length, task[GAP]), _required(block_of, task)
    a, b = (required[0, 0], required[0, 1], required[0, 2]), (required[1, 0], required[1, 1], required[1, 2])
    at_0, at_1, wide = place(index, task[SHORT])
    core_0, core_1 = frame[0, 0] | frame[1, 0], (frame[0, 1] | frame[1, 1]) & wide
    masks = np.zeros((3, 2), dtype=np.uint64)
    fill_masks(masks, block_of, metric, task)
    kept_0, kept_1 = masks[0, 0] | masks[1, 0], masks[0, 1] | masks[1, 1]
    note_group(index, task[SHORT], kept_0, kept_1, merging, scratch)
    listed, following, held = scratch.listed, scratch.following, 0
    for at in range(build(index, task[SHORT], kept_0, kept_1, merging, scratch)):
        x, before = listed[at], following[at]
        a_0, a_1 = words[at_0 + x] & core_0, words[at_1 + x] & core_1
        r_0, r_1 = (merged(a_0), merged(a_1)) if merging else (a_0, a_1)
        while before >= 0:
            other = listed[before]
            b_0, b_1 = words[at_0 + other] & core_0, words[at_1 + other] & core_1
            d_0, d_1 = (merged(b_0) ^ r_0, merged(b_1) ^ r_1) if merging else (b_0 ^ r_0, b_1 ^ r_1)
            if (_reported(d_0, d_1, (kept_0, kept_1), limit, a, b)
                    and (limit <= 2 or _rest_required(d_0, d_1, required))):
                gap = (residue_costs(a_0, b_0) + residue_costs(a_1, b_1) if merging
                       else popcount(occupied(d_0)) + popcount(occupied(d_1)))
                if gap <= metric.cutoff:
                    held = hold(hits, held, other, x, gap)
                    if held == HITS:
                        held = hand_over(index, sink, hits, held, task)
            before = following[before]
    hand_over(index, sink, hits, held, task)


@njit(cache=True)
def _best_gap(words: np.ndarray, there: Row, here: Row, metric: Metric, task: Task, edits: np.ndarray) -> int:
    """Distance at the best gap position; beyond the cutoff, also where an earlier position's task reports the pair."""
    gap = -1 if earlier_gap(words, there, here, metric, task) else distance(words, there, here, metric, edits)
    return gap if gap >= 0 else metric.cutoff + 1


@njit(cache=True)
def join_aligned(index: Index, metric: Metric, plan: Plan, task: Task, sink: Sink, edits: np.ndarray,
                 scratch: Scratch, hits: np.ndarray) -> None:
    """Join the keys of the shorter group with those of the longer one, shifted behind the gap (tcrdist)."""
    words, short, long, limit = index.words, task[SHORT], task[LONG], task[LIMIT]
    length, reach = index.lengths[short], index.lengths[long]
    block_of = plan.maps[task[MAP]:task[MAP] + length]
    frame, required = _frame(metric, length, task[GAP]), _required(block_of, task)
    a, b = (required[0, 0], required[0, 1], required[0, 2]), (required[1, 0], required[1, 1], required[1, 2])
    (at_0, at_1, wide), (from_0, from_1, far) = place(index, short), place(index, long)
    core_0, core_1 = frame[0, 0] | frame[1, 0], (frame[0, 1] | frame[1, 1]) & wide
    masks, shift = np.zeros((3, 2), dtype=np.uint64), reach - length
    fill_masks(masks, block_of, metric, task)
    kept_0, kept_1 = masks[0, 0] | masks[1, 0], masks[0, 1] | masks[1, 1]
    note_group(index, short, kept_0, kept_1, True, scratch)
    n = list_probing(index, short, long, (task[ROW0], task[ROW1]), masks, shift, True, scratch)
    turn, held = np.uint64(64 - table_bits(build(index, short, kept_0, kept_1, True, scratch))), 0
    for probe in range(n):
        y = scratch.probing[probe]
        b_0, b_1 = shifted_key(words[from_0 + y], words[from_1 + y] & far, frame, shift, 0)
        r_0, r_1 = merged(b_0), merged(b_1)
        at = scratch.head[hash_of(r_0 & kept_0, r_1 & kept_1) >> turn]
        while at >= 0:
            x = scratch.listed[at]
            a_0, a_1 = words[at_0 + x] & core_0, words[at_1 + x] & core_1
            d_0, d_1 = merged(a_0) ^ r_0, merged(a_1) ^ r_1
            if (_reported(d_0, d_1, (kept_0, kept_1), limit, a, b)
                    and (limit <= 2 or _rest_required(d_0, d_1, required))):
                gap = residue_costs(a_0, b_0) + residue_costs(a_1, b_1) + metric.gap * shift
                if metric.free:
                    there = (at_0 + x, index.strides[short], index.widths[short], length)
                    here = (from_0 + y, index.strides[long], index.widths[long], reach)
                    gap = _best_gap(words, there, here, metric, task, edits)
                if gap <= metric.cutoff:
                    held = hold(hits, held, x, y, gap)
                    if held == HITS:
                        held = hand_over(index, sink, hits, held, task)
            at = scratch.following[at]
    hand_over(index, sink, hits, held, task)


# --- edits ------------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _swap(a: tuple, b: tuple, task: Task, block_of: np.ndarray, later: int) -> int:
    """Equal lengths, one residue of b gone and one inserted further on; substitutions alone belong to other tasks."""
    d_0, d_1 = a[0] ^ b[0], a[1] ^ b[1]
    first, last = lowest(d_0, d_1), highest(d_0, d_1)
    if last - first < 2 or task[WILD] != pair_of_blocks(block_of[first], block_of[last], task[BLOCKS]):
        return -1
    if popcount(occupied(d_0)) + popcount(occupied(d_1)) <= 2:
        return -1
    s_0, s_1 = down(b[0], b[1], 1)
    if not zero_between(a[0] ^ s_0, a[1] ^ s_1, first, last):
        return -1
    s_0, s_1 = down(a[0], a[1], 1)
    return -1 if later and zero_between(b[0] ^ s_0, b[1] ^ s_1, first, last) else 2


@njit(cache=True)
def _one_longer(a: tuple, b: tuple, length: int, cutoff: int, task: Task, block_of: np.ndarray) -> int:
    """One residue of b gone, and with a cutoff of 2 perhaps a substitution before or behind it."""
    d_0, d_1, (s_0, s_1) = a[0] ^ b[0], a[1] ^ b[1], down(b[0], b[1], 1)
    e_0, e_1 = a[0] ^ s_0, a[1] ^ s_1
    first, last = lowest(d_0, d_1), highest(e_0, e_1)
    block = block_of[min(first, length - 1)]
    if last < first:
        wild = 1 << block if cutoff == 1 else pair_of_blocks(block, block, task[BLOCKS])
        return 1 if task[WILD] == wild and task[MIDDLE] == 0 else -1
    if cutoff == 1 or task[WILD] != pair_of_blocks(block, block_of[last], task[BLOCKS]):
        return -1
    substitution_first = zero_between(d_0, d_1, first + 1, last + 1)
    if not substitution_first and not zero_between(e_0, e_1, first, last):
        return -1
    return 2 if task[MIDDLE] == (0 if substitution_first or block_of[last] <= block + 1 else 1) else -1


@njit(cache=True)
def _two_longer(a: tuple, b: tuple, length: int, task: Task, block_of: np.ndarray) -> int:
    """Two residues of b gone."""
    s_0, s_1 = down(b[0], b[1], 2)
    first, rest = lowest(a[0] ^ b[0], a[1] ^ b[1]), highest(a[0] ^ s_0, a[1] ^ s_1) + 1
    block = block_of[min(first, length - 1)]
    second = block_of[min(rest, length - 1)] if rest > first else block
    if task[WILD] != pair_of_blocks(block, second, task[BLOCKS]):
        return -1
    s_0, s_1 = down(b[0], b[1], 1)
    return 2 if zero_between(a[0] ^ s_0, a[1] ^ s_1, first, rest) else -1


@njit(cache=True)
def _edit_distance(a: tuple, b: tuple, length: int, difference: int, cutoff: int, task: Task, block_of: np.ndarray,
                   later: int) -> int:
    """Distance of a sequence and one that is no shorter, if this task owns the pair; else -1. See `owns`."""
    if difference == 0:
        return _swap(a, b, task, block_of, later)
    if difference == 1:
        return _one_longer(a, b, length, cutoff, task, block_of)
    return _two_longer(a, b, length, task, block_of)


@njit(cache=True)
def join_edits(index: Index, metric: Metric, plan: Plan, task: Task, sink: Sink, scratch: Scratch,
               hits: np.ndarray) -> None:
    """Join the keys of the shorter group with those, shifted, of the longer one (or of the same group)."""
    words, short, long, middle = index.words, task[SHORT], task[LONG], task[MIDDLE]
    length, difference = index.lengths[short], index.lengths[long] - index.lengths[short]
    block_of = plan.maps[task[MAP]:task[MAP] + length]
    masks = np.zeros((3, 2), dtype=np.uint64)
    fill_masks(masks, block_of, metric, task)
    kept_0, kept_1 = masks[0, 0] | masks[1, 0] | masks[2, 0], masks[0, 1] | masks[1, 1] | masks[2, 1]
    (at_0, at_1, wide), (from_0, from_1, far) = place(index, short), place(index, long)
    note_group(index, short, kept_0, kept_1, False, scratch)
    n = list_probing(index, short, long, (task[ROW0], task[ROW1]), masks, middle, False, scratch)
    turn, held = np.uint64(64 - table_bits(build(index, short, kept_0, kept_1, False, scratch))), 0
    for probe in range(n):
        y = scratch.probing[probe]
        b_0, b_1 = words[from_0 + y], words[from_1 + y] & far
        k_0, k_1 = shifted_key(b_0, b_1, masks, middle, difference)
        at = scratch.head[hash_of(k_0, k_1) >> turn]
        while at >= 0:
            x = scratch.listed[at]
            a_0, a_1 = words[at_0 + x], words[at_1 + x] & wide
            if ((a_0 ^ k_0) & kept_0) | ((a_1 ^ k_1) & kept_1) == _ZERO:
                gap = _edit_distance((a_0, a_1), (b_0, b_1), length, difference, metric.cutoff, task, block_of, y > x)
                if gap >= 0:
                    held = hold(hits, held, x, y, gap)
                    if held == HITS:
                        held = hand_over(index, sink, hits, held, task)
            at = scratch.following[at]
    hand_over(index, sink, hits, held, task)


@njit(cache=True)
def join_two(index: Index, metric: Metric, plan: Plan, task: Task, sink: Sink, edits: np.ndarray, scratch: Scratch,
             hits: np.ndarray) -> None:
    """Join two groups, or one with itself shifted."""
    if task[MIDDLE] == ALIGNED:
        join_aligned(index, metric, plan, task, sink, edits, scratch, hits)
    else:
        join_edits(index, metric, plan, task, sink, scratch, hits)
