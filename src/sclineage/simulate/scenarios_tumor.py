"""Lymphomas: with the CAR, without it, and where the data cannot tell."""

from __future__ import annotations

from .counts import CarModel
from .expression import CAR
from .plan import Answer, Focus, Group, Library, Plan, car_t, other_cells, t_cells
from .scenario_parts import (
    CD3_LOSS,
    NEGATIVE,
    TUMOR,
    apheresis,
    carries,
    malignant,
    older,
    product,
    same_cell,
    sheet_row,
    sites,
    sorted_sister,
    tumor_focus,
    tumor_library,
    verdict,
)


def car_positive_lymphoma() -> Plan:
    """CAR+ lymphoma of a pre-existing clone that was transduced; CD3 lost, neither CD4 nor CD8."""
    libraries = (apheresis(early=6), product(300, 150, Group("", 12, TUMOR, car=1.0)),
                 tumor_library(600, car=1.0, day=35), sorted_sister(200, day=35))
    answers = (malignant(), verdict("CAR_positive|CAR_present"), older("yes"), same_cell("not_assessed|yes"),
               carries("yes"))
    return Plan(libraries, tumor_focus(population="CD4_memory", aberration=CD3_LOSS, strength=0.8), answers,
                sites=sites())


def dominant_tumor() -> Plan:
    """CAR-free tumour clone of 2,000 cells beside 5 % CAR-T cells whose soup puts a CAR UMI into some of it."""
    libraries = (tumor_library(2000, infiltrate=130, depth=2500.0), sorted_sister())
    answers = (malignant(), verdict(NEGATIVE), same_cell("no|not_assessed"), carries("not_detected"))
    return Plan(libraries, tumor_focus(), answers, sites=sites())


def mixed_clone() -> Plan:
    """Memory clone with 30 % transduced members; the tumour grew from an untransduced one."""
    blood = sheet_row(60, "blood", "pool_3", specimen="blood_d60")
    libraries = (
        apheresis(early=40), product(350, 150, Group("", 20, TUMOR, car=0.3)),
        Library("blood_d60", (Group("", 90, TUMOR, car=0.3), *car_t(60), *t_cells(300), *other_cells(100)), blood,
                CarModel(theta=6e-4)),
        Library("blood_d60_carpos", (Group("", 60, TUMOR, car=1.0), *car_t(150)), blood | {"selection": "CAR+"},
                CarModel(theta=6e-4)),
        tumor_library(500, day=200), sorted_sister(day=200))
    answers = (malignant(), verdict(f"{NEGATIVE}|CAR_mixed"),
               Answer("do the tumour cells of the biopsy carry the CAR", NEGATIVE, "clone_car", "car_verdict", TUMOR,
                      "specimen=biopsy;selection=none;population=malignant"),
               older("yes"), same_cell("not_assessed|yes"))
    return Plan(libraries, tumor_focus(), answers, sites=sites())


def small_clone() -> Plan:
    """Tumour clone of 12 cells without a CAR UMI in a library that shows the CAR in a quarter of the CAR-T cells."""
    libraries = (tumor_library(12, infiltrate=120, t=400, theta=8e-5),)
    return Plan(libraries, tumor_focus(), (verdict("indeterminate"),))


def silent_control() -> Plan:
    """CAR-free tumour; the positive control library failed to capture the CAR, so silence proves nothing."""
    control = sorted_sister()
    silent = Library(control.sample, control.groups, control.row, control.model, features={CAR: 0.0})
    return Plan((tumor_library(500, infiltrate=0), silent), tumor_focus(), (verdict("indeterminate"),))


def no_control() -> Plan:
    """CAR-free tumour without a CAR+ cell or a control anywhere."""
    return Plan((tumor_library(500, infiltrate=0),), tumor_focus(), (
        verdict("indeterminate"), Answer("why not", "no_control", "clones", "car_reason", TUMOR)))


