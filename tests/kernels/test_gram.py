"""Products of columns and scores of rows against the plain version, on every device."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from sclineage import _backend
from sclineage._errors import InputError
from sclineage.kernels import gram as kernel
from tests.oracles import gram as oracle

COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def matrix(n: int, g: int, *, density: float = 0.3, most: int = 40_000, seed: int = 0) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    dense = rng.integers(-most, most + 1, (n, g)) * (rng.random((n, g)) < density)
    return sparse.csr_matrix(dense.astype(np.int32))


def weights(g: int, k: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(g, k)), rng.normal(size=k)


@pytest.mark.parametrize(("n", "g", "density"), [(0, 3, 0.5), (1, 1, 1.0), (40, 7, 0.4), (7, 60, 0.1), (33, 12, 1.0),
                                                 (20, 5, 0.0)])
def test_products_and_scores_equal_the_oracle(backend: str, n: int, g: int, density: float) -> None:
    x = matrix(n, g, density=density, seed=n)
    products, sums = kernel.gram(x, device=backend)
    assert products.dtype == sums.dtype == np.int64
    assert (products.tolist(), sums.tolist()) == oracle.gram(x.toarray())
    plane, offset = weights(g, 4)
    scores = kernel.project(x, plane, offset, device=backend)
    assert scores.dtype == np.float32 and scores.tobytes() == oracle.project(x.toarray(), plane, offset).tobytes()


@settings(max_examples=25, **COMMON)
@given(rows=st.lists(st.lists(st.integers(-kernel.LARGEST, kernel.LARGEST), min_size=3, max_size=3), min_size=1,
                     max_size=9))
def test_the_largest_values_are_exact(backend: str, rows: list[list[int]]) -> None:
    dense = np.array(rows, dtype=np.int32)
    products, sums = kernel.gram(sparse.csr_matrix(dense), device=backend)
    assert (products.tolist(), sums.tolist()) == oracle.gram(dense)


def test_blocks_of_rows_do_not_matter(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, (plane, offset) = matrix(50, 9), weights(9, 3)
    whole = kernel.gram(x, device=backend), kernel.project(x, plane, offset, device=backend)
    monkeypatch.setattr(kernel, "ROWS", 7)
    monkeypatch.setattr(kernel, "BLOCK_BYTES", 9 * 8 * 11)
    parts = kernel.gram(x, device=backend), kernel.project(x, plane, offset, device=backend)
    assert all(np.array_equal(a, b) for a, b in zip(whole[0], parts[0], strict=True))
    assert whole[1].tobytes() == parts[1].tobytes()


def test_threads_do_not_matter() -> None:
    x, (plane, offset) = matrix(900, 60), weights(60, 8)
    results = []
    for threads in (1, 2):
        with _backend.threads(threads):
            results.append([a.tobytes() for a in (*kernel.gram(x, device="cpu"),
                                                  kernel.project(x, plane, offset, device="cpu"))])
    assert results[0] == results[1]


def test_order_of_rows_and_of_entries_does_not_matter(backend: str) -> None:
    x = matrix(60, 10)
    mixed = x[np.random.default_rng(0).permutation(60)]
    assert np.array_equal(kernel.gram(x, device=backend)[0], kernel.gram(mixed, device=backend)[0])
    turned = sparse.csr_matrix((x.data[::-1], x.indices[::-1], x.indptr[-1] - x.indptr[::-1]), x.shape)  # rows too
    assert np.array_equal(kernel.gram(x, device=backend)[0], kernel.gram(turned, device=backend)[0])
    plane, offset = weights(10, 3)
    scores = (kernel.project(m, plane, offset, device=backend) for m in (x, turned))
    assert np.array_equal(next(scores), next(scores)[::-1])


@pytest.mark.parametrize(("x", "words"), [
    (sparse.csr_matrix(np.ones((2, 2))), "float64; give a sparse matrix of whole numbers"),
    (np.ones((2, 2), dtype=np.int32), "found ndarray"),
    (sparse.csr_matrix(np.full((2, 2), kernel.LARGEST + 1)), "found 1048577 in 2 rows"),
])
def test_bad_matrices_are_named(x: sparse.csr_matrix, words: str) -> None:
    with pytest.raises(InputError, match=words):
        kernel.gram(x)


def test_weights_of_another_matrix_are_refused() -> None:
    with pytest.raises(InputError, match=r"found \(4, 3\); give \(9, 3\)"):
        kernel.project(matrix(5, 9), *weights(4, 3))
