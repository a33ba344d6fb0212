"""Copy number of a clone by chromosome arm: its counts against those of matched T cells.

Single cells are too sparse and naive arm tests call every second benign clone aneuploid: T-cell receptor, HLA and
effector genes differ between clones by biology. So those genes are left out, the reference has the clone's mixture of
samples and phenotypes, and what benign clones still differ by, arm by arm, is part of the noise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import logsumexp

from .genome import CHROMOSOMES

AUTOSOMES = tuple(c[3:] + side for c in CHROMOSOMES[:22] for side in "pq")
EXCLUDED = re.compile(
    r"^(TR[ABDG][CDJV]|TRBVB|IG[HKL][A-Z]|HLA-|RP[LS]\d|RP[LS]A|RPSA|MT-|HSP|DNAJB1$|JUN|FOS|EGR\d|NR4A|IER\d|DUSP\d|IFI|IFN|ISG"
    r"|MX\d$|OAS|GZM|PRF1$|GNLY$|NKG7$|CCL\d|CXCL\d|XCL\d|CCR7$|SELL$|KLR|KIR\d|LTB$|S100A|LGALS1$|HIST\d|H[1-4][A-CF-]"
    r"|HB[ABDEGMQZ]\d?$|XIST$|MALAT1$|NEAT1$|B2M$|ACTB$|ACTG1$|TMSB|FTL$|FTH1$|EEF1A1$|CD8[AB]$|CD4$|CD74$)")
MIN_GENES = 40  # per arm
TOP_DISPERSION = 0.03
LARGEST_SHARE = 0.03  # of the counts of an arm that one gene may hold
SHRINK_CELLS = 20.0
OVERDISPERSION, FLOOR = 1.5, 0.02
UNMATCHED = 0.04  # standard deviation that a reference of another phenotype, or of another sample, brings (measured)
DOSAGE = 0.85  # of a copy gained or lost that shows in RNA
DEGREES = 8
ALTERED = np.array([0.01, 0.03, 0.1, 0.3])  # shares of arms that are altered
CLIP = 8.0  # per arm: one arm alone stays below 3 nats, as a benign clone may owe it to its biology
CALLED = 4.0  # standard errors from 0
MIN_CELLS = 5


@dataclass(frozen=True, slots=True)
class Compared:
    """Clones against their matched references.

    Attributes
    ----------
    observed, expected, reference
        float64 (n_clones, n_arms): counts of the clone, counts expected of it, counts of the reference cells behind.
    shift
        float64 (n_clones, n_arms): log(observed / expected) without its median over arms; NaN without a reference.
    n_cells
        int64 (n_clones,): cells with a reference.
    unmatched
        float64 (n_clones,): share of the reference that is of the sample but not of the phenotype; cells compared with
        another sample count twice. 0 to 2, NaN without a reference.
    """

    observed: np.ndarray
    expected: np.ndarray
    reference: np.ndarray
    shift: np.ndarray
    n_cells: np.ndarray
    unmatched: np.ndarray

    @property
    def count_variance(self) -> np.ndarray:
        """Variance of `shift` by counting alone, float64 (n_clones, n_arms)."""
        return OVERDISPERSION * (1.0 / (self.observed + 0.5) + 1.0 / (self.reference + 0.5))


def excluded(symbols: np.ndarray) -> np.ndarray:
    """Genes whose expression differs between benign T-cell clones for other reasons, bool (genes,)."""
    return np.array([bool(EXCLUDED.match(str(s))) for s in symbols])


def gene_arms(x: sparse.csr_matrix, symbols: np.ndarray, arm: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Arm of each gene that takes part in the test, as an index into `AUTOSOMES`; -1 for the others.

    Parameters
    ----------
    x
        CSR (cells, genes): counts.
    symbols, arm
        object (genes,): symbol, and arm as in `genome.arms`.
    reference
        bool (cells,): T cells from which expression and dispersion are taken.
    """
    index = {a: i for i, a in enumerate(AUTOSOMES)}
    out = np.array([index.get(a, -1) for a in arm], dtype=np.int64)
    out[excluded(symbols)] = -1
    rows = x[reference]
    total = np.asarray(rows.sum(axis=0)).ravel().astype(np.float64)
    out[(total == 0) | _variable(rows, out >= 0)] = -1
    by_arm = np.bincount(out[out >= 0], weights=total[out >= 0], minlength=len(AUTOSOMES))
    out[(out >= 0) & (total > LARGEST_SHARE * by_arm[out])] = -1
    genes = np.bincount(out[out >= 0], minlength=len(AUTOSOMES))
    out[(out >= 0) & (genes[out] < MIN_GENES)] = -1
    return out


