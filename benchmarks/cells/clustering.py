"""Quality of neighbours and partitions beside the peers', on simulated and public data.

    python -m benchmarks.cells.clustering [--sizes 10000,50000] [--seeds 5] [--first 11] [--data DIR] [--bal DIR]
                                          [--out DIR] [--resume]

- recall: share of the true neighbours (float64, brute force, 500 points) that are found;
- Q: modularity, mean (least to largest) over the seeds; s: median CPU seconds, the making of the graph included;
- ARI: mean adjusted Rand index between the seeds' partitions and igraph's of the same number of rounds;
- the last columns of Q and time are beside those of igraph to convergence;
- parts: communities that are not connected, over all seeds;
- components: those from exact products beside arpack's, see `benchmarks.cells.components.agreement`.

What neighbours show of the receptor stands in ``benchmarks.cells.receptors``.

``--data`` names the folder of public data (default: SCLINEAGE_DATA), ``--bal`` the folder ``liao-2019-covid19`` of
scirpy's source distribution; without them only simulated data are used. Every table is stored when it is made, and
``--resume`` goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from benchmarks._runner import RESULTS, machine
from benchmarks.cells.components import agreement, scanpy_components
from benchmarks.cells.public import load
from benchmarks.kernels.gram import expression as simulated
from benchmarks.kernels.knn import K, scores
from benchmarks.kernels.leiden import igraph_labels
from sclineage.cells import genes
from sclineage.cells.components import components
from sclineage.kernels import graphs, knn, leiden

NAME = "cells.clustering"
ROUNDS = (2, 4, -1)
SAMPLE = 500


def recall(points: np.ndarray, found: np.ndarray) -> float:
    """Against float64 brute force, of every so many points."""
    rows = np.arange(0, len(points), max(1, len(points) // SAMPLE))
    wide = points.astype(np.float64)
    hits = []
    for row in rows:
        squared = ((wide - wide[row]) ** 2).sum(axis=1)
        squared[row] = -1.0
        hits.append(np.isin(np.argsort(squared, kind="stable")[:K], found[row]).mean())
    return float(np.mean(hits))


def neighbours(points: np.ndarray) -> Iterator[dict[str, Any]]:
    """Recall of ours and of pynndescent."""
    from pynndescent import NNDescent

    yield {"method": "sclineage", "recall": recall(points, knn.nearest(points, K, device="cpu")[0])}
    theirs = NNDescent(points, n_neighbors=K, random_state=0).neighbor_graph[0]
    yield {"method": "pynndescent", "recall": recall(points, theirs)}


def broken(graph: sparse.csr_matrix, labels: np.ndarray) -> int:
    """Communities that are not connected."""
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    inside = labels[rows] == labels[graph.indices]
    kept = sparse.csr_matrix((np.ones(inside.sum(), dtype=np.int8), (rows[inside], graph.indices[inside])), graph.shape)
    return int(connected_components(kept, directed=False)[0] - len(np.unique(labels)))


def partitions(graph: sparse.csr_matrix, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Ours and igraph's over the seeds."""
    from sklearn.metrics import adjusted_rand_score

    ways: dict[str, Callable[[int, int], np.ndarray]] = {
        "igraph": lambda rounds, seed: igraph_labels(graph, rounds=rounds, seed=seed),
        "sclineage": lambda rounds, seed: leiden.leiden(graph, n_iterations=rounds, seed=seed, device="cpu")}
    leiden.leiden(graph, device="cpu")  # compiled
    found = {(name, rounds): [timed(lambda s=seed, r=rounds, w=way: w(r, s)) for seed in seeds]
             for rounds in ROUNDS for name, way in ways.items()}
    quality = {key: [leiden.modularity(graph, labels) for labels, _ in runs] for key, runs in found.items()}
    seconds = {key: statistics.median(s for _, s in runs) for key, runs in found.items()}
    last = ("igraph", -1)
    for (name, rounds), runs in found.items():
        reference = [labels for labels, _ in found["igraph", rounds]]
        ari = [adjusted_rand_score(a, b) for i, (a, _) in enumerate(runs) for j, b in enumerate(reference) if i != j]
        q, cpu = quality[name, rounds], seconds[name, rounds]
        yield {"method": name, "rounds": "to convergence" if rounds < 0 else rounds, "q": statistics.mean(q),
               "q_least": min(q), "q_most": max(q), "cpu_s": cpu,
               "q to igraph's converged (%)": 100 * (statistics.mean(q) / statistics.mean(quality[last]) - 1),
               "of its time": cpu / seconds[last], "ari": statistics.mean(ari),
               "parts": sum(broken(graph, labels) for labels, _ in runs),
               "clusters": statistics.median(int(labels.max()) + 1 for labels, _ in runs)}


