"""Phases of Leiden on the device, with the names and results of ``leiden_cpu.py``; arrays are the device's."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _backend
from . import leiden_cpu as cpu

_BLOCK = 128
_ROOM = 64  # slots of a warp in shared memory: vertices of up to 63 edges
wide = 1024  # threads of a block of the kernels that stay for a whole level


def cuda_defines() -> dict[str, str]:
    """Constants of ``leiden.cu``."""
    words = {"MULTIPLY_1": cpu.MULTIPLY_1, "MULTIPLY_2": cpu.MULTIPLY_2, "GOLDEN": cpu.GOLDEN}
    numbers = {"NONE": cpu.NONE, "FEWEST": cpu.FEWEST, "MOST": cpu.MOST, "PER_BATCH": cpu.PER_BATCH, "ROOM": _ROOM,
               "BLOCK": wide}
    return {k: f"{v}ull" for k, v in words.items()} | {k: f"({v})" for k, v in numbers.items()}


def _module() -> Any:
    return _backend.module("leiden", cuda_defines())


def _launch(name: str, count: int, *arguments: Any) -> None:
    if count:
        _module().get_function(name)((-(-count // _BLOCK),), (_BLOCK,), arguments)


def _slots(edges: int) -> tuple[Any, Any]:
    """Hash slots of all vertices, two per edge."""
    xp, room = _backend.cupy(), max(1, 2 * edges)
    return xp.full(room, cpu.NONE, dtype=np.int32), xp.zeros(room, dtype=np.int64)


def _zeros(*sizes: int) -> list[Any]:
    return [_backend.cupy().zeros(size, dtype=np.int32) for size in sizes]


def whole(matrix: Any, bits: int) -> tuple[Any, Any, Any, Any] | None:
    """Graph in whole numbers of a CSR matrix, or None where it is not in order, as the host may mend or refuse."""
    xp, n, data = _backend.cupy(), matrix.shape[0], _backend.to_device(matrix.data)
    if not data.size or not (data.min() > 0 and np.isfinite(float(data.max()))):
        return None
    indptr, indices = _backend.to_device(matrix.indptr).astype(np.int64), _backend.to_device(matrix.indices)
    indices = indices.astype(np.int32, copy=False)
    if not matrix.has_sorted_indices:
        indices, data = _in_order(indptr, indices, data)
    scale = 2.0 ** (bits - np.ceil(np.log2(float(data.max()))))
    weights, degree, sums = (xp.zeros(size, dtype=t) for size, t in ((data.size, np.int64), (n, np.int64),
                                                                     (3, np.uint64)))
    _launch("whole", n, indptr, indices, data.astype(np.float64), np.int64(n), np.float64(scale), weights, degree, sums)
    disorder, straight, turned = _backend.to_host(sums).tolist()
    return None if disorder or straight != turned else (indptr, indices, weights, degree)


def _in_order(indptr: Any, indices: Any, data: Any) -> tuple[Any, Any]:
    """Columns of every row in rising order, with their weights; a loop leaves its row, and `whole` sees disorder."""
    xp, n = _backend.cupy(), indptr.size - 1
    keys = xp.empty(indices.size, dtype=np.int64)
    _launch("edge_keys", n, indptr, indices, own_labels(n), np.int64(n), np.int64(n), keys)
    order = xp.argsort(keys)
    return indices[order], data[order]


def move(indptr: Any, indices: Any, weights: Any, comm: Any, volume: Any, degree: Any, scale: float, batches: int,
         salts: np.ndarray, _threads: int) -> int:
    """See `leiden_cpu.move`; one launch, and nothing comes back before its end."""
    xp, n = _backend.cupy(), degree.size
    now, after, moves = xp.empty(n, dtype=np.uint8), xp.ones(n, dtype=np.uint8), xp.zeros(1, dtype=np.int64)
    listed, target, counters, arrived = _zeros(n, n, salts.size * (1 + 2 * cpu.MOST), 1)
    _backend.launch_whole(_module(), "move", wide, (
        indptr, indices, weights, degree, np.int64(n), np.float64(scale), np.int32(batches), _backend.to_device(salts),
        np.int32(salts.size), comm, volume, now, after, listed, target, counters, *_slots(indices.size), moves,
        arrived))
    return int(moves[0])


def refine(indptr: Any, indices: Any, weights: Any, comm: Any, volume: Any, degree: Any, scale: float, batches: int,
           salt: np.uint64, _threads: int) -> Any:
    """See `leiden_cpu.refine`; two launches."""
    xp, n = _backend.cupy(), degree.size
    sub, part, inside = xp.arange(n, dtype=np.int32), degree.copy(), xp.empty(n, dtype=np.int64)
    size, joined, now = xp.ones(n, dtype=np.int32), xp.full(n, cpu.NONE, dtype=np.int32), xp.ones(n, dtype=np.uint8)
    listed, target, counters, arrived = _zeros(n, n, 2 * cpu.MOST, 1)
    _launch("inside_of", n, indptr, indices, weights, comm, np.int64(n), inside)
    _backend.launch_whole(_module(), "refine", wide, (
        indptr, indices, weights, degree, np.int64(n), np.float64(scale), np.int32(batches), np.uint64(salt), comm,
        volume, now, sub, part, inside, size, joined, listed, target, counters, *_slots(indices.size), arrived))
    return sub


def ranks(labels: Any) -> tuple[Any, int]:
    """See `leiden_cpu.ranks`."""
    xp = _backend.cupy()
    used = xp.zeros(labels.size, dtype=np.int32)
    used[labels] = 1
    return (xp.cumsum(used, dtype=np.int32) - 1).astype(np.int32)[labels], int(used.sum())


def lifted(part: Any, comm: Any, count: int) -> Any:
    """See `leiden_cpu.lifted`."""
    xp = _backend.cupy()
    out, first = xp.empty(count, dtype=np.int32), xp.full(part.size, 2**31 - 1, dtype=np.int32)
    out[part] = comm
    _launch("claim", count, out, np.int64(count), first)
    return first[out]


def lowest(labels: Any) -> Any:
    """See `leiden_cpu.lowest`."""
    first = _backend.cupy().full(labels.size, 2**31 - 1, dtype=np.int32)
    _launch("claim", labels.size, labels, np.int64(labels.size), first)
    return first[labels]


def totals(labels: Any, values: Any, count: int) -> Any:
    """See `leiden_cpu.totals`."""
    out = _backend.cupy().zeros(count, dtype=np.int64)
    _launch("add_totals", labels.size, labels, values, np.int64(labels.size), out)
    return out


def aggregate(indptr: Any, indices: Any, weights: Any, node: Any, count: int) -> tuple[Any, Any, Any]:
    """See `leiden_cpu.aggregate`; sums are differences of one running sum of whole numbers."""
    xp, n = _backend.cupy(), node.size
    keys = xp.empty(indices.size, dtype=np.int64)
    _launch("edge_keys", n, indptr, indices, node, np.int64(n), np.int64(count), keys)
    order = xp.argsort(keys)
    keys, running = keys[order], xp.cumsum(weights[order], dtype=np.int64)
    between = int(xp.searchsorted(keys, xp.asarray([count * count], dtype=np.int64))[0])
    keys, running = keys[:between], running[:between]
    last = xp.flatnonzero(xp.concatenate([keys[1:] != keys[:-1], xp.ones(min(1, between), dtype=bool)]))
    sums = xp.diff(xp.concatenate([xp.zeros(1, dtype=np.int64), running[last]]))
    keys = keys[last]
    bounds = xp.arange(count + 1, dtype=np.int64) * count
    return xp.searchsorted(keys, bounds).astype(np.int64), (keys % count).astype(np.int32), sums


def split(indptr: Any, indices: Any, labels: Any) -> Any:
    """See `leiden_cpu.split`."""
    xp, n = _backend.cupy(), labels.size
    parent, out = xp.arange(n, dtype=np.int32), xp.empty(n, dtype=np.int32)
    _launch("unite_within", n, indptr, indices, labels, np.int64(n), parent)
    _launch("flatten_within", n, parent, out, np.int64(n))
    return out


def inner_weights(indptr: Any, indices: Any, weights: Any, labels: Any, count: int) -> Any:
    """See `leiden_cpu.inner_weights`."""
    inside = _backend.cupy().empty(labels.size, dtype=np.int64)
    _launch("inside_of", labels.size, indptr, indices, weights, labels, np.int64(labels.size), inside)
    return totals(labels, inside, count)


def own_labels(n: int) -> Any:
    """See `leiden_cpu.own_labels`."""
    return _backend.cupy().arange(n, dtype=np.int32)
