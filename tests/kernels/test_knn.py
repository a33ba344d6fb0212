"""Nearest neighbours against the plain version, on every device."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba import njit

from sclineage import _backend
from sclineage._errors import InputError
from sclineage.kernels import knn, knn_cpu, knn_tile, knn_tree
from tests.oracles import knn as oracle

COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def cells(n: int, d: int, *, seed: int = 0, groups: int = 5) -> np.ndarray:
    """Groups of points with falling variance per coordinate, as scores of principal components have, float32."""
    rng = np.random.default_rng(seed)
    spread = np.linspace(8.0, 0.5, d)
    centres = rng.normal(size=(groups, d)) * spread
    return (centres[rng.integers(0, groups, n)] + rng.normal(size=(n, d))).astype(np.float32)


def same(got: tuple[np.ndarray, np.ndarray], expected: tuple[list[list[int]], list[list[float]]]) -> bool:
    return got[0].tolist() == expected[0] and got[1].tolist() == expected[1]


@pytest.mark.parametrize(("n", "d", "k"), [(1, 3, 1), (2, 3, 2), (40, 5, 7), (60, 2, 60), (300, 10, 15), (700, 30, 5),
                                           (130, 70, 4)])
def test_equals_the_oracle(backend: str, n: int, d: int, k: int) -> None:
    points = cells(n, d, seed=n)
    got = knn.nearest(points, k, device=backend)
    assert got[0].dtype == np.int32 and got[1].dtype == np.float64 and got[0].shape == got[1].shape == (n, k)
    assert same(got, oracle.nearest(points, k))


@settings(max_examples=25, **COMMON)
@given(grid=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=14), k=st.integers(1, 14))
def test_ties_and_duplicates_go_to_the_lower_index(backend: str, grid: list[tuple[int, int]], k: int) -> None:
    points = np.array(grid, dtype=float)
    k = min(k, len(points))
    assert same(knn.nearest(points, k, device=backend), oracle.nearest(points, k))


def test_a_lattice_has_ties_at_every_cut(backend: str) -> None:
    points = np.stack(np.meshgrid(*[np.arange(7)] * 3), axis=-1).reshape(-1, 3)
    assert same(knn.nearest(points, 5, device=backend), oracle.nearest(points, 5))


def test_many_duplicates_keep_themselves_first(backend: str) -> None:
    indices, lengths = knn.nearest(np.zeros((400, 3)), 5, device=backend)
    assert indices[:, 0].tolist() == list(range(400)) and (lengths == 0).all()
    assert indices[10].tolist() == [10, 0, 1, 2, 3] and indices[2].tolist() == [2, 0, 1, 3, 4]


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1e-20), (0.0, 1e20), (1e6, 1.0), (1e9, 1.0)])
def test_scale_and_place_of_the_cloud_do_not_matter(backend: str, shift: float, scale: float) -> None:
    points = cells(300, 8).astype(np.float64) * scale + shift
    points[0] *= 1 if shift else 50  # an outlier
    assert same(knn.nearest(points, 6, device=backend), oracle.nearest(points, 6))


def test_many_leaves_equal_the_oracle() -> None:
    points, k = cells(3000, 20, seed=6), 15
    indices, distances = knn.nearest(points, k, device="cpu")
    for row in range(7, 3000, 100):
        squares = [-1.0 if j == row else oracle.squared(points[row], points[j]) for j in range(3000)]
        ranked = sorted(range(3000), key=lambda j: (squares[j], j))[:k]
        assert indices[row].tolist() == ranked
        assert distances[row].tolist() == [max(squares[j], 0.0) ** 0.5 for j in ranked]


@pytest.mark.parametrize(("n", "d", "start", "stop"), [(1, 16, 0, 16), (7, 20, 0, 16), (13, 52, 16, 52),
                                                       (12, 16, 16, 16)])
def test_a_tile_subtracts_products_and_marks_what_is_below(n: int, d: int, start: int, stop: int) -> None:
    rng, lanes = np.random.default_rng(n), knn_tile.LANES
    queries, strip = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(d, lanes)).astype(np.float32)
    seed, before = rng.normal(size=lanes).astype(np.float32), rng.normal(size=(n, lanes)).astype(np.float32)
    most = rng.normal(size=n).astype(np.float32)
    listed = np.array([*range(n)[::-1], *[0] * (-n % knn_tile.ROWS)])  # the last one fills its tile
    products = queries[:, start:stop].astype(float) @ strip[start:stop].astype(float)
    for tile, first in ((_begin, 0.0), (_finish, before)):
        room, bits = before.copy(), np.zeros(n, dtype=np.uint16)
        tile(queries, listed, strip, start, stop, seed, room, most, bits)
        assert np.allclose(room, seed + first - products, atol=1e-5)
        assert [[(int(b) >> t) & 1 for t in range(lanes)] for b in bits] == (room < most[:, None]).astype(int).tolist()


@njit
def _begin(queries, listed, strip, start, stop, seed, room, most, bits):  # type: ignore[no-untyped-def]
    for at in range(0, listed.size, knn_tile.ROWS):
        knn_tile.begin_tile(queries, listed, at, strip, start, stop, seed, room, most, bits)


@njit
def _finish(queries, listed, strip, start, stop, seed, room, most, bits):  # type: ignore[no-untyped-def]
    for at in range(0, listed.size, knn_tile.ROWS):
        knn_tile.finish_tile(queries, listed, at, strip, start, stop, seed, room, most, bits)


@pytest.mark.parametrize("n", [1, 16, 17, 128, 129, 257, 1000, 1025])
def test_leaves_hold_whole_strips_of_every_point(n: int) -> None:
    tree = knn_tree.build(np, cells(n, 5, seed=n).astype(np.float64), [np.arange(n)])
    sizes = np.diff(tree.starts)
    assert sizes.min() > 0 and sizes.max() <= knn_cpu.LEAF and (sizes[:-1] % knn_tile.LANES == 0).all()
    assert (sizes.size & (sizes.size - 1)) == 0 and np.sort(tree.order).tolist() == list(range(n))


def test_threads_do_not_matter() -> None:
    points = cells(3000, 20)
    results = []
    for threads in (1, 2):
        with _backend.threads(threads):
            results.append(knn.nearest(points, 15, device="cpu"))
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_order_of_the_points_does_not_matter(backend: str) -> None:
    points = cells(500, 12, seed=3)
    order = np.random.default_rng(0).permutation(500)
    straight, mixed = (knn.nearest(p, 8, device=backend) for p in (points, points[order]))
    assert np.array_equal(straight[1][order], mixed[1])
    assert np.array_equal(straight[0][order], order[mixed[0]])  # no ties here


@pytest.mark.parametrize(("n", "d", "k", "groups"), [(50, 4, 3, 3), (300, 10, 4, 2), (700, 20, 3, 5), (9, 2, 6, 4),
                                                     (400, 6, 1, 3)])
def test_quotas_equal_the_oracle(backend: str, n: int, d: int, k: int, groups: int) -> None:
    points, rng = cells(n, d, seed=n), np.random.default_rng(n)
    labels = rng.choice(groups, n, p=rng.dirichlet(np.ones(groups))) * 3 - 1  # of unequal sizes, any numbers
    got = knn.nearest(points, k, groups=labels, device=backend)
    assert got[0].shape[1] == sum(min(k, c) for c in np.unique(labels, return_counts=True)[1])
    assert same(got, oracle.nearest_of_each(points, k, labels.tolist()))


def test_quotas_reach_into_groups_that_lie_far_away(backend: str) -> None:
    points = cells(600, 8, seed=4)
    labels = np.arange(600) % 3
    points[labels == 2] += 40
    expected = oracle.nearest_of_each(points, 3, labels.tolist())
    assert same(knn.nearest(points, 3, groups=labels, device=backend), expected)


@settings(max_examples=25, **COMMON)
@given(grid=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=14),
       k=st.integers(1, 5))
def test_quotas_have_the_same_ties(backend: str, grid: list[tuple[int, int, int]], k: int) -> None:
    points, labels = np.array([g[:2] for g in grid], dtype=float), np.array([g[2] for g in grid])
    k = min(k, len(points))
    assert same(knn.nearest(points, k, groups=labels, device=backend),
                oracle.nearest_of_each(points, k, labels.tolist()))


def test_one_group_is_no_group(backend: str) -> None:
    points = cells(200, 5)
    one = knn.nearest(points, 6, groups=np.full(200, 7), device=backend)
    assert all(np.array_equal(a, b) for a, b in zip(one, knn.nearest(points, 6, device=backend), strict=True))


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match=r"found int64 of shape \(2,\); give 3 whole numbers"):
        knn.nearest(np.zeros((3, 2)), 1, groups=np.array([0, 1]))


def test_most_points_are_certified_by_the_fast_search() -> None:
    points = cells(2000, 50, seed=7).astype(np.float64)
    tree = knn_tree.build(np, points, [np.arange(2000)])
    rows, bound = np.full((2000, 22), -1, dtype=np.int32), np.empty(2000, dtype=np.float32)
    knn._search_cpu(tree, 0, rows, bound)
    indices, squares = np.empty((2000, 15), dtype=np.int32), np.empty((2000, 15))
    knn_cpu.rerank(points, tree.order, rows, indices, squares)
    assert knn._certified(tree, bound, squares[tree.order, -1], 50).mean() > 0.999


def test_a_row_that_lost_a_neighbour_is_never_certified() -> None:
    """The bound of the search is the proof: lowered to what a lossy search would report, it refuses."""
    points = cells(600, 10, seed=2).astype(np.float64)
    tree = knn_tree.build(np, points, [np.arange(600)])
    rows, bound = np.full((600, 12), -1, dtype=np.int32), np.empty(600, dtype=np.float32)
    knn._search_cpu(tree, 0, rows, bound)
    ends = zip(tree.order, tree.order[rows[:, 2]], strict=True)
    lost = 0.5 * tree.scale**2 * np.array([oracle.squared(points[i], points[j]) for i, j in ends])
    rows[:, 2] = -1
    indices, squares = np.empty((600, 5), dtype=np.int32), np.empty((600, 5))
    knn_cpu.rerank(points, tree.order, rows, indices, squares)
    assert not knn._certified(tree, np.minimum(bound, lost).astype(np.float32), squares[tree.order, -1], 10).any()


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 3), (90, 12)])
def test_shared_counts_equal_the_oracle(backend: str, n: int, k: int) -> None:
    indices = np.stack([np.random.default_rng(i).permutation(n)[:k] for i in range(n)])
    counts = knn.shared_counts(indices, device=backend)
    assert counts.dtype == np.int32 and counts.tolist() == oracle.shared_counts(indices)


def test_nothing_in_nothing_out(backend: str) -> None:
    indices, distances = knn.nearest(np.empty((0, 4)), 0, device=backend)
    assert indices.shape == distances.shape == (0, 0)
    assert knn.shared_counts(np.empty((0, 3), dtype=np.int32), device=backend).shape == (0, 3)


@pytest.mark.parametrize(("points", "k", "words"), [
    (np.zeros(3), 1, "shape"), (np.array([["a"]]), 1, "shape"), (np.array([[0.0], [np.nan]]), 1, "row 1 is not finite"),
    (np.zeros((3, 2)), 0, "found 0; give 1 to 3"), (np.zeros((3, 2)), 4, "found 4; give 1 to 3"),
])
def test_bad_input_is_named(points: np.ndarray, k: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        knn.nearest(points, k)


def test_bad_rows_are_named() -> None:
    with pytest.raises(InputError, match="rows 0 to 3"):
        knn.shared_counts(np.array([[0, 3], [1, 0]]))
