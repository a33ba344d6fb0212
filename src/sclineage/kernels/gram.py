"""Products of the columns of a sparse whole-number matrix, and scores of its rows (plain: ``tests/oracles/gram.py``).

What principal components need of the cells. Contract of both devices: the products are exact, so their order is free
and they are bit-identical on either device and for any number of threads; a score is the float64 sum of value times
weight, in the order of the columns and without fused multiply-add, less the offset, rounded to float32.

How: on the CPU every column meets the rest of the rows that it stands in, nothing is densified. On the device blocks of
rows are densified to float64, in which whole numbers up to 2^53 are exact: the matrix product of a block, tensor cores
included, has no rounding whatever its order.
Work: half the sum of squared row lengths on the CPU, rows x columns^2 on the device. Memory beside input and output:
20 bytes per entry of 1,024 rows on the CPU; `BLOCK_BYTES` on the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from .. import _backend
from .._backend import Device
from .._errors import InputError
from . import gram_cpu as cpu

ROWS = 1024  # that a pass on the CPU takes: their entries stay in the cache
BLOCK_BYTES = 1 << 29  # densified at once on the device
LARGEST = 1 << 20  # of a value
_EXACT = 1 << 53
_THREADS = 128

__all__ = ["cuda_defines", "gram", "project"]


def cuda_defines() -> dict[str, str]:
    """Constants of ``gram.cu``."""
    return {"WARP": "32"}


def _whole(x: sparse.csr_matrix) -> tuple[sparse.csr_matrix, int]:
    """In the order of the columns, int32; and the largest magnitude."""
    if not sparse.issparse(x) or x.dtype.kind not in "iu":
        raise InputError("matrix", f"found {type(x).__name__} of {x.dtype}", "give a sparse matrix of whole numbers")
    rows = sparse.csr_matrix(x)
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    largest = max(-int(rows.data.min(initial=0)), int(rows.data.max(initial=0)))
    if largest > LARGEST or rows.shape[0] * largest**2 >= 1 << 63:
        raise InputError("matrix", f"found {largest} in {rows.shape[0]} rows",
                         f"give values up to {LARGEST}, and at most 2**63 over their square rows")
    return rows, largest


def gram(x: sparse.csr_matrix, *, device: Device | None = "auto") -> tuple[np.ndarray, np.ndarray]:
    """Products of all pairs of columns, and the sums of the columns.

    Parameters
    ----------
    x
        Sparse (n, g) of whole numbers up to 2**20 in magnitude.
    device
        ``auto``, ``cpu`` or ``cuda``; None takes the setting.

    Returns
    -------
    products, sums
        int64 (g, g), x.T @ x, and int64 (g,).

    Raises
    ------
    InputError
        If `x` is not sparse and whole, or so large that a sum might not fit 63 bits.
    """
    rows, largest = _whole(x)
    if _backend.pick(device, kernel="gram") == "cuda":
        return _gram_cuda(rows, largest)
    n, g = rows.shape
    products, sums = np.zeros((g, g), dtype=np.int64), np.zeros(g, dtype=np.int64)
    indptr, indices, data = _arrays(rows)
    with _backend.threads(None):
        for first in range(0, n, ROWS):
            columns = cpu.by_column(indptr, indices, first, min(n, first + ROWS), g)
            cpu.add_products(indices, data, *columns, products, sums)
    return products + np.triu(products, 1).T, sums


def _arrays(rows: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    indices = rows.indices.astype(np.int32, copy=False).view(np.uint32)
    return rows.indptr.astype(np.int64), indices, rows.data.astype(np.int32, copy=False)


def _blocks(rows: sparse.csr_matrix, size: int) -> Iterator[tuple[int, Any, Any, Any]]:
    """Blocks of `size` rows on the device: rows, indptr, indices, data."""
    indptr, indices, data = _arrays(rows)
    for first in range(0, rows.shape[0], size):
        part = indptr[first : first + size + 1]
        inside = slice(part[0], part[-1])
        yield part.size - 1, *map(_backend.to_device, (part - part[0], indices[inside], data[inside]))


def _gram_cuda(rows: sparse.csr_matrix, largest: int) -> tuple[np.ndarray, np.ndarray]:
    xp, g = _backend.cupy(), rows.shape[1]
    size = max(1, min(BLOCK_BYTES // (8 * max(g, 1)), _EXACT // max(largest**2, 1) - 1, rows.shape[0]))
    densify = _backend.module("gram", cuda_defines()).get_function("densify")
    products, sums = xp.zeros((g, g), dtype=np.int64), xp.zeros(g, dtype=np.int64)
    for n, indptr, indices, data in _blocks(rows, size):
        dense = xp.zeros((n, g), dtype=np.float64)
        densify((-(-n * 32 // _THREADS),), (_THREADS,), (indptr, indices, data, np.int64(n), np.int64(g), dense))
        products += xp.matmul(dense.T, dense).astype(np.int64)
        sums += dense.sum(axis=0).astype(np.int64)
    return _backend.to_host(products), _backend.to_host(sums)


def project(x: sparse.csr_matrix, weights: np.ndarray, offset: np.ndarray, *,
            device: Device | None = "auto") -> np.ndarray:
    """Scores of the rows: ``x @ weights - offset``.

    Parameters
    ----------
    x
        Sparse (n, g) of whole numbers, as for `gram`.
    weights, offset
        float64 (g, k) and (k,), finite.
    device
        ``auto``, ``cpu`` or ``cuda``; None takes the setting.

    Returns
    -------
    float32 (n, k).

    Raises
    ------
    InputError
        As for `gram`, or if the shapes do not fit.
    """
    rows, _ = _whole(x)
    if weights.shape != (rows.shape[1], offset.size):
        raise InputError("weights", f"found {weights.shape}", f"give {(rows.shape[1], offset.size)}")
    weights, offset = (np.ascontiguousarray(a, dtype=np.float64) for a in (weights, offset))
    scores = np.empty((rows.shape[0], offset.size), dtype=np.float32)
    if not scores.size:
        return scores
    if _backend.pick(device, kernel="gram") == "cpu":
        with _backend.threads(None):
            cpu.project(*_arrays(rows), weights, offset, scores)
        return scores
    return _project_cuda(rows, _backend.to_device(weights), _backend.to_device(offset), scores)


def _project_cuda(rows: sparse.csr_matrix, weights: Any, offset: Any, scores: np.ndarray) -> np.ndarray:
    xp, k, first = _backend.cupy(), scores.shape[1], 0
    kernel = _backend.module("gram", cuda_defines()).get_function("project")
    for n, indptr, indices, data in _blocks(rows, max(1, BLOCK_BYTES // (8 * rows.shape[1]))):
        out = xp.empty((n, k), dtype=np.float32)
        kernel((-(-n * k // _THREADS),), (_THREADS,), (
            indptr, indices, data, weights, offset, np.int64(n), np.int64(k), out))
        scores[first : first + n] = _backend.to_host(out)
        first += n
    return scores
