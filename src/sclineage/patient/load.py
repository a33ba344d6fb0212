"""One row of the sheet: read its files, settle which barcodes are cells, join everything else to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import pandas as pd
from scipy import sparse

from .._errors import Fault, InputError, nearest
from .alleles import Alleles, read_alleles
from .barcodes import match, require_overlap
from .cell_lists import read_cells
from .contigs import read_vdj
from .features import ANTIBODY, GENE_EXPRESSION
from .matrices import Matrix, read_matrix
from .molecules import OWN_TABLE, SHARED, MoleculeTable, Pick, own_counts, read_molecules
from .sheet import files
from .spec import HUMAN_ID, Constructs, row_constructs

P = ParamSpec("P")
R = TypeVar("R")


class Guard:
    """Runs steps that may find bad input: raises it at once, or collects it and lets the other steps go on."""

    def __init__(self, *, collect: bool) -> None:
        self.collect = collect
        self.faults: list[Fault] = []

    def __call__(self, step: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        """Result of the step; None where it failed and faults are collected."""
        try:
            return step(*args, **kwargs)
        except InputError as error:
            if not self.collect:
                raise
            self.faults.extend(error.faults)
            return None


@dataclass
class Sample:
    """What the files of one row hold, joined to its cells.

    Attributes
    ----------
    row
        The row of the sheet.
    cells
        Barcodes of the cells, sorted, as their source spells them.
    gex, adt
        Gene-expression and antibody counts, rows = cells.
    contigs
        AIRR fields and ``cell`` (row of `cells`).
    tables
        Molecule tables, ``counts`` with the column ``cell`` in place of the barcode.
    alleles
        Allele counts, rows = cells (0 of 0 where a cell is not in the folder).
    constructs
        CAR constructs of the row; None where it says ``none``.
    facts
        Numbers and words for the sample table.
    notes
        Sentences for the report.
    """

    row: pd.Series
    cells: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=object))
    gex: Matrix | None = None
    adt: Matrix | None = None
    contigs: pd.DataFrame | None = None
    tables: list[MoleculeTable] = field(default_factory=list)
    alleles: Alleles | None = None
    constructs: Constructs | None = None
    facts: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Sample id."""
        return str(self.row["sample"])

    def paths(self, column: str) -> list[Path]:
        """Files of a column of the sheet."""
        return [path for _, path in files(column, str(self.row[column]))]


def load_sample(row: pd.Series, *, car: Constructs, wanted: Pick, guard: Guard, peek: bool = False) -> Sample:
    """Read the files of a row and join them to its cells.

    Cells are the barcodes of ``gex`` (those on the ``cells`` list where one is given), else of ``cells``, else of
    ``vdj``. With `peek` matrices keep all names and the counts of their first cells only.
    """
    row = _without_own_matrix(row)
    sample = Sample(row, constructs=guard(row_constructs, str(row["car"]), car))
    matrix = guard(read_matrix, sample.paths("gex")[0], obs=str(row["gex_obs"]), peek=peek) if row["gex"] else None
    listed = guard(read_cells, sample.paths("cells")[0], owners=[str(row[c]) for c in ("sample", "specimen", "patient")]
                   ) if row["cells"] else None
    contigs = guard(read_vdj, sample.paths("vdj"), sample.paths("vdj_all"))
    if not ((row["gex"] and matrix is None) or (row["cells"] and listed is None)):
        guard(_settle_cells, sample, matrix, listed, contigs, peek)
    for name, path in files("molecules", str(row["molecules"])):
        table = guard(read_molecules, path, name=name, wanted=wanted)
        if table is not None and (joined := guard(_join_molecules, sample, table)) is not None:
            sample.tables.append(joined)
    if contigs is not None and len(sample.cells):
        guard(_join_contigs, sample, contigs)
    if row["alleles"] and (found := guard(read_alleles, sample.paths("alleles")[0])) is not None:
        guard(_join_alleles, sample, found)
    return sample


