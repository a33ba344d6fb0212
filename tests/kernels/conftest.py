"""The devices that kernel tests run on."""

from __future__ import annotations

import pytest

from sclineage import _backend
from tests.kernels import shim


@pytest.fixture(params=["cpu", "shim", pytest.param("cuda", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Value for a kernel's `device`: Numba; the CUDA path through g++; a CUDA device."""
    if request.param == "cuda" and not _backend.cuda_available():
        pytest.skip("no CUDA device")
    if request.param == "shim":
        if not shim.available():
            pytest.skip("no g++")
        shim.install(monkeypatch)
        return "cuda"
    return str(request.param)
