"""Package-wide settings: device, threads and verbosity; where things are kept for later."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Device = Literal["auto", "cpu", "cuda"]


@dataclass(slots=True)
class Settings:
    """Defaults that functions fall back to.

    Attributes
    ----------
    device
        ``auto`` takes CUDA when cupy and a device are there and the kernel has a CUDA version, else the CPU.
    threads
        Threads of the Numba kernels; None leaves Numba's own default. Results never depend on it.
    progress
        Whether long steps draw progress bars.
    """

    device: Device = "auto"
    threads: int | None = None
    progress: bool = False


settings = Settings()


def cache_folder() -> Path:
    """The user's cache folder of sclineage."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "sclineage"
