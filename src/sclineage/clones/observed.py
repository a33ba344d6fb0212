"""What was seen, as flat arrays: chains per cell in one order, with their UMI class and their share of the ambient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

MOST_CHAINS = 6  # per cell; the rest (fewest UMIs) is left out
# lowest UMI count of each class; class 0 is "UMIs unknown"
UMI_CLASSES = np.array([0, 1, 2, 3, 4, 5, 7, 10, 15, 25], dtype=np.int64)
N_CLASSES = UMI_CLASSES.size
N_GROUPS = 4
LEAK = 0.01  # share of the ambient chains of a sample that come from the patient's other samples
CHANCE = (1e-9, 3e-7)  # P(a new rearrangement equals a given chain): anchor (TRB), partner (TRA)


class Observed(NamedTuple):
    """Cells and their chains. Entries of a cell are sorted by falling UMIs, then by chain.

    Attributes
    ----------
    ptr
        int64 (n + 1): entries of cell i are ``ptr[i]:ptr[i + 1]``.
    chain
        int64: row of the chain list.
    locus
        int64: 0 anchor (TRB), 1 partner (TRA).
    umi
        int64; 0 unknown.
    umi_class
        int64: row of `UMI_CLASSES`.
    share
        float64: share of the sample's ambient chains (of the locus) that are this chain, this cell left out.
    sample
        int64 (n): sample of the cell.
    stratum
        int64 (n): group of droplets in which those without a chain of their own are equally common: sample x
        `N_GROUPS` + group (unknown, T cell, other, myeloid or B cell by expression).
    chance
        float64 (2): P(a new founder has a given chain) by locus.
    """

    ptr: np.ndarray
    chain: np.ndarray
    locus: np.ndarray
    umi: np.ndarray
    umi_class: np.ndarray
    share: np.ndarray
    sample: np.ndarray
    stratum: np.ndarray
    chance: np.ndarray

    @property
    def cell(self) -> np.ndarray:
        """Cell of every entry."""
        return np.repeat(np.arange(self.sample.size), np.diff(self.ptr))


def observe(rows: pd.DataFrame, locus: np.ndarray, sample: np.ndarray, group: np.ndarray | None = None, *,
            unseen: float = 0.2, chance: tuple[float, float] = CHANCE) -> Observed:
    """Arrange the chains of the cells of one patient.

    Parameters
    ----------
    rows
        ``cell, chain, umis`` (int64), one row per chain of a cell; only chains of the two loci at work.
    locus
        int64 per chain of the chain list: 0 anchor, 1 partner.
    sample
        int64 per cell.
    group
        int64 per cell in ``0..N_GROUPS-1``; default all 0 (unknown).
    unseen
        Share of the ambient that comes from cells which were not captured. Of clones that many cells show they have
        the same share; what rare chains lose goes to clones of which no cell was captured.
    chance
        P(a new rearrangement equals a given chain), by locus.
    """
    rows = rows.sort_values(["cell", "umis", "chain"], ascending=[True, False, True], kind="stable")
    rows = rows[rows.groupby("cell", sort=False).cumcount() < MOST_CHAINS]
    cell, chain, umi = (rows[c].to_numpy(np.int64) for c in ("cell", "chain", "umis"))
    ptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=sample.size))]).astype(np.int64)
    where = locus[chain] if chain.size else np.zeros(0, np.int64)
    share = np.zeros(0)
    if chain.size:
        share = _shares(chain, where, np.maximum(umi, 1), sample[cell], unseen, np.array(chance))
    return Observed(ptr, chain, where, umi, np.searchsorted(UMI_CLASSES, umi, side="right") - 1, share,
                    sample.astype(np.int64), sample * N_GROUPS + (0 if group is None else group), np.array(chance))


def canonical_order(obs: Observed) -> np.ndarray:
    """Order of the cells by what they show, so that sums over cells do not depend on the order they came in."""
    shown = np.full((obs.sample.size, 2 * MOST_CHAINS), -1, np.int64)
    rank = np.arange(obs.chain.size) - obs.ptr[obs.cell]
    shown[obs.cell, 2 * rank], shown[obs.cell, 2 * rank + 1] = obs.chain, obs.umi
    return np.lexsort((*shown.T[::-1], obs.stratum))


def _shares(chain: np.ndarray, locus: np.ndarray, umi: np.ndarray, sample: np.ndarray, unseen: float,
            chance: np.ndarray) -> np.ndarray:
    """Ambient share of each entry: UMIs of the chain in other cells over all UMIs of the locus, sample and patient,.

    discounted where few cells show the chain (see `observe`).
    """
    n = int(chain.max()) + 1
    within = _others(sample * n + chain, umi) / np.bincount(sample * 2 + locus, umi)[sample * 2 + locus]
    overall = _others(chain, umi) / np.bincount(locus, umi)[locus]
    discount = unseen * _singletons(chain, locus)[locus]
    cells = _others(chain, np.ones(chain.size))
    kept = np.where(cells > 0, 1 - discount / np.maximum(cells, 1), 0.0)
    return kept * ((1 - LEAK) * within + LEAK * overall) + discount * chance[locus]


def _singletons(chain: np.ndarray, locus: np.ndarray) -> np.ndarray:
    """Absolute discount of Good and Turing per locus: chains seen in one cell over those plus twice those in two."""
    rows, count = np.unique(chain, return_counts=True)
    of = np.zeros(int(chain.max()) + 1, np.int64)
    of[chain] = locus
    one, two = (np.bincount(of[rows[count == k]], minlength=2) for k in (1, 2))
    return np.asarray(one / np.maximum(one + 2 * two, 1), dtype=np.float64)


def _others(key: np.ndarray, umi: np.ndarray) -> np.ndarray:
    _, code = np.unique(key, return_inverse=True)
    return np.bincount(code, umi)[code] - umi
