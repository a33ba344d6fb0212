"""Connected components of an undirected graph given as edges (slow plain version: ``tests/oracles/components.py``).

Contract of both devices: the label of a node is the smallest node of its component, int32, the same for any number of
threads and any order of the edges. Loops and repeated edges are legal. Memory: 8 bytes per node beside the edges.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _backend
from .._backend import Device
from .._errors import InputError
from . import components_cpu as cpu

ALONE = 1 << 14  # nodes and edges up to which no second thread is woken
_BLOCK = 256

__all__ = ["components", "cuda_defines"]


def cuda_defines() -> dict[str, str]:
    """Constants of ``components.cu``: it has none."""
    return {}


def _ends(ends: Any, n: int, name: str) -> np.ndarray:
    given = np.asarray(ends)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise InputError(name, f"found {given.dtype} of shape {given.shape}", "give a 1-d array of node numbers")
    if given.size and not (given.min() >= 0 and given.max() < n):
        raise InputError(name, f"found nodes {given.min()} to {given.max()}", f"give nodes 0 to {n - 1}")
    return np.ascontiguousarray(given, dtype=np.int32)


def _cuda(n: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    xp, module = _backend.cupy(), _backend.module("components", cuda_defines())
    parent, labels = xp.arange(n, dtype=xp.int32), xp.empty(n, dtype=xp.int32)
    for name, size, tail in (("unite_edges", first.size, (xp.asarray(first), xp.asarray(second))),
                             ("flatten", n, (labels,))):
        if size:
            module.get_function(name)((-(-size // _BLOCK),), (_BLOCK,), (parent, *tail, np.int64(size)))
    return _backend.to_host(labels)


def components(n: int, first: Any, second: Any, *, device: Device | None = "auto") -> np.ndarray:
    """Label every node with the smallest node of its connected component.

    Parameters
    ----------
    n
        Number of nodes, below 2**31.
    first, second
        Integer arrays (edges,): the two ends of each edge, 0 to n - 1.
    device
        ``auto``, ``cpu`` or ``cuda``; None takes the setting.

    Returns
    -------
    int32 (n,)

    Raises
    ------
    InputError
        If an end is no node or the two arrays differ in length.

    Notes
    -----
    Union-find with path halving and atomic hooking of the larger root under the smaller one, after Jayanti and Tarjan,
    "A randomized concurrent algorithm for disjoint set union" (PODC 2016), with ranks replaced by the node numbers.
    """
    if not 0 <= n < 2**31:
        raise InputError("n", f"found {n}", "give 0 to 2**31 - 1 nodes")
    ends = _ends(first, n, "first"), _ends(second, n, "second")
    if ends[0].size != ends[1].size:
        raise InputError("second", f"found {ends[1].size} ends for {ends[0].size} edges", "give two ends per edge")
    if _backend.pick(device, kernel="components") == "cuda":
        return _cuda(n, *ends)
    parent = np.arange(n, dtype=np.int32)
    if n + ends[0].size <= ALONE:
        cpu.unite_alone(parent, *ends)
        return cpu.flatten_alone(parent)
    with _backend.threads(None):
        cpu.unite_edges(parent, *ends)
        return cpu.flatten(parent)
