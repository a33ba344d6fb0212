"""The registry of columns: what is not registered cannot be written."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from sclineage import _schema


@pytest.mark.parametrize("name", list(_schema.TABLES))
def test_columns_are_unique_and_explained(name: str) -> None:
    columns = _schema.TABLES[name]
    assert len({c.name for c in columns}) == len(columns)
    assert all(c.meaning and c.dtype in {"str", "int", "float", "bool"} for c in columns)


@pytest.mark.parametrize("name", list(_schema.TABLES))
def test_empty_table_conforms(name: str) -> None:
    frame = _schema.conform(_schema.empty(name), name)
    assert list(frame.columns) == [c.name for c in _schema.TABLES[name]]
    assert frame.empty


def timeline_row(**change: object) -> pd.DataFrame:
    row = {"patient": "P", "clone_id": "P:a", "sample": "S", "day": 1.0, "n_clone": 1, "n_informative": 3,
           "frequency": 1 / 3, "low": 0.1, "high": 0.9, "limit_of_detection": 0.5, "flags": ""}
    return pd.DataFrame([row | change])


def test_unregistered_and_missing_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="unregistered columns \\['extra'\\]"):
        _schema.conform(timeline_row(extra=1), "timeline")
    with pytest.raises(ValueError, match="missing columns \\['low'\\]"):
        _schema.conform(timeline_row().drop(columns="low"), "timeline")


def test_words_outside_the_enum_are_refused() -> None:
    frame = _schema.empty("origin")
    frame.loc[0] = ["P", "P:a", 1.0, "maybe", np.nan, ""]
    with pytest.raises(ValueError, match="'maybe'"):
        _schema.conform(frame, "origin")


def test_missing_stays_missing_and_is_not_zero() -> None:
    frame = _schema.conform(timeline_row(n_informative=None, frequency=None, flags=None), "timeline")
    assert frame["n_informative"].isna().all()
    assert frame["frequency"].isna().all()
    assert frame["flags"].tolist() == [""]


def test_written_bytes_do_not_depend_on_row_order(tmp_path) -> None:
    rows = pd.concat([timeline_row(clone_id=f"P:{k}", day=float(k)) for k in "321"], ignore_index=True)
    _schema.write(rows, "timeline", tmp_path / "a.csv.gz")
    _schema.write(rows.iloc[::-1], "timeline", tmp_path / "b.csv.gz")
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).startswith(b"patient,clone_id,sample,day")


def test_negative_and_carrying_words_share_nothing() -> None:
    assert not set(_schema.CAR_NEGATIVE) & set(_schema.CAR_CARRYING)
    assert {*_schema.CAR_NEGATIVE, *_schema.CAR_CARRYING, "indeterminate"} == set(_schema.CAR_VERDICTS)
