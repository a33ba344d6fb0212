"""The UMAP of a patient, coloured by clone, CAR, malignancy or population. A map for orientation, never evidence."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes

from .._errors import InputError
from ..patient import access
from . import style
from .select import chosen, names
from .style import COLOURS, MUTED, REST

Colour = Literal["clone", "car", "malignant", "population"]
NAMED_CLONES = 5
_VECTOR = 1000  # more cells than this are drawn as pixels inside the figure
_COLUMN = {"clone": "clone_id", "car": "car_call", "malignant": "malignant_call", "population": "population"}
_PLAIN = {"pos": "CAR present", "uncertain": "CAR uncertain", "unlikely": "CAR unlikely",
          "no_malignant_features": "no features"}
_PALETTES = {"car": style.CAR_COLOURS, "malignant": style.CALL_COLOURS,
             "population": style.POPULATION_COLOURS}


def umap(mdata: Any, *, color: Colour = "clone", ax: Axes | None = None) -> Axes:
    """UMAP of the gene-expression modality, coloured by a result.

    Cells without a value are drawn first and in grey; rare classes lie on top of common ones.

    Parameters
    ----------
    mdata
        Processed patient with ``mdata["gex"].obsm["X_umap"]``.
    color
        ``clone`` (the five most important), ``car``, ``malignant`` or ``population``.
    ax
        Axes to draw into; a new figure by default.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        No embedding, an unknown `color`, or its column is missing.
    """
    if color not in _COLUMN:
        raise InputError("color", f"found {color!r}", f"use one of {', '.join(_COLUMN)}")
    gex = access.modality(mdata, "gex")
    if gex is None or "X_umap" not in gex.obsm:
        raise InputError("gex", "no obsm['X_umap']", "run sl.pp.embed, sl.pp.neighbors and sl.tl.umap first")
    if not access.has_column(mdata, _COLUMN[color]):
        raise InputError("obs", f"no column {_COLUMN[color]!r}", "run the step that makes it first")
    rows = mdata.obs_names.get_indexer(gex.obs_names)
    values = access.text(mdata, _COLUMN[color])[rows]
    groups = _clone_groups(mdata, values) if color == "clone" else _word_groups(values, _PALETTES[color])
    with style.look():
        ax = style.new_axes(width=3.6, height=3.9) if ax is None else ax
        _scatter(ax, np.asarray(gex.obsm["X_umap"], dtype=np.float64)[:, :2], groups)
    return ax


def _clone_groups(mdata: Any, values: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    ids = chosen(mdata, None, most=NAMED_CLONES)
    short = names(mdata)
    has = values != ""
    named = np.isin(values, ids)
    out = [("no clone", "#e6e9ed", ~has), ("other clones", "#aeb5bf", has & ~named)]
    return out + [(short[c], COLOURS[k % len(COLOURS)], values == c) for k, c in enumerate(ids)]


def _word_groups(values: np.ndarray, palette: dict[str, str]) -> list[tuple[str, str, np.ndarray]]:
    nothing = "not_assessed" if "not_assessed" in palette else "not assessed"
    words = np.where(values == "", nothing, values)
    rest = np.isin(words, [w for w in palette if w != nothing], invert=True)
    out = [(nothing, palette[nothing], rest)]
    return out + [(w, c, words == w) for w, c in palette.items() if w != nothing]


def _scatter(ax: Axes, xy: np.ndarray, groups: list[tuple[str, str, np.ndarray]]) -> None:
    size = float(np.clip(6000 / max(len(xy), 1), 1.5, 14))
    present = [g for g in groups if g[2].any()]
    rest, classes = [g for g in present if g[1] in (REST, "#e6e9ed", "#aeb5bf")], []
    classes = [g for g in present if not any(g is r for r in rest)]
    for layer, (name, colour, rows) in enumerate(rest + sorted(classes, key=lambda g: -int(g[2].sum()))):
        ax.scatter(xy[rows, 0], xy[rows, 1], s=size, c=colour, linewidths=0, alpha=0.85, zorder=1 + layer,
                   rasterized=len(xy) > _VECTOR, gid=f"cells-{layer}",
                   label=f"{style.named(_plain(name))} ({int(rows.sum()):,})")
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel("UMAP 1", color=MUTED)
    ax.set_ylabel("UMAP 2", color=MUTED)
    ax.set_box_aspect(1)
    ax.set_anchor("N")
    style.legend_below(ax, columns=2, gap=18)
    legend: Any = ax.get_legend()
    for handle in [] if legend is None else legend.legend_handles:
        handle.set_sizes([24])


def _plain(word: str) -> str:
    return _PLAIN.get(word, word.replace("_", " "))
