"""Small libraries for tests of rules: a few clones of known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sclineage.evidence.api import car_status
from tests.evidence import devsim
from tests.evidence.devsim import CAR_FREE, CARRYING, MIXED, Library, Rates


def clones(*, free=(), carrying=(), mixed=(), singles_free=0, singles_carrying=0, share=0.4, prefix=""):
    """Clones by size and truth: names free0, car0, mix0, and singles."""
    sizes, truth, shares = {}, {}, {}
    for word, given, state in (("free", free, CAR_FREE), ("car", carrying, CARRYING), ("mix", mixed, MIXED),
                               ("sf", [1] * singles_free, CAR_FREE), ("sc", [1] * singles_carrying, CARRYING)):
        for i, n in enumerate(given):
            name = f"{prefix}{word}{i}"
            sizes[name], truth[name] = n, state
            if state == MIXED:
                shares[name] = share
    return sizes, truth, shares


def library(sample="s1", *, rates=None, other_cells=100, obs=None, **sizes):
    return Library(sample, *clones(**sizes), rates or Rates(), other_cells=other_cells,
                   obs={"selection": "none", **(obs or {})})


def run(*libraries, seed=1, edit=None, **arguments):
    """Simulate, edit the object, run `car_status`; returns the object."""
    adata = devsim.patient(list(libraries), seed)
    if edit is not None:
        edit(adata)
    car_status(adata, **({"car": "CAR", "device": "cpu"} | arguments))
    return adata


def stored(adata, name):
    return adata.uns["sclineage"][name]


def clone_table(adata):
    return adata.uns["sclineage"]["tables"]["car_clones"].set_index("clone_id")


def rows(adata):
    return adata.uns["sclineage"]["tables"]["clone_car"]


def same_bytes(one: pd.DataFrame, two: pd.DataFrame) -> bool:
    return one.to_csv().encode() == two.to_csv().encode()


def counts(adata, gene="CAR"):
    return np.asarray(adata[:, gene].X.todense()).ravel().astype(int)
