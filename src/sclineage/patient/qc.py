"""Quality of cells from the raw counts: sums and shares, why a cell does not count, doublet scores."""

from __future__ import annotations

import warnings
import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy import sparse
from threadpoolctl import threadpool_limits

from .. import _backend

LEAST_CELLS = 100  # a well with fewer is not scored: too few neighbours to tell doublets


@dataclass(frozen=True)
class Totals:
    """Per cell: UMIs and genes without the left-out features, and the mitochondrial share of those UMIs (NaN of 0)."""

    n_umi: np.ndarray
    n_genes: np.ndarray
    mito_share: np.ndarray


def totals(counts: sparse.csr_matrix, names: pd.Index, *, without: np.ndarray) -> Totals:
    """Sum up raw counts.

    Parameters
    ----------
    counts
        Cells x features, whole numbers.
    names
        Feature names; mitochondrial genes begin with ``MT-``.
    without
        bool per feature: CAR and viral features, which must not make depth.

    Returns
    -------
    int64 UMIs and genes, float64 share (NaN where a cell has no UMI, or the reference no mitochondrial gene).
    """
    kept = sparse.csr_matrix(counts[:, np.flatnonzero(~without)])
    mito = names[~without].str.upper().str.startswith("MT-")
    n_umi = np.asarray(kept.sum(axis=1, dtype=np.int64)).ravel()
    n_mito = np.asarray(kept[:, np.flatnonzero(mito)].sum(axis=1, dtype=np.int64)).ravel()
    known = (n_umi > 0) & bool(mito.any())
    share = np.full(len(n_umi), np.nan)
    share[known] = n_mito[known] / n_umi[known]
    return Totals(n_umi, np.diff(kept.indptr).astype(np.int64), share)


def reasons(found: Totals, *, min_umi: int, min_genes: int, max_mito: float) -> np.ndarray:
    """First reason why a cell fails: ``low_umi``, ``few_genes``, ``high_mito``, or empty (object array)."""
    high_mito = np.nan_to_num(found.mito_share, nan=0.0) > max_mito
    return np.select([found.n_umi < min_umi, found.n_genes < min_genes, high_mito],
                     ["low_umi", "few_genes", "high_mito"], default="").astype(object)


def doublet_scores(counts: sparse.csr_matrix, wells: np.ndarray, *, rng: int) -> tuple[np.ndarray, list[str]]:
    """Scrublet scores per GEM well, as scanpy computes them, with exact neighbours on one thread.

    Parameters
    ----------
    counts
        Cells x genes, raw, without CAR and viral features; only cells that pass quality control.
    wells
        GEM well of each cell, text.
    rng
        Seed; the well's name goes into it, so that wells do not depend on each other.

    Returns
    -------
    float64 per cell, NaN where the well has under 100 cells or Scrublet fails; and a sentence per well without scores.

    Notes
    -----
    Wolock, Lopez and Klein, Cell Systems 2019.
    """
    scores, notes = np.full(counts.shape[0], np.nan), []
    for well in sorted(set(wells)):
        rows = np.flatnonzero(wells == well)
        if len(rows) < LEAST_CELLS:
            notes.append(f"{well}: no doublet scores, {len(rows)} cells pass quality control (under {LEAST_CELLS})")
            continue
        try:
            scores[rows] = _scrublet(counts[rows], seed=(rng + zlib.crc32(well.encode())) % 2**32)
        except (ValueError, ZeroDivisionError, IndexError, np.linalg.LinAlgError) as error:
            notes.append(f"{well}: no doublet scores, Scrublet failed ({error})")
    return scores, notes


def _scrublet(counts: sparse.csr_matrix, *, seed: int) -> np.ndarray:
    data = AnnData(counts.astype(np.float32))
    with warnings.catch_warnings(), threadpool_limits(1), _backend.threads(1):
        warnings.simplefilter("ignore")
        sc.pp.scrublet(data, use_approx_neighbors=False, threshold=1.0, verbose=False, random_state=seed)
    return data.obs["doublet_score"].to_numpy(dtype=float)
