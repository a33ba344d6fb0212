"""sclineage: single-cell lineage of CAR-T patients. Research use only.

The namespaces follow scverse habit: ``io``, ``pp``, ``tl``, ``pl``, ``get``, ``datasets``. They load on first use, so
``import sclineage`` loads neither a GPU package nor Numba.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from ._settings import settings

try:
    __version__ = version("sclineage")
except PackageNotFoundError:  # run from a source tree that was never installed (a bare GPU machine)
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from . import datasets, get, io, pl, pp, report, tl
    from .pipeline import run


_NAMESPACES = ("datasets", "get", "io", "pl", "pp", "report", "tl")
_FUNCTIONS = {"run": "pipeline"}

__all__ = ["__version__", "datasets", "get", "io", "pl", "pp", "report", "run", "settings", "tl"]


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        function = getattr(importlib.import_module(f"{__name__}.{_FUNCTIONS[name]}"), name)
        globals()[name] = function
        return function
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
