"""Adversarial clones: what the calls say where clone size, cycling, soup or shared mutations mislead.

Writes a JSON record and a table. Not simulated: dual clones, tumours above 60 % of the T cells, two malignant clones.
The rates are assumptions: the table checks the logic, not accuracy in patients.

    python -m benchmarks.malignancy.adversarial --draws 400
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
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


def bars(rows: dict[str, dict[str, float]]) -> str:
    """Every bar with the worst case behind it, and whether it is reached."""
    out = ["| bar | worst case | found | |", "| --- | --- | --- | --- |"]
    for what, names, value, most in _BARS:
        found = {n: value(rows[n]) for n in rows if names(n, CASES[n])}
        worst = max(found, key=lambda n: found[n])
        out.append(f"| {what} | {worst} | {found[worst]:.3g} | {'pass' if found[worst] <= most else 'missed'} |")
    return "\n".join(out) + "\n"


def _benign(name: str, case: Case) -> bool:
    return case.benign


def _named(*names: str) -> Callable[[str, Case], bool]:
    return lambda name, case: name in names


_SILENT = _named("T lymphoma, no altered arm, no panel", "T lymphoma, no panel, copy number not assessed")
_TINY = _named("pre-malignant, 5-15 cells, one site", "pre-malignant, 5-15 cells, no panel")
_BARS: tuple[tuple[str, Callable[[str, Case], bool], Callable[[dict[str, float]], float], float], ...] = (
    ("benign clones called malignant: none", _benign, lambda r: r["malignant"], 0.0),
    ("benign clones called suspicious: at most 1 %", _benign, lambda r: r["suspicious"], 0.01),
    ("benign clones with power not cleared: at most 20 %",
     _named("benign clone of 100 or more cells beside a known tumour"), lambda r: 1 - r["no_malignant_features"], 0.2),
    ("lymphoma with 4 or more altered arms not called malignant: at most 1 %",
     _named("T lymphoma, 4 to 8 altered arms, no panel"), lambda r: 1 - r["malignant"], 0.01),
    ("lymphoma without altered arm and panel not suspicious: at most 5 %", _SILENT, lambda r: 1 - r["suspicious"],
     0.05),
    ("lymphoma without altered arm and panel cleared: none", _SILENT, lambda r: r["no_malignant_features"], 0.0),
    ("any malignant clone cleared: none", lambda name, case: not case.benign, lambda r: r["no_malignant_features"],
     0.0),
    ("tiny pre-malignant clone not called not_assessable or suspicious: none", _TINY,
     lambda r: 1 - r["not_assessable"] - r["suspicious"], 1e-9),
    ("logit differs from prior and lines by more than 1e-9: never", lambda name, case: True, lambda r: r["sum error"],
     1e-9))


def main() -> None:
    """Run all cases and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20_427)
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
        part.write_text(head + table(rows) + "\n" + bars(rows), encoding="utf-8")
    print(table(rows), bars(rows), sep="\n")


if __name__ == "__main__":
    main()
