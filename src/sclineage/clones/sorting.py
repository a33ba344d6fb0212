"""Orders of small integers and of sequences, in time that is linear in what they hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit


@njit(cache=True)
def by_key(key, n_keys, order):  # type: ignore[no-untyped-def]
    """Rows of `order`, stably sorted by ``key[row]`` in ``0..n_keys-1``; those of a negative key are left out.

    Returns the sorted rows and the CSR pointer (n_keys + 1) of the keys in them; int64.
    """
    ptr = np.zeros(n_keys + 1, np.int64)
    for row in order:
        if key[row] >= 0:
            ptr[key[row] + 1] += 1
    for k in range(n_keys):
        ptr[k + 1] += ptr[k]
    place, out = ptr.copy(), np.empty(ptr[n_keys], np.int64)
    for row in order:
        if key[row] >= 0:
            out[place[key[row]]] = row
            place[key[row]] += 1
    return out, ptr


def ranks(n: int, part: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """Rank of each of `n` sequences in their lexicographic order; equal ones share the lowest.

    Parameters
    ----------
    n
        Number of sequences.
    part
        ``part(rows, k)``: int64, the k-th element (at least 1) of the sequences `rows`, 0 where they have ended.
    """
    rank, rows, k = np.zeros(n, np.int64), np.arange(n), 0
    while rows.size:
        value = part(rows, k)
        order = np.lexsort((value, rank[rows]))
        rows, value = rows[order], value[order]
        group = np.diff(rank[rows], prepend=-1) != 0
        fresh = np.flatnonzero(group | (np.diff(value, prepend=-1) != 0))
        starts = np.flatnonzero(group)
        size = np.diff(np.append(fresh, rows.size))
        offset = fresh - starts[np.cumsum(group)[fresh] - 1]
        rank[rows] += np.repeat(offset, size)
        rows, k = rows[np.repeat(size > 1, size) & (value > 0)], k + 1
    return rank
