"""Package-wide settings: device, threads and verbosity."""

from __future__ import annotations

from dataclasses import dataclass
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
