"""What the words may rest on: selection, controls, background, populations, constructs, limits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sclineage.evidence import controls, products, verdict
from sclineage.evidence.api import car_status
from sclineage.evidence.design import selection_kind
from sclineage.evidence.tables import WHAT_IF
from tests.evidence import devsim, small
from tests.evidence.devsim import CARRIES, NEGATIVE, Rates

FULL = {"free": (100, 40), "carrying": (60, 30, 20), "singles_free": 60, "singles_carrying": 20}


@pytest.fixture(scope="module")
def measured():
    return small.run(small.library(**FULL), focus=["free0", "car0"])


@pytest.mark.parametrize(("text", "kind"), [
    ("none", "none"), ("CAR+", "CAR+"), ("car-", "CAR-"), ("", "unknown"), ("unknown", "unknown"), ("CD3+", "gate"),
    ("CD5dim", "gate"), ("CD3+CD4+", "gate"), ("CD45+ CD19-", "gate"), ("CD3+CAT+", "unknown"), ("EGFRt+", "unknown"),
    ("CD3+ CAR+", "unknown")])
def test_selection_kinds(text, kind):
    assert selection_kind(text) == kind


def test_clonal_car_and_its_absence(measured):
    table = small.clone_table(measured)
    assert table.loc["free0", "car_verdict"] in NEGATIVE
    assert table.loc["car0", "car_verdict"] in CARRIES
    assert table.loc["free0", "car_evidence"] == table.loc["car0", "car_evidence"] == "RNA"
    assert table.loc["free0", "car_log10_bf"] < -1.3
    assert table.loc["car0", "car_log10_bf"] > 5
    assert table.loc["car0", "car_fraction_low"] > 0.8
    assert np.allclose(table[["car_p_negative", "car_p_positive", "car_p_mixed"]].sum(axis=1), 1)
    samples = small.stored(measured, "car_samples").loc["s1"]
    assert samples["car_sensitivity_source"] == "same_library"
    assert 0.4 < samples["car_sensitivity"] < 0.95
    assert samples["car_umi_total"] == small.counts(measured).sum()


def test_limits_go_with_a_negative(measured):
    row = small.clone_table(measured).loc["free0"]
    assert row["car_fraction_low"] == 0 < row["car_fraction_high"] < 0.3
    assert row["car_theta_excluded"] <= 0.18
    assert row["car_power"] > 0.8
    few = small.clone_table(measured).loc["sf0"]
    assert few["car_power"] == 0
    assert few["car_fraction_high"] > 0.8
    assert np.isnan(small.clone_table(measured).loc["car0", "car_theta_excluded"])


def test_rows_per_specimen_count_exactly(measured):
    rows = small.rows(measured).set_index(["clone_id", "population"])
    obs, umi = measured.obs, small.counts(measured)
    mine = (obs["clone_id"] == "car0").to_numpy()
    row = rows.loc[("car0", "all")]
    assert row["n_informative"] == mine.sum()
    assert row["umi"] == umi[mine].sum()
    assert row["n_with_car"] == (umi[mine] > 0).sum()
    assert row["expected_if_negative"] < 5 < row["expected_if_positive"]
    assert set(rows.index.get_level_values("population")) == {"all"}


def test_what_if_scenarios(measured):
    table = small.stored(measured, "car_what_if")
    assert tuple(table.columns) == WHAT_IF
    assert sorted(set(table["clone_id"])) == ["car0", "free0"]
    byname = table.set_index(["clone_id", "scenario"])
    found = small.clone_table(measured)
    for clone in ("car0", "free0"):
        assert byname.loc[(clone, "fitted"), "car_verdict"] == found.loc[clone, "car_verdict"]
        assert byname.loc[(clone, "fitted"), "car_log10_bf"] == pytest.approx(found.loc[clone, "car_log10_bf"])
    free = byname.loc["free0", "car_log10_bf"]
    assert free["sensitivity_halved"] > free["fitted"]  # zeros say less when the assay sees less
    assert byname.loc[("car0", "background_x10"), "car_log10_bf"] < byname.loc[("car0", "fitted"), "car_log10_bf"]


def test_no_negative_without_enough_carrying_cells_beside_the_clone():
    """The library's own carrying clones measure capture, the tested one left out."""
    adata = small.run(small.library(free=(100,), carrying=(25,), singles_free=60))
    table = small.clone_table(adata)
    assert table.loc["car0", "car_verdict"] in CARRIES
    assert (table.loc["free0", "car_verdict"], table.loc["free0", "car_reason"]) == ("indeterminate", "no_control")
    assert table.loc["free0", "car_power"] == 0


