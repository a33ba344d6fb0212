"""Running the CUDA search of `sequences`: what is launched over which rows, and what is made of the pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _backend
from . import sequences_bits as bits
from . import sequences_keys as keys
from . import sequences_metrics as metrics
from . import sequences_plan as planning
from . import sequences_sinks as sinks
from .sequences_filter import table_bits
from .sequences_keys import KIND, LONG, ROW0, ROW1, SHORT
from .sequences_metrics import LEVENSHTEIN, TCRDIST, Metric
from .sequences_pack import Index, Packed
from .sequences_plan import BRUTE, CROSS, SELF, Costs, Plan
from .sequences_search import code_bits

BLOCK = 128
TILE_COLUMNS = 4096
BATCH_BYTES = 1 << 28  # hash tables of the tasks that are launched together, unless one task needs more
FIRST_CODES = 1 << 20  # room for pair codes at the first try, at least; else two per sequence

__all__ = ["components", "cuda_defines", "distances", "nearest", "pairs"]


def cuda_defines() -> dict[str, str]:
    """Constants of ``sequences.cu``."""
    names: dict[Any, str] = {
        bits: "RESIDUE_BITS PER_WORD RESIDUE MAX_EDITS", metrics: "HAMMING LEVENSHTEIN TCRDIST",
        keys: "KIND SHORT LONG GAP BLOCKS WILD MIDDLE LIMIT ROW1 MAP COLUMNS ALIGNED",
        planning: "SELF NO_FILTER", sinks: "FILL UNITE NEAREST"}
    numbers = {name: getattr(module, name) for module, given in names.items() for name in given.split()}
    words = {"LOW": bits.LOW, "MIX": keys.MIX, "EMPTY": sinks.EMPTY}
    return {name: f"({value})" for name, value in (numbers | {"TILE_COLUMNS": TILE_COLUMNS}).items()} | {
        name: f"{value}ull" for name, value in words.items()}


def costs(metric: Metric) -> Costs:
    """What the cost model assumes on the device: brute force is far cheaper, beside a key, than on the CPU.

    Nanoseconds from the paper limits of an H200 (about 1e10 keys/s, 1e12 pairs/s), not from a measurement.
    """
    pair = {LEVENSHTEIN: 0.2, TCRDIST: 0.02 if metric.free else 0.004}.get(metric.kind, 0.002)
    return Costs(key=0.1, candidate=0.1, edit_candidate=0.4, pair=pair)


# --- launching --------------------------------------------------------------------------------------------------------
class _Search:
    """One search on the device: the arrays every kernel takes, and the launches over a plan."""

    def __init__(self, packed: Packed, metric: Metric) -> None:
        self.packed, self.metric = packed, metric
        self.xp = _backend.cupy()
        self.index = tuple(_backend.to_device(a) for a in packed.index)
        scalars = (metric.kind, metric.cutoff, metric.gap, metric.free, metric.trim_left, metric.trim_right)
        self.metric_arguments = (*(np.int32(v) for v in scalars), _backend.to_device(metrics.COSTS.ravel()))

    def launch(self, name: str, blocks: int, *arguments: Any) -> None:
        """Run a kernel of ``sequences.cu``, index first."""
        if blocks:
            kernel = _backend.module("sequences", cuda_defines()).get_function(name)
            kernel((blocks,), (BLOCK,), (*self.index, *arguments))

    def run(self, made: Plan, sink: tuple[Any, ...], *, listed: bool) -> None:
        """Send the pairs of all tasks to a sink; equal sequences only where pairs are listed."""
        tasks, n = made.tasks, self.packed.n
        if listed and n > self.packed.n_distinct:
            self.launch("duplicates", -(-n // BLOCK), *sink, np.int64(n), np.int64(self.packed.n_distinct))
        brute = np.ascontiguousarray(tasks[tasks[:, KIND] == BRUTE])
        tiles = _tiles(self.packed.index, brute)
        self.launch("brute", len(tiles), *self.metric_arguments, *sink, *map(_backend.to_device, (brute, tiles)))
        maps = _backend.to_device(made.maps)
        for batch in _batches(self.packed.index, tasks[(tasks[:, KIND] == SELF) | (tasks[:, KIND] == CROSS)]):
            self._join(batch, made.maps, maps, sink)

    def _join(self, tasks: np.ndarray, host_maps: np.ndarray, maps: Any, sink: tuple[Any, ...]) -> None:
        xp, index = self.xp, self.packed.index
        masks, mask_starts = keys.task_masks(index, self.metric, tasks, host_maps)
        build_starts = _starts(index.counts[tasks[:, SHORT]])
        probe_starts = _starts(index.counts[tasks[:, LONG]])
        head_bits = _head_bits(index, tasks)
        head_starts = _starts(np.int64(1) << head_bits.astype(np.int64))
        d_tasks, d_build, d_probe, *tables = map(_backend.to_device, (
            tasks, build_starts, probe_starts, mask_starts, masks, head_starts, head_bits))
        head = xp.full(int(head_starts[-1]), -1, dtype=xp.int32)
        following = xp.empty(int(build_starts[-1]), dtype=xp.int32)
        n_tasks = np.int64(len(tasks))
        self.launch("build", -(-int(build_starts[-1]) // BLOCK), np.int32(self.metric.kind == TCRDIST), d_tasks,
                    n_tasks, d_build, *tables, head, following)
        self.launch("probe", -(-int(probe_starts[-1]) // BLOCK), *self.metric_arguments, *sink, d_tasks, n_tasks,
                    d_probe, d_build, maps, *tables, head, following)


def _starts(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes, dtype=np.int64)])


def _head_bits(index: Index, tasks: np.ndarray) -> np.ndarray:
    return np.array([table_bits(n) for n in index.counts[tasks[:, SHORT]].tolist()], dtype=np.int32)


def _tiles(index: Index, tasks: np.ndarray) -> np.ndarray:
    """Task, first row and first column of every tile, int64 (tiles, 3); none that lies below the diagonal."""
    parts = [np.empty((0, 3), dtype=np.int64)]
    for number, task in enumerate(tasks):
        rows = np.arange(task[ROW0], task[ROW1], BLOCK)
        columns = np.arange(0, index.counts[task[LONG]], TILE_COLUMNS)
        row, column = (part.ravel() for part in np.meshgrid(rows, columns, indexing="ij"))
        kept = (column + TILE_COLUMNS > row) | (task[SHORT] != task[LONG])
        parts.append(np.stack([np.full(kept.sum(), number), row[kept], column[kept]], axis=1))
    return np.concatenate(parts)


def _batches(index: Index, tasks: np.ndarray) -> Iterator[np.ndarray]:
    """Tasks in runs whose hash tables fit in the budget, at least one task each."""
    if not len(tasks):
        return
    needed = 4 * (index.counts[tasks[:, SHORT]] + (1 << _head_bits(index, tasks).astype(np.int64)))
    start, used = 0, 0
    for task, size in enumerate(needed.tolist()):
        if task > start and used + size > BATCH_BYTES:
            yield np.ascontiguousarray(tasks[start:task])
            start, used = task, 0
        used += size
    yield np.ascontiguousarray(tasks[start:])


# --- sinks ------------------------------------------------------------------------------------------------------------
def _sink(xp: Any, mode: int, **given: Any) -> tuple[Any, ...]:
    """Arguments of a sink, in the order of ``SINK_PARAMETERS``."""
    values = {"first_bits": 2, "second_bits": 1, "codes": xp.empty(1, dtype=xp.uint64), "capacity": 0,
              "cursor": xp.zeros(1, dtype=xp.uint64), "parent": xp.empty(1, dtype=xp.int32),
              "nearest": xp.empty(1, dtype=xp.uint64), "k": 1} | given
    return (np.int32(mode), np.int32(values["first_bits"]), np.int32(values["second_bits"]), values["codes"],
            np.int64(values["capacity"]), values["cursor"], values["parent"], values["nearest"], np.int64(values["k"]))


def _codes(search: _Search, made: Plan, shifts: dict[str, int]) -> Any:
    """Pair codes, unsorted: once into a guessed room, and again into an exact one where that was too small."""
    xp, room = search.xp, max(FIRST_CODES, 2 * search.packed.n)
    while True:
        codes, cursor = xp.empty(room, dtype=xp.uint64), xp.zeros(1, dtype=xp.uint64)
        search.run(made, _sink(xp, sinks.FILL, codes=codes, capacity=room, cursor=cursor, **shifts), listed=True)
        found = int(cursor[0])
        if found <= room:
            return codes[:found]
        room = found


def _plan(packed: Packed, metric: Metric) -> Plan:
    return planning.plan(packed.index, metric, costs(metric))


def pairs(packed: Packed, metric: Metric, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `sequences.neighbor_pairs`."""
    search = _Search(packed, metric)
    first_bits, second_bits = code_bits(packed.n, metric.cutoff)
    codes = _codes(search, _plan(packed, metric), {"first_bits": first_bits, "second_bits": second_bits})
    codes.sort()
    second = (codes >> np.uint64(second_bits)) & np.uint64((1 << (first_bits - second_bits)) - 1)
    gaps = (codes & np.uint64((1 << second_bits) - 1)).astype(dtype)
    first = (codes >> np.uint64(first_bits)).astype(np.int32)
    return _backend.to_host(first), _backend.to_host(second.astype(np.int32)), _backend.to_host(gaps)


