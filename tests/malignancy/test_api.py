"""Malignancy of a whole patient: tables, the user's own call, files of drivers, edge cases, determinism."""

from __future__ import annotations

import gzip

import mudata as md
import numpy as np
import pandas as pd
import pytest

from sclineage import _schema
from sclineage._errors import InputError
from sclineage.malignancy.api import malignancy
from sclineage.malignancy.populations_api import populations
from sclineage.patient import access
from sclineage.patient.drivers import read_drivers

from . import builders as b

SITE, CH = "chr17:7674220:C>T", "chr2:25234374:G>A"
DRIVERS = pd.DataFrame({"site": [SITE, CH], "gene": ["TP53", "DNMT3A"]})
SAMPLES = {"biopsy": {"day": 60, "material": "tumor", "selection": "none", "diagnosis": "T_lymphoma_proven"},
           "blood": {"day": -30, "material": "blood", "selection": "none"}}


def rows():
    return pd.concat([
        b.cell_rows("biopsy", "T", 90), b.small_clones("biopsy", 40, 5), b.small_clones("biopsy", 20, 5, subset="CD4_T",
                                                                                       prefix="h"),
        b.cell_rows("biopsy", "", 60, subset="myeloid"), b.cell_rows("biopsy", "", 20, subset="B"),
        b.cell_rows("blood", "T", 6, start=900), b.small_clones("blood", 80, 2)])


def build(*, seed=1, order=None, panel=True, gex=True, samples=SAMPLES, obs=None):
    rng = np.random.default_rng(seed)
    obs = (rows() if obs is None else obs).reset_index(drop=True)
    counts = b.expression(obs, rng, lost={"T": ("CD5", "CD7", "CD3E")}, cycling={"T": 0.3})
    alt, depth, var = b.alleles(obs, rng, {SITE: {"T": 0.4}, CH: {"*": 0.2}}, gene={SITE: "TP53", CH: "DNMT3A"})
    if order is not None:
        obs, counts = obs.iloc[order], counts.iloc[order]
        alt, depth = alt[order], depth[order]
    return b.patient(obs, counts if gex else None, samples=samples, panel=(alt, depth, var) if panel else None)


def table(data, name="malignancy"):
    return access.table(data, name).set_index("clone_id")


def test_the_tumour_clone_is_malignant_and_no_other_clone_is():
    data = build()
    malignancy(data, drivers=DRIVERS)
    found = table(data)
    tumour = found.loc["T"]
    assert tumour["malignant_call"] == "malignant"
    assert tumour["malignant_p"] > 0.99
    assert tumour["malignant_basis"] == "genetic"
    assert tumour["malignant_driver"] == "driver"
    assert tumour["llr_driver"] == 7.0
    assert tumour["malignant_p"] >= tumour["malignant_p_no_pathology"]
    assert tumour["malignant_prior"] == pytest.approx(0.5 / 61)
    others = found.drop("T")
    assert set(others["malignant_call"]) <= {"not_assessable", "no_malignant_features"}
    assert (others["malignant_basis"] == "").all()


def test_parts_add_up_in_the_tables():
    data = build()
    malignancy(data, drivers=DRIVERS)
    found = table(data)
    lines = access.store(data)["malignancy_lines"]
    assert list(lines.columns) == ["clone_id", "line", "llr", "capped", "cap", "n_informative", "posterior_without",
                                   "detail"]
    columns = [f"llr_{n}" for n in ("dominance", "phenotype", "cycling", "virus", "driver")]
    total = found[columns].fillna(0).sum(axis=1)
    prior = np.log(found["malignant_prior"] / (1 - found["malignant_prior"]))
    p = found["malignant_p"]
    assert np.allclose(np.log(p / (1 - p)), prior + total, atol=1e-9)
    assert np.allclose(lines.groupby("clone_id")["llr"].sum(), total, atol=1e-12)
    assert found["llr_virus"].isna().all()
    assert (lines.loc[lines["line"] == "virus", "n_informative"] == 0).all()


