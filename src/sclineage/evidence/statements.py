"""Units to words: evidence, control, verdict, reason and numbers of many units at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import controls as ctl
from . import verdict
from .controls import Controls
from .design import Cells, Design
from .fit import Options
from .panel import Assessed, Panel, assess, fraction_interval


@dataclass(frozen=True, slots=True)
class Context:
    """What every statement on a patient's units needs."""

    design: Design
    cells: Cells
    panel: Panel
    controls: Controls
    options: Options


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements on units; arrays have one entry per unit.

    Attributes
    ----------
    found
        Evidence and posterior.
    verdict, reason
        Words.
    fraction, low, high
        Share of carrying members and its 95 % interval.
    log10_bf
        Bayes factor of CAR against none.
    carries
        Whether some members surely carry the CAR.
    strength
        Weakest positive control behind a negative; `controls.NONE` where there is none.
    controlled
        int64 (cells of the patient,): unit of the cells that a negative rests on, -1 for none.
    """

    found: Assessed
    verdict: np.ndarray
    reason: np.ndarray
    fraction: np.ndarray
    low: np.ndarray
    high: np.ndarray
    log10_bf: np.ndarray
    carries: np.ndarray
    strength: np.ndarray
    controlled: np.ndarray


def _library_facts(context: Context) -> dict[str, np.ndarray]:
    table, libs = context.design.table, context.panel.libraries
    names = [lib.name for lib in libs]
    unique = np.array([lib.background.mt <= verdict.BACKGROUND_LIMIT * lib.signal.theta for lib in libs])
    return {"silent": context.controls.silent, "unique": unique,
            "segment_seen": table.loc[names, "segment_seen"].to_numpy(dtype=bool),
            "whole_cds": (table.loc[names, "car_counting"] == "whole_cds").to_numpy(dtype=bool)}


def _over_units(values: np.ndarray, code: np.ndarray, n_units: int) -> np.ndarray:
    out = np.zeros(n_units, bool)
    np.logical_or.at(out, code, values)
    return out


def _control(context: Context, code: np.ndarray, facts: dict[str, np.ndarray]) -> np.ndarray:
    """Strength of the control of every cell's library for the cell's clone, 0 where its absence means nothing."""
    out = np.zeros(code.size, np.int64)
    used = (code >= 0) & (context.cells.clone >= 0)
    library = context.panel.library_of_cell[used]
    fit = facts["unique"] & facts["segment_seen"] & ~facts["silent"]
    width = len(context.panel.libraries)
    pairs, at = np.unique(context.cells.clone[used] * width + library, return_inverse=True)
    strength = context.controls.strength(pairs // width, pairs % width)
    out[used] = np.where(fit[library], strength[at], ctl.NONE)
    return out


def _support(context: Context, code: np.ndarray, found: Assessed) -> tuple[verdict.Support, np.ndarray]:
    """Support of negatives, and the unit of the cells they rest on."""
    facts, n_units = _library_facts(context), found.n.size
    of_cell = _control(context, code, facts)
    used, lib = code >= 0, context.panel.library_of_cell
    controlled = np.where(of_cell > ctl.NONE, code, -1)
    strength = np.full(n_units, ctl.SAME, np.int64)
    np.minimum.at(strength, code[controlled >= 0], of_cell[controlled >= 0])
    cells = np.bincount(controlled[controlled >= 0], minlength=n_units)
    strength[cells == 0] = ctl.NONE
    core = verdict.excludes_clonal(found, strength)
    partly = (cells > 0) & (cells < found.n) & verdict.no_clonal(found.posterior.state)
    core[(cells > 0) & (cells < found.n)] = False
    if partly.any():  # only the cells of controlled libraries may speak for absence
        compact = np.cumsum(partly) - 1
        sub = np.where((controlled >= 0) & partly[controlled], compact[controlled], -1)
        part = assess(context.panel, sub, int(partly.sum()), device=context.options.device)
        core[partly] = verdict.excludes_clonal(part, strength[partly])
    facts = {k: _over_units((v if k in ("silent", "whole_cds") else ~v)[lib[used]], code[used], n_units)
             for k, v in facts.items()}
    return verdict.Support(core, strength, facts["silent"], ~facts["segment_seen"], ~facts["unique"],
                           facts["whole_cds"]), controlled


def make(context: Context, code: np.ndarray, n_units: int, *, is_open: np.ndarray) -> Statements:
    """Statements on units.

    Parameters
    ----------
    code
        int64 (cells of the patient,): unit of every cell, -1 for none; a unit holds cells of one clone.
    is_open
        bool (units,): the unit's cells were not selected by the CAR.
    """
    code = np.where(context.panel.key_of_cell >= 0, code, -1)
    found = assess(context.panel, code, n_units, device=context.options.device)
    support, controlled = _support(context, code, found)
    mean, low, high = fraction_interval(found.posterior)
    said, why = verdict.words(found, support, high, is_open=is_open, limit=context.options.fraction_limit)
    empty = found.n == 0
    for values in (mean, low, high):
        values[empty] = np.nan
    return Statements(found, said, why, mean, low, high, np.where(empty, np.nan, verdict.bayes_factor(found)),
                      ctl.carries(found), np.where(is_open, support.strength, ctl.NONE), controlled)
