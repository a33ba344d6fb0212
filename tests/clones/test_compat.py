"""``mode="scirpy"``: the very partition of `scirpy.tl.define_clonotypes`."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scirpy as ir
from mudata import MuData

from sclineage.clones.api import clones
from sclineage.patient import access

from .builders import airr_data, background

CELLS = [*["b1 a1"] * 3, *["b1"] * 2, *["a1"] * 2, *["b2 a2"] * 3, "b1 a1 b2 a2", "", "b3 a3 a4", "b3 a4",
         *background(8)]


def partition(labels):
    """Labels as the number of their first bearer; -1 without."""
    first: dict[str, int] = {}
    return [-1 if x in ("", "nan", "None") else first.setdefault(x, i) for i, x in enumerate(map(str, labels))]


@pytest.mark.parametrize(("arms", "dual"), [("all", "any"), ("all", "primary_only"), ("VDJ", "any"),
                                            ("VDJ", "primary_only"), ("any", "all")])
def test_equals_scirpy(arms, dual):
    adata = airr_data(CELLS)
    data = MuData({"airr": airr_data(CELLS, {"patient": ["P"] * len(CELLS)})})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ir.pp.index_chains(adata)
        ir.tl.chain_qc(adata)
        ir.pp.ir_dist(adata)
        ir.tl.define_clonotypes(adata, receptor_arms=arms, dual_ir=dual)
    clones(data, mode="scirpy", receptor_arms=arms, dual_ir=dual)
    assert partition(data["airr"].obs["clone_id"]) == partition(adata.obs["clone_id"].astype(object).fillna(""))
    assert data["airr"].obs["clone_posterior"].isna().all()
    table = access.table(data, "receptors")
    assert table["n_cells"].sum() == (data["airr"].obs["clone_id"] != "").sum()
    assert set(table["clone_id"]) == set(data["airr"].obs["clone_id"]) - {""}
    assert np.isin(data["airr"].obs["clone_status"], ("assigned", "no_receptor")).all()
