"""Every word has its sentence; no negative without its limits, no open question without its reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from sclineage import _schema
from sclineage.report import car, sentences, words
from tests.report import builders as b


def row(verdict: str = "indeterminate", reason: str = "", **change: Any) -> dict[str, Any]:
    return b.clone_row(b.MALIGNANT) | b.car_numbers(verdict, reason) | change


def context(verdict: str, reason: str = "", **change: Any) -> car.CarContext:
    table = _schema.conform(b.clone_car(), "clone_car")
    return car.CarContext(row(verdict, reason, **change), table[table["clone_id"] == b.MALIGNANT])


def test_all_enums_have_a_meaning_and_nothing_else_has() -> None:
    for key, (_, meanings, enum) in words.GROUPS.items():
        if enum:
            assert set(meanings) == set(enum), key
        assert all(text.endswith(".") for text in meanings.values()), key
    assert set(words.GLOSSARY) == set(words.GROUPS)


def test_all_words_have_a_sentence() -> None:
    assert set(car.VERDICTS) == set(_schema.CAR_VERDICTS)
    assert set(car.REASONS) == set(_schema.CAR_REASONS)
    assert set(sentences.CALLS) == set(sentences.CALL_LIMITS) == set(sentences.CALL_DECIDES)
    assert set(sentences.CALLS) == set(_schema.MALIGNANT_CALLS)
    assert set(sentences.BASIS) | {"user"} == set(_schema.MALIGNANT_BASIS)
    assert set(sentences.AGES) == set(_schema.PREDATES)


@pytest.mark.parametrize("verdict", _schema.CAR_NEGATIVE)
def test_negative_carries_all_its_limits(verdict: str) -> None:
    said = sentences.car(context(verdict))
    assert "5 % or more of the control is excluded" in said.limits
    assert "Up to 0.41 % CAR-carrying members cannot be excluded" in said.limits
    assert "with probability 0.990" in said.limits
    assert "571 informative malignant cells" in said.says
    if verdict != "CAR_DNA_not_detected":
        assert "silenced" in said.limits
        assert "copy number" in said.decides


@pytest.mark.parametrize("verdict", _schema.CAR_NEGATIVE)
def test_negative_says_which_limit_is_missing(verdict: str) -> None:
    said = sentences.car(context(verdict, car_theta_excluded=np.nan, car_fraction_high=np.nan, car_power=np.nan))
    assert said.limits.count("was not assessed") == 3


@pytest.mark.parametrize("verdict", _schema.CAR_CARRYING)
def test_carrying_is_not_a_statement_of_cause(verdict: str) -> None:
    said = sentences.car(context(verdict))
    assert "not a statement of cause" in said.limits
    assert "no CAR" not in said.says


def test_positive_by_dna_does_not_quote_the_posterior_of_rna() -> None:
    said = sentences.car(context("CAR_positive", car_evidence="DNA", car_flags="rna_dna_conflict",
                                 car_p_positive=1e-20))
    assert "carries the vector, by DNA" in said.says
    assert "RNA alone would have excluded" in said.says
    assert "posterior" not in said.says.lower()
    assert "not a statement of cause" in said.limits


@pytest.mark.parametrize("reason", _schema.CAR_REASONS)
def test_indeterminate_says_why_and_what_next(reason: str) -> None:
    said = sentences.car(context("indeterminate", reason))
    assert said.word == "indeterminate"
    assert car.REASONS[reason][0] in said.says
    assert said.limits.startswith("This is not a negative.")
    assert said.decides
    assert "negative" not in said.says.replace("negative control", "")


def test_no_planning_figure_where_cells_are_many() -> None:
    few = sentences.car(context("indeterminate", "too_few_cells", car_n_informative=9, car_cells_needed=31))
    many = sentences.car(context("indeterminate", "too_few_cells", car_n_informative=435, car_cells_needed=31))
    assert "about 31 informative cells as deep as these without any CAR UMI" in few.decides
    assert "planning figure" not in many.decides
    assert many.decides


def test_members_of_a_suspicious_clone_are_not_called_malignant() -> None:
    said = sentences.car(context("CAR_transcript_not_detected", malignant_call="suspicious"))
    assert "informative suspicious cells" in said.says
    assert "malignant" not in said.says


def test_reasons_differ() -> None:
    texts = [sentences.car(context("indeterminate", r)).says for r in _schema.CAR_REASONS]
    assert len(set(texts)) == len(texts)


def test_minority_in_the_sort_does_not_quote_the_posterior_of_unsorted_cells() -> None:
    plain = sentences.car(context("CAR_mixed"))
    minor = sentences.car(context("CAR_mixed", car_flags="minor", car_p_mixed=0.0001))
    assert "osterior 0.990" in plain.says
    assert "osterior" not in minor.says
    assert "among sorted cells" in minor.says
    sorted_only = sentences.car(context("CAR_present", car_flags="only_CAR+_sorted"))
    assert "only in cells sorted for the CAR" in sorted_only.says



@pytest.mark.parametrize("call", _schema.MALIGNANT_CALLS)
def test_malignancy_sentence(call: str) -> None:
    said = sentences.malignancy(row(malignant_call=call, malignant_basis="", malignant_driver=""))
    assert said.word == words.plain(call)
    assert "0.998" in said.says
    assert said.limits


def test_malignancy_by_the_user_is_not_ours() -> None:
    said = sentences.malignancy(row(malignant_basis="user", malignant_p=1.0))
    assert "by the user" in said.says
    assert "posterior" not in said.says


def line(**change: Any) -> pd.DataFrame:
    base = {"sample": "apheresis", "day": -30.0, "n_clone": 0, "n_informative": 4000, "frequency": 0.0, "low": 0.0,
            "high": 9.2e-4, "limit_of_detection": 7.5e-4, "flags": ""}
    return pd.DataFrame([base | change])


def test_absence_before_the_infusion_has_a_limit_and_no_age() -> None:
    clone = row(predates_infusion="not_detected", predates_limit=7.486e-4, predates_reason="")
    said = sentences.age(clone, line())
    assert "among 4,000 informative, unsorted cells; a frequency above 0.075 % is excluded" in said.says
    assert "never proves" in said.limits


def test_cells_seen_before_but_doubted_are_not_called_absent() -> None:
    clone = row(predates_infusion="not_detected", predates_limit=1e-3, predates_reason="one_cell_only")
    said = sentences.age(clone, line(n_clone=1, frequency=2.5e-4, low=6e-6))
    assert said.word == "seen before, not confirmed"
    assert "Cells of it were seen before the infusion: 1 of 4,000" in said.says
    assert "not found" not in said.says
    assert "single cell" in said.says


def test_sorted_cells_do_not_count_for_the_limit() -> None:
    clone = row(predates_infusion="not_detected", predates_limit=7.5e-4, predates_reason="")
    both = pd.concat([line(), line(sample="product", n_informative=9000, flags="selected")])
    assert "among 4,000 informative" in sentences.age(clone, both).says


@pytest.mark.parametrize(("flags", "positive", "loci", "word"), [
    ("", 3, 4, "EBV: above ambient"), ("at_ambient", 3, 4, "EBV: not above ambient"),
    ("one_locus_only", 3, 1, "EBV: not above ambient"), ("", 0, 4, "EBV: not above ambient"),
    ("not_assessed", 0, 0, "EBV: not assessed")])
def test_virus_needs_cells_rate_and_two_loci(flags: str, positive: int, loci: int, word: str) -> None:
    frame = b.virus([s[0] for s in b.SAMPLES]).head(1).assign(flags=flags, n_positive=positive, n_loci=loci)
    [said] = sentences.virus(frame, "malignant")
    assert said.word == word


def test_virus_without_a_table_is_not_assessed() -> None:
    [said] = sentences.virus(None, "malignant")
    assert said.word == "not assessed"


def test_no_call_is_not_a_clean_bill() -> None:
    clones = pd.DataFrame([b.clone_row(c) for c in b.SMALL])
    [first] = sentences.overall(clones, {})
    assert "none is called malignant and none suspicious" in first
    assert "does not exclude" in first
    called = sentences.overall(pd.DataFrame([row("CAR_transcript_not_detected")]), {})
    assert "up to 0.41 % carrying members not excluded" in called[1]


def test_distinctness_without_data_says_so() -> None:
    known, unknown = b.distinct().iloc[0], b.distinct().iloc[0].to_dict() | {"same_t_cell": "not_assessed"}
    assert "do not stem from the same T cell" in sentences.distinctness(known)
    assert "is not assessed" in sentences.distinctness(unknown)


def test_virus_overview_names_every_population() -> None:
    [said] = sentences.virus_overview(_schema.conform(b.virus([s[0] for s in b.SAMPLES]), "virus"))
    assert said == ("EBV transcripts: above ambient in malignant cells (142 of 300); not above ambient in CAR-T cells; "
                    "not assessed in other T cells and other cells.")


def test_pairs_without_data_are_silent() -> None:
    frame = b.distinct().assign(same_t_cell=["not_assessed", "no"], shared_ancestor="not_assessed")
    assert sentences.silent(frame).tolist() == [True, False]
