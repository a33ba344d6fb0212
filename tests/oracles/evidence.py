"""Executable specification of `sclineage.kernels.evidence`: plain scipy, one cell and one grid point at a time."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp
from scipy.stats import nbinom, poisson

CMAX = 24


def count_law(mean, size):
    """Frozen law of a count with this mean and NB size."""
    return poisson(mean) if np.isinf(size) else nbinom(size, size / (size + mean))


def sum_logpmf(count, mean_signal, size_signal, mean_background, size_background):
    """log P(signal + background = count), or >= CMAX for the last bin, by direct summation."""
    signal, background = count_law(mean_signal, size_signal), count_law(mean_background, size_background)
    if count < CMAX:
        b = np.arange(count + 1)
        return logsumexp(background.logpmf(b) + signal.logpmf(count - b))
    b = np.arange(CMAX)
    return logsumexp([*(background.logpmf(b) + signal.logsf(CMAX - b - 1)), background.logsf(CMAX - 1)])


def background_logpmf(count, mean, size):
    law = count_law(mean, size)
    return law.logpmf(count) if count < CMAX else law.logsf(CMAX - 1)


def cell_logliks(count, background, signal, size, background_size, g, m):
    """Background, each m, doublet: (len(g), len(m) + 2)."""
    out = np.empty((len(g), len(m) + 2))
    for j, gj in enumerate(g):
        out[j, 0] = background_logpmf(count, gj * background, background_size)
        for i, mi in enumerate(m):
            out[j, i + 1] = sum_logpmf(count, mi * signal, size, gj * background, background_size)
        halves = [np.log(weight * often) + sum_logpmf(count, q * x * signal, size, gj * background, background_size)
                  for q, weight in ((0.25, 0.25), (0.5, 0.5), (0.75, 0.25))
                  for x, often in ((0.5, 0.25), (1.0, 0.5), (2.0, 0.25))]
        out[j, -1] = logsumexp(halves)
    return np.maximum(out, np.log(1e-300))


def cell_table(logliks, w):
    """(g, m + 1, w) mixture of one cell."""
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log1p(-w) + logliks[:, :1, None], np.log(w) + logliks[:, 1:, None])


def clone_evidence(tables, log_g, log_w):
    """Evidence (hypotheses, columns) of a clone given as a list of its cells' tables."""
    surface = logsumexp(np.sum(tables, axis=0) + log_g[:, None, None], axis=0)
    return logsumexp(surface[None] + log_w[:, None, :], axis=2)


def clone_posterior(tables, log_g, log_w, log_m):
    """Posterior of w (hypotheses, w) and of m (hypotheses, m)."""
    surface = logsumexp(np.sum(tables, axis=0) + log_g[:, None, None], axis=0)[: log_m.size]
    joint = surface[None] + log_w[:, None, :] + log_m[None, :, None]
    joint -= logsumexp(joint, axis=(1, 2), keepdims=True)
    return np.exp(logsumexp(joint, axis=1)), np.exp(logsumexp(joint, axis=2))
