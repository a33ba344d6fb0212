"""What `sclineage count` writes goes into the sample sheet as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sclineage._errors import InputError
from sclineage.patient.api import check, read_patient
from sclineage.patient.cell_lists import read_cells
from sclineage.reads.api import count_targets
from tests.reads.libraries import Made, make


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Path]:
    made = make(tmp_path_factory.mktemp("made"), error=0.0, junk=0.0)
    count_targets(**made.arguments(), out=made.folder / "counts")
    return made, made.folder


def sheet(folder: Path, name: str = "sheet.csv", **columns: str) -> Path:
    row = {"patient": "P1", "sample": "S1"} | columns
    (folder / name).write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    return folder / name


@pytest.mark.parametrize("columns", [
    {"gex": "counts/features.h5ad"}, {"gex": "counts"}, {"cells": "cells.txt", "molecules": "counts"},
    {"cells": "counts", "molecules": "counts/molecules.tsv.gz"},
])
def test_counts_reach_the_patient(counted: tuple[Made, Path], columns: dict[str, str]) -> None:
    made, folder = counted
    path = sheet(folder, **columns)
    assert not check(path, car="CAR+WPRE")
    data = read_patient(path, car="CAR+WPRE")
    cells = sorted((folder / "cells.txt").read_text().split())
    assert [b.split("-")[0] for b in sorted(data.obs["barcode"])] == cells
    targets = data.mod["targets"]
    in_cells = made.truth[made.truth["barcode"].isin(cells)]
    for feature in ("CAR", "WPRE"):
        assert np.asarray(targets[:, feature].X.todense()).sum() == (in_cells["feature"] == feature).sum() > 0
    assert "gex" not in data.mod
    empties = data.uns["sclineage"]["empties"].set_index("feature")
    sharing = pd.read_csv(folder / "counts" / "sharing.csv").set_index("feature")
    for feature in ("CAR", "WPRE"):
        assert empties.loc[feature, "n_droplets"] == sharing.loc[feature, "n_droplets"] > 5
        assert empties.loc[feature, "feature_umi"] == sharing.loc[feature, "umi_droplets"]


def test_shared_sequence_is_no_car(counted: tuple[Made, Path]) -> None:
    path = sheet(counted[1], "shared.csv", gex="counts")
    with pytest.raises(InputError, match=r"'CAR:shared' only has sequence that endogenous transcripts have too"):
        read_patient(path, car={"CAR": ["CAR:shared"]})


def test_cells_of_our_own_counts(counted: tuple[Made, Path]) -> None:
    found = read_cells(counted[1] / "counts" / "features.h5ad", owners=["S1"])
    assert sorted(b.split("-")[0] for b in found) == sorted((counted[1] / "cells.txt").read_text().split())
