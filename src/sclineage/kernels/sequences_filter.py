"""A filter that a join's rows pass first: it keeps those whose key another row may share, nearly always a few.

One slot of two bits for each value of a short hash: whether a row has it, and whether a second one does. A row costs a
few instructions and no branch, where a hash table costs a mispredicted one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SLOTS = 8  # of a filter, per row, at least; up to twice as many
LEAST_SLOT_BITS, MOST_SLOT_BITS = 5, 31  # one word; a slot is kept as an int32

_ONE, _HALF, _PER_WORD = np.uint64(1), np.uint64(31), np.uint64(5)


@njit(cache=True)
def filter_bits(n: int) -> int:
    """Bits of the hash that chooses a slot, for n rows."""
    bits = LEAST_SLOT_BITS
    while (1 << bits) < SLOTS * n and bits < MOST_SLOT_BITS:
        bits += 1
    return bits


@njit(cache=True)
def filter_words(n: int) -> int:
    """Words of a filter for n rows, uint64."""
    return 1 << (filter_bits(n) - LEAST_SLOT_BITS)


@njit(cache=True)
def note(slots: np.ndarray, slot: np.uint64) -> None:
    """Note a row's slot."""
    bit = _ONE << ((slot & _HALF) << _ONE)
    held = slots[slot >> _PER_WORD]
    slots[slot >> _PER_WORD] = held | bit | ((held & bit) << _ONE)


@njit(cache=True)
def note_again(slots: np.ndarray, slot: np.uint64) -> bool:
    """Note the slot of a row that is compared with those noted before; say whether one of them has it."""
    by = (slot & _HALF) << _ONE
    held = slots[slot >> _PER_WORD]
    noted = (held >> by) & _ONE
    slots[slot >> _PER_WORD] = held | (noted << (by + _ONE))
    return noted == _ONE


@njit(cache=True)
def is_shared(slots: np.ndarray, slot: np.uint64) -> bool:
    """Whether a second row has the slot."""
    return (slots[slot >> _PER_WORD] >> (((slot & _HALF) << _ONE) + _ONE)) & _ONE == _ONE


@njit(cache=True)
def list_shared(slots: np.ndarray, noted: np.ndarray, listed: np.ndarray) -> int:
    """List the rows, by the slots they noted, whose slot is shared; return how many."""
    count = 0
    for row in range(noted.size):
        listed[count] = row
        count += is_shared(slots, np.uint64(noted[row]))
    return count


@njit(cache=True)
def table_bits(n: int) -> int:
    """Bits of a hash table that is at most half full with n entries."""
    bits = 1
    while (1 << bits) < 2 * n:
        bits += 1
    return bits