def test_a_clone_does_not_measure_its_own_capture():
    own = np.array([[40.0, 60.0]])
    found = controls.Controls(own, [{7: (35.0, 55.0)}], np.array([False]), np.array([False]), np.array([False]))
    assert found.strength(np.array([7, 3]), np.array([0, 0])).tolist() == [controls.NONE, controls.SAME]


def test_unknown_selection_says_at_most_present():
    adata = small.run(small.library(**FULL, obs={"selection": ""}))
    table = small.clone_table(adata)
    assert set(table["car_verdict"]) <= {"CAR_present", "indeterminate"}
    assert table.loc["car0", "car_verdict"] == "CAR_present"
    assert np.isnan(table.loc["car0", "car_fraction"])
    assert "selection_unknown" in table.loc["car0", "car_flags"]


def test_gates_of_surface_markers_keep_the_share():
    adata = small.run(small.library(**FULL, obs={"selection": "CD5dim"}))
    assert small.clone_table(adata).loc["free0", "car_verdict"] in NEGATIVE
    assert set(small.rows(adata)["selection"]) == {"CD5dim"}


def test_car_positive_sort_never_gives_a_share_or_a_negative():
    adata = small.run(small.library(free=(60,), carrying=(40, 30), singles_carrying=60, obs={"selection": "CAR-"}),
                      small.library("sort", carrying=(40, 30), singles_carrying=60, prefix="z",
                                    obs={"selection": "CAR+"}))
    table = small.clone_table(adata)
    assert set(table["car_verdict"]) <= {"CAR_present", "indeterminate"}
    assert table.loc["zcar0", "car_verdict"] == "CAR_present"
    assert table["car_fraction"].isna().all()
    assert "only_CAR+_sorted" in table.loc["zcar0", "car_flags"]
    assert "only_CAR-_sorted" in table.loc["free0", "car_flags"]


def test_members_in_the_sort_and_none_outside_are_a_minor_mixture():
    """A clone that carries in the sort and excludes a clonal CAR outside: mixed, never negative."""
    outside = small.library(free=(120, 40), singles_free=80, obs={"specimen": "b"})
    inside = small.library("sort", carrying=(40, 30), singles_carrying=60, prefix="z",
                           obs={"selection": "CAR+", "specimen": "b"})
    inside.clones["free0"], inside.truth["free0"] = 30, devsim.CARRYING
    adata = small.run(outside, inside)
    row = small.clone_table(adata).loc["free0"]
    assert row["car_verdict"] == "CAR_mixed"
    assert "minor" in row["car_flags"].split(";")
    assert row["car_fraction_high"] < 0.3  # of the unsorted cells
    rows = small.rows(adata)
    rows = rows[rows["clone_id"] == "free0"].set_index("selection")
    assert rows.loc["none", "car_verdict"] in NEGATIVE
    assert rows.loc["CAR+", "car_verdict"] == "CAR_present"
    # no unsorted cell is called because of the sort
    unsorted = adata.obs[(adata.obs["sample"] == "s1") & (adata.obs["clone_id"] == "free0")]
    assert not (unsorted["car_call"] == "pos").any()


