"""Do clusters see the receptor? Neighbours that share a TRBV, beside what clones and cell states explain.

    python -m benchmarks.cells.receptors [--data DIR] [--bal DIR] [--out DIR]

Among cells with a productive beta chain, pairs of neighbours of different clones:

- same TRBV: share of pairs with the same V gene;
- floor: the same share if V genes were dealt anew among the clones of a sample and cluster (expectation over all pairs
  of cells of those samples and clusters that are of different clones, computed, not drawn);
- excess: same TRBV less floor, with its standard error (bootstrap over the clones of the cells asked);
- TRBC excess: the same for the constant gene, TRBC1 or TRBC2, of which a clone has one;
- same subset: share of neighbours with the same light annotation (all cells that have one other than ``other``);
- chance: same TRBV of any two cells of different clones.

Clusters are those of the embedding without receptor genes, one set for all rows: were they built with receptor genes,
they would explain away what is looked for. ``--data`` names the folder of public data (default: SCLINEAGE_DATA),
``--bal`` the folder ``liao-2019-covid19`` of scirpy's source distribution.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks._runner import RESULTS, machine
from benchmarks.cells.public import load
from benchmarks.kernels.knn import K
from sclineage.cells import genes
from sclineage.kernels import graphs, knn, leiden

NAME = "cells.receptors"
DRAWS = 400
OUT = "V, D, J and C out"
REST = f"{genes.ABUNDANT}|CAT_scFv"  # the CAR of CARPALL
MASKS = {OUT: f"{genes.SEGMENTS}|{genes.CONSTANT}|{REST}", "V, D, J out, C in": f"{genes.SEGMENTS}|{REST}",
         "V, D, J out, of C only TRBC, IGKC, IGLC, IGH out":
             f"{genes.SEGMENTS}|{REST}|TRBC\\d|IGH([ME]|[GA]\\d|GP|EP\\d)|IGKC|IGLC\\d",
         "receptor genes in": REST}


def scores(data: Any, pattern: str, *, scaled: bool) -> np.ndarray:
    """Principal components of 2,000 variable genes that do not match `pattern`."""
    import scanpy as sc

    kept = [re.fullmatch(pattern, name, re.IGNORECASE) is None for name in data.var_names]
    work = data[:, kept].copy()
    sc.pp.highly_variable_genes(work, n_top_genes=2000)
    work = work[:, work.var["highly_variable"]].copy()
    if scaled:
        sc.pp.scale(work, max_value=10)
    sc.pp.pca(work, n_comps=50, svd_solver="arpack")
    return np.asarray(work.obsm["X_pca"], dtype=np.float32)


def clusters(points: np.ndarray, *, resolution: float = 1.0) -> np.ndarray:
    """Leiden clusters, as `sclineage.tl.cluster` makes them."""
    return leiden.leiden(graphs.umap_graph(*knn.nearest(points, K, device="cpu")), resolution=resolution, device="cpu")


def codes(values: Any) -> np.ndarray:
    """Whole numbers for words."""
    return np.unique(np.asarray(values, dtype=str), return_inverse=True)[1].reshape(-1)


def expected(word: np.ndarray, clone: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Share of pairs with the same word among pairs of different clones, for each pair of strata; NaN without pairs."""
    def table(columns: np.ndarray) -> sparse.csr_matrix:
        return sparse.coo_matrix((np.ones(word.size), (stratum, columns))).tocsr()

    words, clones, sizes = table(word), table(clone), np.bincount(stratum).astype(float)
    mates = (clones @ clones.T).toarray()
    with np.errstate(invalid="ignore", divide="ignore"):
        return ((words @ words.T).toarray() - mates) / (np.outer(sizes, sizes) - mates)


def excess(indices: np.ndarray, word: np.ndarray, clone: np.ndarray, stratum: np.ndarray) -> dict[str, float]:
    """Share of neighbours of other clones with the same word, its floor, and the difference with its error.

    A word belongs to a clone, so that cells of a clone that share it are no pairs.
    """
    rows, columns = np.repeat(np.arange(len(indices)), indices.shape[1] - 1), indices[:, 1:].ravel()
    floor = expected(word, clone, stratum)[stratum[rows], stratum[columns]]
    use = (clone[rows] != clone[columns]) & np.isfinite(floor)
    rows, columns, floor = rows[use], columns[use], floor[use]
    same = (word[rows] == word[columns]).astype(float)
    of_clone = [np.bincount(clone[rows], values, clone.max() + 1) for values in (same - floor, np.ones(rows.size))]
    rng, n = np.random.default_rng(0), clone.max() + 1
    draws = [np.divide(*(part[pick].sum() for part in of_clone)) for pick in rng.integers(0, n, (DRAWS, n))]
    return {"same": float(same.mean()), "floor": float(floor.mean()), "excess": float((same - floor).mean()),
            "error": float(np.std(draws))}


