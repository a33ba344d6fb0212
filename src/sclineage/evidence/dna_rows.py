"""Vector DNA of a patient's specimens: one row per specimen and malignant clone, and what it does to the verdicts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .. import _schema as schema
from .._errors import InputError, nearest
from ..patient.text import read_table, require_columns, whole_numbers
from . import dna
from .dna import Copies, MainSite

SITE_COLUMNS = ("chrom", "pos", "reads")
MERGED = ("specimen", "site", "gene", "reads")
NEAR = 5  # bases: sites of one strand so close are one


def read_sites(source: str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    """Read integration sites.

    Parameters
    ----------
    source
        A table, or the path of a CSV or TSV, with ``specimen`` (or ``sample``), ``chrom``, ``pos`` (1-based), ``reads``
        (or ``fragments``: molecules before PCR, better), and, where known, ``strand`` and ``gene``; or what this
        returned.

    Returns
    -------
    Columns ``specimen, site, gene, reads``; sites of one specimen and strand within five bases are one.

    Raises
    ------
    InputError
        A column is missing, a number is no count, or there is no row.
    """
    if isinstance(source, pd.DataFrame) and tuple(source.columns) == MERGED:
        return source
    name = "sites" if isinstance(source, pd.DataFrame) else os.fspath(source)
    frame = source.astype(str) if isinstance(source, pd.DataFrame) else read_table(source)
    frame = frame.rename(columns={c: str(c).strip().lower() for c in frame.columns})
    frame = frame.rename(columns={"fragments": "reads"} if "fragments" in frame and "reads" not in frame else {})
    frame = frame.rename(columns={"sample": "specimen"} if "specimen" not in frame else {})
    require_columns(name, frame, ("specimen", *SITE_COLUMNS))
    if frame.empty:
        raise InputError(name, "no integration site in it", "list at least one, or leave the file out")
    reads = whole_numbers(name, frame["reads"], what="reads", least=1)
    pos = whole_numbers(name, frame["pos"], what="pos", least=1)
    out = pd.DataFrame({"specimen": frame["specimen"].str.strip(), "chrom": frame["chrom"].str.strip(), "pos": pos,
                        "strand": frame["strand"].str.strip() if "strand" in frame else "", "reads": reads,
                        "gene": frame["gene"].str.strip() if "gene" in frame else ""})
    out = out.sort_values(["specimen", "chrom", "strand", "pos"], kind="stable", ignore_index=True)
    keys = out[["specimen", "chrom", "strand"]]
    new = (keys != keys.shift()).any(axis=1) | (out["pos"].diff() > NEAR)
    return out.groupby(new.cumsum(), sort=True).agg(
        specimen=("specimen", "first"), site=("chrom", "first"), pos=("pos", "first"), gene=("gene", "first"),
        reads=("reads", "sum")).assign(site=lambda t: t["site"] + ":" + t["pos"].astype(str)).drop(
        columns="pos").reset_index(drop=True)


def names_of(sheet: pd.DataFrame) -> set[str]:
    """Specimens and samples of a sheet (index or column ``sample``), by which sites may name them."""
    samples = sheet.get("sample", sheet.index)
    return {*map(str, samples), *map(str, sheet.get("specimen", samples))}


def refuse_unknown(sites: pd.DataFrame, names: set[str]) -> None:
    """Refuse sites of a specimen that no sample has: vector in a tumour would be passed over in silence."""
    lost = sorted(set(sites["specimen"]) - names)
    if lost:
        raise InputError("sites", f"{lost[0]!r} is no specimen or sample of the sheet", nearest(lost[0], sorted(names)))


def main_site(sites: pd.DataFrame | None, specimen: str) -> MainSite | None:
    """The site with most reads of a specimen (ties: first in the genome), None where none was read."""
    mine = None if sites is None else sites[sites["specimen"] == specimen]
    if mine is None or mine.empty:
        return None
    top = mine.iloc[int(np.argmax(mine["reads"].to_numpy()))]
    return MainSite(len(mine), int(top["reads"]), int(mine["reads"].sum()), str(top["site"]), str(top["gene"]))


def shares(members: pd.DataFrame, specimen: str) -> dict[str, tuple[float, bool]]:
    """Malignant clones a specimen's tumour DNA speaks of, with the share of the tumour that is surely theirs.

    Parameters
    ----------
    members
        Malignant cells: columns ``specimen``, ``clone_id``.

    Returns
    -------
    Clone -> lower bound of its share among the specimen's malignant cells, and whether it was seen in that specimen.
    Where the specimen has no malignant cell, the patient's only malignant clone; with several, none.
    """
    here = members.loc[members["specimen"] == specimen, "clone_id"].value_counts()
    if len(here) == 0:
        known = sorted(set(members["clone_id"]))
        return {known[0]: (1.0, False)} if len(known) == 1 else {}
    total = int(here.sum())
    alone = len(here) == 1
    return {str(c): (1.0 if alone else dna.clopper_pearson(int(n), total)[0], True)
            for c, n in sorted(here.items(), key=lambda v: str(v[0]))}


def rows(sheet: pd.DataFrame, members: pd.DataFrame, sites: pd.DataFrame | None, *,
         per_cell: float) -> pd.DataFrame:
    """Table ``car_dna`` without the patient: every specimen with ddPCR or sites, for every clone it speaks of.

    Parameters
    ----------
    sheet
        Rows of the sample sheet, index = sample, with ``specimen``, ``vcn_target``, ``vcn_reference``, ``purity``.
    members
        Malignant cells: columns ``specimen``, ``clone_id``.
    sites
        `read_sites`.
    per_cell
        Copies of the reference gene per cell.
    """
    if sites is not None and len(sheet):
        of = dict(zip(map(str, sheet.index), sheet["specimen"].astype(str), strict=True))
        sites = sites.assign(specimen=[of.get(s, s) for s in sites["specimen"]])
    out = []
    for specimen, part in _specimens(sheet, sites):
        speaks = shares(members, specimen)
        for clone, (share, seen) in (speaks or {"": (1.0, True)}).items():
            flags = [] if seen else ["specimen_without_cells"]
            flags += ["several_malignant_clones"] if share < 1 else []
            out.append({"clone_id": clone, "specimen": specimen}
                       | _row(part, share, main_site(sites, specimen), per_cell, flags, known=bool(speaks)))
    columns = [c.name for c in schema.CAR_DNA if c.name != "patient"]
    return pd.DataFrame(out, columns=columns)


def _specimens(sheet: pd.DataFrame, sites: pd.DataFrame | None) -> list[tuple[str, pd.DataFrame]]:
    """Specimens with ddPCR counts or sites, and their rows that hold counts."""
    given = sheet[sheet["vcn_target"].notna()] if "vcn_target" in sheet else sheet.iloc[:0]
    named = set(given["specimen"].astype(str)) if len(given) else set()
    if sites is not None and len(sheet):
        named |= set(sites["specimen"]) & set(sheet["specimen"].astype(str))
    return [(s, given[given["specimen"].astype(str) == s] if len(given) else given) for s in sorted(named)]


def _row(part: pd.DataFrame, share: float, site: MainSite | None, per_cell: float, flags: list[str], *,
         known: bool) -> dict[str, Any]:
    where = {"n_sites": site.n_sites, "site": site.name, "site_gene": site.gene, "site_reads": site.reads,
             "site_share": site.reads / site.total, "site_share_low": site.share[0],
             "site_share_high": site.share[1]} if site else {"n_sites": None, "site": "", "site_gene": "",
                                                             "site_reads": None}
    flags = flags + (["one_site_dominates"] if site is not None and site.beyond_chance() else [])
    nothing = dict.fromkeys([c.name for c in schema.CAR_DNA if c.name not in ("patient", "clone_id", "specimen")],
                            np.nan)
    if part.empty:
        return nothing | where | {"dna_call": "not_decided", "dna_reason": "no_copy_number",
                                  "flags": ";".join(flags)}
    target, reference = int(part["vcn_target"].sum()), int(part["vcn_reference"].sum())
    purity = pd.to_numeric(part["purity"]).unique()
    stated = float(purity[0]) if len(purity) == 1 else np.nan
    copies = Copies(target, reference, stated * share, per_cell)
    call, reason = copies.call(site=None if site is None else site.share)
    if not known:
        call, reason = "not_decided", "malignant_clone_unknown"
    low, high = copies.interval()
    bounds = copies.tumour()
    absent, present = copies.power()
    return nothing | where | {
        "vcn_target": target, "vcn_reference": reference, "purity": stated, "copies_per_cell": copies.point,
        "copies_low": low, "copies_high": high, "tumor_copies_low": bounds[0], "tumor_copies_high": bounds[1],
        "dna_call": call, "dna_reason": reason, "purity_needed": copies.purity_needed(),
        "reference_needed": copies.reference_needed(), "power_not_detected": absent, "power_present": present,
        "log_ratio": copies.log_ratio(), "flags": ";".join(flags)}


# --- verdicts --------------------------------------------------------------------------------------------------------
def settle(clones: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Table ``car_clones`` after DNA.

    A clone's specimens are taken together: vector in one is vector in the clone; absence in one is absence only where
    no other shows it.
    """
    out = clones.copy()
    calls = _calls(found)
    for i, row in out.iterrows():
        call, ratio = calls.get(str(row["clone_id"]), ("", 0.0))
        if not call:
            continue
        word = dna.combine(str(row["car_verdict"]), str(row["car_reason"]), str(row["car_evidence"]), call,
                           fraction_low=_number(row["car_fraction_low"]))
        out.loc[i, ["car_verdict", "car_reason", "car_evidence"]] = list(word[:3])
        out.loc[i, "car_flags"] = ";".join(w for w in (str(row["car_flags"]), word[3]) if w and w != "nan")
        out.loc[i, "car_dna"] = call
        out.loc[i, "car_p_silent"] = _silent(_number(row["car_p_negative"]), _number(row["car_p_silent"]), ratio)
    return out


def _calls(found: pd.DataFrame) -> Mapping[str, tuple[str, float]]:
    """Call and log-likelihood ratio of every clone over its specimens."""
    out = {}
    for clone, part in found[found["clone_id"] != ""].groupby("clone_id", sort=True):
        told = set(part["dna_call"])
        call = next(c for c in dna.CALLS if c in told)
        out[str(clone)] = call, float(part["log_ratio"].fillna(0.0).astype(float).sum())
    return out


def _number(value: object) -> float:
    return float("nan") if value is None or value is pd.NA else float(value)  # type: ignore[arg-type]


def _silent(p_negative: float, p_silent: float, log_ratio: float) -> float:
    """Probability that members hold a CAR that RNA is silent about, after the odds that DNA gives."""
    free = p_negative - p_silent
    if not (np.isfinite(free) and p_silent > 0):
        return p_silent
    share = np.exp(-np.logaddexp(0.0, np.log(max(free, 1e-300)) - np.log(p_silent) - log_ratio))
    return float(p_negative * share)
