"""Components from exact products: numpy's, the same bits everywhere, signs fixed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sclineage import _backend
from sclineage.cells import components as module
from sclineage.cells.components import components
from tests.kernels import shim


def expression(n: int = 200, genes: int = 60, *, seed: int = 0) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(size=(n, 3)) @ rng.normal(size=(3, genes)) * 0.6 - 1.0)
    return sparse.csr_matrix(np.log1p(rng.poisson(rate)).astype(np.float32))


def test_they_are_the_eigenvectors_of_the_covariance() -> None:
    x = expression()
    found = components(x, 10, device="cpu")
    dense = x.toarray().astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(dense.T))
    assert np.allclose(found.variance, values[::-1][:10], rtol=1e-4)
    assert np.allclose(found.variance_ratio, found.variance / np.trace(np.cov(dense.T)), rtol=1e-3)
    assert np.abs((found.loadings[:, :3] * vectors[:, ::-1][:, :3]).sum(axis=0)).min() > 1 - 1e-6
    assert np.allclose(found.scores, (dense - dense.mean(axis=0)) @ found.loadings, atol=2e-3)
    assert found.scores.dtype == np.float32 and abs(found.scores.mean(axis=0)).max() < 1e-4


def test_the_largest_loading_is_positive() -> None:
    loadings = components(expression(seed=3), 12, device="cpu").loadings
    assert (loadings[np.abs(loadings).argmax(axis=0), np.arange(12)] > 0).all()


def test_both_solvers_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x = expression(300, 90)
    whole = components(x, 4, device="cpu")
    monkeypatch.setattr(module, "FULL", 10)
    few = components(x, 4, device="cpu")
    assert np.allclose(whole.variance, few.variance, rtol=1e-9) and np.allclose(whole.scores, few.scores, atol=1e-4)


@pytest.mark.skipif(not shim.available(), reason="no g++")
def test_the_device_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    x = expression(150, 40)
    host = components(x, 8, device="cpu")
    shim.install(monkeypatch)
    device = components(x, 8, device="cuda")
    assert host.scores.tobytes() == device.scores.tobytes() and host.loadings.tobytes() == device.loadings.tobytes()


@pytest.mark.gpu
def test_a_cuda_device_gives_the_same_bytes() -> None:
    if not _backend.cuda_available():
        pytest.skip("no CUDA device")
    x = expression(3000, 700)
    host, device = (components(x, 30, device=d) for d in ("cpu", "cuda"))
    assert host.scores.tobytes() == device.scores.tobytes()


def test_order_of_cells_does_not_matter() -> None:
    x, order = expression(), np.random.default_rng(1).permutation(200)
    straight, mixed = components(x, 6, device="cpu"), components(x[order], 6, device="cpu")
    assert straight.scores[order].tobytes() == mixed.scores.tobytes()


def test_cells_that_do_not_vary_have_no_variance() -> None:
    found = components(sparse.csr_matrix(np.ones((8, 5), dtype=np.float32)), 3, device="cpu")
    assert (found.variance == 0).all() and np.isfinite(found.scores).all() and abs(found.scores).max() < 1e-6
