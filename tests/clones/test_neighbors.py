"""The public face of the neighbour lists: names, order, types, errors."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from sclineage._errors import InputError
from sclineage.clones import neighbors

SEQUENCES = ["CASSLEQYF", "CASRLEQYF", "CASSEQYF", "CASSLEQYF", "CATTTTTTTTTTF"]


def test_the_example_in_the_docstring_holds() -> None:
    assert doctest.testmod(neighbors).attempted > 0
    assert doctest.testmod(neighbors).failed == 0


def test_pairs_are_sorted_and_equal_sequences_are_at_distance_0() -> None:
    i, j, d = neighbors.receptor_neighbors(SEQUENCES, metric="levenshtein", cutoff=1)
    assert list(zip(i.tolist(), j.tolist(), d.tolist(), strict=True)) == [
        (0, 1, 1), (0, 2, 1), (0, 3, 0), (1, 3, 1), (2, 3, 1)]
    assert (i.dtype, j.dtype, d.dtype) == (np.int32, np.int32, np.uint8)


def test_the_two_tcrdists_differ() -> None:
    scirpy = neighbors.receptor_neighbors(SEQUENCES, metric="tcrdist_scirpy", cutoff=11)
    tcrdist3 = neighbors.receptor_neighbors(SEQUENCES, metric="tcrdist3", cutoff=11)
    assert scirpy[0].size > tcrdist3[0].size


def test_components_and_nearest() -> None:
    labels = neighbors.neighbor_components(SEQUENCES, metric="levenshtein", cutoff=1)
    assert labels.tolist() == [0, 0, 0, 0, 4]
    near, far = neighbors.nearest_receptors(SEQUENCES, k=2, metric="levenshtein", cutoff=2)
    assert near.tolist() == [[3, 1], [0, 3], [0, 3], [0, 1], [-1, -1]]
    assert far.tolist() == [[0, 1], [1, 1], [1, 1], [0, 1], [neighbors.FAR] * 2]


def test_a_missing_sequence_is_named() -> None:
    with pytest.raises(InputError, match="entry 1: found None"):
        neighbors.receptor_neighbors(["CASSF", None], metric="hamming", cutoff=1)
