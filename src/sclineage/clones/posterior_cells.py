"""Compiled side of `posterior`: cell by cell, the cells shared out among the threads.

Tuples are taken apart once per thread: inside the loops an array of a tuple would cost a reference count per access.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .observed import MOST_CHAINS

MOST_CLONES = 6  # candidates per cell; the largest stay
SMOOTH = 5.0  # cells that the patient's frequency of a clone counts for in each sample
STRAY = 0.5  # cells that a sight of a chain without its clone counts for
NONE, SINGLE, NEW, PAIR = 0, 1, 2, 3
CELLS = 1024  # per task
TIE = 1 + 1e-12  # what is not likelier by more than this is as likely: the first then stands, whatever the rounding
NOTHING = 1e-20  # of a cell's mass: ways that together could add no more are left out, far below the rounding


@njit(cache=True, parallel=True)
def all_cells(obs, nuclei, rates, key, assigned, mine, n_samples, out):  # type: ignore[no-untyped-def]
    """Fill the fields of `posterior.Posterior`; `key`: rows of ``nuclei.sample_key`` of each clone, int64 (K + 1)."""
    n = obs.sample.size
    for part in prange(-(-n // CELLS)):
        _cells(part * CELLS, min((part + 1) * CELLS, n), obs, nuclei, rates, key, assigned, mine, n_samples, out)


@njit(cache=True)
def _cells(begin, end, obs, nuclei, rates, key, assigned, mine, n_samples, out):  # type: ignore[no-untyped-def]
    ptr, chain, loci, umi_class, share, sample, stratum = (obs.ptr, obs.chain, obs.locus, obs.umi_class, obs.share,
                                                           obs.sample, obs.stratum)
    capture, own_umi, ambient_umi, new, n_of, doublet, none, clump, ambient = (
        rates.capture, rates.own_umi, rates.ambient_umi, rates.new, rates.n, rates.doublet, rates.none, rates.clump,
        rates.ambient)
    of_ptr, of_clone, size, total, second = nuclei.of_ptr, nuclei.of_clone, nuclei.size, nuclei.total, nuclei.second
    by_chance, canonical, sister, seen, owned = (nuclei.chance, nuclei.canonical, nuclei.sister, nuclei.seen,
                                                 nuclei.owned)
    known_ptr, known, known_locus, support = nuclei.ptr, nuclei.chain, nuclei.locus, nuclei.support
    lift, sure, bearing, sample_key, sample_count = (nuclei.lift, nuclei.sure, nuclei.bearing, nuclei.sample_key,
                                                     nuclei.sample_count)
    kind, first, other, clone, p, p_doublet, p_new, p_none, p_clone, p_holds, owner, own = out
    party, prior, base, holds, term, extra, slot = _room()
    umi, chance, founder, foreign = _room_of_entries()
    part, weight, below, way, trial, used, most, left = _room_of_ways()
    for i in range(begin, end):
        lo, hi, s, rate = ptr[i], ptr[i + 1], sample[i], capture[stratum[i]]
        if hi == lo:
            continue
        nothing = none[stratum[i]] * clump[s, hi - lo]
        for e in range(lo, hi):
            umi[e - lo] = own_umi[stratum[i], loci[e], umi_class[e]]
            foreign[e - lo] = ambient[s, loci[e]] * share[e] * ambient_umi[s, umi_class[e]]
            nothing *= foreign[e - lo]
            chance[e - lo], founder[e - lo] = _chances(chain[e], loci[e], mine[e], max(total, 1.0) * new[s], by_chance,
                                                       canonical, sister, seen, owned)
        last = _candidates(chain, lo, hi, of_ptr, of_clone, size, assigned[i], party)
        for k in range(last):
            c = party[k]
            left_out = assigned[i] == c
            prior[k] = _frequency(c, s, 1.0 if left_out else 0.0, key, sample_key, sample_count, size, total, n_of[s],
                                  n_samples)
            base[k] = _known_terms(k, c, left_out, chain, loci, mine, umi, chance, lo, hi, rate, known_ptr, known,
                                   known_locus, support, lift, sure, bearing, second, term, extra, slot)
        prior[last] = new[s]
        base[last] = _new_terms(last, loci, umi, founder, lo, hi, rate, second, term, extra, slot)
        _weigh(i, last, nothing, doublet[s], loci[lo:hi], foreign, clump[s], party, prior, base, holds, term, extra,
               slot, part, weight, below, way, trial, used, most, left, kind, first, other, clone, p, p_doublet,
               p_new, p_none, p_clone, p_holds, owner[lo:hi], own[lo:hi])


@njit(cache=True, forceinline=True)
def _chances(chain, locus, mine, cells, by_chance, canonical, sister, seen, owned):  # type: ignore[no-untyped-def]
    """P(a clone not known to have the chain has it), and the same of a clone that no other cell shows."""
    others = owned[chain] - mine
    # a chain seen elsewhere, but of no clone there (in doublets, in cells without anchor), tells of a clone whose
    # cells are yet to come: this one may be of it
    chance = by_chance[chain] + (0.0 if others > 0 else STRAY * (seen[chain] - 1) / cells)
    # cells that share the beta but not the alpha: sisters before the alpha rearranged
    sisters = sister[canonical[chain]] * max(others, 0.0) / cells if locus == 0 else 0.0
    return chance, chance + sisters


@njit(cache=True)
def _room():  # type: ignore[no-untyped-def]
    """Working room of one cell: what its parties (candidate clones, then a clone of its own) say of its entries."""
    n = MOST_CLONES + 1
    return (np.zeros(n, np.int64), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros((n, MOST_CHAINS)),
            np.zeros((n, MOST_CHAINS), np.uint8), np.zeros((n, 2, 3)))


@njit(cache=True)
def _room_of_entries():  # type: ignore[no-untyped-def]
    """Working room of one cell, per entry: P(so many UMIs of an own chain), `_chances`, factor as ambient."""
    return np.zeros(MOST_CHAINS), np.zeros(MOST_CHAINS), np.zeros(MOST_CHAINS), np.zeros(MOST_CHAINS)


@njit(cache=True)
def _room_of_ways():  # type: ignore[no-untyped-def]
    """Working room of `_mass`, per entry: see there; `used` per party and locus, `most` per party and entry."""
    return (np.zeros(MOST_CHAINS), np.zeros(MOST_CHAINS), np.zeros(MOST_CHAINS), np.zeros(MOST_CHAINS, np.int64),
            np.zeros(MOST_CHAINS, np.int64), np.zeros((3, 2), np.int64), np.zeros((MOST_CLONES + 1, MOST_CHAINS)),
            np.zeros(MOST_CHAINS + 1))


@njit(cache=True, forceinline=True)
def _weigh(i, last, nothing, doublet, locus, ambient, clump, party, prior, base, holds, term,  # type: ignore[no-untyped-def]
           extra, slot, part, weight, below, way, trial, used, most, left, kind, first, other, clone, p, p_doublet,
           p_new, p_none, p_clone, p_holds, owner, own):
    """Weigh all hypotheses of cell i; party `last` is a clone of its own, `nothing` the mass of no chain of its own."""
    n, mass, doublets, best, best_a, best_b, top, lead = owner.size, nothing, 0.0, nothing, -1, -1, 0.0, 0
    likeliest = last
    holds[:] = 0.0
    _most_of_parties(last, n, locus, term, extra, slot, most)
    left[n] = clump[:n + 1].max()
    for b in range(-1, last + 1):  # single cells first: b = -1
        for a in range(last + 1):
            if b >= 0 and (b < a or n < 2 or (b == a and a < last)):
                continue
            scale = prior[a] * base[a]
            if b >= 0:
                scale *= doublet * prior[b] * base[b] * (1.0 if a == b else 2.0)
            if scale * _most_of_ways(a, b, n, ambient, most, left) <= NOTHING * mass and b >= 0:
                continue
            w = scale * _mass(a, b, n, locus, clump, ambient, term, extra, slot, part, way, trial, weight, below, used,
                              left, NOTHING * mass / scale if b >= 0 and scale > 0.0 else 0.0)
            mass += w
            for e in range(n):
                own[e] += scale * part[e]
            holds[a] += w * (a < last or b < 0 or way[lead] > 0)
            if w > best * TIE:
                best, best_a, best_b = w, a, b
                owner[:] = way[:n]
            if b >= 0:
                doublets += w
                holds[b] += w * (a < b and (b < last or way[lead] == 2))
            elif a == last:
                p_new[i] = w
                lead = _lead_anchor(locus, way, n)
                likeliest = last if top <= w else likeliest
            elif w > top * TIE:
                clone[i], top, likeliest = party[a], w, a
    if best_a >= 0:
        first[i] = party[best_a] if best_a < last else -1
        other[i] = party[best_b] if 0 <= best_b < last else -1
    kind[i] = NONE if best_a < 0 else PAIR if best_b >= 0 else NEW if best_a == last else SINGLE
    own /= mass
    p[i], p_doublet[i], p_none[i], p_new[i] = best / mass, doublets / mass, nothing / mass, p_new[i] / mass
    p_clone[i], p_holds[i] = top / mass, holds[likeliest] / mass


@njit(cache=True, forceinline=True)
def _most_of_parties(last, n, locus, term, extra, slot, most):  # type: ignore[no-untyped-def]
    """Upper bound of the factor of every entry when a party owns it."""
    for k in range(last + 1):
        for e in range(n):
            most[k, e] = term[k, e] * (slot[k, locus[e]].max() if extra[k, e] else 1.0)


@njit(cache=True, forceinline=True)
def _most_of_ways(a, b, n, ambient, most, left):  # type: ignore[no-untyped-def]
    """Upper bound of the sum over all ways; `left` receives that of the entries from each one on."""
    for e in range(n - 1, -1, -1):
        left[e] = left[e + 1] * (ambient[e] + most[a, e] + (most[b, e] if b >= 0 else 0.0))
    return left[0]


@njit(cache=True, forceinline=True)
def _candidates(chain, lo, hi, of_ptr, of_clone, size, assigned, found):  # type: ignore[no-untyped-def]
    """Clones with another cell that hold a chain of the cell, the largest MOST_CLONES of them, into `found`."""
    count = 0
    for e in range(lo, hi):
        for k in range(of_ptr[chain[e]], of_ptr[chain[e] + 1]):
            c = of_clone[k]
            others = size[c] - (1 if assigned == c else 0)
            known = False
            for j in range(count):
                known = known or found[j] == c
            if others <= 0 or known:
                continue
            if count < MOST_CLONES:
                found[count] = c
                count += 1
                continue
            worst = 0
            for j in range(1, count):
                if size[found[j]] < size[found[worst]]:
                    worst = j
            if size[found[worst]] < others:
                found[worst] = c
    return count


@njit(cache=True, forceinline=True)
def _frequency(c, s, own, key, sample_key, sample_count, size, total, n_sample,  # type: ignore[no-untyped-def]
               n_samples):
    """Frequency of clone c among the cells of sample s, the cell itself (own = 1) left out."""
    here = 0.0
    for k in range(key[c], key[c + 1]):
        if sample_key[k] == c * n_samples + s:
            here = sample_count[k]
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
        unseen = lost ** (bearing[c, where] - (left_out and (shows_anchor if where == 0 else shows_partner)))
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


@njit(cache=True, forceinline=True)
def _mass(a, b, n, locus, clump, ambient, term, extra, slot, part, way, trial, weight, below,  # type: ignore[no-untyped-def]
          used, left, least):
    """Sum over all ways to share n entries between party a, party b (-1: none) and the ambient; see `posterior`.

    `part` receives, per entry, the part of the sum in which it is not ambient; `way` the likeliest way: 0 ambient,
    1 party a, 2 party b. The ways are a tree, one entry a level, so that what they share is multiplied once; what
    cannot reach `least`, given the upper bounds `left` of all factors from an entry on, is not visited.
    """
    sources = 2 if b < 0 else 3
    most, n_a, n_b, e = 0.0, 0, 0, 0
    for k in range(n):
        part[k], way[k] = 0.0, 0
    used[:] = 0
    weight[0], below[0], trial[0] = 1.0, 0.0, -1
    while True:
        if trial[e] > 0:  # take back what was tried last
            used[trial[e], locus[e]] -= extra[a if trial[e] == 1 else b, e]
            n_a -= trial[e] == 1
            n_b -= trial[e] == 2
        trial[e] += 1
        source = trial[e]
        if source == sources:
            if e == 0:
                return below[0]
            e -= 1
            below[e] += below[e + 1]
            part[e] += below[e + 1] if trial[e] > 0 else 0.0
            continue
        party = a if source == 1 else b
        w = weight[e] * (ambient[e] if source == 0 else term[party, e])
        if source > 0 and extra[party, e]:
            w *= slot[party, locus[e], min(used[source, locus[e]], 2)]
            used[source, locus[e]] += 1
        n_a += source == 1
        n_b += source == 2
        if e < n - 1:
            if w * left[e + 1] > least:
                e += 1
                weight[e], below[e], trial[e] = w, 0.0, -1
            continue
        if n_a == 0 or (b >= 0 and n_b == 0):
            continue
        w *= clump[n - n_a - n_b]
        below[e] += w
        part[e] += w if source > 0 else 0.0
        if w > most * TIE:
            most = w
            for k in range(n):
                way[k] = trial[k]


@njit(cache=True, forceinline=True)
def _lead_anchor(locus, way, n):  # type: ignore[no-untyped-def]
    """Anchor entry with the most UMIs that party a owns (the first entry where there is none)."""
    for e in range(n):
        if locus[e] == 0 and way[e] == 1:
            return e
    return 0
