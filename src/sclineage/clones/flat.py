"""Columns of scirpy's AIRR array as flat NumPy arrays, without a Python object per chain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numba import njit

_BASIS, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_FIRST = 1 << 12  # places of a table of strings at first
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Words:
    """A column of strings, numbered in the order in which they first appear.

    Attributes
    ----------
    codes
        Integer (n,): number of the string, -1 where it is missing.
    texts
        object (distinct,): the strings.
    """

    codes: np.ndarray
    texts: np.ndarray

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Strings of the rows, ``""`` for a row of -1 and where the string is missing; object."""
        if self.codes.size == 0 or self.texts.size == 0:
            return np.full(len(rows), "", dtype=object)
        codes = self.codes[rows]
        missing = (np.asarray(rows) < 0) | (codes < 0)
        codes[missing] = 0
        out = self.texts[codes]
        out[missing] = ""
        return out

    def take_all(self) -> np.ndarray:
        """Strings of all rows."""
        return self.take(np.arange(self.codes.size))

    def of_use(self) -> Words:
        """The same without strings that no row has."""
        kept = np.flatnonzero(used(self.codes, self.texts.size))
        return self if kept.size == self.texts.size else self.chosen(kept)

    def chosen(self, kept: np.ndarray) -> Words:
        """The same with the strings `kept`, in that order: all that any row has."""
        number = np.full(self.texts.size, -1, self.codes.dtype)
        number[kept] = np.arange(kept.size, dtype=self.codes.dtype)
        return Words(renumbered(self.codes, number), self.texts[kept])


@njit(cache=True)
def used(codes, n):  # type: ignore[no-untyped-def]
    """Which of the codes ``0..n-1`` occur."""
    out = np.zeros(n, np.bool_)
    for row in range(codes.size):
        if codes[row] >= 0:
            out[codes[row]] = True
    return out


@njit(cache=True)
def renumbered(codes, number):  # type: ignore[no-untyped-def]
    """``number[codes]``, of the numbers' type; negative codes stay."""
    out = np.full(codes.size, -1, number.dtype)
    for row in range(codes.size):
        if codes[row] >= 0:
            out[row] = number[codes[row]]
    return out


