"""Line: private driver mutations. Every T clone has private passengers, so only listed driver sites count.

A mutation that other clones or blood cells share is clonal haematopoiesis, not the tumour's: each site is weighted
by the probability that it is private. Reads elsewhere are compared with the sequencing error plus what a soup of
this patient's alleles brings, so that a large tumour does not make its own mutation look shared.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.special import expit, logit, logsumexp
from scipy.stats import binom

from .lines import Line, Scores
from .statistics import log_binomial
from .table import Alleles, Cells

ERROR, ALT_SHARE, AMBIENT = 0.005, 0.4, 0.05
SHARED = np.array([0.02, 0.05, 0.1, 0.2, 0.4])
UNPROVEN = 3.0  # most that a site may give when it is not shown private, or seen in one cell only
PRIVATE = 0.75
ANCESTRAL_GENES = ("DNMT3A", "TET2", "ASXL1", "JAK2")  # clonal haematopoiesis: half of CAR-T recipients have it
ANCESTRAL_PRIOR = 0.1  # P(private) of their mutations before looking; 0.5 for others
LGL_GENES, LGL_CAP = ("STAT3", "STAT5B"), 1.5  # mutant in benign large granular lymphocyte expansions
GENETIC = 3.0
DEEP = 100.0  # reads of one cell beyond which a miss is impossible anyway, and exp() would overflow
OUTSIDE = ("B", "myeloid")  # beside other clones; unlabelled and NK-like cells may be tumour cells without a receptor


def excess(k: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Log ratio of a heterozygous clone against sequencing error, for `k` driver reads of `n`."""
    return log_binomial(k, n, ALT_SHARE) - log_binomial(k, n, ERROR)


def private_weight(k0: np.ndarray, n0: np.ndarray, error: np.ndarray, prior: np.ndarray | float = 0.5) -> np.ndarray:
    """P(the site is private), from `k0` of `n0` reads outside the clone; the prior where nothing covers it outside."""
    rate = np.minimum(error[..., None] + SHARED, 0.95)
    shared = logsumexp(log_binomial(k0[..., None], n0[..., None], rate), axis=-1) - np.log(SHARED.size)
    return expit(log_binomial(k0, n0, error) - shared + logit(prior))


def clone_ratio(site: np.ndarray, *, lgl: np.ndarray) -> float:
    """Fold the weighted ratios of a clone's sites into one; a driver seen is not outweighed by others not seen."""
    positive = np.maximum(site, 0.0)
    if positive.any():
        return float(positive[~lgl].sum() + min(positive[lgl].sum(), LGL_CAP))
    return float(site.sum())


def site_ratio(pv: np.ndarray, weight: np.ndarray, n_cells: np.ndarray) -> np.ndarray:
    """Weighted ratio per site, held at 3 nats while privacy or a second mutated cell is missing."""
    shown = (weight >= PRIVATE) & (n_cells >= 2)
    value = np.where(weight < 1e-9, 0.0, weight * pv)
    return np.where(shown, value, np.minimum(value, UNPROVEN))


def score(cells: Cells, seed: int) -> Scores:
    """Score every clone; NaN without drivers, without allele counts, or without a read at any of the sites."""
    del seed
    n = cells.n_clones
    if cells.alleles is None or n == 0:
        return Scores(np.full(n, np.nan), np.zeros(n, np.int64), [""] * n, np.zeros(n))
    k, depth, with_alt = _pooled(cells, cells.alleles)
    k0, n0, error = _outside(cells, cells.alleles, k, depth)
    ancestral = np.isin(np.array(cells.alleles.gene, dtype=object), ANCESTRAL_GENES)
    weight = private_weight(k0, n0, error, np.where(ancestral, ANCESTRAL_PRIOR, 0.5))
    value = site_ratio(excess(k, depth), weight, with_alt)
    lgl = np.isin(np.array(cells.alleles.gene, dtype=object), LGL_GENES)
    cd8 = ~cells.majority("CD4_T")
    total = np.array([clone_ratio(np.where(depth[c] > 0, value[c], 0.0), lgl=lgl & cd8[c]) for c in range(n)])
    reads = depth.sum(axis=1)
    detail = [_describe(cells.alleles, k[c], depth[c], weight[c]) for c in range(n)]
    known = np.where(value > GENETIC, weight, 0.0).max(axis=0)
    able = power(cells, depth, known, lgl[None, :] & cd8[:, None])
    return Scores(np.where(reads > 0, total, np.nan), reads.astype(np.int64), detail, able)


