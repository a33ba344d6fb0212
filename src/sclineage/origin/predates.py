"""Did a clone exist before the infusion? "Yes" has to exclude index hopping; absence never proves "younger".

Yes needs at least two cells before day 0 that show both chains of the clone, nucleotide by nucleotide, in a sample
whose sequencing pool is known and differs from that of every later sample with the clone, and a Bayes factor of at
least 10^1.3: frequency p log-uniform on [1e-7, 1e-1], x ~ Poisson(N p + leak), against x ~ Poisson(leak).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, xlogy

MIN_CELLS, MIN_LOG10_BF = 2, 1.3
LEAK = 1e-5  # cells leaked per cell of the clone in a later sample of another pool: a tenth of hopping within a pool
NODES = 64
LOW, HIGH = 1e-7, 1e-1


def log10_bayes_factor(x: int, n: int, leak: float) -> float:
    """Evidence for true presence before the infusion against leakage alone.

    Parameters
    ----------
    x
        Cells of the clone among the informative cells before the infusion.
    n
        Informative cells before the infusion.
    leak
        Cells expected from leakage.

    Returns
    -------
    log10 of P(x | present) / P(x | leaked); -inf where leakage is impossible to compare (n = 0).
    """
    if n == 0:
        return -np.inf
    leak = max(leak, 1e-12)
    node, weight = np.polynomial.legendre.leggauss(NODES)
    log_p = np.log(LOW) + (node + 1) / 2 * np.log(HIGH / LOW)
    mean = n * np.exp(log_p) + leak
    present = logsumexp(xlogy(x, mean) - mean, b=weight / 2)
    return float((present - (xlogy(x, leak) - leak)) / np.log(10))


@dataclass(frozen=True, slots=True)
class Sighting:
    """A clone in one sample.

    Attributes
    ----------
    day
        Day of the sample, NaN unknown.
    pool
        Sequencing pool, empty unknown.
    n_clone, n_exact
        Members, and members that show both chains of the clone exactly.
    """

    day: float
    pool: str
    n_clone: int
    n_exact: int


@dataclass(frozen=True, slots=True)
class Before:
    """What was looked at before the infusion.

    Attributes
    ----------
    sampled
        Whether any sample has a day < 0.
    n
        Informative cells of its unsorted samples.
    n_all
        Informative cells of all samples before the infusion.
    """

    sampled: bool
    n: int
    n_all: int


def first_day(seen: list[Sighting]) -> float:
    """Day of the earliest sample with the clone, NaN where no day is known."""
    days = [s.day for s in seen if s.n_clone and np.isfinite(s.day)]
    return min(days) if days else np.nan


def verdict(seen: list[Sighting], before: Before) -> tuple[str, str]:
    """Word of `predates_infusion`, and the reason where it is not ``yes`` although cells were seen.

    Parameters
    ----------
    seen
        The clone in every sample.
    before
        Cells looked at before the infusion.
    """
    early = [s for s in seen if s.day < 0 and s.n_clone]
    if not early:
        if not before.sampled:
            return "not_sampled", ""
        return ("not_detected", "") if before.n else ("not_sampled", "no_informative_unsorted_cells")
    return ("yes", "") if not (reason := _doubt(seen, early, before)) else ("not_detected", reason)


def _doubt(seen: list[Sighting], early: list[Sighting], before: Before) -> str:
    """First rule that is not met; empty when all are."""
    if sum(s.n_clone for s in early) < MIN_CELLS:
        return "one_cell_only"
    if sum(s.n_exact for s in early) < MIN_CELLS:
        return "chains_not_both_exact"
    late = [s for s in seen if s.n_clone and not s.day < 0]
    if late and (not all(s.pool for s in late) or not any(s.pool for s in early)):
        return "pool_unknown"
    clean = [s for s in early if not late or (s.pool and s.pool not in {t.pool for t in late})]
    x = sum(s.n_exact for s in clean)
    if x < MIN_CELLS:
        return "same_pool_as_later_sample"
    leak = LEAK * sum(t.n_clone for t in late)
    return "" if log10_bayes_factor(x, before.n_all, leak) >= MIN_LOG10_BF else "leakage_not_excluded"
