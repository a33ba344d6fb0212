"""One library: its keys, its clones, its fitted parameters, and the E-step over them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import logsumexp

from .._settings import Device
from ..kernels import evidence as kernel
from ..kernels.evidence import Multisets, multisets
from . import grids, prior, signal, units
from .background import Background
from .keys import Histogram, Keys, make_keys
from .signal import Signal, ThetaPrior

DEFAULT_SM = (np.arange(grids.SM.size) == 2).astype(np.float64)
DEFAULT_TAU = (np.arange(grids.TAU.size) == 3).astype(np.float64)
MIN_CLONES = 20  # clones of five cells or more, below which the spread of expression is not fitted
MAX_CLONES = 400
SILENT = 0.05  # mean of the exponential prior of the silent share: sorted libraries show none, .05 costs them 4 nats
SIZES = np.array([1.5, 2.5, 4.0, 6.5, 10.0])  # NB sizes within a clone
SHIFTS = np.linspace(-0.6, 0.6, 13)  # of log theta, around the mean of the cells that seem to carry
ETA_FACTORS = 2.0 ** np.arange(-2, 5)
LEVELS = 2.0 ** np.arange(-1.5, 3.6, 0.5)  # of the background, around what the controls say
LEAST_SPREAD = 0.15  # log-sd of a background whose level is known
MOST_CELLS = 200  # of one clone that speak of the library's background


@dataclass(frozen=True, slots=True)
class Rows:
    """The units of one library; units that look alike share a row.

    Attributes
    ----------
    sets
        Multisets of the library's own keys.
    strata
        int (rows,): from `prior.stratum`.
    weights
        float64 (rows,): units per row.
    """

    sets: Multisets
    strata: np.ndarray
    weights: np.ndarray


def make_rows(keys: Keys, clone: np.ndarray, in_sort: np.ndarray) -> Rows:
    """Rows of a library from every cell's clone (-1: none) and whether that is frequent in a CAR+ sort."""
    sizes = np.bincount(clone[clone >= 0]) if np.any(clone >= 0) else np.zeros(0, np.int64)
    alone = (clone < 0) | (sizes[np.maximum(clone, 0)] == 1) if sizes.size else np.ones(clone.size, bool)
    named, code = np.unique(clone[~alone], return_inverse=True)
    clones = multisets(code, keys.of_cell[~alone], n_clones=named.size)
    kind = prior.stratum(np.ones(clone.size), clone >= 0, in_sort)
    pairs, counts = np.unique(np.stack([kind[alone], keys.of_cell[alone]]), axis=1, return_counts=True)
    indptr = np.concatenate([clones.indptr, clones.indptr[-1] + 1 + np.arange(pairs.shape[1])])
    sets = Multisets(indptr, np.concatenate([clones.keys, pairs[1].astype(np.int32)]),
                     np.concatenate([clones.counts, np.ones(pairs.shape[1], np.int64)]))
    seen = np.bincount(code, in_sort[~alone], named.size) > 0
    strata = np.concatenate([prior.stratum(clones.sizes, np.ones(named.size, bool), seen), pairs[0]])
    return Rows(sets, strata, np.concatenate([np.ones(named.size), counts.astype(np.float64)]))


