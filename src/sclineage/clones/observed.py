"""What was seen, as flat arrays: chains per cell in one order, with their UMI class and their share of the ambient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from .._errors import InputError
from . import observed_cells as cells_
from .sorting import by_key, ranks, totals

MOST_CHAINS = cells_.MOST_CHAINS
# lowest UMI count of each class; class 0 is "UMIs unknown"
UMI_CLASSES = np.array([0, 1, 2, 3, 4, 5, 7, 10, 15, 25], dtype=np.int64)
N_CLASSES = UMI_CLASSES.size
N_GROUPS = 4
CHANCE = (1e-9, 3e-7)  # P(a new rearrangement equals a given chain): anchor (TRB), partner (TRA)
BLOCK = 1 << 16  # rows that are worked on at a time, where what is said of each is not kept
_MOST = 2**31 - 1  # numbers of rows are 32 bits wide
_CLASS_OF = (np.searchsorted(UMI_CLASSES, np.arange(UMI_CLASSES[-1] + 1), side="right") - 1).astype(np.int8)


class Observed(NamedTuple):
    """Cells and their chains. Entries of a cell are sorted by falling UMIs, then by chain.

    Cells that show the same (chains, UMIs, stratum) are one row: whatever is worked out of them is the same. A chain
    of a cell takes 18 bytes, a row 16.

    Attributes
    ----------
    ptr
        int32 (n + 1): entries of row i are ``ptr[i]:ptr[i + 1]``.
    chain
        int32: row of the chain list.
    locus
        int8: 0 anchor (TRB), 1 partner (TRA).
    umi
        int32 (int64 where their sum needs it); 0 unknown.
    umi_class
        int8: row of `UMI_CLASSES`.
    share
        float64: share of the sample's ambient chains (of the locus) that are this chain, this cell left out.
    sample
        int32 (n): sample of the cell.
    stratum
        int32 (n): group of droplets in which those without a chain of their own are equally common: sample x
        `N_GROUPS` + group (unknown, T cell, other, myeloid or B cell by expression).
    chance
        float64 (2): P(a new founder has a given chain) by locus.
    n_cells
        int32 (n): cells of the row.
    seen
        int32 (C): cells that show each chain.
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
    seen: np.ndarray

    @property
    def cell(self) -> np.ndarray:
        """Row of every entry, int32."""
        return np.repeat(np.arange(self.sample.size, dtype=np.int32), np.diff(self.ptr))

    @property
    def weight(self) -> np.ndarray:
        """Cells behind every entry, int32."""
        return np.repeat(self.n_cells, np.diff(self.ptr))

    def blocks(self) -> Iterator[tuple[slice, slice, Observed]]:
        """`BLOCK` rows at a time: rows, entries, and what was seen there (views)."""
        for low in range(0, self.sample.size, BLOCK):
            rows = slice(low, min(low + BLOCK, self.sample.size))
            entries = slice(int(self.ptr[rows.start]), int(self.ptr[rows.stop]))
            yield rows, entries, self._replace(
                ptr=self.ptr[low:rows.stop + 1] - self.ptr[low], chain=self.chain[entries], locus=self.locus[entries],
                umi=self.umi[entries], umi_class=self.umi_class[entries], share=self.share[entries],
                sample=self.sample[rows], stratum=self.stratum[rows], n_cells=self.n_cells[rows])


def observe(rows: Mapping[str, np.ndarray] | pd.DataFrame, locus: np.ndarray, sample: np.ndarray,
            group: np.ndarray | None = None, *, unseen: float = 0.2,
            chance: tuple[float, float] = CHANCE) -> tuple[Observed, np.ndarray]:
    """Arrange the chains of the cells of one patient.

    Parameters
    ----------
    rows
        ``cell, chain, umis`` (integers); only chains of the two loci at work. UMIs of equal chains of a cell add up.
    locus
        Integer per chain of the chain list: 0 anchor, 1 partner.
    sample
        Integer per cell.
    group
        Integer per cell in ``0..N_GROUPS-1``; default all 0 (unknown).
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
        int32 per cell: its row.

    Raises
    ------
    InputError
        More than 2**31 - 1 chains, or strata of cells.
    """
    cell, chain, umis = (np.asarray(rows[c]) for c in ("cell", "chain", "umis"))
    if max(cell.size, locus.size, sample.size, (int(sample.max(initial=0)) + 1) * N_GROUPS) > _MOST:
        raise InputError("receptors", f"found {cell.size} chains of one patient", f"give at most {_MOST}")
    locus, stratum = locus.astype(np.int8), (sample * N_GROUPS + (0 if group is None else group)).astype(np.int32)
    # no sum of UMIs, unknown ones counted as 1, is larger
    umi_type = np.int32 if float(umis.sum(dtype=np.float64)) + umis.size < _MOST else np.int64
    ptr, chain, umi = cells_.arranged(cell, chain, umis, sample.size, np.empty(cell.size, umi_type))
    first, row = _distinct(ptr, chain, umi, stratum, locus.size)
    ptr, chain, umi = cells_.taken(first, ptr, chain, umi)
    n_cells = totals(row, np.ones(row.size, np.int32), first.size)
    sample, stratum, where = sample[first].astype(np.int32), stratum[first], locus[chain]
    seen, share = _shares(ptr, chain, locus, umi, sample, n_cells, unseen, np.array(chance))
    classes = _CLASS_OF[np.minimum(umi, UMI_CLASSES[-1])]
    return Observed(ptr, chain, where, umi, classes, share, sample, stratum, np.array(chance), n_cells, seen), row


def _distinct(ptr: np.ndarray, chain: np.ndarray, umi: np.ndarray, stratum: np.ndarray,
              n_chains: int) -> tuple[np.ndarray, np.ndarray]:
    """Kinds of cells by stratum, then by chains and UMIs: a cell of each, and the kind of every cell."""
    wide = int(umi.max(initial=0)) + 2
    at_once = (int(stratum.max(initial=0)) + 1) * (n_chains + 1) * wide < 2**62  # stratum and first chain: one number

    def part(rows: np.ndarray, k: int) -> np.ndarray:
        return np.asarray(cells_.kind_part(rows, k if at_once else k - 1, at_once, ptr, chain, umi, stratum,
                                           n_chains + 1, wide))

    return cells_.numbered(ranks(stratum.size, part))  # type: ignore[no-any-return]


def _shares(ptr: np.ndarray, chain: np.ndarray, locus: np.ndarray, umi: np.ndarray, sample: np.ndarray,
            n_cells: np.ndarray, unseen: float, chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells that show each chain, and the ambient share of each entry.

    That is: UMIs of the chain in other cells over all UMIs of the locus, sample and patient, discounted where few cells
    show the chain (see `observe`).
    """
    seen = cells_.seen(ptr, chain, n_cells, locus.size)
    cell = np.repeat(np.arange(sample.size, dtype=np.int32), np.diff(ptr))
    entries, start = by_key(chain, locus.size, np.arange(chain.size, dtype=np.int32))
    discount = unseen * _singletons(seen, locus)
    share = cells_.shares(entries, start, locus, umi, cell, sample, n_cells, seen, discount, chance,
                          int(sample.max(initial=0)) + 1)
    return seen, share


def _singletons(seen: np.ndarray, locus: np.ndarray) -> np.ndarray:
    """Absolute discount of Good and Turing per locus: chains seen in one cell over those plus twice those in two."""
    one, two = (np.bincount(locus[seen == k], minlength=2) for k in (1, 2))
    return np.asarray(one / np.maximum(one + 2 * two, 1), dtype=np.float64)
