"""Exact distances of two packed sequences, and which edit task reports a pair; contract in ``sequences.py``."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .sequences_bits import PER_WORD, RESIDUE, RESIDUE_BITS, leading_zeros, occupied, popcount, shifted, trailing_zeros
from .sequences_keys import BLOCKS, LONG, MIDDLE, SHORT, WILD
from .sequences_metrics import HAMMING, LEVENSHTEIN, Metric, gap_range
from .sequences_pack import Index

_ONE = np.uint64(1)
_RESIDUE = np.uint64(RESIDUE)


@njit(cache=True, inline="always")
def _fields_below(count: int) -> np.uint64:
    return (_ONE << np.uint64(RESIDUE_BITS * max(0, min(PER_WORD, count)))) - _ONE


@njit(cache=True)
def field_range(word: int, start: int, end: int) -> np.uint64:
    """Mask of the residues from `start` to before `end` that lie in a word."""
    first = word * PER_WORD
    return _fields_below(end - first) & ~_fields_below(start - first)


# --- common stretches -------------------------------------------------------------------------------------------------
@njit(cache=True)
def _equal_from(index: Index, a: int, x: int, from_x: int, b: int, y: int, from_y: int) -> int:
    """Number of equal residues from the given positions on, of row x of group a and row y of group b."""
    limit = min(index.lengths[a] - from_x, index.lengths[b] - from_y)
    done = 0
    while done < limit:
        differing = (shifted(index.words, index.bases[a] + x, index.strides[a], index.widths[a], 0, from_x + done)
                     ^ shifted(index.words, index.bases[b] + y, index.strides[b], index.widths[b], 0, from_y + done))
        differing &= _fields_below(PER_WORD)
        if differing:
            return min(limit, done + trailing_zeros(differing) // RESIDUE_BITS)
        done += PER_WORD
    return max(limit, 0)


@njit(cache=True)
def _equal_at_end(index: Index, a: int, x: int, b: int, y: int) -> int:
    """Length of the longest common suffix."""
    length_a, length_b = index.lengths[a], index.lengths[b]
    limit = min(length_a, length_b)
    done = 0
    while done < limit:
        step = min(PER_WORD, limit - done)
        differing = (shifted(index.words, index.bases[a] + x, index.strides[a], index.widths[a], 0,
                             length_a - done - step)
                     ^ shifted(index.words, index.bases[b] + y, index.strides[b], index.widths[b], 0,
                               length_b - done - step))
        differing &= _fields_below(step)
        if differing:
            return done + step - 1 - (63 - leading_zeros(differing)) // RESIDUE_BITS
        done += step
    return limit


# --- distances --------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _hamming(index: Index, group: int, x: int, y: int, cutoff: int) -> int:
    at, stride, total = index.bases[group], index.strides[group], 0
    for word in range(index.widths[group]):
        total += popcount(occupied(index.words[at + word * stride + x] ^ index.words[at + word * stride + y]))
        if total > cutoff:
            return -1
    return total


@njit(cache=True)
def _levenshtein(index: Index, short: int, x: int, long: int, y: int, cutoff: int, reach: np.ndarray) -> int:
    """Edits by furthest-reaching diagonals (Ukkonen 1985); `reach` holds two rows of 2 * cutoff + 4 numbers."""
    length, difference = index.lengths[short], index.lengths[long] - index.lengths[short]
    half = 2 * cutoff + 4
    reach[:2 * half] = -2
    for edits in range(cutoff + 1):
        now, before = (edits & 1) * half + cutoff + 2, (1 - (edits & 1)) * half + cutoff + 2
        for diagonal in range(-edits, edits + 1):
            at = 0
            if edits > 0:
                at = max(reach[before + diagonal] + 1, reach[before + diagonal - 1], reach[before + diagonal + 1] + 1)
            at = min(at, length, index.lengths[long] - diagonal)
            if at < 0 or at + diagonal < 0:
                reach[now + diagonal] = -2
                continue
            at += _equal_from(index, short, x, at, long, y, at + diagonal)
            reach[now + diagonal] = at
            if diagonal == difference and at == length:
                return edits
    return -1


@njit(cache=True)
def _frame_cost(index: Index, metric: Metric, short: int, x: int, long: int, y: int, gap: int, most: int) -> int:
    """Sum of the residue costs over a frame; any number above `most` if it exceeds that."""
    difference, total = index.lengths[long] - index.lengths[short], 0
    for word in range(index.widths[short]):
        left = field_range(word, metric.trim_left, gap)
        right = field_range(word, gap, index.lengths[short] - metric.trim_right)
        ahead = index.words[index.bases[short] + word * index.strides[short] + x] & (left | right)
        other = index.words[index.bases[long] + word * index.strides[long] + y] & left
        if right:
            other |= shifted(index.words, index.bases[long] + y, index.strides[long], index.widths[long], word,
                             difference) & right
        differing = occupied(ahead ^ other)
        while differing:
            at = np.uint64(trailing_zeros(differing))
            total += metric.costs[(ahead >> at) & _RESIDUE, (other >> at) & _RESIDUE]
            differing &= differing - _ONE
        if total > most:
            return total
    return total


@njit(cache=True)
def _tcrdist(index: Index, metric: Metric, short: int, x: int, long: int, y: int) -> int:
    difference = index.lengths[long] - index.lengths[short]
    allowed = metric.cutoff - metric.gap * difference
    if allowed < 0:
        return -1
    first, last = gap_range(metric, index.lengths[short], difference)
    best = allowed + 1
    for gap in range(first, last + 1):
        best = min(best, _frame_cost(index, metric, short, x, long, y, gap, best - 1))
    return -1 if best > allowed else best + metric.gap * difference


@njit(cache=True)
def distance(index: Index, metric: Metric, short: int, x: int, long: int, y: int, scratch: np.ndarray) -> int:
    """Distance of row x of one length group and row y of another, no shorter one; -1 beyond the cutoff."""
    if metric.kind == HAMMING:
        return _hamming(index, short, x, y, metric.cutoff) if short == long else -1
    if metric.kind == LEVENSHTEIN:
        return _levenshtein(index, short, x, long, y, metric.cutoff, scratch)
    return _tcrdist(index, metric, short, x, long, y)


# --- which edit task owns a pair --------------------------------------------------------------------------------------
@njit(cache=True)
def _pair_of_blocks(first: int, second: int, blocks: int) -> int:
    """The wild pair for edits in two blocks; one block alone takes its right neighbour, the last one its left."""
    if first == second:
        second = first + 1 if first + 1 < blocks else first - 1
    return (1 << first) | (1 << second)


@njit(cache=True)
def _moves(index: Index, a: int, x: int, b: int, y: int, start: int, end: int) -> bool:
    """Whether residues start + 1 ... end of y are residues start ... end - 1 of x (one of y is gone at start)."""
    return start >= end or _equal_from(index, b, y, start + 1, a, x, start) >= end - start


@njit(cache=True)
def _owns_swap(index: Index, task: np.ndarray, block_of: np.ndarray, x: int, y: int) -> bool:
    """Equal lengths, one residue of y gone and one inserted further on; substitutions alone belong to other tasks."""
    group, length = task[SHORT], index.lengths[task[SHORT]]
    if _hamming(index, group, x, y, 2) >= 0:
        return False
    first = _equal_from(index, group, x, 0, group, y, 0)
    last = length - 1 - _equal_at_end(index, group, x, group, y)
    if not _moves(index, group, x, group, y, first, last):
        return False
    if y > x and _moves(index, group, y, group, x, first, last):
        return False
    return task[WILD] == _pair_of_blocks(block_of[first], block_of[last], task[BLOCKS])


@njit(cache=True)
def _owns_one_longer(index: Index, cutoff: int, task: np.ndarray, block_of: np.ndarray, x: int, y: int) -> bool:
    """One residue of y gone, and with a cutoff of 2 perhaps a substitution before or behind it."""
    short, long, length, blocks = task[SHORT], task[LONG], index.lengths[task[SHORT]], task[BLOCKS]
    first = _equal_from(index, short, x, 0, long, y, 0)
    last = length - 1 - _equal_at_end(index, short, x, long, y)
    block = block_of[min(first, length - 1)]
    if last < first:
        wild = 1 << block if cutoff == 1 else _pair_of_blocks(block, block, blocks)
        return task[WILD] == wild and task[MIDDLE] == 0
    if cutoff == 1:
        return False
    second = block_of[last]
    substitution_first = _equal_from(index, short, x, first + 1, long, y, first + 1) >= last - first
    if not substitution_first and not _moves(index, short, x, long, y, first, last):
        return False
    middle = 0 if substitution_first or second <= block + 1 else 1
    return task[MIDDLE] == middle and task[WILD] == _pair_of_blocks(block, second, blocks)


@njit(cache=True)
def _owns_two_longer(index: Index, task: np.ndarray, block_of: np.ndarray, x: int, y: int) -> bool:
    """Two residues of y gone."""
    short, long, length = task[SHORT], task[LONG], index.lengths[task[SHORT]]
    first = _equal_from(index, short, x, 0, long, y, 0)
    rest = length - _equal_at_end(index, short, x, long, y)
    if not _moves(index, short, x, long, y, first, rest):
        return False
    block = block_of[min(first, length - 1)]
    second = block_of[min(rest, length - 1)] if rest > first else block
    return task[WILD] == _pair_of_blocks(block, second, task[BLOCKS])


@njit(cache=True)
def edit_task_owns(index: Index, cutoff: int, task: np.ndarray, block_of: np.ndarray, x: int, y: int) -> bool:
    """Whether this edit task reports row x of its short group with row y of its long group.

    The common prefix ends at the first edit and the common suffix begins behind the last, so the two blocks that hold
    them, and the shift between, name one task.
    """
    difference = index.lengths[task[LONG]] - index.lengths[task[SHORT]]
    if difference == 0:
        return _owns_swap(index, task, block_of, x, y)
    if difference == 1:
        return _owns_one_longer(index, cutoff, task, block_of, x, y)
    return _owns_two_longer(index, task, block_of, x, y)


@njit(cache=True)
def distances_of(index: Index, metric: Metric, group_of: np.ndarray, first: np.ndarray, second: np.ndarray,
                 gaps: np.ndarray) -> None:
    """Distances of pairs of distinct sequences into `gaps`, which keeps its value where they are beyond the cutoff."""
    scratch = np.empty(4 * (metric.cutoff + 2), dtype=np.int64)
    for pair in range(first.size):
        u, v = min(first[pair], second[pair]), max(first[pair], second[pair])
        a, b = group_of[u], group_of[v]
        gap = distance(index, metric, a, u - index.firsts[a], b, v - index.firsts[b], scratch)
        if gap >= 0:
            gaps[pair] = gap


@njit(cache=True, parallel=True)
def pair_distances(index: Index, metric: Metric, group_of: np.ndarray, first: np.ndarray, second: np.ndarray,
                   gaps: np.ndarray, chunk: int) -> None:
    """As `distances_of`, `chunk` pairs at a time."""
    for part in prange((first.size + chunk - 1) // chunk):
        start, end = part * chunk, min(first.size, (part + 1) * chunk)
        distances_of(index, metric, group_of, first[start:end], second[start:end], gaps[start:end])
