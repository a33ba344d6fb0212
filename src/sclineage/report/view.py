"""Everything the report says, taken out of a processed patient once. What is absent is None, never an empty table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .._errors import InputError
from .._schema import CAR_CALLS, TABLES, conform
from ..patient import access
from ..plots import select

NOTHING_NAMES = ("", "nan", "None", "<NA>")


@dataclass(frozen=True, slots=True)
class View:
    """A processed patient as the report sees it; frames are None where the step did not run or found nothing."""

    patient: str
    n_cells: int
    n_excluded: int | None
    has_gex: bool
    has_umap: bool
    has_vdj: bool
    sheet: pd.DataFrame
    clones: pd.DataFrame | None
    shown: pd.DataFrame | None
    headline: pd.DataFrame | None
    names: dict[str, str]
    tables: dict[str, pd.DataFrame]
    lines: pd.DataFrame | None
    what_if: pd.DataFrame | None
    run: dict[str, Any]
    params: dict[str, Any]
    car_cells: pd.DataFrame | None
    remarks: list[str] = field(default_factory=list)
    car_features: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)

    def table(self, name: str) -> pd.DataFrame | None:
        """Table of the schema, or None where it is absent or empty."""
        return self.tables.get(name)

    def of_clone(self, name: str, clone: str) -> pd.DataFrame | None:
        """Rows of one clone in a table, or None without the table."""
        frame = self.tables.get(name)
        return None if frame is None else frame[frame["clone_id"] == clone]


def view(data: Any) -> View:
    """Read what the report needs from a processed patient.

    Raises
    ------
    InputError
        The object holds several patients.
    """
    store = access.store(data)
    gex = access.modality(data, "gex")
    clones = _nothing(select.ranked(data))
    excluded = access.text(data, "excluded_reason") if access.has_column(data, "excluded_reason") else None
    return View(
        patient=_patient(data), n_cells=data.n_obs,
        n_excluded=None if excluded is None else int((excluded != "").sum()),
        has_gex=gex is not None and gex.n_vars > 0, has_umap=gex is not None and "X_umap" in gex.obsm,
        has_vdj=access.modality(data, "airr") is not None, sheet=access.sample_table(data), clones=clones,
        shown=_nothing(select.shown(data)), headline=_nothing(select.headline(data)),
        names=select.names(data),
        tables=_tables(store.get("tables", {})), lines=_frame(store.get("malignancy_lines")),
        what_if=_frame(store.get("car_what_if")), run=_record(store.get("run")), params=_record(store.get("params")),
        car_cells=_car_cells(data), remarks=[str(n) for n in store.get("notes", ())],
        car_features=[str(n) for n in store.get("car_features", ())], aliases=_aliases(store.get("clone_aliases")))


def _patient(data: Any) -> str:
    names = sorted(set(access.text(data, "patient")) - set(NOTHING_NAMES))
    if len(names) > 1:
        raise InputError("obs", f"{len(names)} patients ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})",
                         "write one report per patient", place="column 'patient'")
    if names:
        return names[0]
    sheet = access.sample_table(data)
    return str(sheet["patient"].iloc[0]) if "patient" in sheet and len(sheet) else "unnamed"


def _car_cells(data: Any) -> pd.DataFrame | None:
    """Cells per sample in which the CAR was assessed, those with a UMI, and their calls; None where there is none."""
    if not access.has_column(data, "car_umi"):
        return None
    umi = select.values(access.column(data, "car_umi"))
    frame = pd.DataFrame({"sample": access.text(data, "sample", default="sample"), "n_informative": np.isfinite(umi),
                          "n_with_car": umi > 0})
    calls = access.text(data, "car_call")
    for call in CAR_CALLS:
        frame[call] = (calls == call) & frame["n_informative"]
    counts = frame.groupby("sample", sort=True).sum().reset_index()
    return counts if counts["n_informative"].any() else None


def _nothing(frame: pd.DataFrame | None) -> pd.DataFrame | None:
    return None if frame is None or frame.empty else frame


def _tables(stored: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    return {n: conform(stored[n], n) for n in TABLES if n in stored and n != "cells" and len(stored[n])}


def _frame(value: Any) -> pd.DataFrame | None:
    if value is None:
        return None
    return _nothing(pd.DataFrame(value).reset_index(drop=True))


def _record(value: Any) -> dict[str, Any]:
    """A record kept as JSON text or as nested mappings."""
    if isinstance(value, str):
        value = json.loads(value)
    return dict(value) if isinstance(value, Mapping) else {}


def _aliases(value: Any) -> dict[str, str]:
    """Older id -> present id."""
    if isinstance(value, Mapping):
        return {str(k): str(v) for k, v in sorted(value.items(), key=lambda kv: str(kv[0]))}
    if isinstance(value, pd.DataFrame) and value.shape[1] >= 2:
        pairs = zip(value.iloc[:, 0].astype(str), value.iloc[:, 1].astype(str), strict=True)
        return dict(sorted(pairs))
    return {}
