"""What the true parameters could say: the posterior of the same cells with every fitted rate replaced by its truth.

Rates of the libraries, shares of the hypotheses, the law of expression between clones and that of the carrying share
of mixed clones are the simulator's. Where even this misses a bar of power, no method can reach it from these data
without giving up its safety.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.stats import gamma, lognorm

from sclineage.evidence import controls, fit, grids, limits, prior, tables, units
from sclineage.evidence.background import SIZE, Background
from sclineage.evidence.car import Partition, Patient
from sclineage.evidence.design import Cells, Design
from sclineage.evidence.fit import Fitted, Options
from sclineage.evidence.library import Library
from sclineage.evidence.statements import Context, Statements
from sclineage.simulate.library import Params

SHARP = 0.05  # log-sd of a background whose rate is known
TINY = 1e-4  # share of a law of expression that is flat, so that no point of the grid is impossible


def _between(grid: np.ndarray, value: float) -> np.ndarray:
    """Weights on a grid whose mean is `value`."""
    at = float(np.interp(value, grid, np.arange(grid.size)))
    left = min(int(at), grid.size - 2)
    out = np.zeros(grid.size)
    out[left], out[left + 1] = left + 1 - at, at - left
    return out


def _true_shares(params: Params, lib: Library, data: AnnData) -> np.ndarray:
    """Share of the hypotheses per stratum: single cells are never mixed.

    How often clones are in a CAR+ sort follows from its purity and from the sizes of all clones: the share of carrying
    ones among those that are frequent there, and among the others, is counted, with one clone's worth of parameters.
    """
    obs = data.obs[data.obs["clone_status"] == "assigned"]
    mine = obs.loc[obs["sample"] == lib.name, "clone_id"].value_counts(normalize=True)
    there = obs.loc[(obs["selection"] == "CAR+") & (obs["sample"] != lib.name), "clone_id"].value_counts(normalize=True)
    seen = there.reindex(mine.index).fillna(-1).to_numpy() >= mine.to_numpy()
    known = data.uns["truth_clones"].reindex(mine.index)
    carries, several = known["car_fraction"].to_numpy(float) > 0, known["size"].to_numpy(float) > 1
    out = []
    for kind in (~seen, seen):
        for many, mixed, times in ((False, 0.0, 2), (True, params.mixed, 3)):
            those = carries[kind & (several == many)]
            every = (1 - mixed) * params.carrying
            share = (those.sum() + every + mixed) / (those.size + 1)
            part = mixed / max(every + mixed, 1e-9)
            out += [np.maximum([1 - share, share * (1 - part), share * part], [1e-4, 1e-4, 1e-4 * many])] * times
    assert len(out) == 2 * prior.SORTED
    return np.stack(out) / np.sum(out, axis=1, keepdims=True)


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
    expressed = replace(lib.signal, theta=float(mine["truth_theta"].iloc[0]), size=model.size, sigma=model.silenced,
                        spread=0.0)
    return replace(lib, background=background, signal=expressed, size=model.size, doublets=doublets,
                   sm=_between(grids.SM, model.silenced), hypotheses=_true_shares(params, lib, data),
                   tau=np.pad(_between(grids.SPREADS, params.tau), (0, grids.TAILED.size)),
                   law=_true_fractions(params), p_clear=1.0, alternative=None)


def _true_expression(params: Params) -> np.ndarray:
    """Log weights on `grids.M` of the simulator's law of expression between clones."""
    log_m = grids.LOG_M
    if params.clone_family == "bimodal":
        high = np.exp(params.tau / np.sqrt(0.3 * 0.7))
        low, up = (_between(log_m, float(np.log(level / (0.3 + 0.7 * high)))) for level in (1.0, high))
        weights = 0.3 * low + 0.7 * up
    else:
        shape = 1 / np.expm1(params.tau**2)
        law = gamma(shape, scale=1 / shape) if params.clone_family == "gamma" else lognorm(
            params.tau, scale=np.exp(-0.5 * params.tau**2))
        ends = np.concatenate([[0.0], np.exp((log_m[1:] + log_m[:-1]) / 2), [np.inf]])
        weights = np.diff(law.cdf(ends))
    return np.log((1 - TINY) * weights / weights.sum() + TINY / grids.M.size)


def _true_fractions(params: Params) -> np.ndarray:
    """Law over `grids.F_MIDS` of the simulator's carrying shares in mixed clones."""
    low, high = params.mixed_range
    inside = np.clip(np.minimum(grids.F_EDGES[1:], high) - np.maximum(grids.F_EDGES[:-1], low), 1e-6, None)
    return inside / inside.sum()


@contextmanager
def _true_laws(params: Params) -> Iterator[None]:
    """The simulator's law of expression in place of the engine's family; Bayes factors keep their wider one."""
    expression, law = grids.log_expression, _true_expression(params)

    def known(spread: float, tail: float, *, least: float = 0.0) -> np.ndarray:
        usual = expression(spread, tail, least=least)
        return usual if least else np.broadcast_to(law, usual.shape)

    grids.log_expression = known
    try:
        yield
    finally:
        grids.log_expression = expression


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
def kept_evidence(store: list[pd.DataFrame]) -> Iterator[None]:
    """Keep what the rules of the verdicts are asked of, one row per clone, of the patients that are called inside."""
    original = tables.clone_rows

    def keep(patient: Patient, context: Context, parts: Partition, whole: Statements) -> tables.CloneRows:
        store.append(_asked(patient, parts, whole))
        return original(patient, context, parts, whole)

    tables.clone_rows = keep
    try:
        yield
    finally:
        tables.clone_rows = original


def _asked(patient: Patient, parts: Partition, said: Statements) -> pd.DataFrame:
    """Posterior, Bayes factors and control of the cells of every clone that were not selected by the CAR."""
    found = said.found
    both = [one for one in (found.evidence, found.other) if one is not None]
    strict = [np.where(said.strength == controls.SAME, one.excluded_at(controls.MULTIPLIER[controls.SAME]),
                       one.excluded_at(controls.MULTIPLIER[controls.PAIRED])) for one in both]
    frame = pd.DataFrame({
        "clone_id": np.array(patient.clones, object)[parts.clone], "p_none": found.sampled[:, 0],
        "p_free": found.posterior.state[:, 0], "p_all": found.posterior.state[:, 1], "bf": said.log10_bf,
        "strict": np.max(strict, axis=0),
        "bf_clonal": np.max([one.log10_clonal for one in both], axis=0), "control": said.strength,
        "clear": found.p_clear})
    return frame[parts.kind == 0]


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
    """Call patients with the true rates and laws in place of a fit."""
    original = fit.fit_patient
    truth = replace(fitted, libraries={n: _true_library(lib, data, params) for n, lib in fitted.libraries.items()})
    fit.fit_patient = lambda design, cells, options: truth
    try:
        with _true_laws(params):
            yield
    finally:
        fit.fit_patient = original
