"""Joins of short sequences (24 residues, two words) by key: where nearly all of the time of `sequences` goes.

They find, task by task, the pairs that the joins of ``sequences_cpu.py`` find for sequences of any length. Here a
sequence is two numbers in registers, equal keys are compared exactly before anything else is asked, and which task
owns a pair is read from masks. A row costs one multiply-shift hash and one link of a chained table; a candidate two
words and about twenty integer operations.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .sequences_bits import PER_WORD, RESIDUE, RESIDUE_BITS, leading_zeros, merged, occupied, popcount, trailing_zeros
from .sequences_distance import distance, earlier_gap, field_range, is_first_choice, pair_of_blocks
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
    table_bits,
)
from .sequences_metrics import COSTS, TCRDIST, Metric
from .sequences_pack import Index
from .sequences_plan import Plan
from .sequences_sinks import Sink, hand_over, keep

MOST = 24  # residues of two words
MOST_LIMIT = 8  # mismatches: a table of 2**limit says who owns a pair

_FIELDS = np.uint64((1 << RESIDUE_BITS * PER_WORD) - 1)
_RESIDUE = np.uint64(RESIDUE)
_ONE, _ZERO = np.uint64(1), np.uint64(0)
_FIRST_FACTOR, _SECOND_FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


@njit(cache=True)
def is_short(index: Index, task: Task) -> bool:
    """Whether a task's join can be done here."""
    reach = index.lengths[task[LONG]]
    return reach <= MOST and reach - index.lengths[task[SHORT]] < PER_WORD and task[LIMIT] <= MOST_LIMIT


# --- two words --------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _hash(first: np.uint64, second: np.uint64) -> np.uint64:
    """Multiply-shift: the highest bits are the bucket."""
    return first * _FIRST_FACTOR + second * _SECOND_FACTOR


@njit(cache=True)
def _down(first: np.uint64, second: np.uint64, by: int) -> tuple:
    """The two words from residue `by` on, 0 <= by < 12."""
    bits = np.uint64(RESIDUE_BITS * by)
    return ((first >> bits) | (second << (np.uint64(RESIDUE_BITS * PER_WORD) - bits))) & _FIELDS, second >> bits


@njit(cache=True)
def _lowest(first: np.uint64, second: np.uint64) -> int:
    """First residue that is not 0; 24 if all are."""
    if first:
        return trailing_zeros(first) // RESIDUE_BITS
    return PER_WORD + trailing_zeros(second) // RESIDUE_BITS if second else MOST


@njit(cache=True)
def _highest(first: np.uint64, second: np.uint64) -> int:
    """Last residue that is not 0; -1 if all are."""
    if second:
        return PER_WORD + (63 - leading_zeros(second)) // RESIDUE_BITS
    return (63 - leading_zeros(first)) // RESIDUE_BITS if first else -1


@njit(cache=True)
def _zero_between(first: np.uint64, second: np.uint64, start: int, end: int) -> bool:
    """Whether the residues from `start` to before `end` are all 0."""
    return (first & field_range(0, start, end)) | (second & field_range(1, start, end)) == _ZERO


@njit(cache=True)
def _residue_costs(a: np.uint64, b: np.uint64) -> int:
    total, differing = 0, occupied(a ^ b)
    while differing:
        at = np.uint64(trailing_zeros(differing))
        total += COSTS[(a >> at) & _RESIDUE, (b >> at) & _RESIDUE]
        differing &= differing - _ONE
    return total


@njit(cache=True)
def _place(index: Index, group: int) -> tuple:
    """Where a group's first and second words begin, and a mask that clears the second where there is none."""
    base = index.bases[group]
    wide = index.widths[group] > 1
    return base, base + index.strides[group] if wide else base, ~_ZERO if wide else _ZERO


# --- substitutions ----------------------------------------------------------------------------------------------------
@njit(cache=True)
def _frame(metric: Metric, length: int, gap: int) -> np.ndarray:
    """Masks (2, 2) of the residues that a frame compares: before the gap, behind it; by word."""
    masks = np.empty((2, 2), dtype=np.uint64)
    for word in range(2):
        masks[0, word] = field_range(word, metric.trim_left, gap)
        masks[1, word] = field_range(word, gap, length - metric.trim_right)
    return masks


