"""Sparse evidence on AnnData and MuData: reads the object, calls the array functions beside it, writes results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import _backend
from .._errors import InputError
from .._settings import Device
from ..patient import access
from ..patient.access import Data
from .protein_api import car_protein as car_protein
from .variants_api import variant_status as variant_status
from .virus_api import virus_status as virus_status
from .virus_api import virus_table as virus_table

if TYPE_CHECKING:
    import os

    from .car import Patient, Result
    from .fit import Options

    Sites = str | os.PathLike[str] | pd.DataFrame | None

SAMPLE_COLUMNS = ("specimen", "gem_well", "day", "selection", "chemistry", "car_counting", "car_fraction",
                  "car_fraction_n", "role", "car", "segment_seen")


def car_status(data: Data, *, car: str | Mapping[str, Sequence[str]], unit: str = "clone", sample_key: str = "sample",
               selection_key: str | None = None, positive: str | Sequence[str] | None = None,
               negative: str | Sequence[str] | None = None, focus: Sequence[str] | None = None,
               population_key: str | None = None, fraction_limit: float = 0.10, silenced_share: float = 0.02,
               doublet_rate: float = 0.008, sites: Sites = None, reference_copies: float = 2.0, rng: int = 0,
               device: Device = "auto", threads: int | None = None, copy: bool = False) -> Data | None:
    """Say for every cell and clone whether it carries an expressed CAR, with probability, power and limits.

    A clone is judged by all its cells together: background plus negative binomial signal, doublets with carrying
    cells, clones of mixed status and silent cells are hypotheses on one grid. Silence is never a negative: that takes
    a measured positive control, and a background that was told from the CAR. Vector DNA of the sample sheet joins the
    verdict on malignant clones. Nothing is fitted across patients, and samples of different selection share no counts;
    that a CAR+ sort holds a clone as often as the open sample does is part of its prior, for as much as the open
    samples' counts show it to be worth.

    Parameters
    ----------
    data
        AnnData with raw counts in ``X`` (or ``layers["counts"]``), or a patient's MuData. No sample sheet is needed.
    car
        Features: ``F1+F2`` (segments of one construct), ``NAME=F1+F2,NAME2=F3``, or name -> features; verdicts are on
        their union.
    unit, sample_key
        Columns of obs: clones (``clone`` is ``clone_id``) and samples. Cells without a unit get the population's prior.
    selection_key
        How samples were sorted (default ``selection``): ``none``, ``CAR+``, ``CAR-``, a gate of CD markers; else
        unknown, which allows ``CAR_present`` at most and never a negative.
    positive, negative
        Controls: sample names, or a bool column of obs; roles and days of the sheet count in addition.
    focus
        Clones of the what-if table; by default the malignant ones, else the ten largest.
    population_key
        Column that says which cells are malignant (bool, or text ``malignant``).
    fraction_limit, silenced_share, doublet_rate
        Share of carrying members excluded by ``CAR_transcript_not_detected``; prior share of wholly silent clones among
        carrying ones (never in a verdict); doublets per 1,000 cells of a GEM well.
    sites, reference_copies
        Integration sites (`dna_rows.read_sites`); copies per cell of the reference gene of ``vcn_reference``.
    rng, device, threads, copy
        Seed of the power simulation; where kernels run (threads never change a result); return a copy.

    Returns
    -------
    None, or the copy. Written: ``obs`` columns ``car_umi, car_bg_expected, car_p, car_p_cell_only, car_call,
    car_product``; tables ``car_clones``, ``clone_car`` and ``car_dna``; ``uns["sclineage"]`` entries ``car_samples``,
    ``car_what_if`` (clone x scenario) and ``car_fit`` (parameters per library).

    Raises
    ------
    InputError
        A feature is in no matrix, counts are not whole numbers, a unit spans patients, a sample has two selections,
        a cell has more CAR UMIs than other UMIs, or an option is no share.
    """
    from . import inputs
    from .car import assess_patient

    data = data.copy() if copy else data
    options = _options(fraction_limit, silenced_share, doublet_rate, reference_copies, rng, device)
    constructs = _constructs(car)
    cells, samples, counts = _read(data, constructs, unit=unit, sample_key=sample_key, positive=positive,
                                   negative=negative, selection_key=selection_key, population_key=population_key)
    inputs.check_cells(cells, unit=unit)
    with _backend.threads(threads):
        results = [(p, assess_patient(p, options, None if focus is None else list(map(str, focus))))
                   for p in inputs.patients(cells, samples, counts)]
    _write(data, cells, results)
    _dna(data, cells, sites, reference_copies)
    access.put_params(data, "car", {
        "car": ",".join(f"{k}={'+'.join(v)}" for k, v in constructs.items()), "unit": unit, "sample_key": sample_key,
        "selection_key": selection_key, "population_key": population_key, "fraction_limit": fraction_limit,
        "silenced_share": silenced_share, "doublet_rate": doublet_rate, "reference_copies": reference_copies,
        "rng": rng})
    return data if copy else None


def _options(fraction_limit: float, silenced_share: float, doublet_rate: float, reference_copies: float, rng: int,
             device: Device) -> Options:
    from .fit import Options

    if not 0 < fraction_limit < 1 or not 0 <= doublet_rate < 1 or not 0 <= silenced_share < 1:
        raise InputError("car_status", "fraction_limit, doublet_rate or silenced_share is no share",
                         "give numbers between 0 and 1")
    if not reference_copies > 0:
        raise InputError("car_status", f"reference_copies is {reference_copies}", "give a number above 0, such as 2")
    _backend.pick(device, kernel="evidence")
    return Options(fraction_limit, silenced_share, doublet_rate, rng, device)


# --- reading ---------------------------------------------------------------------------------------------------------
def _constructs(car: str | Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    from ..patient.spec import parse_car

    constructs = parse_car(car)
    if not constructs or not all(constructs.values()):
        raise InputError("car", f"found {car!r}", "name at least one feature of the CAR")
    return constructs


def _read(data: Data, constructs: dict[str, tuple[str, ...]], *, unit: str, sample_key: str,
          positive: str | Sequence[str] | None, negative: str | Sequence[str] | None, selection_key: str | None,
          population_key: str | None) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, np.ndarray]]:
    """Cells, samples and UMIs per construct as plain tables."""
    from . import inputs

    sample = access.text(data, sample_key, default="sample")
    names = sorted(set(sample))
    given = _given(data, sample, names, selection_key)
    columns = [str(c) for c in data.obs.columns]
    yes, yes_key = inputs.declared(positive, names, columns)
    no, no_key = inputs.declared(negative, names, columns)
    cells = pd.DataFrame({
        "patient": access.text(data, "patient", default="patient"), "sample": sample, "unit": _units(data, unit),
        "subset": access.text(data, "subset"), "clone_status": access.text(data, "clone_status"),
        "excluded_reason": access.text(data, "excluded_reason"),
        "positive": _flags(data, yes_key), "negative": _flags(data, no_key)}, index=data.obs_names)
    if population_key is not None:
        cells["malignant"] = _flags(data, population_key, word="malignant")
    own = _per_sample(given, names, constructs)
    counts, assessed, per_construct = _counts(data, sample, own)
    cells["count"], cells["assessed"] = counts, assessed
    cells["depth"], cells["depth_known"] = _depth(data, own)
    given = given.join(_empties(data, own))
    return cells, inputs.sample_rows(names, given, positive=yes, negative=no), per_construct


def _units(data: Data, unit: str) -> np.ndarray:
    from .inputs import MISSING

    key = "clone_id" if unit == "clone" else unit
    access.column(data, key)  # raises with the nearest names
    values = access.text(data, key)
    return np.where(np.isin(values, MISSING), "", values).astype(object)


def _flags(data: Data, key: str | None, *, word: str = "true") -> np.ndarray:
    """Boolean column: True, 1, or the given word."""
    if key is None:
        return np.zeros(data.n_obs, bool)
    access.column(data, key)
    values = pd.Series(access.text(data, key)).str.strip().str.casefold()
    return values.isin([word, "true", "1", "1.0", "yes"]).to_numpy(dtype=bool)


def _given(data: Data, sample: np.ndarray, names: list[str], selection_key: str | None) -> pd.DataFrame:
    """Columns known per sample: the sheet's, else those of obs that are constant within samples."""
    sheet = access.sample_table(data)
    out = pd.DataFrame(index=pd.Index(names, dtype=object))
    for column in SAMPLE_COLUMNS:
        key = selection_key if column == "selection" and selection_key is not None else column
        if column in sheet and key == column and set(names) <= set(sheet.index):
            out[column] = sheet.loc[names, column].to_numpy()
        elif access.has_column(data, key):
            out[column] = _constant(pd.Series(access.text(data, key)), sample, names, key)
        elif column == "selection" and selection_key is not None:
            access.column(data, key)
    return out


