"""The CAR verdict of a clone in plain clinical English.

A negative never comes without its limits, and an "indeterminate" never without its reason and what would decide it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from . import format as f
from .statement import Row, Statement, capital, lower
from .words import plain

CALLED = ("malignant", "suspicious")
SILENT = "RNA cannot tell a silenced CAR from an absent one: vector copy number on sorted tumour cells would."
NOT_CAUSE = ("This is not a statement of cause: a clone that carries the vector need not have grown because of it, "
             "and RNA does not show where the vector sits.")
COPIES = "Vector copy number (ddPCR) on sorted tumour cells, with their purity."
_NOT_OPEN = ("CAR+", "CAR-", "unknown", "")  # cells whose share of carriers says nothing of the clone
_EXPECTED = ["umi", "expected_if_negative", "expected_if_positive"]


@dataclass(frozen=True, slots=True)
class CarContext:
    """What a CAR sentence is written from: the clone, and its rows of ``clone_car``."""

    clone: Row
    rows: pd.DataFrame

    def subject(self) -> str:
        """Name of the clone in a sentence, with its size."""
        kind = {"malignant": "The malignant clone", "suspicious": "The suspicious clone"}
        name = kind.get(str(self.clone["malignant_call"]), "The clone")
        return f"{name} ({f.cells(self.clone['n_cells'])}{self._where()})"

    def _where(self) -> str:
        n = self.rows.loc[self.rows["n_informative"].fillna(0) > 0, "specimen"].nunique()
        return f" in {n} specimen{'s' if n != 1 else ''}" if n else ""

    def behind(self) -> pd.DataFrame:
        """Rows that the clone's verdict rests on, where they add up to its informative cells; else no row."""
        n = f.real(self.clone["car_n_informative"])
        for population in ("malignant", "all"):
            members = self.rows[self.rows["population"] == population]
            for part in (members[~members["selection"].isin(_NOT_OPEN)], members):
                if len(part) and n is not None and float(part["n_informative"].fillna(0).sum()) == n:
                    return part
        return self.rows.iloc[:0]

    def seen(self) -> str:
        """How many cells and molecules were seen, and expected."""
        n, k = self.clone["car_n_informative"], self.clone["car_n_with_car"]
        if not f.known(n):
            return "the number of informative cells is not recorded"
        part = self.behind()
        scored = len(part) and (part["population"] == "malignant").all()
        members = f" {call}" if scored and (call := str(self.clone["malignant_call"])) in CALLED else ""
        text = f"{f.count(k)} of {f.count(n)} informative{members} cells {'shows' if f.real(k) == 1 else 'show'}"
        return f"{text} CAR transcript{_molecules(part)}"


def _molecules(part: pd.DataFrame) -> str:
    if part.empty or part[_EXPECTED].isna().any(axis=None):
        return ""
    umi, low, high = (float(part[c].sum()) for c in _EXPECTED)
    return (f" ({f.count(umi)} CAR UMI{'s' if umi != 1 else ''}; {f.quantity(low)} expected from background and "
            f"doublets alone, {f.quantity(high)} if every member carried it)")


def car(context: CarContext) -> Statement:
    """What the data say of the CAR in a clone.

    Parameters
    ----------
    context
        The clone's row of ``clones``, and its rows of ``clone_car``.

    Returns
    -------
    Statement
        Sentence, limits, and what would decide more.
    """
    return VERDICTS[str(context.clone["car_verdict"]) or "indeterminate"](context)


def _statement(c: CarContext, says: str, limits: str, decides: str) -> Statement:
    word = plain(str(c.clone["car_verdict"]) or "indeterminate")
    return Statement("Does it carry the CAR?", word, says, limits, decides)


def _share(row: Row) -> str:
    low_high = f.interval(row["car_fraction_low"], row["car_fraction_high"])
    return f"share of members that carry it: {f.share(row['car_fraction'])} (95 % interval {low_high})"


