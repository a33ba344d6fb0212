"""Scores of CAR verdicts against the truth of simulated patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.stats import binomtest

from sclineage._schema import CAR_CARRYING, CAR_NEGATIVE
from sclineage.patient import access
from sclineage.simulate.expression import CAR

BARS = {"wrong": 0.005, "negative_at_100": 0.85, "carrying_at_30": 0.95, "fdr": 0.05, "coverage": 0.93,
        "negatives_le3": 0, "ece": 0.04, "ece_unmixed": 0.02, "clone_ece": 0.03}
BEHIND = {"width": 1.2, "open": 0.10}  # of an oracle's interval, and of its share of indeterminate clones in excess
WRONG_POOLED = 0.0025  # wrong verdicts among the definite ones that all scenarios together are allowed
SIZES = {"1": (1, 1), "2-4": (2, 4), "5-20": (5, 20), "21-99": (21, 99), "100+": (100, 10**9)}


def is_wrong(truth: pd.Series, verdict: pd.Series) -> pd.Series:
    """CAR-free: any carrying verdict; clonal: any negative; mixed: CAR_positive and the two not-detected words."""
    strict = ["CAR_positive", "CAR_transcript_not_detected", "CAR_DNA_not_detected"]
    return ((truth == "absent") & verdict.isin(CAR_CARRYING)) | ((truth == "clonal") & verdict.isin(CAR_NEGATIVE)) \
        | ((truth == "mixed") & verdict.isin(strict))


def _word(share: pd.Series) -> np.ndarray:
    return np.where(share == 0, "absent", np.where(share == 1, "clonal", "mixed"))


def clone_scores(data: AnnData) -> pd.DataFrame:
    """One row per clone of the unsorted tumour library: truth, verdict, interval, and the naive rules."""
    obs = data.obs.assign(car_count=np.asarray(data[:, CAR].X.todense()).ravel())
    obs = obs[obs["clone_status"] != "doublet"]
    cells = obs[(obs["sample"] == "tumor") & (obs["clone_id"] != "")]
    own = cells.groupby("clone_id", observed=True).agg(
        n=("truth_car", "size"), share=("truth_car", "mean"), hit=("car_count", lambda c: float((c > 0).mean())),
        umi=("car_count", "sum"), doublets=("truth_doublet", "sum"), partners=("truth_partner_car", "sum"),
        strength=("truth_strength", "first"), theta=("truth_theta", "first"))
    table = access.table(data, "car_clones")
    assert table is not None, "car_status left no table car_clones"
    called = table.set_index(table["clone_id"].astype(str))
    assert set(own.index.astype(str)) <= set(called.index), "clones without a verdict"
    columns = ["car_verdict", "car_reason", "car_fraction", "car_fraction_low", "car_fraction_high", "car_log10_bf",
               "car_p_negative", "car_p_positive"]
    own[columns] = called.loc[own.index.astype(str), columns].to_numpy()
    design = data.uns["truth_clones"].loc[own.index, "car_fraction"]
    own["designed"] = design.to_numpy(dtype=float)
    members = obs[obs["clone_id"] != ""].groupby("clone_id", observed=True)["truth_car"]
    sampled = pd.DataFrame({"any": members.any(), "all": members.all()}).loc[own.index]  # sorted members included
    own["truth"] = np.where(~sampled["any"], "absent", np.where(sampled["all"], "clonal", "mixed"))
    own["truth_design"] = _word(own["designed"])
    sorted_only = set(called.index) - set(obs.loc[obs["selection"] != "CAR+", "clone_id"].astype(str))
    own["sorted_only_negative"] = int(called.loc[sorted(sorted_only), "car_verdict"].isin(CAR_NEGATIVE).sum())
    return own.reset_index()


def score_cells(data: AnnData) -> pd.DataFrame:
    """Cells with a clone of the unsorted tumour library: truth, posterior, count."""
    obs = data.obs
    keep = ((obs["sample"] == "tumor") & (obs["clone_id"] != "") & (obs["clone_status"] != "doublet")).to_numpy()
    count = np.asarray(data[:, CAR].X.todense()).ravel()[keep]
    depth = np.asarray(data.X.sum(axis=1)).ravel()
    every = np.asarray(data[:, CAR].X.todense()).ravel()
    free = ((obs["sample"] == "tumor") & (obs["clone_id"] == "") & ~obs["subset"].isin(["T"])).to_numpy()
    cells = pd.DataFrame({"truth": obs["truth_car"].to_numpy(bool)[keep], "count": count,
                          "p": access.column(data, "car_p").to_numpy(float)[keep],
                          "clone_id": obs["clone_id"].astype(str).to_numpy()[keep],
                          "corrected": soup_corrected(every, depth, free)[keep]})
    mixed = cells.groupby("clone_id")["truth"].transform("mean").between(0, 1, inclusive="neither")
    return pd.concat([cells.assign(mixed=mixed), rival_cells(cells).add_prefix("rule_")], axis=1)


def mean_of(part: pd.Series | np.ndarray) -> float | None:
    """Mean, None of nothing."""
    return float(np.mean(part)) if len(part) else None


def calibration_error(p: np.ndarray, truth: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error over equal-width bins."""
    which = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [np.abs(p[which == b].mean() - truth[which == b].mean()) * np.mean(which == b)
            for b in range(bins) if np.any(which == b)]
    return float(np.sum(gaps))


