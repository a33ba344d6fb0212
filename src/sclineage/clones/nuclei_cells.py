"""Compiled side of `nuclei`: what the cells of every clone show, cell by cell or clone by clone."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

_FEW = 24  # entries that are put in order one by one
_CLONES = 4096  # per task
_LOW = np.int64(0xFFFFFFFF)


@njit(cache=True)
def pairs(ptr, chain, locus, n_cells, n_chains):  # type: ignore[no-untyped-def]
    """Pairs of anchors that a row shows, ``lower * n_chains + higher``, and the cells of the row."""
    n = 0
    for _ in range(2):  # count, then write
        code, weight, n = np.empty(n, np.int64), np.empty(n, np.int32), 0
        for i in range(n_cells.size):
            for a in range(ptr[i], ptr[i + 1]):
                for b in range(a + 1, ptr[i + 1]):
                    if locus[a] == 0 and locus[b] == 0 and chain[a] != chain[b]:
                        if n < code.size:
                            code[n] = np.int64(min(chain[a], chain[b])) * n_chains + max(chain[a], chain[b])
                            weight[n] = n_cells[i]
                        n += 1
    return code, weight


@njit(cache=True)
def anchor_seen(ptr, chain, locus, n_cells, n_chains):  # type: ignore[no-untyped-def]
    """Cells that show each chain as an anchor; int32 (n_chains)."""
    out = np.zeros(n_chains, np.int32)
    for i in range(n_cells.size):
        for e in range(ptr[i], ptr[i + 1]):
            out[chain[e]] += n_cells[i] * (locus[e] == 0)
    return out


@njit(cache=True)
def first_anchors(ptr, chain, locus, umi, canonical):  # type: ignore[no-untyped-def]
    """Anchor of every cell, int32, and whether each entry is of it.

    The only anchor of a cell, or the one with three times the UMIs of the next; else -1.
    """
    anchor, mine = np.empty(ptr.size - 1, np.int32), np.zeros(chain.size, np.bool_)
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
        for e in range(ptr[i], ptr[i + 1]):
            mine[e] = anchor[i] >= 0 and (locus[e] == 1 or canonical[chain[e]] == anchor[i])
    return anchor, mine


@njit(cache=True)
def mark(chain, locus, partner):  # type: ignore[no-untyped-def]
    """Set `partner` of the chains whose locus is 1."""
    for e in range(chain.size):
        if locus[e] == 1:
            partner[chain[e]] = True


@njit(cache=True)
def maxima(key, values, n_keys):  # type: ignore[no-untyped-def]
    """Largest value of each key, at least 0; of the values' type."""
    out = np.zeros(n_keys, values.dtype)
    for row in range(key.size):
        out[key[row]] = max(out[key[row]], values[row])
    return out


@njit(cache=True)
def clones_of(anchor, partner, code, others, begin):  # type: ignore[no-untyped-def]
    """Clone of every key, int32: an anchor's main one at ``begin``, its others where their `code` stands (sorted)."""
    clone = np.full(anchor.size, -1, np.int32)
    for i in range(anchor.size):
        if anchor[i] >= 0:
            clone[i] = begin[anchor[i]]
            if partner[i] >= 0:
                key = np.int64(anchor[i]) * (begin.size - 1) + partner[i]
                clone[i] = others[np.searchsorted(code, key)]
    return clone


@njit(cache=True)
def main_anchors(anchor, partner, n_chains):  # type: ignore[no-untyped-def]
    """Whether any key is the main clone of each anchor."""
    out = np.zeros(n_chains, np.bool_)
    for i in range(anchor.size):
        if anchor[i] >= 0 and partner[i] < 0:
            out[anchor[i]] = True
    return out


