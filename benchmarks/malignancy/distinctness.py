"""Variant line of distinctness: right and wrong answers on drawn reads, by number of variants, cells and depth.

Reads of two populations at private variants; a shared variant has drifted in both (beta, rho 0.1), another is absent or
comes as soup. Told is what stands ten to one (chosen on other draws, seed 777); 3 nats stand beside it. Beside the rule
stands the bound: the likelihood ratio that knows the variants, their share, the drift, the error and the soup; told ten
to one too, and where at most 1 % of the other kind would be told wrongly: no rule tells more (Neyman and Pearson). The
rule knows none of these, so it must allow for soup where there is none.
Writes a JSON record and a table.

    python -m benchmarks.malignancy.distinctness
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp
from scipy.stats import beta, betabinom, binom

from sclineage._provenance import versions, whole, write_json
from sclineage.origin.variants import variants

RESULTS = Path(__file__).parents[1] / "results"
GRID = [(1, 50, 0.5), (2, 10, 0.5), (2, 50, 0.5), (4, 10, 0.5), (4, 50, 0.5), (8, 50, 5.0)]
SHARES = (0.4, 0.5, 0.6, 0.7)  # of the variant in the cells that carry it; away from the bar's setting 0.5 alone
CASES = {"shared": (True, 0.0), "absent": (False, 0.0), "absent, 5 % soup": (False, 0.05)}
KINDS = ("somatic", "mitochondrial")
SURE, STRICT = float(np.log(10)), 3.0  # nats: ten to one, and what one line needs to overrule another
WRONG, RIGHT = 0.01, 0.95
CONCENTRATION, ERROR = 9.0, 0.002
BAR = (4, 10, 0.5)
QUADRATURE = (np.arange(100) + 0.5) / 100


def drawn(number: int, cells: int, coverage: float, share: float, case: str, *, draws: int,
          seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Variant reads and all reads, int64 (draws, 2, number)."""
    shared, soup = CASES[case]
    rng = np.random.default_rng([seed, number, cells, round(100 * share), list(CASES).index(case)])
    n = rng.poisson(cells * coverage, (draws, 2, number))
    p = rng.beta(CONCENTRATION * share, CONCENTRATION * (1 - share), n.shape)
    p[:, 1] = p[:, 1] if shared else soup * p[:, 0]
    return rng.binomial(n, np.maximum(p, ERROR)), n


