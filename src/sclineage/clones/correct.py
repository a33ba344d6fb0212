"""Sequencing errors in junctions: within a sample, a rare 1-nucleotide child of a common chain is that chain."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numba import njit

from .letters import Letters, differ_by_one
from .sorting import totals

RATIO = 10  # UMIs of a parent over those of its child


@njit(cache=True)
def _parents(letters, block, ranked, umis, ratio):  # type: ignore[no-untyped-def]
    """For every word, the word of its block with the most UMIs at Hamming distance 1 and `ratio` times its UMIs, or -1.

    `ranked` holds the words by block (equal locus, V, J and length) and falling UMIs; block b begins at ``block[b]``.
    """
    content, start, end = letters
    out = np.full(start.size, -1, np.int64)
    for b in range(block.size - 1):
        for at in range(block[b], block[b + 1]):
            i = ranked[at]
            for to in range(block[b], at):
                j = ranked[to]
                if umis[j] < ratio * umis[i]:
                    break
                if differ_by_one(content, start[i], start[j], end[i] - start[i]):
                    out[i] = j
                    break
    return out


def correct(rows: Mapping[str, np.ndarray] | pd.DataFrame, core: Letters,
            kind: np.ndarray) -> tuple[np.ndarray, pd.DataFrame]:
    """Rename erroneous chains to their parents within each sample.

    A child differs from its parent in one nucleotide at equal V, J and length, holds at most a tenth of the parent's
    UMIs in the sample, and is seen only in cells that hold the parent, or with one UMI.

    Parameters
    ----------
    rows
        ``cell, chain, umis, sample`` (int64), one row per chain of a cell. Chains of unknown UMI are kept.
    core, kind
        Letters of every chain, and the number of its (locus, V, J).

    Returns
    -------
    chain
        Children renamed; a cell may then hold a chain twice.
    collapsed
        One row per collapse: ``sample, child, parent, umis, n_cells``.
    """
    cell, chain, umis, sample = (np.asarray(rows[c]) for c in ("cell", "chain", "umis", "sample"))
    n_samples, renamed, found = int(sample.max(initial=-1)) + 1, chain.copy(), []
    for s in range(n_samples):
        here = np.flatnonzero(sample == s) if n_samples > 1 else slice(None)
        if sample[here].size == 0:
            continue
        pairs = _one_sample(cell[here], chain[here], umis[here], core, kind)
        parent = np.arange(kind.size, dtype=renamed.dtype)
        parent[pairs["child"]] = pairs["parent"]
        renamed[here] = parent[chain[here]]
        found.append(pairs.assign(sample=s)[["sample", *pairs.columns]])
    return renamed, pd.concat(found, ignore_index=True) if found else _none()


def _none() -> pd.DataFrame:
    return pd.DataFrame({c: np.zeros(0, np.int64) for c in ("sample", "child", "parent", "umis", "n_cells")})


def _one_sample(cell: np.ndarray, chain: np.ndarray, umis: np.ndarray, core: Letters,
                kind: np.ndarray) -> pd.DataFrame:
    total = totals(chain, umis, kind.size)
    seen = np.flatnonzero(total > 0).astype(np.int32)
    block = core.length[seen] * (int(kind.max(initial=0)) + 1) + kind[seen]
    ranked = np.lexsort((-total[seen], block))
    borders = np.append(np.flatnonzero(np.diff(block[ranked], prepend=-1)), seen.size)
    parent = _parents(core.take(seen), borders, ranked, total[seen], RATIO)
    child = np.flatnonzero(parent >= 0)
    child = child[np.argsort(block[child], kind="stable")]
    good = _allowed(cell, chain, umis, seen[child], seen[parent[child]], kind.size)
    child = child[good]
    return pd.DataFrame({"child": seen[child].astype(np.int64), "parent": seen[parent[child]].astype(np.int64),
                         "umis": total[seen[child]], "n_cells": np.bincount(chain, minlength=kind.size)[seen[child]]})


def _allowed(cell: np.ndarray, chain: np.ndarray, umis: np.ndarray, child: np.ndarray, parent: np.ndarray,
             n_chains: int) -> np.ndarray:
    """Which pairs have a child that is seen only beside its parent or with one UMI, and a parent that is no child."""
    of, is_parent = np.full(n_chains, -1, np.int64), np.zeros(n_chains, bool)
    of[child], is_parent[parent] = parent, True
    rows = np.flatnonzero(of[chain] >= 0)
    asked = np.zeros(int(cell.max(initial=0)) + 1, bool)
    asked[cell[rows]] = True
    holders = np.flatnonzero(is_parent[chain] & asked[cell])
    beside = np.isin(cell[rows].astype(np.int64) * n_chains + of[chain[rows]],
                     cell[holders].astype(np.int64) * n_chains + chain[holders])
    alone = np.zeros(n_chains, bool)
    alone[chain[rows[~beside & (umis[rows] > 1)]]] = True
    good = ~alone[child]
    erroneous = np.zeros(n_chains, bool)
    erroneous[child[good]] = True
    return np.asarray(good & ~erroneous[parent])