@njit(cache=True, parallel=True)
def own_chains(rows, start, ptr, chain, place, mine):  # type: ignore[no-untyped-def]
    """Chains that are `mine` in the rows of each clone, sorted by the place of the chain, then by row.

    ``rows[start[k]:start[k + 1]]`` are those of clone k. Returns ``place << 32 | row``, the pointer of the clones in
    them, and that of the clones among different chains of a clone.
    """
    n = start.size - 1
    bounds, n_chains = np.zeros(n + 1, np.int32), np.zeros(n + 1, np.int32)
    for k in range(n):
        bounds[k + 1] = bounds[k]
        for at in range(start[k], start[k + 1]):
            for e in range(ptr[rows[at]], ptr[rows[at] + 1]):
                bounds[k + 1] += mine[e]
    out = np.empty(bounds[n], np.int64)
    for part in prange(-(-n // _CLONES)):
        for k in range(part * _CLONES, min((part + 1) * _CLONES, n)):
            end = bounds[k]
            for at in range(start[k], start[k + 1]):
                for e in range(ptr[rows[at]], ptr[rows[at] + 1]):
                    if mine[e]:
                        out[end] = np.int64(place[chain[e]]) << 32 | rows[at]
                        end += 1
            n_chains[k + 1] = _sorted(out, bounds[k], end)
    for k in range(n):
        n_chains[k + 1] += n_chains[k]
    return out, bounds, n_chains


@njit(cache=True)
def _sorted(keys, begin, end):  # type: ignore[no-untyped-def]
    """Sort ``keys[begin:end]``; return how many differ in their upper half."""
    if end - begin > _FEW:
        keys[begin:end].sort()
    else:
        for last in range(begin + 1, end):
            at, key = last, keys[last]
            while at > begin and keys[at - 1] > key:
                keys[at] = keys[at - 1]
                at -= 1
            keys[at] = key
    n = 0
    for at in range(begin, end):
        n += at == begin or keys[at] >> 32 != keys[at - 1] >> 32
    return n


@njit(cache=True, parallel=True)
def table_rows(keys, bounds, begin, ptr, chain, locus, place, umi, own, n_cells, out):  # type: ignore[no-untyped-def]
    """Fill the fields of `partners.Table` behind ``ptr``: runs of equal chains within each clone (`own_chains`)."""
    clones, chains, loci, support, umis, sure = out
    n = bounds.size - 1
    for part in prange(-(-n // _CLONES)):
        for k in range(part * _CLONES, min((part + 1) * _CLONES, n)):
            to = begin[k] - 1
            for at in range(bounds[k], bounds[k + 1]):
                i = np.int64(keys[at] & _LOW)
                e = ptr[i]
                while place[chain[e]] != keys[at] >> 32:
                    e += 1
                if at == bounds[k] or keys[at] >> 32 != keys[at - 1] >> 32:
                    to += 1
                    clones[to], chains[to], loci[to] = k, chain[e], locus[e]
                support[to] += n_cells[i]
                umis[to] += n_cells[i] * max(umi[e], 1)
                p = min(own[e], 1.0 - 1e-9)
                p = p if n_cells[i] == 1 else -np.expm1(n_cells[i] * np.log1p(-p))
                sure[to] += p * (1.0 - sure[to])


@njit(cache=True)
def bearing(ptr, locus, n_cells, clone, mine, n_clones):  # type: ignore[no-untyped-def]
    """(n_clones, 3) cells of each clone with an own anchor, with an own partner chain, with both; int32."""
    out = np.zeros((n_clones, 3), np.int32)
    for i in range(clone.size):
        anchor = partner = False
        for e in range(ptr[i], ptr[i + 1]):
            anchor |= mine[e] and locus[e] == 0
            partner |= mine[e] and locus[e] == 1
        if clone[i] >= 0:
            out[clone[i], 0] += n_cells[i] * anchor
            out[clone[i], 1] += n_cells[i] * partner
            out[clone[i], 2] += n_cells[i] * (anchor and partner)
    return out


@njit(cache=True)
def together(ptr, chain, locus, n_cells, clone, mine, lead, start, others):  # type: ignore[no-untyped-def]
    """Cells of each row's clone that show both its chain and the clone's `lead`; rows of clone k from ``start[k]``."""
    both = np.zeros(others.size, np.int32)
    for i in range(clone.size):
        c = clone[i]
        if c < 0 or start[c] == start[c + 1]:
            continue
        leads = False
        for e in range(ptr[i], ptr[i + 1]):
            leads |= mine[e] and locus[e] == 1 and chain[e] == lead[c]
        for e in range(ptr[i], ptr[i + 1] if leads else ptr[i]):
            for k in range(start[c], start[c + 1]):
                both[k] += n_cells[i] * (mine[e] and locus[e] == 1 and chain[e] == others[k])
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


@njit(cache=True)
def by_sample(rows, start, sample, n_cells):  # type: ignore[no-untyped-def]
    """How the rows of each clone, which come sample by sample, spread: pointer of the clones, samples, cells there."""
    ptr = np.zeros(start.size, np.int32)
    for k in range(start.size - 1):
        ptr[k + 1] = ptr[k]
        for at in range(start[k], start[k + 1]):
            ptr[k + 1] += at == start[k] or sample[rows[at]] != sample[rows[at - 1]]
    samples, cells = np.empty(ptr[-1], np.int32), np.zeros(ptr[-1], np.int32)
    for k in range(start.size - 1):
        to = ptr[k] - 1
        for at in range(start[k], start[k + 1]):
            to += at == start[k] or sample[rows[at]] != sample[rows[at - 1]]
            samples[to] = sample[rows[at]]
            cells[to] += n_cells[rows[at]]
    return ptr, samples, cells


@njit(cache=True)
def owned(ptr, chain, n_cells, clone, mine, n_chains):  # type: ignore[no-untyped-def]
    """Cells that show each chain as one of their clone's; int32 (n_chains)."""
    out = np.zeros(n_chains, np.int32)
    for i in range(clone.size):
        for e in range(ptr[i], ptr[i + 1] if clone[i] >= 0 else ptr[i]):
            out[chain[e]] += n_cells[i] * mine[e]
    return out


@njit(cache=True)
def lift(clone, support, locus, size, bearing, capture):  # type: ignore[no-untyped-def]
    """See `nuclei._lift`; float64 per known chain."""
    out = np.empty(clone.size)
    for row in range(clone.size):
        k, usual = clone[row], capture[locus[row]]
        share = min(max((support[row] + 10 * usual) / (size[k] + 10), 0.01), 0.995)
        lead = locus[row] == 0 and support[row] >= 0.5 * max(bearing[k, 0], 1)
        out[row] = 1.0 if lead else share / (1 - share) * (1 - usual) / usual
    return out


@njit(cache=True)
def largest_first(clones, ptr, size):  # type: ignore[no-untyped-def]
    """Sort the clones of every group (pointer `ptr`) by falling size; equal ones stay in their order."""
    for c in range(ptr.size - 1):
        begin, end = ptr[c], ptr[c + 1]
        if end - begin > _FEW:
            clones[begin:end] = clones[begin:end][np.argsort(-size[clones[begin:end]], kind="mergesort")]
            continue
        for last in range(begin + 1, end):
            at, clone = last, clones[last]
            while at > begin and size[clones[at - 1]] < size[clone]:
                clones[at] = clones[at - 1]
                at -= 1
            clones[at] = clone


@njit(cache=True)
def best_first(rows, clone, support, umi, chain):  # type: ignore[no-untyped-def]
    """Sort rows within each clone by falling support, then UMIs, then by chain; in place."""
    begin = 0
    while begin < rows.size:
        end = begin + 1
        while end < rows.size and clone[rows[end]] == clone[rows[begin]]:
            end += 1
        if end - begin > _FEW:
            part = rows[begin:end]
            part = part[np.argsort(chain[part], kind="mergesort")]
            part = part[np.argsort(-umi[part], kind="mergesort")]
            rows[begin:end] = part[np.argsort(-support[part], kind="mergesort")]
        else:
            for last in range(begin + 1, end):
                at, row = last, rows[last]
                while at > begin and _better(row, rows[at - 1], support, umi, chain):
                    rows[at] = rows[at - 1]
                    at -= 1
                rows[at] = row
        begin = end


@njit(cache=True, forceinline=True)
def _better(a, b, support, umi, chain):  # type: ignore[no-untyped-def]
    """Whether row a comes before row b in `best_first`."""
    if support[a] != support[b]:
        return support[a] > support[b]
    return umi[a] > umi[b] or (umi[a] == umi[b] and chain[a] < chain[b])
