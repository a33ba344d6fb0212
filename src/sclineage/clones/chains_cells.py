"""Compiled side of `chains`: rows told apart and described without an array of their own for every step."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def kinds(locus, v, j, n_v, n_j):  # type: ignore[no-untyped-def]
    """Number of every row's locus, V and J, which are its digits; int64."""
    out = np.empty(locus.size, np.int64)
    for row in range(locus.size):
        out[row] = (np.int64(locus[row]) * n_v + v[row]) * n_j + j[row]
    return out


@njit(cache=True)
def distinct(rows, start, kind):  # type: ignore[no-untyped-def]
    """Tell rows of one core (``rows[start[r]:start[r + 1]]``) apart by their kind.

    Returns the key of every row (int32), and core (int32) and kind of the keys, which are sorted by both.
    """
    key, core, kind_of = np.empty(kind.size, np.int32), np.empty(kind.size, np.int32), np.empty(kind.size, np.int64)
    begin = 0  # of the keys of a core
    for r in range(start.size - 1):
        end = begin
        for at in range(start[r], start[r + 1]):
            this = kind[rows[at]]
            place = _place(kind_of, begin, end, this)
            if place == end or kind_of[place] != this:
                for k in range(end, place, -1):
                    kind_of[k] = kind_of[k - 1]
                kind_of[place], core[end] = this, r
                end += 1
        for at in range(start[r], start[r + 1]):
            key[rows[at]] = _place(kind_of, begin, end, kind[rows[at]]) if end - begin > 1 else begin
        begin = end
    return key, core[:begin].copy(), kind_of[:begin].copy()


@njit(cache=True, forceinline=True)
def _place(found, low, high, value):  # type: ignore[no-untyped-def]
    """Place of a value in ``found[low:high]``, which are sorted."""
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
