"""How well other seeds keep a cluster, against counting pairs one by one."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from sclineage.cells.stability import adjusted_rand, agreement, stability


def packed(labels: list[int]) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1]


def by_pairs(labels: np.ndarray, other: np.ndarray, cluster: int) -> float:
    both = either = 0
    for i, j in combinations(range(labels.size), 2):
        if cluster in (labels[i], labels[j]):
            here, there = labels[i] == labels[j], other[i] == other[j]
            both, either = both + (here and there), either + (here or there)
    return both / either if either else 1.0


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=25))
def test_stability_counts_pairs_and_agreement_is_scikit_learns(pairs: list[tuple[int, int, int]]) -> None:
    a, b, c = (packed(list(column)) for column in zip(*pairs, strict=True))
    expected = [(by_pairs(a, b, k) + by_pairs(a, c, k)) / 2 for k in range(a.max() + 1)]
    assert stability(a, [b, c]).tolist() == pytest.approx(expected)
    assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b))
    assert agreement([a, b, c]) == pytest.approx(np.mean([adjusted_rand_score(*p) for p in combinations([a, b, c], 2)]))


def test_what_is_split_or_joined_loses_and_what_is_kept_does_not() -> None:
    a = np.repeat([0, 1, 2, 3], 10)
    b = a.copy()
    b[:5] = 4  # cluster 0 is split, 2 and 3 are joined
    b[b == 3] = 2
    kept = stability(a, [packed(b.tolist())])
    assert kept[1] == 1.0 and 0.4 < kept[0] < 0.5 and kept[2] == kept[3] and 0.3 < kept[2] < 0.4