def beyond_chance(error: float | None, chance: float | None) -> float | None:
    """Calibration error that chance does not explain; the two add up in squares."""
    return None if error is None or chance is None else float(np.sqrt(max(error**2 - chance**2, 0.0)))


def chance_error(p: np.ndarray, group: np.ndarray, draws: int = 50) -> float:
    """Mean calibration error of labels drawn from the posteriors themselves: what chance alone leaves.

    Members of a group share their draw, as the cells of a clone share its content.
    """
    at = np.unique(group, return_inverse=True)[1]
    drawn = np.random.default_rng(0).random((draws, int(at.max(initial=0)) + 1))
    return float(np.mean([calibration_error(p, u[at] < p) for u in drawn]))


# --- rival rules -----------------------------------------------------------------------------------------------------
def mixture_posterior(count: np.ndarray) -> np.ndarray:
    """Probability to carry by a mixture of two Poisson distributions fitted to a library's counts (EM)."""
    values, n = np.unique(count, return_counts=True)
    low, high, share = 0.01, max(1.0, float(values[values > 0].mean()) if (values > 0).any() else 1.0), 0.3
    p = np.zeros(values.size)
    for _ in range(500):
        logs = np.stack([np.log1p(-share) - low + values * np.log(low), np.log(share) - high + values * np.log(high)])
        p = 1 / (1 + np.exp(np.clip(logs[0] - logs[1], -300, 300)))
        new = (float(np.average(values, weights=n * (1 - p) + 1e-12)), float(np.average(values, weights=n * p + 1e-12)),
               float(np.clip((n * p).sum() / n.sum(), 1e-4, 1 - 1e-4)))
        done = abs(new[0] - low) + abs(new[1] - high) < 1e-9
        low, high, share = max(new[0], 1e-6), max(new[1], 1e-6), new[2]
        if done:
            break
    return p[np.searchsorted(values, count)]


