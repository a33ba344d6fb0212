"""Nesting of clone levels."""

from __future__ import annotations

import numpy as np

from sclineage.clones.levels import nesting


def test_nested_and_not_nested():
    inner = np.repeat(["t1", "t2", "t3", ""], [30, 30, 30, 10]).astype(object)
    outer = np.array((["m1"] * 30) + (["m2"] * 30) + ["m1", "m2"] * 15 + ["m1"] * 10, dtype=object)
    table = nesting(outer, inner, n_shuffles=500).set_index("inner")
    assert table.loc[["t1", "t2"], "p"].max() < 0.01
    assert table.loc["t1", "outer"] == "m1"
    assert table.loc["t2", "outer"] == "m2"
    assert table.loc["t3", "p"] > 0.5
    assert table["n"].tolist() == [30, 30, 30]


def test_cells_without_a_level_say_nothing():
    table = nesting(np.array(["m", "", None, "m"], object), np.array(["t", "t", "t", "u"], object), n_shuffles=10)
    assert table.empty, "one informative cell is not tested"
    assert nesting(np.array([], object), np.array([], object), n_shuffles=5).empty
