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
from sclineage.cells.api import annotate, cluster, embed, neighbors, umap
from sclineage.patient.contigs import FIELDS, airr_modality

N_GENES = 120
NAMES = ["CD3D", "LYZ", "CD79A", "TRBV20-1", "MT-CO1", "RPL3", "CAR1", *(f"GENE{i}" for i in range(N_GENES - 7))]


def populations(n: int, *, groups: int = 3, seed: int = 0) -> AnnData:
    """`groups` kinds of cells; the masked genes split them in another way, strongly."""
    rng = np.random.default_rng(seed)
    means = rng.gamma(0.5, 4.0, (groups, N_GENES))
    matrix = rng.poisson(means[np.arange(n) % groups]) if n else np.zeros((0, N_GENES))
    matrix[:, 3:7] = rng.poisson(200, (n, 4)) * (np.arange(n) % 2)[:, None]
    return AnnData(sparse.csr_matrix(matrix.astype(np.int32)), obs=pd.DataFrame(index=[f"c{i:04d}" for i in range(n)]),
                   var=pd.DataFrame(index=NAMES))


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


def test_the_same_input_gives_the_same_bytes_for_any_number_of_threads() -> None:
    results = []
    for threads in (1, 2):
        data = populations(150)
        with _backend.threads(threads):
            embed(data, n_top_genes=50)
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


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7, 20])
@pytest.mark.parametrize("weights", ["umap", "snn"])
def test_small_data_work(n: int, weights: str) -> None:
    data = populations(n)
    whole(data, weights=weights)
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
    annotate(mdata)
    assert mdata.obs["cluster"].tolist()[-2:] == ["", ""]
    assert mdata.obs["cluster"].tolist()[:60] == mdata["gex"].obs["leiden"].astype(str).tolist()
    assert mdata.obs["subset"].tolist()[-2:] == ["T", ""]
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
