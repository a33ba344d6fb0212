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

from . import rates as rates_
from .nuclei import Keys, Nuclei, build, first_keys, number, partners, second_anchors, tally
from .observed import Observed
from .posterior import NEW, PAIR, SINGLE, Posterior, posterior
from .rates import Counts, Rates

ROUNDS = 6
THRESHOLD = 0.95
DROPOUT_THRESHOLD = 0.99  # of cells without an anchor: a wrong one puts a foreign cell into a clone
COUNTED = ("assigned", "attached_dropout", "ambient_cleaned", "multichain")
CLONE_WEIGHT = 50.0  # cells of one clone count at most this much in the capture rates


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


def assign(obs: Observed, *, n_chains: int, n_samples: int, invariant: np.ndarray,
           other_cell: Callable[[np.ndarray], np.ndarray] | None = None, partners: bool = True,
           threshold: float = THRESHOLD) -> Assignment:
    """Assign the cells of one patient to clones.

    Parameters
    ----------
    obs
        What was seen.
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
    mixed = np.zeros(obs.sample.size) if other_cell is None else other_cell(fit.rates.doublet)
    cells, keys = _calls(obs, fit, mixed > 0.5, threshold)
    return Assignment(*_clone_rows(obs, fit, cells, keys, n_chains), fit)


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


def _first_owned(obs: Observed, owner: np.ndarray, locus: int, party: int) -> np.ndarray:
    """Chain with the most UMIs of a locus that a party owns, per cell; -1 none."""
    out = np.full(obs.sample.size, -1, np.int64)
    entries = np.flatnonzero((owner == party) & (obs.locus == locus))[::-1]
    out[obs.cell[entries]] = obs.chain[entries]
    return out


def _own_keys(obs: Observed, nuclei: Nuclei, post: Posterior, party: int, clone: np.ndarray) -> Keys:
    """Key of the clone of its own that `party` of each cell's likeliest hypothesis is; anchor -1 without an anchor."""
    anchor = _first_owned(obs, post.owner, 0, party)
    anchor = _at(nuclei.canonical, anchor)
    mate = _first_owned(obs, post.owner, 1, party)
    here = (clone >= 0) & (_at(nuclei.anchor, clone) == anchor)
    shared = (anchor >= 0) & (_at(nuclei.owned, anchor) - here > 0)
    return Keys(np.where(shared & (mate < 0), -1, anchor), np.where(shared, mate, -1))


def _next_keys(obs: Observed, nuclei: Nuclei, post: Posterior, clone: np.ndarray) -> tuple[Keys, np.ndarray]:
    """Keys and own chains for the next round: single cells whose likeliest explanation is likelier than not."""
    anchor, partner = _own_keys(obs, nuclei, post, 1, clone)
    single = post.kind == SINGLE
    anchor[single], partner[single] = nuclei.anchor[post.first[single]], nuclei.partner[post.first[single]]
    out = ~np.isin(post.kind, (SINGLE, NEW)) | (post.p < 0.5)
    anchor[out], partner[out] = -1, -1
    return Keys(anchor, np.where(anchor >= 0, partner, -1)), (post.owner > 0) & (anchor >= 0)[obs.cell]


def _counts(obs: Observed, nuclei: Nuclei, post: Posterior, clone: np.ndarray, mine: np.ndarray, rates: Rates,
            n_samples: int) -> Counts:
    """Expected counts from which the next rates follow."""
    seen, lost = _captured(obs, nuclei, post, clone, mine, len(rates.capture))
    has = np.diff(obs.ptr) > 0
    kept = obs.share * post.own
    hidden = np.bincount(obs.sample[obs.cell] * 2 + obs.locus, kept, minlength=2 * n_samples).reshape(n_samples, 2)
    frequency = _at(nuclei.size, post.clone, 0.0)
    visible = 1 - np.prod(1 - rates_.capture_by_sample(rates, obs), axis=1)
    exposure = np.bincount(obs.sample, has * (1 - frequency / max(nuclei.total, 1)), minlength=n_samples) * visible
    # droplets without a chain of their own would have shown an ambient chain, too
    found = np.bincount(obs.sample, has * (1 - post.p_none), minlength=n_samples)
    lacking = np.bincount(obs.stratum, has * (1 - post.p_none), minlength=rates.none.size) * rates.none
    droplets = found + lacking.reshape(n_samples, -1).sum(axis=1)
    return Counts(seen, lost, post.own, 1 - post.own, np.maximum(droplets[:, None] - hidden, 0), post.p_new,
                  post.p_none, post.p_doublet, exposure, droplets)


