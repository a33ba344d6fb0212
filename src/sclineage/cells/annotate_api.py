"""A light annotation of cells from markers, receptor and CAR; raw counts stay as they are."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from ..patient import access
from .subsets import MARKERS, STATES, states, subsets

__all__ = ["annotate"]


def annotate(mdata: access.Data) -> None:
    """Name each cell's subset from marker UMIs, T-cell receptor and CAR; see `subsets.subsets` for the rules.

    Returns
    -------
    None. Writes ``subset``: CD4_T, CD8_T, T, NK, B, myeloid or other; and ``subset_state``: cycling, regulatory (of T
    cells) or empty. Cells without a matrix are T with a T-cell receptor and empty otherwise.
    """
    receptor = _has_receptor(mdata)
    out, state = np.where(receptor, "T", "").astype(object), np.full(mdata.n_obs, "", dtype=object)
    found = access.counts_matrix(mdata)
    if found is not None:
        gex, counts = found
        rows = mdata.obs_names.get_indexer(gex.obs_names)
        umi = {group: _sum(gex, counts, genes) for group, genes in (MARKERS | STATES).items()}
        out[rows] = subsets(umi, receptor=receptor[rows], car=_car_umi(mdata)[rows])
        state[rows] = states(umi, subset=out[rows])
    access.put(mdata, {"subset": out, "subset_state": state})


def _sum(gex: AnnData, counts: sparse.csr_matrix, genes: tuple[str, ...]) -> np.ndarray:
    columns = np.flatnonzero(gex.var_names.isin(genes))
    return np.asarray(counts[:, columns].sum(axis=1, dtype=np.int64)).ravel()


def _has_receptor(mdata: access.Data) -> np.ndarray:
    """Whether a cell has a productive chain of a T-cell receptor."""
    airr = access.modality(mdata, "airr")
    if airr is None:
        return np.zeros(mdata.n_obs, dtype=bool)
    chains = airr.obsm["airr"]
    locus = chains["locus"]
    of_t_cells = (locus == "TRA") | (locus == "TRB") | (locus == "TRG") | (locus == "TRD")
    found = ak.any(ak.fill_none(of_t_cells & chains["productive"], value=False), axis=1)
    seen = pd.Series(np.asarray(found, dtype=bool), index=airr.obs_names)
    return seen.reindex(mdata.obs_names, fill_value=False).to_numpy(dtype=bool)


def _car_umi(mdata: access.Data) -> np.ndarray:
    features = [str(f) for f in access.store(mdata).get("car_features", ())]
    if not features:
        return np.zeros(mdata.n_obs, dtype=np.int64)
    return access.feature_counts(mdata, features).counts.sum(axis=1)
