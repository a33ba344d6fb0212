"""Copy-number profiles beside infercnvpy 0.6.1: equal outputs, working memory, and how well its own example is told.

Needs infercnvpy (``pip install infercnvpy==0.6.1``) and the public data (SCLINEAGE_DATA). Times are those of
``python -m benchmarks._runner kernels.copynumber --threads 1``.

    python -m benchmarks.malignancy.copynumber_parity
"""

from __future__ import annotations

import argparse
import os
import tracemalloc
from pathlib import Path
from typing import Any

import anndata
import infercnvpy
import numpy as np
import scanpy as sc
from scipy import sparse
from scipy.stats import rankdata

from benchmarks.kernels import copynumber as bench
from sclineage._provenance import versions, whole, write_json
from sclineage.malignancy.copynumber_api import copy_number

RESULTS = Path(__file__).parents[1] / "results"
NORMAL = ["Oligodendrocytes (non-malignant)", "Microglia/Macrophage"]


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half."""
    ranks, n = rankdata(score), int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (positive.size - n)))


def both(adata: Any, key: str, cats: list[str], **more: Any) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Our profile in parity mode, and infercnvpy's."""
    chunk = more.pop("chunk", 5000)
    copy_number(adata, reference_key=key, reference_cat=cats, noise=f"chunk:{chunk}", device="cpu", **more)
    peer = infercnvpy.tl.infercnv(adata, reference_key=key, reference_cat=cats, chunksize=chunk, n_jobs=1,
                                  inplace=False, **more)
    if adata.uns["cnv"]["chr_pos"] != {k: int(v) for k, v in peer[0].items()}:
        raise AssertionError("the windows begin elsewhere")
    return adata.obsm["X_cnv"], peer[1]


def parity(adata: Any, key: str, cats: list[str], **more: Any) -> dict[str, float]:
    """Largest difference where both keep a value, and share of entries that only one keeps."""
    ours, peer = both(adata, key, cats, **more)
    difference, mismatches = bench.compare(bench._arrays(ours), bench._arrays(peer))
    return {"cells": adata.n_obs, "windows": ours.shape[1], "references": len(cats), "largest difference": difference,
            "support mismatch": mismatches}


def awkward(adata: Any) -> Any:
    """The same data with missing positions, an empty cell and a chromosome of fewer genes than a window."""
    out = adata.copy()
    chromosome = out.var["chromosome"].astype(object)
    chromosome.iloc[::17] = None
    chromosome[np.cumsum(chromosome == "chr5") > 40] = chromosome[np.cumsum(chromosome == "chr5") > 40].replace(
        "chr5", None)
    out.var["chromosome"] = chromosome
    x = out.X.tolil()
    x[3] = 0
    out.X = x.tocsr()
    return out


def working_memory(n_groups: int) -> float:
    """Peak megabytes beyond input and output for 10,000 cells (a first call has compiled)."""
    x = bench.cells(10_000, 10_000)
    bench._ours(n_groups, "cpu", None)(x[:50])
    tracemalloc.start()
    result = bench._ours(n_groups, "cpu", None)(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (peak - result.data.nbytes - result.indices.nbytes - result.indptr.nbytes) / 1e6


def oligodendroglioma(folder: Path) -> Any:
    """infercnvpy's example, normalised."""
    adata = anndata.read_h5ad(folder / "cnv-oligodendroglioma" / "oligodendroglioma.h5ad")
    adata.X = sparse.csr_matrix(adata.X)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    return adata


def told(adata: Any) -> dict[str, dict[str, float]]:
    """AUROC of the mean magnitude, malignant against normal cells."""
    kind = adata.obs["cell_type"].astype(str).to_numpy()
    malignant = np.char.startswith(kind.astype(str), "malignant") | ~np.isin(kind, NORMAL)
    out = {}
    for name, cats, use in (("both normal types as reference", NORMAL, np.ones(kind.size, bool)),
                            ("microglia as reference, all cells", NORMAL[1:], np.ones(kind.size, bool)),
                            ("microglia as reference, normal cells outside it", NORMAL[1:], kind != NORMAL[1])):
        copy_number(adata, reference_key="cell_type", reference_cat=cats, device="cpu")
        default = adata.obsm["X_cnv"]
        scores = {"sclineage": default, **dict(zip(("sclineage chunk:5000", "infercnvpy"),
                                                   both(adata, "cell_type", cats), strict=True))}
        out[name] = {k: auroc(np.asarray(abs(v).mean(axis=1)).ravel()[use], malignant[use]) for k, v in scores.items()}
    return out


def table(record: dict[str, Any]) -> str:
    """Markdown of the record."""
    lines = ["# Copy-number profiles beside infercnvpy 0.6.1", "", "Mode `chunk:5000`; one process each.", "",
             "| data | cells | windows | references | largest difference | support mismatch |",
             "| --- | --- | --- | --- | --- | --- |"]
    lines += [f"| {name} | {r['cells']} | {r['windows']} | {r['references']} | {r['largest difference']:.2g} | "
              f"{r['support mismatch']:.2g} |" for name, r in record["parity"].items()]
    lines += ["", "Working memory beyond input and output, 10,000 cells: " + ", ".join(
        f"{mb:.1f} MB ({n} reference{'s' * (n > 1)})" for n, mb in record["working_memory_mb"].items()) + ".", "",
        "AUROC of the mean magnitude, malignant against normal cells of the oligodendroglioma example (142 and 42):",
        "",
        "| reference and cells | sclineage, global noise | sclineage, chunk:5000 | infercnvpy |",
        "| --- | --- | --- | --- |"]
    lines += [f"| {name} | {r['sclineage']:.4f} | {r['sclineage chunk:5000']:.4f} | {r['infercnvpy']:.4f} |"
              for name, r in record["auroc"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SCLINEAGE_DATA", "data")))
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    glioma = oligodendroglioma(chosen.data)
    found = {}
    for n in (1, 2):
        made_up = bench._annotated(n)(bench.cells(10_000, 10_000))
        found[f"made-up cells, {n} reference{'s' * (n > 1)}"] = parity(made_up, "group", [str(g) for g in range(n)])
        found[f"oligodendroglioma, {n} reference{'s' * (n > 1)}"] = parity(glioma, "cell_type", NORMAL[-n:])
        found[f"oligodendroglioma, missing positions, empty cell, {n} reference{'s' * (n > 1)}"] = parity(
            awkward(glioma), "cell_type", NORMAL[-n:])
    found["oligodendroglioma, window 250, chunks of 50"] = parity(glioma, "cell_type", NORMAL, window_size=250, step=7,
                                                                  chunk=50)
    record = {"parity": found, "working_memory_mb": {n: working_memory(n) for n in (1, 2)}, "auroc": told(glioma),
              "versions": versions() | {"infercnvpy": infercnvpy.__version__}}
    write_json(record, chosen.out / "copynumber_parity.json")
    with whole(chosen.out / "copynumber_parity.md") as part:
        part.write_text(table(record), encoding="utf-8")
    print(table(record))


if __name__ == "__main__":
    main()
