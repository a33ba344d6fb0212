"""Calibration of the copy-number line on decoys: how often a clone of stated probability is a planted lymphoma.

Half of the draws are cells of a real benign clone (CARPALL) as they are, half stand for lymphomas; the stated
probability is that of the line at even odds. Between-clone variance is learnt from the other patients. Lymphomas are
drawn as the line takes them to be (three of ten without altered arms, else 1, 3, 10 or 30 % of the arms), which tries
the noise, and, as a contrast, all with 1, 2, 4 or 8 arms, which shows how much the line holds back.
Needs the public data (SCLINEAGE_DATA).

    python -m benchmarks.malignancy.calibration
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import expit

from sclineage._provenance import versions, whole, write_json
from sclineage.malignancy.arms import ALTERED
from sclineage.malignancy.copynumber import ANEUPLOID, ratio

from .arms import Bench, load, one_clone, planted, prepare

RESULTS = Path(__file__).parents[1] / "results"
SIZES, ARMS = (5, 10, 20, 50), (1, 2, 4, 8)
BINS, BAR = 10, 0.05


def assumed(n_arms: int, rng: np.random.Generator) -> int:
    """Altered arms of a lymphoma as the line takes it to be."""
    return int(rng.binomial(n_arms, rng.choice(ALTERED))) if rng.random() < ANEUPLOID else 0


def fixed(n_arms: int, rng: np.random.Generator) -> int:
    """One, two, four or eight altered arms."""
    return int(rng.choice([a for a in ARMS if a <= n_arms]))


def drawn(bench: Bench, arms_of: Callable[[int, np.random.Generator], int], draws: int,
          seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Stated probability, and whether the draw stands for a lymphoma; float64 and bool (draws,)."""
    rng, sizes = np.random.default_rng([seed, 55]), bench.cohort.sizes()
    p, lymphoma = np.zeros(draws), rng.random(draws) < 0.5
    for i in range(draws):
        n = int(rng.choice([s for s in SIZES if (sizes >= s).any()]))
        owner = int(rng.choice(np.flatnonzero(sizes >= n)))
        cells = np.sort(rng.choice(np.flatnonzero(bench.cohort.clone == owner), n, replace=False))
        number = arms_of(bench.tested.size, rng) if lymphoma[i] else 0
        counts = planted(bench, cells, number, rng) if number else bench.counts
        p[i] = expit(ratio(np.array(one_clone(bench, counts, cells, owner, leave_owner=True)[0])))
    return p, lymphoma


def bins(p: np.ndarray, lymphoma: np.ndarray) -> list[dict[str, float]]:
    """Per tenth of the scale: draws, mean stated probability, share of lymphomas."""
    at = np.minimum((p * BINS).astype(int), BINS - 1)
    return [{"from": b / BINS, "draws": int((at == b).sum()), "stated": float(p[at == b].mean()),
             "true": float(lymphoma[at == b].mean())} for b in range(BINS) if (at == b).any()]


def error(rows: list[dict[str, float]]) -> float:
    """Expected calibration error: mean gap, weighted by draws."""
    n = np.array([r["draws"] for r in rows])
    return float(n @ np.array([abs(r["stated"] - r["true"]) for r in rows]) / n.sum())


def main() -> None:
    """Run and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SCLINEAGE_DATA", "data")))
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=71_027)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    bench, found = prepare(load(chosen.data / "carpall-cart-gex-vdj")), {}
    lines = ["# Calibration of the copy-number line on decoys", "",
             f"{chosen.draws} draws of {', '.join(map(str, SIZES))} cells of real benign clones, half of them standing "
             "for lymphomas; probability stated at even odds. Planted arms assume full dosage."]
    for name, arms_of in (("lymphomas as the line takes them to be", assumed), ("1, 2, 4 or 8 altered arms", fixed)):
        rows = bins(*drawn(bench, arms_of, chosen.draws, chosen.seed))
        found[name] = {"error": error(rows), "bins": rows}
        word = f" (bar {BAR}: {'pass' if error(rows) <= BAR else 'missed'})" if arms_of is assumed else ""
        lines += ["", f"{name.capitalize()}: expected calibration error {error(rows):.3f}{word}.", "",
                  "| stated from | draws | stated, mean | true |", "| --- | --- | --- | --- |"]
        lines += [f"| {r['from']:.1f} | {r['draws']} | {r['stated']:.3f} | {r['true']:.3f} |" for r in rows]
    write_json({"draws": chosen.draws, "seed": chosen.seed, "tables": found, "versions": versions()},
               chosen.out / "malignancy_calibration.json")
    with whole(chosen.out / "malignancy_calibration.md") as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
