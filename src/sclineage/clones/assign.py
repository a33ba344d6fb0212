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
from .observed import Observed
from .partners import partners as partners_
from .partners import tally
from .posterior import NEW, PAIR, SINGLE, Posterior, posterior
from .rates import Counts, Rates

ROUNDS = 6
THRESHOLD = 0.95
DROPOUT_THRESHOLD = 0.99  # of cells without an anchor: a wrong one puts a foreign cell into a clone
STATUSES = np.array(["no_receptor", "doublet", "ambiguous", "attached_dropout", "ambient_cleaned", "multichain",
                     "assigned"], dtype=object)
NO_RECEPTOR, DOUBLET, AMBIGUOUS, COUNTED = 0, 1, 2, 3  # rows of `STATUSES`; from COUNTED on a cell counts in its clone


class Fit(NamedTuple):
    """State after the last round; `clone` is what each cell counted in, and was left out of, in the posterior."""

    post: Posterior
    nuclei: Nuclei
    rates: Rates
    clone: np.ndarray


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
    fit = _rounds(obs, n_chains, n_samples, invariant, with_partners=partners)
    rows, keys = _calls(obs, fit, threshold)
    mixed = np.zeros(row.size) if other_cell is None else other_cell(fit.rates.doublet)
    mixed = (mixed > 0.5) & (rows["status"].to_numpy() >= COUNTED)[row]
    members = np.bincount(row[~mixed], minlength=obs.n_cells.size)
    rows, clones = _clone_rows(obs, members, fit, rows, keys, n_chains)
    cells = pd.DataFrame({name: rows[name].to_numpy()[row] for name in rows})
    cells["status"] = STATUSES[np.where(mixed, DOUBLET, cells["status"])]
    return Assignment(cells, clones, fit)


def _rounds(obs: Observed, n_chains: int, n_samples: int, invariant: np.ndarray, *, with_partners: bool) -> Fit:
    canonical = second_anchors(obs, n_chains)
    rates = rates_.start(obs, n_samples)
    rates = rates if with_partners else rates_.without_partners(rates)
    keys, mine = first_keys(obs, canonical)
    own = mine.astype(np.float64)
    for _ in range(ROUNDS):
        capture = np.average(rates_.capture_by_sample(rates, obs), axis=0, weights=np.maximum(rates.n, 1e-9))
        nuclei, keys, clone = build(obs, keys, mine, own, canonical, capture, invariant, n_samples)
        post = posterior(obs, nuclei, rates, clone, mine, n_samples)
        counts = _counts(obs, nuclei, post, clone, mine, rates, n_samples)
        rates = rates_.update(obs, counts, n_samples)
        rates = rates if with_partners else rates_.without_partners(rates)
        keys, mine = _next_keys(obs, nuclei, post, clone)
        own = post.own
    return Fit(post, nuclei, rates, clone)


def _at(values: np.ndarray, rows: np.ndarray, missing: float = -1) -> np.ndarray:
    """Values of the rows, `missing` for row -1."""
    return np.append(values, np.array([missing], values.dtype))[rows]


def _next_keys(obs: Observed, nuclei: Nuclei, post: Posterior, clone: np.ndarray) -> tuple[Keys, np.ndarray]:
    anchor, partner, mine = cells_.next_keys(obs, nuclei, post, clone)
    return Keys(anchor, partner), mine


def _counts(obs: Observed, nuclei: Nuclei, post: Posterior, clone: np.ndarray, mine: np.ndarray, rates: Rates,
            n_samples: int) -> Counts:
    """Expected counts from which the next rates follow."""
    n_strata = len(rates.capture)
    seen, lost = cells_.captured(obs, nuclei, post, clone, mine, n_strata)
    own, foreign, hidden, new, none, doublet, apart, pairs, found = cells_.expected(obs, nuclei, post, n_samples,
                                                                                   n_strata)
    visible = 1 - np.prod(1 - rates_.capture_by_sample(rates, obs), axis=1)
    # droplets without a chain of their own would have shown an ambient chain, too
    droplets = (found * (1 + rates.none)).reshape(n_samples, -1).sum(axis=1)
    return Counts(seen, lost, own, foreign, np.maximum(droplets[:, None] - hidden, 0), new, none, doublet,
                  apart * visible, pairs, droplets)


