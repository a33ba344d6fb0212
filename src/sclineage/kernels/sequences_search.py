"""Running the CPU search of `sequences`: workers, memory, and what is made of the pairs."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from .. import _backend
from . import components_cpu
from . import sequences_cpu as cpu
from .sequences_cpu import EMPTY, FILL, LOG, NEAREST, UNITE, Sink
from .sequences_distance import distances_of, pair_distances
from .sequences_metrics import LEVENSHTEIN, TCRDIST, Metric
from .sequences_pack import Packed
from .sequences_plan import Costs, Plan, plan

CODES_LEAST = 1 << 14  # pair codes kept in the first pass, at least
CODES_SHARE = 8  # else room for this many per sequence (untouched memory is free); beyond, a second pass writes them
TABLE_BYTES = 20  # of a worker's hash table, per row
TABLE_SHARE = 16  # bytes per sequence that the tables of all workers together may take
TABLE_LEAST = 1 << 26
ALONE = 2048  # sequences up to which no second thread is woken
CHUNK = 4096

__all__ = ["EMPTY", "components", "distances", "nearest", "pairs"]


def costs(metric: Metric) -> Costs:
    """What the cost model assumes on the CPU (nanoseconds, two words a sequence)."""
    pair = {LEVENSHTEIN: 40.0, TCRDIST: 12.0 if metric.free else 2.0}.get(metric.kind, 1.2)
    return Costs(key=10.0, candidate=25.0, edit_candidate=50.0, pair=pair)


def code_bits(n: int, cutoff: int) -> tuple[int, int]:
    """Left shifts of the first and second sequence in a pair code."""
    second = max(1, cutoff.bit_length())
    return second + max(1, (n - 1).bit_length()), second


def _workers(packed: Packed, made: Plan) -> int:
    if packed.n <= ALONE:
        return 1
    rows = cpu.table_rows(packed.index, made.tasks)
    budget = max(TABLE_LEAST, TABLE_SHARE * packed.n)
    return max(1, min(numba.get_num_threads(), len(made.tasks), budget // (TABLE_BYTES * rows)))


def _sink(mode: int, tasks: int, **given: Any) -> Sink:
    empty: dict[str, Any] = {"first_bits": 2, "second_bits": 1, "codes": np.empty(0, dtype=np.uint64),
             "segments": np.zeros((1, 2), dtype=np.int64), "parent": np.empty(0, dtype=np.int32),
             "nearest": np.empty(0, dtype=np.uint64), "k": 1}
    return Sink(mode=mode, counts=np.zeros(tasks, dtype=np.int64), **(empty | given))


# --- pairs ------------------------------------------------------------------------------------------------------------
def _log(packed: Packed, metric: Metric, made: Plan, bits: dict[str, int]) -> np.ndarray | list[int]:
    """Pair codes, unsorted, if they fit in the log; else how many each task found."""
    workers = _workers(packed, made)
    share = max(CODES_LEAST, CODES_SHARE * packed.n) // workers
    starts = np.arange(workers, dtype=np.int64) * share
    codes = np.empty(workers * share, dtype=np.uint64)
    sink = _sink(LOG, len(made.tasks), codes=codes, segments=np.stack([starts, starts + share], axis=1), **bits)
    ends = cpu.run(packed.index, metric, made, sink, workers)
    if (ends > starts + share).any():
        return sink.counts.tolist()
    del sink
    used = 0
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        codes[used:used + end - start] = codes[start:end]
        used += end - start
    codes.resize(used, refcheck=False)
    return codes


def _codes(packed: Packed, metric: Metric, made: Plan, bits: dict[str, int]) -> np.ndarray:
    logged = _log(packed, metric, made, bits)
    if isinstance(logged, np.ndarray):
        return logged
    ends = np.cumsum(np.array(logged, dtype=np.int64))
    codes = np.empty(ends[-1], dtype=np.uint64)
    segments = np.stack([ends - np.array(logged), ends], axis=1)
    cpu.run(packed.index, metric, made, _sink(FILL, len(made.tasks), codes=codes, segments=segments, **bits),
            _workers(packed, made))
    return codes


def pairs(packed: Packed, metric: Metric, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `sequences.neighbor_pairs`. The sorted codes become `j` in place, so the peak is the output's own size."""
    made = plan(packed.index, metric, costs(metric))
    first_bits, second_bits = code_bits(packed.n, metric.cutoff)
    with _backend.threads(None):
        codes = _codes(packed, metric, made, {"first_bits": first_bits, "second_bits": second_bits})
    codes.sort()
    total = codes.size
    gaps, rows = np.empty(total, dtype=dtype), np.zeros(packed.n, dtype=np.int32)
    cpu.split(codes, codes.view(np.int32), gaps, first_bits, second_bits, rows)
    codes.resize((total + 1) // 2, refcheck=False)
    first = np.repeat(np.arange(packed.n, dtype=np.int32), rows)
    return first, codes.view(np.int32)[:total], gaps


# --- streamed ---------------------------------------------------------------------------------------------------------
def components(packed: Packed, metric: Metric) -> np.ndarray:
    """Root of every distinct sequence, int32."""
    made = plan(packed.index, metric, costs(metric))
    parent = np.arange(packed.n_distinct, dtype=np.int32)
    with _backend.threads(None):
        cpu.run(packed.index, metric, made, _sink(UNITE, len(made.tasks), parent=parent), _workers(packed, made))
        return components_cpu.flatten(parent) if parent.size > ALONE else components_cpu.flatten_alone(parent)


def nearest(packed: Packed, metric: Metric, k: int) -> np.ndarray:
    """The k least codes (distance << 32 | neighbour) of every sequence, ascending, uint64 (n * k,)."""
    made = plan(packed.index, metric, costs(metric))
    found = np.full(packed.n * k, EMPTY, dtype=np.uint64)
    with _backend.threads(None):
        cpu.run(packed.index, metric, made, _sink(NEAREST, len(made.tasks), nearest=found, k=k), _workers(packed, made))
    return found


def distances(packed: Packed, metric: Metric, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distances of pairs of distinct sequences, uint16, 65 535 beyond the cutoff."""
    group_of = np.repeat(np.arange(packed.index.counts.size), packed.index.counts)
    gaps = np.full(first.size, 65535, dtype=np.uint16)
    with _backend.threads(None):
        if first.size <= CHUNK:
            distances_of(packed.index, metric, group_of, first, second, gaps)
        else:
            pair_distances(packed.index, metric, group_of, first, second, gaps, CHUNK)
    return gaps


