"""Anchor and attach: clones of one patient's cells, with a posterior for every cell.

Rounds of (1) nuclei from the cells' current clones, (2) the posterior of every cell with itself left out, (3) rates
from the posteriors. Cells attach to nuclei; a cell is never a bridge between two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from . import assign_cells as cells_
from . import rates as rates_
from .nuclei import Keys, Nuclei, build, first_keys, number, second_anchors
from .nuclei_cells import bearing as bearing_
from .observed import N_CLASSES, N_GROUPS, Observed
from .observed_cells import seen as seen_
from .partners import partners as partners_
from .partners import tally
from .posterior import NEW, PAIR, SINGLE, Posterior, posterior
from .rates import Counts, Rates
from .sorting import totals

ROUNDS = 6
THRESHOLD = 0.95
DROPOUT_THRESHOLD = 0.99  # of cells without an anchor: a wrong one puts a foreign cell into a clone
STATUSES = np.array(["no_receptor", "doublet", "ambiguous", "attached_dropout", "ambient_cleaned", "multichain",
                     "assigned"], dtype=object)
NO_RECEPTOR, DOUBLET, AMBIGUOUS, COUNTED = 0, 1, 2, 3  # rows of `STATUSES`; from COUNTED on a cell counts in its clone


class Calls(NamedTuple):
    """What is called per row: status (row of `STATUSES`), its posterior, whether an anchor is its own, and keys."""

    status: np.ndarray
    posterior: np.ndarray
    has_anchor: np.ndarray
    first: Keys
    second: Keys


class Fit(NamedTuple):
    """What the last round leaves.

    Attributes
    ----------
    calls
        Per row.
    rates
        As they follow from it.
    canonical
        `nuclei.second_anchors`.
    owner, own
        Per entry, as in `Posterior`.
    """

    calls: Calls
    rates: Rates
    canonical: np.ndarray
    owner: np.ndarray
    own: np.ndarray


@dataclass(frozen=True)
class Assignment:
    """Clones of one patient's cells.

    Attributes
    ----------
    cells
        One row per cell: ``clone`` and ``clone_2`` (rows of `clones`, -1 none), ``posterior`` (NaN without a
        statement), ``status``, ``has_anchor`` (an anchor chain that is not ambient).
    clones
        One row per clone that any cell names: ``anchor``, ``split_by`` (chains, -1 none), ``second_anchor``,
        ``partner_1``, ``partner_2`` (-1 none), ``n_cells``, ``n_paired``, ``n_anchor_cells`` (cells of all clones
        with this anchor).
    fit
        Rates and posteriors behind them.
    """

    cells: pd.DataFrame
    clones: pd.DataFrame
    fit: Fit


def assign(obs: Observed, row: np.ndarray, *, n_chains: int, n_samples: int, invariant: np.ndarray,
           other_cell: Callable[[np.ndarray], np.ndarray] | None = None, partners: bool = True,
           threshold: float = THRESHOLD) -> Assignment:
    """Assign the cells of one patient to clones.

    Parameters
    ----------
    obs, row
        What was seen, and the row of every cell in it (`observed.observe`).
    n_chains, n_samples
        Length of the chain list, number of samples.
    invariant
        bool (C): partner chains that never lead to a clone (MAIT, iNKT).
    other_cell
        Called with the doublet share per sample; returns, per cell, P(a cell without such receptors is in it, too).
    partners
        Whether cells have partner chains at all; lineage barcodes have none.
    threshold
        Posterior from which a clone is named.
    """
    fit = _rounds(obs, n_chains, n_samples, invariant, with_partners=partners, threshold=threshold)
    calls = fit.calls
    mixed = np.zeros(row.size, bool) if other_cell is None else other_cell(fit.rates.doublet) > 0.5
    mixed &= (calls.status >= COUNTED)[row]
    members = totals(row, (~mixed).astype(np.int32), obs.n_cells.size)
    clone, clones = _clone_rows(obs, members, fit)
    status = calls.status[row]
    status[mixed] = DOUBLET
    cells = {"posterior": calls.posterior[row], "status": STATUSES[status], "has_anchor": calls.has_anchor[row],
             "clone": clone[:obs.sample.size][row], "clone_2": clone[obs.sample.size:][row]}
    return Assignment(pd.DataFrame(cells, copy=False), clones, fit)


def _rounds(obs: Observed, n_chains: int, n_samples: int, invariant: np.ndarray, *, with_partners: bool,
            threshold: float) -> Fit:
    canonical = second_anchors(obs, n_chains)
    rates = rates_.start(obs, n_samples)
    rates = rates if with_partners else rates_.without_partners(rates)
    keys, mine = first_keys(obs, canonical)
    own, owner, n = mine.astype(np.float64), np.zeros(mine.size, np.int8), obs.sample.size
    calls = None
    for k in range(ROUNDS):
        capture = np.average(rates_.capture_by_sample(rates, obs), axis=0, weights=np.maximum(rates.n, 1e-9))
        nuclei, keys, clone = build(obs, keys, mine, own, canonical, capture, invariant)
        calls = no_calls(n) if k == ROUNDS - 1 else None
        rates = one_round(obs, nuclei, rates, clone, keys, mine, own, owner, calls, threshold)
        del nuclei  # the next ones take its place
        rates = rates if with_partners else rates_.without_partners(rates)
    assert calls is not None
    return Fit(calls, rates, canonical, owner, own)


def one_round(obs: Observed, nuclei: Nuclei, rates: Rates, clone: np.ndarray, keys: Keys, mine: np.ndarray,
              own: np.ndarray, owner: np.ndarray, calls: Calls | None = None, threshold: float = THRESHOLD) -> Rates:
    """Weigh all rows, some at a time: `keys`, `mine`, `own` and `owner` become those of the next round.

    Returns the next rates. Where `calls` are given they are filled.
    """
    sums = _Sums(nuclei, len(rates.n))
    for rows, entries, part in obs.blocks():
        post = posterior(part, nuclei, rates, clone[rows], mine[entries], holding=calls is not None)
        sums.add(part, nuclei, post, clone[rows], mine[entries])
        if calls is not None:
            _call(part, nuclei, post, clone[rows], threshold, _rows_of(calls, rows))
        cells_.next_keys(part, nuclei, post, clone[rows], keys.anchor[rows], keys.partner[rows], mine[entries])
        own[entries], owner[entries] = post.own, post.owner
    return rates_.update(obs, sums.counts(obs, rates), len(rates.n))


def _at(values: np.ndarray, rows: np.ndarray, missing: float = -1) -> np.ndarray:
    """Values of the rows, `missing` for row -1."""
    return np.append(values, np.array([missing], values.dtype))[rows]


class _Sums:
    """Expected counts from which the next rates follow, added up in the order of the rows, however many at a time."""

    def __init__(self, nuclei: Nuclei, n_samples: int) -> None:
        s, g = n_samples, n_samples * N_GROUPS
        self.lead = cells_.leads(nuclei.ptr, nuclei.locus, nuclei.support)
        self.captured = np.zeros((g, 2)), np.zeros((g, 2))
        self.expected = (np.zeros((g, 2, N_CLASSES)), np.zeros((s, 2, N_CLASSES)), np.zeros((s, 2)), np.zeros(s),
                         np.zeros(g), np.zeros(s), np.zeros(s), np.zeros(s), np.zeros(g))

    def add(self, obs: Observed, nuclei: Nuclei, post: Posterior, clone: np.ndarray, mine: np.ndarray) -> None:
        """Add the next rows."""
        cells_.captured(obs, nuclei, post, clone, mine, self.lead, *self.captured)
        cells_.expected(obs, nuclei, post, self.expected)

    def counts(self, obs: Observed, rates: Rates) -> Counts:
        """The counts of all rows."""
        own, foreign, hidden, new, none, doublet, apart, pairs, found = self.expected
        visible = 1 - np.prod(1 - rates_.capture_by_sample(rates, obs), axis=1)
        # droplets without a chain of their own would have shown an ambient chain, too
        droplets = (found * (1 + rates.none)).reshape(len(rates.n), -1).sum(axis=1)
        return Counts(*self.captured, own, foreign, np.maximum(droplets[:, None] - hidden, 0), new, none, doublet,
                      apart * visible, pairs, droplets)


def no_calls(n: int) -> Calls:
    """Room for the calls of n rows."""
    return Calls(np.empty(n, np.int8), np.empty(n), np.empty(n, bool),
                 *(Keys(np.empty(n, np.int32), np.empty(n, np.int32)) for _ in range(2)))


def _rows_of(calls: Calls, rows: slice) -> Calls:
    """Views of some rows."""
    first, second = (Keys(k.anchor[rows], k.partner[rows]) for k in (calls.first, calls.second))
    return Calls(calls.status[rows], calls.posterior[rows], calls.has_anchor[rows], first, second)


def _call(obs: Observed, nuclei: Nuclei, post: Posterior, clone: np.ndarray, threshold: float, out: Calls) -> None:
    """Fill status, posterior and the keys of the first and second clone that every row names."""
    first, second = (_named(obs, nuclei, post, clone, party) for party in (1, 2))
    cell, n = obs.cell, obs.sample.size
    n_owned = [np.bincount(cell[(post.owner == 1) & (obs.locus == k)], minlength=n) for k in (0, 1)]
    foreign = np.bincount(cell[post.owner == 0], minlength=n) > 0
    needed = np.where(n_owned[0] > 0, threshold, max(threshold, DROPOUT_THRESHOLD))
    single = np.isin(post.kind, (SINGLE, NEW)) & (first.anchor >= 0) & (post.p_holds >= needed)
    single &= (post.p_doublet <= 0.5) & ((n_owned[0] > 0) | _telling(obs, cell, post, nuclei))
    doublet = (post.kind == PAIR) & (post.p_doublet > 0.5) & ((first.anchor >= 0) | (second.anchor >= 0))
    second = Keys(*(np.where(doublet, s, -1) for s in second))
    status = np.select([np.diff(obs.ptr) == 0, doublet, ~single, n_owned[0] == 0, foreign, np.maximum(*n_owned) > 2],
                       range(6), 6)
    first, second = _swapped(first, second, doublet & _weaker_first(obs, cell, post, first))
    guess, p_guess = _guess(nuclei, post, first)
    unsure, nothing = status == AMBIGUOUS, status == NO_RECEPTOR
    out.status[:] = status
    out.posterior[:] = np.where(unsure, p_guess, np.where(nothing, np.nan, np.where(post.kind == PAIR, post.p,
                                                                                    post.p_holds)))
    out.has_anchor[:] = np.bincount(cell[(obs.locus == 0) & (post.own >= 0.5)], minlength=n) > 0
    for to, of, other in zip(out.second, second, guess, strict=True):
        to[:] = np.where(unsure, other, of)
    for to, of in zip(out.first, first, strict=True):
        to[:] = np.where(unsure | nothing, -1, of)


def _telling(obs: Observed, cell: np.ndarray, post: Posterior, nuclei: Nuclei) -> np.ndarray:
    """Cells that own a partner chain which no two clones share: only these attach without an anchor."""
    entries = (post.owner == 1) & (obs.locus == 1) & (nuclei.listed[obs.chain] <= 1)
    return np.bincount(cell[entries], minlength=obs.sample.size) > 0


def _named(obs: Observed, nuclei: Nuclei, post: Posterior, clone: np.ndarray, party: int) -> Keys:
    """Key of one party of each cell's likeliest hypothesis, anchor -1 where it cannot be named."""
    anchor, partner = cells_.own_keys(obs, nuclei, post.owner, party, clone)
    known = post.first if party == 1 else post.second
    has = known >= 0
    anchor[has], partner[has] = nuclei.anchor[known[has]], nuclei.partner[known[has]]
    exists = post.kind == PAIR if party == 2 else post.kind > 0
    return Keys(np.where(exists, anchor, -1), np.where(exists & (anchor >= 0), partner, -1))


