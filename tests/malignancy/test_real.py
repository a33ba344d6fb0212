"""Real clones of patients without T-cell malignancy: none may be accused."""

from __future__ import annotations

import numpy as np
import pytest

from sclineage.malignancy import genome
from sclineage.malignancy.api import malignancy
from sclineage.malignancy.decoys import plant_arms
from sclineage.patient import access

from .realdata import carpall, clustered


@pytest.mark.real
@pytest.mark.parametrize("patient", ["P02", "P10"])
@pytest.mark.parametrize("prior", [0.01, 0.5])
def test_no_real_benign_clone_is_accused(public_data, patient, prior, capsys):
    data = carpall(public_data / "carpall-cart-gex-vdj", patient)
    malignancy(data, prior=prior)
    found = access.table(data, "malignancy").merge(access.table(data, "receptors")[["clone_id", "n_cells"]])
    large = found[found["n_cells"] >= 8]
    with capsys.disabled():
        print(f"\n{patient}, prior {prior}: {len(found)} clones, {len(large)} of >= 8 cells (largest "
              f"{large['n_cells'].max()}); highest posterior {found['malignant_p'].max():.3g}; calls "
              f"{found['malignant_call'].value_counts().to_dict()}; phenotype {large['llr_phenotype'].min():.2f} to "
              f"{large['llr_phenotype'].max():.2f}; cycling to {large['llr_cycling'].max():.2f}")
    assert len(large) >= 12
    assert set(found["malignant_call"]) == {"not_assessable"}
    assert large["llr_phenotype"].max() < 0


@pytest.mark.real
def test_markers_taken_from_a_real_clone_are_seen(public_data):
    """Spike: the largest clone of P02 loses CD3E, CD5 and CD7; the line must reach its call threshold."""
    data = carpall(public_data / "carpall-cart-gex-vdj", "P02")
    clone = access.text(data, "clone_id")
    names, sizes = np.unique(clone[clone != ""], return_counts=True)
    [name] = names[sizes == sizes.max()]
    gex = data["gex"]
    rows = np.flatnonzero(clone == name)
    matrix = gex.X.tolil()
    for gene in ("CD3E", "CD5", "CD7"):
        matrix[rows, gex.var_names.get_loc(gene)] = 0
    gex.X = matrix.tocsr()
    malignancy(data)
    found = access.table(data, "malignancy").set_index("clone_id").loc[name]
    assert found["llr_phenotype"] > 1.5
    assert "CD3E lost, CD5 lost, CD7 lost" in found["malignant_sentence"]


@pytest.mark.real
def test_copy_number_of_real_benign_clones_and_of_one_with_planted_arms(public_data, capsys):
    data = clustered(carpall(public_data / "carpall-cart-gex-vdj", "P02"))
    malignancy(data, prior=0.5)
    benign = access.table(data, "malignancy").set_index("clone_id")["llr_copy_number"].dropna()
    assert (access.table(data, "clone_arms")["called"] == 0).all()
    clone, gex = access.text(data, "clone_id"), data["gex"]
    names, sizes = np.unique(clone[clone != ""], return_counts=True)
    [name] = names[sizes == sizes.max()]
    arm = genome.positions(gex.var["gene_ids"].to_numpy(object))["arm"].to_numpy(object)
    gex.X = plant_arms(gex.X.tocsr(), arm, clone == name, losses=["9p", "17p"], gains=["8q", "1q"], dosage=0.85)
    malignancy(data, prior=0.5)
    planted = access.table(data, "malignancy").set_index("clone_id")
    with capsys.disabled():
        print(f"\n{benign.size} benign clones: llr {benign.min():.2f} to {benign.max():.2f}; planted "
              f"{planted.loc[name, 'malignant_sentence']}")
    assert benign.size >= 20
    assert benign.max() < 1
    assert planted.loc[name, "llr_copy_number"] > 3
    assert planted.loc[name, "malignant_call"] in ("malignant", "suspicious")  # no lost marker, no cycling
    assert (planted.drop(name)["llr_copy_number"].dropna() < 3).all()
