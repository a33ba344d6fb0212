"""Quality of clone calls on simulated repertoires with truth: ours beside scirpy's two common definitions.

    python -m benchmarks.clones.quality [--seeds 5] [--peers 1] [--first 7001] [--only NAME] [--tiny] [--out DIR]

Scenarios (`SCENARIOS`) span the usual library and its extremes; one draws its own rates with every seed. The seeds were
not looked at while the method was made. Ours runs twice: with what expression says of each droplet (T cell, other,
myeloid or B cell; 5 % of T cells of median depth missed, 2 % of others mistaken), as `sl.tl.clones` does where there
is a matrix, and from receptors alone, as scirpy does.

- informative: true single T cell whose TRB was captured (what `clones.informative` counts); placeable: these, and
  cells of which a TRA was captured that another cell of the clone shows beside its TRB and no other clone has.
- precision: of pairs of true single T cells called one clone; recall: of pairs of informative cells of one clone;
  cells without a clone are pairs with nobody. named: informative (placeable) cells given their clone.
- pieces: clones among which informative malignant cells are spread (two cells or more); main: share of them in the
  largest; purity: of that clone, among all droplets named it.
- doublets: two cells of different clones; detectable: of both a TRB was captured with two UMIs or more (one UMI may
  always be ambient). Sensitivity among these, where both show a TRB, and where both show any chain; share of
  informative cells flagged. scirpy flags ``multichain``, ``extra VDJ`` and ``two
  full chains``.
- calibration: expected calibration error of `clone_posterior` in 20 bins, all seeds of a scenario together, of all
  cells and of those in 0.05..0.95; beside it what an exactly calibrated posterior shows with as many cells.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._runner import RESULTS, machine
from sclineage.clones.codons import translate
from sclineage.clones.normalise import chain_table
from sclineage.clones.patient import patient_clones
from sclineage.simulate.repertoire import Rates, Repertoire, simulate_repertoire

NAME = "clones_quality"
COLUMNS = {"precision": "precision", "recall": "recall", "informative": "informative named",
           "placeable": "placeable named", "pieces": "pieces", "main": "main", "purity": "purity",
           "doublets": "detectable doublets", "doublets_trb": "doublets, both TRB",
           "doublets_any": "doublets, any chain", "false": "singles flagged"}
CELLS = 2000  # T-cell droplets of a scenario that does not say otherwise
ORDINARY = Rates(naive=0.47, ambient=0.02)  # 15 % malignant, 45 % memory, 40 % naive
SCENARIOS: dict[str, tuple[Rates | None, dict[str, int]]] = {
    "doublets 15 %": (replace(ORDINARY, doublet=0.15), {}),
    "ambient 0.25 chains of 2.5 UMIs": (replace(ORDINARY, ambient=0.25, ambient_umi=1.5, ambient_spread=0.5), {}),
    "malignant 50 %": (replace(ORDINARY, malignant=0.5), {}),
    "capture TRB 0.60, TRA 0.45": (replace(ORDINARY, capture_trb=0.6, capture_tra=0.45, umi_trb=2.0, umi_tra=1.2), {}),
    "five uneven samples": (replace(ORDINARY, uneven=1.0), {"n_samples": 5}),
    "dual TRA 50 %": (replace(ORDINARY, dual_tra=0.5), {}),
    "300 cells": (ORDINARY, {"n_cells": 300}),
    "rates drawn by seed": (None, {}),
    "ordinary, 1e4 cells": (ORDINARY, {"n_cells": 10_000}),
}


def ours(*, expression: bool) -> Callable[[Repertoire], pd.DataFrame]:
    """Our calls: clone, whether a doublet, posterior, and the junction of the clone that the posterior is about."""

    def call(found: Repertoire) -> pd.DataFrame:
        sample = found.truth["sample"].to_numpy()
        result = patient_clones(chain_table(found.records), patient="P", sample=sample,
                                n_samples=int(sample.max()) + 1,
                                group=found.truth["group"].to_numpy(np.int64) if expression else None)
        cells = result.cells
        doublet = (cells["clone_status"] == "doublet").to_numpy()
        guess = np.where(cells["clone_id"] != "", cells["clone_id"], cells["clone_id_2"])
        junction = result.receptors.set_index("clone_id")["trb_junction"].reindex(guess).fillna("").to_numpy()
        return pd.DataFrame({"clone": np.where(doublet, "", cells["clone_id"]), "doublet": doublet,
                             "p": cells["clone_posterior"].to_numpy(), "about": junction,
                             "alone": (cells["clone_status"] == "ambiguous").to_numpy()})

    return call


def scirpy(arms: str, dual: str) -> Callable[[Repertoire], pd.DataFrame]:
    """Calls of `scirpy.tl.define_clonotypes`."""

    def call(found: Repertoire) -> pd.DataFrame:
        import scirpy as ir

        data = _airr(found)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ir.pp.index_chains(data)
            ir.tl.chain_qc(data)
            ir.pp.ir_dist(data)
            ir.tl.define_clonotypes(data, receptor_arms=arms, dual_ir=dual)
        clone = data.obs["clone_id"].astype(object).where(data.obs["clone_id"].notna(), "").map(str)
        paired = data.obs["chain_pairing"].astype(str)
        return pd.DataFrame({"clone": clone.to_numpy(), "p": np.nan, "about": "", "alone": False,
                             "doublet": paired.isin(["multichain", "extra VDJ", "two full chains"]).to_numpy()})

    return call


def _airr(found: Repertoire) -> Any:
    import awkward as ak
    from anndata import AnnData

    rows, n = found.records, len(found.truth)
    fields = {c: rows[c].tolist() for c in rows.columns if c != "cell"}
    fields |= {"junction_aa": [translate(x) for x in fields["junction"]], "d_call": [None] * len(rows)}
    flat = ak.Array({name: ak.Array(values) for name, values in fields.items()})
    data = AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(n)]))
    data.obsm["airr"] = ak.unflatten(flat, np.bincount(rows["cell"], minlength=n))
    return data


CONTENDERS: dict[str, Callable[[Repertoire], pd.DataFrame]] = {
    "sclineage": ours(expression=True), "sclineage, receptors alone": ours(expression=False),
    "scirpy VDJ/primary_only": scirpy("VDJ", "primary_only"), "scirpy all/any": scirpy("all", "any")}


# --- truth -----------------------------------------------------------------------------------------------------------
def singles(found: Repertoire) -> np.ndarray:
    """Droplets with one T cell."""
    return ((found.truth["clone"] >= 0) & (found.truth["clone_2"] < 0)).to_numpy()


def informative(found: Repertoire) -> np.ndarray:
    """True single T cells whose TRB was captured."""
    return singles(found) & found.truth["own_trb"].to_numpy()


def placeable(found: Repertoire) -> np.ndarray:
    """Informative cells, and single cells with a TRA that leads to one clone."""
    truth, rows, single = found.truth, found.records, singles(found)
    junction = found.chains["junction"].to_numpy(object)
    tra = found.clones[["tra", "tra_2"]].to_numpy()
    shared = pd.Series(junction[tra[:, 0]]).value_counts()
    seen = rows[rows["locus"] == "TRA"][["cell", "junction"]]
    seen = seen.assign(clone=truth["clone"].to_numpy()[seen["cell"]])
    seen = seen[(seen["clone"] >= 0) & ~seen["junction"].isin(shared.index[shared > 1])]
    mates = [np.where(tra[:, k] >= 0, junction[np.maximum(tra[:, k], 0)], "") for k in (0, 1)]
    own = [m[seen["clone"]] == seen["junction"].to_numpy() for m in mates]
    seen = seen[own[0] | own[1]]
    paired = seen[truth["own_trb"].to_numpy()[seen["cell"]] & single[seen["cell"]]]
    known = pd.MultiIndex.from_frame(paired[["clone", "junction"]])
    by_tra = np.zeros(len(truth), bool)
    by_tra[seen["cell"][pd.MultiIndex.from_frame(seen[["clone", "junction"]]).isin(known)]] = True
    return informative(found) | (single & by_tra)


def _pairs(*labels: np.ndarray) -> float:
    """Pairs of rows with equal labels."""
    n = pd.DataFrame(dict(enumerate(labels))).value_counts().to_numpy(np.float64)
    return float((n * (n - 1) / 2).sum())


def scores(found: Repertoire, calls: pd.DataFrame) -> dict[str, float]:
    """All scores of one contender on one repertoire."""
    true, called = found.truth["clone"].to_numpy(), calls["clone"].to_numpy(object)
    named, single, use = called != "", singles(found), informative(found)
    both, mine = single & named, use & named
    counts = pd.DataFrame({"true": true[both], "called": called[both]}).value_counts().reset_index()
    main = counts.drop_duplicates("true").set_index("true")["called"]
    right = named & (called == main.reindex(true).to_numpy(object))
    return {"precision": _pairs(true[both], called[both]) / max(_pairs(called[both]), 1),
            "recall": _pairs(true[mine], called[mine]) / max(_pairs(true[use]), 1),
            "informative": float(right[use].mean()), "placeable": float(right[placeable(found)].mean()),
            **_malignant(found, called, use), **_doublets(found, calls, use)}


def _malignant(found: Repertoire, called: np.ndarray, use: np.ndarray) -> dict[str, float]:
    if found.rates.malignant == 0:
        return dict.fromkeys(("pieces", "main", "purity"), np.nan)
    truth = found.truth
    mine = use & (truth["clone"] == 0).to_numpy()
    pieces = pd.Series(called[mine & (called != "")]).value_counts()
    inside = called == pieces.index[0]
    right = ((truth["clone"] == 0) | (truth["clone_2"] == 0)).to_numpy()
    return {"pieces": float((pieces >= 2).sum()), "main": float(pieces.iloc[0] / mine.sum()),
            "purity": float(right[inside].mean())}


def _doublets(found: Repertoire, calls: pd.DataFrame, use: np.ndarray) -> dict[str, float]:
    truth, flagged = found.truth, calls["doublet"].to_numpy()
    two = ((truth["clone_2"] >= 0) & (truth["clone"] != truth["clone_2"])).to_numpy()
    shown = two & (truth["shown_1"] & truth["shown_2"]).to_numpy()
    trb = two & (truth["trb_1"] & truth["trb_2"]).to_numpy()
    clear = two & (truth[["trb_umi_1", "trb_umi_2"]].min(axis=1) >= 2).to_numpy()
    return {"doublets": float(flagged[clear].mean()), "doublets_trb": float(flagged[trb].mean()),
            "doublets_any": float(flagged[shown].mean()),
            "false": float(flagged[use].mean())}


def stated(found: Repertoire, calls: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Posteriors that are about a clone, and whether each was right."""
    p, about = calls["p"].to_numpy(), calls["about"].to_numpy(object)
    use = np.isfinite(p) & (about != "") & ~calls["doublet"].to_numpy()
    hit = [_is(found, found.truth[c].to_numpy(), about) for c in ("clone", "clone_2")]
    right = np.where(calls["alone"], hit[0] & (found.truth["clone_2"] < 0).to_numpy(), hit[0] | hit[1])
    return p[use], right[use]


