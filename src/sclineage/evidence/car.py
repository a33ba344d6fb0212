"""CAR status of one patient: from cells and samples to verdicts, on arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from . import fit, panel, products, statements, tables, units
from .controls import measure
from .design import OPEN, Cells, Design, settle_controls
from .fit import Options
from .identify import CLEAR
from .keys import make_keys
from .library import Library
from .panel import Panel
from .statements import Context, Statements

CLASSES = ("open", "unknown", "CAR-", "CAR+")
OTHER_CELL_SHARE = 0.001  # prior share of carrying cells among those that are not T cells


@dataclass(frozen=True, slots=True)
class Patient:
    """Input of one patient.

    Attributes
    ----------
    name
        Patient id.
    design, cells
        Samples and cells; cells in canonical order.
    clones
        Clone names by code.
    barcodes
        Index of every cell in the caller's order.
    constructs
        Names of the constructs, with `construct_counts` int64 (cells, constructs).
    """

    name: str
    design: Design
    cells: Cells
    clones: list[str]
    barcodes: np.ndarray
    constructs: tuple[str, ...]
    construct_counts: np.ndarray


@dataclass(frozen=True, slots=True)
class Result:
    """Output of one patient; frames follow `_schema`.

    Attributes
    ----------
    cells
        One row per cell, in the order of `Patient.cells`.
    clones, clone_car, samples, what_if, fitted
        Tables.
    """

    cells: pd.DataFrame
    clones: pd.DataFrame
    clone_car: pd.DataFrame
    samples: pd.DataFrame
    what_if: pd.DataFrame
    fitted: pd.DataFrame


def _classes(design: Design) -> np.ndarray:
    """Class of every sample: index into `CLASSES`."""
    return np.array([0 if kind in OPEN else CLASSES.index(kind) for kind in design.table["kind"]], np.int64)


@dataclass(frozen=True, slots=True)
class Partition:
    """Units that partition the cells with a clone: clone x class of selection x malignant or not.

    Attributes
    ----------
    code
        int64 (cells,): unit of every cell, -1 without a clone.
    clone, kind, malignant
        Per unit: clone code, index into `CLASSES`, whether its cells are malignant members.
    """

    code: np.ndarray
    clone: np.ndarray
    kind: np.ndarray
    malignant: np.ndarray


def partition(cells: Cells, classes: np.ndarray) -> Partition:
    """Split every clone by class of selection and by malignant membership."""
    malignant = np.zeros(cells.clone.size, np.int64) if cells.malignant is None else cells.malignant.astype(np.int64)
    kind = classes[cells.sample] if cells.sample.size else np.zeros(0, np.int64)
    name = (cells.clone * len(CLASSES) + kind) * 2 + malignant
    used = cells.clone >= 0
    named, at = np.unique(name[used], return_inverse=True)
    code = np.full(cells.clone.size, -1, np.int64)
    code[used] = at
    return Partition(code, named // 2 // len(CLASSES), named // 2 % len(CLASSES), (named % 2).astype(bool))


def assess_patient(patient: Patient, options: Options, focus: list[str] | None = None) -> Result:
    """CAR status of all cells and clones of one patient.

    Parameters
    ----------
    patient
        Input; the flags of its design are filled.
    options
        Settings.
    focus
        Clones whose what-if table is wanted; the malignant ones, else the ten largest, when absent.
    """
    design = patient.design
    cells = settle_controls(design, patient.cells)
    patient = replace(patient, cells=cells)
    fitted = fit.fit_patient(design, cells, options)
    libraries = [fitted.libraries[n] for n in design.names if n in fitted.libraries]
    if not libraries:
        return tables.nothing(patient)
    stacked = panel.make(design, cells, libraries)
    controls = measure(design, cells, stacked, fitted, len(patient.clones))
    context = Context(design, cells, stacked, controls, options)
    parts = partition(cells, _classes(design))
    said = statements.make(context, parts.code, parts.clone.size, is_open=parts.kind == 0)
    rows = tables.clone_rows(patient, context, parts, said)
    chosen = _focus(patient, rows, focus)
    clones = tables.clones(patient, context, parts, said, rows, chosen)
    per_cell = cell_table(patient, context, parts, said)
    per_cell["car_product"] = products.of_cells(patient, parts, per_cell)
    return Result(per_cell, clones.assign(car_product=products.of_clones(patient, clones)), rows.table,
                  tables.samples(design, cells, fitted.libraries, context),
                  tables.what_if(patient, context, parts, rows, chosen), tables.parameters(patient.name, libraries))


def _focus(patient: Patient, rows: tables.CloneRows, focus: list[str] | None) -> list[int]:
    known = {name: k for k, name in enumerate(patient.clones)}
    if focus is not None:
        return [known[name] for name in focus if name in known]
    malignant = sorted(set(rows.units.clone[rows.units.population == "malignant"].tolist()))
    if malignant:
        return malignant
    sizes = np.bincount(patient.cells.clone[patient.cells.clone >= 0], minlength=len(patient.clones))
    return sorted(np.argsort(-sizes, kind="stable")[:10].tolist())


# --- cells -----------------------------------------------------------------------------------------------------------
def cell_table(patient: Patient, context: Context, parts: Partition, said: Statements) -> pd.DataFrame:
    """Per-cell probabilities, calls and expectations."""
    cells, stacked = context.cells, context.panel
    p = panel.cell_values(stacked, said.found, parts.code)
    alone = _cells_without_clone(context, parts.code)
    p = np.where(np.isfinite(p), p, alone)
    only = _own_counts(stacked)
    expected, clear = np.full(p.size, np.nan), np.zeros(p.size, bool)
    for lib in stacked.libraries:
        here = (cells.sample == context.design.names.index(lib.name)) & cells.usable
        clear[here] = lib.p_clear >= CLEAR
        known = lib.background
        rate = known.beta + np.where(cells.t_cell, known.mt, 0.0)
        expected[here] = (known.alpha + rate * cells.depth)[here]
        other = here & ~cells.t_cell
        p[other] = only[other] = _not_t(lib, cells.depth[other], cells.count[other])
    free = cells.usable & cells.negative
    p[free] = only[free] = 0.0
    pos = (p >= 0.95) & cells.t_cell & clear  # a library in doubt yields no carrying call, as it yields no verdict
    call = np.select([~np.isfinite(p), pos, p <= 0.05], ["", "pos", "unlikely"], "uncertain")
    return pd.DataFrame({"car_umi": cells.count, "car_bg_expected": expected, "car_p": p, "car_p_cell_only": only,
                         "car_call": call.astype(object)})


def _cells_without_clone(context: Context, code: np.ndarray) -> np.ndarray:
    """Probability of cells without a clone under the population prior of such cells; cells of one key are alike."""
    stacked = context.panel
    alone = np.flatnonzero((code < 0) & (stacked.key_of_cell >= 0))
    out = np.full(code.size, np.nan)
    if alone.size:
        keys, first, at = np.unique(stacked.key_of_cell[alone], return_index=True, return_inverse=True)
        units_ = np.full(code.size, -1, np.int64)
        units_[alone[first]] = np.arange(keys.size)
        found = panel.assess(stacked, units_, keys.size, has_clone=np.zeros(keys.size, bool),
                             device=context.options.device)
        out[alone] = panel.cell_values(stacked, found, units_)[alone[first]][at]
    return out


def _own_counts(stacked: Panel) -> np.ndarray:
    """Probability from a cell's own counts alone; averaged over the background question where it is open."""
    values, at = np.empty(stacked.middle.shape[0]), 0
    for lib in stacked.libraries:
        rows = slice(at, at + lib.keys.bin.size)
        values[rows] = units.single_cells(stacked.middle[rows], lib.weights, lib.carrying)
        if lib.alternative is not None and stacked.other_middle is not None:
            there = units.single_cells(stacked.other_middle[rows], lib.alternative.weights, OTHER_CELL_SHARE)
            values[rows] = lib.p_clear * values[rows] + (1 - lib.p_clear) * there
        at = rows.stop
    return np.where(stacked.key_of_cell >= 0, values[np.maximum(stacked.key_of_cell, 0)], np.nan)


def _not_t(lib: Library, depth: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Probability of cells that are not T cells: a doublet explains their CAR, so they are never called."""
    if depth.size == 0:
        return np.empty(0)
    keys = make_keys(depth, count)
    other = replace(lib, keys=keys, background=replace(lib.background, mt=0.0))
    return np.minimum(units.single_cells(other.loglik()[:, 1], lib.weights, OTHER_CELL_SHARE), 0.949)[keys.of_cell]
