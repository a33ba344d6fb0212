"""Tables of cells or clones that a user gives: read as text, shared out among the patients of a sheet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from .._errors import InputError, nearest
from .text import read_table

Given = str | os.PathLike[str] | pd.DataFrame
MISSING = ("", "na", "n/a", "nan", "none", "null", "<na>")


def name_of(given: Given) -> str:
    """What a message calls it: the path, or the file that a frame was read from."""
    return str(given.attrs.get("file", "table")) if isinstance(given, pd.DataFrame) else os.fspath(given)


def rows(given: Given, *, fix: str) -> pd.DataFrame:
    """Rows of a CSV, a TSV or a frame as text: lower-case columns, None where missing, index the row below the header.

    Raises
    ------
    InputError
        An absent or empty file, no row, or a table that is not regular; `fix` says what is wanted.
    """
    if isinstance(given, pd.DataFrame):
        frame = given.copy() if "file" in given.attrs else given.reset_index(drop=True)  # rows keep their numbers
    else:
        if not Path(given).is_file():
            raise InputError(given, "no such column in the data, and no such file", fix)
        if Path(given).stat().st_size == 0:
            raise InputError(given, "the file is empty", fix)
        frame = read_table(given)
    frame = frame.rename(columns={c: str(c).strip().lower() for c in frame.columns})
    if frame.empty:
        raise InputError(name_of(given), "no row", fix)
    text = frame.astype(object).where(frame.notna(), "").astype(str).apply(lambda c: c.str.strip())
    text = text.where(~text.apply(lambda c: c.str.lower().isin(MISSING)), None)
    text.attrs["file"] = name_of(given)
    return text


def share_out(frame: pd.DataFrame, sheet: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of each patient of a sheet of several (``patient, sample``); patients without a row are left out.

    A row says its patient by ``patient``, by ``sample``, or by the patient that begins its ``clone_id``.

    Raises
    ------
    InputError
        A row names a patient or sample that the sheet does not hold, or none.
    """
    patients = sorted(set(sheet["patient"].astype(str)))
    of_sample = dict(zip(sheet["sample"].astype(str), sheet["patient"].astype(str), strict=True))
    owner = pd.Series([_owner(row, name_of(frame), patients, of_sample) for _, row in frame.iterrows()],
                      index=frame.index)
    out = {p: frame[owner == p] for p in patients if (owner == p).any()}
    for part in out.values():
        part.attrs["file"] = name_of(frame)
    return out


def row_number(row: pd.Series) -> int:
    """Line of a row in its file, the header being line 1."""
    return int(str(row.name)) + 2


def _owner(row: pd.Series, file: str, patients: list[str], of_sample: Mapping[str, str]) -> str:
    clone = row.get("clone_id") or ""
    said = {"patient": row.get("patient"), "sample": row.get("sample"),
            "clone_id": clone.split(":")[0] if ":" in clone else None}
    known = {"patient": dict(zip(patients, patients, strict=True)), "sample": of_sample}
    known["clone_id"] = known["patient"]
    for column, word in said.items():
        if not word:
            continue
        if word not in known[column]:
            raise InputError(file, f"{word!r} is no {'sample' if column == 'sample' else 'patient'} of the sheet",
                             nearest(word, sorted(known[column])), place=f"row {row_number(row)}, column {column!r}")
        return known[column][word]
    raise InputError(file, "does not say of which patient it is", "give a column sample or patient",
                     place=f"row {row_number(row)}")
