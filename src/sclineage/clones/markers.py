"""Non-productive rearrangements as second markers of a clone: found in its cells, and hardly in others.

A T cell often carries a failed TRB or TRA rearrangement on its other chromosome. Its cells inherit it, it is never
shared by selection, and it tells the clone apart as well as the productive one. Filtered contig tables hold none.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binom

COLUMNS = ("clone_id", "locus", "junction", "v_gene", "j_gene", "n_cells", "n_clone", "n_elsewhere", "p")
LOCI = ("TRA", "TRB", "TRD", "TRG")
SURE_P = 1e-3  # P(the cells elsewhere explain the cells of the clone), all markers of the patient together


def clone_markers(table: pd.DataFrame, clone_id: np.ndarray) -> pd.DataFrame:
    """Non-productive rearrangements that mark a clone.

    Parameters
    ----------
    table
        Chain table of one patient (`normalise.chain_table`).
    clone_id
        Object array: clone of every cell, empty for cells that are no member of any (doublets, too).

    Returns
    -------
    One row per clone and rearrangement that two of its cells or more show, more than chance from its share of all
    other cells would make (binomial, Bonferroni): ``clone_id, locus, junction, v_gene, j_gene, n_cells`` (members that
    show it), ``n_clone`` (members), ``n_elsewhere`` (other cells that show it), ``p``.
    """
    rows = table[~table["productive"].to_numpy(bool) & table["locus"].isin(LOCI).to_numpy()]
    key = ["locus", "junction", "v_gene", "j_gene"]
    rows = rows.astype(dict.fromkeys(key, object))
    rows = rows.drop_duplicates(["cell", *key]).assign(clone_id=clone_id[rows.drop_duplicates(["cell", *key])["cell"]])
    seen = rows.groupby(key).size().rename("n_seen").reset_index()
    found = rows[rows["clone_id"] != ""].groupby(["clone_id", *key]).size().rename("n_cells").reset_index()
    found = found.merge(seen, on=key)
    size = pd.Series(clone_id if len(found) else []).value_counts()
    found["n_clone"] = size.reindex(found["clone_id"]).to_numpy(np.int64)
    found["n_elsewhere"] = found.pop("n_seen") - found["n_cells"]
    k, n, elsewhere = (found[c].to_numpy(np.float64) for c in ("n_cells", "n_clone", "n_elsewhere"))
    share = np.minimum((elsewhere + 1) / np.maximum(clone_id.size - n + 1, 1), 1)
    tail = binom.sf(k - 1, n, share) * max(len(found), 1)
    found["p"] = np.minimum(np.asarray(tail, np.float64), 1.0)
    found = found[(found["n_cells"] >= 2) & (found["p"] < SURE_P)]
    order = ["clone_id", "n_cells", "locus", "junction", "v_gene", "j_gene"]
    found = found.sort_values(order, ascending=[True, False, True, True, True, True], kind="stable", ignore_index=True)
    return found[list(COLUMNS)]
