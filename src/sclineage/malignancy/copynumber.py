"""Line: arms lost or gained in the clone, by expression, against T cells of the same samples and phenotypes.

Three of ten T-cell lymphomas are taken to have no change of whole arms, so that a diploid clone is weak evidence
against malignancy, and never enough power for a call of its own.
"""

from __future__ import annotations

import numpy as np

from . import arms
from .lines import Line, Scores
from .table import ArmTest, Cells

ANEUPLOID = 0.7  # assumed share of T-cell lymphomas with several altered arms
ALTERED_ARMS = 4  # of such a lymphoma, for the power
GENETIC = 3.0  # nats
BENIGN_CELLS = 15  # of a clone that the variance between clones is learnt from
USUAL_TAU, USUAL_CLONES, LEAST_CLONES = 0.05, 15, 5  # between-clone deviation before looking, and its weight
DRAWS = 100  # of the power
MOST_ALTERED = 5  # clones that leave the reference of the others


def arm_test(counts: np.ndarray, clone: np.ndarray, n_clones: int, stratum: np.ndarray, sample: np.ndarray,
             reference: np.ndarray, stand_in: np.ndarray | None = None) -> ArmTest:
    """Test every clone of at least five cells; aneuploid clones leave the reference of the others, strongest first.

    A tumour that is most of a sample would otherwise make its benign clones look altered the other way round.

    Parameters
    ----------
    counts, clone, n_clones, stratum, sample, reference, stand_in
        As in `arms.compare`.
    """
    size = np.bincount(clone[clone >= 0], minlength=n_clones)
    tested = np.where(np.append(size, 0)[clone] >= arms.MIN_CELLS, clone, -1)
    altered = np.zeros(n_clones, bool)
    for _ in range(MOST_ALTERED + 1):
        normal = reference & ~np.append(altered, [False])[clone]
        found = arms.compare(counts, tested, n_clones, stratum, sample, normal, stand_in)
        error = arms.standard_error(found, _tau2(found, (size >= BENIGN_CELLS) & ~altered))
        ratio = arms.llr(found.shift, error)
        left = np.where(altered | ~np.isfinite(ratio), -np.inf, ratio)
        if n_clones == 0 or left.max() <= GENETIC:
            break
        altered[int(np.argmax(left))] = True
    return ArmTest(found.shift, error, ratio, found.n_cells)


def _tau2(found: arms.Compared, benign: np.ndarray) -> np.ndarray:
    """Variance between clones for each clone, itself left out, shrunk to the usual one; float64 (n_clones, n_arms)."""
    learnt = benign & np.isfinite(found.shift).any(axis=1)
    out = np.broadcast_to(_shrunk(found, learnt), found.shift.shape).copy()
    for c in np.flatnonzero(learnt):
        others = learnt.copy()
        others[c] = False
        out[c] = _shrunk(found, others)
    return out


def _shrunk(found: arms.Compared, learnt: np.ndarray) -> np.ndarray:
    n = int(learnt.sum())
    if n < LEAST_CLONES:
        return np.full(found.shift.shape[1], USUAL_TAU**2)
    own = arms.between_variance(found, learnt)
    return (n * np.where(np.isfinite(own), own, USUAL_TAU**2) + USUAL_CLONES * USUAL_TAU**2) / (n + USUAL_CLONES)


def ratio(llr: np.ndarray) -> np.ndarray:
    """Ratio of a lymphoma, aneuploid with probability 0.7, against a benign clone; NaN stays NaN."""
    with np.errstate(invalid="ignore"):
        return np.logaddexp(np.log(ANEUPLOID) + llr, np.log1p(-ANEUPLOID))


def power(error: np.ndarray, seed: int) -> np.ndarray:
    """P(the line exceeds 3 nats | lymphoma), float64 (n_clones,); at most the share that is aneuploid."""
    bound = float(np.log((np.exp(GENETIC) - (1 - ANEUPLOID)) / ANEUPLOID))
    return ANEUPLOID * arms.power(error, n_altered=ALTERED_ARMS, bound=bound, draws=DRAWS, rng=seed)


def score(cells: Cells, seed: int) -> Scores:
    """Score every clone; NaN without positions of the genes, without phenotypes, or with too small a reference."""
    n = cells.n_clones
    test = cells.arms
    if test is None or n == 0:
        return Scores(np.full(n, np.nan), np.zeros(n, np.int64), [""] * n, np.zeros(n))
    known = np.isfinite(test.llr)
    able = np.where(known, power(np.where(known[:, None], test.error, np.nan), seed), 0.0)
    return Scores(ratio(test.llr), np.where(known, test.n_cells, 0), [_describe(test, c) for c in range(n)], able)


def _describe(test: ArmTest, c: int) -> str:
    if not np.isfinite(test.llr[c]):
        return ""
    side = test.called[c]
    said = [f"{arms.AUTOSOMES[a]} {'gained' if side[a] > 0 else 'lost'}" for a in np.flatnonzero(side)]
    return ", ".join(said) if said else f"no arm of {int(np.isfinite(test.shift[c]).sum())} clearly altered"


LINE = Line("copy_number", -1.5, 9.0, score, genetic=True)
