"""Compiled side of `posterior`: cell by cell, the cells shared out among the threads.

Tuples are taken apart once per thread: inside the loops an array of a tuple would cost a reference count per access.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .observed import MOST_CHAINS
from .posterior_ways import (
    SETS,
    TIE,
    ambient_sets,
    likeliest_way,
    of_two,
    owned_entries,
    owned_sets,
    shared_with_ambient,
)

MOST_CLONES = 6  # candidates per cell; the largest stay
SMOOTH = 5.0  # cells that the patient's frequency of a clone counts for in each sample
STRAY = 0.5  # cells that a sight of a chain without its clone counts for
NONE, SINGLE, NEW, PAIR = 0, 1, 2, 3
CELLS = 1024  # per task


@njit(cache=True, parallel=True)
def all_cells(obs, nuclei, rates, assigned, mine, holding, out):  # type: ignore[no-untyped-def]
    """Fill the fields of `posterior.Posterior`, `p_holds` only where asked to."""
    n = obs.sample.size
    for part in prange(-(-n // CELLS)):
        _cells(part * CELLS, min((part + 1) * CELLS, n), obs, nuclei, rates, assigned, mine, holding, out)


@njit(cache=True)
def _cells(begin, end, obs, nuclei, rates, assigned, mine, holding, out):  # type: ignore[no-untyped-def]
    ptr, chain, loci, umi_class, share, sample, stratum = (obs.ptr, obs.chain, obs.locus, obs.umi_class, obs.share,
                                                           obs.sample, obs.stratum)
    capture, own_umi, ambient_umi, new, n_of, doublet, none, clump, ambient = (
        rates.capture, rates.own_umi, rates.ambient_umi, rates.new, rates.n, rates.doublet, rates.none, rates.clump,
        rates.ambient)
    of_ptr, of_clone, size, total, second = nuclei.of_ptr, nuclei.of_clone, nuclei.size, nuclei.total, nuclei.second
    of_chain = nuclei.of_chain
    known_ptr, known, known_locus, support = nuclei.ptr, nuclei.chain, nuclei.locus, nuclei.support
    lift, sure, bearing, sample_ptr, samples, sample_count = (nuclei.lift, nuclei.sure, nuclei.bearing,
                                                              nuclei.sample_ptr, nuclei.sample, nuclei.sample_count)
    kind, first, other, clone, p, p_doublet, p_new, p_none, p_clone, p_holds, owner, own = out
    party, scale, term, extra, slot, sets, shared = _room_of_parties()
    umi, chance, founder, foreign, way = _room_of_entries()
    soup, mates, weight, used = _room_of_sets()
    for i in range(begin, end):
        lo, hi, s, rate = ptr[i], ptr[i + 1], sample[i], capture[stratum[i]]
        if hi == lo:
            continue
        nothing = none[stratum[i]] * clump[s, hi - lo]
        for e in range(lo, hi):
            umi[e - lo] = own_umi[stratum[i], loci[e], umi_class[e]]
            foreign[e - lo] = ambient[s, loci[e]] * share[e] * ambient_umi[s, umi_class[e]]
            nothing *= foreign[e - lo]
            chance[e - lo], founder[e - lo] = _chances(chain[e], loci[e], mine[e], max(total, 1.0) * new[s], of_chain)
        last = _candidates(chain, lo, hi, of_ptr, of_clone, size, assigned[i], party)
        for k in range(last):
            c = party[k]
            left_out = assigned[i] == c
            scale[k] = _frequency(c, s, 1.0 if left_out else 0.0, sample_ptr, samples, sample_count, size, total,
                                  n_of[s])
            scale[k] *= _known_terms(k, c, left_out, chain, loci, mine, umi, chance, lo, hi, rate, known_ptr, known,
                                     known_locus, support, lift, sure, bearing, second, term, extra, slot)
        scale[last] = new[s] * _new_terms(last, loci, umi, founder, lo, hi, rate, second, term, extra, slot)
        n = hi - lo
        ambient_sets(n, foreign, clump, s, soup)
        for k in range(last + 1):
            owned_sets(k, n, loci[lo:hi], term, extra, slot, used, sets)
            shared_with_ambient(k, n, sets, soup, shared)
        mass = _weigh(i, last, n, nothing, doublet[s], holding, loci[lo:hi], party, scale, sets, shared, soup, way,
                      kind, first, other, clone, p, p_doublet, p_new, p_none, p_clone, p_holds, owner[lo:hi])
        owned_entries(last, n, scale, doublet[s], mass, sets, soup, mates, weight, own[lo:hi])


@njit(cache=True, forceinline=True)
def _chances(chain, locus, mine, cells, of_chain):  # type: ignore[no-untyped-def]
    """P(a clone not known to have the chain has it), and the same of a clone that no other cell shows."""
    by_chance, sister, seen, owned = of_chain[chain, 0], of_chain[chain, 1], of_chain[chain, 2], of_chain[chain, 3]
    others = owned - mine
    # a chain seen elsewhere, but of no clone there (in doublets, in cells without anchor), tells of a clone whose
    # cells are yet to come: this one may be of it
    chance = by_chance + (0.0 if others > 0 else STRAY * (seen - 1) / cells)
    # cells that share the beta but not the alpha: sisters before the alpha rearranged
    sisters = sister * max(others, 0.0) / cells if locus == 0 else 0.0
    return chance, chance + sisters


@njit(cache=True)
def _room_of_parties():  # type: ignore[no-untyped-def]
    """Working room of one cell: what its parties (candidate clones, then a clone of its own) say of its entries."""
    n = MOST_CLONES + 1
    return (np.zeros(n, np.int64), np.zeros(n), np.zeros((n, MOST_CHAINS)), np.zeros((n, MOST_CHAINS), np.uint8),
            np.zeros((n, 2, 3)), np.zeros((n, SETS)), np.zeros((n, SETS)))


@njit(cache=True)
def _room_of_entries():  # type: ignore[no-untyped-def]
    """Working room per entry: P(so many UMIs of an own chain), `_chances`, factor as ambient, owner."""
    return (np.zeros(MOST_CHAINS), np.zeros(MOST_CHAINS), np.zeros(MOST_CHAINS), np.zeros(MOST_CHAINS),
            np.zeros(MOST_CHAINS, np.int64))


@njit(cache=True)
def _room_of_sets():  # type: ignore[no-untyped-def]
    """Working room per set of entries, see `posterior_ways`."""
    return np.zeros(SETS), np.zeros(SETS), np.zeros(SETS), np.zeros((SETS, 2), np.int64)


@njit(cache=True, forceinline=True)
def _weigh(i, last, n, nothing, doublet, holding, locus, party, scale, owned, shared, ambient, way, kind,  # type: ignore[no-untyped-def]
           first, other, clone, p, p_doublet, p_new, p_none, p_clone, p_holds, owner):
    """Weigh all hypotheses of cell i; party `last` is a clone of its own, `nothing` the mass of no chain of its own.

    Returns the mass of all.
    """
    mass, best, best_a, best_b, top, likeliest, whole = nothing, nothing, -1, -1, 0.0, last, (1 << n) - 1
    for a in range(last + 1):  # single cells
        w = scale[a] * shared[a, whole]
        mass += w
        if w > best * TIE:
            best, best_a = w, a
        if a == last:
            p_new[i] = w
            likeliest = last if top <= w else likeliest
        elif w > top * TIE:
            clone[i], top, likeliest = party[a], w, a
    holds, doublets = p_new[i] if likeliest == last else top, 0.0
    lead = _lead(last, n, locus, owned, ambient, way) if holding and likeliest == last and n > 1 else 0
    for b in range(last + 1 if n > 1 else 0):
        for a in range(b + 1):
            if a == b and a < last:
                continue
            w = doublet * scale[a] * scale[b] * (1.0 if a == b else 2.0) * of_two(a, b, n, owned, shared)
            doublets += w
            if w > best * TIE:
                best, best_a, best_b = w, a, b
            if likeliest < last:
                holds += w * (a == likeliest or b == likeliest)
            elif b == last and holding:
                likeliest_way(a, b, n, owned, ambient, way)
                holds += w * (way[lead] == 2 or (a == b and way[lead] == 1))
    mass += doublets
    if best_a >= 0:
        likeliest_way(best_a, best_b, n, owned, ambient, way)
        owner[:] = way[:n]
        first[i] = party[best_a] if best_a < last else -1
        other[i] = party[best_b] if 0 <= best_b < last else -1
    kind[i] = NONE if best_a < 0 else PAIR if best_b >= 0 else NEW if best_a == last else SINGLE
    p[i], p_doublet[i], p_none[i], p_new[i] = best / mass, doublets / mass, nothing / mass, p_new[i] / mass
    p_clone[i], p_holds[i] = top / mass, holds / mass
    return mass


@njit(cache=True, forceinline=True)
def _candidates(chain, lo, hi, of_ptr, of_clone, size, assigned, found):  # type: ignore[no-untyped-def]
    """Clones with another cell that hold a chain of the cell, the largest MOST_CLONES of them, into `found`."""
    count = 0
    for e in range(lo, hi):
        for k in range(of_ptr[chain[e]], of_ptr[chain[e] + 1]):  # by falling size
            c, known, least = of_clone[k], False, 0
            for j in range(count):
                known = known or found[j] == c
                least = j if size[found[j]] < size[found[least]] else least
            if count == MOST_CLONES and size[c] <= size[found[least]]:
                break
            others = size[c] - (assigned == c)
            if others <= 0 or known:
                continue
            if count < MOST_CLONES:
                found[count] = c
                count += 1
            elif size[found[least]] < others:
                found[least] = c
    return count


@njit(cache=True, forceinline=True)
def _frequency(c, s, own, ptr, sample, count, size, total, n_sample):  # type: ignore[no-untyped-def]
    """Frequency of clone c among the cells of sample s, the cell itself (own = 1) left out."""
    here = 0.0
    for k in range(ptr[c], ptr[c + 1]):
        if sample[k] == s:
            here = np.float64(count[k])
    pooled = (size[c] - own) / max(total, 1.0)
    return (here - own + SMOOTH * pooled) / (n_sample + SMOOTH)


@njit(cache=True, forceinline=True)
def _known_terms(k, c, left_out, chain, locus, mine, umi, chance, lo, hi, capture, ptr, known,  # type: ignore[no-untyped-def]
                 known_locus, support, lift, sure, bearing, second, term, extra, slot):
    """Terms of clone c as party k. Returns P(its known chains that are not owned are unseen).

    `term[k, e]` is the factor for owning entry e, over the factor for not owning it; `extra[k, e]` marks chains not
    known of the clone, whose j-th of a locus takes `slot[k, locus, j]` besides.
    """
    base, anchors, partners, shows_anchor, shows_partner = 1.0, 0, 0, False, False
    for e in range(lo, hi):
        term[k, e - lo] = capture[locus[e]] * umi[e - lo] * chance[e - lo]
        extra[k, e - lo] = 1
        shows_anchor |= locus[e] == 0 and mine[e]
        shows_partner |= locus[e] == 1 and mine[e]
    for j in range(ptr[c], ptr[c + 1]):
        entry = -1
        for e in range(lo, hi):
            if entry < 0 and chain[e] == known[j]:
                entry = e
        if support[j] - (left_out and entry >= 0 and mine[entry]) <= 0:
            continue
        anchors += known_locus[j] == 0
        partners += known_locus[j] == 1
        odds = lift[j] * capture[known_locus[j]] / (1.0 - capture[known_locus[j]])
        seen = sure[j] * odds / (1.0 + odds)
        base *= 1.0 - seen
        if entry >= 0:
            extra[k, entry - lo] = 0
            term[k, entry - lo] = seen * umi[entry - lo] / (1.0 - seen)
    for where in range(2):
        lost = 1.0 - capture[where]
        shows = left_out and (shows_anchor if where == 0 else shows_partner)
        unseen = lost ** np.float64(bearing[c, where] - shows)  # a whole number's power is another product
        base *= _slots(k, where, lost, unseen, anchors if where == 0 else partners, second[where], slot)
    return base


@njit(cache=True, forceinline=True)
def _slots(k, locus, lost, unseen, known, second, slot):  # type: ignore[no-untyped-def]
    """Factors of a clone's chains beyond the known ones. Returns the factor when none of the locus is known or owned.

    `unseen`: P(the clone's other cells show none of such a chain).
    """
    if known == 0:
        slot[k, locus, 0], slot[k, locus, 1] = unseen / lost, second * unseen
    else:
        slot[k, locus, 0] = second * unseen * (1.0 if known == 1 else 0.05)
        slot[k, locus, 1] = 1e-3 * slot[k, locus, 0]
    slot[k, locus, 2] = 1e-3 * slot[k, locus, 1]
    return lost if known == 0 else 1.0


@njit(cache=True, forceinline=True)
def _new_terms(k, locus, umi, founder, lo, hi, capture, second, term, extra, slot):  # type: ignore[no-untyped-def]
    """The same for a clone that no other cell shows."""
    base = 1.0
    for e in range(lo, hi):
        extra[k, e - lo] = 1
        term[k, e - lo] = capture[locus[e]] * umi[e - lo] * founder[e - lo]
    for where in range(2):
        lost = 1.0 - capture[where]
        base *= lost
        slot[k, where, 0] = 1.0 / lost
        slot[k, where, 1] = second[where]
        slot[k, where, 2] = 0.05 * second[where]
    return base


@njit(cache=True)
def _lead(k, n, locus, owned, ambient, way):  # type: ignore[no-untyped-def]
    """What a single cell of party k is named by: its anchor with the most UMIs (the first entry where there is none).

    Two cells, one of them of the party, hold it where they own this (either, if both are like it).
    """
    likeliest_way(k, -1, n, owned, ambient, way)
    lead = 0
    for e in range(n - 1, -1, -1):
        lead = e if locus[e] == 0 and way[e] == 1 else lead
    return lead
