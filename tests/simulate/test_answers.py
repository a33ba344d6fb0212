"""Comparison of results with expected answers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sclineage._errors import InputError
from sclineage.simulate.answers import agrees, compare


@pytest.mark.parametrize(("found", "expected", "right"), [
    ("malignant", "malignant", True), ("suspicious", "malignant", False), ("b", "a|b", True), ("", "a|b", False),
    ("-30.0", "-30", True), ("3.2", ">3", True), ("3", ">3", False), ("3", ">=3", True), ("", ">=0", False),
    ("8e-4", "<=0.0009", True), ("0.5", "<0.4", False)])
def test_agrees(found: str, expected: str, right: bool) -> None:
    assert agrees(found, expected) is right


def _write(folder: Path, name: str, rows: list[dict[str, object]]) -> None:
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / name, index=False)


def test_compare_finds_the_row_of_the_question(tmp_path: Path) -> None:
    truth, results = tmp_path / "truth", tmp_path / "out"
    ask = {"patient": "P1", "trb_junction": "", "where": ""}
    _write(truth, "expected.csv", [
        {**ask, "question": "a", "expected": "x", "table": "clones", "column": "car_verdict", "trb_junction": "TGT"},
        {**ask, "question": "b", "expected": "x", "table": "clone_car", "column": "car_verdict", "trb_junction": "TGT",
         "where": "specimen=s1"},
        {**ask, "question": "c", "expected": "no", "table": "distinct", "column": "same_t_cell",
         "where": "population_a=malignant;population_b=CAR-T;line=all"},
        {**ask, "question": "d", "expected": ">1", "table": "virus", "column": "umi"}])
    _write(results, "clones.csv", [
        {"patient": "P1", "clone_id": "k1", "trb_junction": "TGT", "car_verdict": "x"},
        {"patient": "P1", "clone_id": "k2", "trb_junction": "TGC", "car_verdict": "y"},
        {"patient": "P2", "clone_id": "k1", "trb_junction": "TGT", "car_verdict": "y"}])
    _write(results, "clone_car.csv", [
        {"patient": "P1", "clone_id": "k1", "specimen": "s1", "car_verdict": "z"},
        {"patient": "P1", "clone_id": "k1", "specimen": "s2", "car_verdict": "x"}])
    _write(results, "distinct.csv", [
        {"patient": "P1", "population_a": "CAR-T", "population_b": "malignant", "line": "all", "same_t_cell": "no"}])
    found = compare(results, truth).set_index("question")
    assert found["right"].to_dict() == {"a": True, "b": False, "c": True, "d": False}
    assert found["found"].to_dict() == {"a": "x", "b": "z", "c": "no", "d": ""}


def test_compare_needs_the_truth(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected\.csv"):
        compare(tmp_path, tmp_path)
