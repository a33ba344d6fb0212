"""Public 10x libraries with receptors: counts, samples, and the beta chain of every cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

LEAST_GENES = 200


def libraries(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Matrix and contigs of each sample of a folder: 10x names, joined by the sample's name."""
    contigs = {_sample(p): p for p in sorted(folder.rglob("*filtered_contig_annotations.csv.gz"))}
    matrices = {_sample(p): p for p in sorted(folder.rglob("*filtered_feature_bc_matrix.h5"))}
    return {name: (matrices[name], contigs[name]) for name in sorted(matrices.keys() & contigs.keys())}


def _sample(path: Path) -> str:
    """CARPALL: up to the first dot; GEO: between the accession and the words of 10x."""
    stem = path.name.split("filtered_")[0].rstrip("._")
    return stem.split("_", 1)[1] if stem.startswith("GSM") else stem


def beta_chains(table: Path) -> pd.DataFrame:
    """Of each barcode the productive TRB contig with the most UMIs: trbv, trbc, and the clone by V and nucleotides."""
    contigs = pd.read_csv(table)
    contigs = contigs[(contigs["chain"] == "TRB") & contigs["productive"].astype(str).str.lower().eq("true")]
    best = contigs.sort_values(["umis", "contig_id"], ascending=[False, True]).drop_duplicates("barcode")
    best = best.set_index("barcode")
    return pd.DataFrame({"trbv": best["v_gene"], "trbc": best["c_gene"], "clone": best["v_gene"] + best["cdr3_nt"]})


def load(folder: Path) -> Any:
    """AnnData of all libraries: raw counts; obs sample, trbv, trbc and clone (missing without a beta chain)."""
    import scanpy as sc

    parts, frames = [], []
    for name, (matrix, table) in libraries(folder).items():
        part = sc.read_10x_h5(matrix)
        part.var_names_make_unique()
        frame = beta_chains(table).reindex(part.obs_names).assign(sample=name)
        frames.append(frame.set_index(np.array([f"{name}:{cell}" for cell in part.obs_names], dtype=object)))
        parts.append(part)
    if any(list(p.var_names) != list(parts[0].var_names) for p in parts):
        raise ValueError(f"{folder}: matrices with different genes")
    counts = sparse.vstack([p.X for p in parts]).tocsr()
    data = sc.AnnData(counts, obs=pd.concat(frames), var=parts[0].var[[]])
    return data[np.asarray((counts > 0).sum(axis=1)).ravel() >= LEAST_GENES].copy()
