"""Sequencing errors in junctions: within a sample, a rare 1-nucleotide child of a common chain is that chain."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numba import njit

from .chains import ChainList

RATIO = 10  # UMIs of a parent over those of its child


@njit(cache=True)
def _parents(letters, starts, umis, ratio, out):  # type: ignore[no-untyped-def]
    """For every row of each block, the row with the most UMIs at Hamming distance 1 and `ratio` times its UMIs, or -1.

    `letters` is (n, L) uint8, `starts` the borders of the blocks (equal locus, V, J and length).
    """
    for b in range(starts.size - 1):
        for i in range(starts[b], starts[b + 1]):
            best = -1
            for j in range(starts[b], starts[b + 1]):
                if umis[j] < ratio * umis[i] or (best >= 0 and umis[j] <= umis[best]):
                    continue
                different = 0
                for k in range(letters.shape[1]):
                    different += letters[i, k] != letters[j, k]
                    if different > 1:
                        break
                if different == 1:
                    best = j
            out[i] = best


def correct(rows: pd.DataFrame, chains: ChainList) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Collapse erroneous chains into their parents within each sample.

    A child differs from its parent in one nucleotide at equal V, J and length, holds at most a tenth of the parent's
    UMIs in the sample, and is seen only in cells that hold the parent, or with one UMI.

    Parameters
    ----------
    rows
        ``cell, sample, chain, umis, reads`` (int64), one row per chain of a cell. Chains of unknown UMI are kept.
    chains
        The patient's chain list.

    Returns
    -------
    rows
        With children renamed and equal chains of a cell added up, sorted by (cell, chain).
    collapsed
        One row per collapse: ``sample, child, parent, umis, n_cells``.
    """
    found = [_one_sample(part, chains) for _, part in rows.groupby("sample", sort=True)]
    collapsed = pd.concat(found, ignore_index=True) if found else _none()
    out = rows.merge(collapsed[["sample", "child", "parent"]], left_on=["sample", "chain"],
                     right_on=["sample", "child"], how="left")
    out["chain"] = out["parent"].fillna(out["chain"]).astype(np.int64)
    out = out.groupby(["cell", "sample", "chain"], sort=True, as_index=False)[["umis", "reads"]].sum()
    return out, collapsed


def _none() -> pd.DataFrame:
    return pd.DataFrame({c: np.zeros(0, np.int64) for c in ("sample", "child", "parent", "umis", "n_cells")})


def _one_sample(rows: pd.DataFrame, chains: ChainList) -> pd.DataFrame:
    totals = rows.groupby("chain", sort=True).agg(umis=("umis", "sum"), most=("umis", "max"), n_cells=("cell", "size"))
    frame = chains.frame.iloc[totals.index].assign(chain=totals.index, umis=totals["umis"].to_numpy(),
                                                   n_cells=totals["n_cells"].to_numpy())
    frame["length"] = frame["core"].str.len()
    keys = ["locus", "v_gene", "j_gene", "length"]
    frame = frame[frame.duplicated(keys, keep=False) & (frame["umis"] > 0)]
    found = []
    for _, group in frame.groupby("length", sort=True):
        ordered = group.sort_values([*keys, "chain"], kind="stable")
        parent = _search(ordered, keys)
        child = np.flatnonzero(parent >= 0)
        found.append(pd.DataFrame({"child": ordered["chain"].to_numpy()[child],
                                   "parent": ordered["chain"].to_numpy()[parent[child]],
                                   "umis": ordered["umis"].to_numpy()[child],
                                   "n_cells": ordered["n_cells"].to_numpy()[child]}))
    pairs = pd.concat(found, ignore_index=True) if found else _none().drop(columns="sample")
    pairs = _allowed(pairs, rows)
    pairs.insert(0, "sample", int(rows["sample"].iloc[0]))
    return pairs


def _search(ordered: pd.DataFrame, keys: list[str]) -> np.ndarray:
    letters = np.array([list(c.encode()) for c in ordered["core"]], dtype=np.uint8)
    first = ~ordered.duplicated(keys).to_numpy(bool)
    starts = np.append(np.flatnonzero(first), len(ordered)).astype(np.int64)
    out = np.full(len(ordered), -1, np.int64)
    _parents(letters, starts, ordered["umis"].to_numpy(np.int64), RATIO, out)
    return out


def _allowed(pairs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Keep pairs whose child is seen only beside its parent or with one UMI, and whose parent is not a child itself."""
    if pairs.empty:
        return pairs
    seen = rows.merge(pairs[["child", "parent"]], left_on="chain", right_on="child")
    holders = set(zip(rows["cell"], rows["chain"], strict=True))
    beside = np.array([(c, p) in holders for c, p in zip(seen["cell"], seen["parent"], strict=True)], dtype=bool)
    bad = set(seen.loc[~beside & (seen["umis"] > 1).to_numpy(bool), "child"])
    good = pairs[~pairs["child"].isin(bad)]
    return good[~good["parent"].isin(set(good["child"]))].reset_index(drop=True)
