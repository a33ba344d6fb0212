"""Consistency checks of the CAR evidence on real patients: reliability, sensitivity left out, in-silico mixtures.

None of it is a validation: a sort and an author's label are not the truth of a cell. Every patient is fitted alone; no
rate of the engine was fitted here.

    python -m benchmarks.evidence.consistency [--parts reliability sensitivity mixtures]

Parts that are not named keep what the table in `--out` holds of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from sclineage._provenance import versions
from sclineage.evidence import fit, signal
from sclineage.evidence.api import car_status
from sclineage.evidence.design import Cells, Design
from sclineage.evidence.fit import Fitted, Options
from sclineage.evidence.signal import ThetaPrior

from . import mixtures
from .acceptance import machine
from .acceptance_oracle import without_power
from .acceptance_score import calibration_error
from .consistency_table import markdown
from .real_cells import patient

PATIENTS = ("P02", "P10", "P13")
Z90 = 1.645


@contextmanager
def _seen(store: list[tuple[Design, Fitted]]) -> Iterator[None]:
    original = fit.fit_patient

    def keep(design: Design, cells: Cells, options: Options) -> Fitted:
        store.append((design, original(design, cells, options)))
        return store[-1][1]

    fit.fit_patient = keep
    try:
        yield
    finally:
        fit.fit_patient = original


def called(adata: AnnData) -> tuple[pd.DataFrame, Design, Fitted]:
    """Cells with their posterior, and the fit."""
    store: list[tuple[Design, Fitted]] = []
    with without_power(), _seen(store):
        car_status(adata, car="CAR")
    return adata.obs, *store[0]


# --- reliability -----------------------------------------------------------------------------------------------------
def curve(p: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Cells, mean posterior and share of true ones in ten bins, and the calibration error."""
    which = np.minimum((p * 10).astype(int), 9)
    bins = [{"cells": int((which == b).sum()), "posterior": float(p[which == b].mean()),
             "share": float(truth[which == b].mean())} if (which == b).any() else {"cells": 0} for b in range(10)]
    return {"bins": bins, "ece": calibration_error(p, truth), "cells": len(p), "true": int(truth.sum())}


def reliability(obs: pd.DataFrame) -> dict[str, Any]:
    """Curves of one patient: sorted cells against unsorted ones of blood and marrow, and author labels against them.

    ``free`` counts the cells that are taken as free of the CAR, ``free_with_umi`` those of them with a CAR UMI.
    """
    known = obs[(obs["clone_id"] != "") & obs["car_p"].notna() & (obs["material"] != "PROD")]
    sort = (known["selection"] == "CAR+").to_numpy()
    labelled = known["labelled"].to_numpy(bool)
    free = known.loc[~sort, "car_umi"]
    curves = {}
    for name, column in (("with its clone", "car_p"), ("own counts only", "car_p_cell_only")):
        p = known[column].to_numpy(float)
        curves[name] = {"sorted": curve(p, sort), "labelled": curve(p[labelled | ~sort], labelled[labelled | ~sort])}
    return {"free": len(free), "free_with_umi": int((free > 0).sum()), "curves": curves}


# --- sensitivity -----------------------------------------------------------------------------------------------------
def expected_share(depth: np.ndarray, theta: float, size: float) -> float:
    """Share of carrying cells of these depths with at least one CAR UMI."""
    return float((1 - (1 + theta * depth / size) ** -size).mean())


def prediction(depth: np.ndarray, prior: ThetaPrior, size: float, observed: float) -> dict[str, Any]:
    """Predicted share with its 90 % interval, and whether that holds what was observed."""
    low, middle, high = (expected_share(depth, prior.theta * float(np.exp(z * prior.sd)), size)
                         for z in (-Z90, 0.0, Z90))
    return {"share": middle, "low": low, "high": high, "inside": bool(low <= observed <= high),
            "source": prior.source}


def sensitivity(data: Path, whole: dict[str, tuple[pd.DataFrame, Design, Fitted]]) -> list[dict[str, Any]]:
    """Sensitivity of every sorted sample from the patient's other samples, and from the other patients."""
    rows = []
    for name, (obs, design, fitted) in whole.items():
        cells = obs[obs["labelled"] & (obs["clone_id"] != "")]
        for sample, mine in cells.groupby("sample", observed=True):
            adata = patient(data, name)
            depth = np.asarray(adata[mine.index, "rest"].X.todense()).ravel()
            observed = float((mine["car_umi"] > 0).mean())
            rest = called(adata[adata.obs["sample"] != sample].copy())[2]
            own = fitted.libraries[str(sample)].signal
            rows.append({
                "patient": name, "sample": str(sample), "labelled": len(mine), "observed": observed,
                "own": expected_share(depth, own.theta, own.size),
                "rest": prediction(depth, fit.theta_prior(design, str(sample), rest), own.size, observed),
                "others": prediction(depth, _of_others(whole, name), own.size, observed)})
    return rows


def _of_others(whole: dict[str, tuple[pd.DataFrame, Design, Fitted]], name: str) -> ThetaPrior:
    """Mean on the log scale of what the sorted samples of the other patients show, and its spread."""
    logs = [np.log(lib.signal.theta) for other, (obs, _, fitted) in whole.items() if other != name
            for sample, lib in fitted.libraries.items()
            if sample in set(obs.loc[obs["selection"] == "CAR+", "sample"])
            and lib.signal.spread < signal.MIN_INFORMATION**-0.5]
    return ThetaPrior(float(np.exp(np.mean(logs))), signal.BETWEEN * float(np.sqrt(1 + 1 / len(logs))),
                      f"{len(logs)} samples")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    parts = ("reliability", "sensitivity", "mixtures")
    parser.add_argument("--parts", nargs="*", choices=parts, default=parts)
    options = parser.parse_args()
    path = options.out / "evidence_consistency.json"
    options.out.mkdir(parents=True, exist_ok=True)
    record = json.loads(path.read_text()) if path.exists() else {}
    record |= {"machine": machine(), "versions": versions()}
    for part in _parts(options):
        record |= part
        path.write_text(json.dumps(record, indent=1) + "\n")
        path.with_suffix(".md").write_text(markdown(record))


def _parts(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Results as they come, so that a stopped run keeps what it has."""
    if {"reliability", "sensitivity"} & set(options.parts):
        whole = {name: called(patient(options.data, name)) for name in PATIENTS}
        if "reliability" in options.parts:
            yield {"reliability": {name: reliability(obs) for name, (obs, _, _) in whole.items()}}
        if "sensitivity" in options.parts:
            yield {"sensitivity": sensitivity(options.data, whole)}
    if "mixtures" in options.parts:
        runs = []
        for context in mixtures.CONTEXTS:
            for share in mixtures.CONTAMINATION:
                runs.append(mixtures.run(options.data, context, share))
                print(context.name, share, flush=True)
                yield {"mixtures": runs}


if __name__ == "__main__":
    main()