def _bayes(row: Row) -> str:
    return f"log10 Bayes factor {f.signed(row['car_log10_bf'])}"


def _positive(c: CarContext) -> Statement:
    if str(c.clone["car_evidence"]) == "DNA":
        says = (f"{c.subject()} carries the vector, by DNA: more than 0.5 copies per tumour cell, whatever the other "
                f"cells of the specimen carry. In RNA, {c.seen()}, {_bayes(c.clone)}.")
        if "rna_dna_conflict" in f.words(c.clone["car_flags"]):
            says += (" RNA alone would have excluded a clonal, expressed CAR: the vector is silent, or the specimens "
                     "differ.")
        return _statement(c, says, NOT_CAUSE, "Integration sites in sorted tumour cells; CAR protein on them.")
    says = f"{c.subject()} expresses the CAR, and clonally: {c.seen()}."
    says += f" {capital(f.posterior(c.clone['car_p_positive']))}, {_bayes(c.clone)}; {_share(c.clone)}."
    return _statement(c, says, NOT_CAUSE, "Integration sites and vector copy number in sorted tumour cells.")


def _mixed(c: CarContext) -> Statement:
    says = f"Some members of {lower(c.subject())} carry the CAR and others do not: "
    if "minor" in f.words(c.clone["car_flags"]):
        says += (f"carrying members were found among sorted cells, while among unsorted cells a CAR in all members is "
                 f"excluded, where {c.seen()} ({_bayes(c.clone)}); {_share(c.clone)}.")
    else:
        says += f"{c.seen()}. {capital(f.posterior(c.clone['car_p_mixed']))}, {_bayes(c.clone)}; {_share(c.clone)}."
    limits = ("The same receptor does not make a cell CAR-derived: only some members need have been transduced. "
              "A silenced member cannot be told from one without the vector. " + NOT_CAUSE)
    return _statement(c, says, limits, COPIES)


def _present(c: CarContext) -> Statement:
    flags = f.words(c.clone["car_flags"])
    says = f"Members of {lower(c.subject())} carry the CAR: "
    if "from_sorted" in flags:
        says += f"they were found among sorted cells. Among the others {c.seen()}, which does not settle the share."
    else:
        none = f.real(c.clone["car_p_negative"])
        says += f"{c.seen()}. {capital(f.posterior(None if none is None else 1 - none))}, {_bayes(c.clone)}."
    says += " Whether all members carry it or only some cannot be resolved"
    says += ", since it was seen only in cells sorted for the CAR." if "only_CAR+_sorted" in flags else "."
    return _statement(c, says, NOT_CAUSE, f"More cells that were not sorted for the CAR, or: {lower(COPIES)}")


def negative_limits(row: Row) -> str:
    """Everything that a negative leaves open; a limit that was not computed is said to be missing."""
    theta, high, power = row["car_theta_excluded"], row["car_fraction_high"], row["car_power"]
    weak = (f"A clonal CAR expressed at {f.share(theta, up=True)} or more of the control is excluded."
            if f.known(theta) else "How weak an expression is excluded was not assessed.")
    members = (f"Up to {f.share(high, up=True)} CAR-carrying members cannot be excluded." if f.known(high) else
               "The share of CAR-carrying members that cannot be excluded was not assessed.")
    sure = (f"A CAR-free clone of this size and depth gets this answer with probability {f.chance(power)}."
            if f.known(power) else "The power was not assessed.")
    return f"{weak} {members} {sure} {SILENT}"


def _negative(middle: str) -> Callable[[CarContext], Statement]:
    def statement(c: CarContext) -> Statement:
        numbers = f"{f.posterior(c.clone['car_p_negative'])}, {_bayes(c.clone)}"
        return _statement(c, f"{c.subject()} {middle}: {c.seen()}; {numbers}.", negative_limits(c.clone), COPIES)
    return statement


