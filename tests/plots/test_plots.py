"""Figures draw what they say: artists hold the numbers of the tables, and missing data are said, not drawn as zero."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from sclineage import plots as pl
from sclineage._errors import InputError
from sclineage.patient import access
from sclineage.plots import select, style
from tests.report import builders as b

mpl.use("agg")


@pytest.fixture(scope="module")
def full() -> Any:
    return b.patient()


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    yield
    plt.close("all")


def lines(ax: Axes, gid: str) -> np.ndarray:
    """Points of all lines with this gid, shape (n, 2)."""
    return np.vstack([np.column_stack(line.get_data()) for line in ax.lines if line.get_gid() == gid]).astype(float)


def texts(ax: Axes) -> str:
    return " ".join(t.get_text() for t in ax.findobj(mpl.text.Text))


DRAW = {
    "timeline": lambda d, ax=None: pl.clone_timeline(d, ax=ax), "car": lambda d, ax=None: pl.car_evidence(d, ax=ax),
    "umap": lambda d, ax=None: pl.umap(d, color="population", ax=ax), "qc": lambda d, ax=None: pl.sample_qc(d, ax=ax),
    "umi": lambda d, ax=None: pl.car_umi_histogram(d, ax=ax),
    "lines": lambda d, ax=None: pl.evidence_lines(d, clone=b.MALIGNANT, ax=ax)}


@pytest.mark.parametrize("name", DRAW)
def test_plots_take_and_return_axes(full: Any, name: str) -> None:
    before = dict(mpl.rcParams)
    made = DRAW[name](full)
    assert isinstance(made, Axes)
    _, ax = plt.subplots()
    assert DRAW[name](full, ax) is ax
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(("name", "suffix"), [*((name, "svg") for name in DRAW), ("umap", "png"), ("timeline", "pdf")])
def test_saved_figures_are_the_same_bytes(full: Any, tmp_path: Path, name: str, suffix: str) -> None:
    for k in range(2):
        pl.save(DRAW[name](full), tmp_path / f"{k}.{suffix}")
    assert (tmp_path / f"0.{suffix}").read_bytes() == (tmp_path / f"1.{suffix}").read_bytes()


# --- timeline --------------------------------------------------------------------------------------------------------
def test_timeline_draws_shares_intervals_and_limits(full: Any) -> None:
    ax = pl.clone_timeline(full, clones=[b.MALIGNANT])
    assert ax.get_yscale() == "log"
    assert lines(ax, "seen-0") == pytest.approx(np.array([[-35, 2 / 87], [412, 590 / 757]]))
    limits = lines(ax, "limit-0")
    assert limits[limits[:, 0].argsort()] == pytest.approx(
        np.array([[-1, 1 - 0.05 ** (1 / 147)], [30, 1 - 0.05 ** (1 / 199)]]))
    bars = np.vstack([s for c in ax.containers for s in c[2][0].get_segments()])
    table = access.table(full, "timeline")
    row = table[(table["clone_id"] == b.MALIGNANT) & (table["day"] == 412)].iloc[0]
    assert bars[bars[:, 0] == 412, 1] == pytest.approx([row["low"], row["high"]])
    low, high = ax.get_ylim()
    assert low < bars[:, 1].min()
    assert high > bars[:, 1].max()


def test_timeline_marks_the_limit_downwards_and_sorted_samples_open(full: Any) -> None:
    ax = pl.clone_timeline(full, clones=[b.MALIGNANT])
    marks = [line for line in ax.lines if line.get_gid() == "limit-0" and len(line.get_xdata())]
    assert {m.get_marker() for m in marks} == {"v"}
    faces = {float(m.get_xdata()[0]): m.get_markerfacecolor() for m in marks}
    assert faces[-1.0] == "white"
    assert faces[30.0] != "white"
    joined = [line for line in ax.lines if line.get_alpha() == 0.35]
    assert [line.get_xdata().tolist() for line in joined] == [[-35.0, 412.0]]


def test_timeline_shows_the_infusion_and_unknown_days(full: Any) -> None:
    data = b.patient("no_gex")
    frame = access.table(data, "timeline")
    frame.loc[frame["day"] == 30, "day"] = np.nan
    frame.loc[frame["day"] == -1, ["n_informative", "n_clone"]] = 0
    ax = pl.clone_timeline(data, clones=[b.MALIGNANT])
    assert "infusion" in texts(ax)
    assert "day unknown" in texts(ax)
    limits = lines(ax, "limit-0")
    assert len(limits) == 1
    assert limits[0, 0] > 412
    assert "day unknown" not in texts(pl.clone_timeline(full, clones=[b.MALIGNANT]))


def test_timeline_without_informative_cells_says_so() -> None:
    data = b.patient("no_gex")
    access.table(data, "timeline")["n_informative"] = 0
    assert "not assessed" in texts(pl.clone_timeline(data))


# --- CAR -------------------------------------------------------------------------------------------------------------
def test_car_evidence_draws_observed_and_expected(full: Any) -> None:
    ax = pl.car_evidence(full, clones=[b.MALIGNANT])
    assert ax.get_xscale() == "log"
    assert lines(ax, "observed") == pytest.approx(np.array([[1 / 590, 1], [1 / 571, 2]]))
    assert lines(ax, "observed-none") == pytest.approx(np.array([[1 / 2, 0], [1 / 19, 3]]))
    assert lines(ax, "expected-positive")[:, 0] == pytest.approx([2.6 / 2, 810 / 590, 790 / 571, 25 / 19])
    assert lines(ax, "expected-negative")[1, 0] == pytest.approx(0.9 / 590)
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels[1] == "biopsy · all members\n1 of 590 cells with CAR"
    [strip] = ax.child_axes
    widths = {p.get_gid(): [] for p in strip.patches}
    for patch in strip.patches:
        widths[patch.get_gid()].append(patch.get_width())
    assert np.sum([widths[k] for k in style.HYPOTHESES], axis=0) == pytest.approx(1.0, abs=0.01)
    assert widths["car_p_negative"][1] == pytest.approx(0.9991)


def test_car_evidence_says_what_was_not_assessed() -> None:
    ax = pl.car_evidence(b.patient("indeterminate"), clones=[b.MALIGNANT])
    assert texts(ax).count("not assessed") == 4
    assert "no informative cell" in texts(ax)
    for gid in ("observed", "observed-none"):
        points = [line for line in ax.lines if line.get_gid() == gid]
        assert all(np.isnan(np.asarray(p.get_xdata(), float)).all() for p in points)


def test_umi_histogram_counts_cells(full: Any) -> None:
    ax = pl.car_umi_histogram(full)
    umi = pd.to_numeric(access.column(full, "car_umi")).to_numpy()
    population = access.text(full, "population")
    bars = [p.get_height() for p in ax.patches if p.get_gid() == "umi-CAR-T"]
    mine = umi[population == "CAR-T"]
    assert bars == [*((mine == k).sum() for k in range(5)), ((mine >= 5) & (mine < 10)).sum(),
                    ((mine >= 10) & (mine < 20)).sum(), (mine >= 20).sum()]


def test_umi_histogram_leaves_out_cells_that_were_not_assessed() -> None:
    data = b.patient("no_gex")
    umi = pd.to_numeric(access.column(data, "car_umi")).to_numpy().copy()
    umi[:100] = np.nan
    access.put(data, {"car_umi": umi})
    ax = pl.car_umi_histogram(data)
    assert sum(p.get_height() for p in ax.patches) == data.n_obs - 100
    assert "100 cells not assessed" in texts(ax)
    access.put(data, {"car_umi": np.full(data.n_obs, np.nan)})
    assert "not assessed" in texts(pl.car_umi_histogram(data))


# --- map, samples, lines ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("color", "n_groups"), [("clone", 7), ("car", 3), ("malignant", 4), ("population", 3)])
def test_umap_draws_every_cell_once(full: Any, color: Any, n_groups: int) -> None:
    ax = pl.umap(full, color=color)
    points = np.vstack([np.asarray(c.get_offsets()) for c in ax.collections])
    assert len(ax.collections) == n_groups
    assert len(points) == full.n_obs
    assert np.sort(points, axis=0) == pytest.approx(np.sort(full["gex"].obsm["X_umap"], axis=0))


def test_umap_puts_rare_classes_on_top_of_grey_and_common_ones(full: Any) -> None:
    ax = pl.umap(full, color="car")
    order = sorted(ax.collections, key=lambda c: c.get_zorder())
    assert [len(c.get_offsets()) for c in order] == sorted((len(c.get_offsets()) for c in order), reverse=True)
    colours = [tuple(c.get_facecolor()[0][:3]) for c in order]
    assert colours[0] == to_rgba(style.CAR_COLOURS["unlikely"])[:3]


def test_sample_qc_draws_shares_and_names_what_is_missing(full: Any) -> None:
    ax = pl.sample_qc(full)
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels[0] == "apheresis (127 cells)\nCAR sensitivity unknown"
    assert labels[-1] == "biopsy_b (399 cells)"
    assert lines(ax, "car_sensitivity") == pytest.approx(np.array([[71, 1], [66, 2], [62, 3], [60, 4]]))
    assert lines(ax, "with_receptor")[0] == pytest.approx([100 * 87 / 127, 0])


def test_evidence_lines_draw_nats_and_caps(full: Any) -> None:
    ax = pl.evidence_lines(full, clone=b.MALIGNANT)
    bars = {p.get_gid(): p for p in ax.patches if p.get_gid()}
    assert {k: round(p.get_width(), 2) for k, p in bars.items()} == {
        "line-dominance": 1.5, "line-phenotype": 2.5, "line-cycling": 0.6, "line-virus": 0.8,
        "line-copy_number": 6.2}
    assert bars["line-dominance"].get_hatch()
    assert not bars["line-cycling"].get_hatch()
    assert lines(ax, "caps")[:, 0] == pytest.approx([1.5, 2.5, 0.8, 1.0, 9.0])
    assert "not assessed" in texts(ax)


# --- errors ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("draw", "message"), [
    (lambda d: pl.clone_timeline(d), "no table 'timeline'"), (lambda d: pl.car_evidence(d), "no table 'clone_car'"),
    (lambda d: pl.sample_qc(d), "no table 'samples'"), (lambda d: pl.car_umi_histogram(d), "no column 'car_umi'"),
    (lambda d: pl.umap(d), "no obsm"), (lambda d: pl.evidence_lines(d, clone="x"), "'x' is not a clone")])
def test_missing_results_are_errors(draw: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        draw(b.patient("nothing"))


def test_unknown_clone_and_colour_are_errors(full: Any) -> None:
    with pytest.raises(InputError, match="nearest existing"):
        pl.clone_timeline(full, clones=[b.MALIGNANT + "x"])
    with pytest.raises(InputError, match="use one of clone, car"):
        pl.umap(full, color="leiden")  # type: ignore[arg-type]


# --- what is shown ---------------------------------------------------------------------------------------------------
def test_called_clones_are_shown_whatever_their_size() -> None:
    data = b.patient("no_gex")
    frame = access.table(data, "clones")
    frame["n_cells"] = np.arange(len(frame))[::-1] + 100
    frame.loc[frame["clone_id"] == b.SUSPICIOUS, "n_cells"] = 1
    largest = frame.sort_values("n_cells", ascending=False)["clone_id"].head(20)
    shown = select.shown(data)
    assert shown is not None
    assert shown["clone_id"].tolist()[:2] == [b.MALIGNANT, b.SUSPICIOUS]
    assert set(shown["clone_id"]) == {b.MALIGNANT, b.SUSPICIOUS, *largest}
    assert len(shown) > 20
    assert shown["n_cells"].tolist()[2:] == sorted(shown["n_cells"].tolist()[2:], reverse=True)
    access.store(data)["focus"] = np.array([b.SMALL[-1]], dtype=object)
    again = select.ranked(data)
    assert again is not None
    assert again[again["shown_for"] == "focus"]["clone_id"].tolist() == [b.SMALL[-1]]
    assert again["clone_id"].tolist()[2] == b.SMALL[-1]
    top = select.headline(data)
    assert top is not None
    assert set(top["shown_for"]) == {"malignant", "suspicious", "focus"}


def test_without_calls_or_focus_the_largest_clone_is_spoken_of() -> None:
    data = b.patient("indeterminate")
    access.store(data)["focus"] = np.array([], dtype=object)
    top = select.headline(data)
    assert top is not None
    assert top["clone_id"].tolist() == [b.MALIGNANT]


def test_stage_tables_stand_in_for_the_assembled_one() -> None:
    data = b.patient("no_gex")
    frame = access.table(data, "clones")
    tables = access.store(data)["tables"]
    from sclineage import _schema

    for part in ("receptors", "malignancy", "car_clones", "origin"):
        names = [c.name for c in _schema.TABLES[part]]
        tables[part] = _schema.conform(frame.assign(car_flags="").reindex(columns=names), part)
    del tables["clones"]
    whole = select.clone_frame(data)
    assert whole is not None
    same = ["clone_id", "n_cells", "malignant_call", "car_verdict", "predates_infusion"]
    pd.testing.assert_frame_equal(whole[same], frame[same])


def test_short_names_are_unique() -> None:
    names = select.short_names(["P:aaaaaaaa11", "P:aaaaaaaa12", "P:b", "P:c23456789"])
    assert names == {"P:aaaaaaaa11": "aaaaaaaa11", "P:aaaaaaaa12": "aaaaaaaa12", "P:b": "b", "P:c23456789": "c2345678"}
    assert select.short_names(["P1:0123456789"]) == {"P1:0123456789": "01234567"}
    assert select.short_names([]) == {}
    assert select.short_names(["same", "other"]) == {"same": "same", "other": "other"}


def test_inline_svg_has_prefixed_ids_and_no_address(full: Any) -> None:
    with style.look():
        ax = pl.car_evidence(full, ax=style.bare_axes(width=6, height=3))
    text = style.inline_svg(ax, prefix="x1", label='a "b" <c>')
    assert text.startswith('<svg role="img" aria-label="a &quot;b&quot; &lt;c&gt;"')
    assert "http" not in text
    assert set(re.findall(r' id="([^-"]*)-', text)) == {"x1"}
    assert set(re.findall(r"url\(#([^-]*)-", text)) == {"x1"}
    assert "<text" in text


def test_copy_number_draws_shifts_by_clone_and_arm(full: Any) -> None:
    ax = pl.copy_number(full)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["7q", "9p", "10q"]
    drawn = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert drawn[0].tolist() == pytest.approx([0.4, -0.6, 0.02])
    assert drawn[1, :2].tolist() == pytest.approx([0.1, -0.1])
    assert np.isnan(drawn[1, 2])
    assert [(t.get_position(), t.get_text()) for t in ax.texts] == [((0, 0), "+"), ((1, 0), "\N{MINUS SIGN}")]
    alone = pl.copy_number(full, clones=[b.SUSPICIOUS])
    assert [t.get_text() for t in alone.get_xticklabels()] == ["7q", "9p"]


def test_copy_number_says_what_is_missing(full: Any) -> None:
    small = str(select.ranked(full)["clone_id"].iloc[-1])
    ax = pl.copy_number(full, clones=[small])
    assert [t.get_text() for t in ax.texts] == ["copy number not assessed"]
    with pytest.raises(InputError, match="is not a clone"):
        pl.copy_number(full, clones=["nobody"])
    with pytest.raises(InputError, match="clone_arms"):
        pl.copy_number(b.patient("no_vdj"))