def _without_own_matrix(row: pd.Series) -> pd.Series:
    """A row whose ``gex`` is what ``sclineage count`` wrote: it names cells and molecules, and holds no genes."""
    if not row["gex"] or row["gex_obs"] or own_counts(str(row["gex"])) is None:
        return row
    matrix = Path(str(row["gex"]))
    folder = matrix if matrix.is_dir() else matrix.parent
    row = row.copy()
    row["cells"], row["molecules"] = row["cells"] or str(matrix), row["molecules"] or str(folder / OWN_TABLE)
    row["gex"] = ""
    return row


def _settle_cells(sample: Sample, matrix: Matrix | None, listed: np.ndarray | None,
                  contigs: pd.DataFrame | None, peek: bool) -> None:  # noqa: FBT001
    if matrix is not None:
        rows = _rows_of_cells(sample, matrix, listed)
        sample.cells = matrix.barcodes[rows]
        sample.facts["counts_from"] = matrix.source
        for kind, number in matrix.other_types().items():
            sample.notes.append(f"{sample.name}: {number} features of type {kind} left out")
        kept = matrix if peek else replace(matrix, counts=matrix.counts[rows], barcodes=sample.cells)
        sample.gex, antibodies = kept.of_type(GENE_EXPRESSION), kept.of_type(ANTIBODY)
        sample.adt = antibodies if len(antibodies.features) else None
    elif listed is not None:
        sample.cells = np.sort(listed.astype(str)).astype(object)
    elif contigs is not None:
        sample.cells = np.unique(contigs.loc[contigs["is_cell"], "barcode"].to_numpy(dtype=str)).astype(object)
    elif sample.row["molecules"] or sample.row["alleles"]:
        sample.notes.append(f"{sample.name}: no gex, cells or vdj says which barcodes are cells: not assessed")
    sample.facts["n_cells"] = len(sample.cells)


def _rows_of_cells(sample: Sample, matrix: Matrix, listed: np.ndarray | None) -> np.ndarray:
    """Rows of the matrix that are cells of the sample, in the order of their barcodes."""
    rows = np.arange(len(matrix.barcodes))
    if listed is not None:
        found = require_overlap(matrix.barcodes, listed, table=sample.paths("cells")[0], cells_from=matrix.file,
                                partial=True)
        rows = np.unique(found[found >= 0])
        absent = int((found < 0).sum())
        if absent:
            sample.notes.append(f"{sample.name}: {absent} listed cells are not in the matrix")
    return rows[np.argsort(matrix.barcodes[rows].astype(str), kind="stable")]


def _cells_from(sample: Sample) -> object:
    return next((sample.paths(c)[0] for c in ("gex", "cells", "vdj", "vdj_all") if sample.row[c]), sample.name)


def _partial(sample: Sample) -> bool:
    """Whether the sample is part of a GEM well, so that tables of the well rightly hold strangers."""
    return bool(sample.row["cells"] or sample.row["gex_obs"])


def _join_contigs(sample: Sample, contigs: pd.DataFrame) -> None:
    called = contigs.loc[contigs["is_cell"], "barcode"].unique()
    if sample.row["gex"] or sample.row["cells"]:
        rows = require_overlap(sample.cells, called, table=(sample.paths("vdj") or sample.paths("vdj_all"))[0],
                               cells_from=_cells_from(sample), partial=_partial(sample))
        sample.facts["vdj_without_gex"] = int((rows < 0).sum())
    barcodes = pd.Index(contigs["barcode"].unique())
    cell = match(sample.cells, barcodes.to_numpy(dtype=object))[barcodes.get_indexer(contigs["barcode"])]
    sample.contigs = contigs.assign(cell=cell)[cell >= 0].reset_index(drop=True)


def _join_molecules(sample: Sample, table: MoleculeTable) -> MoleculeTable | None:
    """Table with cells instead of barcodes; None where the sample has no cells."""
    if len(sample.cells) == 0:
        return None
    barcodes = pd.Index(table.counts["barcode"].unique())
    cell = np.zeros(0, dtype=np.int64)
    if len(barcodes):
        rows = require_overlap(sample.cells, barcodes.to_numpy(dtype=object), table=table.file,
                               cells_from=_cells_from(sample), partial=True)
        cell = rows[barcodes.get_indexer(table.counts["barcode"])]
    counts = table.counts.assign(cell=cell)[cell >= 0]
    return replace(table, counts=counts.groupby(["cell", "feature"], sort=True)["n"].sum().reset_index())


