"""Phases of Leiden on the CPU; contract in ``leiden.py``.

Each batch of vertices is decided against a frozen state and then applied, and all sums are of integers: so neither the
order within a batch nor the number of threads can be seen in the result.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .components_cpu import flatten_alone, unite

PER_BATCH, FEWEST, MOST = 128, 16, 256  # vertices of a batch, and batches, powers of two
ALONE = 1024  # vertices of a batch up to which no second thread is woken
MULTIPLY_1, MULTIPLY_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # finaliser of SplitMix64 (Steele et al. 2014)
GOLDEN = 0x9E3779B97F4A7C15
NONE = -1

_M1, _M2, _GOLDEN = np.uint64(MULTIPLY_1), np.uint64(MULTIPLY_2), np.uint64(GOLDEN)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)


@njit(cache=True)
def batch_of(vertex: int, salt: np.uint64, batches: int) -> np.int64:
    """Batch of a vertex: a hash of its number and of the sweep's salt; `batches` is a power of two."""
    x = (np.uint64(vertex) + np.uint64(1)) * _GOLDEN + salt
    x = (x ^ (x >> _30)) * _M1
    x = (x ^ (x >> _27)) * _M2
    return np.int64((x ^ (x >> _31)) & np.uint64(batches - 1))


@njit(cache=True)
def sized(active: int, most: int) -> int:
    """Number of batches for so many vertices, a power of two and at most `most`."""
    batches = FEWEST
    while 2 * batches <= most and 2 * batches * PER_BATCH <= active:
        batches *= 2
    return batches


@njit(cache=True)
def by_batch(active: np.ndarray, salt: np.uint64, batches: int) -> tuple[np.ndarray, np.ndarray]:
    """Active vertices, batch after batch, and where each batch starts."""
    starts = np.zeros(batches + 1, dtype=np.int64)
    mine = np.empty(active.size, dtype=np.int32)
    for v in range(active.size):
        if active[v]:
            mine[v] = batch_of(v, salt, batches)
            starts[mine[v] + 1] += 1
    for b in range(batches):
        starts[b + 1] += starts[b]
    listed, at = np.empty(starts[batches], dtype=np.int32), starts[:-1].copy()
    for v in range(active.size):
        if active[v]:
            listed[at[mine[v]]] = v
            at[mine[v]] += 1
    return listed, starts


# --- the graph --------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _mark(a: int, b: int) -> np.uint64:
    x = (np.uint64(a) * _M1) ^ (np.uint64(b) * _GOLDEN)
    x = (x ^ (x >> _30)) * _M1
    return x ^ (x >> _27)


@njit(cache=True)
def whole(indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, scale: float,
          weights: np.ndarray, degree: np.ndarray) -> tuple[np.uint64, np.uint64]:
    """Fill in whole-number weights and their sum per row; check sums of the matrix and of its transpose."""
    straight, turned = np.uint64(0), np.uint64(0)
    for v in range(degree.size):
        total = np.int64(0)
        one, two = np.uint64(0), np.uint64(0)
        for e in range(indptr[v], indptr[v + 1]):
            weight = max(np.int64(1), np.int64(np.rint(np.float64(data[e]) * scale)))
            weights[e] = weight
            total += weight
            one += _mark(v, indices[e]) * np.uint64(weight)
            two += _mark(indices[e], v) * np.uint64(weight)
        degree[v] = total
        straight += one
        turned += two
    return straight, turned


# --- moving -----------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _best(v: int, indptr: np.ndarray, indices: np.ndarray, weights: np.ndarray, comm: np.ndarray, volume: np.ndarray,
          degree: np.ndarray, scale: float, sums: np.ndarray, seen: np.ndarray) -> int:
    """Community of largest gain for a vertex; its own in a tie, else the lowest."""
    own, found, here = comm[v], 0, np.int64(0)
    for e in range(indptr[v], indptr[v + 1]):
        c = comm[indices[e]]
        if c == own:
            here += weights[e]
        else:
            if sums[c] == 0:
                seen[found] = c
                found += 1
            sums[c] += weights[e]
    factor = scale * degree[v]
    best, most = own, here - factor * (volume[own] - degree[v])
    if most < 0.0 and volume[v] == 0:
        best, most = np.int32(v), 0.0
    for i in range(found):
        c = seen[i]
        gain = sums[c] - factor * volume[c]
        if gain > most or (gain == most and best != own and c < best):
            best, most = c, gain
        sums[c] = 0
    return best