def test_combination_of_whole_and_parts():
    def say(own, reason, **found):
        return verdict.combine(own, reason, **({"sorted_members": False, "sorted_surely": False,
                                                "specimen_members": False} | found))

    surely = {"sorted_members": True, "sorted_surely": True}
    assert say("no_clonal_CAR_expression", "", **surely) == ("CAR_mixed", "", "minor")
    assert say("CAR_transcript_not_detected", "", specimen_members=True) == ("CAR_mixed", "", "minor")
    for own in ("no_clonal_CAR_expression", "CAR_transcript_not_detected"):  # one doublet of a leaked cell could do it
        assert say(own, "", sorted_members=True) == ("no_clonal_CAR_expression", "", "")
    assert say("indeterminate", "no_control", sorted_members=True)[::2] == ("CAR_present", "from_sorted")
    assert say("indeterminate", "doublets", specimen_members=True)[::2] == ("CAR_present", "one_specimen")
    assert say("CAR_positive", "", specimen_members=True, **surely) == ("CAR_positive", "", "")
    assert say("indeterminate", "no_control") == ("indeterminate", "no_control", "")


def test_native_reads_in_every_t_cell_are_no_car():
    """One dominant clone with misassigned reads and no T-cell control: nothing may carry, nothing is negative."""
    library = small.library(free=(300, 40), singles_free=200, rates=Rates(native=2e-4))
    adata = small.run(library)
    table = small.clone_table(adata)
    assert set(table["car_verdict"]) == {"indeterminate"}
    assert table.loc["free0", "car_reason"] == "background_not_identified"
    assert small.stored(adata, "car_samples")["car_p_background"].iloc[0] > 0.5
    assert (adata.obs["car_call"] != "pos").mean() > 0.99

    def whole(data):
        data.obs["car_counting"] = "whole_cds"

    assert small.clone_table(small.run(library, edit=whole)).loc["free0", "car_reason"] == "counts_not_car_unique"


def test_car_unique_counting_of_a_sort_skips_the_comparison():
    library = small.library(carrying=(40, 30, 20), singles_carrying=100, obs={"selection": "CAR+"})

    def unique(data):
        data.obs["car_counting"] = "unique"

    adata = small.run(library, edit=unique)
    assert np.isnan(small.stored(adata, "car_samples")["car_p_background"].iloc[0])
    assert small.clone_table(adata).loc["car0", "car_verdict"] == "CAR_present"


def test_mostly_misassigned_counts_allow_no_negative():
    """A control that shows as much as a carrying cell: absence means nothing, whoever declared it."""
    same = Rates(native=4e-4)
    adata = small.run(small.library(**FULL, rates=same),
                      small.library("donor", free=(80,), singles_free=60, prefix="d", rates=same), negative="donor")
    table = small.clone_table(adata)
    assert not set(table["car_verdict"]) & set(NEGATIVE)
    assert "counts_not_car_unique" in small.stored(adata, "car_samples").loc["s1", "flags"]


def test_segment_that_the_chemistry_misses_turns_negatives_off():
    def unseen(data):
        data.obs["segment_seen"] = "False"

    table = small.clone_table(small.run(small.library(**FULL), edit=unseen))
    assert not set(table["car_verdict"]) & set(NEGATIVE)
    assert table.loc["free0", "car_reason"] == "segment_not_seen_by_chemistry"


def test_malignant_members_answer_for_their_clone():
    """Carrying members outside the malignant population do not make the tumour carry."""
    adata = devsim.patient([small.library(**FULL)], 5)
    other = devsim.patient([small.library(carrying=(30,), prefix="x")], 6)[:30]
    rows = np.flatnonzero(adata.obs["clone_id"] == "free0")
    x = adata.X.tolil()
    x[rows[:15], 0] = other.X[:15, 0].toarray() + 1
    adata.X = x.tocsr()
    adata.obs["tumour"] = False
    adata.obs.iloc[rows[15:], adata.obs.columns.get_loc("tumour")] = True
    car_status(adata, car="CAR", population_key="tumour", device="cpu")
    table = small.rows(adata).set_index(["clone_id", "population"])
    assert table.loc[("free0", "all"), "n_informative"] == 100
    assert table.loc[("free0", "malignant"), "n_informative"] == 85
    assert table.loc[("free0", "other"), "n_informative"] == 15
    assert table.loc[("free0", "malignant"), "car_verdict"] in NEGATIVE
    assert table.loc[("free0", "other"), "car_verdict"] in CARRIES
    assert table.loc[("free0", "all"), "car_verdict"] == "CAR_mixed"
    assert ("car0", "malignant") not in table.index
    row = small.clone_table(adata).loc["free0"]
    assert (row["car_n_informative"], row["car_verdict"]) == (85, table.loc[("free0", "malignant"), "car_verdict"])
    assert set(small.stored(adata, "car_what_if")["clone_id"]) == {"free0"}