def _captured(obs: Observed, nuclei: Nuclei, post: Posterior, clone: np.ndarray, mine: np.ndarray,
              n_strata: int) -> tuple[np.ndarray, np.ndarray]:
    """Chains seen and lost per stratum and locus, among cells that prove their clone by a chain of the other locus.

    Only chains that other cells show count, so that a clone's evidence does not confirm itself.
    """
    single = np.flatnonzero(post.kind == SINGLE)
    members = np.repeat(single, np.diff(nuclei.ptr)[post.first[single]])
    start = nuclei.ptr[post.first[single]]
    count = np.diff(nuclei.ptr)[post.first[single]]
    row = np.repeat(start - np.concatenate([[0], np.cumsum(count)[:-1]]), count) + np.arange(count.sum())
    chain, locus = nuclei.chain[row], nuclei.locus[row]
    n_chains = nuclei.canonical.size
    owned = (post.owner == 1)
    codes = np.sort(obs.cell[owned] * n_chains + obs.chain[owned])
    shows = _isin_sorted(members * n_chains + chain, codes)
    left = np.sort((obs.cell * n_chains + obs.chain)[mine & (clone[obs.cell] == post.first[obs.cell])])
    others = nuclei.support[row] - _isin_sorted(members * n_chains + chain, left)
    lead = _lead(nuclei, row)
    proof = np.zeros((2, obs.sample.size), bool)
    for k in range(2):
        use = shows & (others > 0) & (locus == k)
        proof[k, members[use]] = True
    weight = np.minimum(1.0, CLONE_WEIGHT / np.maximum(nuclei.size[post.first[members]], 1))
    use = lead & (others > 0) & np.where(locus == 0, proof[1, members], proof[0, members])
    group = obs.stratum[members[use]] * 2 + locus[use]
    out = [np.bincount(group, weight[use] * (shows[use] == s), minlength=2 * n_strata).reshape(n_strata, 2)
           for s in (True, False)]
    return out[0], out[1]


def _lead(nuclei: Nuclei, row: np.ndarray) -> np.ndarray:
    """Whether each known chain is the best supported of its clone and locus."""
    owner = np.repeat(np.arange(nuclei.size.size), np.diff(nuclei.ptr))
    order = np.lexsort((nuclei.chain, -nuclei.support, nuclei.locus, owner))
    first = np.ones(order.size, bool)
    key = owner[order] * 2 + nuclei.locus[order]
    first[1:] = key[1:] != key[:-1]
    lead = np.zeros(order.size, bool)
    lead[order] = first
    return lead[row]


