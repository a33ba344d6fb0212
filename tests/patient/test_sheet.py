"""The sample sheet: types, defaults, paths, and every fault at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sclineage._errors import InputErrors
from sclineage._schema import SHEET_COLUMNS
from sclineage.patient.sheet import files, read_sheet, roles, sheet_faults

from .synthetic import sheet


def row(**more: object) -> dict[str, object]:
    return {"patient": "P1", "sample": "S1", "gex": "a.h5"} | more


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.h5", "b.h5", "v.csv", "w.csv", "m.tsv"):
        (tmp_path / name).write_text("x")
    return tmp_path


def faults(folder: Path, *rows: dict[str, object]) -> list[str]:
    return [str(f) for f in sheet_faults(sheet(folder, *rows))]


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.tsv"])
def test_every_column_is_there_typed_and_defaulted(folder: Path, name: str) -> None:
    frame = read_sheet(sheet(folder, row(sample="S2", day="-3.5", car_fraction="0.4", car_fraction_n="500", gex="b.h5"),
                             row(vdj="v.csv;w.csv", molecules="CAR=m.tsv"), name=name))
    assert list(frame.columns) == list(SHEET_COLUMNS)
    assert list(frame.index) == ["S1", "S2"] == list(frame["sample"])
    assert frame["day"].dtype == float and np.isnan(frame.loc["S1", "day"]) and frame.loc["S2", "day"] == -3.5
    assert frame.loc["S2", "car_fraction"] == 0.4
    first = frame.loc["S1"]
    assert (first["specimen"], first["gem_well"], first["selection"], first["car_counting"]) == ("S1", "S1", "unknown",
                                                                                               "unknown")
    assert (first["material"], first["diagnosis"], first["role"]) == ("", "", "")
    assert first["gex"] == str(folder / "a.h5")
    assert first["vdj"] == f"{folder / 'v.csv'};{folder / 'w.csv'}"
    assert files("molecules", first["molecules"]) == [("CAR", folder / "m.tsv")]


def test_windows_excel_and_blank_lines_are_understood(folder: Path) -> None:
    path = folder / "sheet.csv"
    path.write_bytes("\ufeffpatient,sample,role,gex,selection\r\n"
                     "P1,S1,\"car_positive_control; cnv_reference\",a.h5,car+\r\n,,,,\r\n".encode())
    frame = read_sheet(path)
    assert frame.loc["S1", "role"] == "car_positive_control,cnv_reference"
    assert roles(frame.loc["S1", "role"]) == ["car_positive_control", "cnv_reference"]
    assert frame.loc["S1", "selection"] == "CAR+"


def test_row_order_does_not_matter(folder: Path) -> None:
    rows = [row(sample="S2"), row(sample="S1"), row(patient="P0", sample="S9")]
    one = read_sheet(sheet(folder, *rows))
    other = read_sheet(sheet(folder, *rows[::-1]))
    assert one.equals(other)
    assert list(one.index) == ["S9", "S1", "S2"]


@pytest.mark.parametrize(("change", "said"), [
    ({"sampl": "x"}, "unknown column 'sampl'; rename or remove it; nearest existing: sample"),
    ({"sample": ""}, "column sample: the id is empty"),
    ({"sample": "a/b"}, "found 'a/b'"),
    ({"day": "M02"}, "'M02' is not a number"),
    ({"day": "inf"}, "'inf' is not a number"),
    ({"role": "car_positiv"}, "unknown role 'car_positiv'; use one of car_positive_control"),
    ({"diagnosis": "lymphoma"}, "unknown word 'lymphoma'; use one of T_lymphoma_proven"),
    ({"car_counting": "uniq"}, "unknown word 'uniq'"),
    ({"car_fraction": "45", "car_fraction_n": "10"}, "found 45; give a number from 0 to 1"),
    ({"car_fraction_n": "10"}, "given without car_fraction"),
    ({"purity": "1.2"}, "found 1.2"),
    ({"vcn_target": "0.4"}, "a vector copy number without its pair"),
    ({"vcn_target": "0.4", "vcn_reference": "1"}, "0.4 is a ratio, not a count"),
    ({"chemistry": "10x-6p"}, "column chemistry: found '10x-6p'"),
    ({"car": "A+;B"}, "column car: found 'A+;B'"),
    ({"gex": "none.h5"}, "none.h5 does not exist"),
    ({"vdj": "v.csv;nope.csv"}, "nope.csv does not exist"),
    ({"molecules": "A=m.tsv,A=m.tsv"}, "a table name is given twice"),
    ({"gex": ""}, "the row names no data file"),
    ({"gex_obs": "sample"}, "write column=value"),
    ({"gex": "", "gex_obs": "a=b", "vdj": "v.csv"}, "given without gex"),
])
def test_a_fault_names_place_find_and_fix(folder: Path, change: dict[str, object], said: str) -> None:
    found = faults(folder, row(**change))
    assert any(said in f for f in found), found
    assert all("\n" not in f and str(folder / "sheet.csv") in f for f in found)


def test_faults_between_rows(folder: Path) -> None:
    found = faults(folder, row(), row(), row(sample="S2", specimen="X", day="1"),
                   row(sample="S3", specimen="X", day="2"),
                   row(sample="S4", patient="P2", specimen="X", day="1"))
    assert any("line 3, column sample: sample 'S1' is already on line 2" in f for f in found)
    assert any("specimen 'X' has '1', '2'" in f for f in found)
    same_day = faults(folder, row(specimen="X", day="1"), row(sample="S2", specimen="X", day="1.0"))
    assert same_day == []
    assert any("specimen 'X' belongs to several patients" in f for f in found)


def test_all_faults_come_at_once_and_read_sheet_raises_them(folder: Path) -> None:
    path = sheet(folder, row(day="x", role="y", gex="absent.h5"),
                 row(sample="S2", car_fraction="7", car_fraction_n="1"))
    assert len(sheet_faults(path)) == 4
    with pytest.raises(InputErrors, match="and 3 more") as caught:
        read_sheet(path)
    assert len(caught.value.faults) == 4


@pytest.mark.parametrize(("text", "said"), [
    ("", "0 bytes"), ("\n\n", "holds no text"), ("patient,sample,gex\n", "header and no row"),
    ("patient;sample;gex\nP;S;a.h5\n", "semicolons"), ("patient,sample,sample\nP,S,S\n", "'sample' appears twice"),
    ("patient,sample,gex\nP1,S1\n", "line 2: found 2 fields, the header has 3"),
    ("patient,gex\nP1,a.h5\n", "column 'sample' is missing"),
])
def test_broken_sheets(folder: Path, text: str, said: str) -> None:
    path = folder / "sheet.csv"
    path.write_text(text)
    assert said in str(sheet_faults(path)[0])
    with pytest.raises(InputErrors):
        read_sheet(path)


def test_an_absent_sheet_names_its_neighbours(folder: Path) -> None:
    sheet(folder, row())
    assert "nearest existing: sheet.csv" in str(sheet_faults(folder / "shet.csv")[0])


def test_an_excel_workbook_and_latin1_are_told(folder: Path) -> None:
    (folder / "s.xlsx").write_bytes(b"PK\x03\x04rest")
    (folder / "l.csv").write_bytes("patient,sample\nJ\xf6rg,S\n".encode("latin-1"))
    assert "Excel" in str(sheet_faults(folder / "s.xlsx")[0])
    assert "not UTF-8" in str(sheet_faults(folder / "l.csv")[0])
