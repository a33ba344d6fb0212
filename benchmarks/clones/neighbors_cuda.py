"""Neighbour lists on a CUDA device against paper limits: brute force in pairs/s, the index in seconds.

    python -m benchmarks.clones.neighbors_cuda [--tiny] [--out DIR]      on a machine with a device; under a minute

One process; equal lists from the CPU and the device first (at the smaller size; counts at the larger). Each search is
timed three ways: device-resident (packed sequences and plan there, sorted pair codes left there), from packed host
arrays (plan, copies to the device, lists back on the host), and from the list of strings. Brute force is the kernel
alone, forced by the cost model, in pairs that it tests: those whose lengths allow a distance at all.

The limits are arithmetic for an H200, not measurements: 132 multiprocessors at 1.98 GHz; Hamming by XOR, fold and
popcount 1e12 pairs/s; tcrdist by table lookup 2.5e11 pairs/s; index 1e6 sequences in 10 to 50 ms.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks._runner import NotMeasuredError, UnequalError, machine, options, publish
from benchmarks.clones.repertoire import unique_cdr3
from sclineage import _backend
from sclineage.kernels import sequences as kernel
from sclineage.kernels import sequences_cuda as cuda
from sclineage.kernels import sequences_plan as planning
from sclineage.kernels.sequences_keys import LONG, SHORT
from sclineage.kernels.sequences_metrics import Metric, metric_of
from sclineage.kernels.sequences_search import code_bits

NAME = "clones.neighbors_cuda"
TASKS: tuple[tuple[kernel.MetricName, int], ...] = (
    ("hamming", 1), ("hamming", 2), ("levenshtein", 1), ("tcrdist_scirpy", 15), ("tcrdist3", 15))
BRUTE: dict[kernel.MetricName, float] = {"hamming": 1e12, "tcrdist_scirpy": 2.5e11}  # paper limit in pairs/s
INDEX_LIMIT = "0.010 to 0.050 at 1e6"
SIZES, TINY_SIZES = (100_000, 1_000_000), (500, 2000)
REPEATS = 3
BRUTE_COSTS = planning.Costs(1.0, 1.0, 1.0, 0.0)


def best(run: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Least seconds of some runs, each waited for, after one that is not counted."""
    run()
    _backend.synchronize()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        _backend.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _metric(packed: kernel.Packed, name: kernel.MetricName, cutoff: int) -> Metric:
    return metric_of(name, cutoff, int(packed.index.lengths[-1]))


def check_equal(packed: kernel.Packed, name: kernel.MetricName, cutoff: int) -> int:
    """Number of pairs, equal on both devices."""
    ours = kernel.neighbor_pairs(packed, metric=name, cutoff=cutoff, device="cpu")
    theirs = kernel.neighbor_pairs(packed, metric=name, cutoff=cutoff, device="cuda")
    if not all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)):
        raise UnequalError(f"{name} <= {cutoff}: the device's list differs from the CPU's")
    return int(ours[0].size)


def indexed(sequences: list[str], packed: kernel.Packed, name: kernel.MetricName, cutoff: int) -> dict[str, Any]:
    """Seconds of one search by the plan that the cost model chooses."""
    metric = _metric(packed, name, cutoff)
    search, made = cuda._Search(packed, metric), cuda._plan(packed, metric)
    first, second = code_bits(packed.n, metric.cutoff)
    shifts = {"first_bits": first, "second_bits": second}
    pairs = int(cuda._codes(search, made, shifts).size)

    def with_device(given: Sequence[str] | kernel.Packed) -> float:
        return best(lambda: kernel.neighbor_pairs(given, metric=name, cutoff=cutoff, device="cuda"))

    return {"task": f"{name} <= {cutoff}", "n": packed.n, "pairs": pairs,
            "resident_s": best(lambda: cuda._codes(search, made, shifts).sort()),
            "plan_s": best(lambda: cuda._plan(packed, metric)), "packed_s": with_device(packed),
            "strings_s": with_device(sequences),
            "brute_tasks": int((made.tasks[:, 0] == planning.BRUTE).sum()), "tasks": len(made.tasks)}


