"""Orders of small integers and of sequences, in time that is linear in what they hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

_FEW = 24  # rows that are put in order one by one


@njit(cache=True)
def by_key(key, n_keys, order):  # type: ignore[no-untyped-def]
    """Rows of `order`, stably sorted by ``key[row]`` in ``0..n_keys-1``; those of a negative key are left out.

    Returns the sorted rows and the CSR pointer (n_keys + 1) of the keys in them; int32.
    """
    ptr = np.zeros(n_keys + 2, np.int32)  # one further: the places move up to where the pointers belong
    for row in order:
        if key[row] >= 0:
            ptr[key[row] + 2] += 1
    for k in range(n_keys):
        ptr[k + 2] += ptr[k + 1]
    out = np.empty(ptr[n_keys + 1], np.int32)
    for row in order:
        if key[row] >= 0:
            out[ptr[key[row] + 1]] = row
            ptr[key[row] + 1] += 1
    return out, ptr[:n_keys + 1]


@njit(cache=True)
def totals(key, weight, n_keys):  # type: ignore[no-untyped-def]
    """Sum of the weights of every key in ``0..n_keys-1``, of the weights' type; negative keys count nowhere."""
    out = np.zeros(n_keys, weight.dtype)
    for row in range(key.size):
        if key[row] >= 0:
            out[key[row]] += weight[row]
    return out


def ranks(n: int, part: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """Rank of each of `n` sequences in their lexicographic order, int32; equal ones share the lowest.

    Parameters
    ----------
    n
        Number of sequences.
    part
        ``part(rows, k)``: int64, the k-th element (at least 1) of the sequences `rows`, 0 where they have ended.
    """
    rank, rows, k = np.zeros(n, np.int32), np.arange(n, dtype=np.int32), 0
    while rows.size:
        value = part(rows, k)
        if k == 0:
            order = np.argsort(value)
            rows, value = order.astype(np.int32), value[order]
            del order
        else:
            _sort_ties(rows, value, rank)
        rows, k = rows[:_refine(rows, value, rank)], k + 1
    return rank


@njit(cache=True)
def _sort_ties(rows, value, rank):  # type: ignore[no-untyped-def]
    """Sort rows and values by value within every run of equal rank."""
    end = 0
    while end < rows.size:
        begin = end
        while end < rows.size and rank[rows[end]] == rank[rows[begin]]:
            end += 1
        if end - begin > _FEW:
            order = np.argsort(value[begin:end])
            rows[begin:end], value[begin:end] = rows[begin:end][order], value[begin:end][order]
            continue
        for last in range(begin + 1, end):
            at, row, v = last, rows[last], value[last]
            while at > begin and value[at - 1] > v:
                rows[at], value[at] = rows[at - 1], value[at - 1]
                at -= 1
            rows[at], value[at] = row, v


@njit(cache=True)
def _refine(rows, value, rank):  # type: ignore[no-untyped-def]
    """Rank rows, sorted by rank and value, by both. Those still tied move to the front; returns how many."""
    kept, at = 0, 0
    while at < rows.size:
        begin, base = at, rank[rows[at]]
        while at < rows.size and rank[rows[at]] == base:
            end = at + 1
            while end < rows.size and rank[rows[end]] == base and value[end] == value[at]:
                end += 1
            tied = end - at > 1 and value[at] > 0
            for k in range(at, end):
                row = rows[k]
                rank[row] = base + at - begin
                if tied:
                    rows[kept] = row
                    kept += 1
            at = end
    return kept
