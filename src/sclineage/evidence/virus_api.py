"""Virus status of the cells and populations of one patient: the MuData side of `virus`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from .._errors import InputError, nearest
from ..patient import access
from .virus import (
    MIN_LINEAGE,
    Viral,
    ambient,
    artefacts,
    follows_car,
    positive_cells,
    programme,
    rate_ratio,
    summary,
)

POPULATIONS = ("malignant", "CAR-T", "other_T", "other")
_NOWHERE = {"n_positive": None, "umi": None, "rate": np.nan, "low": np.nan, "high": np.nan,
            "ratio_to_ambient": np.nan, "n_loci": None, "programme": "", "genes": "", "compared_with": "",
            "rate_ratio": np.nan, "ratio_low": np.nan, "ratio_high": np.nan}
COMPARED = ("other_T", "other")  # what a population's rate is compared with: the first that has cells and is another


def virus_status(
    mdata: access.Data, *, virus: Mapping[str, Sequence[str]], sample_key: str = "sample",
    clone_key: str | None = None, negative: str | None = None, vector: Sequence[str] = (), rng: int = 0,
) -> None:
    """Say which cells hold a virus above the soup, and at which rate populations do.

    Parameters
    ----------
    mdata
        MuData (or AnnData) of one patient.
    virus
        Name -> its features (viral genes), found in `gex` or `targets`.
    sample_key
        Sample column; where obs has ``gem_well``, soup is estimated per GEM well.
    clone_key
        Clone column (default ``clone_id`` if there is one): artefact features are flat over large clones.
    negative
        Bool obs column of cells known to be free of virus (other donors, a virus-free culture).
    vector
        Viral features whose sequence the CAR vector holds (long terminal repeats, poly-A signals ...): left out of
        every virus. Features that merely follow the CAR are flagged: a virus of the CAR-T cells does that too.
    rng
        Unused by this method, which draws nothing; part of every tool's signature.

    Raises
    ------
    InputError
        A feature is in no matrix or molecule table, a virus has no feature, or a column is missing.

    Notes
    -----
    Writes obs ``virus_umi:<name>`` (UMIs of the features in use) and ``virus_pos:<name>``, both missing where the
    sample's reference lacks the virus; table ``virus``; ``virus_loci`` and ``virus_ambient`` in
    ``uns["sclineage"]``. The blacklist follows the observation of Lareau et al., Nature 623:608 (2023), who removed
    two HHV-6B features by hand; here it is learnt.
    """
    if not virus:
        raise InputError("virus", "no virus given", "give NAME=F1+F2")
    sample = _sample(mdata, sample_key)
    lost = [v for v in vector if v not in {f for named in virus.values() for f in named}]
    if lost:
        raise InputError("vector", f"{lost[0]!r} is no feature of the viruses asked for",
                         nearest(lost[0], [f for named in virus.values() for f in named]))
    car = _car(mdata)
    features, soups = [], []
    for name in sorted(virus):
        viral, wells = _viral(mdata, name, tuple(virus[name]), sample, clone_key, negative)
        of_vector = np.isin(np.array(virus[name], dtype=object), list(vector))
        follows = np.zeros(of_vector.size, bool) if car is None else follows_car(viral.counts, *car)
        viral = replace(viral, counts=np.where(of_vector[None, :], 0, viral.counts),
                        empty_umi=np.where(of_vector[None, :], 0, viral.empty_umi))
        dropped = artefacts(viral) | of_vector
        rate, source = ambient(viral, dropped)
        cells = viral.cells
        umi = pd.array(np.where(cells, viral.counts[:, ~dropped].sum(axis=1), 0), dtype="Int64")
        positive = pd.array(positive_cells(viral, dropped, rate), dtype="boolean")
        umi[~cells], positive[~cells] = pd.NA, pd.NA
        access.put(mdata, {f"virus_umi:{name}": umi, f"virus_pos:{name}": positive})
        features.append(pd.DataFrame({"virus": name, "feature": list(virus[name]), "blacklisted": dropped,
                                      "vector": of_vector, "follows_car": follows & ~dropped}))
        soups.append(pd.DataFrame({"virus": name, "well": wells, "ambient": rate, "source": source}))
    access.store(mdata)["virus_loci"] = pd.concat(features, ignore_index=True)
    access.store(mdata)["virus_ambient"] = pd.concat(soups, ignore_index=True)
    access.put_params(mdata, "virus", {"sample_key": sample_key, "clone_key": clone_key, "negative": negative,
                                       "vector": ",".join(vector), "rng": int(rng)})
    virus_table(mdata)


def virus_table(mdata: access.Data) -> None:
    """Build (again) the table ``virus``: one row per virus, sample and population, all cells together included.

    Populations are those of obs ``population``; without it there is only ``all``. Doublets are left out of both.

    Parameters
    ----------
    mdata
        MuData (or AnnData) after `virus_status`.
    """
    kept = access.store(mdata).get("virus_loci")
    if kept is None:
        raise InputError("uns", "no virus_loci", "run sl.tl.virus_status first")
    params = access.store(mdata)["params"]["virus"]
    sample = _sample(mdata, str(params["sample_key"]))
    well = _wells(mdata, sample)
    rows: list[dict[str, Any]] = []
    for name, part in kept.groupby("virus", sort=True):
        used = ~part["blacklisted"].to_numpy(bool)
        counts = access.feature_counts(mdata, part["feature"].astype(str).tolist())
        soup = access.store(mdata)["virus_ambient"]
        rates = soup[soup["virus"] == name].set_index("well")
        cells = _Cells(mdata, str(name), part["feature"].astype(str)[used].tolist(), counts.counts[:, used],
                       np.asarray(counts.assessed.any(axis=1)))
        places = _places(mdata, sample)
        rows += [_row(cells, str(name), s, p, here, rates.loc[well[here][0]], _feature_flags(part))
                 | _compared(cells, s, p, here, places) for s, p, here in places]
    access.put_table(mdata, "virus", pd.DataFrame(rows))


class _Cells:
    """Columns that the rows of one virus are made of."""

    def __init__(self, data: access.Data, name: str, features: list[str], counts: np.ndarray,
                 assessed: np.ndarray) -> None:
        self.features, self.counts, self.assessed = features, counts, assessed
        self.positive = data.obs[f"virus_pos:{name}"].astype("boolean").fillna(value=False).to_numpy(dtype=bool)
        self.patient = access.text(data, "patient")
        self.mito = np.full(data.n_obs, np.nan)
        if access.has_column(data, "mito_share"):
            self.mito = pd.to_numeric(access.column(data, "mito_share")).to_numpy(dtype=np.float64, na_value=np.nan)


def _row(cells: _Cells, name: str, sample: str, population: str, here: np.ndarray, soup: pd.Series,
         extra: list[str]) -> dict[str, Any]:
    head = {"patient": cells.patient[here][0], "population": population, "sample": sample, "virus": name}
    use = here & cells.assessed
    if not use.any():
        return head | _NOWHERE | {"n_cells": int(here.sum()), "flags": ";".join(["not_assessed", *extra])}
    found = summary(cells.counts[use], cells.positive[use], float(soup["ambient"]), cells.mito[use])
    flags = [*found.pop("flags"), *extra]  # type: ignore[misc]
    flags += ["ambient_assumed"] if soup["source"] == "prior" else []
    umi = cells.counts[use].sum(axis=0)
    total = float(np.nan_to_num(soup["ambient"])) * int(use.sum())
    everywhere = cells.counts[cells.assessed].sum(axis=0)
    word, genes = programme(cells.features, umi, total * everywhere / max(1, int(everywhere.sum())))
    return head | _NOWHERE | found | {"programme": word, "genes": "+".join(genes), "flags": ";".join(flags)}


def _feature_flags(part: pd.DataFrame) -> list[str]:
    """What was left out of a virus, and what follows the CAR."""
    names = part["feature"].astype(str)
    vector = part["vector"].to_numpy(bool)
    sets = {"blacklisted": part["blacklisted"].to_numpy(bool) & ~vector, "vector": vector,
            "follows_car": part["follows_car"].to_numpy(bool)}
    return [f"{word}:{'+'.join(sorted(names[mask]))}" for word, mask in sets.items() if mask.any()]


def _compared(cells: _Cells, sample: str, population: str, here: np.ndarray,
              places: list[tuple[str, str, np.ndarray]]) -> dict[str, Any]:
    """Rate ratio against other T cells of the sample, else against its other cells."""
    if population == "all":
        return {}
    found = {p: cells.assessed & mask for s, p, mask in places if s == sample and p in COMPARED and p != population}
    other = next((p for p in COMPARED if p in found and found[p].any()), "")
    use = here & cells.assessed
    if not other or not use.any():
        return {}
    ratio = rate_ratio(cells.counts[use].sum(axis=1), cells.counts[found[other]].sum(axis=1))
    return {"compared_with": other, **dict(zip(("rate_ratio", "ratio_low", "ratio_high"), ratio, strict=True))}


def _car(data: access.Data) -> tuple[np.ndarray, np.ndarray] | None:
    """CAR UMIs and where they were counted, for features that were read as the CAR; None without any."""
    names = [str(f) for f in access.store(data).get("car_features", ())]
    if not names:
        return None
    found = access.feature_counts(data, names)
    return found.counts.sum(axis=1), np.asarray(found.assessed.any(axis=1))


def _places(data: access.Data, sample: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    """Sample, population and its cells, for every pair with a cell."""
    single = access.text(data, "clone_status") != "doublet"
    known = access.text(data, "population")
    out = []
    for s in sorted(set(sample)):
        here = (sample == s) & single
        for p in ("all", *POPULATIONS):
            cells = here if p == "all" else here & (known == p)
            if cells.any():
                out.append((s, p, cells))
    return out


def _sample(data: access.Data, key: str) -> np.ndarray:
    if not access.has_column(data, key) and key != "sample":
        access.column(data, key)  # raises with the nearest name
    return access.text(data, key, default="sample")


def _wells(data: access.Data, sample: np.ndarray) -> np.ndarray:
    wells = access.text(data, "gem_well")
    return np.where(wells != "", wells, sample).astype(object)


def _viral(
    data: access.Data, name: str, features: tuple[str, ...], sample: np.ndarray, clone_key: str | None,
    negative: str | None,
) -> tuple[Viral, list[str]]:
    """Arrays of one virus, and the names of its libraries."""
    if not features:
        raise InputError("virus", f"{name!r} has no feature", "give NAME=F1+F2")
    if len(set(features)) != len(features):
        raise InputError("virus", f"{name!r} names a feature twice", "name each feature once")
    found = access.feature_counts(data, features)
    well = _wells(data, sample)
    wells = sorted(set(well))
    library = np.searchsorted(np.array(wells, dtype=object), well)
    droplets, umi = _empties(data, features, wells, well, sample)
    clean = np.zeros(data.n_obs, bool) if negative is None else (
        access.column(data, negative).astype("boolean").fillna(value=False).to_numpy(dtype=bool))
    return Viral(found.counts, found.assessed, library.astype(np.int64), _groups(data, clone_key), clean, droplets,
                 umi), wells


def _groups(data: access.Data, clone_key: str | None) -> np.ndarray:
    """Large clones by themselves, other cells by annotation; -1 without either."""
    key = clone_key or "clone_id"
    if clone_key is not None:
        access.column(data, clone_key)
    clone, subset = access.text(data, key), access.text(data, "subset")
    sizes = pd.Series(clone).value_counts()
    large = set(sizes[sizes >= MIN_LINEAGE].index) - {""}
    names = np.array([f"clone {c}" if c in large else s for c, s in zip(clone, subset, strict=True)], dtype=object)
    known = sorted(set(names) - {""})
    return np.array([known.index(n) if n else -1 for n in names], np.int64)


def _empties(
    data: access.Data, features: tuple[str, ...], wells: list[str], well: np.ndarray, sample: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Empty droplets per library and their UMIs of the features; samples of one library share its empties."""
    droplets, umi = np.zeros(len(wells), np.int64), np.zeros((len(wells), len(features)), np.int64)
    known = access.store(data).get("empties")
    if known is None or len(known) == 0:
        return droplets, umi
    well_of = dict(zip(sample, well, strict=True))
    table = known[known["feature"].astype(str).isin(features)].assign(sample=lambda t: t["sample"].astype(str))
    table = table[table["sample"].isin(list(well_of))].sort_values(["sample", "feature"], kind="stable")
    table = table.assign(well=table["sample"].map(well_of)).drop_duplicates(["well", "feature"])
    for row in table.itertuples():
        at = wells.index(row.well)
        droplets[at], umi[at, features.index(str(row.feature))] = int(row.n_droplets), int(row.feature_umi)
    return droplets, umi
