"""Compiled side of `chains`: rows told apart and described without an array of their own for every step."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def distinct(rows, start, locus, v, j, n_v, n_j):  # type: ignore[no-untyped-def]
    """Tell rows of one core (``rows[start[r]:start[r + 1]]``) apart by locus, V and J.

    Returns the key of every row (int32), and core (int32) and kind (int64, locus, V and J as digits) of the keys, which
    are sorted by both.
    """
    key, core, kind = np.empty(locus.size, np.int32), np.empty(0, np.int32), np.empty(0, np.int64)
    found = np.empty(16, np.int64)
    for write in range(2):  # count, then write
        n = 0
        for r in range(start.size - 1):
            m = 0
            for at in range(start[r], start[r + 1]):
                row = rows[at]
                this = (np.int64(locus[row]) * n_v + v[row]) * n_j + j[row]
                place = _place(found, m, this)
                if place == m or found[place] != this:
                    if m == found.size:
                        found = np.concatenate((found, found))
                    for k in range(m, place, -1):
                        found[k] = found[k - 1]
                    found[place] = this
                    m += 1
            if write:
                for at in range(start[r], start[r + 1]):
                    row = rows[at]
                    key[row] = n + _place(found, m, (np.int64(locus[row]) * n_v + v[row]) * n_j + j[row])
                for k in range(m):
                    core[n + k], kind[n + k] = r, found[k]
            n += m
        if not write:
            core, kind = np.empty(n, np.int32), np.empty(n, np.int64)
    return key, core, kind


@njit(cache=True, forceinline=True)
def _place(found, m, value):  # type: ignore[no-untyped-def]
    """Place of a value among the first `m`, which are sorted."""
    low, high = 0, m
    while low < high:
        middle = (low + high) >> 1
        if found[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def last_values(chain, junction, clear, value, named, out, several):  # type: ignore[no-untyped-def]
    """Value of a row of every chain, and whether rows of it differ: rows of a clear junction and a named value."""
    for row in range(chain.size):
        c, x = chain[row], value[row]
        if c >= 0 and clear[junction[row]] and x >= 0 and named[x]:
            if out[c] >= 0 and out[c] != x:
                several[c] = True
            out[c] = x


@njit(cache=True)
def undecided(chain, junction, clear, value, named, several):  # type: ignore[no-untyped-def]
    """The rows of `last_values` whose chain has several values."""
    out = np.zeros(chain.size, np.bool_)
    for row in range(chain.size):
        c, x = chain[row], value[row]
        out[row] = c >= 0 and several[c] and clear[junction[row]] and x >= 0 and named[x]
    return out
