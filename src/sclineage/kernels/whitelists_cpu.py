"""Numba side of `whitelists`: membership, table building and the proof that a list is a union of products."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

RANK_BITS = 20  # a right-hand entry is block << RANK_BITS | rank of the word within its block
RANK_MASK = (1 << RANK_BITS) - 1
HASH_FILTER = 0x9E3779B97F4A7C15  # odd multipliers of the two multiplicative hashes
HASH_SLOT = 0xD6E8FEB86659FD93
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_U1 = np.uint64(1)
_FILTER, _SLOT = np.uint64(HASH_FILTER), np.uint64(HASH_SLOT)


class Tables(NamedTuple):
    """Look-up tables of a whitelist; `half` > 0 means product tables, else hash tables (the others are then empty).

    The compiled functions take the fields one by one: a tuple of arrays costs a reference count per access.

    Attributes
    ----------
    length
        Bases.
    half
        Bits of the right half-word (0: no product).
    left
        int64, by left word: block << 32 | rank of its first barcode in the sorted list, -1 if it is no word.
    right
        int32, by right word: block << RANK_BITS | rank within the block, -1 if it is no word.
    left_mask, right_mask
        uint32, by half-word value: bit 3 * position + k says that the k-th other base (ascending) there makes a word.
    keys
        uint64, the sorted list.
    slots
        int32, open addressing with linear probing: row of `keys`, or -1; a power of two.
    bits
        uint64 words of the presence filter; a power of two.
    """

    length: int
    half: int
    left: np.ndarray
    right: np.ndarray
    left_mask: np.ndarray
    right_mask: np.ndarray
    keys: np.ndarray
    slots: np.ndarray
    bits: np.ndarray


def _load8(typingctx: Any, buffer: Any, at: Any) -> Any:
    """Eight bytes of a contiguous uint8 array from offset `at`, unaligned, as uint64 (first byte lowest)."""
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        start = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(start, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(buffer, types.intp), build


load8: Any = intrinsic(_load8)


def _prefetch(typingctx: Any, array: Any, at: Any) -> Any:
    """Ask for array[at] ahead of its use; does nothing else."""
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        where = builder.bitcast(builder.gep(held.data, [arguments[1]]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(ask, [where, i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), build


prefetch: Any = intrinsic(_prefetch)


def _lowest_bit(typingctx: Any, mask: Any) -> Any:
    """Position of the lowest set bit of a uint32 that is not 0."""
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1)), ir.IntType(64))

    return types.int64(types.uint32), build


def _first_bit(typingctx: Any, mask: Any) -> Any:
    """Position of the lowest set bit of a uint64 that is not 0."""
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), build


def _bits_set(typingctx: Any, mask: Any) -> Any:
    """How many bits of a uint64 are set."""
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), build


lowest_bit: Any = intrinsic(_lowest_bit)
bits_set: Any = intrinsic(_bits_set)
first_bit: Any = intrinsic(_first_bit)


@njit(cache=True, forceinline=True)
def _hash(code: np.uint64, factor: np.uint64, size: int) -> int:
    """Cell of a table of `size` (a power of two): every base of up to 32 counts."""
    return np.int64(((code ^ (code >> np.uint64(32))) * factor) >> np.uint64(32)) & (size - 1)  # type: ignore[return-value]


@njit(cache=True, forceinline=True)
def find(code: np.uint64, half: int, left: np.ndarray, right: np.ndarray, keys: np.ndarray, slots: np.ndarray,
         bits: np.ndarray) -> int:
    """Rank of a packed barcode in the sorted list, or -1."""
    if half > 0:
        start = left[code >> np.uint64(half)]
        word = right[code & ((_U1 << np.uint64(half)) - _U1)]
        if start >= 0 and start >> 32 == word >> RANK_BITS:
            return (start & 0xFFFFFFFF) + (word & RANK_MASK)
        return -1
    bit = _hash(code, _FILTER, 64 * bits.size)
    if (bits[bit >> 6] >> np.uint64(bit & 63)) & _U1 == np.uint64(0):
        return -1
    slot = _hash(code, _SLOT, slots.size)
    while True:
        row = slots[slot]
        if row < 0:
            return -1
        if keys[row] == code:
            return row
        slot = (slot + 1) & (slots.size - 1)


@njit(cache=True)
def fill_hash(keys: np.ndarray, slots: np.ndarray, bits: np.ndarray) -> None:
    """Insert the sorted keys into the slots (all -1) and the filter (all 0)."""
    for row in range(keys.size):
        bit = _hash(keys[row], _FILTER, 64 * bits.size)
        bits[bit >> 6] |= _U1 << np.uint64(bit & 63)
        slot = _hash(keys[row], _SLOT, slots.size)
        while slots[slot] >= 0:
            slot = (slot + 1) & (slots.size - 1)
        slots[slot] = row


@njit(cache=True)
def first_disorder(codes: np.ndarray) -> tuple[bool, int]:
    """Whether the codes ascend, and the first row equal to the one before it (-1: none)."""
    ascending = True
    for row in range(1, codes.size):
        if codes[row] == codes[row - 1]:
            return ascending, row
        ascending &= codes[row] > codes[row - 1]
    return ascending, -1


@njit(cache=True)
def left_groups(codes: np.ndarray, half: int, most: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Left words of a sorted list, first row of each, and an order-free hash of its set of right words.

    Stops with a count of -1 when there are more than `most` left words.
    """
    words = np.empty(most, np.uint64)
    starts = np.empty(most + 1, np.int64)
    sums = np.zeros(most, np.uint64)
    n = 0
    low_mask = (_U1 << np.uint64(half)) - _U1
    for row in range(codes.size):
        high = codes[row] >> np.uint64(half)
        if n == 0 or words[n - 1] != high:
            if n == most:
                return -1, words, starts, sums
            words[n] = high
            starts[n] = row
            n += 1
        mixed = ((codes[row] & low_mask) + _U1) * _MIX
        sums[n - 1] += (mixed ^ (mixed >> np.uint64(31))) * _FILTER
    starts[n] = codes.size
    return n, words, starts, sums


@njit(cache=True)
def same_rights(codes: np.ndarray, half: int, starts: np.ndarray, model: np.ndarray) -> bool:
    """Proof by expansion: every left group holds exactly the right words of the group `model[group]`."""
    low_mask = (_U1 << np.uint64(half)) - _U1
    for group in range(model.size):
        first, other = starts[group], starts[model[group]]
        size = starts[group + 1] - first
        if size != starts[model[group] + 1] - other:
            return False
        for k in range(size):
            if (codes[first + k] ^ codes[other + k]) & low_mask != np.uint64(0):
                return False
    return True


@njit(cache=True)
def neighbour_masks(is_word: np.ndarray, bases: int) -> np.ndarray:
    """For every half-word value the bit mask of the single substitutions that make a word."""
    masks = np.zeros(is_word.size, np.uint32)
    for value in range(is_word.size):
        if not is_word[value]:
            continue
        for position in range(bases):
            shift = 2 * (bases - 1 - position)
            base = (value >> shift) & 3
            for other in range(4):
                if other != base:
                    neighbour = value ^ ((base ^ other) << shift)
                    k = base if base < other else base - 1
                    masks[neighbour] |= np.uint32(1) << np.uint32(3 * position + k)
    return masks
