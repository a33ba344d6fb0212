"""Somatic variants in groups of cells: mutant, wild type (only with power), or not assessable.

A cell is its reads of the alternative allele among its reads at the site. Under no mutation they are sequencing error
and soup. A mutant cell shows a beta-binomial share, unless one allele dropped out; dropout and share are the nuisance
axis of a clone, learnt at each site from clones with reads enough. Silence is never wild type: that takes reads that
would have shown the mutation at twice the usual allelic imbalance, the power to see it, and for a lineage a share of
mutant cells below a limit.

Soup falls into every droplet alike, so the fewer reads a group of cells has of its own, the larger the part that is of
other cells. Where a lineage does not express the gene all its reads are: then neither allele says anything of it.

Reads that the same cell has beyond a hundred are taken as a hundred: they are copies of few molecules.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import betaln, expit, gammaln, logit, logsumexp, xlog1py, xlogy

from .._settings import Device
from ..kernels import evidence as kernel
from ..kernels.evidence import DOUBLET_SHARES, DOUBLET_WEIGHTS, multisets
from . import grids, prior, units
from .panel import fraction_interval
from .units import Weights

ERROR = 0.005  # alternative reads of a cell without it, per read
AMBIENT = 0.05  # soup of a droplet, as a share of the mean reads of a cell of the sample at the site
ERROR_SPREAD = 1.0  # log-sd of the error between sites
MEASURED = 100  # reads of declared negative cells from which their error replaces the assumed one
DEEP = 100
SILENT, REFERENCE_SILENT = 0.03, 0.1  # members that lost the mutation or are no members
SURE, DECADES, MIN_ALT_READS = 0.95, 1.3, 2
LIKELY, EXCLUDED, POWER, MIN_INFORMATIVE = 0.8, 0.01, 0.8, 4
LEARNERS, LEARN_WEIGHT = 5, 5.0  # informative cells of a clone that teaches dropout; clones' worth of its prior
SIMULATIONS, MAX_SIMULATED_CELLS = 100, 200


class Columns(NamedTuple):
    """How the reads of a mutant cell look: points of the nuisance axis.

    Attributes
    ----------
    dropout, share, prior
        float64 (m,): chance that one allele is silent in a cell, mean share of alternative reads, prior weight.
    concentration
        Of the beta distribution of the share over cells.
    """

    dropout: np.ndarray
    share: np.ndarray
    prior: np.ndarray
    concentration: float


def nuclear() -> Columns:
    """Heterozygous; a quarter of the reads where the mutant transcript decays; nearly all where the other is lost."""
    dropout, share = np.meshgrid([0.05, 0.25, 0.5, 0.85], [0.5, 0.25, 0.95], indexing="ij")
    weight = np.broadcast_to(np.array([0.6, 0.25, 0.15]), dropout.shape) / 4
    return Columns(dropout.ravel(), share.ravel(), weight.ravel(), 6.0)


def mitochondrial() -> Columns:
    """Heteroplasmy from a tenth up; no dropout."""
    share = np.array([0.1, 0.2, 0.4, 0.7, 0.95])
    return Columns(np.zeros(5), share, np.full(5, 0.2), 4.0)


class Reads(NamedTuple):
    """Cells with at least one read at a site.

    Attributes
    ----------
    alt, depth
        int64 (cells,): reads of the alternative allele, and of both.
    error
        float64 (cells,): alternative reads expected per read without the mutation.
    own
        float64 (cells,): share of the reads that are the cell's own, and no soup.
    """

    alt: np.ndarray
    depth: np.ndarray
    error: np.ndarray
    own: np.ndarray

    def capped(self) -> Reads:
        """Depth at most `DEEP`, alternative reads in proportion, rounded."""
        depth = np.minimum(self.depth, DEEP)
        return Reads(np.rint(self.alt * (depth / np.maximum(self.depth, 1))).astype(np.int64), depth, self.error,
                     self.own)


def _binomial(k: np.ndarray, n: np.ndarray, p: np.ndarray) -> np.ndarray:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, p) + xlog1py(n - k, -p)


def _beta_binomial(k: np.ndarray, n: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + betaln(k + a, n - k + b) - betaln(a, b)


def log_likelihoods(reads: Reads, columns: Columns) -> np.ndarray:
    """Log-likelihood of every cell's reads without the mutation, with it, and as a doublet with a mutant cell.

    Returns
    -------
    float64 (cells, g, m + 2), the layout of `kernels.evidence.mixture_table`; g multiplies the error.
    """
    k, n = (np.asarray(v, np.float64)[:, None, None] for v in (reads.alt, reads.depth))
    e = np.minimum(reads.error[:, None] * grids.background_nodes(ERROR_SPREAD)[None, :], 0.45)[:, :, None]
    own, d = reads.own[:, None, None], columns.dropout
    a = np.clip(own * columns.share + e, 1e-3, 1 - 1e-3)  # soup brings the other cells' alleles to mutant cells too
    none = _binomial(k, n, e)
    with np.errstate(divide="ignore"):
        both = np.log1p(-d) + _beta_binomial(k, n, columns.concentration * a, columns.concentration * (1 - a))
        alone = _binomial(k, n, np.minimum(own + e, 1 - ERROR))
        mutant = logsumexp(np.stack(np.broadcast_arrays(both, np.log(d * (1 - columns.share)) + none,
                                                        np.log(d * columns.share) + alone)), axis=0)
    brought = own * 0.5 * DOUBLET_SHARES + (1 - DOUBLET_SHARES) * e
    double = logsumexp(_binomial(k, n, brought) + np.log(DOUBLET_WEIGHTS), axis=2, keepdims=True)
    return np.concatenate([none, np.broadcast_to(mutant, (*none.shape[:2], d.size)), double], axis=2)


class Soup(NamedTuple):
    """Soup of a sample at a site: reads per droplet, and the share of alternative ones among all its reads."""

    reads: float
    alt_share: float


def sample_soup(alt: np.ndarray, depth: np.ndarray, n_cells: int) -> Soup:
    """Soup of a sample from the reads of all its `n_cells` cells."""
    total = float(depth.sum())
    return Soup(AMBIENT * total / max(n_cells, 1), float(alt.sum()) / total if total else 0.0)


def own_share(soup: Soup, reads: np.ndarray, n_cells: np.ndarray) -> np.ndarray:
    """Share of the reads of groups of cells that are their own; groups of few cells lean on the sample's mean."""
    mean = (reads + soup.reads / AMBIENT) / (n_cells + 1)
    return 1 - np.minimum(1.0, soup.reads / np.maximum(mean, 1e-12))


