"""Compiled side of `flat`: strings as bytes, and keys, numbered without a Python object each.

String i is ``content[start[i]:end[i]]``; where it is missing `end` lies before `start`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..kernels.whitelists_cpu import load8

_FIRST = 1 << 12  # places of a table at first: it grows with what is found, so that few strings stay in the cache
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


@njit(cache=True)
def number(content, start, end):  # type: ignore[no-untyped-def]
    """Number strings by first appearance: int32 code of every row, -1 where missing, and the row of each number."""
    codes, firsts, found = np.full(start.size, -1, np.int32), np.empty(_FIRST // 2, np.int32), 0
    table, spans = np.full(_FIRST, -1, np.int64), np.empty((_FIRST // 2, 2), np.int64)
    for row in range(start.size):
        if end[row] < start[row]:
            continue
        key = _hash(content, start[row], end[row])
        place = _place(key, table)
        while table[place] >= 0:
            code = table[place] & 0xFFFFFFFF
            if table[place] >> 32 == key and equal(content, start[row], end[row], spans[code, 0], spans[code, 1]):
                codes[row] = code
                break
            place = (place + 1) & (table.size - 1)
        if codes[row] >= 0:
            continue
        table[place], codes[row] = key << 32 | found, found
        firsts[found], spans[found, 0], spans[found, 1] = row, start[row], end[row]
        found += 1
        if found == firsts.size:
            firsts, spans, table = np.concatenate((firsts, firsts)), np.concatenate((spans, spans)), _grown(table)
    return codes, firsts[:found].copy()


@njit(cache=True)
def number_keys(given):  # type: ignore[no-untyped-def]
    """Number integers by first appearance: int32 code of every row, and the row of each number."""
    codes, firsts, found = np.empty(given.size, np.int32), np.empty(_FIRST // 2, np.int32), 0
    table, keys = np.full(_FIRST, -1, np.int64), np.empty(_FIRST // 2, np.int64)
    for row in range(given.size):
        key = _last(_mixed(np.uint64(given[row])))
        place = _place(key, table)
        while table[place] >= 0 and keys[table[place] & 0xFFFFFFFF] != given[row]:
            place = (place + 1) & (table.size - 1)
        if table[place] >= 0:
            codes[row] = table[place] & 0xFFFFFFFF
            continue
        table[place], codes[row] = key << 32 | found, found
        firsts[found], keys[found] = row, given[row]
        found += 1
        if found == firsts.size:
            firsts, keys, table = np.concatenate((firsts, firsts)), np.concatenate((keys, keys)), _grown(table)
    return codes, firsts[:found].copy()


@njit(cache=True, forceinline=True)
def _place(key, table):  # type: ignore[no-untyped-def]
    """Where to look first in a table whose places hold 31 bits of a key and, below them, a number."""
    return (key ^ (key >> 15)) & (table.size - 1)


@njit(cache=True)
def _grown(table):  # type: ignore[no-untyped-def]
    """The table with twice as many places."""
    out = np.full(2 * table.size, -1, np.int64)
    for held in table:
        if held >= 0:
            place = _place(held >> 32, out)
            while out[place] >= 0:
                place = (place + 1) & (out.size - 1)
            out[place] = held
    return out


@njit(cache=True, forceinline=True)
def _mixed(key):  # type: ignore[no-untyped-def]
    key = key * _SPREAD
    return key ^ (key >> _HALF)


@njit(cache=True, forceinline=True)
def _last(key):  # type: ignore[no-untyped-def]
    """31 bits of a mixed key."""
    return np.int64(_mixed(key) >> np.uint64(33))


@njit(cache=True, forceinline=True)
def _hash(content, at, end):  # type: ignore[no-untyped-def]
    key = np.uint64(end - at)
    while at < end:
        key = _mixed(key ^ _word(content, at, end))
        at += 8
    return _last(key)


@njit(cache=True, forceinline=True)
def _word(content, at, end):  # type: ignore[no-untyped-def]
    """Up to eight bytes from `at` to `end` (first byte lowest)."""
    if at + 8 <= content.size:
        word, left = load8(content, at), end - at
        return word if left >= 8 else word & ((np.uint64(1) << np.uint64(8 * left)) - np.uint64(1))
    word = np.uint64(0)
    for byte in range(min(8, end - at)):
        word |= np.uint64(content[at + byte]) << np.uint64(8 * byte)
    return word


@njit(cache=True, forceinline=True)
def equal(content, a, a_end, b, b_end):  # type: ignore[no-untyped-def]
    """Whether two strings are equal; two missing ones are."""
    if a_end - a != b_end - b:
        return False
    while a < a_end:
        if _word(content, a, a_end) != _word(content, b, b_end):
            return False
        a, b = a + 8, b + 8
    return True


@njit(cache=True, forceinline=True)
def order(content, a, a_end, b, b_end):  # type: ignore[no-untyped-def]
    """Above 0 where the first string stands behind the second in the alphabet, below where before; missing is empty."""
    while a < a_end and b < b_end:
        if content[a] != content[b]:
            return np.int64(content[a]) - np.int64(content[b])
        a, b = a + 1, b + 1
    return max(a_end - a, 0) - max(b_end - b, 0)


@njit(cache=True)
def taken(start, end, rows):  # type: ignore[no-untyped-def]
    """Start and end of the strings of the rows; a row of -1 is missing."""
    first, last = np.zeros(rows.size, np.int64), np.full(rows.size, -1, np.int64)
    for to in range(rows.size):
        if rows[to] >= 0:
            first[to], last[to] = start[rows[to]], end[rows[to]]
    return first, last


@njit(cache=True)
def joined(content, start, end):  # type: ignore[no-untyped-def]
    """The strings, each with a zero byte behind it; missing ones are empty."""
    size = start.size
    for row in range(start.size):
        size += max(end[row] - start[row], 0)
    out, to = np.zeros(size, np.uint8), np.uint64(0)
    for row in range(start.size):
        first, length = np.uint64(start[row]), np.uint64(max(end[row] - start[row], 0))
        for k in range(length):  # no number is negative: so the loop is a copy of many bytes at a time
            out[to + k] = content[first + k]
        to += length + np.uint64(1)
    return out


@njit(cache=True)
def used(codes, n):  # type: ignore[no-untyped-def]
    """Which of the codes ``0..n-1`` occur."""
    out = np.zeros(n, np.bool_)
    for row in range(codes.size):
        if codes[row] >= 0:
            out[codes[row]] = True
    return out


@njit(cache=True)
def renumbered(codes, number):  # type: ignore[no-untyped-def]
    """``number[codes]``, of the numbers' type; negative codes stay."""
    out = np.full(codes.size, -1, number.dtype)
    for row in range(codes.size):
        if codes[row] >= 0:
            out[row] = number[codes[row]]
    return out
