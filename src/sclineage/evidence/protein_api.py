"""CAR protein of the cells and clones of one patient: the MuData side of `protein`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _schema as schema
from .._errors import InputError, nearest
from ..patient import access
from . import protein
from .dna import clopper_pearson
from .inputs import NOT_T
from .protein import Mixture, Seen

RNA_NEGATIVE, RNA_CLONAL = schema.CAR_NEGATIVE, ("CAR_positive",)


def car_protein(data: access.Data, *, features: str | Sequence[str], unit: str = "clone", sample_key: str = "sample",
                negative: str | None = None, fraction_limit: float = 0.10) -> None:
    """Say which cells and clones show CAR protein, by antibody, beside RNA and never summed with it.

    Parameters
    ----------
    data
        MuData of one patient with modality ``adt`` (raw antibody counts).
    features
        Antibody against the CAR (anti-FMC63, anti-linker ...); ``F1+F2``, or a list, where several are added.
    unit, sample_key
        Columns of obs: clones (``clone`` is ``clone_id``) and samples; where obs has ``gem_well``, background is that
        of the well.
    negative
        Bool obs column of cells known to lack the CAR. Samples of ``day`` < 0 and of role ``car_negative_control``
        count too; without fifty such cells, cells that are no T cells.
    fraction_limit
        Share of positive members that must be excluded before a clone's protein is ``not_detected``.

    Raises
    ------
    InputError
        There are no antibodies, a feature is not among them, or counts are not whole numbers.

    Notes
    -----
    Writes obs ``car_adt`` (counts) and ``car_adt_p`` (probability of the protein; missing where not assessed or where
    the library's background and signal are not plainly apart); table ``car_protein`` per clone; ``car_adt`` in
    ``uns["sclineage"]`` per library: components, and the share of protein-positive cells that show CAR RNA, which
    measures the sensitivity of RNA where cells are known by another molecule. Where protein and RNA disagree on a
    clone, both tables say so (flag ``rna_protein_conflict``); neither changes the other.
    """
    names, counts, assessed = antibodies(data, features)
    clean, t_cell = _controls(data, negative, sample_key)
    well = access.text(data, "gem_well")
    sample = access.text(data, sample_key, default="sample")
    well = np.where(well != "", well, sample).astype(object)
    usable = assessed & (access.text(data, "clone_status") != "doublet") & (access.text(data, "excluded_reason") == "")
    p, fits = _libraries(counts, well, usable, clean, t_cell)
    adt = pd.array(counts, dtype="Int64")
    adt[~assessed] = pd.NA
    access.put(data, {"car_adt": adt, "car_adt_p": p})
    key = "clone_id" if unit == "clone" else unit
    access.column(data, key)
    access.store(data)["car_adt"] = _rna_of_positives(data, well, p, t_cell & ~clean, fits)
    access.put_table(data, "car_protein", _clones(data, access.text(data, key), p, usable & t_cell & ~clean, well, fits,
                                                  fraction_limit))
    access.put_params(data, "car_protein", {"features": "+".join(names), "unit": unit, "negative": negative,
                                            "fraction_limit": fraction_limit})
    _mark_conflicts(data)


# --- reading ---------------------------------------------------------------------------------------------------------
def antibodies(data: access.Data, features: str | Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of the antibodies (``F1+F2`` or a list), their counts together, and where a library held all of them."""
    names = features.split("+") if isinstance(features, str) else list(features)
    mod = access.modality(data, "adt") if hasattr(data, "mod") else None
    if mod is None:
        raise InputError("adt", "no antibody counts", "give matrices with features of type Antibody Capture")
    lost = [n for n in names if n not in mod.var_names]
    if lost or not names:
        raise InputError("adt", f"no antibody {lost[0] if lost else ''!r}",
                         nearest(lost[0] if lost else "", map(str, mod.var_names)))
    matrix = sparse.csr_matrix(mod.X)[:, mod.var_names.get_indexer(names)]
    if not access.is_counts(matrix.data):
        raise InputError("adt", "antibody counts are not whole numbers >= 0", "give raw counts, not normalised ones")
    rows = data.obs_names.get_indexer(mod.obs_names)
    counts, assessed = np.zeros(data.n_obs, np.int64), np.zeros(data.n_obs, bool)
    counts[rows] = np.asarray(matrix.sum(axis=1)).ravel().astype(np.int64)
    assessed[rows] = np.all([access.in_sample(mod, n) for n in names], axis=0)
    return names, np.where(assessed, counts, 0), assessed


def _controls(data: access.Data, negative: str | None, sample_key: str) -> tuple[np.ndarray, np.ndarray]:
    """Cells declared free of the CAR, and cells that may carry it."""
    clean = np.zeros(data.n_obs, bool) if negative is None else (
        access.column(data, negative).astype("boolean").fillna(value=False).to_numpy(dtype=bool))
    sheet = access.sample_table(data)
    day = pd.to_numeric(sheet["day"], errors="coerce") if "day" in sheet else pd.Series(np.nan, index=sheet.index)
    role = sheet["role"].astype(str) if "role" in sheet else pd.Series("", index=sheet.index)
    free = set(sheet.index[(day < 0) | role.str.contains("car_negative_control")].astype(str))
    clean |= np.isin(access.text(data, sample_key, default="sample"), sorted(free))
    return clean, ~np.isin(access.text(data, "subset"), NOT_T)


def _libraries(counts: np.ndarray, well: np.ndarray, usable: np.ndarray, clean: np.ndarray,
               t_cell: np.ndarray) -> tuple[np.ndarray, dict[str, Mixture]]:
    """Probability of the protein per cell, and the mixture of every library."""
    p, fits = np.full(counts.size, np.nan), {}
    for name in sorted(set(well)):
        here = usable & (well == name)
        free = here & clean
        free = free if free.sum() >= protein.MIN_NEGATIVES else here & ~t_cell & ~clean
        found = protein.fit(counts[here & t_cell & ~clean], counts[free])
        if found is None:
            continue
        fits[name] = found
        if found.resolved:
            p[here] = found.posterior(counts[here])
    return p, fits


# --- tables ----------------------------------------------------------------------------------------------------------
def _rna_of_positives(data: access.Data, well: np.ndarray, p: np.ndarray, may: np.ndarray,
                      fits: Mapping[str, Mixture]) -> pd.DataFrame:
    """Per library: components, positive cells, and how many of them show CAR RNA."""
    umi = (pd.to_numeric(access.column(data, "car_umi")).to_numpy(dtype=np.float64, na_value=np.nan)
           if access.has_column(data, "car_umi") else np.full(well.size, np.nan))
    rows = []
    for name, found in fits.items():
        here = (well == name) & may & (np.nan_to_num(p) >= protein.POSITIVE) & np.isfinite(umi)
        n, k = int(here.sum()), int((umi[here] > 0).sum())
        low, high = clopper_pearson(k, n) if n else (np.nan, np.nan)
        rows.append({"well": name, "background": found.background.mean, "positive": found.positive.mean,
                     "share": found.share, "source": found.source, "resolved": found.resolved, "n_positive": n,
                     "with_car_rna": k, "rna_sensitivity": k / n if n else np.nan, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["well", "background", "positive", "share", "source", "resolved", "n_positive",
                                       "with_car_rna", "rna_sensitivity", "low", "high"])


def _clones(data: access.Data, clone: np.ndarray, p: np.ndarray, counted: np.ndarray, well: np.ndarray,
            fits: Mapping[str, Mixture], limit: float) -> pd.DataFrame:
    status = access.text(data, "clone_status")
    named = np.where(np.isin(status, ("doublet", "ambiguous")), "", clone)
    frame = pd.DataFrame({"clone_id": named, "well": well, "p": p, "patient": access.text(data, "patient")})
    frame = frame[counted & (named != "")]
    chance = {w: float(protein.DOUBLETS * m.share + protein.overlap(m.background, m.positive))
              for w, m in fits.items()}
    told = frame[frame["p"].notna()]
    yes = told["p"] >= protein.POSITIVE
    positives = told[yes].groupby("well").size()
    rows = []
    for (patient, name), part in frame.groupby(["patient", "clone_id"], sort=True):
        own = part[part["p"].notna()]
        hit = own["p"] >= protein.POSITIVE
        seen = Seen(len(own), int(hit.sum()), int(((own["p"] > protein.NEGATIVE) & ~hit).sum()),
                    float(own["well"].map(chance).sum()) if len(own) else 0.0)
        wells = sorted(set(own["well"]))
        controls = int(sum(positives.get(w, 0) for w in wells)) - seen.positive
        low, high = seen.interval() if seen.n else (np.nan, np.nan)
        rows.append({"patient": patient, "clone_id": name, "n_informative": seen.n, "n_positive": seen.positive,
                     "n_doubtful": seen.doubtful, "positive_by_chance": seen.by_chance if seen.n else np.nan,
                     "share_low": low, "share_high": high, "n_control": controls if seen.n else np.nan,
                     "protein_call": seen.call(controls=controls, limit=limit),
                     "flags": "" if seen.n else "background_not_resolved"})
    return pd.DataFrame(rows, columns=[c.name for c in schema.CAR_PROTEIN])


def _mark_conflicts(data: access.Data) -> None:
    """Flag clones on which protein and RNA disagree, in both tables."""
    clones, found = access.table(data, "car_clones"), access.table(data, "car_protein")
    if clones is None or found is None or clones.empty or found.empty:
        return
    call = dict(zip(found["clone_id"].astype(str), found["protein_call"].astype(str), strict=True))
    said = clones["clone_id"].astype(str).map(call)
    bad = ((said == "present") & clones["car_verdict"].isin(RNA_NEGATIVE)) | (
        (said == "not_detected") & clones["car_verdict"].isin(RNA_CLONAL))
    lost = set(clones.loc[bad, "clone_id"].astype(str))
    for frame, column, name in ((clones, "car_flags", "car_clones"), (found, "flags", "car_protein")):
        texts = frame[column].fillna("").astype(str)
        mine = frame["clone_id"].astype(str).isin(lost)
        joined = [";".join(w for w in (t, "rna_protein_conflict") if w) if m else t
                  for t, m in zip(texts, mine, strict=True)]
        access.put_table(data, name, frame.assign(**{column: joined}))
