"""The definition of a wrong verdict, and the other scores of the acceptance tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.evidence.acceptance_scenarios import SCENARIOS, UNCONTROLLED
from benchmarks.evidence.acceptance_score import (
    calibration_error,
    is_wrong,
    misses,
    mixture_posterior,
    rival_cells,
    soup_corrected,
)
from sclineage._schema import CAR_VERDICTS

RIGHT = {
    "absent": {"no_clonal_CAR_expression", "CAR_transcript_not_detected", "CAR_DNA_not_detected", "indeterminate"},
    "clonal": {"CAR_positive", "CAR_mixed", "CAR_present", "indeterminate"},
    "mixed": {"CAR_mixed", "CAR_present", "no_clonal_CAR_expression", "indeterminate"}}


@pytest.mark.parametrize("truth", list(RIGHT))
def test_wrong_is_what_the_table_of_words_says(truth: str) -> None:
    verdicts = pd.Series(CAR_VERDICTS)
    wrong = is_wrong(pd.Series([truth] * len(verdicts)), verdicts)
    assert set(verdicts[~wrong]) == RIGHT[truth]


def test_calibration_error_is_the_mean_gap() -> None:
    p = np.array([0.05] * 100 + [0.95] * 100)
    truth = np.array([False] * 100 + [True] * 75 + [False] * 25)
    assert calibration_error(p, truth) == pytest.approx(0.5 * 0.05 + 0.5 * 0.2)


def test_bars_are_named_when_missed() -> None:
    good = {"wrong": 0.0, "wrong_ge5": 0.0, "fdr": None, "negative_at_100": 0.9, "carrying_at_30": 1.0,
            "coverage": 0.95, "negatives_le3": 0, "negatives": 5, "controlled": True}
    assert misses(good, outside=False) == []
    bad = good | {"wrong": 0.006, "coverage": 0.9, "negatives_le3": 1, "controlled": False}
    assert misses(bad, outside=False) == ["wrong", "coverage", "negatives_without_control", "negatives_le3"]
    assert misses(good | {"wrong_ge5": 0.006}, outside=True) == ["wrong_ge5"]
    weak = good | {"negative_at_100": 0.8, "carrying_at_30": 0.9}
    assert misses(weak, outside=False) == ["negative_at_100", "carrying_at_30"]
    assert misses(weak, outside=True) == []


def test_rival_rules_on_counts_by_hand() -> None:
    cells = pd.DataFrame({"count": [0, 1, 2, 0, 0, 5], "clone_id": list("aaabbc"), "corrected": [0, 0, 1, 0, 0, 5]})
    said = rival_cells(cells)
    assert said["one_umi"].tolist() == [False, True, True, False, False, True]
    assert said["two_umi"].tolist() == [False, False, True, False, False, True]
    assert said["soup_subtracted"].tolist() == [False, False, True, False, False, True]
    assert said["clone_share"].tolist() == [True, True, True, False, False, True]


def test_soup_is_taken_at_the_rate_of_free_cells() -> None:
    count, depth = np.array([1, 3, 2, 0]), np.array([1000, 1000, 2000, 1000])
    assert soup_corrected(count, depth, np.array([False, False, True, False])).tolist() == [0, 2, 0, 0]


def test_mixture_splits_two_poissons() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(4000) < 0.4
    p = mixture_posterior(rng.poisson(np.where(truth, 4.0, 0.02)))
    assert ((p >= 0.5) == truth).mean() > 0.97


def test_scenarios_draw_their_own_rates() -> None:
    assert len(SCENARIOS) >= 10 and set(UNCONTROLLED) <= set(SCENARIOS)
    for make in SCENARIOS.values():
        one, again, other = (make(np.random.default_rng(s)) for s in (1, 1, 2))
        assert one == again
        assert one.model != other.model or one.depth != other.depth
        assert one.sizes.get(1) and max(*one.sizes, one.dominant) >= 100
