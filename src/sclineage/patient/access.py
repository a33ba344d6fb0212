"""How stages find things in an AnnData or MuData, and where they put results: the one contract between them.

Layout of a patient's MuData (`sclineage.io.read_patient`)

- ``mdata["gex"]``: raw integer counts in ``X`` (CSR), ``var_names`` gene symbols made unique, ``var["gene_ids"]``;
  ``varm["in_sample"]``: bool DataFrame, genes x samples, whether the sample's matrix had the feature.
- ``mdata["airr"]``: scirpy's AIRR format, ``obsm["airr"]``.
- ``mdata["targets"]``: molecule counts, cells x target features; ``varm["in_sample"]`` likewise. For a feature that a
  sample's molecule table holds, the table replaces that sample's matrix counts.
- ``mdata["adt"]``: antibody counts.
- ``mdata.obs``: one row per cell, ``patient, sample, barcode`` and the sheet's per-sample columns; results per cell.
- ``mdata.uns["sclineage"]``: ``samples`` (the sheet's rows, index = sample), ``empties``, ``tables`` (name -> frame,
  columns of `_schema.TABLES`), ``params`` (stage -> parameters).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from .._errors import InputError, nearest
from .._schema import ASSAYED

Data = Any  # AnnData or MuData: their stubs differ between versions, so the alias stays open
IntArray = np.ndarray


@dataclass(frozen=True, slots=True)
class FeatureCounts:
    """Counts of a few features in every cell.

    Attributes
    ----------
    counts
        int64, cells x features; 0 where not assessed.
    assessed
        bool, cells x features: whether a matrix or molecule table of the cell's sample held the feature.
    from_molecules
        bool, cells x features: whether the count comes from a molecule table.
    features
        Names, one per column.
    """

    counts: IntArray
    assessed: np.ndarray
    from_molecules: np.ndarray
    features: tuple[str, ...]


def modality(data: Data, name: str) -> AnnData | None:
    """Modality of a MuData, the object itself for a plain AnnData asked for ``gex``, None when absent."""
    if isinstance(data, MuData):
        return data.mod.get(name)
    if name == "airr":
        return data if "airr" in data.obsm else None
    return data if name == "gex" else None


def has_column(data: Data, key: str) -> bool:
    """Whether `column` would find `key`."""
    return bool(_homes(data, key))


def _homes(data: Data, key: str) -> list[pd.Series]:
    if key in data.obs:
        return [data.obs[key]]
    if not isinstance(data, MuData):
        return []
    for name in data.mod:
        if f"{name}:{key}" in data.obs:
            return [data.obs[f"{name}:{key}"]]
    return [m.obs[key] for m in data.mod.values() if key in m.obs]


def column(data: Data, key: str) -> pd.Series:
    """Per-cell column `key`, aligned with ``data.obs_names``; missing where its modality lacks the cell.

    Looks in ``data.obs``, then ``data.obs["<modality>:<key>"]``, then in the modalities' own ``obs``.
    """
    homes = _homes(data, key)
    if not homes:
        raise InputError("obs", f"no column {key!r}", nearest(key, map(str, data.obs.columns)))
    out = homes[0].reindex(data.obs_names)
    for other in homes[1:]:
        out = out.where(out.notna(), other.reindex(data.obs_names))
    return out


def text(data: Data, key: str, *, default: str = "") -> np.ndarray:
    """Column `key` as an object array of strings; `default` where missing or where the column does not exist."""
    if not has_column(data, key):
        return np.full(data.n_obs, default, dtype=object)
    values = column(data, key).astype(object)
    return values.where(values.notna(), default).map(str).to_numpy(dtype=object)


def put(data: Data, columns: Mapping[str, Any]) -> None:
    """Write per-cell result columns (aligned with ``data.obs_names``) into ``data.obs``."""
    for name, values in columns.items():
        nullable = isinstance(values, pd.arrays.IntegerArray | pd.arrays.BooleanArray)  # missing must stay missing
        data.obs[name] = pd.Series(values if nullable else np.asarray(values), index=data.obs_names)


def store(data: Data) -> dict[str, Any]:
    """The package's part of ``uns``, made if absent."""
    return data.uns.setdefault(ASSAYED, {})


def table(data: Data, name: str) -> pd.DataFrame | None:
    """A table left by an earlier stage, or None."""
    return store(data).get("tables", {}).get(name)


