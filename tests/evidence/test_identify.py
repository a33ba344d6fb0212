"""Misassigned reads without a T-cell control, and how sure a carrying verdict must be."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sclineage.evidence import controls, verdict
from tests.evidence import small
from tests.evidence.devsim import CARRIES, NEGATIVE, Rates

SIZES = {"free": (400, 60, 60, 40, 40, 20, 20), "carrying": (40, 30, 30, 20, 20), "singles_free": 150,
         "singles_carrying": 60}


@pytest.fixture(scope="module")
def native():
    """CAR-T cells beside one dominant clone; every T cell has misassigned reads, and no control says so."""
    return small.run(small.library(**SIZES, rates=Rates(native=4e-5)), seed=11)


def test_a_rate_that_all_clones_share_is_background(native):
    fit = small.stored(native, "car_fit").iloc[0]
    assert 2.8e-5 < fit["mt"] < 5.5e-5
    assert fit["p_clear"] > 0.95
    table = small.clone_table(native)
    assert not table.loc[table.index.str.startswith("free"), "car_verdict"].isin(CARRIES).any()
    car = table[table.index.str.startswith("car") & (table["car_n_informative"] >= 20)]
    assert car["car_verdict"].isin(CARRIES).all()


def test_no_rate_is_sought_where_none_is():
    fit = small.stored(small.run(small.library(**SIZES), seed=12), "car_fit").iloc[0]
    assert fit["mt"] < 1e-5


def test_weakly_carrying_libraries_are_never_negative():
    """Where every clone carries, a misassignment explains as much: silence, but nothing negative."""
    adata = small.run(small.library(carrying=(200, 40, 40, 30, 30, 20, 20), singles_carrying=200,
                                    rates=Rates(theta=1.5e-4, tau=0.6)), seed=13)
    assert not small.clone_table(adata)["car_verdict"].isin(NEGATIVE).any()


def test_cells_of_a_library_in_doubt_are_not_called():
    adata = small.run(small.library(free=(300, 40), singles_free=200, rates=Rates(native=2e-4)), seed=14)
    assert small.stored(adata, "car_fit").iloc[0]["p_clear"] < 0.95
    assert not (adata.obs["car_call"] == "pos").any()


def test_small_clones_must_be_surer():
    n, none = np.array([1, 4, 5, 50, 50]), np.array([0.011, 0.009, 0.011, 0.02, 0.03])
    found = SimpleNamespace(n=n, sampled=np.column_stack([none, 1 - none, 0 * none]),
                            evidence=SimpleNamespace(log10_bf=np.full(5, 2.0)), p_clear=np.ones(5))
    assert controls.carries(found).tolist() == [False, True, True, True, False]


def test_a_clonal_car_is_left_out_only_where_it_is_excluded_and_none_is_likelier_than_some():
    state = np.array([[0.51, 0.005, 0.485], [0.49, 0.005, 0.505], [0.98, 0.02, 0.0], [0.0, 0.0, 1.0]])
    assert verdict.no_clonal(state).tolist() == [True, False, False, False]


def test_a_car_sort_tells_small_clones_apart():
    rates = Rates(theta=2e-4)
    tumour = {"free": (60, 30, 20), "carrying": (30, 20), "singles_free": 150, "singles_carrying": 60, "rates": rates}
    sort = small.library("s2", carrying=(30, 20), singles_carrying=60, rates=rates, obs={"selection": "CAR+"})
    alone, both = (small.clone_table(small.run(*libraries, seed=16)).query("clone_id.str.startswith('s')")
                   for libraries in ([small.library(**tumour)], [small.library(**tumour), sort]))
    carries = both.index.str.startswith("sc")
    wrong = [np.where(carries, t.loc[both.index, "car_p_negative"], 1 - t.loc[both.index, "car_p_negative"]).mean()
             for t in (alone, both)]
    assert wrong[1] < 0.05 < 0.2 < wrong[0]


def test_numbers_of_a_minor_clone_are_those_of_its_verdict():
    rates = Rates(theta=8e-4)
    tumour = small.library("s1", free=(80, 60, 40), carrying=(40, 30, 20), singles_free=100, singles_carrying=60,
                           rates=rates, obs={"specimen": "b"})
    sort = small.library("s2", carrying=(40, 30, 20), singles_carrying=100, rates=rates,
                         obs={"specimen": "b", "selection": "CAR+"})
    sort.clones["free0"], sort.truth["free0"] = 30, "CAR"
    row = small.clone_table(small.run(tumour, sort, seed=15)).loc["free0"]
    assert row["car_verdict"] == "CAR_mixed"
    assert "minor" in row["car_flags"].split(";")
    assert row["car_p_mixed"] > 0.95
    assert row[["car_p_negative", "car_p_positive", "car_p_mixed"]].sum() == pytest.approx(1)
    assert row["car_log10_bf"] > 3
    assert row["car_fraction_high"] < 0.5  # of the unselected cells
