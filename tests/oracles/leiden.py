"""Slow plain Leiden: the specification of ``kernels/leiden``, in Python integers and dictionaries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from scipy import sparse

from sclineage.kernels import leiden as kernel
from sclineage.kernels.leiden import BITS, STARTS, SWEEPS, _batches

WORD = (1 << 64) - 1
Links = list[dict[int, int]]


def mix(x: int) -> int:
    """Finaliser of SplitMix64."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WORD
    return x ^ (x >> 31)


def salts(seed: int) -> Iterator[int]:
    """SplitMix64."""
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & WORD
        yield mix(seed)


def batch_of(vertex: int, salt: int, batches: int) -> int:
    return mix(((vertex + 1) * 0x9E3779B97F4A7C15 + salt) & WORD) % batches


def whole_links(adjacency: sparse.csr_matrix) -> Links:
    """Whole-number weight to every neighbour, loops left out."""
    dense = np.asarray(adjacency.toarray(), dtype=float)
    most = dense.max(initial=0.0)
    scale = 2.0 ** (BITS - np.ceil(np.log2(most))) if most > 0 else 1.0
    return [{j: max(1, round(w * scale)) for j, w in enumerate(row) if w > 0 and j != i}
            for i, row in enumerate(dense.tolist())]


def to_communities(v: int, links: Links, labels: list[int]) -> dict[int, int]:
    sums: dict[int, int] = defaultdict(int)
    for u, w in links[v].items():
        sums[labels[u]] += w
    return sums


def move(links: Links, degree: list[int], comm: list[int], scale: float, most: int, seeds: list[int]) -> int:
    n, moves = len(degree), 0
    volume = defaultdict(int)
    for v in range(n):
        volume[comm[v]] += degree[v]
    active = set(range(n))
    for salt in seeds:
        if not active:
            break
        now, active = active, set()
        batches = min(most, _batches(len(now)))
        for b in range(batches):
            batch = [v for v in now if batch_of(v, salt, batches) == b]
            active -= set(batch)
            wanted = {v: best(v, links, degree, comm, volume, scale) for v in batch}
            movers = [v for v in batch if wanted[v] != comm[v]]
            for v in movers:
                volume[comm[v]] -= degree[v]
                volume[wanted[v]] += degree[v]
                comm[v] = wanted[v]
            later = {u for u in now if batch_of(u, salt, batches) > b}
            for v in movers:
                active |= {u for u in links[v] if comm[u] != comm[v] and u not in later}
            moves += len(movers)
    return moves


def best(v: int, links: Links, degree: list[int], comm: list[int], volume: dict[int, int], scale: float) -> int:
    sums, factor = to_communities(v, links, comm), scale * degree[v]
    found, most = comm[v], sums.get(comm[v], 0) - factor * (volume[comm[v]] - degree[v])
    if most < 0.0 and volume[v] == 0:
        found, most = v, 0.0
    gains = {c: w - factor * volume[c] for c, w in sums.items() if c != comm[v]}
    top = max(gains.values(), default=most)
    tied = [c for c, g in gains.items() if g == top]
    if top > most:
        return min(tied)
    if top == most and found != comm[v] and tied:
        return min([found, *tied])
    return found


def refine(links: Links, degree: list[int], comm: list[int], scale: float, batches: int, salt: int) -> list[int]:
    n = len(degree)
    part = list(range(n))
    volume = defaultdict(int)
    for v in range(n):
        volume[comm[v]] += degree[v]
    within = [{u: w for u, w in links[v].items() if comm[u] == comm[v]} for v in range(n)]
    for b in range(batches):
        batch = [v for v in range(n) if batch_of(v, salt, batches) == b]
        members: dict[int, list[int]] = defaultdict(list)
        for v in range(n):
            members[part[v]].append(v)
        room = {s: sum(degree[v] for v in m) for s, m in members.items()}
        outward = {s: sum(w for v in m for u, w in within[v].items() if part[u] != s) for s, m in members.items()}

        def well_linked(s: int, whole: int, room: dict[int, int] = room, outward: dict[int, int] = outward) -> bool:
            return outward[s] >= scale * room[s] * (whole - room[s])

        wanted = {}
        for v in batch:
            whole, factor = volume[comm[v]], scale * degree[v]
            if members[part[v]] != [v] or not well_linked(v, whole):
                continue
            sums: dict[int, int] = defaultdict(int)
            for u, w in within[v].items():
                sums[part[u]] += w
            gains = {s: w - factor * room[s] for s, w in sums.items()
                     if not (len(members[s]) == 1 and s in batch) and well_linked(s, whole)}
            top = max(gains.values(), default=0.0)
            if top > 0.0:
                wanted[v] = min(s for s, g in gains.items() if g == top)
        for v, s in wanted.items():
            part[v] = s
    return part


