"""Adversarial clones: what the calls say where clone size, cycling, soup or shared mutations mislead.

Writes a JSON record and a table. Not simulated: dual clones, tumours above 60 % of the T cells, two malignant clones.
The rates are assumptions: the table checks the logic, not accuracy in patients.

    python -m benchmarks.malignancy.adversarial --draws 400
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path
from zlib import crc32

import numpy as np

from sclineage._provenance import versions, whole, write_json
from sclineage.malignancy.calls import UNLIKELY, calls
from sclineage.malignancy.fusion import fuse

from .cases import CASES, Case, draw

RESULTS = Path(__file__).parents[1] / "results"
PRIOR = 0.002  # flat, as for a patient under surveillance with a few clones
WORDS = ("malignant", "suspicious", "no_malignant_features", "not_assessable")


def run_case(case: Case, draws: int, seed: int) -> dict[str, float]:
    """Shares of the calls of one case, of a rule by size, and of posteriors below 0.02 whatever the power."""
    found, low, large, logit_error = [], 0, 0, 0.0
    for i in range(draws):
        drawn = draw(case, np.random.default_rng([seed, i]))
        fused = fuse(drawn.cells, np.full(drawn.cells.n_clones, PRIOR))
        found.append(str(calls(fused)[0]))
        low += int(fused.posterior[0] < UNLIKELY)
        large += int(drawn.share > 0.05)
        parts = sum(np.nan_to_num(v[0]) for v in fused.capped.values())
        logit_error = max(logit_error, abs(np.log(PRIOR / (1 - PRIOR)) + parts - fused.logit[0]))
    shares = {word: found.count(word) / draws for word in WORDS}
    return shares | {"posterior < 0.02": low / draws, "rule > 5 % of T cells": large / draws, "sum error": logit_error}


def table(rows: dict[str, dict[str, float]]) -> str:
    """Markdown table of the shares."""
    columns = [*WORDS, "posterior < 0.02", "rule > 5 % of T cells"]
    lines = ["| case | truth | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 2) + "|"]
    for name, row in rows.items():
        truth = "benign" if CASES[name].benign else "malignant"
        lines.append(f"| {name} | {truth} | " + " | ".join(f"{row[c]:.3g}" for c in columns) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all cases and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20_401)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    rows = {name: run_case(case, chosen.draws, chosen.seed + crc32(name.encode())) for name, case in CASES.items()}
    record = {"draws": chosen.draws, "seed": chosen.seed, "prior": PRIOR, "cases": rows, "versions": versions(),
              "machine": platform.processor() or platform.machine()}
    write_json(record, chosen.out / "malignancy_adversarial.json")
    with whole(chosen.out / "malignancy_adversarial.md") as part:
        head = (f"Calls of {chosen.draws} simulated clones per case, prior {PRIOR}; rates are assumptions, see "
                "`benchmarks/malignancy/cases.py`. Without an altered arm or a driver no lymphoma can be called "
                "malignant, and without a panel none may read as free of malignant features.\n\n")
        part.write_text(head + table(rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
