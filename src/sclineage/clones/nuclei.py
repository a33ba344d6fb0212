"""Nuclei: the clones that cells attach to. An anchor chain (TRB), its partner chains (TRA), and their support.

A nucleus is made by cells, never by a chain of resemblances between cells: two nuclei stay two whatever cell shows
chains of both. Its key is the anchor chain and, where cells of one anchor fall into disjoint sets of partner chains
(convergent or sister clones), the partner chain of all sets but the main one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binom

from . import nuclei_cells as cells_
from .observed import Observed
from .partners import SECOND, SURE_P, Table, choose_partners, partners, pointer, rows_of, tally
from .sorting import by_key, totals

SISTER_PRIOR = 0.005  # share of cells that share the anchor with a clone but are not of it
MIN_TOGETHER, MIN_OF_RARER, MIN_OF_COMMONER = 3, 0.30, 0.05  # two anchors of one clone


class Nuclei(NamedTuple):
    """Clones of one patient (K), their known chains (M) and what is known of every chain (C).

    Attributes
    ----------
    anchor, partner
        int32 (K): chain of the anchor; partner chain that tells a split clone apart, -1 for the main one.
    size
        int32 (K): cells.
    bearing
        int32 (K, 3): cells that show an anchor, a partner chain, both.
    ptr, chain, locus, support, sure, lift
        CSR (K + 1) over known chains (M): chain, its locus, cells that show it, probability that it is the clone's,
        and its odds of capture over the sample's.
    sample_ptr, sample, sample_count
        CSR (K + 1) over the samples of a clone, sorted, and the cells there.
    of_ptr, of_clone
        CSR over chains (C + 1): clones that a chain leads to; empty for invariant partner chains.
    listed
        int32 (C): clones in which two cells or more show the chain.
    canonical
        int32 (C): the anchor that a second anchor chain of a clone stands for, else the chain itself.
    owned
        int32 (C): cells that show the chain as one of their clone's.
    of_chain
        float64 (C, 4), side by side because they are asked for together: P(a new rearrangement equals the chain); share
        of the cells of clones with this anchor (`canonical`) that are no member of the main one; cells that show the
        chain at all, and as one of their clone's.
    second
        float64 (2): share of clones with a second anchor, a second partner chain.
    total
        float64: assigned cells.
    """

    anchor: np.ndarray
    partner: np.ndarray
    size: np.ndarray
    bearing: np.ndarray
    ptr: np.ndarray
    chain: np.ndarray
    locus: np.ndarray
    support: np.ndarray
    sure: np.ndarray
    lift: np.ndarray
    sample_ptr: np.ndarray
    sample: np.ndarray
    sample_count: np.ndarray
    of_ptr: np.ndarray
    of_clone: np.ndarray
    listed: np.ndarray
    canonical: np.ndarray
    owned: np.ndarray
    of_chain: np.ndarray
    second: np.ndarray
    total: float


class Keys(NamedTuple):
    """Nucleus of every cell: anchor chain (-1: none) and partner chain of a split clone (-1: the main one)."""

    anchor: np.ndarray
    partner: np.ndarray


def second_anchors(obs: Observed, n_chains: int) -> np.ndarray:
    """Chains that are the second anchor of a clone: int32 (C), the anchor each chain stands for.

    Two anchors are one clone's when at least 3 cells, 30 % of the rarer's and 5 % of the commoner's cells show both,
    and the commoner is not in the rarer's cells as often as it is in everyone's (ambient). Each anchor has one mate.
    """
    canonical = np.arange(n_chains, dtype=np.int32)
    a, b, n = _pairs(obs, n_chains)
    if n.size == 0:
        return canonical
    seen = cells_.anchor_seen(obs.ptr, obs.chain, obs.locus, obs.n_cells, n_chains)
    rare, common = np.where(seen[a] <= seen[b], a, b), np.where(seen[a] <= seen[b], b, a)
    elsewhere = np.maximum(seen[common] - n, 0) / max(obs.n_cells.sum(), 1)
    by_chance = binom.sf(n - 1, seen[rare], np.minimum(elsewhere, 0.5))
    good = (n >= MIN_OF_RARER * seen[rare]) & (n >= MIN_OF_COMMONER * seen[common])
    # a common clone's ambient is everywhere: with few cells of the rarer that alone can be 30 %
    good &= (by_chance < SURE_P / len(n)) | (n >= 0.6 * seen[common])
    taken: set[int] = set()
    for k in np.lexsort((rare, common, -n)):
        if good[k] and not {int(rare[k]), int(common[k])} & taken:
            canonical[rare[k]] = common[k]
            taken |= {int(rare[k]), int(common[k])}
    return canonical


def _pairs(obs: Observed, n_chains: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of anchors (lower, higher) that enough cells show together, sorted, and the number of those cells."""
    key, weight = cells_.pairs(obs.ptr, obs.chain, obs.locus, obs.n_cells, n_chains)
    rank, code = pd.factorize(key, sort=True)
    n = totals(rank, weight, code.size)
    code, n = code[n >= MIN_TOGETHER], n[n >= MIN_TOGETHER]
    return code // n_chains, code % n_chains, n


