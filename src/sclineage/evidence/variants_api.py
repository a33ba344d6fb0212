"""Variant status of the clones, lineages and populations of one patient: the MuData side of `variants`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _backend, _schema
from .._errors import InputError
from .._settings import Device
from ..patient import access
from ..patient.drivers import bare, read_drivers
from . import variants
from .variants import Columns, Found, Reads

MITOCHONDRIAL = "MT"
MIN_LISTED = 10  # cells of a clone that gets a row even where no read covers the site
T_LINEAGES = ("CD4_T", "CD8_T", "T", "other_T", "CAR-T", "malignant")
NOT_MEMBERS = ("doublet", "ambiguous")
GERMLINE_SHARE = 0.9
Sites = str | os.PathLike[str] | pd.DataFrame | None


@dataclass(frozen=True, slots=True)
class _Grouping:
    """Cells by clone, lineage or population: names, and the code of every cell (-1 without)."""

    kind: str
    names: list[str]
    code: np.ndarray


@dataclass(frozen=True, slots=True)
class _Place:
    """One site: what it is, and its reads of all cells of the patient (0 of 0 where none)."""

    name: str
    gene: str
    kind: str
    alt: np.ndarray
    depth: np.ndarray


def variant_status(data: access.Data, *, sites: Sites = None, unit: str = "clone", lineage_key: str = "subset",
                   population_key: str = "population", negative: str | None = None, sample_key: str = "sample",
                   fraction_limit: float = 0.10, doublets: float = 0.04, rng: int = 0, device: Device = "auto",
                   threads: int | None = None) -> None:
    """Say of clones, lineages and populations whether they hold a somatic variant, with power and limits.

    Allele counts per cell are pooled over the cells of a group: sequencing error and soup against reads of mutant
    cells with allelic dropout, imbalance or heteroplasmy; doublets; groups of which some members are mutant. A group is
    ``mutant``, ``wild_type`` (only where its reads would have shown the mutation), or ``not_assessable``. Silence is
    never wild type.

    Parameters
    ----------
    data
        MuData of one patient with modality ``alleles``: cells x sites, ``X`` reads (or UMIs) of the alternative allele,
        ``layers["dp"]`` reads of both, ``var`` with chrom, pos, ref, alt, and gene where known.
    sites
        Somatic sites (CSV, VCF or table, as `sl.tl.malignancy` takes them); all sites of the modality when absent.
        ``var["kind"]`` ``mitochondrial``, else the chromosome, says which sites have heteroplasmy in place of dropout.
    unit, lineage_key, population_key
        Columns of obs that group cells: clones (``clone`` is ``clone_id``), cell types, populations. Those that are
        absent are left out.
    negative
        Bool obs column of cells known not to carry the variants (another donor): measures the error of a site.
    sample_key
        Column of the sample; soup is that of the sample.
    fraction_limit
        Share of mutant cells that a wild-type lineage or population may leave open. Of a clone, wild type excludes a
        mutation that all members share; ``fraction_high`` says what share of members stays open.
    doublets
        Share of cells that may have a mutant partner.
    rng
        Seed of the power simulation.
    device, threads
        Where the kernels run; results do not depend on the number of threads.

    Raises
    ------
    InputError
        There are no allele counts, none of the sites is in them, counts exceed depths, no grouping column is there,
        the object holds several patients, or a share is none.

    Notes
    -----
    Writes table ``variants``: one row per site and group; a listed site that was not counted is not assessable.
    Clones of fewer than ten cells without a read at a site have no row: they are not assessable. ``power`` is the
    chance that a group of these reads is called mutant where all its members are heterozygous; ``cells_needed`` how
    many cells of the group, covered as here, could make it wild type.
    """
    if not 0 < fraction_limit < 1 or not 0 < doublets < 0.5:
        raise InputError("variant_status", "fraction_limit or doublets is no such share",
                         "give fraction_limit from 0 to 1, doublets from 0 to 0.5")
    _backend.pick(device, kernel="evidence")
    patient = _patient(data)
    groupings = _groupings(data, unit, lineage_key, population_key)
    usable = _usable(data)
    clean = np.zeros(data.n_obs, bool) if negative is None else (
        access.column(data, negative).astype("boolean").fillna(value=False).to_numpy(dtype=bool))
    sample = access.text(data, sample_key, default="sample")
    options = {"limit": fraction_limit, "eta": doublets, "rng": rng, "device": device}
    frames = []
    with _backend.threads(threads):
        for place in _places(data, sites):
            frames.append(_site_rows(place, groupings, usable, clean, sample, options))
    frame = pd.concat(frames, ignore_index=True) if frames else _schema.empty("variants").drop(columns="patient")
    access.put_table(data, "variants", frame.assign(patient=patient))
    access.put_params(data, "variants", {"unit": unit, "lineage_key": lineage_key, "population_key": population_key,
                                         "negative": negative, "fraction_limit": fraction_limit,
                                         "doublets": doublets, "rng": int(rng)})


# --- reading ---------------------------------------------------------------------------------------------------------
def _patient(data: access.Data) -> str:
    names = sorted(set(access.text(data, "patient")) - {""})
    if len(names) > 1:
        raise InputError("obs", f"{len(names)} patients ({', '.join(names[:3])} ...)",
                         "give the data of one patient: mutations are those of one patient")
    return names[0] if names else ""


def _usable(data: access.Data) -> np.ndarray:
    doublet = access.text(data, "clone_status") == "doublet"
    return ~doublet & (access.text(data, "excluded_reason") == "")


def _groupings(data: access.Data, unit: str, lineage_key: str, population_key: str) -> list[_Grouping]:
    keys = {"clone": "clone_id" if unit == "clone" else unit, "lineage": lineage_key, "population": population_key}
    asked = {"clone": unit != "clone", "lineage": lineage_key != "subset", "population": population_key != "population"}
    out = []
    for kind, key in keys.items():
        if not access.has_column(data, key):
            if asked[kind]:
                access.column(data, key)  # raises with the nearest name
            continue
        label = access.text(data, key)
        if kind == "clone":
            label = np.where(np.isin(access.text(data, "clone_status"), NOT_MEMBERS), "", label)
        label = np.where(np.isin(label, ("", "nan", "doublet", "not_assessed")), "", label).astype(object)
        names = sorted(set(label) - {""})
        place = {name: k for k, name in enumerate(names)}
        out.append(_Grouping(kind, names, np.array([place.get(v, -1) for v in label], np.int64)))
    if not out:
        raise InputError("obs", f"none of the columns {', '.join(map(repr, keys.values()))}",
                         "run sl.tl.clones first, or name a column that groups the cells")
    return out


def _places(data: access.Data, sites: Sites) -> Iterator[_Place]:
    """Sites of the modality that are wanted, by name."""
    mod = access.modality(data, "alleles") if hasattr(data, "mod") else None
    if mod is None:
        raise InputError("alleles", "no allele counts", "name cellsnp-lite, vartrix or allele tables in the sample "
                         "sheet's column alleles")
    absent = [c for c in ("chrom", "pos", "ref", "alt") if c not in mod.var]
    if absent or "dp" not in mod.layers:
        raise InputError("alleles", f"no {'column ' + repr(absent[0]) if absent else 'layer ' + repr('dp')}",
                         "give var chrom, pos, ref, alt and layers['dp'] (reads of both alleles)")
    rows = data.obs_names.get_indexer(mod.obs_names)
    counts = [sparse.csc_matrix(m) for m in (mod.X, mod.layers["dp"])]
    for j, name, gene in _wanted(mod.var, sites):
        alt, depth = (np.zeros(data.n_obs, np.int64) for _ in range(2))
        if j < 0:
            yield _Place(name, gene, _kind(name.split(":", 1)[0]), alt, depth)
            continue
        for into, matrix in ((alt, counts[0]), (depth, counts[1])):
            into[rows] = np.asarray(matrix[:, [j]].todense()).ravel().astype(np.int64)
        if (alt > depth).any() or alt.min(initial=0) < 0:
            raise InputError("alleles", f"more alternative reads than reads at {name}",
                             "X holds reads of the alternative allele, layers['dp'] those of both")
        yield _Place(name, gene, _kind(mod.var["chrom"].iloc[j], str(mod.var["kind"].iloc[j]) if "kind" in mod.var
                                       else ""), alt, depth)


def _wanted(var: pd.DataFrame, sites: Sites) -> list[tuple[int, str, str]]:
    """Column, name and gene of the wanted sites, sorted by name; column -1 for one of which nothing was counted."""
    known = {_site(row): j for j, row in enumerate(var[["chrom", "pos", "ref", "alt"]].itertuples(index=False))}
    gene = var["gene"].astype(str).to_numpy(object) if "gene" in var else np.full(len(var), "", object)
    named = [(j, _spelt(row), str(gene[j])) for j, row in enumerate(var.itertuples(index=False))]
    if sites is not None:
        listed = read_drivers(sites)
        wanted = {_site(row): row for row in listed.itertuples(index=False)}
        if not wanted.keys() & known.keys():
            raise InputError("sites" if isinstance(sites, pd.DataFrame) else os.fspath(sites),
                             f"none of its {len(listed)} sites is among the {len(var)} of the allele counts (first: "
                             f"{_spelt(listed.iloc[0])})", "check the genome build and that positions are 1-based")
        named = [(known[k], named[known[k]][1], str(row.gene) or named[known[k]][2]) if k in known
                 else (-1, _spelt(row), str(row.gene)) for k, row in wanted.items()]
    return sorted(named, key=lambda v: v[1])


def _spelt(row: Any) -> str:
    return f"{row.chrom}:{row.pos}:{row.ref}>{row.alt}"


def _site(row: Any) -> tuple[str, int, str, str]:
    return bare(row.chrom), int(row.pos), str(row.ref).upper(), str(row.alt).upper()


def _kind(chrom: object, said: str = "") -> str:
    return "mitochondrial" if said == "mitochondrial" or bare(chrom) == MITOCHONDRIAL else "nuclear"


# --- rows ------------------------------------------------------------------------------------------------------------
def _site_rows(place: _Place, groupings: list[_Grouping], usable: np.ndarray, clean: np.ndarray, sample: np.ndarray,
               options: dict[str, Any]) -> pd.DataFrame:
    columns = variants.mitochondrial() if place.kind == "mitochondrial" else variants.nuclear()
    codes = [np.where(usable & ~clean, groups.code, -1) for groups in groupings]
    measured = variants.measured_error(place.alt[usable & clean], place.depth[usable & clean])
    all_reads = [_reads(place, code, usable, sample, measured) for code in codes]
    read = usable & (place.depth > 0)
    clones = next((k for k, groups in enumerate(groupings) if groups.kind == "clone"), None)
    teach = np.full(int(read.sum()), -1) if clones is None else codes[clones][read]
    fitted = variants.fit_site(all_reads[clones or 0], teach, 0 if clones is None else len(groupings[clones].names),
                               columns, eta=options["eta"], device=options["device"])
    frames = []
    for groups, everyone, reads in zip(groupings, codes, all_reads, strict=True):
        code = everyone[read]
        site = fitted if groups.kind == "clone" else variants.Site(columns, fitted.weights, None)
        found = variants.assess(site, reads, code, len(groups.names), rng=options["rng"], device=options["device"])
        counted = np.bincount(everyone[everyone >= 0], minlength=len(groups.names))
        frames.append(_rows(place, groups, found, reads, columns, code, counted, options["limit"]))
    return _flagged(pd.concat(frames, ignore_index=True))


def _reads(place: _Place, code: np.ndarray, usable: np.ndarray, sample: np.ndarray, measured: float | None) -> Reads:
    """Reads of the cells with one; soup is that of the sample, and the larger a part the fewer reads a group has."""
    own, error = np.ones(code.size), np.full(code.size, variants.ERROR if measured is None else measured)
    for name in sorted(set(sample[usable])):
        here = usable & (sample == name)
        soup = variants.sample_soup(place.alt[here], place.depth[here], int(here.sum()))
        group = code[here] + 1
        share = variants.own_share(soup, np.bincount(group, place.depth[here]), np.bincount(group))[group]
        own[here] = share
        if measured is None:
            error[here] += (1 - share) * soup.alt_share
    read = usable & (place.depth > 0)
    return Reads(place.alt[read], place.depth[read], error[read], own[read])


def _rows(place: _Place, groups: _Grouping, found: Found, reads: Reads, columns: Columns, code: np.ndarray,
          n_cells: np.ndarray, limit: float) -> pd.DataFrame:
    clonal = groups.kind == "clone"
    call, why = variants.words(found, limit=limit, clonal=clonal)
    silent = found.n_informative == 0
    numbers = {"p_wild_type": found.state[:, 0], "p_mutant": 1 - found.state[:, 0], "log10_bf": found.log10_bf,
               "fraction": found.fraction, "fraction_low": found.low, "fraction_high": found.high}
    frame = pd.DataFrame({
        "group": groups.kind, "name": groups.names, "site": place.name, "gene": place.gene, "kind": place.kind,
        "n_cells": n_cells, "n_informative": found.n_informative, "n_reads": found.n_reads,
        "n_alt_cells": found.n_alt_cells, "n_alt_reads": found.n_alt_reads,
        "alt_reads_expected": np.bincount(code[code >= 0], (reads.error * reads.depth)[code >= 0], n_cells.size),
        "variant_call": call, "variant_reason": why,
        **{k: np.where(silent, np.nan, v) for k, v in numbers.items()}, "power": found.power,
        "cells_needed": _cells_needed(found, reads, columns, n_cells, why, None if clonal else limit),
        "flags": np.where((call == "mutant") & (found.n_alt_cells == 1), "one_cell", "")})
    return frame[~silent | (n_cells >= MIN_LISTED) | (not clonal)]


def _cells_needed(found: Found, reads: Reads, columns: Columns, n_cells: np.ndarray, why: np.ndarray,
                  limit: float | None) -> np.ndarray:
    """Cells from which a wild type could be said, for groups that lack reads; coverage of the group, else the site."""
    share, decades = (1 - variants.REFERENCE_SILENT, variants.DECADES) if limit is None else (limit, np.log10(40))
    needed = variants.informative_needed(reads, columns, share=share, decades=float(decades))
    total = max(1, int(n_cells.sum()))
    covered = np.where(found.n_informative >= variants.LEARNERS, found.n_informative / np.maximum(n_cells, 1),
                       found.n_informative.sum() / total)
    with np.errstate(divide="ignore", invalid="ignore"):
        out = np.ceil(needed / covered)
    return np.where(np.isin(why, ("no_reads", "too_few_reads")) & np.isfinite(out), out, np.nan)


def _flagged(frame: pd.DataFrame) -> pd.DataFrame:
    """Add what one site shows across lineages: seen in cells that are no T cells, or in nearly all cells of all."""
    lineages = frame[frame["group"] == "lineage"]
    mutant = lineages[lineages["variant_call"] == "mutant"]
    read = lineages[lineages["n_informative"] >= MIN_LISTED]
    other = sorted(set(mutant["name"]) - set(T_LINEAGES))
    everywhere = len(read) >= 2 and bool(((read["variant_call"] == "mutant") & (read["fraction"] >= GERMLINE_SHARE)
                                          ).all())
    words = [f"also_in={'+'.join(other)}"] if other and not everywhere else []
    words += ["inherited_like"] if everywhere else []
    if not words:
        return frame
    told = (frame["variant_call"] == "mutant") & ~((frame["group"] == "lineage") & frame["name"].isin(other))
    extra = np.where(told if not everywhere else frame["variant_call"] == "mutant", ";".join(words), "")
    return frame.assign(flags=[";".join(w for w in pair if w) for pair in zip(frame["flags"], extra, strict=True)])
