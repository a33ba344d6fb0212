"""Why two cells are, or are not, one clone: one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .._errors import InputError, nearest
from ..patient import access
from ..patient.access import Data
from .airr import records
from .normalise import chain_table

_STATUS = {"doublet": "holds chains of two clones (doublet)", "ambiguous": "fits no single clone (ambiguous)",
           "no_receptor": "has no receptor", "": "has no V(D)J data"}


def why(mdata: Data, cell_a: str, cell_b: str, *, airr_mod: str = "airr", airr_key: str = "airr",
        key: str = "clone_id") -> str:
    """Say in one sentence why two cells share a clone or do not.

    Parameters
    ----------
    mdata
        Object on which `clones` ran.
    cell_a, cell_b
        Names of the cells (``obs_names``).
    airr_mod, airr_key, key
        As given to `clones`.

    Raises
    ------
    InputError
        A cell is unknown, or `clones` did not run.
    """
    if not access.has_column(mdata, key):
        raise InputError("obs", f"no column {key!r}", "run sl.tl.clones first")
    names = [str(cell_a), str(cell_b)]
    for name in names:
        if name not in mdata.obs_names:
            raise InputError("cells", f"no cell {name!r}", nearest(name, map(str, mdata.obs_names[:5000])))
    rows = mdata.obs_names.get_indexer(names)
    columns = {c: access.text(mdata, c)[rows] for c in (key, "clone_status", "clone_id_2")}
    p = pd.to_numeric(access.column(mdata, "clone_posterior")).to_numpy()[rows]
    chains = [_chains(mdata, name, airr_mod, airr_key) for name in names]
    a, b = columns[key]
    return _sentence(names, [str(a), str(b)], columns["clone_status"], columns["clone_id_2"], p, chains)


def _chains(mdata: Data, name: str, airr_mod: str, airr_key: str) -> set[tuple[str, str, str, str]]:
    airr: Any = access.modality(mdata, airr_mod) if airr_mod != "airr" or airr_key == "airr" else mdata
    if airr is None or name not in airr.obs_names:
        return set()
    table = chain_table(records(airr.obsm[airr_key][airr.obs_names.get_indexer([name])]))
    table = table[table["productive"]]
    return set(zip(table["locus"], table["junction"], table["v_gene"], table["j_gene"], strict=True))


def _sentence(names: list[str], ids: list[str], status: np.ndarray, second: np.ndarray, p: np.ndarray,
              chains: list[set[tuple[str, str, str, str]]]) -> str:
    same = sorted(chains[0] & chains[1], key=lambda c: (c[0] != "TRB", c))
    shared = ", ".join(f"{locus} {junction} ({v}, {j})" for locus, junction, v, j in same) or "no chain"
    facts = f"they share {shared}"
    if ids[0] and ids[0] == ids[1] and "doublet" not in status:
        how = [f"{n} {s.replace('_', ' ')} with P = {q:.3f}" for n, s, q in zip(names, status, p, strict=True)]
        return f"{names[0]} and {names[1]} are one clone ({ids[0]}): {facts}; {how[0]}, {how[1]}."
    parts = [_part(n, i, s, t, q) for n, i, s, t, q in zip(names, ids, status, second, p, strict=True)]
    return f"{names[0]} and {names[1]} are not called one clone: {parts[0]}, {parts[1]}; {facts}."


def _part(name: str, clone: str, status: str, second: str, p: float) -> str:
    if status in _STATUS:
        also = " and ".join(x for x in (clone, second) if x)
        chance = f", P = {p:.3f}" if also and np.isfinite(p) else ""
        return f"{name} {_STATUS[status]}" + (f", likeliest {also}{chance}" if also else "")
    return f"{name} is of {clone} ({status}, P = {p:.3f})"
