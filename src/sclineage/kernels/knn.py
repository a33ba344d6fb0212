"""Exact nearest neighbours, certified, and how many of them two points share (``tests/oracles/knn.py`` specifies both).

Contract of both devices: the squared distance of two points is the float64 sum of squared differences, coordinates in
their order and without fused multiply-add; the neighbours of a point are itself and then the others by (squared
distance, index). With groups, they are the k nearest of each group, itself one of its own. Indices and distances are
bit-identical for any number of threads and on either device.

How: float32 scores of leaves of neighbouring points, those left out that a box around a leaf, or the first
coordinates (on the device a product in half numbers, with its largest error), show to be too far, give each point more
candidates than it needs. They are ranked again in float64. A
point is certified when its k-th distance lies under the bound below which the float32 search cannot have lost anything;
the others (mostly points with many duplicates) are searched again in float64, on the host.
Memory: 12 bytes per coordinate and 4 per candidate beside the input.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _backend
from .._backend import Device
from .._errors import InputError
from . import knn_cpu as cpu
from . import knn_tree
from .knn_tree import Tree

_BLOCK = 2 * cpu.LEAF  # threads per two leaves on the device
_HALVES = 62  # coordinates that the tensor cores see
_SPREAD = 16.0  # what those are multiplied by, so that few of them are too small for half numbers
_THREADS = 128

__all__ = ["cuda_defines", "nearest", "shared_counts"]


def cuda_defines(dimensions: int = 52, candidates: int = 22) -> dict[str, str]:
    """Constants of ``knn.cu`` for so many padded coordinates and candidates."""
    numbers = {"LEAF": cpu.LEAF, "BLOCK": _BLOCK, "DIMENSIONS": dimensions, "CANDIDATES": candidates}
    return {k: f"({v})" for k, v in numbers.items()} | {"FAR": f"{cpu.FAR}f", "UNIT": f"{_SPREAD**2}f",
                                                        "INFINITE": "(1.0 / 0.0)"}


# --- nearest neighbours -----------------------------------------------------------------------------------------------
def _points(points: Any) -> np.ndarray:
    given = np.asarray(points)
    if given.ndim != 2 or given.dtype.kind not in "iuf":
        raise InputError("points", f"found {given.dtype} of shape {given.shape}", "give numbers, n x d")
    if not np.isfinite(given).all():
        row = int(np.flatnonzero(~np.isfinite(given).all(axis=1))[0])
        raise InputError("points", f"row {row} is not finite", "remove NaN and infinite values")
    return given


def _search_cpu(tree: Tree, group: int, rows: np.ndarray, bound: np.ndarray) -> None:
    first, last = tree.spans[group : group + 2]
    starts, strips = tree.starts[first : last + 1], (last - first, -1, cpu.LANES)
    places = np.minimum(starts[:-1, None] + np.arange(cpu.LEAF), starts[1:, None] - 1)
    blocks = np.ascontiguousarray(tree.points[places].reshape(*strips, tree.points.shape[1]).transpose(0, 1, 3, 2))
    head = tree.head_half[places]
    tail = tree.half[places] - head
    head[np.arange(cpu.LEAF) >= np.diff(starts)[:, None]] = cpu.FAR
    cpu.search(tree.points, tree.starts, tree.low, tree.high, tree.half, tree.head_half, first,
               knn_tree.entries(np, tree, group), blocks, head.reshape(strips), tail.reshape(strips), rows, bound)


def _halves(xp: Any, tree: Tree) -> tuple[Any, Any, Any]:
    """Queries (x, 1, 1) and points (y, -|y|^2 / 2 in two parts) in half numbers, two a word; and those half norms."""
    n, d = tree.points.shape
    head = min(d, _HALVES)
    head_half = (0.5 * (tree.points[:, :head].astype(xp.float64) ** 2).sum(axis=1)).astype(xp.float32)
    queries, points = (xp.zeros((n, _HALVES + 2), dtype=xp.float16) for _ in range(2))
    queries[:, :head] = points[:, :head] = tree.points[:, :head] * np.float32(_SPREAD)
    queries[:, _HALVES:] = 1
    norms = head_half * np.float32(_SPREAD**2)
    points[:, _HALVES] = -norms
    points[:, _HALVES + 1] = -norms - points[:, _HALVES].astype(xp.float32)
    return queries.view(xp.uint32), points.view(xp.uint32), head_half


def _search_cuda(tree: Tree, group: int, rows: Any, bound: Any) -> None:
    xp, leaves = _backend.cupy(), tree.starts.size - 1
    queries, points, head_half = _halves(xp, tree)
    places = xp.minimum(tree.starts[:-1, None] + xp.arange(cpu.LEAF), tree.starts[1:, None] - 1)
    reach = xp.sqrt(2.0 * head_half[places].max(axis=1)).astype(xp.float32)
    first, last = tree.spans[group : group + 2]
    module = _backend.module("knn", cuda_defines(tree.points.shape[1], rows.shape[1]))
    module.get_function("search")((-(-leaves // 2),), (_BLOCK,), (
        tree.points, queries, points, tree.starts, np.int64(leaves), np.int64(first), np.int64(last - first),
        knn_tree.entries(xp, tree, group), tree.low, tree.high, tree.half, head_half, reach, rows, bound))


def _certified(tree: Tree, bound: Any, last: Any, d: int) -> Any:
    """Whether the k-th squared distance of each place lies under what the float32 search can have lost.

    A rounded half squared distance is off by at most c (|x| + |y|)^2 / 2, c = (d + 16) 2^-24: chained sums of d + 4
    terms (Higham 2002, section 3.1), the rounding of the coordinates and of the norms. For |y| <= 2 |x| that is below
    9 c |x|^2 / 2, and for larger |y| below 9 c times the distance itself.
    """
    slack = 9.0 * (d + 16) * 2.0**-24
    bound64 = bound.astype(np.float64)
    safe = bound64 - slack * (tree.half.astype(np.float64) + bound64) - tree.blur - 1e-36
    return (bound64 > 0.5 * cpu.FAR) | (0.5 * tree.scale**2 * last < safe)


def _exact(points: np.ndarray, tree: Tree, group: int, doubtful: np.ndarray, indices: np.ndarray,
           squares: np.ndarray) -> None:
    """Search a group for the doubtful rows in float64 on the host."""
    first, last = tree.spans[group : group + 2]
    order, starts = _backend.to_host(tree.order), _backend.to_host(tree.starts[first : last + 1])
    places = np.minimum(starts[:-1, None] + np.arange(int(np.diff(starts).max())), starts[1:, None] - 1)
    low, high = (np.stack([f(points[order[p]], axis=0) for p in places]) for f in (np.min, np.max))
    cpu.scan(points, doubtful, order, starts, low, high, indices, squares)


def nearest(points: Any, k: int, *, groups: Any = None,
            device: Device | None = "auto") -> tuple[np.ndarray, np.ndarray]:
    """Exact nearest neighbours by Euclidean distance.

    Parameters
    ----------
    points
        Finite numbers (n, d), n below 2**31.
    k
        Neighbours per point, itself included, 1 to n; with `groups`, neighbours in each group.
    groups
        int (n,), the group of each point. A group with fewer than k members gives them all.
    device
        ``auto``, ``cpu`` or ``cuda``; None takes the setting.

    Returns
    -------
    indices, distances
        int32 and float64 (n, k), with `groups` (n, sum of min(k, members)): each point first in its own row (distance
        0), then by distance, ties to the lower index.

    Raises
    ------
    InputError
        If `points` are not finite numbers in two dimensions, `k` is not in 1 to n, or `groups` are not n numbers.
    """
    given = _points(points)
    n = len(given)
    if not (1 <= k <= n or n == k == 0):
        raise InputError("k", f"found {k}", f"give 1 to {n} neighbours")
    members, home = _members(groups, n)
    if n == 0:
        return np.empty((0, k), dtype=np.int32), np.empty((0, k))
    chosen = _backend.pick(device, kernel="knn")
    with _backend.threads(None):
        parts = _parts(given, k, members, home, chosen)
    indices, squares = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    if len(parts) > 1:
        order = np.lexsort((indices, squares), axis=-1)
        indices, squares = (np.take_along_axis(a, order, axis=1) for a in (indices, squares))
    return indices, np.sqrt(np.maximum(squares, 0.0))


def _members(groups: Any, n: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Rows of each group, and the group of each row."""
    if groups is None:
        return [np.arange(n)], np.zeros(n, dtype=np.int64)
    given = np.asarray(groups)
    if given.shape != (n,) or given.dtype.kind not in "iu":
        raise InputError("groups", f"found {given.dtype} of shape {given.shape}", f"give {n} whole numbers")
    home = np.unique(given, return_inverse=True)[1].reshape(-1)
    return [np.flatnonzero(home == g) for g in range(home.max(initial=-1) + 1)], home


