"""The one benchmark runner: ours and the peers side by side, equal outputs first, then alternating runs.

    python -m benchmarks._runner [kernels.barcodes ...] [--repeats 5] [--device all|cpu|cuda] [--threads N] [--tiny]

A benchmark is a module of this folder with ``cases(*, tiny) -> list[Case]``. For every case each contender first runs
once and the outputs are compared; if they differ nothing is timed (of one that takes minutes the first timed run is
compared, and if it differs nothing is kept). Then the contenders take turns, each run in a process of its own: the
first call there is the cold time (compilation or its cache included), the calls after it the warm times; the process's
peak memory is its own. A JSON file and a Markdown table go to ``benchmarks/results`` with the machine and the
versions. A CUDA contender without a device is listed as not measured, and a CUDA time without the name of the device
that made it is refused. With ``--device cuda`` everything runs in one process on inputs made once
(see `_device`); ``--shim``, with ``--tiny`` only, then puts g++ in the place of the device. ``--tiny`` shrinks inputs
to show that everything runs; its times mean nothing and are not stored unless ``--out`` names a place.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE / "results"
WARM_CALLS = 3


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes
    ----------
    name
        Ours or the peer's name with its version.
    run
        Called with what `prepare` returned; its result is compared and timed.
    prepare
        Called with the case's inputs before the clock starts (loading, moving to the device).
    device
        ``cpu`` or ``cuda``; CUDA work is waited for before the clock stops.
    missing
        Why it cannot run here, or None.
    warm
        Calls in a process after the first: few for one that takes long.
    tried
        Whether it runs once for its outputs alone; of one that takes minutes the first timed run is compared.
    bytes_per_unit
        Bytes of device memory that a unit takes on paper, 0 if not counted.
    """

    name: str
    run: Callable[[Any], Any]
    prepare: Callable[[Any], Any] = lambda inputs: inputs
    device: str = "cpu"
    missing: Callable[[], str | None] = lambda: None
    warm: int = WARM_CALLS
    tried: bool = True
    bytes_per_unit: float = 0.0


@dataclass(frozen=True)
class Case:
    """One table row per contender.

    Attributes
    ----------
    name
        What is done, to what.
    units, n
        What the rate counts, and how many of them a run handles.
    inputs
        Makes the inputs, the same in every process.
    contenders
        The first one is ours.
    outputs
        Arrays of a result that must agree.
    same
        Comparison of two such sets; default equality.
    """

    name: str
    units: str
    n: int
    inputs: Callable[[], Any]
    contenders: Sequence[Contender]
    outputs: Callable[[Any], Mapping[str, np.ndarray]]
    same: Callable[[Mapping[str, np.ndarray], Mapping[str, np.ndarray]], bool] | None = None


class UnequalError(AssertionError):
    """Two contenders disagree: nothing is timed."""


class NotMeasuredError(ValueError):
    """A figure was about to be written that no device made."""


# --- the child: one contender, one process ---------------------------------------------------------------------------
def _wait(device: str) -> str:
    """Wait for the device; its name (empty on the CPU)."""
    if device != "cuda":
        return ""
    from sclineage import _backend

    return _backend.synchronize()


