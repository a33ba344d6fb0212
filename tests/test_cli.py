"""Exit statuses and messages of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sclineage.cli import main
from sclineage.simulate.expression import CAR
from tests.tiny import write_tiny


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


@pytest.mark.parametrize("arguments", [("run",), ("bogus",), ("run", "x", "--no-such"), ("run", "x", "--out", "y")])
def test_usage_errors_are_one_line_and_status_2(capsys, arguments: tuple[str, ...]) -> None:
    status, _, err = call(capsys, *arguments)
    assert status == 2
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(("old", "new", "found"), [
    ("", "", "no_such.csv"),
    ("patient,", "pateint,", "pateint"),
    ("apheresis/filtered_feature_bc_matrix.h5", "apheresis/nothing.h5", "nothing.h5"),
    (",-20,", ",soon,", "soon"),
])
def test_bad_sheets_are_one_line_status_2_and_leave_nothing(capsys, tmp_path, sheet: Path, old: str, new: str,
                                                            found: str) -> None:
    path = sheet.parent / ("no_such.csv" if not old else "bad.csv")
    if old:
        text = sheet.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
    status, _, err = call(capsys, "run", path, "--car", CAR, "--out", tmp_path / "out")
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert found in err
    assert not (tmp_path / "out").exists()


def test_check_lists_all_faults(capsys, sheet: Path) -> None:
    path = sheet.parent / "faults.csv"
    path.write_text(sheet.read_text().replace(",-20,", ",soon,").replace("biopsy_sort/filtered_contig", "gone/contig"))
    status, _, err = call(capsys, "check", path, "--car", "FMC63-CAR")
    assert status == 2
    assert "soon" in err
    assert "gone/contig" in err
    assert CAR in err
    assert all(": " in line and "; " in line for line in err.strip().splitlines())


def test_check_of_a_good_sheet(capsys, sheet: Path) -> None:
    status, out, _ = call(capsys, "check", sheet, "--car", CAR)
    assert status == 0
    assert "no fault found" in out


def test_a_csv_given_as_a_matrix_is_refused(capsys, tmp_path, sheet: Path) -> None:
    path = sheet.parent / "wrong.csv"
    contigs = "apheresis/filtered_contig_annotations.csv"
    path.write_text(sheet.read_text().replace("apheresis/filtered_feature_bc_matrix.h5", contigs))
    status, _, err = call(capsys, "run", path, "--car", CAR, "--out", tmp_path / "out")
    assert status == 2
    assert "filtered_contig_annotations.csv" in err
    assert not (tmp_path / "out").exists()


def test_cuda_without_a_device_is_refused(capsys, tmp_path, sheet: Path) -> None:
    from sclineage import _backend

    if _backend.cuda_available():
        pytest.skip("a CUDA device is here")
    status, _, err = call(capsys, "run", sheet, "--car", CAR, "--out", tmp_path / "out", "--device", "cuda")
    assert status == 2
    assert "--device cpu" in err
    assert not (tmp_path / "out").exists()


def test_internal_error_is_one_line_and_status_1(capsys, monkeypatch) -> None:
    import sclineage._provenance

    def broken() -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr(sclineage._provenance, "versions", broken)
    status, _, err = call(capsys, "info")
    assert status == 1
    assert err.strip() == "internal error: ZeroDivisionError: a b; run again with --debug and report it"


def test_info_and_scenarios(capsys) -> None:
    status, out, _ = call(capsys, "info")
    assert status == 0
    assert "sclineage" in out
    status, out, _ = call(capsys, "simulate", "--list")
    assert status == 0
    assert "index_case" in out
    status, _, err = call(capsys, "simulate", "--scenario", "index_cas")
    assert status == 2
    assert "index_case" in err
