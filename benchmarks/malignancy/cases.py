"""Clones that fool simple rules, drawn as a library of T cells each; rates are assumptions, stated beside each case.

A lymphoma is aberrant in each marker (five losses, CD30, CD4 and CD8 together) with probability 0.55, then in 85 % of
its cells, cycles in 10 to 40 %, and, if EBV-positive, shows the virus in half of its cells; every site is covered by
0.08 to 0.3 reads per cell. The counts are drawn cell by cell from Poisson laws, not from the beta-binomials that score
them. Copy number: counts per arm with a factor per cell and arm (gamma, shape 20) and one per clone and arm (Student t,
4 degrees, scale 0.03); an altered arm shows 60 to 100 % of its dosage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sclineage.malignancy.arms import AUTOSOMES
from sclineage.malignancy.copynumber import arm_test
from sclineage.malignancy.table import Alleles, ArmTest, Cells

RATES = {"CD3D": 4.0, "CD3E": 3.0, "CD2": 2.5, "CD5": 1.2, "CD7": 1.0, "TNFRSF8": 0.02, "CD8A": 2.0, "CD8B": 2.0,
         "CD4": 0.03}
LOST = ("CD3D", "CD3E", "CD2", "CD5", "CD7")


@dataclass(frozen=True)
class Case:
    """One kind of clone.

    Attributes
    ----------
    benign
        Whether a call of malignant or suspicious is wrong.
    share
        Range of its share of the sample's T cells; None: `cells` cells.
    cells
        Range of its size where `share` is None.
    aberrant
        Whether markers are lost.
    cycling
        Range of its share of cells in cycle.
    ebv
        Share of its cells with EBV.
    ambient
        Share of all cells with EBV from the soup.
    driver
        Share of driver reads in its cells.
    carriers
        Share of the other clones and blood cells that carry the same mutation.
    coverage
        Reads per cell and site; 0: no panel.
    product
        Whether the sample is an infusion product, oligoclonal and cycling.
    altered
        Range of the number of its altered arms; None: copy number is not assessed.
    tumor_beside
        Cells of a second clone, the tumour, which carries the driver alone and has six altered arms.
    """

    benign: bool
    share: tuple[float, float] | None = None
    cells: tuple[int, int] = (3, 15)
    aberrant: bool = False
    cycling: tuple[float, float] = (0.0, 0.05)
    ebv: float = 0.0
    ambient: float = 0.0
    driver: float = 0.0
    carriers: float = 0.0
    coverage: float = 0.0
    product: bool = False
    altered: tuple[int, int] | None = (0, 0)
    tumor_beside: int = 0


TUMOR = {"share": (0.05, 0.6), "aberrant": True, "cycling": (0.1, 0.4)}
CASES: dict[str, Case] = {
    "benign small clone": Case(True),
    "reactive CMV/EBV CD8 clone, 5-30 %": Case(True, share=(0.05, 0.3), cycling=(0.0, 0.15)),
    "CAR-T product, oligoclonal, cycling 35 %": Case(True, share=(0.02, 0.3), cycling=(0.25, 0.45), product=True),
    "T-LGL-like, 10-50 %": Case(True, share=(0.1, 0.5)),
    "benign clone in a TET2 carrier": Case(True, share=(0.05, 0.3), driver=0.4, carriers=0.15, coverage=0.3),
    "ambient EBV 3 %": Case(True, share=(0.05, 0.3), ambient=0.03),
    "benign clone of 100 or more cells beside a known tumour": Case(True, share=(0.25, 0.5), coverage=0.3,
                                                                    tumor_beside=150),
    "T lymphoma, 4 to 8 altered arms, no panel": Case(False, **TUMOR, altered=(4, 8)),
    "T lymphoma, driver seen": Case(False, **TUMOR, driver=0.4, coverage=0.3),
    "T lymphoma, no altered arm, no panel": Case(False, **TUMOR),
    "T lymphoma, no panel, copy number not assessed": Case(False, **TUMOR, altered=None),
    "EBV+ T lymphoma, no altered arm, no panel": Case(False, **TUMOR, ebv=0.5, ambient=0.01),
    "T lymphoma, no altered arm, driver not on the panel": Case(False, **TUMOR, coverage=0.3),
    "pre-malignant, 5-15 cells, 4 altered arms": Case(False, cells=(5, 15), altered=(4, 4)),
    "pre-malignant, 5-15 cells, one site": Case(False, cells=(5, 15), driver=0.4, coverage=0.08),
    "pre-malignant, 5-15 cells, no panel": Case(False, cells=(5, 15)),
}


@dataclass(frozen=True)
class Drawn:
    """Cells with the clone of interest first, its share of T cells, and its size."""

    cells: Cells
    share: float
    size: int


def draw(case: Case, rng: np.random.Generator) -> Drawn:
    """Draw the clone, 300 to 700 T cells in small clones around it, and 150 blood cells."""
    others = int(rng.integers(300, 700))
    if case.share is None:
        size = int(rng.integers(case.cells[0], case.cells[1] + 1))
    else:
        f = np.exp(rng.uniform(*np.log(case.share)))
        size = max(5, round(others * f / (1 - f)))
    around = _small(others, rng, oligoclonal=case.product)
    beside = np.full(case.tumor_beside, around.max() + 1)
    clone = np.concatenate([np.zeros(size, np.int64), around, beside, -np.ones(150, np.int64)])
    mine, t_cell = clone == 0, clone >= 0
    depth = rng.lognormal(np.log(3000), 0.4, clone.size)
    virus = {}
    if case.ebv or case.ambient:
        virus["EBV"] = (rng.random(clone.size) < np.where(mine & (case.ebv > 0), case.ebv, case.ambient)).astype(float)
    cells = Cells(
        clone=clone, sample=np.zeros(clone.size, np.int64), subset=np.where(t_cell, "CD8_T", "myeloid").astype(object),
        counts=np.ones(clone.size, bool), t_cell=t_cell, depth=depth, genes=_genes(case, mine, t_cell, depth, rng),
        cycling=_cycle(case, clone, depth, rng), virus=virus, alleles=_alleles(case, clone, rng),
        n_clones=int(clone.max()) + 1, unsorted=np.ones(1, bool), product=np.array([case.product]),
        arms=_arms(case, clone, rng))
    return Drawn(cells, size / (size + others), size)


def _small(n: int, rng: np.random.Generator, *, oligoclonal: bool) -> np.ndarray:
    """Clone numbers (from 1) of the other T cells: sizes fall off as 1/rank where oligoclonal, else small."""
    number = min(n, 40 if oligoclonal else n // 2)
    weight = 1.0 / np.arange(1, number + 1) ** (1.0 if oligoclonal else 0.3)
    codes = rng.choice(number, n, p=weight / weight.sum())
    return np.unique(codes, return_inverse=True)[1].ravel() + 1


def _genes(case: Case, mine: np.ndarray, t_cell: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> dict:
    relative = depth / 3000
    out = {g: rng.poisson(np.where(t_cell, r, 0.03) * relative).astype(float) for g, r in RATES.items()}
    for gene in LOST if case.aberrant else ():
        if rng.random() < 0.55:
            out[gene] = np.where(mine & (rng.random(mine.size) < 0.85), 0.0, out[gene])
    if case.aberrant and rng.random() < 0.55:
        gain = mine & (rng.random(mine.size) < 0.85)
        out["TNFRSF8"] = np.where(gain, 1 + rng.poisson(relative), out["TNFRSF8"])
    if case.aberrant and rng.random() < 0.55:
        negative = mine & (rng.random(mine.size) < 0.85)
        out |= {gene: np.where(negative, 0.0, out[gene]) for gene in ("CD4", "CD8A", "CD8B")}
    return out


def _cycle(case: Case, clone: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    share = np.full(clone.size, 0.35 if case.product else 0.03)
    share[clone == 0] = rng.uniform(*case.cycling)
    phase = rng.random(clone.size) < share
    return rng.poisson(depth * np.where(phase, 0.008, 0.0015)).astype(float)


def _alleles(case: Case, clone: np.ndarray, rng: np.random.Generator) -> Alleles | None:
    if not case.coverage:
        return None
    depth = rng.poisson(case.coverage, (clone.size, 1))
    carrier = rng.random(clone.max() + 2) < case.carriers  # by clone; the last entry stands for blood cells
    of_cell = np.where(clone >= 0, carrier[clone], rng.random(clone.size) < case.carriers)
    if case.tumor_beside:
        of_cell = of_cell | (clone == clone.max())
    share = np.where(clone == 0, case.driver, np.where(of_cell, 0.4, 0.0)) + 0.003
    alt = rng.binomial(depth, share[:, None])
    return Alleles(sparse.csr_matrix(alt), sparse.csr_matrix(depth), ("TP53",), ("17:7674220:C>T",))


def _arms(case: Case, clone: np.ndarray, rng: np.random.Generator) -> ArmTest | None:
    if case.altered is None:
        return None
    n, n_arms = int(clone.max()) + 1, len(AUTOSOMES)
    weight = rng.lognormal(0.0, 0.7, n_arms)
    factor = np.exp(0.03 * rng.standard_t(4, (n + 1, n_arms)))  # the last row stands for cells without a clone
    _alter(factor[0], int(rng.integers(case.altered[0], case.altered[1] + 1)), rng)
    if case.tumor_beside:
        _alter(factor[n - 1], 6, rng)
    mean = factor[clone] * (weight / weight.sum()) * rng.lognormal(np.log(1200), 0.4, clone.size)[:, None]
    counts = rng.poisson(mean * rng.gamma(20, 1 / 20, mean.shape)).astype(float)
    nothing = np.zeros(clone.size, np.int64)
    return arm_test(counts, clone, n, nothing, nothing, clone >= 0)


def _alter(factor: np.ndarray, number: int, rng: np.random.Generator) -> None:
    at = rng.choice(factor.size, number, replace=False)
    factor[at] *= 1 + 0.5 * rng.choice([-1.0, 1.0], number) * rng.uniform(0.6, 1.0, number)
