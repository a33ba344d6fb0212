"""Vector DNA of a specimen: copies per tumour cell by ddPCR, and clonality by integration sites.

Counts of vector and of a reference gene give copies per cell; purity gives copies per tumour cell. A negative takes
all of them for the tumour's: the upper bound is divided by the purity. A positive takes none: every other cell may be
a CAR-T cell with three copies, and only what exceeds that is the tumour's. Where one integration site holds the copies,
other cells can bring at most one each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from scipy.stats import beta, binom, poisson

ABSENT, PRESENT = 0.1, 0.5  # copies per tumour cell: upper bound of a negative, lower bound of a positive
OTHER_COPIES = 3.0  # most copies per cell that is no tumour cell
FALSE_RATE = 1e-4  # vector counts per reference count without any vector
COPIES, COPY_WEIGHTS = np.array([1.0, 2.0, 3.0]), np.array([0.6, 0.25, 0.15])  # per transduced cell
CALLS = ("present", "not_detected", "not_decided")
_LEVEL = 0.05
_GRID = 24


@dataclass(frozen=True, slots=True)
class Copies:
    """ddPCR of one specimen.

    Attributes
    ----------
    target, reference
        Counted copies of the vector and of the reference gene.
    purity
        Share of the specimen's cells that are tumour cells of the clone; NaN unknown.
    per_cell
        Copies of the reference gene per cell.
    """

    target: int
    reference: int
    purity: float
    per_cell: float = 2.0

    @property
    def point(self) -> float:
        """Vector copies per cell."""
        return self.per_cell * self.target / self.reference

    def interval(self) -> tuple[float, float]:
        """95 % interval of vector copies per cell: exact, for the ratio of two Poisson counts."""
        low, high = clopper_pearson(self.target, self.target + self.reference)
        return tuple(self.per_cell * p / (1 - p) if p < 1 else np.inf for p in (low, high))  # type: ignore[return-value]

    def tumour(self, *, other: float = OTHER_COPIES, share: tuple[float, float] = (1.0, 1.0)) -> tuple[float, float]:
        """Bounds of vector copies per tumour cell; NaN without a purity.

        Parameters
        ----------
        other
            Most copies that a cell of another kind may bring.
        share
            Bounds of the share of the copies that count (one integration site).
        """
        low, high = self.interval()
        if not self.purity > 0:
            return np.nan, np.nan
        return (max(0.0, (low * share[0] - (1 - self.purity) * other) / self.purity), high * share[1] / self.purity)

    def call(self, *, site: tuple[float, float] | None = None) -> tuple[str, str]:
        """Word of `CALLS`, and why not decided.

        Parameters
        ----------
        site
            Bounds of the share of the main integration site among all, where sites were read.
        """
        low, high = self.tumour()
        if site is not None:
            low = max(low, self.tumour(other=1.0, share=site)[0])
        if np.isnan(low):
            return "not_decided", "purity_unknown"
        if high < ABSENT:
            return "not_detected", ""
        if low > PRESENT:
            return "present", ""
        if Copies(0, self.reference, self.purity, self.per_cell).tumour()[1] >= ABSENT:
            return "not_decided", "too_few_copies_counted"
        return "not_decided", "copies_in_other_cells_possible"

    def purity_needed(self) -> float:
        """Least purity at which the counts would be a negative; above 1: at none."""
        return self.interval()[1] / ABSENT

    def reference_needed(self) -> float:
        """Reference copies to count before no vector copy would be a negative; NaN without a purity."""
        if not self.purity > 0:
            return float("nan")
        odds = ABSENT * self.purity / self.per_cell
        return float(np.ceil(np.log(_LEVEL / 2) / np.log1p(-odds / (1 + odds))))

    def power(self) -> tuple[float, float]:
        """Chance to call no vector absent, and one copy per tumour cell (none elsewhere) present."""
        if not self.purity > 0:
            return 0.0, 0.0
        free, carrying = self.reference * FALSE_RATE, self.reference * self.purity / self.per_cell
        most, least = self._last(absent=True), self._last(absent=False)
        return (float(poisson.cdf(most, free)) if most >= 0 else 0.0,
                float(poisson.sf(least, carrying)))

    def _last(self, *, absent: bool) -> int:
        """Largest count that is called absent, or that is not yet called present; -1 where there is none."""
        low, high = -1, max(10, 40 * self.reference)
        while high - low > 1:
            middle = (low + high) // 2
            bounds = Copies(middle, self.reference, self.purity, self.per_cell).tumour()
            below = bounds[1] < ABSENT if absent else not bounds[0] > PRESENT
            low, high = (middle, high) if below else (low, middle)
        return low

    def log_ratio(self) -> float:
        """Log-likelihood ratio of vector copies in every tumour cell against none, other cells' copies left open.

        The copies that other cells bring are unknown: log-uniform from the false rate to the most they could be. 0
        without a purity.
        """
        if not self.purity > 0:
            return 0.0
        most = max((1 - self.purity) * OTHER_COPIES, 2 * FALSE_RATE)
        other = np.geomspace(FALSE_RATE, most, _GRID)
        scale = self.reference / self.per_cell
        none = logsumexp(poisson.logpmf(self.target, scale * other)) - np.log(_GRID)
        every = poisson.logpmf(self.target, scale * (other[:, None] + self.purity * COPIES[None, :]))
        return float(np.clip(logsumexp(every + np.log(COPY_WEIGHTS)) - np.log(_GRID) - none, -300, 300))


def clopper_pearson(k: int, n: int) -> tuple[float, float]:
    """Exact two-sided 95 % interval of a share."""
    if n == 0:
        return 0.0, 1.0
    low = 0.0 if k == 0 else float(beta.ppf(_LEVEL / 2, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(1 - _LEVEL / 2, k + 1, n - k))
    return low, high


@dataclass(frozen=True, slots=True)
class MainSite:
    """The integration site with most reads of a specimen.

    Attributes
    ----------
    n_sites, reads, total
        Sites, reads (or fragments) of the main one, and of all.
    name, gene
        Where it is.
    """

    n_sites: int
    reads: int
    total: int
    name: str
    gene: str

    @property
    def share(self) -> tuple[float, float]:
        """95 % interval of its share."""
        return clopper_pearson(self.reads, self.total)

    def beyond_chance(self) -> bool:
        """Whether it holds more reads than a site of an even mixture would (P < 0.001 after all sites are tried)."""
        if self.n_sites < 2:
            return False
        return bool(self.n_sites * binom.sf(self.reads - 1, self.total, 1 / self.n_sites) < 1e-3)


# --- verdict ---------------------------------------------------------------------------------------------------------
def combine(verdict: str, reason: str, evidence: str, call: str, *, fraction_low: float) -> tuple[str, str, str, str]:
    """Verdict on a clone from RNA and from DNA.

    DNA above half a copy per tumour cell makes it `CAR_positive` whatever RNA is silent about; DNA below a tenth makes
    a negative by RNA one by DNA, and contradicts a CAR that RNA shows in more than a tenth of the members. DNA alone
    never makes a negative.

    Returns
    -------
    Verdict, reason, what it rests on, and a flag (empty for none).
    """
    negative = verdict in ("no_clonal_CAR_expression", "CAR_transcript_not_detected")
    carrying = verdict in ("CAR_positive", "CAR_mixed", "CAR_present")
    if call == "present":
        if carrying:
            return ("CAR_mixed" if verdict == "CAR_mixed" else "CAR_positive"), "", "RNA+DNA", ""
        return "CAR_positive", "", "DNA", "rna_dna_conflict" if negative else "rna_silent"
    if call == "not_detected":
        if negative:
            return "CAR_DNA_not_detected", "", "RNA+DNA", ""
        if carrying and fraction_low > ABSENT:
            return "indeterminate", "rna_dna_conflict", "", "rna_dna_conflict"
        return verdict, reason, evidence, "dna_not_detected"
    return verdict, reason, evidence, "dna_not_decided" if call else ""
