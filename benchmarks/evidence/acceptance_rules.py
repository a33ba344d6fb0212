"""What each rule of the verdicts costs and buys, on the same clones: one after another, and all but one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from sclineage.evidence import controls, verdict
from sclineage.evidence.identify import CLEAR

from .acceptance_score import SIZES, WRONG_POOLED, mean_of, surest

Rule = Callable[[pd.DataFrame], np.ndarray]
CARRIES, FREE = 1, -1


def _small(clones: pd.DataFrame) -> np.ndarray:
    return (clones["n"] >= controls.SMALL).to_numpy() | (clones["p_none"] <= 1 - controls.CARRIER_P_SMALL).to_numpy()


# rule -> what carrying verdicts and what negative ones must meet; in the order in which they are added
RULES: dict[str, tuple[Rule | None, Rule | None]] = {
    "small clones surer to carry": (_small, None),
    "none likelier than some": (None, lambda c: (c["p_free"] >= verdict.LIKELY).to_numpy()),
    "Bayes factor": (lambda c: (c["bf"] >= controls.CARRIER_BF).to_numpy(),
                     lambda c: (c["bf_clonal"] <= -verdict.DECADES).to_numpy()),
    "weak expression excluded": (None, lambda c: (c["strict"] <= -verdict.DECADES).to_numpy()),
    "four cells": (None, lambda c: (c["n"] >= verdict.MIN_NEGATIVE_CELLS).to_numpy()),
    "control and background": (lambda c: (c["clear"] >= CLEAR).to_numpy(),
                               lambda c: (c["control"] > controls.NONE).to_numpy())}


def decide(clones: pd.DataFrame, rules: Iterable[str]) -> np.ndarray:
    """What the posteriors say under some of the rules: carries, free of a clonal CAR, or 0 for open; int (clones,)."""
    carries = (clones["p_none"] <= 1 - controls.CARRIER_P).to_numpy()
    free = (clones["p_all"] <= verdict.EXCLUDED).to_numpy() & ~carries
    for name in rules:
        yes, no = RULES[name]
        carries = carries if yes is None else carries & yes(clones)
        free = free if no is None else free & no(clones)
    return np.where(carries, CARRIES, np.where(free, FREE, 0))


def by_likelihood(clones: pd.DataFrame) -> np.ndarray:
    """The surest first, until a quarter of a percent is expected to be wrong; as `decide`."""
    p = clones[["p_none", "p_all"]].to_numpy(float)
    return np.where(surest(p.min(axis=1)), np.where(p[:, 0] < p[:, 1], CARRIES, FREE), 0)


# what a verdict says by its definition, as opposed to how sure it must be: twenty to one by the counts alone, and for
# "no clonal CAR" at every expression down to 0.18 of the control's, from four cells with a control or more
DEFINITION = ("Bayes factor", "weak expression excluded", "four cells", "control and background")


def open_by_definition(clones: pd.DataFrame) -> dict[str, float | None]:
    """Share of the clones of each size that likelihood ratios leave open of what the verdicts say by definition.

    As `open_to_oracle`, among decisions that meet every rule of `DEFINITION`: with the true parameters the best that
    can be said with these words at that many wrong ones.
    """
    wrong = clones[["p_none", "p_all"]].to_numpy(float)
    for name in DEFINITION:
        for column, rule in enumerate(RULES[name]):
            if rule is not None:
                wrong[~rule(clones), column] = 1.0
    decided = surest(wrong.min(axis=1))
    return {k: mean_of(~decided[clones["n"].between(*v)]) for k, v in SIZES.items()}


def line(what: str, clones: pd.DataFrame, said: np.ndarray) -> dict[str, object]:
    """Clones and open clones by size, and wrong ones among the decided; counts."""
    by_size = {k: clones["n"].between(*v).to_numpy() for k, v in SIZES.items()}
    return {"rules": what, "clones": {k: int(here.sum()) for k, here in by_size.items()},
            "open": {k: int((said[here] == 0).sum()) for k, here in by_size.items()},
            "decided": int((said != 0).sum()),
            "falsely_carrying": int(((said == CARRIES) & (clones["truth"] == "absent")).sum()),
            "falsely_free": int(((said == FREE) & (clones["truth"] == "clonal")).sum())}


def decomposition(own: pd.DataFrame, best: pd.DataFrame) -> list[dict[str, object]]:
    """From likelihood ratios with the true parameters to the verdicts, and what dropping each rule would do.

    Parameters
    ----------
    own, best
        Clones of one scenario as fitted, and with the true parameters.
    """
    names = list(RULES)
    out = [line("likelihood ratio, true parameters", best, by_likelihood(best)),
           line("likelihood ratio, fitted parameters", own, by_likelihood(own)),
           line("fixed thresholds of the posteriors", own, decide(own, ()))]
    out += [line("+ " + names[i], own, decide(own, names[:i + 1])) for i in range(len(names))]
    return out + [line("all but " + name, own, decide(own, [n for n in names if n != name])) for name in names]


def pooled(scenarios: list[list[dict]]) -> list[dict]:
    """Sums over scenarios, line by line."""
    return [{k: v if k == "rules" else {s: sum(row[k][s] for row in rows) for s in v} if isinstance(v, dict)
             else sum(row[k] for row in rows) for k, v in rows[0].items()} for rows in zip(*scenarios, strict=True)]


RULES_NOTE = f"""Open clones by size, and wrong ones among those decided: falsely carrying ("carries" of a clone whose
sampled members all lack the CAR), falsely free ("no clonal CAR" of one whose members all carry it), on the same
patients. The likelihood ratio decides the surest clones of each scenario first until {100 * WRONG_POOLED:.2f} % of its
decisions are expected to be wrong. The fixed thresholds are P(none) <= {1 - controls.CARRIER_P:.3f} for "carries" and
P(all) <= {verdict.EXCLUDED} for "no clonal CAR"; a line with a plus adds its rule to those above it, 'all but' leaves
one out of all. What sorted cells of the same clone add to a verdict is left out here."""


def rules_table(title: str, scenarios: list[list[dict]]) -> list[str]:
    """Markdown of the decomposition, summed over scenarios."""
    out = ["| " + " | ".join([title, f"indeterminate % {' / '.join(SIZES)}", "decided", "falsely carrying",
                              "falsely free", "wrong %"]) + " |", "|" + " --- |" * 6]
    for row in pooled(scenarios):
        wrong = row["falsely_carrying"] + row["falsely_free"]
        shares = [f"{100 * row['open'][k] / n:.0f}" if n else "-" for k, n in row["clones"].items()]
        out.append(f"| {row['rules']} | {' / '.join(shares)} | {row['decided']} | {row['falsely_carrying']} | "
                   f"{row['falsely_free']} | {100 * wrong / max(row['decided'], 1):.2f} |")
    return [*out, ""]
