"""Power, limits and what-ifs: what a negative is worth."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
from scipy.special import logsumexp

from .._schema import CAR_SCENARIOS
from ..kernels import evidence as kernel
from ..kernels.evidence import CMAX, multisets
from . import controls as ctl
from . import grids, prior, signal, units, verdict
from .library import Library
from .panel import Panel, make
from .statements import Context, Statements
from .statements import make as make_statements

SIMULATIONS = 200
MAX_SIMULATED_CELLS = 2000
MAX_UNITS = 300
LIKELIHOOD_DROP = 1.92  # natural-log units: one-sided 95 % limit
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(7)


def theta_excluded(statements: Statements) -> np.ndarray:
    """Smallest expression, as a share of the control's, at and above which a clonal CAR is excluded.

    The profile over expression is averaged over the log-normal error of theta (log-sd 0.6) where the control is
    another library. Never below `grids.EXPRESSED`, where all rests on the background. Missing for carrying units and
    where even the highest expression of the grid is not excluded.
    """
    by_m, log_m = statements.found.evidence.by_m[:, grids.EXPRESSED], grids.LOG_M[grids.EXPRESSED]
    smooth = np.empty_like(by_m)
    for i, centre in enumerate(log_m):
        at = centre + signal.BETWEEN * _NODES
        moved = np.stack([_interpolate(by_m, log_m, x) for x in at])
        smooth[:, i] = logsumexp(moved + np.log(_NODE_WEIGHTS / _NODE_WEIGHTS.sum())[:, None], axis=0)
    logs = np.where((statements.strength == ctl.SAME)[:, None], by_m, smooth)
    best = np.maximum(logs.max(axis=1), statements.found.evidence.reference[:, 0])
    drop = logs - best[:, None] + LIKELIHOOD_DROP
    out = np.full(by_m.shape[0], np.nan)
    for k in np.flatnonzero((drop[:, -1] < 0) & ~statements.carries & (statements.found.n > 0)):
        inside = np.flatnonzero(drop[k] >= 0)
        if inside.size == 0:
            out[k] = np.exp(log_m[0])
            continue
        i = int(inside[-1])
        share = drop[k, i] / (drop[k, i] - drop[k, i + 1])
        out[k] = float(np.exp(log_m[i] + share * (log_m[i + 1] - log_m[i])))
    return out


def _interpolate(values: np.ndarray, log_m: np.ndarray, at: float) -> np.ndarray:
    position = float(np.interp(at, log_m, np.arange(log_m.size)))
    low = min(int(position), log_m.size - 2)
    return values[:, low] * (low + 1 - position) + values[:, low + 1] * (position - low)


def cells_needed(context: Context, statements: Statements, code: np.ndarray) -> np.ndarray:
    """Informative cells without the CAR, as deep as those seen, from which a clonal CAR could be excluded.

    The Bayes factor of cells without a CAR UMI must reach the bar at the weakest expression that a negative excludes;
    background and doublets make it more. Missing for carrying units and where not one cell was seen. A unit without a
    positive control needs that as well.

    Parameters
    ----------
    code
        int64 (cells of the patient,): unit of every cell, -1 for none.
    """
    panel, n = context.panel, statements.found.n
    gain = np.stack([_silent_gain(panel, ctl.MULTIPLIER[s]) for s in (ctl.PAIRED, ctl.SAME)])
    used = (code >= 0) & (panel.key_of_cell >= 0)
    row = (statements.strength == ctl.SAME).astype(np.int64)[code[used]]
    order = np.lexsort((panel.key_of_cell[used], code[used]))  # sums in one order, whatever that of the cells
    total = np.bincount(code[used][order], gain[row, panel.key_of_cell[used]][order], n.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        out = np.maximum(np.ceil(verdict.DECADES * n / total), verdict.MIN_NEGATIVE_CELLS)
    return np.where(statements.carries | (n == 0) | ~np.isfinite(out), np.nan, out)


def _silent_gain(panel: Panel, multiplier: float) -> np.ndarray:
    """Decades by which one cell without a CAR UMI, of each key's depth, speaks against expression at `multiplier`."""
    out = []
    for lib in panel.libraries:
        logs = lib.loglik(bins=np.arange(lib.keys.depth.size), counts=np.zeros(lib.keys.depth.size, np.int64))[:, 1, :]
        by_m = logs[:, 1:-1] - logs[:, :1]
        at = _interpolate(by_m, grids.LOG_M, float(np.log(multiplier)))
        w = 1 - grids.REFERENCE_SM
        out.append((-np.logaddexp(np.log1p(-w), np.log(w) + at) / np.log(10))[lib.keys.bin])
    return np.concatenate(out)


def _moved(lib: Library, theta: float, background: float, doublets: float) -> Library:
    eta = min(lib.background.eta * doublets, grids.ETA_CAP)
    more = units.Doublets(np.minimum(lib.doublets.eta * doublets, grids.ETA_CAP), lib.doublets.share)
    return replace(lib, doublets=more, signal=replace(lib.signal, theta=lib.signal.theta * theta),
                   background=replace(lib.background.scaled(background), eta=eta))


def what_if(context: Context, code: np.ndarray, n_units: int, *, is_open: np.ndarray) -> dict[str, Statements]:
    """Statements on units with other parameters: half the sensitivity, ten times the background, twice the doublets.

    Priors of the hypotheses and controls stay as fitted.
    """
    changes = {"fitted": (1.0, 1.0, 1.0), "sensitivity_halved": (0.5, 1.0, 1.0), "background_x10": (1.0, 10.0, 1.0),
               "doublets_x2": (1.0, 1.0, 2.0)}
    out = {}
    for name in CAR_SCENARIOS:
        libraries = [_moved(lib, *changes[name]) for lib in context.panel.libraries]
        panel = make(context.design, context.cells, libraries)
        out[name] = make_statements(replace(context, panel=panel), code, n_units, is_open=is_open)
    return out


