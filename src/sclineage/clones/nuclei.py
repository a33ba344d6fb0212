"""Nuclei: the clones that cells attach to. An anchor chain (TRB), its partner chains (TRA), and their support.

A nucleus is made by cells, never by a chain of resemblances between cells: two nuclei stay two whatever cell shows
chains of both. Its key is the anchor chain and, where cells of one anchor fall into disjoint sets of partner chains
(convergent or sister clones), the partner chain of all sets but the main one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import betaln
from scipy.stats import binom

from .observed import Observed

MIN_SHARE = 0.10  # of the clone's cells with a partner chain that must show a partner chain of the clone
SURE_P = 1e-3  # P(the ambient alone puts a chain into that many cells of the clone)
SPLIT_PRIOR = 0.01  # prior that two partner sets of one anchor are two clones
SISTER_PRIOR = 0.005  # share of cells that share the anchor with a clone but are not of it
SECOND = np.array([0.01, 0.2])  # share of clones with two productive chains: anchor, partner; before the data speak
DOUBLE = 0.04  # share of cells that are two, where only the order of magnitude matters
MIN_TOGETHER, MIN_OF_RARER, MIN_OF_COMMONER = 3, 0.30, 0.05  # two anchors of one clone


class Nuclei(NamedTuple):
    """Clones of one patient (K), their known chains (M) and what is known of every chain (C).

    Attributes
    ----------
    anchor, partner
        int64 (K): chain of the anchor; partner chain that tells a split clone apart, -1 for the main one.
    size
        float64 (K): cells.
    bearing
        float64 (K, 2): cells that show an anchor, a partner chain.
    ptr, chain, locus, support, sure, lift
        CSR (K + 1) over known chains (M): chain, its locus, cells that show it, probability that it is the clone's,
        and its odds of capture over the sample's.
    sample_key, sample_count
        Sorted ``clone * n_samples + sample`` and the cells there.
    of_ptr, of_clone
        CSR over chains (C + 1): clones that a chain leads to; empty for invariant partner chains.
    listed
        int64 (C): clones in which two cells or more show the chain.
    chance
        float64 (C): P(a new rearrangement equals the chain).
    canonical
        int64 (C): the anchor that a second anchor chain of a clone stands for, else the chain itself.
    sister, seen, owned
        float64 (C): share of the cells of clones with this anchor that are no member of the main one; cells that show
        the chain at all, and as a chain of their clone.
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
    sample_key: np.ndarray
    sample_count: np.ndarray
    of_ptr: np.ndarray
    of_clone: np.ndarray
    listed: np.ndarray
    chance: np.ndarray
    canonical: np.ndarray
    sister: np.ndarray
    seen: np.ndarray
    owned: np.ndarray
    second: np.ndarray
    total: float


class Keys(NamedTuple):
    """Nucleus of every cell: anchor chain (-1: none) and partner chain of a split clone (-1: the main one)."""

    anchor: np.ndarray
    partner: np.ndarray


def second_anchors(obs: Observed, n_chains: int) -> np.ndarray:
    """Chains that are the second anchor of a clone: int64 (C), the anchor each chain stands for.

    Two anchors are one clone's when at least 3 cells, 30 % of the rarer's and 5 % of the commoner's cells show both,
    and the commoner is not in the rarer's cells as often as it is in everyone's (ambient). Each anchor has one mate.
    """
    canonical = np.arange(n_chains)
    cell, chain = obs.cell[obs.locus == 0], obs.chain[obs.locus == 0]
    pairs = pd.DataFrame({"cell": cell, "chain": chain})
    both = pairs.merge(pairs, on="cell")
    both = both[both["chain_x"] < both["chain_y"]].groupby(["chain_x", "chain_y"]).size().reset_index(name="n")
    both = both[both["n"] >= MIN_TOGETHER]
    if both.empty:
        return canonical
    seen = np.bincount(chain, minlength=n_chains)
    a, b, n = (both[c].to_numpy() for c in ("chain_x", "chain_y", "n"))
    rare, common = np.where(seen[a] <= seen[b], a, b), np.where(seen[a] <= seen[b], b, a)
    elsewhere = np.maximum(seen[common] - n, 0) / max(obs.sample.size, 1)
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


