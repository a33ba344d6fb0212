"""Patients on disk: readable by the tools of the field, true to their truth, the same bytes for the same seed."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scirpy as ir
from scipy.io import mmread

from sclineage import _schema
from sclineage._errors import InputError
from sclineage.simulate.api import scenarios, simulate
from sclineage.simulate.expression import CAR, EBV
from sclineage.simulate.receptors import CONTIG_COLUMNS, translate

Written = Callable[[str], Path]


def _digest(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(folder.rglob("*")) if p.is_file()}


def _sheet(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "sheet.csv", dtype=str, keep_default_na=False)


def _truth(folder: Path, name: str = "cells") -> pd.DataFrame:
    return pd.read_csv(folder / "truth" / f"{name}.csv", keep_default_na=False)


def _read_h5(path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sc.read_10x_h5(path)


def _count(data, features: list[str]) -> np.ndarray:
    return np.asarray(data[:, features].X.sum(axis=1)).ravel().astype(int)


@pytest.mark.parametrize("scenario", list(scenarios()))
def test_every_scenario_writes_files_that_the_field_reads(scenario: str, written: Written) -> None:
    folder = written(scenario)
    sheet, cells = _sheet(folder), _truth(folder)
    assert set(sheet.columns) <= set(_schema.SHEET_COLUMNS)
    assert sheet["sample"].is_unique
    for row in sheet.to_dict("records"):
        data = _read_h5(folder / row["gex"])
        own = cells[cells["sample"] == row["sample"]]
        assert list(data.obs_names) == sorted(own["barcode"])
        assert np.all(data.X.data == np.floor(data.X.data))
        assert data.var["gene_ids"].str.match(r"ENSG\d{11}$|EBV_|[A-Z0-9_]+$").all()
        assert CAR in data.var_names
        chains = ir.io.read_10x_vdj(folder / row["vdj"])
        assert set(chains.obs_names) <= set(own["barcode"])
        if row.get("raw"):
            raw = _read_h5(folder / row["raw"])
            assert raw.n_obs > data.n_obs
            assert (raw[data.obs_names].X != data.X).nnz == 0


@pytest.mark.parametrize("scenario", list(scenarios()))
def test_answers_name_registered_columns_and_words(scenario: str, written: Written) -> None:
    folder = written(scenario)
    expected, clones = _truth(folder, "expected"), _truth(folder, "clones")
    assert len(expected) > 0
    for row in expected.to_dict("records"):
        columns = {c.name: c for c in _schema.TABLES[row["table"]]}
        column = columns[row["column"]]
        if column.words and row["expected"][0] not in "<>":
            assert set(row["expected"].split("|")) <= set(column.words), row["question"]
        assert all(part.split("=")[0] in columns for part in row["where"].split(";") if part)
        if row["trb_junction"]:
            assert row["trb_junction"] in set(clones["trb_junction"])


def test_same_seed_same_bytes_other_seed_other_bytes(written: Written, tmp_path: Path) -> None:
    first = _digest(written("doublets"))
    again = _digest(simulate("doublets", seed=0, out=tmp_path / "again").parent)
    other = _digest(simulate("doublets", seed=1, out=tmp_path / "other").parent)
    assert again == first
    assert set(other) == set(first)
    assert all(other[name] != first[name] for name in first if name.endswith((".h5", "annotations.csv", "cells.csv")))


def test_a_library_does_not_depend_on_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from sclineage.simulate import api
    from sclineage.simulate.api import make_plan

    plan = make_plan("small_clone")
    more = replace(plan, libraries=(*plan.libraries, replace(plan.libraries[0], sample="another")))
    monkeypatch.setattr(api, "make_plan", lambda _: plan)
    one = _digest(simulate("x", seed=3, out=tmp_path / "one").parent)
    monkeypatch.setattr(api, "make_plan", lambda _: replace(more, libraries=more.libraries[::-1]))
    two = _digest(simulate("x", seed=3, out=tmp_path / "two").parent)
    inside = [name for name in one if name.startswith("tumor/")]
    assert len(inside) == 3
    assert {k: two[k] for k in inside} == {k: one[k] for k in inside}


def test_unknown_scenario_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="index_case"):
        simulate("index_cases", out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_contigs_translate_and_follow_the_genome(written: Written) -> None:
    folder, silent = written("index_case"), 0
    for row in _sheet(folder).to_dict("records"):
        table = pd.read_csv(folder / row["vdj"], keep_default_na=False)
        assert tuple(table.columns) == CONTIG_COLUMNS
        productive = table[table["productive"].astype(str).str.lower() == "true"]
        assert len(table) - len(productive) < 0.1 * len(table)
        silent += len(table) - len(productive)
        assert [translate(nt) for nt in productive["cdr3_nt"]] == productive["cdr3"].tolist()
        assert productive["cdr3"].str.match(r"^C[A-Z]+[FW]$").all()
        trb = table[table["chain"] == "TRB"]
        assert (trb["c_gene"].str[-1] == trb["j_gene"].str[4]).all()
        assert table["v_gene"].str[:4].eq(table["chain"] + "V").all()
        assert table["j_gene"].str[:4].eq(table["chain"] + "J").all()
        assert not table["contig_id"].duplicated().any()
        assert (table["umis"] >= 1).all()
    assert silent > 0


def test_contigs_belong_to_the_clone_of_the_cell(written: Written) -> None:
    folder = written("index_case")
    cells = _truth(folder)
    tra = dict(zip(*_truth(folder, "clones")[["trb_junction", "tra_junction"]].to_numpy().T, strict=True))
    for row in _sheet(folder).to_dict("records"):
        table = pd.read_csv(folder / row["vdj"], keep_default_na=False)
        table = table[table["cdr3_nt"] != ""]
        own = cells[cells["sample"] == row["sample"]].set_index("barcode").loc[table["barcode"]]
        one = [_chains(c, tra) for c in own["clone"]]
        two = [_chains(c, tra) for c in own["clone_2"]]
        right = np.array([x in a or x in b for x, a, b in zip(table["cdr3_nt"], one, two, strict=True)])
        # a second TRB of a clone is not in the truth table: one clone in a hundred, besides the ambient chains
        assert 0.005 < 1 - right.mean() < 0.06
        assert np.median(table["umis"][~right]) < np.median(table["umis"][right])


def _chains(clone: str, tra: dict[str, str]) -> set[str]:
    return {clone, *tra.get(clone, "").split(";")} - {""}


def test_car_counts_follow_the_truth(written: Written) -> None:
    folder = written("index_case")
    cells = _truth(folder)
    assert set(cells["car"]) == {0, 1}
    for row in _sheet(folder).to_dict("records"):
        data = _read_h5(folder / row["gex"])
        own = cells[cells["sample"] == row["sample"]].set_index("barcode").loc[data.obs_names]
        count, alone = _count(data, [CAR]), own["doublet"].to_numpy() == 0
        free, carries = alone & (own["car"] == 0).to_numpy(), alone & (own["car"] == 1).to_numpy()
        assert count[free].sum() <= max(0.02 * free.sum(), 3)
        if carries.any():
            assert 0.5 < (count[carries] > 0).mean() < 0.95
            assert count[carries].mean() > 20 * max(count[free].mean(), 0.01)
        else:
            assert row["sample"] == "apheresis"


def test_truth_tables_agree_with_each_other(written: Written) -> None:
    folder = written("mixed_clone")
    cells, clones, frequencies = _truth(folder), _truth(folder, "clones"), _truth(folder, "frequencies")
    single = cells[(cells["clone"] != "") & (cells["doublet"] == 0)]
    assert dict(zip(clones["trb_junction"], clones["n_cells"], strict=True)) == single.groupby("clone").size().to_dict()
    assert frequencies["n_cells"].sum() == len(single)
    unsorted = single[~single["selection"].isin(["CAR+"])]
    share = unsorted.groupby("clone")["car"].mean()
    for row in clones.to_dict("records"):
        if row["trb_junction"] in share.index:
            value = share[row["trb_junction"]]
            assert float(row["car_fraction"]) == pytest.approx(value, rel=1e-4)
            assert row["car"] == ("absent" if value == 0 else "clonal" if value == 1 else "mixed")
    tumor = clones[clones["name"] == "tumor"].iloc[0]
    assert (tumor["car"], tumor["malignant"], float(tumor["car_fraction_malignant"])) == ("mixed", 1, 0.0)


def test_the_tumour_is_infected_and_nothing_else(written: Written) -> None:
    folder = written("index_case")
    cells, row = _truth(folder), _sheet(folder).set_index("sample").loc["biopsy_d60"]
    data = _read_h5(folder / row["gex"])
    own = cells[cells["sample"] == "biopsy_d60"].set_index("barcode").loc[data.obs_names]
    viral, alone = _count(data, list(EBV)), (own["doublet"] == 0).to_numpy()
    infected = (own["ebv"] == 1).to_numpy()
    assert set(own.loc[infected, "population"]) == {"malignant"}
    assert infected.sum() > 500
    assert viral[infected & alone].mean() > 2
    assert viral[~infected & alone].mean() < 0.03


def test_driver_is_private_and_haematopoiesis_is_shared(written: Written) -> None:
    folder = written("index_case")
    cells = _truth(folder)
    folder_alleles = folder / _sheet(folder).set_index("sample").loc["biopsy_d60", "alleles"]
    barcodes = (folder_alleles / "cellSNP.samples.tsv").read_text().split()
    alt = np.asarray(mmread(folder_alleles / "cellSNP.tag.AD.mtx").todense())
    depth = np.asarray(mmread(folder_alleles / "cellSNP.tag.DP.mtx").todense())
    assert alt.shape == depth.shape == (3, len(barcodes))
    assert np.all(alt <= depth)
    own = cells[cells["sample"] == "biopsy_d60"].set_index("barcode").loc[barcodes]
    kind = own["population"].where(own["doublet"] == 0, "doublet").to_numpy()
    vcf = pd.read_csv(folder_alleles / "cellSNP.base.vcf.gz", sep="\t", skiprows=1)
    fraction = {(s, k): alt[i, kind == k].sum() / depth[i, kind == k].sum()
                for i, s in enumerate(vcf["POS"]) for k in ("malignant", "other", "other_T")}
    tp53, dnmt3a = 7674220, 25234374
    assert fraction[tp53, "malignant"] == pytest.approx(0.5, abs=0.05)
    assert fraction[tp53, "other"] < 0.04 and fraction[tp53, "other_T"] < 0.04
    assert fraction[dnmt3a, "malignant"] == pytest.approx(0.5, abs=0.05)
    assert fraction[dnmt3a, "other"] == pytest.approx(0.2, abs=0.1)
    drivers = pd.read_csv(folder / "drivers.csv")
    assert set(drivers["pos"]) == set(vcf["POS"])
    assert (folder / "config.yaml").read_text() == "drivers: drivers.csv\n"


def test_rates_can_be_recovered_from_the_files(written: Written) -> None:
    folder = written("absent_before")
    cells = _truth(folder)
    own = cells[(cells["sample"] == "apheresis") & (cells["doublet"] == 0)]
    table = pd.read_csv(folder / "apheresis" / "filtered_contig_annotations.csv", keep_default_na=False)
    clones = _truth(folder, "clones").set_index("trb_junction")
    seen = set(zip(table["barcode"], table["cdr3_nt"], strict=True))
    trb = np.mean([(b, c) in seen for b, c in zip(own["barcode"], own["clone"], strict=True)])
    first = [clones.loc[c, "tra_junction"].split(";")[0] for c in own["clone"]]
    tra = np.mean([(b, c) in seen for b, c in zip(own["barcode"], first, strict=True)])
    assert trb == pytest.approx(0.9, abs=0.03)
    assert tra == pytest.approx(0.8, abs=0.03)
    everyone = cells[cells["sample"] == "apheresis"]
    assert everyone["doublet"].mean() == pytest.approx(0.015, abs=0.006)
    data = _read_h5(folder / "apheresis" / "filtered_feature_bc_matrix.h5")
    assert np.median(np.asarray(data.X.sum(axis=1))) == pytest.approx(900, rel=0.06)
    dual = clones["tra_junction"].str.contains(";").mean()
    assert dual == pytest.approx(0.1, abs=0.03)


def test_background_can_be_recovered_from_cells_and_empties(written: Written) -> None:
    folder = written("dominant_tumor")
    cells, row = _truth(folder), _sheet(folder).set_index("sample").loc["tumor"]
    data, raw = _read_h5(folder / row["gex"]), _read_h5(folder / row["raw"])
    own = cells[cells["sample"] == "tumor"].set_index("barcode").loc[data.obs_names]
    count = _count(data, [CAR])
    clean = ((own["car"] == 0) & (own["car_2"] == 0)).to_numpy()
    content = count[~clean].sum() / len(count)
    assert count[clean].mean() / content == pytest.approx(0.003, abs=0.012)  # an expected 1 to 2 UMIs in all
    empties = raw[~raw.obs_names.isin(data.obs_names)]
    totals = np.asarray(empties.X.sum(axis=1)).ravel()
    assert empties.n_obs == 1500
    assert 30 < np.median(totals) < 100 and totals.max() <= 140
    assert _count(empties, [CAR]).mean() < 0.005


def test_doublets_hold_both_cells(written: Written) -> None:
    folder = written("doublets")
    cells = _truth(folder)
    tumor = cells[(cells["sample"] == "tumor") & (cells["malignant"] == 1)]
    assert (tumor["phenotype_2"].str.startswith("CAR_T")).mean() == pytest.approx(0.04, abs=0.02)
    data = _read_h5(folder / _sheet(folder).set_index("sample").loc["tumor", "gex"])
    total = pd.Series(np.asarray(data.X.sum(axis=1)).ravel(), index=data.obs_names)
    both = tumor["doublet"] == 1
    ratio = total[tumor["barcode"][both]].mean() / total[tumor["barcode"][~both]].mean()
    assert ratio == pytest.approx(1.5, abs=0.25)
    count = pd.Series(_count(data, [CAR]), index=data.obs_names)
    car_partner = tumor["car_2"] == 1
    assert (count[tumor["barcode"][car_partner]] > 0).mean() > 0.3
    assert (count[tumor["barcode"][~both]] > 0).mean() < 0.01


def test_aberrant_cells_lose_what_they_should(written: Written) -> None:
    folder = written("car_positive_lymphoma")
    cells, row = _truth(folder), _sheet(folder).set_index("sample").loc["tumor"]
    data = _read_h5(folder / row["gex"])
    own = cells[cells["sample"] == "tumor"].set_index("barcode").loc[data.obs_names]
    malignant = ((own["malignant"] == 1) & (own["doublet"] == 0)).to_numpy()
    other = (own["population"] == "other_T").to_numpy()
    for gene in ("CD3D", "CD3E", "CD4", "CD5", "CD7"):
        assert _count(data, [gene])[malignant].mean() < 0.25 * _count(data, [gene])[other].mean()
    assert _count(data, ["MKI67", "TOP2A", "CDK1"])[malignant].mean() \
        > 2 * _count(data, ["MKI67", "TOP2A", "CDK1"])[other].mean()  # 2.9 by the rates
    assert _count(data, ["TRAC", "TRBC2"])[malignant].mean() > 1


def test_gene_table_holds_known_facts() -> None:
    from sclineage.simulate.expression import genes

    table = genes()
    where = {s: i for i, s in enumerate(table.symbol)}
    assert len(table.symbol) == len(set(table.symbol)) == len(set(table.ensembl))
    assert 1500 <= np.sum(table.kind != "quiet") <= 2500
    assert 0.3 < np.mean(table.kind == "quiet") < 0.5  # more than half would read as a table without symbols
    assert all(re.fullmatch(r"ENSG\d{11}", e) for e in table.ensembl)
    known = {"CD3E": ("ENSG00000198851", "11q"), "TRAC": ("ENSG00000277734", "14q"), "CD4": ("ENSG00000010610", "12p"),
             "MS4A1": ("ENSG00000156738", "11q"), "LYZ": ("ENSG00000090382", "12q"), "CD7": ("ENSG00000173762", "17q")}
    for gene, (ensembl, arm) in known.items():
        assert (table.ensembl[where[gene]], table.arm[where[gene]]) == (ensembl, arm)
    arms, sizes = np.unique(table.arm[table.kind == "other"], return_counts=True)
    assert len(arms) >= 39 and np.sum(sizes >= 40) >= 39


def test_simulate_patient_is_the_read_sheet() -> None:
    pytest.importorskip("sclineage.patient.api")
    from sclineage.simulate.api import simulate_patient

    data = simulate_patient("sorted_only", seed=0)
    assert {"gex", "airr"} <= set(data.mod)
    assert CAR in data["gex"].var_names
    assert len(data.uns["sclineage"]["truth"]["cells"]) == data.n_obs
