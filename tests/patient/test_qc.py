"""Quality control: exact sums, reasons in order, doublet scores that depend on nothing but their well."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from sclineage._errors import InputError
from sclineage.patient.api import qc

N_GENES = 300
NAMES = [f"GENE{i}" for i in range(N_GENES - 4)] + ["MT-CO1", "MT-ND1", "CAR1", "EBV_A"]


def patient(n: int = 150, *, seed: int = 0, wells: int = 1) -> MuData:
    """Two kinds of cells in `wells` wells, some of them doublets of both; CAR and virus add UMIs that are not depth."""
    rng = np.random.default_rng(seed)
    means = rng.gamma(0.6, 3.0, (2, N_GENES))
    kind = np.arange(n) // wells % 2
    matrix = rng.poisson(means[kind])
    matrix[: n // 10] += rng.poisson(means[1 - kind[: n // 10]])
    matrix[:, -2:] = 40
    sample = np.array([f"S{i % wells}" for i in range(n)], dtype=object)
    names = np.array([f"{s}_{i:04d}" for i, s in enumerate(sample)], dtype=object)
    order = np.argsort(names.astype(str))
    gex = AnnData(sparse.csr_matrix(matrix[order].astype(np.int32)),
                  obs=pd.DataFrame({"sample": sample[order]}, index=names[order]), var=pd.DataFrame(index=NAMES))
    mdata = MuData({"gex": gex})
    mdata.obs["sample"] = sample[order]
    mdata.uns["sclineage"] = {"car_features": np.array(["CAR1"], dtype=object),
                              "virus_features": np.array(["EBV_A"], dtype=object)}
    return mdata


def test_sums_leave_car_and_virus_out() -> None:
    mdata = patient()
    qc(mdata, min_umi=1, min_genes=1, doublets=False)
    matrix = mdata["gex"].X.toarray()[:, :-2]
    assert mdata.obs["n_umi"].tolist() == matrix.sum(axis=1).tolist()
    assert mdata.obs["n_genes"].tolist() == (matrix > 0).sum(axis=1).tolist()
    assert np.allclose(mdata.obs["mito_share"], matrix[:, -2:].sum(axis=1) / matrix.sum(axis=1), rtol=1e-15)
    assert mdata.obs["doublet_score"].isna().all()
    assert mdata.uns["sclineage"]["params"]["qc"]["min_umi"] == 1


def test_reasons_come_in_order() -> None:
    mdata = patient(6)
    matrix = np.zeros((6, N_GENES), dtype=np.int32)
    matrix[:, :250] = 3  # passes: 750 UMIs of 250 genes
    matrix[1] = 0
    matrix[1, 0], matrix[1, -2:] = 10, 9000  # low, however much CAR and virus
    matrix[2] = 0
    matrix[2, :100] = 10  # few genes
    matrix[3, -4] = 400  # mitochondrial
    matrix[4] = 0
    matrix[4, -4] = 100  # low before mitochondrial
    matrix[5] = 0
    mdata["gex"].X = sparse.csr_matrix(matrix)
    qc(mdata, doublets=False)
    assert mdata.obs["excluded_reason"].tolist() == ["", "low_umi", "few_genes", "high_mito", "low_umi", "low_umi"]
    assert np.isnan(mdata.obs["mito_share"].iloc[5])


def test_doublets_are_scored_per_well_and_the_same_every_time() -> None:
    mdata = patient(260, wells=2)
    qc(mdata, min_umi=1, min_genes=1)
    scores = mdata.obs["doublet_score"].to_numpy()
    assert np.isfinite(scores).all()
    number = np.array([int(n.split("_")[1]) for n in mdata.obs_names])
    order = scores[number < 26][:, None] - scores[number >= 26][None, :]
    assert ((order > 0).mean() + 0.5 * (order == 0).mean()) > 0.8  # area under the curve
    alone = mdata[mdata.obs["sample"].to_numpy() == "S1"].copy()
    again = MuData({"gex": alone["gex"].copy()})
    again.obs["sample"] = "S1"
    again.uns["sclineage"] = {k: mdata.uns["sclineage"][k] for k in ("car_features", "virus_features")}
    qc(again, min_umi=1, min_genes=1)
    assert np.array_equal(again.obs["doublet_score"], scores[mdata.obs["sample"].to_numpy() == "S1"])


def test_a_small_well_has_no_scores_and_says_so() -> None:
    mdata = patient(60)
    qc(mdata, min_umi=1, min_genes=1)
    assert mdata.obs["doublet_score"].isna().all()
    assert list(mdata.uns["sclineage"]["notes"]) == ["S0: no doublet scores, 60 cells pass quality control (under 100)"]
    qc(mdata, min_umi=1, min_genes=1)
    assert len(mdata.uns["sclineage"]["notes"]) == 1


def test_cells_without_a_matrix_are_missing_never_excluded(tmp_path) -> None:
    gex = patient(10)["gex"]
    other = AnnData(obs=pd.DataFrame(index=[*gex.obs_names, "T_1"]), obsm={"x": np.zeros((11, 1))})
    mdata = MuData({"airr": other, "gex": gex})
    mdata.obs["sample"] = ["S0"] * 10 + ["T"]
    qc(mdata)
    last = mdata.obs.loc["T_1"]
    assert np.isnan(last["n_umi"]) and last["excluded_reason"] == ""
    mdata.write_h5mu(tmp_path / "q.h5mu")
    back = mudata.read_h5mu(tmp_path / "q.h5mu")
    assert back.obs["excluded_reason"].astype(str).tolist() == mdata.obs["excluded_reason"].tolist()


def test_normalised_values_are_refused() -> None:
    mdata = patient(10)
    mdata["gex"].X = sparse.csr_matrix(np.log1p(mdata["gex"].X.toarray()))
    with pytest.raises(InputError, match="raw integer counts"):
        qc(mdata)


def test_a_plain_anndata_will_do() -> None:
    gex = patient(20)["gex"].copy()
    qc(gex, min_umi=1, min_genes=1)
    assert gex.obs["n_umi"].tolist() == gex.X.toarray().sum(axis=1).tolist()
