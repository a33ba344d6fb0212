"""Copy number from expression: takes the AnnData apart, smooths along the genome, writes ``obsm`` and ``uns``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from .._backend import Device
from .._errors import InputError, nearest
from ..kernels import copynumber as kernel
from ..patient import access
from . import arms, genome
from .copynumber import arm_test
from .table import ArmCells, ArmTest, codes

POSITION = ("chromosome", "start", "end")
SYMBOLS = ("gene_symbols", "gene_name", "gene_names", "feature_name", "symbol")
MIN_ARMS = 10


def gene_positions(adata: access.Data, *, gtf: str | os.PathLike[str] | None = None,
                   gene_ids: str = "gene_ids") -> None:
    """Write where each gene lies: ``var`` columns chromosome, start, end and arm.

    Parameters
    ----------
    adata
        AnnData, or MuData with modality ``gex``.
    gtf
        GTF of the reference that the reads were aligned to; None takes our table of GRCh38 (Ensembl Genes 109).
    gene_ids
        Column of ``var`` with Ensembl gene ids; ``var_names`` where there is no such column.

    Raises
    ------
    InputError
        Another species than human without a GTF, or fewer than half of the ids known.
    """
    gex = _gex(adata)
    found = _positions(gex, gtf, gene_ids)
    for column in (*POSITION, "arm"):
        gex.var[column] = found[column].to_numpy()


def _positions(gex: Any, gtf: str | os.PathLike[str] | None, gene_ids: str = "gene_ids") -> pd.DataFrame:
    ids = gex.var[gene_ids] if gene_ids in gex.var else gex.var_names.to_series()
    return genome.positions(ids.astype(str).to_numpy(object), None if gtf is None else genome.read_gtf(gtf))


def clone_arms(
    data: access.Data, *, clone: np.ndarray, n_clones: int, sample: np.ndarray, reference: np.ndarray,
    stand_in: np.ndarray, gtf: str | os.PathLike[str] | None,
) -> tuple[ArmTest | None, str]:
    """Arm test of the clones, or None and why copy number could not be assessed.

    Parameters
    ----------
    data
        MuData or AnnData with raw counts and ``cluster``, the phenotype by which references are matched.
    clone, sample
        int64 (n,): -1 in `clone` for cells that do not speak.
    n_clones
        Number of clones.
    reference
        bool (n,): T cells that may stand for normal ones.
    stand_in
        bool (n,): cells of samples with role ``cnv_reference``, for samples with too few T cells of their own.
    gtf
        GTF of the reference; None: ``var["arm"]`` where present (`gene_positions`), else the shipped human table.

    Raises
    ------
    InputError
        The GTF is unreadable, or does not know the genes.
    """
    found = access.counts_matrix(data)
    if found is None:
        return None, "no expression counts"
    if not access.has_column(data, "cluster"):
        return None, "no phenotype clusters (sl.tl.cluster with key_added='cluster')"
    gex, x = found
    symbols = _symbols(gex)
    if symbols is None:
        return None, "gene symbols are not known, so receptor and HLA genes cannot be left out"
    arm, why = _arms(gex, gtf)
    if arm is None:
        return None, why
    rows = data.obs_names.get_indexer(gex.obs_names)
    shared = np.asarray(pd.DataFrame(gex.varm["in_sample"]).all(axis=1)) if "in_sample" in gex.varm else np.ones(
        gex.n_vars, bool)
    gene_arm = arms.gene_arms(x, symbols, np.where(shared, arm, ""), reference[rows])
    used = np.unique(gene_arm[gene_arm >= 0]).size
    if used < MIN_ARMS:
        return None, f"only {used} chromosome arms have {arms.MIN_GENES} or more usable genes"
    cluster = access.text(data, "cluster")
    stratum, _ = codes(np.array([f"{s:06d} {c}" for s, c in zip(sample, cluster, strict=True)], dtype=object))
    kept = ArmCells(rows, arms.arm_counts(x, gene_arm), clone[rows], stratum[rows], sample[rows])
    test = arm_test(kept.counts, kept.clone, n_clones, kept.stratum, kept.sample, reference[rows], stand_in[rows])
    return replace(test, cells=kept), ""


def _symbols(gex: Any) -> np.ndarray | None:
    """Gene symbols, from ``var`` where its names are ids; None where they are unknown."""
    names = gex.var_names.to_numpy(object)
    if not np.mean([str(n).startswith("ENS") for n in names]) > 0.5:
        return names
    known = [c for c in SYMBOLS if c in gex.var]
    return gex.var[known[0]].astype(str).to_numpy(object) if known else None


def _arms(gex: Any, gtf: str | os.PathLike[str] | None) -> tuple[np.ndarray | None, str]:
    if gtf is None and "arm" in gex.var:
        return gex.var["arm"].astype(object).where(gex.var["arm"].notna(), "").to_numpy(object), ""
    try:
        return _positions(gex, gtf)["arm"].to_numpy(object), ""
    except InputError as error:
        if gtf is not None:
            raise
        return None, f"positions of the genes are not known: {error}"


def arm_table(test: ArmTest, clone_ids: Sequence[str], patients: Sequence[str]) -> pd.DataFrame:
    """Long table ``clone_arms``: one row per clone and arm that were compared, arms in the order of the genome."""
    c, a = np.nonzero(np.isfinite(test.shift) & np.isfinite(test.llr)[:, None])
    called = test.called
    return pd.DataFrame({
        "patient": np.asarray(patients, dtype=object)[c], "clone_id": np.asarray(clone_ids, dtype=object)[c],
        "arm": np.array(arms.AUTOSOMES, dtype=object)[a], "shift": test.shift[c, a], "error": test.error[c, a],
        "called": called[c, a].astype(np.int64), "n_cells": test.n_cells[c]})


def copy_number(
    adata: access.Data, *, reference_key: str, reference_cat: str | Sequence[str], window_size: int = 100,
    step: int = 10, noise: str = "global", device: Device | None = "auto", layer: str | None = None,
    exclude_chromosomes: Sequence[str] = ("chrX", "chrY"), key_added: str = "cnv",
) -> None:
    """Smooth expression along the genome, relative to reference cells, as infercnvpy does.

    Parameters
    ----------
    adata
        AnnData (or MuData with modality ``gex``): log-normalised expression (sparse or dense, read as float32), and
        ``var`` columns chromosome (``chr1``), start, end (`sl.pp.gene_positions` writes them). Genes without a
        chromosome are left out.
    reference_key, reference_cat
        Column of ``obs`` and its values that mark normal cells. With several, values between the means of the
        categories are no difference.
    window_size, step
        Genes per window, and distance of windows in genes.
    noise
        Values below 1.5 standard deviations are set to zero; ``global`` takes these over all cells, ``chunk:N`` over
        consecutive chunks of N cells, which is infercnvpy's ``chunksize=N`` with all its dependence on their order.
    device
        ``auto``, ``cpu`` or ``cuda``.
    layer
        Layer to use in place of ``X``.
    exclude_chromosomes
        Chromosomes to leave out.
    key_added
        Results go to ``obsm["X_<key>"]`` and ``uns["<key>"]``.

    Returns
    -------
    None. Writes ``obsm["X_cnv"]`` (CSR float32, cells x windows, natural log units) and ``uns["cnv"]["chr_pos"]``
    (chromosome -> its first window), as infercnvpy does.

    Raises
    ------
    InputError
        Missing columns or categories, raw counts in place of log-normalised values, no gene on a chromosome.

    Notes
    -----
    The pipeline is infercnvpy's (BSD-3; Sturm et al.), after inferCNV; results agree within 1e-6 in mode ``chunk:N``.
    """
    gex = _gex(adata)
    x = _expression(gex, layer)
    cats = [reference_cat] if isinstance(reference_cat, str) else list(reference_cat)
    groups = _groups(gex, reference_key, cats)
    rows = _noise_rows(noise)
    names, chromosomes = _chromosomes(gex.var, exclude_chromosomes, stable=rows is None)
    windows = kernel.plan(chromosomes, gex.n_vars, window=window_size, step=step)
    bounds = kernel.reference_bounds(x, groups, len(cats))
    found = kernel.profile(x, *bounds, windows, noise_rows=rows, device=device)
    gex.obsm[f"X_{key_added}"] = found.values
    gex.uns[key_added] = {"chr_pos": {c: int(s) for c, s in zip(names, windows.start, strict=False)}}


def _gex(data: access.Data) -> Any:
    gex = access.modality(data, "gex")
    if gex is None:
        raise InputError("data", "no modality 'gex'", "give an AnnData, or a MuData with modality gex")
    return gex


def _expression(gex: Any, layer: str | None) -> sparse.csr_matrix:
    if layer is not None and layer not in gex.layers:
        raise InputError("layers", f"no layer {layer!r}", nearest(layer, map(str, gex.layers)))
    given = gex.X if layer is None else gex.layers[layer]
    x = sparse.csr_matrix(given)
    if not x.has_canonical_format:
        x = x.copy()
        x.sum_duplicates()
    finite, whole, _ = kernel.survey(x)
    if not finite:
        raise InputError(layer or "X", "values that are not finite", "give log-normalised expression")
    if whole and x.nnz:
        raise InputError(layer or "X", "only whole numbers, as raw counts are", "normalise first: "
                         "sc.pp.normalize_total and sc.pp.log1p")
    return x


def _groups(gex: Any, key: str, cats: list[str]) -> np.ndarray:
    """Index of the reference category of each cell, -1 for none."""
    if key not in gex.obs:
        raise InputError("obs", f"no column {key!r}", nearest(key, map(str, gex.obs.columns)))
    values = gex.obs[key].astype(object).to_numpy()
    known = sorted({str(v) for v in values})
    if not cats:
        raise InputError("reference_cat", "no category given", f"name values of obs[{key!r}]")
    out = np.full(values.size, -1, np.int64)
    for i, cat in enumerate(cats):
        member = values == cat
        if not member.any():
            raise InputError(f"obs[{key!r}]", f"no cell is {cat!r}", nearest(str(cat), known))
        out[member] = i
    return out


def _noise_rows(noise: str) -> int | None:
    if noise == "global":
        return None
    found = re.fullmatch(r"chunk:(\d+)", noise)
    if found is None or int(found[1]) < 1:
        raise InputError("noise", f"found {noise!r}", "give 'global' or 'chunk:N' with N >= 1")
    return int(found[1])


def _chromosomes(var: pd.DataFrame, excluded: Sequence[str], *, stable: bool) -> tuple[list[str], list[np.ndarray]]:
    """Names in natural order, and the columns of each in order of position.

    Genes with one start are ordered by end and name, or, for parity with infercnvpy, as pandas' sort leaves them.
    """
    absent = [c for c in POSITION if c not in var]
    if absent:
        raise InputError("var", f"no column {absent[0]!r}", "run sl.pp.gene_positions first")
    names = sorted({c for c in var["chromosome"].dropna() if str(c).startswith("chr")} - {"chrM", *excluded},
                   key=lambda c: [int(p) if p.isdigit() else p.lower() for p in re.split(r"(\d+)", c)])
    frame = pd.DataFrame({"chromosome": var["chromosome"].astype(object).to_numpy(), "start": var["start"].to_numpy(),
                          "end": var["end"].to_numpy(), "name": var.index.astype(str)})
    keys = ["start", "end", "name"] if stable else ["start"]
    return names, [frame[(frame["chromosome"] == c).to_numpy()].sort_values(keys).index.to_numpy(np.int64)
                   for c in names]
