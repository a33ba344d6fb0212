"""Principal components from exact products: the same scores on either device and for any number of threads.

Values are rounded to whole 4096ths once. Products of genes are then exact, the covariance is one float64 matrix, and
its eigenvectors are found on the host; only cells are large, and only they go to the device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import eigsh
from threadpoolctl import threadpool_limits

from .._settings import Device
from ..kernels.gram import gram, project

STEPS = 4096  # per unit of log expression
FULL = 500  # genes up to which all eigenvectors are found


@dataclass(frozen=True)
class Components:
    """Principal components by falling variance.

    Attributes
    ----------
    scores
        float32 (cells, k).
    loadings
        float64 (genes, k), of unit length; the largest entry in magnitude of each is positive (first one of equals).
    variance, variance_ratio
        float64 (k,), and its share of the total.
    """

    scores: np.ndarray
    loadings: np.ndarray
    variance: np.ndarray
    variance_ratio: np.ndarray


def components(x: sparse.csr_matrix, k: int, *, device: Device = "auto") -> Components:
    """Principal components of centred columns.

    Parameters
    ----------
    x
        Sparse (cells, genes), log expression; rounded to whole 4096ths, an error of 2**-13 at most.
    k
        At most cells - 1 and genes - 1.
    device
        ``auto``, ``cpu`` or ``cuda``: where products and scores are computed, without influence on them.

    Returns
    -------
    Components. Bit-identical on one host; another build of LAPACK may change the last bits of the eigenvectors.
    """
    whole = sparse.csr_matrix((np.rint(x.data * STEPS).astype(np.int32), x.indices, x.indptr), x.shape)
    products, sums = gram(whole, device=device)
    covariance = _covariance(products, sums, x.shape[0])
    with threadpool_limits(1):  # sums over threads differ in their last bits
        variance, loadings = _eigen(covariance, k)
        centre = (sums / (STEPS * x.shape[0])) @ loadings
    scores = project(whole, loadings / STEPS, centre, device=device)
    return Components(scores, loadings, variance, variance / max(float(np.trace(covariance)), 1e-300))


def _covariance(products: np.ndarray, sums: np.ndarray, n: int) -> np.ndarray:
    total = sums.astype(np.float64)
    return (products.astype(np.float64) - np.outer(total, total) / n) / ((n - 1) * float(STEPS) ** 2)


def _eigen(covariance: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest eigenvalues and their vectors with fixed signs."""
    n = len(covariance)
    if n <= FULL:
        values, vectors = linalg.eigh(covariance, subset_by_index=[n - k, n - 1])
    else:
        start = np.random.default_rng(0).uniform(-1.0, 1.0, n)
        values, vectors = eigsh(covariance, k, which="LA", v0=start, ncv=min(n, max(3 * k, 20)))
    order = np.argsort(-values, kind="stable")
    values, vectors = np.maximum(values[order], 0.0), vectors[:, order]
    peak = vectors[np.argmax(np.abs(vectors), axis=0), np.arange(k)]
    return values, vectors * np.where(peak < 0, -1.0, 1.0)
