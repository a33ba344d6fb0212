"""Tables of cells or clones that a user gives: text, row numbers, whose row is whose."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sclineage._errors import InputError
from sclineage.patient.given import name_of, rows, share_out

SHEET = pd.DataFrame({"patient": ["A", "A", "B"], "sample": ["a1", "a2", "b1"]})


def test_text_is_stripped_and_empty_fields_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text("Sample, barcode ,donor\na1, ACGT-1 ,\nb1,TTTT-1,7\n")
    frame = rows(path, fix="give cells")
    assert list(frame) == ["sample", "barcode", "donor"]
    assert frame["barcode"].tolist() == ["ACGT-1", "TTTT-1"]
    assert frame["donor"].tolist() == [None, "7"]
    again = rows(pd.DataFrame({"barcode": ["ACGT-1"], "probability": [0.25]}), fix="give cells")
    assert again["probability"].tolist() == ["0.25"]
    assert (name_of(frame), name_of(again)) == (str(path), "table")


@pytest.mark.parametrize("text", [None, "", "barcode,donor\n"])
def test_a_file_without_rows_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "cells.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match="give cells"):
        rows(path, fix="give cells")


def test_rows_go_to_their_patients_and_keep_their_numbers() -> None:
    given = {"patient": ["", "B", ""], "sample": ["a2", "", ""], "clone_id": ["", "", "A:x"]}
    frame = rows(pd.DataFrame(given), fix="")
    parts = share_out(frame, SHEET)
    assert {p: part.index.tolist() for p, part in parts.items()} == {"A": [0, 2], "B": [1]}
    assert name_of(parts["B"]) == "table"
    assert list(share_out(frame.iloc[:1], SHEET)) == ["A"]


@pytest.mark.parametrize(("row", "words"), [
    ({"sample": "a3"}, "row 2, column 'sample': 'a3' is no sample of the sheet"),
    ({"patient": "C", "sample": "a1"}, "'C' is no patient of the sheet"),
    ({"clone_id": "C:x"}, "'C' is no patient of the sheet"),
    ({"barcode": "ACGT-1"}, "row 2: does not say of which patient it is"),
])
def test_a_row_of_nobody_is_refused(row: dict[str, str], words: str) -> None:
    with pytest.raises(InputError) as error:
        share_out(rows(pd.DataFrame([row]), fix=""), SHEET)
    assert words in str(error.value)
