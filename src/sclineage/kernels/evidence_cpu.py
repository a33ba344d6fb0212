"""Numba side of `kernels.evidence`: see there for the contract of every function."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

FLOOR = 1e-300  # probabilities below this are reported as this: the tables stay finite
LEAST = -700.0  # exponents below count as this
TINY = 1e-280  # sums below are done again in logs: what counted as LEAST may weigh in them
LOG2_E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
MAGIC = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to a whole number, left in the lowest bits
DIVISORS = tuple(1.0 / math.factorial(k) for k in range(11, -1, -1))
LAST_DIVISOR = 1.0 / math.factorial(12)
STRIDE = 7919  # a prime


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


# --- clones -----------------------------------------------------------------------------------------------------------
@njit(cache=True)
def add_exponentials(values, top, parts, powers, out):  # type: ignore[no-untyped-def]
    """Add ``exp(values - top)`` to `out`, no exponent above 0: Cody and Waite's reduction, then a series.

    Plain loops over long rows run in vector registers, which a call of `exp` per value does not. Relative error 4e-16;
    exponents below `LEAST` count as that, and whoever sums too few others falls back to logs (`TINY`).
    """
    part_bits, power_bits = parts.view(np.int64), powers.view(np.int64)
    for p in range(values.size):
        x = max(values[p] - top, LEAST)
        shifted = x * LOG2_E + MAGIC
        whole = shifted - MAGIC
        r = (x - whole * LN2_HIGH) - whole * LN2_LOW
        series = LAST_DIVISOR
        for divisor in DIVISORS:
            series = series * r + divisor
        parts[p], powers[p] = series, shifted
    for p in range(values.size):
        part_bits[p] += power_bits[p] << 52
    for p in range(values.size):
        out[p] += parts[p]


@njit(cache=True)
def _totals(keys, counts, table, out):  # type: ignore[no-untyped-def]
    """Sum the rows of a clone's keys; every row is one long vector."""
    out[:] = 0.0
    for e in range(keys.size):
        times, row = float(counts[e]), table[keys[e]]
        for p in range(row.size):
            out[p] += times * row[p]


@njit(cache=True)
def _surface(total, log_g, mass):  # type: ignore[no-untyped-def]
    """Integrate the background multiplier out: the clone's likelihood is ``exp(top) * mass[m, w]``; returns `top`.

    `total` (g, m, w) gets its weights `log_g`.
    """
    backgrounds, points = total.shape[0], mass.size
    flat, out, most = total.reshape(backgrounds, points), mass.reshape(points), np.full(points, -np.inf)
    for j in range(backgrounds):
        for p in range(points):
            flat[j, p] += log_g[j]
            most[p] = max(most[p], flat[j, p])
    top = -np.inf
    for p in range(points):
        top = max(top, most[p])
    parts, powers = np.empty(points), np.empty(points)
    out[:] = 0.0
    for j in range(backgrounds):
        add_exponentials(flat[j], top, parts, powers, out)
    return top


@njit(cache=True)
def _dot(a, b):  # type: ignore[no-untyped-def]
    """Sum of products in four running sums, always the same."""
    first, second, third, fourth = 0.0, 0.0, 0.0, 0.0
    whole = a.size - a.size % 4
    for v in range(0, whole, 4):
        first += a[v] * b[v]
        second += a[v + 1] * b[v + 1]
        third += a[v + 2] * b[v + 2]
        fourth += a[v + 3] * b[v + 3]
    for v in range(whole, a.size):
        first += a[v] * b[v]
    return (first + second) + (third + fourth)


@njit(cache=True)
def _log_sum(values, weights):  # type: ignore[no-untyped-def]
    """``log(sum exp(values + weights))`` over backgrounds and w, whatever their size: `values` (g, w)."""
    top = -np.inf
    for j in range(values.shape[0]):
        for v in range(weights.size):
            if weights[v] > -np.inf:
                top = max(top, values[j, v] + weights[v])
    if top == -np.inf:
        return top
    mass = 0.0
    for j in range(values.shape[0]):
        for v in range(weights.size):
            if weights[v] > -np.inf:
                mass += np.exp(values[j, v] + weights[v] - top)
    return top + np.log(mass)