def _weaker_first(obs: Observed, cell: np.ndarray, post: Posterior, first: Keys) -> np.ndarray:
    """Whether the second party of a doublet has more UMIs than the first, or the first cannot be named."""
    umi = np.maximum(obs.umi, 1)
    a, b = (np.bincount(cell[post.owner == k], umi[post.owner == k], minlength=obs.sample.size) for k in (1, 2))
    return (b > a) | (first.anchor < 0)


def _swapped(first: Keys, second: Keys, swap: np.ndarray) -> tuple[Keys, Keys]:
    swap = swap & (second.anchor >= 0)
    return (Keys(*(np.where(swap, b, a) for a, b in zip(first, second, strict=True))),
            Keys(*(np.where(swap, a, b) for a, b in zip(first, second, strict=True))))


def _guess(nuclei: Nuclei, post: Posterior, first: Keys) -> tuple[Keys, np.ndarray]:
    """Likeliest clone of a cell that is not assigned, its own included, and P(it is a single cell of it) or NaN."""
    own = (post.kind == NEW) & (first.anchor >= 0) & (post.p_new >= post.p_clone)
    known = (post.clone >= 0) & (post.p_clone > post.p_new)
    anchor, partner = (_at(of, np.where(known, post.clone, -1)) for of in (nuclei.anchor, nuclei.partner))
    p = np.where(own, post.p_new, np.where(known, post.p_clone, np.nan))
    return Keys(np.where(own, first.anchor, anchor), np.where(own, first.partner, partner)), p


