"""Posterior of every cell over clones, a clone of its own, doublets and ambient chains. Loops in Numba.

Model of one cell. It is a single cell of clone c (prior: frequency of c in the sample), of a clone seen in no other
cell, two cells (doublet rate), or a barcode without a captured chain of its own. Each chain of the clone is captured
with the capture rate and then shows a number of UMIs; each chain seen is either such a chain or ambient (ambient rate
times the chain's share of the sample's chains, with the UMIs of ambient chains; their number in a droplet is negative
binomial). The likelihood of a hypothesis is the
sum over all ways to give each chain seen to one of the hypothesis' clones or to the ambient, in which every clone of
the hypothesis owns at least one. The cell itself never counts in what is known of the clone (leave one out).
``tests/oracles/clones.py`` states the same in plain Python.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .nuclei import Nuclei
from .observed import MOST_CHAINS, Observed
from .rates import Rates

MOST_CLONES = 6  # candidates per cell; the largest stay
STRAY = 0.5  # cells that a sight of a chain without its clone counts for
SMOOTH = 5.0  # cells that the patient's frequency of a clone counts for in each sample
NONE, SINGLE, NEW, PAIR = 0, 1, 2, 3


class Posterior(NamedTuple):
    """Result per cell (n) and per entry (E).

    Attributes
    ----------
    kind
        int64: likeliest hypothesis, NONE, SINGLE, NEW or PAIR.
    first, second
        int64: clones of the likeliest hypothesis, -1 for a clone of its own or none.
    p
        float64: posterior of the likeliest hypothesis.
    p_doublet, p_new, p_none
        float64: posterior of all doublets together, of a clone of its own, of no chain of its own.
    clone, p_clone
        int64, float64: likeliest clone of a single cell (-1 without), and its posterior.
    p_holds
        float64: P(a cell of the likeliest single-cell explanation's clone is in it, alone or beside another).
    owner
        int64 (E): under the likeliest hypothesis, 0 ambient, 1 or 2 the first or second clone.
    own
        float64 (E): probability that the entry is not ambient.
    """

    kind: np.ndarray
    first: np.ndarray
    second: np.ndarray
    clone: np.ndarray
    p: np.ndarray
    p_doublet: np.ndarray
    p_new: np.ndarray
    p_none: np.ndarray
    p_clone: np.ndarray
    p_holds: np.ndarray
    owner: np.ndarray
    own: np.ndarray


class Room(NamedTuple):
    """Working room of one cell: what its parties (candidate clones, then a clone of its own) say of its entries.

    Attributes
    ----------
    party, prior, base, holds
        Per party: clone, prior, P(its unowned known chains are unseen), mass of the hypotheses that hold it.
    term, extra, slot
        Per party and entry, and per party, locus and rank: see `_fill_clone`.
    ambient, part, way, trial, used
        Per entry: factor as ambient, mass in which it is owned, likeliest owner, owner tried; extra chains used.
    """

    party: np.ndarray
    prior: np.ndarray
    base: np.ndarray
    holds: np.ndarray
    term: np.ndarray
    extra: np.ndarray
    slot: np.ndarray
    ambient: np.ndarray
    part: np.ndarray
    way: np.ndarray
    trial: np.ndarray
    used: np.ndarray


def posterior(obs: Observed, nuclei: Nuclei, rates: Rates, assigned: np.ndarray, mine: np.ndarray,
              n_samples: int) -> Posterior:
    """Posterior of all cells given the clones and rates of the last round.

    Parameters
    ----------
    obs, nuclei, rates
        What was seen, the clones, the rates.
    assigned
        int64 per cell: its clone in the last round (it is left out of that clone), -1 none.
    mine
        bool per entry: whether the entry counted as a chain of that clone.
    n_samples
        Number of samples.
    """
    n, n_entries = obs.sample.size, obs.chain.size
    kind, first, second, clone = (np.full(n, -1, np.int64) for _ in range(4))
    p, p_doublet, p_new, p_none, p_clone, p_holds = (np.zeros(n) for _ in range(6))
    out = Posterior(kind, first, second, clone, p, p_doublet, p_new, p_none, p_clone, p_holds,
                    np.zeros(n_entries, np.int64), np.zeros(n_entries))
    _all_cells(obs, nuclei, rates, assigned, mine.astype(np.uint8), n_samples, *out)
    return out


@njit(cache=True)
def _all_cells(obs, nuclei, rates, assigned, mine, n_samples, kind, first, second, clone,  # type: ignore[no-untyped-def]
               p, p_doublet, p_new, p_none, p_clone, p_holds, owner, own):
    parties = MOST_CLONES + 1
    room = Room(np.zeros(parties, np.int64), np.zeros(parties), np.zeros(parties), np.zeros(parties),
                np.zeros((parties, MOST_CHAINS)), np.zeros((parties, MOST_CHAINS), np.uint8),
                np.zeros((parties, 2, 3)), np.zeros(MOST_CHAINS), np.zeros(MOST_CHAINS),
                np.zeros(MOST_CHAINS, np.int64), np.zeros(MOST_CHAINS, np.int64), np.zeros((2, 2), np.int64))
    for i in range(obs.sample.size):
        lo, hi = obs.ptr[i], obs.ptr[i + 1]
        if hi > lo:
            _one_cell(obs, nuclei, rates, assigned, mine, n_samples, i, room, kind, first, second, clone, p,
                      p_doublet, p_new, p_none, p_clone, p_holds, owner[lo:hi], own[lo:hi])


@njit(cache=True)
def _clone_frequency(nuclei, c, s, own, n_sample, n_samples):  # type: ignore[no-untyped-def]
    """Frequency of clone c among the cells of sample s, the cell itself (own = 1) left out."""
    k = np.searchsorted(nuclei.sample_key, c * n_samples + s)
    here = 0.0
    if k < nuclei.sample_key.size and nuclei.sample_key[k] == c * n_samples + s:
        here = nuclei.sample_count[k]
    pooled = (nuclei.size[c] - own) / max(nuclei.total, 1.0)
    return (here - own + SMOOTH * pooled) / (n_sample + SMOOTH)


@njit(cache=True)
def _candidates(obs, nuclei, assigned, i, found):  # type: ignore[no-untyped-def]
    """Clones with another cell that hold a chain of cell i, the largest MOST_CLONES of them, into `found`."""
    count = 0
    for e in range(obs.ptr[i], obs.ptr[i + 1]):
        for k in range(nuclei.of_ptr[obs.chain[e]], nuclei.of_ptr[obs.chain[e] + 1]):
            c = nuclei.of_clone[k]
            size = nuclei.size[c] - (1 if assigned[i] == c else 0)
            known = False
            for j in range(count):
                known = known or found[j] == c
            if size <= 0 or known:
                continue
            if count < MOST_CLONES:
                found[count] = c
                count += 1
                continue
            worst = 0
            for j in range(1, count):
                if nuclei.size[found[j]] < nuclei.size[found[worst]]:
                    worst = j
            if nuclei.size[found[worst]] < size:
                found[worst] = c
    return count


@njit(cache=True)
def _chance(nuclei, chain, counted, new):  # type: ignore[no-untyped-def]
    """P(a clone not known to have a chain has it). `counted`: whether this cell's sight of it counts in a clone.

    A chain seen elsewhere, but of no clone there (in doublets, in cells without anchor), tells of a clone whose cells
    are yet to come: this one may be of it.
    """
    if nuclei.owned[chain] - counted > 0:
        return nuclei.chance[chain]
    return nuclei.chance[chain] + STRAY * (nuclei.seen[chain] - 1) / max(nuclei.total, 1.0) / new


@njit(cache=True)
def _fill_clone(obs, nuclei, rates, assigned, mine, i, c, term, extra, slot):  # type: ignore[no-untyped-def]
    """Terms of clone c as owner of the chains of cell i. Returns P(its known chains that are not owned are unseen).

    `term[e]` is the factor for owning entry e, over the factor for not owning it; `extra[e]` marks chains not known
    of the clone, whose j-th of a locus takes `slot[locus, j]` besides.
    """
    lo, hi, s, g = obs.ptr[i], obs.ptr[i + 1], obs.sample[i], obs.stratum[i]
    left_out = assigned[i] == c
    base, known, bearing = 1.0, np.zeros(2, np.int64), nuclei.bearing[c].copy()
    extra[:] = 1
    for e in range(lo, hi):
        locus = obs.locus[e]
        term[e - lo] = rates.capture[g, locus] * rates.own_umi[g, locus, obs.umi_class[e]]
        term[e - lo] *= _chance(nuclei, obs.chain[e], mine[e], rates.new[s])
    for k in range(nuclei.ptr[c], nuclei.ptr[c + 1]):
        entry = _entry_of(obs, lo, hi, nuclei.chain[k])
        if nuclei.support[k] - (left_out and entry >= 0 and mine[entry]) <= 0:
            continue
        locus = nuclei.locus[k]
        known[locus] += 1
        odds = nuclei.lift[k] * rates.capture[g, locus] / (1.0 - rates.capture[g, locus])
        seen = nuclei.sure[k] * odds / (1.0 + odds)
        base *= 1.0 - seen
        if entry >= 0:
            extra[entry - lo] = 0
            term[entry - lo] = seen * rates.own_umi[g, locus, obs.umi_class[entry]] / (1.0 - seen)
    for locus in range(2):
        lost = 1.0 - rates.capture[g, locus]
        unseen = lost ** (bearing[locus] - (left_out and _shows(obs, mine, lo, hi, locus)))
        base *= _slots(locus, lost, unseen, known[locus], nuclei.second[locus], slot)
    return base


@njit(cache=True)
def _entry_of(obs, lo, hi, chain):  # type: ignore[no-untyped-def]
    """Entry of a cell that is `chain`, or -1."""
    for e in range(lo, hi):
        if obs.chain[e] == chain:
            return e
    return -1


@njit(cache=True)
def _shows(obs, mine, lo, hi, locus):  # type: ignore[no-untyped-def]
    """Whether a cell's own chains hold one of the locus."""
    shown = False
    for e in range(lo, hi):
        shown = shown or (obs.locus[e] == locus and mine[e])
    return shown


@njit(cache=True)
def _slots(locus, lost, unseen, known, second, slot):  # type: ignore[no-untyped-def]
    """Factors of a clone's chains beyond the known ones. Returns the factor when none of the locus is known or owned.

    `unseen`: P(the clone's other cells show none of such a chain).
    """
    if known == 0:
        slot[locus, 0], slot[locus, 1] = unseen / lost, second * unseen
    else:
        slot[locus, 0] = second * unseen * (1.0 if known == 1 else 0.05)
        slot[locus, 1] = 1e-3 * slot[locus, 0]
    slot[locus, 2] = 1e-3 * slot[locus, 1]
    return lost if known == 0 else 1.0


@njit(cache=True)
def _fill_new(obs, nuclei, rates, mine, i, term, extra, slot):  # type: ignore[no-untyped-def]
    """The same for a clone that no other cell shows."""
    lo, hi, s, g = obs.ptr[i], obs.ptr[i + 1], obs.sample[i], obs.stratum[i]
    extra[:] = 1
    base = 1.0
    for e in range(lo, hi):
        locus, chain = obs.locus[e], obs.chain[e]
        chance = _chance(nuclei, chain, mine[e], rates.new[s])
        if locus == 0:  # cells that share the beta but not the alpha: sisters before the alpha rearranged
            others = max(nuclei.owned[chain] - mine[e], 0.0)
            chance += nuclei.sister[nuclei.canonical[chain]] * others / max(nuclei.total, 1.0) / rates.new[s]
        term[e - lo] = rates.capture[g, locus] * rates.own_umi[g, locus, obs.umi_class[e]] * chance
    for locus in range(2):
        lost = 1.0 - rates.capture[g, locus]
        base *= lost
        slot[locus, 0] = 1.0 / lost
        slot[locus, 1] = nuclei.second[locus]
        slot[locus, 2] = 0.05 * nuclei.second[locus]
    return base


@njit(cache=True)
def _mass(a, b, n, locus, clump, room):  # type: ignore[no-untyped-def]
    """Sum over all ways to share n entries between party a, party b (-1: none) and the ambient; see the module.

    `room.part` receives, per entry, the part of the sum in which it is not ambient; `room.way` the likeliest way:
    0 ambient, 1 party a, 2 party b.
    """
    sources = 2 if b < 0 else 3
    total, most, used, trial = 0.0, 0.0, room.used, room.trial
    room.part[:n] = 0.0
    room.way[:n] = 0
    for code in range(sources ** n):
        rest, w, n_a, n_b = code, 1.0, 0, 0
        used[:] = 0
        for e in range(n):
            source = rest % sources
            rest //= sources
            trial[e] = source
            if source == 0:
                w *= room.ambient[e]
                continue
            party = a if source == 1 else b
            w *= room.term[party, e]
            if room.extra[party, e]:
                w *= room.slot[party, locus[e], min(used[source - 1, locus[e]], 2)]
                used[source - 1, locus[e]] += 1
            n_a += source == 1
            n_b += source == 2
        if n_a == 0 or (b >= 0 and n_b == 0) or w == 0.0:
            continue
        w *= clump[n - n_a - n_b]
        total += w
        for e in range(n):
            if trial[e] > 0:
                room.part[e] += w
        if w > most:
            most = w
            room.way[:n] = trial[:n]
    return total


@njit(cache=True)
def _fill_parties(obs, nuclei, rates, assigned, mine, n_samples, i, room):  # type: ignore[no-untyped-def]
    """Candidates of cell i, and behind them the clone of its own: prior, base and terms. Returns their number."""
    s = obs.sample[i]
    n_clones = _candidates(obs, nuclei, assigned, i, room.party)
    room.holds[:] = 0.0
    for k in range(n_clones):
        own = 1.0 if assigned[i] == room.party[k] else 0.0
        room.prior[k] = _clone_frequency(nuclei, room.party[k], s, own, rates.n[s], n_samples)
        room.base[k] = _fill_clone(obs, nuclei, rates, assigned, mine, i, room.party[k], room.term[k], room.extra[k],
                                   room.slot[k])
    k = n_clones
    room.prior[k] = rates.new[s]
    room.base[k] = _fill_new(obs, nuclei, rates, mine, i, room.term[k], room.extra[k], room.slot[k])
    return n_clones


@njit(cache=True)
def _ambient_terms(obs, rates, i, n, ambient):  # type: ignore[no-untyped-def]
    """Factor of each entry as ambient, into `ambient`. Returns the likelihood that all are, with its prior."""
    s, lo = obs.sample[i], obs.ptr[i]
    nothing = rates.none[obs.stratum[i]]
    for e in range(n):
        umi = rates.ambient_umi[s, obs.umi_class[lo + e]]
        ambient[e] = rates.ambient[s, obs.locus[lo + e]] * obs.share[lo + e] * umi
        nothing *= ambient[e]
    return nothing * rates.clump[s, n]


@njit(cache=True)
def _one_cell(obs, nuclei, rates, assigned, mine, n_samples, i, room, kind, first, second, clone, p,  # type: ignore[no-untyped-def]
              p_doublet, p_new, p_none, p_clone, p_holds, owner, own):
    n, locus, delta = owner.size, obs.locus[obs.ptr[i]:obs.ptr[i + 1]], rates.doublet[obs.sample[i]]
    last = _fill_parties(obs, nuclei, rates, assigned, mine, n_samples, i, room)
    nothing = _ambient_terms(obs, rates, i, n, room.ambient)
    total, doublets, best, best_a, best_b, top, lead = nothing, 0.0, nothing, -1, -1, 0.0, 0
    party, prior, base, holds, way = room.party, room.prior, room.base, room.holds, room.way[:n]
    for b in range(-1, last + 1):  # single cells first: b = -1
        for a in range(last + 1):
            if b >= 0 and (b < a or n < 2 or (b == a and a < last)):
                continue
            weight = prior[a] * base[a]
            if b >= 0:
                weight *= delta * prior[b] * base[b] * (1.0 if a == b else 2.0)
            w = weight * _mass(a, b, n, locus, rates.clump[obs.sample[i]], room)
            total += w
            own += weight * room.part[:n]
            holds[a] += w * (a < last or b < 0 or way[lead] > 0)
            if w > best:
                best, best_a, best_b = w, a, b
                owner[:] = way
            if b >= 0:
                doublets += w
                holds[b] += w * (a < b and (b < last or way[lead] == 2))
            elif a == last:
                p_new[i] = w
                lead = _lead_anchor(locus, way)
            elif w > top:
                clone[i], top = party[a], w
    if best_a >= 0:
        first[i] = party[best_a] if best_a < last else -1
        second[i] = party[best_b] if 0 <= best_b < last else -1
    kind[i] = NONE if best_a < 0 else PAIR if best_b >= 0 else NEW if best_a == last else SINGLE
    likeliest = last
    for a in range(last):
        if clone[i] == party[a] and top > p_new[i]:
            likeliest = a
    own /= total
    p[i], p_doublet[i], p_none[i], p_new[i] = best / total, doublets / total, nothing / total, p_new[i] / total
    p_clone[i], p_holds[i] = top / total, holds[likeliest] / total


@njit(cache=True)
def _lead_anchor(locus, way):  # type: ignore[no-untyped-def]
    """Anchor entry with the most UMIs that party a owns (the first entry where there is none)."""
    for e in range(way.size):
        if locus[e] == 0 and way[e] == 1:
            return e
    return 0