def test_several_constructs_are_judged_together_and_named():
    adata = devsim.patient([small.library(**FULL)], 7)
    counts = small.counts(adata)
    first = adata.obs["clone_id"].isin(["car0", "sc0", "sc1"]).to_numpy()
    import anndata as ad
    from scipy import sparse

    x = np.column_stack([np.where(first, counts, 0), np.where(first, 0, counts), small.counts(adata, "rest")])
    two = ad.AnnData(sparse.csr_matrix(x.astype(np.float32)), obs=adata.obs,
                     var=pd.DataFrame(index=["AXI", "TISA", "rest"]))
    car_status(two, car="axi=AXI,tisa=TISA", device="cpu")
    table = small.clone_table(two)
    assert table.loc["car0", "car_product"] == "axi"
    assert table.loc["car1", "car_product"] == "tisa"
    assert table.loc["free0", "car_product"] == ""
    assert (two.obs["car_umi"] == counts).all()
    pos = two.obs[two.obs["car_call"] == "pos"]
    assert set(pos.loc[pos["clone_id"] == "car0", "car_product"]) == {"axi"}
    both = devsim.patient([small.library(**FULL)], 7)
    car_status(both, car="CAR", device="cpu")
    assert small.clone_table(both)["car_verdict"].equals(table["car_verdict"])  # the verdict is on the union
    assert (small.clone_table(both)["car_product"] == "").all()


def test_empty_droplets_measure_the_soup():
    adata = devsim.patient([small.library(**FULL)], 8)
    adata.uns["sclineage"] = {"empties": pd.DataFrame({
        "sample": ["s1"], "feature": ["CAR"], "n_droplets": [5000], "umi_total": [200000], "feature_umi": [25]})}
    car_status(adata, car="CAR", device="cpu")
    fit = small.stored(adata, "car_fit").iloc[0]
    assert fit["alpha"] == pytest.approx(25.5 / 5001, rel=0.3)
    assert small.clone_table(adata).loc["car0", "car_verdict"] in CARRIES


def test_empty_droplets_alone_name_their_source():
    adata = devsim.patient([small.library(**FULL, other_cells=10)], 8)
    adata.uns["sclineage"] = {"empties": pd.DataFrame({
        "sample": ["s1"], "feature": ["CAR"], "n_droplets": [5000], "umi_total": [200000], "feature_umi": [25]})}
    car_status(adata, car="CAR", device="cpu")
    assert small.stored(adata, "car_samples")["car_background_source"].iloc[0] == "empties"


def test_car_free_donors_of_the_same_well_are_a_control():
    adata = devsim.patient([small.library(**FULL, rates=Rates(native=5e-5)),
                            small.library("donor", free=(60,), singles_free=60, prefix="d",
                                          rates=Rates(native=5e-5))], 9)
    adata.obs["gem_well"] = "w1"
    adata.obs["donor_cell"] = adata.obs["sample"] == "donor"
    car_status(adata, car="CAR", negative="donor_cell", device="cpu")
    fit = small.stored(adata, "car_fit").set_index("sample").loc["s1"]
    assert fit["mt"] == 0  # the control's rate is part of beta
    assert 2.5e-5 < fit["beta"] < 1e-4
    assert np.isnan(small.stored(adata, "car_samples").loc["s1", "car_p_background"])
    assert (adata.obs.loc[adata.obs["donor_cell"], "car_p"] == 0).all()


@pytest.mark.parametrize(("umi", "product"), [
    ([3, 0, 40], "A"), ([0, 0, 40], "unresolved"), ([5, 5, 0], "unresolved"), ([1, 0, 9], "unresolved"),
    ([1, 19, 3], "B"), ([0, 0, 0], "unresolved")])
def test_molecules_of_either_product_name_none(umi, product):
    assert products._name(np.array(umi), ("A", "B", "A_or_B"), products.MIN_UMI) == product
