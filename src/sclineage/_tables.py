"""Assembly of the output tables from what the stages left in a patient's MuData."""

from __future__ import annotations

import numpy as np
import pandas as pd

from . import _schema as schema
from .patient import access
from .patient.access import Data

QC_REASONS = ("low_umi", "few_genes", "high_mito")


def cells(data: Data) -> pd.DataFrame:
    """One row per input cell, columns of `_schema.CELLS`; what no stage wrote is missing, never zero."""
    frame = pd.DataFrame(index=range(data.n_obs))
    for c in schema.CELLS:
        if access.has_column(data, c.name):
            frame[c.name] = access.column(data, c.name).to_numpy()
        else:
            frame[c.name] = "" if c.dtype == "str" else np.nan
    return schema.conform(frame, "cells")


def clones(data: Data) -> pd.DataFrame:
    """One row per clone: receptors, malignancy, CAR verdict, origin (columns of `_schema.CLONES`)."""
    receptors = access.table(data, "receptors")
    if receptors is None or receptors.empty:
        return schema.empty("clones")
    frame = receptors
    for name in ("malignancy", "car_clones", "origin"):
        part = access.table(data, name)
        part = schema.empty(name) if part is None else part
        frame = frame.merge(part, on=["patient", "clone_id"], how="left", validate="one_to_one")
    assessed = frame["car_verdict"].fillna("").astype(str) != ""
    frame["car_verdict"] = frame["car_verdict"].where(assessed, "indeterminate")
    frame["car_reason"] = frame["car_reason"].where(assessed, "not_assessed")
    called = frame["malignant_call"].fillna("").astype(str) != ""
    frame["malignant_call"] = frame["malignant_call"].where(called, "not_assessable")
    dated = frame["predates_infusion"].fillna("").astype(str) != ""
    frame["predates_infusion"] = frame["predates_infusion"].where(dated, "not_sampled")
    frame["flags"] = [_join(a, b) for a, b in zip(frame["car_flags"], _clone_flags(data, frame), strict=True)]
    return schema.conform(frame, "clones")


def _join(*texts: object) -> str:
    words = [w for t in texts if isinstance(t, str) for w in t.split(";") if w]
    return ";".join(dict.fromkeys(words))


def _clone_flags(data: Data, frame: pd.DataFrame) -> list[str]:
    """Flags that no stage owns: clones that were asked for, members that quality control would have dropped."""
    asked = set(map(str, access.store(data).get("focus_asked", ())))
    kept = access.text(data, "qc_kept") if access.has_column(data, "qc_kept") else np.full(data.n_obs, "", object)
    ids = access.text(data, "clone_id")
    counts = pd.Series(ids[kept != ""]).value_counts()
    return [_join("focus" if c in asked else "", f"qc_flagged_members={counts[c]}" if c in counts.index else "")
            for c in frame["clone_id"]]


def samples(data: Data) -> pd.DataFrame:
    """One row per sample of the sheet (columns of `_schema.SAMPLES`)."""
    sheet = access.sample_table(data)
    names = list(map(str, sheet.index))
    frame = pd.DataFrame({"sample": names}, index=names)
    patient = dict(zip(access.text(data, "sample"), access.text(data, "patient", default="patient"), strict=True))
    frame["patient"] = sheet["patient"].to_numpy() if "patient" in sheet else [patient.get(n, "") for n in names]
    for key in ("specimen", "material", "selection"):
        frame[key] = sheet[key].to_numpy() if key in sheet else ""
    frame["day"] = pd.to_numeric(sheet["day"]).to_numpy() if "day" in sheet else np.nan
    _cell_summaries(data, frame)
    _stage_summaries(data, frame, sheet)
    return schema.conform(frame, "samples")