@dataclass(frozen=True, slots=True)
class Library:
    """Fitted model of one library.

    Attributes
    ----------
    name, keys, rows
        The data.
    background, signal
        Fitted parts; the signal's size is that of all carrying cells together.
    size
        NB size within a clone.
    sm, tau
        Posterior weights over `grids.SM` and `grids.TAU`.
    doublets
        Share of cells with a carrying partner.
    hypotheses
        float64 (10, 3): share of H0, H1, H2 per stratum.
    law
        float64 (f,): law of the carrying share of mixed clones over `grids.F_MIDS`.
    carrying
        Expected share of carrying cells.
    free
        CAR UMIs and depth of the cells with a receptor, weighted by their probability not to carry the CAR.
    theta_prior
        What theta rested on before the library's own counts.
    misassigned
        Misassigned UMIs per UMI of T cells that the library's own clones show, and its log-sd; None where they were
        not asked.
    p_clear
        P(no more than that is misassigned); 1 where it need not be asked.
    compared
        Whether that comparison was made.
    alternative
        The same library with a background that explains everything, where that is not excluded.
    """

    name: str
    keys: Keys
    rows: Rows
    background: Background
    signal: Signal
    size: float
    theta_prior: ThetaPrior
    sm: np.ndarray
    tau: np.ndarray
    doublets: units.Doublets
    hypotheses: np.ndarray
    law: np.ndarray
    carrying: float = 0.0
    free: tuple[float, float] = (0.0, 0.0)
    misassigned: tuple[float, float] | None = None
    p_clear: float = 1.0
    compared: bool = False
    alternative: Library | None = None

    @property
    def bands(self) -> np.ndarray:
        """Weight of each of `grids.BANDS` in the law, float64 (bands,)."""
        return (grids.BANDS > 0) @ self.law

    @property
    def weights(self) -> units.Weights:
        """Weights of the hypotheses in this library."""
        return units.weights(doublets=self.doublets, sm=self.sm, tau=self.tau, spread=self.signal.spread,
                             law=self.law)

    def loglik(self, *, bins: np.ndarray | None = None, counts: np.ndarray | None = None,
               g: np.ndarray | None = None) -> np.ndarray:
        """Log-likelihoods (keys, g, m + 2) of the library's keys, or of others given by depth bin and count."""
        known = self.background
        bins, counts = (self.keys.bin, self.keys.count) if bins is None or counts is None else (bins, counts)
        logs = kernel.likelihoods(known.mean(self.keys.depth), self.signal.theta * self.keys.depth, size=self.size,
                                  background_size=known.size, m=grids.M,
                                  g=grids.background_nodes(known.spread) if g is None else g)
        return logs[bins, counts]

    def table(self, *, g: np.ndarray | None = None, device: Device | None = "cpu") -> Any:
        """Table of the library's keys on the grid, an array of the device."""
        return kernel.mixture_table(self.loglik(g=g), grids.W, device=device)


def start(name: str, depth: np.ndarray, count: np.ndarray, clone: np.ndarray, in_sort: np.ndarray,
          background: Background, theta_prior: ThetaPrior) -> Library:
    """Library before any fit."""
    keys = make_keys(depth, count)
    guess = signal.first_guess(keys.histogram(), background, theta_prior)
    return Library(name, keys, make_rows(keys, clone, in_sort), background, guess, guess.size, theta_prior, DEFAULT_SM,
                   DEFAULT_TAU, units.Doublets.known(background.eta), prior.start(), grids.UNIFORM)


def row_evidence(library: Library, *, device: Device | None = "cpu") -> units.Evidence:
    """Evidence of every row."""
    group = np.zeros(library.rows.weights.size, np.int64)
    return units.evaluate(library.rows.sets, library.table(device=device), [library.weights], group, device=device)


def expectation(library: Library, *, device: Device | None = "cpu") -> tuple[Library, Histogram]:
    """Share of the hypotheses, and cells weighted by their probability to carry the CAR and by what they say of it."""
    rows, table = library.rows, library.table(device=device)
    group = np.zeros(rows.weights.size, np.int64)
    found = units.evaluate(rows.sets, table, [library.weights], group, device=device)
    shares = prior.fit(found.log, rows.strata, rows.weights)
    # without floors: where nothing carries, nothing may pull theta away from its prior
    loose = prior.loose(found.log, rows.strata, rows.weights, base_weight=0.01)
    state = units.posterior(rows.sets, table, [library.weights], group, found, loose[rows.strata], device=device)
    loglik = library.loglik()[:, 1]
    p = units.members(rows.sets, loglik, state, [library.weights], group).p
    cells = np.repeat(rows.weights, np.diff(rows.sets.indptr)) * rows.sets.counts
    weighted = np.bincount(rows.sets.keys, p * cells, library.keys.bin.size)
    share = float(weighted.sum() / max(cells.sum(), 1))
    heard = np.bincount(rows.sets.keys, p * cells * _say(library, weighted), library.keys.bin.size)
    free = (1 - p) * cells * np.repeat(rows.strata > 0, np.diff(rows.sets.indptr))
    key = rows.sets.keys
    without = (float((free * library.keys.count[key]).sum()),
               float((free * library.keys.depth[library.keys.bin[key]]).sum()))
    return replace(library, hypotheses=shares, carrying=share, free=without), library.keys.histogram(heard)


