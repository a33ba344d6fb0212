"""Tables of a patient's CAR status: clone x specimen rows, clones, samples, what-ifs, fitted parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import _schema as schema
from . import controls as ctl
from . import grids, limits, signal, statements, verdict
from .design import OPEN, Cells, Design
from .identify import CLEAR
from .library import Library
from .statements import Context, Statements

if TYPE_CHECKING:
    from .car import Partition, Patient, Result

NUMBERS = ("car_p_negative", "car_p_positive", "car_p_mixed", "car_log10_bf", "car_fraction", "car_fraction_low",
           "car_fraction_high", "car_power", "car_theta_excluded", "car_cells_needed")
STATED = ("car_p_negative", "car_p_positive", "car_p_mixed", "car_log10_bf")
WHAT_IF = ("clone_id", "scenario", "car_verdict", "car_p_negative", "car_p_positive", "car_p_mixed", "car_log10_bf")
CAR_SAMPLE_COLUMNS = tuple(c.name for c in schema.SAMPLES if c.name.startswith("car_"))


@dataclass(frozen=True, slots=True)
class Units:
    """Clone x specimen x selection x population.

    Attributes
    ----------
    clone
        int64: clone code.
    specimen, selection, population
        object: words.
    """

    clone: np.ndarray
    specimen: np.ndarray
    selection: np.ndarray
    population: np.ndarray


@dataclass(frozen=True, slots=True)
class CloneRows:
    """The table ``clone_car``, its units, and which of them surely carry and were not selected by the CAR."""

    table: pd.DataFrame
    units: Units
    carries: np.ndarray
    is_open: np.ndarray

    @property
    def p_none(self) -> np.ndarray:
        """Posterior of no CAR, float64 (rows,)."""
        return self.table["car_p_negative"].to_numpy(np.float64)

    @property
    def log10_bf(self) -> np.ndarray:
        """log10 Bayes factor of CAR against none, float64 (rows,)."""
        return self.table["car_log10_bf"].to_numpy(np.float64)


def numbers(said: Statements, power: np.ndarray, needed: np.ndarray, *, is_open: np.ndarray) -> pd.DataFrame:
    """Number columns of units; a share of carrying members only where cells were not selected by the CAR."""
    state = said.found.sampled
    out = pd.DataFrame({
        "car_p_negative": state[:, 0], "car_p_positive": state[:, 1], "car_p_mixed": state[:, 2],
        "car_log10_bf": said.log10_bf, "car_fraction": said.fraction, "car_fraction_low": said.low,
        "car_fraction_high": said.high, "car_power": power, "car_theta_excluded": limits.theta_excluded(said),
        "car_cells_needed": needed})
    out.loc[said.found.n == 0, list(NUMBERS)] = np.nan
    out.loc[~is_open, ["car_fraction", "car_fraction_low", "car_fraction_high", "car_theta_excluded",
                       "car_cells_needed"]] = np.nan
    out.loc[~is_open & (said.found.n > 0), "car_power"] = 0.0
    return out


# --- clone x specimen ------------------------------------------------------------------------------------------------
def clone_rows(patient: Patient, context: Context, parts: Partition, whole: Statements) -> CloneRows:
    """One row per clone, specimen, selection and population."""
    cells, table = context.cells, context.design.table
    place = pd.DataFrame({"clone": cells.clone, "specimen": table["specimen"].to_numpy(dtype=object)[cells.sample],
                          "selection": table["selection"].to_numpy(dtype=object)[cells.sample]})
    divided = np.zeros(len(patient.clones), bool)
    if cells.malignant is not None:
        divided[cells.clone[cells.malignant & (cells.clone >= 0)]] = True
    frames = []
    for population in schema.CLONE_POPULATIONS:
        mask = cells.clone >= 0
        if population != "all":
            if cells.malignant is None:
                continue
            mask = mask & divided[np.maximum(cells.clone, 0)] & (cells.malignant == (population == "malignant"))
        if mask.any():
            frames.append(_rows_of(patient, context, place[mask], mask, population, parts, whole))
    if not frames:
        none = np.zeros(0, object)
        return CloneRows(schema.empty("clone_car"), Units(np.zeros(0, np.int64), none, none, none), np.zeros(0, bool),
                         np.zeros(0, bool))
    rows = pd.concat([f[0] for f in frames], ignore_index=True)
    keys = [np.concatenate([getattr(f[1], c) for f in frames]) for c in Units.__slots__]
    return CloneRows(rows, Units(*keys), *(np.concatenate([f[j] for f in frames]) for j in (2, 3)))


def _rows_of(patient: Patient, context: Context, place: pd.DataFrame, mask: np.ndarray, population: str,
             parts: Partition, whole: Statements) -> tuple[pd.DataFrame, Units, np.ndarray, np.ndarray]:
    group = place.groupby(["clone", "specimen", "selection"], sort=True)
    keys = group.size().reset_index()
    code = np.full(mask.size, -1, np.int64)
    code[mask] = group.ngroup().to_numpy()
    kind_of = context.design.table.drop_duplicates("selection").set_index("selection")["kind"]
    is_open = kind_of.loc[keys["selection"]].isin(OPEN).to_numpy()
    said = statements.make(context, code, len(keys), is_open=is_open)
    names = [patient.clones[k] for k in keys["clone"]]
    unselected = np.where(parts.kind == 0, whole.found.n, 0)
    pooled = np.bincount(parts.clone, unselected, len(patient.clones))[keys["clone"]]
    wanted = _largest(said.found.n, is_open & (said.found.n < pooled) if population == "all" else is_open)
    power = limits.power(context, said, names, wanted)
    umi, with_car = _exact(context, code, len(keys))
    rows = pd.DataFrame({
        "patient": patient.name, "clone_id": names, "specimen": keys["specimen"], "selection": keys["selection"],
        "population": population, "n_informative": said.found.n, "n_with_car": with_car, "umi": umi,
        "expected_if_negative": said.found.expected[:, :2].sum(axis=1),
        "expected_if_positive": said.found.expected[:, [0, 2]].sum(axis=1),
        "car_verdict": said.verdict, "car_reason": said.reason,
        "car_evidence": np.where(said.verdict == "indeterminate", "", "RNA")})
    rows = pd.concat([rows, numbers(said, power, limits.cells_needed(context, said, code), is_open=is_open)], axis=1)
    chosen = Units(keys["clone"].to_numpy(np.int64), keys["specimen"].to_numpy(object),
                   keys["selection"].to_numpy(object), np.full(len(keys), population, object))
    return rows, chosen, said.carries, is_open


def _largest(n: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    out = np.zeros(n.size, bool)
    order = np.argsort(-np.where(allowed, n, -1), kind="stable")[: limits.MAX_UNITS]
    out[order] = allowed[order]
    return out


def _exact(context: Context, code: np.ndarray, n_units: int) -> tuple[np.ndarray, np.ndarray]:
    """CAR UMIs and cells with the CAR per unit, from the counts themselves (keys are capped)."""
    used = (code >= 0) & (context.panel.key_of_cell >= 0)
    count = context.cells.count[used]
    umi = np.bincount(code[used], count, n_units).astype(np.int64)
    return umi, np.bincount(code[used], count > 0, n_units).astype(np.int64)


# --- clones ----------------------------------------------------------------------------------------------------------
def _answering(parts: Partition, said: Statements, n_clones: int) -> np.ndarray:
    """The unit that answers for each clone: malignant members where there are any, unselected cells first."""
    order = np.lexsort((parts.kind, ~parts.malignant, said.found.n == 0, parts.clone))
    out = np.full(n_clones, -1, np.int64)
    clones, first = np.unique(parts.clone[order], return_index=True)
    out[clones] = order[first]
    return out


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Clones with surely carrying members outside the cells that answer for them; one entry per clone.

    Attributes
    ----------
    selected, surely, specimen
        bool: in selected cells; there by more than a doublet can give; in one specimen alone.
    p_none, log10_bf
        float64: least posterior of no CAR, and largest Bayes factor, of those cells; 1 and -inf without any.
    """

    selected: np.ndarray
    surely: np.ndarray
    specimen: np.ndarray
    p_none: np.ndarray
    log10_bf: np.ndarray

    def stated(self, flag: str, k: int, state: np.ndarray, log10_bf: float) -> tuple[float, float, float, float]:
        """Posteriors of none, all and some, and Bayes factor, of a clone whose verdict has this flag."""
        if not flag:
            return float(state[0]), float(state[1]), float(state[2]), float(log10_bf)
        none = float(min(state[0], self.p_none[k]))
        every = float(min(state[1], 1 - none))
        return none, every, 1 - none - every, float(np.fmax(log10_bf, self.log10_bf[k]))