def _clone_rows(obs: Observed, members: np.ndarray, fit: Fit) -> tuple[np.ndarray, pd.DataFrame]:
    """Number the clones that rows name and describe them by their `members`: cells of each row that may count.

    Returns the first clones of all rows, then the second ones; and the clones.
    """
    calls, n, n_chains = fit.calls, obs.sample.size, fit.canonical.size
    both = Keys(*(np.concatenate(pair) for pair in zip(calls.first, calls.second, strict=True)))
    clone, anchor, split_by = number(both, n_chains)
    del both
    counted = np.where((calls.status >= COUNTED) & (members > 0), clone[:n], np.int32(-1))
    mine = (fit.owner == 1) & np.repeat(counted >= 0, np.diff(obs.ptr))
    obs = obs._replace(n_cells=members, seen=seen_(obs.ptr, obs.chain, members, n_chains))
    table = tally(obs, counted, mine, fit.own, anchor.size)
    bearing = bearing_(obs.ptr, obs.locus, members, counted, mine, anchor.size)
    size = totals(counted, members, anchor.size)
    n_anchor_cells = totals(anchor, size, n_chains)[anchor]
    second = (table.locus == 0) & (table.chain != anchor[table.clone])
    second &= fit.canonical[table.chain] != table.chain
    mates = partners_(obs, table, bearing)
    clones = {"anchor": anchor, "split_by": split_by, "n_cells": size.astype(np.int64),
              "n_paired": bearing[:, 2].astype(np.int64), "n_anchor_cells": n_anchor_cells.astype(np.int64)}
    for name, rows, k in (("second_anchor", np.flatnonzero(second), 0), ("partner_1", mates, 0),
                          ("partner_2", mates, 1)):
        clones[name] = _nth(table.clone[rows], table.chain[rows], k, anchor.size)
    return clone, pd.DataFrame(clones, copy=False)


def _nth(clone: np.ndarray, chain: np.ndarray, k: int, n_clones: int) -> np.ndarray:
    """k-th chain of each clone, -1 without; rows are sorted by clone."""
    out = np.full(n_clones, -1, np.int32)
    chosen = np.arange(clone.size) - np.searchsorted(clone, clone) == k
    out[clone[chosen]] = chain[chosen]
    return out