def _say(library: Library, weighted: np.ndarray) -> np.ndarray:
    """Weight of a cell of each entry in the fit of theta: cells of one clone share its expression.

    Generalised least squares of log theta: a clone of n cells that tell i each weighs 1 / (tau^2 + 1 / (n i)), so that
    the fit is the mean of the clones where they are large, of the cells where they are small.
    """
    carrying = library.keys.histogram(weighted)
    each = signal.information(carrying, library.signal.theta, library.size) / max(carrying.n, 1e-9)
    tau2 = float(library.tau @ grids.TAU**2)
    sizes = np.where(library.rows.strata > 0, library.rows.sets.sizes, 1)
    return np.repeat(1 / (1 + sizes * each * tau2), np.diff(library.rows.sets.indptr))


def _large(rows: Rows) -> np.ndarray:
    """The largest clones of five cells or more, biggest first."""
    large = np.flatnonzero((rows.sets.sizes >= 5) & (rows.strata > 0))
    return large[np.argsort(-rows.sets.sizes[large], kind="stable")][:MAX_CLONES]


def false_counts(library: Library, *, device: Device | None = "cpu") -> Library:
    """Level of the background and share of doublets from the clones, around what the controls say of both.

    Clones without the CAR show the library's background and its doublets, so both are learnt even where the controls
    are few. Doublets look like mixed clones of a low carrying share: every share of doublets is judged with the shares
    of the hypotheses, and the law of mixed clones, that suit it best. A rate that the clones were asked for already
    (`identify.refine`) stays. No clone counts for more than `MOST_CELLS`: one that expresses hardly anything must not
    pass for the background of the others.
    """
    large, known = _large(library.rows), library.background
    etas = np.clip(known.eta * ETA_FACTORS, 1e-4, grids.ETA_CAP)
    log_eta = -0.5 * (np.log(ETA_FACTORS) / known.eta_spread) ** 2
    if large.size == 0:  # nothing is asked: what the controls say stays as open as it was
        doublets = units.Doublets(etas, np.exp(log_eta - logsumexp(log_eta)))
        return replace(library, doublets=doublets, background=replace(known, eta=doublets.centre))
    levels = LEVELS if library.misassigned is None else np.ones(1)
    logs = _false_evidence(library, etas, levels, large, device)
    logs += log_eta - 0.5 * (np.log(levels) / known.spread)[:, None] ** 2
    both = np.exp(logs - logsumexp(logs))
    doublets, level = units.Doublets(etas, both.sum(axis=0)), both.sum(axis=1)
    if levels.size > 1:
        mean = float(level @ np.log(levels))
        spread = float(np.sqrt(level @ (np.log(levels) - mean) ** 2))
        known = replace(known.scaled(float(np.exp(mean))), spread=max(spread, LEAST_SPREAD))
    return replace(library, doublets=doublets, background=replace(known, eta=doublets.centre))


def _false_evidence(library: Library, etas: np.ndarray, levels: np.ndarray, large: np.ndarray,
                    device: Device | None) -> np.ndarray:
    """Log evidence (levels, etas) of the large clones, the shares of the hypotheses settled for every doublet share."""
    sets = library.rows.sets.take(large)
    weights = np.minimum(1.0, MOST_CELLS / sets.sizes)
    usual = [replace(library, doublets=units.Doublets.known(float(eta)), law=grids.UNIFORM).weights for eta in etas]

    def evidence(level: float, log_w: list[np.ndarray]) -> np.ndarray:
        found = kernel.evidence(sets, library.table(g=np.array([level]), device=device), device=device,
                                log_w=np.concatenate(log_w)[None], log_g=np.zeros((1, 1)))
        by_eta = found.reshape(len(found), etas.size, -1, found.shape[-1])
        out = logsumexp(by_eta[..., :-1] + usual[0].log_m_mixed, axis=-1)
        out[:, :, 0] = by_eta[:, :, 0, -1]
        out[:, :, 1] = logsumexp(by_eta[:, :, 1, :-1] + usual[0].log_m, axis=-1)
        return out

    at_one = evidence(1.0, [np.concatenate([one.log_w[:2], _in_bins(one, grids.BANDS)]) for one in usual])
    settled = [prior.fit_laws(at_one[:, i], _inside(grids.BANDS), weights) for i in range(etas.size)]
    suited = [replace(library, doublets=units.Doublets.known(float(eta)), law=laws @ grids.LAWS).weights.log_w[:3]
              for eta, (laws, *_) in zip(etas, settled, strict=True)]
    shares = np.stack([share for _, share, _ in settled])[None]

    def total(level: float) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return weights @ logsumexp(evidence(level, suited) + np.log(shares), axis=-1)

    several = np.stack([total(float(level)) for level in levels])
    return several + np.array([value for *_, value in settled]) - several[np.abs(np.log(levels)).argmin()]


