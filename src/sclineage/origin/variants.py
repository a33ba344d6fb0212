"""Somatic and mitochondrial variants of two populations: one ancestor that had them, or none.

Every listed site is carried by both populations, by one of them, or by all cells of the patient; how large its share
is, how much soup there is, and in which of two unrelated populations private variants show is not known and is
integrated out. So a variant that ten cells do not show costs what ten cells can say, and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, xlog1py, xlogy
from scipy.stats import beta

from .levels import Line
from .relatedness import log_betabin

FROM_STEM_CELL = tuple(range(2, 7))
ERROR, DRIFT, NOISE = 0.002, 0.1, 0.02  # reads in error; correlation of a carrying and of another population's reads
THIRD, LOST = 0.05, 0.06  # a third of the cells of one population carry the variant; one has lost it
INHERITED, INHERITED_SHARE = 0.02, 0.99
HOTSPOT = 6.0  # nats: most that one site may give, as it may be an error that recurs
EXCESS = 3.0  # nats over error that make a variant, more on long lists
SHARES = np.geomspace(0.005, 0.95, 25)
SOUP, SOUP_PRIOR = np.array([0.0, 0.02, 0.05, 0.1]), np.array([0.55, 0.3, 0.13, 0.02])
SIDE = np.array([0.0, 0.5, 1.0])  # of private variants, those of the first population
SIDE_PRIOR = {False: np.array([0.4, 0.2, 0.4]), True: np.array([0.05, 0.1, 0.85])}  # True: one clone beside many
DEEP = {"somatic": (6,), "mitochondrial": (4, 5, 6)}


def _prior(kind: str) -> np.ndarray:
    """Log probability of each of `SHARES`: heterozygous in most clones, any share of mitochondria."""
    density = beta.pdf(SHARES, 10, 10) if kind == "somatic" else np.ones(SHARES.size)
    weight = density * SHARES
    return np.log(0.8 * weight / weight.sum() + 0.2 / SHARES.size)


def seen(k: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Sites read in both populations, with a variant in one: bool (sites,), of int64 (2, sites)."""
    read = (n > 0).all(axis=0)
    p = (k + 0.5) / (n + 1.0)
    excess = xlogy(k, p) + xlog1py(n - k, -p) - xlogy(k, ERROR) - xlog1py(n - k, -ERROR)
    bound = max(EXCESS, float(np.log(max(read.sum(), 1))))
    return read & ((k >= 1) & (excess > bound)).any(axis=0)


@dataclass(frozen=True, slots=True)
class _Sites:
    """Log-likelihoods of the reads at each site.

    Attributes
    ----------
    both
        float64 (sites,): carried by both populations.
    private
        float64 (soup, side, sites): carried by one.
    """

    both: np.ndarray
    private: np.ndarray


def _likelihoods(k: np.ndarray, n: np.ndarray, soup: np.ndarray, prior: np.ndarray) -> _Sites:
    """Likelihoods of all reads; `soup` float64 (2, sites) is the share of the variant in each population's soup."""
    carried, third = (log_betabin(k[:, None], n[:, None], SHARES[:, None] / d, DRIFT) for d in (1, 3))
    prior = prior[:, None]
    alone, clean = logsumexp(prior + carried, axis=1), log_betabin(k, n, ERROR, NOISE)
    parts = [np.log(1 - THIRD - LOST) + logsumexp(prior + carried[0] + carried[1], axis=0)]
    for a, b in ((0, 1), (1, 0)):
        parts += [np.log(THIRD / 2) + logsumexp(prior + carried[a] + third[b], axis=0),
                  np.log(LOST / 2) + alone[a] + clean[b]]
    foreign = log_betabin(k, n, ERROR + SOUP[:, None, None] * soup, NOISE)  # (soup, 2, sites)
    first, second = (alone[a] + foreign[:, None, 1 - a] for a in (0, 1))
    with np.errstate(divide="ignore"):
        private = np.logaddexp(np.log(SIDE)[:, None] + first, np.log1p(-SIDE)[:, None] + second)
    return _Sites(logsumexp(parts, axis=0), private)


def _given_seen(k: np.ndarray, n: np.ndarray, soup: np.ndarray, prior: np.ndarray) -> _Sites:
    """The same, given that a site shows the variant at all, and with inherited sites and hot spots under both."""
    found, none = (_likelihoods(x, n, soup, prior) for x in (k, np.zeros_like(k)))
    fixed = np.log(INHERITED) + log_betabin(k, n, INHERITED_SHARE, NOISE).sum(axis=0)
    carried = np.log1p(-INHERITED)
    both = np.logaddexp(carried + found.both - _log1mexp(none.both), fixed)
    private = np.logaddexp(carried + found.private - _log1mexp(none.private), fixed)
    return _Sites(both, np.logaddexp(private, both - HOTSPOT))


def _log1mexp(x: np.ndarray) -> np.ndarray:
    return np.log(-np.expm1(np.minimum(x, -1e-12)))


def variants(name: str, k: np.ndarray, n: np.ndarray, soup: np.ndarray | None = None, *,
             one_clone: bool = False) -> list[Line]:
    """Ratio of populations with a common blood stem cell, and of one clone, against unrelated populations.

    Of two populations with a common stem cell, each variant is as likely older as younger than the split: shared ones
    speak for D2 on, others cost log 2 at most, so a private driver never hides shared blood formation. What is left
    of the absent ones speaks against the same tumour clone, of mitochondrial ones (older in a clone) also against the
    same T cell.

    Parameters
    ----------
    name
        ``somatic`` (heterozygous in its clone) or ``mitochondrial`` (any share).
    k, n
        int64 (2, sites): reads of the variant, and all reads, in the two populations.
    soup
        float64 (2, sites): share of the variant among all reads of the samples that a population lies in; None takes
        the other population's share.
    one_clone
        Whether the first population is one clone and the second many: private variants then show in the first, as
        those of single cells among many stay below notice.

    Returns
    -------
    Lines ``<name>`` and ``<name>_private``; together they are the ratio of "all variants are shared". Not assessed
    without a site that was read in both and shows the variant in one.
    """
    reads, use = (int(n[0].sum()), int(n[1].sum())), seen(k, n)
    if not use.any():
        return [Line(name, np.nan, FROM_STEM_CELL, *reads), Line(f"{name}_private", np.nan, DEEP[name], *reads)]
    around = ((k + 0.5) / (n + 1.0))[::-1] if soup is None else soup
    k, n, around = k[:, use], n[:, use], around[:, use]
    site = _given_seen(k, n, around, _prior(name))
    weight = np.log(SOUP_PRIOR)[:, None] + np.log(SIDE_PRIOR[one_clone])
    either = np.logaddexp(site.private, site.both) - np.log(2)
    apart, split = (float(logsumexp(weight + v.sum(axis=-1))) for v in (site.private, either))
    one = float(site.both.sum())
    return [Line(name, split - apart, FROM_STEM_CELL, *reads),
            Line(f"{name}_private", min(one - split, 0.0), DEEP[name], *reads)]