def _dna_negative(c: CarContext) -> Statement:
    says = (f"{c.subject()} shows neither CAR transcript nor vector DNA: {c.seen()}; "
            f"{f.posterior(c.clone['car_p_negative'])}, {_bayes(c.clone)}. The upper 95 % limit is below 0.1 vector "
            "copies per tumour cell at the stated purity.")
    limits = (negative_limits(c.clone).removesuffix(SILENT)
              + "The DNA limit holds for the stated purity, and for vector sequence that the assay amplifies.")
    return _statement(c, says, limits, "")


def _indeterminate(c: CarContext) -> Statement:
    reason = str(c.clone["car_reason"]) or "not_assessed"
    because, decides = REASONS[reason]
    says = f"The data cannot tell whether {lower(c.subject())} carries the CAR: {because}."
    if reason != "not_assessed":
        says += f" {capital(c.seen())}; {_bayes(c.clone)}."
    limits = "This is not a negative."
    if f.known(c.clone["car_power"]):
        limits += (" A CAR-free clone of this size and depth would have been called negative with probability "
                   f"{f.chance(c.clone['car_power'])}.")
    return _statement(c, says, limits, decides + (_cells_needed(c) if reason == "too_few_cells" else ""))


VERDICTS: dict[str, Callable[[CarContext], Statement]] = {
    "CAR_positive": _positive, "CAR_mixed": _mixed, "CAR_present": _present,
    "no_clonal_CAR_expression": _negative("does not express a CAR clonally"),
    "CAR_transcript_not_detected": _negative("shows no CAR transcript above background, in data with a measured "
                                             "positive control"),
    "CAR_DNA_not_detected": _dna_negative, "indeterminate": _indeterminate,
}
#        reason: (because ..., what would decide it)
REASONS: dict[str, tuple[str, str]] = {
    "too_few_cells": (
        "what its informative cells show is not enough for an answer either way",
        "More cells of the clone, or vector copy number (ddPCR) on sorted tumour cells."),
    "no_control": (
        "no positive control was measured, so silence cannot be told from a library that is blind to the CAR",
        "A library of the same chemistry with CAR-T cells of known share (infusion product, CAR+ sort, or blood with a "
        "flow-cytometric CAR share), or vector copy number."),
    "control_silent": (
        "cells that are known to carry the CAR show none either, so the assay did not work",
        "Check the CAR reference, the name of the feature and the segment that the chemistry reads; then a targeted "
        "library, or vector copy number."),
    "background_not_identified": (
        "all CAR counts of the library may be background, such as reads of normal T-cell genes",
        "T cells known to lack the CAR (from before the infusion, or of an untreated donor in the same well) as a "
        "negative control, counts of CAR-unique sequence, or vector copy number."),
    "segment_not_seen_by_chemistry": (
        "the part of the vector that was counted is out of reach of this library chemistry",
        "Count a segment that the chemistry reads (WPRE or LTR for 3' libraries), a 5' library, or vector copy "
        "number."),
    "doublets": (
        "the CAR signal is no more than doublets with CAR-T cells would bring",
        "A library with fewer cells per well, sorted tumour cells, or vector copy number."),
    "rna_dna_conflict": (
        "RNA and vector DNA disagree",
        "Repeat vector copy number on sorted tumour cells with a measured purity; integration sites; CAR protein on "
        "the tumour cells."),
    "counts_not_car_unique": (
        "the counts include sequence that normal T-cell genes share with the CAR",
        "Count CAR-unique sequence from the reads (sclineage count), or vector copy number."),
    "not_assessed": (
        "there are no CAR counts for its cells",
        "Count the CAR in these libraries with a reference that holds the construct, or vector copy number."),
}


def _cells_needed(c: CarContext) -> str:
    n = f.real(c.clone["car_cells_needed"])
    if n is None or (f.real(c.clone["car_n_informative"]) or 0) >= n:
        return ""  # there are enough cells: what they show is the difficulty, not how many they are
    return (f" As a planning figure, about {f.count(n)} informative cells as deep as these without any CAR UMI would "
            "exclude a weakly expressed clonal CAR.")