def _constant(values: pd.Series, sample: np.ndarray, names: list[str], key: str) -> list[str | float]:
    kinds = values.groupby(sample).nunique()
    if key != "car" and (kinds > 1).any():
        raise InputError("obs", f"sample {kinds.index[kinds > 1][0]!r} has several values of {key!r}",
                         f"give every sample one {key}, or split the sample")
    return values.groupby(sample).first().reindex(names).tolist()


def _per_sample(given: pd.DataFrame, names: list[str],
                constructs: dict[str, tuple[str, ...]]) -> dict[str, dict[str, tuple[str, ...]] | None]:
    """Constructs that apply to each sample; None where the reference has no CAR."""
    from ..patient.spec import row_constructs
    from .inputs import MISSING

    texts = given["car"].to_dict() if "car" in given else {}
    return {n: row_constructs("" if str(texts.get(n, "")) in MISSING else str(texts[n]), constructs) for n in names}


def _counts(data: Data, sample: np.ndarray, own: Mapping[str, Mapping[str, tuple[str, ...]] | None],
            ) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """UMIs of the union of features, whether they were assessed, and UMIs per construct."""
    features = sorted({f for named in own.values() if named for fs in named.values() for f in fs})
    found = access.feature_counts(data, features)
    column = {f: j for j, f in enumerate(features)}
    count, assessed = np.zeros(data.n_obs, np.int64), np.zeros(data.n_obs, bool)
    names = sorted({c for named in own.values() if named for c in named})
    per_construct = {c: np.zeros(data.n_obs, np.int64) for c in names}
    for name, named in own.items():
        here = sample == name
        if not named:
            continue
        wanted = sorted({column[f] for fs in named.values() for f in fs})
        seen = found.assessed[np.ix_(here, wanted)]
        lacking = seen.any(axis=1) & ~seen.all(axis=1)
        if lacking.any():
            lost = features[wanted[int(np.argmin(seen[lacking][0]))]]
            raise InputError(f"sample {name}", f"CAR feature {lost!r} is missing where others are counted",
                             "count all features in every sample, or give the sample's own in column car")
        assessed[here] = seen.all(axis=1)
        count[here] = found.counts[np.ix_(here, wanted)].sum(axis=1)
        for construct, fs in named.items():
            mine = sorted({column[f] for f in fs})
            per_construct[construct][here] = found.counts[np.ix_(here, mine)].sum(axis=1)
    return count, assessed, per_construct


