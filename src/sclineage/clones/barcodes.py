"""Clones by lineage barcodes (LARRY, CellTag): the model of the receptors with integrated barcodes as anchors.

A founder cell integrates one barcode or several; its progeny shows them with drop-out, ambient and doublets. Barcodes
that are in the same cells are one set and stand for one anchor; cells then attach to sets by `assign`, each with a
posterior. A cell is never a bridge: sets grow around their commonest barcode, not from cell to cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .assign import THRESHOLD, Assignment, assign
from .correct import correct
from .ids import chain_hash
from .letters import letters
from .observed import observe

HOMOPLASY = 1e-5  # P(two founders drew the same barcode): a library of 1e5 equally common barcodes
TOGETHER_CELLS, TOGETHER_RARER, TOGETHER_LEAD = 2, 0.5, 0.3


@dataclass(frozen=True)
class BarcodeClones:
    """Result for one patient.

    Attributes
    ----------
    cells
        One row per cell: ``clone``, ``clone_2`` (rows of `clones`, -1 none), ``posterior``, ``status``.
    clones
        One row per clone: ``clone_id``, ``barcodes`` (joined by ``;``, the commonest first), ``n_cells``.
    """

    cells: pd.DataFrame
    clones: pd.DataFrame


def barcode_sets(cell: np.ndarray, barcode: np.ndarray, n_barcodes: int) -> np.ndarray:
    """Barcodes of one founder: int64 per barcode, the barcode (commonest of the set) that it stands for.

    Barcodes are visited by falling number of cells (ties: lower index first). One joins the earlier barcode with
    which it shares most cells when these are at least two, half of its own and 30 % of that barcode's, and that
    barcode stands for itself. Specified in ``tests/oracles/barcodes.py``.

    Parameters
    ----------
    cell, barcode
        int64, one row per barcode of a cell, no row twice.
    n_barcodes
        Number of barcodes.
    """
    seen = np.bincount(barcode, minlength=n_barcodes)
    rows = pd.DataFrame({"cell": cell, "barcode": barcode})
    pairs = rows.merge(rows, on="cell").query("barcode_x != barcode_y")
    pairs = pairs.groupby(["barcode_x", "barcode_y"], as_index=False).size()
    own, lead, n = (pairs[c].to_numpy(np.int64) for c in ("barcode_x", "barcode_y", "size"))
    earlier = (seen[lead] > seen[own]) | ((seen[lead] == seen[own]) & (lead < own))
    good = earlier & (n >= TOGETHER_CELLS) & (n >= TOGETHER_RARER * seen[own]) & (n >= TOGETHER_LEAD * seen[lead])
    own, lead, n = own[good], lead[good], n[good]
    stands_for = np.arange(n_barcodes)
    for k in np.lexsort((lead, -seen[lead], -n, own, -seen[own])):
        if stands_for[own[k]] == own[k] and stands_for[lead[k]] == lead[k]:
            stands_for[own[k]] = lead[k]
    return stands_for


def barcode_clones(rows: pd.DataFrame, names: np.ndarray, *, patient: str, sample: np.ndarray, n_samples: int,
                   homoplasy: float = HOMOPLASY, threshold: float = THRESHOLD) -> BarcodeClones:
    """Clones of one patient (or animal) by lineage barcodes.

    Parameters
    ----------
    rows
        ``cell, chain, umis`` (int64): barcode ``chain`` (row of `names`) seen in a cell; UMIs 0 where unknown.
    names
        Object array: barcodes. Where all are nucleotides, one-letter errors are collapsed first.
    patient
        First part of the clone ids.
    sample
        int64 (n): sample of every cell, in ``0..n_samples-1``.
    n_samples
        Number of samples.
    homoplasy
        P(two founders drew the same barcode).
    threshold
        Posterior from which a clone is named.
    """
    rows = _corrected(rows.assign(sample=sample[rows["cell"]]), names)
    sets = barcode_sets(rows["cell"].to_numpy(np.int64), rows["chain"].to_numpy(np.int64), names.size)
    merged = rows.assign(chain=sets[rows["chain"]]).groupby(["cell", "chain"])["umis"].sum().reset_index()
    locus = np.zeros(names.size, np.int64)
    obs, row = observe(merged, locus, sample, chance=(homoplasy, homoplasy))
    found = assign(obs, row, n_chains=names.size, n_samples=n_samples, invariant=np.zeros(names.size, bool),
                   partners=False, threshold=threshold)
    return BarcodeClones(found.cells[["clone", "clone_2", "posterior", "status"]],
                         _clones(patient, found, rows, sets, names))


def _corrected(rows: pd.DataFrame, names: np.ndarray) -> pd.DataFrame:
    if not all(set(name) <= set("ACGT") for name in names):
        return rows
    chain, _ = correct(rows, letters(names), np.zeros(names.size, np.int64))
    return rows.assign(chain=chain).groupby(["cell", "chain"])["umis"].sum().reset_index()


def _clones(patient: str, found: Assignment, rows: pd.DataFrame, sets: np.ndarray, names: np.ndarray) -> pd.DataFrame:
    seen = np.bincount(rows["chain"], minlength=names.size)
    anchor = found.clones["anchor"].to_numpy(np.int64)
    members: dict[int, list[int]] = {int(a): [] for a in anchor}
    for k in np.lexsort((np.arange(names.size), -seen)):
        if int(sets[k]) in members and seen[k]:
            members[int(sets[k])].append(int(k))
    return pd.DataFrame({
        "clone_id": [f"{patient}:{chain_hash(str(names[a]), '', '')}" for a in anchor],
        "barcodes": [";".join(str(names[k]) for k in members[int(a)]) for a in anchor],
        "n_cells": found.clones["n_cells"].to_numpy(np.int64)})
