"""Exact nearest neighbours and the weights of their graph; the same answer every time."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

SPARE = 8  # candidates beyond k, so that rounding in the fast search cannot lose a neighbour
BLOCK = 4096  # rows ranked at once


def knn(points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact Euclidean nearest neighbours, by brute force on one thread and ranked again in float64.

    Parameters
    ----------
    points
        float, n x d.
    k
        Neighbours per point, itself included; at most n.

    Returns
    -------
    Indices int32 and distances float64, n x k, each point first in its own row (distance 0), then by distance, ties to
    the lower index.
    """
    points = np.ascontiguousarray(points, dtype=np.float64)
    n = len(points)
    with threadpool_limits(1):
        search = NearestNeighbors(n_neighbors=min(k + SPARE, n), algorithm="brute").fit(points)
        found = [_ranked(points, np.arange(start, min(start + BLOCK, n)), search, k) for start in range(0, n, BLOCK)]
    return np.concatenate([i for i, _ in found]), np.concatenate([d for _, d in found])


def _ranked(points: np.ndarray, rows: np.ndarray, search: NearestNeighbors, k: int) -> tuple[np.ndarray, np.ndarray]:
    candidates = search.kneighbors(points[rows], return_distance=False).astype(np.int64)
    lost = ~(candidates == rows[:, None]).any(axis=1)
    candidates[lost, -1] = rows[lost]  # among many duplicates a point may not find itself
    squared = np.square(points[candidates] - points[rows][:, None, :]).sum(axis=2)
    squared[candidates == rows[:, None]] = -1.0
    order = np.lexsort((candidates, squared), axis=1)[:, :k]
    distances = np.sqrt(np.maximum(np.take_along_axis(squared, order, axis=1), 0.0))
    return np.take_along_axis(candidates, order, axis=1).astype(np.int32), distances


def distance_graph(indices: np.ndarray, distances: np.ndarray) -> sparse.csr_matrix:
    """Distances to the neighbours (a point itself left out) as float64 CSR, n x n; zeros are stored."""
    n, k = indices.shape
    columns, values = indices[:, 1:].ravel(), distances[:, 1:].ravel()
    return _csr(values, columns, np.arange(n + 1) * (k - 1), n)


def umap_weights(indices: np.ndarray, distances: np.ndarray) -> sparse.csr_matrix:
    """Fuzzy simplicial set of UMAP (McInnes et al. 2018), by umap-learn as scanpy calls it; float32 CSR, symmetric."""
    n, k = indices.shape
    from umap.umap_ import fuzzy_simplicial_set

    weights, _, _ = fuzzy_simplicial_set(sparse.coo_matrix((n, 1)), k, None, None, knn_indices=indices,
                                         knn_dists=distances.astype(np.float32))
    return sparse.csr_matrix(weights)


def snn_weights(indices: np.ndarray) -> sparse.csr_matrix:
    """Jaccard similarity of the neighbour sets (points included) of neighbouring points; float64 CSR, symmetric.

    |A and B| / |A or B| of two rows of `indices`, for pairs of which one is a neighbour of the other (Levine et al.
    2015, PhenoGraph): ratios of whole numbers, the same on every machine.
    """
    n, k = indices.shape
    member = _csr(np.ones(n * k, dtype=np.int64), indices.ravel(), np.arange(n + 1) * k, n)
    edges = sparse.csr_matrix(((member + member.T) > 0).astype(np.int64))
    shared = sparse.csr_matrix((member @ member.T).multiply(edges))
    shared.setdiag(0)
    shared.eliminate_zeros()
    shared.sort_indices()
    return sparse.csr_matrix((shared.data / (2 * k - shared.data), shared.indices, shared.indptr), shape=(n, n))


def _csr(values: np.ndarray, columns: np.ndarray, indptr: np.ndarray, n: int) -> sparse.csr_matrix:
    out = sparse.csr_matrix((values, columns, indptr), shape=(n, n))
    out.sort_indices()
    return out
