"""Shares of the hypotheses, and the law of the carrying share of mixed clones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sclineage.evidence import grids, prior
from sclineage.evidence.design import Cells, Design, in_car_sort


def test_law_follows_the_mixed_clones_and_stays_open_where_there_are_none():
    inside = grids.LAWS @ (grids.FINE > 0).T
    assert inside.sum(axis=1) == pytest.approx(1)
    share = (grids.FINE > 0) @ grids.F_MIDS / (grids.FINE > 0).sum(axis=1)
    evidence = np.full((200, 2 + share.size), -50.0)
    evidence[:100, 0] = 0.0  # half are free, half mixed with a share between .14 and .26
    evidence[100:, 2:] = np.where((share > 0.14) & (share < 0.26), 0.0, -50.0)
    laws, shares, total = prior.fit_laws(evidence, inside)
    law = laws @ grids.LAWS
    assert shares == pytest.approx([0.5, 0, 0.5], abs=0.05)
    assert law[(grids.F_MIDS > 0.12) & (grids.F_MIDS < 0.28)].sum() > 0.5 > 4 * law[grids.F_MIDS > 0.4].sum()
    less = prior.fit_laws(evidence, inside, np.where(np.arange(200) < 100, 1.0, 0.01))
    assert less[1][0] > 0.95 and less[2] > total  # clones that count less, and how well all are explained
    evidence[:, 2:], evidence[:, 0] = -50.0, 0.0
    assert prior.fit_laws(evidence, inside)[0] == pytest.approx(1 / len(grids.LAWS), abs=1e-3)


def clones(rng, carrying, sure):
    """Log evidence of clones that carry with these shares, the truth favoured by `sure` nats plus noise."""
    truth = rng.random(carrying.size) < carrying
    noise = rng.normal(0, np.sqrt(2 * sure), carrying.size) + np.where(truth, sure, -sure)
    return np.column_stack([np.zeros(truth.size), noise, np.full(truth.size, -50.0)])


def test_strata_that_carry_alike_share_what_is_known_and_others_do_not():
    rng, strata = np.random.default_rng(4), np.repeat([1, 2, 3, 4], [400, 30, 30, 30])
    one = np.ones(strata.size)
    alike = prior.fit(clones(rng, np.full(strata.size, 0.4), 3.0), strata, one)
    assert np.ptp(alike[1:5, 1] / alike[1:5, :2].sum(axis=1)) < 0.06
    differ = prior.fit(clones(rng, np.where(strata == 1, 0.1, 0.8), 3.0), strata, one)
    assert differ[1, 1] < 0.15 and differ[2:5, 1].min() > 0.45
    assert differ[:2, 2].max() == 0  # one cell cannot be mixed


def test_clones_that_are_frequent_in_a_car_sort_are_learnt_apart():
    rng, size = np.random.default_rng(5), np.repeat([1, 3, 12], [300, 60, 40])
    in_sort = rng.random(size.size) < 0.3
    seen = clones(rng, np.where(in_sort, 0.95, 0.1), 2.0)
    strata = prior.stratum(size, np.ones(size.size, bool), in_sort)
    both = prior.fit(seen, strata, np.ones(size.size))
    assert both[1:4, 1].max() < 0.2 and both[prior.SORTED + 1:prior.SORTED + 4, 1].min() > 0.7
    assert prior.several(strata).tolist() == (size > 1).tolist()
    alone = prior.fit(seen[~in_sort], strata[~in_sort], np.ones((~in_sort).sum()))
    assert both[:prior.SORTED] == pytest.approx(alone[:prior.SORTED], abs=1e-12)


def test_a_clone_is_frequent_in_a_sort_only_beyond_its_leaks():
    table = pd.DataFrame({"kind": ["none", "CAR+", "CAR-"]}, index=["open", "sort", "rest"])
    clone = np.repeat([0, 1, 2, 3, 0, 1, 2, 3, -1], [80, 2, 1, 17, 2, 2, 6, 9, 5])
    sample = np.repeat([0, 1, 2, 0], [100, 10, 9, 5])
    one = np.ones(clone.size, bool)
    cells = Cells(sample, clone, np.ones(clone.size), np.zeros(clone.size, int), one, one, ~one, ~one, None)
    assert in_car_sort(Design(table), cells)[:100].tolist() == [False] * 80 + [True] * 3 + [False] * 17
    assert not in_car_sort(Design(table), cells)[100:].any()
    assert not in_car_sort(Design(table.replace("CAR+", "none")), cells).any()


def test_law_moves_shares_of_mixed_clones_alone():
    usual = grids.hypotheses(0.02, 0.07)
    same = grids.with_law(usual, grids.UNIFORM)
    assert same.log_w == pytest.approx(usual.log_w)
    assert same.f_given_w == pytest.approx(usual.f_given_w)
    minor = grids.with_law(usual, grids.BANDS[:2].sum(axis=0) / grids.BANDS[:2].sum())
    assert np.array_equal(minor.log_w[:2], usual.log_w[:2])
    mean = np.exp(minor.log_w[2]) @ minor.f_given_w @ grids.F_MIDS
    assert mean == pytest.approx(0.16, abs=0.005)
