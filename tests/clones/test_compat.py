"""``mode="scirpy"``: the very partition of `scirpy.tl.define_clonotypes`."""

from __future__ import annotations

import warnings

import awkward as ak
import numpy as np
import pytest
import scirpy as ir
from mudata import MuData

from sclineage._errors import InputError
from sclineage.clones.api import clones
from sclineage.clones.flat import Chains, Spans
from sclineage.patient import access

from .builders import airr_data, background, junction

TIES = ["b5 b6 a5", "b6 b5:8 a5", "b5 b6 b7 a5", "a6 a5 a7:3 b5", "a7:9 a6 b6", "a5:9 b6:2 b5:2", "g1 d1", "b5 h1 k1"]
CELLS = [*["b1 a1"] * 3, *["b1"] * 2, *["a1"] * 2, *["b2 a2"] * 3, "b1 a1 b2 a2", "", "b3 a3 a4", "b3 a4", *TIES,
         *background(8)]


def partition(labels):
    """Labels as the number of their first bearer; -1 without."""
    first: dict[str, int] = {}
    return [-1 if x in ("", "nan", "None") else first.setdefault(x, i) for i, x in enumerate(map(str, labels))]


@pytest.mark.parametrize(("arms", "dual"), [("all", "any"), ("all", "primary_only"), ("VDJ", "any"),
                                            ("VDJ", "primary_only"), ("any", "all"), ("all", "all")])
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


def test_receptors_are_those_of_the_first_barcode_that_shows_both():
    cells = ["b1", "b1 a2", "b1 a1", "b1 a3", *background(4)]
    data = airr_data(cells)
    data.obs_names = ["w", "z", "x", "y", *"abcd"]
    for order in (slice(None), slice(None, None, -1)):
        some = data[order].copy()
        clones(some, mode="scirpy", receptor_arms="VDJ", dual_ir="any")
        table = access.table(some, "receptors")
        row = table[table["trb_junction"] == junction("b1")]
        assert row[["tra_junction", "n_cells", "n_paired"]].to_numpy().tolist() == [[junction("a1"), 4, 3]]
        assert table["clone_id"].is_monotonic_increasing


@pytest.mark.parametrize("texts", [["abc", "", "abc", "a" * 20], ["\u00e9t\u00e9", "x"], ["a\0b", "a", "a\0b"], [],
                                   ["", ""]])
def test_texts_as_bytes(texts):
    spans = Spans.of(texts)
    assert spans.texts().tolist() == texts
    assert spans.words().take_all().tolist() == texts
    assert spans.take(np.array([-1])).present().tolist() == [False]


def test_columns_of_other_kinds():
    chains = Chains(ak.Array([[{"a": 1, "b": "x", "c": None, "d": True}, {"a": None, "b": None, "c": None, "d": None}],
                              [], [{"a": 3.5, "b": "y", "c": None, "d": False}]]))
    assert [chains.values(name).tolist() for name in "abcd"] == [
        [1, None, 3.5], ["x", None, "y"], [None] * 3, [True, None, False]], "missing is neither false nor empty"
    assert chains.ptr.tolist() == [0, 2, 2, 3]
    assert chains.cells().tolist() == [0, 0, 2]
    assert chains.numbers("a").tolist() == [1, 0, 3.5]
    assert chains.spans("a").words().take_all().tolist() == ["1.0", "", "3.5"]
    assert chains.spans("b").words().codes.tolist() == [0, -1, 1]
    assert not chains.spans("c").present().any()
    assert not chains.spans("absent").present().any()
    assert chains.flags("c", missing=True).all()


@pytest.mark.parametrize("column", ["locus", "junction", "junction_aa", "productive"])
def test_a_column_that_is_not_there_is_an_error_and_no_missing_receptor(column):
    data = airr_data(["b1 a1", "b1"])
    chains = data.obsm["airr"]
    data.obsm["airr"] = ak.without_field(chains, column)
    with pytest.raises(InputError, match=column):
        clones(data, mode="scirpy")
