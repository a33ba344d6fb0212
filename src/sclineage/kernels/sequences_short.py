"""Sequences of two words in registers: shifts, keys, and the filter and the table that a join of them goes through."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .sequences_bits import PER_WORD, RESIDUE, RESIDUE_BITS, leading_zeros, merged, occupied, trailing_zeros
from .sequences_distance import field_range
from .sequences_filter import filter_bits, filter_words, list_shared, note, note_again, table_bits
from .sequences_metrics import COSTS
from .sequences_pack import Index

MOST = 24  # residues of two words

_FIELDS = np.uint64((1 << RESIDUE_BITS * PER_WORD) - 1)
_RESIDUE = np.uint64(RESIDUE)
_ONE, _ZERO = np.uint64(1), np.uint64(0)
_FIRST_FACTOR, _SECOND_FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


class Scratch(NamedTuple):
    """A worker's memory for one task at a time, with room for the largest group.

    Attributes
    ----------
    slots
        uint64: the filter.
    noted
        int32: the slot of each row of the shorter group.
    listed, probing
        int32: the rows of the shorter and of the longer group that the filter keeps.
    head, following
        int32: the table, chains of places in `listed` that share a bucket.
    """

    slots: np.ndarray
    noted: np.ndarray
    listed: np.ndarray
    probing: np.ndarray
    head: np.ndarray
    following: np.ndarray


@njit(cache=True)
def make_scratch(rows: int) -> Scratch:
    """Room for groups of that many rows."""
    return Scratch(np.empty(filter_words(rows), dtype=np.uint64), np.empty(rows, dtype=np.int32),
                   np.empty(rows, dtype=np.int32), np.empty(rows, dtype=np.int32),
                   np.empty(1 << table_bits(rows), dtype=np.int32), np.empty(rows, dtype=np.int32))


# --- two words --------------------------------------------------------------------------------------------------------
@njit(cache=True)
def hash_of(first: np.uint64, second: np.uint64) -> np.uint64:
    """Multiply-shift: the highest bits are the bucket."""
    return first * _FIRST_FACTOR + second * _SECOND_FACTOR


@njit(cache=True)
def down(first: np.uint64, second: np.uint64, by: int) -> tuple:
    """The two words from residue `by` on, 0 <= by < 12."""
    bits = np.uint64(RESIDUE_BITS * by)
    return ((first >> bits) | (second << (np.uint64(RESIDUE_BITS * PER_WORD) - bits))) & _FIELDS, second >> bits


@njit(cache=True)
def lowest(first: np.uint64, second: np.uint64) -> int:
    """First residue that is not 0; 24 if all are."""
    if first:
        return trailing_zeros(first) // RESIDUE_BITS
    return PER_WORD + trailing_zeros(second) // RESIDUE_BITS if second else MOST


@njit(cache=True)
def highest(first: np.uint64, second: np.uint64) -> int:
    """Last residue that is not 0; -1 if all are."""
    if second:
        return PER_WORD + (63 - leading_zeros(second)) // RESIDUE_BITS
    return (63 - leading_zeros(first)) // RESIDUE_BITS if first else -1


@njit(cache=True)
def zero_between(first: np.uint64, second: np.uint64, start: int, end: int) -> bool:
    """Whether the residues from `start` to before `end` are all 0."""
    return (first & field_range(0, start, end)) | (second & field_range(1, start, end)) == _ZERO


@njit(cache=True)
def residue_costs(a: np.uint64, b: np.uint64) -> int:
    """Sum of the tcrdist costs of the residues of a word."""
    total, differing = 0, occupied(a ^ b)
    while differing:
        at = np.uint64(trailing_zeros(differing))
        total += COSTS[(a >> at) & _RESIDUE, (b >> at) & _RESIDUE]
        differing &= differing - _ONE
    return total


@njit(cache=True)
def place(index: Index, group: int) -> tuple:
    """Where a group's first and second words begin, and a mask that clears the second where there is none."""
    base = index.bases[group]
    wide = index.widths[group] > 1
    return base, base + index.strides[group] if wide else base, ~_ZERO if wide else _ZERO


# --- which rows are joined --------------------------------------------------------------------------------------------
@njit(cache=True)
def shifted_key(b_0: np.uint64, b_1: np.uint64, masks: np.ndarray, middle: int, difference: int) -> tuple:
    """The residues of a longer sequence that the masks (3, 2) keep under three shifts."""
    (s_0, s_1), (t_0, t_1) = down(b_0, b_1, middle), down(b_0, b_1, difference)
    return ((b_0 & masks[0, 0]) | (s_0 & masks[1, 0]) | (t_0 & masks[2, 0]),
            (b_1 & masks[0, 1]) | (s_1 & masks[1, 1]) | (t_1 & masks[2, 1]))


@njit(cache=True)
def note_group(index: Index, group: int, kept_0: np.uint64, kept_1: np.uint64, merging: int, scratch: Scratch) -> None:
    """Fill the filter with the keys of a group."""
    words, n, slots, noted = index.words, index.counts[group], scratch.slots, scratch.noted
    (at_0, at_1, wide), turn = place(index, group), np.uint64(64 - filter_bits(n))
    slots[:filter_words(n)] = _ZERO
    kept_1 &= wide
    for x in range(n):
        a_0, a_1 = words[at_0 + x] & kept_0, words[at_1 + x] & kept_1
        slot = (hash_of(merged(a_0), merged(a_1)) if merging else hash_of(a_0, a_1)) >> turn
        noted[x] = slot
        note(slots, slot)


@njit(cache=True)
def list_probing(index: Index, short: int, long: int, rows: tuple, masks: np.ndarray, middle: int, merging: int,
                 scratch: Scratch) -> int:
    """List the rows of the longer group whose key one of the shorter may have; return how many."""
    words, slots, probing, count = index.words, scratch.slots, scratch.probing, 0
    (from_0, from_1, far), turn = place(index, long), np.uint64(64 - filter_bits(index.counts[short]))
    difference = index.lengths[long] - index.lengths[short]
    for y in range(rows[0], rows[1]):
        k_0, k_1 = shifted_key(words[from_0 + y], words[from_1 + y] & far, masks, middle, difference)
        slot = (hash_of(merged(k_0), merged(k_1)) if merging else hash_of(k_0, k_1)) >> turn
        probing[count] = y
        count += note_again(slots, slot)
    return count


@njit(cache=True)
def build(index: Index, group: int, kept_0: np.uint64, kept_1: np.uint64, merging: int, scratch: Scratch) -> int:
    """List the rows of the shorter group that the filter keeps, and chain them by bucket; return how many."""
    words, listed, head = index.words, scratch.listed, scratch.head
    n = list_shared(scratch.slots, scratch.noted[:index.counts[group]], listed)
    (at_0, at_1, wide), turn = place(index, group), np.uint64(64 - table_bits(n))
    head[:1 << table_bits(n)] = -1
    kept_1 &= wide
    for at in range(n):
        a_0, a_1 = words[at_0 + listed[at]] & kept_0, words[at_1 + listed[at]] & kept_1
        bucket = (hash_of(merged(a_0), merged(a_1)) if merging else hash_of(a_0, a_1)) >> turn
        scratch.following[at], head[bucket] = head[bucket], at
    return n
