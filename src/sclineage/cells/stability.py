"""How far a partition depends on the seed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy import sparse


def _table(a: np.ndarray, b: np.ndarray) -> sparse.csr_matrix:
    """Cells of each cluster of `a` in each cluster of `b`, int64."""
    shape = (a.max(initial=-1) + 1, b.max(initial=-1) + 1)
    return sparse.coo_matrix((np.ones(a.size, dtype=np.int64), (a, b)), shape=shape).tocsr()


def _pairs(counts: np.ndarray) -> np.ndarray:
    return counts * (counts - 1) // 2


def stability(labels: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """How well each cluster is kept by other partitions.

    Parameters
    ----------
    labels
        int (n,), 0 to the number of clusters less 1, each used.
    others
        Partitions of the same cells, at least one.

    Returns
    -------
    float64 (clusters,), 0 to 1, mean over `others`: of the pairs of cells, at least one of the cluster, that either
    partition keeps together, the share that both keep together. A cluster that is split, or joined with others, loses;
    1 where it is found again as it is.
    """
    return np.mean([_kept(labels, other) for other in others], axis=0)


def _kept(labels: np.ndarray, other: np.ndarray) -> np.ndarray:
    table = _table(labels, other).tocoo()
    size, total = np.bincount(labels), np.bincount(other)
    both = np.bincount(table.row, _pairs(table.data), size.size)
    joined = np.bincount(table.row, table.data * (total[table.col] - table.data), size.size)
    either = _pairs(size) + joined
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def agreement(runs: Sequence[np.ndarray]) -> float:
    """Mean adjusted Rand index (Hubert and Arabie 1985) of all pairs of partitions."""
    return float(np.mean([adjusted_rand(a, b) for a, b in combinations(runs, 2)]))


def adjusted_rand(a: np.ndarray, b: np.ndarray) -> float:
    """Adjusted Rand index of two partitions; 1 where both are trivial in the same way."""
    both = float(_pairs(_table(a, b).data).sum())
    one, two, all_ = (float(_pairs(c).sum()) for c in (np.bincount(a), np.bincount(b), np.array([a.size])))
    expected = one * two / all_ if all_ else 0.0
    most = (one + two) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)
