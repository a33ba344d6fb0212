"""Slow plain nearest neighbours: the specification of ``kernels/knn``."""

from __future__ import annotations

import math

import numpy as np


def squared(a: np.ndarray, b: np.ndarray) -> float:
    """Sum of squared differences, one coordinate after the other, in float64."""
    total = 0.0
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        total += (x - y) * (x - y)
    return total


def nearest(points: np.ndarray, k: int) -> tuple[list[list[int]], list[list[float]]]:
    """Each point itself, then the others by (squared distance, index)."""
    points = np.asarray(points, dtype=np.float64)
    indices, distances = [], []
    for i, p in enumerate(points):
        ranked = sorted((squared(p, q), j) for j, q in enumerate(points) if j != i)[: k - 1]
        indices.append([i, *(j for _, j in ranked)])
        distances.append([0.0, *(math.sqrt(s) for s, _ in ranked)])
    return indices, distances


def nearest_of_each(points: np.ndarray, k: int, groups: list[int]) -> tuple[list[list[int]], list[list[float]]]:
    """Of every group the k nearest, the point itself one of its own; then all together as in `nearest`."""
    points = np.asarray(points, dtype=np.float64)
    indices, distances = [], []
    for i, p in enumerate(points):
        found = []
        for group in sorted(set(groups)):
            members = [j for j, g in enumerate(groups) if g == group]
            found += sorted((-1.0 if i == j else squared(p, points[j]), j) for j in members)[:k]
        indices.append([j for _, j in sorted(found)])
        distances.append([math.sqrt(max(s, 0.0)) for s, _ in sorted(found)])
    return indices, distances


def shared_counts(indices: np.ndarray) -> list[list[int]]:
    """Size of the intersection of a point's neighbours with those of each neighbour."""
    sets = [set(row) for row in np.asarray(indices).tolist()]
    return [[len(sets[i] & sets[j]) for j in row] for i, row in enumerate(np.asarray(indices).tolist())]