def _in_bins(usual: units.Weights, bins: np.ndarray) -> np.ndarray:
    """Log weights (bins, w) of mixed clones whose carrying share lies in each bin, uniformly there."""
    inside = (np.exp(usual.log_w[2])[:, None] * usual.f_given_w) @ (bins > 0).T / bins.sum(axis=1)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(inside.T))


def _inside(bins: np.ndarray) -> np.ndarray:
    """What each of `grids.LAWS` holds in each bin, float64 (laws, bins)."""
    return np.asarray(grids.LAWS @ (bins > 0).T)


def spread_of_expression(library: Library, *, device: Device | None = "cpu") -> Library:
    """NB size within clones, silent share, law of expression between clones and theta by type-II maximum likelihood.

    All four on one grid, and averaged over it: silent cells, spread within clones and mixed clones explain zeros alike,
    so that none may be held at a first guess of the others. Single cells are asked as well: they say little of a
    spread, but theta is theirs too. A theta that the cells say too little of stays where it is.
    """
    rows, large = library.rows, _large(library.rows)
    if large.size < MIN_CLONES:
        return library
    asked = np.concatenate([large, np.flatnonzero((rows.strata > 0) & ~prior.several(rows.strata))])
    told = library.signal.spread < signal.MIN_INFORMATION**-0.5
    shifts, spread = (SHIFTS, 0.0) if told else (np.zeros(1), library.signal.spread)
    by_m = np.exp(np.concatenate([grids.log_expression(spread, grids.TAIL, shift=float(shift)) for shift in shifts]))
    order = np.argsort(np.abs(np.log(SIZES / library.size)), kind="stable")  # shares are settled at the likeliest size
    by_law = np.empty((SIZES.size, grids.SM.size, len(by_m)))
    known = [library.hypotheses] * grids.SM.size
    bands = [library.bands] * grids.SM.size
    for i in order:
        found = _by_silence(replace(library, size=float(SIZES[i])), asked, device)
        for s, one in enumerate(found):
            by_law[i, s], known[s], bands[s] = _profile(one, by_m, rows.strata[asked], rows.weights[asked], known[s],
                                                        bands[s], settle=bool(i == order[0]))
    logs = by_law.reshape(SIZES.size, grids.SM.size, shifts.size, grids.TAU.size)
    theta = 0.5 * ((np.log(library.signal.theta / library.theta_prior.theta) + shifts) / library.theta_prior.sd) ** 2
    logs -= (0.5 * (np.log(SIZES / signal.SIZE) / signal.SIZE_SD) ** 2)[:, None, None, None]
    logs -= (grids.SM / SILENT)[:, None, None] + theta[:, None] - grids.LOG_PRIOR
    all_ = np.exp(logs - logsumexp(logs))
    size = float(np.exp(all_.sum(axis=(1, 2, 3)) @ np.log(SIZES)))
    moved = _moved(library.signal, shifts, all_.sum(axis=(0, 1, 3))) if told else library.signal
    return replace(library, size=size, sm=all_.sum(axis=(0, 2, 3)), tau=all_.sum(axis=(0, 1, 2)), signal=moved)


def _by_silence(library: Library, asked: np.ndarray, device: Device | None) -> list[np.ndarray]:
    """Log evidence of rows for every silent share: float64 (rows, 2 + bands, m + 1) of H0, H1, and H2 in each band."""
    eta = float(np.clip(library.background.eta, 1e-4, grids.ETA_CAP))
    usual = [grids.hypotheses(eta, float(silent)) for silent in grids.SM]
    parts = [np.stack([*one.log_w[:2], *(grids.with_law(one, band / band.sum()).log_w[2] for band in grids.BANDS)])
             for one in usual]
    found = kernel.evidence(library.rows.sets.take(asked), library.table(device=device), device=device,
                            log_w=np.concatenate(parts)[None], log_g=grids.log_background_weights()[None])
    return np.split(found, grids.SM.size, axis=1)


def _moved(known: Signal, shifts: np.ndarray, shares: np.ndarray) -> Signal:
    """Signal with theta moved by the mean of log shifts that have these posterior shares."""
    mean = float(shares @ shifts)
    return replace(known, theta=known.theta * float(np.exp(mean)),
                   spread=float(np.sqrt(shares @ (shifts - mean) ** 2)))


