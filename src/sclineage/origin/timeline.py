"""Frequency of every clone in every specimen, with exact intervals and the limit of detection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import beta

UNSORTED, UNKNOWN = ("none",), ("", "unknown")


def clopper_pearson(k: np.ndarray, n: np.ndarray, *, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Exact two-sided interval of a share (Clopper and Pearson, Biometrika 26:404, 1934).

    Parameters
    ----------
    k, n
        Cells of the clone and cells that could have been, whole numbers, equal shapes; k <= n.
    confidence
        Coverage, split over both sides.

    Returns
    -------
    low, high: float64; NaN where n = 0.
    """
    k, n = np.asarray(k, np.float64), np.asarray(n, np.float64)
    tail = (1 - confidence) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(k > 0, beta.ppf(tail, k, n - k + 1), 0.0)
        high = np.where(k < n, beta.ppf(1 - tail, k + 1, n - k), 1.0)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def limit_of_detection(n: np.ndarray) -> np.ndarray:
    """Frequency excluded with 95 % confidence when none of `n` cells is of the clone: 1 - 0.05^(1/n); NaN for n = 0."""
    n = np.asarray(n, np.float64)
    with np.errstate(divide="ignore"):
        return np.where(n > 0, -np.expm1(np.log(0.05) / n), np.nan)


def upper_bound(k: int, n: int) -> float:
    """One-sided exact upper 95 % bound of a share: the limit of detection when k = 0; NaN for n = 0."""
    if n == 0:
        return np.nan
    return 1.0 if k >= n else float(beta.ppf(0.95, k + 1, n - k))


@dataclass(frozen=True, slots=True)
class Places:
    """Where and when frequencies are measured.

    Attributes
    ----------
    names
        Specimens (or samples, where a specimen has one), sorted.
    day
        float64 (n_places,): days from the infusion, NaN unknown.
    flags
        ``selected`` for sorted cells, ``selection_unknown`` where the sheet does not say.
    of_sample
        Sample -> index of its place; -1 for sorted samples of a specimen that also has unsorted cells.
    """

    names: list[str]
    day: np.ndarray
    flags: list[str]
    of_sample: dict[str, int]


def places(samples: pd.DataFrame) -> Places:
    """Group samples into specimens; unsorted samples stand for a specimen that has both kinds.

    Parameters
    ----------
    samples
        Index = sample; columns ``specimen, day, selection`` where known.
    """
    table = pd.DataFrame({
        "specimen": _text(samples, "specimen"), "selection": _text(samples, "selection"),
        "day": pd.to_numeric(samples["day"]) if "day" in samples else np.nan}, index=samples.index.astype(str))
    table["specimen"] = np.where(table["specimen"] == "", table.index, table["specimen"])
    names: list[str] = []
    days: list[float] = []
    flags: list[str] = []
    of_sample: dict[str, int] = {}
    for specimen, group in sorted(table.groupby("specimen"), key=lambda g: str(g[0])):
        chosen, flag = _preferred(group)
        of_sample |= {str(s): len(names) if s in chosen.index else -1 for s in group.index}
        names.append(str(group.index[0]) if len(group) == 1 else str(specimen))
        days.append(chosen["day"].min())
        flags.append(flag)
    return Places(names, np.array(days, np.float64), flags, of_sample)


def _text(samples: pd.DataFrame, key: str) -> pd.Series:
    if key not in samples:
        return pd.Series("", index=samples.index.astype(str), dtype=object)
    values = samples[key].astype(object)
    return pd.Series(values.where(values.notna(), "").map(str).to_numpy(dtype=object),
                     index=samples.index.astype(str), dtype=object)


def _preferred(group: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Samples that speak for the specimen, and the flag of their frequencies."""
    for wanted, flag in ((UNSORTED, ""), (UNKNOWN, "selection_unknown")):
        mine = group[group["selection"].isin(wanted)]
        if len(mine):
            return mine, flag
    return group, "selected"


def timeline_table(clone: np.ndarray, place: np.ndarray, informative: np.ndarray, clone_ids: list[str],
                   where: Places) -> pd.DataFrame:
    """One row per clone and place.

    Parameters
    ----------
    clone
        int64 (n,): clone of each cell, -1 without one (doublets and ambiguous cells too).
    place
        int64 (n,): place of each cell, -1 for cells that do not enter.
    informative
        bool (n,): non-doublet cells with a usable TRB.
    clone_ids
        Names of the clones.
    where
        Places.

    Returns
    -------
    Columns of table ``timeline`` without ``patient``. Members count when informative, so that n_clone is a part of
    n_informative; a clone of which no member shows a TRB counts all of them, has no frequency, and is flagged
    ``trb_not_seen``.
    """
    shape = (len(clone_ids), len(where.names))
    member = (clone >= 0) & (place >= 0)
    with_trb, all_members = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    np.add.at(all_members, (clone[member], place[member]), 1)
    np.add.at(with_trb, (clone[member & informative], place[member & informative]), 1)
    n = np.bincount(place[informative & (place >= 0)], minlength=shape[1]).astype(np.int64)
    shown = np.bincount(clone[informative & (clone >= 0)], minlength=shape[0])
    unseen = (shown == 0).reshape(-1, 1)
    k = np.where(unseen, all_members, with_trb)
    low, high = clopper_pearson(with_trb, np.broadcast_to(n, shape))
    usable = ~unseen & (n > 0)[None, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        frequency = np.where(usable, with_trb / n, np.nan)
    repeat = {"clone_id": np.repeat(clone_ids, shape[1]), "sample": np.tile(where.names, shape[0]),
              "day": np.tile(where.day, shape[0])}
    flags = [_flags(where.flags[p], int(n[p]), seen=not bool(unseen[c, 0])) for c in range(shape[0])
             for p in range(shape[1])]
    return pd.DataFrame(repeat | {
        "n_clone": k.ravel(), "n_informative": np.tile(n, shape[0]), "frequency": frequency.ravel(),
        "low": np.where(usable, low, np.nan).ravel(), "high": np.where(usable, high, np.nan).ravel(),
        "limit_of_detection": np.where(usable, limit_of_detection(n)[None, :], np.nan).ravel(), "flags": flags})


def _flags(selection: str, n: int, *, seen: bool) -> str:
    flags = [selection] if selection else []
    flags += [] if n else ["no_informative_cells"]
    flags += [] if seen else ["trb_not_seen"]
    return ";".join(flags)
