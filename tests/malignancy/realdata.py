"""Real CAR-T patients (CARPALL: 10x expression and TCR) as MuData: clone = TRB nucleotides within the patient."""

from __future__ import annotations

import zlib
from pathlib import Path

import anndata as ad
import h5py
import mudata as md
import numpy as np
import pandas as pd
from scipy import sparse

from sclineage.cells.api import cluster, embed, neighbors

from . import builders

MONOCYTE = ("LYZ", "S100A8", "S100A9", "FCN1")


def carpall(folder: Path, patient: str) -> md.MuData:
    """All samples of a patient that have both expression and TCR."""
    sheet = pd.read_csv(folder / "samples.tsv", sep="\t")
    sheet = sheet[(sheet["Patient"] == patient) & sheet["gex_file"] & sheet["vdj_file"]]
    parts = [_sample(folder, row) for row in sheet.itertuples()]
    gex = ad.concat([p for p, _ in parts], join="inner", merge="same")
    obs = pd.concat([o for _, o in parts]).set_axis(gex.obs_names, axis=0)
    gex.varm["in_sample"] = pd.DataFrame(True, index=gex.var_names, columns=sorted(set(obs["sample"])))
    gex.obs["sample"] = obs["sample"]
    data = md.MuData({"gex": gex, "airr": builders._airr(obs)})
    for column in obs.columns:
        data.obs[column] = obs[column].reindex(data.obs_names)
    samples = pd.DataFrame({
        "sample": sheet["GEX_Sample"], "patient": patient,
        "material": np.where(sheet["Source"] == "PROD", "product", ""),
        "selection": np.where(sheet["Sort"] == "NoSo", "none", "CAR+")}).set_index("sample", drop=False)
    data.uns["sclineage"] = {"samples": samples.rename_axis(None), "tables": {"receptors": builders.receptors(obs)}}
    return data


def clustered(data: md.MuData) -> md.MuData:
    """The same with ``obs["cluster"]``, as `sclineage run` makes it."""
    gex = data["gex"]
    embed(gex)
    neighbors(gex, device="cpu")
    cluster(gex, key_added="cluster", device="cpu", threads=1)
    data.obs["cluster"] = gex.obs["cluster"].astype(str).reindex(data.obs_names)
    return data


def _sample(folder: Path, row) -> tuple[ad.AnnData, pd.DataFrame]:
    with h5py.File(folder / "gex" / f"{row.GEX_Sample}.filtered_feature_bc_matrix.h5") as handle:
        m = handle["matrix"]
        counts = sparse.csc_matrix((m["data"][:], m["indices"][:], m["indptr"][:]), shape=m["shape"][:]).T.tocsr()
        barcode = m["barcodes"][:].astype(str)
        gene, ids = pd.Index(m["features"]["name"][:].astype(str)), m["features"]["id"][:].astype(str)
    keep = ~gene.duplicated()
    gex = ad.AnnData(sparse.csr_matrix(counts[:, keep]), var=pd.DataFrame({"gene_ids": ids[keep]}, index=gene[keep]),
                     obs=pd.DataFrame(index=[f"{row.GEX_Sample}_{b}" for b in barcode]))
    values = {g: np.asarray(gex[:, g].X.todense()).ravel() for g in ("CD4", "CD8A", "CD8B", "CD3D", "CD3E", *MONOCYTE)}
    clone = pd.Series(_clones(folder, row)).reindex(barcode).fillna("").to_numpy(object)
    obs = pd.DataFrame({"patient": row.Patient, "sample": row.GEX_Sample, "barcode": barcode, "clone_id": clone,
                        "clone_status": np.where(clone == "", "no_receptor", "assigned"), "has_trb": clone != "",
                        "subset": _subset(values, clone), "excluded_reason": _excluded(gex)})
    return gex, obs


def _clones(folder: Path, row) -> dict[str, str]:
    """Clone of each barcode with exactly one productive TRB."""
    contigs = pd.read_csv(folder / "vdj" / f"{row.TCR_Sample}.filtered_contig_annotations.csv.gz")
    trb = contigs[(contigs["chain"] == "TRB") & (contigs["productive"].astype(str).str.lower() == "true")]
    single = trb.drop_duplicates("barcode", keep=False)
    return {b: f"{row.Patient}:{zlib.crc32(s.encode()):08x}" for b, s in zip(single["barcode"], single["cdr3_nt"],
                                                                           strict=True)}


def _subset(values: dict[str, np.ndarray], clone: np.ndarray) -> np.ndarray:
    cd8, t = values["CD8A"] + values["CD8B"], (values["CD3D"] + values["CD3E"] > 0) | (clone != "")
    out = np.where(t, np.where(cd8 > values["CD4"], "CD8_T", np.where(values["CD4"] > cd8, "CD4_T", "T")), "other")
    return np.where((sum(values[g] for g in MONOCYTE) >= 10) & (clone == ""), "myeloid", out).astype(object)


def _excluded(gex: ad.AnnData) -> np.ndarray:
    mito = gex.var_names.str.startswith("MT-")
    total = np.asarray(gex.X.sum(axis=1)).ravel()
    genes = np.asarray((gex.X > 0).sum(axis=1)).ravel()
    share = np.asarray(gex.X[:, mito].sum(axis=1)).ravel() / np.maximum(total, 1)
    return np.where((total < 1000) | (genes < 500) | (share > 0.12), "low_quality", "").astype(object)
