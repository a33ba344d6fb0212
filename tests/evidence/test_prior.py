"""Shares of the hypotheses, and the law of the carrying share of mixed clones."""

from __future__ import annotations

import numpy as np
import pytest

from sclineage.evidence import grids, prior


def test_bands_follow_the_mixed_clones_and_the_uniform_law_where_there_are_none():
    base = grids.BANDS.sum(axis=1)
    assert base.sum() == pytest.approx(1)
    shares = np.tile([0.4, 0.3, 0.3], (200, 1))
    evidence = np.full((200, 2 + base.size), -50.0)
    evidence[:100, 0] = evidence[100:, 2] = 0.0  # half are free, half mixed with a small share
    assert prior.fit_bands(evidence, shares, base)[0] == pytest.approx(
        (100 + prior.BAND_WEIGHT * base[0]) / (100 + prior.BAND_WEIGHT))
    evidence[100:, :2] = 0.0
    evidence[100:, 2] = -50.0
    assert prior.fit_bands(evidence, shares, base) == pytest.approx(base)


def test_law_moves_shares_of_mixed_clones_alone():
    usual = grids.hypotheses(0.02, 0.07)
    same = grids.with_law(usual, grids.UNIFORM)
    assert same.log_w == pytest.approx(usual.log_w)
    assert same.f_given_w == pytest.approx(usual.f_given_w)
    minor = grids.with_law(usual, grids.BANDS[:2].sum(axis=0) / grids.BANDS[:2].sum())
    assert np.array_equal(minor.log_w[:2], usual.log_w[:2])
    mean = np.exp(minor.log_w[2]) @ minor.f_given_w @ grids.F_MIDS
    assert mean == pytest.approx(0.16, abs=0.005)
