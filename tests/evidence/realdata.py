"""Loaders of the public CAR-T data: one AnnData per patient or library, cells with a TRB clone."""

from __future__ import annotations

import warnings
from functools import lru_cache

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse

MYELOID, B_CELL = ("LYZ", "CD14", "FCN1", "S100A8"), ("MS4A1", "CD79A", "CD19")
T_CELL = ("CD3D", "CD3E", "CD3G", "TRAC", "TRBC1", "TRBC2")


def carpall_samples(folder):
    table = pd.read_csv(folder / "carpall-cart-gex-vdj" / "samples.tsv", sep="\t")
    return table[table["gex_file"]].set_index("GEX_Sample")


def trb_clones(contigs):
    """Best TRB contig per barcode: nucleotides, V and J."""
    table = pd.read_csv(contigs)
    table = table[(table["chain"] == "TRB") & (table["productive"].astype(str).str.lower() == "true")]
    table = table.sort_values(["barcode", "umis", "reads", "contig_id"], ascending=[True, False, False, True])
    best = table.drop_duplicates("barcode").set_index("barcode")
    return best["cdr3_nt"] + "_" + best["v_gene"].astype(str) + "_" + best["j_gene"].astype(str)


def _sum(adata, genes):
    return np.asarray(adata[:, [g for g in genes if g in adata.var_names]].X.sum(axis=1)).ravel()


@lru_cache(maxsize=32)
def carpall_library(folder, sample):
    row = carpall_samples(folder).loc[sample]
    root = folder / "carpall-cart-gex-vdj"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = sc.read_10x_h5(root / "gex" / f"{sample}.filtered_feature_bc_matrix.h5")
        adata.var_names_make_unique()
    clones = trb_clones(root / "vdj" / f"{row['TCR_Sample']}.filtered_contig_annotations.csv.gz")
    adata.obs["clone_id"] = clones.reindex(adata.obs_names).fillna("").to_numpy(dtype=object)
    myeloid = (_sum(adata, MYELOID) >= 5) & (_sum(adata, T_CELL) == 0)
    b_cell = (_sum(adata, B_CELL) >= 3) & (_sum(adata, T_CELL) == 0) & ~myeloid
    adata.obs["subset"] = np.where(myeloid, "myeloid", np.where(b_cell, "B", "other"))
    adata.obs["subset"] = adata.obs["subset"].where(adata.obs["clone_id"] == "", "T")
    adata.obs["barcode"] = adata.obs_names.to_numpy()
    adata.obs_names = [f"{sample}_{b}" for b in adata.obs_names]
    adata.obs["sample"], adata.obs["patient"] = sample, row["Patient"]
    adata.obs["gem_well"] = sample
    adata.obs["selection"] = "CAR+" if "CAT+" in row["Sort"] else "none"
    adata.obs["day"] = 30.0 * int(row["Timepoint"][1:]) + 1.0
    adata.obs["specimen"] = f"{row['Patient']}_{row['Source']}_{row['Timepoint']}"
    adata.obs["material"] = row["Source"]
    return adata


def carpall(folder, patient, *, only=None, counting="unknown"):
    """All libraries of a patient (or those whose selection is `only`) as one AnnData."""
    table = carpall_samples(folder)
    names = list(table.index[table["Patient"] == patient])
    parts = [carpall_library(folder, s) for s in names]
    parts = [p for p in parts if only is None or p.obs["selection"].iloc[0] == only]
    adata = ad.concat(parts, join="inner")
    keep = np.asarray(adata.X.sum(axis=0)).ravel() > 0
    keep |= adata.var_names == "CAT_scFv"
    adata = adata[:, keep].copy()
    adata.obs["car_counting"] = counting
    return adata


def quant(folder, name):
    """CAR UMIs per barcode of a kallisto quantification file (barcode, UMI, feature, reads)."""
    path = folder / "cart-umi-hhv6" / "broad" / f"{name}_CAR.quant.txt.gz"
    table = pd.read_csv(path, sep="\t", header=None, names=["barcode", "umi", "feature", "reads"])
    return table.drop_duplicates(["barcode", "umi"]).groupby("barcode").size()


def molecules_only(counts, clones, sample):
    """AnnData whose only feature is the CAR: no gene expression, so no depth."""
    adata = ad.AnnData(sparse.csr_matrix(counts.to_numpy()[:, None].astype(np.float32)),
                       obs=pd.DataFrame({"clone_id": clones, "sample": sample}, index=list(counts.index)),
                       var=pd.DataFrame(index=["CAR"]))
    adata.obs["patient"] = sample
    return adata


def bbbleuk(folder, *, cells=8000, large=(), seed=1):
    """BBBleuk's barcodes and empty ones up to `cells`; clones of the sizes `large` laid over random barcodes."""
    counts = quant(folder, "BBBleuk")
    rng = np.random.default_rng(seed)
    blank = [f"N{i:015d}" for i in range(cells - counts.size)]
    counts = pd.concat([counts, pd.Series(0, index=blank)])
    clones = np.array([f"single{i}" for i in range(counts.size)], dtype=object)
    order, at = rng.permutation(counts.size), 0
    for k, size in enumerate(large):
        clones[order[at: at + size]] = f"big{k}"
        at += size
    return molecules_only(counts, clones, "BBBleuk")


def f1(folder):
    """F1: CAR+ sorted axi-cel cells, CAR molecules and TRB clones of the annotated cells."""
    broad = folder / "cart-umi-hhv6" / "broad"
    cells = pd.read_csv(broad / "cell-annotation-metadata.F1_E1_1.txt.gz", sep="\t", header=None)
    named = cells.loc[cells[1] == "F1", 0].astype(str).str[:16].drop_duplicates()
    counts = quant(folder, "F1").reindex(named).fillna(0).astype(int)
    clones = trb_clones(broad / "F1_TCR_all_contig_annotations.csv.gz")
    clones.index = clones.index.str[:16]
    return molecules_only(counts, clones.reindex(named).fillna("").to_numpy(dtype=object), "F1")