@njit(cache=True)
def _decide(first: int, last: int, listed: np.ndarray, target: np.ndarray, indptr: np.ndarray, indices: np.ndarray,
            weights: np.ndarray, comm: np.ndarray, volume: np.ndarray, degree: np.ndarray, scale: float,
            sums: np.ndarray, seen: np.ndarray) -> None:
    for i in range(first, last):
        target[i] = _best(listed[i], indptr, indices, weights, comm, volume, degree, scale, sums, seen)


@njit(cache=True, parallel=True)
def _decide_shared(threads: int, first: int, size: int, listed: np.ndarray, target: np.ndarray, indptr: np.ndarray,
                   indices: np.ndarray, weights: np.ndarray, comm: np.ndarray, volume: np.ndarray, degree: np.ndarray,
                   scale: float, sums: np.ndarray, seen: np.ndarray) -> None:
    for t in prange(threads):
        _decide(first + t * size // threads, first + (t + 1) * size // threads, listed, target, indptr, indices,
                weights, comm, volume, degree, scale, sums[t], seen[t])


@njit(cache=True)
def _apply(first: int, last: int, listed: np.ndarray, target: np.ndarray, indptr: np.ndarray, indices: np.ndarray,
           comm: np.ndarray, volume: np.ndarray, degree: np.ndarray, active: np.ndarray) -> int:
    """Move a batch, then wake the neighbours that the movers left behind or came upon; number of moves."""
    moves = 0
    for i in range(first, last):
        v = listed[i]
        active[v] = 0
        if target[i] == comm[v]:
            target[i] = NONE
            continue
        volume[comm[v]] -= degree[v]
        volume[target[i]] += degree[v]
        comm[v] = target[i]
        moves += 1
    for i in range(first, last):
        if target[i] != NONE:
            v = listed[i]
            for e in range(indptr[v], indptr[v + 1]):
                if comm[indices[e]] != comm[v]:
                    active[indices[e]] = 1
    return moves


@njit(cache=True, nogil=True)
def move(indptr: np.ndarray, indices: np.ndarray, weights: np.ndarray, comm: np.ndarray, volume: np.ndarray,
         degree: np.ndarray, scale: float, most: int, salts: np.ndarray, threads: int) -> int:
    """Move vertices between communities, in place, until none wants to or the salts are used up; number of moves.

    A sweep has `most` batches, or fewer where few vertices are awake.
    """
    n = degree.size
    active, target = np.ones(n, dtype=np.uint8), np.empty(n, dtype=np.int32)
    sums, seen = np.zeros((threads, n), dtype=np.int64), np.empty((threads, n), dtype=np.int32)
    moves = 0
    for sweep in range(salts.size):
        count = int(active.sum())
        if count == 0:
            break
        batches = sized(count, most)
        listed, starts = by_batch(active, salts[sweep], batches)
        for b in range(batches):
            first, size = starts[b], starts[b + 1] - starts[b]
            if threads > 1 and size > ALONE:
                _decide_shared(threads, first, size, listed, target, indptr, indices, weights, comm, volume, degree,
                               scale, sums, seen)
            else:
                _decide(first, first + size, listed, target, indptr, indices, weights, comm, volume, degree, scale,
                        sums[0], seen[0])
            moves += _apply(first, first + size, listed, target, indptr, indices, comm, volume, degree, active)
    return moves


# --- refining ---------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _join(v: int, mine: int, salt: np.uint64, batches: int, indptr: np.ndarray, indices: np.ndarray,
          weights: np.ndarray, comm: np.ndarray, volume: np.ndarray, degree: np.ndarray, scale: float, sub: np.ndarray,
          room: np.ndarray, inside: np.ndarray, size: np.ndarray, sums: np.ndarray, seen: np.ndarray) -> int:
    """Part of its community that a vertex on its own joins, or NONE."""
    whole = volume[comm[v]]
    factor = scale * degree[v]
    if size[v] != 1 or sub[v] != v or inside[v] < factor * (whole - degree[v]):
        return NONE
    found = 0
    for e in range(indptr[v], indptr[v + 1]):
        u = indices[e]
        if comm[u] == comm[v]:
            s = sub[u]
            if sums[s] == 0:
                seen[found] = s
                found += 1
            sums[s] += weights[e]
    best, most = NONE, 0.0
    for i in range(found):
        s = seen[i]
        gain = sums[s] - factor * room[s]
        sums[s] = 0
        if gain > most or (gain == most and best != NONE and s < best):
            leaves_too = size[s] == 1 and batch_of(s, salt, batches) == mine
            if not leaves_too and inside[s] >= scale * room[s] * (whole - room[s]):
                best, most = s, gain
    return best


