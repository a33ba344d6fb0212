"""The scenarios by name: the index case first, then lymphomas, then cases of controls and of benign clones."""

from __future__ import annotations

from collections.abc import Callable

from . import scenarios_benign as benign
from . import scenarios_tumor as tumor
from .counts import CarModel
from .expression import CAR
from .plan import Answer, Group, Library, Plan, car_t, other_cells, t_cells
from .scenario_parts import TUMOR, malignant, same_cell, sheet_row, sites, tumor_focus


def index_case() -> Plan:
    """Fatal EBV+ T-cell lymphoma after axi-cel: no CAR, older than the infusion, shared clonal haematopoiesis."""
    early, late = Group("", 6, TUMOR, captured=True), Group("", 24, TUMOR, malignant=True, ebv=0.6)
    biopsy = {"specimen": "biopsy", "diagnosis": "T_lymphoma_proven"}
    libraries = (
        Library("apheresis", (*t_cells(1150), *other_cells(300), early), sheet_row(-30, "blood", "pool_1"),
                empties=2000, panel=True),
        Library("product", (*car_t(620), *t_cells(280)),
                sheet_row(0, "product", "pool_2", car_fraction=0.69, car_fraction_n=5000), CarModel(theta=9e-4),
                doublets=0.02),
        Library("blood_d14", (*car_t(450), *t_cells(500), *other_cells(200), Group("", 3, TUMOR)),
                sheet_row(14, "blood", "pool_3"), CarModel(theta=6e-4), empties=2000, panel=True),
        Library("biopsy_d60", (Group("", 950, TUMOR, malignant=True, ebv=0.6), *car_t(110), *t_cells(420),
                               *other_cells(260, tumor=True)),
                sheet_row(60, "tumor", "pool_4", **biopsy), CarModel(theta=7e-4), empties=2500, panel=True),
        Library("biopsy_d60_carpos", (*car_t(330), Group("monocyte", 20)),
                sheet_row(60, "tumor", "pool_4", role="car_positive_control", **biopsy) | {"selection": "CAR+"},
                CarModel(theta=7e-4), doublets=0.01),
        Library("blood_d75", (late, *car_t(60), *t_cells(550), *other_cells(250)), sheet_row(75, "blood", "pool_5"),
                CarModel(theta=5e-4), panel=True),
    )
    return Plan(libraries, tumor_focus(), _index_answers(), sites=sites(), virus=True,
                arguments={"car": CAR, "virus": "EBV=prefix:EBV_"})


def _index_answers() -> tuple[Answer, ...]:
    where = "sample=biopsy_d60;virus=EBV;population="
    return (
        malignant(),
        Answer("does the malignant clone carry the CAR", "CAR_transcript_not_detected", "clones", "car_verdict", TUMOR),
        Answer("is the malignant clone older than the infusion", "yes", "clones", "predates_infusion", TUMOR),
        Answer("on which day was it first seen", "-30", "clones", "first_day", TUMOR),
        Answer("is EBV in the tumour cells", ">=100", "virus", "n_positive", where=where + "malignant"),
        Answer("is EBV above ambient in the CAR-T cells", "<=10", "virus", "n_positive", where=where + "CAR-T"),
        Answer("is the private driver evidence of malignancy", ">3", "clones", "llr_driver", TUMOR),
        same_cell("no|not_assessed"),
    )


SCENARIOS: dict[str, Callable[[], Plan]] = {f.__name__: f for f in (
    index_case, tumor.car_positive_lymphoma, tumor.dominant_tumor, tumor.mixed_clone, tumor.small_clone,
    tumor.silent_control, tumor.no_control, tumor.doublets, tumor.native_background, tumor.absent_before,
    tumor.silenced_dna, tumor.wrong_segment, tumor.three_prime_wpre, tumor.two_products, benign.fraietta,
    benign.reactive_cmv, benign.sorted_only, benign.clonal_haematopoiesis_few_reads, benign.ebv_superspreader)}
