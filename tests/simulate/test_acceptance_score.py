"""The definition of a wrong verdict, and the other scores of the acceptance tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.evidence import acceptance, acceptance_oracle, acceptance_rules, acceptance_score
from benchmarks.evidence.acceptance_scenarios import SCENARIOS, UNCONTROLLED
from benchmarks.evidence.acceptance_score import (
    behind,
    beyond_chance,
    calibration_error,
    chance_error,
    clone_calibration,
    interval,
    is_wrong,
    misses,
    mixture_posterior,
    open_to_oracle,
    rival_cells,
    soup_corrected,
    with_known,
)
from sclineage._schema import CAR_VERDICTS
from sclineage.evidence import grids

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


def test_likelihood_ratios_decide_the_surest_first() -> None:
    negative = [0.999, 0.5, 0.001, 0.4]  # the third is likely clonal, the last one may be all three
    positive = [0.001, 0.5, 0.998, 0.001]
    clones = pd.DataFrame({"car_p_negative": negative, "car_p_positive": positive, "n": [30, 1, 30, 1]})
    left = open_to_oracle(clones)
    assert left["1"] == 0.5  # "no clonal CAR" is right of the last one whatever else it is
    assert left["21-99"] == 0.0
    assert left["100+"] is None


def test_behind_names_width_and_sizes() -> None:
    own = {"width": 0.40, "indeterminate_by_size": {"1": 0.95, "2-4": 0.5, "100+": None}}
    best = {"width": 0.30, "open_by_definition": {"1": 0.80, "2-4": 0.45, "100+": 0.0}}
    assert behind(own, best) == ["width 1.33x", "1 cells +15"]
    assert behind(own | {"width": 0.35}, best | {"open_by_definition": own["indeterminate_by_size"]}) == []


def test_calibration_bars_depend_on_doublets() -> None:
    row = {"wrong": 0.0, "wrong_ge5": 0.0, "fdr": None, "negative_at_100": 0.9, "carrying_at_30": 1.0, "coverage": 0.95,
           "negatives_le3": 0, "negatives": 5, "controlled": True, "ece": 0.03, "ece_unmixed": 0.03, "clone_ece": 0.04}
    assert misses(row, outside=True) == ["ece_unmixed", "clone_ece"]
    assert misses(row, outside=True, many_doublets=True) == ["clone_ece"]


def test_patients_are_kept_and_not_run_again(tmp_path, monkeypatch) -> None:
    runs = []
    monkeypatch.setattr(acceptance, "run_patient", lambda params, seed: runs.append(seed) or (params, seed, 1.0))
    first = [acceptance.kept_patient(lambda rng: int(rng.integers(9)), 5, tmp_path / "a_5.pickle") for _ in range(2)]
    assert first[0] == first[1] and runs == [5]


def test_oracle_knows_the_laws() -> None:
    params = SCENARIOS["half_mixed"](np.random.default_rng(1))
    usual = grids.hypotheses(0.02, 0.03)
    known = grids.with_law(usual, acceptance_oracle._true_fractions(params))
    share = np.exp(known.log_w[2]) @ known.f_given_w
    assert share[(grids.F_MIDS > 0.31) & (grids.F_MIDS < 0.79)].sum() > 0.94
    assert np.array_equal(known.log_w[:2], usual.log_w[:2])
    for name in ("measured", "gamma_clones", "bimodal_clones"):
        law = np.exp(acceptance_oracle._true_expression(SCENARIOS[name](np.random.default_rng(1))))
        assert law.sum() == pytest.approx(1)
        assert law @ grids.M == pytest.approx(1, abs=0.12)  # families have mean one


def test_chance_leaves_an_error_that_falls_with_the_number_of_clones() -> None:
    p = np.tile([0.1, 0.3, 0.6], 400)
    few, many = chance_error(p[:60], np.arange(60)), chance_error(p, np.arange(p.size))
    assert 0.01 < many < few < 0.12
    assert chance_error(p, np.arange(p.size) // 120) > 2 * many  # cells of a clone share its content


def test_calibration_is_of_sampled_members_and_of_the_design() -> None:
    clones = pd.DataFrame({"car_p_negative": [0.0, 0.0, 1.0], "truth": ["clonal", "absent", "absent"],
                           "truth_design": ["clonal", "mixed", "absent"]})
    found = clone_calibration(clones)
    assert found["clone_ece"] == pytest.approx(1 / 3)
    assert found["clone_ece_design"] == found["clone_ece_chance"] == 0


def test_rates_have_exact_intervals_and_chance_is_taken_out_in_squares() -> None:
    assert interval(5, 901) == pytest.approx([0.0018, 0.0129], abs=1e-4)
    assert interval(0, 0) == [0.0, 1.0]
    assert beyond_chance(0.05, 0.03) == pytest.approx(0.04)
    assert beyond_chance(0.01, 0.03) == 0 and beyond_chance(None, 0.1) is None


def test_cells_are_told_that_their_clone_is_not_mixed() -> None:
    clones = pd.DataFrame({"seed": [1, 2], "clone_id": ["a", "a"], "car_p_positive": [0.3, 0.0],
                           "car_p_negative": [0.1, 0.5]})
    cells = pd.DataFrame({"seed": [2, 1, 1], "clone_id": ["a", "a", "a"]})
    assert with_known(cells, clones)["p_known"].tolist() == pytest.approx([0, 0.75, 0.75])


CLONES = pd.DataFrame({
    "n": [30, 30, 8, 1], "truth": ["clonal", "absent", "absent", "clonal"], "p_none": [0.0, 0.999, 0.9, 0.011],
    "p_all": [0.99, 0.0005, 0.005, 0.989], "bf": [9.0, -3.0, -2.0, 1.5], "bf_clonal": [9.0, -4.0, -1.5, 1.5],
    "strict": [9.0, -2.0, -0.5, 1.0], "control": 2, "clear": 1.0}).assign(
        p_free=lambda c: c["p_none"], car_p_negative=lambda c: c["p_none"], car_p_positive=lambda c: c["p_all"])


def test_likelihood_ratios_keep_the_definition_of_the_words() -> None:
    left = acceptance_rules.open_by_definition(CLONES.assign(p_none=[0.0, 0.999, 0.9999, 0.0], p_all=[1, 0, 0, 1.0]))
    assert left == {"1": 0.0, "2-4": None, "5-20": 1.0, "21-99": 0.0, "100+": None}  # weak expression not excluded


def test_rules_are_added_one_after_another() -> None:
    assert acceptance_rules.decide(CLONES, ()).tolist() == [1, -1, -1, 1]
    assert acceptance_rules.decide(CLONES, ["small clones surer to carry"]).tolist() == [1, -1, -1, 0]
    assert acceptance_rules.decide(CLONES, acceptance_rules.RULES).tolist() == [1, -1, 0, 0]
    lines = acceptance_rules.decomposition(CLONES, CLONES)
    assert [row["rules"] for row in lines].count("all but weak expression excluded") == 1
    assert set(lines[2]["open"].values()) == {0} and lines[2]["decided"] == 4
    flipped = CLONES.assign(truth=["absent", "clonal", "mixed", "mixed"])
    assert acceptance_rules.line("", flipped, np.array([1, -1, -1, -1]))["falsely_free"] == 1
    assert acceptance_rules.line("", flipped, np.array([1, -1, 1, 1]))["falsely_carrying"] == 1
    table = acceptance_rules.rules_table("measured", [lines, lines])
    assert len(table) == len(lines) + 3
    assert table[4] == "| fixed thresholds of the posteriors | 0 / - / 0 / 0 / - | 8 | 0 | 0 | 0.00 |"


def test_rival_summary_counts_wrong_clones_and_cells() -> None:
    clones = pd.DataFrame({"seed": 1, "clone_id": ["a", "b"], "n": [5, 5], "truth": ["absent", "clonal"]})
    cells = pd.DataFrame({"seed": 1, "clone_id": ["a"] * 5 + ["b"] * 5, "truth": [False] * 5 + [True] * 5})
    calls = {f"rule_{name}": [True, *[False] * 4, *[True] * 4, False] for name in acceptance_score.RIVALS}
    found = acceptance_score.rival_summary(clones, cells.assign(**calls))["one_umi"]
    assert found == {"wrong": 0.5, "wrong_ge5": 0.5, "fdr": 0.2, "sensitivity": 0.8}