@njit(cache=True)
def _joins(first: int, last: int, mine: int, salt: np.uint64, batches: int, listed: np.ndarray, target: np.ndarray,
           indptr: np.ndarray, indices: np.ndarray, weights: np.ndarray, comm: np.ndarray, volume: np.ndarray,
           degree: np.ndarray, scale: float, sub: np.ndarray, room: np.ndarray, inside: np.ndarray, size: np.ndarray,
           sums: np.ndarray, seen: np.ndarray) -> None:
    for i in range(first, last):
        target[listed[i]] = _join(listed[i], mine, salt, batches, indptr, indices, weights, comm, volume, degree,
                                  scale, sub, room, inside, size, sums, seen)


@njit(cache=True, parallel=True)
def _joins_shared(threads: int, first: int, size: int, mine: int, salt: np.uint64, batches: int, listed: np.ndarray,
                  target: np.ndarray, indptr: np.ndarray, indices: np.ndarray, weights: np.ndarray, comm: np.ndarray,
                  volume: np.ndarray, degree: np.ndarray, scale: float, sub: np.ndarray, room: np.ndarray,
                  inside: np.ndarray, count: np.ndarray, sums: np.ndarray, seen: np.ndarray) -> None:
    for t in prange(threads):
        _joins(first + t * size // threads, first + (t + 1) * size // threads, mine, salt, batches, listed, target,
               indptr, indices, weights, comm, volume, degree, scale, sub, room, inside, count, sums[t], seen[t])


@njit(cache=True)
def _merge(first: int, last: int, listed: np.ndarray, target: np.ndarray, indptr: np.ndarray, indices: np.ndarray,
           weights: np.ndarray, degree: np.ndarray, sub: np.ndarray, room: np.ndarray, inside: np.ndarray,
           size: np.ndarray) -> None:
    """Carry out the joins of a batch; `inside` of a part is its weight to the rest of its community."""
    for i in range(first, last):
        v = listed[i]
        if target[v] != NONE:
            sub[v] = target[v]
            room[target[v]] += degree[v]
            size[target[v]] += 1
            room[v], size[v] = 0, 0
    for i in range(first, last):
        v = listed[i]
        if target[v] != NONE:
            change = inside[v]
            for e in range(indptr[v], indptr[v + 1]):
                u = indices[e]
                if sub[u] == sub[v]:  # an edge between two that joined at once is met from both ends
                    change -= weights[e] if target[u] != NONE else 2 * weights[e]
            inside[sub[v]] += change
    for i in range(first, last):
        target[listed[i]] = NONE


@njit(cache=True, nogil=True)
def refine(indptr: np.ndarray, indices: np.ndarray, weights: np.ndarray, comm: np.ndarray, volume: np.ndarray,
           degree: np.ndarray, scale: float, batches: int, salt: np.uint64, threads: int) -> np.ndarray:
    """Connected parts of the communities, int32: every vertex on its own may join a part it is linked to, once."""
    n = degree.size
    sub, size, room = np.arange(n).astype(np.int32), np.ones(n, dtype=np.int32), degree.copy()
    inside, target = np.zeros(n, dtype=np.int64), np.full(n, NONE, dtype=np.int32)
    for v in range(n):
        for e in range(indptr[v], indptr[v + 1]):
            if comm[indices[e]] == comm[v]:
                inside[v] += weights[e]
    sums, seen = np.zeros((threads, n), dtype=np.int64), np.empty((threads, n), dtype=np.int32)
    listed, starts = by_batch(np.ones(n, dtype=np.uint8), salt, batches)
    for b in range(batches):
        first, count = starts[b], starts[b + 1] - starts[b]
        if threads > 1 and count > ALONE:
            _joins_shared(threads, first, count, b, salt, batches, listed, target, indptr, indices, weights, comm,
                          volume, degree, scale, sub, room, inside, size, sums, seen)
        else:
            _joins(first, first + count, b, salt, batches, listed, target, indptr, indices, weights, comm, volume,
                   degree, scale, sub, room, inside, size, sums[0], seen[0])
        _merge(first, first + count, listed, target, indptr, indices, weights, degree, sub, room, inside, size)
    return sub


