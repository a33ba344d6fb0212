"""Exact intervals, limits of detection, and which cells make a specimen's row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from sclineage.origin.timeline import clopper_pearson, limit_of_detection, places, timeline_table, upper_bound
from tests.oracles import malignancy as oracle


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 20), (3, 20), (20, 20), (7, 55)])
def test_clopper_pearson_inverts_the_binomial(k, n):
    low, high = clopper_pearson(np.array([k]), np.array([n]))
    assert (low[0], high[0]) == pytest.approx(oracle.clopper_pearson(k, n), abs=1e-9)


def test_clopper_pearson_against_known_values():
    """R: binom.test(5, 100)$conf.int = 0.01643182 0.11283491; binom.test(0, 4000) upper 0.0009217951."""
    low, high = clopper_pearson(np.array([5, 0]), np.array([100, 4000]))
    assert (low[0], high[0]) == pytest.approx((0.01643182, 0.11283491), abs=1e-7)
    assert (low[1], high[1]) == pytest.approx((0, 0.0009217951), abs=1e-8)


def test_interval_without_cells_is_missing():
    assert np.isnan(np.concatenate(clopper_pearson(np.array([0]), np.array([0])))).all()


def test_limit_of_detection_of_known_sizes():
    """Sizes that detect 1 %, 0.1 %, 0.01 % with 95 %: 299, 2,995, 29,956 cells."""
    n = np.array([299, 2995, 29_956, 4000, 1, 0])
    found = limit_of_detection(n)
    assert (found[:3] <= [0.01, 0.001, 0.0001]).all()
    assert (limit_of_detection(n[:3] - 1) > [0.01, 0.001, 0.0001]).all()
    assert found[3] == pytest.approx(1 - 0.05 ** (1 / 4000), rel=1e-12)
    assert found[3] < 7.5e-4
    assert found[4] == pytest.approx(0.95)
    assert np.isnan(found[5])


def test_upper_bound_is_the_limit_when_nothing_is_seen():
    assert upper_bound(0, 4000) == pytest.approx(limit_of_detection(np.array([4000]))[0], rel=1e-9)
    assert upper_bound(3, 40) == pytest.approx(beta.ppf(0.95, 4, 37))
    assert upper_bound(5, 5) == 1.0
    assert np.isnan(upper_bound(0, 0))


# --- places ----------------------------------------------------------------------------------------------------------
def sheet(**columns):
    return pd.DataFrame(columns, index=columns.pop("sample"))


def test_samples_of_one_specimen_are_pooled_under_its_name():
    found = places(sheet(sample=["w1", "w2", "solo"], specimen=["bx", "bx", "other"], day=[60, 60, 0],
                         selection=["none", "none", "none"]))
    assert found.names == ["bx", "solo"]
    assert found.of_sample == {"w1": 0, "w2": 0, "solo": 1}
    assert found.day.tolist() == [60, 0]
    assert found.flags == ["", ""]


def test_sorted_cells_do_not_enter_a_specimen_that_has_unsorted_ones():
    found = places(sheet(sample=["u", "s", "only"], specimen=["bx", "bx", "blood"], day=[60, 60, 90],
                         selection=["none", "CAR+", "CAR+"]))
    assert found.of_sample == {"u": 1, "s": -1, "only": 0}
    assert found.names == ["only", "bx"]
    assert found.flags == ["selected", ""]


def test_unknown_selection_is_told_and_gives_way_to_unsorted():
    found = places(sheet(sample=["a", "b", "c"], specimen=["x", "x", "y"], selection=["none", "", "unknown"]))
    assert found.of_sample == {"a": 0, "b": -1, "c": 1}
    assert found.flags == ["", "selection_unknown"]
    assert np.isnan(found.day).all()


def test_without_a_sheet_every_sample_is_its_own_specimen():
    found = places(pd.DataFrame(index=["b", "a"]))
    assert found.names == ["a", "b"]
    assert found.flags == ["selection_unknown"] * 2


# --- rows ------------------------------------------------------------------------------------------------------------
def rows(clone, place, informative, ids, where):
    return timeline_table(np.asarray(clone), np.asarray(place), np.asarray(informative, bool), ids, where)


WHERE = places(sheet(sample=["a", "b", "c"], selection=["none", "CAR+", "none"], day=[-3, 5, 9]))


def test_every_clone_has_a_row_in_every_place():
    clone, place = [0, 0, 1, -1, -1, 0], [0, 0, 0, 0, 1, 1]
    found = rows(clone, place, [1, 1, 1, 1, 1, 1], ["x", "y"], WHERE).set_index(["clone_id", "sample"])
    assert len(found) == 6
    first = found.loc[("x", "a")]
    assert (first["n_clone"], first["n_informative"], first["frequency"]) == (2, 4, 0.5)
    assert (first["low"], first["high"]) == pytest.approx((beta.ppf(0.025, 2, 3), beta.ppf(0.975, 3, 2)))
    absent = found.loc[("y", "b")]
    assert (absent["n_clone"], absent["n_informative"], absent["frequency"], absent["low"]) == (0, 2, 0, 0)
    assert absent["limit_of_detection"] == pytest.approx(1 - 0.05**0.5)
    assert absent["flags"] == "selected"
    nothing = found.loc[("y", "c")]
    assert nothing["n_informative"] == 0
    assert nothing[["frequency", "low", "high", "limit_of_detection"]].isna().all()
    assert nothing["flags"] == "no_informative_cells"


def test_members_without_a_trb_do_not_count_and_doublets_neither():
    found = rows([0, 0, 0, -1], [0, 0, -1, 0], [1, 0, 1, 1], ["x"], WHERE).iloc[0]
    assert (found["n_clone"], found["n_informative"]) == (1, 2)


def test_a_clone_without_any_trb_has_no_frequency():
    found = rows([0, 0, -1], [0, 0, 0], [0, 0, 1], ["x"], WHERE).iloc[0]
    assert found["n_clone"] == 2
    assert np.isnan(found["frequency"])
    assert np.isnan(found["limit_of_detection"])
    assert "trb_not_seen" in found["flags"]
