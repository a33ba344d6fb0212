"""Plain versions of the likelihoods and bounds of malignancy and origin, one loop at a time."""

from __future__ import annotations

import math
from itertools import pairwise

from scipy.integrate import quad


def choose(n, k):
    return math.comb(n, k)


def betabin(k, n, p, rho):
    """P(k of n) when the rate is Beta with mean p and intra-class correlation rho, by its product form."""
    a, b = p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho
    out = float(choose(n, k))
    for i in range(k):
        out *= a + i
    for i in range(n - k):
        out *= b + i
    for i in range(n):
        out /= a + b + i
    return out


def marker(k, n, p0):
    """log[.45 BB(k | n, p1) / BB(k | n, p0) + .55]"""
    p1 = min(max(0.85, p0 + 0.5 * (1 - p0)), 0.99)
    return math.log(0.45 * betabin(k, n, p1, 0.15) / betabin(k, n, p0, 0.15) + 0.55)


def binomial(k, n, p):
    return choose(n, k) * p**k * (1 - p) ** (n - k)


def driver(k, n, k0, n0, error):
    """Weight and ratio of one site before the caps."""
    pv = math.log(binomial(k, n, 0.4)) - math.log(binomial(k, n, 0.005))
    alone = binomial(k0, n0, error)
    shared = sum(binomial(k0, n0, min(error + q, 0.95)) for q in (0.02, 0.05, 0.1, 0.2, 0.4)) / 5
    return alone / (alone + shared), pv


def dominance(n, total, mean, sd):
    """Log-uniform on [1e-4, 1] against Normal, in log frequency."""
    x = math.log((n + 0.5) / (total + 1))
    if x <= mean:
        return 0.0
    normal = math.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))
    return math.log(1 / math.log(1e4)) - math.log(normal)


def matched_rate(cells, positive, clone):
    """Expected share of one clone: each member looks at its stratum, its parents, and the clone is left out."""
    from sclineage.malignancy.table import DEPTH_BINS

    def around(i, keys):
        hits = total = 0
        for j in range(len(positive)):
            if cells.clone[j] == clone or not cells.counts[j] or not cells.t_cell[j] or positive[j] != positive[j]:
                continue
            if all(key[i] == key[j] for key in keys):
                hits, total = hits + positive[j], total + 1
        return hits, total

    assert DEPTH_BINS == 4
    members = [i for i in range(len(positive)) if cells.clone[i] == clone and cells.counts[i]
               and positive[i] == positive[i]]
    rates = []
    for i in members:
        h, n = around(i, [cells.sample])
        rate = (h + 0.5) / (n + 1)
        for keys in ([cells.sample, cells.depth_bin], [cells.sample, cells.depth_bin, cells.subset]):
            h, n = around(i, keys)
            rate = (h + 20 * rate) / (n + 20)
        rates.append(rate)
    return sum(rates) / len(rates)


def tail_at_least(k, n, p):
    return sum(binomial(i, n, p) for i in range(k, n + 1))


def bisect(function, low, high):
    """Root of an increasing function."""
    for _ in range(200):
        middle = (low + high) / 2
        if function(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def clopper_pearson(k, n):
    low = 0.0 if k == 0 else bisect(lambda p: tail_at_least(k, n, p) - 0.025, 0, 1)
    high = 1.0 if k == n else bisect(lambda p: 0.025 - (1 - tail_at_least(k + 1, n, p)), 0, 1)
    return low, high


def poisson(k, mean):
    return math.exp(-mean) * mean**k / math.factorial(k)


def garwood(x):
    """Limits of a Poisson mean."""
    low = 0.0 if x == 0 else bisect(lambda m: 1 - sum(poisson(i, m) for i in range(x)) - 0.025, 0, 10 * x + 20)
    high = bisect(lambda m: 0.025 - sum(poisson(i, m) for i in range(x + 1)), 0, 10 * x + 20)
    return low, high


def log10_bayes_factor(x, n, leak):
    """Present (p log-uniform on [1e-7, 1e-1]) against leaked, by adaptive quadrature."""
    low, high = math.log(1e-7), math.log(1e-1)
    points = [low + i * (high - low) / 40 for i in range(41)]
    present = sum(quad(lambda u: poisson(x, n * math.exp(u) + leak), a, b, epsabs=0, epsrel=1e-10)[0]
                  for a, b in pairwise(points)) / (high - low)
    return math.log10(present / poisson(x, leak))
