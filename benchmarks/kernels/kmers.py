"""The k-mer filter on reads of 90 bases: nearly all endogenous, one in two hundred from a construct of 7,000 bases."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from benchmarks._runner import Case, Contender
from sclineage.kernels import kmers

BASES = 90


@cache
def reads(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Text of the reads, where they begin, their lengths, and the construct."""
    rng = np.random.default_rng(2)
    letters = np.frombuffer(b"ACGT", np.uint8)
    construct = letters[rng.integers(0, 4, 7000)]
    rows = letters[rng.integers(0, 4, (n, BASES + 1))]
    rows[:, BASES] = 10
    for row in np.flatnonzero(rng.random(n) < 0.005):
        at = int(rng.integers(construct.size - BASES))
        rows[row, :BASES] = construct[at : at + BASES]
    wrong = rng.random((n, BASES)) < 0.01
    rows[:, :BASES][wrong] = letters[rng.integers(0, 4, int(wrong.sum()))]
    start = np.arange(n, dtype=np.int64) * (BASES + 1)
    return rows.ravel(), start, np.full(n, BASES, np.int32), construct.tobytes().decode()


def _ready(inputs: tuple[np.ndarray, np.ndarray, np.ndarray, str]) -> tuple[Any, ...]:
    return *inputs[:3], kmers.index([inputs[3]])


def _outputs(found: kmers.Scan) -> Mapping[str, np.ndarray]:
    return {"kind": found.kind, "set": found.set, "unique_bases": found.unique_bases}


def cases(*, tiny: bool) -> list[Case]:
    """One case."""
    n = 20_000 if tiny else 2_000_000
    return [Case("reads against a construct", "reads", n, lambda: reads(n), [
        Contender("sclineage numba", lambda ready: kmers.scan(*ready), _ready),
        Contender("sclineage cuda, from host arrays", lambda ready: kmers.scan(*ready, device="cuda"), _ready, "cuda"),
    ], _outputs)]
