"""Vector DNA: bounds against exact and simulated ones, power, integration sites, and verdicts that it joins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from sclineage import _schema
from sclineage._errors import InputError
from sclineage.evidence import dna, dna_rows
from sclineage.evidence.dna import Copies
from tests.evidence import devsim, small


# --- bounds ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("target", "reference"), [(0, 1000), (7, 400), (500, 1000)])
def test_interval_is_exact_for_the_ratio(target: int, reference: int) -> None:
    """At each end the observed split of the counts has a tail probability of 2.5 %."""
    low, high = (v / 2 for v in Copies(target, reference, 0.9).interval())
    n = target + reference
    assert binom.cdf(target, n, high / (1 + high)) == pytest.approx(0.025, abs=1e-6)
    if target:
        assert binom.sf(target - 1, n, low / (1 + low)) == pytest.approx(0.025, abs=1e-6)


def test_coverage_of_the_interval() -> None:
    rng, truth, inside = np.random.default_rng(2), 0.3, 0
    for _ in range(400):
        reference = int(rng.poisson(300))
        low, high = Copies(int(rng.poisson(300 * truth / 2)), reference, 1.0).interval()
        inside += low <= truth <= high
    assert inside >= 0.93 * 400


def test_no_vector_in_enough_reference_copies_is_absent() -> None:
    assert Copies(0, 1000, 0.8).call() == ("not_detected", "")
    assert Copies(0, 50, 0.8).call() == ("not_decided", "too_few_copies_counted")
    needed = Copies(0, 50, 0.8).reference_needed()
    assert Copies(0, int(needed), 0.8).call()[0] == "not_detected"
    assert Copies(0, int(0.9 * needed), 0.8).call()[0] == "not_decided"


def test_purity_decides() -> None:
    """The same counts: absent in a pure tumour, nothing at a fifth of purity or at an unknown one."""
    assert Copies(10, 1000, 0.9).call()[0] == "not_detected"
    assert Copies(10, 1000, 0.2).call() == ("not_decided", "copies_in_other_cells_possible")
    assert Copies(0, 10**6, float("nan")).call() == ("not_decided", "purity_unknown")
    needed = Copies(10, 1000, 0.2).purity_needed()
    assert Copies(10, 1000, needed + 0.01).call()[0] == "not_detected"
    assert Copies(10, 1000, needed - 0.01).call()[0] == "not_decided"


def test_infiltrating_car_t_cells_make_no_positive() -> None:
    """Half tumour without vector, half CAR-T cells with two copies: one copy per cell, and still not the tumour's."""
    assert Copies(500, 1000, 0.5).call()[0] == "not_decided"
    assert Copies(500, 1000, 0.95).call()[0] == "present"


def test_one_site_proves_what_many_do_not() -> None:
    """At 0.7 of purity a copy per tumour cell could be of others; not where one site holds the copies."""
    copies = Copies(500, 1000, 0.7)
    assert copies.call()[0] == "not_decided"
    assert copies.call(site=(0.95, 1.0))[0] == "present"
    assert copies.call(site=(0.05, 0.1))[0] == "not_decided"


def test_subsampled_counts_never_turn_a_carrying_tumour_negative() -> None:
    rng = np.random.default_rng(8)
    said = {Copies(int(rng.poisson(r * 0.45)), r, 0.9).call()[0] for r in (2, 5, 10, 30, 100, 300) for _ in range(200)}
    assert "not_detected" not in said
    assert "present" in said


@pytest.mark.parametrize("purity", [0.5, 0.9])
def test_power_is_that_of_simulated_counts(purity: float) -> None:
    rng, reference = np.random.default_rng(4), 120
    at = Copies(0, reference, purity)
    carrying = [Copies(int(k), reference, purity).call()[0] for k in rng.poisson(reference * purity / 2, 2000)]
    free = [Copies(int(k), reference, purity).call()[0] for k in rng.poisson(reference * dna.FALSE_RATE, 2000)]
    absent, present = at.power()
    assert np.mean([c == "present" for c in carrying]) == pytest.approx(present, abs=0.04)
    assert np.mean([c == "not_detected" for c in free]) == pytest.approx(absent, abs=0.04)


