"""CAR-T libraries of patients: what must be seen, and what must not be said."""

from __future__ import annotations

import numpy as np
import pytest

from sclineage.evidence.api import car_status
from tests.evidence import realdata, small
from tests.evidence.devsim import CARRIES, NEGATIVE

pytestmark = pytest.mark.real
OPEN_SAMPLES = "none"


@pytest.fixture(scope="module", params=["unknown", "unique"])
def p02(request, public_data):
    adata = realdata.carpall(public_data, "P02", counting=request.param)
    car_status(adata, car="CAT_scFv", device="cpu")
    return adata


def sorted_rows(adata):
    rows = small.rows(adata)
    return rows[(rows["population"] == "all") & (rows["selection"] == "CAR+")]


def test_p02_sorted_clones_carry(p02):
    rows = sorted_rows(p02)
    ten, five = rows[rows["n_informative"] >= 10], rows[rows["n_informative"] >= 5]
    assert len(ten) >= 5
    assert len(five) >= 20
    assert ten["car_verdict"].isin(CARRIES).all()
    assert five["car_verdict"].isin(CARRIES).mean() >= 0.9
    table = small.clone_table(p02)
    carrying = table.loc[sorted(set(five["clone_id"]))]
    assert not carrying["car_verdict"].isin(NEGATIVE).any()


def test_p02_largest_clone_is_a_minor_mixture(p02):
    """Half of its sorted cells show the CAR, none of its unsorted ones."""
    month = set(p02.obs.loc[p02.obs["specimen"] == "P02_PB_M02", "sample"])
    sizes = p02.obs.loc[p02.obs["sample"].isin(month) & (p02.obs["clone_id"] != ""), "clone_id"].value_counts()
    rows = small.rows(p02)
    rows = rows[(rows["clone_id"] == sizes.index[0]) & (rows["specimen"] == "P02_PB_M02")].set_index("selection")
    assert rows.loc["CAR+", "n_with_car"] == 50
    assert rows.loc["CAR+", "n_informative"] in (89, 90)
    assert (rows.loc["none", "n_with_car"], rows.loc["none", "n_informative"]) == (0, 51)
    row = small.clone_table(p02).loc[sizes.index[0]]
    assert row["car_verdict"] == "CAR_mixed"
    assert "minor" in row["car_flags"].split(";")


def test_p02_unsorted_cells_are_not_called_for_the_sort(p02):
    """Blood and marrow; the product (0 months) holds CAR-T cells of its own, each called by its own UMI."""
    unsorted = p02.obs[(p02.obs["selection"] == OPEN_SAMPLES) & (p02.obs["car_call"] == "pos")]
    assert (unsorted["car_umi"] >= 1).all()
    assert (unsorted["material"] != "PROD").sum() <= 2


@pytest.mark.parametrize("patient", ["P10", "P13"])
def test_other_cells_are_never_called(public_data, patient):
    adata = realdata.carpall(public_data, patient)
    car_status(adata, car="CAT_scFv", device="cpu")
    other = adata.obs["subset"].isin(["myeloid", "B"])
    assert other.sum() > 0
    assert not (adata.obs.loc[other, "car_call"] == "pos").any()


@pytest.mark.parametrize("patient", ["P10", "P13"])
def test_unsorted_libraries_alone_are_never_negative(public_data, patient):
    adata = realdata.carpall(public_data, patient, only="none")
    car_status(adata, car="CAT_scFv", device="cpu")
    table = small.clone_table(adata)
    assert not table["car_verdict"].isin([*NEGATIVE, "CAR_positive"]).any()
    assert "no_control" in set(table["car_reason"]) or table["car_n_informative"].max() < 4


@pytest.mark.parametrize("patient", ["P10", "P13"])
def test_pairs_say_nothing_that_was_not_measured(public_data, patient):
    adata = realdata.carpall(public_data, patient)
    car_status(adata, car="CAT_scFv", device="cpu")
    samples = small.stored(adata, "car_samples")
    rows = small.rows(adata).merge(adata.obs[["specimen", "selection", "sample"]].drop_duplicates(),
                                   on=["specimen", "selection"])
    unmeasured = rows["sample"].map(samples["flags"].str.contains("no_positive_control"))
    assert not rows.loc[unmeasured, "car_verdict"].isin(NEGATIVE).any()
    assert not rows.loc[rows["selection"] == "none", "car_verdict"].eq("CAR_positive").any()


def test_f1_runs_without_depth(public_data):
    adata = realdata.f1(public_data)
    adata.obs["selection"] = "CAR+"
    adata.obs["car_counting"] = "unique"  # all cells are alike: without it, background and CAR cannot be told apart
    car_status(adata, car="CAR", device="cpu")
    assert "depth_unknown" in small.stored(adata, "car_samples")["flags"].iloc[0]
    rows = sorted_rows(adata)
    assert rows.loc[rows["n_informative"] >= 5, "car_verdict"].isin(CARRIES).all()


LAYOUTS = {"singles": (8000, ()), "one_of_100": (8000, (100,)), "one_of_300": (8000, (300,)),
           "one_of_3000": (8000, (3000,)), "six": (8000, (300, 100, 60, 40, 30, 20)), "many": (8000, (20,) * 25),
           "six_12000": (12000, (300, 100, 60, 40, 30, 20)), "one_12000": (12000, (300,)), "one_20000": (20000, (300,)),
           "barcodes_only": (7127, (300,))}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bbbleuk_carries_nothing(public_data, layout):
    cells, large = LAYOUTS[layout]
    adata = realdata.bbbleuk(public_data, cells=cells, large=large)
    adata.obs["selection"] = "none"
    car_status(adata, car="CAR", device="cpu")
    table = small.clone_table(adata)
    assert not table["car_verdict"].isin(CARRIES).any()
    assert not table["car_verdict"].isin(NEGATIVE).any()
    if large:
        assert set(table.loc[[f"big{k}" for k in range(len(large))], "car_reason"]) == {"background_not_identified"}
    assert (adata.obs["car_call"] == "pos").mean() < 0.002


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_few_cells_of_bbbleuk_carry_nothing(public_data, seed):
    adata = realdata.bbbleuk(public_data)
    rng = np.random.default_rng(seed)
    adata = adata[np.sort(rng.choice(adata.n_obs, 600, replace=False))].copy()
    clones = adata.obs["clone_id"].to_numpy(dtype=object).copy()
    clones[rng.choice(600, 300, replace=False)] = "big"
    adata.obs["clone_id"], adata.obs["selection"] = clones, "none"
    car_status(adata, car="CAR", device="cpu")
    assert not small.clone_table(adata)["car_verdict"].isin(CARRIES).any()


@pytest.mark.parametrize("how", ["declared", "by_day"])
def test_bbbleuk_as_a_control_carries_nothing(public_data, how):
    adata = realdata.bbbleuk(public_data, large=(300, 100, 60))
    adata.obs["selection"] = "none"
    if how == "by_day":
        adata.obs["day"] = -7.0
    car_status(adata, car="CAR", negative="BBBleuk" if how == "declared" else None, device="cpu")
    assert not small.clone_table(adata)["car_verdict"].isin(CARRIES).any()
    flags = small.stored(adata, "car_samples")["flags"].iloc[0]
    assert ("car_in_negative_control" if how == "declared" else "pre_infusion_car") in flags