def _pooled(cells: Cells, alleles: Alleles) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Driver reads, all reads, and cells with a driver read, per clone and site."""
    member = _members(cells)
    alt = alleles.alt.astype(np.float64)
    seen = alt.copy()
    seen.data = (seen.data > 0).astype(np.float64)
    return tuple(np.asarray((member @ m).todense()) for m in (alt, alleles.depth.astype(np.float64), seen))  # type: ignore[return-value]


def _members(cells: Cells) -> sparse.csr_matrix:
    rows = np.nonzero(cells.in_clone)[0]
    return sparse.csr_matrix((np.ones(rows.size), (cells.clone[rows], rows)), shape=(cells.n_clones, cells.clone.size))


def _outside(
    cells: Cells, alleles: Alleles, k: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads of other clones and of non-T blood cells, and the error expected of them, per clone and site."""
    other = cells.counts & (cells.clone < 0) & np.isin(cells.subset, OUTSIDE)
    blood_k = np.asarray(alleles.alt[other].sum(axis=0)).ravel().astype(np.float64)
    blood_n = np.asarray(alleles.depth[other].sum(axis=0)).ravel().astype(np.float64)
    counted = cells.counts
    all_k = np.asarray(alleles.alt[counted].sum(axis=0)).ravel().astype(np.float64)
    all_n = np.asarray(alleles.depth[counted].sum(axis=0)).ravel().astype(np.float64)
    error = ERROR + AMBIENT * all_k / np.maximum(all_n, 1.0)
    k0 = blood_k[None, :] + k.sum(axis=0, keepdims=True) - k
    n0 = blood_n[None, :] + depth.sum(axis=0, keepdims=True) - depth
    return k0, n0, np.broadcast_to(error, k0.shape)


def _describe(alleles: Alleles, k: np.ndarray, depth: np.ndarray, weight: np.ndarray) -> str:
    pv = excess(k, depth)
    order = [s for s in np.argsort(-(weight * pv), kind="stable") if k[s] > 0 and pv[s] > 0][:3]
    said = [f"{alleles.gene[s] or alleles.name[s]} in {int(k[s])} of {int(depth[s])} reads"
            + ("" if weight[s] >= 0.5 else " (ancestral: shared outside the clone)") for s in order]
    return ", ".join(said)


def power(cells: Cells, depth: np.ndarray, known: np.ndarray, weak: np.ndarray) -> np.ndarray:
    """P(this line would exceed 3 nats | the clone carries the drivers that this patient's tumour is known to carry).

    Only sites that some clone of the patient carries privately give power: whether a tumour holds a site of a list at
    all is unknown, so its absence clears nobody. Exact, in place of draws: the smallest number of driver reads that
    suffices, and the chance that two cells show one, joined by the lower bound P(A) + P(B) - 1; several sites by
    1 - prod(1 - P).

    Parameters
    ----------
    cells
        Cells of the patient.
    depth
        float64 (n_clones, n_sites): reads.
    known
        float64 (n_sites,): weight of the site in its private carrier, 0 without one.
    weak
        bool (n_clones, n_sites): sites capped below 3 nats in the clone.
    """
    alleles = cells.alleles
    assert alleles is not None
    two = _two_cells(cells, alleles)
    out = np.zeros(depth.shape)
    for c, s in np.argwhere((depth > 0) & ~weak & (known > 0)[None, :]):
        reads = np.arange(int(depth[c, s]) + 1)
        enough = known[s] * excess(reads, depth[c, s]) > GENETIC
        if enough.any():
            reach = binom.sf(int(np.argmax(enough)) - 1, int(depth[c, s]), ALT_SHARE)
            out[c, s] = max(0.0, reach + two[c, s] - 1.0)
    return 1.0 - np.prod(1.0 - out, axis=1)


def _two_cells(cells: Cells, alleles: Alleles) -> np.ndarray:
    """P(at least two covered cells show a driver read), per clone and site (Poisson binomial, exact).

    Cells are counted by depth first, so that no sum of floats depends on their order.
    """
    member, depth = _members(cells), alleles.depth
    log_none = np.zeros((cells.n_clones, depth.shape[1]))
    odds = np.zeros_like(log_none)
    for d in np.unique(depth.data[depth.data > 0]):
        at = depth.astype(np.float64)
        at.data = (depth.data == d).astype(np.float64)
        n = np.asarray((member @ at).todense())
        miss = min(float(d), DEEP) * np.log1p(-ALT_SHARE)
        log_none += n * miss
        odds += n * np.expm1(-miss)  # P(some) / P(none) of a cell
    return 1.0 - np.exp(log_none) * (1.0 + odds)


LINE = Line("driver", -1.0, 7.0, score, genetic=True)
