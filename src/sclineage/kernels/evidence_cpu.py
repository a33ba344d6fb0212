"""Numba side of `kernels.evidence`: see there for the contract of every function."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

FLOOR = 1e-300  # probabilities below this are reported as this: the tables stay finite


@njit(cache=True)
def counts_pmf(mean, size, out):  # type: ignore[no-untyped-def]
    """Fill `out[0..C-1]` with a negative binomial (Poisson at size inf) and ``out[C]`` with P(count >= C)."""
    last = out.size - 1
    poisson = np.isinf(size)
    ratio = mean if poisson else mean / (mean + size)
    term = np.exp(-mean) if poisson else np.exp(-size * np.log1p(mean / size))
    below = 0.0
    for k in range(last):
        out[k] = term
        below += term
        term *= ratio / (k + 1) if poisson else ratio * (k + size) / (k + 1)
    if 1.0 - below > 1e-3:
        out[last] = 1.0 - below
        return
    tail, k = 0.0, last  # 1 - below has lost its digits: add the tail up instead
    while term > 1e-17 * tail and k < 20000:
        tail += term
        term *= ratio / (k + 1) if poisson else ratio * (k + size) / (k + 1)
        k += 1
    out[last] = tail


@njit(cache=True)
def add_convolved(signal, background, weight, out):  # type: ignore[no-untyped-def]
    """Add `weight` times the distribution of the sum of two counts; the last entry of each is its tail."""
    last = out.size - 1
    for c in range(last):
        total = 0.0
        for b in range(c + 1):
            total += background[b] * signal[c - b]
        out[c] += weight * total
    beyond, tail = signal[last], background[last]
    for b in range(last):  # P(signal >= last - b), from the far end so that small tails keep their digits
        tail += background[b] * beyond
        beyond += signal[last - b - 1]
    out[last] += weight * tail


@njit(cache=True)
def _fill_depth(mean, signal, size, background_size, g, m, shares, share_weights, out):  # type: ignore[no-untyped-def]
    counts = out.shape[0]
    null, own, mixed = np.empty(counts), np.empty(counts), np.empty(counts)
    doublet = m.size + 1
    for j in range(g.size):
        counts_pmf(g[j] * mean, background_size, null)
        for c in range(counts):
            out[c, j, 0] = np.log(max(null[c], FLOOR))
        for i in range(m.size):
            counts_pmf(m[i] * signal, size, own)
            mixed[:] = 0.0
            add_convolved(own, null, 1.0, mixed)
            for c in range(counts):
                out[c, j, i + 1] = np.log(max(mixed[c], FLOOR))
        mixed[:] = 0.0
        for q in range(shares.size):
            counts_pmf(shares[q] * signal, size, own)
            add_convolved(own, null, share_weights[q], mixed)
        for c in range(counts):
            out[c, j, doublet] = np.log(max(mixed[c], FLOOR))


@njit(cache=True, parallel=True)
def fill_likelihoods(background, signal, size, background_size, g, m, shares, share_weights, out):  # type: ignore[no-untyped-def]
    """Log-likelihoods of every count at every depth; one depth per iteration."""
    for d in prange(background.size):
        _fill_depth(background[d], signal[d], size, background_size, g, m, shares, share_weights, out[d])


@njit(cache=True)
def fill_likelihoods_serial(background, signal, size, background_size, g, m, shares, share_weights, out):  # type: ignore[no-untyped-def]
    """The same in one thread: for the small calls inside fits, where starting threads costs more than the work."""
    for d in range(background.size):
        _fill_depth(background[d], signal[d], size, background_size, g, m, shares, share_weights, out[d])


@njit(cache=True, parallel=True)
def fill_mixture(loglik, w, out):  # type: ignore[no-untyped-def]
    """``log((1 - w) L0 + w L1)`` for every key; one key per iteration."""
    for k in prange(loglik.shape[0]):
        for j in range(loglik.shape[1]):
            null = loglik[k, j, 0]
            for i in range(loglik.shape[2] - 1):
                other = loglik[k, j, i + 1]
                top = max(null, other)
                low, high = np.exp(null - top), np.exp(other - top)
                for v in range(w.size):
                    out[k, j, i, v] = top + np.log(max((1.0 - w[v]) * low + w[v] * high, FLOOR))


@njit(cache=True)
def _collapse(keys, counts, table, log_g, out):  # type: ignore[no-untyped-def]
    """Sum a clone's keys and integrate the background multiplier out: ``out[m, w]``."""
    backgrounds, columns, points = table.shape[1], table.shape[2], table.shape[3]
    total = np.zeros((backgrounds, columns, points))
    for e in range(keys.size):
        times = float(counts[e])
        row = table[keys[e]]
        for j in range(backgrounds):
            for i in range(columns):
                for v in range(points):
                    total[j, i, v] += times * row[j, i, v]
    for i in range(columns):
        for v in range(points):
            top = -np.inf
            for j in range(backgrounds):
                top = max(top, total[j, i, v] + log_g[j])
            mass = 0.0
            for j in range(backgrounds):
                mass += np.exp(total[j, i, v] + log_g[j] - top)
            out[i, v] = top + np.log(mass)


@njit(cache=True)
def _log_sum(values, weights):  # type: ignore[no-untyped-def]
    top = -np.inf
    for v in range(values.size):
        if weights[v] > -np.inf:
            top = max(top, values[v] + weights[v])
    if top == -np.inf:
        return top
    mass = 0.0
    for v in range(values.size):
        if weights[v] > -np.inf:
            mass += np.exp(values[v] + weights[v] - top)
    return top + np.log(mass)


@njit(cache=True, parallel=True)
def fill_evidence(indptr, keys, counts, table, log_g, log_w, group, out):  # type: ignore[no-untyped-def]
    """Evidence per clone, hypothesis and expression column; one clone per iteration."""
    for k in prange(indptr.size - 1):
        surface = np.empty((table.shape[2], table.shape[3]))
        first, last, s = indptr[k], indptr[k + 1], group[k]
        _collapse(keys[first:last], counts[first:last], table, log_g[s], surface)
        for h in range(log_w.shape[1]):
            for i in range(table.shape[2]):
                out[k, h, i] = _log_sum(surface[i], log_w[s, h])


@njit(cache=True, parallel=True)
def fill_posterior(indptr, keys, counts, table, log_g, log_w, log_m, group, out_w, out_m):  # type: ignore[no-untyped-def]
    """Posterior of w and of m under every carrying hypothesis; one clone per iteration."""
    for k in prange(indptr.size - 1):
        columns, points = log_m.shape[1], table.shape[3]
        surface = np.empty((table.shape[2], points))
        first, last, s = indptr[k], indptr[k + 1], group[k]
        _collapse(keys[first:last], counts[first:last], table, log_g[s], surface)
        for h in range(log_w.shape[1]):
            top = -np.inf
            for i in range(columns):
                for v in range(points):
                    top = max(top, surface[i, v] + log_w[s, h, v] + log_m[s, i])
            mass = 0.0
            for i in range(columns):
                for v in range(points):
                    part = np.exp(surface[i, v] + log_w[s, h, v] + log_m[s, i] - top)
                    out_w[k, h, v] += part
                    out_m[k, h, i] += part
                    mass += part
            out_w[k, h] /= mass
            out_m[k, h] /= mass