def _isin_sorted(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    if codes.size == 0:
        return np.zeros(values.size, bool)
    at = np.minimum(np.searchsorted(codes, values), codes.size - 1)
    return codes[at] == values


def _calls(obs: Observed, fit: Fit, mixed: np.ndarray, threshold: float) -> tuple[pd.DataFrame, tuple[Keys, Keys]]:
    """Status and posterior of every cell, and the keys of the clones it names (first and second)."""
    post, nuclei = fit.post, fit.nuclei
    first, second = _named(obs, fit, 1), _named(obs, fit, 2)
    n_owned = [np.bincount(obs.cell[(post.owner == 1) & (obs.locus == k)], minlength=obs.sample.size) for k in (0, 1)]
    foreign = np.bincount(obs.cell[post.owner == 0], minlength=obs.sample.size) > 0
    needed = np.where(n_owned[0] > 0, threshold, max(threshold, DROPOUT_THRESHOLD))
    single = np.isin(post.kind, (SINGLE, NEW)) & (first.anchor >= 0) & (post.p_holds >= needed)
    single &= (post.p_doublet <= 0.5) & ((n_owned[0] > 0) | _telling(obs, post, nuclei))
    doublet = (post.kind == PAIR) & (post.p_doublet > 0.5) & ((first.anchor >= 0) | (second.anchor >= 0))
    second = Keys(*(np.where(doublet, s, -1) for s in second))
    doublet |= mixed & single
    status = np.select(
        [np.diff(obs.ptr) == 0, doublet, ~single, n_owned[0] == 0, foreign, np.maximum(*n_owned) > 2],
        ["no_receptor", "doublet", "ambiguous", "attached_dropout", "ambient_cleaned", "multichain"], "assigned")
    swap = doublet & _weaker_first(obs, post, first)
    first, second = _swapped(first, second, swap)
    guess, p_guess = _guess(nuclei, post, first)
    unsure = status == "ambiguous"
    p = np.where(unsure, p_guess, np.where(status == "no_receptor", np.nan,
                                                np.where(post.kind == PAIR, post.p, post.p_holds)))
    second = Keys(*(np.where(unsure, g, s) for g, s in zip(guess, second, strict=True)))
    first = Keys(*(np.where(unsure | (status == "no_receptor"), -1, f) for f in first))
    anchor = np.zeros(obs.sample.size, bool)
    anchor[obs.cell[(obs.locus == 0) & (post.own >= 0.5)]] = True
    cells = pd.DataFrame({"posterior": p, "status": status.astype(object), "has_anchor": anchor})
    return cells, (first, second)


def _telling(obs: Observed, post: Posterior, nuclei: Nuclei) -> np.ndarray:
    """Cells that own a partner chain which no two clones share: only these attach without an anchor."""
    entries = (post.owner == 1) & (obs.locus == 1) & (nuclei.listed[obs.chain] <= 1)
    return np.bincount(obs.cell[entries], minlength=obs.sample.size) > 0


def _named(obs: Observed, fit: Fit, party: int) -> Keys:
    """Key of one party of each cell's likeliest hypothesis, anchor -1 where it cannot be named."""
    post, nuclei = fit.post, fit.nuclei
    anchor, partner = _own_keys(obs, nuclei, post, party, fit.clone)
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


def _clone_rows(obs: Observed, fit: Fit, cells: pd.DataFrame, named: tuple[Keys, Keys],
                n_chains: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Number the clones that cells name and describe them by the chains of their counted members."""
    n = obs.sample.size
    both = Keys(*(np.concatenate(pair) for pair in zip(*named, strict=True)))
    clone, anchor, split_by = number(both, n_chains)
    cells = cells.assign(clone=clone[:n], clone_2=clone[n:])
    counted = np.where(cells["status"].isin(COUNTED), cells["clone"], -1)
    mine = (fit.post.owner == 1) & (counted >= 0)[obs.cell]
    table = tally(obs, counted, mine, fit.post.own)
    bearing = np.zeros((anchor.size, 2))
    shows = [np.isin(np.arange(n), obs.cell[mine & (obs.locus == k)]) for k in (0, 1)]
    for k in (0, 1):
        bearing[:, k] = np.bincount(counted[shows[k]], minlength=anchor.size)
    size = np.bincount(counted[counted >= 0], minlength=anchor.size)
    paired = np.bincount(counted[shows[0] & shows[1]], minlength=anchor.size)
    clones = pd.DataFrame({"anchor": anchor, "split_by": split_by, "n_cells": size, "n_paired": paired})
    clones["n_anchor_cells"] = clones.groupby("anchor")["n_cells"].transform("sum")
    second = table[(table["locus"] == 0) & (table["chain"] != anchor[table["clone"]])]
    clones["second_anchor"] = _nth(second[fit.nuclei.canonical[second["chain"]] != second["chain"]], 0, anchor.size)
    mates = partners(obs, table, bearing)
    for k in (0, 1):
        clones[f"partner_{k + 1}"] = _nth(mates, k, anchor.size)
    return cells, clones


def _nth(rows: pd.DataFrame, k: int, n_clones: int) -> np.ndarray:
    """k-th chain of each clone's rows, -1 without."""
    out = np.full(n_clones, -1, np.int64)
    chosen = rows[rows.groupby("clone").cumcount().to_numpy() == k]
    out[chosen["clone"].to_numpy()] = chosen["chain"].to_numpy()
    return out
