"""`sl.tl.clones` on AnnData and MuData: what is written where, for one patient and several, and what is refused."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from sclineage._errors import InputError
from sclineage._schema import CLONE_STATUSES, RECEPTORS
from sclineage.clones.api import clones, informative, parse_focus, why
from sclineage.patient import access

from .builders import airr_data, background, junction

CELLS = ["b1 a1"] * 4 + ["b2 a2"] * 3 + ["b1 a1 b2 a2", "a1", "a9", "", "g1 d1"] + background(20)
NAMES = ("clone_id", "clone_posterior", "clone_status", "clone_id_2", "has_trb", "receptor_kind")


@pytest.fixture
def data():
    airr = airr_data(CELLS, {"sample": ["s1"] * len(CELLS), "patient": ["P"] * len(CELLS)})
    return MuData({"airr": airr})


def test_columns_in_both_places(data):
    clones(data)
    for name in NAMES:
        own, shared = data["airr"].obs[name], data.obs[f"airr:{name}"]
        assert len(own) == len(shared) == len(CELLS)
        if name != "clone_posterior":
            assert list(own) == list(shared)
            assert not own.isna().any()
    obs = data["airr"].obs
    assert set(obs["clone_status"]) <= set(CLONE_STATUSES)
    assert len(set(obs["clone_id"][:4])) == 1
    assert obs["clone_status"].iloc[7] == "doublet"
    assert {obs["clone_id"].iloc[7], obs["clone_id_2"].iloc[7]} == {obs["clone_id"].iloc[0], obs["clone_id"].iloc[4]}
    assert access.text(data, "clone_id").tolist() == obs["clone_id"].tolist()
    assert obs["clone_posterior"].isna().tolist()[9:12] == [True] * 3


def test_tables(data):
    clones(data)
    table = access.table(data, "receptors")
    assert list(table.columns) == [c.name for c in RECEPTORS]
    assert table["clone_id"].is_unique
    obs = data["airr"].obs
    named = (set(obs["clone_id"]) | set(obs["clone_id_2"])) - {""}
    assert named == set(table["clone_id"]), "every id that a cell names has its row"
    counted = obs[obs["clone_status"].isin(("assigned", "attached_dropout", "ambient_cleaned", "multichain"))]
    assert table.set_index("clone_id")["n_cells"].to_dict() == (
        dict.fromkeys(table["clone_id"], 0) | counted["clone_id"].value_counts().to_dict())
    row = table.set_index("clone_id").loc[obs["clone_id"].iloc[0]]
    assert (row["trb_junction"], row["tra_junction"]) == (junction("b1"), junction("a1"))
    assert (row["trb_v"], row["trb_j"], row["trb_c"], row["tra_v"]) == ("TRBV6-5", "TRBJ2-7", "TRBC2", "TRAV12-1")
    assert (row["n_cells"], row["n_paired"]) == (5, 4)
    rates = access.store(data)["receptor_rates"]
    assert rates.loc[0, ["sample", "n_cells", "n_with_trb", "n_with_tra"]].tolist() == ["s1", 32, 28, 30]
    assert {"capture_trb", "capture_tra", "ambient_share", "doublet_share"} <= set(rates.columns)
    assert access.store(data)["params"]["clones"]["mode"] == "posterior"


def test_survives_h5mu(data, tmp_path):
    clones(data)
    data.write_h5mu(tmp_path / "x.h5mu")
    back = mudata.read_h5mu(tmp_path / "x.h5mu")
    for name in ("clone_id", "clone_status", "clone_id_2"):
        assert access.text(back, name).tolist() == access.text(data, name).tolist()
    pd.testing.assert_frame_equal(access.table(back, "receptors"), access.table(data, "receptors"), check_dtype=False)
    assert len(access.store(back)["clone_aliases"].columns) == 3


def test_running_twice_is_running_once(data):
    clones(data)
    first = {n: data["airr"].obs[n].copy() for n in NAMES}
    clones(data)
    for name, values in first.items():
        pd.testing.assert_series_equal(values, data["airr"].obs[name])


def test_plain_anndata():
    adata = airr_data(CELLS)
    clones(adata)
    assert set(NAMES) <= set(adata.obs.columns)
    assert adata.obs["clone_id"].iloc[0].startswith("patient:")
    assert access.table(adata, "receptors")["n_cells"].max() == 5


def test_cells_without_vdj_are_not_assessed_rather_than_empty():
    names = [f"cell{i:05d}" for i in range(6)] + ["t1", "t2"]
    gex = AnnData(np.ones((8, 2), dtype=np.float32), obs=pd.DataFrame(
        {"sample": ["s1"] * 6 + ["s1", "s2"], "patient": "P"}, index=names))
    airr = airr_data(["b1 a1"] * 6, {"sample": ["s1"] * 6, "patient": ["P"] * 6})
    data = MuData({"gex": gex, "airr": airr})
    data.obs["sample"], data.obs["patient"] = gex.obs["sample"], "P"
    clones(data)
    status = dict(zip(data.obs_names, access.text(data, "clone_status"), strict=True))
    assert status["t1"] == "no_receptor"
    assert status["t2"] == "", "sample s2 has no V(D)J data: nothing is known of its cells"
    assert data.obs["airr:has_trb"].dtype == bool


def test_patients_are_never_merged():
    cells = ["b1 a1"] * 6
    data = MuData({"airr": airr_data(cells, {"patient": ["A"] * 3 + ["B"] * 3, "sample": ["a"] * 3 + ["b"] * 3})})
    clones(data)
    ids = data["airr"].obs["clone_id"]
    assert len(set(ids[:3])) == len(set(ids[3:])) == 1
    assert ids.iloc[0].startswith("A:")
    assert ids.iloc[3].startswith("B:")
    table = access.table(data, "receptors")
    assert table["patient"].tolist() == ["A", "B"]
    assert table["n_cells"].tolist() == [3, 3]


def test_same_barcode_in_two_samples():
    """Two cells whose barcodes are equal stay two cells of two clones."""
    airr = airr_data(["b1 a1", "b2 a2"] * 3)
    airr.obs["barcode"] = ["AAA-1"] * 6
    airr.obs["sample"] = ["s1", "s2"] * 3
    data = MuData({"airr": airr})
    clones(data)
    ids = data["airr"].obs["clone_id"]
    assert ids.iloc[0] == ids.iloc[2] != ids.iloc[1]


def test_key_added_and_other_names():
    airr = airr_data(["b1 a1"] * 3, {"who": ["A"] * 3, "lib": ["x"] * 3})
    data = MuData({"tcr": airr})
    clones(data, patient_key="who", sample_key="lib", key_added="clonotype", airr_mod="tcr")
    assert data["tcr"].obs["clonotype"].iloc[0].startswith("A:")
    assert "tcr:clonotype" in data.obs
    assert access.store(data)["receptor_rates"]["sample"].tolist() == ["x"]


def test_bad_input(data):
    with pytest.raises(InputError, match="no modality 'tcr'"):
        clones(data, airr_mod="tcr")
    with pytest.raises(InputError, match="airr_key="):
        clones(data, airr_key="nothing")
    with pytest.raises(InputError, match="mode"):
        clones(data, mode="best")
    with pytest.raises(InputError, match="obsm"):
        clones(AnnData(np.zeros((2, 1))))


def test_no_cell_at_all():
    data = MuData({"airr": airr_data(CELLS)[:0].copy()})
    clones(data)
    assert data["airr"].obs["clone_id"].tolist() == []
    assert access.table(data, "receptors").empty


def test_threshold(data):
    clones(data, threshold=1.0)
    assert not (data["airr"].obs["clone_status"] == "attached_dropout").any()


def test_informative():
    statuses = np.array(["assigned", "doublet", "ambiguous", "no_receptor", "", "ambient_cleaned"], dtype=object)
    has = pd.Series([True, True, True, False, None, True], dtype=object).to_numpy()
    assert informative(statuses, has).tolist() == [True, False, False, False, False, True]


def test_why(data):
    clones(data)
    names = list(data.obs_names)
    ids = data["airr"].obs["clone_id"]
    said = why(data, names[0], names[1])
    assert ids.iloc[0] in said
    assert "are one clone" in said
    assert junction("b1") in said
    assert "not called one clone" in why(data, names[0], names[4])
    assert "doublet" in why(data, names[0], names[7])
    assert "no receptor" in why(data, names[0], names[10])
    assert "\n" not in said
    with pytest.raises(InputError, match="nearest existing: cell"):
        why(data, "cell0000l", names[0])
    with pytest.raises(InputError, match="run sl"):
        why(MuData({"airr": airr_data(["b1"])}), "cell00000", "cell00000")


def test_parse_focus(data, tmp_path):
    clones(data)
    table = access.table(data, "receptors")
    by_chain = table.set_index("trb_junction")["clone_id"]
    one, two = by_chain[junction("b1")], by_chain[junction("b2")]
    path = tmp_path / "focus.txt"
    path.write_text(f"# clones of interest\n{junction('b1').lower()}, TRBV6-5*01, TRBJ2-7\n\n{two}\n{one}\n")
    assert parse_focus(path, table) == [one, two]
    assert parse_focus(str(path), table) == [one, two]
    assert parse_focus(junction("a2"), table) == [two]
    assert parse_focus(two.split(":")[1], table) == [two]
    assert parse_focus(junction("b1")[3:-3], table) == [one], "without anchor codons"
    aliases = pd.DataFrame({"alias": ["P:old"], "clone_id": [one]})
    assert parse_focus("P:old", table, aliases=aliases) == [one]
    with pytest.raises(InputError, match=r"line 2.*nearest"):
        parse_focus(f"{two}\n{junction('b1')[:20]}TTTT{junction('b1')[24:]}", table)
    with pytest.raises(InputError, match="is no clone"):
        parse_focus(junction("b1") + " TRBV9", table)
    with pytest.raises(InputError, match="no clone is named"):
        parse_focus("# nothing\n", table)
    with pytest.raises(InputError, match="no such file"):
        parse_focus(tmp_path / "absent.txt", table)


def test_parse_focus_amino_acids(data):
    clones(data)
    table = access.table(data, "receptors").copy()
    table.loc[0, "trb_junction_aa"] = "CASSLGQAYEQYF"
    assert parse_focus("CASSLGQAYEQYF", table) == [table.loc[0, "clone_id"]]
    with pytest.raises(InputError, match="CASSLGQAYEQYF"):
        parse_focus("CASSLGQAYEQF", table)


def _with_expression(cells, kinds):
    """MuData whose cells show the expression of a T cell (``t``) or a monocyte (``m``)."""
    airr = airr_data(cells, {"sample": ["s1"] * len(cells)})
    genes = ["CD3D", "CD3E", "LYZ", "S100A8", "GAPDH"]
    counts = {"t": [3, 2, 0, 0, 9], "m": [0, 0, 20, 15, 9]}
    gex = AnnData(np.array([counts[k] for k in kinds], np.float32),
                  obs=pd.DataFrame({"sample": "s1"}, index=airr.obs_names), var=pd.DataFrame(index=genes))
    return MuData({"gex": gex, "airr": airr})


def test_expression_tells_ambient_chains_from_own():
    """The same weak TRB: a T cell's own in a T cell, ambient in a monocyte."""
    cells = [f"b1:{1 + k % 4} a1:{1 + k % 3}" for k in range(40)] + background(80) + ["b1:1"] * 12 + [""] * 200
    kinds = ["t"] * 120 + ["t"] * 6 + ["m"] * 6 + ["m"] * 200
    data = _with_expression(cells, kinds)
    clones(data)
    obs = data["airr"].obs
    mine = obs["clone_id"].iloc[0]
    assert (obs["clone_id"].iloc[120:126] == mine).all()
    assert (obs["clone_id"].iloc[126:132] == "").all()
    assert (obs["clone_status"].iloc[126:132] == "ambiguous").all()
    assert not obs["has_trb"].iloc[126:132].any()
    blind = MuData({"airr": airr_data(cells, {"sample": ["s1"] * len(cells)})})
    clones(blind)
    assert (blind["airr"].obs["clone_id"].iloc[120:132] == mine).all(), "without expression they are alike"


def test_donors_of_one_well_share_ambient_but_no_clone():
    """A hashed well: the chains of one donor's large clone float into the other donor's cells."""
    cells = ["b1:9 a1:7"] * 60 + background(20)
    cells += [f"b{k} a{k} b1:1" for k in range(500, 510)] + background(30, start=2000)
    airr = airr_data(cells, {"patient": ["A"] * 80 + ["B"] * 40, "sample": ["well_A"] * 80 + ["well_B"] * 40})
    data = MuData({"airr": airr})
    clones(data)
    obs = data["airr"].obs
    assert set(obs["clone_id"][:80].str[:2]) == {"A:"}
    receptors = access.table(data, "receptors").set_index("clone_id")
    named = obs["clone_id"][80:90]
    assert (named != "").all()
    assert [receptors.loc[c, "trb_junction"] for c in named] == [junction(f"b{k}") for k in range(500, 510)]
