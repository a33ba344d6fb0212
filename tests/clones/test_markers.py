"""Non-productive rearrangements: markers of a clone, never its name."""

from __future__ import annotations

import numpy as np
import pandas as pd
from mudata import MuData

from sclineage.clones.api import clones
from sclineage.clones.markers import COLUMNS
from sclineage.patient import access

from .builders import airr_data, background, junction, records, run

CELLS = ["b1 a1 b90:3"] * 6 + ["b1 a1"] * 2 + ["b2 a2 a91:2"] * 5 + ["b2 a2"]
CELLS += [f"b{k} a{k} b92:2" for k in range(500, 540)]


def failed(frame):
    names = {junction(n) for n in ("b90", "a91", "b92")}
    return frame.assign(productive=~frame["junction"].isin(names))


def test_marker_of_each_clone():
    found = run([""] * len(CELLS), frame=failed(records(CELLS)))
    markers = found.markers.set_index("clone_id")
    ids = found.cells["clone_id"]
    assert list(found.markers.columns) == list(COLUMNS)
    assert set(markers.index) == {ids[0], ids[8]}
    assert markers.loc[ids[0], ["junction", "n_cells", "n_clone", "n_elsewhere"]].tolist() == [junction("b90"), 6, 8, 0]
    assert markers.loc[ids[8], "junction"] == junction("a91")


def test_what_many_clones_show_marks_none():
    cells = [*CELLS, *["b3 a3 b92:2"] * 3, *background(20)]
    found = run([""] * len(cells), frame=failed(records(cells)))
    assert junction("b92") not in set(found.markers["junction"])


def test_non_productive_chains_change_no_call():
    frame = failed(records(CELLS))
    with_, without = (run([""] * len(CELLS), frame=f) for f in (frame, frame[frame["productive"]]))
    pd.testing.assert_frame_equal(with_.cells, without.cells)
    assert without.markers.empty


def test_stored_with_the_object():
    airr = airr_data(["b1 a1"] * 4 + background(5))
    data = MuData({"airr": airr})
    clones(data)
    stored = access.store(data)["clone_markers"]
    assert stored.empty
    assert list(stored.columns) == list(COLUMNS)
    assert np.array_equal(data["airr"].obs["clone_status"], ["assigned"] * 9)
