"""Compiled side of `compat`: cells one by one."""

from __future__ import annotations

import numpy as np
from numba import njit

from .flat_cells import order

_T, _KINDS = 4, 3  # bit of a T-cell chain, first bit of the kinds


@njit(cache=True)
def index_chains(ptr, bits, kept, shown, ranked, junction, aa):  # type: ignore[no-untyped-def]
    """Chains of every cell as `scirpy.pp.index_chains` ranks them, by falling expression, then junctions.

    Parameters
    ----------
    ptr
        int64 (n + 1): the chains of cell i are ``ptr[i]`` to ``ptr[i + 1]``.
    bits
        uint8 per chain: VJ 1, VDJ 2, T cell 4, kinds from 8.
    kept, shown
        bool per chain: whether it is indexed; whether it tells the kind of its cell.
    ranked
        float64 (keys, chains): expression.
    junction, aa
        Spans.

    Returns
    -------
    first
        int32 (n, 4): VJ_1, VJ_2, VDJ_1, VDJ_2, -1 none.
    named
        bool (n, 4): whether it is there and has a junction.
    receptor_type
        uint8 (n): 0 none, 1 T, 2 B, 3 both, 4 more than two chains of an arm.
    kinds
        uint8 (n): bits of the kinds.
    """
    n = ptr.size - 1
    first, named = np.full((n, 4), -1, np.int32), np.zeros((n, 4), np.bool_)
    kind, kinds = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
    for cell in range(n):
        many = False
        for row in range(ptr[cell], ptr[cell + 1]):
            if shown[row]:
                kinds[cell] |= bits[row] >> _KINDS
            if not kept[row] or not bits[row] & 3:
                continue
            kind[cell] |= 1 if bits[row] & _T else 2
            at = 0 if bits[row] & 1 else 2
            one, two = first[cell, at], first[cell, at + 1]
            many |= two >= 0
            if one < 0 or _above(row, one, ranked, junction, aa):
                first[cell, at], first[cell, at + 1] = row, one
            elif two < 0 or _above(row, two, ranked, junction, aa):
                first[cell, at + 1] = row
        if many:
            kind[cell] = 4
        for at in range(4):
            row = first[cell, at]
            named[cell, at] = row >= 0 and junction.end[row] >= junction.start[row]
    return first, named, kind, kinds


@njit(cache=True)
def _above(a, b, ranked, junction, aa):  # type: ignore[no-untyped-def]
    """Whether chain a ranks above chain b."""
    for key in range(ranked.shape[0]):
        if ranked[key, a] != ranked[key, b]:
            return ranked[key, a] > ranked[key, b]
    found = order(junction.content, junction.start[a], junction.end[a], junction.start[b], junction.end[b])
    if found == 0:
        found = order(aa.content, aa.start[a], aa.end[a], aa.start[b], aa.end[b])
    return found > 0


@njit(cache=True)
def tokens(vj, vdj, kind, together):  # type: ignore[no-untyped-def]
    """What two cells must share one of to join, as numbers, and the cell of each.

    Parameters
    ----------
    vj, vdj
        int32 (n, 1 or 2): what to share in each arm, -1 none; the first column is filled first.
    kind
        uint8 (n): cells of different kinds share nothing.
    together
        Whether a cell that shows both arms shares pairs of them; one that shows one arm, that alone.

    Returns
    -------
    owner
        int32: cells.
    token
        int64
    """
    width, found = np.int64(vdj.max() + 2 if vdj.size else 2), 0
    owner = np.empty(4 * vj.shape[0], np.int32)
    token = np.empty(owner.size, np.int64)
    for cell in range(vj.shape[0]):
        pairs = together and vj[cell, 0] >= 0 and vdj[cell, 0] >= 0
        for i in range(-1, vj.shape[1]):  # -1: without the arm
            for j in range(-1, vdj.shape[1]):
                x, y = vj[cell, i] if i >= 0 else -1, vdj[cell, j] if j >= 0 else -1
                if pairs == (i >= 0 and j >= 0) and (i < 0 or x >= 0) and (j < 0 or y >= 0) and x + y > -2:
                    owner[found], token[found] = cell, ((x + 1) * width + y + 1) * 8 + kind[cell]
                    found += 1
    return owner[:found].copy(), token[:found].copy()


@njit(cache=True)
def leads(group, n_groups, paired, content, start, end):  # type: ignore[no-untyped-def]
    """The row of each group that stands first by name (spans), of a paired one if there is any; int32."""
    lead = np.full(n_groups, -1, np.int32)
    for row in range(group.size):
        other = lead[group[row]]
        before = other < 0 or (paired[row] and not paired[other])
        if not before and paired[row] == paired[other]:
            before = order(content, start[row], end[row], start[other], end[other]) < 0
        if before:
            lead[group[row]] = row
    return lead


@njit(cache=True)
def decimals(n):  # type: ignore[no-untyped-def]
    """The numbers below n in decimals, each with a zero byte behind it; uint8."""
    size, first, digits = n, 0, 1
    while first < n:
        size, first, digits = size + digits * (min(n, 10 ** digits) - first), 10 ** digits, digits + 1
    out, end = np.zeros(size, np.uint8), 0
    for number in range(n):
        left, digits = number, 1
        while left >= 10:
            left, digits = left // 10, digits + 1
        left = number
        for at in range(end + digits - 1, end - 1, -1):
            out[at], left = 48 + left % 10, left // 10
        end += digits + 1
    return out
