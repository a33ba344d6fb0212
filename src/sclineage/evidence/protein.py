"""CAR protein by antibody: a line of its own with its own background, never summed with RNA.

Antibody counts of a library are background (unspecific binding, the same in every cell) or background and the CAR: two
negative binomials. The background is that of declared CAR-free cells, else of cells that are no T cells, else fitted.
Where the two are not plainly apart nothing is called.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp, xlogy
from scipy.stats import binom

from .dna import clopper_pearson

MIN_NEGATIVES, MIN_CELLS = 50, 30  # cells that measure a background; cells that show what a positive looks like
FOLD, BIC_GAIN, OVERLAP = 3.0, 10.0, 0.05  # least ratio of means, gain over one component, and misclassified share
POSITIVE, NEGATIVE = 0.95, 0.05
SIZES = (0.2, 100.0)
DOUBLETS = 0.04  # background cells with a positive partner, times the share of positives
CALLS = ("present", "not_detected", "not_decided")
BY_CHANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Component:
    """Negative binomial of antibody counts: mean and size."""

    mean: float
    size: float

    def log(self, counts: np.ndarray) -> np.ndarray:
        """Log-probability of counts."""
        r, m = self.size, self.mean
        return (gammaln(counts + r) - gammaln(r) - gammaln(counts + 1) + r * np.log(r / (r + m))
                + xlogy(counts, m / (r + m)))


@dataclass(frozen=True, slots=True)
class Mixture:
    """Background and positive component of a library, the share of positives, and whether they are plainly apart."""

    background: Component
    positive: Component
    share: float
    source: str
    resolved: bool

    def posterior(self, counts: np.ndarray) -> np.ndarray:
        """Probability that a cell holds the protein; a doublet explains a share of the positives."""
        double = DOUBLETS * self.share
        one = self.positive.log(counts)
        none = np.logaddexp(np.log1p(-double) + self.background.log(counts), np.log(double) + one)
        odds = none - one + np.log1p(-self.share) - np.log(self.share)
        p = 1 / (1 + np.exp(np.clip(odds, -300, 300)))
        return np.where(counts <= self.background.mean, np.minimum(p, 0.5), p)


def moments(counts: np.ndarray, weight: np.ndarray) -> Component:
    """Negative binomial with the weighted mean and variance of counts."""
    total = max(float(weight.sum()), 1e-12)
    mean = max(float(weight @ counts) / total, 1e-3)
    spread = float(weight @ (counts - mean) ** 2) / total - mean
    return Component(mean, float(np.clip(mean**2 / spread if spread > 0 else SIZES[1], *SIZES)))


def fit(cells: np.ndarray, negatives: np.ndarray) -> Mixture | None:
    """Mixture of a library's T cells; None where there are too few.

    Parameters
    ----------
    cells
        int64: antibody counts of cells that may hold the CAR.
    negatives
        int64: those of cells that do not.
    """
    if cells.size < MIN_CELLS:
        return None
    values, n = np.unique(cells, return_counts=True)
    weight = n.astype(np.float64)
    known = negatives.size >= MIN_NEGATIVES
    fixed = moments(negatives.astype(np.float64), np.ones(negatives.size)) if known else None
    starts = np.unique(np.quantile(cells, [0.2, 0.4, 0.6, 0.8, 0.95]))
    best = max((_em(values.astype(np.float64), weight, float(s), fixed) for s in starts), key=lambda f: f[0])
    gain, background, positive, share = best
    alone = fixed if fixed is not None else moments(values.astype(np.float64), weight)
    gain = 2 * (gain - float(weight @ alone.log(values))) - 3 * np.log(cells.size)
    apart = (positive.mean >= FOLD * max(background.mean, 0.1) and gain >= BIC_GAIN
             and overlap(background, positive) <= OVERLAP)
    return Mixture(background, positive, share, "negatives" if known else "fitted", bool(apart))


def _em(values: np.ndarray, weight: np.ndarray, start: float,
        fixed: Component | None) -> tuple[float, Component, Component, float]:
    """Log-likelihood, components and share of positives from one start."""
    upper = (values > start).astype(np.float64)
    if not 0 < weight @ upper < weight.sum():
        upper = (values >= np.median(values)).astype(np.float64)
    resp, last = 0.02 + 0.96 * upper, -np.inf
    for _ in range(500):
        share = float(np.clip(weight @ resp / weight.sum(), 1e-3, 1 - 1e-3))
        low = fixed if fixed is not None else moments(values, weight * (1 - resp))
        high = moments(values, weight * resp)
        logs = np.stack([np.log1p(-share) + low.log(values), np.log(share) + high.log(values)])
        total = logsumexp(logs, axis=0)
        resp, now = np.exp(logs[1] - total), float(weight @ total)
        if abs(now - last) < 1e-6:
            break
        last = now
    if fixed is None and high.mean < low.mean:
        return now, high, low, 1 - share
    return now, low, high, share


def overlap(low: Component, high: Component) -> float:
    """Mean share of cells on the wrong side of the best cut between two components."""
    counts = np.arange(int(high.mean * 10 + 50))
    below = np.cumsum(np.exp(np.stack([low.log(counts), high.log(counts)])), axis=1)
    return float((((1 - below[0]) + below[1]) / 2).min())


# --- clones ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Seen:
    """Protein of a clone's cells in resolved libraries: cells, positives, doubtful ones, and positives by chance."""

    n: int
    positive: int
    doubtful: int
    by_chance: float

    def interval(self) -> tuple[float, float]:
        """Bounds of the share of positive members (95 %): doubtful cells count against both."""
        return clopper_pearson(self.positive, self.n)[0], clopper_pearson(self.positive + self.doubtful, self.n)[1]

    def call(self, *, controls: int, limit: float) -> str:
        """Word of `CALLS`.

        Parameters
        ----------
        controls
            Positive cells of other clones in the same libraries: without them the antibody is not known to work.
        limit
            Share of positive members that must be excluded for ``not_detected``.
        """
        rate = min(self.by_chance / max(self.n, 1), 1.0)
        if self.positive >= 2 and binom.sf(self.positive - 1, self.n, rate) < BY_CHANCE:
            return "present"
        if controls >= MIN_CELLS and self.n and self.interval()[1] <= limit:
            return "not_detected"
        return "not_decided"
