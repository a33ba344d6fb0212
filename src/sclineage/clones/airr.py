"""scirpy's AIRR array (awkward, one list of chains per cell) -> records, one row per chain."""

from __future__ import annotations

from typing import Any

import pandas as pd

from .flat import Chains

FIELDS = ("locus", "junction", "junction_aa", "cdr3", "v_call", "j_call", "c_call", "umi_count", "duplicate_count",
          "consensus_count", "productive")


def records(airr: Any) -> pd.DataFrame:
    """Flatten an AIRR array.

    Parameters
    ----------
    airr
        Awkward array ``n_cells * var * record`` as scirpy keeps it in ``obsm["airr"]``.

    Returns
    -------
    DataFrame with ``cell`` (row of the array) and the AIRR columns that are present, one row per chain.
    """
    chains = Chains(airr)
    return pd.DataFrame({"cell": chains.cells(), **{name: chains.values(name) for name in FIELDS
                                                    if name in chains.names and len(chains)}})