def iterate(links: Links, degree: list[int], comm: list[int], scale: float,
            seeds: Iterator[int]) -> tuple[list[int], int]:
    moves, levels = 0, []
    while True:
        n, batches = len(degree), _batches(len(degree))
        moves += move(links, degree, comm, scale, batches, [next(seeds) for _ in range(SWEEPS)])
        part = refine(links, degree, comm, scale, batches, next(seeds))
        names = {s: i for i, s in enumerate(sorted(set(part)))}
        if len(names) == n:
            break
        part = [names[s] for s in part]
        levels.append((links, degree, part))
        links_, degree_ = [defaultdict(int) for _ in names], [0] * len(names)
        for v in range(n):
            degree_[part[v]] += degree[v]
            for u, w in links[v].items():
                if part[u] != part[v]:
                    links_[part[v]][part[u]] += w
        above: dict[int, int] = {}
        for v in range(n):
            above[comm[v]] = min(above.get(comm[v], n), part[v])
        comm_ = [0] * len(names)
        for v in range(n):
            comm_[part[v]] = above[comm[v]]
        links, degree, comm = [dict(d) for d in links_], degree_, comm_
    for level, (links, degree, part) in reversed(list(enumerate(levels))):
        comm = [comm[s] for s in part]
        if level > 0:
            moves += move(links, degree, comm, scale, _batches(len(degree)), [next(seeds) for _ in range(SWEEPS)])
    return comm, moves


def split(links: Links, labels: list[int]) -> list[int]:
    """Lowest member of every connected part of every community."""
    out = [-1] * len(labels)
    for start in range(len(labels)):
        if out[start] < 0:
            out[start], todo = start, [start]
            while todo:
                v = todo.pop()
                for u in links[v]:
                    if out[u] < 0 and labels[u] == labels[v]:
                        out[u] = start
                        todo.append(u)
    return out


def quality(links: Links, degree: list[int], labels: list[int], resolution: float) -> float:
    """Modularity, its terms added up in NumPy's order: partitions of equal modularity must not differ by rounding."""
    inside, volume = np.zeros(len(labels)), np.zeros(len(labels))
    for v, row in enumerate(links):
        volume[labels[v]] += degree[v]
        inside[labels[v]] += sum(w for u, w in row.items() if labels[u] == labels[v])
    inside, volume = inside / float(sum(degree)), volume / float(sum(degree))
    return float((inside - resolution * volume**2).sum())


def leiden(adjacency: sparse.csr_matrix, *, resolution: float = 1.0, n_iterations: int = 2, seed: int = 0) -> list[int]:
    """Labels, 0 the largest community, ties by the lowest member."""
    links = whole_links(adjacency)
    degree = [sum(row.values()) for row in links]
    labels, seeds = list(range(len(links))), salts(seed)
    if sum(degree):
        scale = resolution / sum(degree)
        tries = [split(links, iterate(links, degree, list(labels), scale, seeds)[0])
                 for _ in range(STARTS if len(links) < kernel.SMALL else 1)]
        labels = max(tries, key=lambda found: quality(links, degree, found, resolution))
        for _ in range(n_iterations - 1):
            new, moves = iterate(links, degree, list(labels), scale, seeds)
            if moves == 0:
                break
            labels = split(links, new)
        move(links, degree, labels, scale, _batches(len(labels)), [next(seeds) for _ in range(SWEEPS)])
        labels = split(links, labels)
    sizes = {c: labels.count(c) for c in set(labels)}
    rank = {c: i for i, c in enumerate(sorted(sizes, key=lambda c: (-sizes[c], labels.index(c))))}
    return [rank[c] for c in labels]


def modularity(adjacency: sparse.csr_matrix, labels: list[int], *, resolution: float = 1.0) -> float:
    """From the definition: weights within less those expected, over all pairs."""
    links = whole_links(adjacency)
    degree = [sum(row.values()) for row in links]
    total = sum(degree)
    pairs = [(i, j) for i in range(len(links)) for j in range(len(links)) if labels[i] == labels[j]]
    return sum(links[i].get(j, 0) / total - resolution * degree[i] * degree[j] / total**2 for i, j in pairs)
