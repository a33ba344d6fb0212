"""Slow plain products of columns and scores of rows: the specification of ``kernels/gram``."""

from __future__ import annotations

import numpy as np


def gram(dense: np.ndarray) -> tuple[list[list[int]], list[int]]:
    """Products of all pairs of columns, and sums of columns, in Python's whole numbers."""
    columns = [[int(v) for v in column] for column in dense.T]
    products = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in columns] for x in columns]
    return products, [sum(column) for column in columns]


def project(dense: np.ndarray, weights: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Scores of each row: the entries that are not zero, one after another, in float64; rounded to float32."""
    scores = np.empty((len(dense), offset.size), dtype=np.float32)
    for i, row in enumerate(dense.tolist()):
        for c in range(offset.size):
            total = 0.0
            for value, weight in zip(row, weights[:, c].tolist(), strict=True):
                if value:
                    total += float(value) * weight
            scores[i, c] = np.float32(total - float(offset[c]))
    return scores