def test_ratio_leans_as_counts_do() -> None:
    assert Copies(0, 1000, 0.9).log_ratio() < -100
    assert Copies(450, 1000, 0.9).log_ratio() > 1
    assert Copies(450, 1000, float("nan")).log_ratio() == 0


# --- words -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("rna", "call", "want", "flag"), [
    ("no_clonal_CAR_expression", "not_detected", "CAR_DNA_not_detected", ""),
    ("CAR_transcript_not_detected", "not_detected", "CAR_DNA_not_detected", ""),
    ("indeterminate", "not_detected", "indeterminate", "dna_not_detected"),
    ("no_clonal_CAR_expression", "present", "CAR_positive", "rna_dna_conflict"),
    ("CAR_transcript_not_detected", "present", "CAR_positive", "rna_dna_conflict"),
    ("indeterminate", "present", "CAR_positive", "rna_silent"),
    ("CAR_present", "present", "CAR_positive", ""),
    ("CAR_mixed", "present", "CAR_mixed", ""),
    ("CAR_positive", "not_detected", "indeterminate", "rna_dna_conflict"),
    ("no_clonal_CAR_expression", "not_decided", "no_clonal_CAR_expression", "dna_not_decided"),
])
def test_words(rna: str, call: str, want: str, flag: str) -> None:
    found = dna.combine(rna, "too_few_cells" if rna == "indeterminate" else "", "RNA", call, fraction_low=0.5)
    assert (found[0], found[3]) == (want, flag)


def test_dna_alone_never_makes_a_negative() -> None:
    for verdict in _schema.CAR_VERDICTS:
        word = dna.combine(verdict, "", "RNA", "not_detected", fraction_low=0.0)[0]
        assert word not in _schema.CAR_NEGATIVE or verdict in _schema.CAR_NEGATIVE


def test_a_few_carrying_members_are_no_conflict() -> None:
    assert dna.combine("CAR_mixed", "", "RNA", "not_detected", fraction_low=0.03)[0] == "CAR_mixed"
    assert dna.combine("CAR_present", "", "RNA", "not_detected", fraction_low=float("nan"))[0] == "CAR_present"


# --- sites -----------------------------------------------------------------------------------------------------------
def sites(**change: object) -> pd.DataFrame:
    base = pd.DataFrame({"specimen": "b", "chrom": ["chr1", "chr1", "chr2"], "pos": [100, 103, 5],
                         "reads": [40, 20, 3], "gene": ["TP53", "TP53", ""]})
    return base.assign(**change)


def test_sites_within_five_bases_are_one() -> None:
    found = dna_rows.main_site(dna_rows.read_sites(sites()), "b")
    assert found is not None
    assert (found.n_sites, found.reads, found.total, found.name, found.gene) == (2, 60, 63, "chr1:100", "TP53")
    assert found.beyond_chance()
    assert dna_rows.main_site(dna_rows.read_sites(sites()), "c") is None


def test_bad_sites_are_one_line(tmp_path) -> None:
    with pytest.raises(InputError, match="'pos' is missing"):
        dna_rows.read_sites(sites().drop(columns="pos"))
    with pytest.raises(InputError, match="reads is '0'"):
        dna_rows.read_sites(sites(reads=0))
    path = tmp_path / "s.csv"
    path.write_text("specimen,chrom,pos,reads\nb,chr1,x,3\n")
    with pytest.raises(InputError, match=r"s\.csv, line 2: pos is 'x'"):
        dna_rows.read_sites(path)


# --- car_status ------------------------------------------------------------------------------------------------------
def patient(*, strength: float = 1.0, sheet: dict[str, object] | None = None, **arguments: object):
    """A free tumour clone of 120 and carrying clones; the tumour clone is malignant."""
    def edit(adata) -> None:
        adata.obs["malignant"] = (adata.obs["clone_id"] == "free0").to_numpy()
        row = {"sample": "s1", "specimen": "s1", "patient": "sim", "selection": "none", "vcn_target": np.nan,
               "vcn_reference": np.nan, "purity": np.nan} | (sheet or {})
        adata.uns["sclineage"] = {"samples": pd.DataFrame([row], index=["s1"])}

    library = small.library(rates=devsim.Rates(), free=(120,), carrying=(60, 40, 30), singles_free=60,
                            singles_carrying=40)
    return small.run(library, edit=edit, population_key="malignant", **arguments)


