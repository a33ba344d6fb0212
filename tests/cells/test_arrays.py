"""Gene mask, exact neighbours and subset rules, against slow plain versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sclineage.cells.genes import masked
from sclineage.cells.neighbors import distance_graph, knn, snn_weights
from sclineage.cells.subsets import MARKERS, SUBSETS, subsets


def test_what_tells_clones_and_vectors_is_masked() -> None:
    out = ["TRAV1-2", "TRBV20-1", "TRBV20OR9-2", "TRGV9", "TRGVA", "TRDV1", "TRAJ33", "TRBJ2-7", "TRGJP1", "TRDJ1",
           "TRBD1", "TRAC", "TRBC1", "TRBC2", "TRDC", "TRGC2", "IGHV3-23", "IGKV1-39", "IGLV2-14", "IGHD3-10", "IGHD",
           "IGHJ4", "IGKJ2", "IGHM", "IGHG1", "IGHA2", "IGHE", "IGKC", "IGLC2", "MT-CO1", "MT-ND4L", "RPS4X",
           "RPS4Y1", "RPL10A", "RPL3", "RPLP0", "RPSA", "RPS27L", "CAR1"]
    kept = ["TRADD", "TRAF1", "TRDN", "TRDMT1", "IGHMBP2", "IGF1", "RPS6KA1", "MTOR", "CD3D", "TRAT1", "IGLL5"]
    assert [n for n, m in zip(out, masked(out, extra=["CAR1"]), strict=True) if not m] == []
    assert [n for n, m in zip(kept, masked(kept), strict=True) if m] == []


def slow_knn(points: np.ndarray, k: int) -> tuple[list[list[int]], list[list[float]]]:
    rows, lengths = [], []
    for i, p in enumerate(points):
        order = sorted((-1.0 if j == i else float(((p - q) ** 2).sum()), j) for j, q in enumerate(points))
        rows.append([j for _, j in order[:k]])
        lengths.append([max(d, 0.0) ** 0.5 for d, _ in order[:k]])
    return rows, lengths


@pytest.mark.parametrize(("n", "d", "k"), [(1, 3, 1), (2, 3, 2), (40, 5, 7), (60, 2, 60), (300, 10, 15)])
def test_neighbours_are_exact(n: int, d: int, k: int) -> None:
    points = np.random.default_rng(n).normal(size=(n, d)).astype(np.float32)
    indices, lengths = knn(points, k)
    rows, expected = slow_knn(points.astype(np.float64), k)
    assert indices.tolist() == rows and indices.dtype == np.int32
    assert np.allclose(lengths, expected, rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=14), st.integers(1, 14))
def test_ties_and_duplicates_go_to_the_lower_index(grid: list[tuple[int, int]], k: int) -> None:
    points = np.array(grid, dtype=float)
    k = min(k, len(points))
    assert knn(points, k)[0].tolist() == slow_knn(points, k)[0]


def test_many_duplicates_keep_themselves_first() -> None:
    indices, lengths = knn(np.zeros((100, 3)), 5)
    assert indices[:, 0].tolist() == list(range(100)) and (lengths == 0).all()


def test_shared_neighbours_are_jaccard_ratios() -> None:
    points = np.random.default_rng(0).normal(size=(50, 4))
    indices, _ = knn(points, 6)
    sets = [set(row.tolist()) for row in indices]
    expected = np.zeros((50, 50))
    for i in range(50):
        for j in range(50):
            if i != j and (j in sets[i] or i in sets[j]):
                expected[i, j] = len(sets[i] & sets[j]) / len(sets[i] | sets[j])
    assert np.array_equal(snn_weights(indices).toarray(), expected)


def test_distances_leave_the_cell_itself_out() -> None:
    indices, lengths = knn(np.array([[0.0], [0.0], [2.0]]), 2)
    graph = distance_graph(indices, lengths)
    assert graph.nnz == 3 and graph.toarray().tolist() == [[0, 0, 0], [0, 0, 0], [2.0, 0, 0]]


def one(receptor: bool = False, car: int = 0, **umi: int) -> str:
    values = {group: np.array([umi.get(group, 0)]) for group in MARKERS}
    return subsets(values, receptor=np.array([receptor]), car=np.array([car]))[0]


@pytest.mark.parametrize(("cell", "word"), [
    ({"t": 5, "cd8": 2, "cd4": 1}, "CD8_T"), ({"t": 2, "cd4": 1}, "CD4_T"), ({"t": 2}, "T"), ({"t": 1}, "other"),
    ({}, "other"), ({"receptor": True}, "T"), ({"receptor": True, "nk": 40, "cd8": 3}, "CD8_T"),
    ({"receptor": True, "myeloid": 50}, "T"), ({"myeloid": 10}, "myeloid"), ({"myeloid": 9}, "other"),
    ({"myeloid": 10, "t": 2}, "T"), ({"myeloid": 300, "t": 4}, "myeloid"), ({"myeloid": 300, "cd4": 5}, "myeloid"),
    ({"b": 3}, "B"), ({"b": 2}, "other"), ({"b": 4, "t": 2}, "T"), ({"b": 9, "t": 1}, "B"),
    ({"nk": 3, "nk_only": 1}, "NK"), ({"nk": 9}, "other"), ({"nk": 10}, "NK"), ({"nk": 10, "t": 2}, "T"),
    # a CAR-T cell without CD3, receptor, CD4 and CD8 is a T cell; the background of monocytes and B cells stays theirs
    ({"car": 1, "nk": 30, "nk_only": 2}, "T"), ({"car": 3}, "T"), ({"car": 1, "cd8": 1}, "CD8_T"),
    ({"car": 1, "b": 2}, "T"), ({"car": 1, "myeloid": 40}, "myeloid"), ({"car": 2, "b": 6}, "B"),
])
def test_subset_rules(cell: dict[str, int], word: str) -> None:
    assert one(**cell) == word and word in SUBSETS