def test_cells_follow_their_clone():
    data = build()
    malignancy(data, drivers=DRIVERS)
    clone, p = access.text(data, "clone_id"), data.obs["malignant_p"].to_numpy(dtype=float)
    assert np.allclose(p[clone == "T"], table(data).loc["T", "malignant_p"])
    assert np.isnan(p[clone == ""]).all()
    assert set(access.text(data, "malignant_call")[clone == ""]) == {"not_assessable"}


def test_doublets_and_ambiguous_cells_stay_out():
    obs = rows().reset_index(drop=True)
    obs.loc[:9, "clone_status"], obs.loc[10:14, "clone_status"] = "doublet", "ambiguous"
    data = build(obs=obs)
    malignancy(data, drivers=DRIVERS)
    assert data.obs["malignant_p"].isna().to_numpy()[:15].all()
    assert "81 cells" in table(data).loc["T", "malignant_sentence"]


def test_posterior_of_a_cell_includes_its_clone_posterior():
    obs = rows().assign(clone_posterior=0.97)
    data = build(obs=obs)
    malignancy(data, drivers=DRIVERS)
    mine = access.text(data, "clone_id") == "T"
    assert np.allclose(data.obs["malignant_p"].to_numpy(float)[mine], 0.97 * table(data).loc["T", "malignant_p"])


@pytest.mark.parametrize(("samples", "prior", "expected"), [
    ({}, None, 0.01), ({"biopsy": {"diagnosis": "suspected"}}, None, 0.5),
    ({"biopsy": {"material": "tumor"}}, None, 0.5),
    ({"biopsy": {"diagnosis": "surveillance"}}, None, 0.01), ({"biopsy": {"diagnosis": "suspected"}}, 0.2, 0.2)])
def test_prior_of_the_patient(samples, prior, expected):
    data = build(samples=samples)
    malignancy(data, prior=prior)
    assert table(data).loc["T", "malignant_prior"] == pytest.approx(expected / 61)


@pytest.mark.parametrize("prior", [0, 1, -0.1, 1.5])
def test_prior_outside_the_unit_interval_is_an_error(prior):
    with pytest.raises(InputError, match="between 0 and 1"):
        malignancy(build(), prior=prior)


def test_car_status_is_never_evidence():
    plain, carrying = build(), build()
    carrying.obs["car_call"], carrying.obs["car_umi"] = "pos", 9
    malignancy(plain, drivers=DRIVERS)
    malignancy(carrying, drivers=DRIVERS)
    pd.testing.assert_frame_equal(table(plain), table(carrying))


# --- what is missing is not assessed ---------------------------------------------------------------------------------
def test_without_expression_and_panel_nothing_is_cleared_or_accused():
    data = build(gex=False, panel=False)
    malignancy(data)
    found = table(data)
    assert set(found["malignant_call"]) == {"not_assessable"}
    assert found[["llr_phenotype", "llr_cycling", "llr_virus", "llr_driver"]].isna().all(axis=None)


def test_without_a_panel_there_is_no_power():
    data = build(panel=False)
    malignancy(data, drivers=DRIVERS)  # a list without allele counts is not assessed
    found = table(data)
    assert (found["malignant_power"] == 0).all()
    assert "no_malignant_features" not in set(found["malignant_call"])
    assert found.loc["T", "malignant_call"] == "suspicious"


def test_allele_counts_without_a_driver_list_are_not_evidence():
    data = build()
    malignancy(data)
    assert table(data)["llr_driver"].isna().all()


def test_no_clone_at_all():
    obs = pd.concat([b.cell_rows("biopsy", "", 30, subset="myeloid"), b.cell_rows("biopsy", "", 30, subset="T")])
    data = build(obs=obs, panel=False)
    malignancy(data)
    populations(data)
    assert len(table(data)) == 0
    assert data.obs["malignant_p"].isna().all()
    assert set(data.obs["population"]) == {"other", "other_T"}


def test_one_clone_alone_has_no_background():
    data = build(obs=b.cell_rows("biopsy", "T", 40), panel=False)
    malignancy(data)
    found = table(data).loc["T"]
    assert np.isnan(found["llr_phenotype"])
    assert found["malignant_call"] == "not_assessable"