def ruled(kind: str, k: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Ratio of "all variants are shared" of each draw, NaN not assessed; float64 (draws,)."""
    return np.array([sum(x.llr for x in variants(kind, one, of, one_clone=True)) for one, of in zip(k, n, strict=True)])


def known(k: np.ndarray, n: np.ndarray, share: float, soup: float) -> np.ndarray:
    """The ratio that knows everything but the share that each population drifted to, float64 (draws,)."""
    a, b = CONCENTRATION * share, CONCENTRATION * (1 - share)
    shared = betabinom.logpmf(k[:, 1], n[:, 1], a, b)
    if soup == 0:
        return (shared - binom.logpmf(k[:, 1], n[:, 1], ERROR)).sum(axis=1)
    p = QUADRATURE[:, None, None]
    weight = beta.logpdf(p, a + k[:, 0], b + n[:, 0] - k[:, 0]) - np.log(QUADRATURE.size)
    reads = binom.logpmf(k[:, 1], n[:, 1], np.maximum(soup * p, ERROR))
    return (shared - logsumexp(weight + reads, axis=0)).sum(axis=1)


def bound(number: int, cells: int, coverage: float, share: float, *, draws: int, seed: int) -> dict[str, Any]:
    """The ratio that knows: right and wrong at ten to one, and right where 1 % of the other kind are told wrongly.

    Shared variants are told from soup of 5 %, which a rule has to allow for.
    """
    given = {c: drawn(number, cells, coverage, share, c, draws=draws, seed=seed + 1) for c in CASES}
    out: dict[str, Any] = {}
    for case, (shared, soup) in CASES.items():
        level, sign = (0.05, 1) if shared else (soup, -1)
        other = "shared" if not shared else "absent, 5 % soup"
        mine, wrong = (sign * known(*given[c], share, level) for c in (case, other))
        out[case] = (float(np.mean(mine > SURE)), float(np.mean(mine < -SURE)),
                     float(np.mean(mine > np.quantile(wrong, 1 - WRONG))))
    return out


def row(number: int, cells: int, coverage: float, share: float, *, draws: int, seed: int) -> dict[str, Any]:
    """One setting: rates of the rule for both kinds of variants, and the bound."""
    out: dict[str, Any] = {"variants": number, "cells": cells, "reads": coverage, "share": share}
    for case in CASES:
        k, n = drawn(number, cells, coverage, share, case, draws=draws, seed=seed)
        for kind in KINDS:
            llr = ruled(kind, k, n) * (1 if CASES[case][0] else -1)
            for name, at in (("", SURE), ("|strict", STRICT)):
                out[f"{case}|{kind}{name}"] = (float(np.mean(llr > at)), float(np.mean(llr < -at)))
    return out | {"bound": bound(number, cells, coverage, share, draws=5 * draws, seed=seed)}


def table(rows: list[dict[str, Any]], draws: int) -> str:
    """Markdown of the rows, and how the bar fares."""
    head = ["variants", "cells per side", "reads per cell and site", "share of the variant"]
    head += [f"{case}: {w}" for case in CASES for w in (*KINDS, "knows")]
    lines = ["# Distinctness by variants", "",
             f"Share of {draws} draws told rightly / wrongly by the variant line (ten to one); the rest is not "
             "told. `knows`: the likelihood ratio that knows the variants, their share, drift, error and soup, at "
             "ten to one, and what it tells rightly where it allows itself 1 % wrong: no rule tells more. Drawn reads: "
             "the table checks the rule, not patients.", "",
             "| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for r in rows:
        cells = [str(r["variants"]), str(r["cells"]), str(r["reads"]), str(r["share"])]
        for case in CASES:
            cells += ["{:.3f} / {:.3f}".format(*r[f"{case}|{kind}"]) for kind in KINDS]
            cells.append("{:.3f} / {:.3f}; {:.3f}".format(*r["bound"][case]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *judged(rows)]) + "\n"


def judged(rows: list[dict[str, Any]]) -> list[str]:
    """The bar, line by line: 95 % right and 1 % wrong at four variants, ten cells and half a read."""
    out = ["Bar: at 4 variants x 10 cells x 0.5 reads at least 95 % right and at most 1 % wrong.", "",
           "| share of the variant | case | " + " | ".join((*KINDS, "knows, ten to one", "knows, 1 % wrong",
                                                            *(f"{k}, 3 nats" for k in KINDS))) + " |",
           "| --- " * (4 + 2 * len(KINDS)) + "|"]
    for r in (r for r in rows if (r["variants"], r["cells"], r["reads"]) == BAR):
        for case in CASES:
            *sure, best = r["bound"][case]
            words = [_word(*r[f"{case}|{kind}"]) for kind in KINDS] + [_word(*sure), _word(best, WRONG)]
            words += [_word(*r[f"{case}|{kind}|strict"]) for kind in KINDS]
            out.append(f"| {r['share']} | {case} | " + " | ".join(words) + " |")
    return out


def _word(right: float, wrong: float) -> str:
    return f"{'pass' if right >= RIGHT and wrong <= WRONG else 'missed'} ({right:.3f} / {wrong:.3f})"


def main() -> None:
    """Run all and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=31_117)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    rows = [row(*setting, s, draws=chosen.draws, seed=chosen.seed) for setting in GRID
            for s in (SHARES if setting == BAR else (0.5,))]
    text = table(rows, chosen.draws)
    write_json({"draws": chosen.draws, "seed": chosen.seed, "rows": rows, "versions": versions()},
               chosen.out / "distinctness.json")
    with whole(chosen.out / "distinctness.md") as part:
        part.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
