"""All libraries of a patient on one grid, and units that may span several of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._settings import Device
from ..kernels.evidence import Multisets, multisets
from . import grids, prior, units
from .design import Cells, Design, in_car_sort
from .fit import analysed
from .identify import CLEAR
from .library import Library
from .units import Evidence, Members, Posterior, Weights


@dataclass(frozen=True, slots=True)
class Panel:
    """Tables of several libraries stacked; a key is a row of all of them together.

    Attributes
    ----------
    libraries, others
        The libraries, by name; and with a background that explains everything where that is not excluded.
    key_of_cell, library_of_cell
        int64 (cells of the patient,): key and library, -1 for cells outside the analysis.
    in_sort
        bool (cells of the patient,): from `design.in_car_sort`.
    table, middle
        Mixture table, and log-likelihoods at the central background (keys, m + 2).
    other_table, other_middle
        The same under "all of it is background" in the libraries where that is not excluded; None where none is.
    expected
        float64 (keys, 3): UMIs expected of a cell from background, from a doublet partner, from its own CAR.
    """

    libraries: list[Library]
    others: list[Library]
    key_of_cell: np.ndarray
    library_of_cell: np.ndarray
    in_sort: np.ndarray
    table: np.ndarray
    middle: np.ndarray
    other_table: np.ndarray | None
    other_middle: np.ndarray | None
    expected: np.ndarray
    counts: np.ndarray


def _expected(lib: Library) -> np.ndarray:
    depth = lib.keys.depth[lib.keys.bin]
    own = lib.signal.theta * depth
    return np.column_stack([lib.background.mean(depth), 0.5 * lib.background.eta * own, (1 - lib.signal.sigma) * own])


def make(design: Design, cells: Cells, libraries: list[Library]) -> Panel:
    """Stack the tables of libraries; cells of other samples get no key."""
    samples = design.names
    key_of_cell = np.full(cells.sample.size, -1, np.int64)
    library_of_cell = np.full(cells.sample.size, -1, np.int64)
    at = 0
    for i, lib in enumerate(libraries):
        mask = analysed(cells) & (cells.sample == samples.index(lib.name))
        key_of_cell[mask] = at + lib.keys.of_cell
        library_of_cell[mask] = i
        at += lib.keys.bin.size
    others = [lib if lib.alternative is None else lib.alternative for lib in libraries]
    base = [(lib.table(), lib.loglik()[:, 1]) for lib in libraries]
    doubt = any(lib.alternative is not None for lib in libraries)
    other = [part if moved is lib else (moved.table(), moved.loglik()[:, 1])
             for lib, moved, part in zip(libraries, others, base, strict=True)] if doubt else []
    return Panel(libraries, others, key_of_cell, library_of_cell, in_car_sort(design, cells),
                 np.concatenate([t for t, _ in base]), np.concatenate([m for _, m in base]),
                 np.concatenate([t for t, _ in other]) if doubt else None,
                 np.concatenate([m for _, m in other]) if doubt else None,
                 np.concatenate([_expected(lib) for lib in libraries]),
                 np.concatenate([lib.keys.count for lib in libraries]))


@dataclass(frozen=True, slots=True)
class Assessed:
    """Evidence and posterior of units that may span libraries.

    Attributes
    ----------
    sets, group, groups
        The units, which weights each uses, and the weights.
    n, n_with_car, umi
        int64 (units,): cells, cells with a CAR UMI, CAR UMIs (counts above the last bin taken as that bin).
    expected
        float64 (units, 3): UMIs expected from background, from doublets, and if all members carried the CAR.
    evidence, posterior
        Evidence under mt = 0, and posterior averaged over that question.
    base_state
        float64 (units, 3): posterior of the hypotheses under mt = 0.
    other
        Evidence under "all of it is background", or None.
    p_clear
        float64 (units,): least P(mt = 0) of the unit's libraries; 1 where the question is settled.
    eta
        float64 (units,): doublet share.
    members
        float64 (entries,): probability that a cell of the entry carries the CAR.
    sampled
        float64 (units, 3): posterior that none, all, or some of the unit's cells carry it, averaged like `posterior`.
    shares
        float64 (units, 3): prior of the hypotheses.
    """

    sets: Multisets
    group: np.ndarray
    groups: list[Weights]
    n: np.ndarray
    n_with_car: np.ndarray
    umi: np.ndarray
    expected: np.ndarray
    evidence: Evidence
    posterior: Posterior
    base_state: np.ndarray
    other: Evidence | None
    p_clear: np.ndarray
    eta: np.ndarray
    members: np.ndarray
    sampled: np.ndarray
    shares: np.ndarray


def _combinations(panel: Panel, code: np.ndarray, n_units: int) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Which libraries every unit spans: index into the list of combinations."""
    present = np.zeros((n_units, len(panel.libraries)), bool)
    used = code >= 0
    present[code[used], panel.library_of_cell[used]] = True
    patterns, at = np.unique(present, axis=0, return_inverse=True)
    return at.reshape(-1), [tuple(np.flatnonzero(row).tolist()) for row in patterns]


