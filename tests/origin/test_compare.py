"""Comparison of populations: what was planted comes out, per time point, and too few cells say nothing."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sclineage._errors import InputError
from sclineage.origin.compare_api import MIN_CELLS, compare
from sclineage.patient import access
from tests.malignancy import builders as b

SHEET = {"early": {"day": -30}, "late": {"day": 60, "specimen": "biopsy"}}


def build(*, order=None):
    obs = pd.concat([
        b.cell_rows("late", "T", 60, population="malignant"), b.small_clones("late", 50, 1, population="other_T"),
        b.small_clones("late", 4, 1, prefix="c", population="CAR-T"),
        b.small_clones("early", 30, 1, prefix="e", population="other_T")]).reset_index(drop=True)
    rng = np.random.default_rng(1)
    counts = b.expression(obs, rng, lost={"T": ("CD7",)})
    counts["GENE3"] = rng.poisson(np.where(obs["clone_id"] == "T", 300, 100))
    if order is not None:
        obs, counts = obs.iloc[order], counts.iloc[order]
    return b.patient(obs, counts, samples=SHEET)


@pytest.fixture(scope="module")
def found():
    data = build()
    compare(data)
    return access.table(data, "compare")


def test_what_was_planted_is_found_once_and_with_its_direction(found):
    assert set(zip(found["population_a"], found["population_b"], found["sample"], strict=True)) == {
        ("malignant", "other_T", "biopsy")}  # four CAR-T cells, and early T cells alone, are no pair
    by_gene = found.set_index("gene")
    assert by_gene.loc["CD7", ["change", "share_a", "n_a", "n_b"]].tolist() == ["lost", 0.0, 60, 50]
    assert by_gene.loc["GENE3", "change"] == "gained"
    assert by_gene.loc["GENE3", "log2_fold"] == pytest.approx(np.log2(3), abs=0.3)
    assert by_gene.loc["GENE3", "profile_a"] > by_gene.loc["GENE3", "profile_b"] + 1
    assert set(by_gene.index[by_gene["change"] != ""]) == {"CD7", "GENE3"}
    assert (found["day"] == 60).all()
    assert by_gene.loc[["CD3E", "CD4", "TNFRSF8"], "marker"].all()


def test_profiles_are_the_summed_cells(found):
    data = build()
    mine = (access.text(data, "population") == "malignant") & (access.text(data, "sample") == "late")
    total = np.asarray(data["gex"].X[mine].sum(axis=0)).ravel()
    at = data["gex"].var_names.get_loc("GENE3")
    expected = np.log2(1e6 * total[at] / total.sum() + 1)
    assert found.set_index("gene").loc["GENE3", "profile_a"] == pytest.approx(expected)


def test_antibodies_are_compared_too():
    data = build()
    obs = data["gex"].obs
    mine = access.text(data, "population") == "malignant"
    rng = np.random.default_rng(2)
    adt = ad.AnnData(sparse.csr_matrix(np.column_stack([
        rng.poisson(np.where(mine, 2.0, 40.0)), rng.poisson(30.0, mine.size), rng.poisson(30.0, mine.size)]).astype(
            np.float32)), obs=pd.DataFrame(index=obs.index), var=pd.DataFrame(index=["CD5_ab", "CD45_ab", "CD2_ab"]))
    data.mod["adt"] = adt
    data.update()
    compare(data)
    table = access.table(data, "compare").query("modality == 'adt'").set_index("gene")
    assert table["change"].to_dict() == {"CD5_ab": "lost", "CD45_ab": "", "CD2_ab": ""}


def test_order_of_cells_does_not_matter(found):
    data = build(order=np.random.default_rng(0).permutation(144))
    compare(data)
    again = access.table(data, "compare")
    assert again["gene"].tolist() == found["gene"].tolist()
    assert np.allclose(again["p_adjusted"], found["p_adjusted"])


def test_nothing_to_compare_is_an_empty_table_and_no_population_an_error():
    data = build()
    few = np.flatnonzero(access.text(data, "population") == "malignant")[MIN_CELLS - 1:]
    population = access.text(data, "population")
    population[few] = "not_assessed"
    access.put(data, {"population": population})
    compare(data)
    assert access.table(data, "compare").empty
    del data.obs["population"]
    with pytest.raises(InputError, match="populations first"):
        compare(data)
