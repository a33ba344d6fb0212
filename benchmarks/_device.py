"""Measuring on a CUDA device: one process, inputs made once, our Numba version beside the CUDA contenders.

What ``python -m benchmarks._runner --device cuda`` does. A module may have ``device_cases(*, tiny)``, inputs that fill
a device; else its ``cases`` are taken, and of them the first contender and those on CUDA. Outputs are compared
before anything is timed. Two times are told apart: the whole call, until the device is idle again, and in it the time
spent in our kernels alone, by CUDA events around every launch.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import _runner
from benchmarks._runner import Case, Contender, identical
from sclineage import _backend

MOST_CALLS, ENOUGH_SECONDS = 20, 0.5  # warm calls go on until either is reached, at least three (on the CPU two)
KERNEL_CALLS = 10


def _timed(contender: Contender, ready: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = contender.run(ready)
    if contender.device == "cuda":
        _backend.synchronize()
    return time.perf_counter() - start, result


def _warm(contender: Contender, ready: Any) -> list[float]:
    seconds: list[float] = []
    least = 3 if contender.device == "cuda" else 2
    while len(seconds) < least or (len(seconds) < MOST_CALLS and sum(seconds) < ENOUGH_SECONDS):
        seconds.append(_timed(contender, ready)[0])
    return seconds


def _in_kernels(contender: Contender, ready: Any, seconds: float) -> float | None:
    """Median seconds in our kernels per call, None where none was launched."""
    if contender.device != "cuda":
        return None
    calls = max(2, min(KERNEL_CALLS, int(ENOUGH_SECONDS / max(seconds, 1e-6))))
    found = [_backend.kernel_seconds(lambda: contender.run(ready))[0] for _ in range(calls)]
    return statistics.median(found) or None


def row(case: Case, contender: Contender, ready: Any, cold: float) -> dict[str, Any]:
    """Time one contender whose outputs were found equal."""
    warm = statistics.median(_warm(contender, ready))
    name = _backend.synchronize() if contender.device == "cuda" else "cpu"
    if not name:
        raise _runner.NotMeasuredError(f"{case.name}, {contender.name}: a CUDA time without a device")
    kernels = _in_kernels(contender, ready, warm)
    return {"contender": contender.name, "device": name, "cold_s": cold, "warm_s": warm, "kernel_s": kernels,
            "rate_per_s": case.n / warm, "kernel_rate_per_s": case.n / kernels if kernels else None,
            "bytes_per_unit": contender.bytes_per_unit, "units": case.units, "n": case.n}


def measure(case: Case, *, absent: Mapping[str, str], say: Callable[[str], None]) -> dict[str, Any]:
    """Check and time the contenders of a case that are not absent, one after another."""
    started = time.perf_counter()
    inputs = case.inputs()
    made = time.perf_counter() - started
    expected: Mapping[str, np.ndarray] | None = None
    rows: list[dict[str, Any]] = []
    for contender in chosen(case.contenders, absent):
        ready = contender.prepare(inputs)
        cold, result = _timed(contender, ready)
        got = {k: np.asarray(v) for k, v in case.outputs(result).items()}
        if expected is not None and not (case.same or identical)(expected, got):
            raise _runner.UnequalError(f"{case.name}: {contender.name} differs from {rows[0]['contender']}")
        expected = got if expected is None else expected
        rows.append(row(case, contender, ready, cold))
        del ready, result, got
        say(f"  {contender.name}: {rows[-1]['rate_per_s']:.3g} {case.units}/s, in kernels "
            f"{rows[-1]['kernel_rate_per_s'] or float('nan'):.3g}")
    return {"case": case.name, "outputs_equal": True, "inputs_s": made, "rows": rows, "not_measured": dict(absent)}


def chosen(contenders: Sequence[Contender], absent: Mapping[str, str]) -> list[Contender]:
    """The first contender, and those on the device."""
    return [c for k, c in enumerate(contenders) if c.name not in absent and (k == 0 or c.device == "cuda")]


def table(record: Mapping[str, Any]) -> str:
    """Markdown of a record."""
    facts = record["machine"]
    lines = [f"# {record['benchmark']} on a CUDA device", "",
             f"CUDA device: {facts['versions']['cuda_device']}; {facts['cpu']}, {facts['cores']} cores. One process; "
             "medians of warm calls; outputs equal in every case. \"In kernels\": time between CUDA events around our "
             "launches. \"Moved\": bytes that a unit takes on paper, times the rate in kernels.", ""]
    if record["tiny"]:
        lines += ["**Tiny inputs: the times mean nothing.**", ""]
    for result in record["results"]:
        lines += [f"## {result['case']}", "",
                  "| contender | device | whole call | units per s | in kernels | units per s | moved | cold |",
                  "| --- | --- | --- | --- | --- | --- | --- | --- |", *map(_line, result["rows"])]
        lines += [f"| {name} | | {why} | | | | | |" for name, why in result["not_measured"].items()]
        lines.append("")
    return "\n".join(lines)


def _line(row: Mapping[str, Any]) -> str:
    kernels, rate, size = row["kernel_s"], row["kernel_rate_per_s"], row["bytes_per_unit"]
    inside = f"{kernels:.4g} s | {rate:.3g} {row['units']}" if kernels else " | "
    moved = f"{size * rate / 1e9:.0f} GB/s of {size:g} B" if kernels and size else ""
    return (f"| {row['contender']} | {row['device']} | {row['warm_s']:.4g} s | "
            f"{row['rate_per_s']:.3g} {row['units']} | {inside} | {moved} | {row['cold_s']:.3g} s |")
