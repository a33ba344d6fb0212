"""Lines of evidence that a clone is malignant, in nats, with their caps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .._errors import InputError
from ..patient import access
from .select import chosen, numbers
from .style import INK, MUTED, look, new_axes, note

FOR, AGAINST = "#D55E00", "#0072B2"


def evidence_lines(mdata: Any, *, clone: str, ax: Axes | None = None) -> Axes:
    """Log-likelihood ratio of each line of evidence for the malignancy of one clone.

    Bars right of zero speak for malignancy. A tick marks the most that the line may count; a hatched bar has reached
    it. A line with no informative cell is named "not assessed", not drawn as zero.

    Parameters
    ----------
    mdata
        Processed patient with ``uns["sclineage"]["malignancy_lines"]``.
    clone
        Clone id.
    ax
        Axes to draw into; a new figure by default.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        No lines of evidence yet, or the clone does not exist.
    """
    [clone] = chosen(mdata, [clone], most=1)
    lines = access.store(mdata).get("malignancy_lines")
    if lines is None:
        raise InputError("uns", "no malignancy_lines", "run sl.tl.malignancy first")
    part = lines[lines["clone_id"].astype(str) == clone]
    with look():
        ax = new_axes(width=4.8, height=0.9 + 0.32 * max(len(part), 2)) if ax is None else ax
        if part.empty:
            note(ax, "not assessed")
            return ax
        _bars(ax, part)
    return ax


def _bars(ax: Axes, part: pd.DataFrame) -> None:
    llr, cap, n = (numbers(part, c) for c in ("llr", "cap", "n_informative"))
    known = np.isfinite(llr) & (n > 0)
    reached = part["capped"].astype("boolean").fillna(value=False).to_numpy(dtype=bool)
    y = np.arange(len(part), dtype=np.float64)
    for k in np.flatnonzero(known):
        ax.barh(y[k], llr[k], height=0.55, color=FOR if llr[k] > 0 else AGAINST, edgecolor="white", linewidth=0,
                hatch="////" if reached[k] else "", gid=f"line-{part['line'].iloc[k]}")
    limits = np.isfinite(cap) & known
    ax.plot(cap[limits], y[limits], linestyle="none", marker="|", markersize=11, markeredgewidth=1.6, color=INK,
            gid="caps")
    for k in np.flatnonzero(~known):
        ax.annotate("not assessed", (0, y[k]), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8,
                    color=MUTED)
    ax.axvline(0, color=INK, linewidth=0.9)
    names = [f"{str(w).replace('_', ' ')} (n = {int(m):,})" if m > 0 else str(w).replace("_", " ")
             for w, m in zip(part["line"], np.nan_to_num(n), strict=True)]
    ax.set_yticks(y, names)
    ax.tick_params(axis="y", length=0)
    ax.set(ylim=(len(part) - 0.5, -0.5), xlabel="against  <  log-likelihood ratio (nats)  >  for malignancy")
    ax.margins(x=0.08)
    if not known.any():
        ax.set_xlim(-1, 1)
    ax.grid(axis="x", color="#eceff2", linewidth=0.8)
