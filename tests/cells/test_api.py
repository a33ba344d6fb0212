"""Embedding, neighbours, clusters and map on AnnData and MuData, from nothing to a few hundred cells."""

from __future__ import annotations

from pathlib import Path

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from sclineage import _backend
from sclineage._errors import InputError
from sclineage.cells.annotate_api import annotate
from sclineage.cells.api import cluster, embed, neighbors, umap
from sclineage.patient.contigs import FIELDS, airr_modality

N_GENES = 120
NAMES = ["CD3D", "LYZ", "CD79A", "TRBV20-1", "MT-CO1", "RPL3", "CAR1", *(f"GENE{i}" for i in range(N_GENES - 7))]


def populations(n: int, *, groups: int = 3, seed: int = 0) -> AnnData:
    """`groups` kinds of cells; the masked genes split them in another way, strongly."""
    rng = np.random.default_rng(seed)
    means = rng.gamma(0.5, 4.0, (groups, N_GENES))
    matrix = rng.poisson(means[np.arange(n) % groups]) if n else np.zeros((0, N_GENES))
    matrix[:, 3:7] = rng.poisson(200, (n, 4)) * (np.arange(n) % 2)[:, None]
    obs = pd.DataFrame({"half": np.arange(n) % 2}, index=[f"c{i:04d}" for i in range(n)])
    return AnnData(sparse.csr_matrix(matrix.astype(np.int32)), obs=obs, var=pd.DataFrame(index=NAMES))


def whole(data: AnnData | MuData, **arguments: object) -> None:
    embed(data, n_pcs=10, n_top_genes=60)
    neighbors(data, **arguments)
    cluster(data)


@pytest.mark.parametrize("weights", ["umap", "snn"])
def test_clusters_find_the_populations_and_not_the_masked_genes(weights: str) -> None:
    data = populations(240)
    data.uns["sclineage"] = {"car_features": np.array(["CAR1"], dtype=object)}
    before = data.X.copy()
    whole(data, weights=weights)
    labels = data.obs["leiden"].astype(str).to_numpy()
    for word in set(labels):
        cells = np.flatnonzero(labels == word)
        assert len(set(cells % 3)) == 1  # one population
        assert 0.2 < (cells % 2).mean() < 0.8  # and both kinds by the masked genes
    assert data.obs["leiden"].value_counts().index[0] == "0"
    assert not data.var.loc[["TRBV20-1", "MT-CO1", "RPL3", "CAR1"], "highly_variable"].any()
    assert data.var["highly_variable"].sum() == 60
    assert (before != data.X).nnz == 0 and data.X.dtype == np.int32
    assert data.obsm["X_pca"].shape == (240, 10) and data.obsm["X_pca"].dtype == np.float32


@pytest.mark.parametrize("solver", ["arpack", "gram"])
def test_the_same_input_gives_the_same_bytes_for_any_number_of_threads(solver: str) -> None:
    results = []
    for threads in (1, 2):
        data = populations(150)
        with _backend.threads(threads):
            embed(data, n_top_genes=50, solver=solver)
            neighbors(data)
            cluster(data, threads=threads)
            umap(data)
        results.append((data.obsm["X_pca"].tobytes(), data.obsp["connectivities"].toarray().tobytes(),
                        data.obs["leiden"].astype(str).tolist(), data.obsm["X_umap"].tobytes()))
    assert results[0] == results[1]


def test_neighbours_are_scanpys() -> None:
    data = populations(200)
    embed(data)
    neighbors(data, n_neighbors=12)
    other = AnnData(obs=data.obs[[]], obsm={"X_pca": data.obsm["X_pca"]})
    sc.pp.neighbors(other, n_neighbors=12, use_rep="X_pca")
    ours, theirs = data.obsp["distances"].toarray(), other.obsp["distances"].toarray()
    assert (ours > 0).sum(axis=1).tolist() == [11] * 200
    assert np.array_equal(ours > 0, theirs > 0) and np.allclose(ours, theirs, rtol=1e-4)
    assert np.allclose(data.obsp["connectivities"].toarray(), other.obsp["connectivities"].toarray(), atol=1e-4)
    connectivities = data.obsp["connectivities"]
    assert abs(connectivities - connectivities.T).max() < 1e-6


