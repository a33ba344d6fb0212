"""`check`: every fault of every input at once, in seconds, nothing computed."""

from __future__ import annotations

import os

import pandas as pd

from .._errors import Fault, InputError
from .build import Car, Virus, load_patient, resolve_features
from .load import Guard
from .sheet import examine
from .spec import Constructs, VirusSpec, parse_car, parse_virus


def check(sheet: str | os.PathLike[str] | pd.DataFrame, *, car: Car = None, virus: Virus = None) -> list[Fault]:
    """Look into all inputs of all patients and list what is wrong.

    The sheet; the names in every matrix and the counts of its first cells; every contig, molecule, cell and allele
    table; whether barcodes meet; whether the CAR and viral features are there; the species.

    Parameters
    ----------
    sheet
        Path of a sample sheet, or the frame that `read_sheet` returns.
    car, virus
        As in `read_patient`.

    Returns
    -------
    Faults in the order in which they were found; empty when `read_patient` has nothing to refuse in what was looked at.
    """
    faults, rows = ([], sheet) if isinstance(sheet, pd.DataFrame) else examine(sheet)
    guard = Guard(collect=True)
    constructs: Constructs = guard(parse_car, car) or {}
    viruses: dict[str, VirusSpec] = guard(parse_virus, virus) or {}
    if rows is not None:
        for _, of_patient in rows.groupby("patient", sort=True):
            _check_patient(of_patient, constructs, viruses, guard)
    return [*faults, *guard.faults]


def _check_patient(rows: pd.DataFrame, car: Constructs, virus: dict[str, VirusSpec], guard: Guard) -> None:
    samples = load_patient(rows, car, virus, guard, peek=True)
    if all(s.gex is None and not s.tables for s in samples.values()):
        return
    for spec in virus.values():
        try:
            resolve_features(samples, {spec.name: spec})
        except InputError as error:
            guard.faults.extend(error.faults)
