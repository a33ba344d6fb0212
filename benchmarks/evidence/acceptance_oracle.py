"""What the true parameters could say: the posterior of the same cells with every fitted rate replaced by its truth.

Where even this misses a bar of power, no method can reach it from these data without giving up its safety.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from anndata import AnnData

from sclineage.evidence import fit, grids, limits, prior, units
from sclineage.evidence.background import SIZE, Background
from sclineage.evidence.design import Cells, Design
from sclineage.evidence.fit import Fitted, Options
from sclineage.evidence.library import Library
from sclineage.simulate.library import Params

SHARP = 0.05  # log-sd of a background whose rate is known


def _between(grid: np.ndarray, value: float) -> np.ndarray:
    """Weights on a grid whose mean is `value`."""
    at = float(np.interp(value, grid, np.arange(grid.size)))
    left = min(int(at), grid.size - 2)
    out = np.zeros(grid.size)
    out[left], out[left + 1] = left + 1 - at, at - left
    return out


def _true_shares(params: Params) -> np.ndarray:
    """Share of the hypotheses per stratum: single cells are never mixed."""
    single = [1 - params.carrying, params.carrying, 0.0]
    several = [*((1 - params.mixed) * np.array(single[:2])), params.mixed]
    floored = np.maximum([single, single, several, several, several], [[1e-4, 1e-4, 0]] * 2 + [[1e-4] * 3] * 3)
    assert len(floored) == len(prior.STRATA)
    return floored / floored.sum(axis=1, keepdims=True)


def _true_library(lib: Library, data: AnnData, params: Params) -> Library:
    """The library with its true rates."""
    mine = data.obs[data.obs["sample"] == lib.name]
    content = float(mine["truth_own_umi"].mean())
    depth = float(lib.keys.depth[lib.keys.bin][lib.keys.of_cell].mean())
    with_clone = mine[mine["clone_status"] == "assigned"]
    doublets = units.Doublets.known(float(with_clone["truth_partner_car"].mean()))
    model = params.model
    background = Background(max(model.soup * content, 1e-9), model.swap * content / depth, model.native,
                            doublets.centre, SIZE, SHARP, "truth", t_measured=True)
    theta = float(mine["truth_theta"].iloc[0])
    if params.clone_family == "lognormal":
        theta *= float(np.exp(-params.tau**2 / 2))  # expression of the median clone
    expressed = replace(lib.signal, theta=theta, size=model.size, sigma=model.silenced, spread=0.0)
    return replace(lib, background=background, signal=expressed, size=model.size, doublets=doublets,
                   sm=_between(grids.SM, model.silenced), tau=_between(grids.TAU, params.tau),
                   hypotheses=_true_shares(params), p_clear=1.0, alternative=None, other_hypotheses=None)


@contextmanager
def without_power() -> Iterator[None]:
    """Leave the power simulation out: it takes a third of the time, decides no verdict and is not scored here."""
    original = limits.power
    limits.power = lambda context, statements, names, wanted: np.full(statements.found.n.size, np.nan)
    try:
        yield
    finally:
        limits.power = original


@contextmanager
def kept_fit(store: list[Fitted]) -> Iterator[None]:
    """Keep the fit of the patients that are called inside."""
    original = fit.fit_patient

    def keep(design: Design, cells: Cells, options: Options) -> Fitted:
        store.append(original(design, cells, options))
        return store[-1]

    fit.fit_patient = keep
    try:
        yield
    finally:
        fit.fit_patient = original


@contextmanager
def known_rates(fitted: Fitted, data: AnnData, params: Params) -> Iterator[None]:
    """Call patients with the true rates in place of a fit."""
    original = fit.fit_patient
    truth = replace(fitted, libraries={n: _true_library(lib, data, params) for n, lib in fitted.libraries.items()})
    fit.fit_patient = lambda design, cells, options: truth
    try:
        yield
    finally:
        fit.fit_patient = original
