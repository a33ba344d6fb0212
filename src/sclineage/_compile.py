"""The first run after an installation: a second process compiles CPU kernels while the first one reads.

Numba keeps compiled code on disk, for every process that comes after. In one process the kernels of a run take about
a minute of compilation, one after the other; `beside` starts those that are needed last in a process of their own. It
changes no result and leaves nothing behind but Numba's cache and a mark that says the work is done.
"""

from __future__ import annotations

import atexit
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from zlib import crc32

import numpy as np
from scipy import sparse

from ._settings import cache_folder

STRANGERS = ("PYTEST_CURRENT_TEST", "NUMBA_DISABLE_JIT")  # where nobody waits for a compiler


def mark() -> Path:
    """File whose presence says that the kernels of this version, at this place, are in Numba's cache."""
    import numba

    from ._provenance import versions

    place = f"{Path(__file__).parent} {os.environ.get('NUMBA_CACHE_DIR', '')} {Path(__file__).stat().st_mtime_ns}"
    return cache_folder() / "compiled" / "-".join([
        versions()["sclineage"], "numba", numba.__version__, "python", platform.python_version(),
        f"{crc32(place.encode()):08x}"])


@contextmanager
def beside(threads: int | None = None) -> Iterator[None]:
    """Compile in a second process for as long as the body takes, where that was never done and two cores are there."""
    if threads == 1 or (os.cpu_count() or 1) < 2 or any(map(os.environ.get, STRANGERS)) or mark().exists():
        yield
        return
    child = subprocess.Popen([sys.executable, "-W", "ignore", "-m", "sclineage._compile"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stop = _stopper(child)
    atexit.register(stop)  # also where the body ends by an exit
    try:
        yield
    finally:
        stop()
        atexit.unregister(stop)


def _stopper(child: subprocess.Popen[bytes]) -> Callable[[], None]:
    def stop() -> None:
        child.kill()
        child.wait()

    return stop


def _clusters() -> None:
    from .kernels.leiden import leiden

    rng = np.random.default_rng(0)
    graph = sparse.random_array((300, 300), density=0.05, rng=rng, format="csr", dtype=np.float32)
    leiden(sparse.csr_matrix(graph + graph.T), resolution=1.0, n_iterations=2, seed=0, device="cpu")


def _map() -> None:
    import umap  # noqa: F401  compiles while it is imported


def _clones() -> None:
    from .clones.normalise import chain_table
    from .clones.patient import patient_clones
    from .simulate.repertoire import simulate_repertoire

    found = simulate_repertoire(300, seed=0)
    patient_clones(chain_table(found.records), patient="P", sample=found.truth["sample"].to_numpy(), n_samples=1)


def _evidence() -> None:
    from .evidence.api import car_status
    from .simulate.expression import CAR
    from .simulate.library import Params, simulate_library

    small = Params(sizes={1: 40, 5: 8, 30: 2}, other=60, sister=80, before=60)
    car_status(simulate_library(small, seed=0), car=CAR, sample_key="sample", selection_key="selection", device="cpu")


def main() -> None:
    """Compile in the order in which a run asks, but for the first kernels, which it reaches sooner itself."""
    for step in (_clusters, _map, _clones, _evidence):
        step()
    path = mark()
    with suppress(OSError):  # without a cache folder the next run compiles again
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


if __name__ == "__main__":
    main()
