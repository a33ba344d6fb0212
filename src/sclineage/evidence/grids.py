"""Grids of the nuisance axes, and hypotheses as weights on them.

H0: no member carries the CAR; a share eta of the cells are doublets with a carrying cell.
H1: all members carry it; a share sigma of them is silent.
H2: a share f of the members carries it.

All weights are deterministic quadratures, so nothing here depends on a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

import numpy as np
from scipy.special import betainc, betaincinv, gammainc, gammaincinv, logsumexp, ndtr

LOG_M = np.log(2.0) * np.concatenate([[-9.0, -7.0, -6.0, -5.0], np.linspace(-4, 2, 13)])
M = np.exp(LOG_M)  # expression of a clone relative to its library; the lowest cannot be told from none
EXPRESSED = M > 0.06  # Bayes factors ask of these alone, and here lies the share of clones that follow no law
_M_ENDS = np.concatenate([[-np.inf], (LOG_M[1:] + LOG_M[:-1]) / 2, [np.inf]])  # between the points
W = np.concatenate([[0.0], np.geomspace(1e-4, 0.1, 15), np.linspace(0.1, 1.0, 25)[1:]])
SM = 0.015 * 2.0 ** np.arange(5)  # mean silent share of carrying cells
SPREADS = np.array([0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.1])  # log-sd of expression between clones, log-normal laws
TAILED = SPREADS[3:]  # gamma laws of the same mean and variance: the wider, the longer their lower tail
TAU = np.concatenate([SPREADS, TAILED])
LOG_PRIOR = -0.5 * (np.log(TAU / 0.5) / 0.7) ** 2
F_EDGES = np.linspace(0.02, 1.0, 50)
F_MIDS = (F_EDGES[1:] + F_EDGES[:-1]) / 2
UNIFORM = np.full(F_MIDS.size, 1 / F_MIDS.size)  # law of the carrying share of mixed clones before any clone was seen


def _bins(*edges: float) -> np.ndarray:
    return np.stack([(low < F_MIDS) & (high > F_MIDS) for low, high in pairwise(edges)]) * UNIFORM


def _betas(means: tuple[float, ...], sizes: tuple[float, ...]) -> np.ndarray:
    laws = np.stack([np.diff(betainc(mean * size, (1 - mean) * size, F_EDGES)) for mean in means for size in sizes])
    return laws / laws.sum(axis=1, keepdims=True)


BANDS = _bins(0, 0.1, 0.3, 0.7, 1)  # weights of the uniform law in ranges of f: few, for what is asked very often
FINE = _bins(0, 0.04, 0.06, 0.1, 0.14, 0.2, 0.26, 0.32, 0.4, 0.5, 0.6, 0.7, 0.78, 0.86, 0.92, 1)
# laws that the clones may follow; none is narrow and high: silence, which all clones share alike, could pass for mixing
LAWS = np.concatenate([_betas((0.08,), (6, 12, 24)), _betas((0.15,), (1.5, 3, 6, 12, 24)),
                       _betas((0.25, 0.35, 0.5), (1.5, 3, 6, 12)), _betas((0.65, 0.75, 0.85), (1.5, 3, 6))])
DEFAULT_TAU = 0.5
ALIKE, REFERENCE_ALIKE = 20.0, 8.0  # of clones in their silent share: were they less so, silence could pass for mixing
REFERENCE_SM = 0.2  # Bayes factors pay for more silencing than sorted controls show
TAIL, REFERENCE_TAIL = 0.05, 0.15  # share of the expression prior that is flat over the grid
REFERENCE_TAU = 0.5  # least spread of expression in Bayes factors
ETA_CAP = 0.5
_G_NODES, _G_WEIGHTS = np.polynomial.hermite_e.hermegauss(3)


@dataclass(frozen=True, slots=True)
class Hypotheses:
    """Weights of the three hypotheses on `W` for one doublet share and one silent share.

    Attributes
    ----------
    log_w
        float64 (3, len(W)): log weights of H0, H1, H2; -inf where a hypothesis has none.
    f_given_w
        float64 (len(W), len(F_MIDS)): posterior of f under H2 at each w.
    """

    log_w: np.ndarray
    f_given_w: np.ndarray


def background_nodes(spread: float) -> np.ndarray:
    """Multipliers of the background: Gauss-Hermite nodes of a log-normal with this log-sd."""
    return np.exp(spread * _G_NODES)


def log_background_weights() -> np.ndarray:
    """Log weights of `background_nodes`."""
    return np.log(_G_WEIGHTS / _G_WEIGHTS.sum())


@cache
def _unit_gamma(points: int) -> np.ndarray:
    return gammaincinv(2.0, (np.arange(points) + 0.5) / points) / 2.0


@cache
def _silent(mean: float, points: int, alike: float) -> np.ndarray:
    return betaincinv(alike * mean, alike * (1 - mean), (np.arange(points) + 0.5) / points)


def _spread(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split every value between its two neighbours on `W`: left index, left weight, right weight."""
    left = np.clip(np.searchsorted(W, values, side="right") - 1, 0, W.size - 2)
    share = (values - W[left]) / (W[left + 1] - W[left])
    return left, weights * (1 - share), weights * share


