"""How common the hypotheses are among a library's clones: empirical Bayes by size of the clone."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

STRATA = ("no clone", "1", "2-4", "5-20", ">20")
FLOOR = np.array([0.005, 0.005, 0.01])
LEAST_MIXED = 0.1  # of carrying clones: with fewer where counts cannot tell, mixed clones would pass for clonal ones
BASE = np.array([0.5, 0.4, 0.1])
BASE_WEIGHT, GLOBAL_WEIGHT = 5.0, 10.0
BAND_WEIGHT = 2.0  # clones' worth of the uniform law in that of the carrying share of mixed clones
TINY = 1e-200  # shares below are formed in logs
MIXED_WEIGHT = 5.0  # clones' worth of `BASE` in the mixed share of carrying clones


def stratum(size: np.ndarray, has_clone: np.ndarray) -> np.ndarray:
    """Index into `STRATA` for units of these sizes."""
    by_size = np.searchsorted([1, 4, 20], np.asarray(size), side="left") + 1
    return np.where(np.asarray(has_clone, bool), by_size, 0)


def _floored(prior: np.ndarray, floor: np.ndarray, least_mixed: float) -> np.ndarray:
    out = np.maximum(prior, floor)
    out[:, 2] = np.maximum(out[:, 2], least_mixed * (1 - out[:, 0]))
    out[:2, 2] = 0.0  # one cell cannot be mixed
    return out / out.sum(axis=1, keepdims=True)


def responsibilities(evidence: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Posterior of H0, H1, H2 from log evidence (units, 3) and priors of the same shape."""
    shares = np.exp(evidence - evidence.max(axis=1, keepdims=True)) * prior
    total = shares.sum(axis=1, keepdims=True)
    if total.min(initial=1.0) > TINY:
        return shares / total
    with np.errstate(divide="ignore"):
        logs = evidence + np.log(prior)
    return np.exp(logs - logsumexp(logs, axis=1, keepdims=True))


def loose(evidence: np.ndarray, strata: np.ndarray, weights: np.ndarray, *,
          base_weight: float = BASE_WEIGHT) -> np.ndarray:
    """Shares as `fit`, without floors: for what is learnt from clones that hold a hypothesis, not for judging them."""
    return fit(evidence, strata, weights, floor=np.full(3, 1e-5), base_weight=base_weight, least_mixed=0.0)


def fit(evidence: np.ndarray, strata: np.ndarray, weights: np.ndarray, *, floor: np.ndarray = FLOOR,
        base_weight: float = BASE_WEIGHT, least_mixed: float = LEAST_MIXED) -> np.ndarray:
    """Share of H0, H1 and H2 per stratum by EM, run to convergence.

    Parameters
    ----------
    evidence
        float64 (rows, 3): log evidence of H0, H1, H2.
    strata
        int (rows,): index into `STRATA`.
    weights
        float64 (rows,): how many units share the row.
    floor
        Least share of each hypothesis.
    base_weight
        Clones' worth of `BASE` in the library's mean.
    least_mixed
        Least share of mixed clones among carrying ones.

    Returns
    -------
    float64 (5, 3), rows summing to one, shrunk to the library's mean with a weight of `GLOBAL_WEIGHT` clones, floored.
    """
    prior = _floored(np.tile(BASE, (len(STRATA), 1)), floor, least_mixed)
    sizes = np.bincount(strata, weights, len(STRATA))
    for _ in range(2000):
        belongs = responsibilities(evidence, prior[strata]) * weights[:, None]
        counts = np.stack([np.bincount(strata, column, len(STRATA)) for column in belongs.T], axis=1)
        mean = _mean(counts, base_weight)
        new = _floored((counts + GLOBAL_WEIGHT * mean) / (sizes + GLOBAL_WEIGHT)[:, None], floor, least_mixed)
        if np.abs(new - prior).max() < 1e-4:
            return new
        prior = new
    return prior


def _mean(counts: np.ndarray, base_weight: float) -> np.ndarray:
    """The library's mean: the carrying share over all clones, the mixed share of it over clones of two cells or more.

    One cell cannot be mixed, so single cells say nothing of how many carrying clones are.
    """
    clones = counts[1:].sum(axis=0) + base_weight * BASE
    several = counts[2:].sum(axis=0) + max(base_weight, MIXED_WEIGHT) * BASE
    carrying = 1 - clones[0] / clones.sum()
    mixed = several[2] / (several[1] + several[2])
    return np.array([1 - carrying, carrying * (1 - mixed), carrying * mixed])


def fit_bands(evidence: np.ndarray, shares: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Weights of the bands of the carrying share among mixed clones, by EM.

    Parameters
    ----------
    evidence
        float64 (clones, 2 + bands): log evidence of H0, of H1, and of H2 in each band.
    shares
        float64 (clones, 3): share of H0, H1 and H2 where the clone belongs.
    base
        float64 (bands,): weights under the uniform law, which count for `BAND_WEIGHT` clones.

    Returns
    -------
    float64 (bands,), summing to one.
    """
    bands = base
    for _ in range(500):
        both = np.column_stack([shares[:, :2], shares[:, 2:] * bands])
        counts = responsibilities(evidence, both)[:, 2:].sum(axis=0) + BAND_WEIGHT * base
        new = counts / counts.sum()
        if np.abs(new - bands).max() < 1e-4:
            return new
        bands = new
    return bands


def log_evidence(evidence: np.ndarray, prior: np.ndarray, weights: np.ndarray) -> float:
    """Log evidence of a library: all its units under their priors (rows, 3)."""
    with np.errstate(divide="ignore"):
        return float((weights * logsumexp(evidence + np.log(prior), axis=1)).sum())


def log_density(shares: np.ndarray, strata: np.ndarray, weights: np.ndarray) -> float:
    """Log prior density of the mixed share among carrying clones, up to a constant: `MIXED_WEIGHT` clones of `BASE`."""
    several = np.bincount(strata, weights, len(STRATA))
    several[:2] = 0.0
    _, clonal, mixed = several @ shares
    expected = BASE[2] / (BASE[1] + BASE[2])
    if clonal + mixed == 0:
        return 0.0
    return float(MIXED_WEIGHT * (expected * np.log(mixed) + (1 - expected) * np.log(clonal)
                                 - np.log(clonal + mixed)))
