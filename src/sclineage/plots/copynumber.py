"""Copy number: one row per clone, one column per chromosome arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .select import chosen, names, needed, numbers
from .style import INK, REST, look, new_axes, note

MOST = 15
LIMIT = 0.7  # of the colours: log(1/2), one copy of two lost


def copy_number(mdata: Any, *, clones: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Shift of every chromosome arm of the clones against their matched T cells.

    Blue arms have fewer counts than expected, red ones more; a plus or minus marks those called gained or lost (more
    than four standard errors). Grey arms could not be compared. Clones of fewer than five cells, or without a matched
    reference, have no row.

    Parameters
    ----------
    mdata
        Processed patient with the table ``clone_arms``.
    clones
        Clone ids; default: malignant, suspicious and focus clones first, then the largest, at most fifteen.
    ax
        Axes to draw into; a new figure by default.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        No arm test yet, or a clone that does not exist.
    """
    frame = needed(mdata, "clone_arms", step="sl.tl.malignancy")
    known = set(frame["clone_id"].astype(str))
    ids = [c for c in chosen(mdata, clones, most=MOST if clones is None else len(clones)) if c in known]
    with look():
        ax = new_axes(width=6.4, height=0.9 + 0.24 * max(len(ids), 2)) if ax is None else ax
        if not ids:
            note(ax, "copy number not assessed")
            return ax
        _cells(ax, frame[frame["clone_id"].isin(ids)], ids, names(mdata))
    return ax


def _cells(ax: Axes, part: pd.DataFrame, ids: list[str], short: dict[str, str]) -> None:
    arms = list(dict.fromkeys(part["arm"].astype(str)))
    arms.sort(key=lambda a: (int(a[:-1]), a[-1]))
    row, column = part["clone_id"].map(ids.index).to_numpy(), part["arm"].map(arms.index).to_numpy()
    shift = np.full((len(ids), len(arms)), np.nan)
    shift[row, column] = numbers(part, "shift")
    ax.set_facecolor(REST)
    drawn = ax.imshow(shift, cmap="RdBu_r", vmin=-LIMIT, vmax=LIMIT, aspect="auto", interpolation="nearest")
    called = numbers(part, "called")
    for side, sign in ((1, "+"), (-1, "\N{MINUS SIGN}")):
        for r, c in zip(row[called == side], column[called == side], strict=True):
            ax.text(c, r, sign, ha="center", va="center", color=INK, fontsize=9, gid="called")
    ax.set_xticks(range(len(arms)), arms, rotation=90, fontsize=7)
    ax.set_yticks(range(len(ids)), [short[c] for c in ids])
    ax.tick_params(length=0)
    bar = ax.inset_axes((1.015, 0.0, 0.015, 1.0))
    ax.figure.colorbar(drawn, cax=bar, label="log shift")
