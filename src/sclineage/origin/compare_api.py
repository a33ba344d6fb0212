"""Molecular comparison of populations: pseudobulk profiles and differential expression per pair and time point."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .. import _schema
from .._errors import InputError
from ..malignancy.phenotype import GAIN, LOSS
from ..patient import access
from .distinct_api import POPULATIONS

MARKERS = (*LOSS, "CD4", "CD8A", "CD8B", *GAIN)
MIN_CELLS = 10
MIN_SHARE = 0.05  # of the cells of one population that show a gene
MOST = 100  # genes per pair and time point, markers and antibodies beside
FOLD, FALSE = 1.0, 0.05  # log2 fold change and adjusted p of a gene told as lost or gained


def compare(mdata: access.Data) -> None:
    """Compare the expression of every pair of populations, time point by time point.

    Parameters
    ----------
    mdata
        MuData (or AnnData) of one patient with raw counts and obs ``population`` (`sl.tl.populations`).

    Raises
    ------
    InputError
        The populations are missing.

    Notes
    -----
    Writes table ``compare``: per pair and specimen with ten or more cells on both sides, the hundred genes with the
    smallest p, the T-cell markers, and all antibodies (modality ``adt``). Wilcoxon rank sum and Benjamini-Hochberg by
    scanpy's ``rank_genes_groups`` on log-normalised counts; the profiles are sums over cells (pseudobulk), in log2
    counts per million. The p values treat cells as replicates: they describe this patient's cells, not patients.
    """
    if not access.has_column(mdata, "population"):
        raise InputError("obs", "no column 'population'", "run sl.tl.populations first")
    place, day = _places(mdata)
    population = access.text(mdata, "population")
    counts = (access.text(mdata, "clone_status") != "doublet") & (access.text(mdata, "excluded_reason") == "")
    parts = []
    for kind, mod, x in _modalities(mdata):
        rows = mdata.obs_names.get_indexer(mod.obs_names)
        for where in sorted(set(place[rows])):
            here = counts[rows] & (place[rows] == where)
            for a, b in combinations(POPULATIONS, 2):
                one, two = (np.flatnonzero(here & (population[rows] == p)) for p in (a, b))
                if min(one.size, two.size) >= MIN_CELLS:
                    parts.append(_pair(mod, x, one, two, kind).assign(
                        population_a=a, population_b=b, sample=where, day=day[where], modality=kind))
    patient = access.text(mdata, "patient")
    frame = pd.concat(parts, ignore_index=True).assign(patient=str(patient[0])) if parts else _schema.empty("compare")
    access.put_table(mdata, "compare", frame)


def _places(data: access.Data) -> tuple[np.ndarray, dict[str, float]]:
    """Specimen of each cell (the sample, where the sheet names none), and its day."""
    sample, samples = access.text(data, "sample", default="sample"), access.sample_table(data)
    given = samples["specimen"].fillna("").astype(str) if "specimen" in samples else pd.Series("", index=samples.index)
    name = {str(s): given.loc[s] or str(s) for s in samples.index}
    days = pd.to_numeric(samples["day"]) if "day" in samples else pd.Series(np.nan, index=samples.index)
    day = {name[str(s)]: float(d) for s, d in days.items()}
    unknown = dict.fromkeys(set(sample) - set(name), np.nan)
    return np.array([name.get(s, s) for s in sample], dtype=object), day | unknown


def _modalities(data: access.Data) -> list[tuple[str, AnnData, sparse.csr_matrix]]:
    found = access.counts_matrix(data)
    out = [] if found is None else [("gex", found[0], found[1])]
    adt = access.modality(data, "adt") if hasattr(data, "mod") else None
    return out if adt is None else [*out, ("adt", adt, sparse.csr_matrix(adt.X))]


def _pair(mod: AnnData, x: sparse.csr_matrix, one: np.ndarray, two: np.ndarray, kind: str) -> pd.DataFrame:
    """Genes of one pair at one time point."""
    part = x[np.concatenate([one, two])]
    seen = np.stack([np.asarray((part[s] > 0).mean(axis=0)).ravel() for s in (
        slice(0, one.size), slice(one.size, None))])
    names = mod.var_names.to_numpy(object)
    keep = (seen >= MIN_SHARE).any(axis=0) | np.isin(names, MARKERS) | (kind == "adt")
    bulk = np.stack([_profile(part[s]) for s in (slice(0, one.size), slice(one.size, None))])
    test = _wilcoxon(part[:, keep], names[keep], one.size)
    table = pd.DataFrame({
        "gene": names[keep], "profile_a": bulk[0, keep], "profile_b": bulk[1, keep], "share_a": seen[0, keep],
        "share_b": seen[1, keep], "n_a": one.size, "n_b": two.size}).merge(test, on="gene", how="left", sort=False)
    table["change"] = np.select(
        [(table["p_adjusted"] < FALSE) & (table["log2_fold"] <= -FOLD),
         (table["p_adjusted"] < FALSE) & (table["log2_fold"] >= FOLD)], ["lost", "gained"], default="")
    table["marker"] = table["gene"].isin(MARKERS)
    order = table.sort_values(["p_adjusted", "gene"], kind="stable")
    told = order.head(MOST if kind == "gex" else len(order)).index
    return table[table.index.isin(told) | table["marker"]].sort_values(["p_adjusted", "gene"], kind="stable")


def _profile(rows: sparse.csr_matrix) -> np.ndarray:
    """Pseudobulk: log2 of counts per million of the summed cells, plus one."""
    total = np.asarray(rows.sum(axis=0)).ravel().astype(np.float64)
    return np.log2(1e6 * total / max(total.sum(), 1.0) + 1)


def _wilcoxon(counts: sparse.csr_matrix, names: np.ndarray, n_one: int) -> pd.DataFrame:
    """log2 fold change and adjusted p of each gene by scanpy."""
    import scanpy as sc

    group = pd.Categorical(np.where(np.arange(counts.shape[0]) < n_one, "a", "b"))
    work = AnnData(counts.astype(np.float32), obs=pd.DataFrame({"group": group}, index=_labels(counts.shape[0])),
                   var=pd.DataFrame(index=pd.Index(names)))
    sc.pp.normalize_total(work, target_sum=1e4)
    sc.pp.log1p(work)
    sc.tl.rank_genes_groups(work, "group", groups=["a"], reference="b", method="wilcoxon")
    found: Any = sc.get.rank_genes_groups_df(work, group="a")
    return pd.DataFrame({"gene": found["names"].astype(str), "log2_fold": found["logfoldchanges"].astype(float),
                         "p_adjusted": found["pvals_adj"].astype(float)})


def _labels(n: int) -> list[str]:
    return [str(i) for i in range(n)]
