"""Do clusters see the receptor? Neighbours that share a TRBV, beside what clones and cell states explain.

    python -m benchmarks.cells.receptors [--data DIR] [--bal DIR] [--out DIR]

Among cells with a productive beta chain, pairs of neighbours of different clones:

- same TRBV: share of pairs with the same V gene;
- floor: mean of the same share after the V genes were dealt anew among the clones of a sample and cluster, a clone
  counting where most of its cells are; excess: what is above it; error: standard deviation of the deals, which knows
  that a few large clones make many pairs; p: share of deals that reach what was seen;
- fine: excess and error where the clusters are those of resolution 25, cell states rather than cell types;
- TRBC: excess and error for the constant gene, TRBC1 or TRBC2, of which a clone has one;
- same subset: share of neighbours with the same light annotation, mean over the annotations (all cells but ``other``);
- chance: the floor when V genes are dealt among all clones.

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
DRAWS, FINE = 1000, 25.0
OUT = "as sclineage.pp.embed"
REST = f"{genes.ABUNDANT}|CAT_scFv"  # the CAR of CARPALL
MASKS = {OUT: f"{genes.SEGMENTS}|{genes.CONSTANT}|{REST}",
         "TRAC, TRDC, TRGC out, too": f"{genes.SEGMENTS}|{genes.CONSTANT}|{genes.LINEAGE}|{REST}",
         "V, D, J out, all C in": f"{genes.SEGMENTS}|{REST}", "receptor genes in": REST}


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


def dealt(word: np.ndarray, stratum: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The words of clones dealt anew within their strata."""
    out = np.empty_like(word)
    out[np.lexsort((rng.random(word.size), stratum))] = word[np.argsort(stratum, kind="stable")]
    return out


def main_stratum(clone: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Stratum of most cells of each clone, the lowest of equals."""
    counts = sparse.coo_matrix((np.ones(clone.size), (clone, stratum))).tocsr()
    return np.asarray(counts.argmax(axis=1)).ravel()


def excess(indices: np.ndarray, word: np.ndarray, clone: np.ndarray, stratum: np.ndarray) -> dict[str, float]:
    """Share of neighbours of other clones with the same word, beside the same words dealt anew.

    `word` is one per clone (-1 not known: its cells make no pairs), `clone` and `stratum` one per cell.
    """
    a, b = clone[np.repeat(np.arange(len(indices)), indices.shape[1] - 1)], clone[indices[:, 1:].ravel()]
    use = (a != b) & (word[a] >= 0) & (word[b] >= 0)
    a, b = a[use], b[use]
    where, rng = np.where(word >= 0, main_stratum(clone, stratum), -1), np.random.default_rng(0)
    deals = [dealt(word, where, rng) for _ in range(DRAWS)]
    draws = np.array([(deal[a] == deal[b]).mean() for deal in deals])
    seen = float((word[a] == word[b]).mean())
    return {"same": seen, "floor": float(draws.mean()), "excess": seen - float(draws.mean()),
            "error": float(draws.std()), "p": float((1 + (draws >= seen).sum()) / (1 + DRAWS))}


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
    clone, one = codes(receptor["clone"]), np.zeros(cells.size, dtype=np.int64)
    words = {name: of_clones(clone, receptor[name].astype(str).str.slice(0, stop)) for name, stop in
             (("trbv", None), ("trbc", 5))}
    for scaled in (False, True):
        made = {name: scores(data, pattern, scaled=scaled) for name, pattern in MASKS.items()}
        strata = [codes([f"{a} {b}" for a, b in zip(receptor["sample"], labels, strict=True)])
                  for labels in (clusters(made[OUT])[cells], clusters(made[OUT][cells], resolution=FINE))]
        for name, points in made.items():
            indices = knn.nearest(points[cells], K, device="cpu")[0]
            found, fine, chance = (excess(indices, words["trbv"], clone, s) for s in (*strata, one))
            trbc = excess(indices, words["trbc"], clone, strata[0])
            yield {"scaled": "yes" if scaled else "no", "variable genes": name, "same TRBV": found["same"],
                   "floor": found["floor"], "excess": found["excess"], "error": found["error"], "p": found["p"],
                   "fine": fine["excess"], "fine error": fine["error"], "chance": chance["floor"],
                   "TRBC": trbc["excess"], "TRBC error": trbc["error"], "same subset": purity(points, subset),
                   "cells": cells.size, "clones": words["trbv"].size}


def of_clones(clone: np.ndarray, words: Any) -> np.ndarray:
    """Code of the word that most cells of a clone have, -1 where none starts with TRB."""
    names = np.asarray(words, dtype=str)
    known = np.flatnonzero(np.char.startswith(names, "TRB"))
    counts = sparse.coo_matrix((np.ones(known.size), (clone[known], codes(names[known]))),
                               shape=(clone.max() + 1, np.unique(names[known]).size)).tocsr()
    return np.where(np.asarray(counts.sum(axis=1)).ravel() > 0, np.asarray(counts.argmax(axis=1)).ravel(), -1)


def purity(points: np.ndarray, subset: np.ndarray) -> float:
    """Share of neighbours with the same annotation, mean of the annotations' means."""
    kept = np.flatnonzero(subset != "other")
    indices = knn.nearest(points[kept], K, device="cpu")[0]
    same = (subset[kept][indices[:, 1:]] == subset[kept][:, None]).mean(axis=1)
    return float(np.mean([same[subset[kept] == word].mean() for word in np.unique(subset[kept])]))


def table(record: Mapping[str, Any]) -> str:
    """Markdown of a record."""
    lines = [f"# {NAME}", "", "Pairs of neighbours of different clones; what the columns say stands in "
             "`benchmarks/cells/receptors.py`. What is above the floor of clusters (excess) and not above that of cell "
             "states (fine) comes of states that large clones share within a cluster. Research use only.", ""]
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