def _variable(rows: sparse.csr_matrix, use: np.ndarray) -> np.ndarray:
    """Most dispersed genes among those in use: variance over mean of depth-normalised counts, bool (genes,)."""
    depth = np.asarray(rows.sum(axis=1)).ravel().astype(np.float64)
    scale = np.divide(np.median(depth[depth > 0]) if (depth > 0).any() else 1.0, depth, where=depth > 0,
                      out=np.zeros_like(depth))
    scaled = sparse.diags(scale) @ rows.astype(np.float64)
    mean = np.asarray(scaled.mean(axis=0)).ravel()
    square = np.asarray(scaled.multiply(scaled).mean(axis=0)).ravel()
    ratio = np.divide(square - mean**2, mean, where=mean > 0, out=np.zeros_like(mean))
    judged = use & (mean > 0)
    if not judged.any():
        return np.zeros(use.size, np.bool_)
    return judged & (ratio > np.quantile(ratio[judged], 1 - TOP_DISPERSION))


def arm_counts(x: sparse.csr_matrix, gene_arm: np.ndarray) -> np.ndarray:
    """Counts per cell and arm, float64 (cells, n_arms)."""
    used = np.flatnonzero(gene_arm >= 0)
    one_hot = sparse.csr_matrix((np.ones(used.size), (used, gene_arm[used])), shape=(gene_arm.size, len(AUTOSOMES)))
    return np.asarray((x.astype(np.float64) @ one_hot).todense())


def compare(counts: np.ndarray, clone: np.ndarray, n_clones: int, stratum: np.ndarray, sample: np.ndarray,
            reference: np.ndarray, stand_in: np.ndarray | None = None) -> Compared:
    """Compare each clone with reference cells outside it, mixed as its own cells are.

    Parameters
    ----------
    counts
        float64 (cells, n_arms).
    clone
        int64 (cells,): -1 for none, or for cells that do not count.
    stratum
        int64 (cells,): phenotype (cluster) within the sample; finer than `sample`.
    sample
        int64 (cells,).
    reference
        bool (cells,): T cells that may stand for normal ones.
    stand_in
        bool (cells,): reference cells for samples that hold too few of their own.
    """
    pools = [_Pool(counts, clone, level, reference) for level in (stratum, sample)]
    if stand_in is not None and stand_in.any():
        pools.append(_Pool(counts, clone, np.zeros_like(sample), reference & stand_in))
    observed, expected, behind = (np.zeros((n_clones, counts.shape[1])) for _ in range(3))
    n_cells, loose = np.zeros(n_clones, np.int64), np.zeros(n_clones)
    member = np.flatnonzero(clone >= 0)
    pairs, first, which = np.unique(clone[member] * (stratum.max(initial=0) + 1) + stratum[member],
                                    return_index=True, return_inverse=True)
    own = _sums(counts[member], which, pairs.size)
    size = np.bincount(which, minlength=pairs.size)
    for p, row in enumerate(member[first]):
        share, cells, unmatched = _matched(pools, row)
        if share is not None:
            c = clone[row]
            observed[c] += own[p]
            expected[c] += own[p].sum() * share
            behind[c] += cells
            n_cells[c] += size[p]
            loose[c] += size[p] * unmatched
    mean = np.where(n_cells > 0, loose / np.maximum(n_cells, 1), np.nan)
    return Compared(observed, expected, behind, _shift(observed, expected), n_cells, mean)


