"""Identity of chains within a patient: equal core, V and J are one chain; open calls and N are resolved if unique.

A chain is a row of the *chain list*: (locus, core, V, J). Chains whose V or J call is open (a family, several genes)
or whose junction holds N are wildcards: they become the one fully known chain that they can mean, if there is exactly
one in the patient. A wildcard junction that finds none names no chain: two of them are never equal by their letters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .genes import compatible, is_open
from .normalise import cores

MOST_N = 6  # nucleotides; a junction with more wildcards than this says too little to be matched


@dataclass(frozen=True)
class ChainList:
    """Distinct chains of a patient, sorted by (locus, core, V, J): the order does not depend on that of the cells.

    Attributes
    ----------
    frame
        locus, core, junction, junction_aa, v_gene, j_gene, c_gene; one row per chain. `junction` is the longest
        spelling seen (with anchor codons where any record had them), `c_gene` the commonest call.
    """

    frame: pd.DataFrame

    def __len__(self) -> int:
        return len(self.frame)


def identify(table: pd.DataFrame) -> tuple[np.ndarray, ChainList]:
    """Number the chains of one patient's chain table.

    Parameters
    ----------
    table
        `normalise.chain_table` of one patient.

    Returns
    -------
    chain
        int64 per row of `table`; -1 for a wildcard junction that no single chain explains.
    chains
        The chain list.
    """
    keys = pd.DataFrame({"locus": table["locus"].to_numpy(object), "core": cores(table["junction"].to_numpy(object)),
                         "v_gene": table["v_gene"].to_numpy(object), "j_gene": table["j_gene"].to_numpy(object)})
    code, unique = _number(keys)
    target = _resolve(unique)
    merged = np.where(target >= 0, target, -1)
    used, dense = np.unique(merged[merged >= 0], return_inverse=True)
    final = np.full(len(unique), -1, np.int64)
    final[merged >= 0] = dense
    chain = final[code] if len(code) else np.zeros(0, np.int64)
    return chain, ChainList(_describe(table, chain, unique.iloc[used].reset_index(drop=True)))


def _number(keys: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Codes of the distinct rows, numbered in sorted order, and the distinct rows."""
    code = np.zeros(len(keys), np.int64)
    for name in keys.columns:
        part, _ = pd.factorize(keys[name].to_numpy(object), sort=True)
        code = np.unique(code * (int(part.max(initial=0)) + 1) + part, return_inverse=True)[1].astype(np.int64)
    _, first = np.unique(code, return_index=True)
    return code, keys.iloc[first].reset_index(drop=True)


def _resolve(unique: pd.DataFrame) -> np.ndarray:
    """Row of the chain that each distinct key means: itself, the one full chain it is compatible with, or -1."""
    target = np.arange(len(unique))
    n = unique["core"].str.count("N").to_numpy(np.int64) if len(unique) else np.zeros(0, np.int64)
    open_genes = np.array([is_open(v) or is_open(j) for v, j in zip(unique["v_gene"], unique["j_gene"], strict=True)],
                          dtype=bool)
    wild = np.flatnonzero((n > 0) | open_genes)
    if wild.size == 0:
        return target
    full = unique[(n == 0) & ~open_genes]
    same_core = full.groupby(["locus", "core"], sort=False).indices
    same_length = full.groupby(["locus", full["core"].str.len()], sort=False).indices
    rows = full.index.to_numpy()
    for w in wild:
        key = unique.iloc[w]
        group = (same_length.get((key["locus"], len(key["core"])), ()) if n[w]
                 else same_core.get((key["locus"], key["core"]), ()))
        fits = [r for r in rows[list(group)] if _means(key, unique.iloc[r])] if n[w] <= MOST_N else []
        if len(fits) == 1:
            target[w] = fits[0]
        elif n[w]:
            target[w] = -1
    return target


def _means(wild: pd.Series, full: pd.Series) -> bool:
    return (compatible(wild["v_gene"], full["v_gene"]) and compatible(wild["j_gene"], full["j_gene"])
            and all(a in ("N", b) for a, b in zip(wild["core"], full["core"], strict=True)))


def _describe(table: pd.DataFrame, chain: np.ndarray, unique: pd.DataFrame) -> pd.DataFrame:
    """Add junction, junction_aa and C gene of each chain from its rows: longest, commonest, first in the alphabet."""
    out = unique.copy()
    rows = pd.DataFrame({"chain": chain, "junction": table["junction"].to_numpy(object),
                         "junction_aa": table["junction_aa"].to_numpy(object),
                         "c_gene": table["c_gene"].to_numpy(object)})
    rows = rows[(chain >= 0) & ~rows["junction"].str.contains("N").to_numpy(bool)]
    rows["length"] = -rows["junction"].str.len()
    longest = rows.sort_values(["chain", "length", "junction"], kind="stable").drop_duplicates("chain")
    longest = longest.set_index("chain")
    index = pd.RangeIndex(len(out))
    out["junction"] = longest["junction"].reindex(index).fillna(out["core"]).to_numpy(object)
    out["junction_aa"] = _commonest(rows, "junction_aa").reindex(index).fillna("").to_numpy(object)
    out["c_gene"] = _commonest(rows, "c_gene").reindex(index).fillna("").to_numpy(object)
    return out


def _commonest(rows: pd.DataFrame, name: str) -> pd.Series:
    """Commonest non-empty value of a column per chain, the first in the alphabet among equals."""
    known = rows[rows[name] != ""]
    counts = known.groupby(["chain", name], sort=True).size().rename("n").reset_index()
    counts = counts.sort_values(["chain", "n", name], ascending=[True, False, True], kind="stable")
    return counts.drop_duplicates("chain").set_index("chain")[name]