def row(adata) -> pd.Series:
    return small.clone_table(adata).loc["free0"]


def test_rna_and_dna_together_say_not_detected() -> None:
    said = row(patient(sheet={"vcn_target": 2.0, "vcn_reference": 1500.0, "purity": 0.9}))
    assert said["car_verdict"] == "CAR_DNA_not_detected"
    assert said["car_evidence"] == "RNA+DNA"
    assert said["car_dna"] == "not_detected"


def test_silent_vector_is_positive_by_dna_with_the_conflict_shown() -> None:
    adata = patient(sheet={"vcn_target": 700.0, "vcn_reference": 1500.0, "purity": 0.95})
    said = row(adata)
    assert said["car_verdict"] == "CAR_positive"
    assert said["car_evidence"] == "DNA"
    assert "rna_dna_conflict" in said["car_flags"]
    assert said["car_p_silent"] > 0.9 * said["car_p_negative"]
    assert row(patient())["car_p_silent"] < 0.1


def test_without_dna_nothing_changes_and_without_purity_nothing_is_said() -> None:
    plain, vague = row(patient()), row(patient(sheet={"vcn_target": 0.0, "vcn_reference": 1500.0}))
    assert plain["car_dna"] == ""
    assert vague["car_dna"] == "not_decided"
    assert vague["car_verdict"] == plain["car_verdict"] in _schema.CAR_NEGATIVE
    assert vague["car_verdict"] != "CAR_DNA_not_detected"


def test_dna_speaks_of_malignant_clones_only() -> None:
    table = small.clone_table(patient(sheet={"vcn_target": 700.0, "vcn_reference": 1500.0, "purity": 0.95}))
    assert (table.drop(index="free0")["car_dna"] == "").all()


def test_the_table_of_dna_follows_the_schema() -> None:
    adata = patient(sheet={"vcn_target": 2.0, "vcn_reference": 1500.0, "purity": 0.9}, sites=sites(specimen="s1"))
    found = adata.uns["sclineage"]["tables"]["car_dna"]
    assert found["clone_id"].tolist() == ["free0"]
    assert found["n_sites"].tolist() == [2]
    assert "one_site_dominates" in found["flags"].iloc[0]


def test_sites_of_an_unknown_specimen_are_refused() -> None:
    """A misspelt specimen must not make the vector in a tumour disappear."""
    with pytest.raises(InputError, match="'S-1' is no specimen or sample of the sheet"):
        patient(sites=sites(specimen="S-1"))
    merged = dna_rows.read_sites(sites())
    assert dna_rows.read_sites(merged) is merged
    assert dna_rows.names_of(pd.DataFrame({"sample": ["a"], "specimen": ["b"]})) == {"a", "b"}


def counts(target: int, reference: int, purity: float) -> pd.DataFrame:
    return pd.DataFrame({"specimen": "b", "vcn_target": [float(target)], "vcn_reference": [float(reference)],
                         "purity": [purity]}, index=["b"])


def test_two_malignant_clones_share_the_purity() -> None:
    members = pd.DataFrame({"specimen": "b", "clone_id": ["x"] * 30 + ["y"] * 30})
    said = dna_rows.shares(members, "b")
    assert said["x"][0] < 0.5
    sheet = counts(2, 150, 0.95)
    found = dna_rows.rows(sheet, members, None, per_cell=2.0)
    assert found["dna_call"].tolist() == ["not_decided", "not_decided"]
    alone = dna_rows.rows(sheet.assign(vcn_target=0.0), members[:30], None, per_cell=2.0)
    assert alone["dna_call"].tolist() == ["not_detected"]


def test_dna_without_a_malignant_clone_is_shown_and_decides_nothing() -> None:
    found = dna_rows.rows(counts(0, 5000, 0.9), pd.DataFrame({"specimen": [], "clone_id": []}), None, per_cell=2.0)
    assert found[["clone_id", "dna_call", "dna_reason"]].to_numpy().tolist() == [
        ["", "not_decided", "malignant_clone_unknown"]]
