"""How common the hypotheses are among a library's clones: empirical Bayes by size of the clone.

Clones that a CAR+ sort holds as often as the open sample (`design.in_car_sort`) carry more often than others; how much
more often is not assumed, for sorts leak: both kinds are learnt apart, each like a library of its own.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

STRATA = ("no clone", "1", "2-4", "5-20", ">20")
SORTED = len(STRATA)  # added to the stratum of a clone that is frequent in a CAR+ sort
FLOOR = np.array([0.005, 0.005, 0.01])
LEAST_MIXED = 0.1  # of carrying clones: with fewer where counts cannot tell, mixed clones would pass for clonal ones
BASE = np.array([0.5, 0.4, 0.1])
BASE_WEIGHT, GLOBAL_WEIGHT = 5.0, 10.0
MOST_ALIKE = 100.0  # clones' worth of the library's mean where clones of all sizes carry alike
OPEN_LAW = 0.02  # share of the law of carrying shares that stays uniform, whatever was seen
TINY = 1e-200  # shares below are formed in logs
MIXED_WEIGHT = 5.0  # clones' worth of `BASE` in the mixed share of carrying clones


def stratum(size: np.ndarray, has_clone: np.ndarray, in_sort: np.ndarray | None = None) -> np.ndarray:
    """Index into `STRATA` for units of these sizes, `SORTED` more for clones that are frequent in a CAR+ sort."""
    kind = 0 if in_sort is None else SORTED * np.asarray(in_sort, np.int64)
    by_size = np.searchsorted([1, 4, 20], np.asarray(size), side="left") + 1 + kind
    return np.where(np.asarray(has_clone, bool), by_size, 0)


def several(strata: np.ndarray) -> np.ndarray:
    """Whether units of these strata have more than one cell, bool."""
    return np.asarray(strata) % SORTED > 1


def start() -> np.ndarray:
    """`BASE` for every stratum, float64 (strata, 3)."""
    return np.tile(BASE, (2 * SORTED, 1))


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
    """Share of H0, H1 and H2 per stratum by EM, run to convergence; clones that are frequent in a CAR+ sort apart.

    Parameters
    ----------
    evidence
        float64 (rows, 3): log evidence of H0, H1, H2.
    strata
        int (rows,): from `stratum`.
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
    float64 (10, 3), rows summing to one, floored. The mixed share is shrunk to the mean of its kind of clones with a
    weight of `GLOBAL_WEIGHT` clones, the carrying share of the others with as many as `_alike` finds.
    """
    both = [strata < SORTED, strata >= SORTED]
    return np.concatenate([_fit(evidence[kind], strata[kind] % SORTED, weights[kind], floor, base_weight, least_mixed)
                           for kind in both])


def _fit(evidence: np.ndarray, strata: np.ndarray, weights: np.ndarray, floor: np.ndarray, base_weight: float,
         least_mixed: float) -> np.ndarray:
    """Shares (5, 3) of one kind of clones."""
    def run(start: np.ndarray, weight: np.ndarray) -> np.ndarray:
        shares = start
        for _ in range(2000):
            belongs = responsibilities(evidence, shares[strata]) * weights[:, None]
            counts = np.stack([np.bincount(strata, column, len(STRATA)) for column in belongs.T], axis=1)
            new = _floored(_shrunk(counts, base_weight, weight), floor, least_mixed)
            if np.abs(new - shares).max() < 1e-4:
                return new
            shares = new
        return shares

    usual = np.full(len(STRATA), GLOBAL_WEIGHT)
    first = run(_floored(np.tile(BASE, (len(STRATA), 1)), floor, least_mixed), usual)
    if strata.size == 0:
        return first
    return run(first, np.where(np.arange(len(STRATA)) > 0, _alike(evidence, strata, weights, first), usual))


def _shrunk(counts: np.ndarray, base_weight: float, weight: np.ndarray) -> np.ndarray:
    """Shares (5, 3) from expected counts: mixed of all clones, and carrying of those that are not mixed.

    One cell cannot be mixed, so single cells say nothing of how many clones are; but they carry as often as clones of
    one kind do.
    """
    many, unmixed = counts[2:].sum(axis=0), counts[:, :2].sum(axis=1)
    least = max(base_weight, MIXED_WEIGHT)
    mixed = (many[2] + least * BASE[2]) / (many.sum() + least)
    carrying = (counts[1:, 1].sum() + base_weight * BASE[1]) / (unmixed[1:].sum() + base_weight * BASE[:2].sum())
    own_mixed = (counts[:, 2] + GLOBAL_WEIGHT * mixed) / (counts.sum(axis=1) + GLOBAL_WEIGHT)
    own_mixed[:2] = 0.0
    own = (counts[:, 1] + weight * carrying) / (unmixed + weight)
    return np.column_stack([(1 - own_mixed) * (1 - own), (1 - own_mixed) * own, own_mixed])


def _alike(evidence: np.ndarray, strata: np.ndarray, weights: np.ndarray, shares: np.ndarray) -> float:
    """How many clones' worth the library's carrying share is in that of each stratum, by how much the strata differ.

    A moment estimate of the variance between strata (DerSimonian and Laird 1986) from scores at a common share.
    """
    unmixed = shares[1:, :2].sum(axis=1)
    size = np.bincount(strata, weights, len(STRATA))[1:]
    common = float(np.clip((size * shares[1:, 1]).sum() / max((size * unmixed).sum(), 1e-9), 1e-6, 1 - 1e-6))
    same = shares.copy()
    same[1:, 0], same[1:, 1] = unmixed * (1 - common), unmixed * common
    belongs = responsibilities(evidence, same[strata])
    slope = belongs[:, 1] / common - belongs[:, 0] / (1 - common)
    score = np.bincount(strata, weights * slope, len(STRATA))[1:]
    known = np.bincount(strata, weights * slope**2, len(STRATA))[1:]
    seen = known > 0
    if seen.sum() < 2:
        return GLOBAL_WEIGHT
    score, known = score[seen], known[seen]
    spread = (score**2 / known).sum() - score.sum() ** 2 / known.sum() - (seen.sum() - 1)
    variance = spread / (known.sum() - (known**2).sum() / known.sum())
    if variance <= 0:
        return MOST_ALIKE
    return float(np.clip(common * (1 - common) / variance - 1, GLOBAL_WEIGHT, MOST_ALIKE))


def fit_laws(evidence: np.ndarray, inside: np.ndarray,
             weights: np.ndarray | float = 1.0) -> tuple[np.ndarray, np.ndarray, float]:
    """Posterior of equally likely laws of the carrying share among mixed clones, each with the shares that suit it.

    Parameters
    ----------
    evidence
        float64 (clones, 2 + bins): log evidence of H0, of H1, and of H2 in each bin of the carrying share.
    inside
        float64 (laws, bins): what each law holds in each bin.
    weights
        float64 (clones,): what each clone counts.

    Returns
    -------
    Posterior of the laws, float64 (laws,); mean share of H0, H1, H2 under it, float64 (3,); and the log evidence of
    all clones, up to a constant.
    """
    each = np.broadcast_to(weights, len(evidence))
    likely = np.exp(evidence - evidence.max(axis=1, keepdims=True))
    parts = np.stack([np.broadcast_to(likely[:, :1], (len(evidence), len(inside))),
                      np.broadcast_to(likely[:, 1:2], (len(evidence), len(inside))), likely[:, 2:] @ inside.T])
    shares = np.tile(BASE[:, None], len(inside))
    for _ in range(200):
        joint = parts * shares[:, None, :]
        counts = np.einsum("hcl,c->hl", joint / joint.sum(axis=0), each) + MIXED_WEIGHT * BASE[:, None]
        new = counts / counts.sum(axis=0)
        done = np.abs(new - shares).max() < 1e-3
        shares = new
        if done:
            break
    logs = each @ (np.log((parts * shares[:, None, :]).sum(axis=0)) + evidence.max(axis=1)[:, None])
    logs += MIXED_WEIGHT * (BASE[:, None] * np.log(shares)).sum(axis=0)
    total = float(logsumexp(logs))
    posterior = np.exp(logs - total)
    return posterior, shares @ posterior, total


def log_evidence(evidence: np.ndarray, prior: np.ndarray, weights: np.ndarray) -> float:
    """Log evidence of a library: all its units under their priors (rows, 3)."""
    with np.errstate(divide="ignore"):
        return float((weights * logsumexp(evidence + np.log(prior), axis=1)).sum())


def log_density(shares: np.ndarray, strata: np.ndarray, weights: np.ndarray) -> float:
    """Log prior density of the mixed share among carrying clones, up to a constant: `MIXED_WEIGHT` clones of `BASE`."""
    _, clonal, mixed = (weights * several(strata)) @ shares[strata]
    expected = BASE[2] / (BASE[1] + BASE[2])
    if clonal + mixed == 0:
        return 0.0
    return float(MIXED_WEIGHT * (expected * np.log(mixed) + (1 - expected) * np.log(clonal)
                                 - np.log(clonal + mixed)))
