"""The sample sheet: one row per sample, every fault found at once, every column typed."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from .._errors import Fault, InputError, InputErrors, nearest
from .._schema import CAR_COUNTING, DIAGNOSES, ROLES, SELECTIONS, SHEET_COLUMNS
from ..reads.chemistries import chemistry
from .spec import row_constructs
from .text import read_text, separator

NUMBERS: dict[str, tuple[float, float]] = {
    "day": (-np.inf, np.inf), "car_fraction": (0.0, 1.0), "car_fraction_n": (1.0, np.inf), "vcn_target": (0.0, np.inf),
    "vcn_reference": (1.0, np.inf), "purity": (0.0, 1.0),
}
FILES = ("gex", "cells", "raw", "vdj", "vdj_all", "molecules", "alleles", "bulk_tcr")
LISTS = ("vdj", "vdj_all", "bulk_tcr")  # several files, separated by ';'
UNUSED = ("bulk_tcr",)  # read and checked, not used yet
_IDS = ("patient", "sample", "specimen", "gem_well", "pool")
_NAMED_PATH = re.compile(r"(?P<name>[\w.-]+)=(?P<path>.+)")


def read_sheet(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read and check a sample sheet.

    Parameters
    ----------
    path
        CSV or TSV (told by its header), UTF-8 with or without BOM; file names in it are relative to its folder.

    Returns
    -------
    One row per sample, index = sample, sorted by (patient, sample), with every column of `_schema.SHEET_COLUMNS`: day,
    car_fraction, car_fraction_n, vcn_target, vcn_reference and purity float64 (missing NaN), the rest text (missing
    empty). ``specimen`` and ``gem_well`` default to the sample, ``selection`` and ``car_counting`` to ``unknown``. File
    names are absolute; lists of them keep their separators.

    Raises
    ------
    InputErrors
        All faults that `sheet_faults` finds.
    """
    faults, rows = examine(path)
    if faults or rows is None:
        raise InputErrors(faults)
    return rows


def sheet_faults(path: str | os.PathLike[str]) -> list[Fault]:
    """All faults of a sample sheet at once; files are only looked for, not opened."""
    return examine(path)[0]


def examine(path: str | os.PathLike[str]) -> tuple[list[Fault], pd.DataFrame | None]:
    """Faults of a sheet, and its rows as `read_sheet` types them with the faulty cells emptied.

    The rows are what can still be looked into: `check` reports the faults of their files too. None when the sheet
    cannot be read at all or lacks its ids.
    """
    try:
        rows = _rows(path)
    except InputError as error:
        return error.faults, None
    file, folder = str(path), Path(path).resolve().parent
    faults = _column_faults(file, rows)
    lacks_ids = not {"patient", "sample"} <= set(rows.columns)
    full = rows.reindex(columns=list(SHEET_COLUMNS), fill_value="")
    sound = full.copy()
    for line, row in full.iterrows():
        for column, found, fix in (fault for check in _ROW_CHECKS for fault in check(row, folder)):
            if not (lacks_ids and column in ("patient", "sample")):
                faults.append(Fault(file, f"line {line}, column {column}", found, fix))
            sound.loc[line, column] = ""
    if lacks_ids:
        return faults, None
    faults += [*_id_faults(file, full), *_specimen_faults(file, full)]
    sound = sound[(sound["patient"] != "") & (sound["sample"] != "") & ~sound["sample"].duplicated()]
    return faults, _typed(sound, folder)


