"""Choice of device, and the only file that knows cupy may be absent.

A kernel is three files: ``kernels/x.py`` (checks, dispatch, documentation), ``kernels/x_cpu.py`` (Numba) and
``kernels/x.cu`` (CUDA C++). `pick` decides which of the last two runs; `module` compiles a ``.cu`` through
`cupy.RawModule` with constants passed as defines, so that nothing is typed twice.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ._errors import InputError, MissingDependencyError
from ._settings import Device, settings

KERNELS = Path(__file__).parent / "kernels"
PLAIN_MEMORY = "SCLINEAGE_PLAIN_MEMORY"  # if set, no pool: a memory checker then sees the end of every array
CUPY_COMMAND = "pip install 'sclineage[cuda13]'  (CUDA 12: pip install 'sclineage[cuda12]'), or use --device cpu"


@cache
def _cupy() -> Any | None:
    try:
        import cupy
    except ImportError:
        return None
    if os.environ.get(PLAIN_MEMORY):
        cupy.cuda.set_allocator(None)
    return cupy


@cache
def cuda_available() -> bool:
    """Whether cupy imports and sees a CUDA device."""
    cupy = _cupy()
    if cupy is None:
        return False
    try:
        return cupy.cuda.runtime.getDeviceCount() > 0
    except cupy.cuda.runtime.CUDARuntimeError:
        return False


def cupy() -> Any:
    """Return the cupy module, or raise with the command that installs it."""
    module = _cupy()
    if module is None:
        raise MissingDependencyError("cupy (needed for device='cuda')", CUPY_COMMAND)
    return module


def pick(device: Device | None, *, kernel: str) -> Literal["cpu", "cuda"]:
    """Decide where a kernel runs.

    Parameters
    ----------
    device
        ``auto``, ``cpu``, ``cuda`` or None for the setting.
    kernel
        Name of the kernel; ``kernels/<kernel>.cu`` must exist for CUDA.

    Returns
    -------
    ``cpu`` or ``cuda``. ``auto`` never fails; ``cuda`` raises when it cannot be had.
    """
    wanted = settings.device if device is None else device
    if wanted not in ("auto", "cpu", "cuda"):
        raise InputError("device", f"found {wanted!r}", "use one of auto, cpu, cuda")
    has_kernel = (KERNELS / f"{kernel}.cu").exists()
    if wanted == "cpu" or (wanted == "auto" and not (has_kernel and cuda_available())):
        return "cpu"
    if not has_kernel:
        raise InputError("device", f"'cuda' was asked for but kernel {kernel!r} has no CUDA version yet",
                         "use --device cpu or --device auto")
    cupy()
    if not cuda_available():
        raise InputError("device", "'cuda' was asked for but no CUDA device is visible",
                         "use --device cpu or --device auto, or check nvidia-smi")
    return "cuda"


def source(kernel: str) -> str:
    """CUDA C++ text of a kernel; the text of a ``.cuh`` file stands in for the #include line that names it."""
    text = (KERNELS / f"{kernel}.cu").read_text(encoding="utf-8")
    return re.sub(r'^#include "(\w+\.cuh)"$', lambda line: (KERNELS / line[1]).read_text(encoding="utf-8"), text,
                  flags=re.MULTILINE)


@cache
def _module(kernel: str, defines: tuple[tuple[str, str], ...]) -> Any:
    options = ("--std=c++17", *(f"-D{name}={value}" for name, value in defines))
    return cupy().RawModule(code=source(kernel), options=options)


def module(kernel: str, defines: Mapping[str, object] | None = None) -> Any:
    """Compile (once per set of defines) the ``.cu`` file of a kernel and return its `cupy.RawModule`."""
    compiled = _module(kernel, tuple(sorted((k, str(v)) for k, v in (defines or {}).items())))
    return compiled if _launches is None else _TimedModule(compiled, _launches)


@cache
def multiprocessors() -> int:
    """Number of multiprocessors of the device."""
    cuda = cupy().cuda
    return int(cuda.runtime.getDeviceProperties(cuda.Device().id)["multiProcessorCount"])


def launch_whole(compiled: Any, name: str, block: int, arguments: tuple[Any, ...]) -> None:
    """Launch a kernel with one block per multiprocessor, all at work at once: they may wait for one another."""
    function = compiled.get_function(name).kernel
    function((multiprocessors(),), (block,), arguments, enable_cooperative_groups=True)


# --- time spent in kernels alone -------------------------------------------------------------------------------------
_launches: list[tuple[Any, Any]] | None = None  # events before and after each launch, while `kernel_seconds` runs


class _TimedModule:
    """A module whose functions leave two events per launch."""

    def __init__(self, compiled: Any, launches: list[tuple[Any, Any]]) -> None:
        self._compiled, self._launches = compiled, launches

    def get_function(self, name: str) -> Callable[..., None]:
        function, event = self._compiled.get_function(name), cupy().cuda.Event

        def launch(*arguments: Any, **named: Any) -> None:
            before, after = event(), event()
            before.record()
            function.kernel(*arguments, **named)
            after.record()
            self._launches.append((before, after))

        launch.kernel = launch  # type: ignore[attr-defined]
        return launch


def kernel_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that the device spends in our kernels while `work` runs, by CUDA events, and the result."""
    global _launches
    launches: list[tuple[Any, Any]] = []
    _launches = launches
    try:
        result = work()
    finally:
        _launches = None
    synchronize()
    return sum(cupy().cuda.get_elapsed_time(a, b) for a, b in launches) / 1e3, result


def to_device(array: np.ndarray) -> Any:
    """Copy a host array to the device."""
    return cupy().asarray(array)


def on_host(array: Any) -> bool:
    """Whether an array lies in the host's memory."""
    return isinstance(array, np.ndarray)


def to_host(array: Any, out: np.ndarray | None = None) -> np.ndarray:
    """Copy a device array to the host, into `out` if given; host arrays pass through."""
    if not isinstance(array, np.ndarray):
        return cupy().asnumpy(array, out=out)
    if out is not None:
        out[...] = array
    return array


def pinned(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Host array in page-locked memory, which the device reads and writes at the full rate of the bus."""
    kind = np.dtype(dtype)
    items = int(np.prod(shape))
    memory = cupy().cuda.alloc_pinned_memory(max(items, 1) * kind.itemsize)
    return np.frombuffer(memory, kind, items).reshape(shape)


def synchronize() -> str:
    """Wait for the device; returns its name."""
    cuda = cupy().cuda
    cuda.Device().synchronize()
    return str(cuda.runtime.getDeviceProperties(cuda.Device().id)["name"].decode())


@contextlib.contextmanager
def threads(n: int | None) -> Iterator[None]:
    """Run Numba kernels with `n` threads (None: the setting, or Numba's default). Results do not depend on it."""
    import numba

    wanted = settings.threads if n is None else n
    if wanted is None:
        yield
        return
    if wanted < 1:
        raise InputError("threads", f"found {wanted}", "use a number of at least 1")
    before = numba.get_num_threads()
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(wanted, most))
    try:
        yield
    finally:
        numba.set_num_threads(before)


def describe() -> dict[str, str]:
    """Device facts for provenance: cupy version, device name, driver (``absent`` where there is none)."""
    module_ = _cupy()
    if module_ is None:
        return {"cupy": "absent", "cuda_device": "absent"}
    facts = {"cupy": str(module_.__version__), "cuda_device": "absent"}
    if cuda_available():
        properties = module_.cuda.runtime.getDeviceProperties(0)
        facts["cuda_device"] = properties["name"].decode()
        facts["cuda_driver"] = str(module_.cuda.runtime.driverGetVersion())
    return facts
