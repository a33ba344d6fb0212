"""Do clusters see the receptor? Neighbours that share a TRBV, beside what clones and cell states explain.

    python -m benchmarks.cells.receptors [--data DIR] [--bal DIR] [--out DIR]

Cells of one clone were not given their V gene one by one, and they share a state: two large clones that happen to have
one V gene and one state make hundreds of pairs of neighbours, and tell of one coincidence. The unit is the clone:

- each clone once: among cells with a productive beta chain one cell of every clone is drawn (ten times, pairs pooled)
  and neighbours are found among those; same TRBV is the share of pairs with the same V gene, floor the mean of that
  share after the V genes were dealt anew among the clones of a sample and cluster, excess what is above it, low and
  high its 95 % interval by the deals, p the share of deals that reach what was seen. With the segments masked the
  interval must hold 0; with receptor genes in, scaled, it must not, else the measure sees nothing (positive control).
  TRBC is the excess for the constant gene, TRBC1 or TRBC2.

Then, among all cells, pairs of neighbours of different clones, with the same deals (a clone counting where most of its
cells are), so that what large clones add is seen:

- cluster: excess above the floor of sample and cluster;
- state: above that of sample and cell state (clusters of resolution 25);
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
DRAWS, PICKS, FINE = 1000, 10, 25.0
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


def strata(clone: np.ndarray, sample: Any, labels: np.ndarray) -> np.ndarray:
    """Sample and cluster of each clone, as one number."""
    return main_stratum(clone, codes([f"{a} {b}" for a, b in zip(sample, labels, strict=True)]))


def all_pairs(points: np.ndarray, clone: np.ndarray) -> np.ndarray:
    """Clones of every cell and of its neighbours of other clones, (2, pairs)."""
    indices = knn.nearest(points, K, device="cpu")[0]
    pairs = np.stack([clone[np.repeat(np.arange(len(indices)), indices.shape[1] - 1)], clone[indices[:, 1:].ravel()]])
    return pairs[:, pairs[0] != pairs[1]]


def pairs_once(points: np.ndarray, clone: np.ndarray) -> np.ndarray:
    """As `all_pairs` among one cell of every clone, drawn `PICKS` times."""
    rng, out = np.random.default_rng(1), []
    for _ in range(PICKS):
        order = rng.permutation(clone.size)
        picked = order[np.unique(clone[order], return_index=True)[1]]
        out.append(all_pairs(points[picked], clone[picked]))
    return np.concatenate(out, axis=1)


def excess(pairs: np.ndarray, word: np.ndarray, where: np.ndarray) -> dict[str, float]:
    """Share of pairs of clones with the same word, beside the same words dealt anew within strata.

    `word` (-1: not known, its cells make no pairs) and `where`, the stratum, are one per clone.
    """
    times = sparse.coo_matrix((np.ones(pairs.shape[1]), tuple(pairs)), shape=(word.size, word.size)).tocsr().tocoo()
    use = (word[times.row] >= 0) & (word[times.col] >= 0)
    a, b, weight = times.row[use], times.col[use], times.data[use] / times.data[use].sum()
    where, rng = np.where(word >= 0, where, -1), np.random.default_rng(0)
    deals = (dealt(word, where, rng) for _ in range(DRAWS))
    draws = np.array([weight[deal[a] == deal[b]].sum() for deal in deals])
    seen = float(weight[word[a] == word[b]].sum())
    low, high = seen - np.quantile(draws, [0.975, 0.025])
    return {"same": seen, "floor": float(draws.mean()), "excess": seen - float(draws.mean()), "low": float(low),
            "high": float(high), "p": float((1 + (draws >= seen - 1e-12).sum()) / (1 + DRAWS))}


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
    clone = codes(receptor["clone"])
    words = {name: of_clones(clone, receptor[name].astype(str).str.slice(0, stop)) for name, stop in
             (("trbv", None), ("trbc", 5))}
    for scaled in (False, True):
        made = {name: scores(data, pattern, scaled=scaled) for name, pattern in MASKS.items()}
        cluster, state = (strata(clone, receptor["sample"], labels) for labels in
                          (clusters(made[OUT])[cells], clusters(made[OUT][cells], resolution=FINE)))
        for name, points in made.items():
            pairs, once = all_pairs(points[cells], clone), pairs_once(points[cells], clone)
            found, trbc = (excess(once, words[word], cluster) for word in ("trbv", "trbc"))
            yield {"scaled": "yes" if scaled else "no", "variable genes": name, "same TRBV": found["same"],
                   "floor": found["floor"], "excess": found["excess"], **interval(found), "TRBC": trbc["excess"],
                   "TRBC interval": interval(trbc)["interval"],
                   **of_all(excess(pairs, words["trbv"], cluster), "cluster"),
                   **of_all(excess(pairs, words["trbv"], state), "state"),
                   "chance": excess(pairs, words["trbv"], np.zeros_like(cluster))["floor"],
                   "same subset": purity(points, subset), "cells": cells.size, "clones": words["trbv"].size}


def interval(found: Mapping[str, float]) -> dict[str, Any]:
    """Interval and p for the table."""
    return {"interval": f"{found['low']:.4f} to {found['high']:.4f}", "p": found["p"]}


def of_all(found: Mapping[str, float], floor: str) -> dict[str, Any]:
    """What all cells say, each pair counted, above one of the floors."""
    return {f"all cells, {floor}": found["excess"]} | {f"{floor} {k}": v for k, v in interval(found).items()}


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


def verdict(part: Sequence[Mapping[str, Any]]) -> str:
    """Whether what must hold does, of each clone once."""
    at = {(row["scaled"], row["variable genes"]): [float(v) for v in row["interval"].split(" to ")] for row in part}
    said = {f"masked, {'scaled' if scaled == 'yes' else 'unscaled'}: the interval holds 0":
            at[scaled, OUT][0] <= 0 <= at[scaled, OUT][1] for scaled in ("no", "yes")}
    said["receptor genes in, scaled: it lies above 0 and above the masked one"] = (
        at["yes", "receptor genes in"][0] > max(0.0, at["yes", OUT][1]))
    return "Each clone once: " + "; ".join(f"{what}: {'yes' if held else 'NO'}" for what, held in said.items()) + "."


def table(record: Mapping[str, Any]) -> str:
    """Markdown of a record."""
    lines = [f"# {NAME}", "", "Neighbours of different clones with the same TRBV: first with each clone counted once, "
             "then over all cells, where a few large clones make most pairs; what the columns say, and why the clone "
             "is the unit, stands in `benchmarks/cells/receptors.py`. Research use only.", ""]
    for name, part in record["results"].items():
        lines += [f"## {name}", "", verdict(part), "", "| " + " | ".join(part[0]) + " |", "| --- " * len(part[0]) + "|"]
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
