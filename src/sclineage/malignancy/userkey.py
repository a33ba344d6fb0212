"""The user's own word on which cells or clones are malignant: a column of the data, or a file of cells or clones."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._errors import InputError, nearest
from ..patient.given import MISSING, Given, name_of, row_number, rows

YES = frozenset({"true", "1", "1.0", "yes", "malignant", "tumor", "tumour"})
NO = frozenset({"false", "0", "0.0", "no", "other", "normal", "benign", "healthy", "non-malignant", "not_malignant"})
WANTED = "give a column of obs, or a CSV of cells (sample, barcode, malignant) or clones (clone_id, malignant)"
CLONE_KEYS = ("trb_junction", "trb_v", "trb_j")


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The user's calls: 1 malignant, 0 not, NaN not listed.

    Attributes
    ----------
    cell
        float64 (n_cells,)
    clone
        float64 (n_clones,): as listed, or the majority of the clone's listed cells.
    """

    cell: np.ndarray
    clone: np.ndarray


def words(values: pd.Series, file: str, place: str) -> np.ndarray:
    """Yes and no words as 1 and 0; missing and empty as NaN. Unknown words are an error, never a no."""
    out = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        word = "" if pd.isna(value) else str(value).strip().lower()
        if word in YES:
            out[i] = 1.0
        elif word in NO:
            out[i] = 0.0
        elif word not in MISSING:
            raise InputError(file, f"{value!r} is neither yes nor no", "use true or false; leave unknown cells empty",
                             place=place)
    return out


def from_column(values: pd.Series, name: str, clone: np.ndarray, n_clones: int) -> Verdicts:
    """Calls from a per-cell column."""
    cell = words(values, "malignant_key", f"column {name!r}")
    if not np.isfinite(cell).any():
        raise InputError("malignant_key", f"column {name!r} has no yes or no in it", "fill it, or leave the option out")
    return Verdicts(cell, _majority(cell, clone, n_clones))


def _majority(cell: np.ndarray, clone: np.ndarray, n_clones: int) -> np.ndarray:
    listed = np.isfinite(cell) & (clone >= 0)
    yes = np.bincount(clone[listed], weights=cell[listed], minlength=n_clones)
    n = np.bincount(clone[listed], minlength=n_clones)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n > 0, (2 * yes > n).astype(np.float64), np.nan)


def from_file(
    given: Given, *, sample: np.ndarray, barcode: np.ndarray, clone: np.ndarray, clone_ids: list[str],
    receptors: pd.DataFrame | None,
) -> Verdicts:
    """Calls from a CSV, TSV or frame of cells (``sample, barcode, malignant``) or clones (``clone_id, malignant``).

    Clones may be named by ``trb_junction`` (nucleotides), with ``trb_v`` and ``trb_j`` where given. Without a column
    ``malignant`` every listed row is malignant.

    Raises
    ------
    InputError
        The file is absent or empty, names neither cells nor clones, or has a row that the data do not hold.
    """
    name, frame = name_of(given), rows(given, fix=WANTED)
    if not {"barcode", "clone_id", "trb_junction"} & set(frame.columns):
        raise InputError(name, f"columns {', '.join(map(repr, frame.columns))}",
                         "give barcode (with sample), clone_id, or trb_junction")
    said = words(frame["malignant"], name, "column 'malignant'") if "malignant" in frame else np.ones(len(frame))
    keep = np.isfinite(said)
    frame, said = frame[keep], said[keep]
    if frame.empty:
        raise InputError(name, "no row says malignant or not", "fill the column malignant")
    if "barcode" in frame:
        cell = _cells(frame, said, name, sample, barcode)
        return Verdicts(cell, _majority(cell, clone, len(clone_ids)))
    per_clone = _clones(frame, said, name, clone_ids, receptors)
    cell = np.where(clone >= 0, np.append(per_clone, np.nan)[clone], np.nan)
    return Verdicts(cell, per_clone)


