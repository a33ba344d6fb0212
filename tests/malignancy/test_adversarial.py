"""Clones that fool simple rules, a few draws each (the benchmark draws 400)."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pytest

from benchmarks.malignancy.adversarial import run_case
from benchmarks.malignancy.cases import CASES, draw
from sclineage.malignancy import mutation
from sclineage.malignancy.calls import calls
from sclineage.malignancy.fusion import fuse

DRAWS = 12


@pytest.mark.parametrize("name", sorted(CASES))
def test_case(name):
    case = CASES[name]
    row = run_case(case, DRAWS, crc32(name.encode()))
    assert row["sum error"] < 1e-9
    if case.benign:
        assert row["malignant"] == 0
        assert row["suspicious"] == 0
    elif "panel" not in name or "no panel" in name:
        assert row["no_malignant_features"] == 0
    if "known tumour" in name:
        assert row["no_malignant_features"] >= 0.75
    if "driver seen" in name or "4 to 8 altered arms" in name:
        assert row["malignant"] >= 0.8
    elif "no panel" in name and not name.startswith("pre-malignant"):
        assert row["malignant"] == 0
        assert row["suspicious"] >= 0.75
    if name in ("pre-malignant, 5-15 cells, one site", "pre-malignant, 5-15 cells, no panel"):
        assert row["not_assessable"] >= 0.9


def test_without_the_private_weight_a_carrier_would_be_accused(monkeypatch):
    """The case tests something: the same clones are suspicious once sharing is ignored."""
    case = CASES["benign clone in a TET2 carrier"]
    cells = [draw(case, np.random.default_rng([1, i])).cells for i in range(6)]
    monkeypatch.setattr(mutation, "private_weight", lambda k0, n0, error, prior: np.ones_like(k0))
    accused = [calls(fuse(c, np.full(c.n_clones, 0.002)))[0] for c in cells]
    assert accused.count("suspicious") + accused.count("malignant") == 6
