"""Embedding, neighbours, clusters and map, on scanpy where it serves; raw counts stay as they are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy import sparse
from threadpoolctl import threadpool_limits

from .. import _backend
from .._errors import InputError, MissingDependencyError, nearest
from .._settings import Device
from ..kernels.graphs import distance_graph, snn_graph, umap_graph
from ..kernels.knn import nearest as nearest_points
from ..kernels.leiden import partitions
from ..patient import access
from ..patient.api import not_expression
from . import rapids
from .components import Components, components
from .genes import GROUPS, masked
from .stability import agreement, stability

FEW = 30  # cells below which a batch does not rank genes

__all__ = ["cluster", "embed", "harmony", "neighbors", "umap"]


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


def embed(adata: access.Data, *, n_pcs: int = 50, n_top_genes: int = 2000, rng: int = 0, batch_key: str | None = None,
          mask: Sequence[str] = (), solver: Literal["arpack", "gram"] = "arpack", device: Device = "auto") -> None:
    """Principal components of the highly variable genes; raw counts in ``X`` stay.

    Parameters
    ----------
    adata
        AnnData with raw counts in ``X`` or ``layers["counts"]``, or MuData with such a modality ``gex``.
    n_pcs, n_top_genes
        At most so many components and genes; fewer where the data have fewer.
    rng
        Seed of arpack.
    batch_key
        Column of samples or time points: genes are then ranked within each (of at least 30 cells), by the number of
        those in which they are variable, so that a difference between samples makes no gene variable.
    mask
        Groups of genes that shall not count as variable either: ``cycle``, ``stress``, ``sex``; see `genes.GROUPS`.
    solver
        ``arpack``: scanpy's; ``gram``: from exact products of genes, the same scores on CPU and CUDA.
    device
        ``auto``, ``cpu`` or ``cuda``, of ``gram``.

    Returns
    -------
    None. Writes ``obsm["X_pca"]`` (float32, cells x components), ``varm["PCs"]``, ``uns["pca"]`` and
    ``var["highly_variable"]`` (bool), as scanpy does.

    Raises
    ------
    InputError
        No counts, no such column, or an unknown word.

    Notes
    -----
    A copy is scaled to 10,000 UMIs per cell and log-transformed; genes by the dispersion of Satija et al. 2015.
    Receptor genes, CAR and viral features, mitochondrial and ribosomal genes never count as variable: clones, CAR and
    virus must not be found by clusters that were built from them. See `genes.masked` for the constant genes.
    """
    _known("solver", solver, ("arpack", "gram"))
    for word in mask:
        _known("mask", word, tuple(GROUPS))
    gex, counts = _expression(adata)
    batch = None if batch_key is None else _column(adata, gex, batch_key)
    allowed = np.flatnonzero(~masked(gex.var_names, extra=not_expression(adata), groups=mask))
    work = AnnData(sparse.csr_matrix(counts[:, allowed]).astype(np.float32))
    variable, found = np.zeros(work.n_vars, dtype=bool), _nothing(gex.n_obs, 0)
    if gex.n_obs > 2 and work.n_vars > 2:
        with _alone():
            sc.pp.normalize_total(work, target_sum=1e4)
            sc.pp.log1p(work)
            variable = _variable(work, n_top_genes, batch)
        found = _components(work[:, variable].copy(), n_pcs, rng, solver, device)
    _put_components(gex, found, allowed[variable], solver)
    access.put_params(adata, "embed", {"n_pcs": n_pcs, "n_top_genes": n_top_genes, "rng": rng, "solver": solver,
                                       "batch_key": batch_key, "mask": list(mask) or None})


def _known(what: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise InputError(what, f"found {word!r}", f"use {' or '.join(words)}")


def _column(data: access.Data, gex: AnnData, key: str) -> np.ndarray:
    """A column as text, one per cell of the matrix; missing values are a group of their own."""
    values = access.column(data, key).reindex(gex.obs_names)
    return np.asarray(values.astype(object).where(values.notna(), "").astype(str), dtype=object)


def _put_components(gex: AnnData, found: Components, genes: np.ndarray, solver: str) -> None:
    gex.obsm["X_pca"] = found.scores
    gex.varm["PCs"] = np.zeros((gex.n_vars, found.scores.shape[1]))
    gex.varm["PCs"][genes] = found.loadings
    gex.uns["pca"] = {"params": {"zero_center": True, "mask_var": "highly_variable", "solver": solver},
                      "variance": found.variance, "variance_ratio": found.variance_ratio}
    marked = np.zeros(gex.n_vars, dtype=bool)
    marked[genes] = True
    gex.var["highly_variable"] = marked


def _expression(data: access.Data) -> tuple[AnnData, sparse.csr_matrix]:
    found = access.counts_matrix(data)
    if found is None:
        raise InputError("gex", "no gene-expression matrix", "give a matrix in the column gex of the sample sheet")
    return found


def _variable(work: AnnData, n_top_genes: int, batch: np.ndarray | None) -> np.ndarray:
    """Highly variable genes of log-normalised data; all expressed ones where there are no more than asked for."""
    expressed = np.asarray((work.X > 0).sum(axis=0)).ravel() > 0
    if expressed.sum() <= n_top_genes:
        return expressed
    cells = _ranking(batch) if batch is not None else None
    inside = work[slice(None) if cells is None else cells, expressed].copy()
    if cells is not None and batch is not None:
        inside.obs["batch"] = pd.Categorical(batch[cells])
    sc.pp.highly_variable_genes(inside, n_top_genes=n_top_genes, flavor="seurat",
                                batch_key=None if cells is None else "batch")
    out = np.zeros(work.n_vars, dtype=bool)
    out[np.flatnonzero(expressed)[inside.var["highly_variable"].to_numpy(dtype=bool)]] = True
    return out


def _ranking(batch: np.ndarray) -> np.ndarray | None:
    """Cells of the batches that are large enough to rank genes; None where no two are."""
    sizes = pd.Series(batch).value_counts()
    large = sizes.index[sizes >= FEW]
    return np.flatnonzero(np.isin(batch, large)) if large.size > 1 else None


def _components(work: AnnData, n_pcs: int, rng: int, solver: str, device: Device) -> Components:
    most = min(n_pcs, work.n_obs - 1, work.n_vars - 1)
    if most < 1:
        return _nothing(work.n_obs, work.n_vars)
    if solver == "gram":
        return components(sparse.csr_matrix(work.X), most, device=device)
    with _alone():
        sc.pp.pca(work, n_comps=most, svd_solver="arpack", random_state=rng)
    found = work.uns["pca"]
    return Components(np.asarray(work.obsm["X_pca"], dtype=np.float32), np.asarray(work.varm["PCs"], dtype=np.float64),
                      np.asarray(found["variance"], dtype=np.float64),
                      np.asarray(found["variance_ratio"], dtype=np.float64))


def _nothing(cells: int, genes: int) -> Components:
    return Components(np.zeros((cells, 1), dtype=np.float32), np.zeros((genes, 1)), np.zeros(1), np.zeros(1))


def harmony(adata: access.Data, *, batch_key: str, use_rep: str = "X_pca", key_added: str = "X_pca_harmony",
            rng: int = 0, device: Device = "cpu") -> None:
    """Components with the differences between batches taken out by Harmony (Korsunsky et al. 2019, harmonypy).

    For the eye and for naming cell types. A patient's samples differ in what is looked for (a clone that grew): use it
    on batches that should not differ, and keep the uncorrected components.

    Parameters
    ----------
    adata
        AnnData with ``obsm[use_rep]``, or MuData with such a modality ``gex``.
    batch_key
        Column of batches.
    use_rep, key_added
        Keys of ``obsm`` to read and to write.
    rng
        Seed.
    device
        ``cpu``: harmonypy, on one thread; ``cuda``: rapids-singlecell, other numbers; ``auto``: that where it imports.

    Returns
    -------
    None. Writes ``obsm[key_added]`` (float32), for ``sl.pp.neighbors(use_rep=key_added)``.

    Raises
    ------
    InputError
        No such column or key.
    MissingDependencyError
        harmonypy (or rapids-singlecell) does not import.
    """
    gex = _modality(adata)
    points, batch = _representation(gex, use_rep), _column(adata, gex, batch_key)
    if len(set(batch)) < 2:
        gex.obsm[key_added] = points.astype(np.float32)
    elif rapids.wanted(device):
        gex.obsm[key_added] = rapids.harmony(points, batch, seed=rng)
    else:
        with _alone():
            gex.obsm[key_added] = _harmonypy(points, batch, rng)


def _harmonypy(points: np.ndarray, batch: np.ndarray, seed: int) -> np.ndarray:
    try:
        import harmonypy
    except ImportError as error:
        raise MissingDependencyError("harmonypy", "pip install 'sclineage[harmony]'") from error
    found = harmonypy.run_harmony(points, pd.DataFrame({"batch": batch}), "batch", random_state=seed, verbose=False)
    out = np.asarray(found.Z_corr, dtype=np.float32)
    return out if out.shape == points.shape else np.ascontiguousarray(out.T)


def neighbors(adata: access.Data, *, n_neighbors: int = 15, use_rep: str = "X_pca",
              weights: Literal["umap", "snn"] = "umap", quota_key: str | None = None, device: Device = "auto") -> None:
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
    quota_key
        Column of samples or time points: every cell then has equally many of its nearest neighbours in each of them,
        `n_neighbors` over their number, rounded up (Polanski et al. 2020, BBKNN, here exact), so that cells after the
        therapy are compared with those before it and not with themselves alone.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    None. Writes ``obsp["distances"]``, ``obsp["connectivities"]`` and ``uns["neighbors"]``.

    Raises
    ------
    InputError
        ``use_rep`` or ``quota_key`` is absent, or an unknown word for `weights` or `device`.
    """
    _known("weights", weights, ("umap", "snn"))
    _backend.pick(device, kernel="knn")
    gex = _modality(adata)
    points = _representation(gex, use_rep)
    k = min(n_neighbors, gex.n_obs)
    distances = connectivities = sparse.csr_matrix((gex.n_obs, gex.n_obs))
    groups = None if quota_key is None else np.unique(_column(adata, gex, quota_key), return_inverse=True)[1]
    if k > 1:
        each = k if groups is None else -(-k // int(groups.max() + 1))
        indices, lengths = nearest_points(points, each, groups=groups, device=device)
        distances = distance_graph(indices, lengths)
        connectivities = umap_graph(indices, lengths) if weights == "umap" else snn_graph(indices, device=device)
    gex.obsp["distances"], gex.obsp["connectivities"] = distances, connectivities
    params = {"n_neighbors": k, "method": weights, "metric": "euclidean", "use_rep": use_rep, "random_state": 0}
    params |= {} if quota_key is None else {"quota_key": quota_key}
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


def cluster(adata: access.Data, *, resolution: float = 1.0, n_iterations: int = 2, rng: int = 0, n_seeds: int = 1,
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
    n_seeds
        With 2 or more, the partitions of so many seeds from `rng` on are compared with one another: labels stay those
        of `rng`.
    key_added
        Column to write.
    device, threads
        Where it is computed, and by how many threads; without influence on the result.

    Returns
    -------
    None. Writes ``obs[key_added]`` (category; 0 is the largest cluster) and ``uns[key_added]["params"]``; for a MuData
    also ``mdata.obs["cluster"]``, the registered column (empty without a matrix). With `n_seeds`, the stability of each
    cell's cluster, 0 to 1 (see `stability.stability`), in ``obs[key_added + "_stability"]`` (MuData:
    ``cluster_stability``), that of each cluster in ``uns[key_added]["stability"]``, and the mean adjusted Rand index of
    all pairs of partitions in ``uns[key_added]["agreement"]``.

    Raises
    ------
    InputError
        No neighbour graph, or `n_seeds` below 1.
    """
    gex = _modality(adata)
    if "connectivities" not in gex.obsp:
        raise InputError("obsp", "no 'connectivities'", "run sl.pp.neighbors first")
    if n_seeds < 1:
        raise InputError("n_seeds", f"found {n_seeds}", "give a number of at least 1")
    seeds = [(rng + i) % (1 << 64) if i else rng for i in range(n_seeds)]
    runs = partitions(gex.obsp["connectivities"], seeds=seeds, resolution=resolution, n_iterations=n_iterations,
                      device=device, threads=threads)
    labels, params = runs[0], {"resolution": resolution, "n_iterations": n_iterations, "random_state": rng}
    names = [str(i) for i in range(labels.max(initial=-1) + 1)]
    gex.obs[key_added] = pd.Categorical(labels.astype(str), categories=names)
    gex.uns[key_added] = {"params": params}
    columns = {"cluster": pd.Series(labels.astype(str), index=gex.obs_names, dtype=object)}
    if n_seeds > 1:
        each = stability(labels, runs[1:])
        gex.uns[key_added] |= {"params": params | {"n_seeds": n_seeds}, "stability": each, "agreement": agreement(runs)}
        gex.obs[f"{key_added}_stability"] = each[labels]
        columns["cluster_stability"] = gex.obs[f"{key_added}_stability"]
    if adata is not gex:
        columns = {name: column.reindex(adata.obs_names) for name, column in columns.items()}
        columns["cluster"] = columns["cluster"].fillna("")
        access.put(adata, {name: column.to_numpy() for name, column in columns.items()})


def umap(adata: access.Data, *, rng: int = 0, device: Device = "cpu") -> None:
    """Map the neighbour graph into the plane by UMAP, for the eye only: nothing is computed from it.

    Parameters
    ----------
    adata
        AnnData with `neighbors`, or MuData with such a modality ``gex``.
    rng
        Seed; a seeded UMAP runs on one thread.
    device
        ``cpu``: umap-learn through scanpy; ``cuda``: rapids-singlecell, another map; ``auto``: that where it imports.

    Returns
    -------
    None. Writes ``obsm["X_umap"]`` (float32, cells x 2). Five cells or fewer are drawn at their first two components.

    Raises
    ------
    InputError
        No neighbour graph.
    MissingDependencyError
        ``cuda`` was asked for and rapids-singlecell does not import.
    """
    gex = _modality(adata)
    if "neighbors" not in gex.uns:
        raise InputError("uns", "no 'neighbors'", "run sl.pp.neighbors first")
    if gex.n_obs <= 5:
        points = _representation(gex, gex.uns["neighbors"]["params"]["use_rep"])[:, :2]
        gex.obsm["X_umap"] = np.pad(points, ((0, 0), (0, 2 - points.shape[1]))).astype(np.float32)
        return
    if rapids.wanted(device):
        rapids.umap(gex, seed=rng)
    else:
        with _alone():
            sc.tl.umap(gex, random_state=rng)
    gex.obsm["X_umap"] = np.asarray(gex.obsm["X_umap"], dtype=np.float32)
