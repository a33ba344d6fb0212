"""Chains of a clone: what its cells show, which partner chains are the clone's, and which are another clone's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import betaln
from scipy.stats import binom

from . import nuclei_cells as cells_
from .observed import Observed
from .sorting import by_key, totals

MIN_SHARE = 0.10  # of the clone's cells with a partner chain that must show a partner chain of the clone
SURE_P = 1e-3  # P(the ambient alone puts a chain into that many cells of the clone)
SPLIT_PRIOR = 0.01  # prior that two partner sets of one anchor are two clones
SECOND = np.array([0.01, 0.2])  # share of clones with two productive chains: anchor, partner; before the data speak
DOUBLE = 0.04  # share of cells that are two, where only the order of magnitude matters


class Table(NamedTuple):
    """Chains by clone, sorted by clone, locus and chain.

    Attributes
    ----------
    ptr
        int32 (K + 1): rows of clone k are ``ptr[k]:ptr[k + 1]``.
    clone, chain, locus
        int32, int32, int8 (M).
    support
        int32 (M): cells of the clone that show the chain.
    umi
        As `Observed.umi` (M): their UMIs of it.
    sure
        float64 (M): P(any of them is the clone's).
    """

    ptr: np.ndarray
    clone: np.ndarray
    chain: np.ndarray
    locus: np.ndarray
    support: np.ndarray
    umi: np.ndarray
    sure: np.ndarray


def tally(obs: Observed, clone: np.ndarray, mine: np.ndarray, own: np.ndarray, n_clones: int,
          members: tuple[np.ndarray, np.ndarray] | None = None) -> Table:
    """What the cells of each clone show: their chains that are `mine`, each with probability `own` of being so.

    `members`: rows by clone and their pointer, where they are known.
    """
    rows, start = rows_of(clone, n_clones) if members is None else members
    place = places(obs)
    keys, bounds, ptr = cells_.own_chains(rows, start, obs.ptr, obs.chain, place, mine)
    n = int(ptr[-1])
    out = (np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int8), np.zeros(n, np.int32),
           np.zeros(n, obs.umi.dtype), np.zeros(n))
    cells_.table_rows(keys, bounds, ptr, obs.ptr, obs.chain, obs.locus, place, obs.umi, own, obs.n_cells, out)
    return Table(ptr, *out)


def rows_of(clone: np.ndarray, n_clones: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows by clone, and the pointer of the clones in them."""
    rows, start = by_key(clone, n_clones, np.arange(clone.size, dtype=np.int32))
    return rows, start


def places(obs: Observed) -> np.ndarray:
    """Place of every chain in the order by (locus, chain), int32 (C)."""
    partner = np.zeros(obs.seen.size, bool)
    cells_.mark(obs.chain, obs.locus, partner)
    after = np.cumsum(partner, dtype=np.int32)
    rank = np.arange(partner.size, dtype=np.int32)
    return np.where(partner, partner.size - after[-1:] + after - 1, rank - after).astype(np.int32)


def partners(obs: Observed, table: Table, bearing: np.ndarray) -> np.ndarray:
    """Rows of `table` that are candidates for partner chains of their clone, best first within each clone.

    A partner needs two cells and a tenth of the clone's cells with a partner, more than the ambient puts there; in
    clones with at most two such cells the only evidence counts.
    """
    rows = np.flatnonzero(table.locus == 1)
    chain, support, n = table.chain[rows], table.support[rows], bearing[table.clone[rows], 1]
    good = (support >= 2) & (support >= MIN_SHARE * n)
    most = cells_.maxima(chain, support, obs.seen.size)
    weak = np.flatnonzero(good & (n > 2) & (support < most[chain]))
    elsewhere = np.maximum(obs.seen[chain[weak]] - most[chain[weak]], 0) / max(obs.n_cells.sum(), 1)
    good[weak] = ~(binom.sf(support[weak] - 1, n[weak], np.minimum(elsewhere, 1)) >= SURE_P)
    return _best_first(table, rows[good | (n <= 2)])


def _best_first(table: Table, rows: np.ndarray) -> np.ndarray:
    """Rows, sorted by clone, with those of each clone by falling support, then UMIs, then by chain."""
    cells_.best_first(rows, table.clone, table.support, table.umi, table.chain)
    return rows


def pointer(group: np.ndarray, n: int) -> np.ndarray:
    """CSR pointer of `n` groups whose members carry their group; int32 (n + 1)."""
    out = np.zeros(n + 1, np.int32)
    np.cumsum(totals(group, np.ones(group.size, np.int32), n), out=out[1:])
    return out


def _first(clone: np.ndarray) -> np.ndarray:
    """Whether each row is the first of its clone; clones are sorted."""
    return np.diff(clone, prepend=-1) != 0


def choose_partners(obs: Observed, clone: np.ndarray, mine: np.ndarray, table: Table, rows: np.ndarray,
                    n_cells: np.ndarray, capture: float) -> tuple[np.ndarray, np.ndarray]:
    """Split candidate partners into those of the clone (at most two) and those that are another clone's.

    Returns the rows of `table` that are kept and those whose cells make a clone of their own.
    """
    first = _first(table.clone[rows])
    leads, others = rows[first], rows[~first]
    of = table.clone[others]
    lead, support = np.full(n_cells.size, -1, np.int32), np.zeros(n_cells.size, np.int32)
    lead[table.clone[leads]], support[table.clone[leads]] = table.chain[leads], table.support[leads]
    both = cells_.together(obs.ptr, obs.chain, obs.locus, obs.n_cells, clone, mine, lead,
                           pointer(of, n_cells.size), table.chain[others])
    n = table.support[others]
    dual = log_odds_dual(support[of] - both, n - both, both, n_cells[of], capture) >= 0
    mates = others[dual]
    return np.concatenate([leads, mates[_first(table.clone[mates])]]), others[~dual & (n >= 2)]


def log_odds_dual(only_a: np.ndarray, only_b: np.ndarray, both: np.ndarray, n: np.ndarray,
                  capture: float) -> np.ndarray:
    """Log odds that two partner chains of one anchor are one clone's two chains, against two clones.

    Parameters
    ----------
    only_a, only_b, both
        Cells that show the first, the second, both.
    n
        Cells of the anchor.
    capture
        P(a chain is seen); the capture of each chain is beta distributed around it.
    """
    alpha, beta = 4 * capture, 4 * (1 - capture)
    n = np.maximum(n, only_a + only_b + both)

    def captured(k: np.ndarray) -> np.ndarray:
        return betaln(alpha + k, beta + n - k) - betaln(alpha, beta)

    dual = np.log(SECOND[1]) + captured(only_a + both) + captured(only_b + both)
    shares = betaln(only_a + both / 2 + 1, only_b + both / 2 + 1)
    two = np.log(SPLIT_PRIOR) + shares + captured(only_a + only_b + both) + both * np.log(DOUBLE)
    return dual - two