def _peak() -> int:
    """Peak bytes of this process and of the programs it called."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                      resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def child(module: str, case_name: str, contender_name: str, *, tiny: bool, warm: int, outputs: str | None) -> None:
    """Run one contender and print its record as JSON."""
    case = next(c for c in load(module, tiny=tiny) if c.name == case_name)
    contender = next(c for c in case.contenders if c.name == contender_name)
    ready = contender.prepare(case.inputs())
    _wait(contender.device)
    before, seconds, device, result = _peak(), [], "", None
    for _ in range(1 + warm):
        result = None  # what the last call made is given back before the clock starts, arrays and lists of tuples alike
        start = time.perf_counter()
        result = contender.run(ready)
        device = _wait(contender.device)
        seconds.append(time.perf_counter() - start)
    peak = _peak()
    if outputs:
        np.savez(outputs, **{k: np.asarray(v) for k, v in case.outputs(result).items()})
    print(json.dumps({"cold": seconds[0], "warm": seconds[1:], "peak_bytes": peak, "extra_bytes": peak - before,
                      "device": device}))


def _spawn(module: str, case: Case, contender: Contender, *, tiny: bool, warm: int, threads: int | None,
           outputs: Path | None = None) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks._runner", "--child", module, case.name, contender.name,
               "--warm", str(warm), *(["--tiny"] if tiny else []), *(["--outputs", str(outputs)] if outputs else [])]
    environment = dict(os.environ)
    if threads is not None:
        environment |= {k: str(threads) for k in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    done = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{case.name}, {contender.name} failed:\n{done.stderr[-3000:]}")
    record: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return record


# --- the parent ------------------------------------------------------------------------------------------------------
def load(module: str, *, tiny: bool, device: str = "all") -> list[Case]:
    """Cases of a benchmark module, named from this folder; those for a device where it has some."""
    found = importlib.import_module(f"benchmarks.{module}")
    make = getattr(found, "device_cases", found.cases) if device == "cuda" else found.cases
    cases: list[Case] = make(tiny=tiny)
    return cases


def modules() -> list[str]:
    """All benchmark modules, sorted."""
    found = []
    for entry in pkgutil.walk_packages([str(HERE)], "benchmarks."):
        name = entry.name.removeprefix("benchmarks.")
        text = (HERE / Path(*name.split("."))).with_suffix(".py")
        if text.exists() and "\ndef cases(" in text.read_text(encoding="utf-8"):
            found.append(name)
    return sorted(found)


def _absent(contender: Contender, device: str) -> str | None:
    from sclineage import _backend

    if device == "cpu" and contender.device != "cpu":
        return f"not asked for (--device {device})"
    if contender.device == "cuda" and not _backend.cuda_available():
        return "not measured: no CUDA device"
    return contender.missing()


class Checked:
    """Runs contenders in processes of their own; asked to check, it compares outputs with the first that it saw."""

    def __init__(self, module: str, case: Case, *, tiny: bool, threads: int | None) -> None:
        self.module, self.case, self.tiny, self.threads = module, case, tiny, threads
        self.first: tuple[str, dict[str, np.ndarray]] | None = None

    def run(self, contender: Contender, *, warm: int, check: bool) -> dict[str, Any]:
        """Record of one run."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "outputs.npz"
            record = _spawn(self.module, self.case, contender, tiny=self.tiny, warm=warm, threads=self.threads,
                            outputs=path if check else None)
            if check:
                self._compare(contender, path)
        return record

    def _compare(self, contender: Contender, path: Path) -> None:
        with np.load(path) as data:
            got = {k: data[k] for k in data.files}
        if self.first is None:
            self.first = contender.name, got
        elif not (self.case.same or identical)(self.first[1], got):
            raise UnequalError(f"{self.case.name}: {contender.name} differs from {self.first[0]}")


