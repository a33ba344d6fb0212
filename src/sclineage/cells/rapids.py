"""The one place that calls rapids-singlecell: for pictures and corrections, never on the way to a default label."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from .. import _backend
from .._errors import InputError, MissingDependencyError
from .._settings import Device

BROKEN = (ImportError, OSError, RuntimeError, AttributeError)  # what a RAPIDS that does not fit the driver raises
COMMAND = "pip install 'sclineage[rapids]', or use device='cpu'"


def _module() -> Any | None:
    try:
        return importlib.import_module("rapids_singlecell")
    except BROKEN:
        return None


def wanted(device: Device) -> bool:
    """Whether rapids-singlecell is to be used; raises when it was asked for by name and does not import."""
    if device not in ("auto", "cpu", "cuda"):
        raise InputError("device", f"found {device!r}", "use one of auto, cpu, cuda")
    if device == "cpu" or (device == "auto" and not _backend.cuda_available()):
        return False
    there = _module() is not None
    if device == "cuda" and not there:
        raise MissingDependencyError("rapids-singlecell (needed for device='cuda')", COMMAND)
    return there


def umap(gex: AnnData, *, seed: int) -> None:
    """Write ``obsm["X_umap"]`` from ``uns["neighbors"]`` and ``obsp``."""
    module = _module()
    assert module is not None
    module.tl.umap(gex, random_state=seed)


def harmony(points: np.ndarray, batch: np.ndarray, *, seed: int) -> np.ndarray:
    """Corrected points, float32, of the shape given."""
    module = _module()
    assert module is not None
    names = pd.Index([str(i) for i in range(len(points))])
    frame = pd.DataFrame({"batch": pd.Categorical(batch)}, index=names)
    data = AnnData(obs=frame, obsm={"X": points.astype(np.float32)})
    module.pp.harmony_integrate(data, "batch", basis="X", adjusted_basis="X_harmony", random_state=seed)
    return _backend.to_host(data.obsm["X_harmony"]).astype(np.float32)
