"""Which construct a carrying cell or clone carries, where several were given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._schema import CAR_CARRYING

if TYPE_CHECKING:
    from .car import Partition, Patient

UNRESOLVED = "unresolved"
SHARE, MIN_UMI = 0.9, 2  # share of the specific UMIs that names a construct, and how many a clone needs


def _name(counts: np.ndarray, constructs: tuple[str, ...], least: int) -> str:
    """The construct that has nearly all UMIs; those that fit several constructs (``A_or_B``) name none."""
    parts = [name.split("_or_") for name in constructs]
    joint = np.array([len(p) > 1 and set(p) <= set(constructs) for p in parts])
    counts = np.where(joint, 0, counts)
    total = counts.sum()
    best = int(np.argmax(counts))
    return constructs[best] if total >= least and counts[best] >= SHARE * total else UNRESOLVED


def of_clones(patient: Patient, clones: pd.DataFrame) -> list[str]:
    """Construct of every carrying clone; empty for the others and where only one construct was given."""
    if len(patient.constructs) < 2:
        return [""] * len(clones)
    sums = _clone_sums(patient)
    carrying = clones["car_verdict"].isin(CAR_CARRYING).to_numpy()
    return [_name(sums[k], patient.constructs, MIN_UMI) if carrying[k] else "" for k in range(len(clones))]


def _clone_sums(patient: Patient) -> np.ndarray:
    used = (patient.cells.clone >= 0) & patient.cells.usable
    sums = np.zeros((len(patient.clones), len(patient.constructs)), np.int64)
    np.add.at(sums, patient.cells.clone[used], patient.construct_counts[used])
    return sums


def of_cells(patient: Patient, parts: Partition, per_cell: pd.DataFrame) -> np.ndarray:
    """Construct of every cell called ``pos``: by its own UMIs, else by its clone's."""
    out = np.full(len(per_cell), "", object)
    if len(patient.constructs) < 2:
        return out
    sums = _clone_sums(patient)
    for i in np.flatnonzero((per_cell["car_call"] == "pos").to_numpy()):
        own = patient.construct_counts[i]
        if own.sum() == 0 and parts.code[i] >= 0:
            own = sums[patient.cells.clone[i]]
        out[i] = _name(own, patient.constructs, 1)
    return out