def _elsewhere(parts: Partition, said: Statements, rows: CloneRows, unit: np.ndarray) -> Elsewhere:
    selected, surely, specimen = np.zeros((3, unit.size), bool)
    out = Elsewhere(selected, surely, specimen, np.ones(unit.size), np.full(unit.size, -np.inf))
    of_clone = unit[parts.clone]
    other = said.carries & (parts.malignant == parts.malignant[of_clone]) & (np.arange(parts.clone.size) != of_clone)
    out.surely[parts.clone[other & (said.log10_bf >= verdict.MINOR_DECADES)]] = True
    answering = np.where(parts.malignant[unit[rows.units.clone]], "malignant", "all")
    alone = rows.carries & rows.is_open & (rows.units.population == answering)
    for sure, clone, p_none, bf in (
            (out.selected, parts.clone[other], said.found.sampled[other, 0], said.log10_bf[other]),
            (out.specimen, rows.units.clone[alone], rows.p_none[alone], rows.log10_bf[alone])):
        sure[clone] = True
        np.minimum.at(out.p_none, clone, p_none)
        np.maximum.at(out.log10_bf, clone, bf)
    return out


def combined(parts: Partition, said: Statements, rows: CloneRows, n_clones: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Answering unit of every clone (-1 where it has no cell), and verdict, reason, flag, posteriors, Bayes factor."""
    unit = _answering(parts, said, n_clones)
    sure, lines = _elsewhere(parts, said, rows, unit), []
    for k, u in enumerate(unit):
        if u < 0:
            lines.append(("indeterminate", "not_assessed", "", *[np.nan] * 4))
            continue
        word = verdict.combine(str(said.verdict[u]), str(said.reason[u]), sorted_members=bool(sure.selected[k]),
                               sorted_surely=bool(sure.surely[k]), specimen_members=bool(sure.specimen[k]))
        lines.append((*word, *sure.stated(word[2], k, said.found.sampled[u], said.log10_bf[u])))
    return unit, pd.DataFrame(lines, columns=["car_verdict", "car_reason", "flag", *STATED])


def clones(patient: Patient, context: Context, parts: Partition, said: Statements, rows: CloneRows,
           focus: list[int]) -> pd.DataFrame:
    """The table ``car_clones``, without the product."""
    n_clones = len(patient.clones)
    unit, stated = combined(parts, said, rows, n_clones)
    names = [patient.clones[k] for k in parts.clone]
    is_open = parts.kind == 0
    wanted = _largest(said.found.n, is_open)
    wanted |= is_open & np.isin(parts.clone, focus)
    power = limits.power(context, said, names, wanted)
    _, with_car = _exact(context, parts.code, parts.clone.size)
    needed = limits.cells_needed(context, said, parts.code)
    values = numbers(said, power, needed, is_open=is_open).reindex(unit).reset_index(drop=True)
    n = _of_clone(said.found.n, unit)
    values[list(STATED)] = stated[list(STATED)].mask(pd.Series(n == 0), axis=0)
    flags = [";".join(w for w in (stated["flag"][k], *_clone_flags(context, parts, said, unit[k])) if w)
             for k in range(n_clones)]
    frame = pd.DataFrame({"patient": patient.name, "clone_id": patient.clones,
                          "car_verdict": stated["car_verdict"].to_numpy(object),
                          "car_reason": stated["car_reason"].to_numpy(object),
                          "car_evidence": np.where(stated["car_verdict"] == "indeterminate", "", "RNA"),
                          "car_p_silent": _silent(context, said, unit), "car_dna": "",
                          "car_n_informative": n, "car_n_with_car": _of_clone(with_car, unit), "car_flags": flags})
    return pd.concat([frame, values], axis=1)


def _of_clone(values: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Values of the units that answer for clones, 0 for a clone without any."""
    out = np.zeros(unit.size, values.dtype)
    out[unit >= 0] = values[unit[unit >= 0]]
    return out


def _silent(context: Context, said: Statements, unit: np.ndarray) -> np.ndarray:
    """Posterior of a wholly silent CAR: RNA tells it from no CAR by the prior alone."""
    prior = said.found.shares
    odds = context.options.silenced_share * prior[:, 1] / np.maximum(prior[:, 0], 1e-300)
    silent = _of_clone(said.found.posterior.state[:, 0] * odds / (1 + odds), unit)
    return np.where(_of_clone(said.found.n, unit) > 0, silent, np.nan)


def _clone_flags(context: Context, parts: Partition, said: Statements, unit: int) -> list[str]:
    out: list[str] = []
    if unit < 0:
        return out
    if said.found.n[unit] and parts.kind[unit]:
        out.append({1: "selection_unknown", 2: "only_CAR-_sorted", 3: "only_CAR+_sorted"}[int(parts.kind[unit])])
    if said.found.p_clear[unit] < CLEAR:
        out.append("background_uncertain")
    cells = parts.code == unit if said.found.n[unit] >= verdict.MIN_NEGATIVE_CELLS else np.zeros(0, bool)
    used = np.unique(context.cells.sample[cells]) if cells.size else np.zeros(0, np.int64)
    if used.size and not context.design.table["depth_known"].to_numpy(dtype=bool)[used].all():
        out.append("depth_unknown")
    return out


def no_what_if() -> pd.DataFrame:
    """What-if table without a row."""
    return pd.DataFrame({c: pd.Series(dtype=object if c in WHAT_IF[:3] else np.float64) for c in WHAT_IF})


def what_if(patient: Patient, context: Context, parts: Partition, rows: CloneRows, focus: list[int]) -> pd.DataFrame:
    """Verdicts of focus clones under other parameters."""
    chosen = np.flatnonzero(np.isin(parts.clone, focus))
    if chosen.size == 0:
        return no_what_if()
    compact = np.full(parts.clone.size, -1, np.int64)
    compact[chosen] = np.arange(chosen.size)
    code = np.where(parts.code >= 0, compact[np.maximum(parts.code, 0)], -1)
    named, clone = np.unique(parts.clone[chosen], return_inverse=True)
    part = type(parts)(code, clone, parts.kind[chosen], parts.malignant[chosen])
    keep = np.isin(rows.units.clone, named)
    units = Units(np.searchsorted(named, rows.units.clone[keep]), *(getattr(rows.units, c)[keep]
                                                                    for c in Units.__slots__[1:]))
    mine = CloneRows(rows.table[keep], units, rows.carries[keep], rows.is_open[keep])
    frames = []
    for scenario, said in limits.what_if(context, code, chosen.size, is_open=part.kind == 0).items():
        _, stated = combined(part, said, mine, named.size)
        frames.append(stated.assign(clone_id=[patient.clones[k] for k in named], scenario=scenario)[list(WHAT_IF)])
    return pd.concat(frames, ignore_index=True).sort_values(["clone_id"], kind="stable", ignore_index=True)


# --- samples ---------------------------------------------------------------------------------------------------------
def samples(design: Design, cells: Cells, libraries: dict[str, Library], context: Context | None) -> pd.DataFrame:
    """Per-sample columns of the table ``samples``, index = sample."""
    rows = {}
    for i, name in enumerate(design.names):
        here = (cells.sample == i) & cells.usable
        row: dict[str, object] = dict.fromkeys(CAR_SAMPLE_COLUMNS, np.nan)
        row |= {"car_background_source": "", "car_sensitivity_source": ""}
        if here.any():
            row["car_umi_total"] = int(cells.count[here].sum())
        if context is not None and name in libraries:
            _fill_sample(row, design, context, libraries[name])
        if here.any() and not design.table["depth_known"].to_numpy(dtype=bool)[i]:
            design.flag(name, "depth_unknown")
        rows[name] = row | {"flags": ";".join(design.flags.get(name, []))}
    frame = pd.DataFrame({c: [row[c] for row in rows.values()] for c in (*CAR_SAMPLE_COLUMNS, "flags")},
                         index=pd.Index(list(rows), dtype=object))
    return frame.astype({c: no_samples()[c].dtype for c in frame.columns})


def no_samples() -> pd.DataFrame:
    """Per-sample table without a row."""
    kinds = {c.name: object if c.dtype == "str" else np.float64 for c in schema.SAMPLES}
    return pd.DataFrame({c: pd.Series(dtype=kinds[c]) for c in (*CAR_SAMPLE_COLUMNS, "flags")},
                        index=pd.Index([], dtype=object))


def _fill_sample(row: dict[str, object], design: Design, context: Context, lib: Library) -> None:
    depth = float(np.median(lib.keys.depth[lib.keys.bin][lib.keys.of_cell]))
    i = [other.name for other in context.panel.libraries].index(lib.name)
    own = context.controls.own[i]
    same = context.controls.declared[i] or (own[0] >= ctl.MIN_CELLS and own[1] >= ctl.MIN_UMI)
    row["car_background_per_cell"] = float(lib.background.mean(np.array(depth)))
    row["car_background_source"] = lib.background.source
    row["car_p_background"] = 1 - lib.p_clear if lib.compared else np.nan
    row["car_sensitivity"] = signal.sensitivity(lib.signal, depth)
    row["car_sensitivity_source"] = "same_library" if same else lib.theta_prior.source
    row["car_doublet_share"] = lib.background.eta
    if lib.p_clear < CLEAR:
        design.flag(lib.name, "background_not_identified")
    if not (same or context.controls.paired[i]):
        design.flag(lib.name, "no_positive_control")
    if lib.background.source == "prior" and not lib.background.t_measured:
        design.flag(lib.name, "background_assumed")
    if lib.background.mt > verdict.BACKGROUND_LIMIT * lib.signal.theta:
        design.flag(lib.name, "counts_not_car_unique")


def parameters(patient: str, libraries: list[Library]) -> pd.DataFrame:
    """Fitted parameters per library."""
    columns = {
        "patient": [patient] * len(libraries), "sample": [lib.name for lib in libraries],
        "alpha": [lib.background.alpha for lib in libraries], "beta": [lib.background.beta for lib in libraries],
        "mt": [lib.background.mt for lib in libraries], "eta": [lib.background.eta for lib in libraries],
        "background_size": [min(lib.background.size, 1e6) for lib in libraries],
        "background_spread": [lib.background.spread for lib in libraries],
        "theta": [lib.signal.theta for lib in libraries], "size": [lib.size for lib in libraries],
        "sigma": [lib.signal.sigma for lib in libraries], "theta_spread": [lib.signal.spread for lib in libraries],
        "tau": [float(lib.tau @ grids.TAU) for lib in libraries],
        "silent": [float(lib.sm @ grids.SM) for lib in libraries],
        "carrying": [lib.carrying for lib in libraries], "p_clear": [lib.p_clear for lib in libraries]}
    words = ("patient", "sample")
    return pd.DataFrame({k: pd.Series(v, dtype=object if k in words else np.float64) for k, v in columns.items()})


def nothing(patient: Patient) -> Result:
    """Result of a patient without one cell that could be assessed: the schema, no verdict."""
    from .car import Result

    cells, names = patient.cells, patient.clones
    keep = np.unique(cells.clone[cells.clone >= 0])
    frame = pd.DataFrame({c.name: pd.Series(np.nan if c.dtype != "str" else "", index=range(keep.size), dtype=object)
                          for c in schema.CAR_CLONES})
    frame["patient"], frame["clone_id"] = patient.name, [names[k] for k in keep]
    frame["car_verdict"], frame["car_reason"], frame["car_n_informative"] = "indeterminate", "not_assessed", 0
    p = np.where(cells.usable & cells.negative, 0.0, np.nan)
    per_cell = pd.DataFrame({"car_umi": cells.count, "car_bg_expected": np.full(p.size, np.nan), "car_p": p,
                             "car_p_cell_only": p, "car_call": np.where(np.isfinite(p), "unlikely", ""),
                             "car_product": ""})
    rows = schema.empty("clone_car")
    table = samples(patient.design, cells, {}, None)
    return Result(per_cell, frame, rows, table, no_what_if(), parameters(patient.name, []))