def measured_error(alt: np.ndarray, depth: np.ndarray) -> float | None:
    """Alternative reads per read of declared negative cells; None where they hold fewer than a hundred reads."""
    n = int(depth.sum())
    return max((float(alt.sum()) + 0.5) / (n + 1), ERROR / 10) if n >= MEASURED else None


def _weights(columns: Columns, log_m: np.ndarray, eta: float) -> Weights:
    own, reference = grids.hypotheses(eta, SILENT), grids.hypotheses(eta, REFERENCE_SILENT)
    log_w = np.stack([own.log_w[0], own.log_w[1], own.log_w[2], reference.log_w[1], reference.log_w[2]])
    wide = np.logaddexp(log_m, np.log(columns.prior)) - np.log(2)
    return Weights(log_w, log_m, log_m, wide, own.f_given_w, eta, SILENT)


def learn(by_m: np.ndarray, none: np.ndarray, columns: Columns) -> np.ndarray:
    """Log weights of the columns by EM over clones, from the evidence of a clonal mutation (clones, m) and of none."""
    log_m = np.log(columns.prior)
    for _ in range(100):
        joint = by_m + log_m
        total = logsumexp(joint, axis=1)
        mutant = expit(total - none + logit(prior.BASE[1:].sum()))
        counts = (np.exp(joint - total[:, None]) * mutant[:, None]).sum(axis=0) + LEARN_WEIGHT * columns.prior
        new = np.log(counts / counts.sum())
        if np.abs(np.exp(new) - np.exp(log_m)).max() < 1e-6:
            return new
        log_m = new
    return log_m


