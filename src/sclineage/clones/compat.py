"""``mode="scirpy"``: the partition of `scirpy.tl.define_clonotypes`, computed by scirpy itself."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from .. import _schema
from .airr import records
from .normalise import chain_table
from .other import receptor_kind

_SCRATCH = "_sclineage_clonotype"


def scirpy_clones(airr: Any, *, airr_key: str, receptor_arms: str, dual_ir: str,
                  patient: np.ndarray) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Clonotypes by nucleotide identity as scirpy defines them.

    Parameters
    ----------
    airr
        AnnData with the receptors; it is not changed.
    airr_key
        Key of the AIRR array in ``obsm``.
    receptor_arms, dual_ir
        Passed on.
    patient
        Patient of every cell; scirpy does not keep patients apart, so neither does this mode.

    Returns
    -------
    Columns per cell, and the tables ``receptors`` (one row per patient and clonotype), ``receptor_rates`` (counts
    only) and ``clone_aliases`` (empty).
    """
    import scirpy as ir
    from anndata import AnnData

    copy = AnnData(obs=pd.DataFrame(index=airr.obs_names))
    copy.obsm["airr"] = airr.obsm[airr_key]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ir.pp.index_chains(copy)
        ir.tl.chain_qc(copy)
        ir.pp.ir_dist(copy, metric="identity", sequence="nt")
        ir.tl.define_clonotypes(copy, receptor_arms=receptor_arms, dual_ir=dual_ir, key_added=_SCRATCH)
        chains = ir.get.airr(copy, ["junction", "junction_aa", "v_call", "j_call", "c_call"], ["VJ_1", "VDJ_1"])
    label = copy.obs[_SCRATCH].astype(object)
    ids = label.where(label.notna(), "").map(str).to_numpy(dtype=object)
    has = ids != ""
    cells = pd.DataFrame({
        "clone_id": ids, "clone_posterior": np.nan, "clone_status": np.where(has, "assigned", "no_receptor"),
        "clone_id_2": "", "has_trb": chains["VDJ_1_junction"].notna().to_numpy(),
        "receptor_kind": receptor_kind(chain_table(records(airr.obsm[airr_key])), airr.n_obs)})
    cells["clone_status"] = cells["clone_status"].astype(object)
    return cells, {"receptors": _table(chains, ids, patient)}


def _table(chains: pd.DataFrame, ids: np.ndarray, patient: np.ndarray) -> pd.DataFrame:
    """Receptors of each clonotype: the chains of its first cell that shows both, in the order of the barcodes."""
    frame = pd.DataFrame({
        "patient": patient, "clone_id": ids, "trb_junction": chains["VDJ_1_junction"].to_numpy(object),
        "trb_junction_aa": chains["VDJ_1_junction_aa"].to_numpy(object),
        "trb_v": chains["VDJ_1_v_call"].to_numpy(object),
        "trb_j": chains["VDJ_1_j_call"].to_numpy(object), "tra_junction": chains["VJ_1_junction"].to_numpy(object),
        "tra_v": chains["VJ_1_v_call"].to_numpy(object), "tra_j": chains["VJ_1_j_call"].to_numpy(object),
        "trb_c": chains["VDJ_1_c_call"].to_numpy(object), "barcode": chains.index.to_numpy(object)})
    frame = frame[frame["clone_id"] != ""].fillna("")
    if frame.empty:
        return _schema.empty("receptors")
    frame["paired"] = (frame["trb_junction"] != "") & (frame["tra_junction"] != "")
    frame["missing"] = (frame["trb_junction"] == "").astype(int) + (frame["tra_junction"] == "").astype(int)
    size = frame.groupby(["patient", "clone_id"]).agg(n_cells=("paired", "size"), n_paired=("paired", "sum"))
    first = frame.sort_values(["patient", "clone_id", "missing", "barcode"], kind="stable")
    first = first.drop_duplicates(["patient", "clone_id"]).drop(columns=["paired", "missing", "barcode"])
    return first.merge(size.reset_index(), on=["patient", "clone_id"])
