"""Older than the infusion: every rule by itself, and the Bayes factor against plain quadrature."""

from __future__ import annotations

import numpy as np
import pytest

from sclineage.origin.predates import Before, Sighting, first_day, log10_bayes_factor, verdict
from tests.oracles import malignancy as oracle

BEFORE = Before(sampled=True, n=4000, n_all=4000)


def early(n=6, exact=None, pool="p1", day=-30.0):
    return Sighting(day, pool, n, n if exact is None else exact)


def late(n=500, pool="p2", day=60.0):
    return Sighting(day, pool, n, n)


@pytest.mark.parametrize(("x", "n", "leak"), [(2, 4000, 0.01), (6, 4000, 0.005), (2, 500, 0.5), (0, 4000, 0.01),
                                              (40, 20_000, 0.1)])
def test_bayes_factor_is_the_integral(x, n, leak):
    assert log10_bayes_factor(x, n, leak) == pytest.approx(oracle.log10_bayes_factor(x, n, leak), abs=2e-3)


def test_bayes_factor_falls_with_leakage_and_never_favours_absence_of_cells():
    values = [log10_bayes_factor(3, 4000, leak) for leak in (1e-3, 1e-2, 0.1, 1.0, 3.0)]
    assert values == sorted(values, reverse=True)
    assert log10_bayes_factor(0, 4000, 0.01) < 0
    assert log10_bayes_factor(0, 0, 0.01) == -np.inf


def test_yes_when_every_rule_is_met():
    assert verdict([early(), late()], BEFORE) == ("yes", "")
    assert verdict([early(2), late()], BEFORE) == ("yes", "")


def test_yes_without_a_later_sample_needs_no_pool():
    assert verdict([early(pool="")], BEFORE) == ("yes", "")


def test_one_cell_is_not_enough():
    assert verdict([early(1), late()], BEFORE) == ("not_detected", "one_cell_only")


def test_both_chains_must_be_exact_in_two_cells():
    assert verdict([early(6, exact=1), late()], BEFORE) == ("not_detected", "chains_not_both_exact")


def test_cells_of_the_same_pool_may_have_hopped():
    assert verdict([early(), late(pool="p1")], BEFORE) == ("not_detected", "same_pool_as_later_sample")
    assert verdict([early(), late(), late(pool="p1")], BEFORE) == ("not_detected", "same_pool_as_later_sample")
    mixed = [early(1, pool="p3"), early(5, pool="p2"), late()]
    assert verdict(mixed, BEFORE) == ("not_detected", "same_pool_as_later_sample")


@pytest.mark.parametrize(("one", "two"), [("", "p2"), ("p1", ""), ("", "")])
def test_an_unknown_pool_excludes_nothing(one, two):
    assert verdict([early(pool=one), late(pool=two)], BEFORE) == ("not_detected", "pool_unknown")


def test_a_later_sample_without_the_clone_does_not_matter():
    assert verdict([early(), late(), late(0, pool="p1")], BEFORE) == ("yes", "")


def test_a_sample_of_unknown_day_counts_as_later():
    assert verdict([early(), late(day=np.nan, pool="p1")], BEFORE)[1] == "same_pool_as_later_sample"


def test_a_huge_later_clone_makes_two_cells_doubtful():
    assert verdict([early(2), late(40_000)], BEFORE) == ("not_detected", "leakage_not_excluded")
    assert verdict([early(12), late(40_000)], BEFORE) == ("yes", "")


def test_absence_is_not_detected_or_not_sampled_never_younger():
    assert verdict([late()], BEFORE) == ("not_detected", "")
    assert verdict([late()], Before(sampled=False, n=0, n_all=0)) == ("not_sampled", "")
    assert verdict([late()], Before(sampled=True, n=0, n_all=300)) == ("not_sampled", "no_informative_unsorted_cells")


def test_first_day_is_the_earliest_with_the_clone():
    assert first_day([late(), early(0), Sighting(14.0, "", 1, 0), Sighting(np.nan, "", 3, 0)]) == 14
    assert np.isnan(first_day([early(0)]))
