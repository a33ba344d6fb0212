"""Distinctness: what each line may say, the levels that follow, and the rates of wrong answers on drawn reads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sclineage._errors import InputError
from sclineage.origin import relatedness as r
from sclineage.origin import variants as v
from sclineage.origin.distinct_api import distinct
from sclineage.origin.levels import LEVELS, Line, answer, posterior
from sclineage.patient import access
from tests.malignancy import builders as b

NOTHING = [Line("trb", np.nan, (3, 4, 5, 6), 0, 0)]
MISMATCH, MATCH = Line("trb", -3.9, (3, 4, 5, 6), 50, 50), Line("trb", 8.5, (3, 4, 5, 6), 50, 50)
TRA = Line("tra", 6.2, (4, 5, 6), 50, 50)
SHARED_CH = Line("somatic", 9.0, (2, 3, 4, 5, 6), 40, 40)
OTHER_DONOR = Line("donor", -20.0, r.FROM_DONOR, 50, 50)


# --- levels ----------------------------------------------------------------------------------------------------------
def test_posterior_is_prior_times_likelihood():
    p = posterior([MISMATCH, SHARED_CH])
    weight = np.ones(7)
    weight[3:] *= np.exp(-3.9)
    weight[2:] *= np.exp(9.0)
    assert p == pytest.approx(weight / weight.sum())
    assert posterior([], [1, 1, 1, 1, 1, 1, 4])[6] == pytest.approx(0.4)


@pytest.mark.parametrize(("lines", "level", "same", "ancestor"), [
    (NOTHING, "", "not_assessed", "not_assessed"),
    ([MISMATCH], "", "no", "not_assessed"),
    ([SHARED_CH], "D2", "not_assessed", "yes"),  # blood formation says nothing of the T cell
    ([MISMATCH, SHARED_CH], "D2", "no", "yes"),  # the index case
    ([MATCH], "D3", "not_assessed", "yes"),  # one TRB, TRA unknown
    ([MATCH, TRA], "D4", "yes", "yes"),
    ([MATCH, TRA, Line("copy_number", 9.0, (6,), 4, 4)], "D6", "yes", "yes"),
    ([MATCH, TRA, Line("vector", -4.0, (5, 6), 9, 9)], "D4", "yes", "yes"),
    ([OTHER_DONOR], "D0", "no", "no"),
    ([Line("germline", 15.0, r.FROM_DONOR, 50, 50)], "D1", "not_assessed", "not_assessed"),
    ([MISMATCH, Line("copy_number", 4.0, (6,), 4, 4)], "", "not_assessed", "not_assessed"),  # conflict: no denial
])
def test_level_and_answers(lines, level, same, ancestor):
    found = answer(lines)
    assert (found.level, found.same_t_cell, found.shared_ancestor) == (level, same, ancestor)
    assert found.posterior.sum() == pytest.approx(1)


# --- receptor --------------------------------------------------------------------------------------------------------
def cells(**n):
    """Junctions of cells: name of a clone -> number of cells, TRB and TRA named after it."""
    names = [k for k, v in n.items() for _ in range(v)]
    return (np.array([f"B{k}" for k in names], object), np.array([f"A{k};A{k}2" for k in names], object))


def receptor(one, two):
    (trb1, tra1), (trb2, tra2) = cells(**one), cells(**two)
    a = np.arange(trb1.size + trb2.size) < trb1.size
    return {x.name: x for x in r.receptor(np.append(trb1, trb2), np.append(tra1, tra2), a, ~a)}


def test_receptor_match_mismatch_and_silence():
    same = receptor({"x": 60}, {"x": 30})
    assert same["trb"].llr == pytest.approx(np.log(0.98 / 2e-4))
    assert same["tra"].llr == pytest.approx(np.log(0.98 / 2e-3))
    other = receptor({"x": 60}, {f"y{i}": 1 for i in range(40)})
    assert other["trb"].llr == pytest.approx(np.log(0.02 / (1 - 2e-4)))
    assert receptor({f"y{i}": 1 for i in range(40)}, {"x": 60})["trb"].llr == other["trb"].llr
    assert receptor({"x": 60}, {"y": 4})["trb"].flags == ("few_cells",)
    many = {f"{s}{i}": 1 for i in range(30) for s in "y"}
    assert receptor(many, {f"z{i}": 1 for i in range(30)})["trb"].flags == ("polyclonal",)
    assert receptor({"x": 60}, {"x": 6, **{f"y{i}": 1 for i in range(40)}})["trb"].flags == ("part_shares_receptor",)


# --- variants --------------------------------------------------------------------------------------------------------
def drawn(rng, *, shared, ambient=0.0, variants=4, n_cells=10, coverage=0.5, clone=0.6):
    """Reads of two populations at private variants of the first; the second has them (drifted) or not."""
    n = rng.poisson(n_cells * coverage, (2, variants))
    p = rng.beta(clone * 9, (1 - clone) * 9, (2, variants))  # drift, rho 0.1
    p[1] = p[1] if shared else ambient * p[0]
    return rng.binomial(n, np.maximum(p, 0.002)), n


def together(name, k, n):
    """Ratio of "all variants are shared"."""
    return sum(x.llr for x in v.variants(name, k, n))


def test_soup_of_a_large_tumour_is_not_shared():
    rng = np.random.default_rng(78)
    draws = [drawn(rng, shared=False, ambient=0.05, variants=8, n_cells=50, coverage=5) for _ in range(100)]
    assert sum(together("somatic", k, n) > 3 for k, n in draws) <= 1


@pytest.mark.parametrize(("shared", "ambient"), [(True, 0.0), (False, 0.0)])
def test_four_variants_ten_cells_half_a_read(shared, ambient):
    """Five reads a side and variant; the benchmark has the table."""
    rng, right, wrong, draws = np.random.default_rng(77), 0, 0, 400
    for _ in range(draws):
        llr = together("mitochondrial", *drawn(rng, shared=shared, ambient=ambient))
        right += llr > 3 if shared else llr < -3
        wrong += llr < -3 if shared else llr > 3
    assert wrong <= 0.01 * draws
    assert right >= 0.9 * draws


def test_a_variant_of_everybody_is_no_marker_and_no_read_says_nothing():
    assert abs(together("somatic", np.array([[50], [40]]), np.array([[50], [40]]))) < 0.1
    assert np.isnan(together("somatic", np.array([[20], [0]]), np.array([[50], [0]])))
    assert np.isnan(together("somatic", np.array([[1], [0]]), np.array([[50], [40]])))


def test_absent_drivers_speak_against_the_tumour_clone_alone():
    k, n = np.array([[40, 40], [0, 0]]), np.array([[100, 100], [100, 100]])
    shared, private = v.variants("somatic", k, n)
    assert (private.levels, shared.levels) == ((6,), v.FROM_STEM_CELL)
    assert v.variants("mitochondrial", k, n)[1].levels == (4, 5, 6)
    assert private.llr < -3
    assert shared.llr > 2 * np.log(0.5)
    shared, private = v.variants("somatic", np.array([[40, 40], [30, 50]]), n)
    assert shared.llr > 3
    assert private.llr == 0


def test_a_private_driver_does_not_hide_shared_blood_formation():
    n = np.full((2, 5), 100)
    found = v.variants("somatic", np.array([[40] * 5, [40, 0, 0, 0, 0]]), n)
    assert found[0].llr > 2
    assert found[1].llr < -6
    assert answer(found).level == "D2"


# --- donors ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("same", [True, False])
def test_genomes_are_told_from_a_few_hundred_sites(same):
    rng = np.random.default_rng(3)
    f = rng.beta(1, 2, 300)
    one = rng.binomial(2, f)
    two = one if same else rng.binomial(2, f)
    n = rng.poisson(4, (2, 300))
    k = rng.binomial(n, np.clip(np.array([one, two]) / 2, 0.01, 0.99))
    found = r.germline(k, n)
    assert found.llr > 3 if same else found.llr < -3
    assert np.isnan(r.germline(k[:, :15], n[:, :15]).llr)


def test_donor_labels():
    label = np.array(["D1"] * 40 + ["D2"] * 30 + [""] * 5, object)
    a, b2 = np.arange(75) < 20, (np.arange(75) >= 20) & (np.arange(75) < 40)
    c = np.arange(75) >= 40
    assert r.donors(label, a, b2).llr > 10
    assert r.donors(label, a, c).llr < -10
    mixed = r.donors(label, a, np.arange(75) >= 20)
    assert mixed.flags == ("mixed_donors",)
    assert np.isnan(mixed.llr)


def test_arms_of_the_tumour_in_another_population():
    called, error = np.array([1, -1, 1, -1, 0, 0]), np.full(6, 0.06)
    shift = np.where(called > 0, 0.35, np.where(called < 0, -0.5, 0.0))
    assert r.shared_arms(called, shift, error).llr > 10
    assert r.shared_arms(called, np.zeros(6), error).llr < -10
    assert np.isnan(r.shared_arms(np.zeros(6), shift, error).llr)


def test_vector_is_never_proof_of_one_cell():
    assert r.vector((0.999, 0.0005, 0.0005), 50, 50).llr == r.VECTOR_LOW
    assert r.vector((0.0, 1.0, 0.0), 50, 50).llr == 0
    assert not r.vector((np.nan, np.nan, np.nan), 0, 5).assessed


# --- from the patient's data -----------------------------------------------------------------------------------------
CH, PRIVATE = "chr2:25234374:G>A", "chr17:7674220:C>T"
DRIVERS = pd.DataFrame({"site": [CH, PRIVATE], "gene": ["DNMT3A", "TP53"]})


def index_case(**columns):
    """Tumour without the vector, CAR-T cells of other clones, DNMT3A in all lineages, TP53 in the tumour alone."""
    obs = pd.concat([
        b.cell_rows("s", "T", 60, population="malignant"), b.small_clones("s", 40, 1, prefix="c", population="CAR-T"),
        b.small_clones("s", 40, 1, prefix="o", population="other_T"),
        b.cell_rows("s", "", 40, subset="myeloid", population="other")]).assign(**columns).reset_index(drop=True)
    rng = np.random.default_rng(5)
    panel = b.alleles(obs, rng, {CH: {"*": 0.4}, PRIVATE: {"T": 0.4}}, gene={CH: "DNMT3A", PRIVATE: "TP53"})
    data = b.patient(obs, panel=panel)
    car = pd.DataFrame([{"patient": "P", "clone_id": "T", "car_verdict": "CAR_transcript_not_detected",
                         "car_reason": "", "car_p_negative": 0.999, "car_p_positive": 0.0005, "car_p_mixed": 0.0005,
                         "car_n_informative": 60}])
    access.store(data)["tables"]["car_clones"] = car
    return data


def pair(data, a="malignant", other="CAR-T"):
    table = access.table(data, "distinct")
    return table[(table["population_a"] == a) & (table["population_b"] == other)].set_index("line")


def test_the_index_case_reads_shared_blood_formation_and_another_t_cell():
    data = index_case()
    distinct(data, drivers=DRIVERS)
    found = pair(data)
    everything = found.loc["all"]
    assert (everything["level"], everything["same_t_cell"], everything["shared_ancestor"],
            everything["vector_in_a"]) == ("D2", "no", "yes", "not_detected")
    assert everything[[f"p_{x.lower()}" for x in LEVELS]].sum() == pytest.approx(1)
    assert found.loc["somatic", "llr"] > 3
    assert found.loc["trb", "llr"] < -3
    assert found.loc["vector", "llr"] == r.VECTOR_LOW
    blood = pair(data, "malignant", "other").loc["all"]
    assert (blood["level"], blood["same_t_cell"]) == ("D2", "not_assessed")


def test_sites_that_are_not_listed_are_inherited_and_too_few_to_count():
    data = index_case()
    distinct(data)
    assert np.isnan(pair(data).loc["germline", "llr"])
    assert "somatic" not in pair(data).index


@pytest.mark.parametrize("verdict", ["CAR_positive", "CAR_mixed", "CAR_present", "no_clonal_CAR_expression",
                                     "indeterminate"])
def test_another_receptor_denies_nothing_where_the_tumour_may_carry_the_vector(verdict):
    data = index_case()
    car = access.store(data)["tables"]["car_clones"]
    car["car_verdict"] = verdict
    distinct(data, drivers=DRIVERS)
    found = pair(data).loc["all"]
    assert (found["same_t_cell"], found["flags"]) == ("not_assessed", "vector_not_excluded")


def test_silence_of_rna_is_no_evidence_where_dna_shows_the_vector():
    data = index_case()
    car = access.store(data)["tables"]["car_clones"]
    car["car_verdict"], car["car_dna"] = "CAR_positive", "present"
    distinct(data, drivers=DRIVERS)
    found = pair(data)
    assert found.loc["vector", "llr"] == 0.0
    assert found.loc["all", "vector_in_a"] == "yes"


def test_another_receptor_denies_nothing_where_sorted_members_carry_the_vector():
    data = index_case()
    access.store(data)["tables"]["clone_car"] = pd.DataFrame([{"patient": "P", "clone_id": "T", "specimen": "s",
                                                               "car_verdict": "CAR_present"}])
    distinct(data, drivers=DRIVERS)
    assert pair(data).loc["all", "same_t_cell"] == "not_assessed"


def test_a_car_free_sister_of_a_car_clone_is_the_same_t_cell():
    data = index_case()
    carrying = (access.text(data, "population") == "CAR-T") & np.char.startswith(
        access.text(data, "clone_id").astype(str), "c0")
    data.obs.loc[carrying, "clone_id"] = "T"
    distinct(data, drivers=DRIVERS)
    found = pair(data).loc["all"]
    assert (found["same_t_cell"], found["level"], found["flags"]) == ("yes", "D4", "same_t_cell_vector_not_seen")


def test_bad_priors_and_kinds_are_errors():
    data = index_case()
    with pytest.raises(InputError, match="7 probabilities"):
        distinct(data, prior=[0.5, 0.5])
    data["alleles"].var["kind"] = "private"
    with pytest.raises(InputError, match="kind of site 'private'"):
        distinct(data)


def test_donors_from_a_file_of_cells(tmp_path):
    data = index_case()
    donor = np.where(access.text(data, "population") == "CAR-T", "D1", "D0")
    data.obs.assign(donor=donor)[["sample", "barcode", "donor"]].to_csv(tmp_path / "d.csv", index=False)
    distinct(data, donor_key=tmp_path / "d.csv")
    assert pair(data).loc["all", "level"] == "D0"
    assert pair(data, "malignant", "other_T").loc["all", "level"] != "D0"
    for word in ("unassigned", "doublet", "NA", "0/1"):  # no donor was told: never another donor
        said = data.obs.assign(donor=np.where(donor == "D1", word, "D0"))[["sample", "barcode", "donor"]]
        distinct(data, donor_key=said)
        assert np.isnan(pair(data).loc["donor", "llr"])
        assert pair(data).loc["all", "level"] != "D0"
    with pytest.raises(InputError, match="no such column in the data, and no such file"):
        distinct(data, donor_key="nowhere")


# --- real patients ---------------------------------------------------------------------------------------------------
@pytest.mark.real
def test_two_genomes_of_one_patient_read_d0(public_data):
    """CD7 CAR-T patient, day 14: populations by mitochondrial variants, donors by souporcell's nuclear ones."""
    folder = public_data / "cart-umi-hhv6" / "cd7"
    mito = pd.read_csv(folder / "Day14_mitoSNPassignments.tsv.gz", sep="\t").set_index("cell_id")["assign"]
    nuclear = pd.read_csv(folder / "Day14_souporcell_clusters.tsv.gz", sep="\t").set_index("barcode")
    label = nuclear["assignment"].where(nuclear["status"] == "singlet", "").reindex(mito.index).fillna("")
    label, owner = label.astype(str).to_numpy(object), mito.to_numpy(object)
    line = r.donors(label, owner == "D1", owner == "D2")
    found = answer([line])
    assert (found.level, found.same_t_cell) == ("D0", "no")
    half = np.arange(owner.size) % 2 == 0
    assert answer([r.donors(label, (owner == "D1") & half, (owner == "D1") & ~half)]).level == "D1"


@pytest.mark.real
def test_t_and_myeloid_cells_share_a_tet2_clone_and_are_not_one_t_cell(public_data):
    """Mitochondrial variants that mark blood-forming clones; the cells listed are those with one of 26 variants."""
    folder = public_data / "ch-tet2-tcr-mito"
    table = pd.read_csv(folder / "mito_positive_cells.tsv", sep="\t")
    kinds = {"T": ["T"], "myeloid": ["EarlyE", "LateE", "Mono", "ProMono", "ncMono", "Prog", "HSC", "cDC", "pDC"]}
    names = sorted(table["variant"].unique())
    n_cells = [table.loc[table["CellType"].isin(k), "cell"].nunique() for k in kinds.values()]
    k = np.array([[table.loc[(table["variant"] == v) & table["CellType"].isin(c), "cell"].nunique() for v in names]
                  for c in kinds.values()])
    lines = v.variants("mitochondrial", k, np.repeat(n_cells, len(names)).reshape(2, -1))
    found = answer(lines)
    assert (found.level, found.same_t_cell, found.shared_ancestor) == ("D2", "not_assessed", "yes")
