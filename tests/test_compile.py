"""The second process that compiles kernels beside a first run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sclineage import _compile


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[subprocess.Popen[bytes]]:
    """Processes that `beside` starts, as a sleep in place of the compiler; the mark lies in a folder of the test."""
    children: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(command: list[str], **_: object) -> subprocess.Popen[bytes]:
        assert command[-2:] == ["-m", "sclineage._compile"]
        children.append(real([sys.executable, "-c", "import time; time.sleep(600)"]))
        return children[-1]

    monkeypatch.setattr(_compile.subprocess, "Popen", start)
    monkeypatch.setattr(_compile, "STRANGERS", ())
    monkeypatch.setattr(_compile.os, "cpu_count", lambda: 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return children


def test_compiler_ends_with_the_run(started: list[subprocess.Popen[bytes]]) -> None:
    with _compile.beside():
        assert started[0].poll() is None
    assert started[0].poll() is not None


def test_compiler_ends_with_an_interrupted_run(started: list[subprocess.Popen[bytes]]) -> None:
    with pytest.raises(KeyboardInterrupt), _compile.beside():
        raise KeyboardInterrupt
    assert started[0].poll() is not None


def test_no_compiler_for_one_thread_or_core_or_again(started: list[subprocess.Popen[bytes]],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    with _compile.beside(threads=1):
        assert not started
    _compile.mark().parent.mkdir(parents=True)
    _compile.mark().touch()
    with _compile.beside():
        assert not started
    _compile.mark().unlink()
    monkeypatch.setattr(_compile.os, "cpu_count", lambda: 1)
    with _compile.beside():
        assert not started


def test_main_compiles_and_marks(started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("_clusters", "_map", "_clones", "_evidence"):
        monkeypatch.setattr(_compile, name, lambda name=name: done.append(name))
    _compile.main()
    assert done == ["_clusters", "_map", "_clones", "_evidence"]
    assert _compile.mark().exists()


@pytest.mark.parametrize("step", [_compile._clusters, _compile._clones, _compile._evidence])
def test_steps_call_what_a_run_calls(step: object) -> None:
    step()  # type: ignore[operator]
