"""Small patients built by hand, in the layout of `sclineage.patient.access`."""

from __future__ import annotations

import anndata as ad
import awkward as ak
import mudata as md
import numpy as np
import pandas as pd
from scipy import sparse

if hasattr(md, "set_options"):
    md.set_options(pull_on_update=False)

MARKERS = ("CD3D", "CD3E", "CD2", "CD5", "CD7", "CD4", "CD8A", "CD8B", "TNFRSF8")
CYCLE = ("MKI67", "TOP2A", "PCNA", "TYMS", "CDK1", "BIRC5", "RRM2", "UBE2C")
FILLER = tuple(f"GENE{i}" for i in range(20))
RATES = {"CD3D": 3.0, "CD3E": 3.0, "CD2": 2.0, "CD5": 1.5, "CD7": 1.5, "TNFRSF8": 0.02}


def junction(name: str, locus: str) -> str:
    """Nucleotides that stand for a clone's chain: equal for equal names, never equal for different ones."""
    digits = "".join("ACGT"[b % 4] + "ACGT"[b // 4 % 4] + "ACGT"[b // 16 % 4] for b in f"{locus}{name}".encode())
    return "TGT" + digits + "TTT"


def cell_rows(sample: str, clone: str, n: int, *, subset: str = "CD8_T", start: int = 0,
              **more: object) -> pd.DataFrame:
    """Rows of obs for `n` cells of a clone (``""``: cells without a receptor)."""
    return pd.DataFrame({
        "patient": "P", "sample": sample, "barcode": [f"{clone or subset}{start + i:05d}-1" for i in range(n)],
        "clone_id": clone, "clone_status": "assigned" if clone else "no_receptor", "subset": subset,
        "has_trb": bool(clone), **more})


def small_clones(sample: str, n_clones: int, size: int = 1, *, subset: str = "CD8_T", prefix: str = "b",
                 **more: object) -> pd.DataFrame:
    """Background: many clones of one size."""
    return pd.concat([cell_rows(sample, f"{prefix}{i:03d}", size, subset=subset, **more) for i in range(n_clones)])


def expression(obs: pd.DataFrame, rng: np.random.Generator, *, lost: dict[str, tuple[str, ...]] | None = None,
               cycling: dict[str, float] | None = None, background_cycling: float = 0.05) -> pd.DataFrame:
    """Counts of markers, cycle genes and filler: clones in `lost` lack those genes, clones in `cycling` cycle."""
    n = len(obs)
    is_t = obs["subset"].isin(["CD4_T", "CD8_T", "T"]).to_numpy() | (obs["clone_id"] != "").to_numpy()
    out = {g: rng.poisson(np.where(is_t, r, 0.02)) for g, r in RATES.items()}
    cd8 = (obs["subset"] == "CD8_T").to_numpy()
    for gene in ("CD8A", "CD8B"):
        out[gene] = rng.poisson(np.where(is_t & cd8, 2.5, 0.02))
    out["CD4"] = rng.poisson(np.where(is_t & ~cd8, 2.0, 0.02))
    share = np.array([(cycling or {}).get(c, background_cycling) for c in obs["clone_id"]])
    phase = rng.random(n) < share
    for gene in CYCLE:
        out[gene] = rng.poisson(np.where(phase, 4.0, 0.05))
    for gene in FILLER:
        out[gene] = rng.poisson(100.0, n)
    for clone, genes in (lost or {}).items():
        mine = (obs["clone_id"] == clone).to_numpy()
        for gene in genes:
            out[gene] = np.where(mine, 0, out[gene])
    return pd.DataFrame(out)


def alleles(obs: pd.DataFrame, rng: np.random.Generator, sites: dict[str, dict[str, float]], *, coverage: float = 1.0,
            gene: dict[str, str] | None = None) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Driver reads and all reads at sites ``chrom:pos:ref>alt``; values: clone or subset -> share of driver reads."""
    depth = rng.poisson(coverage, (len(obs), len(sites)))
    share = np.full(depth.shape, 0.002)
    for j, carriers in enumerate(sites.values()):
        for name, value in carriers.items():
            mine = (obs["clone_id"] == name) | ((obs["clone_id"] == "") & (obs["subset"] == name))
            share[mine.to_numpy(), j] = value
        if "*" in carriers:
            share[:, j] = carriers["*"]
    parts = [s.replace(">", ":").split(":") for s in sites]
    var = pd.DataFrame(parts, columns=["chrom", "pos", "ref", "alt"], index=list(sites))
    var["pos"] = var["pos"].astype(int)
    var["gene"] = [(gene or {}).get(s, "TP53") for s in sites]
    return rng.binomial(depth, share), depth, var


def patient(obs: pd.DataFrame, counts: pd.DataFrame | None = None, *,
            samples: dict[str, dict[str, object]] | None = None,
            panel: tuple[np.ndarray, np.ndarray, pd.DataFrame] | None = None) -> md.MuData:
    """MuData of one patient: `gex` (if counts are given), `airr`, `alleles` (if a panel is given)."""
    obs = obs.reset_index(drop=True).set_axis([f"{s}_{b}_{c}" for s, b, c in zip(
        obs["sample"], obs["barcode"], range(len(obs)), strict=True)], axis=0)
    mods = {"airr": _airr(obs)}
    if counts is not None:
        gex = ad.AnnData(sparse.csr_matrix(counts.to_numpy(np.float32)),
                         obs=pd.DataFrame({"sample": obs["sample"]}, index=obs.index),
                         var=pd.DataFrame(index=pd.Index(list(counts.columns))))
        names = sorted(set(obs["sample"]))
        gex.varm["in_sample"] = pd.DataFrame(True, index=gex.var_names, columns=names)
        mods = {"gex": gex} | mods
    if panel is not None:
        alt, depth, var = panel
        mods["alleles"] = ad.AnnData(sparse.csr_matrix(alt.astype(np.int64)), var=var,
                                     obs=pd.DataFrame(index=obs.index))
        mods["alleles"].layers["dp"] = sparse.csr_matrix(depth.astype(np.int64))
    data = md.MuData(mods)
    for column in obs.columns:
        data.obs[column] = obs[column].reindex(data.obs_names)
    sheet = pd.DataFrame.from_dict({s: {"sample": s, "patient": "P"} | (samples or {}).get(s, {})
                                    for s in sorted(set(obs["sample"]) | set(samples or {}))}, orient="index")
    for column in sheet.columns.difference(["day"]):
        sheet[column] = sheet[column].astype(object).where(sheet[column].notna(), "")
    data.uns["sclineage"] = {"samples": sheet, "tables": {"receptors": receptors(obs)}}
    return data


def _airr(obs: pd.DataFrame) -> ad.AnnData:
    rows = [[{"locus": locus, "junction": junction(c, locus), "productive": True, "umi_count": 3}
             for locus in ("TRA", "TRB")] if c else [] for c in obs["clone_id"]]
    airr = ad.AnnData(obs=pd.DataFrame(index=obs.index))
    chain = {"locus": "", "junction": "", "productive": True, "umi_count": 1}
    airr.obsm["airr"] = ak.Array([*rows, [chain]])[:-1]  # one chain more fixes the type where no cell has any
    return airr


def receptors(obs: pd.DataFrame) -> pd.DataFrame:
    """Receptor table of the clones in `obs`."""
    ids = sorted(set(obs["clone_id"]) - {""})
    return pd.DataFrame({
        "patient": "P", "clone_id": ids, "trb_junction": [junction(c, "TRB") for c in ids], "trb_junction_aa": "CASSF",
        "trb_v": "TRBV28", "trb_j": "TRBJ2-1", "tra_junction": [junction(c, "TRA") for c in ids], "tra_v": "TRAV1-2",
        "tra_j": "TRAJ33", "trb_c": "TRBC2", "n_cells": [int((obs["clone_id"] == c).sum()) for c in ids],
        "n_paired": [int((obs["clone_id"] == c).sum()) for c in ids]})