def first_keys(obs: Observed, canonical: np.ndarray) -> tuple[Keys, np.ndarray]:
    """Nucleus of every cell before any posterior: its only anchor, or the one with three times the UMIs of the next.

    Returns the keys and, per entry, whether it counts as the cell's own.
    """
    anchor, mine = cells_.first_anchors(obs.ptr, obs.chain, obs.locus, obs.umi, canonical)
    return Keys(anchor, np.full(anchor.size, -1, np.int32)), mine


def number(keys: Keys, n_chains: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clones of the keys, sorted: clone of every cell (-1 none), and anchor and partner of every clone; int32."""
    apart = np.flatnonzero(keys.partner >= 0)
    code = np.unique(keys.anchor[apart].astype(np.int64) * n_chains + keys.partner[apart])
    of = code // max(n_chains, 1)
    n = cells_.main_anchors(keys.anchor, keys.partner, n_chains).astype(np.int32)
    main = n[of]
    np.add.at(n, of, 1)
    begin = np.concatenate([[0], np.cumsum(n)]).astype(np.int32)  # an anchor's main clone, then its others
    others = (begin[of] + main + _rank(of)).astype(np.int32)
    anchor = np.repeat(np.arange(n_chains, dtype=np.int32), n)
    partner = np.full(anchor.size, -1, np.int32)
    partner[others] = code % max(n_chains, 1)
    return cells_.clones_of(keys.anchor, keys.partner, code, others, begin), anchor, partner


def _rank(group: np.ndarray) -> np.ndarray:
    """Position of every row among the rows of its group; groups are sorted."""
    return np.arange(group.size) - np.searchsorted(group, group)


def build(obs: Observed, keys: Keys, mine: np.ndarray, own: np.ndarray, canonical: np.ndarray, capture: np.ndarray,
          invariant: np.ndarray) -> tuple[Nuclei, Keys, np.ndarray]:
    """Clones from the cells' keys.

    Parameters
    ----------
    obs
        What was seen.
    keys
        Nucleus of every cell in the last round.
    mine, own
        Per entry: whether it counts as the cell's own chain, and with which probability.
    canonical
        `second_anchors`.
    capture
        (2,) capture rates of anchor and partner chains, all samples together.
    invariant
        bool (C): partner chains that never lead to a clone.

    Returns
    -------
    The nuclei, the keys with split clones told apart, and the clone of every cell (-1 none).
    """
    found = _known(obs, keys, mine, own, canonical.size, float(capture[1]))
    if found.split.size:
        keys = _apart(obs, keys, mine, found)
        del found
        found = _known(obs, keys, mine, own, canonical.size, float(capture[1]))
    return _assemble(obs, mine, found, canonical, capture, invariant), keys, found.clone


class _Known(NamedTuple):
    """Numbered clones, their rows (`rows_of`) and what is known of them; `kept` and `split` are rows of `table`."""

    clone: np.ndarray
    rows: tuple[np.ndarray, np.ndarray]
    anchor: np.ndarray
    partner: np.ndarray
    size: np.ndarray
    bearing: np.ndarray
    table: Table
    kept: np.ndarray
    split: np.ndarray


def _known(obs: Observed, keys: Keys, mine: np.ndarray, own: np.ndarray, n_chains: int, capture: float) -> _Known:
    clone, anchor, partner = number(keys, n_chains)
    rows = rows_of(clone, anchor.size)
    table = tally(obs, clone, mine, own, anchor.size, rows)
    bearing = cells_.bearing(obs.ptr, obs.locus, obs.n_cells, clone, mine, anchor.size)
    size = totals(clone, obs.n_cells, anchor.size)
    kept, split = choose_partners(obs, clone, mine, table, partners(obs, table, bearing), size, capture)
    return _Known(clone, rows, anchor, partner, size, bearing, table, kept, split)


def _apart(obs: Observed, keys: Keys, mine: np.ndarray, found: _Known) -> Keys:
    """Give the cells with a split partner chain, and none of the main clone's, a key of their own."""
    concerned = np.zeros(found.anchor.size, bool)
    concerned[found.table.clone[found.split]] = True
    rows = np.sort(np.concatenate([found.kept[concerned[found.table.clone[found.kept]]], found.split]))
    partner = keys.partner.copy()
    cells_.split_partners(obs.ptr, obs.chain, obs.locus, found.clone, mine,
                          pointer(found.table.clone[rows], concerned.size), found.table.chain[rows],
                          np.isin(rows, found.split), partner)
    return Keys(keys.anchor, partner)


def _assemble(obs: Observed, mine: np.ndarray, found: _Known, canonical: np.ndarray, capture: np.ndarray,
              invariant: np.ndarray) -> Nuclei:
    clone, members, anchor, partner, size, bearing, table, kept, _ = found
    n_chains, n_clones = canonical.size, anchor.size
    known = table.locus == 0
    known[kept] = True
    k, chain, locus, support = (x[known] for x in (table.clone, table.chain, table.locus, table.support))
    sample_ptr, sample, sample_count = cells_.by_sample(*members, obs.sample, obs.n_cells)
    of_clone, of_ptr = _leads(k, chain, size, ~invariant[chain], n_chains)
    owned = cells_.owned(obs.ptr, obs.chain, obs.n_cells, clone, mine, n_chains)
    of_chain = np.empty((n_chains, 4))
    of_chain[:, 0] = _chance(chain, locus, n_clones, invariant, obs)
    of_chain[:, 1] = _sister(anchor, partner, size, n_chains)[canonical]
    of_chain[:, 2], of_chain[:, 3] = obs.seen, owned
    return Nuclei(
        anchor=anchor, partner=partner, size=size, bearing=bearing, ptr=pointer(k, n_clones), chain=chain, locus=locus,
        support=support, sure=table.sure[known], lift=_lift(k, support, locus, size, bearing, capture),
        sample_ptr=sample_ptr, sample=sample, sample_count=sample_count, of_ptr=of_ptr, of_clone=of_clone,
        listed=totals(chain, (support >= 2).astype(np.int32), n_chains),
        canonical=canonical, owned=owned, of_chain=of_chain,
        second=_second(k, locus, bearing), total=float(size.sum(dtype=np.int64)))


def _leads(clone: np.ndarray, chain: np.ndarray, size: np.ndarray, leads: np.ndarray,
           n_chains: int) -> tuple[np.ndarray, np.ndarray]:
    """Clones that each chain leads to, the largest first, and the pointer over chains."""
    rows, ptr = by_key(chain, n_chains, np.flatnonzero(leads).astype(np.int32))
    of = clone[rows]
    cells_.largest_first(of, ptr, size)
    return of, ptr


def _second(clone: np.ndarray, locus: np.ndarray, bearing: np.ndarray) -> np.ndarray:
    """Share of clones with two chains of a locus, from clones large enough to show both, shrunk with 50 clones."""
    out = SECOND.copy()
    for k in range(2):
        large = np.flatnonzero(bearing[:, k] >= 4)
        chains = totals(clone, (locus == k).astype(np.int32), len(bearing))
        out[k] = ((chains[large] >= 2).sum() + 50 * SECOND[k]) / (large.size + 50)
    return out


def _lift(clone: np.ndarray, support: np.ndarray, locus: np.ndarray, size: np.ndarray, bearing: np.ndarray,
          capture: np.ndarray) -> np.ndarray:
    """Odds of capture of each known chain over the usual odds: a chain that its clone rarely shows is rarely missed.

    Shrunk to the usual rate with ten cells. The anchor that makes the clone has no lift: cells without it are rarely
    counted in the clone.
    """
    return np.asarray(cells_.lift(clone, support, locus, size, bearing, capture))


def _chance(chain: np.ndarray, locus: np.ndarray, n_clones: int, invariant: np.ndarray,
            obs: Observed) -> np.ndarray:
    """P(a new rearrangement equals a chain): the recombination average, or how many clones share it."""
    shared = totals(chain, (locus == 1).astype(np.int32), invariant.size)
    partner = np.zeros(invariant.size, bool)
    cells_.mark(obs.chain, obs.locus, partner)
    out = np.where(partner, obs.chance[1], obs.chance[0])
    several = np.flatnonzero(shared >= 2)
    out[several] = np.maximum(out[several], (shared[several] - 1) / max(n_clones, 1))
    out[invariant] = np.maximum(out[invariant], 1e-3)
    return out


def _sister(anchor: np.ndarray, partner: np.ndarray, size: np.ndarray, n_chains: int) -> np.ndarray:
    """Share of an anchor's cells that are not of its main clone, shrunk to the patient's and that to a small prior."""
    split = np.flatnonzero(partner >= 0)
    out = totals(anchor, size, n_chains).astype(np.float64)
    np.maximum(out - 1, 0, out=out)
    pooled = (size[split].sum(dtype=np.int64) + 100 * SISTER_PRIOR) / (out.sum() + 100)
    apart = totals(anchor[split], size[split].astype(np.float64), n_chains)
    apart += 2 * pooled
    out += 2
    return np.asarray(np.divide(apart, out, out=out))