def _rows(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The sheet as text, index = line of the file, blank lines left out."""
    lines = read_text(path).strip("\n").split("\n")
    sep = separator(lines[0])
    if sep not in lines[0] and ";" in lines[0]:
        raise InputError(path, "columns are separated by semicolons", "save the sheet with commas or tabs",
                         place="header")
    reader = csv.reader(lines, delimiter=sep)
    header = [name.strip() for name in next(reader)]
    kept = [(reader.line_num, [v.strip() for v in row]) for row in reader if any(v.strip() for v in row)]
    for line, row in kept:
        if len(row) != len(header):
            raise InputError(path, f"found {len(row)} fields, the header has {len(header)}",
                             "give every line one field per column; quote a value that holds the separator",
                             place=f"line {line}")
    if not kept:
        raise InputError(path, "the sheet has a header and no row", "add one line per sample")
    twice = [n for i, n in enumerate(header) if n in header[:i]]
    if twice:
        raise InputError(path, f"column {twice[0]!r} appears twice", "remove one", place="header")
    return pd.DataFrame([r for _, r in kept], columns=header, index=[n for n, _ in kept], dtype=object)


def _column_faults(file: str, rows: pd.DataFrame) -> list[Fault]:
    unknown = [str(c) for c in rows.columns if c not in SHEET_COLUMNS]
    missing = [c for c in ("patient", "sample") if c not in rows]
    faults = [Fault(file, "header", f"unknown column {c!r}", f"rename or remove it; {nearest(c, SHEET_COLUMNS)}")
              for c in unknown]
    return faults + [Fault(file, "header", f"column {c!r} is missing", "every sheet needs patient and sample")
                     for c in missing]


def _id_faults(file: str, rows: pd.DataFrame) -> Iterator[Fault]:
    for line, name in rows.loc[rows["sample"].duplicated() & (rows["sample"] != ""), "sample"].items():
        first = rows.index[rows["sample"] == name][0]
        yield Fault(file, f"line {line}, column sample", f"sample {name!r} is already on line {first}",
                    "give every row its own sample id; rows of one biopsy share `specimen`")
    homes = rows[rows["specimen"] != ""].groupby("specimen")["patient"].nunique()
    for name in homes.index[homes > 1]:
        yield Fault(file, "column specimen", f"specimen {name!r} belongs to several patients",
                    "give every specimen its own id")


def _specimen_faults(file: str, rows: pd.DataFrame) -> Iterator[Fault]:
    """Rows of one specimen are one moment and one tissue."""
    shared = rows[rows["specimen"] != ""]
    for column in ("day", "material"):
        said = shared[column].map(lambda v: f"{_number(v):g}" if np.isfinite(_number(v)) else v)
        values = said.groupby(shared["specimen"]).unique()
        for name, found in values[values.map(len) > 1].items():
            yield Fault(file, f"column {column}", f"specimen {name!r} has {', '.join(map(repr, found))}",
                        f"rows of one specimen share one {column}; give others their own specimen")


# --- checks of one row: (column, found, fix) -------------------------------------------------------------------------
_Found = Iterator[tuple[str, str, str]]


def _check_ids(row: pd.Series, folder: Path) -> _Found:
    for column in _IDS:
        value = row[column]
        if not value and column in ("patient", "sample"):
            yield column, "the id is empty", "every row needs a patient and a sample"
        if "/" in value or value in (".", ".."):
            yield column, f"found {value!r}", "ids become folder and column names: leave out '/'"


def _check_numbers(row: pd.Series, folder: Path) -> _Found:
    for column, (low, high) in NUMBERS.items():
        if not row[column]:
            continue
        value = _number(row[column])
        if not np.isfinite(value):
            yield column, f"{row[column]!r} is not a number", "give a plain number such as 61, or leave it empty"
        elif not low <= value <= high:
            yield column, f"found {row[column]}", f"give a number from {low:g} to {high:g}"
    if row["car_fraction_n"] and not row["car_fraction"]:
        yield "car_fraction_n", "given without car_fraction", "give both, or neither"


def _check_vcn(row: pd.Series, folder: Path) -> _Found:
    given = [c for c in ("vcn_target", "vcn_reference") if row[c]]
    for column in given:
        value = _number(row[column])
        if len(given) < 2:
            yield column, "a vector copy number without its pair", "give the ddPCR counts vcn_target and vcn_reference"
        elif np.isfinite(value) and value != np.floor(value):
            yield column, f"{row[column]} is a ratio, not a count", "give the ddPCR counts vcn_target and vcn_reference"


def _check_words(row: pd.Series, folder: Path) -> _Found:
    for column, words in (("diagnosis", DIAGNOSES), ("car_counting", CAR_COUNTING)):
        if row[column] and row[column] not in words:
            yield column, f"unknown word {row[column]!r}", f"use one of {', '.join(words)}"
    for word in roles(row["role"]):
        if word not in ROLES:
            yield "role", f"unknown role {word!r}", f"use one of {', '.join(ROLES)}"
    try:
        if row["chemistry"]:
            chemistry(row["chemistry"])
    except InputError as error:
        yield "chemistry", error.fault.found, error.fault.fix


def _check_car(row: pd.Series, folder: Path) -> _Found:
    try:
        row_constructs(row["car"], {})
    except InputError as error:
        yield "car", error.fault.found, error.fault.fix + "; ';' separates constructs, none = no CAR"


def _check_files(row: pd.Series, folder: Path) -> _Found:
    for column in FILES:
        for _, path in files(column, row[column], folder):
            if not path.exists():
                yield column, f"{path} does not exist", "correct the path; it is relative to the sheet"
    names = [name for name, _ in files("molecules", row["molecules"], folder) if name]
    if len(set(names)) < len(names):
        yield "molecules", f"a table name is given twice in {row['molecules']!r}", "give each table its own name"


def _check_data(row: pd.Series, folder: Path) -> _Found:
    if not any(row[c] for c in (*FILES, "vcn_target")):
        yield "gex", "the row names no data file", "give at least one of " + ", ".join(FILES)
    if row["gex_obs"] and not re.fullmatch(r"[^=]+=.+", row["gex_obs"]):
        yield "gex_obs", f"found {row['gex_obs']!r}", "write column=value"
    if row["gex_obs"] and not row["gex"]:
        yield "gex_obs", "given without gex", "name the h5ad whose rows it picks in gex"


_ROW_CHECKS: tuple[Callable[[pd.Series, Path], _Found], ...] = (
    _check_ids, _check_numbers, _check_vcn, _check_words, _check_car, _check_files, _check_data)


# --- values ----------------------------------------------------------------------------------------------------------
def roles(text: str) -> list[str]:
    """Words of the `role` column."""
    return [word.strip() for word in re.split(r"[,;]", text) if word.strip()]


def files(column: str, value: str, folder: Path | None = None) -> list[tuple[str, Path]]:
    """Name (only ``molecules`` has names) and path of each file of a cell of the sheet."""
    if not value:
        return []
    if column == "molecules":
        items = [value] if _whole_path(value, folder) else [v.strip() for v in value.split(",")]
    else:
        items = [v.strip() for v in value.split(";") if v.strip()] if column in LISTS else [value]
    return [_named(item, folder) if column == "molecules" else ("", _absolute(item, folder)) for item in items]


def _whole_path(value: str, folder: Path | None) -> bool:
    return _absolute(value, folder).exists()


def _named(item: str, folder: Path | None) -> tuple[str, Path]:
    found = _NAMED_PATH.fullmatch(item)
    if found is None or _whole_path(item, folder):
        return "", _absolute(item, folder)
    return found["name"], _absolute(found["path"].strip(), folder)


def _absolute(item: str, folder: Path | None) -> Path:
    return (folder / item) if folder is not None else Path(item)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _typed(rows: pd.DataFrame, folder: Path) -> pd.DataFrame:
    out = rows.reindex(columns=list(SHEET_COLUMNS), fill_value="")
    for column in FILES:
        out[column] = [_resolved(column, v, folder) for v in out[column]]
    for column, default in (("specimen", out["sample"]), ("gem_well", out["sample"]), ("selection", "unknown"),
                            ("car_counting", "unknown")):
        out[column] = out[column].where(out[column] != "", default)
    for column in NUMBERS:
        out[column] = [_number(v) if v else np.nan for v in out[column]]
    words = {word.casefold(): word for word in SELECTIONS}
    out["selection"] = [words.get(v.casefold(), v) for v in out["selection"]]
    out["role"] = [",".join(roles(v)) for v in out["role"]]
    out = out.sort_values(["patient", "sample"], kind="stable")
    out.index = pd.Index(out["sample"].to_numpy(dtype=object), dtype=object)
    return out


def _resolved(column: str, value: str, folder: Path) -> str:
    joiner = "," if column == "molecules" else ";"
    return joiner.join(f"{name}={path}" if name else str(path) for name, path in files(column, value, folder))
