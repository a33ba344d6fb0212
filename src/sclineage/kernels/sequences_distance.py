"""Exact distances of two packed sequences, and which task reports a pair; contract in ``sequences.py``.

A sequence is a `Row`: first word, stride of its words, number of words, length. Only numbers and the array of words are
handed on: Numba counts the references of every array of a tuple at every call, which would cost more than the work.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .sequences_bits import (
    PER_WORD,
    RESIDUE,
    RESIDUE_BITS,
    leading_zeros,
    merged,
    occupied,
    popcount,
    shifted,
    trailing_zeros,
)
from .sequences_keys import ALIGNED, BLOCKS, GAP, LIMIT, MIDDLE, WILD, Task
from .sequences_metrics import COSTS, HAMMING, LEVENSHTEIN, TCRDIST, Metric, gap_range
from .sequences_pack import Index

Row = tuple[int, int, int, int]

_ONE = np.uint64(1)
_RESIDUE = np.uint64(RESIDUE)


@njit(cache=True, inline="always")
def _fields_below(count: int) -> np.uint64:
    return (_ONE << np.uint64(RESIDUE_BITS * max(0, min(PER_WORD, count)))) - _ONE


@njit(cache=True, inline="always")
def field_range(word: int, start: int, end: int) -> np.uint64:
    """Mask of the residues from `start` to before `end` that lie in a word."""
    return _fields_below(end - word * PER_WORD) & ~_fields_below(start - word * PER_WORD)


# --- common stretches -------------------------------------------------------------------------------------------------
@njit(cache=True)
def _equal_from(words: np.ndarray, a: Row, from_a: int, b: Row, from_b: int) -> int:
    """Number of equal residues from the given positions on."""
    limit = min(a[3] - from_a, b[3] - from_b)
    done = 0
    while done < limit:
        differing = (shifted(words, a[0], a[1], a[2], 0, from_a + done)
                     ^ shifted(words, b[0], b[1], b[2], 0, from_b + done)) & _fields_below(PER_WORD)
        if differing:
            return min(limit, done + trailing_zeros(differing) // RESIDUE_BITS)
        done += PER_WORD
    return max(limit, 0)


@njit(cache=True)
def _equal_at_end(words: np.ndarray, a: Row, b: Row) -> int:
    """Length of the longest common suffix."""
    limit = min(a[3], b[3])
    done = 0
    while done < limit:
        step = min(PER_WORD, limit - done)
        differing = (shifted(words, a[0], a[1], a[2], 0, a[3] - done - step)
                     ^ shifted(words, b[0], b[1], b[2], 0, b[3] - done - step)) & _fields_below(step)
        if differing:
            return done + step - 1 - (63 - leading_zeros(differing)) // RESIDUE_BITS
        done += step
    return limit


# --- distances --------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _hamming(words: np.ndarray, a: Row, b: Row, cutoff: int) -> int:
    total = 0
    for word in range(a[2]):
        total += popcount(occupied(words[a[0] + word * a[1]] ^ words[b[0] + word * b[1]]))
        if total > cutoff:
            return -1
    return total


@njit(cache=True)
def _levenshtein(words: np.ndarray, a: Row, b: Row, cutoff: int, reach: np.ndarray) -> int:
    """Edits by furthest-reaching diagonals (Ukkonen 1985); `reach` holds two rows of 2 * cutoff + 4 numbers."""
    length, difference, half = a[3], b[3] - a[3], 2 * cutoff + 4
    reach[:2 * half] = -2
    for edits in range(cutoff + 1):
        now, before = (edits & 1) * half + cutoff + 2, (1 - (edits & 1)) * half + cutoff + 2
        for diagonal in range(-edits, edits + 1):
            at = 0
            if edits > 0:
                at = max(reach[before + diagonal] + 1, reach[before + diagonal - 1], reach[before + diagonal + 1] + 1)
            at = min(at, length, b[3] - diagonal)
            if at < 0 or at + diagonal < 0:
                reach[now + diagonal] = -2
                continue
            at += _equal_from(words, a, at, b, at + diagonal)
            reach[now + diagonal] = at
            if diagonal == difference and at == length:
                return edits
    return -1


@njit(cache=True)
def _frame_cost(words: np.ndarray, a: Row, b: Row, metric: Metric, gap: int, most: int) -> int:
    """Sum of the residue costs over a frame; any number above `most` if it exceeds that."""
    total = 0
    for word in range(a[2]):  # COSTS is compiled in: whoever changes CODES must touch this file for Numba to notice
        left, right = field_range(word, metric.trim_left, gap), field_range(word, gap, a[3] - metric.trim_right)
        ahead, other = words[a[0] + word * a[1]] & (left | right), words[b[0] + word * b[1]] & left
        if right:
            other |= shifted(words, b[0], b[1], b[2], word, b[3] - a[3]) & right
        differing = occupied(ahead ^ other)
        while differing:
            at = np.uint64(trailing_zeros(differing))
            total += COSTS[(ahead >> at) & _RESIDUE, (other >> at) & _RESIDUE]
            differing &= differing - _ONE
        if total > most:
            return total
    return total


@njit(cache=True)
def _tcrdist(words: np.ndarray, a: Row, b: Row, metric: Metric) -> int:
    difference = b[3] - a[3]
    allowed = metric.cutoff - metric.gap * difference
    if allowed < 0:
        return -1
    first, last = gap_range(metric, a[3], difference)
    best = allowed + 1
    for gap in range(first, last + 1):
        best = min(best, _frame_cost(words, a, b, metric, gap, best - 1))
    return -1 if best > allowed else best + metric.gap * difference


@njit(cache=True)
def distance(words: np.ndarray, a: Row, b: Row, metric: Metric, scratch: np.ndarray) -> int:
    """Distance of a sequence and another one that is no shorter; -1 beyond the cutoff."""
    if metric.kind == HAMMING:
        return _hamming(words, a, b, metric.cutoff) if a[3] == b[3] else -1
    if metric.kind == LEVENSHTEIN:
        return _levenshtein(words, a, b, metric.cutoff, scratch)
    return _tcrdist(words, a, b, metric)


# --- which task owns a pair: substitutions ----------------------------------------------------------------------------
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
def _mismatches(words: np.ndarray, a: Row, b: Row, metric: Metric, gap: int, word: int) -> np.uint64:
    """Lowest bits of the residues of one word at which two sequences differ (merged letters) in a frame."""
    if metric.kind != TCRDIST:
        return occupied(words[a[0] + word * a[1]] ^ words[b[0] + word * b[1]])
    left, right = field_range(word, metric.trim_left, gap), field_range(word, gap, a[3] - metric.trim_right)
    other = words[b[0] + word * b[1]] & left
    if right:
        other |= shifted(words, b[0], b[1], b[2], word, b[3] - a[3]) & right
    return occupied(merged(words[a[0] + word * a[1]] & (left | right)) ^ merged(other))


@njit(cache=True)
def earlier_gap(words: np.ndarray, a: Row, b: Row, metric: Metric, task: Task) -> bool:
    """Whether an earlier gap position would report the pair too."""
    first, _ = gap_range(metric, a[3], b[3] - a[3])
    for gap in range(first, task[GAP]):
        count = 0
        for word in range(a[2]):
            count += popcount(_mismatches(words, a, b, metric, gap, word))
        if count <= task[LIMIT]:
            return True
    return False


@njit(cache=True)
def _aligned_task_owns(words: np.ndarray, a: Row, b: Row, metric: Metric, task: Task, block_of: np.ndarray) -> bool:
    count, mismatched = 0, 0
    for word in range(a[2]):
        differing = _mismatches(words, a, b, metric, task[GAP], word)
        count += popcount(differing)
        if count > task[LIMIT]:
            return False
        while differing:
            mismatched |= 1 << block_of[word * PER_WORD + trailing_zeros(differing) // RESIDUE_BITS]
            differing &= differing - _ONE
    if not is_first_choice(mismatched, task[BLOCKS], task[LIMIT], task[WILD]):
        return False
    return metric.kind != TCRDIST or not earlier_gap(words, a, b, metric, task)


# --- which task owns a pair: edits ------------------------------------------------------------------------------------
@njit(cache=True)
def pair_of_blocks(first: int, second: int, blocks: int) -> int:
    """The wild pair for edits in two blocks; one block alone takes its right neighbour, the last one its left."""
    if first == second:
        second = first + 1 if first + 1 < blocks else first - 1
    return (1 << first) | (1 << second)


@njit(cache=True)
def _moves(words: np.ndarray, a: Row, b: Row, start: int, end: int) -> bool:
    """Whether residues start + 1 ... end of b are residues start ... end - 1 of a (one of b is gone at start)."""
    return start >= end or _equal_from(words, b, start + 1, a, start) >= end - start


@njit(cache=True)
def _owns_swap(words: np.ndarray, a: Row, b: Row, task: Task, block_of: np.ndarray) -> bool:
    """Equal lengths, one residue of b gone and one inserted further on; substitutions alone belong to other tasks."""
    first, last = _equal_from(words, a, 0, b, 0), a[3] - 1 - _equal_at_end(words, a, b)
    if last - first < 2 or not _moves(words, a, b, first, last) or _hamming(words, a, b, 2) >= 0:
        return False
    if b[0] > a[0] and _moves(words, b, a, first, last):
        return False
    return task[WILD] == pair_of_blocks(block_of[first], block_of[last], task[BLOCKS])


@njit(cache=True)
def _owns_one_longer(words: np.ndarray, a: Row, b: Row, cutoff: int, task: Task, block_of: np.ndarray) -> bool:
    """One residue of b gone, and with a cutoff of 2 perhaps a substitution before or behind it."""
    first, last = _equal_from(words, a, 0, b, 0), a[3] - 1 - _equal_at_end(words, a, b)
    block = block_of[min(first, a[3] - 1)]
    if last < first:
        wild = 1 << block if cutoff == 1 else pair_of_blocks(block, block, task[BLOCKS])
        return task[WILD] == wild and task[MIDDLE] == 0
    if cutoff == 1:
        return False
    second = block_of[last]
    if task[WILD] != pair_of_blocks(block, second, task[BLOCKS]):
        return False
    substitution_first = _equal_from(words, a, first + 1, b, first + 1) >= last - first
    if not substitution_first and not _moves(words, a, b, first, last):
        return False
    return task[MIDDLE] == (0 if substitution_first or second <= block + 1 else 1)


@njit(cache=True)
def _owns_two_longer(words: np.ndarray, a: Row, b: Row, task: Task, block_of: np.ndarray) -> bool:
    """Two residues of b gone."""
    first, rest = _equal_from(words, a, 0, b, 0), a[3] - _equal_at_end(words, a, b)
    block = block_of[min(first, a[3] - 1)]
    second = block_of[min(rest, a[3] - 1)] if rest > first else block
    return task[WILD] == pair_of_blocks(block, second, task[BLOCKS]) and _moves(words, a, b, first, rest)


@njit(cache=True)
def owns(words: np.ndarray, a: Row, b: Row, metric: Metric, task: Task, block_of: np.ndarray) -> bool:
    """Whether this task is the one that reports a sequence of its short group with one of its long group.

    With edits, the common prefix ends at the first edit and the common suffix begins behind the last, so the two blocks
    that hold them, and the shift between, name one task.
    """
    if task[MIDDLE] == ALIGNED:
        return _aligned_task_owns(words, a, b, metric, task, block_of)
    if b[3] == a[3]:
        return _owns_swap(words, a, b, task, block_of)
    if b[3] == a[3] + 1:
        return _owns_one_longer(words, a, b, metric.cutoff, task, block_of)
    return _owns_two_longer(words, a, b, task, block_of)


# --- given pairs ------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _row_of(index: Index, group: int, u: int) -> Row:
    at = index.bases[group] + u - index.firsts[group]
    return at, index.strides[group], index.widths[group], index.lengths[group]


@njit(cache=True)
def distances_of(index: Index, metric: Metric, group_of: np.ndarray, first: np.ndarray, second: np.ndarray,
                 gaps: np.ndarray) -> None:
    """Distances of pairs of distinct sequences into `gaps`, which keeps its value where they are beyond the cutoff."""
    scratch, words = np.empty(4 * (metric.cutoff + 2), dtype=np.int64), index.words
    for pair in range(first.size):
        u, v = min(first[pair], second[pair]), max(first[pair], second[pair])
        a, b = _row_of(index, group_of[u], u), _row_of(index, group_of[v], v)
        gap = distance(words, a, b, metric, scratch)
        if gap >= 0:
            gaps[pair] = gap


@njit(cache=True, parallel=True)
def pair_distances(index: Index, metric: Metric, group_of: np.ndarray, first: np.ndarray, second: np.ndarray,
                   gaps: np.ndarray, chunk: int) -> None:
    """As `distances_of`, `chunk` pairs at a time."""
    for part in prange((first.size + chunk - 1) // chunk):
        start, end = part * chunk, min(first.size, (part + 1) * chunk)
        distances_of(index, metric, group_of, first[start:end], second[start:end], gaps[start:end])
