"""Numba side of ``copynumber.py``, which holds the contract. Float64 carries whole numbers here, so sums are exact."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

SCALE = 2.0**28  # units of differences and window means
HALF = 2.0**-29  # units of centred values: medians of an even number of windows are halves
SHIFT = 9  # from these to the units of the standard deviation, 2^-20
_NONE = np.float32(0.0)


@njit(cache=True)
def difference(x: np.float32, low: np.float32, high: np.float32, clip: np.float32) -> float:
    """Distance of a value to the reference in units of 2^-28, a whole number; the subtraction is in float32."""
    d = _NONE
    if x > high:
        d = x - high
    elif x < low:
        d = x - low
    return np.rint(np.float64(min(max(d, -clip), clip)) * SCALE)


@njit(cache=True)
def at_zero(low: np.ndarray, high: np.ndarray, clip: np.float32) -> np.ndarray:
    """Difference of a count of zero, float64 (genes,)."""
    out = np.empty(low.size)
    for gene in range(low.size):
        out[gene] = difference(_NONE, low[gene], high[gene], clip)
    return out


@njit(cache=True)
def survey(data: np.ndarray) -> tuple[bool, bool, float]:
    """Whether all values are finite, whether all are whole, and the largest magnitude of the finite ones."""
    finite, whole, largest = True, True, 0.0
    for value in data:
        size = abs(np.float64(value))
        if not size < np.inf:
            finite = False
            continue
        largest = max(largest, size)
        whole = whole and size == np.floor(size)
    return finite, whole, largest


@njit(cache=True)
def sum_groups(indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, groups: np.ndarray, sums: np.ndarray) -> None:
    """Sum the rows of each group, in units of 2^-28."""
    for row in range(groups.size):
        group = groups[row]
        if group < 0:
            continue
        for e in range(indptr[row], indptr[row + 1]):
            sums[group, indices[e]] += np.int64(np.rint(np.float64(np.float32(data[e])) * SCALE))


@njit(cache=True, inline="always")
def _add(d: float, first: int, count: int, pointer: int, table: np.ndarray, sums: np.ndarray) -> None:
    for k in range(count):
        sums[first + k] += d * table[pointer + k]


@njit(cache=True)
def baseline(zero: np.ndarray, first: np.ndarray, count: np.ndarray, pointer: np.ndarray, table: np.ndarray,
             windows: int) -> np.ndarray:
    """Weighted sums of a cell without counts, float64 (windows,)."""
    sums = np.zeros(windows)
    for gene in range(zero.size):
        _add(zero[gene], first[gene], count[gene], pointer[gene], table, sums)
    return sums


@njit(cache=True, parallel=True)
def smooth(indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, low: np.ndarray, high: np.ndarray,
           clip: np.float32, zero: np.ndarray, first: np.ndarray, count: np.ndarray, pointer: np.ndarray,
           table: np.ndarray, offset: np.ndarray, divisor: np.ndarray, means: np.ndarray) -> None:
    """Window means of each row, int32 in units of 2^-28."""
    for row in prange(means.shape[0]):
        sums = offset.copy()
        for e in range(indptr[row], indptr[row + 1]):
            gene = indices[e]
            if count[gene] > 0:
                d = difference(data[e], low[gene], high[gene], clip) - zero[gene]
                _add(d, first[gene], count[gene], pointer[gene], table, sums)
        for w in range(sums.size):
            means[row, w] = np.int32(np.rint(sums[w] / divisor[w]))


@njit(cache=True)
def select(a: np.ndarray, k: int) -> int:
    """Bring the k-th smallest to its place, none larger before it and none smaller behind (Hoare's quickselect)."""
    low, high = 0, a.size - 1
    while low < high:
        middle = (low + high) >> 1
        x, y, z = a[low], a[middle], a[high]
        pivot = max(min(x, y), min(max(x, y), z))
        i, j = low, high
        while i <= j:
            while a[i] < pivot:
                i += 1
            while a[j] > pivot:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return a[k]


@njit(cache=True)
def twice_median(a: np.ndarray) -> np.int64:
    """Sum of the two middle values (twice the middle one of an odd number); reorders `a`."""
    k = (a.size - 1) // 2
    lower = np.int64(select(a, k))
    if a.size % 2 == 1:
        return np.int64(2) * lower
    upper = np.int64(a[k + 1])
    for i in range(k + 2, a.size):
        upper = min(upper, np.int64(a[i]))
    return lower + upper


@njit(cache=True, parallel=True)
def settle(means: np.ndarray, centre: np.ndarray, sums: np.ndarray, squares: np.ndarray) -> None:
    """Twice the median of each row, and sum and sum of squares of the centred values in units of 2^-20."""
    for row in prange(means.shape[0]):
        middle = twice_median(means[row].copy())
        s1, s2 = np.int64(0), np.int64(0)
        for w in range(means.shape[1]):
            value = (2 * np.int64(means[row, w]) - middle + (1 << (SHIFT - 1))) >> SHIFT
            s1 += value
            s2 += value * value
        centre[row], sums[row], squares[row] = middle, s1, s2


@njit(cache=True, inline="always")
def _is_kept(value: np.int64, bound: float) -> bool:
    return bool(value != 0 and np.float64(abs(value)) >= bound)


@njit(cache=True, parallel=True)
def count_kept(means: np.ndarray, centre: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Values of each row that are not below the bound, int64 (rows,)."""
    kept = np.zeros(means.shape[0], np.int64)
    for row in prange(means.shape[0]):
        n = 0
        for w in range(means.shape[1]):
            n += _is_kept(2 * np.int64(means[row, w]) - centre[row], bound[row])
        kept[row] = n
    return kept


@njit(cache=True, parallel=True)
def fill(means: np.ndarray, centre: np.ndarray, bound: np.ndarray, starts: np.ndarray, indices: np.ndarray,
         values: np.ndarray) -> None:
    """Write these values and their windows."""
    for row in prange(means.shape[0]):
        at = starts[row]
        for w in range(means.shape[1]):
            value = 2 * np.int64(means[row, w]) - centre[row]
            if _is_kept(value, bound[row]):
                indices[at] = w
                values[at] = np.float32(np.float64(value) * HALF)
                at += 1
