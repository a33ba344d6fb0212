"""Which members show both chains of their clone, nucleotide by nucleotide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def exact_members(
    chains: pd.DataFrame, clone: np.ndarray, trb: Sequence[str | None], tra: Sequence[str | None]
) -> np.ndarray:
    """Members in which the clone's TRB and one of its TRA were read exactly.

    Parameters
    ----------
    chains
        Productive chains: columns ``cell`` (row of `clone`), ``locus`` (TRA or TRB), ``junction`` (nucleotides).
    clone
        int64 (n_cells,): index of each cell's clone, -1 without one.
    trb, tra
        Junctions of each clone; ``;`` between several, empty or missing where it has none.

    Returns
    -------
    bool (n_cells,)
    """
    sets = {"TRB": [_junctions(v) for v in trb], "TRA": [_junctions(v) for v in tra]}
    found = {locus: np.zeros(clone.size, bool) for locus in sets}
    for cell, locus, junction in zip(chains["cell"], chains["locus"], chains["junction"], strict=True):
        if clone[cell] >= 0 and str(junction).upper() in sets[locus][clone[cell]]:
            found[locus][cell] = True
    return found["TRB"] & found["TRA"]


def _junctions(value: str | None) -> frozenset[str]:
    return frozenset(j for j in ("" if value is None or pd.isna(value) else str(value)).upper().split(";") if j)
