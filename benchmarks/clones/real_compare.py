"""Comparisons behind `benchmarks.clones.real`: partitions of cells, noise on lineage barcodes, nested labels."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from sclineage.clones.barcodes import barcode_clones
from sclineage.clones.codons import translate

CATEGORIES = ("same", "joined: chain not seen", "joined: other alpha", "joined: other beta", "doublet",
              "no clone: no beta", "no clone: beta", "split", "no clonotype of Cell Ranger")


def scirpy_clones(records: pd.DataFrame, n_cells: int, arms: str, dual: str) -> np.ndarray:
    """`scirpy.tl.define_clonotypes` of records (AIRR names, ``cell``); empty text without a clone."""
    import awkward as ak
    import scirpy as ir
    from anndata import AnnData

    rows = records.sort_values("cell", kind="stable")
    names = ("locus", "junction", "v_call", "j_call", "c_call", "umi_count", "consensus_count")
    fields: dict[str, list[Any]] = {c: rows[c].tolist() for c in names}
    fields |= {"junction_aa": [translate(x) for x in fields["junction"]], "d_call": [None] * len(rows),
               "productive": (rows["productive"].astype(str).str.lower() == "true").tolist()}
    flat = ak.Array({name: ak.Array(values) for name, values in fields.items()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(n_cells)]))
        data.obsm["airr"] = ak.unflatten(flat, np.bincount(rows["cell"], minlength=n_cells))
        ir.pp.index_chains(data)
        ir.tl.chain_qc(data)
        ir.pp.ir_dist(data)
        ir.tl.define_clonotypes(data, receptor_arms=arms, dual_ir=dual)
    clone = data.obs["clone_id"].astype(object)
    return clone.where(clone.notna(), "").map(str).to_numpy(object)


# --- partitions ------------------------------------------------------------------------------------------------------
def categories(cells: pd.DataFrame, records: pd.DataFrame, key: str) -> dict[str, int]:
    """Cells by how their clone (`key`) differs from Cell Ranger's clonotype, counted within libraries.

    Same: the cell's clonotype is the commonest of its clone in this library, and the other way round. Joined: the clone
    holds mostly another clonotype, and the cell lacks a chain of it or shows one more (chain not seen), or has another
    alpha beside an equal beta, or another beta. Split: the clonotype is mostly another clone.
    """
    productive = records[records["productive"].astype(str).str.lower() == "true"]
    chains = productive.groupby("cell").apply(
        lambda r: frozenset(zip(r["locus"], r["junction"], strict=True)), include_groups=False)
    shown = [chains.get(i, frozenset()) for i in range(len(cells))]
    library, theirs, mine = (cells[c].astype(str).to_numpy(object) for c in ("sample", "cellranger", key))
    status = cells["clone_status"].to_numpy(object) if key == "clone_id" else np.full(len(cells), "", object)
    frame = pd.DataFrame({"library": library, "theirs": theirs, "mine": mine})
    named = frame[(frame["mine"] != "") & (frame["theirs"] != "")]
    counts = named.value_counts().reset_index().sort_values(
        ["count", "theirs", "mine"], ascending=[False, True, True], kind="stable")
    main = counts.drop_duplicates(["library", "mine"]).set_index(["library", "mine"])["theirs"].to_dict()
    back = counts.drop_duplicates(["library", "theirs"]).set_index(["library", "theirs"])["mine"].to_dict()
    example = {(library[i], theirs[i]): shown[i] for i in sorted(range(len(cells)), key=lambda i: len(shown[i]))}
    out = dict.fromkeys(CATEGORIES, 0)
    for i in range(len(cells)):
        out[_category(status[i], shown[i], library[i], theirs[i], mine[i], main, back, example)] += 1
    return out


def _category(status: str, shown: frozenset[tuple[str, str]], library: str, theirs: str, mine: str,
              main: dict[Any, str], back: dict[Any, str], example: dict[Any, frozenset[tuple[str, str]]]) -> str:
    if not theirs:
        return "no clonotype of Cell Ranger"
    if status == "doublet":
        return "doublet"
    beta = {j for locus, j in shown if locus == "TRB"}
    if not mine:
        return "no clone: beta" if beta else "no clone: no beta"
    if main[library, mine] == theirs:
        return "same" if back[library, theirs] == mine else "split"
    other = example[library, main[library, mine]]
    if shown <= other or other <= shown:
        return "joined: chain not seen"
    return "joined: other alpha" if beta & {j for locus, j in other if locus == "TRB"} else "joined: other beta"


# --- lineage barcodes ------------------------------------------------------------------------------------------------
def larry_noise(matrix: np.ndarray, published: np.ndarray) -> list[dict[str, Any]]:
    """Recovery of the published clones from their barcodes: as published, and with noise on the real clone sizes.

    The stored table holds calls, not UMIs. So besides the table itself, UMIs are drawn for it (seeds 1 to 5): every
    founder of two barcodes with a probability of 0.3, capture 0.9 of each, 1 + negative binomial UMIs (mean 6), 0.05
    ambient barcodes of mean 1.3 UMIs per cell, 5 % doublets. Rules beside ours: LARRY's (the sorted set of barcodes
    with three UMIs or more is the clone) and CellTag's (components of cells with a Jaccard index above 0.7).
    """
    truth = pd.factorize(published)[0]
    cell, barcode = np.nonzero(matrix)
    plain = pd.DataFrame({"cell": cell, "chain": barcode, "umis": 0})
    names = np.array([f"barcode_{k}" for k in range(matrix.shape[1])], dtype=object)
    single = np.ones(truth.size, bool)
    rows = [{"input": "table as published", "rule": "sclineage"}
            | _recovery(_ours(plain, names, truth.size), truth, single)]
    for seed in range(1, 6):
        noisy, names, alone = _noisy(truth, np.random.default_rng(seed))
        for rule, call in (("sclineage", _ours), ("LARRY", _larry), ("CellTag", _celltag)):
            rows.append({"input": "noise, mean of 5 seeds", "rule": rule} | _recovery(
                call(noisy, names, truth.size), truth, alone))
    return pd.DataFrame(rows).groupby(["input", "rule"], sort=False).mean().reset_index().to_dict("records")


def _noisy(truth: np.ndarray, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    n_clones = int(truth.max()) + 1
    two = rng.random(n_clones) < 0.3
    partner = np.where(rng.random(truth.size) < 0.05, rng.permutation(truth), -1)
    parts = []
    for clone in (truth, partner):
        for k in (0, 1):
            use = (clone >= 0) & (rng.random(truth.size) < 0.9) & (two[np.maximum(clone, 0)] | (k == 0))
            rows = np.flatnonzero(use)
            parts.append(pd.DataFrame({"cell": rows, "chain": clone[rows] + k * n_clones,
                                       "umis": 1 + rng.negative_binomial(1.3, 1.3 / 7.3, rows.size)}))
    pool = pd.concat(parts)
    cell = np.repeat(np.arange(truth.size), rng.poisson(0.05, truth.size))
    source = pool["chain"].to_numpy()[rng.choice(len(pool), cell.size, p=pool["umis"] / pool["umis"].sum())]
    parts.append(pd.DataFrame({"cell": cell, "chain": source, "umis": 1 + rng.negative_binomial(0.3, 0.5, cell.size)}))
    rows = pd.concat(parts).groupby(["cell", "chain"], as_index=False)["umis"].sum()
    names = np.array([f"barcode_{k}" for k in range(2 * n_clones)], dtype=object)
    return rows, names, (partner < 0) | (partner == truth)


def _ours(rows: pd.DataFrame, names: np.ndarray, n: int) -> np.ndarray:
    found = barcode_clones(rows, names, patient="M", sample=np.zeros(n, np.int64), n_samples=1)
    return np.where(found.cells["status"] == "doublet", -1, found.cells["clone"])


def _larry(rows: pd.DataFrame, names: np.ndarray, n: int) -> np.ndarray:
    kept = rows[rows["umis"] >= 3].sort_values(["cell", "chain"])
    key = kept.groupby("cell")["chain"].agg(lambda x: "-".join(map(str, x)))
    return np.asarray(pd.factorize(key.reindex(range(n)))[0])


def _celltag(rows: pd.DataFrame, names: np.ndarray, n: int) -> np.ndarray:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    kept = rows[rows["umis"] >= 2]
    x = csr_matrix((np.ones(len(kept)), (kept["cell"], kept["chain"])), shape=(n, names.size))
    shared, size = (x @ x.T).tocoo(), np.asarray(x.sum(axis=1)).ravel()
    near = shared.data / (size[shared.row] + size[shared.col] - shared.data) > 0.7
    label = connected_components(csr_matrix((near[near], (shared.row[near], shared.col[near])), shape=(n, n)))[1]
    return np.where(size > 0, label, -1)


def _pairs(*labels: np.ndarray) -> float:
    n = pd.DataFrame(dict(enumerate(labels))).value_counts().to_numpy(np.float64)
    return float((n * (n - 1) / 2).sum())


def _recovery(called: np.ndarray, truth: np.ndarray, single: np.ndarray) -> dict[str, float]:
    """Pairs of single cells; cells given the clone that holds most of theirs."""
    use = single & (called >= 0)
    both = _pairs(called[use], truth[use])
    counts = pd.DataFrame({"truth": truth[use], "called": called[use]}).value_counts().reset_index()
    main = counts.drop_duplicates("truth").set_index("truth")["called"]
    right = use & (main.reindex(truth).to_numpy() == called)
    return {"precision": both / max(_pairs(called[use]), 1), "recall": both / max(_pairs(truth[single]), 1),
            "cells": float(right[single].mean()), "clones": float(np.unique(called[use]).size)}


# --- nested labels ---------------------------------------------------------------------------------------------------
def nested_pairs(clone: np.ndarray, outer: np.ndarray, *, n_shuffles: int = 2000, seed: int = 0) -> dict[str, float]:
    """Share of pairs of cells of one clone that share their outer label, beside permuted labels.

    The interval is the bootstrap over clones (2.5 % and 97.5 %) of the excess over chance, divided by the most that it
    could be: 0 is chance, 1 perfect nesting.
    """
    use = (clone != "") & (outer != "")
    inner, labels = pd.factorize(clone[use])[0], pd.factorize(outer[use])[0]
    n_inner, n_outer = inner.max() + 1, labels.max() + 1
    share = np.bincount(labels) / labels.size
    expected = float((np.bincount(labels) * (np.bincount(labels) - 1)).sum() / (labels.size * (labels.size - 1)))

    def together(outer_labels: np.ndarray) -> np.ndarray:
        table = np.bincount(inner * n_outer + outer_labels, minlength=n_inner * n_outer).reshape(n_inner, n_outer)
        return (table * (table - 1) / 2).sum(axis=1)

    pairs = np.bincount(inner) * (np.bincount(inner) - 1) / 2
    hits, rng = together(labels), np.random.default_rng(seed)
    observed = hits.sum() / pairs.sum()
    null = np.array([together(rng.permutation(labels)).sum() / pairs.sum() for _ in range(n_shuffles)])
    chosen = rng.integers(0, n_inner, (n_shuffles, n_inner))
    drawn = hits[chosen].sum(axis=1) / np.maximum(pairs[chosen].sum(axis=1), 1)
    low, high = np.quantile((drawn - expected) / (1 - expected), [0.025, 0.975])
    # every clone weighs one, whatever its size
    several = pairs > 0
    mean = float((hits[several] / pairs[several]).mean())
    drawn_mean = [(hits / np.maximum(pairs, 1))[several][rng.integers(0, several.sum(), several.sum())].mean()
                  for _ in range(n_shuffles)]
    return {"cells": int(use.sum()), "clones of two or more": int(several.sum()), "pairs": int(pairs.sum()),
            "largest label": float(share.max()), "expected": expected, "observed": float(observed),
            "beyond chance": (observed - expected) / (1 - expected), "low": float(low), "high": float(high),
            "p": float(((null >= observed).sum() + 1) / (n_shuffles + 1)), "mean over clones": mean,
            "mean low": float(np.quantile(drawn_mean, 0.025)), "mean high": float(np.quantile(drawn_mean, 0.975))}
