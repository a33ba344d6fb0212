"""The whole path: files, order, threads, interruption, bad input, several patients."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mudata
import pandas as pd
import pytest

import sclineage as sl
from sclineage import _schema, _tables, pipeline
from sclineage._errors import InputError
from sclineage._shared import share
from sclineage.simulate.expression import CAR
from tests.tiny import VIRUS, shuffle, write_tiny

FILES = {*_tables.FILES, "report.html", "run.json", "patient.h5mu"}


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


def run(sheet: Path, out: Path, **rest: object) -> Path:
    sl.run(sheet, out, **{"car": CAR, "virus": [VIRUS], "config": sheet.parent / "config.yaml"} | rest)
    return out


@pytest.fixture(scope="module")
def result(sheet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(sheet, tmp_path_factory.mktemp("result") / "out")


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in _tables.FILES}


def test_every_file_is_there_with_the_registered_columns(result: Path) -> None:
    assert {p.name for p in result.iterdir()} == FILES
    for name, (table, _) in _tables.FILES.items():
        assert list(pd.read_csv(result / name).columns) == [c.name for c in _schema.TABLES[table]]


def test_integration_sites_of_an_unknown_specimen_are_refused_and_of_another_patient_are_not(tmp_path: Path) -> None:
    rows = pd.DataFrame({"patient": ["A", "B"], "sample": ["a1", "b1"], "specimen": ["blood", "node"]})
    path = tmp_path / "sites.csv"
    path.write_text("specimen,chrom,pos,reads\nnode,chr1,100,5\nb1,chr2,7,3\n")
    found = share(rows, sites=str(path), tables={}).sites
    assert found is not None and found["specimen"].tolist() == ["b1", "node"]
    path.write_text("specimen,chrom,pos,reads\nnodule,chr1,100,5\n")
    with pytest.raises(InputError, match="'nodule' is no specimen or sample of the sheet"):
        share(rows, sites=str(path), tables={})


def test_every_barcode_is_in_the_cell_table(sheet: Path, result: Path) -> None:
    truth = pd.read_csv(sheet.parent / "truth" / "cells.csv", keep_default_na=False)
    cells = pd.read_csv(result / "cells.csv.gz", keep_default_na=False)
    assert set(zip(truth["sample"], truth["barcode"], strict=True)) == set(zip(cells["sample"], cells["barcode"],
                                                                              strict=True))


def test_the_tumour_is_malignant_and_not_called_carrying(sheet: Path, result: Path) -> None:
    truth = pd.read_csv(sheet.parent / "truth" / "clones.csv").query("malignant == 1")
    clones = pd.read_csv(result / "clones.csv", keep_default_na=False)
    [row] = clones[clones["trb_junction"].isin(truth["trb_junction"])].to_dict("records")
    assert row["malignant_call"] == "malignant"
    assert row["car_verdict"] in _schema.CAR_NEGATIVE
    assert float(row["car_fraction_high"]) > 0  # a negative always carries its limit


def test_provenance_names_every_input_with_its_hash(sheet: Path, result: Path) -> None:
    record = json.loads((result / "run.json").read_text())
    files = {Path(i["file"]).name for i in record["inputs"]}
    assert {"sheet.csv", "config.yaml", "drivers.csv", "filtered_feature_bc_matrix.h5",
            "raw_feature_bc_matrix.h5", "filtered_contig_annotations.csv"} <= files
    assert all(len(i["sha256"]) == 64 for i in record["inputs"])
    assert record["parameters"]["car"] == CAR
    assert record["versions"]["sclineage"] == sl.__version__
    assert record["note"] == "research use only"


def test_report_is_self_contained_and_says_research_use_only(result: Path) -> None:
    text = (result / "report.html").read_text()
    assert "research use only" in text.lower()
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "<script" not in text


def test_stored_object_holds_the_tables(result: Path) -> None:
    mdata = mudata.read_h5mu(result / "patient.h5mu")
    assert set(mdata.mod) >= {"gex", "airr"}
    pd.testing.assert_frame_equal(sl.get.clones(mdata)[["clone_id", "car_verdict"]],
                                  pd.read_csv(result / "clones.csv")[["clone_id", "car_verdict"]],
                                  check_dtype=False)


def test_neither_car_nor_virus_nor_a_difference_between_samples_makes_clusters(result: Path) -> None:
    mdata = mudata.read_h5mu(result / "patient.h5mu")
    genes, kept = mdata["gex"].var, mdata.uns["sclineage"]
    for features in (kept["car_features"], kept["virus_features"]):
        named = genes.index.isin([*features])
        assert named.any() and not genes.loc[named, "highly_variable"].any()
    assert genes["highly_variable"].any() and kept["params"]["embed"]["batch_key"] == "sample"


@pytest.mark.slow
def test_order_of_rows_cells_and_files_does_not_matter(sheet: Path, result: Path, tmp_path: Path) -> None:
    other = run(shuffle(sheet, tmp_path / "in"), tmp_path / "out")
    assert tables(other) == tables(result)


@pytest.mark.slow
def test_threads_do_not_matter(sheet: Path, result: Path, tmp_path: Path) -> None:
    code = ("import sys, sclineage as sl; "
            "sl.run(sys.argv[1], sys.argv[2], car=sys.argv[3], virus=[sys.argv[4]], config=sys.argv[5], threads=1)")
    arguments = [sheet, tmp_path / "out", CAR, VIRUS, sheet.parent / "config.yaml"]
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)], check=True)
    assert tables(tmp_path / "out") == tables(result)


class Killed(BaseException):
    """Stands for Ctrl-C."""


@pytest.mark.slow
def test_an_interrupted_run_leaves_nothing_finished_and_resumes(sheet: Path, result: Path, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: object, data: object) -> object:
        raise Killed

    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(pipeline._Patient, "_car", killed)
        run(sheet, out)
    assert [p.name for p in out.iterdir()] == [pipeline.WORK]
    said: list[str] = []
    run(sheet, out, resume=True, say=said.append)
    assert any("resuming after step 5 (malignancy)" in line for line in said)
    assert not any("1/8 read" in line for line in said)
    assert tables(out) == tables(result)


def test_resume_starts_anew_when_an_input_changed(sheet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: object, data: object) -> object:
        raise Killed

    out, said = tmp_path / "out", []
    monkeypatch.setattr(pipeline._Patient, "_cells", killed)
    with pytest.raises(Killed):
        run(sheet, out)
    with pytest.raises(Killed):
        run(sheet, out, resume=True, seed=1, say=said.append)
    assert any("starting anew" in line for line in said)


@pytest.mark.parametrize(("change", "found"), [
    ({"car": "FMC63-CAR"}, CAR),
    ({"virus": ["EBV=prefix:EBX_"]}, "EBX_"),
    ({"config": {"fraction_limt": 0.1}}, "fraction_limit"),
    ({"malignant_key": "no_such_column"}, "no_such_column"),
])
def test_bad_arguments_leave_no_output(sheet: Path, tmp_path: Path, change: dict[str, object], found: str) -> None:
    with pytest.raises(InputError) as error:
        run(sheet, tmp_path / "out", **change)
    assert found in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_patients_give_two_folders_and_stacked_tables(sheet: Path, result: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    one, two = rows.iloc[:1].copy(), rows.iloc[1:].copy()
    both = pd.concat([one.assign(patient="A"), two.assign(patient="B")])
    both.to_csv(sheet.parent / "both.csv", index=False)
    cells = pd.read_csv(result / "cells.csv.gz", dtype=str)[["sample", "barcode"]]
    chosen = pd.concat([part.head(1) for _, part in cells.groupby("sample")])
    chosen.assign(malignant="no").to_csv(tmp_path / "called.csv", index=False)
    cells.assign(probability="0.1").to_csv(tmp_path / "classifier.csv", index=False)
    cells.assign(donor="1").to_csv(tmp_path / "donors.csv", index=False)
    given = {"malignant_key": str(tmp_path / "called.csv"),
             "config": {k: str(tmp_path / f"{k}.csv") for k in ("classifier", "donors")}}
    out = run(sheet.parent / "both.csv", tmp_path / "out", **given)
    assert (pd.read_csv(out / "distinct.csv").query("line == 'donor'")["llr"].notna()).any()
    cells.head(1).assign(sample="nowhere", donor="1").to_csv(tmp_path / "donors.csv", index=False)
    with pytest.raises(InputError, match="'nowhere' is no sample of the sheet"):
        run(sheet.parent / "both.csv", tmp_path / "none", **given)
    assert not (tmp_path / "none").exists()
    assert (out / "A" / "report.html").exists()
    assert (out / "B" / "report.html").exists()
    for name in _tables.FILES:
        stacked = pd.read_csv(out / name, low_memory=False)
        parts = [pd.read_csv(out / p / name, low_memory=False) for p in "AB"]
        assert len(stacked) == sum(map(len, parts))
    assert set(pd.read_csv(out / "samples.csv")["patient"]) == {"A", "B"}


def test_focus_file_names_clones(sheet: Path, result: Path, tmp_path: Path) -> None:
    clones = pd.read_csv(result / "clones.csv", keep_default_na=False)
    row = clones[clones["trb_junction"] != ""].sort_values(["n_cells", "clone_id"]).iloc[0]
    assert "focus" not in row["flags"].split(";")
    (tmp_path / "focus.txt").write_text(f"# of interest\n{row['trb_junction']} {row['trb_v']} {row['trb_j']}\n")
    out = run(sheet, tmp_path / "out", focus=str(tmp_path / "focus.txt"))
    found = pd.read_csv(out / "clones.csv", keep_default_na=False)
    flagged = found["flags"].str.split(";").map(lambda words: "focus" in words)
    assert found.loc[flagged, "clone_id"].tolist() == [row["clone_id"]]
    (tmp_path / "wrong.txt").write_text("CASSNOCLONEHEREF\n")
    with pytest.raises(InputError, match="is no clone of this patient"):
        run(sheet, tmp_path / "none", focus=str(tmp_path / "wrong.txt"))
    assert not (tmp_path / "none" / "clones.csv").exists()
