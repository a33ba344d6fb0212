"""Copy number as a line of evidence: planted arms speak, silence clears nobody, a large tumour accuses no other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sclineage._errors import InputError
from sclineage.malignancy import arms, copynumber
from sclineage.malignancy.api import malignancy
from sclineage.malignancy.decoys import plant_arms
from sclineage.malignancy.lines import Scores
from sclineage.patient import access

from . import builders as b
from .test_arms import CLONES, cohort
from .test_lines import make

PLANTED = {"losses": ["9p", "17p"], "gains": ["8q"]}


def plant(data, clone, seed=5):
    return data | {"x": plant_arms(data["x"], data["arm"], data["clone"] == clone, rng=seed, **PLANTED)}


def arm_test(data, *, n_clones=CLONES, reference=None, stand_in=None):
    everyone = np.ones(data["sample"].size, bool) if reference is None else reference
    gene_arm = arms.gene_arms(data["x"], data["symbols"], data["arm"], everyone)
    return copynumber.arm_test(arms.arm_counts(data["x"], gene_arm), data["clone"], n_clones, data["stratum"],
                               data["sample"], everyone, stand_in)


def line(test, n_clones=CLONES) -> Scores:
    cells = make(np.arange(n_clones), arms=test)
    return copynumber.score(cells, 0)


@pytest.fixture(scope="module")
def planted():
    return plant(cohort(11), 2)


@pytest.fixture(scope="module")
def seen(planted):
    return line(arm_test(planted))


def test_planted_arms_speak_and_are_named(seen):
    assert seen.llr[2] > 6
    assert seen.detail[2] == "8q gained, 9p lost, 17p lost"
    assert (np.delete(seen.llr, 2) < 0).all()
    assert seen.detail[3] in ("no arm of 43 clearly altered", "no arm of 44 clearly altered")
    assert copynumber.LINE.cap(seen.llr).max() <= 9


def test_silence_is_weak_and_never_clears_alone(seen):
    silent = np.delete(seen.llr, 2)
    assert (silent > np.log(0.3)).all()  # three of ten lymphomas would be as silent
    assert (seen.power > 0.6).all()  # twenty cells see four arms
    assert (seen.power <= copynumber.ANEUPLOID).all()


def test_ratio_is_a_mixture_of_aneuploid_and_diploid_lymphomas():
    llr = np.array([-40.0, 0.0, 40.0, np.nan])
    assert copynumber.ratio(llr)[:3] == pytest.approx([np.log(0.3), 0.0, 40 + np.log(0.7)])
    assert np.isnan(copynumber.ratio(llr)[3])


def dominant():
    """One clone, three of its arms altered, is six of ten T cells of both samples and looks like the others."""
    data = cohort(12, cells=1600)
    data["clone"] = np.where(data["clone"] < 0, CLONES, data["clone"])  # 1000 cells outside the small clones
    return plant(data, CLONES)


def test_a_dominant_tumour_does_not_accuse_the_others(monkeypatch):
    data = dominant()
    found = arm_test(data, n_clones=CLONES + 1)
    assert found.llr[CLONES] > 5
    assert (found.llr[:CLONES] < 3).all()
    monkeypatch.setattr(copynumber, "MOST_ALTERED", 0)  # nobody leaves the reference
    assert (arm_test(data, n_clones=CLONES + 1).llr[:CLONES] > 3).any()


def test_samples_without_other_t_cells_need_a_stand_in(planted):
    mine = planted["clone"] == 2
    sample = np.where(mine, 2, planted["sample"])  # the tumour is alone in a sample of its own
    data = planted | {"sample": sample, "stratum": np.where(mine, 9, planted["stratum"])}
    assert np.isnan(arm_test(data).llr[2])
    assert np.isnan(line(arm_test(data)).llr[2])
    assert line(arm_test(data)).power[2] == 0
    assert arm_test(data, stand_in=planted["sample"] == 0).llr[2] > 3
    wide = arm_test(data, stand_in=planted["sample"] == 0).error[2]
    assert (wide >= arm_test(planted).error[2]).all()


def test_clones_below_five_cells_are_not_assessed(planted):
    small = planted["clone"].copy()
    small[np.flatnonzero(small == 2)[4:]] = -1
    assert np.isnan(arm_test(planted | {"clone": small}).llr[2])


def test_order_of_cells_does_not_matter(planted):
    order = np.random.default_rng(0).permutation(planted["sample"].size)
    other = {k: v if k in ("arm", "symbols") else v[order] for k, v in planted.items()}
    assert np.array_equal(arm_test(planted).llr, arm_test(other).llr)


def test_without_an_arm_test_the_line_is_not_assessed():
    found = copynumber.score(make(np.arange(3)), 0)
    assert np.isnan(found.llr).all()
    assert (found.power == 0).all()


# --- from the patient's data -----------------------------------------------------------------------------------------
def patient(data, **columns):
    """MuData of one patient: clones of the cohort, its phenotypes as clusters."""
    n = data["sample"].size
    names = [f"c{c:02d}" if c >= 0 else f"s{i:04d}" for i, c in enumerate(data["clone"])]
    obs = pd.DataFrame({"patient": "P", "sample": np.where(data["sample"] == 0, "blood", "biopsy"),
                        "barcode": [f"b{i:05d}" for i in range(n)], "clone_id": names, "clone_status": "assigned",
                        "subset": "CD8_T", "has_trb": True, "cluster": data["stratum"].astype(str)} | columns)
    out = b.patient(obs, pd.DataFrame(data["x"].toarray(), columns=data["symbols"]))
    out["gex"].var["arm"] = data["arm"]
    return out


def params(data):
    return access.store(data)["params"]["malignancy"]


def test_the_line_carries_a_call_with_its_arms(planted):
    data = patient(planted)
    malignancy(data, prior=0.5)
    found = access.table(data, "malignancy").set_index("clone_id")
    assert found.loc["c02", "malignant_call"] == "malignant"
    assert found.loc["c02", "malignant_basis"] == "genetic"
    assert found.loc["c02", "malignant_driver"] == "copy_number"
    assert "copy_number +" in found.loc["c02", "malignant_sentence"]
    assert "8q gained" in found.loc["c02", "malignant_sentence"]
    others = found.drop("c02")
    assert set(others["malignant_call"]) == {"not_assessable"}  # power of 0.7 at most
    assert others.loc[[c for c in others.index if c.startswith("s")], "llr_copy_number"].isna().all()
    table = access.table(data, "clone_arms")
    mine = table[(table["clone_id"] == "c02") & (table["called"] != 0)].set_index("arm")["called"]
    assert mine.to_dict() == {"8q": 1, "9p": -1, "17p": -1}
    assert "copy_number_not_assessed" not in params(data)


@pytest.mark.parametrize(("change", "why"), [
    (lambda d: d.obs.pop("cluster"), "no phenotype clusters"),
    (lambda d: d["gex"].var.pop("arm"), "positions of the genes are not known"),
    (lambda d: d["gex"].var.__setitem__("arm", np.where(d["gex"].var["arm"] == "1p", "1p", "")), "only 1 chromosome"),
])
def test_what_is_missing_is_said(planted, change, why):
    data = patient(planted)
    change(data)
    malignancy(data, prior=0.5)
    assert access.table(data, "malignancy")["llr_copy_number"].isna().all()
    assert why in params(data)["copy_number_not_assessed"]
    assert access.table(data, "clone_arms").empty


@pytest.mark.parametrize("ids", ["ENSMUSG", "ENSG"])
def test_another_species_and_nameless_genes_are_not_assessed(planted, ids):
    data = patient(planted)
    gex = data["gex"]
    gex.var_names = [f"{ids}{i:011d}" for i in range(gex.n_vars)]
    if ids == "ENSMUSG":
        gex.var["gene_symbols"] = planted["symbols"]
        gex.var.pop("arm")
    gex.varm["in_sample"] = pd.DataFrame(True, index=gex.var_names, columns=["biopsy", "blood"])
    malignancy(data, prior=0.5)
    said = params(data)["copy_number_not_assessed"]
    assert ("not human" if ids == "ENSMUSG" else "symbols are not known") in said


def test_a_gtf_of_another_genome_is_an_error(planted, tmp_path):
    path = tmp_path / "x.gtf"
    path.write_text('chr1\tx\tgene\t5\t9\t.\t+\t.\tgene_id "ENSG00000000001";\n')
    with pytest.raises(InputError, match="0% of"):
        malignancy(patient(planted), prior=0.5, gtf=path)


def test_the_role_cnv_reference_stands_in(planted):
    data = patient(planted | {"sample": np.where(planted["clone"] == 2, 1, 0)})
    malignancy(data, prior=0.5)
    assert np.isnan(access.table(data, "malignancy").set_index("clone_id").loc["c02", "llr_copy_number"])
    sheet = access.store(data)["samples"]
    sheet["role"] = np.where(sheet["sample"] == "blood", "cnv_reference", "")
    malignancy(data, prior=0.5)
    assert access.table(data, "malignancy").set_index("clone_id").loc["c02", "llr_copy_number"] > 3


def test_a_gene_that_one_sample_lacks_takes_no_part(planted):
    data = patient(planted)
    gex = data["gex"]
    held = pd.DataFrame(gex.varm["in_sample"]).copy()
    lacking = (gex.var["arm"] == "8q").to_numpy()
    held.loc[lacking, "biopsy"] = False
    gex.varm["in_sample"] = held
    malignancy(data, prior=0.5)
    assert "8q" not in set(access.table(data, "clone_arms")["arm"])