@njit(cache=True)
def _wild_masks(block_of: np.ndarray, task: Task) -> np.ndarray:
    """Masks (limit, 2) of the residues in each block that is left out, ascending by block."""
    masks, row = np.zeros((max(1, task[LIMIT]), 2), dtype=np.uint64), 0
    for block in range(task[BLOCKS]):
        if not (task[WILD] >> block) & 1:
            continue
        for at in range(block_of.size):
            if block_of[at] == block:
                masks[row, at // PER_WORD] |= _RESIDUE << np.uint64(RESIDUE_BITS * (at % PER_WORD))
        row += 1
    return masks


@njit(cache=True)
def _ownership(task: Task) -> np.ndarray:
    """Whether the task owns a pair, by the bits of its left-out blocks that hold a mismatch: bool (2**limit,)."""
    owned = np.empty(1 << task[LIMIT], dtype=np.bool_)
    for chosen in range(owned.size):
        mismatched, rank = 0, 0
        for block in range(task[BLOCKS]):
            if (task[WILD] >> block) & 1:
                mismatched |= ((chosen >> rank) & 1) << block
                rank += 1
        owned[chosen] = is_first_choice(mismatched, task[BLOCKS], task[LIMIT], task[WILD])
    return owned


@njit(cache=True)
def _owned(first: np.uint64, second: np.uint64, wild: np.ndarray, owned: np.ndarray, limit: int) -> bool:
    chosen = 0
    for row in range(limit):
        if (first & wild[row, 0]) | (second & wild[row, 1]) != _ZERO:
            chosen |= 1 << row
    return owned[chosen]


@njit(cache=True)
def join_itself(index: Index, metric: Metric, plan: Plan, task: Task, sink: Sink, tables: tuple,
                hits: np.ndarray) -> None:
    """Join equal keys within one group."""
    words, length, limit, merging = index.words, index.lengths[task[SHORT]], task[LIMIT], metric.kind == TCRDIST
    block_of = plan.maps[task[MAP]:task[MAP] + length]
    frame, wild, owned = _frame(metric, length, task[GAP]), _wild_masks(block_of, task), _ownership(task)
    core_0, core_1 = frame[0, 0] | frame[1, 0], frame[0, 1] | frame[1, 1]
    kept_0, kept_1 = core_0, core_1
    for row in range(limit):
        kept_0, kept_1 = kept_0 & ~wild[row, 0], kept_1 & ~wild[row, 1]
    (head, following), n = tables, index.counts[task[SHORT]]
    (at_0, at_1, wide), turn, held = _place(index, task[SHORT]), np.uint64(64 - table_bits(n)), 0
    head[:1 << table_bits(n)] = -1
    for x in range(n):
        a_0, a_1 = words[at_0 + x] & core_0, words[at_1 + x] & wide & core_1
        r_0, r_1 = (merged(a_0), merged(a_1)) if merging else (a_0, a_1)
        bucket = _hash(r_0 & kept_0, r_1 & kept_1) >> turn
        other = head[bucket]
        following[x], head[bucket] = other, x
        while other >= 0:
            b_0, b_1 = words[at_0 + other] & core_0, words[at_1 + other] & wide & core_1
            d_0, d_1 = (merged(b_0) ^ r_0, merged(b_1) ^ r_1) if merging else (b_0 ^ r_0, b_1 ^ r_1)
            if (d_0 & kept_0) | (d_1 & kept_1) == _ZERO:
                gap = popcount(occupied(d_0)) + popcount(occupied(d_1))
                if gap <= limit and _owned(d_0, d_1, wild, owned, limit):
                    if merging:
                        gap = _residue_costs(a_0, b_0) + _residue_costs(a_1, b_1)
                    if gap <= metric.cutoff:
                        held = keep(index, sink, hits, held, task, other, x, gap)
            other = following[other]
    hand_over(index, sink, hits, held, task)


@njit(cache=True)
def _aligned_distance(words: np.ndarray, metric: Metric, task: Task, there: tuple, here: tuple, residues: tuple,
                      edits: np.ndarray) -> int:
    """Distance of two sequences of different length that share a frame; -1 beyond the cutoff or found elsewhere."""
    if metric.free:
        return -1 if earlier_gap(words, there, here, metric, task) else distance(words, there, here, metric, edits)
    gap = metric.gap * (here[3] - there[3])
    gap += _residue_costs(residues[0], residues[2]) + _residue_costs(residues[1], residues[3])
    return gap if gap <= metric.cutoff else -1


@njit(cache=True)
def join_aligned(index: Index, metric: Metric, plan: Plan, task: Task, sink: Sink, edits: np.ndarray, tables: tuple,
                 hits: np.ndarray) -> None:
    """Join the keys of the shorter group with those of the longer one, shifted behind the gap (tcrdist)."""
    words, short, long, limit = index.words, task[SHORT], task[LONG], task[LIMIT]
    length, reach = index.lengths[short], index.lengths[long]
    block_of = plan.maps[task[MAP]:task[MAP] + length]
    frame, wild, owned = _frame(metric, length, task[GAP]), _wild_masks(block_of, task), _ownership(task)
    core_0, core_1 = frame[0, 0] | frame[1, 0], frame[0, 1] | frame[1, 1]
    kept_0, kept_1 = core_0, core_1
    for row in range(limit):
        kept_0, kept_1 = kept_0 & ~wild[row, 0], kept_1 & ~wild[row, 1]
    head, following = tables
    turn, held = np.uint64(64 - table_bits(index.counts[short])), 0
    at_0, at_1, wide = _place(index, short)
    _build(index, task, kept_0, kept_1, True, head, following)
    from_0, from_1, far = _place(index, long)
    for y in range(task[ROW0], task[ROW1]):
        w_0, w_1 = words[from_0 + y], words[from_1 + y] & far
        s_0, s_1 = _down(w_0, w_1, reach - length)
        b_0, b_1 = (w_0 & frame[0, 0]) | (s_0 & frame[1, 0]), (w_1 & frame[0, 1]) | (s_1 & frame[1, 1])
        r_0, r_1 = merged(b_0), merged(b_1)
        x = head[_hash(r_0 & kept_0, r_1 & kept_1) >> turn]
        while x >= 0:
            a_0, a_1 = words[at_0 + x] & core_0, words[at_1 + x] & wide & core_1
            d_0, d_1 = merged(a_0) ^ r_0, merged(a_1) ^ r_1
            if ((d_0 & kept_0) | (d_1 & kept_1) == _ZERO
                    and popcount(occupied(d_0)) + popcount(occupied(d_1)) <= limit
                    and _owned(d_0, d_1, wild, owned, limit)):
                there = (at_0 + x, index.strides[short], index.widths[short], length)
                here = (from_0 + y, index.strides[long], index.widths[long], reach)
                gap = _aligned_distance(words, metric, task, there, here, (a_0, a_1, b_0, b_1), edits)
                if gap >= 0:
                    held = keep(index, sink, hits, held, task, x, y, gap)
            x = following[x]
    hand_over(index, sink, hits, held, task)


@njit(cache=True)
def _build(index: Index, task: Task, kept_0: np.uint64, kept_1: np.uint64, merging: int, head: np.ndarray,
           following: np.ndarray) -> None:
    """Chain the rows of the shorter group by the bucket of their keys."""
    words, n = index.words, index.counts[task[SHORT]]
    (at_0, at_1, wide), turn = _place(index, task[SHORT]), np.uint64(64 - table_bits(n))
    head[:1 << table_bits(n)] = -1
    for x in range(n):
        a_0, a_1 = words[at_0 + x], words[at_1 + x] & wide
        if merging:
            a_0, a_1 = merged(a_0), merged(a_1)
        bucket = _hash(a_0 & kept_0, a_1 & kept_1) >> turn
        following[x], head[bucket] = head[bucket], x


# --- edits ------------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _swap(a: tuple, b: tuple, task: Task, block_of: np.ndarray, later: int) -> int:
    """Equal lengths, one residue of b gone and one inserted further on; substitutions alone belong to other tasks."""
    d_0, d_1 = a[0] ^ b[0], a[1] ^ b[1]
    first, last = _lowest(d_0, d_1), _highest(d_0, d_1)
    if last - first < 2 or task[WILD] != pair_of_blocks(block_of[first], block_of[last], task[BLOCKS]):
        return -1
    if popcount(occupied(d_0)) + popcount(occupied(d_1)) <= 2:
        return -1
    s_0, s_1 = _down(b[0], b[1], 1)
    if not _zero_between(a[0] ^ s_0, a[1] ^ s_1, first, last):
        return -1
    s_0, s_1 = _down(a[0], a[1], 1)
    return -1 if later and _zero_between(b[0] ^ s_0, b[1] ^ s_1, first, last) else 2


@njit(cache=True)
def _one_longer(a: tuple, b: tuple, length: int, cutoff: int, task: Task, block_of: np.ndarray) -> int:
    """One residue of b gone, and with a cutoff of 2 perhaps a substitution before or behind it."""
    d_0, d_1, (s_0, s_1) = a[0] ^ b[0], a[1] ^ b[1], _down(b[0], b[1], 1)
    e_0, e_1 = a[0] ^ s_0, a[1] ^ s_1
    first, last = _lowest(d_0, d_1), _highest(e_0, e_1)
    block = block_of[min(first, length - 1)]
    if last < first:
        wild = 1 << block if cutoff == 1 else pair_of_blocks(block, block, task[BLOCKS])
        return 1 if task[WILD] == wild and task[MIDDLE] == 0 else -1
    if cutoff == 1 or task[WILD] != pair_of_blocks(block, block_of[last], task[BLOCKS]):
        return -1
    substitution_first = _zero_between(d_0, d_1, first + 1, last + 1)
    if not substitution_first and not _zero_between(e_0, e_1, first, last):
        return -1
    return 2 if task[MIDDLE] == (0 if substitution_first or block_of[last] <= block + 1 else 1) else -1


@njit(cache=True)
def _two_longer(a: tuple, b: tuple, length: int, task: Task, block_of: np.ndarray) -> int:
    """Two residues of b gone."""
    s_0, s_1 = _down(b[0], b[1], 2)
    first, rest = _lowest(a[0] ^ b[0], a[1] ^ b[1]), _highest(a[0] ^ s_0, a[1] ^ s_1) + 1
    block = block_of[min(first, length - 1)]
    second = block_of[min(rest, length - 1)] if rest > first else block
    if task[WILD] != pair_of_blocks(block, second, task[BLOCKS]):
        return -1
    s_0, s_1 = _down(b[0], b[1], 1)
    return 2 if _zero_between(a[0] ^ s_0, a[1] ^ s_1, first, rest) else -1


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
def join_edits(index: Index, metric: Metric, plan: Plan, task: Task, sink: Sink, tables: tuple,
               hits: np.ndarray) -> None:
    """Join the keys of the shorter group with those, shifted, of the longer one (or of the same group)."""
    words, short, long, middle = index.words, task[SHORT], task[LONG], task[MIDDLE]
    length, difference = index.lengths[short], index.lengths[long] - index.lengths[short]
    block_of = plan.maps[task[MAP]:task[MAP] + length]
    masks = np.zeros((3, 2), dtype=np.uint64)
    fill_masks(masks, block_of, metric, task)
    kept_0, kept_1 = masks[0, 0] | masks[1, 0] | masks[2, 0], masks[0, 1] | masks[1, 1] | masks[2, 1]
    head, following = tables
    turn, held = np.uint64(64 - table_bits(index.counts[short])), 0
    at_0, at_1, wide = _place(index, short)
    _build(index, task, kept_0, kept_1, False, head, following)
    from_0, from_1, far = _place(index, long)
    for y in range(task[ROW0], task[ROW1]):
        b_0, b_1 = words[from_0 + y], words[from_1 + y] & far
        (s_0, s_1), (t_0, t_1) = _down(b_0, b_1, middle), _down(b_0, b_1, difference)
        k_0 = (b_0 & masks[0, 0]) | (s_0 & masks[1, 0]) | (t_0 & masks[2, 0])
        k_1 = (b_1 & masks[0, 1]) | (s_1 & masks[1, 1]) | (t_1 & masks[2, 1])
        x = head[_hash(k_0, k_1) >> turn]
        while x >= 0:
            a_0, a_1 = words[at_0 + x], words[at_1 + x] & wide
            if ((a_0 ^ k_0) & kept_0) | ((a_1 ^ k_1) & kept_1) == _ZERO:
                gap = _edit_distance((a_0, a_1), (b_0, b_1), length, difference, metric.cutoff, task, block_of, y > x)
                if gap >= 0:
                    held = keep(index, sink, hits, held, task, x, y, gap)
            x = following[x]
    hand_over(index, sink, hits, held, task)


@njit(cache=True)
def join_two(index: Index, metric: Metric, plan: Plan, task: Task, sink: Sink, edits: np.ndarray, tables: tuple,
             hits: np.ndarray) -> None:
    """Join two groups, or one with itself shifted."""
    if task[MIDDLE] == ALIGNED:
        join_aligned(index, metric, plan, task, sink, edits, tables, hits)
    else:
        join_edits(index, metric, plan, task, sink, tables, hits)