def _full_tables(panel: Panel, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """Tables of every (depth bin, count) of all libraries, theta multiplied; and each library's first depth row."""
    parts, first, at = [], [], 0
    for lib in panel.libraries:
        moved = _moved(lib, theta, 1.0, 1.0)
        bins = np.repeat(np.arange(lib.keys.depth.size), CMAX + 1)
        counts = np.tile(np.arange(CMAX + 1), lib.keys.depth.size)
        parts.append(kernel.mixture_table(moved.loglik(bins=bins, counts=counts), grids.W))
        first.append(at)
        at += lib.keys.depth.size
    return np.concatenate(parts), np.array(first)


def _simulate(panel: Panel, libraries: np.ndarray, bins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts (simulations, cells) of CAR-free clones whose cells have these libraries and depth bins."""
    out = np.empty((SIMULATIONS, libraries.size), np.int64)
    multiplier, partner = rng.standard_normal((SIMULATIONS, 1)), rng.gamma(2.0, 0.5, (SIMULATIONS, 1))
    for i in np.unique(libraries):
        lib, mine = panel.libraries[i], libraries == i
        depth = lib.keys.depth[bins[mine]][None, :]
        shape = (SIMULATIONS, int(mine.sum()))
        mean = lib.background.mean(depth) * np.exp(lib.background.spread * multiplier)
        size = lib.background.size
        counts = rng.poisson(mean * (rng.gamma(size, 1 / size, shape) if np.isfinite(size) else 1.0))
        double = rng.random(shape) < np.minimum(lib.background.eta * partner, grids.ETA_CAP)
        share = rng.choice(kernel.PARTNERS, shape, p=kernel.PARTNER_WEIGHTS)
        own = rng.poisson(lib.signal.theta * depth * share * rng.gamma(lib.size, 1 / lib.size, shape))
        out[:, mine] = counts + np.where(double, own, 0)
    return np.minimum(out, CMAX)


def power(context: Context, statements: Statements, names: list[str], wanted: np.ndarray) -> np.ndarray:
    """P(clonal, expressed CAR excluded | a CAR-free clone with these cells), by simulation.

    Parameters
    ----------
    names
        Name of every unit's clone: seeds do not depend on the order of units.
    wanted
        bool (units,): units to simulate; the others get NaN. Units without a positive control have power 0.
    """
    out = np.where(statements.found.n > 0, np.where(statements.strength > ctl.NONE, np.nan, 0.0), np.nan)
    out[(statements.found.n > 0) & (statements.found.n < verdict.MIN_NEGATIVE_CELLS)] = 0.0
    todo = np.flatnonzero(np.isnan(out) & wanted & (statements.found.n > 0))
    order = np.argsort(statements.controlled, kind="stable")
    first = np.searchsorted(statements.controlled[order], np.arange(statements.found.n.size + 1))
    members = {int(u): order[first[u]:first[u + 1]] for u in todo}
    for strength in (ctl.SAME, ctl.PAIRED):
        chosen = todo[statements.strength[todo] == strength]
        if chosen.size:
            nodes = [(1.0, 1.0)] if strength == ctl.SAME else _theta_nodes()
            parts = [w * _power_at(context, statements, names, chosen, members, strength, scale) for scale, w in nodes]
            out[chosen] = np.sum(parts, axis=0)
    return out


def _theta_nodes() -> list[tuple[float, float]]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    return [(float(np.exp(signal.BETWEEN * x)), float(w)) for x, w in zip(nodes, weights / weights.sum(), strict=True)]


def _power_at(context: Context, statements: Statements, names: list[str], chosen: np.ndarray,
              members: dict[int, np.ndarray], strength: int, scale: float) -> np.ndarray:
    panel = context.panel
    table, first = _full_tables(panel, scale)
    clones, keys = [], []
    for row, u in enumerate(chosen):
        rng = np.random.default_rng([context.options.rng, zlib.crc32(names[u].encode()), int(statements.found.n[u])])
        cells = members[int(u)]
        library = panel.library_of_cell[cells]
        bins = np.concatenate([lib.keys.bin for lib in panel.libraries])[panel.key_of_cell[cells]]
        order = np.lexsort((bins, library))  # the same draws for any order of the cells
        if cells.size > MAX_SIMULATED_CELLS:
            order = order[np.sort(rng.choice(cells.size, MAX_SIMULATED_CELLS, replace=False))]
        library, bins = library[order], bins[order]
        counts = _simulate(panel, library, bins, rng)
        keys.append(((first[library] + bins)[None, :] * (CMAX + 1) + counts).ravel())
        clones.append(np.repeat(row * SIMULATIONS + np.arange(SIMULATIONS), bins.size))
    sets = multisets(np.concatenate(clones), np.concatenate(keys), n_clones=chosen.size * SIMULATIONS)
    group = np.repeat(statements.found.group[chosen], SIMULATIONS)
    found = units.evaluate(sets, table, statements.found.groups, group, device=context.options.device)
    state = prior.responsibilities(found.log, np.repeat(statements.found.shares[chosen], SIMULATIONS, axis=0))
    good = (verdict.no_clonal(state) & (found.log10_clonal <= -verdict.DECADES)
            & (found.excluded_at(ctl.MULTIPLIER[strength]) <= -verdict.DECADES))
    return good.reshape(chosen.size, SIMULATIONS).mean(axis=1)
