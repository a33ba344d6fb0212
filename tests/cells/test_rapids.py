"""The contract with rapids-singlecell: which functions are called, with what, and what happens without it."""

from __future__ import annotations

import inspect
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from sclineage import _backend
from sclineage._errors import InputError, MissingDependencyError
from sclineage.cells import rapids
from sclineage.cells.api import harmony, neighbors, umap


def cells(n: int = 40) -> AnnData:
    points = np.random.default_rng(0).normal(size=(n, 5)).astype(np.float32)
    obs = pd.DataFrame({"sample": np.where(np.arange(n) % 2, "a", "b")}, index=[f"c{i}" for i in range(n)])
    data = AnnData(obs=obs, obsm={"X_pca": points})
    neighbors(data, device="cpu")
    return data


class Fake(ModuleType):
    """As much of the package as we use, with its argument names; notes the calls."""

    def __init__(self) -> None:
        super().__init__("rapids_singlecell")
        self.calls: list[str] = []

        def umap(adata: AnnData, *, random_state: int = 0) -> None:
            assert {"connectivities", "distances"} <= set(adata.obsp) and "params" in adata.uns["neighbors"]
            self.calls.append(f"umap {random_state}")
            adata.obsm["X_umap"] = np.full((adata.n_obs, 2), 7.0)

        def harmony_integrate(adata: AnnData, key: str, *, basis: str = "X_pca",
                              adjusted_basis: str = "X_pca_harmony", random_state: int = 0) -> None:
            assert adata.obs[key].nunique() == 2 and adata.obsm[basis].dtype == np.float32
            self.calls.append(f"harmony {random_state}")
            adata.obsm[adjusted_basis] = adata.obsm[basis] + 1

        self.tl, self.pp = SimpleNamespace(umap=umap), SimpleNamespace(harmony_integrate=harmony_integrate)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    module = Fake()
    monkeypatch.setitem(sys.modules, "rapids_singlecell", module)
    monkeypatch.setattr(_backend, "cuda_available", lambda: True)
    return module


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_map_and_correction_go_to_rapids(fake: Fake, device: Any) -> None:
    data = cells()
    umap(data, rng=3, device=device)
    harmony(data, batch_key="sample", rng=4, device=device)
    assert fake.calls == ["umap 3", "harmony 4"]
    assert data.obsm["X_umap"].dtype == np.float32 and (data.obsm["X_umap"] == 7).all()
    assert np.array_equal(data.obsm["X_pca_harmony"], data.obsm["X_pca"] + 1)


def test_the_default_stays_on_the_host(fake: Fake) -> None:
    umap(cells())
    assert fake.calls == []


def test_without_it_the_host_serves_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapids_singlecell", None)
    monkeypatch.setattr(_backend, "cuda_available", lambda: True)
    assert not rapids.wanted("auto")
    with pytest.raises(MissingDependencyError, match=r"pip install 'sclineage\[rapids\]'"):
        umap(cells(), device="cuda")
    with pytest.raises(InputError, match="use one of auto, cpu, cuda"):
        umap(cells(), device="tpu")  # type: ignore[arg-type]


def test_the_real_package_has_these_arguments() -> None:
    module = rapids._module()
    if module is None:
        pytest.skip("rapids-singlecell does not import here")
    fake = Fake()
    for ours, theirs in ((fake.tl.umap, module.tl.umap), (fake.pp.harmony_integrate, module.pp.harmony_integrate)):
        assert set(inspect.signature(ours).parameters) <= set(inspect.signature(theirs).parameters)


def test_one_batch_needs_no_correction_and_a_column_must_exist() -> None:
    data = cells()
    data.obs["one"] = "x"
    harmony(data, batch_key="one")
    assert np.array_equal(data.obsm["X_pca_harmony"], data.obsm["X_pca"])
    with pytest.raises(InputError, match="no column 'batch'"):
        harmony(data, batch_key="batch")


def test_harmonypy_takes_a_shift_out() -> None:
    pytest.importorskip("harmonypy")
    data, kind = cells(600), np.arange(600) // 2 % 3
    centres = np.random.default_rng(1).normal(size=(3, 5)) * 12
    batch = (data.obs["sample"] == "a").to_numpy()
    data.obsm["X_pca"] = (data.obsm["X_pca"] + centres[kind] + 2.0 * batch[:, None]).astype(np.float32)
    harmony(data, batch_key="sample")
    found = data.obsm["X_pca_harmony"]
    assert found.shape == (600, 5) and found.dtype == np.float32
    for population in range(3):
        ours, theirs = (found[(kind == population) & (batch == b)].mean(axis=0) for b in (False, True))
        assert np.linalg.norm(ours - theirs) < 0.5 * np.linalg.norm(np.full(5, 2.0))
    again = data.obsm["X_pca_harmony"].copy()
    harmony(data, batch_key="sample")
    assert np.array_equal(again, data.obsm["X_pca_harmony"])


def test_harmonypy_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harmonypy", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'sclineage\[harmony\]'"):
        harmony(cells(), batch_key="sample")
