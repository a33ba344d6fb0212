"""Laws of expression on the grid."""

from __future__ import annotations

import numpy as np
import pytest

from sclineage.evidence import grids


def test_clones_of_any_spread_have_mean_one():
    law = np.exp(grids.log_expression(0.0, 0.0))
    assert law.sum(axis=1) == pytest.approx(np.ones(grids.TAU.size))
    assert (law @ grids.M)[grids.TAU <= 0.65] == pytest.approx(1, abs=0.03)  # wider ones lose tails at the grid's ends


def test_gamma_laws_have_the_longer_lower_tail():
    law, low = np.exp(grids.log_expression(0.0, 0.0)), grids.M < 0.15
    wide = (grids.TAU == 0.8) & (np.arange(grids.TAU.size) >= grids.SPREADS.size)
    assert law[wide][0, ~grids.EXPRESSED].sum() == pytest.approx(0.04, abs=0.01)  # gamma of shape 1.1 below 0.05
    assert np.exp(grids.expressed_only(np.log(law)))[:, ~grids.EXPRESSED].max() == 0
    for i, spread in enumerate(grids.TAILED):
        same = int(np.argmax(spread == grids.SPREADS))
        assert law[grids.SPREADS.size + i, low].sum() > 1.2 * law[same, low].sum()
    shift = grids.LOG_M[11] - grids.LOG_M[10]
    moved = np.exp(grids.log_expression(0.0, 0.0, shift=shift))
    assert moved[:, 11] == pytest.approx(law[:, 10])  # the law one point further up


def test_width_has_a_floor_and_the_tail_its_share():
    log_m, wide = np.log(grids.M), np.exp(grids.log_expression(0.0, 0.0, least=0.5))
    sd = np.sqrt(wide @ log_m**2 - (wide @ log_m) ** 2)
    assert sd[grids.TAU < 0.5] == pytest.approx(0.5, abs=0.05)
    assert np.exp(grids.log_expression(0.0, 0.13))[:, grids.EXPRESSED].min() == pytest.approx(0.01, rel=1e-3)
