"""Embedding, neighbours, clusters, map and a light annotation, on scanpy; raw counts stay as they are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import awkward as ak
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy import sparse
from threadpoolctl import threadpool_limits

from .. import _backend
from .._errors import InputError, nearest
from .._settings import Device
from ..kernels.graphs import distance_graph, snn_graph, umap_graph
from ..kernels.knn import nearest as nearest_points
from ..kernels.leiden import leiden
from ..patient import access
from ..patient.api import not_expression
from .genes import masked
from .subsets import MARKERS, subsets

__all__ = ["annotate", "cluster", "embed", "neighbors", "umap"]


@contextmanager
def _alone() -> Iterator[None]:
    """Run a library on one thread, without its warnings: sums of floats over threads differ in their last bits."""
    before = sc.settings.verbosity
    sc.settings.verbosity = 0
    try:
        with warnings.catch_warnings(), threadpool_limits(1), _backend.threads(1):
            warnings.simplefilter("ignore")
            yield
    finally:
        sc.settings.verbosity = before


def embed(adata: access.Data, *, n_pcs: int = 50, n_top_genes: int = 2000, rng: int = 0) -> None:
    """Principal components of the highly variable genes; raw counts in ``X`` stay.

    Parameters
    ----------
    adata
        AnnData with raw counts in ``X`` or ``layers["counts"]``, or MuData with such a modality ``gex``.
    n_pcs, n_top_genes
        At most so many components and genes; fewer where the data have fewer.
    rng
        Seed of the solver.

    Returns
    -------
    None. Writes ``obsm["X_pca"]`` (float32, cells x components) and ``var["highly_variable"]`` (bool).

    Notes
    -----
    A copy is scaled to 10,000 UMIs per cell and log-transformed; genes by the dispersion of Satija et al. 2015.
    Receptor genes, CAR and viral features, mitochondrial and ribosomal genes never count as variable: clones, CAR and
    virus must not be found by clusters that were built from them.
    """
    gex, counts = _expression(adata)
    allowed = np.flatnonzero(~masked(gex.var_names, extra=not_expression(adata)))
    work = AnnData(sparse.csr_matrix(counts[:, allowed]).astype(np.float32))
    variable, scores = np.zeros(work.n_vars, dtype=bool), np.zeros((gex.n_obs, 1), dtype=np.float32)
    if gex.n_obs > 2 and work.n_vars > 2:
        with _alone():
            sc.pp.normalize_total(work, target_sum=1e4)
            sc.pp.log1p(work)
            variable = _variable(work, n_top_genes)
            scores = _components(work[:, variable].copy(), n_pcs, rng)
    gex.obsm["X_pca"] = scores
    marked = np.zeros(gex.n_vars, dtype=bool)
    marked[allowed[variable]] = True
    gex.var["highly_variable"] = marked
    access.put_params(adata, "embed", {"n_pcs": n_pcs, "n_top_genes": n_top_genes, "rng": rng})


def _expression(data: access.Data) -> tuple[AnnData, sparse.csr_matrix]:
    found = access.counts_matrix(data)
    if found is None:
        raise InputError("gex", "no gene-expression matrix", "give a matrix in the column gex of the sample sheet")
    return found


def _variable(work: AnnData, n_top_genes: int) -> np.ndarray:
    """Highly variable genes of log-normalised data; all expressed ones where there are no more than asked for."""
    expressed = np.asarray((work.X > 0).sum(axis=0)).ravel() > 0
    if expressed.sum() <= n_top_genes:
        return expressed
    inside = work[:, expressed].copy()
    sc.pp.highly_variable_genes(inside, n_top_genes=n_top_genes, flavor="seurat")
    out = np.zeros(work.n_vars, dtype=bool)
    out[np.flatnonzero(expressed)[inside.var["highly_variable"].to_numpy(dtype=bool)]] = True
    return out


def _components(work: AnnData, n_pcs: int, rng: int) -> np.ndarray:
    most = min(n_pcs, work.n_obs - 1, work.n_vars - 1)
    if most < 1:
        return np.zeros((work.n_obs, 1), dtype=np.float32)
    sc.pp.pca(work, n_comps=most, svd_solver="arpack", random_state=rng)
    return np.asarray(work.obsm["X_pca"], dtype=np.float32)


def neighbors(adata: access.Data, *, n_neighbors: int = 15, use_rep: str = "X_pca",
              weights: Literal["umap", "snn"] = "umap", device: Device = "auto") -> None:
    """Graph of exact nearest neighbours.

    Parameters
    ----------
    adata
        AnnData, or MuData with a modality ``gex``.
    n_neighbors
        Neighbours per cell, the cell itself included, as in scanpy; all cells where there are fewer.
    use_rep
        Key of ``obsm``.
    weights
        ``umap``: fuzzy simplicial set, as scanpy; ``snn``: Jaccard similarity of neighbour sets, exact ratios.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    None. Writes ``obsp["distances"]``, ``obsp["connectivities"]`` and ``uns["neighbors"]``.

    Raises
    ------
    InputError
        ``use_rep`` is absent, or an unknown word for `weights` or `device`.
    """
    if weights not in ("umap", "snn"):
        raise InputError("weights", f"found {weights!r}", "use umap or snn")
    _backend.pick(device, kernel="knn")
    gex = _modality(adata)
    points = _representation(gex, use_rep)
    k = min(n_neighbors, gex.n_obs)
    distances = connectivities = sparse.csr_matrix((gex.n_obs, gex.n_obs))
    if k > 1:
        indices, lengths = nearest_points(points, k, device=device)
        distances = distance_graph(indices, lengths)
        connectivities = umap_graph(indices, lengths) if weights == "umap" else snn_graph(indices, device=device)
    gex.obsp["distances"], gex.obsp["connectivities"] = distances, connectivities
    params = {"n_neighbors": k, "method": weights, "metric": "euclidean", "use_rep": use_rep, "random_state": 0}
    gex.uns["neighbors"] = {"connectivities_key": "connectivities", "distances_key": "distances", "params": params}


def _modality(data: access.Data) -> AnnData:
    gex = access.modality(data, "gex")
    if gex is None:
        raise InputError("gex", "no gene-expression matrix", "give a matrix in the column gex of the sample sheet")
    return gex


def _representation(gex: AnnData, key: str) -> np.ndarray:
    if key not in gex.obsm:
        raise InputError("obsm", f"no {key!r} (run sl.pp.embed first)", nearest(key, map(str, gex.obsm)))
    return np.asarray(gex.obsm[key], dtype=np.float64)


def cluster(adata: access.Data, *, resolution: float = 1.0, n_iterations: int = 2, rng: int = 0,
            key_added: str = "leiden", device: Device = "auto", threads: int | None = None) -> None:
    """Leiden clusters of the neighbour graph: one seed, one answer, for any number of threads and on either device.

    Parameters
    ----------
    adata
        AnnData with ``obsp["connectivities"]``, or MuData with such a modality ``gex``.
    resolution, n_iterations
        Of the Leiden algorithm (Traag et al. 2019), modularity; see `kernels.leiden.leiden`.
    rng
        Seed.
    key_added
        Column to write.
    device, threads
        Where it is computed, and by how many threads; without influence on the result.

    Returns
    -------
    None. Writes ``obs[key_added]`` (category; 0 is the largest cluster) and ``uns[key_added]["params"]``; for a MuData
    also ``mdata.obs["cluster"]``, the registered column (empty without a matrix).

    Raises
    ------
    InputError
        No neighbour graph.
    """
    gex = _modality(adata)
    if "connectivities" not in gex.obsp:
        raise InputError("obsp", "no 'connectivities'", "run sl.pp.neighbors first")
    labels = leiden(gex.obsp["connectivities"], resolution=resolution, n_iterations=n_iterations, seed=rng,
                    device=device, threads=threads)
    names = [str(i) for i in range(labels.max(initial=-1) + 1)]
    gex.obs[key_added] = pd.Categorical(labels.astype(str), categories=names)
    gex.uns[key_added] = {"params": {"resolution": resolution, "n_iterations": n_iterations, "random_state": rng}}
    if adata is not gex:
        words = pd.Series(labels.astype(str), index=gex.obs_names, dtype=object)
        access.put(adata, {"cluster": words.reindex(adata.obs_names).fillna("").to_numpy(dtype=object)})


def umap(adata: access.Data, *, rng: int = 0) -> None:
    """Map the neighbour graph into the plane by UMAP, for the eye only: nothing is computed from it.

    Parameters
    ----------
    adata
        AnnData with `neighbors`, or MuData with such a modality ``gex``.
    rng
        Seed; a seeded UMAP runs on one thread.

    Returns
    -------
    None. Writes ``obsm["X_umap"]`` (float32, cells x 2). Five cells or fewer are drawn at their first two components.

    Raises
    ------
    InputError
        No neighbour graph.
    """
    gex = _modality(adata)
    if "neighbors" not in gex.uns:
        raise InputError("uns", "no 'neighbors'", "run sl.pp.neighbors first")
    if gex.n_obs <= 5:
        points = _representation(gex, gex.uns["neighbors"]["params"]["use_rep"])[:, :2]
        gex.obsm["X_umap"] = np.pad(points, ((0, 0), (0, 2 - points.shape[1]))).astype(np.float32)
        return
    with _alone():
        sc.tl.umap(gex, random_state=rng)
    gex.obsm["X_umap"] = np.asarray(gex.obsm["X_umap"], dtype=np.float32)


def annotate(mdata: access.Data) -> None:
    """Name each cell's subset from marker UMIs, T-cell receptor and CAR; see `subsets.subsets` for the rules.

    Returns
    -------
    None. Writes ``subset``: CD4_T, CD8_T, T, NK, B, myeloid or other. Cells without a matrix are T with a T-cell
    receptor and empty otherwise.
    """
    receptor = _has_receptor(mdata)
    out = np.where(receptor, "T", "").astype(object)
    found = access.counts_matrix(mdata)
    if found is not None:
        gex, counts = found
        rows = mdata.obs_names.get_indexer(gex.obs_names)
        umi = {group: _sum(gex, counts, genes) for group, genes in MARKERS.items()}
        out[rows] = subsets(umi, receptor=receptor[rows], car=_car_umi(mdata)[rows])
    access.put(mdata, {"subset": out})


def _sum(gex: AnnData, counts: sparse.csr_matrix, genes: tuple[str, ...]) -> np.ndarray:
    columns = np.flatnonzero(gex.var_names.isin(genes))
    return np.asarray(counts[:, columns].sum(axis=1, dtype=np.int64)).ravel()


def _has_receptor(mdata: access.Data) -> np.ndarray:
    """Whether a cell has a productive chain of a T-cell receptor."""
    airr = access.modality(mdata, "airr")
    if airr is None:
        return np.zeros(mdata.n_obs, dtype=bool)
    chains = airr.obsm["airr"]
    locus = chains["locus"]
    of_t_cells = (locus == "TRA") | (locus == "TRB") | (locus == "TRG") | (locus == "TRD")
    found = ak.any(ak.fill_none(of_t_cells & chains["productive"], value=False), axis=1)
    seen = pd.Series(np.asarray(found, dtype=bool), index=airr.obs_names)
    return seen.reindex(mdata.obs_names, fill_value=False).to_numpy(dtype=bool)


def _car_umi(mdata: access.Data) -> np.ndarray:
    features = [str(f) for f in access.store(mdata).get("car_features", ())]
    if not features:
        return np.zeros(mdata.n_obs, dtype=np.int64)
    return access.feature_counts(mdata, features).counts.sum(axis=1)
