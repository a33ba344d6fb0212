"""CAR transcripts of the cells of one library: arrays in, arrays out.

A plain generative model, kept apart from the model that is later fitted: latent capture per cell, clone and library
strengths as multipliers, three families for each spread, soup by droplet, swapping by depth. The default rates are
those measured on published CAR-T libraries: soup and swapping together 0.3 % of the library's content, size 3 to 5
within a clone, 0.5 between clones and 0.6 between libraries (standard deviations of logs), silencing up to 5 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Family = Literal["lognormal", "gamma", "bimodal"]
Array = np.ndarray


@dataclass(frozen=True, slots=True)
class CarModel:
    """Rates of the CAR signal and its background in one library.

    Attributes
    ----------
    theta
        CAR UMIs per gene-expression UMI in an expressing cell of an average clone.
    size
        Negative-binomial size between cells of one clone (variance = mean + mean^2 / size).
    silenced
        Share of carrying cells that make no transcript.
    soup
        Ambient CAR UMIs per droplet, as a share of the mean CAR content of the library's cells.
    swap
        Swapped CAR UMIs of a cell of mean depth, as a share of the same.
    droplet_sd
        Standard deviation of the log amount of soup in a droplet.
    native
        UMIs per gene-expression UMI of endogenous CD28/CD247 transcripts counted as CAR, in T cells only.
    family
        Distribution between cells: gamma (negative binomial), lognormal, or bimodal bursts.
    """

    theta: float = 6e-4
    size: float = 4.0
    silenced: float = 0.02
    soup: float = 0.002
    swap: float = 0.001
    droplet_sd: float = 0.3
    native: float = 0.0
    family: Family = "gamma"


def draw_depth(rng: np.random.Generator, n: int, *, median: float, sd: float) -> Array:
    """Expected UMIs of n cells: log-normal, at least 200, float64."""
    return np.maximum(median * np.exp(sd * rng.standard_normal(n)), 200.0)


def draw_spread(rng: np.random.Generator, n: int, *, sd: float, family: Family = "lognormal") -> Array:
    """Positive multipliers with mean about 1 and standard deviation of the log about `sd`, float64 (n,).

    `lognormal` has mean 1; `gamma` has shape ``1 / (exp(sd^2) - 1)``, the same mean and variance; `bimodal` puts 30 %
    of the draws at a low and 70 % at a high level whose logs are ``sd / 0.458`` apart, with mean 1.
    """
    if sd == 0:
        return np.ones(n)
    if family == "lognormal":
        return np.exp(sd * rng.standard_normal(n) - 0.5 * sd**2)
    if family == "gamma":
        shape = 1.0 / np.expm1(sd**2)
        return np.maximum(rng.gamma(shape, 1.0 / shape, n), 1e-3)
    high = np.exp(sd / np.sqrt(0.3 * 0.7))  # log-sd of a two-point law with shares .3/.7 is .458 of the distance
    values = np.where(rng.random(n) < 0.3, 1.0, high)
    return values / (0.3 + 0.7 * high)


def draw_signal(rng: np.random.Generator, depth: Array, carries: Array, strength: Array, model: CarModel) -> Array:
    """True CAR UMIs, int64.

    Parameters
    ----------
    rng
        Random generator.
    depth
        Expected gene-expression UMIs per cell.
    carries
        bool, whether the cell's genome holds the CAR.
    strength
        Expression of the cell's clone relative to the library's average.
    model
        Rates.
    """
    n = len(depth)
    spread = draw_spread(rng, n, sd=float(np.sqrt(np.log1p(1.0 / model.size))), family=model.family)
    on = np.asarray(carries, bool) & (rng.random(n) >= model.silenced)
    return np.where(on, rng.poisson(model.theta * depth * strength * spread), 0).astype(np.int64)


def draw_background(rng: np.random.Generator, depth: Array, is_t: Array, content: float, model: CarModel) -> Array:
    """CAR UMIs that are not the cell's own: soup, swapped molecules and misassigned native reads, int64.

    Parameters
    ----------
    rng
        Random generator.
    depth
        Expected gene-expression UMIs per barcode.
    is_t
        bool, T cells (only these make CD28 and CD247 that native reads come from).
    content
        Mean true CAR UMIs per cell of the library.
    model
        Rates.
    """
    n = len(depth)
    droplet = draw_spread(rng, n, sd=model.droplet_sd)
    soup = model.soup * content * droplet
    swapped = model.swap * content * depth / max(float(np.mean(depth)), 1.0) if n else np.zeros(0)
    native = np.where(is_t, model.native * depth * draw_spread(rng, n, sd=0.4), 0.0)
    return rng.poisson(soup + swapped + native).astype(np.int64)


def draw_partners(rng: np.random.Generator, n: int, share: float) -> tuple[Array, Array, Array]:
    """Doublets: which barcodes hold a second cell, a cell like which other one, and how much of it was captured.

    Returns
    -------
    host, partner
        int64 indices of cells; partner differs from host.
    part
        Share of the partner's molecules that were captured, Beta(4, 4): half on average.
    """
    if n < 2 or share <= 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    host = np.flatnonzero(rng.random(n) < share).astype(np.int64)
    partner = (host + rng.integers(1, n, len(host))) % n
    return host, partner.astype(np.int64), rng.beta(4.0, 4.0, len(host))
