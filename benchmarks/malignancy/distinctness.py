"""Variant line of distinctness: right and wrong answers on drawn reads, by number of variants, cells and depth.

Reads of two populations at private variants; a shared variant has drifted in both (beta, rho 0.1), another is absent or
comes as soup. Writes a JSON record and a table.

    python -m benchmarks.malignancy.distinctness
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from sclineage._provenance import versions, whole, write_json
from sclineage.origin.relatedness import variants

RESULTS = Path(__file__).parents[1] / "results"
GRID = [(1, 50, 0.5), (2, 10, 0.5), (2, 50, 0.5), (4, 10, 0.5), (4, 50, 0.5), (8, 50, 5.0)]
SHARES = (0.4, 0.5, 0.6)  # of the variant in the cells that carry it
CASES = {"shared": (True, 0.0), "absent": (False, 0.0), "absent, 5 % soup": (False, 0.05)}
SURE = 3.0


def rates(number: int, cells: int, coverage: float, share: float, case: str, *, draws: int,
          seed: int) -> tuple[float, float]:
    """Shares of the draws that are told rightly and wrongly (beyond 3 nats)."""
    shared, soup = CASES[case]
    rng, right, wrong = np.random.default_rng([seed, number, cells, round(100 * share)]), 0, 0
    for _ in range(draws):
        n = rng.poisson(cells * coverage, (2, number))
        p = rng.beta(9 * share, 9 * (1 - share), (2, number))
        p[1] = p[1] if shared else soup * p[0]
        llr = sum(x.llr for x in variants("mitochondrial", rng.binomial(n, np.maximum(p, 0.002)), n))
        right += (llr > SURE) if shared else (llr < -SURE)
        wrong += (llr < -SURE) if shared else (llr > SURE)
    return right / draws, wrong / draws


def main() -> None:
    """Run all and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=90_117)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    rows = [{"variants": v, "cells": c, "reads": r, "share": s,
             **{case: rates(v, c, r, s, case, draws=chosen.draws, seed=chosen.seed) for case in CASES}}
            for v, c, r in GRID for s in SHARES]
    lines = [f"Share of {chosen.draws} draws told rightly / wrongly by the variant line (beyond 3 nats); the rest is "
             "not told. Drawn reads: the table checks the rule, not patients.", "",
             "| variants | cells per side | reads per cell and site | share of the variant | "
             + " | ".join(CASES) + " |", "| --- " * (4 + len(CASES)) + "|"]
    lines += [f"| {r['variants']} | {r['cells']} | {r['reads']} | {r['share']} | "
              + " | ".join("{:.3f} / {:.3f}".format(*r[case]) for case in CASES) + " |" for r in rows]
    write_json({"draws": chosen.draws, "seed": chosen.seed, "rows": rows, "versions": versions()},
               chosen.out / "distinctness.json")
    with whole(chosen.out / "distinctness.md") as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
