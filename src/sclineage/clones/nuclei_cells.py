"""Compiled side of `nuclei`: what the cells of every clone show, cell by cell."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def first_anchors(ptr, chain, locus, umi, canonical, anchor):  # type: ignore[no-untyped-def]
    """Fill `anchor`: the only anchor of a cell, or the one with three times the UMIs of the next; else -1."""
    for i in range(anchor.size):
        top, most, second = -1, 0, 0
        for e in range(ptr[i], ptr[i + 1]):  # by falling UMIs
            if locus[e] != 0 or canonical[chain[e]] == top:
                continue
            if top < 0:
                top, most = canonical[chain[e]], max(umi[e], 1)
            elif second == 0:
                second = max(umi[e], 1)
        anchor[i] = top if most >= 3 * second else -1


@njit(cache=True)
def maxima(key, values, n_keys):  # type: ignore[no-untyped-def]
    """Largest value of each key, at least 0; float64 (n_keys)."""
    out = np.zeros(n_keys)
    for row in range(key.size):
        out[key[row]] = max(out[key[row]], values[row])
    return out


@njit(cache=True)
def table_rows(entries, start, chain, locus, umi, own, weight):  # type: ignore[no-untyped-def]
    """Runs of equal chains within each clone: the fields of `nuclei.Table`.

    `entries` are sorted by (clone, locus, chain), those of clone k being ``start[k]:start[k + 1]``.
    """
    n_rows = 0
    for k in range(start.size - 1):
        for at in range(start[k], start[k + 1]):
            n_rows += at == start[k] or chain[entries[at]] != chain[entries[at - 1]]
    ptr, clones, chains, loci = (np.zeros(start.size, np.int64), np.empty(n_rows, np.int64),
                                 np.empty(n_rows, np.int64), np.empty(n_rows, np.int64))
    support, umis, sure = np.zeros(n_rows), np.zeros(n_rows, np.int64), np.zeros(n_rows)
    row = -1
    for k in range(start.size - 1):
        for at in range(start[k], start[k + 1]):
            e = entries[at]
            if at == start[k] or chain[e] != chain[entries[at - 1]]:
                row += 1
                clones[row], chains[row], loci[row] = k, chain[e], locus[e]
            support[row] += weight[e]
            umis[row] += weight[e] * max(umi[e], 1)
            p = min(own[e], 1.0 - 1e-9)
            p = p if weight[e] == 1 else -np.expm1(weight[e] * np.log1p(-p))
            sure[row] += p * (1.0 - sure[row])
        ptr[k + 1] = row + 1
    return ptr, clones, chains, loci, support, umis, sure


@njit(cache=True)
def bearing(ptr, locus, count, clone, mine, n_clones):  # type: ignore[no-untyped-def]
    """(n_clones, 3) cells of each clone with an own anchor, with an own partner chain, with both."""
    out = np.zeros((n_clones, 3))
    for i in range(clone.size):
        anchor = partner = False
        for e in range(ptr[i], ptr[i + 1]):
            anchor |= mine[e] and locus[e] == 0
            partner |= mine[e] and locus[e] == 1
        if clone[i] >= 0:
            out[clone[i], 0] += count[i] * anchor
            out[clone[i], 1] += count[i] * partner
            out[clone[i], 2] += count[i] * (anchor and partner)
    return out


@njit(cache=True)
def together(ptr, chain, locus, count, clone, mine, lead, start, others):  # type: ignore[no-untyped-def]
    """Cells of each row's clone that show both its chain and the clone's `lead`; rows of clone k from ``start[k]``."""
    both = np.zeros(others.size)
    for i in range(clone.size):
        c = clone[i]
        if c < 0 or start[c] == start[c + 1]:
            continue
        leads = False
        for e in range(ptr[i], ptr[i + 1]):
            leads |= mine[e] and locus[e] == 1 and chain[e] == lead[c]
        for e in range(ptr[i], ptr[i + 1] if leads else ptr[i]):
            for k in range(start[c], start[c + 1]):
                both[k] += count[i] * (mine[e] and locus[e] == 1 and chain[e] == others[k])
    return both


@njit(cache=True)
def split_partners(ptr, chain, locus, clone, mine, start, chains, split, partner):  # type: ignore[no-untyped-def]
    """Set `partner` of the cells that show a split partner chain of their clone, and none that the clone keeps.

    ``start, chains, split``: CSR over clones of the partner chains, and whether each is split.
    """
    for i in range(clone.size):
        c, keeps, moved = clone[i], False, -1
        if c < 0:
            continue
        for e in range(ptr[i], ptr[i + 1]):
            for k in range(start[c], start[c + 1]):
                if mine[e] and locus[e] == 1 and chains[k] == chain[e]:
                    keeps |= not split[k]
                    moved = chain[e] if split[k] and moved < 0 else moved
        if moved >= 0 and not keeps:
            partner[i] = moved