def put_table(data: Data, name: str, frame: pd.DataFrame) -> None:
    """Check a stage's table against its registration and keep it in ``uns``."""
    from .._schema import conform

    store(data).setdefault("tables", {})[name] = conform(frame, name)


def put_params(data: Data, stage: str, params: Mapping[str, Any]) -> None:
    """Keep the parameters of a stage beside its results."""
    store(data).setdefault("params", {})[stage] = {k: v for k, v in params.items() if v is not None}


def sample_table(data: Data) -> pd.DataFrame:
    """The sheet's rows, indexed by sample; for data that came without a sheet, one row per value of obs["sample"]."""
    known = store(data).get("samples")
    if known is not None:
        return known
    names = sorted(set(text(data, "sample", default="sample")))
    return pd.DataFrame({"sample": names}, index=pd.Index(names, name=None))


def counts_matrix(data: Data) -> tuple[AnnData, sparse.csr_matrix] | None:
    """The gene-expression modality and its raw counts (X, else ``layers["counts"]``), or None.

    Raises
    ------
    InputError
        Neither holds whole, non-negative numbers.
    """
    gex = modality(data, "gex")
    if gex is None or gex.n_vars == 0:
        return None
    seen = []
    for name, matrix in (("X", gex.X), ("layers['counts']", gex.layers.get("counts"))):
        if matrix is None:
            continue
        rows = sparse.csr_matrix(matrix)
        if is_counts(rows.data):
            return gex, rows
        seen.append(f"{name} is not whole numbers >= 0")
    raise InputError("gex", "; ".join(seen) or "no counts", "give raw integer counts in X or layers['counts']")


def is_counts(values: np.ndarray) -> bool:
    """Whether values are finite, non-negative and whole."""
    return bool(values.size == 0 or (np.all(np.isfinite(values)) and values.min() >= 0
                                     and np.array_equal(values, np.floor(values))))


def feature_counts(data: Data, features: Sequence[str]) -> FeatureCounts:
    """Counts of named features, molecule tables first, then matrices; what no source of a sample holds is unassessed.

    Raises
    ------
    InputError
        A feature is in no modality at all; the message names the nearest existing ones.
    """
    names = tuple(features)
    shape = (data.n_obs, len(names))
    counts, assessed, molecules = np.zeros(shape, np.int64), np.zeros(shape, bool), np.zeros(shape, bool)
    known: list[str] = []
    for source in ("gex", "targets"):
        mod = modality(data, source)
        if mod is None:
            continue
        matrix = counts_matrix(data)[1] if source == "gex" else sparse.csr_matrix(mod.X)  # type: ignore[index]
        known.extend(map(str, mod.var_names))
        rows = data.obs_names.get_indexer(mod.obs_names)
        for j, name in enumerate(names):
            if name not in mod.var_names:
                continue
            k = mod.var_names.get_loc(name)
            has = in_sample(mod, name)
            values = np.asarray(matrix[:, [k]].todense()).ravel().astype(np.int64)
            counts[rows[has], j] = values[has]
            assessed[rows[has], j] = True
            molecules[rows[has], j] = source == "targets"
    absent = [n for j, n in enumerate(names) if n not in set(known)]
    if absent:
        raise InputError("features", f"{absent[0]!r} is in no matrix or molecule table", nearest(absent[0], known))
    return FeatureCounts(counts, assessed, molecules, names)


def in_sample(mod: AnnData, feature: str) -> np.ndarray:
    """Which cells of a modality come from a sample whose source held the feature (all, without a record)."""
    if "in_sample" not in mod.varm or "sample" not in mod.obs:
        return np.ones(mod.n_obs, bool)
    row = pd.DataFrame(mod.varm["in_sample"]).loc[feature]
    return mod.obs["sample"].astype(str).map(row.to_dict()).fillna(value=False).to_numpy(dtype=bool)


def depth(data: Data, *, without: Iterable[str] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Gene-expression UMIs per cell without the named features, int64, and whether they are known (bool).

    Unknown depth (cells without a matrix) is 0 with known = False; the caller decides on a constant.
    """
    out, known = np.zeros(data.n_obs, np.int64), np.zeros(data.n_obs, bool)
    found = counts_matrix(data)
    if found is None:
        return out, known
    gex, matrix = found
    drop = gex.var_names.isin(list(without))
    totals = np.asarray(matrix.sum(axis=1)).ravel() - np.asarray(matrix[:, drop].sum(axis=1)).ravel()
    rows = data.obs_names.get_indexer(gex.obs_names)
    out[rows], known[rows] = totals.astype(np.int64), True
    return out, known
