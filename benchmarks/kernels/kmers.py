"""The k-mer filter on reads of 90 bases: nearly all endogenous, one in two hundred from a construct of 7,000 bases."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numba import njit, prange

from benchmarks._runner import Case, Contender
from benchmarks.kernels._library import mixed
from sclineage.kernels import kmers

BASES = 90
LETTERS = (0, 2, 6, 19)  # A, C, G, T from A on


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


# --- on a device -----------------------------------------------------------------------------------------------------
READ_BYTES = BASES + 12 + 14  # its text, place and length in, its result out; the seeds come from the L2 cache


@njit(cache=True, parallel=True)
def _write(construct: np.ndarray, rows: np.ndarray) -> None:
    """Random reads, one in 256 cut from the construct, one base in 128 drawn anew."""
    step = np.uint64(0x9E3779B97F4A7C15)
    for i in prange(rows.shape[0]):
        state = mixed(np.uint64(i) * step)
        ours = state & np.uint64(255) == np.uint64(0)
        at = (state >> np.uint64(8)) % np.uint64(construct.size - BASES)
        for k in range(BASES):
            state += step
            draw = mixed(state)
            from_construct = ours and draw & np.uint64(127) != np.uint64(0)
            rows[i, k] = construct[at + np.uint64(k)] if from_construct else 65 + LETTERS[(draw >> np.uint64(7)) & 3]
        rows[i, BASES] = 10


@cache
def many(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """As `reads`, by all threads."""
    construct = np.frombuffer(b"ACGT", np.uint8)[np.random.default_rng(2).integers(0, 4, 7000)]
    rows = np.empty((n, BASES + 1), np.uint8)
    _write(construct, rows)
    start = np.arange(n, dtype=np.int64) * (BASES + 1)
    return rows.ravel(), start, np.full(n, BASES, np.int32), construct.tobytes().decode()


def device_cases(*, tiny: bool) -> list[Case]:
    """One case; the time in kernels is that of reads on the device."""
    n = 20_000 if tiny else 20_000_000
    return [Case("reads against a construct", "reads", n, lambda: many(n), [
        Contender("sclineage numba, all threads", lambda ready: kmers.scan(*ready), _ready),
        Contender("sclineage cuda, from host arrays and back", lambda ready: kmers.scan(*ready, device="cuda"), _ready,
                  "cuda", bytes_per_unit=READ_BYTES)], _outputs)]
