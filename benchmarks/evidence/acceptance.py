"""Acceptance of the CAR verdicts: simulated patients at measured rates, drawn independently of the code under test.

Every patient has its own rates (drawn around those measured on published CAR-T libraries) and its own seed. A row per
scenario: verdicts by truth, wrong ones, calibration, and the usual rule "one UMI is CAR+" on the same counts.

    python -m benchmarks.evidence.acceptance --seeds 4
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd

from sclineage._provenance import versions
from sclineage.simulate.expression import CAR
from sclineage.simulate.library import Params, simulate_library

from .acceptance_scenarios import SCENARIOS, UNCONTROLLED
from .acceptance_score import BARS, clone_scores, misses, score_cells, summarise

FIRST_SEED = 730_011  # far from any seed of the package's tests


def run_patient(params: Params, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Simulate one patient, call the CAR status, score clones and cells; seconds of the call."""
    from sclineage.evidence.api import car_status

    data = simulate_library(params, seed=seed)
    start = time.perf_counter()
    car_status(data, car=CAR, sample_key="sample", selection_key="selection")
    seconds = time.perf_counter() - start
    return clone_scores(data).assign(seed=seed), score_cells(data).assign(seed=seed), seconds


def run_scenario(name: str, make: Callable[[np.random.Generator], Params], seeds: int) -> dict[str, object]:
    """All patients of one scenario, as one row of the table."""
    clones, cells, seconds = [], [], 0.0
    for i in range(seeds):
        seed = FIRST_SEED + 1000 * i + crc32(name.encode()) % 997
        params = make(np.random.default_rng([seed, 5]))
        one, two, took = run_patient(params, seed)
        clones.append(one)
        cells.append(two)
        seconds += took
    row = summarise(pd.concat(clones, ignore_index=True), pd.concat(cells, ignore_index=True),
                    controlled=name not in UNCONTROLLED)
    return {"scenario": name, "what": (make.__doc__ or "").strip(), "patients": seeds, "seconds": round(seconds, 1),
            **row, "missed": misses(row)}


def machine() -> dict[str, object]:
    """Processor and cores."""
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown") if Path("/proc/cpuinfo").exists() else "unknown"
    return {"cpu": model, "cores": os.cpu_count()}


def _percent(value: object) -> str:
    return "" if value is None else f"{100 * float(value):.2f}"  # type: ignore[arg-type]


def markdown(record: dict) -> str:
    """The table for people."""
    head = ["scenario", "clones", "definite", "wrong %", "wrong % >= 5 cells", "wrong % by design",
            "CAR-free 100: negative %",
            "CAR+ 30: carrying %", "cell FDR % (sens %)", "cell ECE", "f coverage % (width)", "<= 3 cells negative",
            "indeterminate % 1 / 2-4 / 5-20 / 21-99 / 100+", "naive any UMI: wrong % (>= 5)",
            "naive > 5 %: wrong % (>= 5)", "naive cell FDR % (sens %)", "bars missed"]
    lines = ["# CAR verdicts: acceptance on simulated patients", "",
             f"{record['machine']['cpu']}, {record['machine']['cores']} cores; sclineage "
             f"{record['versions']['sclineage']}, Python {record['versions']['python']}; {record['seeds']} patients "
             f"per scenario, first seed {FIRST_SEED}. Bars: {BARS}.", "",
             "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for r in record["rows"]:
        sizes = " / ".join(_percent(v).split(".")[0] or "-" for v in r["indeterminate_by_size"].values())
        lines.append("| " + " | ".join([
            r["scenario"], str(r["clones"]), str(r["definite"]), _percent(r["wrong"]), _percent(r["wrong_ge5"]),
            _percent(r["wrong_by_design"]), f"{_percent(r['negative_at_100'])} (n={r['n_at_100']})",
            f"{_percent(r['carrying_at_30'])} (n={r['n_at_30']})",
            f"{_percent(r['fdr'])} ({_percent(r['sensitivity'])})",
            f"{r['ece']:.4f}", f"{_percent(r['coverage'])} ({r['width']:.2f})", str(r["negatives_le3"]), sizes,
            f"{_percent(r['naive_any_wrong'])} ({_percent(r['naive_any_wrong_ge5'])})",
            f"{_percent(r['naive_5_wrong'])} ({_percent(r['naive_5_wrong_ge5'])})",
            f"{_percent(r['naive_fdr'])} ({_percent(r['naive_sensitivity'])})",
            "; ".join(r["missed"]) or "none"]) + " |")
    lines += ["", "Wrong is of the sampled members (none, all or some of a clone's cells carry the CAR); 'by design' "
              "is of the clone's designed fraction. Percentages of wrong verdicts are of the definite ones; the naive "
              "rules always decide, theirs are of all clones."]
    lines += ["", *(f"- `{r['scenario']}`: {r['what']}" for r in record["rows"])]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="patients per scenario")
    parser.add_argument("--scenarios", nargs="*", default=list(SCENARIOS), choices=list(SCENARIOS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    parser.add_argument("--small", action="store_true", help="a quarter of the clones, for a quick look")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in options.scenarios:
        make = SCENARIOS[name]
        if options.small:
            make = _small(make)
        rows.append(run_scenario(name, make, options.seeds))
        print(json.dumps({k: v for k, v in rows[-1].items() if k not in {"wrong_cases", "what"}}), flush=True)
        record = {"machine": machine(), "versions": versions(), "seeds": options.seeds, "first_seed": FIRST_SEED,
                  "bars": BARS, "rows": rows}
        (options.out / "evidence_acceptance.json").write_text(json.dumps(record, indent=1) + "\n")
        (options.out / "evidence_acceptance.md").write_text(markdown(record))


def _small(make: Callable[[np.random.Generator], Params]) -> Callable[[np.random.Generator], Params]:
    def smaller(rng: np.random.Generator) -> Params:
        params = make(rng)
        return replace(params, sizes={k: max(1, v // 4) for k, v in params.sizes.items()})

    smaller.__doc__ = make.__doc__
    return smaller


if __name__ == "__main__":
    main()
