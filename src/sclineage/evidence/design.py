"""What is known of the samples: how they were sorted, which are controls, which belong together."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

OPEN = ("none", "gate")  # selections in which the share of carrying members means something
PRE_INFUSION_CELLS, PRE_INFUSION_UMI = 3, 5
_SURFACE = re.compile(r"(?:(?:CD\d+[A-Z]?\d?|TCR\w{0,2}|DAPI|7-?AAD|LIVE|VIABLE)\s*(?:\+|-|DIM|BRIGHT|HI|HIGH|LO|LOW|"
                      r"POS|NEG|INT)*[\s,;/&_]*)+", re.IGNORECASE)


def selection_kind(text: str) -> str:
    """Kind of a selection: ``none``, ``CAR+``, ``CAR-``, ``gate`` (surface markers other than the CAR) or ``unknown``.

    A gate counts as independent of the CAR only when it names nothing but CD markers, TCR chains or viability: any
    other word may be the CAR or its tag, and is treated as unknown.
    """
    word = text.strip().casefold()
    if word in {"car+", "car-"}:
        return f"CAR{word[-1]}"
    if word == "none":
        return "none"
    return "gate" if word and _SURFACE.fullmatch(text.strip()) else "unknown"


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one patient, in a fixed order; all arrays have one entry per cell.

    Attributes
    ----------
    sample
        int64: row of the sample table.
    clone
        int64: clone code, -1 without a clone.
    depth
        float64: gene-expression UMIs without the CAR.
    count
        int64: CAR UMIs, union of the features.
    usable
        bool: assessed, with depth, not excluded.
    t_cell
        bool: may carry the CAR (all but cells marked myeloid or B).
    positive, negative
        bool: declared carrying or CAR-free controls.
    malignant
        bool: members of a malignant population, or None when no population was given.
    """

    sample: np.ndarray
    clone: np.ndarray
    depth: np.ndarray
    count: np.ndarray
    usable: np.ndarray
    t_cell: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    malignant: np.ndarray | None


@dataclass(slots=True)
class Design:
    """Samples of one patient and the flags they collect.

    Attributes
    ----------
    table
        One row per sample, index = sample, sorted; columns ``specimen, gem_well, day, selection, kind, chemistry,
        car_counting, positive, negative, car_fraction, car_fraction_n, segment_seen, empty_droplets, empty_umi``.
    flags
        Flags per sample.
    """

    table: pd.DataFrame
    flags: dict[str, list[str]] = field(default_factory=dict)

    def flag(self, sample: str, word: str) -> None:
        """Add a flag to a sample, once."""
        words = self.flags.setdefault(sample, [])
        if word not in words:
            words.append(word)

    @property
    def names(self) -> list[str]:
        """Sample names, in order."""
        return [str(n) for n in self.table.index]

    def number(self, sample: str, column: str) -> float:
        """A numeric column of a sample, NaN where unknown."""
        return float(self.table[column].to_numpy(np.float64)[self.names.index(sample)])

    def word(self, sample: str, column: str) -> str:
        """A text column of a sample."""
        return str(self.table[column].to_numpy(object)[self.names.index(sample)])

    def known_share(self, sample: str) -> bool:
        """Whether the sample is unsorted and its share of CAR+ T cells is known."""
        return bool(np.isfinite(self.number(sample, "car_fraction"))) and self.word(sample, "kind") == "none"

    def same(self, a: str, b: str, columns: tuple[str, ...]) -> bool:
        """Whether two samples agree in `columns` (two unknown days or chemistries agree)."""
        one, two = self.table.loc[a, list(columns)], self.table.loc[b, list(columns)]
        return all(x == y or (pd.isna(x) and pd.isna(y)) for x, y in zip(one, two, strict=True))

    def paired(self, a: str, b: str) -> bool:
        """Whether `b` is another library of the same specimen, day and chemistry."""
        return a != b and self.same(a, b, ("specimen", "day", "chemistry"))

    def wells(self) -> dict[str, list[str]]:
        """Samples per GEM well."""
        return {str(w): [str(n) for n in part.index] for w, part in self.table.groupby("gem_well", sort=True)}


def in_car_sort(design: Design, cells: Cells) -> np.ndarray:
    """Cells of open samples whose clone is at least as frequent in the patient's CAR+ sorts, bool (cells,).

    Large clones without the CAR reach every sort by its leaks, but as a smaller part of it than of the open sample.
    """
    kind = design.table["kind"].to_numpy(object)
    use = cells.usable & cells.t_cell & (cells.clone >= 0)
    own = use & np.isin(cells.sample, np.flatnonzero(kind == "CAR+"))
    out, clones = np.zeros(cells.clone.size, bool), int(cells.clone.max(initial=-1)) + 1
    there = np.bincount(cells.clone[own], minlength=clones)
    for sample in np.flatnonzero(np.isin(kind, OPEN)):
        here = use & (cells.sample == sample)
        frequent = there * here.sum() >= np.bincount(cells.clone[here], minlength=clones) * own.sum()
        out[here] = (frequent & (there > 0))[cells.clone[here]]
    return out


def settle_controls(design: Design, cells: Cells) -> Cells:
    """Take samples from before the infusion as CAR-free, unless they hold the CAR; add declared samples to the cells.

    A sample with three or more cells of five or more CAR UMIs is no sample from before the infusion, whatever its day
    says: it is flagged and not used as a control.
    """
    table = design.table
    negative = table["negative"].to_numpy(dtype=bool).copy()
    before = pd.to_numeric(table["day"]).lt(0).fillna(value=False).to_numpy(dtype=bool)
    rich = np.bincount(cells.sample[cells.usable & (cells.count >= PRE_INFUSION_UMI)], minlength=len(table))
    for i, name in enumerate(design.names):
        full = rich[i] >= PRE_INFUSION_CELLS
        if before[i] and full:
            design.flag(name, "pre_infusion_car")
        if negative[i] and full and not before[i]:
            design.flag(name, "car_in_negative_control")
        negative[i] = (negative[i] or before[i]) and not (before[i] and full)
        if negative[i]:
            design.flag(name, "negative_control")
    table["negative"] = negative
    in_negative = negative[cells.sample] if len(cells.sample) else np.zeros(0, bool)
    in_positive = table["positive"].to_numpy(dtype=bool)[cells.sample]
    return Cells(cells.sample, cells.clone, cells.depth, cells.count, cells.usable, cells.t_cell,
                 cells.positive | in_positive, cells.negative | in_negative, cells.malignant)
