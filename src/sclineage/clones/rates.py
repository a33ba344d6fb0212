"""Rates of a sample's V(D)J library: capture, UMIs of own and ambient chains, doublets. Estimated from the data.

Every rate is shrunk to that of the patient's samples together, and that to a default, so that one cell is enough to
run and a thousand cells speak for themselves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .observed import MOST_CHAINS, N_CLASSES, N_GROUPS, UMI_CLASSES, Observed


class Rates(NamedTuple):
    """Rates per sample S, or per `Observed.stratum` G (first axis), and locus (0 anchor TRB, 1 partner TRA).

    Attributes
    ----------
    capture
        (G, 2): P(a chain of a cell is seen).
    own_umi
        (G, 2, classes): distribution of UMIs of own chains.
    ambient_umi
        (S, classes): the same of ambient chains.
    ambient
        (S, 2): expected ambient chains per cell.
    new
        (S,): share of cells whose clone is seen in no other cell.
    none
        (G,): barcodes without a chain of their own, per cell with one.
    doublet
        (S,): share of cells that are two.
    n
        (S,): cells with a receptor chain.
    clump
        (S, MOST_CHAINS + 1): P(k ambient chains in a droplet) over that of as many independent ones (negative
        binomial over Poisson): droplets differ in how much of the ambient they took.
    """

    capture: np.ndarray
    own_umi: np.ndarray
    ambient_umi: np.ndarray
    ambient: np.ndarray
    new: np.ndarray
    none: np.ndarray
    doublet: np.ndarray
    n: np.ndarray
    clump: np.ndarray


DEFAULT_CAPTURE = np.array([0.88, 0.80])
DEFAULT_AMBIENT = 0.03
DEFAULT_DOUBLET = 0.04
DEFAULT_NONE = 0.03
WEIGHT = 20.0  # cells that a default, or the patient's other samples, count for


def _class_mass(mean: float, size: float) -> np.ndarray:
    """1 + negative binomial(mean, size), summed over the UMI classes; class 0 (unknown) is 1 for either kind."""
    u = np.arange(0, 2000)
    log_term = np.concatenate([[0.0], np.cumsum(np.log((u[:-1] + size) / (u[:-1] + 1)) + np.log(mean / (mean + size)))])
    mass = np.exp(log_term - size * np.log1p(mean / size))
    out = np.zeros(N_CLASSES)
    np.add.at(out, np.searchsorted(UMI_CLASSES, u + 1, side="right") - 1, mass)
    out = np.maximum(out, 1e-5)
    out[0] = 0.0
    return out / out.sum()


DEFAULT_OWN = np.stack([_class_mass(6.0, 1.3), _class_mass(3.5, 1.3)])
DEFAULT_AMBIENT_UMI = _class_mass(0.3, 0.5)


def _known(distribution: np.ndarray) -> np.ndarray:
    """The same with 1 for the class of unknown UMIs, which then says nothing."""
    out = distribution.copy()
    out[..., 0] = 1.0
    return out


def start(obs: Observed, n_samples: int) -> Rates:
    """Default rates, for the first round."""
    n = _with_chain(obs.sample, obs, n_samples)
    lacking, having = (_with_chain(obs.stratum, obs, n_samples * N_GROUPS, lacking=x) for x in (True, False))
    full, strata = np.ones(n_samples), n_samples * N_GROUPS
    return Rates(np.tile(DEFAULT_CAPTURE, (strata, 1)), _known(np.repeat(DEFAULT_OWN[None], strata, 0)),
                 _known(np.repeat(DEFAULT_AMBIENT_UMI[None], n_samples, 0)), np.full((n_samples, 2), DEFAULT_AMBIENT),
                 full * 0.3, np.maximum(DEFAULT_NONE, lacking / np.maximum(having, 1)), full * DEFAULT_DOUBLET, n,
                 np.ones((n_samples, MOST_CHAINS + 1)))


def _with_chain(label: np.ndarray, obs: Observed, n: int, *, lacking: bool = False) -> np.ndarray:
    """Cells per label that show a chain (or none)."""
    chosen = (np.diff(obs.ptr) == 0) == lacking
    return np.bincount(label[chosen], obs.n_cells[chosen], minlength=n)


def capture_by_sample(rates: Rates, obs: Observed) -> np.ndarray:
    """Capture rates (S, 2): the mean over the cells with a chain."""
    n = _with_chain(obs.stratum, obs, len(rates.capture)) + 1e-9
    n, capture = n.reshape(-1, N_GROUPS, 1), rates.capture.reshape(-1, N_GROUPS, 2)
    return np.asarray((n * capture).sum(axis=1) / n.sum(axis=1))


def without_partners(rates: Rates) -> Rates:
    """Rates of cells that have no partner chain to capture."""
    return rates._replace(capture=rates.capture * [1.0, 0.0])


class Counts(NamedTuple):
    """Expected counts of one round, per sample S or stratum G: what the next rates are made of.

    Attributes
    ----------
    seen, lost
        (G, 2): chains that a cell's clone is known to have, seen and not seen in it.
    own, foreign
        (G, 2, classes), (S, 2, classes): chains of the cells' own, and ambient ones, by locus and UMI class.
    foreign_exposure
        (S, 2): cells in which an ambient chain would have shown.
    new, none, doublet
        (S,), (G,), (S,): cells of a clone of their own, without a chain of their own, doublets.
    doublet_exposure
        (S,): cells in which a second cell would have shown.
    pairs
        (S,): ordered pairs of ambient chains in one droplet.
    droplets
        (S,): droplets, those without a chain of their own included.
    """

    seen: np.ndarray
    lost: np.ndarray
    own: np.ndarray
    foreign: np.ndarray
    foreign_exposure: np.ndarray
    new: np.ndarray
    none: np.ndarray
    doublet: np.ndarray
    doublet_exposure: np.ndarray
    pairs: np.ndarray
    droplets: np.ndarray


def update(obs: Observed, counts: Counts, n_samples: int) -> Rates:
    """Rates from one round's expected counts.

    Parameters
    ----------
    obs
        What was seen.
    counts
        Expected counts.
    n_samples
        S.
    """
    capture = _shrunk(counts.seen, counts.seen + counts.lost, DEFAULT_CAPTURE)
    own = _umis(counts.own, DEFAULT_OWN)
    ambient_umi = _falling(_umis(counts.foreign.sum(axis=1), DEFAULT_AMBIENT_UMI))
    ambient = _shrunk(counts.foreign.sum(axis=2), counts.foreign_exposure, np.full(2, DEFAULT_AMBIENT))
    n = _with_chain(obs.sample, obs, n_samples)
    doublet = _shrunk(counts.doublet[:, None], counts.doublet_exposure[:, None], np.array([DEFAULT_DOUBLET]))
    new = (counts.new + 0.5) / (n + 1)
    none = _none(obs, counts.none, np.repeat(ambient.sum(axis=1), N_GROUPS))
    return Rates(np.clip(capture, 0.02, 0.995), _known(own), _known(ambient_umi), np.clip(ambient, 1e-4, 2.0), new,
                 none, np.clip(doublet[:, 0], 1e-3, 0.4), n, _clump(counts))


def _clump(counts: Counts) -> np.ndarray:
    """Factors of `Rates.clump`: pairs of ambient chains in one droplet over those that chance would put there."""
    total, droplets = counts.foreign.sum(axis=(1, 2)), np.maximum(counts.droplets, 1.0)
    excess = np.clip((counts.pairs + WEIGHT) / (total**2 / droplets + WEIGHT) - 1, 1e-6, 5.0)  # 1 / shape
    mean = total / droplets
    out = np.ones((total.size, MOST_CHAINS + 1))
    for j in range(MOST_CHAINS):
        out[:, j + 1] = out[:, j] * (1 + excess * j) / (1 + excess * mean)
    return out


def _none(obs: Observed, found: np.ndarray, ambient: np.ndarray) -> np.ndarray:
    """Barcodes without own chains per cell with one; where barcodes without any chain are not listed, inferred."""
    lacking, having = (_with_chain(obs.stratum, obs, ambient.size, lacking=x) for x in (True, False))
    inferred = found / np.maximum(-np.expm1(-ambient), 1e-3)
    own = having - found
    return (np.where(lacking > 0, lacking + found, inferred) + DEFAULT_NONE * WEIGHT) / (own + WEIGHT)


def _shrunk(hits: np.ndarray, trials: np.ndarray, default: np.ndarray) -> np.ndarray:
    """Shares per row, shrunk to the pooled share, which is shrunk to the default."""
    pooled = (hits.sum(axis=0) + WEIGHT * default) / (trials.sum(axis=0) + WEIGHT)
    return (hits + WEIGHT * pooled) / (trials + WEIGHT)


def _umis(counts: np.ndarray, default: np.ndarray) -> np.ndarray:
    """Distribution over the UMI classes (last axis) of each label (first axis), shrunk like the shares."""
    known = counts * (np.arange(N_CLASSES) > 0)
    pooled = known.sum(axis=0) + WEIGHT * default
    out = known + WEIGHT * pooled / pooled.sum(axis=-1, keepdims=True)
    return np.asarray(out / out.sum(axis=-1, keepdims=True))


def _falling(distribution: np.ndarray) -> np.ndarray:
    """Make each distribution fall with the UMIs: what rises is a doublet's chain, not the ambient's."""
    width = np.diff(np.append(UMI_CLASSES, 50))[1:].astype(np.float64)
    density = np.minimum.accumulate(distribution[:, 1:] / width, axis=1)
    out = np.zeros_like(distribution)
    out[:, 1:] = density * width
    return out / out.sum(axis=1, keepdims=True)