def _cells(frame: pd.DataFrame, said: np.ndarray, name: str, sample: np.ndarray, barcode: np.ndarray) -> np.ndarray:
    out = np.full(sample.size, np.nan)
    out[_rows(frame, name, sample, barcode)] = said
    return out


def _rows(frame: pd.DataFrame, name: str, sample: np.ndarray, barcode: np.ndarray) -> np.ndarray:
    """Cell of each row by sample and barcode, a missing ``-1`` added; without a sample the barcode must be unique."""
    cells: dict[tuple[str, str], list[int]] = {}
    for i, (s, b) in enumerate(zip(sample, barcode, strict=True)):
        for key in sorted({(s, b), ("", b), (s, _bases(b)), ("", _bases(b))}):
            cells.setdefault(key, []).append(i)
    out = np.zeros(len(frame), np.int64)
    of = frame["sample"].fillna("") if "sample" in frame else [""] * len(frame)
    for row, (number, s, b) in enumerate(zip(frame.index, of, frame["barcode"].fillna(""), strict=True)):
        found = cells.get((s, b)) or cells.get((s, _bases(b)), [])
        if len(found) != 1:
            what = "is in no sample of the data" if not found else f"fits {len(found)} cells"
            where = f"cell {b!r}" + (f" of sample {s!r}" if s else "")
            raise InputError(name, f"{where} {what}", "give sample and barcode as in the data",
                             place=f"row {number + 2}")
        out[row] = found[0]
    return out


def cell_values(given: Given, column: str, *, sample: np.ndarray, barcode: np.ndarray) -> np.ndarray:
    """A column of a CSV, TSV or frame of cells (``sample, barcode, <column>``), object (n_cells,): None if not listed.

    Raises
    ------
    InputError
        The file is absent or empty, lacks a column, or names a cell that the data do not hold.
    """
    name, fix = name_of(given), f"give a column of obs, or a CSV with sample, barcode, {column}"
    frame = rows(given, fix=fix)
    for wanted in ("barcode", column):
        if wanted not in frame:
            raise InputError(name, f"no column {wanted!r}", fix)
    frame = frame[frame[column].notna()]
    out = np.full(sample.size, None, dtype=object)
    out[_rows(frame, name, sample, barcode)] = frame[column].to_numpy(object)
    return out


def _bases(barcode: str) -> str:
    return re.sub(r"-\d+$", "", str(barcode))


def _clones(
    frame: pd.DataFrame, said: np.ndarray, name: str, clone_ids: list[str], receptors: pd.DataFrame | None
) -> np.ndarray:
    index = {c: i for i, c in enumerate(clone_ids)}
    out = np.full(len(clone_ids), np.nan)
    for value, (_, row) in zip(said, frame.iterrows(), strict=True):
        number = row_number(row)
        wanted = _clone_of(row, name, number, receptors)
        if wanted not in index:
            raise InputError(name, f"no clone {wanted!r}", nearest(wanted, clone_ids), place=f"row {number}")
        out[index[wanted]] = value
    return out


def _clone_of(row: pd.Series, name: str, number: int, receptors: pd.DataFrame | None) -> str:
    if row.get("clone_id"):
        return str(row["clone_id"])
    if receptors is None:
        raise InputError(name, "clones are named by receptor but the data hold no receptor table",
                         "run sl.tl.clones first, or name clones by clone_id", place=f"row {number}")
    match = np.ones(len(receptors), bool)
    for key in CLONE_KEYS:
        if row.get(key):
            value = str(row[key])
            value = value.upper() if key == "trb_junction" else value.split("*")[0]
            match &= (receptors[key].astype(str).str.split("*").str[0] == value).to_numpy()
    found = receptors["clone_id"][match].astype(str).tolist()
    if len(found) != 1:
        said = "no clone has this receptor" if not found else f"{len(found)} clones have this receptor"
        raise InputError(name, said, "name the clone by clone_id", place=f"row {number}")
    return found[0]