def _on_grid(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    left, low, high = _spread(values.ravel(), weights.ravel())
    return np.bincount(left, low, W.size) + np.bincount(left + 1, high, W.size)


def _log(weights: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(weights / weights.sum())


@lru_cache(maxsize=2048)
def null_weights(eta: float) -> np.ndarray:
    """Log weights of H0 on `W` for a mean doublet share: a clone's own is eta times Gamma(2, 1/2), at most 0.5."""
    null = np.minimum(eta * _unit_gamma(64), ETA_CAP)
    return _log(_on_grid(null, np.ones(null.size)))


@lru_cache(maxsize=512)
def hypotheses(eta: float, silent: float, alike: float = ALIKE) -> Hypotheses:
    """Weights of H0, H1 and H2 on w for a library's doublet share and mean silent share.

    Parameters
    ----------
    eta
        Mean share of cells with a carrying partner.
    silent
        Mean of the silent share of a clone, itself Beta(alike silent, alike (1 - silent)).
    alike
        How alike clones are in it.
    """
    sigma, doublet = np.meshgrid(_silent(silent, 64, alike), np.minimum(eta * _unit_gamma(16), ETA_CAP))
    weights1 = _on_grid((1 - sigma) + sigma * doublet, np.ones(sigma.shape))
    per_bin = (np.arange(4) + 0.5) / 4
    f = (F_EDGES[:-1, None] + np.diff(F_EDGES)[:, None] * per_bin).ravel()
    carrying = (f[:, None, None] * (1 - _silent(silent, 24, alike))[None, :, None])
    values = carrying + (1 - carrying) * np.minimum(eta * _unit_gamma(12), ETA_CAP)
    bins = np.broadcast_to(np.repeat(np.arange(F_MIDS.size), per_bin.size)[:, None, None], values.shape).ravel()
    left, low, high = _spread(values.ravel(), np.ones(values.size))
    at, size = left * F_MIDS.size + bins, W.size * F_MIDS.size
    joint = (np.bincount(at, low, size) + np.bincount(at + F_MIDS.size, high, size)).reshape(W.size, F_MIDS.size)
    weights2 = joint.sum(axis=1)
    share = joint / np.where(weights2 > 0, weights2, 1.0)[:, None]
    return Hypotheses(np.stack([null_weights(eta), _log(weights1), _log(weights2)]), share)


def with_law(known: Hypotheses, law: np.ndarray) -> Hypotheses:
    """The same with another law of the carrying share of mixed clones, float64 (len(F_MIDS),), summing to one."""
    joint = np.exp(known.log_w[2])[:, None] * known.f_given_w * law
    total = joint.sum(axis=1)
    return Hypotheses(np.stack([*known.log_w[:2], _log(total)]), joint / np.where(total > 0, total, 1.0)[:, None])


def log_expression(spread: float, tail: float, *, least: float = 0.0, shift: float = 0.0) -> np.ndarray:
    """Log weights on `M` for every law of expression between clones: of mean one, and with a flat share `tail`.

    A library's theta is the mean of its carrying clones, so that the median one of a log-normal law lies tau^2 / 2
    below it. The gamma laws have shape ``1 / (exp(tau^2) - 1)``. The flat share is one of `EXPRESSED` values.

    Parameters
    ----------
    spread
        Log-sd of theta itself, which widens the laws.
    least
        Least width.
    shift
        Log of the mean.

    Returns
    -------
    float64 (len(TAU), m): log-normal laws of `SPREADS`, then gamma laws of `TAILED`.
    """
    width = np.maximum(np.hypot(TAU, spread), least)[:, None]
    ends, n = _M_ENDS - shift, SPREADS.size
    shape = 1 / np.expm1(width[n:] ** 2)
    below = np.concatenate([ndtr((ends + 0.5 * TAU[:n, None] ** 2) / width[:n]), gammainc(shape, shape * np.exp(ends))])
    with np.errstate(divide="ignore"):
        return np.log((1 - tail) * np.diff(below, axis=1) + tail * EXPRESSED / EXPRESSED.sum())


def expressed_only(log_weights: np.ndarray) -> np.ndarray:
    """Log weights (..., m) given that the clone's expression is one of `EXPRESSED`."""
    logs = np.where(EXPRESSED, log_weights, -np.inf)
    return logs - logsumexp(logs, axis=-1, keepdims=True)
