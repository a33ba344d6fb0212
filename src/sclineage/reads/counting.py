"""From an open library to tables: cells, droplets, the molecule table, and the record of what was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._errors import InputError
from ..kernels.whitelists import Whitelist
from .cells import CellList, droplets, knee, read_cell_list
from .count import Counted, Way, count_reads
from .merge import merge_molecules, read_molecule_table
from .molecules import barcode_texts, frame
from .opening import Opened, PathLike
from .outputs import fates
from .tallies import AnyTargets

__all__ = ["Result", "count_library", "warnings_about"]


@dataclass(frozen=True, slots=True)
class Result:
    """A counted library.

    Attributes
    ----------
    counted
        What became of its reads.
    cells
        Its cells.
    droplets
        int64: ranks of its empty droplets; none of an enrichment, whose reads say nothing about the rest of a droplet.
    barcodes
        Barcodes of the cells, sorted.
    table
        The molecule table (`molecules.COLUMNS`), all barcodes.
    merged
        Molecules that only the other library of a merge had; None without one.
    """

    counted: Counted
    cells: CellList
    droplets: np.ndarray
    barcodes: list[str]
    table: pd.DataFrame
    merged: int | None


def count_library(opened: Opened, targets: AnyTargets, way: Way, *, cells: PathLike | None, merge: PathLike | None,
                  say: Callable[[str], None]) -> Result:
    """Count a library and settle its cells.

    Parameters
    ----------
    cells
        File that names the cells; None for a knee.
    merge
        Molecule table of the gene-expression library of the same cells.
    """
    whitelist = opened.whitelist
    given = None if cells is None else read_cell_list(cells, whitelist)
    counted = count_reads(opened.source, targets, whitelist, way, listed=opened.listed, others=opened.others,
                          prior=_prior(given, whitelist) if way.enriched else None, say=say)
    found = given if given is not None else knee(counted.barcode_reads)
    length = opened.source.chemistry.umi.length
    table = frame(counted.molecules.counted, whitelist, counted.features, length)
    merged = None
    if merge is not None:
        both = merge_molecules(table, read_molecule_table(merge, counted.features, umi_length=length))
        merged, table = len(both) - len(table), both
    _require_cells(given, counted, cells)
    empty = np.zeros(0, np.int64) if way.enriched else droplets(counted.barcode_reads, found.ranks)
    return Result(counted, found, empty, barcode_texts(found.ranks, whitelist),
                  table, merged)


def _prior(given: CellList | None, whitelist: Whitelist) -> np.ndarray | None:
    """Counts of the gene-expression matrix: those of an amplicon are skewed by its amplification."""
    if given is None or given.totals is None:
        return None
    prior = np.zeros(whitelist.n, np.int32)
    prior[given.ranks] = np.minimum(given.totals, np.iinfo(np.int32).max)
    return prior


def _require_cells(given: CellList | None, counted: Counted, path: PathLike | None) -> None:
    """Refuse a cell list of another library: its barcodes have no more reads than any other barcode."""
    if given is None or counted.barcode_reads.sum() < 1000:
        return
    share = float(counted.barcode_reads[given.ranks].sum() / counted.barcode_reads.sum())
    if share <= 3.0 * given.ranks.size / counted.barcode_reads.size:
        raise InputError(str(path), f"its {given.ranks.size} cells have {share:.2%} of the reads",
                         "give the cells of this library")


def warnings_about(result: Result, way: Way) -> list[str]:
    """Things a reader of the counts should know."""
    out, counted = [], result.counted
    if result.cells.source == "knee":
        out.append(f"{result.cells.ranks.size} cells by a knee of the reads per barcode; give --cells where there are "
                   "gene-expression counts")
    if way.enriched and counted.threshold is not None and counted.threshold.reads == 1 and way.least_reads is None:
        out.append("no valley in the reads per molecule: every molecule counts; give --least-reads if you know better")
    if sum(fates(counted).values()) == 0:
        out.append("no read comes from a target: silence of this library is no evidence of absence")
    return out
