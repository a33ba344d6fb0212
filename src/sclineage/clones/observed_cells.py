"""Compiled side of `observed`: entries put in order, told apart, and weighed against the ambient."""

from __future__ import annotations

import numpy as np
from numba import njit

from .sorting import by_key

MOST_CHAINS = 6  # per cell; the rest (fewest UMIs) is left out
LEAK = 0.01  # share of the ambient chains of a sample that come from the patient's other samples


@njit(cache=True)
def arranged(cell, chain, umi, n, umis):  # type: ignore[no-untyped-def]
    """Pointer, chains and UMIs of the entries by cell, then falling UMIs, then chain; the first MOST_CHAINS of each.

    Rows of a cell that show one chain are one entry. `umis` is room for the UMIs.
    """
    order, start = by_key(cell, n, np.arange(cell.size).astype(np.int32))
    ptr, chains, end = np.zeros(n + 1, np.int32), np.empty(cell.size, np.int32), 0
    for i in range(n):
        begin = ptr[i]
        end = begin
        for row in order[start[i]:start[i + 1]]:
            at = begin
            while at < end and chains[at] != chain[row]:
                at += 1
            umis[at] = umi[row] + (umis[at] if at < end else 0)
            chains[at] = chain[row]
            end = max(end, at + 1)
        for last in range(begin + 1, end):  # insertion sort: a cell has few chains
            at, c, u = last, chains[last], umis[last]
            while at > begin and (u > umis[at - 1] or (u == umis[at - 1] and c < chains[at - 1])):
                chains[at], umis[at] = chains[at - 1], umis[at - 1]
                at -= 1
            chains[at], umis[at] = c, u
        ptr[i + 1] = min(end, begin + MOST_CHAINS)
    return ptr, chains[:ptr[n]], umis[:ptr[n]]


@njit(cache=True)
def kind_part(rows, k, at_once, ptr, chain, umi, stratum, n_chains, n_umis):  # type: ignore[no-untyped-def]
    """Element k of what cells show, for `sorting.ranks`: stratum (-1, or with the first chain), chains with UMIs."""
    out = np.zeros(rows.size, np.int64)
    for at in range(rows.size):
        i = rows[at]
        if k < 0:
            out[at] = stratum[i] + 1
            continue
        entry = ptr[i] + k
        if entry < ptr[i + 1]:
            out[at] = (np.int64(chain[entry]) + 1) * n_umis + umi[entry] + 1
        if k == 0 and at_once:
            out[at] += np.int64(stratum[i]) * n_chains * n_umis
    return out


@njit(cache=True)
def numbered(rank):  # type: ignore[no-untyped-def]
    """One row of every rank, and every row's number among the ranks; both int32, the latter in the place of `rank`."""
    number, n = np.full(rank.size, -1, np.int32), 0
    for i in range(rank.size):
        n += number[rank[i]] < 0
        number[rank[i]] = i
    first, n = np.empty(n, np.int32), 0
    for r in range(rank.size):
        if number[r] >= 0:
            first[n] = number[r]
            number[r] = n
            n += 1
    for i in range(rank.size):
        rank[i] = number[rank[i]]
    return first, rank


@njit(cache=True)
def taken(cells, ptr, chain, umi):  # type: ignore[no-untyped-def]
    """Pointer, chains and UMIs of some cells."""
    out = np.zeros(cells.size + 1, np.int32)
    for i in range(cells.size):
        out[i + 1] = out[i] + ptr[cells[i] + 1] - ptr[cells[i]]
    chains, umis = np.empty(out[-1], chain.dtype), np.empty(out[-1], umi.dtype)
    for i in range(cells.size):
        for k in range(out[i + 1] - out[i]):
            chains[out[i] + k], umis[out[i] + k] = chain[ptr[cells[i]] + k], umi[ptr[cells[i]] + k]
    return out, chains, umis


@njit(cache=True)
def seen(ptr, chain, n_cells, n_chains):  # type: ignore[no-untyped-def]
    """Cells that show each chain, int32 (n_chains)."""
    out = np.zeros(n_chains, np.int32)
    for i in range(n_cells.size):
        for e in range(ptr[i], ptr[i + 1]):
            out[chain[e]] += n_cells[i]
    return out


@njit(cache=True)
def shares(entries, start, locus, umi, cell, sample, n_cells, seen, discount, chance, n_samples):  # type: ignore[no-untyped-def]
    """Ambient share of every entry; `entries` are those of chain c from ``start[c]``."""
    everywhere, whole = np.zeros((n_samples, 2)), np.zeros(2)
    for c in range(locus.size):
        for e in entries[start[c]:start[c + 1]]:
            weight = np.float64(max(umi[e], 1)) * n_cells[cell[e]]
            everywhere[sample[cell[e]], locus[c]] += weight
            whole[locus[c]] += weight
    out, here = np.empty(entries.size), np.zeros(n_samples)
    for c in range(locus.size):
        k, total, others = locus[c], 0.0, seen[c] - 1
        kept = 1.0 - discount[k] / max(others, 1) if others > 0 else 0.0
        for e in entries[start[c]:start[c + 1]]:
            weight = np.float64(max(umi[e], 1)) * n_cells[cell[e]]
            here[sample[cell[e]]] += weight
            total += weight
        for e in entries[start[c]:start[c + 1]]:
            s, own = sample[cell[e]], max(umi[e], 1)
            within, overall = (here[s] - own) / everywhere[s, k], (total - own) / whole[k]
            out[e] = kept * ((1 - LEAK) * within + LEAK * overall) + discount[k] * chance[k]
        for e in entries[start[c]:start[c + 1]]:
            here[sample[cell[e]]] = 0.0
    return out


@njit(cache=True)
def per_sample(ptr, locus, sample, n_cells, own, n_samples):  # type: ignore[no-untyped-def]
    """Expected ambient chains, chains, cells, cells with an anchor, with a partner chain; float64 (5, samples)."""
    out = np.zeros((5, n_samples))
    for i in range(sample.size):
        s, shows = sample[i], np.zeros(2, np.bool_)
        for e in range(ptr[i], ptr[i + 1]):
            out[0, s] += n_cells[i] * (1.0 - own[e])
            out[1, s] += n_cells[i]
            shows[locus[e]] = True
        out[2, s] += n_cells[i]
        out[3, s] += n_cells[i] * shows[0]
        out[4, s] += n_cells[i] * shows[1]
    return out
