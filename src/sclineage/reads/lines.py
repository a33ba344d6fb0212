"""Compiled parsing of barcode lists."""

from __future__ import annotations

import numpy as np
from numba import njit

from ..kernels.barcodes_cpu import NO_N, pack_one

FIELD_LENGTH, FIELD_LETTER = 1, 2  # what is wrong with a line


def first_field(text: bytes | bytearray) -> bytes:
    """First field of the first line that is not empty, without a ``-1``."""
    fields = bytes(text).replace(b",", b" ").split(None, 1)
    word = fields[0] if fields else b""
    bases, dash, well = word.rpartition(b"-")
    return bases if dash and well.isdigit() else word


@njit(cache=True)
def _blank(letter: int) -> bool:
    return letter == 32 or letter == 9 or letter == 44 or letter == 13 or letter == 10


@njit(cache=True)
def parse_barcodes(buffer: np.ndarray, length: int, codes: np.ndarray, n: int, lines: int,
                   ) -> tuple[int, int, int, int]:
    """Pack the first field of each whole line of `buffer` into `codes` from row `n` on.

    Returns the bytes used (up to the faulty line, if one is), the new `n` and number of lines, and the fault (0: none).
    """
    at = 0
    while True:
        if at + length < buffer.size and buffer[at + length] == 10:  # the usual line: bases and nothing else
            code, n_at = pack_one(buffer, at, length)
            if n_at == NO_N:
                codes[n] = code
                n, lines, at = n + 1, lines + 1, at + length + 1
                continue
        end = at
        while end < buffer.size and buffer[end] != 10:
            end += 1
        if end == buffer.size:
            return at, n, lines, 0
        start = at
        while start < end and _blank(buffer[start]):
            start += 1
        stop = start
        while stop < end and not _blank(buffer[stop]) and buffer[stop] != 45:
            stop += 1
        if stop > start:
            if stop - start != length:
                return at, n, lines, FIELD_LENGTH
            code, n_at = pack_one(buffer, start, length)
            if n_at != NO_N:
                return at, n, lines, FIELD_LETTER
            codes[n] = code
            n += 1
        at = end + 1
        lines += 1