@dataclass(frozen=True, slots=True)
class Found:
    """What the reads say of groups of cells; arrays have one entry per group.

    Attributes
    ----------
    n_informative, n_alt_cells, n_reads, n_alt_reads
        int64: cells with a read, those with an alternative read, and reads.
    state
        float64 (groups, 3): posterior of no, of every, of some member mutant.
    log10_bf, log10_strict
        float64: mutation against none; largest ratio of a clonal mutation against none over all columns.
    fraction, low, high
        float64: share of mutant members and its 95 % interval.
    power
        float64: chance that a group with these reads is called mutant where all members are.
    """

    n_informative: np.ndarray
    n_alt_cells: np.ndarray
    n_reads: np.ndarray
    n_alt_reads: np.ndarray
    state: np.ndarray
    log10_bf: np.ndarray
    log10_strict: np.ndarray
    fraction: np.ndarray
    low: np.ndarray
    high: np.ndarray
    power: np.ndarray


@dataclass(frozen=True, slots=True)
class Site:
    """A site's model: its columns, their learnt weights, and the hypotheses' shares among clones.

    Attributes
    ----------
    columns, weights
        Nuisance axis, and weights on the grid.
    shares
        float64 (strata, 3): how common the hypotheses are among clones, by `prior.stratum`; None for groups that are
        no clones, which get `prior.BASE`.
    """

    columns: Columns
    weights: Weights
    shares: np.ndarray | None

    def priors(self, sizes: np.ndarray) -> np.ndarray:
        """Prior of groups of these sizes (informative cells), float64 (groups, 3)."""
        if self.shares is None:
            return np.tile(prior.BASE, (sizes.size, 1))
        return self.shares[prior.stratum(sizes, np.ones(sizes.size, bool))]


def _keys(reads: Reads) -> tuple[Reads, np.ndarray]:
    """Distinct cells, and which of them each cell is."""
    distinct, at = np.unique(np.stack([reads.own, reads.error, reads.depth.astype(np.float64),
                                       reads.alt.astype(np.float64)]), axis=1, return_inverse=True)
    return Reads(distinct[3].astype(np.int64), distinct[2].astype(np.int64), distinct[1], distinct[0]), at.reshape(-1)


def _table(reads: Reads, columns: Columns) -> np.ndarray:
    return kernel.mixture_table(log_likelihoods(reads, columns), grids.W)


def fit_site(reads: Reads, code: np.ndarray, n_groups: int, columns: Columns, *, eta: float,
             device: Device | None = "cpu") -> Site:
    """Learn dropout and the shares of the hypotheses at a site from its clones.

    Parameters
    ----------
    code
        int64 (cells,): clone of every cell, -1 without one.
    eta
        Share of cells with a mutant partner, at most.
    """
    first = _weights(columns, np.log(columns.prior), eta)
    used = code >= 0
    if not used.any():
        return Site(columns, first, prior.start())
    kept = Reads(*(v[used] for v in reads.capped()))
    distinct, at = _keys(kept)
    sets = multisets(code[used], at, n_clones=n_groups)
    table = _table(distinct, columns)
    sizes, group = sets.sizes, np.zeros(n_groups, np.int64)
    found = units.evaluate(sets, table, [first], group, device=device)
    teach = sizes >= LEARNERS
    weights = _weights(columns, learn(found.by_m[teach], found.reference[teach, 0], columns), eta)
    found = units.evaluate(sets, table, [weights], group, device=device)
    seen = sizes > 0
    return Site(columns, weights, prior.fit(found.log[seen], prior.stratum(sizes[seen], np.ones(seen.sum(), bool)),
                                            np.ones(seen.sum())))