def _profile(found: np.ndarray, by_m: np.ndarray, strata: np.ndarray, weights: np.ndarray, hypotheses: np.ndarray,
             bands: np.ndarray, *, settle: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log evidence of the clones under every law of expression for one silent share, with the hypotheses' shares then.

    More silence makes mixed clones look like clonal ones, so that their share, and the law of the carrying share among
    them, must be free to follow (`settle`); what they follow to is charged by its prior.
    """
    carrying = found[:, 1:, :-1]
    top = carrying.max(axis=-1, keepdims=True)
    mixed_m = by_m * grids.EXPRESSED / (by_m @ grids.EXPRESSED)[:, None]
    likely = np.exp(carrying - top)
    with np.errstate(divide="ignore"):  # (rows, 1 + bands, laws)
        logs = np.log(np.concatenate([likely[:, :1] @ by_m.T, likely[:, 1:] @ mixed_m.T], axis=1)) + top
    null = found[:, :1, -1]

    def evidence(shares: np.ndarray, law: np.ndarray) -> np.ndarray:
        most = np.maximum(logs.max(axis=1), null)
        several = np.concatenate([shares[:, 1:2], shares[:, 2:] * law], axis=1)[strata]
        total = (several[:, :, None] * np.exp(logs - most[:, None])).sum(axis=1)
        total += shares[strata, :1] * np.exp(null - most)
        return (weights[:, None] * (np.log(total) + most)).sum(axis=0)

    if settle:
        best = np.column_stack([null, logs[:, :, int(np.argmax(evidence(hypotheses, bands)))]])
        bands = (grids.BANDS > 0) @ _learnt(best[prior.several(strata)], grids.BANDS)
        mixed = logsumexp(best[:, 2:] + np.log(bands), axis=1)
        hypotheses = prior.loose(np.column_stack([best[:, :2], mixed]), strata, weights)
    return evidence(hypotheses, bands) + prior.log_density(hypotheses, strata, weights), hypotheses, bands


def _learnt(evidence: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Law of the carrying share of mixed clones over `grids.F_MIDS`: mean of `grids.LAWS` under their posterior.

    Parameters
    ----------
    evidence
        float64 (clones, 2 + bins): log evidence of H0, H1, and of H2 in each bin of the carrying share.
    bins
        `grids.BANDS` or `grids.FINE`.
    """
    law = prior.fit_laws(evidence, _inside(bins))[0] @ grids.LAWS
    return (1 - prior.OPEN_LAW) * law + prior.OPEN_LAW * grids.UNIFORM


def law_of_shares(library: Library, *, device: Device | None = "cpu") -> Library:
    """Law of the carrying share of mixed clones, learnt from the large clones."""
    rows, large = library.rows, _large(library.rows)
    if large.size < MIN_CLONES:
        return library
    usual = replace(library, law=grids.UNIFORM).weights
    log_w = np.concatenate([usual.log_w[:2], _in_bins(usual, grids.FINE)])[None]
    found = kernel.evidence(rows.sets.take(large), library.table(device=device), log_w=log_w, device=device,
                            log_g=grids.log_background_weights()[None])
    every = logsumexp(found[:, 1, :-1] + usual.log_m, axis=-1)
    some = logsumexp(found[:, 2:, :-1] + usual.log_m_mixed, axis=-1)
    return replace(library, law=_learnt(np.column_stack([found[:, 0, -1], every, some]), grids.FINE))


def maximisation(library: Library, carrying: Histogram) -> Library:
    """Signal from the cells weighted by their probability to carry the CAR, where they tell something."""
    known = library.theta_prior
    if signal.information(carrying, known.theta, signal.SIZE) < signal.MIN_INFORMATION:
        return unheard(library)
    fitted = signal.fit(carrying, library.background, library.theta_prior, start=library.signal)
    tau = float(library.tau @ grids.TAU)
    return replace(library, signal=fitted, size=signal.within_clone(fitted.size, tau))


def unheard(library: Library) -> Library:
    """The library with what is known of its expression from elsewhere."""
    known = library.theta_prior
    held = Signal(known.theta, signal.SIZE, signal.SIGMA_A / (signal.SIGMA_A + signal.SIGMA_B), known.sd)
    return replace(library, signal=held, size=signal.within_clone(signal.SIZE, grids.DEFAULT_TAU))
