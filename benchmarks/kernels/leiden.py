"""Leiden on graphs of shared neighbours, beside igraph; the quality of the partitions is in ``cells.clustering``."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks._runner import Case, Contender
from benchmarks.kernels.knn import K, peer, scores
from sclineage.kernels import knn, leiden

ROUNDS = 2
LEAST = 0.99  # of the best modularity: below it a partition is not the same work


@cache
def graph(n: int) -> sparse.csr_matrix:
    """Shared-neighbour graph of the simulated scores; kept in the temporary folder, for making it takes longest."""
    kept = Path(tempfile.gettempdir()) / f"sclineage-benchmark-graph-{n}-{K}.npz"
    if not kept.exists():
        part = kept.with_suffix(".part.npz")
        sparse.save_npz(part, _graph(n), compressed=False)
        part.replace(kept)
    return sparse.csr_matrix(sparse.load_npz(kept))


def _graph(n: int) -> sparse.csr_matrix:
    indices, _ = knn.nearest(scores(n), K)
    shared = knn.shared_counts(indices)
    out = sparse.csr_matrix(((shared / (2.0 * K - shared)).ravel(), indices.ravel(), np.arange(n + 1) * K), (n, n))
    out.setdiag(0)
    out.eliminate_zeros()
    return out.maximum(out.T).tocsr()


def _ours(device: Any) -> Any:
    return lambda g: (g, leiden.leiden(g, n_iterations=ROUNDS, device=device))


def igraph_labels(adjacency: sparse.csr_matrix, *, rounds: int = ROUNDS, seed: int = 0) -> np.ndarray:
    """As scanpy calls igraph: the upper triangle, modularity, beta 0.01; the graph's making included."""
    import igraph

    upper = sparse.triu(adjacency, 1).tocoo()
    made = igraph.Graph(n=adjacency.shape[0], edges=np.column_stack([upper.row, upper.col]))
    random.seed(seed)
    return np.array(made.community_leiden("modularity", weights=upper.data, n_iterations=rounds).membership)


def _arrays(result: tuple[sparse.csr_matrix, np.ndarray]) -> Mapping[str, np.ndarray]:
    adjacency, labels = result
    return {"labels": labels, "modularity": np.array(leiden.modularity(adjacency, labels))}


def _same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    """Equal labels on our devices (int32); a peer must have found a partition as good."""
    if b["labels"].dtype == np.int32:
        return np.array_equal(a["labels"], b["labels"])
    return float(b["modularity"]) >= LEAST * float(a["modularity"])


def cases(*, tiny: bool) -> list[Case]:
    """The CPU and igraph up to 100,000 vertices, the device up to a million."""
    out = []
    for n in (1000,) if tiny else (10_000, 50_000, 100_000, 1_000_000):
        numba = Contender("sclineage numba", _ours("cpu"))
        cuda = Contender("sclineage cuda", _ours("cuda"), device="cuda")
        igraph = peer("igraph", "igraph", lambda g: (g, igraph_labels(g)))
        contenders = {1000: [numba, cuda, igraph], 100_000: [numba, cuda, igraph], 1_000_000: [cuda]}.get(
            n, [numba, igraph])
        out.append(Case(f"{n:,} vertices, {ROUNDS} rounds", "vertices", n, lambda n=n: graph(n), contenders, _arrays,
                        _same))
    return out


def device_cases(*, tiny: bool) -> list[Case]:
    """Equal labels at 100,000 vertices, then a million on the device alone; the device makes the graphs."""
    kept = (1000,) if tiny else (100_000, 1_000_000)
    return [replace(case, contenders=[c for c in case.contenders if c.name.startswith("sclineage")])
            for case in cases(tiny=tiny) if case.n in kept]
