"""Units (clones, or cells without one) on the grid: evidence, posteriors, and the probability of every member."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from .._settings import Device
from ..kernels import evidence as kernel
from ..kernels.evidence import Multisets
from . import grids
from .prior import responsibilities

H0, H1, H2, H1_REFERENCE, H2_REFERENCE = range(5)
_CHUNK = 20_000
_LOG_ODDS = np.log(grids.F_MIDS / (1 - grids.F_MIDS))


class Weights(NamedTuple):
    """Weights of the hypotheses for one library, or one set of libraries that a clone spans.

    Attributes
    ----------
    log_w
        float64 (5, w): H0, H1, H2, and H1, H2 with the reference silent share.
    log_m, log_m_mixed, log_m_reference
        float64 (m,): expression of carrying clones; of mixed ones, whose share means nothing where the CAR is hardly
        expressed; and a wider reference of both.
    f_given_w
        float64 (w, f): posterior of f under H2 at each w.
    eta, silent
        Mean doublet share and mean silent share.
    """

    log_w: np.ndarray
    log_m: np.ndarray
    log_m_mixed: np.ndarray
    log_m_reference: np.ndarray
    f_given_w: np.ndarray
    eta: float
    silent: float


def _mix(logs: list[np.ndarray], shares: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return logsumexp(np.stack(logs) + np.log(shares).reshape(-1, *[1] * logs[0].ndim), axis=0)


class Doublets(NamedTuple):
    """What is known of a library's mean share of cells with a carrying partner.

    Attributes
    ----------
    eta, share
        float64 (points,): possible values and their posterior weights.
    """

    eta: np.ndarray
    share: np.ndarray

    @property
    def centre(self) -> float:
        """Geometric mean."""
        return float(np.exp((self.share * np.log(self.eta)).sum()))

    @classmethod
    def known(cls, eta: float) -> Doublets:
        """One value for sure."""
        return cls(np.array([min(max(eta, 1e-4), grids.ETA_CAP)]), np.ones(1))


def weights(*, doublets: Doublets, sm: np.ndarray, tau: np.ndarray, spread: float,
            law: np.ndarray = grids.UNIFORM) -> Weights:
    """Weights of the hypotheses.

    Parameters
    ----------
    doublets
        Mean share of cells with a carrying partner.
    sm, tau
        Posterior weights over `grids.SM` and `grids.TAU`.
    spread
        Log-sd of theta that is left open; widens the expression prior.
    law
        Law of the carrying share of mixed clones over `grids.F_MIDS`; Bayes factors keep the uniform one.
    """
    eta = doublets.centre
    parts = [grids.with_law(grids.hypotheses(eta, float(value)), law) for value in grids.SM]
    reference = grids.hypotheses(eta, grids.REFERENCE_SM, grids.REFERENCE_ALIKE)
    second = np.stack([np.exp(part.log_w[2]) * share for part, share in zip(parts, sm, strict=True)])
    total = second.sum(axis=0)
    f_given_w = sum((part.f_given_w * row[:, None] for part, row in zip(parts, second, strict=True)),
                    np.zeros_like(reference.f_given_w)) / np.where(total > 0, total, 1.0)[:, None]
    null = _mix([grids.null_weights(float(e)) for e in doublets.eta], doublets.share)
    log_w = np.stack([null, _mix([p.log_w[1] for p in parts], sm), _mix([p.log_w[2] for p in parts], sm),
                      reference.log_w[1], reference.log_w[2]])
    log_m = _mix(list(grids.log_expression(spread, grids.TAIL)), tau)
    wide = grids.log_expression(spread, grids.REFERENCE_TAIL, least=grids.REFERENCE_TAU)
    widest = _mix(list(grids.expressed_only(wide)), tau)
    return Weights(log_w, log_m, grids.expressed_only(log_m), widest, f_given_w, eta, float(sm @ grids.SM))


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence of units.

    Attributes
    ----------
    log
        float64 (units, 3): log evidence of H0, H1, H2.
    reference
        float64 (units, 3): the same with reference weights (H0 unchanged).
    by_m
        float64 (units, m): log evidence of a clonal CAR at each expression, reference silent share.
    """

    log: np.ndarray
    reference: np.ndarray
    by_m: np.ndarray

    @property
    def log10_bf(self) -> np.ndarray:
        """log10 Bayes factor of CAR (clonal or mixed) against none, reference weights."""
        carrying = np.logaddexp(self.reference[:, 1], self.reference[:, 2]) - np.log(2)
        return (carrying - self.reference[:, 0]) / np.log(10)

    @property
    def log10_clonal(self) -> np.ndarray:
        """log10 Bayes factor of a clonal CAR against none, reference weights."""
        return (self.reference[:, 1] - self.reference[:, 0]) / np.log(10)

    def excluded_at(self, multiplier: float) -> np.ndarray:
        """Largest log10 Bayes factor of a clonal CAR expressed at `multiplier` times the control or more."""
        position = np.interp(np.log(multiplier), grids.LOG_M, np.arange(grids.M.size))
        low = int(np.floor(position))
        share = position - low
        edge = self.by_m[:, low] * (1 - share) + self.by_m[:, min(low + 1, grids.M.size - 1)] * share
        above = self.by_m[:, low + 1:].max(axis=1, initial=-np.inf)
        return (np.maximum(edge, above) - self.reference[:, 0]) / np.log(10)