def _cell_summaries(data: Data, frame: pd.DataFrame) -> None:
    sample = access.text(data, "sample", default="sample")
    frame["n_cells"] = frame["sample"].map(pd.Series(sample).value_counts()).fillna(0)
    if access.has_column(data, "clone_status"):
        seen = ~np.isin(access.text(data, "clone_status"), ("", "no_receptor"))
        counts = pd.Series(sample[seen]).value_counts()
        with_vdj = access.modality(data, "airr")
        known = set() if with_vdj is None else set(with_vdj.obs["sample"].astype(str))
        frame["n_with_receptor"] = [counts.get(n, 0) if n in known else np.nan for n in frame["sample"]]
    else:
        frame["n_with_receptor"] = np.nan
    if access.has_column(data, "n_umi"):
        umi = pd.to_numeric(access.column(data, "n_umi")).groupby(sample).median()
        frame["median_umi"] = frame["sample"].map(umi)
    else:
        frame["median_umi"] = np.nan


def _stage_summaries(data: Data, frame: pd.DataFrame, sheet: pd.DataFrame) -> None:
    car = access.store(data).get("car_samples")
    for c in schema.SAMPLES:
        if c.name.startswith("car_"):
            values = car[c.name].to_dict() if car is not None and c.name in car else {}
            nothing = "" if c.dtype == "str" else np.nan
            frame[c.name] = [values.get(n, nothing) for n in frame["sample"]]
    rates = access.store(data).get("receptor_rates")
    frame["receptor_capture_trb"] = (
        np.nan if rates is None else frame["sample"].map(dict(zip(rates["sample"], rates["capture_trb"], strict=True))))
    car_flags = {} if car is None or "flags" not in car else car["flags"].to_dict()
    unused = sheet["not_used"].to_dict() if "not_used" in sheet else {}
    hopped = sheet["index_hopping"].to_dict() if "index_hopping" in sheet else {}
    frame["flags"] = [_join(car_flags.get(n, ""), f"index_hopping={hopped[n]}" if hopped.get(n) else "",
                            _not_used(unused.get(n, ""))) for n in frame["sample"]]


def _not_used(columns: object) -> str:
    words = str(columns or "").replace(";", ",").split(",")
    return ";".join(f"not_used:{w.strip()}" for w in words if w.strip() and w != "nan")


def stage_table(data: Data, name: str) -> pd.DataFrame:
    """A stage's table as it is written, empty with its columns where the stage did not run."""
    frame = access.table(data, name)
    return schema.empty(name) if frame is None else schema.conform(frame, name)


def car_what_if(data: Data) -> pd.DataFrame:
    """CAR verdicts of the clones in focus under other parameters (columns of `_schema.CAR_WHAT_IF`)."""
    found = access.store(data).get("car_what_if")
    if found is None or len(found) == 0:
        return schema.empty("car_what_if")
    patients = access.text(data, "patient")
    return schema.conform(pd.DataFrame(found).assign(patient=patients[0] if patients.size else ""), "car_what_if")


FILES = {
    "cells.csv.gz": ("cells", cells),
    "clones.csv": ("clones", clones),
    "samples.csv": ("samples", samples),
    "clone_car.csv": ("clone_car", lambda data: stage_table(data, "clone_car")),
    "car_dna.csv": ("car_dna", lambda data: stage_table(data, "car_dna")),
    "car_protein.csv": ("car_protein", lambda data: stage_table(data, "car_protein")),
    "car_what_if.csv": ("car_what_if", car_what_if),
    "clone_arms.csv": ("clone_arms", lambda data: stage_table(data, "clone_arms")),
    "timeline.csv": ("timeline", lambda data: stage_table(data, "timeline")),
    "distinct.csv": ("distinct", lambda data: stage_table(data, "distinct")),
    "compare.csv": ("compare", lambda data: stage_table(data, "compare")),
    "virus.csv": ("virus", lambda data: stage_table(data, "virus")),
    "variants.csv": ("variants", lambda data: stage_table(data, "variants")),
    "hopping.csv": ("hopping", lambda data: stage_table(data, "hopping")),
}