def first_keys(obs: Observed, canonical: np.ndarray) -> tuple[Keys, np.ndarray]:
    """Nucleus of every cell before any posterior: its only anchor, or the one with three times the UMIs of the next.

    Returns the keys and, per entry, whether it counts as the cell's own.
    """
    n = obs.sample.size
    rows = pd.DataFrame({"cell": obs.cell, "anchor": canonical[obs.chain], "umi": np.maximum(obs.umi, 1)})
    rows = rows[obs.locus == 0].groupby(["cell", "anchor"], as_index=False)["umi"].max()
    rows = rows.sort_values(["cell", "umi", "anchor"], ascending=[True, False, True], kind="stable")
    rank = rows.groupby("cell").cumcount().to_numpy()
    top, second = rows[rank == 0].set_index("cell"), rows[rank == 1].set_index("cell")["umi"]
    clear = top["umi"] >= 3 * second.reindex(top.index).fillna(0)
    anchor = np.full(n, -1, np.int64)
    anchor[top.index[clear]] = top.loc[clear, "anchor"]
    cell = obs.cell
    mine = np.where(obs.locus == 0, canonical[obs.chain] == anchor[cell], True) & (anchor[cell] >= 0)
    return Keys(anchor, np.full(n, -1, np.int64)), mine


def number(keys: Keys, n_chains: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clones of the keys, sorted: clone of every cell (-1 none), and anchor and partner of every clone."""
    has = keys.anchor >= 0
    code = keys.anchor[has] * (n_chains + 1) + keys.partner[has] + 1
    unique, inverse = np.unique(code, return_inverse=True)
    clone = np.full(has.size, -1, np.int64)
    clone[has] = inverse
    return clone, unique // (n_chains + 1), unique % (n_chains + 1) - 1


def tally(obs: Observed, clone: np.ndarray, mine: np.ndarray, own: np.ndarray) -> pd.DataFrame:
    """Chains by clone: ``clone, chain, locus, support`` (cells), ``umi``, ``sure`` (P(any of them is the clone's))."""
    cell = obs.cell
    use = mine & (clone[cell] >= 0)
    rows = pd.DataFrame({"clone": clone[cell[use]], "chain": obs.chain[use], "locus": obs.locus[use],
                         "umi": np.maximum(obs.umi[use], 1), "doubt": np.log1p(-np.minimum(own[use], 1 - 1e-9))})
    out = rows.groupby(["clone", "chain", "locus"], as_index=False).agg(
        support=("umi", "size"), umi=("umi", "sum"), doubt=("doubt", "sum"))
    out["sure"] = -np.expm1(out.pop("doubt"))
    return out


def _bearing(obs: Observed, clone: np.ndarray, mine: np.ndarray, n_clones: int) -> np.ndarray:
    """(K, 2) cells of each clone with an own anchor and with an own partner chain."""
    out = np.zeros((n_clones, 2))
    cell = obs.cell
    for locus in range(2):
        has = np.unique(cell[mine & (obs.locus == locus)])
        has = has[clone[has] >= 0]
        out[:, locus] = np.bincount(clone[has], minlength=n_clones)
    return out


def partners(obs: Observed, table: pd.DataFrame, bearing: np.ndarray) -> pd.DataFrame:
    """Rows of `tally` that are candidates for partner chains of their clone, best first within each clone.

    A partner needs two cells and a tenth of the clone's cells with a partner, more than the ambient puts there; in
    clones with at most two such cells the only evidence counts.
    """
    rows = table[table["locus"] == 1].copy()
    seen = np.bincount(obs.chain, minlength=int(obs.chain.max(initial=0)) + 1)
    most = rows.groupby("chain")["support"].transform("max")
    n = bearing[rows["clone"].to_numpy(), 1]
    support = rows["support"].to_numpy()
    elsewhere = np.maximum(seen[rows["chain"].to_numpy()] - most.to_numpy(), 0) / max(obs.sample.size, 1)
    ambient = (support < most) & (binom.sf(support - 1, n, np.minimum(elsewhere, 1)) >= SURE_P)
    good = (support >= 2) & (support >= MIN_SHARE * n) & ~ambient
    rows = rows[good | (n <= 2)]
    order = ["clone", "support", "umi", "chain"]
    return rows.sort_values(order, ascending=[True, False, False, True], kind="stable")


def choose_partners(obs: Observed, clone: np.ndarray, mine: np.ndarray, rows: pd.DataFrame, n_cells: np.ndarray,
                    capture: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split candidate partners into those of the clone (at most two) and those that are another clone's.

    Returns the kept rows and the rows (``clone, chain``) whose cells make a clone of their own.
    """
    first = ~rows.duplicated("clone").to_numpy(bool)
    lead = rows[first].set_index("clone")["chain"]
    others = rows[~first]
    both = _together(obs, clone, mine, others, lead)
    support = rows[first].set_index("clone")["support"].reindex(others["clone"]).to_numpy(np.float64)
    n = others["support"].to_numpy(np.float64)
    dual = log_odds_dual(support - both, n - both, both, n_cells[others["clone"].to_numpy()], capture) >= 0
    mates = others[dual]
    mates = mates[~mates.duplicated("clone").to_numpy(bool)]
    kept = pd.concat([rows[first], mates]).sort_values(["clone", "chain"], kind="stable")
    return kept, others[~dual & (n >= 2)]


def _together(obs: Observed, clone: np.ndarray, mine: np.ndarray, others: pd.DataFrame,
              lead: pd.Series) -> np.ndarray:
    """Cells of each row's clone that show both its chain and the clone's best partner."""
    cell = obs.cell
    use = mine & (obs.locus == 1) & np.isin(clone[cell], others["clone"].to_numpy())
    entries = pd.DataFrame({"cell": cell[use], "clone": clone[cell[use]], "chain": obs.chain[use]})
    leads = entries.loc[entries["chain"].to_numpy() == lead.reindex(entries["clone"]).to_numpy(), "cell"].to_numpy()
    entries = entries[np.isin(entries["cell"].to_numpy(), leads)]
    counts = entries.groupby(["clone", "chain"]).size().reset_index(name="both")
    return others.merge(counts, on=["clone", "chain"], how="left")["both"].fillna(0).to_numpy(np.float64)


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


def build(obs: Observed, keys: Keys, mine: np.ndarray, own: np.ndarray, canonical: np.ndarray, capture: np.ndarray,
          invariant: np.ndarray, n_samples: int) -> tuple[Nuclei, Keys, np.ndarray]:
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
    n_samples
        Number of samples.

    Returns
    -------
    The nuclei, the keys with split clones told apart, and the clone of every cell (-1 none).
    """
    n_chains = canonical.size
    clone, anchor, partner = number(keys, n_chains)
    table, bearing = tally(obs, clone, mine, own), _bearing(obs, clone, mine, anchor.size)
    size = np.bincount(clone[clone >= 0], minlength=anchor.size).astype(np.float64)
    rows = partners(obs, table, bearing)
    kept, split = choose_partners(obs, clone, mine, rows, size, float(capture[1]))
    if len(split):
        keys = _apart(obs, keys, clone, mine, kept, split)
        clone, anchor, partner = number(keys, n_chains)
        table, bearing = tally(obs, clone, mine, own), _bearing(obs, clone, mine, anchor.size)
        size = np.bincount(clone[clone >= 0], minlength=anchor.size).astype(np.float64)
        rows = partners(obs, table, bearing)
        kept, _ = choose_partners(obs, clone, mine, rows, size, float(capture[1]))
    known = pd.concat([table[table["locus"] == 0], kept]).sort_values(["clone", "locus", "chain"], kind="stable")
    about = (clone, anchor, partner, size, bearing, known)
    return _assemble(obs, mine, about, canonical, capture, invariant, n_samples), keys, clone


def _apart(obs: Observed, keys: Keys, clone: np.ndarray, mine: np.ndarray, kept: pd.DataFrame,
           split: pd.DataFrame) -> Keys:
    """Give the cells with a split partner chain, and none of the main clone's, a key of their own."""
    cell, use = obs.cell, mine & (obs.locus == 1)
    entries = pd.DataFrame({"cell": cell[use], "clone": clone[cell[use]], "chain": obs.chain[use]})
    main = entries.merge(kept[["clone", "chain"]], on=["clone", "chain"])["cell"].to_numpy()
    moved = entries.merge(split[["clone", "chain"]], on=["clone", "chain"])
    moved = moved[~moved["cell"].isin(main)].drop_duplicates("cell")
    partner = keys.partner.copy()
    partner[moved["cell"].to_numpy()] = moved["chain"].to_numpy()
    return Keys(keys.anchor, partner)


def _assemble(obs: Observed, mine: np.ndarray, about: tuple, canonical: np.ndarray,  # type: ignore[type-arg]
              capture: np.ndarray, invariant: np.ndarray, n_samples: int) -> Nuclei:
    clone, anchor, partner, size, bearing, known = about
    n_chains, n_clones = canonical.size, anchor.size
    k, chain, locus = (known[c].to_numpy(np.int64) for c in ("clone", "chain", "locus"))
    support = known["support"].to_numpy(np.float64)
    has = clone >= 0
    sample_key, sample_count = np.unique(clone[has] * n_samples + obs.sample[has], return_counts=True)
    leads = ~invariant[chain]
    order = np.lexsort((-size[k[leads]], chain[leads]))
    anchored = np.bincount(anchor, size, minlength=n_chains) if n_clones else np.zeros(n_chains)

    def per_chain(chains: np.ndarray) -> np.ndarray:
        return np.bincount(chains, minlength=n_chains).astype(np.float64)

    return Nuclei(
        anchor=anchor, partner=partner, size=size, bearing=bearing, ptr=_ptr(k, n_clones), chain=chain, locus=locus,
        support=support, sure=known["sure"].to_numpy(np.float64),
        lift=_lift(support, size[k], locus, bearing[k], capture), sample_key=sample_key,
        sample_count=sample_count.astype(np.float64), of_ptr=_ptr(chain[leads], n_chains), of_clone=k[leads][order],
        listed=np.bincount(chain[support >= 2], minlength=n_chains),
        chance=_chance(chain, locus, n_clones, invariant, obs), canonical=canonical,
        sister=_sister(anchor, partner, size, anchored, n_chains), seen=per_chain(obs.chain),
        owned=per_chain(obs.chain[mine & has[obs.cell]]), second=_second(known, bearing), total=float(has.sum()))


def _second(known: pd.DataFrame, bearing: np.ndarray) -> np.ndarray:
    """Share of clones with two chains of a locus, from clones large enough to show both, shrunk with 50 clones."""
    out = SECOND.copy()
    for locus in range(2):
        large = np.flatnonzero(bearing[:, locus] >= 4)
        chains = np.bincount(known.loc[known["locus"] == locus, "clone"], minlength=len(bearing))
        out[locus] = ((chains[large] >= 2).sum() + 50 * SECOND[locus]) / (large.size + 50)
    return out


def _ptr(rows: np.ndarray, n: int) -> np.ndarray:
    """CSR pointer of `n` groups whose members carry their group in `rows`."""
    return np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))]).astype(np.int64)


