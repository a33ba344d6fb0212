"""Public data: the numbers of their README come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sclineage._errors import InputError
from sclineage.patient import access
from sclineage.patient.api import check, qc, read_patient
from sclineage.patient.matrices import read_matrix

from .synthetic import sheet, write

pytestmark = pytest.mark.real
CARPALL = "carpall-cart-gex-vdj"
# README: sample, cells, CAT_scFv UMIs, cells with it, barcodes also in V(D)J, median UMI
P02 = [
    ("CAR-T10310321", 133, 0, 0, 34, 1039), ("CAR-T10310322", 1431, 1978, 855, 1188, 4182),
    ("CAR-T10310324", 1005, 2, 2, 678, 3435), ("CAR-T10484037", 337, 984, 232, 192, 2125),
    ("CAR-T10593342", 1174, 0, 0, 61, 908), ("CAR-T11141510", 1099, 17, 13, 390, 3288),
    ("CAR-T11252627", 563, 693, 279, 395, 3327),
]
OTHERS = [("P10", "CAR-T10310323", 753, 1564, 553, 652), ("P10", "CAR-T10310325", 1383, 3, 1, 555),
          ("P13", "CAR-T10484035", 338, 70, 30, 25), ("P13", "CAR-T10484036", 3872, 0, 0, 2)]


def carpall_rows(data: Path) -> list[dict[str, object]]:
    table = pd.read_csv(data / CARPALL / "samples.tsv", sep="\t")
    table = table[table["gex_file"] & table["Patient"].isin(["P02", "P10", "P13"])]
    return [{"patient": r.Patient, "sample": r.GEX_Sample, "day": 30 * int(r.Timepoint[1:]),
             "selection": "none" if r.Sort == "NoSo" else "CAR+",
             "gex": str(data / CARPALL / "gex" / f"{r.GEX_Sample}.filtered_feature_bc_matrix.h5"),
             "vdj": str(data / CARPALL / "vdj" / f"{r.TCR_Sample}.filtered_contig_annotations.csv.gz")}
            for r in table.itertuples()]


def per_sample(mdata) -> pd.DataFrame:
    car = access.feature_counts(mdata, ["CAT_scFv"]).counts[:, 0]
    receptor = access.column(mdata, "sample").index.isin(
        mdata["airr"].obs_names[[len(c) > 0 for c in mdata["airr"].obsm["airr"]["locus"]]])
    frame = pd.DataFrame({"sample": access.text(mdata, "sample"), "umi": car, "with": car > 0, "receptor": receptor})
    return frame.groupby("sample").agg(n=("umi", "size"), umi=("umi", "sum"), cells=("with", "sum"),
                                       receptor=("receptor", "sum"))


def test_carpall_reads_as_its_readme_says(public_data: Path, tmp_path: Path) -> None:
    path = sheet(tmp_path, *carpall_rows(public_data))
    assert check(path, car="CAT_scFv") == []
    mdata = read_patient(path, patient="P02", car="CAT_scFv")
    found = per_sample(mdata)
    assert [(k, *v) for k, *v in found.itertuples()] == [row[:5] for row in P02]
    qc(mdata, doublets=False)
    with_car = mdata.obs["n_umi"] + access.feature_counts(mdata, ["CAT_scFv"]).counts[:, 0]
    medians = with_car.groupby(access.text(mdata, "sample")).median()
    assert np.floor(medians).tolist() == [row[5] for row in P02]


def test_carpall_small_libraries_are_accepted(public_data: Path, tmp_path: Path) -> None:
    path = sheet(tmp_path, *carpall_rows(public_data))
    for patient in ("P10", "P13"):
        found = per_sample(read_patient(path, patient=patient, car="CAT_scFv"))
        assert [(k, *v) for k, *v in found.itertuples()] == [row[1:] for row in OTHERS if row[0] == patient]


def test_contigs_of_another_carpall_sample_are_refused(public_data: Path, tmp_path: Path) -> None:
    rows = carpall_rows(public_data)[:2]
    rows[0]["vdj"], rows[1]["vdj"] = rows[1]["vdj"], rows[0]["vdj"]
    faults = [str(f) for f in check(sheet(tmp_path, *rows), car="CAT_scFv")]
    assert len(faults) == 2 and all("barcodes are among the" in f for f in faults)


def test_cells_list_molecules_and_contigs_without_a_matrix(public_data: Path, tmp_path: Path) -> None:
    broad = public_data / "cart-umi-hhv6" / "broad"
    cells = pd.read_csv(broad / "cell-annotation-metadata.F1_E1_1.txt.gz", sep="\t", header=None)
    cells = cells[cells[1] == "F1"]
    write(tmp_path / "cells.txt", cells[[0]], header=False)
    row = {"patient": "Axi-R-15", "sample": "F1", "cells": "cells.txt", "selection": "CAR+",
           "molecules": f"CAR={broad / 'F1_CAR.quant.txt.gz'},HHV6={broad / 'F1_HHV6b.quant.txt.gz'}",
           "vdj": str(broad / "F1_TCR_all_contig_annotations.csv.gz")}
    path = sheet(tmp_path, row)
    assert check(path, car="CAR", virus=["HHV6=prefix:HHV6_"]) == []
    mdata = read_patient(path, car="CAR", virus=["HHV6=prefix:HHV6_"])
    assert set(mdata.mod) == {"airr", "targets"} and mdata.n_obs == 1353
    car = access.feature_counts(mdata, ["CAR"])
    assert car.from_molecules.all()
    assert [round(100 * (car.counts[:, 0] >= k).mean(), 1) for k in (1, 2)] == [48.8, 34.4]
    assert len(mdata.uns["sclineage"]["virus_features"]) == 6
    assert mdata.obs["barcode"].iloc[0].endswith("-1-40")
    contigs = pd.read_csv(broad / "F1_TCR_all_contig_annotations.csv.gz")
    kept = contigs[contigs["is_cell"] & contigs["high_confidence"]
                   & contigs["barcode"].str[:16].isin(cells[0].str[:16])]
    assert sum(len(c) for c in mdata["airr"].obsm["airr"]["locus"]) == len(kept) < len(contigs)


def test_normalised_public_data_are_refused(public_data: Path) -> None:
    path = public_data / "cnv-oligodendroglioma" / "oligodendroglioma.h5ad"
    with pytest.raises(InputError, match=r"oligodendroglioma\.h5ad: no places hold whole numbers \(X: values that"):
        read_matrix(path)


def test_public_10x_and_airr_contigs(public_data: Path) -> None:
    from sclineage.patient.contigs import read_contigs

    folder = public_data / "tcr-10x-public"
    assert len(read_contigs(folder / "pbmc3_t_filtered_contig_annotations.csv.gz")) > 3500
    assert read_contigs(folder / "rearrangement_tra.tsv")["barcode"].nunique() == 3