def identical(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    """Whether two contenders gave the same arrays."""
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def summary(contender: Contender, case: Case, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians of the runs of one contender."""
    device = runs[0]["device"]
    if contender.device == "cuda" and not device:
        raise NotMeasuredError(f"{case.name}, {contender.name}: a CUDA time without a device")
    warm = statistics.median(t for r in runs for t in (r["warm"] or [r["cold"]]))
    cold = statistics.median(r["cold"] for r in runs)
    return {"contender": contender.name, "device": device or "cpu", "cold_s": cold, "warm_s": warm,
            "rate_per_s": case.n / warm, "units": case.units, "n": case.n,
            "peak_bytes": max(r["peak_bytes"] for r in runs), "extra_bytes": max(r["extra_bytes"] for r in runs),
            "runs": len(runs)}


def measure(module: str, case: Case, *, repeats: int, device: str, tiny: bool, threads: int | None,
            say: Callable[[str], None]) -> dict[str, Any]:
    """Check and time one case."""
    absent = {c.name: reason for c in case.contenders if (reason := _absent(c, device))}
    present = [c for c in case.contenders if c.name not in absent]
    say(f"{module}: {case.name}: {', '.join(c.name for c in present) or 'nobody here'}")
    processes = Checked(module, case, tiny=tiny, threads=threads)
    for contender in present:
        if contender.tried:
            processes.run(contender, warm=0, check=True)
    runs: dict[str, list[dict[str, Any]]] = {c.name: [] for c in present}
    for turn in range(repeats):
        for contender in present:
            runs[contender.name].append(
                processes.run(contender, warm=contender.warm, check=turn == 0 and not contender.tried))
    rows = [summary(c, case, runs[c.name]) for c in present]
    for row in rows:
        row["ratio_to_first"] = row["warm_s"] / rows[0]["warm_s"]
    return {"case": case.name, "outputs_equal": True, "rows": rows, "not_measured": absent}


def machine() -> dict[str, Any]:
    """CPU model, cores, memory, and the CUDA device where there is one."""
    from sclineage import _provenance

    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": round(pages / 2**30, 1), "load": os.getloadavg()[0],
            "versions": _provenance.versions()}


def table(record: Mapping[str, Any]) -> str:
    """Markdown of a record."""
    facts = record["machine"]
    lines = [f"# {record['benchmark']}", "",
             f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB; CUDA device: "
             f"{facts['versions']['cuda_device']}; threads: {record['threads'] or 'default'}; load at the start "
             f"{facts['load']:.1f}; medians of {record['repeats']} alternating runs; outputs equal in every case.", ""]
    if record["tiny"]:
        lines += ["**Tiny inputs: the times mean nothing.**", ""]
    for result in record["results"]:
        lines += [f"## {result['case']}", "",
                  "| contender | device | warm | units per s | time / first | cold | peak MB | extra MB |",
                  "| --- | --- | --- | --- | --- | --- | --- | --- |"]
        lines += [f"| {r['contender']} | {r['device']} | {r['warm_s']:.4g} s | {r['rate_per_s']:.3g} {r['units']} | "
                  f"{r['ratio_to_first']:.3g} | {r['cold_s']:.3g} s | {r['peak_bytes'] / 1e6:.0f} | "
                  f"{r['extra_bytes'] / 1e6:.0f} |" for r in result["rows"]]
        lines += [f"| {name} | | {why} | | | | | |" for name, why in result["not_measured"].items()]
        lines.append("")
    return "\n".join(lines)


def options(doc: str | None) -> argparse.ArgumentParser:
    """Parser of a benchmark's command line, with what all of them take: ``--tiny`` and ``--out``."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n", 1)[0])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path)
    return parser


def publish(record: Mapping[str, Any], text: str, given: argparse.Namespace) -> None:
    """Print a record's table and write both: to ``--out``, by default to the results, where inputs are not tiny."""
    print(text)
    out = given.out or (None if given.tiny else RESULTS)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{record['benchmark']}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (out / f"{record['benchmark']}.md").write_text(text + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, write."""
    parser = options(__doc__)
    parser.add_argument("names", nargs="*", help="modules such as kernels.barcodes; default all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=("all", "cpu", "cuda"), default="all")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--warm", type=int, default=WARM_CALLS, help=argparse.SUPPRESS)
    parser.add_argument("--outputs", help=argparse.SUPPRESS)
    parser.add_argument("--shim", action="store_true", help="g++ for the device; with --tiny --device cuda")
    given = parser.parse_args(arguments)
    if given.child:
        child(*given.child, tiny=given.tiny, warm=given.warm, outputs=given.outputs)
        return 0
    if given.shim:
        if not (given.tiny and given.device == "cuda"):
            parser.error("--shim needs --tiny --device cuda")
        _install_shim()
    for name in given.names or modules():
        record = run(name, given)
        publish(record, _table(record), given)
    return 0


def run(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Record of one module."""
    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    results = []
    for case in load(name, tiny=given.tiny, device=given.device):
        if given.device == "cuda":
            from benchmarks import _device

            say(f"{name}: {case.name}")
            absent = {c.name: why for c in case.contenders if (why := _absent(c, "all"))}
            results.append(_device.measure(case, absent=absent, say=say))
        else:
            results.append(measure(name, case, repeats=given.repeats, device=given.device, tiny=given.tiny,
                                   threads=given.threads, say=say))
    return {"benchmark": name, "tiny": given.tiny, "repeats": given.repeats, "threads": given.threads,
            "device": given.device, "machine": machine(), "results": results}


def _table(record: Mapping[str, Any]) -> str:
    if record["device"] != "cuda":
        return table(record)
    from benchmarks import _device

    return _device.table(record)


def _install_shim() -> None:
    """CUDA kernels through g++, as the tests run them."""
    import pytest

    from tests.kernels import shim

    shim.install(pytest.MonkeyPatch())


if __name__ == "__main__":
    sys.exit(main())
