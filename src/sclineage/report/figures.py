"""Figures of the report as inline SVG, each with a caption that says what it shows; none where there are no data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from .. import plots
from ..patient import access
from ..plots import style
from ..plots.car import MOST_ROWS
from ..plots.copynumber import MOST as MOST_CLONES_BY_ARM
from ..plots.embedding import Colour
from .view import View

MOST_CLONES = 6  # clones with figures of their own


@dataclass(frozen=True, slots=True)
class Figure:
    """An inline SVG (safe to print), its caption, and its largest width in CSS pixels; panels stand side by side."""

    svg: Markup
    caption: str
    width: int
    panel: bool = False


def draw(plot: Callable[..., Axes], *, width: float, height: float, prefix: str, caption: str,
         panel: bool = False) -> Figure:
    """Draw into axes that no notebook shows, and return the figure; inches."""
    ax = plot(ax=style.bare_axes(width=width, height=height))
    return Figure(Markup(style.inline_svg(ax, prefix=prefix, label=caption)), caption, round(118 * width), panel)


def over_time(data: Any, view: View) -> Figure | None:
    """Clones over time."""
    if view.table("timeline") is None or view.clones is None:
        return None
    return draw(partial(plots.clone_timeline, data), width=6.0, height=3.5, prefix="time",
                caption="Share of informative T cells per sample, with exact 95 % intervals. A triangle marks the "
                        "limit of detection where no cell was seen. Open symbols: sorted samples.")


def car(data: Any, view: View) -> dict[str, Figure]:
    """CAR evidence per headline clone."""
    out: dict[str, Figure] = {}
    for k, clone in enumerate(_headline(view)):
        rows = view.of_clone("clone_car", clone)
        if rows is None or rows.empty:
            continue
        height = 1.25 + 0.36 * min(len(rows), MOST_ROWS)
        out[clone] = draw(partial(plots.car_evidence, data, clones=[clone]), width=6.4, height=height,
                          prefix=f"car{k}", caption=f"Clone {view.names[clone]}: CAR UMIs per informative cell, seen "
                          "(dot) and expected from background alone (blue) or if all members carried the CAR (red).")
    return out


def malignancy(data: Any, view: View) -> dict[str, Figure]:
    """Lines of evidence per headline clone."""
    out: dict[str, Figure] = {}
    for k, clone in enumerate(_headline(view)):
        n = 0 if view.lines is None else int((view.lines["clone_id"].astype(str) == clone).sum())
        if n:
            out[clone] = draw(partial(plots.evidence_lines, data, clone=clone), width=5.0,
                              height=0.95 + 0.3 * n, prefix=f"line{k}", caption=f"Clone {view.names[clone]}: lines of "
                              "evidence for malignancy; ticks are caps, hatched bars have reached theirs.")
    return out


def copy_number(data: Any, view: View) -> Figure | None:
    """Chromosome arms of the clones."""
    frame = view.table("clone_arms")
    if frame is None or frame.empty:
        return None
    rows = min(frame["clone_id"].nunique(), MOST_CLONES_BY_ARM)
    return draw(partial(plots.copy_number, data), width=6.6, height=1.1 + 0.24 * rows, prefix="arms",
                caption="Chromosome arms of the clones against matched T cells of the same samples: red more, blue "
                        "fewer counts; plus and minus mark arms called gained or lost.")


def maps(data: Any, view: View) -> list[Figure]:
    """The map of cells, by clone, CAR and malignancy."""
    if not view.has_umap:
        return []
    wanted: tuple[tuple[Colour, str, str], ...] = (
        ("clone", "clone_id", "Clones"), ("car", "car_call", "CAR, per cell"),
        ("malignant", "malignant_call", "Malignancy of the cell's clone"))
    return [draw(partial(plots.umap, data, color=color), width=3.5, height=4.0, prefix=f"map-{color}",
                 caption=title, panel=True)
            for color, column, title in wanted if (access.text(data, column) != "").any()]


def samples(data: Any, view: View) -> list[Figure]:
    """Quality of the samples, and CAR UMIs per cell."""
    out = []
    frame = view.table("samples")
    if frame is not None:
        out.append(draw(partial(plots.sample_qc, data), width=5.0, height=1.2 + 0.33 * max(len(frame), 2),
                        prefix="qc", caption="Receptors, CAR sensitivity and cells left out, per sample.", panel=True))
    if access.has_column(data, "car_umi") and access.column(data, "car_umi").notna().any():
        out.append(draw(partial(plots.car_umi_histogram, data), width=5.0, height=3.0, prefix="umi",
                        caption="Cells by number of CAR UMIs, per population.", panel=True))
    return out


def _headline(view: View) -> list[str]:
    return [] if view.headline is None else [str(c) for c in view.headline["clone_id"].head(MOST_CLONES)]
