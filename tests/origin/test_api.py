"""Origin of the clones of a whole patient."""

from __future__ import annotations

import mudata as md
import numpy as np
import pandas as pd
import pytest

from sclineage import _schema
from sclineage._errors import InputError
from sclineage.malignancy.populations_api import populations
from sclineage.origin.api import timeline
from sclineage.origin.chains import exact_members
from sclineage.origin.distinct_api import distinct
from sclineage.patient import access
from tests.malignancy import builders as b

SHEET = {
    "apheresis": {"day": -30, "selection": "none", "pool": "p1"},
    "biopsy": {"day": 60, "selection": "none", "pool": "p2", "specimen": "bx"},
    "biopsy_car": {"day": 60, "selection": "CAR+", "pool": "p2", "specimen": "bx"},
    "late": {"day": 90, "selection": "", "pool": "p3"},
}


def rows():
    return pd.concat([
        b.cell_rows("apheresis", "T", 6), b.cell_rows("apheresis", "U", 1), b.small_clones("apheresis", 100, 2),
        b.cell_rows("biopsy", "T", 150, start=500), b.cell_rows("biopsy", "U", 40, start=500),
        b.cell_rows("biopsy", "N", 30), b.small_clones("biopsy", 50, 2, prefix="x"),
        b.cell_rows("biopsy", "", 40, subset="myeloid"),
        b.cell_rows("biopsy_car", "C", 25), b.cell_rows("biopsy_car", "T", 3, start=900),
        b.cell_rows("late", "N", 4, start=100)])


def build(*, order=None, sheet=SHEET, obs=None):
    obs = (rows() if obs is None else obs).reset_index(drop=True)
    return b.patient(obs if order is None else obs.iloc[order], samples=sheet)


def origin(data):
    return access.table(data, "origin").set_index("clone_id")


def test_timeline_has_every_clone_in_every_specimen():
    data = build()
    timeline(data)
    table = access.table(data, "timeline").set_index(["clone_id", "sample"])
    assert len(table) == 3 * len(set(access.text(data, "clone_id")) - {""})
    tumour = table.loc[("T", "bx")]
    assert (tumour["n_clone"], tumour["n_informative"]) == (150, 320)
    assert tumour["flags"] == ""
    assert table.loc[("T", "apheresis"), "frequency"] == pytest.approx(6 / 207)
    sorted_only = table.loc[("C", "bx")]
    assert (sorted_only["n_clone"], sorted_only["frequency"]) == (0, 0)  # its cells are in the sort alone
    assert table.loc[("N", "late"), "flags"] == "selection_unknown"


def test_origin_says_yes_not_detected_and_why():
    data = build()
    timeline(data)
    found = origin(data)
    assert found.loc["T", ["first_day", "predates_infusion", "predates_reason"]].tolist() == [-30, "yes", ""]
    assert found.loc["U", ["predates_infusion", "predates_reason"]].tolist() == ["not_detected", "one_cell_only"]
    assert found.loc["N", ["first_day", "predates_infusion", "predates_reason"]].tolist() == [60, "not_detected", ""]
    assert found.loc["N", "predates_limit"] == pytest.approx(1 - 0.05 ** (1 / 207))
    assert found.loc["U", "predates_limit"] > found.loc["N", "predates_limit"]
    assert found.loc["C", "first_day"] == 60


def test_without_a_sample_before_the_infusion_it_was_not_sampled():
    sheet = {k: v | {"day": abs(v["day"])} for k, v in SHEET.items()}
    data = build(sheet=sheet)
    timeline(data)
    found = origin(data)
    assert set(found["predates_infusion"]) == {"not_sampled"}
    assert found["predates_limit"].isna().all()


def test_without_days_it_was_not_sampled():
    data = build(sheet={k: {} for k in SHEET})
    timeline(data)
    assert set(origin(data)["predates_infusion"]) == {"not_sampled"}
    assert origin(data)["first_day"].isna().all()


def test_a_sorted_sample_before_the_infusion_excludes_no_frequency():
    sheet = SHEET | {"apheresis": SHEET["apheresis"] | {"selection": "CAR+"}}
    data = build(sheet=sheet)
    timeline(data)
    found = origin(data)
    assert found.loc["N", ["predates_infusion", "predates_reason"]].tolist() == [
        "not_sampled", "no_informative_unsorted_cells"]
    assert np.isnan(found.loc["N", "predates_limit"])
    assert found.loc["T", "predates_infusion"] == "yes"  # cells seen are seen


def test_chains_of_the_early_cells_are_read_not_assumed():
    data = build()
    table = access.table(data, "receptors")
    table.loc[table["clone_id"] == "T", "tra_junction"] = "TGTGCGTTT"
    timeline(data)
    assert origin(data).loc["T", "predates_reason"] == "chains_not_both_exact"
    table.loc[table["clone_id"] == "T", "tra_junction"] = "TGTGCGTTT;" + b.junction("T", "TRA")
    timeline(data)
    assert origin(data).loc["T", "predates_infusion"] == "yes"


