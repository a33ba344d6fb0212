"""Running the CPU search of `sequences`: workers, memory, and what is made of the pairs."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from .. import _backend
from . import components_cpu
from . import sequences_cpu as cpu
from .sequences_distance import distances_of, pair_distances
from .sequences_metrics import LEVENSHTEIN, TCRDIST, Metric
from .sequences_pack import Packed
from .sequences_plan import Costs, Plan, plan
from .sequences_sinks import EMPTY, FILL, NEAREST, UNITE, Sink

CODES_LEAST = 1 << 14  # room for pair codes at the first try, at least
CODES_SHARE = 64  # else this many per sequence: untouched memory is free
TABLE_BYTES = 36  # of a worker's filter and hash table, per row
TABLE_SHARE = 16  # bytes per sequence that the tables of all workers together may take
TABLE_LEAST = 1 << 26
ALONE = 2048  # sequences up to which no second thread is woken
CHUNK = 4096

__all__ = ["EMPTY", "components", "distances", "nearest", "pairs"]


def costs(metric: Metric) -> Costs:
    """What the cost model assumes on the CPU (nanoseconds, two words a sequence)."""
    pair = {LEVENSHTEIN: 40.0, TCRDIST: 12.0 if metric.free else 8.0}.get(metric.kind, 1.2)
    return Costs(key=4.0, candidate=25.0, edit_candidate=50.0, pair=pair)


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


def _sink(mode: int, **given: Any) -> Sink:
    empty: dict[str, Any] = {"first_bits": 2, "second_bits": 1, "codes": np.empty(0, dtype=np.uint64),
             "parent": np.empty(0, dtype=np.int32), "nearest": np.empty(0, dtype=np.uint64), "k": 1}
    return Sink(mode=mode, cursor=np.zeros(1, dtype=np.int64), **(empty | given))


# --- pairs ------------------------------------------------------------------------------------------------------------
def _codes(packed: Packed, metric: Metric, made: Plan, bits: dict[str, int]) -> np.ndarray:
    """Pair codes, unsorted: once into a guessed room, and again into an exact one where that was too small."""
    room = max(CODES_LEAST, CODES_SHARE * packed.n)
    while True:
        sink = _sink(FILL, codes=np.empty(room, dtype=np.uint64), **bits)
        cpu.run(packed.index, metric, made, sink, _workers(packed, made))
        codes, found = sink.codes, int(sink.cursor[0])
        del sink
        if found <= room:
            codes.resize(found, refcheck=False)
            return codes
        del codes
        room = found


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
        cpu.run(packed.index, metric, made, _sink(UNITE, parent=parent), _workers(packed, made))
        return components_cpu.flatten(parent) if parent.size > ALONE else components_cpu.flatten_alone(parent)


def nearest(packed: Packed, metric: Metric, k: int) -> np.ndarray:
    """The k least codes (distance << 32 | neighbour) of every sequence, ascending, uint64 (n * k,)."""
    made = plan(packed.index, metric, costs(metric))
    found = np.full(packed.n * k, EMPTY, dtype=np.uint64)
    with _backend.threads(None):
        cpu.run(packed.index, metric, made, _sink(NEAREST, nearest=found, k=k), _workers(packed, made))
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


