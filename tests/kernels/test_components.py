"""Connected components against the plain version, on every device."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sclineage import _backend
from sclineage._errors import InputError
from sclineage.kernels.components import components
from tests.oracles import components as oracle

EDGES = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edges=EDGES)
def test_equals_the_plain_version(backend: str, edges: list[tuple[int, int]]) -> None:
    ends = np.array(edges, dtype=np.int64).reshape(-1, 2)
    labels = components(20, ends[:, 0], ends[:, 1], device=backend)
    assert labels.dtype == np.int32
    assert labels.tolist() == oracle.components(20, edges)


@pytest.mark.parametrize("threads", [1, 2])
def test_order_and_threads_do_not_matter(threads: int) -> None:
    rng = np.random.default_rng(0)
    ends = rng.integers(0, 50_000, size=(45_000, 2))
    with _backend.threads(threads):
        orders = np.arange(45_000), rng.permutation(45_000)
        labels = [components(50_000, *ends[order].T, device="cpu") for order in orders]
    assert np.array_equal(labels[0], labels[1])
    assert np.array_equal(labels[0][ends[:, 0]], labels[0][ends[:, 1]])
    assert (labels[0] <= np.arange(50_000)).all()
    assert np.array_equal(labels[0][labels[0]], labels[0])


def test_a_long_chain_is_one_component(backend: str) -> None:
    chain = np.random.default_rng(1).permutation(3000)
    labels = components(3000, chain[:-1], chain[1:], device=backend)
    assert (labels == 0).all()


def test_no_nodes_and_no_edges(backend: str) -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert components(0, nothing, nothing, device=backend).size == 0
    assert components(3, nothing, [], device=backend).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("first", "second", "words"), [
    ([0, 3], [1, 1], "nodes 0 to 3"), ([0, -1], [1, 1], "nodes -1 to 0"), ([0], [1, 2], "2 ends for 1 edges"),
    ([0.5], [1], "float64"), ([[0]], [[1]], "shape"),
])
def test_bad_edges_are_named(first: list, second: list, words: str) -> None:
    with pytest.raises(InputError, match=words):
        components(3, first, second)


def test_bad_number_of_nodes() -> None:
    with pytest.raises(InputError, match="n: found -1"):
        components(-1, [], [])