def test_missing_clones_are_an_error():
    data = build()
    del data.obs["clone_id"]
    with pytest.raises(InputError, match=r"run sl\.tl\.clones first"):
        malignancy(data)


def test_focus_must_exist():
    with pytest.raises(InputError, match="no clone 'b0000'"):
        malignancy(build(), focus=["T", "b0000"])
    malignancy(build(), focus=["T"])


def test_gene_absent_from_one_sample_is_not_a_loss():
    data = build()
    gex = data["gex"]
    held = pd.DataFrame(gex.varm["in_sample"]).copy()
    held.loc["CD7", "biopsy"] = False
    gex.varm["in_sample"] = held
    malignancy(data)
    lines = access.store(data)["malignancy_lines"].set_index(["clone_id", "line"])
    one_sample = table(data).loc["T", "llr_phenotype"]
    held.loc["CD7"] = False
    gex.varm["in_sample"] = held
    malignancy(data)
    assert "CD7" not in table(data).loc["T", "malignant_sentence"]
    assert table(data).loc["T", "llr_phenotype"] <= one_sample
    assert lines.loc[("T", "phenotype"), "n_informative"] == 96


# --- drivers ---------------------------------------------------------------------------------------------------------
def test_driver_list_as_csv_vcf_and_gzip_read_alike(tmp_path):
    wanted = read_drivers(DRIVERS)
    csv = tmp_path / "d.csv"
    csv.write_text("chrom,pos,ref,alt,gene\n17,7674220,C,T,TP53\nchr2,25234374,g,a,DNMT3A\n")
    vcf = tmp_path / "d.vcf.gz"
    vcf.write_bytes(gzip.compress(b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
                                  b"chr17\t7674220\t.\tC\tT\t.\t.\tGENE=TP53\nchr2\t25234374\t.\tG\tA\t.\t.\tGENE=DNMT3A\n"))
    for path in (csv, vcf):
        pd.testing.assert_frame_equal(read_drivers(path), wanted, check_dtype=False)


@pytest.mark.parametrize(("text", "match"), [
    ("", "empty"), ("gene\nTP53\n", "no column 'chrom'"), ("site\nTP53 R175H\n", "is no site"),
    ("chrom,pos,ref,alt\n17,7e6,C,T\n", "no whole number"), ("site\n", "no driver site")])
def test_bad_driver_lists_are_one_line_errors(tmp_path, text, match):
    path = tmp_path / "d.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=match) as error:
        read_drivers(path)
    assert "\n" not in str(error.value)