def _calls(obs: Observed, fit: Fit, threshold: float) -> tuple[pd.DataFrame, tuple[Keys, Keys]]:
    """Status (row of `STATUSES`) and posterior of every row, and the keys of the first and second clone it names."""
    post, nuclei = fit.post, fit.nuclei
    first, second = _named(obs, fit, 1), _named(obs, fit, 2)
    n_owned = [np.bincount(obs.cell[(post.owner == 1) & (obs.locus == k)], minlength=obs.sample.size) for k in (0, 1)]
    foreign = np.bincount(obs.cell[post.owner == 0], minlength=obs.sample.size) > 0
    needed = np.where(n_owned[0] > 0, threshold, max(threshold, DROPOUT_THRESHOLD))
    single = np.isin(post.kind, (SINGLE, NEW)) & (first.anchor >= 0) & (post.p_holds >= needed)
    single &= (post.p_doublet <= 0.5) & ((n_owned[0] > 0) | _telling(obs, post, nuclei))
    doublet = (post.kind == PAIR) & (post.p_doublet > 0.5) & ((first.anchor >= 0) | (second.anchor >= 0))
    second = Keys(*(np.where(doublet, s, -1) for s in second))
    status = np.select([np.diff(obs.ptr) == 0, doublet, ~single, n_owned[0] == 0, foreign, np.maximum(*n_owned) > 2],
                       range(6), 6)
    swap = doublet & _weaker_first(obs, post, first)
    first, second = _swapped(first, second, swap)
    guess, p_guess = _guess(nuclei, post, first)
    unsure, nothing = status == AMBIGUOUS, status == NO_RECEPTOR
    p = np.where(unsure, p_guess, np.where(nothing, np.nan, np.where(post.kind == PAIR, post.p, post.p_holds)))
    second = Keys(*(np.where(unsure, g, s) for g, s in zip(guess, second, strict=True)))
    first = Keys(*(np.where(unsure | nothing, -1, f) for f in first))
    anchor = np.zeros(obs.sample.size, bool)
    anchor[obs.cell[(obs.locus == 0) & (post.own >= 0.5)]] = True
    cells = pd.DataFrame({"posterior": p, "status": status, "has_anchor": anchor})
    return cells, (first, second)


def _telling(obs: Observed, post: Posterior, nuclei: Nuclei) -> np.ndarray:
    """Cells that own a partner chain which no two clones share: only these attach without an anchor."""
    entries = (post.owner == 1) & (obs.locus == 1) & (nuclei.listed[obs.chain] <= 1)
    return np.bincount(obs.cell[entries], minlength=obs.sample.size) > 0


def _named(obs: Observed, fit: Fit, party: int) -> Keys:
    """Key of one party of each cell's likeliest hypothesis, anchor -1 where it cannot be named."""
    post, nuclei = fit.post, fit.nuclei
    anchor, partner = cells_.own_keys(obs, nuclei, post.owner, party, fit.clone)
    known = post.first if party == 1 else post.second
    has = known >= 0
    anchor[has], partner[has] = nuclei.anchor[known[has]], nuclei.partner[known[has]]
    exists = post.kind == PAIR if party == 2 else post.kind > 0
    return Keys(np.where(exists, anchor, -1), np.where(exists & (anchor >= 0), partner, -1))


def _weaker_first(obs: Observed, post: Posterior, first: Keys) -> np.ndarray:
    """Whether the second party of a doublet has more UMIs than the first, or the first cannot be named."""
    umi = np.maximum(obs.umi, 1)
    a, b = (np.bincount(obs.cell[post.owner == k], umi[post.owner == k], minlength=obs.sample.size) for k in (1, 2))
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


def _clone_rows(obs: Observed, members: np.ndarray, fit: Fit, cells: pd.DataFrame, named: tuple[Keys, Keys],
                n_chains: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Number the clones that cells name and describe them by their `members`: cells of each row that may count."""
    n = obs.sample.size
    both = Keys(*(np.concatenate(pair) for pair in zip(*named, strict=True)))
    clone, anchor, split_by = number(both, n_chains)
    cells = cells.assign(clone=clone[:n], clone_2=clone[n:])
    counted = np.where((cells["status"].to_numpy() >= COUNTED) & (members > 0), clone[:n], -1)
    mine = (fit.post.owner == 1) & (counted >= 0)[obs.cell]
    table = tally(obs._replace(n_cells=members), counted, mine, fit.post.own, anchor.size)
    bearing = bearing_(obs.ptr, obs.locus, members, counted, mine, anchor.size)
    size = np.bincount(counted[counted >= 0], members[counted >= 0], minlength=anchor.size).astype(np.int64)
    clones = pd.DataFrame({"anchor": anchor, "split_by": split_by, "n_cells": size,
                           "n_paired": bearing[:, 2].astype(np.int64)})
    clones["n_anchor_cells"] = np.bincount(anchor, size, minlength=1).astype(np.int64)[anchor]
    second = (table.locus == 0) & (table.chain != anchor[table.clone])
    second &= fit.nuclei.canonical[table.chain] != table.chain
    mates = partners_(obs, table, bearing)
    for name, rows, k in (("second_anchor", np.flatnonzero(second), 0), ("partner_1", mates, 0),
                          ("partner_2", mates, 1)):
        clones[name] = _nth(table.clone[rows], table.chain[rows], k, anchor.size)
    return cells, clones


def _nth(clone: np.ndarray, chain: np.ndarray, k: int, n_clones: int) -> np.ndarray:
    """k-th chain of each clone, -1 without; rows are sorted by clone."""
    out = np.full(n_clones, -1, np.int64)
    chosen = np.arange(clone.size) - np.searchsorted(clone, clone) == k
    out[clone[chosen]] = chain[chosen]
    return out
