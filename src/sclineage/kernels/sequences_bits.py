"""Packed residues: the bit layout of `sequences`, and the few instructions Numba has no name for.

Twelve residues of five bits share a 64-bit word, the first residue in the lowest bits; the four highest bits are zero.
Code 0 is "no residue", so a sequence and its extension differ. A code is the place of the letter in the alphabet with
the four upper bits flipped where it is odd: then I/V and F/Y are apart in the lowest bit only, and they alone hold 011
in the three bits above it. Clearing that bit merges the two pairs that tcrdist calls cheap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

RESIDUE_BITS = 5
PER_WORD = 12
LOW = sum(1 << (RESIDUE_BITS * i) for i in range(PER_WORD))  # the lowest bit of each residue
RESIDUE = (1 << RESIDUE_BITS) - 1
FLIP = RESIDUE - 1  # of an odd place in the alphabet
STAR = "["  # stands for *, whose own place is that of J
STANDARD = "ARNDCQEGHILKMFPSTWYV"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + STAR + "_"
BAD = 255
MAX_EDITS = 31
AT_ONCE = 32  # bytes that `bytes_within` compares

CODES = np.full(256, BAD, dtype=np.uint8)
for _letter in LETTERS:
    _place = ord(_letter) & RESIDUE
    CODES[ord(_letter)] = _place ^ (FLIP if _place & 1 else 0)
CODES[ord("*")], CODES[ord(STAR)] = CODES[ord(STAR)], BAD

_LOW = np.uint64(LOW)
_RESIDUE = np.uint64(RESIDUE)
_ONE, _TWO, _THREE, _FOUR = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)


# --- instructions -----------------------------------------------------------------------------------------------------
def _popcount(_context: Any, _word: Any) -> Any:
    """Number of set bits of a uint64."""
    return types.int64(types.uint64), lambda _c, builder, _s, args: builder.ctpop(args[0])


def _trailing_zeros(_context: Any, _word: Any) -> Any:
    """Zeros below the lowest set bit of a uint64; 64 for 0."""
    def generate(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))
    return types.int64(types.uint64), generate


def _leading_zeros(_context: Any, _word: Any) -> Any:
    """Zeros above the highest set bit of a uint64; 64 for 0."""
    def generate(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))
    return types.int64(types.uint64), generate


def _pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    kind = signature.args[0]
    array = context.make_array(kind)(context, builder, args[0])
    return cgutils.get_item_pointer(context, builder, kind, array, [args[1]], wraparound=False)


def _load_eight(_context: Any, array: Any, _at: Any) -> Any:
    """Eight bytes of a 1-d uint8 array as one uint64, the first one lowest."""
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.bitcast(_pointer(context, builder, signature, args), ir.IntType(64).as_pointer())
        return builder.load(pointer, align=1)
    return types.uint64(array, types.intp), generate


def _splat(builder: Any, byte: Any) -> Any:
    """A vector of 32 equal bytes."""
    kind = ir.VectorType(ir.IntType(8), AT_ONCE)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), byte, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), AT_ONCE), [0] * AT_ONCE))


def _bytes_within(_context: Any, array: Any, _at: Any, _first: Any, _last: Any) -> Any:
    """Which of 32 bytes of a 1-d uint8 array lie within two, as bits of a uint64: in vector registers."""
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(ir.IntType(8), AT_ONCE)
        pointer = builder.bitcast(_pointer(context, builder, signature, args), kind.as_pointer())
        above = builder.sub(builder.load(pointer, align=1), _splat(builder, args[2]))
        bits = builder.icmp_unsigned("<=", above, _splat(builder, builder.sub(args[3], args[2])))
        return builder.zext(builder.bitcast(bits, ir.IntType(AT_ONCE)), ir.IntType(64))
    return types.uint64(array, types.intp, types.uint8, types.uint8), generate


def _atomic_add(_context: Any, array: Any, _at: Any, _value: Any) -> Any:
    """Add to an element of a 1-d array; return what was there."""
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", _pointer(context, builder, signature, args), args[2], "monotonic")
    return array.dtype(array, types.intp, array.dtype), generate


def _atomic_min(_context: Any, array: Any, _at: Any, _value: Any) -> Any:
    """Lower an element of a 1-d unsigned array to a value; return what was there."""
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("umin", _pointer(context, builder, signature, args), args[2], "monotonic")
    return array.dtype(array, types.intp, array.dtype), generate


def _atomic_load(_context: Any, array: Any, _at: Any) -> Any:
    """Element of a 1-d int32 array that other threads may be writing."""
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_pointer(context, builder, signature, args), "monotonic", 4)
    return array.dtype(array, types.intp), generate


def _compare_and_swap(_context: Any, array: Any, _at: Any, _old: Any, _new: Any) -> Any:
    """Replace an element of a 1-d array if it holds `old`; return what was there."""
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature, args)
        return builder.extract_value(builder.cmpxchg(pointer, args[2], args[3], "acq_rel", "monotonic"), 0)
    return array.dtype(array, types.intp, array.dtype, array.dtype), generate


popcount: Any = intrinsic(_popcount)
trailing_zeros: Any = intrinsic(_trailing_zeros)
leading_zeros: Any = intrinsic(_leading_zeros)
load_eight: Any = intrinsic(_load_eight)
bytes_within: Any = intrinsic(_bytes_within)
atomic_add: Any = intrinsic(_atomic_add)
atomic_min: Any = intrinsic(_atomic_min)
atomic_load: Any = intrinsic(_atomic_load)
compare_and_swap: Any = intrinsic(_compare_and_swap)


# --- residues ---------------------------------------------------------------------------------------------------------
@njit(cache=True, inline="always")
def occupied(word: np.uint64) -> np.uint64:
    """Lowest bit of each residue that is not 0; of a XOR, of each mismatch."""
    any_bit = word | (word >> _ONE)
    any_bit |= any_bit >> _TWO
    return (any_bit | (word >> _FOUR)) & _LOW


@njit(cache=True, inline="always")
def merged(word: np.uint64) -> np.uint64:
    """The word with I/V and F/Y merged."""
    return word & ~(~(word >> _THREE) & (word >> _TWO) & (word >> _ONE) & _LOW)


@njit(cache=True, inline="always")
def shifted(words: np.ndarray, at: int, stride: int, width: int, word: int, shift: int) -> np.uint64:
    """Twelve residues from residue ``12 * word + shift`` of a sequence whose words lie at ``at + w * stride``.

    Only the lower 60 bits hold residues when `shift` is a multiple of 12; the caller masks.
    """
    first = word + shift // PER_WORD
    bits = np.uint64(RESIDUE_BITS * (shift % PER_WORD))
    low = words[at + first * stride] if first < width else np.uint64(0)
    high = words[at + (first + 1) * stride] if first + 1 < width else np.uint64(0)
    return (low >> bits) | (high << (np.uint64(RESIDUE_BITS * PER_WORD) - bits))
