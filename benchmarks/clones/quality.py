"""Quality of clone calls on simulated repertoires with truth: ours beside scirpy's two common definitions.

    python -m benchmarks.clones.quality [--cells 10000] [--seeds 10] [--first 9001] [--tiny] [--out DIR]

Every seed draws its own rates (`sclineage.simulate.repertoire.draw_rates`); one scenario more has the rates of an
ordinary library (`Rates()`). The seeds were not looked at while the method was made. Scores are over true single
cells that show a chain which can place them: their TRB, or a TRA that another cell of the clone shows beside its TRB.

- precision, recall: of pairs of cells called one clone; cells without a clone are pairs with nobody.
- pieces: clones among which the malignant cells are spread (two cells or more); main: share of them in the largest;
  purity: of that clone, among droplets with a T cell, and among all droplets.
- doublets: sensitivity where both cells' TRB were seen, where both cells showed any chain; share of single cells
  flagged. scirpy flags ``multichain``, ``extra VDJ`` and ``two full chains``.
- calibration: expected calibration error of `clone_posterior` (20 bins), of all cells and of those in 0.05..0.95.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._runner import RESULTS, machine
from sclineage.clones.focus import translate
from sclineage.clones.normalise import chain_table
from sclineage.clones.patient import patient_clones
from sclineage.simulate.repertoire import Rates, Repertoire, simulate_repertoire

NAME = "clones.quality"
COLUMNS = {"precision": "precision", "recall": "recall", "cell_recall": "cells placed", "pieces": "pieces",
           "main": "main piece", "purity": "purity (T)", "purity_all": "purity (all)",
           "doublet_both_trb": "doublets, both TRB", "doublet_any": "doublets, any chain",
           "doublet_false": "singles flagged", "ece": "ECE", "ece_mid": "ECE 0.05-0.95", "n_mid": "n 0.05-0.95"}


def ours(found: Repertoire) -> pd.DataFrame:
    """Our calls: clone, whether a doublet, posterior, and the junction of the clone that the posterior is about."""
    sample = found.truth["sample"].to_numpy()
    result = patient_clones(chain_table(found.records), patient="P", sample=sample, n_samples=int(sample.max()) + 1)
    cells = result.cells
    doublet = (cells["clone_status"] == "doublet").to_numpy()
    guess = np.where(cells["clone_id"] != "", cells["clone_id"], cells["clone_id_2"])
    junction = result.receptors.set_index("clone_id")["trb_junction"].reindex(guess).fillna("").to_numpy()
    return pd.DataFrame({"clone": np.where(doublet, "", cells["clone_id"]), "doublet": doublet,
                         "p": cells["clone_posterior"].to_numpy(), "about": junction,
                         "alone": (cells["clone_status"] == "ambiguous").to_numpy()})


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
    "sclineage": ours, "scirpy VDJ/primary_only": scirpy("VDJ", "primary_only"), "scirpy all/any": scirpy("all", "any")}


# --- truth -----------------------------------------------------------------------------------------------------------
def placeable(found: Repertoire) -> np.ndarray:
    """True single cells with a chain that can place them."""
    truth, rows = found.truth, found.records
    single = ((truth["clone"] >= 0) & (truth["clone_2"] < 0)).to_numpy()
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
    return single & (truth["own_trb"].to_numpy() | by_tra)


def _pairs(labels: pd.Series) -> float:
    n = labels.value_counts().to_numpy(np.float64)
    return float((n * (n - 1) / 2).sum())


def scores(found: Repertoire, calls: pd.DataFrame) -> dict[str, float]:
    """All scores of one contender on one repertoire."""
    truth, use = found.truth, placeable(found)
    named = (calls["clone"] != "").to_numpy()
    cells = pd.DataFrame({"true": truth["clone"].to_numpy(), "called": calls["clone"].to_numpy()})
    both = cells[use & named]
    together = _pairs(both["true"].astype(str) + " " + both["called"])
    main = both.groupby("true")["called"].agg(lambda x: x.value_counts().index[0])
    out = {"precision": together / max(_pairs(both["called"]), 1),
           "recall": together / max(_pairs(cells.loc[use, "true"]), 1),
           "cell_recall": float((cells["called"] == cells["true"].map(main))[use & named].sum() / use.sum())}
    return out | _malignant(found, cells, use, named) | _doublets(found, calls, use) | _calibration(found, calls)


def _malignant(found: Repertoire, cells: pd.DataFrame, use: np.ndarray, named: np.ndarray) -> dict[str, float]:
    if found.rates.malignant == 0:
        return dict.fromkeys(("pieces", "main", "purity", "purity_all"), np.nan)
    truth = found.truth
    mine = use & (cells["true"] == 0).to_numpy()
    pieces = cells.loc[mine & named, "called"].value_counts()
    inside = named & (cells["called"] == pieces.index[0]).to_numpy()
    right = ((truth["clone"] == 0) | (truth["clone_2"] == 0)).to_numpy()
    t_cell = (truth["clone"] >= 0).to_numpy()
    return {"pieces": float((pieces >= 2).sum()), "main": float(pieces.iloc[0] / mine.sum()),
            "purity": float(right[inside & t_cell].mean()), "purity_all": float(right[inside].mean())}


def _doublets(found: Repertoire, calls: pd.DataFrame, use: np.ndarray) -> dict[str, float]:
    truth, flagged = found.truth, calls["doublet"].to_numpy()
    two = ((truth["clone_2"] >= 0) & (truth["clone"] != truth["clone_2"])).to_numpy()
    shown = two & (truth["shown_1"] & truth["shown_2"]).to_numpy()
    trb = two & (truth["trb_1"] & truth["trb_2"]).to_numpy()
    return {"doublet_both_trb": float(flagged[trb].mean()), "doublet_any": float(flagged[shown].mean()),
            "doublet_false": float(flagged[use].mean())}


def _calibration(found: Repertoire, calls: pd.DataFrame) -> dict[str, float]:
    p = calls["p"].to_numpy()
    about = calls["about"].to_numpy(object)
    stated = np.isfinite(p) & (about != "") & ~calls["doublet"].to_numpy()
    if not stated.any():
        return dict.fromkeys(("ece", "ece_mid", "n_mid"), np.nan)
    hit = [_is(found, found.truth[c].to_numpy(), about) for c in ("clone", "clone_2")]
    single = (found.truth["clone_2"] < 0).to_numpy()
    right = np.where(calls["alone"], hit[0] & single, hit[0] | hit[1])
    middle = stated & (p > 0.05) & (p < 0.95)
    return {"ece": _ece(p[stated], right[stated]), "ece_mid": _ece(p[middle], right[middle]),
            "n_mid": float(middle.sum())}


def _is(found: Repertoire, clone: np.ndarray, junction: np.ndarray) -> np.ndarray:
    """Whether each junction is a TRB of the cell's clone."""
    names = np.append(found.chains["junction"].to_numpy(object), "-")
    trb = [found.clones[c].to_numpy()[np.maximum(clone, 0)] for c in ("trb", "trb_2")]
    return (clone >= 0) & ((names[trb[0]] == junction) | (names[trb[1]] == junction))


