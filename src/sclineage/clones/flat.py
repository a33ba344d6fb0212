"""Columns of scirpy's AIRR array as flat NumPy arrays, without a Python object per chain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numba import njit

_BASIS, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
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
def _number(content: np.ndarray, start: np.ndarray, end: np.ndarray, present: np.ndarray, table: np.ndarray,
            codes: np.ndarray) -> np.ndarray:
    """Number byte strings by first appearance; return the row in which each appeared. `table`: -1, a power of two."""
    firsts, found, mask = np.empty(codes.size, dtype=np.int64), 0, table.size - 1
    for row in range(codes.size):
        codes[row] = -1
        if not present[row]:
            continue
        key, length = _BASIS, end[row] - start[row]
        for at in range(start[row], end[row]):
            key = (key ^ np.uint64(content[at])) * _PRIME
        place = np.int64((key * _SPREAD) >> np.uint64(32)) & mask
        while codes[row] < 0:
            code = table[place]
            if code < 0:
                table[place] = codes[row] = found
                firsts[found] = row
                found += 1
                continue
            other = start[firsts[code]]
            same = end[firsts[code]] - other == length
            at = 0
            while same and at < length:
                same = content[other + at] == content[start[row] + at]
                at += 1
            if same:
                codes[row] = code
            place = (place + 1) & mask
    return firsts[:found]


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
        return Words(np.full(n, -1, np.int64), np.zeros(0, object))
    found = _spans(_flat(airr, name).layout)
    if found is None:  # not strings alone
        column = pd.Series(ak.to_list(_flat(airr, name)), dtype=object)
        codes, texts = pd.factorize(column.where(column.isna(), column.astype(str)))
        return Words(codes.astype(np.int64), np.asarray(texts, dtype=object))
    content, start, end, present = found
    table, codes = np.full(1 << int(2 * n).bit_length(), -1, np.int64), np.empty(n, np.int64)
    firsts = _number(content, start, end, present, table, codes)
    whole = content.tobytes()
    spans = zip(start[firsts].tolist(), end[firsts].tolist(), strict=True)
    return Words(codes, np.array([*(whole[a:b].decode() for a, b in spans), None], dtype=object)[:-1])


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
