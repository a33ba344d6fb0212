"""Line: clone size, against the sizes of the patient's own clones. Never evidence enough on its own.

The largest benign clone of real post-infusion samples holds 0.3 to 13 % of the T cells, so the line is capped at
1.5 nats and the calls do not use it. Benign: log frequency ~ Normal, fitted by truncated moments on the patient's
own clones with a prior per kind; malignant: log-uniform on [1e-4, 1].
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr

from .lines import Line, Scores
from .table import Cells

PRIORS = {"CD8": (np.log(0.004), 1.6), "CD4": (np.log(0.0008), 1.0), "product": (np.log(0.004), 1.3)}
LOG_UNIFORM = -np.log(np.log(1e4))
TRIMMED = 0.05  # share of the largest clones left out of the fit, at least one: the tumour must not be its own null
SMALLEST = 2  # cells; smaller clones are below the truncation
PRIOR_SD_MEAN, PRIOR_SD_LOG_SD = 0.7, 0.3


def ratio(frequency: np.ndarray, mean: float, sd: float) -> np.ndarray:
    """Log-likelihood ratio of log-uniform against Normal log frequency; 0 at or below the mean."""
    x = np.log(frequency)
    return np.where(x <= mean, 0.0, LOG_UNIFORM - _log_normal(x, mean, sd))


def _log_normal(x: np.ndarray, mean: float, sd: float) -> np.ndarray:
    return -0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)


def fit(n: np.ndarray, total: np.ndarray, prior: tuple[float, float]) -> tuple[float, float]:
    """Mean and sd of log frequency from clones of >= 2 cells, the largest left out, both cuts in the likelihood.

    Parameters
    ----------
    n, total
        Clone sizes and the T cells of their sample, one entry per clone and sample.
    prior
        Mean and sd assumed where there are no clones.
    """
    frequency = np.log((n + 0.5) / (total + 1.0))
    order = np.lexsort((total, n, frequency))
    drop = max(1, int(np.ceil(TRIMMED * n.size)))
    keep = order[: max(0, n.size - drop)]
    keep = keep[n[keep] >= SMALLEST]
    if keep.size < 5:
        return prior
    x, low = frequency[keep], np.log((SMALLEST - 0.5) / (total[keep] + 1.0))
    high = frequency[order[n.size - drop]]

    def loss(theta: np.ndarray) -> float:
        mean, sd = theta[0], np.exp(theta[1])
        inside = ndtr((high - mean) / sd) - ndtr((low - mean) / sd)
        likelihood = np.sum(np.sort(_log_normal(x, mean, sd) - np.log(np.maximum(inside, 1e-12))))
        shrink = ((mean - prior[0]) / PRIOR_SD_MEAN) ** 2 + ((theta[1] - np.log(prior[1])) / PRIOR_SD_LOG_SD) ** 2
        return float(0.5 * shrink - likelihood)

    found = minimize(loss, np.array([prior[0], np.log(prior[1])]), method="Nelder-Mead",
                     options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000})
    return float(found.x[0]), float(np.exp(found.x[1]))


def score(cells: Cells, seed: int) -> Scores:
    """Score each clone in the unsorted sample in which it has most cells; not assessed where it is in none."""
    del seed
    sizes = _sizes(cells)
    kind = _kinds(cells)
    totals = sizes.sum(axis=0)
    eligible = np.where(cells.unsorted[None, :], sizes, 0)
    best = np.argmax(eligible, axis=1)
    llr, n_seen = np.full(cells.n_clones, np.nan), np.zeros(cells.n_clones, np.int64)
    for name, prior in PRIORS.items():
        mine = kind == name
        clone, sample = np.nonzero(np.where(mine, eligible, 0) > 0)
        mean, sd = fit(sizes[clone, sample], totals[sample], prior)
        rows = np.nonzero((eligible.max(axis=1, initial=0) > 0) & mine[np.arange(len(best)), best])[0]
        at = best[rows]
        llr[rows] = ratio((sizes[rows, at] + 0.5) / (totals[at] + 1.0), mean, sd)
        n_seen[rows] = totals[at]
    return Scores(llr, n_seen, _details(sizes, totals, best, llr))


def _sizes(cells: Cells) -> np.ndarray:
    """Cells of each clone in each sample, int64 (n_clones, n_samples)."""
    out = np.zeros((cells.n_clones, cells.unsorted.size), np.int64)
    use = cells.in_clone
    np.add.at(out, (cells.clone[use], cells.sample[use]), 1)
    return out


def _kinds(cells: Cells) -> np.ndarray:
    """Which size distribution applies to a clone in a sample: product by sample, else CD4 or CD8 by the clone."""
    of_clone = np.where(cells.majority("CD4_T"), "CD4", "CD8").astype(object)
    return np.where(cells.product[None, :], "product", of_clone[:, None])


def _details(sizes: np.ndarray, totals: np.ndarray, best: np.ndarray, llr: np.ndarray) -> list[str]:
    shares = [sizes[c, s] / totals[s] if totals[s] else 0.0 for c, s in enumerate(best)]
    return [f"{100 * f:.2g} % of the clonal T cells of its sample" if np.isfinite(x) else ""
            for f, x in zip(shares, llr, strict=True)]


LINE = Line("dominance", -1.5, 1.5, score)
