"""What each sample could have shown: receptors, CAR sensitivity, cells left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..patient import access
from .select import needed, numbers
from .style import COLOURS, legend_below, look, new_axes, note

_SERIES = (("with_receptor", "with T-cell receptor", "o", COLOURS[0]),
           ("car_sensitivity", "true CAR+ cell shows >= 1 CAR UMI", "D", COLOURS[1]),
           ("excluded", "left out of clone statistics", "s", COLOURS[6]))


def sample_qc(mdata: Any, *, ax: Axes | None = None) -> Axes:
    """Shares per sample: cells with a receptor, CAR sensitivity, cells left out; the number of cells in the label.

    What was not assessed in a sample has no symbol; where the CAR sensitivity is unknown, the label says so.

    Parameters
    ----------
    mdata
        Processed patient with the table ``samples``.
    ax
        Axes to draw into; a new figure by default.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        No table of samples yet.
    """
    frame = needed(mdata, "samples", step="sl.run, or the steps of sl.tl")
    frame = frame.sort_values(["day", "sample"], kind="stable", na_position="last", ignore_index=True)
    with look():
        ax = new_axes(width=5.6, height=1.1 + 0.34 * max(len(frame), 2)) if ax is None else ax
        if frame.empty:
            note(ax, "no samples")
            return ax
        shares = _shares(mdata, frame)
        y = np.arange(len(frame), dtype=np.float64)
        for key, label, marker, colour in _SERIES:
            known = np.isfinite(shares[key])
            if known.any():
                ax.plot(100 * shares[key][known], y[known], linestyle="none", marker=marker, markersize=6,
                        color=colour, label=label, gid=key, clip_on=False)
        ax.set_yticks(y, _labels(frame, shares))
        ax.set(xlim=(0, 100), ylim=(len(frame) - 0.5, -0.5), xlabel="% of cells")
        ax.tick_params(axis="y", length=0)
        ax.grid(color="#eceff2", linewidth=0.8)
        legend_below(ax, columns=1)
    return ax


def _shares(mdata: Any, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    n = numbers(frame, "n_cells")
    n = np.where(n > 0, n, np.nan)
    out = {"with_receptor": numbers(frame, "n_with_receptor") / n, "car_sensitivity": numbers(frame, "car_sensitivity"),
           "excluded": np.full(len(frame), np.nan)}
    if access.has_column(mdata, "excluded_reason"):
        left_out = access.text(mdata, "excluded_reason") != ""
        counts = pd.Series(access.text(mdata, "sample")[left_out]).value_counts()
        out["excluded"] = frame["sample"].map(counts).fillna(0).to_numpy(dtype=np.float64) / n
    return out


def _labels(frame: pd.DataFrame, shares: dict[str, np.ndarray]) -> list[str]:
    out = []
    for k, (name, n) in enumerate(zip(frame["sample"], frame["n_cells"], strict=True)):
        cells = "" if pd.isna(n) else f" ({int(n):,} cells)"
        known = np.isfinite(shares["car_sensitivity"][k])
        out.append(f"{name}{cells}" + ("" if known else "\nCAR sensitivity unknown"))
    return out