def _parts(given: np.ndarray, k: int, members: list[np.ndarray], home: np.ndarray,
           chosen: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Neighbours in each group, as `_within`."""
    xp: Any = _backend.cupy() if chosen == "cuda" else np
    there = xp.ascontiguousarray((_backend.to_device(given) if chosen == "cuda" else given).astype(np.float64))
    tree = knn_tree.build(xp, there, members)
    find = _find_cuda if chosen == "cuda" else _find_cpu
    return [_within(given, there, tree, g, min(k, rows.size), home == g, find) for g, rows in enumerate(members)]


def _within(given: np.ndarray, there: Any, tree: Tree, group: int, k: int, home: np.ndarray,
            find: Any) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of a group for all points, int32 and float64 (n, k): squared distances, -1 of a point itself.

    Every row starts with the point itself; those of other groups then lose it, so they need a place more.
    """
    slots, others = (k, len(given) - 1) if home.all() else (k + 1, int(home.sum()))
    indices, squares, bound = find(there, tree, group, slots, max(1, min(others, slots - 1 + cpu.SPARE)))
    last = squares[:, -1] if slots == k else _kept(squares, _like(squares, home), k)[:, -1]
    safe = _certified(tree, bound, last[tree.order], given.shape[1])
    doubtful = _backend.to_host(tree.order[~safe])
    indices, squares = (_backend.to_host(a) for a in (indices, squares))
    if doubtful.size:
        indices, squares = np.array(indices), np.array(squares)
        _exact(np.ascontiguousarray(given, dtype=np.float64), tree, group, doubtful, indices, squares)
    return (indices, squares) if slots == k else (_kept(indices, home, k), _kept(squares, home, k))


def _like(array: Any, home: np.ndarray) -> Any:
    return home if _backend.on_host(array) else _backend.to_device(home)


def _kept(rows: Any, home: Any, k: int) -> Any:
    """The first k of the points of the group, the k after the first of the others."""
    out = rows[:, 1:].copy()
    out[home] = rows[home, :k]
    return out


def _find_cpu(points: np.ndarray, tree: Tree, group: int, slots: int,
              candidates: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best of a group by the float32 search, itself first, and the bound of each place."""
    n = len(points)
    rows, bound = np.full((n, candidates), -1, dtype=np.int32), np.empty(n, dtype=np.float32)
    _search_cpu(tree, group, rows, bound)
    indices, squares = np.empty((n, slots), dtype=np.int32), np.empty((n, slots))
    cpu.rerank(points, tree.order, rows, indices, squares)
    return indices, squares, bound


def _find_cuda(points: Any, tree: Tree, group: int, slots: int, candidates: int) -> tuple[Any, Any, Any]:
    xp, (n, d) = _backend.cupy(), points.shape
    rows, bound = xp.empty((n, candidates), dtype=np.int32), xp.empty(n, dtype=np.float32)
    _search_cuda(tree, group, rows, bound)
    indices, squares = xp.empty((n, slots), dtype=np.int32), xp.empty((n, slots), dtype=np.float64)
    module = _backend.module("knn", cuda_defines(tree.points.shape[1], candidates))
    module.get_function("rerank")((-(-n // _THREADS),), (_THREADS,), (
        points, tree.order, rows, np.int64(n), np.int32(d), np.int32(slots), indices, squares))
    return indices, squares, bound


# --- shared neighbours ------------------------------------------------------------------------------------------------
def shared_counts(indices: Any, *, device: Device | None = "auto") -> np.ndarray:
    """How many neighbours each point shares with each of its neighbours.

    Parameters
    ----------
    indices
        int (n, k): neighbours of each point, distinct within a row, itself included, as `nearest` gives them.
    device
        ``auto``, ``cpu`` or ``cuda``; None takes the setting.

    Returns
    -------
    int32 (n, k): size of the intersection of row i and row ``indices[i, slot]``.

    Raises
    ------
    InputError
        If an index is no row.
    """
    given = np.ascontiguousarray(indices, dtype=np.int32)
    n, k = given.shape
    if given.size and not (given.min() >= 0 and given.max() < n):
        raise InputError("indices", f"found rows {given.min()} to {given.max()}", f"give rows 0 to {n - 1}")
    if _backend.pick(device, kernel="knn") == "cpu":
        with _backend.threads(None):
            return cpu.shared_counts(np.sort(given, axis=1), given)
    if not given.size:
        return np.empty((n, k), dtype=np.int32)
    xp = _backend.cupy()
    on_device = _backend.to_device(given)
    counts = xp.empty((n, k), dtype=np.int32)
    _backend.module("knn", cuda_defines()).get_function("shared_counts")((-(-n * k // _THREADS),), (_THREADS,), (
        xp.sort(on_device, axis=1), on_device, np.int64(n), np.int32(k), counts))
    return _backend.to_host(counts)
