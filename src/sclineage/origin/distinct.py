"""Pairs of populations to be compared for a shared ancestor."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

POPULATIONS = ("malignant", "CAR-T", "other_T", "other")


def pairs(population: np.ndarray, informative: np.ndarray) -> pd.DataFrame:
    """One row per pair of populations present, ancestor levels not assessed.

    Parameters
    ----------
    population
        object (n,): population of each cell.
    informative
        bool (n,): cells that could be compared (non-doublet, with a usable TRB).

    Returns
    -------
    Columns of table ``distinct`` without ``patient``. Silence is no statement: ``same_t_cell`` and
    ``shared_ancestor`` read ``not_assessed``.
    """
    present = [p for p in POPULATIONS if (population == p).any()]
    rows = [{
        "population_a": a, "population_b": b, "level": "", "p_level": np.nan, "same_t_cell": "not_assessed",
        "shared_ancestor": "not_assessed", "line": "all", "llr": np.nan,
        "n_informative_a": int((informative & (population == a)).sum()),
        "n_informative_b": int((informative & (population == b)).sum()), "flags": "not_assessed",
    } for a, b in combinations(present, 2)]
    return pd.DataFrame(rows)