def timed(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """What `work` gives, and its CPU seconds."""
    start = time.process_time()
    return work(), time.process_time() - start


def expression(folder: Path) -> sparse.csr_matrix:
    """Log expression of the variable genes of public cells, receptor genes left out."""
    import scanpy as sc

    data = load(folder)
    sc.pp.normalize_total(data, target_sum=1e4)
    sc.pp.log1p(data)
    data = data[:, ~genes.masked(data.var_names, extra=["CAT_scFv"])].copy()
    sc.pp.highly_variable_genes(data, n_top_genes=2000)
    return sparse.csr_matrix(data[:, data.var["highly_variable"]].X)


def published() -> dict[str, Any]:
    """Agreement with the labels that come with pbmc68k_reduced, ours and igraph's."""
    import scanpy as sc
    from sklearn.metrics import adjusted_rand_score

    data = sc.datasets.pbmc68k_reduced()
    graph = graphs.umap_graph(*knn.nearest(data.obsm["X_pca"], K, device="cpu"))
    given = data.obs["bulk_labels"].astype(str)
    return {"cells": data.n_obs, "sclineage": adjusted_rand_score(given, leiden.leiden(graph, device="cpu")),
            "igraph": adjusted_rand_score(given, igraph_labels(graph))}


def table(record: dict[str, Any]) -> str:
    """Markdown of a record."""
    lines = [f"# {NAME}", "", f"{record['machine']['cpu']}, {record['machine']['cores']} cores, load "
             f"{record['machine']['load']:.1f}; seeds {record['seeds']}; research use only.", ""]
    for name, part in record["results"].items():
        lines += [f"## {name}", ""]
        for rows in part:
            lines += ["| " + " | ".join(rows[0]) + " |", "| --- " * len(rows[0]) + "|"]
            lines += ["| " + " | ".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in row.values()) + " |"
                      for row in rows]
            lines.append("")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sizes", default="10000,50000,100000")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=11)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCLINEAGE_DATA"))
    parser.add_argument("--bal", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--resume", action="store_true", help="keep what an earlier run with these seeds has written")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    seeds = list(range(given.first, given.first + given.seeds))
    kept = given.out / f"{NAME}.json"
    results: dict[str, Any] = {}
    if given.resume and kept.exists():
        before = json.loads(kept.read_text(encoding="utf-8"))
        results = before["results"] if (before["seeds"], before.get("rounds")) == (seeds, list(ROUNDS)) else {}
    for name, work in jobs(given, seeds).items():
        if name not in results:
            results |= {name: work()}
            record = {"benchmark": NAME, "seeds": seeds, "rounds": list(ROUNDS), "machine": machine(),
                      "results": results}
            store(record, given.out)
            print(f"{name} done", file=sys.stderr, flush=True)
    print((given.out / f"{NAME}.md").read_text(encoding="utf-8"))
    return 0


def jobs(given: argparse.Namespace, seeds: Sequence[int]) -> dict[str, Callable[[], list[Any]]]:
    """Tables by their headings, each still to be made."""
    def of_points(make: Callable[[], np.ndarray]) -> Callable[[], list[Any]]:
        def tables() -> list[Any]:
            points = make()
            graph = graphs.umap_graph(*knn.nearest(points, K, device="cpu"))
            return [list(neighbours(points)), list(partitions(graph, seeds))]

        return tables

    found: dict[str, Callable[[], list[Any]]] = {"pbmc68k_reduced: ARI to the labels published with it":
                                                 lambda: [[published()]]}
    folders = {"CAR-T cells (CARPALL)": Path(given.data) / "carpall-cart-gex-vdj"} if given.data else {}
    for name, folder in (folders | ({"lavage cells (Liao 2019)": given.bal} if given.bal else {})).items():
        of_folder = cache(lambda folder=folder: expression(folder))
        found[f"{name}: components"] = lambda of=of_folder: [[beside_arpack(of())]]
        found[name] = of_points(lambda of=of_folder: components(of(), 50, device="cpu").scores)
    for n in (int(n) for n in given.sizes.split(",") if n):
        found[f"simulated, {n:,} cells: components"] = lambda n=n: [[beside_arpack(simulated(n))]]
        found[f"simulated, {n:,} cells"] = of_points(lambda n=n: scores(n))
    return found


def beside_arpack(x: sparse.csr_matrix) -> dict[str, float]:
    """Components from exact products and arpack's."""
    return agreement(components(x, 50, device="cpu"), scanpy_components(x))


def store(record: dict[str, Any], out: Path) -> None:
    """Write the record and its table."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{NAME}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (out / f"{NAME}.md").write_text(table(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