def soup_corrected(count: np.ndarray, depth: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Counts minus the rounded soup of cells of their depth, at the rate of cells known to lack the CAR (as SoupX)."""
    rate = count[free].sum() / max(1.0, float(depth[free].sum()))
    return np.maximum(count - np.rint(rate * depth), 0)


RIVALS = ("one_umi", "two_umi", "soup_subtracted", "clone_share", "mixture")


def rival_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Calls of five usual rules on the cells of one patient's library, one bool column each."""
    count = cells["count"].to_numpy(float)
    share = pd.Series(count > 0).groupby(cells["clone_id"].to_numpy()).transform("mean").to_numpy()
    return pd.DataFrame({"one_umi": count >= 1, "two_umi": count >= 2, "soup_subtracted": cells["corrected"] >= 1,
                         "clone_share": share > 0.1, "mixture": mixture_posterior(count) >= 0.5})


def rival_summary(clones: pd.DataFrame, cells: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Per rule: wrong clones (>= 5 cells) of all, cell FDR and sensitivity; a clone carries when a tenth of it does.

    A rule always decides: CAR-free clones called carrying and carrying or mixed clones called free are wrong.
    """
    out = {}
    key = ["seed", "clone_id"]
    truth = clones.set_index(key)
    for name in RIVALS:
        called = cells[f"rule_{name}"].to_numpy(bool)
        share = cells.assign(called=called).groupby(key)["called"].mean().reindex(truth.index)
        carrying = (share > (0.0 if name in ("one_umi", "two_umi", "soup_subtracted") else 0.1)).to_numpy()
        wrong = np.where(truth["truth"] == "absent", carrying, ~carrying)
        big = (truth["n"] >= 5).to_numpy()
        out[name] = {"wrong": mean_of(wrong), "wrong_ge5": mean_of(wrong[big]),
                     "fdr": mean_of(~cells["truth"].to_numpy(bool)[called]),
                     "sensitivity": mean_of(called[cells["truth"].to_numpy(bool)])}
    return out


def clone_calibration(clones: pd.DataFrame) -> dict[str, float | None]:
    """Expected calibration error of the posterior that a clone holds carrying members.

    Over the sampled members and over the designed share (a mixed clone may have none in the sample), and what chance
    alone leaves.
    """
    known = clones[clones["car_p_negative"].notna()]
    if known.empty:
        return dict.fromkeys(("clone_ece", "clone_ece_design", "clone_ece_chance"))
    p = 1 - known["car_p_negative"].to_numpy(float)
    return {"clone_ece": calibration_error(p, (known["truth"] != "absent").to_numpy()),
            "clone_ece_design": calibration_error(p, (known["truth_design"] != "absent").to_numpy()),
            "clone_ece_chance": chance_error(p, np.arange(p.size))}


def cell_calibration(cells: pd.DataFrame) -> dict[str, float | None]:
    """Expected calibration error of the cells: all, those of mixed clones and the others, and what chance leaves.

    To look at clones that are not mixed is to know something that the posterior does not; `ece_known` tells it so: the
    posterior that all of the clone's cells carry, given that all or none do.
    """
    parts = {"ece": cells, "ece_unmixed": cells[~cells["mixed"]], "ece_mixed": cells[cells["mixed"]]}
    out: dict[str, float | None] = {}
    for name, part in parts.items():
        p, clone = part["p"].to_numpy(), pd.factorize(part["seed"].astype(str) + part["clone_id"])[0]
        out[name] = calibration_error(p, part["truth"].to_numpy()) if p.size else None
        out[name + "_chance"] = chance_error(p, clone) if p.size else None
    known = parts["ece_unmixed"][parts["ece_unmixed"]["p_known"].notna()]
    out["ece_known"] = calibration_error(known["p_known"].to_numpy(), known["truth"].to_numpy()) if len(known) else None
    return out


def with_known(cells: pd.DataFrame, clones: pd.DataFrame) -> pd.DataFrame:
    """Cells with the posterior that their clone carries, given that all or none of its cells do (`p_known`)."""
    key = ["seed", "clone_id"]
    every, none = (clones[c].astype(float) for c in ("car_p_positive", "car_p_negative"))
    told = clones[key].assign(p_known=every / (every + none), clone_id=clones["clone_id"].astype(str))
    return cells.merge(told, on=key, how="left", validate="many_to_one")


def interval(wrong: int, definite: int) -> list[float]:
    """Exact (Clopper-Pearson) 95 % interval of a rate."""
    found = binomtest(wrong, definite).proportion_ci() if definite else None
    return [0.0, 1.0] if found is None else [float(found.low), float(found.high)]


def _naive(clones: pd.DataFrame, limit: float) -> pd.Series:
    carrying = clones["hit"] > limit
    return ((clones["truth"] == "absent") & carrying) | ((clones["truth"] != "absent") & ~carrying)


def summarise(clones: pd.DataFrame, cells: pd.DataFrame, *, controlled: bool) -> dict[str, object]:
    """The row of a scenario."""
    wrong = is_wrong(clones["truth"], clones["car_verdict"])
    wrong_design = is_wrong(clones["truth_design"], clones["car_verdict"])
    definite, big = clones["car_verdict"] != "indeterminate", clones["n"] >= 5
    negative, carrying = clones["car_verdict"].isin(CAR_NEGATIVE), clones["car_verdict"].isin(CAR_CARRYING)
    free = (clones["truth_design"] == "absent") & clones["n"].between(90, 110)
    full = (clones["truth_design"] == "clonal") & clones["n"].between(25, 35)
    f = clones[big & clones["car_fraction_low"].notna()].astype({"car_fraction_low": float, "car_fraction_high": float})
    inside = (f["designed"] >= f["car_fraction_low"] - 1e-9) & (f["designed"] <= f["car_fraction_high"] + 1e-9)
    scored = with_known(cells[cells["p"].notna()], clones)
    called, hit = scored["p"] >= 0.95, cells["count"] >= 1
    columns = ["clone_id", "seed", "n", "truth", "designed", "share", "car_verdict", "car_log10_bf", "hit", "umi",
               "doublets", "partners", "strength", "theta", "car_fraction_low", "car_fraction_high"]
    return {
        "clones": len(clones), "definite": int(definite.sum()), "wrong_count": int((wrong & definite).sum()),
        "wrong": mean_of(wrong[definite]),
        "wrong_interval": interval(int((wrong & definite).sum()), int(definite.sum())),
        "wrong_of_all": mean_of(wrong), "wrong_ge5": mean_of(wrong[definite & big]),
        "wrong_of_all_ge5": mean_of(wrong[big]), "wrong_by_design": mean_of(wrong_design[definite]),
        "wrong_by_design_ge5": mean_of(wrong_design[definite & big]),
        "negative_at_100": mean_of(negative[free]) if controlled else None, "n_at_100": int(free.sum()),
        "carrying_at_30": mean_of(carrying[full]), "n_at_30": int(full.sum()),
        "fdr": mean_of(~scored["truth"][called]), "sensitivity": mean_of(called[scored["truth"]]),
        **cell_calibration(scored), "cells": len(cells), **clone_calibration(clones),
        "rivals": rival_summary(clones, cells),
        "cells_without_p": int(len(cells) - len(scored)), "coverage": mean_of(inside),
        "width": float((f["car_fraction_high"] - f["car_fraction_low"]).mean()) if len(f) else float("nan"),
        "n_interval": len(f), "negatives_le3": int((negative & (clones["n"] <= 3)).sum()),
        "negatives": int(negative.sum()), "controlled": controlled,
        "sorted_only_negative": int(clones.groupby("seed")["sorted_only_negative"].first().sum()),
        "indeterminate_by_size": {k: mean_of(~definite[clones["n"].between(*v)]) for k, v in SIZES.items()},
        "reasons": clones.loc[~definite, "car_reason"].value_counts().to_dict(),
        "confusion": {t: rows.value_counts().to_dict() for t, rows in clones.groupby("truth")["car_verdict"]},
        "confusion_ge5": {t: rows.value_counts().to_dict() for t, rows in clones[big].groupby("truth")["car_verdict"]},
        "naive_any_wrong": mean_of(_naive(clones, 0.0)), "naive_any_wrong_ge5": mean_of(_naive(clones[big], 0.0)),
        "naive_5_wrong": mean_of(_naive(clones, 0.05)), "naive_5_wrong_ge5": mean_of(_naive(clones[big], 0.05)),
        "naive_fdr": mean_of(~cells["truth"][hit]), "naive_sensitivity": mean_of(hit[cells["truth"]]),
        "wrong_cases": json_rows(clones.loc[wrong, columns])}


def json_rows(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Rows as plain values."""
    return [{k: (v.item() if hasattr(v, "item") else v) for k, v in row.items()} for row in frame.to_dict("records")]


POWER = ("negative_at_100", "carrying_at_30")


def open_to_oracle(clones: pd.DataFrame) -> dict[str, float | None]:
    """Share of the clones of each size that likelihood ratios with the true parameters leave open.

    The surest are decided first, "carrying" or "no clonal CAR", whichever is less likely wrong, until the expected
    share of wrong ones among the decided reaches `WRONG_POOLED`: no rule with that many wrong decides more. It knows
    neither least sizes nor controls, nor expression that a negative must exclude.

    Parameters
    ----------
    clones
        `clone_scores` of patients whose fit was replaced by the truth.
    """
    decided = surest(clones[["car_p_negative", "car_p_positive"]].to_numpy(float).min(axis=1))
    return {k: mean_of(~decided[clones["n"].between(*v)]) for k, v in SIZES.items()}


def surest(wrong: np.ndarray) -> np.ndarray:
    """Decisions least likely to be wrong (float64, probabilities), as many as keep their mean at `WRONG_POOLED`."""
    order = np.argsort(wrong, kind="stable")
    out = np.zeros(wrong.size, bool)
    out[order] = np.cumsum(wrong[order]) <= WRONG_POOLED * np.arange(1, wrong.size + 1)
    return out


def behind(row: dict[str, object], oracle: dict[str, object]) -> list[str]:
    """Where a row is further behind the oracle than allowed: interval width, indeterminate clones by size."""
    ratio = float(row["width"]) / float(oracle["width"])  # type: ignore[arg-type]
    out = [f"width {ratio:.2f}x"] if ratio > BEHIND["width"] else []
    own, best = row["indeterminate_by_size"], oracle["open_by_definition"]
    for size, left in own.items():  # type: ignore[attr-defined]
        if left is not None and left - best[size] > BEHIND["open"]:  # type: ignore[index]
            out.append(f"{size} cells +{100 * (left - best[size]):.0f}")  # type: ignore[index]
    return out


def misses(row: dict[str, object], *, outside: bool, many_doublets: bool = False) -> list[str]:
    """Names of the bars that a row misses; outside the measured rates those of power are no bars."""
    out = []
    bars = BARS | ({"ece_unmixed": BARS["ece"]} if many_doublets else {})
    for name, bar in (("wrong", "wrong"), ("wrong_ge5", "wrong"), ("fdr", "fdr"), ("ece", "ece"),
                      ("ece_unmixed", "ece_unmixed"), ("clone_ece", "clone_ece")):
        if row.get(name) is not None and float(row[name]) > bars[bar]:  # type: ignore[arg-type]
            out.append(name)
    for name in ("coverage",) if outside else (*POWER, "coverage"):
        if row[name] is not None and float(row[name]) < BARS[name]:  # type: ignore[arg-type]
            out.append(name)
    if row["negatives"] and not row["controlled"]:
        out.append("negatives_without_control")
    return out + (["negatives_le3"] if row["negatives_le3"] else [])
