"""Long tables of allele counts: the spellings that pipelines write, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sclineage._errors import InputError
from sclineage.patient.alleles import read_alleles


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "alleles.tsv"
    path.write_text(text)
    return path


OWN = "barcode\tchrom\tpos\tref\talt\talt_reads\tdepth\nA-1\tchr2\t5\tC\tT\t1\t3\nB-1\tchr2\t5\tC\tT\t0\t2\n"
SNIFFER = ("Variant\tChr\tStart\tStop\tRef\tVar\tCell\tRefReads\tAltReads\n"
           "DNMT3A p.R882H\tchr2\t5\t5\tC\tT\tA-1\t2\t1\n"
           "DNMT3A p.R882H\tchr2\t5\t5\tC\tT\tB-1\t2\t0\n")
GENOTYPING = "cell\tmutation\twtUMIs\tmutUMIs\nA-1\tchr2:5:C>T\t2\t1\nB-1\tchr2:5:C>T\t2\t0\n"


@pytest.mark.parametrize("text", [OWN, SNIFFER, GENOTYPING], ids=["own", "cb_sniffer", "genotyping"])
def test_three_spellings_say_the_same(tmp_path: Path, text: str) -> None:
    found = read_alleles(written(tmp_path, text))
    assert found.barcodes.tolist() == ["A-1", "B-1"]
    assert found.sites.index.tolist() == ["chr2:5:C:T"]
    assert found.ad.toarray().tolist() == [[1], [0]]
    assert found.dp.toarray().tolist() == [[3], [2]]


def test_gene_names_come_along(tmp_path: Path) -> None:
    assert read_alleles(written(tmp_path, SNIFFER)).sites["gene"].tolist() == ["DNMT3A"]


def test_mitochondrial_names(tmp_path: Path) -> None:
    text = "cell\tvariant\talt\tcov\nA\t2593_G>A\t10\t40\nA\t683_G>A\t0\t12\nB\t2593_G>A\t0\t7\n"
    found = read_alleles(written(tmp_path, text))
    assert found.sites.index.tolist() == ["MT:2593:G:A", "MT:683:G:A"]
    assert found.dp.toarray().tolist() == [[40, 12], [7, 0]]
    assert found.ad.nnz == 1


@pytest.mark.parametrize(("text", "said"), [
    ("cell\tvariant\tcov\nA\t2593_G>A\t10\n", "cells that are only listed as positive say nothing of the others"),
    ("cell\tmutation\twtUMIs\tmutUMIs\nA\tTET2.R1216X\t1\t0\n", "'TET2.R1216X' names no position"),
    ("cell\twtUMIs\tmutUMIs\nA\t1\t0\n", "no column says which site"),
    ("x\tmutation\twtUMIs\tmutUMIs\nA\t2:5:C>T\t1\t0\n", "no column for the cell"),
    ("cell\tsite\talt_reads\tdepth\nA\t2:5:C>T\t4\t3\n", "4 reads of the variant among 3"),
    ("cell\tsite\talt_reads\tdepth\nA\t2:5:C>T\t1.5\t3\n", "'1.5'"),
    ("cell\tsite\talt_reads\tdepth\nA\t2:5:C>T\t1\t3\nA\t2:5:C>T\t1\t3\n", "two lines for 2:5"),
])
def test_what_says_nothing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=r"alleles\.tsv") as caught:
        read_alleles(written(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_real_tables(public_data: Path) -> None:
    folder = public_data / "somatic-variants-per-cell"
    found = read_alleles(folder / "aml_548327_cellcoverage.tsv.gz")
    assert (len(found.barcodes), len(found.sites)) == (6803, 7)
    assert int(found.ad.sum()) == 5362
    assert int((found.dp - found.ad).sum()) == 7669
    assert np.unique(found.sites["gene"]).size >= 5