def _lift(support: np.ndarray, size: np.ndarray, locus: np.ndarray, bearing: np.ndarray,
          capture: np.ndarray) -> np.ndarray:
    """Odds of capture of each known chain over the usual odds: a chain that its clone rarely shows is rarely missed.

    Shrunk to the usual rate with ten cells. The anchor that makes the clone has no lift: cells without it are rarely
    counted in the clone.
    """
    usual = capture[locus]
    share = np.clip((support + 10 * usual) / (size + 10), 0.01, 0.995)
    odds = share / (1 - share) * (1 - usual) / usual
    lead = (locus == 0) & (support >= 0.5 * np.maximum(bearing[:, 0], 1))
    return np.where(lead, 1.0, odds)


def _chance(chain: np.ndarray, locus: np.ndarray, n_clones: int, invariant: np.ndarray,
            obs: Observed) -> np.ndarray:
    """P(a new rearrangement equals a chain): the recombination average, or how many clones share it."""
    n_chains = invariant.size
    kind = np.zeros(n_chains, np.int64)
    kind[obs.chain] = obs.locus
    shared = np.bincount(chain[locus == 1], minlength=n_chains)
    out = np.maximum(obs.chance[kind], np.where(shared >= 2, (shared - 1) / max(n_clones, 1), 0.0))
    return np.where(invariant, np.maximum(out, 1e-3), out)


def _sister(anchor: np.ndarray, partner: np.ndarray, size: np.ndarray, anchored: np.ndarray,
            n_chains: int) -> np.ndarray:
    """Share of an anchor's cells that are not of its main clone, shrunk to the patient's and that to a small prior."""
    apart = np.bincount(anchor, np.where(partner >= 0, size, 0.0), minlength=n_chains)
    pooled = (apart.sum() + 100 * SISTER_PRIOR) / (np.maximum(anchored - 1, 0).sum() + 100)
    return (apart + 2 * pooled) / (np.maximum(anchored - 1, 0) + 2)
