"""Markdown of the acceptance table."""

from __future__ import annotations

from .acceptance_rules import RULES_NOTE, rules_table
from .acceptance_score import BARS, RIVALS, WRONG_POOLED, beyond_chance, interval


def _percent(value: object) -> str:
    return "" if value is None else f"{100 * float(value):.2f}"  # type: ignore[arg-type]


NOTES = """Wrong is of the sampled members (none, all or some of a clone's cells carry the CAR); 'by design' is of the
clone's designed fraction. Percentages of wrong verdicts are of the definite ones; the naive rules always decide, theirs
are of all clones. Development used other first seeds (below 100,000, 2,161,000 and 2,361,000). Scenarios at or beyond a
bar in this series of sixteen patients or the one before have more; all of them are in their rows.

Rows with * lie outside the measured rates. The bars of safety and of calibration hold for them as well; power is not a
bar there."""

ORACLE = """The same cells with every fitted rate and every assumed law replaced by the simulator's (expression within
and between clones, doublets, background, silencing, shares of the hypotheses, range of mixed shares), under the same
rules: its widths, calibration (what chance alone leaves of it with this many clones) and power. 'Likelihood ratio'
decides by those posteriors, the surest clones first, until a quarter of a percent of its decisions is expected to be
wrong. 'Of these words' may only say what the verdicts mean by definition: twenty to one by the counts alone, and "no
clonal CAR" only where a control was measured, of four cells or more, at every expression down to 0.18 of the control's.
'Of any' has no definition to keep: it needs no control and no least size, its "no" need not exclude a weak expression,
and it knows how many clones carry: where few do (`rare_car`) it says "no" of single cells by that alone.
'Behind' names what is worse than allowed: a width of more than 1.2 times the oracle's, or more than ten points more
indeterminate clones of a size than the likelihood ratio of these words leaves. Without any control our rules say
nothing negative, so scenarios of that kind have no such bar. Nor do their counts hold the oracle's width: where every
cell shows misassigned reads (`dominant_native`) a background that all share and a weak CAR that all share give the
same likelihood, and where nothing carries (`no_control`) no count says how strongly a CAR would be expressed; the
oracle is told both."""


def _sizes(shares: dict) -> str:
    return " / ".join(_percent(v).split(".")[0] or "-" for v in shares.values())


def oracle_table(rows: list[dict]) -> list[str]:
    """The table beside an oracle that knows the parameters."""
    head = ["scenario", "interval width: ours / oracle (ratio)", "indeterminate % 1 / 2-4 / 5-20 / 21-99 / 100+: ours",
            "oracle, same rules", "likelihood ratio of these words", "likelihood ratio of any",
            "CAR-free 100 negative %: ours / oracle", "CAR+ 30 carrying %: ours / oracle",
            "wrong %: ours / oracle", "cell ECE: ours / oracle", "cell ECE without mixed clones: ours / oracle",
            "clone ECE: ours / oracle", "clone ECE of the designed share: ours / oracle", "behind"]
    lines = ["## Beside an oracle that knows the parameters", "", ORACLE, "", "| " + " | ".join(head) + " |",
             "|" + " --- |" * len(head)]
    for r in rows:
        best = r["oracle"]
        pairs = [f"{_percent(r[k])} / {_percent(best[k])}" for k in ("negative_at_100", "carrying_at_30", "wrong")]
        eces = [f"{_ece(r[k])} / {_ece(best[k])}" for k in ("ece", "ece_unmixed", "clone_ece", "clone_ece_design")]
        lines.append("| " + " | ".join([
            r["scenario"], f"{r['width']:.3f} / {best['width']:.3f} ({r['width'] / best['width']:.2f})",
            _sizes(r["indeterminate_by_size"]),
            *(_sizes(best[k]) for k in ("indeterminate_by_size", "open_by_definition", "open_by_size")), *pairs,
            *eces, "; ".join(r["behind"]) or "none"]) + " |")
    return [*lines, ""]