def _depth(data: Data, own: Mapping[str, Mapping[str, tuple[str, ...]] | None]) -> tuple[np.ndarray, np.ndarray]:
    """Gene-expression UMIs without the CAR and viral features; one constant where there is no matrix."""
    from .inputs import CONSTANT_DEPTH

    stored = access.store(data)
    features = {f for named in own.values() if named for fs in named.values() for f in fs}
    features |= {str(f) for key in ("car_features", "virus_features") for f in stored.get(key, ())}
    depth, known = access.depth(data, without=features)
    gex = access.modality(data, "gex")
    if gex is not None and set(map(str, gex.var_names)) <= features:
        known = np.zeros(data.n_obs, bool)
    sample_known = pd.Series(known).groupby(access.text(data, "sample", default="sample")).transform("any").to_numpy()
    return np.where(sample_known, depth, CONSTANT_DEPTH).astype(np.float64), sample_known.astype(bool)


def _empties(data: Data, own: Mapping[str, Mapping[str, tuple[str, ...]] | None]) -> pd.DataFrame:
    """Empty droplets and their CAR UMIs per sample, where an unfiltered matrix was read."""
    out = pd.DataFrame(np.nan, index=pd.Index(list(own), dtype=object), columns=["empty_droplets", "empty_umi"])
    known = access.store(data).get("empties")
    if known is None or len(known) == 0:
        return out
    for name, named in own.items():
        wanted = {f for fs in (named or {}).values() for f in fs}
        rows = known[(known["sample"] == name) & known["feature"].isin(wanted)]
        if len(rows):
            out.loc[name] = [float(rows["n_droplets"].iloc[0]), float(rows["feature_umi"].sum())]
    return out


