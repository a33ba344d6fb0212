"""Compiled side of `fastq`: record boundaries in a block of text, names of mates, pieces of reads.

All without the interpreter's lock, so that the thread that inflates is never kept waiting.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from ..kernels.barcodes_cpu import pack_one
from ..kernels.whitelists_cpu import load8, lowest_byte

NEED_MORE, FULL, NO_AT, NO_PLUS, LENGTHS, TOO_LONG = 0, 1, 2, 3, 4, 5
TOO_SHORT = -4  # value of n_at for a read that ends before the piece does
_ONES, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)


@njit(cache=True, forceinline=True)
def line_end(buffer: np.ndarray, at: int, size: int) -> int:
    """Place of the first line feed from `at` on, or `size`; eight bytes at a time."""
    while at + 8 <= size:
        x = load8(buffer, at) ^ _NEWLINES
        found = (x - _ONES) & ~x & _HIGHS  # its lowest byte that is not 0 is the first line feed
        if found != np.uint64(0):
            return at + lowest_byte(found)
        at += 8
    while at < size and buffer[at] != 10:
        at += 1
    return at


@njit(cache=True, forceinline=True)
def _without_return(buffer: np.ndarray, start: int, end: int) -> int:
    return end - 1 if end > start and buffer[end - 1] == 13 else end


@njit(cache=True, forceinline=True)
def _pack_piece(buffer: np.ndarray, start: int, length: int, first: int, bases: int) -> tuple[np.uint64, int]:
    if length < first + bases:
        return np.uint64(0), TOO_SHORT
    return pack_one(buffer, start + first, bases)


@njit(cache=True, nogil=True)
def parse_records(buffer: np.ndarray, at: int, size: int, longest: int, name: np.ndarray, start: np.ndarray,
                  length: np.ndarray, quality: np.ndarray, n: int, pieces: np.ndarray, codes: np.ndarray,
                  n_at: np.ndarray) -> tuple[int, int, int]:
    """Find whole records from `at` on and append their places from row `n` on.

    The `pieces` (first base, bases) of each read are packed on the way, into codes[piece] and n_at[piece].
    Returns the byte behind the last whole record, the rows filled, and why it stopped.
    """
    while n < start.size:
        while at < size and (buffer[at] == 10 or buffer[at] == 13):
            at += 1
        head_end = line_end(buffer, at, size)
        if at < size and buffer[at] != 64:
            return at, n, NO_AT
        bases_end = line_end(buffer, head_end + 1, size)
        plus_end = line_end(buffer, bases_end + 1, size)
        if bases_end < size and bases_end + 1 < size and buffer[bases_end + 1] != 43:
            return at, n, NO_PLUS
        end = line_end(buffer, plus_end + 1, size)
        if end >= size:
            return at, n, TOO_LONG if size - at > 4 * longest + 65536 else NEED_MORE
        bases = _without_return(buffer, head_end + 1, bases_end) - head_end - 1
        if bases > longest:
            return at, n, TOO_LONG
        if _without_return(buffer, plus_end + 1, end) - plus_end - 1 != bases:
            return at, n, LENGTHS
        name[n], start[n], length[n], quality[n] = at + 1, head_end + 1, bases, plus_end + 1
        for piece in range(pieces.shape[0]):
            codes[piece, n], n_at[piece, n] = _pack_piece(buffer, head_end + 1, bases, pieces[piece, 0],
                                                          pieces[piece, 1])
        n += 1
        at = end + 1
    return at, n, FULL


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
