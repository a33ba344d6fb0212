"""Parts that scenarios share: sheet rows, variant panels, a tumour library with what lies around it."""

from __future__ import annotations

from collections.abc import Mapping

from .counts import CarModel
from .expression import Aberration
from .plan import Answer, Focus, Group, Library, Site, car_t, other_cells, t_cells

TUMOR = "tumor"
NEGATIVE = "CAR_transcript_not_detected|no_clonal_CAR_expression"
BENIGN = "no_malignant_features|not_assessable"
_PAIR = "population_a=malignant;population_b=CAR-T;line=all"
TUMOR_T = Aberration(lost=("CD5", "CD7", "DPP4"), arms={"7q": 1.5, "17p": 0.5, "9p": 0.5, "8q": 1.5})
CD3_LOSS = Aberration(lost=("CD3D", "CD3E", "CD3G", "CD4", "CD8A", "CD8B", "CD5", "CD7"), arms={"1q": 1.5, "10q": 0.5})


def sheet_row(day: float, material: str, pool: str, **rest: object) -> dict[str, object]:
    """Columns of the sample sheet that do not name files."""
    return {"day": day, "material": material, "pool": pool, "selection": "none", "chemistry": "10x-5p-v2",
            "car_counting": "unique", **rest}


def sites(*, coverage: float = 0.6, tumor: bool = True) -> tuple[Site, ...]:
    """DNMT3A and TET2 clonal haematopoiesis in several lineages, and a TP53 mutation of malignant cells alone."""
    focus = (TUMOR,) if tumor else ()
    return (Site("DNMT3A", "chr2", 25234374, "G", "A", focus, clones=0.12, others=0.4, coverage=coverage),
            Site("TET2", "chr4", 105234042, "C", "T", focus, clones=0.06, others=0.25, coverage=coverage),
            Site("TP53", "chr17", 7674220, "C", "T", focus, malignant_only=True, coverage=coverage))


def tumor_focus(*, population: str = "CD8_memory", aberration: Aberration = TUMOR_T,
                strength: float | None = 1.0) -> tuple[Focus, ...]:
    """The malignant clone."""
    return (Focus(TUMOR, population, aberration, strength),)


def tumor_library(n: int, *, car: float = 0.0, infiltrate: int = 80, t: int = 250, other: int = 200, day: float = 60,
                  theta: float = 6e-4, ebv: float = 0.0, row: Mapping[str, object] | None = None,
                  **rest: object) -> Library:
    """A biopsy: malignant cells, CAR-T cells, other T cells and bystanders."""
    groups = (Group("", n, TUMOR, car=car, malignant=True, ebv=ebv), *car_t(infiltrate), *t_cells(t),
              *other_cells(other, tumor=True))
    settings: dict[str, object] = {"model": CarModel(theta=theta), "panel": True, "empties": 1500, **rest}
    columns = sheet_row(day, "tumor", "pool_4", specimen="biopsy",
                        diagnosis="T_lymphoma_proven") | dict(row or {})
    return Library(TUMOR, groups, columns, **settings)  # type: ignore[arg-type]


def sorted_sister(n: int = 250, *, day: float = 60, theta: float = 6e-4, **row: object) -> Library:
    """CAR+-sorted cells of the same biopsy: the measured positive control."""
    return Library("tumor_carpos", (*car_t(n), Group("monocyte", 15)),
                   sheet_row(day, "tumor", "pool_4", specimen="biopsy", diagnosis="T_lymphoma_proven",
                             role="car_positive_control", **row) | {"selection": "CAR+"},
                   CarModel(theta=theta), doublets=0.01)


def apheresis(t: int = 500, other: int = 150, *, early: int = 0, row: Mapping[str, object] | None = None,
              **rest: object) -> Library:
    """Cells collected before manufacture; `early` cells of the tumour's clone, still benign, all chains captured."""
    groups = (*t_cells(t), *other_cells(other), *((Group("", early, TUMOR, captured=True),) if early else ()))
    settings: dict[str, object] = {"panel": True, **rest}
    return Library("apheresis", groups, sheet_row(-30, "blood", "pool_1") | dict(row or {}), **settings)  # type: ignore[arg-type]


def product(n: int = 400, t: int = 150, *groups: Group, theta: float = 8e-4, **rest: object) -> Library:
    """The infused cells, with the share of CAR+ cells as flow cytometry gave it."""
    carrying = n + sum(g.n * g.car for g in groups)
    share = round(carrying / (n + t + sum(g.n for g in groups)), 3)
    return Library("product", (*car_t(n), *t_cells(t), *groups),
                   sheet_row(0, "product", "pool_2", car_fraction=share, car_fraction_n=5000), CarModel(theta=theta),
                   **rest)  # type: ignore[arg-type]


def malignant(words: str = "malignant") -> Answer:
    """Answer: whether the tumour's clone is malignant."""
    return Answer("is the tumour clone malignant", words, "clones", "malignant_call", TUMOR)


def verdict(words: str, *, focus: str = TUMOR) -> Answer:
    """Answer: the CAR verdict of a clone."""
    return Answer("does the clone carry the CAR", words, "clones", "car_verdict", focus)


def older(word: str, *, focus: str = TUMOR) -> Answer:
    """Answer: whether the clone is older than the infusion."""
    return Answer("is the clone older than the infusion", word, "clones", "predates_infusion", focus)


def same_cell(words: str) -> Answer:
    """Answer: whether tumour and CAR-T cells come from one T cell."""
    return Answer("do tumour and CAR-T cells come from the same T cell", words, "distinct", "same_t_cell", where=_PAIR)


def carries(words: str) -> Answer:
    """Answer: whether the tumour holds the vector, in the table of distinctness."""
    return Answer("does the tumour hold the vector of the CAR-T cells", words, "distinct", "vector_in_a", where=_PAIR)
