"""Union-find that many threads share; contract in ``components.py``.

The larger root is always hung under the smaller one, by compare-and-swap. So parents only ever decrease, the root of a
tree is its smallest member, and the labels in the end do not depend on the order in which the edges came.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .sequences_bits import atomic_load, compare_and_swap


@njit(cache=True)
def root(parent: np.ndarray, node: int) -> int:
    """Root of a node; halves the path on the way."""
    while True:
        above = atomic_load(parent, node)
        if above == node:
            return node
        higher = atomic_load(parent, above)
        if higher != above:
            compare_and_swap(parent, node, above, higher)
        node = higher


@njit(cache=True)
def unite(parent: np.ndarray, first: int, second: int) -> None:
    """Join the trees of two nodes."""
    while True:
        high, low = root(parent, first), root(parent, second)
        if high == low:
            return
        if high < low:
            high, low = low, high
        if compare_and_swap(parent, high, np.int32(high), np.int32(low)) == high:
            return


@njit(cache=True, parallel=True)
def unite_edges(parent: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    """Join the ends of every edge."""
    for edge in prange(first.size):
        unite(parent, first[edge], second[edge])


@njit(cache=True, parallel=True)
def flatten(parent: np.ndarray) -> np.ndarray:
    """Root of every node, int32."""
    labels = np.empty(parent.size, dtype=np.int32)
    for node in prange(parent.size):
        labels[node] = root(parent, node)
    return labels


@njit(cache=True)
def unite_alone(parent: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    """As `unite_edges`, waking no thread."""
    for edge in range(first.size):
        unite(parent, first[edge], second[edge])


@njit(cache=True)
def flatten_alone(parent: np.ndarray) -> np.ndarray:
    """As `flatten`, waking no thread."""
    labels = np.empty(parent.size, dtype=np.int32)
    for node in range(parent.size):
        labels[node] = root(parent, node)
    return labels
