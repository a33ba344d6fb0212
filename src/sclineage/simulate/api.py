"""Public functions: patients with known truth, written to disk or as MuData."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .._errors import InputError, nearest
from .._schema import SHEET_COLUMNS
from . import files, truth
from .people import draw_clones
from .plan import Plan
from .sampled import sample_library

if TYPE_CHECKING:
    from mudata import MuData


def scenarios() -> dict[str, str]:
    """Names of the scenarios and what each is, in one line.

    Returns
    -------
    Name -> description, the demonstration case first.
    """
    from .scenarios import SCENARIOS

    return {name: " ".join((make.__doc__ or "").split()) for name, make in SCENARIOS.items()}


def make_plan(scenario: str) -> Plan:
    """The plan of a scenario.

    Raises
    ------
    InputError
        No scenario of this name; the message names the nearest.
    """
    from .scenarios import SCENARIOS

    if scenario not in SCENARIOS:
        raise InputError("scenario", f"{scenario!r} is none", nearest(scenario, SCENARIOS))
    return SCENARIOS[scenario]()


def simulate(scenario: str = "index_case", *, seed: int = 0, out: str | os.PathLike[str]) -> Path:
    """Write a patient with known truth: the inputs in the real file formats, and ``truth/*.csv``.

    Parameters
    ----------
    scenario
        Name, see `scenarios`.
    seed
        Seed; the same seed gives the same bytes.
    out
        Folder, made if absent. Holds ``sheet.csv``, one folder per sample (``filtered_feature_bc_matrix.h5``,
        ``raw_feature_bc_matrix.h5``, ``filtered_contig_annotations.csv``, ``alleles/`` in cellsnp-lite's layout),
        ``config.yaml`` and ``drivers.csv`` where the scenario has them, and ``truth/``: ``cells.csv``,
        ``clones.csv``, ``frequencies.csv``, ``variants.csv``, ``expected.csv`` (the answers to expect) and
        ``arguments.csv`` (the command-line arguments that the scenario is meant to be run with).

    Returns
    -------
    Path of the sample sheet. It is written last: a folder with a sheet is complete.

    Raises
    ------
    InputError
        No scenario of this name.
    """
    plan, folder = make_plan(scenario), Path(out)
    clones = draw_clones(plan, seed)
    sheet, rows, tables = folder / "sheet.csv", [], []
    sheet.unlink(missing_ok=True)
    for library in plan.libraries:
        sampled = sample_library(plan, library, clones, seed)
        rows.append(files.write_library(folder, plan, sampled))
        tables.append(truth.cells_table(plan, [sampled]))
    cells = pd.concat(tables, ignore_index=True)
    for name, frame in (("cells", cells), ("clones", truth.clones_table(plan, clones, cells)),
                        ("frequencies", truth.frequencies_table(plan, cells)),
                        ("variants", truth.variants_table(plan, clones)),
                        ("expected", truth.expected_table(plan, clones)),
                        ("arguments", pd.DataFrame({"argument": list(plan.arguments),
                                                    "value": list(plan.arguments.values())}))):
        files.write_csv(frame, folder / "truth" / f"{name}.csv")
    _write_config(plan, folder)
    used = [c for c in SHEET_COLUMNS if any(c in row for row in rows)]
    files.write_csv(pd.DataFrame(rows).reindex(columns=used), sheet)
    return sheet


def _write_config(plan: Plan, folder: Path) -> None:
    keys = dict(plan.config)
    if plan.sites:
        files.write_csv(pd.DataFrame([{"site": s.name, "gene": s.gene, "chrom": s.chrom, "pos": s.pos, "ref": s.ref,
                                       "alt": s.alt} for s in plan.sites]), folder / "drivers.csv")
        keys["drivers"] = "drivers.csv"
    if keys:
        files.write_text("".join(f"{k}: {v}\n" for k, v in keys.items()), folder / "config.yaml")


def simulate_patient(scenario: str = "index_case", *, seed: int = 0) -> MuData:
    """A simulated patient, read as `sclineage.io.read_patient` would read the files.

    Parameters
    ----------
    scenario
        Name, see `scenarios`.
    seed
        Seed.

    Returns
    -------
    MuData with the modalities ``gex`` and ``airr``; ``uns["sclineage"]["truth"]`` holds the truth tables
    ``cells``, ``clones``, ``frequencies`` and ``expected`` (string cells for missing).
    """
    from ..patient import access
    from ..patient.api import read_patient

    with tempfile.TemporaryDirectory() as folder:
        sheet = simulate(scenario, seed=seed, out=folder)
        data = read_patient(sheet, car=make_plan(scenario).arguments.get("car"))
        names = ("cells", "clones", "frequencies", "expected")
        access.store(data)["truth"] = {n: pd.read_csv(Path(folder) / "truth" / f"{n}.csv", keep_default_na=False)
                                       for n in names}
    return data
