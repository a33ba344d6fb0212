"""Populations: takes the MuData apart after the calls on clones and the CAR, writes one word per cell."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..patient import access
from .api import NOT_MEMBERS, OTHER_SUBSETS, T_SUBSETS

DEFINITE = 0.95


def populations(mdata: access.Data) -> None:
    """Write obs ``population``: malignant, CAR-T, other_T, other, doublet or not_assessed.

    Doublets first; then members of malignant clones (posterior >= 0.95, or called so), and cells without a receptor
    that show their altered arms; then cells with ``car_call`` ``pos``; then T cells by receptor or annotation; then
    other annotated cells. The rest is not assessed, and so are, in a patient with a malignant clone, T cells whose
    clone could not be told: they may be members of it.

    Parameters
    ----------
    mdata
        MuData (or AnnData) after `malignancy`; the CAR columns may be absent.
    """
    status, subset = access.text(mdata, "clone_status"), access.text(mdata, "subset")
    p = np.full(mdata.n_obs, np.nan)
    if access.has_column(mdata, "malignant_p"):
        p = pd.to_numeric(access.column(mdata, "malignant_p")).to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(invalid="ignore"):
        malignant = (p >= DEFINITE) | (access.text(mdata, "malignant_call") == "malignant")
    told = (access.text(mdata, "clone_id") != "") & ~np.isin(status, NOT_MEMBERS)
    receptor = told | ~np.isin(status, ("", "no_receptor"))
    t_cell = np.isin(subset, T_SUBSETS) | receptor
    out = np.full(mdata.n_obs, "not_assessed", dtype=object)
    out[np.isin(subset, OTHER_SUBSETS)] = "other"
    out[t_cell] = "other_T"
    if malignant.any():
        out[t_cell & ~told] = "not_assessed"
    out[access.text(mdata, "car_call") == "pos"] = "CAR-T"
    out[malignant | (access.text(mdata, "genetic_clone") != "")] = "malignant"
    out[status == "doublet"] = "doublet"
    access.put(mdata, {"population": out})