def test_exact_members_need_both_chains():
    chains = pd.DataFrame({"cell": [0, 0, 1, 2, 2, 3, 3], "locus": ["TRB", "TRA", "TRB", "TRB", "TRA", "TRB", "TRA"],
                           "junction": ["AA", "CC", "AA", "aa", "cc", "AA", "GG"]})
    found = exact_members(chains, np.array([0, 0, 0, 0]), ["AA"], ["CC;TT"])
    assert found.tolist() == [True, False, True, False]
    assert not exact_members(chains, np.array([0, 0, 0, 0]), [None], [np.nan]).any()
    assert not exact_members(chains, np.array([-1] * 4), ["AA"], ["CC"]).any()


def test_doublets_speak_for_no_clone_and_no_denominator():
    obs = rows().reset_index(drop=True)
    obs.loc[:4, "clone_status"] = "doublet"
    data = build(obs=obs)
    timeline(data)
    row = access.table(data, "timeline").set_index(["clone_id", "sample"]).loc[("T", "apheresis")]
    assert (row["n_clone"], row["n_informative"]) == (1, 202)
    assert origin(data).loc["T", "predates_reason"] == "one_cell_only"


def test_no_clones_gives_empty_tables():
    data = build(obs=b.cell_rows("biopsy", "", 20, subset="myeloid"), sheet={"biopsy": SHEET["biopsy"]})
    timeline(data)
    assert len(access.table(data, "timeline")) == 0
    assert list(access.table(data, "origin").columns) == [c.name for c in _schema.ORIGIN]
    populations(data)
    distinct(data)
    assert len(access.table(data, "distinct")) == 0


def test_missing_inputs_are_errors():
    data = build()
    del data.obs["has_trb"]
    with pytest.raises(InputError, match="no column 'has_trb'"):
        timeline(data)
    data = build()
    access.store(data)["samples"] = access.store(data)["samples"].drop("late")
    with pytest.raises(InputError, match="'late' is not in the sample sheet"):
        timeline(data)
    with pytest.raises(InputError, match="2 patients"):
        timeline(build(obs=rows().assign(patient=lambda t: np.where(t["sample"] == "late", "Q", "P"))))
    with pytest.raises(InputError, match="no column 'population'"):
        distinct(build())


def test_distinct_lists_pairs_and_claims_what_the_receptor_shows():
    data = build()
    data.obs["malignant_p"] = np.where(access.text(data, "clone_id") == "T", 1.0, 0.01)
    data.obs["car_call"] = np.where(access.text(data, "clone_id") == "C", "pos", "unlikely")
    populations(data)
    distinct(data)
    table = access.table(data, "distinct")
    assert set(table["line"]) == {"all", "donor", "trb", "tra", "copy_number", "vector"}
    found = table[table["line"] == "all"].reset_index(drop=True)
    assert list(zip(found["population_a"], found["population_b"], strict=True)) == [
        ("CAR-T", "other"), ("CAR-T", "other_T"), ("malignant", "CAR-T"), ("malignant", "other"),
        ("malignant", "other_T"), ("other_T", "other")]
    assert set(found["shared_ancestor"]) == {"not_assessed"}
    assert (found["level"] == "").all()
    t_cells = (found[["population_a", "population_b"]] != "other").all(axis=1)
    open_ = (found["population_a"] == "malignant") & (found["population_b"] == "CAR-T")  # CAR of T open
    assert set(found.loc[t_cells & ~open_, "same_t_cell"]) == {"no"}  # T, and C, are in no other population
    assert found.loc[open_, ["same_t_cell", "flags"]].to_numpy().tolist() == [["not_assessed", "vector_not_excluded"]]
    assert set(found.loc[~t_cells, "same_t_cell"]) | set(found.loc[~t_cells, "flags"]) == {"not_assessed"}
    assert found.loc[~t_cells, "llr"].isna().all()
    assert (found.loc[t_cells, "llr"] < -2).all()
    row = found[(found["population_a"] == "malignant") & (found["population_b"] == "CAR-T")].iloc[0]
    assert (row["n_informative_a"], row["n_informative_b"]) == (159, 25)


def test_order_of_cells_and_rows_does_not_matter():
    n = len(rows())
    one = build()
    two = build(order=np.random.default_rng(3).permutation(n), sheet=dict(reversed(SHEET.items())))
    for data in (one, two):
        timeline(data)
    for name in ("timeline", "origin"):
        pd.testing.assert_frame_equal(access.table(one, name), access.table(two, name), check_exact=True)


def test_everything_written_survives_h5mu(tmp_path):
    data = build()
    populations(data)
    timeline(data)
    distinct(data)
    data.write_h5mu(tmp_path / "o.h5mu")
    back = md.read_h5mu(tmp_path / "o.h5mu")
    for name in ("timeline", "origin", "distinct"):
        again = _schema.conform(access.table(back, name), name)
        pd.testing.assert_frame_equal(again, access.table(data, name))
    timeline(back)
    pd.testing.assert_frame_equal(access.table(back, "origin"), access.table(data, "origin"))