def doublets() -> Plan:
    """CAR-free tumour in which 4 % of the barcodes also hold a CAR-T cell."""
    libraries = (tumor_library(700, infiltrate=150, pairs=((TUMOR, "CAR_T", 0.04),)), sorted_sister())
    return Plan(libraries, tumor_focus(), (malignant(), verdict(NEGATIVE), same_cell("no|not_assessed")), sites=sites())


def native_background() -> Plan:
    """Whole-CDS counting: endogenous CD28/CD247 reads look like CAR in all T cells, before the infusion as well."""
    model, row = CarModel(theta=6e-4, native=6e-5), {"car_counting": "whole_cds"}
    libraries = (apheresis(800, 150, model=model, row=row), tumor_library(500, model=model, row=row),
                 sorted_sister(car_counting="whole_cds"))
    return Plan(libraries, tumor_focus(), (verdict(f"{NEGATIVE}|indeterminate"),), sites=sites())


def absent_before() -> Plan:
    """Tumour clone absent from 4,500 T cells taken before the infusion: a limit, never 'younger'."""
    libraries = (apheresis(4500, 0, depth=900.0, panel=False), tumor_library(300), sorted_sister(150))
    answers = (verdict(NEGATIVE), older("not_detected"),
               Answer("above which frequency is it excluded", "<=0.0009", "clones", "predates_limit", TUMOR))
    return Plan(libraries, tumor_focus(), answers, pool=4000, sites=sites())


def silenced_dna() -> Plan:
    """The tumour holds one vector copy per cell and makes no transcript: negative by RNA, positive by DNA."""
    row = {"vcn_target": 900, "vcn_reference": 1000, "purity": 0.9}
    libraries = (tumor_library(500, car=1.0, row=row), sorted_sister())
    answers = (verdict("CAR_positive|indeterminate"),
               Answer("what does the verdict rest on", "DNA|RNA+DNA", "clones", "car_evidence", TUMOR),
               same_cell("not_assessed|yes"))
    return Plan(libraries, tumor_focus(strength=0.0), answers, sites=sites())


_WPRE = {CAR: 0.0, "WPRE": 0.9}  # 3' reads of a lentiviral construct end in the WPRE, not in the coding sequence


def _three_prime(car: str, words: str) -> Plan:
    row = {"chemistry": "10x-3p-v3"}
    libraries = (tumor_library(400, car=1.0, row=row, features=_WPRE),
                 Library("product", (*car_t(300), *t_cells(120)),
                         sheet_row(0, "product", "pool_2", car_fraction=0.71, car_fraction_n=5000) | row,
                         CarModel(theta=8e-4), _WPRE))
    return Plan(libraries, tumor_focus(), (verdict(words),), sites=sites(), arguments={"car": car})


def wrong_segment() -> Plan:
    """CAR+ lymphoma in 3' libraries, asked for a segment that 3' reads do not reach: cannot tell, never negative."""
    return _three_prime(CAR, "indeterminate")


def three_prime_wpre() -> Plan:
    """The same libraries with the WPRE counted as part of the construct: CAR positive."""
    return _three_prime(f"CAR={CAR}+WPRE", "CAR_positive|CAR_present")


def two_products() -> Plan:
    """Two products with the same antibody fragment: which one the tumour carries is told by the tail alone."""
    axi, tisa = ({CAR: 0.6, "AXI_TAIL": a, "TISA_TAIL": b} for a, b in ((0.3, 0.0), (0.0, 0.3)))
    first = Library("product_tisa", (*car_t(250), *t_cells(100)),
                    sheet_row(-400, "product", "pool_0", car_fraction=0.71, car_fraction_n=5000), CarModel(theta=8e-4),
                    tisa)
    second = product(250, 100, features=axi)
    libraries = (first, second, tumor_library(400, car=1.0, features=axi))
    answers = (verdict("CAR_positive|CAR_present"),
               Answer("which product", "AXI|unresolved", "clones", "car_product", TUMOR))
    return Plan(libraries, (Focus(TUMOR, "CD4_memory", CD3_LOSS),), answers, sites=sites(),
                arguments={"car": f"AXI={CAR}+AXI_TAIL,TISA={CAR}+TISA_TAIL"})
