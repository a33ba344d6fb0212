"""Cells and samples as plain tables to one `Patient` each, in an order that does not depend on theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .._errors import InputError, nearest
from .car import Patient
from .design import Cells, Design, selection_kind

CONSTANT_DEPTH = 5000.0  # UMIs per cell where no matrix gives a depth
NOT_T = ("myeloid", "B")
NOT_A_CLONE_MEMBER = ("doublet", "ambiguous")
MISSING = ("", "nan", "None", "<NA>")
NUMBERS = ("day", "car_fraction", "car_fraction_n")


def roles(text: object) -> set[str]:
    """Words of a comma list."""
    return {word.strip() for word in str(text).split(",")} - set(MISSING)


def sample_rows(names: Sequence[str], given: pd.DataFrame, *, positive: Sequence[str],
                negative: Sequence[str]) -> pd.DataFrame:
    """Complete sample table: what is not given takes the defaults of the sample sheet.

    Parameters
    ----------
    names
        Samples that have cells.
    given
        Known columns, index = sample.
    positive, negative
        Samples declared as controls in the call.
    """
    table = given.reindex(sorted(names))
    out = pd.DataFrame(index=table.index)
    for column in ("specimen", "gem_well"):
        out[column] = _text(table, column).where(lambda s: s != "", table.index.to_series())
    for column in ("chemistry", "selection", "car_counting"):
        out[column] = _text(table, column)
    out["selection"] = out["selection"].where(out["selection"] != "", "unknown")
    out["kind"] = out["selection"].map(selection_kind)
    out["car_counting"] = out["car_counting"].where(out["car_counting"] != "", "unknown")
    for column in NUMBERS:
        out[column] = pd.to_numeric(table[column]) if column in table else np.nan
    said = [roles(v) for v in _text(table, "role")]
    out["positive"] = [n in set(positive) or "car_positive_control" in r for n, r in zip(out.index, said, strict=True)]
    out["negative"] = [n in set(negative) or "car_negative_control" in r for n, r in zip(out.index, said, strict=True)]
    out["segment_seen"] = ~_text(table, "segment_seen").str.casefold().isin(["false", "0", "0.0", "no"])
    for column in ("empty_droplets", "empty_umi"):
        out[column] = table.get(column, np.nan)
    both = out.index[out["positive"] & out["negative"]]
    if len(both):
        raise InputError("samples", f"{both[0]!r} is declared both a positive and a negative control",
                         "keep one of the two roles")
    return out


def _text(table: pd.DataFrame, column: str) -> pd.Series:
    if column not in table:
        return pd.Series("", index=table.index, dtype=object)
    values = table[column].astype(object)
    return values.where(values.notna(), "").map(str).map(lambda v: "" if v in MISSING else v).astype(object)


def check_cells(cells: pd.DataFrame, *, unit: str) -> None:
    """Refuse what cannot be: units or samples of two patients, more CAR than UMIs.

    Parameters
    ----------
    cells
        Columns ``patient, sample, unit, count, depth, depth_known, assessed``.
    """
    for column, what in (("unit", f"unit {unit!r}"), ("sample", "sample")):
        named = cells[cells[column] != ""]
        homes = named.groupby(column)["patient"].nunique()
        if (homes > 1).any():
            name = homes.index[homes > 1][0]
            raise InputError("obs", f"{what}: {name!r} has cells of several patients",
                             "name clones per patient (sl.tl.clones does); nothing is fitted across patients")
    bad = cells["assessed"] & cells["depth_known"] & (cells["depth"] > 0) & (cells["count"] > cells["depth"])
    if bad.any():
        row = cells[bad].iloc[0]
        raise InputError("counts", f"{int(bad.sum())} cell(s) have more CAR UMIs than UMIs of all other genes, "
                         f"{row['count']} against {int(row['depth'])} in {cells.index[bad][0]!r}",
                         "give the raw gene-expression counts that belong to these CAR counts")


def usable(cells: pd.DataFrame) -> pd.Series:
    """Cells that count: assessed, with depth, no doublet, not excluded by an earlier stage; bool."""
    return (cells["assessed"] & (cells["depth"] > 0) & (cells["clone_status"] != "doublet")
            & (cells["excluded_reason"] == ""))


def patients(cells: pd.DataFrame, samples: pd.DataFrame, constructs: dict[str, np.ndarray]) -> list[Patient]:
    """One `Patient` per patient, sorted by name.

    Parameters
    ----------
    cells
        Columns ``patient, sample, unit, count, depth, depth_known, assessed, subset, clone_status, excluded_reason,
        positive, negative``, and ``malignant`` where a population is known; index = cell names.
    samples
        `sample_rows`.
    constructs
        Construct name to UMIs per cell.
    """
    out = []
    order = np.lexsort((cells.index.astype(str), cells["count"], cells["depth"], cells["unit"], cells["sample"],
                        cells["patient"]))
    whole = cells.iloc[order]
    for name in sorted(set(whole["patient"])):
        mine = (whole["patient"] == name).to_numpy()
        part, rows = whole[mine], order[mine]
        table = samples.loc[sorted(set(part["sample"]))].copy()
        table["depth_known"] = part.groupby("sample")["depth_known"].any().reindex(table.index).to_numpy()
        member = part["unit"].where(~part["clone_status"].isin(NOT_A_CLONE_MEMBER), "")
        names = sorted(set(part["unit"]) - {""})
        code = {clone: k for k, clone in enumerate(names)}
        number = {sample: i for i, sample in enumerate(table.index)}
        values = Cells(part["sample"].map(number).to_numpy(np.int64),
                       member.map(lambda c, known=code: known.get(c, -1)).to_numpy(np.int64),
                       part["depth"].to_numpy(np.float64), part["count"].to_numpy(np.int64),
                       usable(part).to_numpy(dtype=bool), ~part["subset"].isin(NOT_T).to_numpy(dtype=bool),
                       part["positive"].to_numpy(dtype=bool), part["negative"].to_numpy(dtype=bool),
                       part["malignant"].to_numpy(dtype=bool) if "malignant" in part else None)
        counts = np.column_stack([v[rows] for v in constructs.values()]) if constructs else np.zeros((len(rows), 0))
        out.append(Patient(name, Design(table), values, names, rows, tuple(constructs), counts.astype(np.int64)))
    return out


def declared(given: str | Sequence[str] | None, samples: Sequence[str],
             columns: Sequence[str]) -> tuple[list[str], str | None]:
    """Control given in a call: names of samples, or one obs column.

    Returns
    -------
    Sample names, and the column name or None.
    """
    if given is None:
        return [], None
    names = [given] if isinstance(given, str) else [str(n) for n in given]
    known = set(samples)
    if all(n in known for n in names):
        return names, None
    if len(names) == 1 and names[0] in set(columns):
        return [], names[0]
    lost = next(n for n in names if n not in known)
    raise InputError("controls", f"{lost!r} is neither a sample nor a column of obs",
                     nearest(lost, [*samples, *columns]))
