"""Cell lists, allele folders and empty droplets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from scipy import sparse

from sclineage._errors import InputError
from sclineage.patient.alleles import read_alleles
from sclineage.patient.cell_lists import read_cells
from sclineage.patient.empties import read_empties
from sclineage.patient.matrices import read_matrix

from .synthetic import CAR, barcodes, counts, features, tenx_h5, write

CELLS = barcodes(6)
OWNERS = ["S1", "biopsy1", "P1"]


# --- cell lists ------------------------------------------------------------------------------------------------------
def test_a_plain_list(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("\n".join(CELLS))
    write(tmp_path / "headed.csv", pd.DataFrame({"barcode": CELLS}))
    for name in ("plain.txt", "headed.csv"):
        assert read_cells(tmp_path / name, owners=OWNERS).tolist() == CELLS


@pytest.mark.parametrize("owner", OWNERS)
def test_vireo_leaves_out_doublets_and_strangers(tmp_path: Path, owner: str) -> None:
    donors = [owner, "P2", "doublet", "unassigned", owner, "P2"]
    table = pd.DataFrame({"cell": CELLS, "donor_id": donors, "prob_max": 1.0})
    path = write(tmp_path / "donor_ids.tsv", table, sep="\t")
    assert read_cells(path, owners=OWNERS).tolist() == [CELLS[0], CELLS[4]]


def test_tag_calls_souporcell_and_bare_pairs(tmp_path: Path) -> None:
    calls = ["S1", "S2", "S1|S2", "S1", "S2", "S2"]
    tags = pd.DataFrame({"cell_barcode": CELLS, "num_features": 1, "feature_call": calls, "num_umis": "9"})
    assert read_cells(write(tmp_path / "tag_calls_per_cell.csv", tags), owners=OWNERS).tolist() == [CELLS[0], CELLS[3]]
    soup = pd.DataFrame({"barcode": CELLS, "status": ["singlet"] * 4 + ["doublet"] * 2, "assignment": ["S1"] * 6})
    assert read_cells(write(tmp_path / "clusters.tsv", soup, sep="\t"), owners=OWNERS).tolist() == CELLS[:4]
    pairs = pd.DataFrame({"a": CELLS, "b": ["S1", "S2"] * 3})
    assert read_cells(write(tmp_path / "pairs.csv", pairs, header=False), owners=OWNERS).tolist() == CELLS[::2]


@pytest.mark.parametrize(("frame", "said"), [
    (pd.DataFrame({"cell": CELLS, "donor_id": "donor0"}),
     r"no cell belongs to 'S1' or 'biopsy1' or 'P1' \(found: donor0\)"),
    (pd.DataFrame({"cell": CELLS, "colour": "red"}), r"no column says whose cells these are \(found cell, colour\)"),
    (pd.DataFrame({"barcode": [CELLS[0], CELLS[0]]}), "appears more than once"),
    (pd.DataFrame({"barcode": []}), "an empty list"),
])
def test_bad_lists(tmp_path: Path, frame: pd.DataFrame, said: str) -> None:
    path = write(tmp_path / "cells.csv", frame)
    with pytest.raises(InputError, match=said) as caught:
        read_cells(path, owners=OWNERS)
    assert str(path) in str(caught.value)


# --- alleles ---------------------------------------------------------------------------------------------------------
AD = np.array([[0, 1, 0, 2, 0, 0], [1, 0, 0, 0, 0, 3]])
DP = AD + np.array([[1, 0, 0, 1, 0, 0], [0, 0, 2, 0, 0, 0]])
VCF = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\nchr1\t100\t.\tA\tG\t.\nchr2\t5\t.\tC\tT\t.\n"


def mtx(path: Path, matrix: np.ndarray) -> None:
    scipy.io.mmwrite(path, sparse.coo_matrix(matrix), field="integer")


@pytest.fixture
def cellsnp(tmp_path: Path) -> Path:
    folder = tmp_path / "cellsnp"
    folder.mkdir()
    mtx(folder / "cellSNP.tag.AD.mtx", AD)
    mtx(folder / "cellSNP.tag.DP.mtx", DP)
    (folder / "cellSNP.base.vcf").write_text(VCF)
    (folder / "cellSNP.samples.tsv").write_text("\n".join(CELLS) + "\n")
    return folder


def test_cellsnp_and_vartrix_say_the_same(tmp_path: Path, cellsnp: Path) -> None:
    vartrix = tmp_path / "vartrix"
    vartrix.mkdir()
    mtx(vartrix / "alt.mtx", AD)
    mtx(vartrix / "ref.mtx", DP - AD)
    (vartrix / "barcodes.tsv").write_text("\n".join(CELLS))
    (vartrix / "sites.tsv").write_text("chrom\tpos\tref\talt\tgene\nchr1\t100\tA\tG\tTET2\nchr2\t5\tC\tT\t\n")
    for folder in (cellsnp, vartrix):
        found = read_alleles(folder)
        assert np.array_equal(found.ad.toarray(), AD.T) and np.array_equal(found.dp.toarray(), DP.T)
        assert found.sites.index.tolist() == ["chr1:100:A:G", "chr2:5:C:T"]
        assert found.barcodes.tolist() == CELLS and found.ad.dtype == np.int32
    assert read_alleles(vartrix).sites["gene"].tolist() == ["TET2", ""]


@pytest.mark.parametrize(("damage", "said"), [
    (lambda f: (f / "cellSNP.tag.DP.mtx").unlink(), r"no cellSNP\.tag\.DP\.mtx or ref\.mtx|no ref"),
    (lambda f: mtx(f / "cellSNP.tag.AD.mtx", AD[:, :5]), "but 2 sites and 6 barcodes"),
    (lambda f: mtx(f / "cellSNP.tag.AD.mtx", AD + DP), "above the depth"),
    (lambda f: (f / "cellSNP.base.vcf").write_text("chr1\t100\t.\tA\tG\n" * 2), "listed twice"),
    (lambda f: (f / "cellSNP.base.vcf").write_text("#CHROM\n"), "no site"),
    (lambda f: (f / "cellSNP.samples.tsv").write_text(f"{CELLS[0]}\n" * 6), "appears more than once"),
])
def test_bad_allele_folders(cellsnp: Path, damage, said: str) -> None:
    damage(cellsnp)
    with pytest.raises(InputError, match=said):
        read_alleles(cellsnp)


# --- empty droplets --------------------------------------------------------------------------------------------------
def test_empty_droplets_are_summed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, table = barcodes(300), features()
    matrix = counts(300)
    matrix[:100] = 0
    matrix[:100, 0] = 5  # below 10 UMIs
    matrix[100:110] *= 60  # cells
    path = tenx_h5(tmp_path / "raw.h5", matrix, cells, table)
    called = cells[100:120]
    found = read_empties(path, cells=called, features=[CAR, "absent"])
    total = matrix.sum(axis=1)
    expected = (total >= 10) & (total <= 100)
    expected[100:120] = False
    assert found.to_dict("list") == {"feature": [CAR], "n_droplets": [int(expected.sum())],
                                     "umi_total": [int(total[expected].sum())],
                                     "feature_umi": [int(matrix[expected, -1].sum())]}
    monkeypatch.setattr("sclineage.patient.empties.BLOCK", 37)
    pd.testing.assert_frame_equal(read_empties(path, cells=called, features=[CAR, "absent"]), found)


def test_a_filtered_matrix_has_no_empty_droplets(tmp_path: Path) -> None:
    path = tenx_h5(tmp_path / "filtered.h5", counts(20) * 50, barcodes(20), features())
    with pytest.raises(InputError, match="no barcode with 10 to 100 UMIs"):
        read_empties(path, cells=[], features=[CAR])
    assert read_matrix(path).counts.sum() > 0