def assess(site: Site, reads: Reads, code: np.ndarray, n_groups: int, *, rng: int = 0,
           device: Device | None = "cpu") -> Found:
    """Evidence, posterior, share of mutant members and power of groups of cells at one site.

    Parameters
    ----------
    site
        `fit_site`.
    reads
        Cells with a read.
    code
        int64 (cells,): group of every cell, -1 for none.
    rng
        Seed of the power simulation.
    """
    used = code >= 0
    kept = Reads(*(v[used] for v in reads))
    near = kept.capped()
    distinct, at = _keys(near)
    sets = multisets(code[used], at, n_clones=n_groups)
    table, group = _table(distinct, site.columns), np.zeros(n_groups, np.int64)
    found = units.evaluate(sets, table, [site.weights], group, device=device)
    shares = site.priors(sets.sizes)
    after = units.posterior(sets, table, [site.weights], group, found, shares, device=device)
    mean, low, high = fraction_interval(after)
    sums = [np.bincount(code[used], v, n_groups).astype(np.int64)
            for v in (np.ones(at.size), kept.alt > 0, kept.depth, kept.alt)]
    strict = (found.by_m.max(axis=1) - found.reference[:, 0]) / np.log(10)
    n, n_alt, n_reads, n_alt_reads = sums
    return Found(n, n_alt, n_reads, n_alt_reads, after.state, found.log10_bf, strict, mean, low, high,
                 power(site, near, code[used], n_groups, rng=rng, device=device))