def _stack(groups: list[Weights]) -> tuple[np.ndarray, np.ndarray]:
    log_g = np.tile(grids.log_background_weights(), (len(groups), 1))
    return log_g, np.stack([group.log_w for group in groups])


def _alike(sets: Multisets, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows to compute, and for each row which of them it equals: units of one key repeat themselves."""
    single = np.diff(sets.indptr) == 1
    first = np.zeros(single.size, np.int64)
    first[single] = sets.keys[sets.indptr[:-1][single]]
    name = np.stack([np.where(single, 0, np.arange(single.size) + 1), first, np.where(single, sets.sizes, 0), group])
    _, rows, inverse = np.unique(name, axis=1, return_index=True, return_inverse=True)
    return rows, inverse.reshape(-1)


def evaluate(sets: Multisets, table: np.ndarray, groups: list[Weights], group: np.ndarray, *,
             device: Device | None = "cpu") -> Evidence:
    """Evidence of H0, H1, H2 for every unit.

    Parameters
    ----------
    sets
        Units as multisets of rows of `table`.
    table
        `kernel.mixture_table`.
    groups, group
        Weights, and which of them each unit uses.
    """
    rows, inverse = _alike(sets, group)
    log_g, log_w = _stack(groups)
    found = kernel.evidence(sets.take(rows), table, log_g=log_g, log_w=log_w, group=group[rows], device=device)
    own, mixed = (np.stack(part)[group[rows]] for part in zip(*[(g.log_m, g.log_m_mixed) for g in groups], strict=True))
    wide = np.stack([g.log_m_reference for g in groups])[group[rows]]
    null, by_m = found[:, H0, -1], found[:, :, :-1]
    log = np.stack([null, logsumexp(by_m[:, H1] + own, axis=1), logsumexp(by_m[:, H2] + mixed, axis=1)], axis=1)
    reference = np.stack([null, logsumexp(by_m[:, H1_REFERENCE] + wide, axis=1),
                          logsumexp(by_m[:, H2_REFERENCE] + wide, axis=1)], axis=1)
    return Evidence(log[inverse], reference[inverse], by_m[:, H1_REFERENCE][inverse])


@dataclass(frozen=True, slots=True)
class Posterior:
    """Posterior of units.

    Attributes
    ----------
    state
        float64 (units, 3): H0, H1, H2.
    f
        float64 (units, f): share of carrying members under H2, over `grids.F_MIDS`.
    m
        float64 (units, m): expression under H2.
    """

    state: np.ndarray
    f: np.ndarray
    m: np.ndarray


def posterior(sets: Multisets, table: np.ndarray, groups: list[Weights], group: np.ndarray, found: Evidence,
              prior: np.ndarray, *, device: Device | None = "cpu") -> Posterior:
    """Posterior of the hypotheses, of f and of m; `prior` is float64 (units, 3)."""
    rows, inverse = _alike(sets, group)
    log_g, log_w = _stack(groups)
    log_m = np.stack([g.log_m_mixed for g in groups])
    post_w, post_m = kernel.posterior(sets.take(rows), table, log_g=log_g, log_w=log_w[:, [H2]], log_m=log_m,
                                      group=group[rows], device=device)
    maps = np.stack([g.f_given_w for g in groups])
    f = np.einsum("kw,kwf->kf", post_w[:, 0], maps[group[rows]]) if len(groups) > 1 else post_w[:, 0] @ maps[0]
    return Posterior(responsibilities(found.log, prior), f[inverse], post_m[:, 0][inverse])


class Members(NamedTuple):
    """What the members of units carry.

    Attributes
    ----------
    p
        float64 (entries,): probability that a cell of the entry carries an expressed CAR.
    state
        float64 (units, 3): posterior that none, all, or some of the unit's cells carry it. The hypotheses are about the
        clone: few cells of a mixed clone may hold no carrying one, or no other.
    """

    p: np.ndarray
    state: np.ndarray


def members(sets: Multisets, loglik: np.ndarray, unit: Posterior, groups: list[Weights],
            group: np.ndarray) -> Members:
    """Which cells of every unit carry an expressed CAR.

    Parameters
    ----------
    loglik
        float64 (keys, m + 2): log-likelihoods at the central background.
    """
    of = np.repeat(np.arange(sets.indptr.size - 1), np.diff(sets.indptr))
    out, none, every = np.empty(of.size), np.zeros(unit.f.shape), np.zeros(unit.f.shape)
    eta = np.array([g.eta for g in groups])[group]
    silent = np.array([g.silent for g in groups])[group]
    for start in range(0, of.size, _CHUNK):
        entries = slice(start, start + _CHUNK)
        k, rows = of[entries], loglik[sets.keys[entries]]
        with np.errstate(divide="ignore"):
            ratio = logsumexp(rows[:, 1:-1] - rows[:, :1] + np.log(unit.m[k]), axis=1)
        s, e = silent[k], eta[k]
        carrying = np.logaddexp(np.log1p(-s) + ratio, np.log(s))
        free = np.logaddexp(np.log1p(-e), np.log(e) + rows[:, -1] - rows[:, 0])
        odds = np.clip((carrying - free)[:, None] + _LOG_ODDS[None, :], -300, 300)
        log_carrying = -np.log1p(np.exp(-odds))
        out[entries] = unit.state[k, 1] + unit.state[k, 2] * (unit.f[k] * np.exp(log_carrying)).sum(axis=1)
        first = np.flatnonzero(np.diff(k, prepend=-1))
        cells = sets.counts[entries, None]
        every[k[first]] += np.add.reduceat(cells * log_carrying, first, axis=0)
        none[k[first]] += np.add.reduceat(cells * (log_carrying - odds), first, axis=0)
    mixed = unit.state[:, 2] * np.stack([(unit.f * np.exp(part)).sum(axis=1) for part in (none, every)])
    state = np.column_stack([unit.state[:, 0] + mixed[0], unit.state[:, 1] + mixed[1],
                             np.maximum(unit.state[:, 2] - mixed.sum(axis=0), 0.0)])
    return Members(np.clip(out, 0.0, 1.0), state)


def single_cells(loglik: np.ndarray, group: Weights, share: float) -> np.ndarray:
    """Probability that a cell of each key carries an expressed CAR, from its own counts and the population's share."""
    ratio = logsumexp(loglik[:, 1:-1] - loglik[:, :1] + group.log_m, axis=1)
    carrying = np.logaddexp(np.log1p(-group.silent) + ratio, np.log(group.silent))
    free = np.logaddexp(np.log1p(-group.eta), np.log(group.eta) + loglik[:, -1] - loglik[:, 0])
    share = float(np.clip(share, 1e-4, 1 - 1e-4))
    odds = free - carrying + np.log1p(-share) - np.log(share)
    return 1 / (1 + np.exp(np.clip(odds, -300, 300)))
