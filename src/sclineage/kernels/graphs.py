"""Weighted graphs from exact neighbours: shared neighbours, and UMAP's fuzzy set. Host code, the same on every run."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from scipy import sparse

from .. import _backend
from .._backend import Device
from .knn import shared_counts

STEPS, CLOSE = 64, 1e-5  # of the search for a point's scale
LEAST_SCALE = 1e-3  # of the mean distance

__all__ = ["distance_graph", "snn_graph", "umap_graph"]


def _csr(values: np.ndarray, indices: np.ndarray) -> sparse.csr_matrix:
    """One row per point from tables (n, k) of values and columns."""
    n, k = indices.shape
    out = sparse.csr_matrix((values.ravel(), indices.ravel(), np.arange(n + 1) * k), shape=(n, n))
    out.sort_indices()
    return out


def distance_graph(indices: np.ndarray, distances: np.ndarray) -> sparse.csr_matrix:
    """Distances to the neighbours (a point itself left out) as float64 CSR, n x n; zeros are stored."""
    return _csr(distances[:, 1:], indices[:, 1:])


def snn_graph(indices: np.ndarray, *, device: Device | None = "auto") -> sparse.csr_matrix:
    """Jaccard similarity of the neighbour sets of neighbouring points.

    Parameters
    ----------
    indices
        int32 (n, k), each point first in its own row, as `knn.nearest` gives them.
    device
        ``auto``, ``cpu`` or ``cuda``; None takes the setting.

    Returns
    -------
    float64 CSR (n, n), symmetric, nothing on the diagonal: |A and B| / |A or B| of two rows of `indices`, for pairs of
    which one is a neighbour of the other (Levine et al. 2015, PhenoGraph): ratios of whole numbers, the same on every
    machine.
    """
    shared = shared_counts(indices, device=device)
    ratio = _csr((shared / (2 * indices.shape[1] - shared))[:, 1:], indices[:, 1:])
    return ratio.maximum(ratio.T).tocsr()


@njit(cache=True, parallel=True)
def _memberships(distances: np.ndarray, mean: float, out: np.ndarray) -> None:
    """Membership of each neighbour in a point's fuzzy set; `mean` of all distances."""
    n, k = distances.shape
    for row in prange(n):
        nearest, total = 0.0, 0.0
        for slot in range(k):
            total += distances[row, slot]
            if nearest == 0.0:
                nearest = distances[row, slot]
        low, high, scale = 0.0, np.inf, 1.0
        for _ in range(STEPS):
            found = 0.0
            for slot in range(1, k):
                found += np.exp(-max(distances[row, slot] - nearest, 0.0) / scale)
            if abs(found - np.log2(k)) < CLOSE:
                break
            if found > np.log2(k):
                high = scale
            else:
                low = scale
            scale = 2.0 * scale if high == np.inf else 0.5 * (low + high)
        scale = max(scale, LEAST_SCALE * (total / k if nearest > 0.0 else mean))
        for slot in range(k):
            apart = max(distances[row, slot] - nearest, 0.0)
            out[row, slot] = np.exp(-apart / scale) if apart > 0.0 else 1.0


def umap_graph(indices: np.ndarray, distances: np.ndarray) -> sparse.csr_matrix:
    """Fuzzy simplicial set of UMAP, as scanpy's connectivities.

    Parameters
    ----------
    indices, distances
        (n, k), as `knn.nearest` gives them.

    Returns
    -------
    float32 CSR (n, n), symmetric, nothing on the diagonal: p + q - p q of the memberships p and q of two points in each
    other's sets, which fall exponentially beyond the nearest neighbour at a scale that makes them sum to log2 k
    (McInnes, Healy and Melville 2018, algorithms 2 and 3).
    """
    members = np.empty(distances.shape, dtype=np.float64)
    with _backend.threads(None):
        _memberships(distances, float(distances.mean()) if distances.size else 0.0, members)
    one = _csr(members[:, 1:].astype(np.float32), indices[:, 1:])
    out = (one + one.T - one.multiply(one.T)).tocsr()
    out.eliminate_zeros()
    out.sort_indices()
    return out
