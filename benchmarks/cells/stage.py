"""From principal-component scores to labels: neighbours, UMAP weights and Leiden, ours beside scanpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks._runner import Case, Contender
from benchmarks.kernels.knn import K, peer, scores
from sclineage.kernels import graphs, knn, leiden

LEAST = 0.98  # of our modularity, each on its own graph: below it a partition is not the same work


def ours(device: Any) -> Any:
    def run(points: np.ndarray) -> tuple[Any, np.ndarray]:
        graph = graphs.umap_graph(*knn.nearest(points, K, device=device))
        return graph, leiden.leiden(graph, device=device)

    return run


def with_scanpy(points: np.ndarray, **leiden_arguments: Any) -> tuple[Any, np.ndarray]:
    import scanpy as sc
    from anndata import AnnData

    data = AnnData(obsm={"X_pca": points}, shape=(len(points), 0))
    sc.pp.neighbors(data, n_neighbors=K, use_rep="X_pca")
    sc.tl.leiden(data, **leiden_arguments)
    return data.obsp["connectivities"], data.obs["leiden"].astype(np.int64).to_numpy()


def with_igraph(points: np.ndarray) -> tuple[Any, np.ndarray]:
    return with_scanpy(points, flavor="igraph", n_iterations=2, directed=False)


def arrays(result: tuple[Any, np.ndarray]) -> Mapping[str, np.ndarray]:
    return {"labels": result[1], "modularity": np.array(leiden.modularity(*result))}


def same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    if b["labels"].dtype == np.int32:
        return np.array_equal(a["labels"], b["labels"])
    return float(b["modularity"]) >= LEAST * float(a["modularity"])


def cases(*, tiny: bool) -> list[Case]:
    """scanpy with its igraph flavour; a million cells on the device alone.

    ``--repeats 1 --device cpu`` takes about six minutes on two cores, most of them scanpy's, which compiles for one in
    every process: its first timed run is the one compared. Its defaults: ``cells.stage_defaults``.
    """
    out = []
    for n in (1000,) if tiny else (10_000, 50_000, 100_000, 1_000_000):
        cuda, scanpy = Contender("sclineage cuda", ours("cuda"), device="cuda"), peer("scanpy", "scanpy", with_igraph)
        contenders = [Contender("sclineage numba", ours("cpu")), cuda,
                      replace(scanpy, name=f"{scanpy.name}, igraph flavour", warm=3 if n < 50_000 else 1, tried=False)]
        out.append(Case(f"{n:,} cells, k = {K}", "cells", n, lambda n=n: scores(n),
                        contenders if n < 1_000_000 else [cuda], arrays, same))
    return out
