"""Clones that are large, marked or mutated without being lymphoma, and claims that the data do not carry."""

from __future__ import annotations

from .counts import CarModel
from .expression import CAR
from .plan import Answer, Focus, Group, Library, Plan, car_t, other_cells, t_cells
from .scenario_parts import BENIGN, NEGATIVE, TUMOR, product, sheet_row, sites, tumor_focus, tumor_library, verdict


def _benign_call(focus: str) -> Answer:
    return Answer("is the clone malignant", BENIGN, "clones", "malignant_call", focus)


def fraietta() -> Plan:
    """Dominant CAR+ clone of a patient in remission: clonal, CAR positive, and not a lymphoma."""
    row = sheet_row(120, "blood", "pool_3", diagnosis="surveillance")
    libraries = (product(350, 150, Group("CAR_T_CD8", 4, "expanded", car=1.0)),
                 Library("blood_d120", (Group("CAR_T_CD8", 450, "expanded", car=1.0), *car_t(100), *t_cells(300),
                                        *other_cells(150)), row, CarModel(theta=5e-4), empties=1500))
    return Plan(libraries, (Focus("expanded", "CAR_T_CD8"),), (
        verdict("CAR_positive|CAR_present", focus="expanded"), _benign_call("expanded")))


def reactive_cmv() -> Plan:
    """Benign CD8 effector clone that makes up a fifth of the T cells, as in old CMV carriers."""
    row = sheet_row(45, "blood", "pool_3", diagnosis="surveillance")
    libraries = (product(350, 150), Library(
        "blood_d45", (Group("CD8_effector", 200, "cmv"), *car_t(150), *t_cells(650), *other_cells(200)), row,
        CarModel(theta=6e-4), empties=1500))
    return Plan(libraries, (Focus("cmv", "CD8_effector"),), (verdict(f"{NEGATIVE}|indeterminate", focus="cmv"),
                                                             _benign_call("cmv")))


def sorted_only() -> Plan:
    """CAR+-sorted cells alone: a carrying clone and a CAR-free one that leaked into the sort, neither ever negative."""
    row = sheet_row(30, "blood", "pool_3", role="car_positive_control") | {"selection": "CAR+"}
    libraries = (Library("blood_d30_carpos", (Group("CAR_T_CD8", 70, "lead", car=1.0),
                                              Group("CD8_memory", 8, "leak"), *car_t(400)), row, CarModel(theta=6e-4)),)
    answers = (verdict("CAR_present", focus="lead"), verdict("CAR_present|indeterminate", focus="leak"))
    return Plan(libraries, (Focus("lead", "CAR_T_CD8"), Focus("leak", "CD8_memory")), answers, mixed=0.0)


def clonal_haematopoiesis_few_reads() -> Plan:
    """DNMT3A read in some nine of 1,500 tumour cells, none mutant: not assessable, no claim of a distinct origin."""
    panel = (sites(coverage=0.006, tumor=False)[0],)
    libraries = (tumor_library(1500, depth=2500.0),)
    answer = Answer("do tumour and myeloid cells share an ancestor", "not_assessed", "distinct", "shared_ancestor",
                    where="population_a=malignant;population_b=other;line=all")
    return Plan(libraries, tumor_focus(), (answer,), sites=panel)


def ebv_superspreader() -> Plan:
    """One monocyte with 5,000 EBV UMIs, more than half of one feature, and its soup: no population is infected."""
    libraries = (tumor_library(400, ebv_super=5000),)
    answer = Answer("is EBV in the tumour cells", "<=8", "virus", "n_positive",
                    where=f"population=malignant;sample={TUMOR};virus=EBV")
    return Plan(libraries, tumor_focus(), (answer,), sites=sites(), virus=True,
                arguments={"car": CAR, "virus": "EBV=prefix:EBV_"})
