"""Shared fixtures: the public data, and the devices a kernel test runs on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sclineage import _backend

DATA = Path(os.environ.get("SCLINEAGE_DATA", Path(__file__).resolve().parents[1] / ".." / "shared" / "data")).resolve()


@pytest.fixture(scope="session")
def public_data() -> Path:
    """Folder of public data sets; skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no public data at {DATA} (set SCLINEAGE_DATA)")
    return DATA


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Device a kernel test runs on; CUDA is skipped without one."""
    if request.param == "cuda" and not _backend.cuda_available():
        pytest.skip("no CUDA device")
    return request.param