# --- writing ---------------------------------------------------------------------------------------------------------
def _write(data: Data, cells: pd.DataFrame, results: list[tuple[Patient, Result]]) -> None:
    from .. import _schema as schema
    from . import tables

    n = data.n_obs
    columns: dict[str, np.ndarray] = {c: np.full(n, np.nan) for c in ("car_umi", "car_bg_expected", "car_p",
                                                                      "car_p_cell_only")}
    columns |= {"car_call": np.full(n, "", object), "car_product": np.full(n, "", object)}
    for patient, result in results:
        for name, values in columns.items():
            values[patient.barcodes] = result.cells[name].to_numpy()
    assessed = cells["assessed"].to_numpy(dtype=bool)
    columns["car_umi"] = np.where(assessed, columns["car_umi"], np.nan)
    if assessed.all():
        columns["car_umi"] = columns["car_umi"].astype(np.int64)
    empty = assessed & (cells["depth"] == 0).to_numpy() & (cells["excluded_reason"] == "").to_numpy()
    if empty.any():
        columns["excluded_reason"] = np.where(empty, "no_umi", cells["excluded_reason"])
    access.put(data, columns)
    for name, field in (("car_clones", "clones"), ("clone_car", "clone_car")):
        frames = [getattr(result, field) for _, result in results]
        frames = [f for f in frames if len(f)] or [schema.empty(name)]
        access.put_table(data, name, pd.concat(frames, ignore_index=True))
    stored = access.store(data)
    parts = [r for _, r in results]
    stored["car_samples"] = pd.concat([tables.no_samples(), *(r.samples for r in parts)]).sort_index(kind="stable")
    stored["car_what_if"] = pd.concat([tables.no_what_if(), *(r.what_if for r in parts)], ignore_index=True)
    stored["car_fit"] = pd.concat([tables.parameters("", []), *(r.fitted for r in parts)], ignore_index=True)


def _dna(data: Data, cells: pd.DataFrame, source: Sites, per_cell: float) -> None:
    """Join vector DNA of the sample sheet, and integration sites, to the verdicts on malignant clones."""
    from .. import _schema as schema
    from . import dna_rows

    sheet, sites = access.sample_table(data), None if source is None else dna_rows.read_sites(source)
    if sites is not None:
        dna_rows.refuse_unknown(sites, dna_rows.names_of(sheet))
    clones, frames = access.table(data, "car_clones"), []
    assert clones is not None
    specimen = dict(zip(sheet.index.astype(str), sheet["specimen"].astype(str) if "specimen" in sheet else
                        sheet.index.astype(str), strict=True))
    for patient in sorted(set(cells["patient"])):
        mine = (cells["patient"] == patient) & (cells["unit"] != "") & (cells["clone_status"] != "doublet")
        members = cells[mine & cells["malignant"]] if "malignant" in cells else cells.iloc[:0]
        members = pd.DataFrame({"specimen": [specimen.get(s, s) for s in members["sample"]],
                                "clone_id": members["unit"].to_numpy()})
        rows = sheet[sheet["patient"].astype(str) == patient] if "patient" in sheet else sheet
        found = dna_rows.rows(rows.assign(specimen=[specimen[str(n)] for n in rows.index]), members, sites,
                              per_cell=per_cell)
        frames.append(found.assign(patient=patient))
        own = clones["patient"] == patient
        clones = pd.concat([clones[~own], dna_rows.settle(clones[own], found)])
    frames = [f for f in frames if len(f)] or [schema.empty("car_dna")]
    access.put_table(data, "car_clones", clones)
    access.put_table(data, "car_dna", pd.concat(frames, ignore_index=True))
