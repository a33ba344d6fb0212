"""Public functions of this room: read a patient, check inputs, quality control."""

from __future__ import annotations

import numpy as np

from . import access
from .build import read_patient
from .check import check
from .qc import doublet_scores, reasons, totals
from .sheet import read_sheet, sheet_faults

__all__ = ["check", "qc", "read_patient", "read_sheet", "sheet_faults"]


def qc(mdata: access.Data, *, min_umi: int = 500, min_genes: int = 200, max_mito: float = 0.20, doublets: bool = True,
       rng: int = 0) -> None:
    """Measure the quality of every cell; cells are marked, never dropped.

    Parameters
    ----------
    mdata
        MuData of `read_patient`, or AnnData with raw counts.
    min_umi, min_genes, max_mito
        A cell with fewer UMIs or genes, or a larger share of mitochondrial UMIs, gets an ``excluded_reason``.
    doublets
        Score doublets by Scrublet in every GEM well with at least 100 passing cells.
    rng
        Seed of Scrublet.

    Returns
    -------
    None. Writes per cell: ``n_umi`` and ``n_genes`` (without CAR and viral features; float64, missing without a
    matrix), ``mito_share``, ``doublet_score`` (float64, missing where unknown) and ``excluded_reason`` (``low_umi``,
    ``few_genes``, ``high_mito`` or empty; empty without a matrix). Wells without scores are named in the notes.

    Raises
    ------
    InputError
        The matrix holds no raw counts.
    """
    columns = {name: np.full(mdata.n_obs, np.nan) for name in ("n_umi", "n_genes", "mito_share", "doublet_score")}
    excluded = np.full(mdata.n_obs, "", dtype=object)
    found = access.counts_matrix(mdata)
    notes: list[str] = []
    if found is not None:
        gex, counts = found
        rows = mdata.obs_names.get_indexer(gex.obs_names)
        without = gex.var_names.isin(not_expression(mdata))
        sums = totals(counts, gex.var_names, without=without)
        why = reasons(sums, min_umi=min_umi, min_genes=min_genes, max_mito=max_mito)
        columns["n_umi"][rows], columns["n_genes"][rows] = sums.n_umi, sums.n_genes
        columns["mito_share"][rows], excluded[rows] = sums.mito_share, why
        if doublets:
            passing = np.flatnonzero(why == "")
            genes = counts[passing][:, np.flatnonzero(~without)]
            wells = _wells(mdata)[rows[passing]]
            columns["doublet_score"][rows[passing]], notes = doublet_scores(genes, wells, rng=rng)
    access.put(mdata, columns | {"excluded_reason": excluded})
    _note(mdata, notes)
    access.put_params(mdata, "qc", {"min_umi": min_umi, "min_genes": min_genes, "max_mito": max_mito,
                                    "doublets": doublets, "rng": rng})


def not_expression(mdata: access.Data) -> list[str]:
    """CAR and viral features of a patient, which count neither as depth nor as expression."""
    kept = access.store(mdata)
    return sorted({str(f) for key in ("car_features", "virus_features") for f in kept.get(key, ())})


def _wells(mdata: access.Data) -> np.ndarray:
    sample = access.text(mdata, "sample", default="sample")
    wells = access.text(mdata, "gem_well")
    return np.where(wells == "", sample, wells).astype(object)


def _note(mdata: access.Data, notes: list[str]) -> None:
    if notes:
        kept = access.store(mdata)
        known = [str(n) for n in kept.get("notes", ())]
        kept["notes"] = np.array([*known, *(n for n in notes if n not in known)], dtype=object)
