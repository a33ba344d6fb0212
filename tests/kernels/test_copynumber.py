"""Running means along the genome against the plain version, bit by bit, on every device."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from sclineage import _backend
from sclineage._errors import InputError
from sclineage.kernels import copynumber as kernel
from tests.oracles import copynumber as oracle

GENES = (37, 12, 61, 0, 1)


def genome(rng: np.random.Generator, sizes: tuple[int, ...] = GENES, unused: int = 5) -> tuple[list[np.ndarray], int]:
    """Columns of each chromosome in order of position; some columns lie on none."""
    n = sum(sizes) + unused
    columns = rng.permutation(n)
    return np.split(columns[:sum(sizes)], np.cumsum(sizes)[:-1]), n


def expression(rng: np.random.Generator, cells: int, genes: int, density: float = 0.2) -> np.ndarray:
    counts = rng.poisson(3.0, (cells, genes)) * (rng.random((cells, genes)) < density)
    return np.log1p(counts * rng.uniform(0.2, 9.0, (cells, 1))).astype(np.float32)


def run(x: np.ndarray, groups: np.ndarray, chromosomes: list[np.ndarray], device: str, *, window: int, step: int,
        **more: object) -> tuple[kernel.Profile, tuple[np.ndarray, np.ndarray]]:
    matrix = sparse.csr_matrix(x)
    bounds = kernel.reference_bounds(matrix, groups, int(groups.max()) + 1)
    windows = kernel.plan(chromosomes, x.shape[1], window=window, step=step)
    return kernel.profile(matrix, *bounds, windows, device=device, **more), bounds


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), window=st.integers(1, 40), step=st.integers(1, 13),
       n_groups=st.integers(1, 3), noise_rows=st.sampled_from([None, 1, 3]), clip=st.sampled_from([0.5, 3.0]))
def test_equals_the_oracle_property(backend: str, seed: int, window: int, step: int, n_groups: int,
                                    noise_rows: int | None, clip: float) -> None:
    rng = np.random.default_rng(seed)
    chromosomes, n = genome(rng)
    x = expression(rng, 7, n)
    groups = np.append(np.arange(n_groups), rng.integers(-1, n_groups, 7 - n_groups))
    more = {"window": window, "step": step, "clip": clip, "noise_rows": noise_rows}
    found, bounds = run(x, groups, chromosomes, backend, **more)
    assert all(np.array_equal(a, b) for a, b in zip(bounds, oracle.bounds(x, groups, n_groups), strict=True))
    expected = oracle.profile(x, *bounds, chromosomes, **more)
    assert found.values.dtype == np.float32
    assert found.values.has_sorted_indices and (found.values.data != 0).all()
    assert np.array_equal(found.values.toarray(), expected)


@pytest.mark.parametrize("n_groups", [1, 2])
def test_blocks_and_chunks_meet_the_oracle(backend: str, n_groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(n_groups)
    chromosomes, n = genome(rng)
    x, groups = expression(rng, 23, n), np.arange(23) % n_groups
    whole, bounds = run(x, groups, chromosomes, backend, window=10, step=3)
    assert np.array_equal(whole.values.toarray(), oracle.profile(x, *bounds, chromosomes, window=10, step=3))
    for name in ("BLOCK_BYTES", "CHUNK_BYTES"):
        monkeypatch.setattr(kernel, name, 2000)
    for kept in (1 << 31, 0):
        monkeypatch.setattr(kernel, "KEPT_BYTES", kept)
        parts, _ = run(x, groups, chromosomes, backend, window=10, step=3)
        assert (whole.values != parts.values).nnz == 0
        assert np.array_equal(whole.bound, parts.bound) and np.array_equal(whole.centre, parts.centre)


def test_oracle_is_near_the_published_pipeline() -> None:
    rng = np.random.default_rng(5)
    chromosomes, n = genome(rng, (150, 120, 90))
    x, groups = expression(rng, 40, n), np.arange(40) % 2
    for noise_rows in (None, 15):
        more = {"window": 30, "step": 5, "noise_rows": noise_rows}
        found, bounds = run(x, groups, chromosomes, "cpu", **more)
        published = oracle.published(x, *bounds, chromosomes, **more)
        assert np.array_equal(found.values.toarray() != 0, published != 0)
        assert np.abs(found.values.toarray() - published).max() < 2e-7


def test_order_of_cells_does_not_matter(backend: str) -> None:
    rng = np.random.default_rng(6)
    chromosomes, n = genome(rng)
    x, groups, order = expression(rng, 31, n), np.arange(31) % 2, rng.permutation(31)
    one, _ = run(x, groups, chromosomes, backend, window=12, step=4)
    other, _ = run(x[order], groups[order], chromosomes, backend, window=12, step=4)
    assert (one.values[order] != other.values).nnz == 0


def test_stored_zeros_unsorted_columns_and_wide_types_change_nothing(backend: str) -> None:
    rng = np.random.default_rng(7)
    chromosomes, n = genome(rng)
    x = expression(rng, 9, n)
    windows = kernel.plan(chromosomes, n, window=8, step=2)
    rows = np.repeat(np.arange(9), n)
    columns = np.concatenate([rng.permutation(n) for _ in range(9)])
    full = sparse.csr_matrix((9, n), dtype=np.float64)
    full.data, full.indices = x[rows, columns].astype(np.float64), columns.astype(np.int64)
    full.indptr = np.arange(10, dtype=np.int64) * n
    plain = sparse.csr_matrix(x)
    bounds = kernel.reference_bounds(plain, np.zeros(9, int), 1)
    assert all(np.array_equal(a, b) for a, b in zip(bounds, kernel.reference_bounds(full, np.zeros(9, int), 1),
                                                    strict=True))
    results = [kernel.profile(m, *bounds, windows, device=backend).values for m in (plain, full)]
    assert (results[0] != results[1]).nnz == 0


def test_empty_rows_and_no_rows(backend: str) -> None:
    rng = np.random.default_rng(8)
    chromosomes, n = genome(rng)
    x = expression(rng, 5, n)
    x[2] = 0
    found, bounds = run(x, np.zeros(5, int), chromosomes, backend, window=10, step=3)
    assert np.array_equal(found.values.toarray(), oracle.profile(x, *bounds, chromosomes, window=10, step=3))
    windows = kernel.plan(chromosomes, n, window=10, step=3)
    none = kernel.profile(sparse.csr_matrix((0, n), dtype=np.float32), *bounds, windows, device=backend)
    assert none.values.shape == (0, windows.divisor.size)


def test_nothing_differs_from_a_reference_of_equal_cells(backend: str) -> None:
    rng = np.random.default_rng(9)
    chromosomes, n = genome(rng)
    x = np.repeat(expression(rng, 1, n), 4, axis=0)
    found, _ = run(x, np.zeros(4, int), chromosomes, backend, window=10, step=3)
    assert found.values.nnz == 0 and (found.bound == 0).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_matter(threads: int) -> None:
    rng = np.random.default_rng(10)
    chromosomes, n = genome(rng)
    x = expression(rng, 50, n)
    one, _ = run(x, np.zeros(50, int), chromosomes, "cpu", window=10, step=3)
    with _backend.threads(threads):
        other, _ = run(x, np.zeros(50, int), chromosomes, "cpu", window=10, step=3)
    assert (one.values != other.values).nnz == 0


def test_plan_counts_windows_like_the_oracle() -> None:
    rng = np.random.default_rng(11)
    chromosomes, n = genome(rng)
    for window, step in ((10, 3), (7, 7), (3, 9), (36, 10), (37, 1), (100, 10)):
        windows = kernel.plan(chromosomes, n, window=window, step=step)
        expected = [len(oracle.weights(len(g), window, step)) if len(g) else 0 for g in chromosomes]
        assert np.diff(windows.start).tolist() == expected
        assert windows.count.max() <= -(-window // step) or window >= max(GENES)


def test_survey() -> None:
    assert kernel.survey(sparse.csr_matrix([[1.0, 0, 2]])) == (True, True, 2.0)
    assert kernel.survey(sparse.csr_matrix([[-1.5, 0, np.inf]])) == (False, False, 1.5)
    assert not kernel.survey(sparse.csr_matrix([[np.nan]]))[0]


@pytest.mark.parametrize(("change", "words"), [
    ({"x": np.full((3, 4), np.nan, np.float32)}, "not finite"), ({"x": np.full((3, 4), 2e6, np.float32)}, "million"),
    ({"clip": 0.0}, "clip: found 0.0"), ({"clip": 8.0}, "clip: found 8.0"), ({"noise_rows": 0}, "chunks of 0"),
    ({"low": np.zeros(3, np.float32)}, "4 genes, but bounds of 3"),
])
def test_bad_input_is_named(change: dict, words: str) -> None:
    four = np.zeros(4, np.float32)
    given_ = {"x": np.ones((3, 4), np.float32), "low": four, "high": four} | change
    x, low, high = sparse.csr_matrix(given_.pop("x")), given_.pop("low"), given_.pop("high")
    windows = kernel.plan([np.arange(4)], 4, window=2, step=1)
    with pytest.raises(InputError, match=words):
        kernel.profile(x, low, high, windows, **given_)


def test_bad_windows_and_references_are_named() -> None:
    with pytest.raises(InputError, match="window_size: found 0"):
        kernel.plan([np.arange(4)], 4, window=0)
    with pytest.raises(InputError, match="no gene lies on a chromosome"):
        kernel.plan([np.arange(0)], 4)
    with pytest.raises(InputError, match="no cell in one of the reference groups"):
        kernel.reference_bounds(sparse.csr_matrix(np.ones((2, 2))), np.array([0, 0]), 2)
    huge = kernel.plan([np.arange(20_000)], 20_000, window=15_000, step=10)
    with pytest.raises(InputError, match="not exact"):
        kernel.profile(sparse.csr_matrix((1, 20_000), dtype=np.float32), np.zeros(20_000), np.zeros(20_000), huge)
