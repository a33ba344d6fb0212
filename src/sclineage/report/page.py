"""The report: one self-contained HTML file per patient. Nothing is loaded, nothing runs, and no clock is read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import pandas as pd

from .. import __version__
from .._provenance import whole
from . import axes, figures, notes, provenance, sentences, tables
from . import format as f
from .statement import Statement
from .view import View, view
from .words import plain

MOST_IN_TIME = 6  # clones in the table of frequencies
_TONES = {
    "malignant": "alarm", "CAR positive": "alarm", "CAR mixed": "alarm", "CAR present": "alarm",
    "suspicious": "caution", "indeterminate": "caution", "not assessable": "caution", "not detected before": "caution",
    "seen before, not confirmed": "caution",
    "not sampled before": "caution", "not assessed": "quiet", "mutant": "alarm",
}


@dataclass(frozen=True, slots=True)
class Card:
    """What the report says of one clone."""

    name: str
    clone_id: str
    facts: str
    statements: list[Statement]
    evidence: tables.Table
    detail: str


def write_report(mdata: Any, path: str | os.PathLike[str]) -> None:
    """Write the one-file HTML report of a processed patient, whole or not at all; the same input gives the same bytes.

    Parameters
    ----------
    mdata
        Processed patient (MuData). Parts that are absent are reported as not assessed.
    path
        Target file.

    Raises
    ------
    InputError
        The object holds several patients.
    """
    html = render(mdata)
    with whole(path) as part:
        part.write_bytes(html.encode("utf-8"))


def render(mdata: Any) -> str:
    """HTML text of the report of a processed patient."""
    v = view(mdata)
    source = resources.files(__package__).joinpath("template.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
                                     lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters["tone"] = lambda word: _TONES.get(word, "calm")
    return environment.from_string(source).render(
        version=__version__, v=v, facts=_facts(v), lead=sentences.overall(v.clones, v.names), cards=_cards(v),
        tables=_tables(v), figures=_figures(mdata, v), limits=notes.LIMITS, assumptions=notes.assumptions(v),
        not_used=notes.not_used(v), glossary=notes.glossary(v), distinct=_distinct(v), missing=_missing(v),
        virus=[] if v.table("virus") is None else sentences.virus_overview(v.tables["virus"]))


def _facts(v: View) -> list[tuple[str, str]]:
    samples = v.table("samples")
    facts = [("Samples", _samples(v)), ("Cells", f.count(v.n_cells) + (
        f" ({f.count(v.n_excluded)} left out of clone statistics)" if v.n_excluded else ""))]
    receptor = samples["n_with_receptor"].sum(min_count=1) if samples is not None else None
    facts.append(("With T-cell receptor", f.count(receptor)))
    facts.append(("Clones", f.count(len(v.clones)) if v.clones is not None else f.NOT_ASSESSED))
    facts.append(("CAR", _car_features(v)))
    if "diagnosis" in v.sheet:
        words = sorted({plain(d) for d in v.sheet["diagnosis"] if f.known(d) and str(d) != "none"})
        facts.append(("Diagnosis given", ", ".join(words) or "none"))
    return facts


def _samples(v: View) -> str:
    days = pd.to_numeric(v.sheet["day"], errors="coerce").dropna() if "day" in v.sheet else pd.Series(dtype=float)
    first, last = (f.day(days.min()), f.day(days.max())) if len(days) else ("days unknown", "days unknown")
    span = f", {first}" + ("" if first == last else f" to {last.removeprefix('day ')}")
    specimens = v.sheet["specimen"].nunique() if "specimen" in v.sheet else len(v.sheet)
    of = f" from {f.count(specimens)} specimen{'s' if specimens != 1 else ''}" if specimens != len(v.sheet) else ""
    return f"{f.count(len(v.sheet))}{of}{span}"


def _car_features(v: View) -> str:
    samples = v.table("samples")
    if v.table("clone_car") is None and not (samples is not None and samples["car_umi_total"].notna().any()):
        return f.NOT_ASSESSED
    asked = v.run.get("parameters", {})
    named = asked.get("car") if isinstance(asked, dict) else None
    return str(named) if f.known(named) else f.listing(v.car_features) or "name not recorded"


def _cards(v: View) -> list[Card]:
    if v.headline is None:
        return []
    return [_card(v, row) for row in v.headline.to_dict("records")]


def _card(v: View, row: dict[Any, Any]) -> Card:
    clone = str(row["clone_id"])
    rows = v.of_clone("clone_car", clone)
    context = sentences.CarContext(row, axes.no_rows("clone_car") if rows is None else rows)
    said = [sentences.malignancy(row), sentences.car(context), sentences.age(row, v.of_clone("timeline", clone))]
    if str(row["malignant_call"]) == "malignant":
        said += sentences.virus(v.table("virus"), "malignant")
    receptor = " ".join(str(row[c]) for c in ("trb_v", "trb_junction_aa", "trb_j") if f.known(row[c]))
    facts = f"{f.cells(row['n_cells'])}; receptor {receptor or 'without TRB'}; id {clone}"
    older = [old for old, now in v.aliases.items() if now == clone]
    facts += f"; formerly {f.listing(older)}" if older else ""
    return Card(v.names.get(clone, clone), clone, facts, said, axes.evidence(v, row),
                str(row["malignant_sentence"]) if f.known(row["malignant_sentence"]) else "")


def _tables(v: View) -> dict[str, Any]:
    ids = [] if v.headline is None else [str(c) for c in v.headline["clone_id"]]
    out: dict[str, Any] = {
        "inputs": provenance.inputs(v), "settings": provenance.settings(v), "versions": provenance.versions(v),
        "car_cells": None if v.car_cells is None else tables.car_cells(v.car_cells), "clones": None, "time": None,
        "what_if": None, "car": {}, "lines": {}, "variants": None}
    for name, make in (("virus", tables.virus), ("distinct", tables.distinct)):
        frame = v.table(name)
        out[name] = None if frame is None else make(frame)
    found = v.table("variants")
    if found is not None:
        shown = [] if v.shown is None else [str(c) for c in v.shown["clone_id"]]
        out["variants"] = tables.variants(found, shown, v.names)
    samples = v.table("samples")
    out["samples"] = None if samples is None else tables.samples(samples, v.sheet)
    if v.clones is None or v.shown is None or v.headline is None:
        return out
    out["clones"] = tables.clones(v.shown, v.names, len(v.clones))
    time = v.table("timeline")
    if time is not None:
        out["time"] = tables.timeline(time, v.names, [str(c) for c in v.shown["clone_id"].head(MOST_IN_TIME)])
    if v.what_if is not None:
        tried = tables.what_if(v.what_if, v.headline, v.names)
        out["what_if"] = tried if tried.rows else None
    if v.table("clone_car") is not None:
        parts = {c: v.tables["clone_car"][v.tables["clone_car"]["clone_id"] == c] for c in ids}
        out["car"] = {c: tables.clone_car(part) for c, part in parts.items() if len(part)}
    if v.lines is not None:
        mine = {c: v.lines[v.lines["clone_id"].astype(str) == c] for c in ids}
        out["lines"] = {c: tables.malignancy_lines(part) for c, part in mine.items() if len(part)}
    return out


def _figures(data: Any, v: View) -> dict[str, Any]:
    return {"time": figures.over_time(data, v), "car": figures.car(data, v), "lines": figures.malignancy(data, v),
            "arms": figures.copy_number(data, v), "maps": figures.maps(data, v), "samples": figures.samples(data, v)}


def _distinct(v: View) -> list[str]:
    """Sentences on pairs of populations, where anything is known of them."""
    frame = v.table("distinct")
    if frame is None:
        return []
    told = frame[(frame["line"] == "all") & ~sentences.silent(frame)]
    return [sentences.distinctness(r) for r in told.to_dict("records")]


def _missing(v: View) -> dict[str, str]:
    """Why a part is not assessed."""
    no_clone = "no clone could be defined (no T-cell receptor data)" if v.clones is None else ""
    return {
        "clones": no_clone or "no clones", "car": no_clone or "no CAR counts",
        "lines": no_clone or "no line of evidence was recorded",
        "time": no_clone or "no timeline was made",
        "maps": "no gene-expression matrix" if not v.has_gex else "no embedding was made",
        "what_if": no_clone or "no other assumptions were tried for these clones",
        "virus": "no virus was asked for, or no reference held it",
        "variants": "no somatic sites were listed (configuration key drivers), or no allele counts were given",
        "distinct": no_clone or "no pair of populations could be compared", "samples": "no table of samples was made",
    }