def markdown(record: dict) -> str:
    """The table for people."""
    head = ["scenario", "patients (first seed)", "clones", "definite", "wrong %", "wrong % >= 5 cells",
            "wrong %: 95 % interval", "wrong % by design",
            "CAR-free 100: negative %", "CAR+ 30: carrying %", "cell FDR % (sens %)",
            "cell ECE", "f coverage % (width)", "<= 3 cells negative",
            "indeterminate % 1 / 2-4 / 5-20 / 21-99 / 100+", "naive any UMI: wrong % (>= 5)",
            "naive > 5 %: wrong % (>= 5)", "naive cell FDR % (sens %)",
            "bars missed"]
    lines = ["# CAR verdicts: acceptance on simulated patients", "",
             f"{record['machine']['cpu']}, {record['machine']['cores']} cores; sclineage "
             f"{record['versions']['sclineage']}, Python {record['versions']['python']}. Bars: {BARS}.", "",
             "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for r in record["rows"]:
        lines.append("| " + " | ".join([
            r["scenario"] + (" *" if r["outside"] else ""),
            f"{r['patients']} ({r['first_seed']:,})", str(r["clones"]), str(r["definite"]),
            _percent(r["wrong"]), _percent(r["wrong_ge5"]),
            _interval(r["wrong_interval"]), _percent(r["wrong_by_design"]),
            f"{_percent(r['negative_at_100'])} (n={r['n_at_100']})",
            f"{_percent(r['carrying_at_30'])} (n={r['n_at_30']})",
            f"{_percent(r['fdr'])} ({_percent(r['sensitivity'])})",
            f"{r['ece']:.4f}", f"{_percent(r['coverage'])} ({r['width']:.2f})", str(r["negatives_le3"]),
            _sizes(r["indeterminate_by_size"]),
            f"{_percent(r['naive_any_wrong'])} ({_percent(r['naive_any_wrong_ge5'])})",
            f"{_percent(r['naive_5_wrong'])} ({_percent(r['naive_5_wrong_ge5'])})",
            f"{_percent(r['naive_fdr'])} ({_percent(r['naive_sensitivity'])})",
            "; ".join(r["missed"]) or "none"]) + " |")
    lines += ["", pooled(record["rows"]), "", NOTES, "", *oracle_table(record["rows"]), *rivals(record["rows"])]
    lines += [*_rules(record["rows"]), "", *(f"- `{r['scenario']}`: {r['what']}" for r in record["rows"])]
    return "\n".join(lines) + "\n"


def _rules(rows: list[dict]) -> list[str]:
    """The section on what each rule costs and buys."""
    known = [r for r in rows if r.get("rules")]
    parts = {"at the measured rates": [r["rules"] for r in known if not r["outside"]],
             "outside of them": [r["rules"] for r in known if r["outside"]]}
    return ["## What each rule costs and what it buys", "", RULES_NOTE, "",
            *(line for title, part in parts.items() if part for line in rules_table(title, part))]


def _interval(ends: list[float]) -> str:
    return " to ".join(f"{100 * end:.2f}" for end in ends)


def pooled(rows: list[dict]) -> str:
    """All scenarios together, ours and the oracle's."""
    definite, wrong = (sum(int(r[k]) for r in rows) for k in ("definite", "wrong_count"))
    other, missed = (sum(int(r["oracle"][k]) for r in rows) for k in ("definite", "wrong_count"))
    return (f"All {len(rows)} scenarios together: {wrong} wrong of {definite} definite verdicts "
            f"({_percent(wrong / max(definite, 1))} %, exact 95 % interval {_interval(interval(wrong, definite))}; "
            f"bar {_percent(WRONG_POOLED)} %). The oracle that knows the parameters, under the same rules: {missed} of "
            f"{other} ({_percent(missed / max(other, 1))} %).")


def rivals(rows: list[dict]) -> list[str]:
    """The second table: calibration, and five usual rules on the same counts."""
    head = ["scenario", "cell ECE (chance; beyond)", "cell ECE without mixed clones (chance; beyond)",
            "the same, told that they are not mixed: ours / oracle", "cell ECE in mixed clones (chance; beyond)",
            "clone ECE (chance; beyond)",
            "ours: wrong % >= 5 (cell FDR %, sens %)",
            *(f"{RIVAL_NAMES[name]}: wrong % >= 5 (cell FDR %, sens %)" for name in RIVALS)]
    lines = ["## Calibration, and usual rules on the same counts", "",
             "The rules always decide; wrong clones are of all clones of five cells or more, theirs and ours alike. "
             "A clone carries by the first three rules when one cell does, by the others when a tenth of it does. "
             "Chance is the calibration error of labels drawn from the stated posteriors themselves, the cells of a "
             "clone together: no method that states them can expect less with this many clones. Beyond is what chance "
             "does not explain (the two add up in squares). To look at clones that are not mixed is to know what no "
             "posterior knows, and where half of the clones are mixed that alone costs the oracle more than the bar; "
             "told so, the posterior is that all cells of the clone carry, given that all or none do.", "",
             "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for r in rows:
        rules = [r["rivals"][name] for name in RIVALS]
        ours = {"wrong_ge5": r["wrong_of_all_ge5"], "fdr": r["fdr"], "sensitivity": r["sensitivity"]}
        eces = [f"{_ece(r[k])} ({_ece(r[k + '_chance'])}; {_ece(beyond_chance(r[k], r[k + '_chance']))})"
                for k in CALIBRATED]
        told = f"{_ece(r['ece_known'])} / {_ece(r['oracle']['ece_known'])}"
        lines.append("| " + " | ".join([r["scenario"], *eces[:2], told, *eces[2:],
                                        *(f"{_percent(v['wrong_ge5'])} ({_percent(v['fdr'])}, "
                                          f"{_percent(v['sensitivity'])})" for v in (ours, *rules))]) + " |")
    return [*lines, ""]


CALIBRATED = ("ece", "ece_unmixed", "ece_mixed", "clone_ece")


def _ece(value: object) -> str:
    return "" if value is None else f"{float(value):.4f}"  # type: ignore[arg-type]


RIVAL_NAMES = {"one_umi": ">= 1 UMI", "two_umi": ">= 2 UMI", "soup_subtracted": "soup subtracted",
               "clone_share": "share of the clone > 10 %", "mixture": "two Poisson components"}
