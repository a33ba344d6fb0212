"""Slow plain version of the variant model: one clone, one cell after the other, probabilities by scipy.stats."""

from __future__ import annotations

import numpy as np
from scipy.stats import betabinom, binom

Q, Q_WEIGHTS = (0.25, 0.5, 0.75), (0.25, 0.5, 0.25)


def cell(k: int, n: int, error: float, own: float, dropout: float, share: float,
         concentration: float) -> tuple[float, float, float]:
    """Probability of k of n reads without the mutation, with it, and as a doublet with a mutant cell."""
    none = binom.pmf(k, n, error)
    mean = min(max(own * share + error, 1e-3), 1 - 1e-3)
    both = betabinom.pmf(k, n, concentration * mean, concentration * (1 - mean))
    alone = binom.pmf(k, n, min(own + error, 1 - 0.005))
    mutant = (1 - dropout) * both + dropout * (1 - share) * none + dropout * share * alone
    double = sum(p * binom.pmf(k, n, own * 0.5 * q + (1 - q) * error) for q, p in zip(Q, Q_WEIGHTS, strict=True))
    return float(none), float(mutant), float(double)


def clone(cells: list[tuple[int, int]], error: float, own: float, columns, weights, g: np.ndarray, log_g: np.ndarray,
          w: np.ndarray) -> list[float]:
    """Log evidence of a clone under H0, H1 and H2: sums over error, columns and shares of signal cells."""
    out = []
    for h in range(3):
        total = 0.0
        for gi, gv in enumerate(g):
            e = min(error * gv, 0.45)
            for m in range(columns.share.size):
                probs = [cell(k, n, e, own, columns.dropout[m], columns.share[m], columns.concentration)
                         for k, n in cells]
                for j, wv in enumerate(w):
                    prior = np.exp(log_g[gi] + weights.log_m[m] + weights.log_w[h, j])
                    signal = 2 if h == 0 else 1
                    total += prior * float(np.prod([(1 - wv) * p[0] + wv * p[signal] for p in probs]))
        out.append(float(np.log(total)))
    return out