def test_both_solvers_find_the_same_components() -> None:
    data, other = populations(200), populations(200)
    embed(data, n_pcs=8, n_top_genes=60)
    embed(other, n_pcs=8, n_top_genes=60, solver="gram", device="cpu")
    assert np.array_equal(data.var["highly_variable"], other.var["highly_variable"])
    assert np.allclose(data.obsm["X_pca"][:, :2], other.obsm["X_pca"][:, :2], atol=0.02)  # signs too
    assert np.allclose(data.uns["pca"]["variance"], other.uns["pca"]["variance"], rtol=1e-4)
    cosines = np.linalg.svd(data.varm["PCs"][:, :2].T @ other.varm["PCs"][:, :2], compute_uv=False)
    assert cosines.min() > 0.999
    assert (data.varm["PCs"][~data.var["highly_variable"].to_numpy()] == 0).all()
    assert other.obsm["X_pca"].dtype == np.float32


def test_scanpy_goes_on_from_there() -> None:
    data = populations(90)
    whole(data)
    sc.tl.umap(data)
    sc.tl.paga(data, groups="leiden")
    sc.tl.diffmap(data)
    sc.pl.pca_variance_ratio(data, show=False)
    sc.pl.pca_loadings(data, components="1,2", show=False)
    sc.pl.umap(data, color="leiden", show=False)
    assert data.obsm["X_umap"].shape == (90, 2)


def test_every_cell_has_neighbours_at_every_time_point() -> None:
    data = populations(120)
    data.obs["day"] = np.repeat([-5.0, 20.0, np.nan], 40)
    embed(data)
    data.obsm["X_pca"][:40] += 100  # nothing near them at another day
    neighbors(data, n_neighbors=10, quota_key="day", device="cpu")
    graph = data.obsp["distances"].toarray() > 0
    found = np.stack([graph[:, day * 40 : day * 40 + 40].sum(axis=1) for day in range(3)], axis=1)
    assert found.tolist() == [[4 - (row // 40 == day) for day in range(3)] for row in range(120)]  # 10 over 3, itself
    assert data.uns["neighbors"]["params"]["quota_key"] == "day"
    with pytest.raises(InputError, match="no column 'time'"):
        neighbors(data, quota_key="time")


def test_a_gene_that_differs_between_samples_is_not_ranked_for_it() -> None:
    data, rng = populations(400), np.random.default_rng(1)
    data.obs["sample"] = np.where(np.arange(400) % 4 < 2, "a", "b")
    matrix = data.X.toarray()
    matrix[:, 40:44] = rng.poisson(2 * (data.obs["sample"] == "a").to_numpy()[:, None], (400, 4))
    data.X = sparse.csr_matrix(matrix)
    embed(data, n_top_genes=60)
    assert data.var["highly_variable"].to_numpy()[40:44].any()
    embed(data, n_top_genes=60, batch_key="sample")
    assert not data.var["highly_variable"].to_numpy()[40:44].any() and data.var["highly_variable"].sum() == 60
    data.obs["sample"] = [f"s{i}" for i in range(400)]  # too small to rank anything
    embed(data, n_top_genes=60, batch_key="sample")
    assert data.var["highly_variable"].to_numpy()[40:44].any()


def test_further_groups_of_genes_are_masked_on_demand() -> None:
    data = populations(150)
    data.var_names = [{10: "MKI67", 11: "FOS", 12: "XIST"}.get(i, name) for i, name in enumerate(data.var_names)]
    embed(data, n_top_genes=N_GENES)
    assert data.var.loc[["MKI67", "FOS", "XIST"], "highly_variable"].all()
    embed(data, n_top_genes=N_GENES, mask=("cycle", "sex"))
    assert data.var.loc[["MKI67", "FOS", "XIST"], "highly_variable"].tolist() == [False, True, False]
    with pytest.raises(InputError, match="found 'age'; use cycle or stress or sex"):
        embed(data, mask=("age",))


def test_stability_over_seeds_is_written() -> None:
    data = populations(200)
    embed(data)
    neighbors(data)
    cluster(data, rng=5)
    alone = data.obs["leiden"].tolist()
    assert "stability" not in data.uns["leiden"]
    cluster(data, rng=5, n_seeds=4)
    assert data.obs["leiden"].tolist() == alone
    each = data.uns["leiden"]["stability"]
    assert each.shape == (data.obs["leiden"].nunique(),) and ((each > 0) & (each <= 1)).all()
    assert data.obs["leiden_stability"].tolist() == each[data.obs["leiden"].astype(int)].tolist()
    assert 0 < data.uns["leiden"]["agreement"] <= 1
    with pytest.raises(InputError, match="n_seeds: found 0"):
        cluster(data, n_seeds=0)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7, 20])
@pytest.mark.parametrize(("weights", "solver"), [("umap", "arpack"), ("snn", "gram")])
def test_small_data_work(n: int, weights: str, solver: str) -> None:
    data = populations(n)
    embed(data, n_pcs=10, n_top_genes=60, solver=solver, batch_key="half")
    neighbors(data, weights=weights, quota_key="half" if weights == "snn" else None)
    cluster(data, n_seeds=2)
    umap(data)
    assert data.obsm["X_pca"].shape[0] == n and data.obsm["X_umap"].shape == (n, 2)
    assert len(data.obs["leiden"]) == n and np.isfinite(data.obsm["X_umap"]).all()
    assert data.obsp["connectivities"].shape == (n, n)


def test_cells_without_counts_do_no_harm() -> None:
    data = populations(30)
    matrix = data.X.toarray()
    matrix[:5] = 0
    data.X = sparse.csr_matrix(matrix)
    whole(data)
    assert np.isfinite(data.obsm["X_pca"]).all()
    blank = populations(10)
    blank.X = sparse.csr_matrix((10, N_GENES), dtype=np.int32)
    whole(blank)
    assert blank.obs["leiden"].nunique() >= 1


def test_what_is_missing_is_named() -> None:
    data = populations(10)
    with pytest.raises(InputError, match=r"no 'X_pca' \(run sl\.pp\.embed first\)"):
        neighbors(data)
    with pytest.raises(InputError, match=r"run sl\.pp\.neighbors first"):
        cluster(data)
    with pytest.raises(InputError, match=r"run sl\.pp\.neighbors first"):
        umap(data)
    embed(data)
    with pytest.raises(InputError, match="found 'gauss'; use umap or snn"):
        neighbors(data, weights="gauss")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="use one of auto, cpu, cuda"):
        neighbors(data, device="tpu")  # type: ignore[arg-type]
    normal = populations(10)
    normal.X = sparse.csr_matrix(np.log1p(normal.X.toarray()))
    with pytest.raises(InputError, match="raw integer counts"):
        embed(normal)