def reference_share(counts: np.ndarray, clone: np.ndarray, stratum: np.ndarray, sample: np.ndarray,
                    reference: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Share of each arm in the reference of some cells, their own clones left out (see `compare`).

    Parameters
    ----------
    counts, clone, stratum, sample, reference
        As in `compare`.
    cells
        int64 (m,).

    Returns
    -------
    float64 (m, n_arms); NaN for cells without a reference.
    """
    pools = [_Pool(counts, clone, level, reference) for level in (stratum, sample)]
    keys = np.stack([clone[cells], stratum[cells]])
    _, first, which = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    found = [_matched(pools, row)[0] for row in cells[first]]
    nothing = np.full(counts.shape[1], np.nan)
    return np.array([nothing if f is None else f for f in found]).reshape(-1, counts.shape[1])[np.ravel(which)]


def _matched(pools: list[_Pool], row: int) -> tuple[np.ndarray | None, np.ndarray, float]:
    """Share of each arm in the stratum of a cell, shrunk to its sample, the counts behind, and how unlike it is.

    None without enough cells in the sample, nor in the samples that stand in for it.
    """
    (near, n_near), (far, n_far) = (pool.outside(row) for pool in pools[:2])
    if n_far < SHRINK_CELLS or far.sum() == 0:
        away, n_away = pools[2].outside(row) if len(pools) > 2 else (far, 0)
        return (away / away.sum(), away, 2.0) if n_away >= SHRINK_CELLS else (None, far, 2.0)
    weight = n_near / (n_near + SHRINK_CELLS)
    share = weight * near / max(near.sum(), 1.0) + (1 - weight) * far / far.sum()
    return share, weight * near + (1 - weight) * far, 1 - weight


def _sums(rows: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Sum of the rows of each group; exact, as counts are whole."""
    place = sparse.csr_matrix((np.ones(group.size), (group, np.arange(group.size))), shape=(n_groups, group.size))
    return np.asarray(place @ rows)


class _Pool:
    """Sums of reference cells per stratum, from which those of one clone can be taken away."""

    def __init__(self, counts: np.ndarray, clone: np.ndarray, level: np.ndarray, reference: np.ndarray) -> None:
        self._clone, self._level = clone, level
        n = int(level.max(initial=0)) + 1
        self._sums, self._cells = _sums(counts[reference], level[reference], n), np.bincount(level[reference],
                                                                                             minlength=n)
        own = np.flatnonzero(reference & (clone >= 0))
        keys, which = np.unique(self._key(clone[own], level[own]), return_inverse=True)
        sums, cells = _sums(counts[own], which, keys.size), np.bincount(which, minlength=keys.size)
        self._own = {int(k): (sums[i], int(cells[i])) for i, k in enumerate(keys)}

    def _key(self, clone: np.ndarray, level: np.ndarray) -> np.ndarray:
        return clone * (int(self._level.max(initial=0)) + 1) + level

    def outside(self, row: int) -> tuple[np.ndarray, int]:
        """Counts and cells of the stratum of a cell, without its clone."""
        level = self._level[row]
        sums, cells = self._own.get(int(self._key(self._clone[row], level)), (0.0, 0)) if self._clone[row] >= 0 else (
            0.0, 0)
        return self._sums[level] - sums, int(self._cells[level]) - cells


def _shift(observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    used = expected > 0
    shift = np.where(used, np.log((observed + 0.5) / (np.where(used, expected, 1.0) + 0.5)), np.nan)
    some = used.any(axis=1)
    shift[some] -= np.nanmedian(shift[some], axis=1, keepdims=True)
    return shift


def between_variance(compared: Compared, benign: np.ndarray) -> np.ndarray:
    """Variance between benign clones beyond counting, per arm: robust, shrunk half to its median over arms.

    Parameters
    ----------
    compared
        Clones.
    benign
        bool (n_clones,): clones to learn from.

    Returns
    -------
    float64 (n_arms,): NaN for arms without a clone.
    """
    shift, count = compared.shift[benign], compared.count_variance[benign]
    out = np.full(shift.shape[1], np.nan)
    seen = np.isfinite(shift).any(axis=0)
    middle = np.nanmedian(shift[:, seen], axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(shift[:, seen] - middle), axis=0)
    out[seen] = np.maximum(0.0, spread**2 - np.nanmedian(np.where(np.isfinite(shift), count, np.nan)[:, seen], axis=0))
    return np.where(seen, np.maximum(out, np.nanmedian(out[seen]) if seen.any() else 0.0), np.nan)


def standard_error(compared: Compared, tau2: np.ndarray) -> np.ndarray:
    """Standard error of the shifts, float64 (n_clones, n_arms)."""
    return np.sqrt(compared.count_variance + tau2 + FLOOR**2 + UNMATCHED**2 * compared.unmatched[:, None])


def llr(shift: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio of an aneuploid against a diploid clone, in nats.

    Each arm is lost, gained (half each) or neutral, with Student errors; the share of altered arms is one of
    `ALTERED`, equally likely. Arms without a reference are left out.

    Parameters
    ----------
    shift, error
        float64 (..., n_arms).

    Returns
    -------
    float64 (...); NaN where no arm could be compared.
    """
    used = np.isfinite(shift) & np.isfinite(error)
    safe, s = np.where(used, shift, 0.0), np.where(used, error, 1.0)
    lost, gained = (_log_student((safe - np.log(1 + side * DOSAGE / 2)) / s) for side in (-1, 1))
    altered = np.logaddexp(lost, gained) - np.log(2)
    ratio = np.where(used, np.clip(altered - _log_student(safe / s), -CLIP, CLIP), 0.0)
    by_share = [np.log1p(q * np.expm1(ratio)).sum(axis=-1) for q in ALTERED]
    out = logsumexp(by_share, axis=0) - np.log(ALTERED.size)
    return np.where(used.any(axis=-1), out, np.nan)


def _log_student(x: np.ndarray) -> np.ndarray:
    """Log density of Student's t without its constant, which cancels in ratios."""
    return -(DEGREES + 1) / 2 * np.log1p(x**2 / DEGREES)


def called(shift: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Arms called: -1 lost, 1 gained, 0 neither; int8 of the shape given."""
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(shift) > CALLED * error, np.sign(np.nan_to_num(shift)), 0).astype(np.int8)


def power(error: np.ndarray, *, n_altered: int = 4, bound: float = 3.0, draws: int = 200, rng: int = 0) -> np.ndarray:
    """P(LLR > `bound` | `n_altered` random arms of the clone are lost or gained), float64 (n_clones,).

    Shifts are drawn from a normal distribution with the clone's own standard errors.
    """
    source = np.random.default_rng(rng)
    out = np.zeros(error.shape[0])
    for c, s in enumerate(error):
        arms = np.flatnonzero(np.isfinite(s))
        if arms.size < n_altered:
            continue
        order = np.argsort(source.random((draws, arms.size)), axis=1)[:, :n_altered]
        mean = np.zeros((draws, arms.size))
        side = source.choice([-1.0, 1.0], size=(draws, n_altered))
        np.put_along_axis(mean, order, np.log(1 + side * DOSAGE / 2), axis=1)
        drawn = mean + source.standard_normal(mean.shape) * s[arms]
        drawn -= np.median(drawn, axis=1, keepdims=True)
        out[c] = np.mean(llr(drawn, np.broadcast_to(s[arms], drawn.shape)) > bound)
    return out


def cell_scores(counts: np.ndarray, share: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio of each cell: the profile of a clone against none, in nats.

    Parameters
    ----------
    counts
        float64 (cells, n_arms).
    share
        float64 (cells or 1, n_arms): share of each arm in the matched reference.
    profile
        float64 (n_arms,): log shift of each arm, 0 for those not called.

    Returns
    -------
    float64 (cells,): multinomial, given the counts of the cell.
    """
    return counts @ profile - counts.sum(axis=1) * np.log((share * np.exp(profile)).sum(axis=1))
