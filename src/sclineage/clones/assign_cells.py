"""Compiled side of `assign`: what the likeliest hypothesis says of every cell, cell by cell."""

from __future__ import annotations

import numpy as np
from numba import njit

from .posterior_cells import NEW, SINGLE

CLONE_WEIGHT = 50.0  # cells of one clone count at most this much in the capture rates


@njit(cache=True)
def own_keys(obs, nuclei, owner, party, clone):  # type: ignore[no-untyped-def]
    """Key of the clone of its own that a party of each cell is; anchor -1 without an anchor."""
    anchor, partner = np.empty(clone.size, np.int32), np.empty(clone.size, np.int32)
    ptr, chain, locus, anchors, canonical, owned = (obs.ptr, obs.chain, obs.locus, nuclei.anchor, nuclei.canonical,
                                                    nuclei.owned)
    for i in range(clone.size):
        anchor[i], partner[i] = _own_key(chain, locus, ptr[i], ptr[i + 1], owner, party, clone[i], anchors, canonical,
                                         owned)
    return anchor, partner


@njit(cache=True, forceinline=True)
def _own_key(chain, locus, lo, hi, owner, party, clone, anchors, canonical, owned):  # type: ignore[no-untyped-def]
    anchor, mate = -1, -1
    for e in range(hi - 1, lo - 1, -1):  # the last one met has the most UMIs
        if owner[e] == party:
            anchor = canonical[chain[e]] if locus[e] == 0 else anchor
            mate = chain[e] if locus[e] == 1 else mate
    here = clone >= 0 and anchors[clone] == anchor
    if anchor < 0 or owned[anchor] - here <= 0:
        return anchor, -1
    return (anchor, mate) if mate >= 0 else (-1, -1)  # an anchor that others show says nothing without its mate


@njit(cache=True)
def next_keys(obs, nuclei, post, clone, anchor, partner, mine):  # type: ignore[no-untyped-def]
    """Set keys and own chains for the next round: single cells whose likeliest explanation is likelier than not."""
    ptr, chain, locus, kind, first, p, owner = (obs.ptr, obs.chain, obs.locus, post.kind, post.first, post.p,
                                                post.owner)
    anchors, partners, canonical, owned = nuclei.anchor, nuclei.partner, nuclei.canonical, nuclei.owned
    for i in range(clone.size):
        anchor[i], partner[i] = -1, -1
        sure = p[i] >= 0.5
        if sure and kind[i] == SINGLE:
            anchor[i], partner[i] = anchors[first[i]], partners[first[i]]
        elif sure and kind[i] == NEW:
            anchor[i], partner[i] = _own_key(chain, locus, ptr[i], ptr[i + 1], owner, 1, clone[i], anchors,
                                             canonical, owned)
        for e in range(ptr[i], ptr[i + 1]):
            mine[e] = owner[e] > 0 and anchor[i] >= 0


@njit(cache=True)
def leads(ptr, locus, support):  # type: ignore[no-untyped-def]
    """int32 (K, 2): best supported known chain of each clone and locus, -1 none; ties to the lowest chain."""
    out = np.full((ptr.size - 1, 2), -1, np.int32)
    for c in range(ptr.size - 1):
        for row in range(ptr[c], ptr[c + 1]):
            best = out[c, locus[row]]
            if best < 0 or support[row] > support[best]:
                out[c, locus[row]] = row
    return out


@njit(cache=True)
def captured(obs, nuclei, post, clone, mine, lead, seen, lost):  # type: ignore[no-untyped-def]
    """Add up chains seen and lost (G, 2) among cells that prove their clone by a chain of the other locus.

    Only chains that other cells show count, so that a clone's evidence does not confirm itself. `lead`: `leads`.
    """
    ptr, chain, stratum, kind, first, owner = obs.ptr, obs.chain, obs.stratum, post.kind, post.first, post.owner
    known_ptr, known, locus, support, size = nuclei.ptr, nuclei.chain, nuclei.locus, nuclei.support, nuclei.size
    count = obs.n_cells
    proof = np.zeros(2, np.bool_)
    for i in range(clone.size):
        if kind[i] != SINGLE:
            continue
        c, lo, hi = first[i], ptr[i], ptr[i + 1]
        proof[:] = False
        for row in range(known_ptr[c], known_ptr[c + 1]):
            shows, others = _sight(known[row], support[row], clone[i] == c, chain, owner, mine, lo, hi)
            proof[locus[row]] |= shows and others
        weight = count[i] * min(1.0, CLONE_WEIGHT / max(size[c], 1.0))
        for k in range(2):
            row = lead[c, k]
            if row < 0 or not proof[1 - k]:
                continue
            shows, others = _sight(known[row], support[row], clone[i] == c, chain, owner, mine, lo, hi)
            if others:
                seen[stratum[i], k] += weight if shows else 0.0
                lost[stratum[i], k] += 0.0 if shows else weight


@njit(cache=True, forceinline=True)
def _sight(known, support, at_home, chain, owner, mine, lo, hi):  # type: ignore[no-untyped-def]
    """Whether a cell owns a known chain of its clone, and whether other cells show that chain."""
    shows = counted = False
    for e in range(lo, hi):
        if chain[e] == known:
            shows |= owner[e] == 1
            counted |= at_home and mine[e]
    return shows, support - counted > 0


@njit(cache=True)
def expected(obs, nuclei, post, out):  # type: ignore[no-untyped-def]
    """Add to the sums over the cells with a chain, by sample (S) or stratum (G).

    They are: own chains (G, 2, classes) and ambient ones (S, 2, classes); the ambient's share of the chains that are
    the cells' own (S, 2); cells of a clone of their own (S), without own chain (G), doublets (S); the share of other
    clones for each cell (S); ordered pairs of ambient chains in one droplet (S); cells with an own chain (G).
    """
    ptr, locus, umi_class, share, sample, stratum, count = (obs.ptr, obs.locus, obs.umi_class, obs.share, obs.sample,
                                                            obs.stratum, obs.n_cells)
    size, total, clone, is_own, p_new, p_none, p_doublet = (nuclei.size, max(nuclei.total, 1.0), post.clone, post.own,
                                                            post.p_new, post.p_none, post.p_doublet)
    own, foreign, hidden, new, none, doublet, apart, pairs, found = out
    for i in range(sample.size):
        s, g, n, k, squares = sample[i], stratum[i], count[i], 0.0, 0.0
        if ptr[i] == ptr[i + 1]:
            continue
        for e in range(ptr[i], ptr[i + 1]):
            other = 1.0 - is_own[e]
            own[g, locus[e], umi_class[e]] += n * is_own[e]
            foreign[s, locus[e], umi_class[e]] += n * other
            hidden[s, locus[e]] += n * share[e] * is_own[e]
            k += other
            squares += other * other
        pairs[s] += n * (k * k - squares)
        new[s] += n * p_new[i]
        none[g] += n * p_none[i]
        found[g] += n * (1.0 - p_none[i])
        doublet[s] += n * p_doublet[i]
        apart[s] += n * (1.0 - (size[clone[i]] / total if clone[i] >= 0 else 0.0))
