"""Results as tables."""

from __future__ import annotations

import pandas as pd

from . import _tables
from ._errors import InputError, nearest
from .patient.access import Data

__all__ = ["cells", "clones", "samples", "table"]


def cells(mdata: Data) -> pd.DataFrame:
    """One row per cell: the content of ``cells.csv.gz``."""
    return _tables.cells(mdata)


def clones(mdata: Data) -> pd.DataFrame:
    """One row per clone: the content of ``clones.csv``."""
    return _tables.clones(mdata)


def samples(mdata: Data) -> pd.DataFrame:
    """One row per sample: the content of ``samples.csv``."""
    return _tables.samples(mdata)


def table(mdata: Data, name: str) -> pd.DataFrame:
    """Any output table by name: cells, clones, samples, clone_car, timeline, distinct, virus."""
    makers = dict(_tables.FILES.values())
    if name not in makers:
        raise InputError("table", f"no table {name!r}", nearest(name, makers))
    return makers[name](mdata)
