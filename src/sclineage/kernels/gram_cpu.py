"""Products of columns and scores of rows on the CPU; contract in ``gram.py``."""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(cache=True)
def by_column(indptr: np.ndarray, indices: np.ndarray, first: int, last: int,
              n_columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entries of rows `first` to `last` by column: where each column starts, places, and the ends of their rows."""
    starts = np.zeros(n_columns + 1, dtype=np.int64)
    for place in range(indptr[first], indptr[last]):
        starts[indices[place] + 1] += 1
    for column in range(n_columns):
        starts[column + 1] += starts[column]
    at = starts[:-1].copy()
    places, ends = np.empty(starts[-1], dtype=np.int64), np.empty(starts[-1], dtype=np.int64)
    for row in range(first, last):
        for place in range(indptr[row], indptr[row + 1]):
            column = indices[place]
            places[at[column]], ends[at[column]] = place, indptr[row + 1]
            at[column] += 1
    return starts, places, ends


@njit(cache=True, parallel=True)
def add_products(indices: np.ndarray, data: np.ndarray, starts: np.ndarray, places: np.ndarray, ends: np.ndarray,
                 products: np.ndarray, sums: np.ndarray) -> None:
    """Add every column's products with itself and those after it, and its sum; first and last columns take turns."""
    n = sums.size
    for turn in prange(n):
        column = turn // 2 if turn % 2 == 0 else n - 1 - turn // 2
        line, total = products[column], np.int64(0)
        for entry in range(starts[column], starts[column + 1]):
            value = np.int64(data[places[entry]])
            total += value
            for place in range(places[entry], ends[entry]):
                line[indices[place]] += value * data[place]
        sums[column] += total


@njit(cache=True, parallel=True)
def project(indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, weights: np.ndarray, offset: np.ndarray,
            scores: np.ndarray) -> None:
    """Scores of every row."""
    for row in prange(scores.shape[0]):
        total = np.zeros(offset.size)
        for place in range(indptr[row], indptr[row + 1]):
            value, line = np.float64(data[place]), weights[indices[place]]
            for c in range(offset.size):
                total[c] += value * line[c]
        for c in range(offset.size):
            scores[row, c] = total[c] - offset[c]
