"""The benchmark runner keeps its promises: equal outputs first, no figure that was not measured."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import _device, _runner
from sclineage import _backend
from tests.kernels import shim

ROOT = Path(_runner.__file__).parents[1]


def contender(name: str, value: int, device: str = "cpu") -> _runner.Contender:
    return _runner.Contender(name, lambda inputs: inputs + value, device=device)


def case(*contenders: _runner.Contender) -> _runner.Case:
    return _runner.Case("add", "numbers", 3, lambda: np.arange(3), contenders, lambda out: {"out": out})


def spawned_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let contenders run in this process; returns the order in which they were timed."""
    timed: list[str] = []

    def spawn(module: str, case: _runner.Case, contender: _runner.Contender, *, tiny: bool, warm: int,
              threads: int | None, outputs: Path | None = None) -> dict[str, object]:
        result = contender.run(case.inputs())
        if outputs is not None:
            np.savez(outputs, **case.outputs(result))
        else:
            timed.append(contender.name)
        return {"cold": 2.0, "warm": [1.0, 3.0, 1.5], "peak_bytes": 10, "extra_bytes": 1, "device": ""}

    monkeypatch.setattr(_runner, "_spawn", spawn)
    return timed


def run(one: _runner.Case) -> dict[str, object]:
    return _runner.measure("x", one, repeats=2, device="all", tiny=True, threads=None, say=lambda _: None)


def test_contenders_alternate_and_medians_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = spawned_here(monkeypatch)
    got = run(case(contender("ours", 1), contender("peer", 1)))
    assert timed == ["ours", "peer", "ours", "peer"]
    numbers = [(r["warm_s"], r["cold_s"], r["rate_per_s"], r["ratio_to_first"]) for r in got["rows"]]
    assert numbers == [(1.5, 2.0, 2.0, 1.0)] * 2


def test_unequal_outputs_are_never_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = spawned_here(monkeypatch)
    with pytest.raises(_runner.UnequalError, match="peer differs from ours"):
        run(case(contender("ours", 1), contender("peer", 2)))
    assert timed == []


def test_a_run_that_takes_minutes_is_made_once_and_still_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = spawned_here(monkeypatch)
    long = [replace(contender("peer", value), tried=False) for value in (1, 2)]
    rows = _runner.measure("x", case(contender("ours", 1), long[0]), repeats=1, device="all", tiny=True, threads=None,
                           say=lambda _: None)["rows"]
    assert [r["contender"] for r in rows] == ["ours", "peer"] and timed == ["ours"]  # the peer's only run is compared
    with pytest.raises(_runner.UnequalError, match="peer differs from ours"):
        run(case(contender("ours", 1), long[1]))


def test_cuda_figures_need_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    spawned_here(monkeypatch)
    monkeypatch.setattr(_backend, "cuda_available", lambda: False)
    two = case(contender("ours", 1), contender("ours on cuda", 1, "cuda"))
    got = run(two)
    assert got["not_measured"] == {"ours on cuda": "not measured: no CUDA device"}
    assert [r["contender"] for r in got["rows"]] == ["ours"]
    monkeypatch.setattr(_backend, "cuda_available", lambda: True)
    with pytest.raises(_runner.NotMeasuredError):
        run(two)


def test_a_device_is_measured_in_one_process_beside_the_first_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    shim.install(monkeypatch)
    monkeypatch.setattr(_backend, "kernel_seconds", lambda work: (0.25, work()))
    said: list[str] = []
    three = case(contender("ours", 1), contender("peer", 2), contender("ours on cuda", 1, "cuda"))
    got = _device.measure(three, absent={}, say=said.append)
    assert [(r["contender"], r["device"]) for r in got["rows"]] == [
        ("ours", "cpu"), ("ours on cuda", "g++ in the place of a device")]
    assert [r["kernel_rate_per_s"] for r in got["rows"]] == [None, 12.0]
    record = {"benchmark": "x", "tiny": False, "machine": {"versions": {"cuda_device": "d"}, "cpu": "c", "cores": 1},
              "results": [got]}
    assert "| ours on cuda | g++ in the place of a device |" in _device.table(record)
    with pytest.raises(_runner.UnequalError, match="ours on cuda differs from ours"):
        _device.measure(case(contender("ours", 1), contender("ours on cuda", 2, "cuda")), absent={}, say=said.append)


def test_a_device_without_a_name_gives_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    shim.install(monkeypatch)
    monkeypatch.setattr(_backend, "synchronize", lambda: "")
    with pytest.raises(_runner.NotMeasuredError):
        _device.measure(case(contender("ours on cuda", 1, "cuda")), absent={}, say=lambda _: None)


@pytest.mark.slow
def test_kernel_benchmarks_are_found_and_run(tmp_path: Path) -> None:
    assert {"kernels.barcodes", "kernels.umis"} <= set(_runner.modules())
    command = [sys.executable, "-m", "benchmarks._runner", "kernels.umis", "--tiny", "--repeats", "1", "--threads", "1",
               "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "kernels.umis.json").read_text())
    assert record["tiny"] and record["machine"]["cores"] >= 1
    assert all(r["warm_s"] > 0 and r["peak_bytes"] > 1e6 for c in record["results"] for r in c["rows"])
    assert "the times mean nothing" in (tmp_path / "kernels.umis.md").read_text()


def test_gpu_script_is_whole() -> None:
    script = ROOT / "benchmarks" / "gpu.sh"
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    if not _backend.cuda_available():
        done = subprocess.run(["bash", str(script)], env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"},
                              capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "no CUDA device" in done.stderr


def test_the_device_benchmark_of_neighbour_lists_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.clones import neighbors_cuda
    from tests.kernels import shim

    if not shim.available():
        pytest.skip("no g++")
    with pytest.raises(_runner.NotMeasuredError):
        monkeypatch.setattr(_backend, "cuda_available", lambda: False)
        neighbors_cuda.main(["--tiny"])
    shim.install(monkeypatch)
    got = neighbors_cuda.measure((150, 300))
    assert [row["checked_against_cpu"] for row in got["search"]] == [True] * 5 + [False] * 5
    lengths = np.array([len(s) for s in neighbors_cuda.unique_cdr3(300, seed=1)[:150]])
    assert got["brute"][0]["tested"] == sum(int(n * (n - 1) // 2) for n in np.bincount(lengths))