def _is(found: Repertoire, clone: np.ndarray, junction: np.ndarray) -> np.ndarray:
    """Whether each junction is a TRB of the cell's clone."""
    names = np.append(found.chains["junction"].to_numpy(object), "-")
    trb = [found.clones[c].to_numpy()[np.maximum(clone, 0)] for c in ("trb", "trb_2")]
    return (clone >= 0) & ((names[trb[0]] == junction) | (names[trb[1]] == junction))


def ece(p: np.ndarray, right: np.ndarray, bins: int = 20) -> float:
    """Expected calibration error."""
    if p.size == 0:
        return float("nan")
    gap = np.bincount(np.minimum((p * bins).astype(int), bins - 1), p - right, minlength=bins)
    return float(np.abs(gap).sum() / p.size)


def calibration(p: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """ECE of all and of the middle, each beside the mean ECE of outcomes drawn from the posteriors themselves."""
    middle = (p > 0.05) & (p < 0.95)
    out = {"n": float(p.size), "n_mid": float(middle.sum())}
    for name, use in (("ece", np.ones(p.size, bool)), ("ece_mid", middle)):
        rng = np.random.default_rng(0)
        out[name] = ece(p[use], right[use])
        out[name + "_exact"] = float(np.mean([ece(p[use], rng.random(int(use.sum())) < p[use]) for _ in range(50)]))
    return out


# --- run -------------------------------------------------------------------------------------------------------------
def run(most: int, seeds: Sequence[int], peers: int, only: Sequence[str],
        say: Callable[[str], None], write: Callable[[list[dict[str, Any]], list[dict[str, Any]]], None]) -> None:
    """Write after every scenario: a record per repertoire and contender, and the calibration of ours."""
    rows, told = [], []
    everything: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for scenario in only or SCENARIOS:
        rates, about = SCENARIOS[scenario]
        size = {"n_cells": CELLS} | about
        size["n_cells"] = min(size["n_cells"], most)
        mine: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for seed in seeds:
            found = simulate_repertoire(seed=seed, rates=rates, **size)
            for name, call in CONTENDERS.items():
                if name.startswith("scirpy") and seed >= seeds[0] + peers:
                    continue
                say(f"{scenario}, seed {seed}: {name}")
                calls = call(found)
                rows.append({"scenario": scenario, "seed": seed, "contender": name} | scores(found, calls))
                if name.startswith("sclineage"):
                    mine.setdefault(name, []).append(stated(found, calls))
        for name, parts in mine.items():
            everything.setdefault(name, []).extend(parts)
            told.append({"scenario": scenario, "contender": name} | _pooled(parts))
        write(rows, told + [{"scenario": "all together", "contender": name} | _pooled(parts)
                            for name, parts in everything.items()])


def _pooled(parts: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    return calibration(*(np.concatenate(x) for x in zip(*parts, strict=True)))


def report(rows: Sequence[dict[str, Any]], told: Sequence[dict[str, Any]], facts: dict[str, Any]) -> str:
    """Markdown: means over the seeds of each scenario, with the worst seed of ours, and the calibration."""
    frame = pd.DataFrame(rows)
    text = ["# Clone calls: quality on simulated repertoires", "", f"{facts['cpu']}, {facts['cores']} cores; "
            f"{frame['seed'].nunique()} seeds per scenario (scirpy: "
            f"{frame.loc[frame['contender'].str.startswith('scirpy'), 'seed'].nunique()}); means over the seeds, in "
            "brackets ours at its worst seed. "
            "Words: `benchmarks/clones/quality.py`."]
    for scenario, group in frame.groupby("scenario", sort=False):
        text += ["", f"## {scenario}", "", "| " + " | ".join(["", *COLUMNS.values()]) + " |",
                 "|" + " --- |" * (len(COLUMNS) + 1)]
        text += [_line(name, group.loc[group["contender"] == name, list(COLUMNS)]) for name in CONTENDERS]
    names = ("n", "ece", "ece_exact", "n_mid", "ece_mid", "ece_mid_exact")
    text += ["", "## Calibration of clone_posterior", "", "| scenario | contender | cells | ECE | if exact | "
             "cells in 0.05-0.95 | ECE | if exact |", "|" + " --- |" * 8]
    text += [f"| {t['scenario']} | {t['contender']} | " + " | ".join(f"{t[k]:.4g}" for k in names) + " |" for t in told]
    return "\n".join(text) + "\n"


def _line(name: str, values: pd.DataFrame) -> str:
    worst = values.max() if "scirpy" in name else values.min()
    for c in ("pieces", "false"):
        worst[c] = values[c].max()
    words = []
    for c in COLUMNS:
        mean = values[c].mean()
        words.append("" if np.isnan(mean) else f"{mean:.4f}" + ("" if "scirpy" in name else f" ({worst[c]:.4f})"))
    return "| " + " | ".join([name, *words]) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--most", type=int, default=1_000_000, help="limit of the cells per repertoire")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peers", type=int, default=1, help="seeds on which scirpy runs, too")
    parser.add_argument("--first", type=int, default=7001)
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), default=[])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    most, n_seeds = (300, 1) if given.tiny else (given.most, given.seeds)
    facts, out = machine(), given.out or (None if given.tiny else RESULTS)

    def write(rows: list[dict[str, Any]], told: list[dict[str, Any]]) -> None:
        text = report(rows, told, facts)
        if out is None:
            print(text)
            return
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{NAME}.md").write_text(text, encoding="utf-8")
        record = {"machine": facts, "rows": rows, "calibration": told}
        (out / f"{NAME}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    run(most, range(given.first, given.first + n_seeds), given.peers, given.only,
        lambda x: print(x, file=sys.stderr), write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
