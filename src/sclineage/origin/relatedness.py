"""Lines of evidence that two populations share an ancestor: donor, germline, receptor, arms, vector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import betaln, logsumexp
from scipy.stats import t as student

from .levels import Line

MIN_CELLS = 5
MAJORITY = 0.5
CHANCE = {"trb": 2e-4, "tra": 2e-3}  # P(two clones share the junction), measured over 8 donors
LOSS = 0.02  # P(the receptor of a cell of the clone reads as another)
FROM_DONOR = tuple(range(1, 7))
DRIFT = 0.15
MIN_SITES, SITE_CAP, DONOR_CAP = 20, 2.0, 20.0
LABEL_ERROR = 0.02
DOSAGE, DEGREES, ARM_CAP = 0.85, 8, 8.0
VECTOR_LOW = -4.0


def log_betabin(k: np.ndarray, n: np.ndarray, p: np.ndarray | float, rho: float) -> np.ndarray:
    """Beta-binomial log-likelihood without its coefficient, which cancels in ratios."""
    scale = (1 - rho) / rho
    a, b = np.asarray(p) * scale, (1 - np.asarray(p)) * scale
    return betaln(k + a, n - k + b) - betaln(a, b)


# --- receptor --------------------------------------------------------------------------------------------------------
def receptor(trb: np.ndarray, tra: np.ndarray, a: np.ndarray, b: np.ndarray) -> list[Line]:
    """TRB and TRA: whether one population holds the receptor that most of the other has.

    Parameters
    ----------
    trb, tra
        object (n,): junctions (nucleotides) of each cell's clone, empty where unknown; TRA ``;`` between two.
    a, b
        bool (n,): informative cells of the populations.

    Returns
    -------
    Lines ``trb`` (levels D3 on) and ``tra`` (D4 on). Not assessed below five cells with a TRB on a side
    (``few_cells``), or when neither population is mostly one clone (``polyclonal``).
    """
    has = trb != ""
    n_a, n_b = int((a & has).sum()), int((b & has).sum())
    if min(n_a, n_b) < MIN_CELLS:
        return _silent(n_a, n_b, "few_cells")
    best = max((_top(trb[a & has]), a, b), (_top(trb[b & has]), b, a), key=lambda v: v[0][1])
    (name, share), one, other = best
    if share < MAJORITY:
        return _silent(n_a, n_b, "polyclonal")
    k, n = int((other & (trb == name)).sum()), int((other & has).sum())
    partly = ("part_shares_receptor",) if k >= 2 and 0.05 < k / n < MAJORITY else ()
    chain = {j for t in tra[one & (trb == name)] for j in str(t).split(";") if j}
    known = other & (tra != "")
    same = np.array([bool(chain & set(str(t).split(";"))) for t in tra[known]], bool)
    second = _match(int(same.sum()), same.size, "tra") if chain and same.size >= MIN_CELLS else np.nan
    return [Line("trb", _match(k, n, "trb"), (3, 4, 5, 6), n_a, n_b, partly),
            Line("tra", second, (4, 5, 6), int((a & (tra != "")).sum()), int((b & (tra != "")).sum()))]


def _silent(n_a: int, n_b: int, flag: str) -> list[Line]:
    return [Line("trb", np.nan, (3, 4, 5, 6), n_a, n_b, (flag,)), Line("tra", np.nan, (4, 5, 6), 0, 0, (flag,))]


def _top(names: np.ndarray) -> tuple[str, float]:
    """Most frequent name (first by name among equals) and its share."""
    values, counts = np.unique(names.astype(str), return_counts=True)
    return str(values[np.argmax(counts)]), float(counts.max() / counts.sum())


def _match(k: int, n: int, chain: str) -> float:
    """Ratio of a population of the clone to one that holds it by leakage only, between a mismatch and a match."""
    ratio = float(log_betabin(np.array(k), np.array(n), 0.9, DRIFT) - log_betabin(np.array(k), np.array(n), 0.02, 0.05))
    chance = CHANCE[chain]
    return float(np.clip(ratio, np.log(LOSS / (1 - chance)), np.log((1 - LOSS) / chance)))


# --- donor -----------------------------------------------------------------------------------------------------------
def germline(k: np.ndarray, n: np.ndarray) -> Line:
    """One genome or two, from reads at inherited sites (int64 (2, sites)); needs twenty sites read on both sides.

    Per site: genotypes 0, 1, 2 by Hardy and Weinberg at the pooled share, reads beta-binomial (allelic imbalance).
    """
    use = (n > 0).all(axis=0)
    if use.sum() < MIN_SITES:
        return Line("germline", np.nan, FROM_DONOR, int(n[0].sum()), int(n[1].sum()))
    k, n = k[:, use].astype(np.float64), n[:, use].astype(np.float64)
    f = (k.sum(axis=0) + 0.5) / (n.sum(axis=0) + 1.0)
    genotype = np.log(np.stack([(1 - f) ** 2, 2 * f * (1 - f), f**2]))
    reads = np.stack([log_betabin(k, n, rate, 0.1) for rate in (0.01, 0.5, 0.99)])
    same = logsumexp(genotype + reads.sum(axis=1), axis=0)
    two = logsumexp(genotype[:, None] + reads, axis=0).sum(axis=0)
    total = float(np.clip(same - two, -SITE_CAP, SITE_CAP).sum())
    return Line("germline", float(np.clip(total, -DONOR_CAP, DONOR_CAP)), FROM_DONOR, int(n[0].sum()), int(n[1].sum()))


def donors(label: np.ndarray, a: np.ndarray, b: np.ndarray) -> Line:
    """One donor or two, from labels of cells (vireo, souporcell; empty where unassigned).

    A population in which no donor holds nine of ten cells is a mixture: not assessed.
    """
    known = label != ""
    n_a, n_b = int((a & known).sum()), int((b & known).sum())
    if min(n_a, n_b) < MIN_CELLS:
        return Line("donor", np.nan, FROM_DONOR, n_a, n_b, ("few_cells",) if n_a + n_b else ())
    tops = [_top(label[m & known]) for m in (a, b)]
    if min(share for _, share in tops) < 1 - 5 * LABEL_ERROR:
        return Line("donor", np.nan, FROM_DONOR, n_a, n_b, ("mixed_donors",))
    size = min(n_a, n_b, 10)  # cells of a population are not independent witnesses
    one = np.log1p(-LABEL_ERROR) - np.log(LABEL_ERROR)
    llr = min(size * one, DONOR_CAP)
    return Line("donor", llr if tops[0][0] == tops[1][0] else -llr, FROM_DONOR, n_a, n_b)


# --- arms and vector -------------------------------------------------------------------------------------------------
def shared_arms(called: np.ndarray, shift: np.ndarray, error: np.ndarray) -> Line:
    """Arms called in one population (-1, 1 or 0), looked for in the other (its shift and standard error); level D6."""
    use = (called != 0) & np.isfinite(shift) & np.isfinite(error)
    if not use.any():
        return Line("copy_number", np.nan, (6,), int((called != 0).sum()), 0)
    mean = np.log(1 + called[use] * DOSAGE / 2)
    ratio = student.logpdf((shift[use] - mean) / error[use], DEGREES) - student.logpdf(shift[use] / error[use], DEGREES)
    return Line("copy_number", float(np.clip(ratio, -ARM_CAP, ARM_CAP).sum()), (6,), int((called != 0).sum()),
                int(use.sum()))


def vector(p: Sequence[float], n_a: int, n_b: int) -> Line:
    """A population that lacks the vector beside one that carries it, from P(negative), P(positive), P(mixed).

    Two carrying populations need integration sites to be one transduced cell: the ratio is never above 0.
    """
    negative, carrying = float(p[0]), float(p[1]) + float(p[2])
    if not np.isfinite(negative + carrying):
        return Line("vector", np.nan, (5, 6), n_a, n_b)
    ratio = np.log(max(carrying, 1e-12)) - np.log(max(negative, 1e-12))
    return Line("vector", float(np.clip(ratio, VECTOR_LOW, 0.0)), (5, 6), n_a, n_b)
