"""CAR evidence of clones: what was seen, against what background alone and a clonal CAR would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .._errors import InputError
from ..patient import access
from .select import chosen, names, needed, numbers, values
from .style import HYPOTHESES, INK, MUTED, POPULATION_COLOURS, REST, legend_below, look, new_axes, note, plain_log

MOST = 3  # clones by default; each has a row per specimen, selection and population
MOST_ROWS = 24
_BINS = ("0", "1", "2", "3", "4", "5-9", "10-19", "20+")
_EDGES = np.array([1, 2, 3, 4, 5, 10, 20])


def car_evidence(mdata: Any, *, clones: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """CAR UMIs per informative cell, observed and expected, one row per clone, specimen, selection and population.

    The bar of each row runs from what background and doublets alone would give to what a clone of which all members
    carry the CAR would give; the dot is what was seen. Without any CAR UMI a triangle stands at 1/n: less than one UMI
    in n cells. The strip on the right holds the posterior: none, some, or all of the assessed cells carry the CAR.

    Parameters
    ----------
    mdata
        Processed patient with the table ``clone_car``.
    clones
        Clone ids; default: malignant, suspicious and focus clones first, then the largest, at most three.
    ax
        Axes to draw into; a new figure by default. The posterior is drawn in an inset of it.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        No CAR evidence yet, or a clone that does not exist.
    """
    frame = needed(mdata, "clone_car", step="sl.tl.car_status")
    ids = chosen(mdata, clones, most=MOST)
    order = {c: k for k, c in enumerate(ids)}
    part = frame[frame["clone_id"].isin(ids)]
    part = part.iloc[np.argsort(part["clone_id"].map(order).to_numpy(), kind="stable")].head(MOST_ROWS)
    with look():
        ax = new_axes(width=6.4, height=1.3 + 0.34 * max(len(part), 1)) if ax is None else ax
        if part.empty:
            note(ax, "not assessed: no CAR counts for these clones")
            return ax
        short = names(mdata)
        labels = [_row_label(short[str(r["clone_id"])], r, single=len(ids) == 1) for _, r in part.iterrows()]
        _observed(ax, part, labels)
        _posterior(ax, part)
    return ax


def _row_label(name: str, row: pd.Series, *, single: bool) -> str:
    members = {"all": "all members", "malignant": "malignant members", "other": "other members"}
    words = [] if single else [name]
    words += [_short(str(row["specimen"])), members.get(str(row["population"]), str(row["population"]))]
    if str(row["selection"]) not in ("none", ""):
        words.insert(-1, "sort unknown" if row["selection"] == "unknown" else f"sorted {row['selection']}")
    n = row["n_informative"]
    seen = f"{row['n_with_car']:,} of {n:,} cells with CAR" if pd.notna(n) and n > 0 else "no informative cell"
    return " · ".join(words) + f"\n{seen}"


def _short(text: str, most: int = 20) -> str:
    return text if len(text) <= most else text[:most - 1] + "\u2026"


def _observed(ax: Axes, part: pd.DataFrame, labels: list[str]) -> None:
    n, umi = numbers(part, "n_informative"), numbers(part, "umi")
    negative, positive = numbers(part, "expected_if_negative"), numbers(part, "expected_if_positive")
    y, cells = np.arange(len(part), dtype=np.float64), np.where(n > 0, n, np.nan)
    seen = umi > 0
    value = np.where(seen, umi, 1.0) / cells
    drawn = np.concatenate([v[np.isfinite(v) & (v > 0)] for v in (value, negative / cells, positive / cells)])
    floor = 0.5 * float(drawn.min()) if len(drawn) else 1e-3
    low = np.maximum(negative / cells, floor)
    ax.hlines(y, low, positive / cells, color=REST, linewidth=3, zorder=1)
    tick: Any = {"linestyle": "none", "marker": "|", "markersize": 12, "markeredgewidth": 2, "zorder": 2}
    ax.plot(low, y, color=HYPOTHESES["car_p_negative"][1], label="expected, no CAR", gid="expected-negative", **tick)
    ax.plot(positive / cells, y, color=HYPOTHESES["car_p_positive"][1], label="expected, all carry it",
            gid="expected-positive", **tick)
    ax.plot(value[seen], y[seen], linestyle="none", marker="o", markersize=6, color=INK, label="observed",
            gid="observed", zorder=3)
    none = ~seen & np.isfinite(value)
    if none.any():
        ax.plot(value[none], y[none], linestyle="none", marker="<", markersize=7, color=INK, markerfacecolor="white",
                label="none seen: below 1/n", gid="observed-none", zorder=3)
    ax.set(xscale="log", ylim=(len(part) - 0.5, -0.5), xlabel="CAR UMIs per informative cell")
    ax.set_yticks(y, labels)
    ax.tick_params(axis="y", length=0)
    plain_log(ax.xaxis, lambda v: f"{v:g}")
    ax.grid(axis="x", color="#eceff2", linewidth=0.8)


def _posterior(ax: Axes, part: pd.DataFrame) -> None:
    strip = ax.inset_axes((1.04, 0, 0.3, 1), sharey=ax)
    y, left = np.arange(len(part), dtype=np.float64), np.zeros(len(part))
    known = np.isfinite(numbers(part, "car_p_negative"))
    for column, (name, colour) in HYPOTHESES.items():
        width = np.where(known, np.nan_to_num(numbers(part, column)), 0.0)
        strip.barh(y, width, left=left, height=0.5, color=colour, label=name, gid=column)
        left = left + width
    for k in np.flatnonzero(~known):
        strip.text(0.02, float(k), "not assessed", va="center", fontsize=7.5, color=MUTED)
    strip.set(xlim=(0, 1), xticks=[0, 1], xlabel="posterior")
    strip.tick_params(axis="y", left=False, labelleft=False)
    strip.spines["left"].set_visible(False)
    strip.legend(loc="lower left", bbox_to_anchor=(-0.06, 1.0), handlelength=0.8, handleheight=0.8, handletextpad=0.4,
                 labelspacing=0.2, borderaxespad=0.2)
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, handletextpad=0.4, columnspacing=1.2,
              handlelength=1.2, borderaxespad=0.2)


def car_umi_histogram(mdata: Any, *, ax: Axes | None = None) -> Axes:
    """Cells by number of CAR UMIs and population, on a log axis; cells in which the CAR was not assessed are left out.

    Parameters
    ----------
    mdata
        Processed patient with the per-cell column ``car_umi``.
    ax
        Axes to draw into; a new figure by default.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        No column ``car_umi``.
    """
    if not access.has_column(mdata, "car_umi"):
        raise InputError("obs", "no column 'car_umi'", "run sl.tl.car_status first")
    umi = values(access.column(mdata, "car_umi"))
    population = access.text(mdata, "population", default="not_assessed")
    with look():
        ax = new_axes(width=5.6, height=3.2) if ax is None else ax
        known = np.isfinite(umi)
        if not known.any():
            note(ax, "not assessed: no CAR counts")
            return ax
        present = [p for p in POPULATION_COLOURS if (population[known] == p).any()]
        for k, name in enumerate(present):
            counts = np.bincount(np.searchsorted(_EDGES, umi[known & (population == name)], side="right"),
                                 minlength=len(_BINS))
            width = 0.84 / len(present)
            x = np.arange(len(_BINS)) + (k - (len(present) - 1) / 2) * width
            ax.bar(x, counts, width=width, color=POPULATION_COLOURS[name], edgecolor="white", linewidth=0.4,
                   label=name.replace("_", " "), gid=f"umi-{name}")
        ax.set(yscale="log", xlabel="CAR UMIs in the cell", ylabel="cells", ylim=(0.5, None))
        ax.set_xticks(np.arange(len(_BINS)), _BINS)
        plain_log(ax.yaxis, lambda v: f"{v:,.0f}")
        if (~known).any():
            ax.set_title(f"{int((~known).sum()):,} cells not assessed", fontsize=8, color=MUTED, fontweight="normal")
        legend_below(ax)
    return ax