def patient() -> MuData:
    gex = populations(60)
    cells = [*gex.obs_names, "t1", "t2"]
    chain = dict.fromkeys(FIELDS, "x") | {"cell_id": "t1", "locus": "TRB", "umi_count": 2, "consensus_count": 9,
                                          "productive": True, "is_cell": True, "high_confidence": True}
    b_cell = chain | {"cell_id": "t2", "locus": "IGH"}
    return MuData({"airr": airr_modality(pd.DataFrame([chain, b_cell]), cells), "gex": gex})


def test_a_mudata_gets_clusters_and_subsets_for_all_its_cells(tmp_path: Path) -> None:
    mdata = patient()
    whole(mdata)
    assert "cluster_stability" not in mdata.obs
    cluster(mdata, n_seeds=3)
    assert np.isnan(mdata.obs["cluster_stability"][-2:]).all() and (mdata.obs["cluster_stability"][:60] > 0).all()
    annotate(mdata)
    assert mdata.obs["cluster"].tolist()[-2:] == ["", ""]
    assert mdata.obs["cluster"].tolist()[:60] == mdata["gex"].obs["leiden"].astype(str).tolist()
    assert mdata.obs["subset"].tolist()[-2:] == ["T", ""] and set(mdata.obs["subset_state"]) == {""}
    assert set(mdata.obs["subset"][:60]) <= {"CD4_T", "CD8_T", "T", "NK", "B", "myeloid", "other"}
    mdata.write_h5mu(tmp_path / "m.h5mu")
    back = mudata.read_h5mu(tmp_path / "m.h5mu")
    assert back.obs["subset"].astype(str).tolist() == mdata.obs["subset"].tolist()
    assert np.array_equal(back["gex"].obsm["X_pca"], mdata["gex"].obsm["X_pca"])
    mdata["gex"].write_h5ad(tmp_path / "g.h5ad")
    assert anndata.read_h5ad(tmp_path / "g.h5ad").uns["neighbors"]["params"]["method"] == "umap"


def test_car_counts_reach_the_annotation() -> None:
    data = populations(4, groups=1)
    matrix = np.zeros((4, N_GENES), dtype=np.int32)
    matrix[1, NAMES.index("CAR1")] = 1
    matrix[2, NAMES.index("CD3D")] = 2
    matrix[3, NAMES.index("LYZ")] = 30
    data.X = sparse.csr_matrix(matrix)
    annotate(data)
    assert data.obs["subset"].tolist() == ["other", "other", "T", "myeloid"]
    data.uns["sclineage"] = {"car_features": np.array(["CAR1"], dtype=object)}
    annotate(data)
    assert data.obs["subset"].tolist() == ["other", "T", "T", "myeloid"]
