"""The array layer: families, background, doublets."""

from __future__ import annotations

import numpy as np
import pytest

from sclineage.simulate.counts import (
    CarModel,
    draw_background,
    draw_depth,
    draw_partners,
    draw_signal,
    draw_spread,
)

N = 200_000


@pytest.mark.parametrize("family", ["lognormal", "gamma", "bimodal"])
def test_spread_has_mean_one_and_the_families_differ(family: str) -> None:
    values = draw_spread(np.random.default_rng(1), N, sd=0.5, family=family)  # type: ignore[arg-type]
    assert values.mean() == pytest.approx(1, abs=0.01)
    assert values.min() > 0
    expected = {"lognormal": 0.5, "bimodal": 0.5, "gamma": None}[family]
    if expected:
        assert np.log(values).std() == pytest.approx(expected, abs=0.01)
    else:
        assert values.var() == pytest.approx(np.expm1(0.25), abs=0.01)
    assert len(np.unique(values)) == (2 if family == "bimodal" else N)


def test_no_spread_is_one() -> None:
    assert np.all(draw_spread(np.random.default_rng(1), 5, sd=0) == 1)


def test_signal_has_the_mean_and_variance_of_a_negative_binomial() -> None:
    model = CarModel(theta=5e-4, size=4, silenced=0)
    depth = np.full(N, 4000.0)
    counts = draw_signal(np.random.default_rng(2), depth, np.ones(N, bool), np.ones(N), model)
    assert counts.mean() == pytest.approx(2.0, rel=0.02)
    assert counts.var() == pytest.approx(2 + 4 / 4, rel=0.04)


def test_signal_is_zero_without_the_gene_and_in_silenced_cells() -> None:
    model = CarModel(theta=2e-3, silenced=0.3)
    carries = np.arange(N) % 2 == 0
    counts = draw_signal(np.random.default_rng(3), np.full(N, 4000.0), carries, np.ones(N), model)
    assert counts[~carries].sum() == 0
    assert (counts[carries] == 0).mean() == pytest.approx(0.3, abs=0.02)


def test_background_is_a_share_of_the_content_and_native_reads_are_of_t_cells() -> None:
    rng, depth = np.random.default_rng(4), np.full(N, 4000.0)
    is_t = np.arange(N) % 2 == 0
    plain = draw_background(rng, depth, is_t, 3.0, CarModel(soup=0.02, swap=0.01))
    assert plain.mean() == pytest.approx(0.03 * 3.0, rel=0.03)
    native = draw_background(rng, depth, is_t, 0.0, CarModel(native=5e-5))
    assert native[~is_t].sum() == 0
    assert native[is_t].mean() == pytest.approx(0.2, rel=0.03)


def test_swapping_follows_depth_and_soup_does_not() -> None:
    rng = np.random.default_rng(5)
    depth = np.where(np.arange(N) % 2 == 0, 1000.0, 7000.0)
    soup = draw_background(rng, depth, np.ones(N, bool), 10.0, CarModel(soup=0.02, swap=0))
    swap = draw_background(rng, depth, np.ones(N, bool), 10.0, CarModel(soup=0, swap=0.02))
    deep = depth > 5000
    assert soup[deep].mean() == pytest.approx(soup[~deep].mean(), rel=0.05)
    assert swap[deep].mean() == pytest.approx(7 * swap[~deep].mean(), rel=0.05)


def test_partners_differ_from_their_host_and_bring_half() -> None:
    host, partner, part = draw_partners(np.random.default_rng(6), N, 0.05)
    assert np.all(host != partner)
    assert len(host) / N == pytest.approx(0.05, abs=0.003)
    assert part.mean() == pytest.approx(0.5, abs=0.01)
    assert len(draw_partners(np.random.default_rng(6), 1, 0.5)[0]) == 0


def test_depth_is_log_normal_with_a_floor() -> None:
    depth = draw_depth(np.random.default_rng(7), N, median=3000, sd=0.5)
    assert np.median(depth) == pytest.approx(3000, rel=0.01)
    assert np.log(depth).std() == pytest.approx(0.5, abs=0.01)
    assert draw_depth(np.random.default_rng(7), N, median=100, sd=0.5).min() == 200