def components(packed: Packed, metric: Metric) -> np.ndarray:
    """Root of every distinct sequence, int32."""
    search, n = _Search(packed, metric), packed.n_distinct
    parent, labels = search.xp.arange(n, dtype=np.int32), search.xp.empty(n, dtype=np.int32)
    search.run(_plan(packed, metric), _sink(search.xp, sinks.UNITE, parent=parent), listed=False)
    if n:
        flatten = _backend.module("components").get_function("flatten")
        flatten((-(-n // BLOCK),), (BLOCK,), (parent, labels, np.int64(n)))
    return _backend.to_host(labels)


def nearest(packed: Packed, metric: Metric, k: int) -> np.ndarray:
    """The k least codes (distance << 32 | neighbour) of every sequence, ascending, uint64 (n * k,)."""
    search = _Search(packed, metric)
    found = search.xp.full(packed.n * k, sinks.EMPTY, dtype=np.uint64)
    search.run(_plan(packed, metric), _sink(search.xp, sinks.NEAREST, nearest=found, k=k), listed=True)
    return _backend.to_host(found)


def distances(packed: Packed, metric: Metric, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distances of pairs of distinct sequences, uint16, 65 535 beyond the cutoff."""
    search = _Search(packed, metric)
    group_of = np.repeat(np.arange(packed.index.counts.size, dtype=np.int32), packed.index.counts)
    gaps = search.xp.full(first.size, 65535, dtype=np.uint16)
    ends = (_backend.to_device(a) for a in (group_of, first, second))
    blocks, pairs_ = -(-first.size // BLOCK), np.int64(first.size)
    search.launch("pair_distances", blocks, *search.metric_arguments, *ends, pairs_, gaps)
    return _backend.to_host(gaps)


