"""Runs CUDA kernels on the CPU: g++ builds the ``.cu`` with `shim.h`, ctypes calls it.

Kernels without barriers run one thread after another; in a source with barriers or warp shuffles the threads of a grid
take turns (`fibers.h`), and a grid that waits for all of its blocks has few of them. `install` puts this in the place
of cupy and the driver, so that a kernel's whole CUDA path, the launching Python code included, runs with NumPy arrays
as device arrays.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sclineage import _backend
from sclineage.kernels import leiden_cuda

HERE = Path(__file__).parent
MULTIPROCESSORS, THREADS = 3, 64  # of a grid whose blocks wait for one another
KERNEL = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(")
BARRIERS = re.compile(r"\b(__syncthreads|__syncwarp|__shfl\w*|__ballot\w*|__any_sync|__all_sync|__match\w*|__shared__"
                      r"|cooperative_groups)\b")


def available() -> bool:
    return shutil.which("g++") is not None


def barrier_free(text: str) -> bool:
    """Whether a CUDA source can run one thread after another."""
    return not BARRIERS.search(re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL))


def _wrapped(text: str) -> str:
    lines = [f'#include "{HERE / "shim.h"}"', text]
    for name in dict.fromkeys(KERNEL.findall(text)):
        lines.append(f'extern "C" void shim_{name}(const unsigned* g, const unsigned* b, void** a) '
                     f"{{ shim::launch({name}, g, b, a); }}")
        lines.append(f'extern "C" int sizes_{name}(int* out) {{ return shim::sizes({name}, out); }}')
    return "\n".join(lines)


@cache
def _library(text: str, defines: tuple[tuple[str, str], ...]) -> ctypes.CDLL:
    source = _wrapped(text)
    headers = [(HERE / name).read_text() for name in ("shim.h", "fibers.h")]
    key = hashlib.sha256(repr((source, headers, defines)).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"sclineage-shim-{key}"
    library = folder / "kernel.so"
    if not library.exists():
        folder.mkdir(exist_ok=True)
        (folder / "kernel.cpp").write_text(source)
        part = folder / f"kernel.{id(source)}.so"
        command = ["g++", "-std=c++17", "-O2", "-shared", "-fPIC", "-ffp-contract=off", "-Wall", "-Wno-unknown-pragmas",
                   "-Wno-unused-function", "-Wno-unused-variable", *(f"-D{k}={v}" for k, v in defines),
                   *([] if barrier_free(text) else ["-DSHIM_FIBERS"]),
                   str(folder / "kernel.cpp"), "-o", str(part)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"g++ refused the kernel:\n{done.stderr}")
        part.replace(library)
    return ctypes.CDLL(str(library))


class Function:
    """Stands for a `cupy.RawKernel`."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self._run = getattr(library, f"shim_{name}")
        self._name = name
        out = (ctypes.c_int * 64)()
        self._sizes = list(out[: getattr(library, f"sizes_{name}")(out)])

    @property
    def kernel(self) -> Function:
        return self

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...], **_: Any) -> None:
        values = [self._value(a) for a in arguments]
        if [ctypes.sizeof(v) for v in values] != self._sizes:
            raise TypeError(f"kernel {self._name} takes arguments of {self._sizes} bytes, "
                            f"{[ctypes.sizeof(v) for v in values]} were given")
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        self._run(self._extent(grid), self._extent(block), pointers)

    @staticmethod
    def _extent(extent: tuple[int, ...]) -> Any:
        return (ctypes.c_uint * 3)(*(*extent, 1, 1)[:3])

    @staticmethod
    def _value(argument: Any) -> Any:
        if isinstance(argument, np.ndarray):
            if not argument.flags.c_contiguous:
                raise TypeError("a kernel was given an array that is not contiguous")
            return ctypes.c_void_p(argument.ctypes.data)
        if isinstance(argument, np.generic):
            return (ctypes.c_char * argument.nbytes).from_buffer_copy(argument.tobytes())
        raise TypeError(f"a kernel takes arrays and NumPy scalars, not {type(argument).__name__}")


class Module:
    """Stands for a `cupy.RawModule`."""

    def __init__(self, text: str, defines: Mapping[str, object]) -> None:
        self._library = _library(text, tuple(sorted((k, str(v)) for k, v in defines.items())))

    def get_function(self, name: str) -> Function:
        return Function(self._library, name)


def install(monkeypatch: Any) -> None:
    """Make ``device='cuda'`` run through the shim, with NumPy in the place of cupy."""
    monkeypatch.setattr(_backend, "cupy", lambda: np)
    monkeypatch.setattr(_backend, "cuda_available", lambda: True)
    monkeypatch.setattr(_backend, "to_device", np.array)
    monkeypatch.setattr(_backend, "to_host", lambda array, out=None: np.asarray(array))
    monkeypatch.setattr(_backend, "pinned", np.empty)
    monkeypatch.setattr(_backend, "synchronize", lambda: "g++ in the place of a device")
    monkeypatch.setattr(_backend, "multiprocessors", lambda: MULTIPROCESSORS)
    monkeypatch.setattr(leiden_cuda, "wide", THREADS)
    monkeypatch.setattr(_backend, "kernel_seconds", lambda work: (0.0, work()))
    monkeypatch.setattr(_backend, "module", lambda kernel, defines=None: Module(_backend.source(kernel), defines or {}))
