"""Arm test on real benign T-cell clones (CARPALL), on pseudo-clones, and on decoys with planted arms.

Between-clone variance is always learnt from the other patients' clones. Needs the public data (SCLINEAGE_DATA);
infercnvpy's score is printed beside ours where it is installed.

    python -m benchmarks.malignancy.arms
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import rankdata

from sclineage._provenance import versions, whole, write_json
from sclineage.kernels import copynumber
from sclineage.malignancy import arms, genome
from sclineage.malignancy.decoys import plant_arms, pseudo_clone

RESULTS = Path(__file__).parents[1] / "results"
MIN_UMI, MIN_GENES, MAX_MITO = 1000, 500, 0.12
CLUSTERS = 10
LEAST_CELLS, TAU_CELLS = 8, 15
GRID = [(5, 1), (5, 2), (5, 4), (5, 8), (10, 1), (10, 2), (10, 4), (10, 8), (20, 1), (20, 2), (20, 4), (20, 8),
        (50, 1), (50, 2), (50, 4), (50, 8)]


@dataclass(frozen=True)
class Cohort:
    """T cells of all patients: counts, arms of the genes, and per-cell codes."""

    x: sparse.csr_matrix
    symbols: np.ndarray
    arm: np.ndarray
    position: pd.DataFrame
    patient: np.ndarray
    sample: np.ndarray
    stratum: np.ndarray
    clone: np.ndarray
    n_clones: int
    clone_patient: np.ndarray

    def sizes(self) -> np.ndarray:
        """Cells per clone."""
        return np.bincount(self.clone[self.clone >= 0], minlength=self.n_clones)


def _sample(folder: Path, row: Any) -> tuple[sparse.csr_matrix, pd.DataFrame, pd.DataFrame]:
    with h5py.File(folder / "gex" / f"{row.GEX_Sample}.filtered_feature_bc_matrix.h5") as handle:
        m = handle["matrix"]
        x = sparse.csc_matrix((m["data"][:], m["indices"][:], m["indptr"][:]), shape=m["shape"][:]).T.tocsr()
        barcode, gene = m["barcodes"][:].astype(str), m["features"]["name"][:].astype(str)
        var = pd.DataFrame({"symbol": gene, "id": m["features"]["id"][:].astype(str)})
    contigs = pd.read_csv(folder / "vdj" / f"{row.TCR_Sample}.filtered_contig_annotations.csv.gz")
    trb = contigs[(contigs["chain"] == "TRB") & (contigs["productive"].astype(str).str.lower() == "true")]
    trb = trb.drop_duplicates("barcode", keep=False).set_index("barcode")["cdr3_nt"]
    total, mito = np.asarray(x.sum(axis=1)).ravel(), np.char.startswith(gene, "MT-")
    good = (total >= MIN_UMI) & (np.diff(x.indptr) >= MIN_GENES) & (
        np.asarray(x[:, mito].sum(axis=1)).ravel() <= MAX_MITO * total)
    junction = trb.reindex(barcode).fillna("").to_numpy(object)
    obs = pd.DataFrame({"patient": row.Patient, "sample": row.GEX_Sample, "junction": junction})
    keep = good & (junction != "")
    return x[keep], obs[keep], var


def _strata(x: sparse.csr_matrix, sample: np.ndarray) -> np.ndarray:
    """k-means clusters of 20 principal components of the 2,000 most dispersed genes, within each sample."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD

    depth = np.asarray(x.sum(axis=1)).ravel()
    logged = sparse.csr_matrix(sparse.diags(1e4 / depth) @ x.astype(np.float64)).log1p()
    out = np.zeros(x.shape[0], np.int64)
    for s in np.unique(sample):
        here = np.flatnonzero(sample == s)
        rows = logged[here]
        mean, square = (np.asarray(m.mean(axis=0)).ravel() for m in (rows, rows.multiply(rows)))
        variance = square - mean**2
        genes = np.argsort(-np.where(mean > 0.01, variance / np.maximum(mean, 1e-9), 0), kind="stable")[:2000]
        rank = min(20, here.size - 1)
        points = TruncatedSVD(rank, random_state=0).fit_transform(rows[:, genes]) if rank > 1 else np.zeros((here.size, 1))
        k = max(1, min(CLUSTERS, here.size // 30))
        out[here] = s * CLUSTERS + KMeans(k, random_state=0, n_init=3).fit_predict(points)
    return out


def load(folder: Path) -> Cohort:
    """All samples with expression and receptors."""
    sheet = pd.read_csv(folder / "samples.tsv", sep="\t")
    parts = [_sample(folder, row) for row in sheet[sheet["gex_file"] & sheet["vdj_file"]].itertuples()]
    x = sparse.vstack([p[0] for p in parts], format="csr")
    obs, var = pd.concat([p[1] for p in parts], ignore_index=True), parts[0][2]
    known = genome.positions(var["id"].to_numpy(object))
    sample = pd.Categorical(obs["sample"]).codes.astype(np.int64)
    names = obs["patient"] + ":" + obs["junction"]
    clone, labels = pd.factorize(names, sort=True)
    sizes = np.bincount(clone)
    big = np.flatnonzero(sizes >= LEAST_CELLS)
    renumber = np.full(sizes.size, -1)
    renumber[big] = np.arange(big.size)
    return Cohort(x, var["symbol"].to_numpy(object), known["arm"].to_numpy(object), known,
                  obs["patient"].to_numpy(object), sample, _strata(x, sample), renumber[clone], big.size,
                  np.array([labels[b].split(":")[0] for b in big], dtype=object))
