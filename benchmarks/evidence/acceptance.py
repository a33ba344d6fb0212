"""Acceptance of the CAR verdicts: simulated patients at measured rates, drawn independently of the code under test.

Every patient has its own rates (drawn around those measured on published CAR-T libraries) and its own seed. A row per
scenario: verdicts by truth, wrong ones, calibration, and the usual rule "one UMI is CAR+" on the same counts.

    python -m benchmarks.evidence.acceptance --seeds 8 --first-seed 915000
    python -m benchmarks.evidence.acceptance --seeds 32 --first-seed 915000 --scenarios native_with_t_control --keep
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
from anndata import AnnData

from sclineage._provenance import versions
from sclineage.evidence.fit import Fitted
from sclineage.simulate.expression import CAR
from sclineage.simulate.library import Params, simulate_library

from .acceptance_oracle import kept_fit, known_rates, without_power
from .acceptance_scenarios import OUTSIDE, SCENARIOS, UNCONTROLLED, WITH_ORACLE
from .acceptance_score import BARS, POWER, RIVALS, clone_scores, misses, score_cells, summarise

FIRST_SEED = 41_000  # for development; the table is made with a first seed that nothing was developed on
Scores = tuple[pd.DataFrame, pd.DataFrame]


def _call(data: AnnData, seed: int) -> Scores:
    from sclineage.evidence.api import car_status

    with without_power():
        car_status(data, car=CAR, sample_key="sample", selection_key="selection")
    return clone_scores(data).assign(seed=seed), score_cells(data).assign(seed=seed)


def run_patient(params: Params, seed: int, *, oracle: bool) -> tuple[Scores, Scores | None, float]:
    """Simulate one patient, call the CAR status, score clones and cells; the same with true rates; seconds."""
    data = simulate_library(params, seed=seed)
    fits: list[Fitted] = []
    start = time.perf_counter()
    with kept_fit(fits):
        own = _call(data, seed)
    seconds = time.perf_counter() - start
    if not oracle:
        return own, None, seconds
    with known_rates(fits[0], data, params):
        return own, _call(data, seed), seconds


def _row(scores: list[Scores], *, controlled: bool) -> dict[str, object]:
    return summarise(pd.concat([s[0] for s in scores], ignore_index=True),
                     pd.concat([s[1] for s in scores], ignore_index=True), controlled=controlled)


def run_scenario(name: str, make: Callable[[np.random.Generator], Params], seeds: int,
                 first_seed: int) -> dict[str, object]:
    """All patients of one scenario, as one row of the table."""
    found: list[Scores] = []
    truth: list[Scores] = []
    seconds = 0.0
    for i in range(seeds):
        seed = first_seed + 1000 * i + crc32(name.encode()) % 997
        own, oracle, took = run_patient(make(np.random.default_rng([seed, 5])), seed, oracle=name in WITH_ORACLE)
        found.append(own)
        if oracle is not None:
            truth.append(oracle)
        seconds += took
    controlled = name not in UNCONTROLLED
    row, best = _row(found, controlled=controlled), _row(truth, controlled=controlled) if truth else {}
    return {"scenario": name, "what": (make.__doc__ or "").strip(), "patients": seeds,
            "first_seed": first_seed, "seconds": round(seconds, 1),
            **row, "outside": name in OUTSIDE, "missed": misses(row, outside=name in OUTSIDE),
            "oracle": {k: best.get(k) for k in (*POWER, "wrong", "wrong_ge5")}}


def machine() -> dict[str, object]:
    """Processor and cores."""
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown") if Path("/proc/cpuinfo").exists() else "unknown"
    return {"cpu": model, "cores": os.cpu_count()}


def _percent(value: object) -> str:
    return "" if value is None else f"{100 * float(value):.2f}"  # type: ignore[arg-type]


def _oracle(row: dict) -> str:
    best = row["oracle"]
    return f"{_percent(best['negative_at_100'])} / {_percent(best['carrying_at_30'])} ({_percent(best['wrong'])})" if (
        row["scenario"] in WITH_ORACLE) else ""


NOTES = """Wrong is of the sampled members (none, all or some of a clone's cells carry the CAR); 'by design' is of the
clone's designed fraction. Percentages of wrong verdicts are of the definite ones; the naive rules always decide, theirs
are of all clones. Development used other first seeds (41,000 to 85,000). A first table on fresh seeds (915,000) missed
'wrong >= 5 cells' in `dominant_native_few_car` with one clone of 161: leaked cells in the sort were read as
minor members, with a Bayes factor that one doublet gives. Members of a sort of a clone that excludes a clonal CAR must
since be surer than that, and the table was made anew on patients that nobody had seen.

Rows with * lie outside the measured rates. The bars of safety hold for them as well; power is not a bar there. Beside
them stands what the same posterior says with every fitted rate replaced by its truth (expression, doublets,
background, spread, silencing, shares of the hypotheses), under the same rules: what the oracle cannot say, these data
do not hold. `native_with_t_control` has the oracle beside it too: where misassigned reads are a fifth of a carrying
cell's reads, a clone without the CAR looks like one that expresses it at a fifth, and that is what a negative must
exclude. Eight of its patients say little, so different are their expression and misassignment: those of first seed
1,237,000 gave 74.1 % negative and 93.5 % carrying (58 and 62 clones; oracle 69.0 and 98.4 %), which is why 32 others
were drawn for the table, without a change of the engine. Over all 40 it is 83.4 % and 97.4 % (289 and 304 clones;
oracle 78.9 and 99.0 %): what is missing in the negatives is missing in the data."""


def markdown(record: dict) -> str:
    """The table for people."""
    head = ["scenario", "patients (first seed)", "clones", "definite", "wrong %", "wrong % >= 5 cells",
            "wrong % by design", "CAR-free 100: negative %", "CAR+ 30: carrying %", "cell FDR % (sens %)",
            "cell ECE", "f coverage % (width)", "<= 3 cells negative",
            "indeterminate % 1 / 2-4 / 5-20 / 21-99 / 100+", "naive any UMI: wrong % (>= 5)",
            "naive > 5 %: wrong % (>= 5)", "naive cell FDR % (sens %)", "oracle: negative % / carrying % (wrong %)",
            "bars missed"]
    lines = ["# CAR verdicts: acceptance on simulated patients", "",
             f"{record['machine']['cpu']}, {record['machine']['cores']} cores; sclineage "
             f"{record['versions']['sclineage']}, Python {record['versions']['python']}. Bars: {BARS}.", "",
             "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for r in record["rows"]:
        sizes = " / ".join(_percent(v).split(".")[0] or "-" for v in r["indeterminate_by_size"].values())
        lines.append("| " + " | ".join([
            r["scenario"] + (" *" if r["outside"] else ""),
            f"{r['patients']} ({r['first_seed']:,})", str(r["clones"]), str(r["definite"]),
            _percent(r["wrong"]), _percent(r["wrong_ge5"]),
            _percent(r["wrong_by_design"]), f"{_percent(r['negative_at_100'])} (n={r['n_at_100']})",
            f"{_percent(r['carrying_at_30'])} (n={r['n_at_30']})",
            f"{_percent(r['fdr'])} ({_percent(r['sensitivity'])})",
            f"{r['ece']:.4f}", f"{_percent(r['coverage'])} ({r['width']:.2f})", str(r["negatives_le3"]), sizes,
            f"{_percent(r['naive_any_wrong'])} ({_percent(r['naive_any_wrong_ge5'])})",
            f"{_percent(r['naive_5_wrong'])} ({_percent(r['naive_5_wrong_ge5'])})",
            f"{_percent(r['naive_fdr'])} ({_percent(r['naive_sensitivity'])})", _oracle(r),
            "; ".join(r["missed"]) or "none"]) + " |")
    lines += ["", NOTES, "", *rivals(record["rows"])]
    lines += ["", *(f"- `{r['scenario']}`: {r['what']}" for r in record["rows"])]
    return "\n".join(lines) + "\n"


def rivals(rows: list[dict]) -> list[str]:
    """The second table: calibration, and five usual rules on the same counts."""
    mine = [r for r in rows if "rivals" in r]
    if not mine:
        return []
    head = ["scenario", "cell ECE without mixed clones", "cell ECE in mixed clones", "clone ECE",
            "ours: wrong % >= 5 (cell FDR %, sens %)",
            *(f"{RIVAL_NAMES[name]}: wrong % >= 5 (cell FDR %, sens %)" for name in RIVALS)]
    lines = ["## Calibration, and usual rules on the same counts", "",
             "The rules always decide; wrong clones are of all clones of five cells or more, theirs and ours alike. "
             "A clone carries by the first three rules when one cell does, by the others when a tenth of it does.", "",
             "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for r in mine:
        rules = [r["rivals"][name] for name in RIVALS]
        ours = {"wrong_ge5": r["wrong_of_all_ge5"], "fdr": r["fdr"], "sensitivity": r["sensitivity"]}
        lines.append("| " + " | ".join([r["scenario"], *(_ece(r[k]) for k in ("ece_unmixed", "ece_mixed", "clone_ece")),
                                        *(f"{_percent(v['wrong_ge5'])} ({_percent(v['fdr'])}, "
                                          f"{_percent(v['sensitivity'])})" for v in (ours, *rules))]) + " |")
    return [*lines, ""]


def _ece(value: object) -> str:
    return "" if value is None else f"{float(value):.4f}"  # type: ignore[arg-type]


RIVAL_NAMES = {"one_umi": ">= 1 UMI", "two_umi": ">= 2 UMI", "soup_subtracted": "soup subtracted",
               "clone_share": "share of the clone > 10 %", "mixture": "two Poisson components"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="patients per scenario")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="seed of the first patient")
    parser.add_argument("--scenarios", nargs="*", default=list(SCENARIOS), choices=list(SCENARIOS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    parser.add_argument("--keep", action="store_true", help="keep the other scenarios' rows of the table in --out")
    parser.add_argument("--small", action="store_true", help="a quarter of the clones, for a quick look")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = _kept(options.out, options.scenarios) if options.keep else []
    for name in options.scenarios:
        make = SCENARIOS[name]
        if options.small:
            make = _small(make)
        rows.append(run_scenario(name, make, options.seeds, options.first_seed))
        print(json.dumps({k: v for k, v in rows[-1].items() if k not in {"wrong_cases", "what"}}), flush=True)
        order = {scenario: i for i, scenario in enumerate(SCENARIOS)}
        record = {"machine": machine(), "versions": versions(), "bars": BARS,
                  "rows": sorted(rows, key=lambda row: order[row["scenario"]])}
        (options.out / "evidence_acceptance.json").write_text(json.dumps(record, indent=1) + "\n")
        (options.out / "evidence_acceptance.md").write_text(markdown(record))


def _kept(folder: Path, again: list[str]) -> list[dict]:
    """Rows of an earlier table but those that are made again."""
    path = folder / "evidence_acceptance.json"
    return [row for row in json.loads(path.read_text())["rows"] if row["scenario"] not in again]


def _small(make: Callable[[np.random.Generator], Params]) -> Callable[[np.random.Generator], Params]:
    def smaller(rng: np.random.Generator) -> Params:
        params = make(rng)
        return replace(params, sizes={k: max(1, v // 4) for k, v in params.sizes.items()})

    smaller.__doc__ = make.__doc__
    return smaller


if __name__ == "__main__":
    main()
