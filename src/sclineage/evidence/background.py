"""False CAR molecules: soup, swapping, misassigned endogenous reads, and doublets with carrying cells.

The mean background of a cell of depth n is ``alpha + (beta + mt [T cell]) n``: alpha is the soup of the droplet, beta
what is proportional to depth (swapping, chimeras), mt endogenous reads of T cells that were counted as CAR.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from ..kernels import evidence as kernel
from .keys import Histogram

MIN_CONTROL_CELLS = 50
SOUP_FREE = 1e-6  # alpha without empty droplets: alpha and beta cannot be told apart then
CONTENT, CONTENT_WITH_EMPTIES = 0.003, 0.01  # foreign share of a cell's CAR molecules: measured, and with empties
SIZE = 5.0  # NB size of the background where it was not measured
WIDE = 0.6  # log-sd of the background where it was not measured
BORROWED = 0.4  # least log-sd of a background that was measured in another library
ETA_STARTS = (0.01, 0.04, 0.12)
ETA_SD = 0.85  # log-sd of the doublet share around what loading and carrying share let expect
ETA_ALIKE = 0.4  # log-sd of the doublet share of T cells around that of the control's cells
T_RATE = 2.5  # log-sd of the rate in CAR-free T cells around that of the soup


@dataclass(frozen=True, slots=True)
class Background:
    """Background of one library.

    Attributes
    ----------
    alpha
        False UMIs per droplet.
    beta, mt
        False UMIs per gene-expression UMI, of all cells and of T cells in addition.
    eta, eta_spread
        Mean share of cells with a carrying partner, and the log-sd that is left open.
    size
        Negative binomial size.
    spread
        Log-sd of the multiplier that a clone's background may have.
    source
        ``empties``, ``negative_control`` or ``prior``.
    t_measured
        Whether T cells without the CAR were measured, so that mt is known.
    borrowed
        Rate and log-sd of mt where those T cells are of another library; None where they are of the same GEM well.
    """

    alpha: float
    beta: float
    mt: float
    eta: float
    size: float
    spread: float
    source: str
    t_measured: bool = False
    borrowed: tuple[float, float] | None = None
    eta_spread: float = ETA_SD

    def log_prior(self, log_mt: float) -> float:
        """Log density of a log rate of misassignment, up to a constant: flat where nothing was measured."""
        return 0.0 if self.borrowed is None else -0.5 * ((log_mt - np.log(self.borrowed[0])) / self.borrowed[1]) ** 2

    def mean(self, depth: np.ndarray) -> np.ndarray:
        """Expected false UMIs of T cells of this depth."""
        return self.alpha + (self.beta + self.mt) * np.asarray(depth, np.float64)

    def scaled(self, factor: float) -> Background:
        """The same with all false molecules multiplied (what-if)."""
        return replace(self, alpha=self.alpha * factor, beta=self.beta * factor, mt=self.mt * factor)


def simplex_search(objective: Callable[[np.ndarray], float], start: Sequence[float]) -> tuple[np.ndarray, float]:
    """Nelder-Mead from an explicit simplex of step 0.5: SciPy's own does not move a parameter that starts at 0."""
    first = np.asarray(start, np.float64)
    simplex = np.vstack([first, first + 0.5 * np.eye(first.size)])
    found = minimize(objective, first, method="Nelder-Mead",
                     options={"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-3, "maxfev": 400 * first.size})
    return found.x, float(found.fun)


def logit(p: float) -> float:
    """Log odds."""
    return float(np.log(p) - np.log1p(-p))


def expit(x: float) -> float:
    """Probability of log odds."""
    return float(1.0 / (1.0 + np.exp(-x)))


def unmeasured(content: float, *, eta: float, empties: tuple[int, int] | None) -> Background:
    """Background of a library without a negative control.

    Parameters
    ----------
    content
        CAR UMIs per gene-expression UMI over the library's cells.
    eta
        Expected share of cells with a carrying partner.
    empties
        Number of empty droplets and their CAR UMIs, or None.
    """
    if empties is None or empties[0] == 0:
        return Background(SOUP_FREE, CONTENT * content, 0.0, eta, SIZE, WIDE, "prior")
    droplets, umi = empties
    spread = min(float(np.hypot(0.15, 1 / np.sqrt(umi + 1))), WIDE)
    return Background((umi + 0.5) / (droplets + 1), CONTENT_WITH_EMPTIES * content, 0.0, eta, SIZE, spread, "empties")


def fit(control: Histogram, prior: Background, *, theta: float, size: float, t_cells: bool,
        previous: Background | None = None) -> Background:
    """Maximum a posteriori background from cells known to be free of the CAR.

    Parameters
    ----------
    control
        CAR-free cells (>= `MIN_CONTROL_CELLS`) of the same GEM well.
    prior
        `unmeasured` background; its source decides how firmly alpha and beta are held.
    theta, size
        Expression per UMI and NB size of carrying cells: what a doublet brings.
    t_cells
        Whether the control cells are T cells, so that misassigned endogenous reads are part of what was measured.
    previous
        Fit of the same cells with other theta and size, to start from beside the prior.
    """
    control = control.occupied()
    with_empties = prior.source == "empties"
    centre = np.array([np.log(prior.alpha), np.log(prior.beta), logit(prior.eta), np.log(SIZE)])
    # misassigned reads of T cells may be a hundred times the soup
    scale = np.array([0.15 if with_empties else 0.1, T_RATE if t_cells else 1.5 if with_empties else 1.0, 2.0, 0.8])

    def parts(at: np.ndarray) -> np.ndarray:
        alpha, beta = np.exp(np.clip(at[:2], -30, 5))
        return kernel.likelihoods(alpha + beta * control.depth, theta * control.depth, size=size, g=np.ones(1),
                                  m=np.ones(1), background_size=np.exp(np.clip(at[3], np.log(0.5), 12)))[:, :, 0]

    def log_likelihood(logs: np.ndarray, eta: float) -> float:
        return float((control.cells * np.logaddexp(np.log1p(-eta) + logs[..., 0], np.log(eta) + logs[..., 2])).sum())

    def loss(at: np.ndarray) -> float:
        return float(0.5 * (((at - centre) / scale) ** 2).sum()) - log_likelihood(parts(at), expit(at[2]))

    starts = [[*centre[:2], logit(eta), centre[3]] for eta in (prior.eta, *(ETA_STARTS if previous is None else ()))]
    if t_cells:
        content = (control.umi + 0.5) / max(control.molecules, 1.0)
        starts.append([centre[0], np.log(content), logit(prior.eta), centre[3]])
    if previous is not None:
        starts.append([np.log(previous.alpha), np.log(previous.beta), logit(previous.eta), np.log(previous.size)])
    tries = [simplex_search(loss, start) for start in starts]
    best = min(tries, key=lambda found: found[1])[0]
    spread = min(float(np.hypot(0.15, 1 / np.sqrt(control.umi + 1))), WIDE)
    logs = parts(best)
    eta, eta_spread = _doublets(prior, lambda eta: log_likelihood(logs, eta))
    return Background(float(np.exp(best[0])), float(np.exp(best[1])), 0.0, eta, max(float(np.exp(best[3])), 0.5),
                      spread, "negative_control", t_cells, eta_spread=eta_spread)


def _doublets(prior: Background, log_likelihood: Callable[[float], float]) -> tuple[float, float]:
    """Mean, on the log scale, and log-sd of the doublet share after a control was seen.

    Its mode would lie far below its mean where few of the control's cells show a CAR.
    """
    shift = np.linspace(-4, 4, 33)
    etas = np.clip(prior.eta * np.exp(shift), 1e-5, 0.5)
    logs = np.array([log_likelihood(float(eta)) for eta in etas]) - 0.5 * (shift / ETA_SD) ** 2
    share = np.exp(logs - logs.max())
    share /= share.sum()
    mean = float(share @ np.log(etas))
    return float(np.exp(mean)), float(np.hypot(ETA_ALIKE, np.sqrt(share @ (np.log(etas) - mean) ** 2)))


def misassignment(control: Histogram) -> tuple[float, float]:
    """False UMIs per gene-expression UMI and NB size in T cells of another library taken before the infusion."""
    control = control.occupied()
    rate = (control.umi + 0.5) / max(control.molecules, 1.0)

    def loss(at: np.ndarray) -> float:
        logs = kernel.likelihoods(rate * control.depth, rate * control.depth, size=1.0, g=np.ones(1), m=np.ones(1),
                                  background_size=float(np.exp(np.clip(at[0], np.log(0.5), 12))))[:, :, 0, 0]
        return float(0.5 * ((at[0] - np.log(SIZE)) / 0.8) ** 2 - (control.cells * logs).sum())

    return rate, max(float(np.exp(simplex_search(loss, [np.log(SIZE)])[0][0])), 0.5)


def with_misassignment(background: Background, rate: float, size: float) -> Background:
    """Add what T cells of another, CAR-free library of the same chemistry showed."""
    if background.t_measured:
        return background
    return replace(background, mt=rate, size=min(size, background.size) if background.source != "prior" else size,
                   spread=max(background.spread, BORROWED), t_measured=True, borrowed=(rate, BORROWED))
