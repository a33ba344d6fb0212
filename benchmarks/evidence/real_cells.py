"""Cells of the CARPALL libraries as plain tables: receptor clone, CAR UMIs, depth, kind of cell, author label."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

CARPALL = "carpall-cart-gex-vdj"
CAR = "CAT_scFv"
MIN_DEPTH = 500
MARKERS = {"T": ("CD3D", "CD3E", "CD3G", "TRAC", "TRBC1", "TRBC2"), "myeloid": ("LYZ", "CD14", "FCN1", "S100A8"),
           "B": ("MS4A1", "CD79A", "CD19")}
SORT = {"CD3+CAT+": "CAR+", "NoSo": "none"}


@cache
def samples(data: Path) -> pd.DataFrame:
    """Samples that have a matrix, index = sample."""
    table = pd.read_csv(data / CARPALL / "samples.tsv", sep="\t")
    return table[table["gex_file"]].set_index("GEX_Sample")


@cache
def labels(data: Path) -> frozenset[str]:
    """`sample_barcode` of the cells that the authors labelled CAR-T."""
    return frozenset(pd.read_csv(data / CARPALL / "car_t_cell_labels.tsv.gz", sep="\t")["CellID"])


def trb_clones(path: Path) -> pd.Series:
    """Best productive TRB of every barcode: nucleotides, V and J."""
    table = pd.read_csv(path)
    table = table[(table["chain"] == "TRB") & (table["productive"].astype(str).str.lower() == "true")]
    table = table.sort_values(["barcode", "umis", "reads", "contig_id"], ascending=[True, False, False, True])
    best = table.drop_duplicates("barcode").set_index("barcode")
    return best["cdr3_nt"] + "_" + best["v_gene"].astype(str) + "_" + best["j_gene"].astype(str)


@cache
def cells(data: Path, sample: str) -> pd.DataFrame:
    """Cells of one library with at least `MIN_DEPTH` UMIs.

    Returns
    -------
    Frame indexed by `sample_barcode`: ``sample``, ``clone_id`` (empty without a TRB), ``car`` and ``depth`` (UMIs),
    ``subset`` (T where a TRB was read; myeloid or B by markers without a T-cell transcript), ``labelled``.
    """
    import scanpy as sc

    row = samples(data).loc[sample]
    matrix = sc.read_10x_h5(data / CARPALL / "gex" / f"{sample}.filtered_feature_bc_matrix.h5")
    matrix.var_names_make_unique()
    clone = trb_clones(data / CARPALL / "vdj" / f"{row['TCR_Sample']}.filtered_contig_annotations.csv.gz")
    clone = clone.reindex(matrix.obs_names).fillna("").to_numpy(dtype=object)
    kind = {name: np.asarray(matrix[:, list(genes)].X.sum(axis=1)).ravel() for name, genes in MARKERS.items()}
    myeloid = (kind["myeloid"] >= 5) & (kind["T"] == 0)
    b_cell = (kind["B"] >= 3) & (kind["T"] == 0) & ~myeloid
    subset = np.select([clone != "", myeloid, b_cell], ["T", "myeloid", "B"], "other")
    car = np.asarray(matrix[:, CAR].X.sum(axis=1)).ravel().astype(np.int64)
    depth = np.asarray(matrix.X.sum(axis=1)).ravel().astype(np.int64) - car
    names = np.array([f"{sample}_{b}" for b in matrix.obs_names], dtype=object)
    frame = pd.DataFrame({"sample": sample, "clone_id": clone, "car": car, "depth": depth, "subset": subset,
                          "labelled": [n in labels(data) for n in names]}, index=names)
    return frame[frame["depth"] >= MIN_DEPTH]


def as_anndata(frame: pd.DataFrame, **constant: object) -> AnnData:
    """Counts of the CAR and of all else as AnnData, the other columns as obs."""
    x = sparse.csr_matrix(frame[["car", "depth"]].to_numpy(np.float32))
    obs = frame.drop(columns=["car", "depth"]).assign(patient="P", **constant)
    return AnnData(x, obs=obs, var=pd.DataFrame(index=["CAR", "rest"]))


def patient(data: Path, name: str) -> AnnData:
    """All libraries of one patient, each in a GEM well of its own."""
    table = samples(data).query("Patient == @name")
    frames = []
    for sample, row in table.iterrows():
        known = {"selection": SORT[row["Sort"]], "specimen": f"{name}_{row['Source']}_{row['Timepoint']}",
                 "day": 30.0 * int(row["Timepoint"][1:]) + 1.0, "material": row["Source"], "gem_well": sample}
        frames.append(cells(data, str(sample)).assign(**known))
    return as_anndata(pd.concat(frames))
