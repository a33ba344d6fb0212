"""Junctions as bytes, one behind the other: compared and ordered without a Python object each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from .sorting import ranks

_N, _C, _G, _T = np.uint8(ord("N")), np.uint8(ord("C")), np.uint8(ord("G")), np.uint8(ord("T"))
_AT_ONCE = 1 << 16  # words that are spelled in one go
_PER_PART = 24  # letters that one 64-bit number holds in base 6: end, A, C, G, N, T
_DIGIT = np.zeros(256, np.int64)
_DIGIT[list(b"ACGNT")] = range(1, 6)


class Letters(NamedTuple):
    """Words over ACGT and N.

    Attributes
    ----------
    content
        uint8: ASCII letters.
    start, end
        int64 (n): word i is ``content[start[i]:end[i]]``.
    """

    content: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @property
    def length(self) -> np.ndarray:
        """Letters of every word, int64 (n)."""
        return self.end - self.start

    def take(self, rows: np.ndarray) -> Letters:
        """The words of the rows."""
        return Letters(self.content, self.start[rows], self.end[rows])

    def texts(self) -> list[bytes]:
        """Every word as bytes."""
        whole = self.content.tobytes()
        return [whole[a:b] for a, b in zip(self.start.tolist(), self.end.tolist(), strict=True)]

    def rank(self) -> np.ndarray:
        """Rank of every word in the alphabet, int32 (n); equal words share the lowest."""
        return ranks(self.start.size, lambda rows, k: _part(self.content, self.start, self.end, rows, k, _DIGIT))

    def wildcards(self) -> np.ndarray:
        """Number of N of every word, int32 (n)."""
        return np.asarray(_count(self.content, self.start, self.end, _N))


def letters(texts: Sequence[str] | np.ndarray) -> Letters:
    """Words as `Letters`."""
    bounds = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=bounds[1:])
    content = np.empty(bounds[-1], np.uint8)
    for low in range(0, len(texts), _AT_ONCE):
        part = "".join(texts[low:low + _AT_ONCE]).encode("ascii")
        content[bounds[low]:bounds[low] + len(part)] = np.frombuffer(part, np.uint8)
    return Letters(content, bounds[:-1], bounds[1:])


def cores(junctions: Letters) -> Letters:
    """`normalise.core` of every word: without its two anchor codons, unchanged where it does not begin with Cys."""
    return Letters(junctions.content, *_inner(*junctions))


@njit(cache=True)
def _inner(content, start, end):  # type: ignore[no-untyped-def]
    first, last = start.copy(), end.copy()
    for i in range(start.size):
        at = start[i]
        if end[i] - at > 9 and content[at] == _T and content[at + 1] == _G and content[at + 2] in (_T, _C):
            first[i], last[i] = at + 3, end[i] - 3
    return first, last


@njit(cache=True)
def _part(content, start, end, rows, k, digit):  # type: ignore[no-untyped-def]
    out = np.zeros(rows.size, np.int64)
    for i in range(rows.size):
        begin, stop = start[rows[i]] + k * _PER_PART, end[rows[i]]
        for at in range(begin, begin + _PER_PART):
            out[i] = out[i] * 6 + (digit[content[at]] if at < stop else 0)
    return out


@njit(cache=True)
def _count(content, start, end, letter):  # type: ignore[no-untyped-def]
    out = np.zeros(start.size, np.int32)
    for i in range(start.size):
        for at in range(start[i], end[i]):
            out[i] += content[at] == letter
    return out


@njit(cache=True)
def matches(content, start, wild, length, rows):  # type: ignore[no-untyped-def]
    """Whether the word at `wild`, N standing for any letter, can mean each of the rows of equal length; bool."""
    out = np.ones(rows.size, np.bool_)
    for i in range(rows.size):
        for at in range(length):
            letter = content[wild + at]
            out[i] &= letter == _N or letter == content[start[rows[i]] + at]
    return out


@njit(cache=True)
def differ_by_one(content, a, b, length):  # type: ignore[no-untyped-def]
    """Whether the words of equal length that start at a and b differ in exactly one letter."""
    different = 0
    for at in range(length):
        different += content[a + at] != content[b + at]
        if different > 1:
            return False
    return different == 1