def _weights_of(libs: list[Library]) -> Weights:
    if len(libs) == 1:
        return libs[0].weights
    share = np.array([lib.keys.of_cell.size for lib in libs], np.float64)
    share /= share.sum()
    doublets = units.Doublets(np.concatenate([lib.doublets.eta for lib in libs]),
                              np.concatenate([s * lib.doublets.share for s, lib in zip(share, libs, strict=True)]))
    return units.weights(doublets=doublets, sm=share @ np.stack([lib.sm for lib in libs]),
                         tau=share @ np.stack([lib.tau for lib in libs]),
                         spread=float(np.sqrt(share @ [lib.signal.spread**2 for lib in libs])),
                         law=share @ np.stack([lib.law for lib in libs]))


def _groups(libraries: list[Library], patterns: list[tuple[int, ...]]) -> list[Weights]:
    return [_weights_of([libraries[i] for i in p]) if p else libraries[0].weights for p in patterns]


def _priors(libraries: list[Library], panel: Panel, code: np.ndarray, sizes: np.ndarray,
            has_clone: np.ndarray) -> np.ndarray:
    """Prior of every unit: mean over its cells of their libraries' priors for a unit of its size."""
    used = code >= 0
    at = (code[used], panel.library_of_cell[used])
    cells, sorted_cells = np.zeros((2, sizes.size, len(panel.libraries)))
    np.add.at(cells, at, 1.0)
    np.add.at(sorted_cells, at, panel.in_sort[used])
    out = np.zeros((sizes.size, 3))
    for i, lib in enumerate(libraries):
        shares = lib.hypotheses[prior.stratum(sizes, has_clone, sorted_cells[:, i] > 0)]
        out += (cells[:, i] / np.maximum(cells.sum(axis=1), 1))[:, None] * shares
    out[cells.sum(axis=1) == 0] = prior.BASE
    return out


