"""Copy number from expression: takes the AnnData apart, smooths along the genome, writes ``obsm`` and ``uns``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from .._backend import Device
from .._errors import InputError, nearest
from ..kernels import copynumber as kernel
from ..patient import access
from . import genome

POSITION = ("chromosome", "start", "end")


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
    ids = gex.var[gene_ids] if gene_ids in gex.var else gex.var_names.to_series()
    found = genome.positions(ids.astype(str).to_numpy(object), None if gtf is None else genome.read_gtf(gtf))
    for column in (*POSITION, "arm"):
        gex.var[column] = found[column].to_numpy()


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