@njit(cache=True)
def spread(turn, n):  # type: ignore[no-untyped-def]
    """A permutation of 0 .. n - 1 that shares neighbouring clones, large ones often, out among the threads."""
    return turn if n % STRIDE == 0 else turn * STRIDE % n


@njit(cache=True)
def _evidence(total, mass, top, log_w, weights, out):  # type: ignore[no-untyped-def]
    """Evidence of one clone under every hypothesis, by column."""
    for h in range(log_w.shape[0]):
        for i in range(total.shape[1]):
            part = _dot(mass[i], weights[h])
            out[h, i] = top + np.log(part) if part > TINY else _log_sum(total[:, i], log_w[h])


@njit(cache=True)
def _from_logs(total, log_w, log_m, out_w, out_m):  # type: ignore[no-untyped-def]
    """Posterior of w and m under one hypothesis from logs, whatever their size; not yet of sum one."""
    top = -np.inf
    for j in range(total.shape[0]):
        for i in range(log_m.size):
            for v in range(log_w.size):
                top = max(top, total[j, i, v] + log_w[v] + log_m[i])
    out_w[:] = 0.0
    out_m[:] = 0.0
    for j in range(total.shape[0]):
        for i in range(log_m.size):
            for v in range(log_w.size):
                part = np.exp(total[j, i, v] + log_w[v] + log_m[i] - top)
                out_w[v] += part
                out_m[i] += part


@njit(cache=True)
def _normalise(values):  # type: ignore[no-untyped-def]
    """Divide by the sum; whether that is large enough. Written out: array expressions take seconds to compile."""
    total = 0.0
    for v in range(values.size):
        total += values[v]
    if total < TINY:
        return False
    for v in range(values.size):
        values[v] /= total
    return True


@njit(cache=True)
def _posterior(total, mass, log_w, weights, log_m, m_weights, out_w, out_m):  # type: ignore[no-untyped-def]
    """Posterior of w and m of one clone under every hypothesis; the doublet's column takes no part."""
    for h in range(log_w.shape[0]):
        for i in range(log_m.size):
            out_m[h, i] = m_weights[i] * _dot(mass[i], weights[h])
            for v in range(log_w.shape[1]):
                out_w[h, v] += m_weights[i] * mass[i, v] * weights[h, v]
        if not _normalise(out_m[h]):
            _from_logs(total, log_w[h], log_m, out_w[h], out_m[h])
            _normalise(out_m[h])
        _normalise(out_w[h])


@njit(cache=True, parallel=True)
def fill_clones(indptr, keys, counts, table, log_g, log_w, weights, log_m, m_weights,  # type: ignore[no-untyped-def]
                group, out, out_w, out_m):
    """Evidence, or the posteriors of w and m, of every clone; one clone per iteration.

    What is not asked for has no rows. (One function for both: their common part takes long to compile.)
    """
    width = table.shape[1] * table.shape[2] * table.shape[3]
    clones, rows = indptr.size - 1, table.reshape((table.shape[0], width))
    for turn in prange(clones):
        k = spread(np.int64(turn), clones)
        first, last, s, flat = indptr[k], indptr[k + 1], group[k], np.empty(width)
        total, mass = flat.reshape(table.shape[1:]), np.empty(table.shape[2:])
        _totals(keys[first:last], counts[first:last], rows, flat)
        top = _surface(total, log_g[s], mass)
        if out.shape[0] > 0:
            _evidence(total, mass, top, log_w[s], weights[s], out[k])
        if out_w.shape[0] > 0:
            _posterior(total, mass, log_w[s], weights[s], log_m[s], m_weights[s], out_w[k], out_m[k])
