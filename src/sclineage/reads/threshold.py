"""How many reads make a molecule: the valley between errors and molecules, from the library itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

LEAST_MOLECULES = 50  # fewer say nothing about the shape
LEAST_GAIN = 10.0  # log-likelihood (nats) that two components must win over one
STARTS = (5.0, 20.0, 80.0, 300.0)  # reads per true molecule to start from

__all__ = ["Threshold", "reads_threshold"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """Least reads of a molecule.

    Attributes
    ----------
    reads
        Molecules with fewer are left out; 1 where the library shows no valley.
    error_mean, molecule_mean
        Mean reads of the two components; missing (NaN) without a valley.
    error_share
        Share of the rows that belong to the component of errors; 0 without a valley.
    gain
        Log-likelihood (nats) that the second component wins.
    """

    reads: int
    error_mean: float
    molecule_mean: float
    error_share: float
    gain: float


def reads_threshold(reads: np.ndarray) -> Threshold:
    """Threshold on the reads of a molecule.

    Chimeras and misread UMIs have few reads (geometric), amplified molecules many (negative binomial without zero).
    Both are fitted by maximum likelihood to the histogram; the threshold is the first number of reads at which a
    molecule is the more probable. One component is kept (threshold 1) unless the second wins ten nats, its mean is at
    least four times that of the errors, and there is a valley between the two.

    Parameters
    ----------
    reads
        Integers (molecules,): reads of each molecule, at least 1.
    """
    if reads.size < LEAST_MOLECULES:
        return Threshold(1, np.nan, np.nan, 0.0, 0.0)
    values, weights = np.unique(reads, return_counts=True)
    one = _fit(_one, [np.log(reads.mean()), 0.0], values, weights)
    starts = [[np.log(0.5), np.log(m), np.log(2.0), 0.0] for m in STARTS]
    two = min((_fit(_two, start, values, weights) for start in starts), key=lambda f: f.fun)
    gain = float(one.fun - two.fun)
    error_mean, mean, share = 1.0 + float(np.exp(two.x[0])), float(np.exp(two.x[1])), float(special.expit(two.x[3]))
    grid = np.arange(1, max(int(np.ceil(mean)), 2) + 1)
    low, high = _components(two.x, grid)
    cut = grid[np.argmax(high > low)] if (high > low).any() else 1
    if gain < LEAST_GAIN or mean < 4.0 * error_mean or cut <= 1 or not _valley(np.logaddexp(low, high), int(cut)):
        return Threshold(1, np.nan, np.nan, 0.0, gain)
    return Threshold(int(cut), error_mean, mean, share, gain)


def _valley(density: np.ndarray, cut: int) -> bool:
    """Whether the fitted density per log read has its minimum between one read and the mode of the molecules."""
    per_log = density + np.log(np.arange(1, density.size + 1))
    mode = cut - 1 + int(np.argmax(per_log[cut - 1 :]))
    return 0 < int(np.argmin(per_log[: mode + 1])) < mode


def _geometric(values: np.ndarray, excess: float) -> np.ndarray:
    """Log-probability of 1, 2, ... with mean 1 + excess."""
    p = 1.0 / (1.0 + excess)
    return np.log(p) + (values - 1) * np.log1p(-p)


def _negative_binomial(values: np.ndarray, mean: float, size: float) -> np.ndarray:
    """Log-probability of a negative binomial without its zero."""
    p = size / (size + mean)
    plain = (special.gammaln(values + size) - special.gammaln(size) - special.gammaln(values + 1.0)
             + size * np.log(p) + values * np.log1p(-p))
    return plain - np.log1p(-np.exp(size * np.log(p)))


def _components(x: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    share = special.expit(x[3])
    return (np.log(share + 1e-300) + _geometric(values, float(np.exp(x[0]))),
            np.log1p(-min(share, 1 - 1e-12)) + _negative_binomial(values, float(np.exp(x[1])), float(np.exp(x[2]))))


def _one(x: np.ndarray, values: np.ndarray, weights: np.ndarray) -> float:
    return -float((weights * _negative_binomial(values, float(np.exp(x[0])), float(np.exp(x[1])))).sum())


def _two(x: np.ndarray, values: np.ndarray, weights: np.ndarray) -> float:
    return -float((weights * np.logaddexp(*_components(x, values))).sum())


def _fit(loss: object, start: list[float], values: np.ndarray, weights: np.ndarray) -> optimize.OptimizeResult:
    bounds = [(-6.0, 3.0), (0.0, 16.0), (-3.0, 6.0), (-12.0, 12.0)] if len(start) == 4 else [(-3.0, 16.0), (-6.0, 6.0)]
    return optimize.minimize(loss, np.array(start), args=(values.astype(np.float64), weights), bounds=bounds,
                             method="L-BFGS-B")