# --- aggregating ------------------------------------------------------------------------------------------------------
@njit(cache=True, nogil=True)
def ranks(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Labels (below n) numbered anew without gaps, in their order, int32; and how many there are."""
    n = labels.size
    new, used = np.full(n, NONE, dtype=np.int32), np.zeros(n, dtype=np.uint8)
    for v in range(n):
        used[labels[v]] = 1
    count = 0
    for c in range(n):
        if used[c]:
            new[c] = count
            count += 1
    out = np.empty(n, dtype=np.int32)
    for v in range(n):
        out[v] = new[labels[v]]
    return out, count


@njit(cache=True, nogil=True)
def lowest(labels: np.ndarray) -> np.ndarray:
    """Labels (below n) replaced by their lowest member, int32."""
    first, out = np.full(labels.size, NONE, dtype=np.int32), np.empty(labels.size, dtype=np.int32)
    for v in range(labels.size):
        if first[labels[v]] == NONE:
            first[labels[v]] = v
        out[v] = first[labels[v]]
    return out


@njit(cache=True, nogil=True)
def lifted(part: np.ndarray, comm: np.ndarray, count: int) -> np.ndarray:
    """Community of each node, named by its lowest node, int32."""
    out, first = np.empty(count, dtype=np.int32), np.full(part.size, NONE, dtype=np.int32)
    for v in range(part.size):
        out[part[v]] = comm[v]
    for s in range(count):
        if first[out[s]] == NONE:
            first[out[s]] = s
        out[s] = first[out[s]]
    return out


@njit(cache=True, nogil=True)
def aggregate(indptr: np.ndarray, indices: np.ndarray, weights: np.ndarray, node: np.ndarray,
              count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Graph of the nodes: weights between two nodes summed, loops left out."""
    n = node.size
    starts = np.zeros(count + 1, dtype=np.int64)
    for v in range(n):
        starts[node[v] + 1] += 1
    for s in range(count):
        starts[s + 1] += starts[s]
    members, at = np.empty(n, dtype=np.int32), starts[:-1].copy()
    for v in range(n):
        members[at[node[v]]] = v
        at[node[v]] += 1
    new_indptr, sums = np.zeros(count + 1, dtype=np.int64), np.zeros(count, dtype=np.int64)
    new_indices, new_weights = np.empty(indices.size, dtype=np.int32), np.empty(indices.size, dtype=np.int64)
    for s in range(count):
        fill = new_indptr[s]
        for m in range(starts[s], starts[s + 1]):
            for e in range(indptr[members[m]], indptr[members[m] + 1]):
                other = node[indices[e]]
                if other == s:
                    continue
                if sums[other] == 0:
                    new_indices[fill] = other
                    fill += 1
                sums[other] += weights[e]
        for e in range(new_indptr[s], fill):
            new_weights[e] = sums[new_indices[e]]
            sums[new_indices[e]] = 0
        new_indptr[s + 1] = fill
    return new_indptr, new_indices[:new_indptr[count]].copy(), new_weights[:new_indptr[count]].copy()


@njit(cache=True, nogil=True)
def totals(labels: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Sum of the values of each label, int64."""
    out = np.zeros(count, dtype=np.int64)
    for v in range(labels.size):
        out[labels[v]] += values[v]
    return out


@njit(cache=True, nogil=True)
def inner_weights(indptr: np.ndarray, indices: np.ndarray, weights: np.ndarray, labels: np.ndarray,
                  count: int) -> np.ndarray:
    """Weight within each community, both directions, int64."""
    out = np.zeros(count, dtype=np.int64)
    for v in range(labels.size):
        for e in range(indptr[v], indptr[v + 1]):
            if labels[indices[e]] == labels[v]:
                out[labels[v]] += weights[e]
    return out


@njit(cache=True, nogil=True)
def split(indptr: np.ndarray, indices: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Lowest member of every connected part of every community, int32."""
    parent = np.arange(labels.size).astype(np.int32)
    for v in range(labels.size):
        for e in range(indptr[v], indptr[v + 1]):
            if indices[e] < v and labels[indices[e]] == labels[v]:
                unite(parent, v, indices[e])
    return flatten_alone(parent)


def own_labels(n: int) -> np.ndarray:
    """Every vertex on its own, int32."""
    return np.arange(n, dtype=np.int32)
