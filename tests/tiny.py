"""A tiny patient for tests of the whole path, and the same patient with everything in another order."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from sclineage.simulate import scenarios
from sclineage.simulate.api import simulate
from sclineage.simulate.expression import CAR, Aberration
from sclineage.simulate.plan import Answer, Focus, Group, Library, Plan, Site, car_t, other_cells, t_cells

VIRUS = "EBV=prefix:EBV_"


def tiny_plan() -> Plan:
    """Three small libraries: apheresis, biopsy, and the biopsy's CAR+ sort."""
    row = {"selection": "none", "chemistry": "10x-5p-v2", "car_counting": "unique"}
    libraries = (
        Library("apheresis", (*t_cells(140), *other_cells(60), Group("", 3, "tumor", captured=True)),
                {"day": -20, "material": "blood", "pool": "a", **row}, empties=300, panel=True),
        Library("biopsy", (Group("", 120, "tumor", malignant=True, ebv=0.5), *car_t(70), *t_cells(110),
                           *other_cells(60, tumor=True)),
                {"day": 50, "material": "tumor", "pool": "b", "specimen": "node", "diagnosis": "suspected", **row},
                empties=300, panel=True),
        Library("biopsy_sort", car_t(90),
                {"day": 50, "material": "tumor", "pool": "b", "specimen": "node", "role": "car_positive_control", **row}
                | {"selection": "CAR+"}),
    )
    sites = (Site("TP53", "chr17", 7674220, "C", "T", focus=("tumor",), malignant_only=True),)
    answers = (Answer("is the tumour clone malignant", "malignant", "clones", "malignant_call", "tumor"),)
    tumor = Focus("tumor", "CD8_memory", Aberration(lost=("CD5", "CD7", "DPP4")))
    return Plan(libraries, (tumor,), answers, pool=400, car_clones=40, sites=sites, virus=True,
                arguments={"car": CAR, "virus": VIRUS})


def write_tiny(folder: Path, *, seed: int = 5) -> Path:
    """Write the tiny patient; returns its sheet."""
    scenarios.SCENARIOS["tiny"] = tiny_plan
    try:
        return simulate("tiny", seed=seed, out=folder)
    finally:
        del scenarios.SCENARIOS["tiny"]


def shuffle(sheet: Path, folder: Path, *, seed: int = 1) -> Path:
    """The same patient: rows of the sheet, cells and genes of the matrices, contigs and files in another order."""
    rng = np.random.default_rng(seed)
    shutil.copytree(sheet.parent, folder)
    for path in sorted(folder.glob("*/filtered_contig_annotations.csv")):
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        frame.iloc[rng.permutation(len(frame))].to_csv(path, index=False)
    for path in sorted(folder.glob("*/filtered_feature_bc_matrix.h5")):
        _shuffle_matrix(path, rng)
    rows = pd.read_csv(folder / "sheet.csv", dtype=str, keep_default_na=False)
    rows = rows.iloc[rng.permutation(len(rows))]
    rows[rows.columns[rng.permutation(rows.shape[1])]].to_csv(folder / "sheet.csv", index=False)
    return folder / "sheet.csv"


def _shuffle_matrix(path: Path, rng: np.random.Generator) -> None:
    with h5py.File(path, "r+") as handle:
        group = handle["matrix"]
        n_genes, n_cells = group["shape"][:]
        counts = sparse.csc_matrix((group["data"][:], group["indices"][:], group["indptr"][:]), (n_genes, n_cells))
        genes, cells = rng.permutation(n_genes), rng.permutation(n_cells)
        counts = counts[genes][:, cells].sorted_indices()
        for name in ("data", "indices", "indptr"):
            group[name][...] = getattr(counts, name)
        group["barcodes"][...] = group["barcodes"][:][cells]
        for name in ("id", "name", "feature_type", "genome"):
            group["features"][name][...] = group["features"][name][:][genes]