def annotation(data: Any) -> np.ndarray:
    """The light annotation, without the receptor's own word."""
    from sclineage.cells.annotate_api import annotate

    made = data.copy()
    annotate(made)
    return np.asarray(made.obs["subset"].astype(str))


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """One row per mask, unscaled as `sclineage.pp.embed` and scaled."""
    import scanpy as sc

    data = load(folder)
    subset = annotation(data)
    sc.pp.normalize_total(data, target_sum=1e4)
    sc.pp.log1p(data)
    cells = np.flatnonzero(data.obs["trbv"].notna())
    receptor = data.obs.iloc[cells]
    word, clone = codes(receptor["trbv"]), codes(receptor["clone"])
    single = np.zeros(cells.size, dtype=np.int64)
    for scaled in (False, True):
        made = {name: scores(data, pattern, scaled=scaled) for name, pattern in MASKS.items()}
        of_cell = clusters(made[OUT])[cells]
        stratum = codes([f"{a} {b}" for a, b in zip(receptor["sample"], of_cell, strict=True)])
        for name, points in made.items():
            indices = knn.nearest(points[cells], K, device="cpu")[0]
            found = excess(indices, word, clone, stratum)
            yield {"scaled": "yes" if scaled else "no", "variable genes": name, "same TRBV": found["same"],
                   "floor": found["floor"], "excess": found["excess"], "error": found["error"],
                   "chance": float(expected(word, clone, single)[0, 0]),
                   "TRBC excess": constant(indices, receptor, clone, stratum), "same subset": purity(points, subset),
                   "cells": cells.size, "clones": int(clone.max()) + 1}


def constant(indices: np.ndarray, receptor: Any, clone: np.ndarray, stratum: np.ndarray) -> float:
    """Excess of neighbours with the same TRBC gene, among cells where it was read; other cells match nobody."""
    known = receptor["trbc"].astype(str).str.startswith("TRBC").to_numpy()
    word = np.where(known, receptor["trbc"].astype(str).str.slice(0, 5), "")
    kept = np.flatnonzero(known)
    place = np.full(known.size, -1)
    place[kept] = np.arange(kept.size)
    pairs = place[indices[kept]]
    rows_, columns = np.nonzero(pairs[:, 1:] >= 0)
    a, b = rows_, pairs[rows_, columns + 1]
    floor = expected(codes(word[kept]), clone[kept], stratum[kept])[stratum[kept][a], stratum[kept][b]]
    use = (clone[kept][a] != clone[kept][b]) & np.isfinite(floor)
    return float((word[kept][a] == word[kept][b])[use].mean() - floor[use].mean())


def purity(points: np.ndarray, subset: np.ndarray) -> float:
    """Share of neighbours with the same annotation, mean of the annotations' means."""
    kept = np.flatnonzero(subset != "other")
    indices = knn.nearest(points[kept], K, device="cpu")[0]
    same = (subset[kept][indices[:, 1:]] == subset[kept][:, None]).mean(axis=1)
    return float(np.mean([same[subset[kept] == word].mean() for word in np.unique(subset[kept])]))


def table(record: Mapping[str, Any]) -> str:
    """Markdown of a record."""
    lines = [f"# {NAME}", "", "Pairs of neighbours of different clones; what the columns say stands in "
             "`benchmarks/cells/receptors.py`. Research use only.", ""]
    for name, part in record["results"].items():
        lines += [f"## {name}", "", "| " + " | ".join(part[0]) + " |", "| --- " * len(part[0]) + "|"]
        lines += ["| " + " | ".join(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()) + " |"
                  for row in part]
        lines.append("")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SCLINEAGE_DATA"))
    parser.add_argument("--bal", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    folders = {"lavage cells (Liao 2019)": given.bal} if given.bal else {}
    folders |= {"CAR-T cells (CARPALL)": Path(given.data) / "carpall-cart-gex-vdj"} if given.data else {}
    record = {"benchmark": NAME, "machine": machine(), "results": {n: list(rows(f)) for n, f in folders.items()}}
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / f"{NAME}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (given.out / f"{NAME}.md").write_text(table(record) + "\n", encoding="utf-8")
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
