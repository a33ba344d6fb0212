"""What was seen, as flat arrays: chains per cell in one order, with their UMI class and their share of the ambient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numba import njit

from .sorting import by_key, ranks

MOST_CHAINS = 6  # per cell; the rest (fewest UMIs) is left out
# lowest UMI count of each class; class 0 is "UMIs unknown"
UMI_CLASSES = np.array([0, 1, 2, 3, 4, 5, 7, 10, 15, 25], dtype=np.int64)
N_CLASSES = UMI_CLASSES.size
N_GROUPS = 4
LEAK = 0.01  # share of the ambient chains of a sample that come from the patient's other samples
CHANCE = (1e-9, 3e-7)  # P(a new rearrangement equals a given chain): anchor (TRB), partner (TRA)


class Observed(NamedTuple):
    """Cells and their chains. Entries of a cell are sorted by falling UMIs, then by chain.

    Cells that show the same (chains, UMIs, stratum) are one row: whatever is worked out of them is the same.

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
    n_cells
        int64 (n): cells of the row.
    cell
        int64: row of every entry.
    by_chain
        int64: entries sorted by (locus, chain).
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
    n_cells: np.ndarray
    cell: np.ndarray
    by_chain: np.ndarray

    @property
    def weight(self) -> np.ndarray:
        """Cells behind every entry, int64."""
        return self.n_cells[self.cell]


def observe(rows: Mapping[str, np.ndarray] | pd.DataFrame, locus: np.ndarray, sample: np.ndarray,
            group: np.ndarray | None = None, *, unseen: float = 0.2,
            chance: tuple[float, float] = CHANCE) -> tuple[Observed, np.ndarray]:
    """Arrange the chains of the cells of one patient.

    Parameters
    ----------
    rows
        ``cell, chain, umis`` (int64); only chains of the two loci at work. UMIs of equal chains of a cell add up.
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

    Returns
    -------
    observed
        The rows sorted by what they show, so that sums over cells do not depend on the order they came in.
    row
        int64 per cell: its row.
    """
    ptr, chain, umi = _arranged(tuple(np.asarray(rows[c], np.int64) for c in ("cell", "chain", "umis")), sample.size)
    stratum = sample * N_GROUPS + (0 if group is None else group)
    first, row = _distinct(ptr, chain, umi, stratum)
    n_entries, former = np.diff(ptr)[first], ptr[:-1][first]
    ptr = np.concatenate([[0], np.cumsum(n_entries)]).astype(np.int64)
    cell, count = np.repeat(np.arange(first.size), n_entries), np.bincount(row, minlength=first.size)
    entry = (former - ptr[:-1])[cell] + np.arange(cell.size)
    chain, umi, sample, where = chain[entry], umi[entry], sample[first].astype(np.int64), np.zeros(0, np.int64)
    share = np.zeros(0)
    if chain.size:
        where = locus[chain]
        share = _shares(chain, where, np.maximum(umi, 1), sample[cell], count[cell], unseen, np.array(chance))
    by_chain, _ = by_key(where * locus.size + chain, 2 * locus.size, np.arange(chain.size))
    return Observed(ptr, chain, where, umi, np.searchsorted(UMI_CLASSES, umi, side="right") - 1, share, sample,
                    stratum[first], np.array(chance), count, cell, by_chain), row


@njit(cache=True)
def _arranged(rows, n):  # type: ignore[no-untyped-def]
    """Pointer, chains and UMIs of the entries by cell, then falling UMIs, then chain; the first MOST_CHAINS of each.

    Rows of a cell that show one chain are one entry.
    """
    cell, chain, umi = rows
    order, start = by_key(cell, n, np.arange(cell.size))
    ptr, chains, umis, end = np.zeros(n + 1, np.int64), np.empty(cell.size, np.int64), np.empty(cell.size, np.int64), 0
    for i in range(n):
        begin = ptr[i]
        end = begin
        for row in order[start[i]:start[i + 1]]:
            at = begin
            while at < end and chains[at] != chain[row]:
                at += 1
            umis[at] = umi[row] + (umis[at] if at < end else 0)
            chains[at] = chain[row]
            end = max(end, at + 1)
        for last in range(begin + 1, end):  # insertion sort: a cell has few chains
            at, c, u = last, chains[last], umis[last]
            while at > begin and (u > umis[at - 1] or (u == umis[at - 1] and c < chains[at - 1])):
                chains[at], umis[at] = chains[at - 1], umis[at - 1]
                at -= 1
            chains[at], umis[at] = c, u
        ptr[i + 1] = min(end, begin + MOST_CHAINS)
    return ptr, chains[:ptr[n]].copy(), umis[:ptr[n]].copy()


def _distinct(ptr: np.ndarray, chain: np.ndarray, umi: np.ndarray,
              stratum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kinds of cells by stratum, then by chains and UMIs: a cell of each, and the kind of every cell."""
    sequence = np.append(chain, -1) + 1, np.append(umi, -1) + 1

    def part(rows: np.ndarray, k: int) -> np.ndarray:
        if k == 0:
            return stratum[rows] + 1
        entry = ptr[rows] + (k - 1) // 2
        return sequence[(k - 1) % 2][np.where(entry < ptr[rows + 1], entry, -1)]

    rank = ranks(stratum.size, part)
    cell = np.full(rank.size, -1, np.int64)  # by the lowest rank of its kind
    cell[rank] = np.arange(rank.size)
    return cell[cell >= 0], (np.cumsum(cell >= 0) - 1)[rank]


def _shares(chain: np.ndarray, locus: np.ndarray, umi: np.ndarray, sample: np.ndarray, weight: np.ndarray,
            unseen: float, chance: np.ndarray) -> np.ndarray:
    """Ambient share of each entry: UMIs of the chain in other cells over all UMIs of the locus, sample and patient,.

    discounted where few cells show the chain (see `observe`).
    """
    n = int(chain.max()) + 1
    group = sample * 2 + locus
    within = _others(sample * n + chain, umi, weight) / np.bincount(group, umi * weight)[group]
    overall = _others(chain, umi, weight) / np.bincount(locus, umi * weight)[locus]
    discount = unseen * _singletons(chain, locus, weight)[locus]
    cells = _others(chain, np.ones(chain.size), weight)
    kept = np.where(cells > 0, 1 - discount / np.maximum(cells, 1), 0.0)
    return kept * ((1 - LEAK) * within + LEAK * overall) + discount * chance[locus]


def _singletons(chain: np.ndarray, locus: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Absolute discount of Good and Turing per locus: chains seen in one cell over those plus twice those in two."""
    count = np.bincount(chain, weight)
    of = np.zeros(count.size, np.int64)
    of[chain] = locus
    one, two = (np.bincount(of[count == k], minlength=2) for k in (1, 2))
    return np.asarray(one / np.maximum(one + 2 * two, 1), dtype=np.float64)


def _others(key: np.ndarray, umi: np.ndarray, weight: np.ndarray) -> np.ndarray:
    code, _ = pd.factorize(key)
    return np.asarray(np.bincount(code, umi * weight)[code] - umi)
