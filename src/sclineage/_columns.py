"""A registered column, and the columns that most tables begin with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A written column: `dtype` is one of str, int, float, bool; `words` the allowed values, if it has an enum."""

    name: str
    dtype: str
    meaning: str
    words: tuple[str, ...] = ()


def column(name: str, dtype: str, meaning: str, words: tuple[str, ...] = ()) -> Column:
    """A column."""
    return Column(name, dtype, meaning, words)


KEY = [column("patient", "str", "patient id of the sheet")]
CLONE = [*KEY, column("clone_id", "str", "stable id: patient and a hash of the anchor chain")]
