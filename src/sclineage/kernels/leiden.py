"""Leiden communities, a pure function of graph, resolution and seed (plain version: ``tests/oracles/leiden.py``).

Contract of both devices: the labels are bit-identical for any number of threads, in any process and on either device.
Weights are made whole numbers once, so that every sum is exact in any order; the gain of a move,
``w - (resolution / 2m * k) * volume``, is float64 in that order of operations without fused multiply-add; a tie leaves
a vertex where it is, or else goes to the lower community. Vertices are taken in batches by a hash of vertex, sweep and
seed: a batch is decided against the state before it and then applied as a whole. In the refinement only a vertex that
is still alone joins a part, of its own community, that it has an edge to, and never one that consists of a vertex of
the same batch: so parts only grow along edges. At the end a community that is not connected is split into its
components, which never lowers the modularity: every community is connected.

The answer is not promised to be equal when the vertices are numbered in another way.
Memory: 12 bytes per directed edge for the whole-number graph and about as much for its aggregates, which a round keeps;
12 bytes per vertex and thread. Several seeds side by side share the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import get_num_threads
from scipy import sparse

from .. import _backend
from .._backend import Device
from .._errors import InputError
from . import leiden_cpu as cpu
from . import leiden_cuda as cuda
from .leiden_cpu import MOST
from .leiden_cuda import cuda_defines

BITS = 20  # of the largest weight
SWEEPS = 4  # at most, per level and pass; more settle too early: see the notes of `leiden`
STARTS, SMALL = 2, 32_768  # first rounds, of which the best goes on, in graphs of fewer vertices, where they are cheap
ENOUGH = 100  # rounds, where none are given
ON_HOST = 1_000  # vertices below which a level is computed on the host: too few to fill a device
_MASK = (1 << 64) - 1

__all__ = ["cuda_defines", "leiden", "modularity", "partitions"]


# --- the graph in whole numbers ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Graph:
    """Undirected graph without loops, every edge in both rows; `degree` int64 counts what loops there were before."""

    indptr: Any
    indices: Any
    weights: Any
    degree: Any

    @property
    def n(self) -> int:
        """Number of vertices."""
        return int(self.degree.size)


def _graph(adjacency: Any) -> Graph:
    matrix = sparse.csr_matrix(adjacency)
    if matrix.shape[0] != matrix.shape[1]:
        raise InputError("adjacency", f"found shape {matrix.shape}", "give a square matrix")
    least, most = matrix.data.min(initial=0), matrix.data.max(initial=0)
    if not (least >= 0 and np.isfinite(most)):
        raise InputError("adjacency", "found weights that are negative or not finite", "give weights of at least 0")
    if not matrix.has_canonical_format or (matrix.nnz and (matrix.data.min() == 0 or matrix.diagonal().any())):
        matrix = matrix.copy()
        matrix.sum_duplicates()
        matrix.setdiag(0)
        matrix.eliminate_zeros()
    most = float(matrix.data.max(initial=0))
    scale = float(2.0 ** (BITS - np.ceil(np.log2(most)))) if most > 0 else 1.0
    weights, degree = np.empty(matrix.nnz, dtype=np.int64), np.empty(matrix.shape[0], dtype=np.int64)
    indptr, indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)
    straight, turned = cpu.whole(indptr, indices, matrix.data, scale, weights, degree)
    if straight != turned:
        raise InputError("adjacency", "found a matrix that is not symmetric", "give an undirected graph, A = A.T")
    return Graph(indptr, indices, weights, degree)


# --- one iteration ----------------------------------------------------------------------------------------------------
@dataclass
class _Salts:
    """Seeds of the hashes, one after another."""

    state: int

    def take(self, count: int) -> np.ndarray:
        out = np.empty(count, dtype=np.uint64)
        for i in range(count):
            self.state = (self.state + cpu.GOLDEN) & _MASK
            x = ((self.state ^ (self.state >> 30)) * cpu.MULTIPLY_1) & _MASK
            x = ((x ^ (x >> 27)) * cpu.MULTIPLY_2) & _MASK
            out[i] = x ^ (x >> 31)
        return out


def _batches(n: int) -> int:
    return int(cpu.sized(n, MOST))


def _on_host(graph: Graph) -> Graph:
    return Graph(*map(_backend.to_host, (graph.indptr, graph.indices, graph.weights, graph.degree)))


def _on_device(adjacency: Any) -> Graph:
    """As `_graph`, made by the device unless the matrix has to be put in order or refused."""
    matrix = sparse.csr_matrix(adjacency)
    made = cuda.whole(matrix, BITS) if matrix.shape[0] == matrix.shape[1] else None
    if made is None:
        graph = _graph(matrix)
        made = tuple(map(_backend.to_device, (graph.indptr, graph.indices, graph.weights, graph.degree)))
    return Graph(*made)


def _move(graph: Graph, comm: Any, scale: float, salts: _Salts, threads: int, phases: Any) -> tuple[Any, int]:
    """Move the vertices of a level, in place; volumes of the communities, and moves made."""
    volume = phases.totals(comm, graph.degree, graph.n)
    return volume, phases.move(graph.indptr, graph.indices, graph.weights, comm, volume, graph.degree, scale,
                               _batches(graph.n), salts.take(SWEEPS), threads)


def _iterate(graph: Graph, comm: Any, scale: float, salts: _Salts, threads: int, phases: Any) -> tuple[Any, int]:
    """Move, refine and aggregate up to one node per community, then move on the way back; lowest members, moves made.

    The finest level is left to the next round, which begins there.
    """
    levels: list[tuple[Graph, Any, Any]] = []
    total, first = 0, phases
    while True:
        if phases is cuda and graph.n < ON_HOST:
            graph, comm, phases = _on_host(graph), _backend.to_host(comm), cpu
        edges = (graph.indptr, graph.indices, graph.weights)
        volume, moves = _move(graph, comm, scale, salts, threads, phases)
        total += moves
        sub = phases.refine(*edges, comm, volume, graph.degree, scale, _batches(graph.n), salts.take(1)[0], threads)
        part, count = phases.ranks(sub)
        if count == graph.n:
            break
        levels.append((graph, part, phases))
        comm = phases.lifted(part, comm, count)
        indptr, indices, weights = phases.aggregate(*edges, part, count)
        graph = Graph(indptr, indices, weights, phases.totals(part, graph.degree, count))
    while levels:
        graph, part, phases = levels.pop()
        comm = (comm if phases is cpu else _backend.to_device(comm))[part]
        total += _move(graph, comm, scale, salts, threads, phases)[1] if levels else 0
    return first.lowest(comm), total


# --- the whole --------------------------------------------------------------------------------------------------------
def _by_size(labels: np.ndarray) -> np.ndarray:
    """Communities numbered by falling size, ties by the lowest member (their label), int32."""
    sizes = np.bincount(labels)
    used = np.flatnonzero(sizes)
    rank = np.empty(labels.size, dtype=np.int32)
    rank[used[np.argsort(-sizes[used], kind="stable")]] = np.arange(used.size, dtype=np.int32)
    return rank[labels]


def leiden(adjacency: Any, *, resolution: float = 1.0, n_iterations: int = 2, seed: int = 0,
           device: Device | None = "auto", threads: int | None = None) -> np.ndarray:
    """Communities of an undirected weighted graph by the Leiden algorithm, modularity.

    Parameters
    ----------
    adjacency
        Sparse (n, n), symmetric, weights at least 0; loops do not count.
    resolution
        Larger gives more communities; at least 0.
    n_iterations
        Rounds, each starting from the result of the one before; -1 for as many as raise the modularity.
    seed
        0 to 2**64 - 1.
    device
        ``auto``, ``cpu`` or ``cuda``; None takes the setting.
    threads
        On the CPU; None takes the setting, or Numba's number. The result does not depend on it.

    Returns
    -------
    int32 (n,): 0 is the largest community, ties by the lowest member.

    Raises
    ------
    InputError
        If the matrix is not square, not symmetric or has bad weights, or a parameter is out of range.

    Notes
    -----
    Traag, Waltman and van Eck, "From Louvain to Leiden: guaranteeing well-connected communities" (Scientific Reports
    2019), with whole-number weights and hashed batches in the place of its queue, with the best part in the place of a
    random one in the refinement, and with moves at every level on the way back from the coarsest one too (Rotta and
    Noack, "Multilevel local search algorithms for modularity clustering", ACM JEA 2011); the last is at the finest.

    On eight graphs and eight seeds none of which stands in ``benchmarks/results/cells.clustering.md`` (simulated, 5,000
    to 50,000 cells; public cells with other weights or halved), two rounds with 3, 4, 6, 8 and 24 sweeps per level came
    0.16, 0.19, 0.19, 0.18 and 0.13 percent above the modularity of two iterations of igraph, on average; of the good
    ones 4 takes the least time. On the same graphs a second start in the first round added 0.05 percent, for about four
    fifths more time: it is made where there are fewer than 32,768 vertices. From two to four rounds: 0.02 percent more.
    """
    return partitions(adjacency, seeds=(seed,), resolution=resolution, n_iterations=n_iterations, device=device,
                      threads=threads)[0]


def partitions(adjacency: Any, *, seeds: Sequence[int], resolution: float = 1.0, n_iterations: int = 2,
               device: Device | None = "auto", threads: int | None = None) -> list[np.ndarray]:
    """Communities for several seeds, on the CPU side by side, a thread each; every one is what `leiden` gives.

    Parameters
    ----------
    adjacency, resolution, n_iterations, device, threads
        As for `leiden`; the graph is made once.
    seeds
        Each 0 to 2**64 - 1.

    Returns
    -------
    One array per seed, as `leiden` returns it.

    Raises
    ------
    InputError
        As for `leiden`.
    """
    _check(resolution, n_iterations, seeds)
    chosen = _backend.pick(device, kernel="leiden")
    with _backend.threads(threads):
        on_device = chosen == "cuda" and adjacency.shape[0] >= ON_HOST
        graph, phases = (_on_device if on_device else _graph)(adjacency), cuda if on_device else cpu
        if not graph.degree.any():
            return [np.arange(graph.n, dtype=np.int32) for _ in seeds]
        most = get_num_threads()
        side_by_side = 1 if on_device else max(1, min(most, len(seeds)))
        each = most if side_by_side == 1 else 1

        def one(seed: int) -> np.ndarray:
            return _by_size(_rounds(graph, resolution, n_iterations, _Salts(seed), each, phases))

        if side_by_side == 1:
            return list(map(one, seeds))
        with ThreadPoolExecutor(side_by_side) as pool:
            return list(pool.map(one, seeds))


def _check(resolution: float, n_iterations: int, seeds: Sequence[int]) -> None:
    if not (np.isfinite(resolution) and resolution >= 0):
        raise InputError("resolution", f"found {resolution}", "give a number of at least 0")
    if n_iterations < -1 or n_iterations == 0:
        raise InputError("n_iterations", f"found {n_iterations}", "give a number of rounds, or -1")
    for seed in seeds:
        if not 0 <= seed <= _MASK:
            raise InputError("rng", f"found {seed}", "give 0 to 2**64 - 1")


def _rounds(graph: Graph, resolution: float, n_iterations: int, salts: _Salts, threads: int,
            phases: Any) -> np.ndarray:
    """Labels (lowest member) after the rounds, on the host."""
    scale, rest = resolution / int(graph.degree.sum()), (n_iterations if n_iterations > 0 else ENOUGH) - 1
    labels = _start(graph, resolution, scale, salts, threads, phases)
    best = _quality(graph, labels, resolution, phases) if n_iterations < 0 else -np.inf
    for _ in range(rest):
        new, moves = _iterate(graph, labels.copy(), scale, salts, threads, phases)
        new = phases.split(graph.indptr, graph.indices, new)
        quality = _quality(graph, new, resolution, phases) if n_iterations < 0 else np.inf
        if moves == 0 or (n_iterations < 0 and quality <= best):
            break
        labels, best = new, quality
    _move(graph, labels, scale, salts, threads, phases)
    return _backend.to_host(phases.split(graph.indptr, graph.indices, labels))


def _start(graph: Graph, resolution: float, scale: float, salts: _Salts, threads: int, phases: Any) -> Any:
    """Labels after a first round from every vertex on its own; the best of several, the first of equals."""
    tries = []
    for _ in range(STARTS if graph.n < SMALL else 1):
        found, _moves = _iterate(graph, phases.own_labels(graph.n), scale, salts, threads, phases)
        tries.append(phases.split(graph.indptr, graph.indices, found))
    return tries[0] if len(tries) == 1 else max(tries, key=lambda labels: _quality(graph, labels, resolution, phases))


def _quality(graph: Graph, labels: Any, resolution: float, phases: Any) -> float:
    """Modularity; its sum runs on the host, community after community, so both devices get the same bits."""
    n, total = graph.n, float(graph.degree.sum())
    inside = phases.inner_weights(graph.indptr, graph.indices, graph.weights, labels, n)
    volume = phases.totals(labels, graph.degree, n)
    inside, volume = (_backend.to_host(a) / total for a in (inside, volume))
    return float((inside - resolution * volume**2).sum())


def modularity(adjacency: Any, labels: Any, *, resolution: float = 1.0) -> float:
    """Modularity of a partition (Newman 2004), from the same whole-number weights that `leiden` sees.

    Parameters
    ----------
    adjacency
        As for `leiden`.
    labels
        int (n,), 0 to n - 1.
    resolution
        As for `leiden`.

    Returns
    -------
    At most 1; 0 for a graph without edges.

    Raises
    ------
    InputError
        As for `leiden`, or if there is not one label per vertex.
    """
    graph, given = _graph(adjacency), np.asarray(labels)
    if given.shape != (graph.n,) or (given.size and not (given.min() >= 0 and given.max() < graph.n)):
        raise InputError("labels", f"found shape {given.shape}", f"give {graph.n} labels, 0 to {graph.n - 1}")
    return _quality(graph, given.astype(np.int32), resolution, cpu) if graph.degree.any() else 0.0