def test_missing_driver_file_and_foreign_sites_are_errors(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        malignancy(build(), drivers=tmp_path / "absent.vcf")
    with pytest.raises(InputError, match="none of its 1 sites"):
        malignancy(build(), drivers=pd.DataFrame({"site": ["chr1:5:A>G"]}))


def test_a_file_of_foreign_sites_leaves_nothing_written():
    data = build()
    with pytest.raises(InputError):
        malignancy(data, drivers=pd.DataFrame({"site": ["chr1:5:A>G"]}))
    assert access.table(data, "malignancy") is None
    assert "malignant_p" not in data.obs


def test_more_driver_reads_than_reads_is_an_error():
    data = build()
    data["alleles"].layers["dp"] = data["alleles"].X * 0
    with pytest.raises(InputError, match="more driver reads than reads"):
        malignancy(data, drivers=DRIVERS)


# --- the user's own call ---------------------------------------------------------------------------------------------
def test_user_key_as_a_column():
    data = build(panel=False)
    clone = access.text(data, "clone_id")
    data.obs["my_call"] = np.where(clone == "b001", "malignant", np.where(clone == "T", "other", ""))
    malignancy(data, malignant_key="my_call")
    found = table(data)
    said = ["malignant_p", "malignant_call", "malignant_basis"]
    assert found.loc["b001", said].tolist() == [1.0, "malignant", "user"]
    assert found.loc["T", ["malignant_p", "malignant_basis"]].tolist() == [0.0, ""]
    assert found.loc["T", "malignant_call"] == "not_assessable"
    assert "Called by the user" in found.loc["b001", "malignant_sentence"]
    assert 0 < found.loc["b002", "malignant_p"] < 0.5
    populations(data)
    assert set(data.obs.loc[clone == "b001", "population"]) == {"malignant"}


def test_user_key_as_a_file_of_cells_splits_a_clone(tmp_path):
    data = build(panel=False)
    mine = (access.text(data, "clone_id") == "T") & (access.text(data, "sample") == "biopsy")
    listed = data.obs.loc[mine, ["sample", "barcode"]].astype(str)
    listed["malignant"] = ["true"] * 60 + ["false"] * 30
    path = tmp_path / "cells.csv"
    listed.assign(barcode=listed["barcode"].str.removesuffix("-1")).to_csv(path, index=False)
    malignancy(data, malignant_key=path)
    p = data.obs["malignant_p"].to_numpy(float)[mine]
    assert p.tolist() == [1.0] * 60 + [0.0] * 30
    assert table(data).loc["T", "malignant_p"] == 1.0
    populations(data)
    assert (data.obs["population"].to_numpy(object)[mine] == "malignant").sum() == 60


def test_user_key_lists_malignant_cells_without_a_receptor(tmp_path):
    data = build(panel=False)
    path = tmp_path / "cells.csv"
    row = data.obs[(access.text(data, "clone_id") == "") & (access.text(data, "subset") == "B")].iloc[0]
    path.write_text(f"sample,barcode\n{row['sample']},{row['barcode']}\n")
    malignancy(data, malignant_key=path)
    populations(data)
    assert data.obs.loc[row.name, "malignant_call"] == "malignant"
    assert data.obs.loc[row.name, "population"] == "malignant"


@pytest.mark.parametrize("by", ["clone_id", "trb_junction"])
def test_user_key_as_a_file_of_clones(tmp_path, by):
    data = build(panel=False)
    path = tmp_path / "clones.csv"
    value = "b003" if by == "clone_id" else b.junction("b003", "TRB").lower()
    path.write_text(f"{by},malignant\n{value},yes\n")
    malignancy(data, malignant_key=str(path))
    assert table(data).loc["b003", "malignant_call"] == "malignant"
    assert (table(data)["malignant_basis"] == "user").sum() == 1


@pytest.mark.parametrize(("text", "match"), [
    ("clone_id,malignant\nnobody,yes\n", "no clone 'nobody'"), ("sample,barcode\nbiopsy,AAAA-1\n", "in no sample"),
    ("trb_junction\nTGTTTT\n", "no clone has this receptor"), ("clone_id,malignant\nT,maybe\n", "neither yes nor no"),
    ("name\nT\n", "columns 'name'"), ("clone_id,malignant\nT,\n", "no row says"), ("", "empty")])
def test_unmatched_or_unreadable_user_calls_are_errors(tmp_path, text, match):
    path = tmp_path / "key.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=match) as error:
        malignancy(build(panel=False), malignant_key=path)
    assert "\n" not in str(error.value)


def test_a_key_that_is_neither_column_nor_file_is_an_error():
    with pytest.raises(InputError, match="no such column"):
        malignancy(build(panel=False), malignant_key="malignent")


def test_a_column_without_a_word_is_an_error():
    data = build(panel=False)
    data.obs["my_call"] = ""
    with pytest.raises(InputError, match="no yes or no"):
        malignancy(data, malignant_key="my_call")
    data.obs["my_call"] = "Malignant T cell"
    with pytest.raises(InputError, match="neither yes nor no"):
        malignancy(data, malignant_key="my_call")


# --- populations -----------------------------------------------------------------------------------------------------
def test_populations_have_an_order_and_leave_open_what_may_be_malignant():
    obs = pd.DataFrame({
        "clone_id": ["a", "a", "b", "c", "", "", "", ""], "patient": "P", "sample": "s", "barcode": list("abcdefgh"),
        "clone_status": ["assigned", "doublet", "assigned", "assigned", *["no_receptor"] * 3, ""],
        "has_trb": True, "subset": ["CD8_T", "CD8_T", "CD4_T", "", "myeloid", "CD4_T", "NK", ""],
        "malignant_p": [0.99, 0.99, 0.1, 0.1, np.nan, np.nan, np.nan, np.nan],
        "malignant_call": ["suspicious", "suspicious", "not_assessable", "not_assessable", "", "", "", ""],
        "car_call": ["pos", "pos", "pos", "unlikely", "", "", "", ""]})
    data = b.patient(obs)
    populations(data)
    assert data.obs["population"].tolist() == ["malignant", "doublet", "CAR-T", "other_T", "other", "not_assessed",
                                               "other", "not_assessed"]
    data.obs["malignant_p"], data.obs["malignant_call"] = 0.01, "not_assessable"
    populations(data)  # without a malignant clone a T cell without a receptor is just another T cell
    assert data.obs["population"].tolist() == ["CAR-T", "doublet", "CAR-T", "other_T", "other", "other_T", "other",
                                               "not_assessed"]
    assert set(data.obs["population"]) <= set(_schema.POPULATIONS)


# --- determinism and files -------------------------------------------------------------------------------------------
def test_order_of_the_cells_does_not_matter():
    n = len(rows())
    one, two = build(), build(order=np.random.default_rng(5).permutation(n))
    for data in (one, two):
        malignancy(data, drivers=DRIVERS)
    pd.testing.assert_frame_equal(table(one), table(two), check_exact=True)
    pd.testing.assert_frame_equal(access.store(one)["malignancy_lines"], access.store(two)["malignancy_lines"],
                                  check_exact=True)


def test_everything_written_survives_h5mu(tmp_path):
    data = build()
    malignancy(data, drivers=DRIVERS)
    populations(data)
    data.write_h5mu(tmp_path / "p.h5mu")
    back = md.read_h5mu(tmp_path / "p.h5mu")
    for name in ("malignant_p", "malignant_call", "population"):
        assert back.obs[name].astype(str).tolist() == data.obs[name].astype(str).tolist()
    again = _schema.conform(access.table(back, "malignancy"), "malignancy")
    pd.testing.assert_frame_equal(again, access.table(data, "malignancy"))
    lines = access.store(back)["malignancy_lines"]
    assert lines["capped"].astype(bool).tolist() == access.store(data)["malignancy_lines"]["capped"].tolist()


# --- objects and gates -----------------------------------------------------------------------------------------------
def test_a_plain_anndata_gives_the_same_table():
    data = build(panel=False)
    flat = data["gex"].copy()
    flat.obs = data.obs.reindex(flat.obs_names).copy()
    flat.uns["sclineage"] = {"samples": access.sample_table(data)}
    malignancy(data)
    malignancy(flat)
    pd.testing.assert_frame_equal(table(data), table(flat))
    populations(flat)
    assert "malignant_p" in flat.obs


def test_without_a_sheet_the_prior_is_that_of_surveillance():
    data = build(panel=False)
    data.uns["sclineage"] = {}
    malignancy(data)
    assert table(data).loc["T", "malignant_prior"] == pytest.approx(0.01 / 61)


@pytest.mark.parametrize("subset", ["other", "NK", ""])
def test_t_cells_that_lost_cd3_are_not_gated_out(subset):
    """A lymphoma without CD3 is annotated as no T cell; its receptor says it is one."""
    obs = rows()
    mine = (obs["clone_id"] == "T").to_numpy()
    data = build(obs=obs.assign(subset=np.where(mine, subset, obs["subset"])))
    gex = data["gex"]
    matrix = gex.X.tolil()
    for gene in ("CD3D", "CD3E"):
        matrix[np.flatnonzero(mine), gex.var_names.get_loc(gene)] = 0
    gex.X = matrix.tocsr()
    malignancy(data, drivers=DRIVERS)
    populations(data)
    found = table(data).loc["T"]
    assert found["malignant_call"] == "malignant"
    assert "CD3D lost" in found["malignant_sentence"]
    assert set(data.obs["population"].to_numpy(object)[access.text(data, "clone_id") == "T"]) == {"malignant"}


def test_annotation_may_be_absent():
    data = build(obs=rows().assign(subset=""))
    malignancy(data, drivers=DRIVERS)
    assert table(data).loc["T", "malignant_call"] == "malignant"


def test_cells_that_fail_quality_control_do_not_speak():
    obs = rows().reset_index(drop=True)
    obs["excluded_reason"] = np.where(obs.index < 40, "high_mito", "")
    data = build(obs=obs)
    malignancy(data, drivers=DRIVERS)
    lines = access.store(data)["malignancy_lines"].set_index(["clone_id", "line"])
    assert lines.loc[("T", "phenotype"), "n_informative"] == 56


def test_tumour_cells_whose_receptor_was_not_read_are_no_background():
    obs = pd.concat([rows(), b.cell_rows("biopsy", "", 400, subset="T", start=5000)]).reset_index(drop=True)
    data = build(obs=obs)
    null = np.flatnonzero(((obs["clone_id"] == "") & (obs["subset"] == "T")).to_numpy())
    matrix = data["gex"].X.tolil()
    for gene in ("CD5", "CD7", "CD3E"):
        matrix[null, data["gex"].var_names.get_loc(gene)] = 0
    data["gex"].X = matrix.tocsr()
    malignancy(data)
    assert table(data).loc["T", "llr_phenotype"] > 2


def test_annotated_t_cells_are_the_background_where_receptors_are_few():
    obs = pd.concat([b.cell_rows("biopsy", "T", 150), b.small_clones("biopsy", 10, 2),
                     b.cell_rows("biopsy", "", 200, subset="CD8_T")]).reset_index(drop=True)
    data = build(obs=obs, panel=False)
    malignancy(data)
    assert table(data).loc["T", "llr_phenotype"] > 2


def test_several_patients_are_an_error():
    obs = rows()
    data = build(obs=obs.assign(patient=np.where(obs["sample"] == "blood", "Q", "P")))
    with pytest.raises(InputError, match="2 patients"):
        malignancy(data)


def test_the_users_classifier_is_one_capped_line():
    data = build(panel=False)
    mine = access.text(data, "clone_id") == "T"
    data.obs["score"] = np.where(mine, 0.9, 0.2)
    malignancy(data, classifier="score")
    assert table(data).loc["T", "llr_classifier"] == 1.5
    assert table(data)["llr_classifier"].drop("T").max() < 0.3
    malignancy(data)
    assert table(data)["llr_classifier"].isna().all()
    data.obs["score"] = np.where(mine, 9.0, 0.2)
    with pytest.raises(InputError, match=r"holds 0\.2 to 9"):
        malignancy(data, classifier="score")
    with pytest.raises(InputError, match="no such column in the data, and no such file"):
        malignancy(data, classifier="scores")


def test_the_users_classifier_as_a_file_of_cells(tmp_path):
    data, again = build(panel=False), build(panel=False)
    score = np.where(access.text(data, "clone_id") == "T", 0.9, 0.1)
    rows = data.obs.assign(probability=score)[["sample", "barcode", "probability"]]
    rows.to_csv(tmp_path / "c.csv", index=False)
    data.obs["score"] = score
    malignancy(data, classifier="score")
    malignancy(again, classifier=tmp_path / "c.csv")
    pd.testing.assert_series_equal(table(data)["llr_classifier"], table(again)["llr_classifier"])
    part = rows.astype({"probability": object})
    part.iloc[0, 2] = "NA"
    malignancy(again, classifier=part)  # a frame in any index; one cell not assessed
    part.iloc[0, 2] = "0,9"
    with pytest.raises(InputError, match="holds '0,9'"):
        malignancy(again, classifier=part)
    rows.assign(barcode="NOWHERE").to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(InputError, match="in no sample of the data"):
        malignancy(data, classifier=tmp_path / "c.csv")
    with pytest.raises(InputError, match="no such column in the data, and no such file"):
        malignancy(data, classifier=tmp_path / "absent.csv")
