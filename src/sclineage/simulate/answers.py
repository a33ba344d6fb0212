"""Comparing the output of a run with the answers a scenario expects."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from .._errors import InputError

_FILES = {"clones": "clones.csv", "clone_car": "clone_car.csv", "virus": "virus.csv", "distinct": "distinct.csv",
          "samples": "samples.csv", "timeline": "timeline.csv"}
_COMPARISON = re.compile(r"^(>=|<=|>|<)(-?[0-9.eE+-]+)$")


def agrees(found: str, expected: str) -> bool:
    """Whether a value is one of the words ``a|b``, an equal number, or satisfies a comparison such as ``>=2``."""
    match = _COMPARISON.match(expected)
    if match is None:
        return any(found == word or _equal(found, word) for word in expected.split("|"))
    try:
        value, bound = float(found), float(match.group(2))
    except ValueError:
        return False
    return {">=": value >= bound, "<=": value <= bound, ">": value > bound, "<": value < bound}[match.group(1)]


def _equal(found: str, word: str) -> bool:
    try:
        return float(found) == float(word)
    except ValueError:
        return False


def compare(results: str | os.PathLike[str], truth: str | os.PathLike[str]) -> pd.DataFrame:
    """Compare the tables of a run with ``truth/expected.csv``.

    Parameters
    ----------
    results
        Output folder of ``sclineage run``.
    truth
        Folder ``truth`` of a simulated patient.

    Returns
    -------
    One row per question: ``question``, ``expected``, ``found`` (``;`` between several rows of the output; empty when no
    row answers the question) and ``right`` (bool: there is an answer and all of it agrees).

    Raises
    ------
    InputError
        `truth` holds no expected.csv.
    """
    path = Path(truth) / "expected.csv"
    if not path.is_file():
        raise InputError(path, "does not exist", "give the truth folder of a simulated patient")
    questions = pd.read_csv(path, dtype=str, keep_default_na=False)
    tables = {name: _table(Path(results) / file) for name, file in _FILES.items()}
    rows = []
    for question in questions.to_dict("records"):
        values = _found(tables, {str(k): str(v) for k, v in question.items()})
        rows.append({"question": question["question"], "expected": question["expected"], "found": ";".join(values),
                     "right": bool(values) and all(agrees(v, question["expected"]) for v in values)})
    return pd.DataFrame(rows, columns=["question", "expected", "found", "right"])


def _table(path: Path) -> pd.DataFrame | None:
    return pd.read_csv(path, dtype=str, keep_default_na=False) if path.is_file() else None


def _found(tables: dict[str, pd.DataFrame | None], question: dict[str, str]) -> list[str]:
    """Values of the rows that a question is about."""
    rows, clones = tables[question["table"]], tables["clones"]
    if rows is None:
        return []
    rows = rows[rows["patient"] == question["patient"]]
    if question["trb_junction"] and clones is not None:
        own = clones[(clones["patient"] == question["patient"]) & (clones["trb_junction"] == question["trb_junction"])]
        rows = rows[rows["clone_id"].isin(own["clone_id"])]
    conditions = dict(part.split("=", 1) for part in question["where"].split(";") if part)
    if "population_a" in conditions:
        rows = _either_way(rows, conditions.pop("population_a"), conditions.pop("population_b"))
    for column, value in conditions.items():
        rows = rows[rows[column] == value]
    return rows[question["column"]].tolist()


def _either_way(rows: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """Rows of a pair of populations, in whichever order the table names them."""
    pair = rows[["population_a", "population_b"]]
    return rows[((pair["population_a"] == a) & (pair["population_b"] == b))
                | ((pair["population_a"] == b) & (pair["population_b"] == a))]
