"""What a library's own clones say of expression and of mixed clones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sclineage.evidence import background, grids, library
from sclineage.evidence.background import unmeasured
from sclineage.evidence.keys import make_keys
from sclineage.evidence.signal import ThetaPrior

THETA, DEPTH, CELLS = 5e-4, 4000.0, 12


def simulated(share, seed=3):
    """A library of clones of twelve cells whose share of carrying members is given."""
    rng = np.random.default_rng(seed)
    strength = np.exp(0.4 * rng.standard_normal(share.size) - 0.08)
    clone = np.repeat(np.arange(share.size), CELLS)
    depth = DEPTH * np.exp(0.3 * rng.standard_normal(clone.size))
    carries = rng.random(clone.size) < share[clone]
    count = rng.poisson(carries * THETA * depth * strength[clone] * rng.gamma(4, 0.25, clone.size) + 1e-7 * depth)
    background = unmeasured(1e-4, eta=0.005, empties=None)
    return library.start("s", depth, count, clone, np.zeros(clone.size, bool), background, ThetaPrior())


def fitted(lib):
    for _ in range(2):
        lib, carrying = library.expectation(lib)
        lib = library.law_of_shares(library.spread_of_expression(library.maximisation(lib, carrying)))
    return lib


@pytest.fixture(scope="module")
def minor():
    rng = np.random.default_rng(5)
    return fitted(simulated(np.concatenate([np.zeros(40), np.ones(40), rng.uniform(0.05, 0.3, 60)])))


def test_expression_is_found_whatever_it_was_started_with(minor):
    for factor in (0.7, 1.4):
        moved = replace(minor, signal=replace(minor.signal, theta=minor.signal.theta * factor, spread=0.1))
        back = library.spread_of_expression(moved).signal
        assert back.theta == pytest.approx(minor.signal.theta, rel=0.06)
        assert 0.03 < back.spread < 0.15
    assert minor.signal.theta == pytest.approx(THETA, rel=0.15)


def test_a_share_that_all_clones_lack_is_silence_and_one_that_some_lack_is_not():
    alike = fitted(simulated(np.repeat([0.0, 0.8], [40, 120]), seed=4))
    assert 0.12 < alike.sm @ grids.SM < 0.24
    assert alike.hypotheses[3, 1] > 0.6 > 6 * alike.hypotheses[3, 2]
    rng = np.random.default_rng(6)
    mixed = fitted(simulated(np.concatenate([np.zeros(40), np.ones(30), rng.uniform(0.3, 0.8, 40)])))
    assert mixed.sm @ grids.SM < 0.1 < mixed.hypotheses[3, 2]


def test_law_of_mixed_shares_is_that_of_the_clones(minor):
    low = grids.F_MIDS < 0.3
    assert grids.UNIFORM[low].sum() < 0.3 and minor.law[low].sum() > 0.6
    middle = fitted(simulated(np.concatenate([np.zeros(40), np.ones(40), np.full(60, 0.5)])))
    assert middle.law[(grids.F_MIDS > 0.3) & (grids.F_MIDS < 0.7)].sum() > 0.6
    none = fitted(simulated(np.repeat([0.0, 1.0], 40)))
    assert none.law.min() > 0.4 * grids.UNIFORM[0]  # nothing is learnt where nothing is mixed


def with_background(rate, extra=0.0, said=1e-6):
    """A fitted library whose false UMIs per UMI are `rate` where the controls say `said`; one big clone has more."""
    rng = np.random.default_rng(8)
    clone = np.concatenate([np.repeat(np.arange(120), CELLS), np.full(1500, 120)])
    depth = DEPTH * np.exp(0.3 * rng.standard_normal(clone.size))
    mean = np.where(clone < 40, THETA, rate) * depth + np.where(clone == 120, extra, 0.0) * depth
    background = replace(unmeasured(1e-4, eta=0.005, empties=None), alpha=0.0, beta=said, mt=0.0)
    lib = library.start("s", depth, rng.poisson(mean), clone, np.zeros(clone.size, bool), background, ThetaPrior())
    lib, carrying = library.expectation(lib)
    return library.expectation(library.maximisation(lib, carrying))[0]


def test_clones_without_the_car_show_the_level_of_the_background():
    for rate in (1e-6, 5e-6):
        found = library.false_counts(with_background(rate)).background
        assert found.beta == pytest.approx(rate, rel=0.5) and found.spread < 0.5
    asked = replace(with_background(5e-6), misassigned=(0.0, 0.3))
    assert library.false_counts(asked).background.beta == asked.background.beta


def test_one_large_clone_that_hardly_expresses_is_no_background():
    lib = library.false_counts(with_background(1e-6, extra=0.03 * THETA))
    assert lib.background.beta < 3e-6 < 0.03 * THETA


def test_without_a_large_clone_the_doublets_stay_as_open_as_the_controls_leave_them():
    rng = np.random.default_rng(9)
    depth = DEPTH * np.exp(0.3 * rng.standard_normal(60))
    background = unmeasured(1e-4, eta=0.01, empties=None)
    lib = library.start("s", depth, rng.poisson(1e-6 * depth), np.repeat(np.arange(30), 2), np.zeros(60, bool),
                        background, ThetaPrior())
    found = library.false_counts(lib)
    assert found.doublets.share.max() < 0.5 and found.doublets.share.sum() == pytest.approx(1)
    assert found.background.beta == background.beta and found.background.spread == background.spread


def test_a_low_share_that_all_clones_without_the_car_show_is_doublets():
    def doublets(share):
        lib = simulated(share, seed=0)
        return library.false_counts(fitted(replace(lib, background=replace(lib.background, eta=0.015)))).doublets

    alike = doublets(np.repeat([0.08, 1.0], [60, 40]))
    mixed = doublets(np.concatenate([np.zeros(40), np.ones(40), np.random.default_rng(5).uniform(0.05, 0.3, 60)]))
    assert alike.centre > 0.03 and mixed.centre < 0.02


@pytest.mark.parametrize("n", [100, 1000])
def test_a_control_says_how_many_doublets_there_are_and_how_surely(n):
    rng = np.random.default_rng(10)
    depth = DEPTH * np.exp(0.3 * rng.standard_normal(n))
    prior = unmeasured(1e-4, eta=0.02, empties=None)

    def found(share):
        carries = rng.random(n) < share
        keys = make_keys(depth, rng.poisson(np.where(carries, THETA * rng.gamma(4, 0.25, n), 1e-7) * depth))
        return background.fit(keys.histogram(), prior, theta=THETA, size=4.0, t_cells=False)

    none, many = found(0.0), found(0.1)
    assert none.eta < 0.012 and 0.05 < many.eta < 0.17
    assert background.ETA_ALIKE < many.eta_spread < none.eta_spread < background.ETA_SD + 0.1
