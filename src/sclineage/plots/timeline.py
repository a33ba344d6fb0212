"""Clones over time: exact intervals where a clone was seen, the limit of detection where it was not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .select import chosen, names, needed, numbers
from .style import COLOURS, INK, MARKERS, MUTED, legend_below, look, moved, named, new_axes, note, plain_log

MOST = 5  # by default; more lines than this are hard to tell apart
STRETCH = 30.0  # days around the infusion that are drawn to scale when the follow-up is long
_TICKS = (-1825, -730, -365, -180, -90, -30, -14, 0, 14, 30, 90, 180, 365, 730, 1825, 3650)


def clone_timeline(mdata: Any, *, clones: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Frequency of clones per day, on a log axis.

    A point is ``n_clone / n_informative`` of one sample with its two-sided 95 % Clopper-Pearson interval. Where no cell
    was seen among n, a triangle points down from the limit of detection, 1 - 0.05^(1/n): the frequency is below it, not
    zero. Samples with no informative cell are not drawn. Open symbols are sorted samples: a share of the sort, which no
    line joins. Samples whose day is unknown stand right of the dotted line. Symbols of several clones on one day are
    moved apart by a few points; their data are not. When the follow-up is longer than 90 days, the day axis is
    logarithmic beyond 30 days.

    Parameters
    ----------
    mdata
        Processed patient with the table ``timeline``.
    clones
        Clone ids; default: malignant, suspicious and focus clones first, then the largest, at most five.
    ax
        Axes to draw into; a new figure by default.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        No timeline yet, or a clone that does not exist.
    """
    frame = needed(mdata, "timeline", step="sl.tl.timeline")
    ids = chosen(mdata, clones, most=MOST)
    with look():
        ax = new_axes(width=5.6, height=3.4) if ax is None else ax
        part = frame[frame["clone_id"].isin(ids) & (numbers(frame, "n_informative") > 0)]
        if part.empty:
            note(ax, "not assessed: no sample with informative cells")
            return ax
        place, unknown = _days(part)
        short = names(mdata)
        for k, clone in enumerate(ids):
            rows = part["clone_id"].to_numpy() == clone
            _line(ax, part[rows], place[rows], name=short[clone], k=k, shift=4.0 * (k - (len(ids) - 1) / 2))
        _finish(ax, part, place, unknown)
    return ax


def _days(part: pd.DataFrame) -> tuple[np.ndarray, float | None]:
    """Position of each row in days, and where samples of unknown day stand (None: there is none)."""
    day = numbers(part, "day")
    missing = np.isnan(day)
    if not missing.any():
        return day, None
    low, high = (np.nanmin(day), max(np.nanmax(day), 0.0)) if not missing.all() else (0.0, 0.0)
    where = float(high + max(0.15 * (high - min(low, 0.0)), 5.0))
    return np.where(missing, where, day), where


def _line(ax: Axes, rows: pd.DataFrame, x: np.ndarray, *, name: str, k: int, shift: float) -> None:
    colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
    seen = numbers(rows, "n_clone") > 0
    y, low, high = (numbers(rows, c) for c in ("frequency", "low", "high"))
    limit = numbers(rows, "limit_of_detection")
    sorted_cells = rows["flags"].astype(str).str.split(";").map(lambda w: "selected" in w).to_numpy(dtype=bool)
    place = moved(ax, ax.transData, x=shift)
    joined = np.flatnonzero(seen & ~sorted_cells)
    joined = joined[np.argsort(x[joined], kind="stable")]
    ax.plot(x[joined], y[joined], color=colour, alpha=0.35, linewidth=1, zorder=1, transform=place)
    ax.errorbar(x[seen], y[seen], yerr=np.vstack([y - low, high - y])[:, seen], fmt="none", ecolor=colour,
                elinewidth=1.2, capsize=2.5, zorder=2, transform=place)
    for kind, face in ((~sorted_cells, colour), (sorted_cells, "white")):
        style: Any = {"linestyle": "none", "color": colour, "markerfacecolor": face, "zorder": 3, "transform": place}
        ax.plot(x[seen & kind], y[seen & kind], marker=marker, markersize=5.5, gid=f"seen-{k}", **style)
        ax.plot(x[~seen & kind], limit[~seen & kind], marker="v", markersize=7, gid=f"limit-{k}", **style)
    ax.plot([], [], marker=marker, markersize=5.5, color=colour, linewidth=1, label=named(name))


def _finish(ax: Axes, part: pd.DataFrame, place: np.ndarray, unknown: float | None) -> None:
    seen = numbers(part, "n_clone") > 0
    limit = numbers(part, "limit_of_detection")
    # symbols are moved by an offset transform, which matplotlib leaves out of the data limits
    ax.set(yscale="log", ylim=(0.6 * float(np.where(seen, numbers(part, "low"), limit).min()),
                               min(1.7 * float(np.where(seen, numbers(part, "high"), limit).max()), 1.3)))
    plain_log(ax.yaxis, lambda value: f"{100 * value:g} %")
    ax.axvline(0, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    ax.annotate("infusion", (0, 1), xycoords=("data", "axes fraction"), xytext=(3, -2), textcoords="offset points",
                va="top", color=MUTED, fontsize=8)
    if unknown is not None:
        edge = (unknown + max(float(np.max(place[place < unknown], initial=0.0)), 0.0)) / 2
        ax.axvline(edge, color=MUTED, linewidth=0.8, linestyle=":", zorder=0)
        ax.annotate("day unknown", (unknown, 1), xycoords=("data", "axes fraction"), xytext=(0, -12),
                    textcoords="offset points", ha="center", va="top", color=MUTED, fontsize=8)
    _day_axis(ax, place)
    ax.set_ylabel("share of informative T cells")
    ax.grid(axis="y", color="#eceff2", linewidth=0.8)
    ax.plot([], [], linestyle="none", marker="v", markersize=7, color=MUTED, label="none seen: below this (95 %)")
    legend_below(ax)


def _day_axis(ax: Axes, place: np.ndarray) -> None:
    low, high = min(float(place.min()), 0.0), max(float(place.max()), 0.0)
    if max(-low, high) <= 3 * STRETCH:
        pad = 0.08 * max(high - low, 5.0)
        ax.set(xlabel="days from the infusion", xlim=(low - pad, high + pad))
        return
    low, high = min(low, -STRETCH / 2), max(high, STRETCH / 2)
    ax.set_xscale("symlog", linthresh=STRETCH, linscale=1.0)
    ticks = [t for t in _TICKS if low <= t <= high]
    ax.set_xticks(ticks, [f"{t:d}".replace("-", "\u2212") for t in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlim(1.4 * low, 1.4 * high)
    ax.set_xlabel("days from the infusion (log scale beyond 30)")
