"""Origin of the clones of one patient: takes the MuData apart, calls the array functions, writes the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .. import _schema
from .._errors import InputError
from ..clones.api import NOT_MEMBERS, informative
from ..patient import access
from .chains import exact_members
from .predates import Before, Sighting, first_day, verdict
from .timeline import Places, places, timeline_table, upper_bound


def timeline(mdata: access.Data) -> None:
    """Follow every clone over all samples, and say whether it predates the infusion.

    Parameters
    ----------
    mdata
        MuData (or AnnData) of one patient with ``clone_id``, ``clone_status`` and ``has_trb`` (`sl.tl.clones`), and the
        sample sheet's ``day``, ``specimen``, ``selection`` and ``pool`` where known.

    Raises
    ------
    InputError
        Clones or `has_trb` are missing, a sample is not in the sheet, or there are several patients.

    Notes
    -----
    Writes table ``timeline`` (one row per clone and specimen; exact Clopper-Pearson intervals; limit of detection) and
    table ``origin`` (``first_day``, ``predates_infusion`` with limit and reason). A cell speaks when it is no doublet
    and shows a usable TRB. Sorted cells never enter the frequency of a specimen that has unsorted ones.
    """
    ids, clone, informative = _members(mdata)
    sample = access.text(mdata, "sample", default="sample")
    samples = _samples(mdata, sample)
    where = places(samples)
    place = np.array([where.of_sample[s] for s in sample], np.int64)
    patient = _patient(mdata, ids)
    table = timeline_table(clone, place, informative, ids, where)
    table.insert(0, "patient", np.repeat(patient, len(where.names)))
    origin = _origin(mdata, ids, clone, informative, sample, samples, where)
    origin.insert(0, "patient", patient)
    access.put_table(mdata, "timeline", table if ids else _schema.empty("timeline"))
    access.put_table(mdata, "origin", origin if ids else _schema.empty("origin"))


def _members(data: access.Data) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Sorted clone ids, clone of each cell (-1 without), and the informative cells."""
    for key in ("clone_id", "has_trb"):
        if not access.has_column(data, key):
            raise InputError("obs", f"no column {key!r}", "run sl.tl.clones first")
    patients = sorted(set(access.text(data, "patient")) - {""})
    if len(patients) > 1:
        raise InputError("obs", f"{len(patients)} patients ({', '.join(patients[:3])} ...)",
                         "give the data of one patient: days and clones are those of one patient")
    names, status = access.text(data, "clone_id"), access.text(data, "clone_status")
    member = ~np.isin(status, NOT_MEMBERS) & (names != "")
    ids = sorted(set(names[member]))
    index = {c: i for i, c in enumerate(ids)}
    clone = np.array([index[c] if m else -1 for c, m in zip(names, member, strict=True)], np.int64)
    return ids, clone, informative(status, access.column(data, "has_trb").to_numpy())


def _samples(data: access.Data, sample: np.ndarray) -> pd.DataFrame:
    table = access.sample_table(data)
    absent = sorted(set(sample) - set(table.index.astype(str)))
    if absent:
        raise InputError("obs", f"sample {absent[0]!r} is not in the sample sheet", "add its row")
    return table.set_axis(table.index.astype(str), axis=0).sort_index()


def _patient(data: access.Data, ids: list[str]) -> list[str]:
    known = dict(zip(access.text(data, "clone_id"), access.text(data, "patient"), strict=True))
    return [known[c] for c in ids]


def _origin(data: access.Data, ids: list[str], clone: np.ndarray, informative: np.ndarray, sample: np.ndarray,
            samples: pd.DataFrame, where: Places) -> pd.DataFrame:
    """First day, word, limit and reason of every clone."""
    names = list(samples.index)
    at = np.array([names.index(s) for s in sample], np.int64)
    day = pd.to_numeric(samples["day"]).to_numpy(np.float64) if "day" in samples else np.full(len(names), np.nan)
    pool = [str(v) if not pd.isna(v) else "" for v in samples["pool"]] if "pool" in samples else [""] * len(names)
    exact = _exact(data, ids, clone)
    before = _before(names, at, day, informative, where)
    unsorted = np.array([where.of_sample[n] >= 0 and where.flags[where.of_sample[n]] != "selected" for n in names])
    count = np.zeros((3, len(ids), len(names)), np.int64)
    for layer, mask in enumerate((clone >= 0, exact, informative & (clone >= 0))):
        np.add.at(count[layer], (clone[mask], at[mask]), 1)
    rows = []
    for c, name in enumerate(ids):
        seen = [Sighting(float(day[s]), pool[s], int(count[0, c, s]), int(count[1, c, s])) for s in range(len(names))]
        word, reason = verdict(seen, before)
        with np.errstate(invalid="ignore"):
            k = int(count[2, c, (day < 0) & unsorted].sum())
        rows.append({"clone_id": name, "first_day": first_day(seen), "predates_infusion": word,
                     "predates_limit": upper_bound(k, before.n), "predates_reason": reason})
    return pd.DataFrame(rows)


def _exact(data: access.Data, ids: list[str], clone: np.ndarray) -> np.ndarray:
    """Members that show both chains of their clone; none where the data hold no receptor table."""
    receptors = access.table(data, "receptors")
    if receptors is None:
        return np.zeros(clone.size, bool)
    known = receptors.drop_duplicates("clone_id").set_index("clone_id").reindex(ids)
    return exact_members(_chains(data), clone, known["trb_junction"].tolist(), known["tra_junction"].tolist())


def _chains(data: access.Data) -> pd.DataFrame:
    """Productive TRA and TRB junctions of every cell: columns cell (row of ``data``), locus, junction."""
    airr = access.modality(data, "airr")
    if airr is None or "airr" not in airr.obsm:
        return pd.DataFrame({"cell": np.zeros(0, np.int64), "locus": [], "junction": []})
    import awkward as ak

    chains = airr.obsm["airr"]
    counts = ak.to_numpy(ak.num(chains["junction"], axis=1))
    fields = {f: ak.to_list(ak.flatten(chains[f])) for f in ("locus", "junction", "productive") if f in chains.fields}
    flat = pd.DataFrame({"cell": np.repeat(data.obs_names.get_indexer(airr.obs_names), counts)} | fields)
    if "productive" in flat:
        flat = flat[np.array([str(v).upper() in ("TRUE", "T") for v in flat["productive"]], dtype=bool)]
    return flat[flat["junction"].notna() & flat["locus"].isin(["TRA", "TRB"])]


def _before(names: list[str], at: np.ndarray, day: np.ndarray, informative: np.ndarray, where: Places) -> Before:
    with np.errstate(invalid="ignore"):
        early = day < 0
    usable = np.array([where.of_sample[n] >= 0 and where.flags[where.of_sample[n]] != "selected" for n in names])
    here = informative & early[at]
    return Before(bool(early.any()), int((here & usable[at]).sum()), int(here.sum()))
