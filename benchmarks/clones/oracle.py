"""What the receptors hold at all: our posterior told the truth about every other cell, in the hard scenarios.

    python -m benchmarks.clones.oracle [--seeds 5] [--first 7001] [--out DIR]

The oracle is the engine's posterior and rules, but the clones are the true ones: it is told which clone each single
cell is of, which of its chains are its own, and which second chains and sister clones there are; the cell itself is
left out as always. Rates follow from that truth. Both are read at several thresholds; where the oracle cannot have
precision and recall together, these libraries do not hold them. Words: `benchmarks/clones/quality.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks._runner import RESULTS, machine
from benchmarks.clones.quality import CELLS, SCENARIOS, scores
from sclineage._provenance import whole, write_json
from sclineage.clones import assign as assign_
from sclineage.clones import rates as rates_
from sclineage.clones.chains import identify
from sclineage.clones.correct import correct
from sclineage.clones.normalise import chain_table
from sclineage.clones.nuclei import Keys, build, number
from sclineage.clones.observed import Observed, observe
from sclineage.clones.patient import invariant, patient_clones
from sclineage.clones.rates import Rates
from sclineage.simulate.repertoire import Repertoire, simulate_repertoire

NAME = "clones_oracle"
HARD = ("doublets 15 %", "ambient 0.25 chains of 2.5 UMIs", "capture TRB 0.60, TRA 0.45")
THRESHOLDS = (0.9, 0.95, 0.99, 0.999, 0.9999)
SHOWN = ("precision", "recall", "doublets", "false")
ROUNDS = 4


class Told(NamedTuple):
    """What was seen, a row per cell, and the truth about it: keys of single cells, own entries, second anchors."""

    obs: Observed
    keys: Keys
    own: np.ndarray
    canonical: np.ndarray
    invariant: np.ndarray
    n_samples: int


def apart(obs: Observed, row: np.ndarray) -> Observed:
    """A row for every cell: two that show the same may differ in truth."""
    lengths = np.diff(obs.ptr)[row]
    ptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    entries = np.repeat(obs.ptr[:-1][row] - ptr[:-1], lengths) + np.arange(ptr[-1])
    by_entry = {name: getattr(obs, name)[entries] for name in ("chain", "locus", "umi", "umi_class", "share")}
    return obs._replace(ptr=ptr, sample=obs.sample[row], stratum=obs.stratum[row],
                        n_cells=np.ones(row.size, np.int32), **by_entry)


def told(found: Repertoire) -> Told:
    """Look at the cells as the engine does, and at the truth."""
    table = chain_table(found.records)
    chain, chains = identify(table)
    sample = found.truth["sample"].to_numpy()
    cell = table["cell"].to_numpy(np.int64)
    kept = chain >= 0
    rows = {"cell": cell[kept], "chain": chain[kept], "umis": table["umis"].to_numpy(np.int64)[kept],
            "sample": sample[cell[kept]]}
    rows["chain"], _ = correct(rows, chains.core, chains.kind)
    obs = apart(*observe(rows, chains.coded("locus", {"TRB": 0, "TRA": 1}), sample,
                         found.truth["group"].to_numpy(np.int64)))
    own_id = pd.Series(np.arange(len(chains)), index=chains.column("junction"))
    of = own_id.reindex(found.chains["junction"]).fillna(-1).to_numpy(np.int32)
    clones = {c: np.where(found.clones[c] >= 0, of[found.clones[c]], np.int32(-1)) for c in found.clones}
    canonical = np.arange(len(chains), dtype=np.int32)
    both = (clones["trb"] >= 0) & (clones["trb_2"] >= 0)
    canonical[clones["trb_2"][both]] = clones["trb"][both]
    sister = pd.Series(found.clones["trb"]).duplicated().to_numpy()
    first, second = (found.truth[c].to_numpy() for c in ("clone", "clone_2"))
    single = (first >= 0) & (second < 0)
    keys = Keys(np.where(single, clones["trb"][first], np.int32(-1)),
                np.where(single & sister[first] & (clones["trb"][first] >= 0), clones["tra"][first], np.int32(-1)))
    own = np.zeros(obs.chain.size, bool)
    for party in (first, second):
        for ids in clones.values():
            own |= (party[obs.cell] >= 0) & (ids[party[obs.cell]] == obs.chain)
    return Told(obs, keys, own, canonical, invariant(chains), int(sample.max()) + 1)


def weigh(known: Told, rates: Rates, threshold: float | None = None) -> tuple[Rates, assign_.Calls | None]:
    """Posterior of every cell among the true clones: the rates that follow, and the calls at a threshold."""
    obs, own = known.obs, known.own.astype(np.float64)
    mine = known.own & (known.keys.anchor >= 0)[obs.cell]
    capture = np.average(rates_.capture_by_sample(rates, obs), axis=0, weights=np.maximum(rates.n, 1e-9))
    nuclei, _, clone = build(obs, known.keys, mine, own, known.canonical, capture, known.invariant)
    calls = assign_.no_calls(obs.sample.size) if threshold is not None else None
    kept = Keys(known.keys.anchor.copy(), known.keys.partner.copy())  # a round replaces what it is given
    rates = assign_.one_round(obs, nuclei, rates, clone, kept, mine, own, np.zeros(mine.size, np.int8), calls,
                              threshold or assign_.THRESHOLD)
    return rates, calls


def fit(known: Told) -> Rates:
    """Rates that follow from the truth."""
    rates = rates_.start(known.obs, known.n_samples)
    for _ in range(ROUNDS - 1):
        rates, _ = weigh(known, rates)
    return rates


def oracle(known: Told, rates: Rates, threshold: float) -> pd.DataFrame:
    """Calls of the oracle."""
    _, calls = weigh(known, rates, threshold)
    assert calls is not None
    clone, *_ = number(calls.first, known.canonical.size)
    counted = (calls.status >= assign_.COUNTED) & (clone >= 0)
    return pd.DataFrame({"clone": np.where(counted, clone.astype(str).astype(object), ""),
                         "doublet": calls.status == assign_.DOUBLET})


def ours(found: Repertoire, threshold: float) -> pd.DataFrame:
    """Calls of the engine."""
    sample = found.truth["sample"].to_numpy()
    cells = patient_clones(chain_table(found.records), patient="P", sample=sample, n_samples=int(sample.max()) + 1,
                           group=found.truth["group"].to_numpy(np.int64), threshold=threshold).cells
    doublet = (cells["clone_status"] == "doublet").to_numpy()
    return pd.DataFrame({"clone": np.where(doublet, "", cells["clone_id"]), "doublet": doublet})


def run(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Scores of both at every threshold."""
    rows = []
    for scenario in HARD:
        drawn, about = SCENARIOS[scenario]
        for seed in seeds:
            found = simulate_repertoire(seed=seed, rates=drawn, **({"n_cells": CELLS} | about))
            known = told(found)
            rates = fit(known)
            for threshold in THRESHOLDS:
                for name, calls in (("sclineage", ours(found, threshold)), ("oracle", oracle(known, rates, threshold))):
                    kept = {k: v for k, v in scores(found, calls).items() if k in SHOWN}
                    rows.append({"scenario": scenario, "seed": seed, "threshold": threshold, "name": name} | kept)
            print(scenario, seed, file=sys.stderr)
    return rows


def table(rows: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """Markdown: means over the seeds."""
    means = pd.DataFrame(rows).groupby(["scenario", "threshold", "name"], sort=False)[list(SHOWN)].mean()
    lines = ["# Clone calls beside an oracle", "", f"{facts['cpu']}; {len({r['seed'] for r in rows})} seeds per "
             "scenario, means. The oracle is told the truth about every other cell: `benchmarks/clones/oracle.py`.", "",
             "| scenario | threshold | contender | precision | recall | detectable doublets | singles flagged |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    lines += ["| " + " | ".join([str(k) for k in key] + [f"{v:.4f}" for v in row]) + " |"
              for key, row in zip(means.index, means.to_numpy(), strict=True)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all and write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=7001)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    facts = machine()
    rows = run(range(given.first, given.first + given.seeds))
    write_json({"machine": facts, "rows": rows}, given.out / f"{NAME}.json")
    with whole(given.out / f"{NAME}.md") as part:
        part.write_text(table(rows, facts), encoding="utf-8")
    print(table(rows, facts))


if __name__ == "__main__":
    main()
