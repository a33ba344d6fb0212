"""The demonstration: a simulated patient through the whole pipeline, compared with its truth."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from .pipeline import Say, run

_COMPARISONS: tuple[tuple[str, Callable[[float, float], bool]], ...] = (
    (">=", operator.ge), ("<=", operator.le), (">", operator.gt), ("<", operator.lt))


def demo(out: str | os.PathLike[str], *, scenario: str = "index_case", seed: int = 0, threads: int | None = None,
         say: Say | None = None) -> tuple[list[str], bool]:
    """Simulate a scenario, run it, and compare every answer with the truth.

    Parameters
    ----------
    out
        Folder: ``input/`` (files and truth) and the outputs of `sclineage.run` beside it.
    scenario, seed, threads
        Which patient; threads never change the result.
    say
        Receives one line per step.

    Returns
    -------
    Lines to print, and whether every answer equals the truth.
    """
    from .simulate.api import simulate

    folder = Path(out)
    sheet = simulate(scenario, seed=seed, out=folder / "input")
    arguments = _arguments(folder / "input")
    run(sheet, folder, car=arguments.get("car"), virus=arguments.get("virus", "").split(), config=_config(folder),
        threads=threads, seed=seed, say=say)
    answers = compare(folder / "input" / "truth" / "expected.csv", folder)
    width = max((len(str(a["question"])) for a in answers), default=0)
    lines = [f"{'right' if a['right'] else 'WRONG'}  {a['question']:{width}}  {a['found']}  (truth: {a['expected']})"
             for a in answers]
    right = bool(answers) and all(a["right"] for a in answers)
    lines.append(f"{sum(bool(a['right']) for a in answers)} of {len(answers)} answers equal the truth; "
                 f"report: {folder / 'report.html'} (research use only)")
    return lines, right


def _arguments(folder: Path) -> dict[str, str]:
    frame = pd.read_csv(folder / "truth" / "arguments.csv", dtype=str, keep_default_na=False)
    return dict(zip(frame["argument"], frame["value"], strict=True))


def _config(folder: Path) -> Path | None:
    path = folder / "input" / "config.yaml"
    return path if path.exists() else None


def compare(expected: str | os.PathLike[str], results: str | os.PathLike[str]) -> list[dict[str, object]]:
    """Look every expected answer up in the output tables.

    Parameters
    ----------
    expected
        ``truth/expected.csv`` of a simulated patient.
    results
        Folder with the output tables.

    Returns
    -------
    One record per question: question, expected, found (text; ``absent`` without a row), right.
    """
    out: list[dict[str, object]] = []
    for record in pd.read_csv(expected, dtype=str, keep_default_na=False).to_dict("records"):
        row = {str(k): str(v) for k, v in record.items()}
        found = _find(Path(results), row)
        out.append({"question": row["question"], "expected": row["expected"], "found": " / ".join(found) or "absent",
                    "right": bool(found) and all(_agrees(f, row["expected"]) for f in found)})
    return out


def _find(results: Path, row: dict[str, str]) -> list[str]:
    name = "cells.csv.gz" if row["table"] == "cells" else f"{row['table']}.csv"
    frame = pd.read_csv(results / name, dtype=str, keep_default_na=False)
    if row["trb_junction"]:
        clones = pd.read_csv(results / "clones.csv", dtype=str, keep_default_na=False)
        ids = clones.loc[clones["trb_junction"] == row["trb_junction"], "clone_id"]
        frame = frame[frame["clone_id"].isin(ids)]
    for part in filter(None, row["where"].split(";")):
        column, value = part.split("=", 1)
        frame = frame[frame[column] == value]
    return sorted(set(frame[row["column"]]))


def _agrees(found: str, expected: str) -> bool:
    for sign, compare_ in _COMPARISONS:
        if expected.startswith(sign):
            return found != "" and compare_(float(found), float(expected[len(sign):]))
    return found in expected.split("|")
