"""Compiled side of `fastq`: record boundaries in a block of text, names of mates, pieces of reads.

All without the interpreter's lock, so that the thread that inflates is never kept waiting.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic

from ..kernels.barcodes_cpu import pack_one
from ..kernels.whitelists_cpu import bits_set, first_bit

NEED_MORE, FULL, NO_AT, NO_PLUS, LENGTHS, TOO_LONG = 0, 1, 2, 3, 4, 5
TOO_SHORT = -4  # value of n_at for a read that ends before the piece does
_ONE = np.uint64(1)
TOGETHER = 1024  # records whose text stays in the cache until their pieces are packed
WIDE = 64  # bytes looked at together; that many must lie behind the text


def _line_feeds(typingctx: Any, buffer: Any, at: Any) -> Any:
    """Bit k: byte at + k of a contiguous uint8 array is a line feed; 64 bytes in a few vector steps."""
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        lanes = ir.VectorType(ir.IntType(8), WIDE)
        start = builder.gep(array.data, [arguments[1]])
        loaded = builder.load(builder.bitcast(start, lanes.as_pointer()), align=1)
        same = builder.icmp_unsigned("==", loaded, ir.Constant(lanes, [10] * WIDE))
        return builder.bitcast(same, ir.IntType(WIDE))

    return types.uint64(buffer, types.intp), build


line_feeds: Any = intrinsic(_line_feeds)


@njit(cache=True, forceinline=True)
def line_end(buffer: np.ndarray, at: int, size: int) -> int:
    """Place of the first line feed from `at` on, or `size`; the buffer has at least `WIDE` bytes behind `size`."""
    while at < size:
        found = line_feeds(buffer, at)
        if found != np.uint64(0):
            return min(at + first_bit(found), size)
        at += WIDE
    return size


@njit(cache=True, forceinline=True)
def _without_return(buffer: np.ndarray, start: int, end: int) -> int:
    return end - 1 if end > start and buffer[end - 1] == 13 else end


@njit(cache=True, forceinline=True)
def _pack_piece(buffer: np.ndarray, start: int, length: int, first: int, bases: int) -> tuple[np.uint64, int]:
    if length < first + bases:
        return np.uint64(0), TOO_SHORT
    return pack_one(buffer, start + first, bases)


@njit(cache=True, forceinline=True)
def _same_shape(buffer: np.ndarray, at: int, size: int, head: int, bases: int) -> bool:
    """Whether the record at `at` is whole, with a head of `head` bytes, `bases` bases and a bare plus line.

    The record before it says what to expect: a processor that foretells the branch does not wait for where the lines
    end. Four line feeds in their places, and no other, are the proof.
    """
    bases_end = at + head + 1 + bases
    end = bases_end + 3 + bases
    if head < 1 or end >= size or bases < 1:
        return False
    if buffer[at] != 64 or buffer[at + head] != 10 or buffer[end] != 10 or buffer[bases_end] != 10:
        return False
    if buffer[bases_end + 1] != 43 or buffer[bases_end + 2] != 10:
        return False
    if buffer[bases_end - 1] == 13 or buffer[end - 1] == 13:
        return False
    found, here = 0, at
    while here + WIDE <= end:
        found += bits_set(line_feeds(buffer, here))
        here += WIDE
    return found + bits_set(line_feeds(buffer, here) & ((_ONE << np.uint64(end - here)) - _ONE)) == 3


@njit(cache=True)
def _find_lines(buffer: np.ndarray, at: int, size: int, longest: int) -> tuple[int, int, int, int, int]:
    """Ends of the four lines of the record at `at`, the last negative where there is none, and why."""
    head_end = line_end(buffer, at, size)
    if at < size and buffer[at] != 64:
        return 0, 0, 0, -1, NO_AT
    bases_end = line_end(buffer, head_end + 1, size)
    plus_end = line_end(buffer, bases_end + 1, size)
    if bases_end < size and bases_end + 1 < size and buffer[bases_end + 1] != 43:
        return 0, 0, 0, -1, NO_PLUS
    end = line_end(buffer, plus_end + 1, size)
    if end >= size:
        return 0, 0, 0, -1, TOO_LONG if size - at > 4 * longest + 65536 else NEED_MORE
    return head_end, bases_end, plus_end, end, FULL


@njit(cache=True)
def _find_records(buffer: np.ndarray, at: int, size: int, longest: int, name: np.ndarray, start: np.ndarray,
                  length: np.ndarray, quality: np.ndarray, n: int) -> tuple[int, int, int]:
    head, bases = 0, 0
    while n < start.size:
        if _same_shape(buffer, at, size, head, bases):
            from_quality = at + head + bases + 4
            end = from_quality + bases
        else:
            while at < size and (buffer[at] == 10 or buffer[at] == 13):
                at += 1
            head_end, bases_end, plus_end, end, why = _find_lines(buffer, at, size, longest)
            if end < 0:
                return at, n, why
            head, bases = head_end - at, _without_return(buffer, head_end + 1, bases_end) - head_end - 1
            if bases > longest:
                return at, n, TOO_LONG
            if _without_return(buffer, plus_end + 1, end) - plus_end - 1 != bases:
                return at, n, LENGTHS
            from_quality = plus_end + 1
        name[n], start[n], length[n], quality[n] = at + 1, at + head + 1, bases, from_quality
        n += 1
        at = end + 1
    return at, n, FULL


@njit(cache=True)
def _pack_rows(buffer: np.ndarray, start: np.ndarray, length: np.ndarray, first: int, bases: int, codes: np.ndarray,
               n_at: np.ndarray) -> None:
    for row in range(start.size):
        codes[row], n_at[row] = _pack_piece(buffer, start[row], length[row], first, bases)


@njit(cache=True, nogil=True)
def parse_records(buffer: np.ndarray, at: int, size: int, longest: int, name: np.ndarray, start: np.ndarray,
                  length: np.ndarray, quality: np.ndarray, pieces: np.ndarray, codes: np.ndarray,
                  n_at: np.ndarray) -> tuple[int, int, int]:
    """Find whole records from `at` on, as many as there is room for.

    The `pieces` (first base, bases) of each read are packed while the text is in the cache, into codes[piece] and
    n_at[piece]. Returns the byte behind the last whole record, the records found, and why it stopped.
    """
    n, why = 0, FULL
    while n < start.size and why == FULL:
        most = min(n + TOGETHER, start.size)
        at, stop, why = _find_records(buffer, at, size, longest, name[:most], start[:most], length[:most],
                                      quality[:most], n)
        for piece in range(pieces.shape[0]):
            _pack_rows(buffer, start[n:stop], length[n:stop], pieces[piece, 0], pieces[piece, 1], codes[piece, n:stop],
                       n_at[piece, n:stop])
        n = stop
    return at, n, why


@njit(cache=True, nogil=True)
def first_stranger(one: np.ndarray, name_one: np.ndarray, two: np.ndarray, name_two: np.ndarray) -> int:
    """First row whose two reads have different names (up to a blank, or a final /1 and /2), or -1."""
    for row in range(name_one.size):
        a, b = name_one[row], name_two[row]
        while one[a] == two[b] and one[a] > 32:
            a += 1
            b += 1
        if one[a] <= 32 and two[b] <= 32:
            continue
        slashed = one[a - 1] == 47 and one[a] == 49 and two[b] == 50
        if not (slashed and one[a + 1] <= 32 and two[b + 1] <= 32):
            return row
    return -1


@njit(cache=True, nogil=True, parallel=True)
def pack_pieces(buffer: np.ndarray, start: np.ndarray, length: np.ndarray, first: int, bases: int, codes: np.ndarray,
                n_at: np.ndarray) -> None:
    """Pack bases first ... first + bases - 1 of every read; reads that end earlier get n_at = TOO_SHORT."""
    for row in prange(start.size):
        codes[row], n_at[row] = _pack_piece(buffer, start[row], length[row], first, bases)


@njit(cache=True, nogil=True)
def copy_pieces(buffer: np.ndarray, start: np.ndarray, rows: np.ndarray, first: int, out: np.ndarray) -> None:
    """Copy bytes first ... first + width - 1 of the rows listed, from places `start`."""
    for i in range(rows.size):
        at = start[rows[i]] + first
        for k in range(out.shape[1]):
            out[i, k] = buffer[at + k]


@njit(cache=True, nogil=True)
def lowest_quality(buffer: np.ndarray, quality: np.ndarray, length: np.ndarray, first: int, bases: int,
                   out: np.ndarray) -> None:
    """Lowest quality byte of a piece of every read; 0 for reads that end earlier."""
    for row in range(quality.size):
        lowest = 255 if length[row] >= first + bases else 0
        if lowest:
            for k in range(bases):
                lowest = min(lowest, buffer[quality[row] + first + k])
        out[row] = lowest


@njit(cache=True)
def copy_reads(buffer: np.ndarray, start: np.ndarray, offsets: np.ndarray, out: np.ndarray) -> None:
    """Copy the bases of every read from `buffer`, from places `start`, to its place in `out`."""
    for row in range(start.size):
        at = start[row]
        for k in range(offsets[row], offsets[row + 1]):
            out[k] = buffer[at]
            at += 1