@njit(cache=True)
def _number(content, start, end, present):  # type: ignore[no-untyped-def]
    """Number byte strings by first appearance: int32 code of every row, -1 where absent, and the row of each number."""
    codes, firsts, keys, found = (np.full(start.size, -1, np.int32), np.empty(_FIRST // 2, np.int32),
                                  np.empty(_FIRST // 2, np.uint64), 0)
    table = np.full(_FIRST, -1, np.int32)  # grows with what is found, so that few strings stay in the cache
    for row in range(codes.size):
        if not present[row]:
            continue
        key = _BASIS
        for at in range(start[row], end[row]):
            key = (key ^ np.uint64(content[at])) * _PRIME
        place = np.int64((key * _SPREAD) >> np.uint64(32)) & (table.size - 1)
        while table[place] >= 0:
            code = table[place]
            if keys[code] == key and _equal(content, start[row], end[row], start[firsts[code]], end[firsts[code]]):
                codes[row] = code
                break
            place = (place + 1) & (table.size - 1)
        if codes[row] >= 0:
            continue
        if found == firsts.size:
            firsts, keys = np.concatenate((firsts, firsts)), np.concatenate((keys, keys))
            table = _rehashed(keys, found, 4 * found)
            place = np.int64((key * _SPREAD) >> np.uint64(32)) & (table.size - 1)
            while table[place] >= 0:
                place = (place + 1) & (table.size - 1)
        table[place] = codes[row] = found
        firsts[found], keys[found] = row, key
        found += 1
    return codes, firsts[:found]


@njit(cache=True)
def _rehashed(keys, n, size):  # type: ignore[no-untyped-def]
    """Table of the first `n` keys."""
    table = np.full(size, -1, np.int32)
    for code in range(n):
        place = np.int64((keys[code] * _SPREAD) >> np.uint64(32)) & (size - 1)
        while table[place] >= 0:
            place = (place + 1) & (size - 1)
        table[place] = code
    return table


@njit(cache=True, forceinline=True)
def _equal(content, a, a_end, b, b_end):  # type: ignore[no-untyped-def]
    """Whether two byte strings are equal."""
    same, at = a_end - a == b_end - b, 0
    while same and a + at < a_end:
        same = content[a + at] == content[b + at]
        at += 1
    return same


def one_spelling(codes: np.ndarray, texts: Iterable[str]) -> Words:
    """Words from codes (-1: the empty string) and texts, of which some may be equal."""
    number, distinct = pd.factorize(np.array([*texts, ""], dtype=object))
    return Words(number.astype(np.int32)[codes], np.asarray(distinct, dtype=object))


def _flat(airr: Any, name: str) -> Any:
    import awkward as ak

    return ak.flatten(airr[name], axis=1)


def words(airr: Any, name: str) -> Words:
    """A column of strings (see `Words`); all missing where the array has no such column."""
    import awkward as ak

    n = int(ak.sum(ak.num(airr, axis=1))) if len(airr) else 0
    if n == 0 or name not in ak.fields(airr):
        return Words(np.full(n, -1, np.int32), np.zeros(0, object))
    found = _spans(_flat(airr, name).layout)
    if found is None:  # not strings alone
        column = pd.Series(ak.to_list(_flat(airr, name)), dtype=object)
        codes, texts = pd.factorize(column.where(column.isna(), column.astype(str)))
        return Words(codes.astype(np.int32), np.asarray(texts, dtype=object))
    content, start, end, present = found
    codes, firsts = _number(content, start, end, present)
    return Words(codes, _texts(content, start[firsts], end[firsts]))


def _texts(content: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Strings from their bytes; where all are ASCII they are decoded at once."""
    whole, out = content.tobytes(), np.empty(start.size, dtype=object)
    spans = zip(start.tolist(), end.tolist(), strict=True)
    if whole.isascii():
        text = whole.decode("ascii")
        out[:] = [text[a:b] for a, b in spans]
    else:
        out[:] = [whole[a:b].decode() for a, b in spans]
    return out


def _spans(layout: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Bytes of a column of strings, and start, end and presence of every one; None if it holds something else."""
    index = None
    if layout.is_option or layout.is_indexed:
        layout = layout if hasattr(layout, "index") else layout.to_IndexedOptionArray64()
        index, layout = np.asarray(layout.index.data, np.int64), layout.content
    if not layout.is_list or layout.parameter("__array__") != "string":
        return None
    start, end = (np.ascontiguousarray(ends.data, np.int64) for ends in (layout.starts, layout.stops))
    content = np.ascontiguousarray(layout.content.data)
    if index is None:
        return content, start, end, np.ones(start.size, bool)
    if start.size == 0:
        return content, np.zeros(index.size, np.int64), np.zeros(index.size, np.int64), np.zeros(index.size, bool)
    return content, start[index], end[index], index >= 0


def numbers(airr: Any, name: str) -> np.ndarray:
    """A column of numbers, float64 (n,), 0 where it is missing."""
    import awkward as ak

    if name not in ak.fields(airr):
        return np.zeros(int(ak.sum(ak.num(airr, axis=1))) if len(airr) else 0)
    values = ak.to_numpy(ak.fill_none(_flat(airr, name), 0))
    return np.asarray(values, dtype=np.float64)


def flags(airr: Any, name: str, *, missing: bool) -> np.ndarray:
    """A column of truth values, bool (n,)."""
    import awkward as ak

    if name not in ak.fields(airr):
        return np.full(numbers(airr, name).size, missing)
    return np.asarray(ak.to_numpy(ak.fill_none(_flat(airr, name), missing)), dtype=bool)


def cells(airr: Any) -> np.ndarray:
    """Cell of every chain, int64 (n,)."""
    import awkward as ak

    counts = ak.to_numpy(ak.num(airr, axis=1)) if len(airr) else np.zeros(0, np.int64)
    return np.repeat(np.arange(len(airr)), counts)
