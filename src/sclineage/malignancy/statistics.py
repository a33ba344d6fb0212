"""Small likelihoods shared by the lines of evidence."""

from __future__ import annotations

import numpy as np
from scipy.special import betaln, xlog1py, xlogy


def log_betabin_ratio(k: np.ndarray, n: np.ndarray, p1: np.ndarray, p0: np.ndarray, rho: float) -> np.ndarray:
    """Log ratio of two beta-binomial probabilities of `k` in `n` with equal intra-class correlation.

    Parameters
    ----------
    k, n
        Counts, broadcastable; 0 <= k <= n.
    p1, p0
        Means, in (0, 1).
    rho
        Intra-class correlation, in (0, 1): a = p (1 - rho) / rho.
    """
    return _betabin(k, n, p1, rho) - _betabin(k, n, p0, rho)


def _betabin(k: np.ndarray, n: np.ndarray, p: np.ndarray, rho: float) -> np.ndarray:
    scale = (1 - rho) / rho
    a, b = np.asarray(p) * scale, (1 - np.asarray(p)) * scale
    return betaln(k + a, n - k + b) - betaln(a, b)


def log_binomial(k: np.ndarray, n: np.ndarray, p: np.ndarray | float) -> np.ndarray:
    """Binomial log-likelihood without its coefficient, which cancels in ratios."""
    return xlogy(k, p) + xlog1py(np.asarray(n) - k, -np.asarray(p))
