"""Weights of neighbour graphs against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sclineage.kernels import graphs, knn


def test_shared_neighbours_are_jaccard_ratios(backend: str) -> None:
    points = np.random.default_rng(0).normal(size=(50, 4))
    indices, _ = knn.nearest(points, 6, device="cpu")
    sets = [set(row.tolist()) for row in indices]
    expected = np.zeros((50, 50))
    for i in range(50):
        for j in range(50):
            if i != j and (j in sets[i] or i in sets[j]):
                expected[i, j] = len(sets[i] & sets[j]) / len(sets[i] | sets[j])
    assert np.array_equal(graphs.snn_graph(indices, device=backend).toarray(), expected)


def test_distances_leave_the_point_itself_out() -> None:
    indices, lengths = knn.nearest(np.array([[0.0], [0.0], [2.0]]), 2, device="cpu")
    graph = graphs.distance_graph(indices, lengths)
    assert graph.nnz == 3 and graph.toarray().tolist() == [[0, 0, 0], [0, 0, 0], [2.0, 0, 0]]


def test_memberships_sum_to_the_logarithm_of_k() -> None:
    points = np.random.default_rng(1).normal(size=(200, 6))
    _, distances = knn.nearest(points, 12, device="cpu")
    members = np.empty(distances.shape)
    graphs._memberships(distances, float(distances.mean()), members)
    assert np.allclose(members[:, 1:].sum(axis=1), math.log2(12), atol=2e-5)
    assert (members[:, 1] == 1).all() and (np.diff(members[:, 1:], axis=1) <= 0).all()


@pytest.mark.parametrize("points", [np.random.default_rng(2).normal(size=(150, 5)), np.zeros((40, 3)),
                                    np.repeat(np.random.default_rng(3).normal(size=(20, 3)), 8, axis=0)])
def test_fuzzy_set_is_umaps(points: np.ndarray) -> None:
    umap = pytest.importorskip("umap.umap_")
    indices, distances = knn.nearest(points, 10, device="cpu")
    ours = graphs.umap_graph(indices, distances)
    theirs, _, _ = umap.fuzzy_simplicial_set(points, 10, np.random.RandomState(0), "euclidean", knn_indices=indices,
                                             knn_dists=distances.astype(np.float32))
    assert np.allclose(ours.toarray(), theirs.toarray(), atol=1e-4)
    assert (ours != ours.T).nnz == 0 and not ours.diagonal().any()