# --- power -----------------------------------------------------------------------------------------------------------
def power(site: Site, reads: Reads, code: np.ndarray, n_groups: int, *, rng: int,
          device: Device | None = "cpu") -> np.ndarray:
    """Chance that groups with these reads are called mutant where every member is heterozygous, by simulation.

    Groups of the same depths share their draws; beyond 200 informative cells 200 of them speak (a lower bound). 0 where
    two alternative reads cannot be had.
    """
    depths = _profiles(reads, code, n_groups)
    names = {d.tobytes(): d for d in depths if d.size and d[:, 0].sum() >= MIN_ALT_READS}
    values: dict[bytes, float] = {}
    for batch in np.array_split(np.array(sorted(names), object), max(1, len(names) // 50)):
        profiles = [names[n] for n in batch]
        values |= dict(zip(batch, _simulated(site, profiles, rng, device), strict=True)) if profiles else {}
    return np.array([values.get(d.tobytes(), 0.0) for d in depths])


def _profiles(reads: Reads, code: np.ndarray, n_groups: int) -> list[np.ndarray]:
    """Depth, error and own share of every group's cells, sorted, thinned evenly to the most that are simulated."""
    order = np.lexsort((reads.own, reads.error, reads.depth, code))
    cells = np.column_stack([reads.depth[order].astype(np.float64), reads.error[order], reads.own[order]])
    parts = np.split(cells, np.searchsorted(code[order], np.arange(1, n_groups)))
    thin = [np.linspace(0, len(p) - 1, min(len(p), MAX_SIMULATED_CELLS)).astype(np.int64) for p in parts]
    return [p[t] for p, t in zip(parts, thin, strict=True)]


def _simulated(site: Site, profiles: list[np.ndarray], rng: int, device: Device | None) -> np.ndarray:
    drawn = [_draw(site, p, np.random.default_rng([rng, zlib.crc32(p.tobytes())])) for p in profiles]
    sizes = np.array([p.shape[0] for p in profiles])
    depth, error, own = (np.concatenate([np.tile(p[:, j], SIMULATIONS) for p in profiles]) for j in (0, 1, 2))
    alt = np.concatenate([d.ravel() for d in drawn])
    code = np.repeat(np.arange(len(profiles) * SIMULATIONS), np.repeat(sizes, SIMULATIONS))
    distinct, at = _keys(Reads(alt, depth.astype(np.int64), error, own))
    sets = multisets(code, at, n_clones=len(profiles) * SIMULATIONS)
    found = units.evaluate(sets, _table(distinct, site.columns), [site.weights], np.zeros(sets.sizes.size, np.int64),
                           device=device)
    state = prior.responsibilities(found.log, site.priors(sets.sizes))
    reads, cells = np.bincount(code, alt, sets.sizes.size), np.bincount(code, alt > 0, sets.sizes.size)
    return is_mutant(state, found.log10_bf, reads, cells, sets.sizes).reshape(len(profiles), SIMULATIONS).mean(axis=1)


def _draw(site: Site, cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Alternative reads (simulations, cells) of clones all of whose members are mutant."""
    columns, shape = site.columns, (SIMULATIONS, cells.shape[0])
    weight = np.exp(site.weights.log_m)
    column = rng.choice(weight.size, SIMULATIONS, p=weight / weight.sum())[:, None]
    share, dropout = columns.share[column], columns.dropout[column]
    depth, error, own = cells[:, 0].astype(np.int64)[None, :], cells[:, 1][None, :], cells[:, 2][None, :]
    p = rng.beta(columns.concentration * share, columns.concentration * (1 - share), shape)
    p = np.where(rng.random(shape) < dropout, np.where(rng.random(shape) < share, 1.0, 0.0), p)
    p = np.where(rng.random(shape) < SILENT, 0.0, p)
    return rng.binomial(depth, np.clip(own * p + error, 0.0, 1 - ERROR))


# --- words -----------------------------------------------------------------------------------------------------------
def is_mutant(state: np.ndarray, log10_bf: np.ndarray, alt_reads: np.ndarray, alt_cells: np.ndarray,
              informative: np.ndarray) -> np.ndarray:
    """Groups with mutant members: posterior, Bayes factor, two alternative reads, in two cells where there are two."""
    return ((state[:, 0] <= 1 - SURE) & (log10_bf >= DECADES) & (alt_reads >= MIN_ALT_READS)
            & (alt_cells >= np.minimum(informative, 2)))


def words(found: Found, *, limit: float, clonal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Call and reason of groups.

    Parameters
    ----------
    limit
        Largest share of mutant cells that a wild-type group may leave open, where the groups are no clones.
    clonal
        Whether the groups are clones: of those, a mutation that all members share is what wild type excludes.
    """
    mutant = is_mutant(found.state, found.log10_bf, found.n_alt_reads, found.n_alt_cells, found.n_informative)
    negative = ((found.n_informative >= MIN_INFORMATIVE) & (found.state[:, 0] >= LIKELY)
                & (found.state[:, 1] <= EXCLUDED) & (found.log10_strict <= -DECADES) & (found.power >= POWER))
    if not clonal:
        negative &= found.high <= limit
    call = np.select([mutant, negative], ["mutant", "wild_type"], "not_assessable").astype(object)
    why = np.select([found.n_informative == 0, found.n_alt_reads == 0], ["no_reads", "too_few_reads"], "ambiguous")
    return call, np.where(call == "not_assessable", why, "").astype(object)


def informative_needed(reads: Reads, columns: Columns, *, share: float, decades: float) -> float:
    """Informative cells without an alternative read from which a group could be wild type; NaN without a read.

    Parameters
    ----------
    share, decades
        Share of mutant members that must be excluded, and by how many decades of likelihood.
    """
    if reads.depth.size == 0:
        return float("nan")
    distinct, at = _keys(reads.capped()._replace(alt=np.zeros(reads.depth.size, np.int64)))
    logs = log_likelihoods(distinct, columns)[:, 1, :]
    gain = -np.logaddexp(np.log1p(-share), np.log(share) + logs[:, 1:-1] - logs[:, :1]) / np.log(10)
    mean = float(np.bincount(at, minlength=gain.shape[0]) @ gain.min(axis=1)) / at.size
    return float(max(MIN_INFORMATIVE, np.ceil(decades / mean))) if mean > 1e-9 else float("nan")
