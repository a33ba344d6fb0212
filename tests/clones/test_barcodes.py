"""Clones by lineage barcodes: sets of barcodes, drop-out, ambient, doublets, and their stable names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from sclineage._errors import InputError
from sclineage.clones.api import lineage_barcodes
from sclineage.clones.barcodes import barcode_clones, barcode_sets

from ..oracles import lineage as oracle

NAMES = np.array(["A" * 4 + a * 4 + b * 4 + c * 4 for a in "ACGT" for b in "ACGT" for c in "ACGT"], dtype=object)


def run(cells, samples=None, names=NAMES):
    """Cells written as ``"3:8 5:2"``: barcode 3 with 8 UMIs, 5 with 2."""
    rows = [(i, int(b), int(u)) for i, text in enumerate(cells)
            for b, u in (word.split(":") for word in text.split())]
    sample = np.zeros(len(cells), np.int64) if samples is None else np.array(samples)
    frame = pd.DataFrame(rows, columns=["cell", "chain", "umis"], dtype=np.int64)
    return barcode_clones(frame, names, patient="M", sample=sample, n_samples=int(sample.max(initial=0)) + 1)


def others(n, start=20):
    return [f"{start + i}:8" for i in range(n) for _ in range(3)]


@pytest.mark.parametrize("seed", range(30))
def test_sets_equal_the_specification(seed):
    rng = np.random.default_rng(seed)
    n_barcodes = 8
    founders = [set(rng.choice(n_barcodes, rng.integers(1, 4), replace=False).tolist()) for _ in range(4)]
    cells = [{b for b in founders[rng.integers(4)] if rng.random() < 0.8} for _ in range(30)]
    rows = [(i, b) for i, cell in enumerate(cells) for b in sorted(cell)]
    cell, barcode = (np.array(x, np.int64) for x in zip(*rows, strict=True))
    assert barcode_sets(cell, barcode, n_barcodes).tolist() == oracle.barcode_sets(cells, n_barcodes)


def test_dropped_barcodes_of_a_set_stay_one_clone():
    """LARRY's rule (equal set of barcodes) would make three clones of these."""
    found = run(["1:8 2:6"] * 4 + ["1:5"] * 2 + ["2:5"] * 2 + others(10))
    assert len(set(found.cells["clone"][:8])) == 1
    assert (found.cells["status"][:8] == "assigned").all()
    assert found.clones.loc[found.cells["clone"][0], "barcodes"] == f"{NAMES[1]};{NAMES[2]}"


def test_doublet_is_no_bridge():
    found = run(["1:8"] * 5 + ["2:8"] * 5 + ["1:8 2:7"] + others(20))
    assert found.cells["status"][10] == "doublet"
    assert {*found.cells.loc[10, ["clone", "clone_2"]]} == {found.cells["clone"][0], found.cells["clone"][5]}
    assert found.cells["clone"][0] != found.cells["clone"][5]


def test_ambient_barcode_is_cleaned():
    found = run(["1:12"] * 30 + ["2:9 1:1"] + ["2:9"] * 4 + others(15))
    assert found.cells["status"][30] == "ambient_cleaned"
    assert found.cells["clone"][30] == found.cells["clone"][31]


def test_cell_without_barcode():
    found = run(["1:8"] * 3 + ["", *others(5)])
    assert found.cells["status"][3] == "no_receptor"
    assert np.isnan(found.cells["posterior"][3])


def test_sequencing_error_is_not_a_clone():
    names = NAMES.copy()
    names[9] = names[1][:-1] + "T"
    found = run(["1:30"] * 5 + ["9:1"] + others(5), names=names)
    assert found.cells["clone"][5] == found.cells["clone"][0]


def test_order_of_cells_does_not_matter():
    cells = ["1:8 2:6"] * 4 + ["1:5", "2:1", "3:4", "3:9 1:1", "3:8 2:8"] + others(10)
    order = np.random.default_rng(0).permutation(len(cells))
    first, second = run(cells), run([cells[i] for i in order])
    a, b = (f.clones["clone_id"].reindex(f.cells["clone"]).to_numpy(object) for f in (first, second))
    assert pd.Series(a[order]).fillna("").tolist() == pd.Series(b).fillna("").tolist()
    assert first.cells["status"].to_numpy()[order].tolist() == second.cells["status"].tolist()
    np.testing.assert_array_equal(first.cells["posterior"].to_numpy()[order], second.cells["posterior"])


def _data():
    counts = np.zeros((9, 3), np.int64)
    counts[:4, 0], counts[4:8, 1] = 6, 7
    obs = pd.DataFrame({"sample": "s", "patient": "P"}, index=[f"c{i}" for i in range(9)])
    return AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=["AAAA", "CCCC", "GGGG"]))


def test_columns_of_anndata_and_mudata():
    one, two = _data(), MuData({"lineage": _data()})
    lineage_barcodes(one)
    lineage_barcodes(two)
    for obs in (one.obs, two["lineage"].obs):
        assert obs["clone_barcode"].nunique() == 3
        assert obs["clone_barcode_status"].tolist() == ["assigned"] * 8 + ["no_receptor"]
        assert obs["clone_barcode"].iloc[0].startswith("P:")
        assert obs["clone_barcode"].iloc[8] == ""
    assert two.obs["lineage:clone_barcode"].tolist() == one.obs["clone_barcode"].tolist()


def test_counts_are_required():
    data = _data()
    data.X = data.X.astype(float) * 0.5
    with pytest.raises(InputError, match="whole"):
        lineage_barcodes(data)
    with pytest.raises(InputError, match="modality"):
        lineage_barcodes(MuData({"gex": _data()}))