def tested(index: Any, tasks: np.ndarray) -> int:
    """Pairs of sequences that the brute-force tasks visit."""
    counts, total = index.counts.tolist(), 0
    for short, long in np.unique(tasks[:, [SHORT, LONG]], axis=0).tolist():
        total += counts[short] * (counts[short] - 1) // 2 if short == long else counts[short] * counts[long]
    return int(total)


def brute(packed: kernel.Packed, name: kernel.MetricName, cutoff: int) -> dict[str, Any]:
    """Pairs per second of brute force over all lengths, device-resident."""
    metric = _metric(packed, name, cutoff)
    search, made = cuda._Search(packed, metric), planning.plan(packed.index, metric, BRUTE_COSTS)
    first, second = code_bits(packed.n, metric.cutoff)
    shifts = {"first_bits": first, "second_bits": second}
    seconds = best(lambda: cuda._codes(search, made, shifts), repeats=1)
    pairs = tested(packed.index, made.tasks)
    return {"task": f"{name} <= {cutoff}", "n": packed.n, "tested": pairs, "seconds": seconds,
            "pairs_per_s": pairs / seconds, "limit": BRUTE[name], "share_of_limit": pairs / seconds / BRUTE[name]}


def measure(sizes: Sequence[int]) -> dict[str, Any]:
    """Everything, at every size."""
    longest = unique_cdr3(max(sizes), seed=1)
    search: list[dict[str, Any]] = []
    force: list[dict[str, Any]] = []
    for n in sizes:
        sequences = longest[:n]
        packed = kernel.pack(sequences)
        for name, cutoff in TASKS:
            equal = check_equal(packed, name, cutoff) if n == min(sizes) else None
            row = indexed(sequences, packed, name, cutoff)
            if equal not in (None, row["pairs"]):
                raise UnequalError(f"{row['task']}: {row['pairs']} pairs, {equal} were checked")
            search.append(row | {"checked_against_cpu": equal is not None})
        force += [brute(packed, name, 1 if name == "hamming" else 15) for name in BRUTE]
    return {"search": search, "brute": force}


def table(record: Mapping[str, Any]) -> str:
    """Markdown of a record."""
    facts = record["machine"]
    lines = [f"# {NAME}", "", f"{record['device']}; {facts['cpu']}, {facts['cores']} cores; best of {REPEATS} in one "
             "process, code compiled and loaded before.", ""]
    lines += ["**Tiny inputs: the times mean nothing.**", ""] if record["tiny"] else []
    lines += [f"## Index (paper limit: {INDEX_LIMIT} s, device-resident)", "",
              "| task | receptors | pairs | device-resident s | plan s | from packed arrays s | from strings s |",
              "| --- | --- | --- | --- | --- | --- | --- |"]
    lines += [f"| {r['task']} | {r['n']:,} | {r['pairs']:,} | {r['resident_s']:.4g} | {r['plan_s']:.4g} | "
              f"{r['packed_s']:.4g} | {r['strings_s']:.4g} |" for r in record["search"]]
    lines += ["", "## Brute force, device-resident", "",
              "| task | receptors | pairs tested | seconds | pairs per s | of the paper limit |",
              "| --- | --- | --- | --- | --- | --- |"]
    lines += [f"| {r['task']} | {r['n']:,} | {r['tested']:.3g} | {r['seconds']:.4g} | {r['pairs_per_s']:.3g} | "
              f"{100 * r['share_of_limit']:.3g} % |" for r in record["brute"]]
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write it."""
    given = options(__doc__).parse_args(arguments)
    if not _backend.cuda_available():
        raise NotMeasuredError("no CUDA device: nothing can be measured here")
    record = {"benchmark": NAME, "tiny": given.tiny, "machine": machine(),
              "device": _backend.synchronize(), **measure(TINY_SIZES if given.tiny else SIZES)}
    publish(record, table(record), given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
