"""One look for all figures, readable for colour-blind readers and at small size, and the same bytes every time."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from matplotlib.transforms import Transform, offset_copy

from .._provenance import whole

INK, MUTED, REST, RULE = "#1b1f24", "#5b6470", "#c4c9d1", "#d8dee4"
# Okabe & Ito 2008 without the yellow, which vanishes on white; beyond seven series the marker changes as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4d4d4d")
MARKERS = ("o", "s", "D", "^", "P", "X")
CAR_COLOURS = {"pos": "#D55E00", "uncertain": "#E69F00", "unlikely": "#0072B2", "not assessed": REST}
CALL_COLOURS = {"malignant": "#D55E00", "suspicious": "#E69F00", "no_malignant_features": "#0072B2",
                "not_assessable": "#8a919c", "not assessed": REST}
POPULATION_COLOURS = {"malignant": "#D55E00", "CAR-T": "#009E73", "other_T": "#56B4E9", "other": "#CC79A7",
                      "doublet": "#1b1f24", "not_assessed": REST}
HYPOTHESES = {"car_p_negative": ("no cell", "#0072B2"), "car_p_mixed": ("some cells", "#E69F00"),
              "car_p_positive": ("all cells", "#D55E00")}

_RC: Any = {
    "font.family": ["DejaVu Sans", "sans-serif"], "font.size": 8.5, "axes.titlesize": 9.5, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.labelsize": 8.5, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "legend.fontsize": 8, "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "text.color": INK, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.linewidth": 0.8, "lines.linewidth": 1.4,
    "figure.facecolor": "white", "axes.facecolor": "white", "axes.axisbelow": True, "savefig.facecolor": "white",
    "svg.fonttype": "none", "svg.hashsalt": "sclineage", "pdf.fonttype": 42, "path.simplify": False,
    "axes.unicode_minus": True, "axes.prop_cycle": cycler(color=COLOURS), "figure.dpi": 100, "savefig.dpi": 200,
    "text.parse_math": False,  # a dollar sign in a sample's name is a dollar sign
}


@contextmanager
def look() -> Iterator[None]:
    """Draw and save with the package's style, whatever the user's own defaults are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def new_axes(*, width: float, height: float) -> Axes:
    """Axes of a new pyplot figure (inches), so that a notebook shows it."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def bare_axes(*, width: float, height: float) -> Axes:
    """Axes of a figure that pyplot does not know (inches): nothing to close, no global state."""
    with look():
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        return figure.add_subplot()


def plain_log(axis: Any, text: Callable[[float], str]) -> None:
    """Ticks of a log axis as plain text at the powers of ten only."""
    axis.set_major_formatter(lambda value, _: text(value))
    axis.set_minor_formatter(NullFormatter())


def named(text: str) -> str:
    """Legend label: matplotlib hides those that start with an underscore."""
    return f" {text}" if text.startswith("_") else text


def note(ax: Axes, text: str) -> None:
    """Write `text` in the middle of empty axes: missing data are said, not drawn as zero."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=MUTED)
    ax.set(xticks=[], yticks=[])


def figure_of(ax: Axes) -> Any:
    """Figure of the axes (Any: the stubs allow a sub-figure, which cannot be saved)."""
    return ax.figure


def moved(ax: Axes, transform: Transform, *, x: float = 0.0, y: float = 0.0) -> Transform:
    """Transform moved by points on the page, so that the data stay as they are."""
    return offset_copy(transform, figure_of(ax), x=x, y=y, units="points")


def settle(ax: Axes) -> None:
    """Lay the figure out until it stands still: axes with an inset beside them need more than one pass."""
    for _ in range(2 if ax.child_axes else 0):
        figure_of(ax).draw_without_rendering()


def legend_below(ax: Axes, *, columns: int = 3, gap: float = 32) -> None:
    """Legend `gap` points under the axes, so that narrow figures keep their width for data."""
    handles, names = ax.get_legend_handles_labels()
    if handles:
        below = moved(ax, ax.transAxes, y=-gap)
        ax.legend(handles, names, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below, ncols=columns,
                  handletextpad=0.4, columnspacing=1.2, borderaxespad=0)


def save(ax: Axes, path: str | os.PathLike[str]) -> None:
    """Write the figure of `ax` to a file, the same bytes every time.

    Parameters
    ----------
    ax
        Axes of the figure, as returned by the functions of ``sl.pl``.
    path
        Target; the suffix (svg, png, pdf) is the format. The file is written whole or not at all.
    """
    target = Path(path)
    with look(), whole(target) as part:
        settle(ax)
        fixed = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(target.suffix[1:].lower())
        figure_of(ax).savefig(part, format=target.suffix[1:].lower(), metadata=fixed)


def inline_svg(ax: Axes, *, prefix: str, label: str) -> str:
    """Figure of `ax` as an SVG element for an HTML page.

    Ids get `prefix`, since several figures share one page, and those that nothing refers to are dropped; so are
    declarations, metadata and namespaces, which HTML does not need: the page then holds no address at all.

    Parameters
    ----------
    ax
        Axes of the figure.
    prefix
        Unique on the page; letters, digits and hyphens.
    label
        What a screen reader says.
    """
    buffer = io.StringIO()
    with look():
        settle(ax)
        figure_of(ax).savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Type", "Format")))
    text = buffer.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text)
    text = text.replace("xlink:href=", "href=")
    used = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
    text = re.sub(r'\s+id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{_attribute(label)}"', 1).strip()


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
