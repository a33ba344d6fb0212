"""In-silico mixtures of real cells: unsorted T cells of one CARPALL patient, sorted CAR-T cells of another beside.

The library is fitted once per share of contamination; then clones of every size, drawn from the same real cells, are
assessed with that fit and those controls. Contamination is a foreign CAR-T profile added to a barcode. Truth is where
a cell came from: sorted and labelled by the authors, or unsorted; both leak a little.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sclineage._schema import CAR_CARRYING, CAR_NEGATIVE
from sclineage.evidence import car, fit
from sclineage.evidence.api import car_status
from sclineage.evidence.controls import Controls
from sclineage.evidence.design import Cells, Design, in_car_sort
from sclineage.evidence.fit import Fitted, Options, analysed
from sclineage.evidence.keys import make_keys
from sclineage.evidence.library import make_rows
from sclineage.patient import access

from .acceptance_oracle import without_power
from .acceptance_score import calibration_error, is_wrong
from .real_cells import as_anndata, cells

SIZES = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300)
CONTAMINATION = (0.0, 0.02, 0.05, 0.1)
TRUTHS = {"CAR-free": 0.0, "carrying": 1.0, "half carrying": 0.5, "tenth carrying": 0.1}
DRAWS = 25
POSITIVE_SHARE = 0.15


@dataclass(frozen=True)
class Context:
    """Which libraries take which part; the control is another library in a GEM well of its own."""

    name: str
    base: str
    positives: str
    control: str


CONTEXTS = (
    Context("P02 blood + sorted P10, control P02 M05", "CAR-T10310324", "CAR-T10310323", "CAR-T10484037"),
    Context("P10 blood + sorted P02 M02, control P02 M15", "CAR-T10310325", "CAR-T10310322", "CAR-T11252627"),
    Context("P10 blood + sorted P02 M15, control P10 M03", "CAR-T10310325", "CAR-T11252627", "CAR-T10310323"))


def _contaminated(frame: pd.DataFrame, source: pd.DataFrame, share: float, rng: np.random.Generator) -> pd.DataFrame:
    """The cells with a foreign CAR-T profile added to a share of them."""
    hit = rng.random(len(frame)) < share
    partner = source.iloc[rng.integers(0, len(source), int(hit.sum()))]
    out = frame.copy()
    for column in ("car", "depth"):
        out.loc[hit, column] += partner[column].to_numpy()
    return out


def _draw(free: pd.DataFrame, carrying: pd.DataFrame, size: int, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Cells of one clone, `n` of them carrying; each part from one real clone where one is large enough."""
    parts = [_members(free, size - n, rng).assign(truth=False), _members(carrying, n, rng).assign(truth=True)]
    return pd.concat([part for part in parts if len(part)])


def _members(pool: pd.DataFrame, n: int, rng: np.random.Generator) -> pd.DataFrame:
    sizes = pool["clone_id"].value_counts().sort_index()
    large = sizes.index[sizes >= max(n, 1)]
    mine = pool[pool["clone_id"] == large[rng.integers(0, len(large))]] if len(large) else pool
    return mine.iloc[rng.choice(len(mine), n, replace=n > len(mine))]


def _focus(free: pd.DataFrame, carrying: pd.DataFrame, share: float, rng: np.random.Generator) -> pd.DataFrame:
    """Clones of every truth and size, named by both and by their carrying cells."""
    parts = []
    for truth, fraction in TRUTHS.items():
        for size in SIZES:
            for k in range(DRAWS):
                n = int(rng.binomial(size, fraction))
                parts.append(_draw(free, carrying, size, n, rng).assign(clone_id=f"focus|{truth}|{size}|{n}|{k}"))
    return _contaminated(pd.concat(parts), carrying, share, rng)