def assess(panel: Panel, code: np.ndarray, n_units: int, *, has_clone: np.ndarray | None = None,
           device: Device | None = "cpu") -> Assessed:
    """Evidence and posterior of units.

    Parameters
    ----------
    code
        int64 (cells of the patient,): unit of every cell, -1 for none; cells outside the analysis are dropped.
    has_clone
        bool (units,): False for cells without a clone, which have a prior of their own; all True when absent.
    """
    code = np.where(panel.key_of_cell >= 0, code, -1)
    used = code >= 0
    sets = multisets(code[used], panel.key_of_cell[used], n_clones=n_units)
    n = sets.sizes
    with_clone = np.ones(n_units, bool) if has_clone is None else has_clone
    shares = _priors(panel.libraries, panel, code, n, with_clone)
    group, patterns = _combinations(panel, code, n_units)
    groups = _groups(panel.libraries, patterns)
    doubt = np.array([min([panel.libraries[i].p_clear for i in p if panel.libraries[i].alternative is not None],
                          default=1.0) for p in patterns])[group]
    base, base_post, members = _under(panel.table, panel.middle, sets, groups, group, shares, device)
    state, f, m, other = base_post.state, base_post.f, base_post.m, None
    if panel.other_table is not None and panel.other_middle is not None:
        moved = _priors(panel.others, panel, code, n, with_clone)
        other, other_post, there = _under(panel.other_table, panel.other_middle, sets,
                                          _groups(panel.others, patterns), group, moved, device)
        p = doubt[:, None]
        state = p * state + (1 - p) * other_post.state
        f, m = p * f + (1 - p) * other_post.f, p * m + (1 - p) * other_post.m
        per_entry = np.repeat(doubt, np.diff(sets.indptr))
        members = Members(per_entry * members.p + (1 - per_entry) * there.p, p * members.state + (1 - p) * there.state)
    sums = _sums(panel, sets)
    return Assessed(sets, group, groups, n, sums[:, 0].astype(np.int64), sums[:, 1].astype(np.int64), sums[:, 2:],
                    base, Posterior(state, f, m), base_post.state, other, doubt,
                    np.array([g.eta for g in groups])[group], members.p, members.state, shares)


def _under(table: np.ndarray, middle: np.ndarray, sets: Multisets, groups: list[Weights], group: np.ndarray,
           shares: np.ndarray, device: Device | None) -> tuple[Evidence, Posterior, Members]:
    found = units.evaluate(sets, table, groups, group, device=device)
    state = units.posterior(sets, table, groups, group, found, shares, device=device)
    return found, state, units.members(sets, middle, state, groups, group)


def _sums(panel: Panel, sets: Multisets) -> np.ndarray:
    """Cells with a CAR UMI, CAR UMIs, and the three expectations, per unit."""
    count = panel.counts[sets.keys]
    columns = np.column_stack([count > 0, count, panel.expected[sets.keys]]) * sets.counts[:, None]
    total = np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(columns, axis=0)])
    return total[sets.indptr[1:]] - total[sets.indptr[:-1]]


def cell_values(panel: Panel, found: Assessed, code: np.ndarray) -> np.ndarray:
    """Probability to carry the CAR of every cell of the patient; NaN outside the units."""
    code = np.where(panel.key_of_cell >= 0, code, -1)
    width = int(panel.table.shape[0])
    names = np.repeat(np.arange(found.n.size), np.diff(found.sets.indptr)) * width + found.sets.keys
    out = np.full(code.size, np.nan)
    used = code >= 0
    out[used] = found.members[np.searchsorted(names, code[used] * width + panel.key_of_cell[used])]
    return out


def fraction_interval(found: Posterior) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and 95 % interval of the share of carrying members.

    The posterior mixes 0 (H0), 1 (H1) and the posterior of f under H2. Whatever the hypotheses' weights, the upper end
    is never below the 95 % quantile of f given that some members carry it: a share too small to be told from doublets
    is not excluded.
    """
    state, f = found.state, found.f
    low_edge, high_edge = grids.F_EDGES[:-1], grids.F_EDGES[1:]
    mean = state[:, 1] + state[:, 2] * (f @ grids.F_MIDS)
    cumulated = np.cumsum(f, axis=1)
    below = state[:, :1] + state[:, 2:] * cumulated  # P(fraction <= high edge of the bin), without H1
    low = np.where(state[:, 0] >= 0.025, 0.0,
                   np.where(below[:, -1] < 0.025, 1.0, low_edge[np.argmax(below >= 0.025, axis=1)]))
    high = np.where(state[:, 0] >= 0.975, 0.0,
                    np.where(below[:, -1] < 0.975, 1.0, high_edge[np.argmax(below >= 0.975, axis=1)]))
    possible = high_edge[np.argmax(cumulated >= 0.95, axis=1)]
    return mean, low, np.maximum(high, possible)


def blocked(found: Assessed) -> np.ndarray:
    """Units in a library whose CAR molecules may all be background."""
    return found.p_clear < CLEAR
