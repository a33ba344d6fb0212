"""scirpy's AIRR array (awkward, one list of chains per cell) -> records, one row per chain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

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
    import awkward as ak

    counts = ak.to_numpy(ak.num(airr, axis=1)) if len(airr) else np.zeros(0, np.int64)
    out = pd.DataFrame({"cell": np.repeat(np.arange(len(airr)), counts).astype(np.int64)})
    known = set(ak.fields(airr))
    for name in FIELDS:
        if name in known and len(out):
            out[name] = pd.Series(ak.to_list(ak.flatten(airr[name], axis=1)), dtype=object)
    return out