def mixture(data: Path, context: Context, share: float, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The libraries (mixture and control), and the clones to assess in the mixture."""
    base, positives, control = (cells(data, s) for s in (context.base, context.positives, context.control))
    free = base[base["subset"] == "T"].assign(truth=False)
    carrying = positives[positives["labelled"] & (positives["clone_id"] != "")].assign(truth=True)
    n = int(POSITIVE_SHARE / (1 - POSITIVE_SHARE) * len(free))
    added = carrying.iloc[np.sort(rng.choice(len(carrying), min(n, len(carrying)), replace=False))]
    other = base[base["subset"].isin(["myeloid", "B"])].assign(truth=False)
    made = _contaminated(pd.concat([free, added, other]), carrying, share, rng)
    made = made.assign(sample="mixture", gem_well="mixture", selection="none", specimen="mixture")
    beside = control[control["clone_id"] != ""].assign(sample="control", gem_well="control", selection="CAR+",
                                                       specimen="control", truth=True)
    beside["clone_id"] = "control|" + beside["clone_id"].astype(str)
    focus = _focus(free, carrying, share, rng).assign(sample="mixture", gem_well="mixture", selection="none",
                                                      specimen="mixture")
    return pd.concat([made, beside]), focus


@contextmanager
def _kept(store: dict[str, Any]) -> Iterator[None]:
    """Keep the fit and the controls of the patient called inside."""
    fitting, measuring = fit.fit_patient, car.measure
    fit.fit_patient = lambda *given: store.setdefault("fit", fitting(*given))
    car.measure = lambda *given: store.setdefault("controls", measuring(*given))
    try:
        yield
    finally:
        fit.fit_patient, car.measure = fitting, measuring


def _on(fitted: Fitted, design: Design, found: Cells) -> Fitted:
    """The same parameters on other cells."""
    libraries = {}
    for name, lib in fitted.libraries.items():
        mask = analysed(found) & (found.sample == design.names.index(name))
        keys = make_keys(found.depth[mask], found.count[mask])
        libraries[name] = replace(lib, keys=keys, rows=make_rows(keys, found.clone[mask],
                                                                      in_car_sort(design, found)[mask]))
    return replace(fitted, libraries=libraries)


@contextmanager
def _fixed(fitted: Fitted, controls: Controls) -> Iterator[None]:
    """Call patients with an earlier fit and its controls, of which no clone of theirs is a part."""
    fitting, measuring = fit.fit_patient, car.measure

    def known(design: Design, found: Cells, options: Options) -> Fitted:
        return _on(fitted, design, found)

    fit.fit_patient = known
    car.measure = lambda *given: replace(controls, part=[{} for _ in controls.part])
    try:
        yield
    finally:
        fit.fit_patient, car.measure = fitting, measuring


def run(data: Path, context: Context, share: float, *, seed: int = 0) -> dict[str, Any]:
    """Verdicts on the clones of every truth and size at one share of contamination, and the cells' calibration."""
    rng = np.random.default_rng([seed, round(1000 * share), CONTEXTS.index(context)])
    libraries, focus = mixture(data, context, share, rng)
    store: dict[str, Any] = {}
    first = _named(libraries)
    with without_power(), _kept(store):
        car_status(first, car="CAR", positive="control")
    second = _named(pd.concat([libraries, focus]))
    with without_power(), _fixed(store["fit"], store["controls"]):
        car_status(second, car="CAR", positive="control", focus=[])
    table = access.table(second, "car_clones")
    assert table is not None
    lib = store["fit"].libraries["mixture"]
    inside = ((first.obs["sample"] == "mixture") & (first.obs["clone_id"] != "")).to_numpy()
    p, truth = first.obs["car_p"].to_numpy(float)[inside], first.obs["truth"].to_numpy(bool)[inside]
    return {"context": context.name, "contamination": share, "verdicts": _count(table),
            "eta": lib.background.eta, "theta": lib.signal.theta, "p_clear": lib.p_clear, "cells": int(inside.sum()),
            "cell_ece": calibration_error(p, truth), "cell_fdr": float(1 - truth[p >= 0.95].mean()),
            "sensitivity": float((p[truth] >= 0.95).mean())}


def _named(frame: pd.DataFrame) -> Any:
    frame = frame.reset_index(drop=True)
    frame.index = [f"c{i:07d}" for i in range(len(frame))]
    return as_anndata(frame)


def _count(table: pd.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """Negative, indeterminate, carrying and wrong verdicts by truth and size."""
    mine = table[table["clone_id"].astype(str).str.startswith("focus|")]
    parts = mine["clone_id"].astype(str).str.split("|", expand=True)
    kind = np.select([mine["car_verdict"].isin(CAR_NEGATIVE), mine["car_verdict"].isin(CAR_CARRYING)],
                     ["negative", "carrying"], "indeterminate")
    size, n = parts[2].astype(int), parts[3].astype(int)
    really = pd.Series(np.select([n == 0, n == size], ["absent", "clonal"], "mixed"), index=mine.index)
    frame = pd.DataFrame({"truth": parts[1], "size": size, "kind": kind,
                          "wrong": is_wrong(really, mine["car_verdict"])})
    out: dict[str, dict[str, dict[str, int]]] = {}
    for (truth, size), rows in frame.groupby(["truth", "size"]):
        counts = rows["kind"].value_counts()
        out.setdefault(str(truth), {})[str(size)] = {k: int(counts.get(k, 0)) for k in (
            "negative", "indeterminate", "carrying")} | {"wrong": int(rows["wrong"].sum())}
    return out
