"""Tables of the report: text, ready to print. The numbers are those of the CSV files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from . import format as f
from .sentences import age, virus_assessed
from .statement import Row
from .words import plain


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: what is printed, the full text behind it, and its kind (``num``, ``word``, ``name`` or empty)."""

    text: str
    title: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of each row is its header."""

    caption: str
    head: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""


Column = tuple[str, Callable[[Row], Cell]]


def build(caption: str, columns: Sequence[Column], rows: Iterable[Row], note: str = "") -> Table:
    """Table from named columns, each a function of a row."""
    return Table(caption, [name for name, _ in columns], [[cell(r) for _, cell in columns] for r in rows], note)


def number(column: str, form: Callable[[Any], str] = f.count) -> Callable[[Row], Cell]:
    """Right-aligned number of a column."""
    return lambda r: Cell(form(r[column]), "", "num")


def text(column: str, missing: str = "") -> Callable[[Row], Cell]:
    """Free text of a column."""
    return lambda r: Cell(str(r[column]) if f.known(r[column]) else missing)


def word(column: str) -> Callable[[Row], Cell]:
    """A word of the schema in print; the word as the CSV spells it stands behind it."""
    return lambda r: (Cell(plain(r[column]), str(r[column]), "word") if f.known(r[column])
                      else Cell(f.NOT_ASSESSED, "", "word"))


def clone(names: Mapping[str, str]) -> Callable[[Row], Cell]:
    """Short name of a clone, the full id behind it."""
    return lambda r: Cell(names.get(str(r["clone_id"]), str(r["clone_id"])), str(r["clone_id"]), "name")


def flags(r: Row) -> Cell:
    """Flags as words."""
    return Cell(", ".join(plain(w) for w in f.words(r["flags"])), str(r["flags"]) if f.known(r["flags"]) else "")


def day(column: str) -> Callable[[Row], Cell]:
    """Day of a sample."""
    return lambda r: Cell(f.day(r[column]).removeprefix("day "), "", "num")


def share_up(value: object) -> str:
    """Limit in per cent, rounded up."""
    return f.share(value, up=True)


def span(low: str, high: str, form: Callable[[Any, Any], str] = f.interval) -> Callable[[Row], Cell]:
    """Interval of two columns."""
    return lambda r: Cell(form(r[low], r[high]), "", "num")


def car_verdict(r: Row) -> Cell:
    """CAR verdict with its reason."""
    verdict = str(r["car_verdict"] or "indeterminate")
    reason = f": {plain(r['car_reason'])}" if f.known(r["car_reason"]) else ""
    return Cell(plain(verdict) + reason, verdict, "word")


_POSTERIORS: list[Column] = [
    ("P no cell", number("car_p_negative", f.probability)), ("P some", number("car_p_mixed", f.probability)),
    ("P all", number("car_p_positive", f.probability)), ("log10 BF", number("car_log10_bf", f.signed))]


def clones(shown: pd.DataFrame, names: Mapping[str, str], total: int) -> Table:
    """The clones that are shown, of `total`."""
    columns: list[Column] = [
        ("Clone", clone(names)), ("Shown for", text("shown_for")), ("Cells", number("n_cells")),
        ("Malignancy", word("malignant_call")), ("Posterior", number("malignant_p", f.probability)),
        ("CAR", car_verdict), ("CAR: n informative", number("car_n_informative")),
        ("CAR: n with CAR", number("car_n_with_car")),
        ("CAR members, 95 %", span("car_fraction_low", "car_fraction_high")), ("First day", day("first_day")),
        ("Before infusion", lambda r: Cell(age(r, None).word, str(r["predates_infusion"]), "word")),
        ("TRB", text("trb_junction_aa", "none")),
        ("TRB V", text("trb_v")), ("TRB J", text("trb_j")), ("Flags", flags)]
    rest = total - len(shown)
    note = (f"The other {f.count(rest)} clone{'s are' if rest != 1 else ' is'} in clones.csv." if rest > 0 else
            "All clones are shown.")
    return build(f"{f.count(len(shown))} of {f.count(total)} clones", columns, shown.to_dict("records"), note)


def clone_car(part: pd.DataFrame) -> Table:
    """CAR evidence of one clone, per specimen, selection and population; nothing is said where no cell informs."""
    def seen(column: str, form: Callable[[Any], str] = f.count) -> Callable[[Row], Cell]:
        return lambda r: Cell(form(r[column]) if f.real(r["n_informative"]) else f.NOT_ASSESSED, "", "num")

    columns: list[Column] = [
        ("Specimen", text("specimen", "unnamed")), ("Sorted", text("selection", "unknown")),
        ("Members", text("population")), ("n informative", number("n_informative")),
        ("n with CAR", seen("n_with_car")), ("CAR UMIs", seen("umi")),
        ("Expected, no CAR", seen("expected_if_negative", f.quantity)),
        ("Expected, all carry it", seen("expected_if_positive", f.quantity)), ("Verdict", car_verdict), *_POSTERIORS,
        ("Share, 95 %", span("car_fraction_low", "car_fraction_high")),
        ("Weakest excluded", number("car_theta_excluded", share_up)), ("Power", number("car_power", f.probability))]
    return build("CAR transcript per specimen, sort and members", columns, part.to_dict("records"),
                 "Weakest excluded: smallest expression of a clonal CAR that is excluded, as a share of the control's.")


def car_cells(frame: pd.DataFrame) -> Table:
    """CAR per cell, in every sample; nothing is said of samples in which the CAR was not assessed."""
    def seen(column: str) -> Callable[[Row], Cell]:
        return lambda r: Cell(f.count(r[column]) if r["n_informative"] else f.NOT_ASSESSED, "", "num")

    columns: list[Column] = [
        ("Sample", text("sample")), ("n informative", number("n_informative")), ("With a CAR UMI", seen("n_with_car")),
        ("CAR present", seen("pos")), ("Uncertain", seen("uncertain")), ("Unlikely", seen("unlikely"))]
    return build("CAR per cell", columns, frame.to_dict("records"),
                 "A cell without a CAR UMI is not a cell without a CAR: see the sensitivity of its sample.")


def timeline(part: pd.DataFrame, names: Mapping[str, str], order: Sequence[str]) -> Table:
    """Frequency of clones over time, clones in the given order."""
    part = part[part["clone_id"].isin(order)]
    place = part["clone_id"].map({c: k for k, c in enumerate(order)})
    part = part.assign(place=place).sort_values(["place", "day", "sample"], kind="stable")
    columns: list[Column] = [
        ("Clone", clone(names)), ("Sample", text("sample")), ("Day", day("day")), ("n cells", number("n_clone")),
        ("n informative", number("n_informative")), ("Frequency", _frequency), ("95 % interval", span("low", "high")),
        ("Limit of detection", number("limit_of_detection", share_up)), ("Flags", flags)]
    return build("Frequency over time", columns, part.to_dict("records"),
                 "Share of cells with a usable TRB; intervals are exact. Where no cell was seen, the frequency is "
                 "below the limit of detection, not zero.")


def _frequency(r: Row) -> Cell:
    if not f.real(r["n_informative"]):
        return Cell(f.NOT_ASSESSED, "", "num")
    seen = f.share(r["frequency"]) if f.real(r["n_clone"]) else f"none seen, < {share_up(r['limit_of_detection'])}"
    return Cell(seen, "", "num")


def malignancy_lines(part: pd.DataFrame) -> Table:
    """Lines of evidence of one clone."""
    columns: list[Column] = [
        ("Line", word("line")), ("n informative", number("n_informative")),
        ("Nats", lambda r: Cell(nats(r), "", "num")),
        ("Cap", number("cap", f.signed)), ("Posterior without it", number("posterior_without", f.probability)),
        ("Seen", lambda r: Cell(seen(r), "", "long"))]
    return build("Lines of evidence for malignancy", columns, part.to_dict("records"),
                 "Positive nats speak for malignancy; 3 nats are odds of 20 to 1. For driver mutations n counts reads.")


def seen(r: Row) -> str:
    """The few words of a line of evidence on what it saw."""
    return str(r["detail"]) if f.known(r.get("detail")) else ""


def nats(r: Row, unit: str = "") -> str:
    """Log-likelihood ratio of a line of evidence; a line without informative cells says nothing."""
    if not (f.known(r["llr"]) and f.real(r["n_informative"])):
        return f.NOT_ASSESSED
    at_cap = f.known(r["capped"]) and bool(r["capped"])
    return f.signed(r["llr"], 2) + unit + (" (at its cap)" if at_cap else "")


def samples(frame: pd.DataFrame, sheet: pd.DataFrame) -> Table:
    """Quality and CAR sensitivity of the samples."""
    def given(column: str, missing: str = "") -> Callable[[Row], Cell]:
        known = sheet[column].to_dict() if column in sheet else {}
        return lambda r: Cell(plain(v) if f.known(v := known.get(str(r["sample"]))) else missing)

    def fitted(inner: Callable[[Row], Cell]) -> Callable[[Row], Cell]:
        control = Cell("negative control", "", "word")
        return lambda r: control if "negative_control" in f.words(r["flags"]) and not f.known(
            r["car_sensitivity"]) else inner(r)

    frame = frame.sort_values(["day", "sample"], kind="stable", na_position="last")

    columns: list[Column] = [
        ("Sample", text("sample")), ("Specimen", text("specimen")), ("Day", day("day")),
        ("Material", text("material", "unknown")), ("Sorted", text("selection", "unknown")),
        ("Diagnosis", given("diagnosis", "not given")), ("Role", given("role")), ("Cells", number("n_cells")),
        ("With receptor", number("n_with_receptor")), ("TRB capture", number("receptor_capture_trb", f.share)),
        ("Median UMIs", number("median_umi")), ("CAR UMIs", number("car_umi_total")),
        ("CAR background per cell", fitted(number("car_background_per_cell", f.quantity))),
        ("Background from", fitted(word("car_background_source"))),
        ("P all background", fitted(number("car_p_background", f.probability))),
        ("CAR sensitivity", fitted(number("car_sensitivity", f.share))),
        ("Sensitivity from", fitted(word("car_sensitivity_source"))),
        ("Doublets with CAR", fitted(number("car_doublet_share", f.share))), ("Flags", flags)]
    return build("Samples", columns, frame.to_dict("records"),
                 "CAR sensitivity: share of true CAR cells of median depth expected to show at least one CAR UMI. CAR "
                 "background: CAR UMIs expected in a cell of median depth without a CAR. P all background: probability "
                 "that all CAR UMIs of the library are background.")


SCENARIOS = {
    "fitted": "as fitted",
    "sensitivity_halved": "CAR sensitivity halved", "background_x10": "CAR background ten times higher",
    "doublets_x2": "twice as many doublets",
}


def what_if(frame: pd.DataFrame, clones_: pd.DataFrame, names: Mapping[str, str]) -> Table:
    """The CAR verdict of the given clones under other assumptions."""
    base = {str(c["clone_id"]): c for c in clones_.to_dict("records")}
    order = {c: k for k, c in enumerate(base)}
    part = frame[frame["clone_id"].astype(str).isin(order)]
    part = part.iloc[part["clone_id"].astype(str).map(order).argsort(kind="stable").to_numpy()]

    fitted = part[part["scenario"] == "fitted"].set_index("clone_id")["car_verdict"].to_dict()

    def against(r: Row) -> Cell:
        clone_ = str(r["clone_id"])
        same = str(r["car_verdict"]) == str(fitted.get(clone_, base[clone_]["car_verdict"]))
        return Cell("same") if same else Cell("changes", "", "change")

    columns: list[Column] = [
        ("Clone", clone(names)),
        ("n informative", lambda r: Cell(f.count(base[str(r["clone_id"])]["car_n_informative"]), "", "num")),
        ("If", lambda r: Cell(SCENARIOS.get(str(r["scenario"]), plain(r["scenario"])))),
        ("Verdict", word("car_verdict")), ("Against the report", against), *_POSTERIORS]
    return build("The CAR verdict by RNA alone under other assumptions", columns, part.to_dict("records"))


def virus(frame: pd.DataFrame) -> Table:
    """Viral transcripts per population and sample; nothing is said of a population without cells."""
    def seen(column: str, form: Callable[[Any], str] = f.count) -> Callable[[Row], Cell]:
        return lambda r: Cell(form(r[column]) if virus_assessed(r) else f.NOT_ASSESSED, "", "num")

    columns: list[Column] = [
        ("Virus", text("virus")), ("Population", word("population")), ("Sample", text("sample")),
        ("n informative", number("n_cells")), ("Above ambient", seen("n_positive")), ("UMIs", seen("umi")),
        ("UMIs per cell", seen("rate", f.quantity)), ("95 % interval", span("low", "high", f.quantities)),
        ("Times ambient", seen("ratio_to_ambient", f.quantity)), ("Loci", seen("n_loci")),
        ("Against", text("compared_with")), ("Rate ratio", number("rate_ratio", f.quantity)),
        ("95 % interval", span("ratio_low", "ratio_high", f.quantities)), ("EBV genes", text("genes")),
        ("Programme", lambda r: Cell(plain(r["programme"]), str(r["programme"]), "word")), ("Flags", flags)]
    return build("Viral transcripts per population", columns, frame.to_dict("records"),
                 "One locus alone is never counted as positive.")


def variants(frame: pd.DataFrame, shown: Sequence[str], names: Mapping[str, str]) -> Table:
    """Somatic variants in lineages, populations and the clones that are shown; silence is never wild type."""
    place = {c: k for k, c in enumerate(shown)}
    part = frame[(frame["group"] != "clone") | frame["name"].isin(place)]
    kinds = {"population": 0, "lineage": 1, "clone": 2}
    part = part.assign(at=part["group"].map(kinds), of=part["name"].map(place).fillna(0)).sort_values(
        ["site", "at", "of", "name"], kind="stable")

    def call(r: Row) -> Cell:
        reason = f": {plain(r['variant_reason'])}" if f.known(r["variant_reason"]) else ""
        return Cell(plain(r["variant_call"]) + reason, str(r["variant_call"]), "word")

    def needed(r: Row) -> Cell:
        return Cell("" if f.real(r["cells_needed"]) is None else f.count(r["cells_needed"]), "", "num")

    columns: list[Column] = [
        ("Variant", lambda r: Cell(f"{r['gene']} {r['site']}".strip())), ("Cells of", text("group")),
        ("Name", lambda r: Cell(names.get(str(r["name"]), plain(r["name"])), str(r["name"]), "name")),
        ("Cells", number("n_cells")), ("n informative", number("n_informative")),
        ("Reads of it", lambda r: Cell(f"{f.count(r['n_alt_reads'])} of {f.count(r['n_reads'])}", "", "num")),
        ("Found", call), ("P mutant", number("p_mutant", f.probability)),
        ("Mutant share, 95 %", span("fraction_low", "fraction_high")), ("Power", number("power", f.probability)),
        ("Cells needed", needed), ("Flags", flags)]
    return build("Somatic variants per group of cells", columns, part.to_dict("records"),
                 "n informative: cells with a read at the site; the others say nothing. Wild type is said only where "
                 "the reads would have shown the variant; of a clone it excludes a variant that all members share, and "
                 "the upper end of the share stays open. Power: chance to be called mutant where all members are. "
                 "Cells needed: cells of the group, covered as here, from which wild type could be said.")


LEVELS = {
    "D0": "none: different donors", "D1": "same donor only", "D2": "same blood stem-cell clone",
    "D3": "same T-cell precursor (same TRB)", "D4": "same mature T cell (TRB and TRA)", "D5": "same transduced cell",
    "D6": "same tumour clone",
}


def distinct(frame: pd.DataFrame) -> Table:
    """Distinctness of populations, one row per pair and line."""
    columns: list[Column] = [
        ("Populations", lambda r: Cell(f"{plain(r['population_a'])} and {plain(r['population_b'])}")),
        ("Line", word("line")), ("n informative, first", number("n_informative_a")),
        ("n informative, second", number("n_informative_b")), ("Nats, > 0 shared", number("llr", f.signed)),
        ("Deepest shared ancestor",
         lambda r: Cell(LEVELS.get(str(r["level"]), str(r["level"]) or f.NOT_ASSESSED), str(r["level"]))),
        ("Posterior", number("p_level", f.probability)), ("Same T cell", word("same_t_cell")),
        ("Older shared ancestor", word("shared_ancestor")),
        ("Vector in the first", word("vector_in_a")), ("Flags", flags)]
    return build("Are the populations genetically distinct?", columns, frame.to_dict("records"))
