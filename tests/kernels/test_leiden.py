"""Leiden against the plain version, on every device."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from sclineage._errors import InputError
from sclineage.kernels import knn, leiden, leiden_cpu
from tests.oracles import leiden as oracle

COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@pytest.fixture(autouse=True)
def no_level_stays_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leiden, "ON_HOST", 0)


def blocks(n: int, *, seed: int = 0, ties: bool = False, groups: int = 4) -> sparse.csr_matrix:
    """Random graph with denser blocks; all weights 1 with `ties`."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, n)
    chance = np.where(group[:, None] == group[None, :], 0.3, 0.03)
    upper = np.triu(rng.random((n, n)) < chance, 1) * (1.0 if ties else rng.random((n, n)))
    return sparse.csr_matrix(upper + upper.T)


def cells(n: int, *, seed: int = 0, k: int = 10) -> sparse.csr_matrix:
    """Shared-neighbour graph of overlapping groups of points."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(12, 8))[rng.integers(0, 12, n)] * 1.5 + rng.normal(size=(n, 8))
    indices = knn.nearest(points, k, device="cpu")[0]
    shared = knn.shared_counts(indices, device="cpu")
    graph = sparse.csr_matrix((shared.ravel() / (2.0 * k - shared.ravel()), indices.ravel(), np.arange(n + 1) * k))
    graph.setdiag(0)
    graph.eliminate_zeros()
    return graph.maximum(graph.T).tocsr()


def disconnected(graph: sparse.csr_matrix, labels: np.ndarray) -> int:
    """Number of communities that fall apart."""
    count = 0
    for c in range(labels.max() + 1):
        members = np.flatnonzero(labels == c)
        count += sparse.csgraph.connected_components(graph[members][:, members], directed=False)[0] > 1
    return count


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "resolution"), [(5, 1.0), (40, 1.0), (40, 4.0), (150, 0.5), (150, 1.0), (150, 3.0)])
def test_equals_the_oracle(backend: str, n: int, resolution: float, ties: bool) -> None:
    graph = blocks(n, seed=n, ties=ties)
    labels = leiden.leiden(graph, resolution=resolution, seed=n, device=backend)
    assert labels.dtype == np.int32
    assert labels.tolist() == oracle.leiden(graph, resolution=resolution, seed=n)


def test_large_graphs_start_once(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = blocks(150, seed=8)
    both = leiden.leiden(graph, resolution=3.0, device=backend).tolist()
    monkeypatch.setattr(leiden, "SMALL", 0)
    once = leiden.leiden(graph, resolution=3.0, device=backend).tolist()
    assert once == oracle.leiden(graph, resolution=3.0) != both
    assert leiden.modularity(graph, np.array(both), resolution=3.0) > leiden.modularity(graph, np.array(once),
                                                                                       resolution=3.0)


@settings(max_examples=25, **COMMON)
@given(edges=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 3)), max_size=30),
       seed=st.integers(0, 2**64 - 1), rounds=st.integers(1, 3))
def test_small_graphs_equal_the_oracle_too(backend: str, edges: list[tuple[int, int, int]], seed: int,
                                           rounds: int) -> None:
    dense = np.zeros((10, 10))
    for a, b, w in edges:
        dense[a, b] = dense[b, a] = w
    graph = sparse.csr_matrix(dense)
    labels = leiden.leiden(graph, seed=seed, n_iterations=rounds, device=backend)
    assert labels.tolist() == oracle.leiden(graph, seed=seed, n_iterations=rounds)
    assert disconnected(graph, labels) == 0


def test_levels_on_the_host_and_on_the_device_agree(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = cells(3000)
    everywhere = leiden.leiden(graph, device=backend)
    monkeypatch.setattr(leiden, "ON_HOST", 1000)
    assert np.array_equal(everywhere, leiden.leiden(graph, device=backend))
    assert np.array_equal(everywhere, leiden.leiden(graph, device="cpu"))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("resolution", [0.3, 1.0, 5.0])
def test_every_community_is_connected_and_numbered_by_size(seed: int, resolution: float) -> None:
    graph = cells(2000, seed=seed)
    labels = leiden.leiden(graph, resolution=resolution, seed=seed, device="cpu")
    assert disconnected(graph, labels) == 0
    sizes = np.bincount(labels)
    assert (np.diff(sizes) <= 0).all() and sizes.min() > 0
    assert leiden.leiden(graph, resolution=5.0, device="cpu").max() > leiden.leiden(graph, resolution=0.3,
                                                                                   device="cpu").max()


@pytest.mark.parametrize("threads", [1, 2])
def test_partitions_of_several_seeds_are_those_of_each(backend: str, threads: int) -> None:
    graph, seeds = blocks(150, seed=2), (3, 2**64 - 1, 0)
    found = leiden.partitions(graph, seeds=seeds, resolution=2.0, device=backend, threads=threads)
    assert [f.tolist() for f in found] == [
        leiden.leiden(graph, resolution=2.0, seed=seed, device=backend).tolist() for seed in seeds]
    assert leiden.partitions(graph, seeds=(), device=backend) == []
    assert [f.tolist() for f in leiden.partitions(sparse.csr_matrix((2, 2)), seeds=(0, 1))] == [[0, 1], [0, 1]]


SCRIPT = """
import hashlib, sys
from sclineage.kernels import leiden
leiden.MOST = 16
from tests.kernels.test_leiden import cells
print(hashlib.sha256(leiden.leiden(cells(20_000), threads=int(sys.argv[1]), device="cpu")).hexdigest())
"""


@pytest.mark.slow
def test_threads_and_processes_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 vertices in 16 batches: more per batch than the number up to which no second thread is woken."""
    monkeypatch.setattr(leiden, "MOST", 16)
    assert 20_000 / leiden._batches(20_000) > leiden_cpu.ALONE
    monkeypatch.setenv("NUMBA_NUM_THREADS", "7")
    found = []
    for threads in (1, 2, 7):
        done = subprocess.run([sys.executable, "-c", SCRIPT, str(threads)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.strip())
    assert found == [hashlib.sha256(leiden.leiden(cells(20_000), device="cpu")).hexdigest()] * 3


def test_clear_groups_are_found() -> None:
    one = sparse.csr_matrix(np.ones((6, 6)) - np.eye(6))
    graph = sparse.block_diag([one, one, one], format="csr")
    assert leiden.leiden(graph, device="cpu").tolist() == [0] * 6 + [1] * 6 + [2] * 6


def test_more_rounds_never_lower_the_modularity() -> None:
    graph = cells(2000, seed=5)
    values = [leiden.modularity(graph, leiden.leiden(graph, n_iterations=i, device="cpu")) for i in (1, 2, 4, -1)]
    assert values == sorted(values)


@pytest.mark.parametrize("resolution", [0.5, 1.0, 2.0])
def test_modularity_is_its_definition(resolution: float) -> None:
    graph = blocks(30, seed=1)
    labels = np.random.default_rng(0).integers(0, 4, 30)
    got = leiden.modularity(graph, labels, resolution=resolution)
    assert got == pytest.approx(oracle.modularity(graph, labels.tolist(), resolution=resolution), abs=1e-12)


def test_no_edges_no_vertices_loops_and_zeros(backend: str) -> None:
    assert leiden.leiden(sparse.csr_matrix((0, 0)), device=backend).size == 0
    assert leiden.leiden(sparse.csr_matrix((3, 3)), device=backend).tolist() == [0, 1, 2]
    assert leiden.leiden(sparse.eye(3, format="csr"), device=backend).tolist() == [0, 1, 2]
    plain = blocks(20, seed=4)
    busy = (plain + sparse.eye(20)).tocsr()
    busy.data = np.append(busy.data, 0.0)
    busy.indices, busy.indptr = np.append(busy.indices, 0), np.append(busy.indptr[:-1], busy.indptr[-1] + 1)
    assert np.array_equal(leiden.leiden(busy, device=backend), leiden.leiden(plain, device=backend))
    assert leiden.modularity(sparse.csr_matrix((3, 3)), [0, 1, 2]) == 0.0


@pytest.mark.parametrize("loops", [False, True])
def test_the_order_within_rows_does_not_matter(backend: str, loops: bool) -> None:
    graph = blocks(150, seed=3)
    if loops:
        graph = sparse.csr_matrix(graph + sparse.diags_array(np.arange(150.0) % 3))
    turned = graph.copy()
    for v in range(graph.shape[0]):
        row = slice(graph.indptr[v], graph.indptr[v + 1])
        turned.indices[row], turned.data[row] = graph.indices[row][::-1].copy(), graph.data[row][::-1].copy()
    turned.has_sorted_indices = False
    given = turned.indices.copy()
    assert np.array_equal(leiden.leiden(graph, device=backend), leiden.leiden(turned, device=backend))
    assert np.array_equal(turned.indices, given)


@pytest.mark.parametrize(("matrix", "arguments", "words"), [
    (np.zeros((2, 3)), {}, "square"), (np.array([[0, 1], [2, 0]]), {}, "not symmetric"),
    (np.array([[0, 1], [0, 0]]), {}, "not symmetric"), (np.array([[0, -1.0], [-1.0, 0]]), {}, "negative"),
    (np.array([[0, np.nan], [np.nan, 0]]), {}, "not finite"), (np.zeros((2, 2)), {"resolution": -1}, "found -1"),
    (np.zeros((2, 2)), {"n_iterations": 0}, "found 0"), (np.zeros((2, 2)), {"seed": -1}, "found -1"),
])
def test_bad_input_is_named(matrix: np.ndarray, arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        leiden.leiden(sparse.csr_matrix(matrix), **arguments)


def test_labels_must_fit() -> None:
    with pytest.raises(InputError, match="give 3 labels"):
        leiden.modularity(sparse.csr_matrix((3, 3)), [0, 1])
