"""Simulated patients, each written once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sclineage.simulate.api import simulate


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a scenario with seed 0, written on first use."""
    done: dict[str, Path] = {}

    def folder(scenario: str) -> Path:
        if scenario not in done:
            done[scenario] = simulate(scenario, seed=0, out=tmp_path_factory.mktemp(scenario)).parent
        return done[scenario]

    return folder