def _ece(p: np.ndarray, right: np.ndarray, bins: int = 20) -> float:
    if p.size == 0:
        return float("nan")
    group = np.minimum((p * bins).astype(int), bins - 1)
    gap = np.bincount(group, p - right, minlength=bins)
    return float(np.abs(gap).sum() / p.size)


# --- run -------------------------------------------------------------------------------------------------------------
def run(n_cells: int, seeds: Sequence[int], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """One record per repertoire and contender."""
    rows = []
    for seed in [*seeds, -1]:
        rates = Rates() if seed < 0 else None
        found = simulate_repertoire(n_cells, seed=abs(seed), rates=rates)
        for name, call in CONTENDERS.items():
            say(f"seed {'ordinary' if seed < 0 else seed}: {name}")
            rows.append({"seed": "ordinary" if seed < 0 else seed, "contender": name} | scores(found, call(found)))
    return rows


def report(rows: Sequence[dict[str, Any]], facts: dict[str, Any], n_cells: int) -> str:
    """Markdown: means and worst over the drawn seeds, then every repertoire of ours."""
    frame = pd.DataFrame(rows)
    drawn = frame[frame["seed"] != "ordinary"]
    head = "| " + " | ".join(["", *COLUMNS.values()]) + " |\n|" + " --- |" * (len(COLUMNS) + 1)

    def line(label: str, values: pd.Series) -> str:
        return "| " + " | ".join([label, *("" if np.isnan(values[c]) else f"{values[c]:.4g}" for c in COLUMNS)]) + " |"

    text = ["# Clone calls: quality on simulated repertoires", "",
            f"{facts['cpu']}, {facts['cores']} cores; {n_cells} T-cell droplets, {drawn['seed'].nunique()} seeds with "
            "rates of their own; means over seeds (pieces and n: means).", "", head]
    text += [line(name, drawn.loc[drawn["contender"] == name, list(COLUMNS)].mean()) for name in CONTENDERS]
    text += ["", "Ordinary library (15 % malignant, capture 0.93 / 0.85, 5 % doublets, 3 % ambient):", "", head]
    text += [line(name, frame.loc[(frame["contender"] == name) & (frame["seed"] == "ordinary"), list(COLUMNS)].iloc[0])
             for name in CONTENDERS]
    text += ["", "Ours, seed by seed:", "", head]
    text += [line(str(r["seed"]), r[list(COLUMNS)]) for _, r in drawn[drawn["contender"] == "sclineage"].iterrows()]
    return "\n".join(text) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=9001)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    n_cells, n_seeds = (400, 1) if given.tiny else (given.cells, given.seeds)
    rows = run(n_cells, range(given.first, given.first + n_seeds), lambda x: print(x, file=sys.stderr))
    facts = machine()
    print(text := report(rows, facts, n_cells))
    out = given.out or (None if given.tiny else RESULTS)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{NAME}.md").write_text(text, encoding="utf-8")
        record = {"machine": facts, "cells": n_cells, "rows": rows}
        (out / f"{NAME}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
