"""Columns of scirpy's AIRR array as flat NumPy arrays, without a Python object per chain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from . import flat_cells as cells_


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
            return repeated("", len(rows))
        codes = self.codes[rows]
        missing = (np.asarray(rows) < 0) | (codes < 0)
        codes[missing] = 0
        out = self.texts[codes]
        out[missing] = ""
        return out

    def take_all(self) -> np.ndarray:
        """Strings of all rows."""
        return np.append(self.texts, np.array([""], dtype=object))[self.codes]

    def of_use(self) -> Words:
        """The same without strings that no row has."""
        kept = np.flatnonzero(cells_.used(self.codes, self.texts.size))
        return self if kept.size == self.texts.size else self.chosen(kept)

    def chosen(self, kept: np.ndarray) -> Words:
        """The same with the strings `kept`, in that order: all that any row has."""
        number = np.full(self.texts.size, -1, self.codes.dtype)
        number[kept] = np.arange(kept.size, dtype=self.codes.dtype)
        return Words(cells_.renumbered(self.codes, number), self.texts[kept])


def repeated(text: str, n: int) -> np.ndarray:
    """An object array of one and the same text (`np.full` makes a new one for every row)."""
    return np.array([text], dtype=object).repeat(n)


def one_spelling(codes: np.ndarray, texts: Iterable[str]) -> Words:
    """Words from codes (-1: the empty string) and texts, of which some may be equal."""
    number, distinct = pd.factorize(np.array([*texts, ""], dtype=object))
    return Words(number.astype(np.int32)[codes], np.asarray(distinct, dtype=object))


class Spans(NamedTuple):
    """A column of strings as their bytes.

    Attributes
    ----------
    content
        uint8: UTF-8 letters.
    start, end
        int64 (n): string i is ``content[start[i]:end[i]]``; where it is missing `end` lies before `start`.
    """

    content: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, texts: list[str]) -> Spans:
        """Spans of strings."""
        content = np.frombuffer(bytearray("\0".join([*texts, ""]).encode()), np.uint8)
        end = np.flatnonzero(content == 0)
        if end.size != len(texts):  # a string holds the very letter between them
            end = np.cumsum([len(text.encode()) + 1 for text in texts]) - 1
        return cls(content, np.append(0, end + 1)[:len(texts)], end)

    @classmethod
    def of_any(cls, values: list[Any]) -> Spans:
        """Spans of any objects as text; None and NaN are missing."""
        missing = np.array([value is None or value != value for value in values], bool)
        found = cls.of(["" if absent else str(value) for value, absent in zip(values, missing, strict=True)])
        return Spans(found.content, found.start, np.where(missing, found.start - 1, found.end))

    def present(self) -> np.ndarray:
        """Which strings are not missing."""
        return self.end >= self.start

    def number(self) -> tuple[np.ndarray, np.ndarray]:
        """Code of every string by first appearance, int32, -1 where it is missing; and the row of each code."""
        codes, firsts = cells_.number(*self)
        return codes, firsts

    def words(self) -> Words:
        """The strings as `Words`."""
        codes, firsts = self.number()
        return Words(codes, self.take(firsts).texts())

    def take(self, rows: np.ndarray) -> Spans:
        """The strings of the rows; of a row of -1 a missing one."""
        return Spans(self.content, *cells_.taken(self.start, self.end, rows))

    def texts(self) -> np.ndarray:
        """The strings, missing ones as ``""``; object."""
        found = apart(cells_.joined(*self))
        if found.size != self.start.size:  # a string holds the very letter between them
            spans = zip(self.start, self.end, strict=True)
            found = np.fromiter((self.content[a:b].tobytes().decode() for a, b in spans), object, self.start.size)
        return found


def apart(joined: np.ndarray) -> np.ndarray:
    """Strings from their bytes, each with a zero byte behind it; object."""
    found = joined.tobytes().decode().split("\0")
    return np.fromiter(found[:-1], object, len(found) - 1)


class Chains:
    """Chains of scirpy's AIRR array, one behind the other; a column is read when it is asked for.

    Attributes
    ----------
    ptr
        int64 (n_cells + 1): the chains of cell i are the rows ``ptr[i]`` to ``ptr[i + 1]``.
    names
        Columns that there are.
    """

    def __init__(self, airr: Any) -> None:
        import awkward as ak

        self.ptr, self.names = np.zeros(len(airr) + 1, np.int64), ak.fields(airr)
        if len(airr):
            np.cumsum(ak.to_numpy(ak.num(airr, axis=1)), out=self.ptr[1:])
        self._flat: Any = ak.flatten(airr, axis=1) if len(self) else None

    def __len__(self) -> int:
        return int(self.ptr[-1])

    def cells(self) -> np.ndarray:
        """Cell of every chain, int64 (n,)."""
        return np.repeat(np.arange(self.ptr.size - 1), np.diff(self.ptr))

    def spans(self, name: str) -> Spans:
        """A column of strings; all missing where the array has no such column."""
        import awkward as ak

        if name not in self.names or not len(self):
            return Spans(np.zeros(0, np.uint8), np.zeros(len(self), np.int64), np.full(len(self), -1, np.int64))
        return _spans(self._flat[name].layout) or Spans.of_any(ak.to_list(self._flat[name]))

    def values(self, name: str) -> np.ndarray:
        """A column as it is, (n,); object with None where values are missing, and of strings."""
        import awkward as ak

        column = self._flat[name]
        if (spans := _spans(column.layout)) is not None:
            words = spans.words()
            return np.append(words.texts, np.array([None], dtype=object))[words.codes]
        if column.layout.is_union or column.layout.is_list:
            return np.array([*ak.to_list(column), None], dtype=object)[:-1]
        found = ak.to_numpy(column)
        if not isinstance(found, np.ma.MaskedArray):
            return found
        out = np.asarray(found.data).astype(object)
        out[np.ma.getmaskarray(found)] = None
        return out

    def numbers(self, name: str) -> np.ndarray:
        """A column of numbers, float64 (n,), 0 where it is missing."""
        return self._filled(name, 0).astype(np.float64)

    def flags(self, name: str, *, missing: bool) -> np.ndarray:
        """A column of truth values, bool (n,)."""
        return self._filled(name, missing).astype(bool)

    def _filled(self, name: str, missing: float) -> np.ndarray:
        import awkward as ak

        if name not in self.names or not len(self):
            return np.full(len(self), missing)
        column = self._flat[name]
        return np.asarray(ak.to_numpy(ak.fill_none(column, missing) if column.layout.is_option else column))


def _spans(layout: Any) -> Spans | None:
    """Spans of a column; None if it holds something else than strings."""
    index = None
    if layout.is_option or layout.is_indexed:
        layout = layout if hasattr(layout, "index") else layout.to_IndexedOptionArray64()
        index, layout = np.asarray(layout.index.data, np.int64), layout.content
    if not layout.is_list or layout.parameter("__array__") != "string":
        return None
    content = np.require(layout.content.data, np.uint8, ["C", "W"])  # compiled code knows one kind of array
    whole = Spans(content, *(np.require(ends.data, np.int64, ["C", "W"]) for ends in (layout.starts, layout.stops)))
    if index is None:
        return whole
    return whole.take(index)
