"""Acceptance of the CAR verdicts: simulated patients at measured rates, drawn independently of the code under test.

Every patient has its own rates (drawn around those measured on published CAR-T libraries) and its own seed. A row per
scenario: verdicts by truth, wrong ones, calibration, an oracle that knows the parameters, and usual rules on the same
counts. Patients are run in turn over the scenarios and kept in `--work` under a digest of the code: a run that was
stopped, or ended by `--minutes`, goes on where it was.

    python -m benchmarks.evidence.acceptance --seeds 8 --first-seed 1237000
    python -m benchmarks.evidence.acceptance --seeds 32 --first-seed 5200000 --scenarios native_with_t_control --keep
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
from anndata import AnnData

import sclineage
from sclineage._provenance import versions
from sclineage.evidence.fit import Fitted
from sclineage.simulate.expression import CAR
from sclineage.simulate.library import Params, simulate_library

from .acceptance_oracle import kept_evidence, kept_fit, known_rates, without_power
from .acceptance_rules import decomposition, open_by_definition
from .acceptance_scenarios import MANY_DOUBLETS, OUTSIDE, SCENARIOS, UNCONTROLLED
from .acceptance_score import BARS, behind, clone_scores, misses, open_to_oracle, score_cells, summarise
from .acceptance_table import markdown

FIRST_SEED = 41_000  # for development; the table is made with a first seed that nothing was developed on
Scores = tuple[pd.DataFrame, pd.DataFrame]
Patient = tuple[Scores, Scores, float]
Make = Callable[[np.random.Generator], Params]


def _call(data: AnnData, seed: int) -> Scores:
    from sclineage.evidence.api import car_status

    asked: list[pd.DataFrame] = []
    with without_power(), kept_evidence(asked):
        car_status(data, car=CAR, sample_key="sample", selection_key="selection")
    clones = clone_scores(data).merge(asked[0], on="clone_id", how="left", validate="one_to_one")
    return clones.assign(seed=seed), score_cells(data).assign(seed=seed)


def run_patient(params: Params, seed: int) -> Patient:
    """Simulate one patient, call the CAR status, score clones and cells; the same with true rates; seconds."""
    data = simulate_library(params, seed=seed)
    fits: list[Fitted] = []
    start = time.perf_counter()
    with kept_fit(fits):
        own = _call(data, seed)
    seconds = time.perf_counter() - start
    with known_rates(fits[0], data, params):
        return own, _call(data, seed), seconds


def digest() -> str:
    """Digest of everything that a patient's scores depend on."""
    package, here = Path(sclineage.__file__).parent, Path(__file__).parent
    files = [*(package / "evidence").glob("*.py"), *(package / "kernels").glob("evidence*"),
             *(package / "simulate").glob("*.py"), *here.glob("acceptance_o*.py"), *here.glob("acceptance_sc*.py")]
    return sha256(b"".join(sha256(f.read_bytes()).digest() for f in sorted(files))).hexdigest()[:12]


def kept_patient(make: Make, seed: int, path: Path) -> Patient:
    """A patient of an earlier run with this code, else a new one."""
    if path.exists():
        return pickle.loads(path.read_bytes())  # written by this program
    found = run_patient(make(np.random.default_rng([seed, 5])), seed)
    whole = path.with_suffix(".part")
    whole.write_bytes(pickle.dumps(found))
    whole.replace(path)
    print(f"{path.stem}: {found[2]:.1f} s", flush=True)
    return found


def patients(makes: dict[str, Make], options: argparse.Namespace) -> Iterator[dict[str, list[Patient]]]:
    """Patients by scenario so far, after each turn over all scenarios."""
    found: dict[str, list[Patient]] = {name: [] for name in makes}
    folder = options.work / f"{digest()}{'-small' if options.small else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * options.minutes
    for i in range(options.seeds):
        for name, make in makes.items():
            seed = options.first_seed + 1000 * i + crc32(name.encode()) % 997
            path = folder / f"{name}_{seed}.pickle"
            if path.exists() or time.monotonic() < end:
                found[name].append(kept_patient(make, seed, path))
        if time.monotonic() < end or i == options.seeds - 1:
            yield found


def _row(scores: list[Scores], *, controlled: bool) -> dict[str, object]:
    return summarise(pd.concat([s[0] for s in scores], ignore_index=True),
                     pd.concat([s[1] for s in scores], ignore_index=True), controlled=controlled)


KEPT = ("negative_at_100", "carrying_at_30", "wrong", "wrong_count", "definite", "wrong_ge5", "width", "ece",
        "ece_unmixed", "ece_known", "clone_ece", "clone_ece_design", "indeterminate_by_size")


def row(name: str, make: Make, found: list[Patient], first_seed: int) -> dict[str, object]:
    """The row of one scenario from its patients."""
    controlled, outside = name not in UNCONTROLLED, name in OUTSIDE
    own = _row([f[0] for f in found], controlled=controlled)
    best = _row([f[1] for f in found], controlled=controlled)
    clones, known = (pd.concat([f[k][0] for f in found], ignore_index=True) for k in (0, 1))
    oracle = {k: best[k] for k in KEPT} | {"open_by_size": open_to_oracle(known),
                                           "open_by_definition": open_by_definition(known)}
    rules = decomposition(clones, known)
    return {"scenario": name, "what": (make.__doc__ or "").strip(), "patients": len(found), "first_seed": first_seed,
            "seconds": round(sum(f[2] for f in found), 1), **own, "outside": outside,
            "missed": misses(own, outside=outside, many_doublets=name in MANY_DOUBLETS), "oracle": oracle,
            "behind": behind(own, oracle) if controlled else [], "rules": rules if controlled else None}


def machine() -> dict[str, object]:
    """Processor and cores."""
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown") if Path("/proc/cpuinfo").exists() else "unknown"
    return {"cpu": model, "cores": os.cpu_count()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="patients per scenario")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="seed of the first patient")
    parser.add_argument("--scenarios", nargs="*", default=list(SCENARIOS), choices=list(SCENARIOS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "sclineage-acceptance",
                        help="where patients are kept, so that a later run goes on")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no patient after this time")
    parser.add_argument("--keep", action="store_true", help="keep the other scenarios' rows of the table in --out")
    parser.add_argument("--small", action="store_true", help="a quarter of the clones, for a quick look")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    others = _kept(options.out, options.scenarios) if options.keep else []
    makes = {name: _small(SCENARIOS[name]) if options.small else SCENARIOS[name] for name in options.scenarios}
    for found in patients(makes, options):
        rows = others + [row(name, makes[name], some, options.first_seed) for name, some in found.items() if some]
        order = {scenario: i for i, scenario in enumerate(SCENARIOS)}
        record = {"machine": machine(), "versions": versions(), "bars": BARS,
                  "rows": sorted(rows, key=lambda row: order[str(row["scenario"])])}
        (options.out / "evidence_acceptance.json").write_text(json.dumps(record, indent=1) + "\n")
        (options.out / "evidence_acceptance.md").write_text(markdown(record))


def _kept(folder: Path, again: list[str]) -> list[dict]:
    """Rows of an earlier table but those that are made again."""
    path = folder / "evidence_acceptance.json"
    return [row for row in json.loads(path.read_text())["rows"] if row["scenario"] not in again]


def _small(make: Make) -> Make:
    def smaller(rng: np.random.Generator) -> Params:
        params = make(rng)
        return replace(params, sizes={k: max(1, v // 4) for k, v in params.sizes.items()})

    smaller.__doc__ = make.__doc__
    return smaller


if __name__ == "__main__":
    main()
