"""Measured positive controls: only where capture of the CAR was shown may its absence mean anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import grids
from .design import Cells, Design
from .fit import Fitted
from .identify import CLEAR
from .panel import Assessed, Panel, assess

NONE, PAIRED, SAME = 0, 1, 2
MULTIPLIER = {NONE: 0.10, PAIRED: 0.10, SAME: 0.18}  # expression, as a share of the control's, that must be excluded
MIN_CELLS, MIN_UMI = 30, 20
SILENT_SHARE, SILENT_CELLS = 0.05, 20
CARRIER_P, CARRIER_P_SMALL, CARRIER_BF = 0.975, 0.99, 1.3
SMALL = 5  # clones of fewer cells hold most of the doubtful posteriors: at most 1 % of these may be wrong


@dataclass(frozen=True, slots=True)
class Controls:
    """Strength of the positive control of every library, and what each clone contributes to it.

    Attributes
    ----------
    own
        float64 (libraries, 2): carrying cells and CAR UMIs of the GEM well's carrying clones.
    part
        Per library, clone code -> (cells, UMIs): what each carrying clone contributes to `own`.
    declared
        bool (libraries,): a declared control in the same GEM well.
    paired
        bool (libraries,): a control by another library.
    silent
        bool (libraries,): a declared control that shows no CAR.
    """

    own: np.ndarray
    part: list[dict[int, tuple[float, float]]]
    declared: np.ndarray
    paired: np.ndarray
    silent: np.ndarray

    def strength(self, clone: np.ndarray, library: np.ndarray) -> np.ndarray:
        """Control of each (clone, library) pair, the clone itself left out: `NONE`, `PAIRED` or `SAME`; int64."""
        out = np.where(self.paired, PAIRED, NONE)[library]
        rest = self.own[library].copy()
        for row, (k, i) in enumerate(zip(clone.tolist(), library.tolist(), strict=True)):
            mine = self.part[i].get(k)
            if mine is not None:
                rest[row] -= mine
        enough = (rest[:, 0] >= MIN_CELLS) & (rest[:, 1] >= MIN_UMI)
        return np.where(enough | self.declared[library], SAME, out).astype(np.int64)


def carries(found: Assessed) -> np.ndarray:
    """Units with carrying members: log10 Bayes factor at least 1.3, and a posterior at which few are wrong.

    Posteriors of large clones are seldom in doubt, so that 0.975 (the 95 % interval excludes none) is enough for them.
    """
    sure = np.where(found.n < SMALL, CARRIER_P_SMALL, CARRIER_P)
    return (found.sampled[:, 0] <= 1 - sure) & (found.evidence.log10_bf >= CARRIER_BF) & (
        found.p_clear >= CLEAR)


def _own(panel: Panel, cells: Cells, n_clones: int,
         wells: np.ndarray) -> tuple[np.ndarray, list[dict[int, tuple[float, float]]]]:
    """Carrying cells and UMIs of carrying clones, per library summed over its GEM well."""
    size = len(panel.libraries)
    code = np.where((cells.clone >= 0) & (panel.library_of_cell >= 0),
                    cells.clone * size + panel.library_of_cell, -1)
    named, at = np.unique(code[code >= 0], return_inverse=True)
    compact = np.full(code.size, -1, np.int64)
    compact[code >= 0] = at
    found = assess(panel, compact, named.size)
    share = found.posterior.state[:, 1] + found.posterior.state[:, 2] * (found.posterior.f @ grids.F_MIDS)
    good = carries(found)
    by_well: dict[str, dict[int, tuple[float, float]]] = {str(w): {} for w in wells}
    for row in np.flatnonzero(good):
        clone, well = int(named[row] // size), str(wells[named[row] % size])
        before = by_well[well].get(clone, (0.0, 0.0))
        by_well[well][clone] = (before[0] + float(found.n[row] * share[row]), before[1] + float(found.umi[row]))
    part = [by_well[str(w)] for w in wells]
    own = np.array([np.sum([p[k] for k in sorted(p)], axis=0) if p else np.zeros(2) for p in part]).reshape(size, 2)
    return own, part


def _silent(design: Design, cells: Cells) -> dict[str, bool]:
    """Samples with declared control cells, and whether those show no CAR."""
    out = {}
    for i, name in enumerate(design.names):
        mask = (cells.sample == i) & cells.positive & cells.usable & cells.t_cell
        if mask.sum() >= SILENT_CELLS:
            fraction = design.number(name, "car_fraction")
            expected = 1.0 if np.isnan(fraction) else fraction
            out[name] = bool((cells.count[mask] > 0).mean() < SILENT_SHARE * expected or not cells.count[mask].any())
    return out


def measure(design: Design, cells: Cells, panel: Panel, fitted: Fitted, n_clones: int) -> Controls:
    """Find the positive control of every library of a patient; flags silent controls.

    A control measures capture in the same GEM well (declared control cells, or its own carrying clones), or in
    another library of the same specimen, day and chemistry, in a declared control that is not known to be of another
    day, or in an unsorted sample of known CAR+ share; each needs 30 carrying cells and 20 CAR UMIs.
    """
    names = [lib.name for lib in panel.libraries]
    wells = design.table.loc[names, "gem_well"].to_numpy(dtype=object)
    own, part = _own(panel, cells, n_clones, wells)
    silent_of = _silent(design, cells)
    known = {s for s, (_, n, umi) in fitted.declared.items()
             if n >= MIN_CELLS and umi >= MIN_UMI and not silent_of.get(s, False)}
    enough = (own[:, 0] >= MIN_CELLS) & (own[:, 1] >= MIN_UMI)
    declared, paired, silent = (np.zeros(len(names), bool) for _ in range(3))
    for i, name in enumerate(names):
        declared[i] = any(_positive(cells, design, s) and design.word(s, "gem_well") == wells[i] for s in known)
        paired[i] = (any(enough[j] and design.paired(name, other) for j, other in enumerate(names))
                     or any(_lends(design, cells, s, name) for s in known))
        quiet = [s for s, no_car in silent_of.items() if no_car]
        here = any(design.word(s, "gem_well") == wells[i] for s in quiet)
        away = any(design.same(s, name, ("chemistry",)) for s in quiet)
        silent[i] = here or (away and not (enough[i] or declared[i]))
        if silent[i]:
            design.flag(name, "control_silent")
    return Controls(own, part, declared, paired, silent)


def _positive(cells: Cells, design: Design, sample: str) -> bool:
    return bool(cells.positive[cells.sample == design.names.index(sample)].any())


def _lends(design: Design, cells: Cells, control: str, sample: str) -> bool:
    """Whether a declared control, or a sample of known CAR+ share, measures capture for another well's sample."""
    if not design.same(control, sample, ("chemistry",)):
        return False
    if design.known_share(control):
        return True
    one, two = design.number(control, "day"), design.number(sample, "day")
    return _positive(cells, design, control) and bool(np.isnan(one) or np.isnan(two) or one == two)