def _join_alleles(sample: Sample, found: Alleles) -> None:
    if len(sample.cells) == 0:
        return
    rows = require_overlap(sample.cells, found.barcodes, table=found.file, cells_from=_cells_from(sample), partial=True)
    place = np.flatnonzero(rows >= 0)
    spread = sparse.csr_matrix((np.ones(len(place), np.int32), (rows[place], place)),
                               shape=(len(sample.cells), len(rows)))
    sample.alleles = replace(found, barcodes=sample.cells, ad=sparse.csr_matrix(spread @ found.ad),
                             dp=sparse.csr_matrix(spread @ found.dp))


def require_car(sample: Sample) -> None:
    """Check that every CAR feature of a sample is in its matrix or a molecule table, and is not a human gene.

    Samples without either, and those whose row says ``none``, are not assessed and pass.

    Raises
    ------
    InputError
        A feature is absent (nearest names given), ambiguous, the id of a human gene, or holds sequence that human genes
        have too; molecules that fit a construct and another one equally are left out.
    """
    if sample.constructs is None or (sample.gex is None and not sample.tables):
        return
    counted = {f for table in sample.tables for f in table.features}
    genes = sample.gex.features if sample.gex is not None else pd.DataFrame({"name": [], "gene_ids": []}, dtype=object)
    source = sample.gex.file if sample.gex is not None else sample.tables[0].file
    for feature in dict.fromkeys(f for features in sample.constructs.values() for f in features):
        ids = list(genes.loc[genes["name"] == feature, "gene_ids"])
        if feature.endswith(SHARED):
            holds = next((t.file for t in sample.tables if feature in t.features), source)
            raise InputError(holds, f"CAR feature {feature!r} only has sequence that endogenous transcripts have too",
                             f"use {feature.removesuffix(SHARED)!r}")
        if feature not in counted:
            _require_car_feature(source, feature, ids, [*genes["name"], *sorted(counted)])
    for table in sample.tables:
        _require_joint(table, {f for features in sample.constructs.values() for f in features})


def _require_joint(table: MoleculeTable, car: set[str]) -> None:
    """Refuse leaving out molecules that fit one of the constructs and another equally."""
    prefix = f"{table.name}_" if table.name else ""
    for feature in sorted(set(table.counts["feature"]) - car):
        parts = {prefix + part for part in feature.removeprefix(prefix).split("_or_")}
        if len(parts) > 1 and parts <= set(table.features) and parts & car:
            raise InputError(table.file, f"molecules of {feature!r} are of {min(parts & car)!r} or another construct",
                             f"add it as a construct, --car {','.join(sorted(parts))},{feature}")


def _require_car_feature(source: Path, feature: str, ids: list[str], known: list[str]) -> None:
    if not ids:
        raise InputError(source, f"CAR feature {feature!r} is not there",
                         f"{nearest(feature, known)}; for a sample without the CAR write none in its column car")
    if len(ids) > 1:
        raise InputError(source, f"CAR feature {feature!r} is the name of {len(ids)} features ({', '.join(ids)})",
                         "give the construct a name of its own in the reference")
    if HUMAN_ID.search(ids[0]):
        raise InputError(source, f"CAR feature {feature!r} is the human gene {ids[0]}",
                         "name the feature of the construct: reads of the gene itself are no CAR")


def sample_facts(samples: Mapping[str, Sample]) -> pd.DataFrame:
    """Facts of all samples, one row each, numbers as float (missing NaN), words as text (missing empty)."""
    numbers, words = ("n_cells", "vdj_without_gex"), ("counts_from", "segment_seen", "index_hopping")
    columns: dict[str, list[object]] = {k: [s.facts.get(k, np.nan) for s in samples.values()] for k in numbers}
    columns |= {k: [s.facts.get(k, "") for s in samples.values()] for k in words}
    return pd.DataFrame(columns, index=pd.Index(list(samples), dtype=object)).astype(dict.fromkeys(numbers, float))
