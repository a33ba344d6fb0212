"""From principal-component scores to labels: neighbours, UMAP weights and Leiden, ours beside scanpy."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks._runner import Case, Contender
from benchmarks.kernels.knn import K, peer, scores
from sclineage.kernels import graphs, knn, leiden

LEAST = 0.98  # of our modularity, each on its own graph: below it a partition is not the same work


def _ours(device: Any) -> Any:
    def run(points: np.ndarray) -> tuple[Any, np.ndarray]:
        graph = graphs.umap_graph(*knn.nearest(points, K, device=device))
        return graph, leiden.leiden(graph, device=device)

    return run


def _scanpy(points: np.ndarray, **leiden_arguments: Any) -> tuple[Any, np.ndarray]:
    import scanpy as sc
    from anndata import AnnData

    data = AnnData(obsm={"X_pca": points}, shape=(len(points), 0))
    sc.pp.neighbors(data, n_neighbors=K, use_rep="X_pca")
    sc.tl.leiden(data, **leiden_arguments)
    return data.obsp["connectivities"], data.obs["leiden"].astype(np.int64).to_numpy()


def _igraph(points: np.ndarray) -> tuple[Any, np.ndarray]:
    return _scanpy(points, flavor="igraph", n_iterations=2, directed=False)


def _missing(module: str) -> str | None:
    return None if importlib.util.find_spec(module) else f"not measured: {module} is not installed"


def _arrays(result: tuple[Any, np.ndarray]) -> Mapping[str, np.ndarray]:
    return {"labels": result[1], "modularity": np.array(leiden.modularity(*result))}


def _same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    if b["labels"].dtype == np.int32:
        return np.array_equal(a["labels"], b["labels"])
    return float(b["modularity"]) >= LEAST * float(a["modularity"])


def cases(*, tiny: bool) -> list[Case]:
    """scanpy with its igraph flavour, and at 10,000 cells with its defaults, which take minutes on more; a million
    cells on the device alone.
    """
    out = []
    for n in (1000,) if tiny else (10_000, 50_000, 100_000, 1_000_000):
        cuda = Contender("sclineage cuda", _ours("cuda"), device="cuda")
        warm = 3 if n < 50_000 else 1
        contenders = [Contender("sclineage numba", _ours("cpu"), warm=warm), cuda,
                      replace(peer("scanpy", "scanpy", _igraph), warm=warm)]
        if n <= 10_000:
            contenders.append(Contender("scanpy, defaults (leidenalg to convergence)", _scanpy, warm=1,
                                        missing=lambda: _missing("scanpy") or _missing("leidenalg")))
        out.append(Case(f"{n:,} cells, k = {K}", "cells", n, lambda n=n: scores(n),
                        contenders if n < 1_000_000 else [cuda], _arrays, _same))
    return out
