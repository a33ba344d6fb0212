"""Expression of the CAR in cells that carry it: theta (UMIs per UMI), NB size r, silent share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels import evidence as kernel
from .background import Background, expit, logit, simplex_search
from .keys import Histogram

THETA, THETA_SD = 4e-4, 0.8  # UMIs per gene-expression UMI over published 5' libraries, where nothing was measured
BETWEEN = 0.6  # log-sd of theta between libraries, of one patient or of several
WITHIN_WELL = 0.5  # log-sd between a declared control and the patient's cells in the same GEM well
MIN_INFORMATION = 10.0  # on log theta: what a library's own cells must tell before its theta is fitted or lent
SIZE, SIZE_SD = 4.0, 0.6
SIGMA_A, SIGMA_B = 1.0, 12.0  # Beta prior of the silent share among sorted cells
_MEANS = np.geomspace(1 / 8, 8, 7)
_SIZES = (1.5, 4.0, 10.0)
_SHARES = (0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.97)


@dataclass(frozen=True, slots=True)
class Signal:
    """Expression of carrying cells in one library.

    Attributes
    ----------
    theta
        CAR UMIs per gene-expression UMI.
    size
        NB size within a clone.
    sigma
        Fitted silent share.
    spread
        Log-sd of theta that the data left open.
    """

    theta: float
    size: float
    sigma: float
    spread: float


@dataclass(frozen=True, slots=True)
class ThetaPrior:
    """Log-normal prior of theta and what it rests on (a word of ``car_sensitivity_source``)."""

    theta: float = THETA
    sd: float = THETA_SD
    source: str = "prior"


def _logs(cells: Histogram, background: Background, theta: float, size: float) -> np.ndarray:
    return kernel.likelihoods(background.mean(cells.depth), theta * cells.depth, size=size,
                              background_size=background.size, g=np.ones(1), m=np.ones(1))[:, :, 0]


def prior_loss(theta: float, size: float, prior: ThetaPrior) -> float:
    """Negative log prior density of theta and size, up to a constant."""
    return float(0.5 * (np.log(theta / prior.theta) / prior.sd) ** 2 + 0.5 * (np.log(size / SIZE) / SIZE_SD) ** 2)


def information(cells: Histogram, theta: float, size: float) -> float:
    """Fisher information of the carrying cells on log theta."""
    mean = theta * cells.depth
    return float((cells.cells.sum(axis=1) * mean / (1 + mean / size)).sum())


def fit(carrying: Histogram, background: Background, prior: ThetaPrior, *, start: Signal) -> Signal:
    """Maximum a posteriori signal from cells weighted by their probability to carry the CAR.

    The fitted size is that of all carrying cells together and so contains the spread between clones; `within_clone`
    takes it out.
    """
    carrying = carrying.occupied()

    def loss(at: np.ndarray) -> float:
        theta, size = np.exp(np.clip(at[0], -25, 2)), np.exp(np.clip(at[1], -3, 5))
        sigma = expit(np.clip(at[2], -12, 12))
        logs = _logs(carrying, background, theta, size)
        mixed = np.logaddexp(np.log1p(-sigma) + logs[..., 1], np.log(sigma) + logs[..., 0])
        silent = -SIGMA_A * np.log(sigma) - SIGMA_B * np.log1p(-sigma)  # Beta prior on the logit scale
        return prior_loss(theta, size, prior) + silent - float((carrying.cells * mixed).sum())

    at, _ = simplex_search(loss, [np.log(start.theta), np.log(start.size), logit(max(start.sigma, 1e-3))])
    theta, size = float(np.exp(np.clip(at[0], -25, 2))), float(np.exp(np.clip(at[1], -3, 5)))
    spread = (prior.sd**-2 + information(carrying, theta, size)) ** -0.5
    return Signal(theta, size, expit(float(np.clip(at[2], -12, 12))), float(spread))


def first_guess(cells: Histogram, background: Background, prior: ThetaPrior) -> Signal:
    """Best point of a 7 x 3 x 8 grid over (mean, size, carrying share), all cells of a library together."""
    cells = cells.occupied()
    best, found = np.inf, Signal(prior.theta, SIZE, 0.05, prior.sd)
    for mean in _MEANS:
        theta = float(prior.theta * mean)
        for size in _SIZES:
            logs = _logs(cells, background, theta, size)
            for share in _SHARES:
                mixed = np.logaddexp(np.log1p(-share) + logs[..., 0], np.log(share) + logs[..., 1])
                loss = prior_loss(theta, size, prior) - float((cells.cells * mixed).sum())
                if loss < best:
                    best, found = loss, Signal(theta, size, 0.05, prior.sd)
    return found


def fit_mixture(cells: Histogram, background: Background, prior: ThetaPrior, *, share: tuple[float, float],
                start: Signal) -> tuple[Signal, float]:
    """Signal from a sample of which a share carries the CAR, and that share.

    Parameters
    ----------
    share
        Beta parameters of the carrying share (flow cytometry: positives and negatives counted).
    """
    cells = cells.occupied()
    a, b = share

    def loss(at: np.ndarray) -> float:
        theta, size = np.exp(np.clip(at[0], -25, 2)), np.exp(np.clip(at[1], -3, 5))
        part = expit(np.clip(at[2], -12, 12))
        logs = _logs(cells, background, theta, size)
        mixed = np.logaddexp(np.log1p(-part) + logs[..., 0], np.log(part) + logs[..., 1])
        return (prior_loss(theta, size, prior) - a * np.log(part) - b * np.log1p(-part)
                - float((cells.cells * mixed).sum()))

    mean = min(max(a / (a + b), 1e-4), 1 - 1e-4)
    at, _ = simplex_search(loss, [np.log(start.theta), np.log(start.size), logit(mean)])
    theta, size = float(np.exp(np.clip(at[0], -25, 2))), float(np.exp(np.clip(at[1], -3, 5)))
    part = expit(float(np.clip(at[2], -12, 12)))
    info = part * information(cells, theta, size)
    return Signal(theta, size, 0.05, float((prior.sd**-2 + info) ** -0.5)), part


def within_clone(size: float, tau: float) -> float:
    """NB size without the spread of expression between clones: the grid of m models that spread again."""
    between = np.expm1(tau**2)
    return float((1 + between) / max(1 / size - between, 0.2))


def sensitivity(signal: Signal, depth: float) -> float:
    """Share of carrying cells of this depth expected to show at least one CAR UMI."""
    mean = signal.theta * depth
    return float((1 - signal.sigma) * (1 - (1 + mean / signal.size) ** -signal.size))
