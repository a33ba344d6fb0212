"""What the figures and the report show: the assembled clones, their order, and short names for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .._errors import InputError, nearest
from .._schema import TABLES, conform
from ..patient import access

LARGEST = 20  # clones shown for their size alone
_PARTS = ("receptors", "malignancy", "car_clones", "origin")


def values(column: pd.Series) -> np.ndarray:
    """Column as float64 with NaN where missing (tables hold nullable integers, files may hold objects)."""
    return pd.to_numeric(column.astype(object).where(column.notna(), np.nan)).to_numpy(dtype=np.float64)


def numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Column `name` of a table, as `values`."""
    return values(frame[name])


def needed(data: Any, name: str, *, step: str) -> pd.DataFrame:
    """Table `name`, or an error that says which step makes it."""
    found = access.table(data, name)
    if found is None:
        known = access.store(data).get("tables", {})
        raise InputError("uns", f"no table {name!r} (there are: {', '.join(sorted(known)) or 'none'})",
                         f"run {step} first")
    return found


def clone_frame(data: Any) -> pd.DataFrame | None:
    """Table ``clones``, or the stages' own tables put together while the pipeline is under way; None without any."""
    ready = access.table(data, "clones")
    if ready is not None:
        return conform(ready, "clones")
    out: pd.DataFrame | None = None
    for part in _PARTS:
        frame = access.table(data, part)
        if frame is not None:
            frame = frame.drop(columns=["car_flags"], errors="ignore") if out is not None else frame
            out = frame if out is None else out.merge(frame, on=["patient", "clone_id"], how="outer")
    if out is None:
        return None
    names = [c.name for c in TABLES["clones"]]
    return conform(out.reindex(columns=names), "clones")


def focus(data: Any, clones: pd.DataFrame) -> list[str]:
    """Clones that the user asked about: ``uns["sclineage"]["focus"]`` and the flag ``focus``."""
    asked = set(map(str, access.store(data).get("focus", [])))
    flagged = clones["flags"].astype(str).str.split(";").map(lambda words: "focus" in words)
    return [c for c, f in zip(clones["clone_id"], flagged, strict=True) if f or c in asked]


def ranked(data: Any) -> pd.DataFrame | None:
    """All clones: malignant, suspicious, asked for, then by size; ties by id. Column ``shown_for`` says why."""
    clones = clone_frame(data)
    if clones is None:
        return None
    asked = set(focus(data, clones))
    call = clones["malignant_call"].astype(str)
    why = np.select([call == "malignant", call == "suspicious", clones["clone_id"].isin(asked)],
                    ["malignant", "suspicious", "focus"], default="size").astype(object)
    order = pd.Series(why).map({"malignant": 0, "suspicious": 1, "focus": 2, "size": 3}).to_numpy()
    p = np.where(order < 2, np.nan_to_num(numbers(clones, "malignant_p")), 0.0)
    size = np.nan_to_num(numbers(clones, "n_cells"))
    by = pd.DataFrame({"order": order, "p": -p, "size": -size, "id": clones["clone_id"].astype(str).to_numpy()})
    place = by.sort_values(["order", "p", "size", "id"], kind="stable").index
    return clones.assign(shown_for=why).iloc[place].reset_index(drop=True)


def shown(data: Any, *, largest: int = LARGEST) -> pd.DataFrame | None:
    """Clones worth a row: malignant, suspicious, focus, and the `largest` of all; in the order of `ranked`."""
    clones = ranked(data)
    if clones is None:
        return None
    by_size = pd.DataFrame({"size": -np.nan_to_num(numbers(clones, "n_cells")), "id": clones["clone_id"].astype(str)})
    big = set(by_size.sort_values(["size", "id"], kind="stable").index[:largest])
    keep = (clones["shown_for"] != "size") | pd.Series(clones.index.isin(big), index=clones.index)
    return clones[keep].reset_index(drop=True)


def headline(data: Any, *, most: int = 12) -> pd.DataFrame | None:
    """Clones that the report speaks about: malignant, suspicious and focus clones; without any, the largest clone."""
    clones = ranked(data)
    if clones is None or clones.empty:
        return clones
    found = clones[clones["shown_for"] != "size"]
    return (found if len(found) else clones).head(most if len(found) else 1).reset_index(drop=True)


def chosen(data: Any, clones: Sequence[str] | None, *, most: int) -> list[str]:
    """Clone ids to draw: those given (all must exist), else the first `most` of `shown`."""
    frame = ranked(data)
    known = [] if frame is None else list(frame["clone_id"].astype(str))
    if clones is None:
        return known[:most]
    ids = [clones] if isinstance(clones, str) else list(map(str, clones))
    for c in ids:
        if c not in known:
            raise InputError("clones", f"{c!r} is not a clone of this patient", nearest(c, known))
    return ids


def names(data: Any) -> dict[str, str]:
    """Short name of every clone of the patient, the same in all figures and in the report."""
    clones = clone_frame(data)
    return short_names([] if clones is None else clones["clone_id"])


def short_names(ids: Iterable[str]) -> dict[str, str]:
    """Short, still unique names: without the shared start, cut to 8 letters where these tell it from all others."""
    full = list(map(str, ids))
    start = _shared_start(full)
    rest = [c[start:] for c in full]
    starts = pd.Series([r[:8] for r in dict.fromkeys(rest)]).value_counts()
    return {c: r[:8] if starts[r[:8]] == 1 else r for c, r in zip(full, rest, strict=True)}


def _shared_start(ids: Sequence[str]) -> int:
    if len(ids) < 2:
        first = ids[0] if ids else ""
        cut = max((first.rfind(s) for s in ":_-|"), default=-1) + 1
        return cut if cut < len(first) else 0
    low, high = min(ids), max(ids)
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return max((low[:same].rfind(s) for s in ":_-|"), default=-1) + 1
