"""Verdicts in plain clinical English, composed from the words, their probability, their power and their limit."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from .._schema import CAR_NEGATIVE
from . import format as f
from .car import CarContext, car
from .statement import Row, Statement, capital, lower
from .words import plain

__all__ = ["CarContext", "Statement", "age", "before", "car", "distinctness", "malignancy", "overall", "virus"]

# --- malignancy ------------------------------------------------------------------------------------------------------
CALLS = {
    "malignant": "{subject} is called malignant ({p}, prior {prior}).",
    "suspicious": "{subject} is called suspicious ({p}, prior {prior}): evidence points to malignancy without proving "
                  "it.",
    "no_malignant_features": "{subject} shows no feature of malignancy ({p}, prior {prior}), in data that would have "
                             "shown one with probability {power}.",
    "not_assessable": "Whether {lower} is malignant cannot be told from these data ({p}, prior {prior}).",
}
CALL_LIMITS = {
    "malignant": "A receptor clone is not the tumour: benign sisters may be among its members.",
    "suspicious": "Clone size, lost markers and division are also seen in strong immune responses.",
    "no_malignant_features": "A lymphoma without the changes that were looked for would look the same.",
    "not_assessable": "Silence of the data is not health.",
}
CALL_DECIDES = {
    "malignant": "",
    "suspicious": "Pathology with T-cell clonality of the same receptor, a driver-gene panel, copy number from DNA.",
    "no_malignant_features": "",
    "not_assessable": "More cells of the clone, allele counts at driver sites, or pathology with T-cell clonality.",
}
BASIS = {
    "genetic": "The call rests on genetic changes in its cells.",
    "pathology": "The call rests on the diagnosis in the sample sheet; without it, it would not be made.",
}


def malignancy(clone: Row) -> Statement:
    """What the data say of the malignancy of a clone (`clone` is its row of ``clones``)."""
    call = str(clone["malignant_call"]) or "not_assessable"
    subject = f"The clone ({f.cells(clone['n_cells'])})"
    if str(clone["malignant_basis"]) == "user":
        says = f"{subject} is called {plain(call)} by the user; the call was not made here."
        return Statement("Is it malignant?", plain(call), says, CALL_LIMITS[call])
    says = CALLS[call].format(
        subject=subject, lower=lower(subject), p=f.posterior(clone["malignant_p"]),
        prior=f.chance(clone["malignant_prior"]), power=f.chance(clone["malignant_power"]))
    if f.known(clone["malignant_basis"]):
        says += " " + BASIS[str(clone["malignant_basis"])]
    if call in ("malignant", "suspicious"):
        says += _leans_on(clone)
    return Statement("Is it malignant?", plain(call), says, CALL_LIMITS[call], CALL_DECIDES[call])


def _leans_on(clone: Row) -> str:
    text = ""
    if f.known(clone["malignant_driver"]):
        text += f" Most depends on the line \u201c{plain(clone['malignant_driver'])}\u201d."
    if f.known(clone["malignant_p_no_pathology"]):
        text += (" With the prior of routine follow-up, as if no diagnosis were known, the posterior is "
                 f"{f.chance(clone['malignant_p_no_pathology'])}.")
    return text


# --- age -------------------------------------------------------------------------------------------------------------
def age(clone: Row, timeline: pd.DataFrame | None) -> Statement:
    """Whether a clone is older than the infusion; `timeline` holds its rows, or is None."""
    word = str(clone["predates_infusion"]) or "not_sampled"
    doubted = word == "not_detected" and f.known(clone["predates_reason"])
    says, limits, decides = (_doubted if doubted else AGES[word])(clone, before(timeline))
    shown = "seen before, not confirmed" if doubted else plain(word)
    return Statement("Is it older than the infusion?", shown, says, limits, decides)


def before(timeline: pd.DataFrame | None) -> pd.DataFrame | None:
    """Rows of samples taken before the infusion that had informative cells."""
    if timeline is None:
        return None
    return timeline[(timeline["day"] < 0) & (timeline["n_informative"].fillna(0) > 0)]


def _seen_in(rows: pd.DataFrame | None) -> str:
    seen = rows[rows["n_clone"].fillna(0) > 0] if rows is not None else None
    if seen is None or seen.empty:
        return ""
    return ": " + "; ".join(
        f"{f.count(r['n_clone'])} of {f.count(r['n_informative'])} informative cells in {r['sample']} "
        f"(95 % interval {f.interval(r['low'], r['high'])})" for r in seen.to_dict("records"))


def _older(clone: Row, rows: pd.DataFrame | None) -> tuple[str, str, str]:
    says = f"Yes: it was seen before the infusion, first on {f.day(clone['first_day'])}{_seen_in(rows)}."
    return says, "That it is older says nothing about whether it was transduced later.", ""


def _not_before(clone: Row, rows: pd.DataFrame | None) -> tuple[str, str, str]:
    n = 0 if rows is None else int(rows.loc[~rows["flags"].map(is_sorted), "n_informative"].fillna(0).sum())
    among = f" among {f.count(n)} informative, unsorted cells" if n else ""
    limit = clone["predates_limit"]
    says = f"It was not found before the infusion{among}"
    says += (f"; a frequency above {f.share(limit, up=True)} is excluded (95 %)." if f.known(limit)
             else "; the frequency that this excludes was not assessed.")
    return says, "Absence never proves that the clone is younger than the therapy.", DEEPER


def _doubted(clone: Row, rows: pd.DataFrame | None) -> tuple[str, str, str]:
    reason = str(clone["predates_reason"])
    says = (f"Cells of it were seen before the infusion{_seen_in(rows)}. This is not taken as proof: "
            f"{DOUBTS.get(reason, plain(reason))}.")
    limit = clone["predates_limit"]
    says += f" Its frequency then was at most {f.share(limit, up=True)} (95 %)." if f.known(limit) else ""
    return says, "It may well be older than the therapy; these data do not exclude leakage from a later sample.", DEEPER


def is_sorted(flags: object) -> bool:
    """Whether a row of ``timeline`` is of sorted cells."""
    return "selected" in f.words(flags)


def _never_looked(clone: Row, _: pd.DataFrame | None) -> tuple[str, str, str]:
    why = ("the samples from before the infusion hold no informative unsorted cell" if f.known(clone["predates_reason"])
           else "there is no sample from before the infusion")
    return f"Not known: {why}.", "", DEEPER


DEEPER = "Deep T-cell receptor sequencing of stored apheresis or diagnostic DNA, for this receptor."
DOUBTS = {
    "one_cell_only": "it is a single cell",
    "chains_not_both_exact": "fewer than two of these cells show both receptor chains, letter by letter",
    "pool_unknown": "it is not known which samples were sequenced together, so a later sample may have leaked into "
                    "this one",
    "same_pool_as_later_sample": "it was sequenced together with a later sample that holds the clone, which may have "
                                 "leaked into it",
    "leakage_not_excluded": "so few cells may have leaked from a later sample",
}
AGES = {"yes": _older, "not_detected": _not_before, "not_sampled": _never_looked}


# --- virus -----------------------------------------------------------------------------------------------------------
def virus(rows: pd.DataFrame | None, population: str) -> list[Statement]:
    """What was found of each virus in one population, over its samples; where nothing was looked for, that."""
    question = "Is a virus in it?"
    if rows is None or not (rows["population"] == population).any():
        says = f"Viral transcripts in the population \u201c{plain(population)}\u201d: not assessed."
        return [Statement(question, f.NOT_ASSESSED, says, "", "A reference with the viral genome, and --virus.")]
    part = rows[rows["population"] == population]
    return [_one_virus(question, str(name), part[part["virus"] == name]) for name in sorted(part["virus"].unique())]


def virus_assessed(r: Row) -> bool:
    """Whether a row of ``virus`` says anything."""
    return bool(f.real(r["n_cells"])) and f.known(r["rate"]) and "not_assessed" not in f.words(r["flags"])


def virus_found(r: Row) -> bool:
    """Whether a row of ``virus`` shows the virus above ambient, by cells, by rate, and at two loci or more."""
    quiet = {"at_ambient", "one_locus", "one_locus_only"} & set(f.words(r["flags"]))
    return virus_assessed(r) and bool(f.real(r["n_positive"])) and (f.real(r["n_loci"]) or 0) >= 2 and not quiet


def _one_virus(question: str, name: str, part: pd.DataFrame) -> Statement:
    rows = [r for r in part.to_dict("records") if virus_assessed(r)]
    if not rows:
        says = f"{name}: not assessed in the cells of this population."
        return Statement(question, f"{name}: {f.NOT_ASSESSED}", says)
    found = [r for r in rows if virus_found(r)]
    where = "; ".join(_virus_sample(r) for r in found or rows)
    if found:
        k, n = (sum(int(r[c]) for r in found) for c in ("n_positive", "n_cells"))
        says = f"{name} transcripts are above ambient in {f.count(k)} of {f.cells(n)} ({where})."
        limits = "Transcripts in the tumour do not show that the virus caused it."
        next_ = "EBER in situ hybridisation, or viral load on sorted cells." if name.upper() == "EBV" else ""
        return Statement(question, f"{name}: above ambient", says, limits, next_)
    says = f"{name} transcripts are not above ambient in {f.cells(sum(int(r['n_cells']) for r in rows))} ({where})."
    return Statement(question, f"{name}: not above ambient", says, "Latent virus with few transcripts stays unseen.")


def virus_overview(rows: pd.DataFrame) -> list[str]:
    """One sentence per virus: in which populations it is above ambient, in which not, in which not assessed."""
    out = []
    for name in sorted(rows["virus"].unique()):
        mine = rows[rows["virus"] == name].to_dict("records")
        states: dict[str, list[str]] = {"above ambient": [], "not above ambient": [], "not assessed": []}
        for population in VIRAL_POPULATIONS:
            part = [r for r in mine if r["population"] == population]
            said = "not assessed" if not any(map(virus_assessed, part)) else (
                "above ambient" if any(map(virus_found, part)) else "not above ambient")
            cells = plain(population) + (" cells" if population == "malignant" else "")
            states[said].append(f"{cells} ({_positive_of(part)})" if said == "above ambient" else cells)
        told = [f"{state} in {f.listing(who)}" for state, who in states.items() if who]
        out.append(f"{name} transcripts: {'; '.join(told)}.")
    return out


def _positive_of(part: list[Row]) -> str:
    """Cells above ambient, of those that were looked at: one cell in a thousand is often a doublet."""
    k, n = (sum(int(r[c]) for r in part if virus_assessed(r)) for c in ("n_positive", "n_cells"))
    return f"{f.count(k)} of {f.count(n)}"


VIRAL_POPULATIONS = ("malignant", "CAR-T", "other_T", "other")


def _virus_sample(r: Row) -> str:
    return (f"{r['sample']}: {f.count(r['n_positive'])} of {f.cells(r['n_cells'])}, {f.quantity(r['rate'])} UMIs per "
            f"cell (95 % interval {f.quantities(r['low'], r['high'])}), {f.quantity(r['ratio_to_ambient'])} times "
            f"ambient, {f.count(r['n_loci'])} loci")


# --- the patient as a whole ------------------------------------------------------------------------------------------
def overall(clones: pd.DataFrame | None, names: Mapping[str, str]) -> list[str]:
    """First lines of the report: how many clones were called what, and what each called clone says of the CAR."""
    if clones is None or clones.empty:
        return ["No clone could be defined, for want of T-cell receptor data: every question about clones is not "
                "assessed. Receptor (V(D)J) sequencing of the same cells would allow them."]
    calls = clones["malignant_call"].astype(str).replace("", "not_assessable")
    called = clones[calls.isin(["malignant", "suspicious"])]
    lines = [f"Clone {names.get(str(r['clone_id']), str(r['clone_id']))}, {plain(r['malignant_call'])}: "
             f"{plain(r['car_verdict'] or 'indeterminate')}{_reason(r)}; {_age_short(r)}."
             for r in called.head(5).to_dict("records")]
    return [_counts(calls), *lines]


def _counts(calls: pd.Series) -> str:
    bad, maybe, silent = (int((calls == w).sum()) for w in ("malignant", "suspicious", "not_assessable"))
    text = (f"Of {f.count(len(calls))} clone{'' if len(calls) == 1 else 's'}, {bad or 'none'} "
            f"{'is' if bad <= 1 else 'are'} called malignant and {maybe or 'none'} suspicious")
    text += f"; {f.count(silent)} cannot be assessed." if silent else "."
    return text if bad or maybe else text + " That no clone was called does not exclude a malignant one."


def _reason(row: Row) -> str:
    if str(row["car_verdict"]) in CAR_NEGATIVE:
        return f" (up to {f.share(row['car_fraction_high'], up=True)} carrying members not excluded)"
    return f" ({plain(row['car_reason'])}; not a negative)" if f.known(row["car_reason"]) else ""


def _age_short(row: Row) -> str:
    if f.known(row["predates_reason"]) and str(row["predates_infusion"]) == "not_detected":
        return "seen before the infusion, not confirmed"
    short = {"yes": f"seen before the infusion ({f.day(row['first_day'])})",
             "not_detected": f"not found before the infusion (limit {f.share(row['predates_limit'], up=True)})"}
    return short.get(str(row["predates_infusion"]), "not sampled before the infusion")


def silent(rows: pd.DataFrame) -> pd.Series:
    """Rows of ``distinct`` that say nothing."""
    return rows[["same_t_cell", "shared_ancestor"]].isin(["", "not_assessed"]).all(axis=1)


def distinctness(row: Row) -> str:
    """One row of ``distinct`` (line ``all``) as a sentence."""
    a, b = plain(row["population_a"]), plain(row["population_b"])
    same = {"yes": "stem from the same T cell", "no": "do not stem from the same T cell"}.get(str(row["same_t_cell"]))
    head = f"{capital(a)} and {b} {same}" if same else f"Whether {a} and {b} stem from the same T cell is not assessed"
    older = {"yes": "; they share an older ancestor", "no": "; no older shared ancestor is seen"}
    sure = f.known(row["level"])
    deepest = f" (deepest level that is sure: {row['level']}, {f.chance(row['p_level'])})" if sure else ""
    text = head + older.get(str(row["shared_ancestor"]), "; an older shared ancestor is not assessed") + deepest + "."
    vector = {"yes": f" {capital(a)} carry the vector.", "not_detected": f" In {a} no vector was detected."}
    may = f" {capital(a)} may be CAR-T cells themselves: that the others show another receptor does not tell."
    return text + vector.get(str(row.get("vector_in_a")), "") + (
        may if "vector_not_excluded" in f.words(row.get("flags")) else "")
