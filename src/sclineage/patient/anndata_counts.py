"""Counts of one sample inside an h5ad or anndata zarr, wherever its author put them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata.io import read_elem, sparse_dataset
from scipy import sparse

from .._errors import InputError, nearest
from .features import feature_table
from .matrices import PEEK, Matrix, as_counts, describe, open_h5
from .spec import HUMAN_ID
from .text import reading

ID_COLUMNS = ("gene_ids", "gene_id", "ensembl_id", "ensembl", "feature_id")
NAME_COLUMNS = ("feature_name", "gene_symbols", "gene_symbol", "gene_name", "symbol")
TYPE_COLUMNS = ("feature_types", "feature_type")


def read_anndata(path: Path, *, obs: str = "", peek: bool = False) -> Matrix:
    """Read the counts of (some rows of) an h5ad or zarr.

    Whole, non-negative numbers are looked for in X, raw and the layers; places that hold the same numbers count once.

    Raises
    ------
    InputError
        Nothing or more than one thing there is counts (the message lists what was found), ``column=value`` matches
        nothing, or the file cannot be read.
    """
    with reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # files of old anndata versions are fine
        if path.is_dir():
            import zarr

            return _read(path, zarr.open_group(str(path), mode="r"), obs, peek)
        with open_h5(path) as store:
            return _read(path, store, obs, peek)


def _read(path: Path, store: Any, obs: str, peek: bool) -> Matrix:  # noqa: FBT001
    table = read_elem(store["obs"])
    rows = np.arange(len(table)) if not obs else _picked(path, table, obs)
    if len(rows) == 0:
        raise InputError(path, "the file holds no cell", "give a matrix that holds cells")
    source = _counts_place(path, store, rows)
    counts = _rows(_element(store, source), rows[:PEEK] if peek else rows)
    var = read_elem(store["raw/var"] if source == "raw" else store["var"])
    barcodes = table.index.astype(str).to_numpy(dtype=object)[rows]
    return Matrix(path, as_counts(path, counts, source), barcodes, _features(var), source)


def _picked(path: Path, table: pd.DataFrame, obs: str) -> np.ndarray:
    column, value = (part.strip() for part in obs.split("=", 1))
    if column not in table:
        raise InputError(path, f"no obs column {column!r}", nearest(column, map(str, table.columns)), place="gex_obs")
    values = table[column].astype(str)
    rows = np.flatnonzero((values == value).to_numpy(dtype=bool))
    if len(rows) == 0:
        raise InputError(path, f"no row has {column} = {value!r}", nearest(value, sorted(set(values))), place="gex_obs")
    return rows


def _places(store: Any) -> list[str]:
    """Places of a file that may hold counts, in the order in which equal ones are named."""
    layers = sorted(f"layers[{name!r}]" for name in store["layers"]) if "layers" in store else []
    return [*(["X"] if "X" in store else []), *(["raw"] if "raw" in store and "X" in store["raw"] else []), *layers]


def _element(store: Any, place: str) -> Any:
    if place == "raw":
        return store["raw/X"]
    return store["X"] if place == "X" else store["layers"][place[len("layers['") : -2]]


def _counts_place(path: Path, store: Any, rows: np.ndarray) -> str:
    """Name of the only place whose values are counts; judged on the first rows, then on all that claim to be."""
    found = {place: describe(sparse.csr_matrix(_rows(_element(store, place), rows[:PEEK])).data)
             for place in _places(store)}
    good = [place for place, wrong in found.items() if not wrong]
    if len(good) > 1:
        good = _different(store, good, rows)
    if len(good) == 1:
        return good[0]
    listed = "; ".join(f"{place}: {wrong or 'whole numbers'}" for place, wrong in found.items()) or "no matrix at all"
    fix = "keep one of them" if good else "store the raw counts in X or layers['counts']"
    raise InputError(path, f"{'several' if good else 'no'} places hold whole numbers ({listed})", fix)


def _different(store: Any, places: list[str], rows: np.ndarray) -> list[str]:
    """`places` without those that repeat the first one."""
    first = sparse.csr_matrix(_rows(_element(store, places[0]), rows))

    def same(place: str) -> bool:
        other = sparse.csr_matrix(_rows(_element(store, place), rows))
        return other.shape == first.shape and (other != first).nnz == 0

    return [places[0], *(p for p in places[1:] if not same(p))]


def _rows(element: Any, rows: np.ndarray) -> Any:
    """Given rows of a dense or sparse on-disk matrix."""
    if hasattr(element, "shape") and not hasattr(element, "keys"):
        low, high = int(rows[0]), int(rows[-1]) + 1
        return np.asarray(element[low:high])[rows - low]
    if str(element.attrs.get("encoding-type", "")).startswith("csr"):
        return sparse_dataset(element)[rows]
    return sparse.csr_matrix(read_elem(element))[rows]


def _features(var: pd.DataFrame) -> pd.DataFrame:
    index = var.index.astype(str).to_numpy(dtype=object)
    ids, names = _first(var, ID_COLUMNS), _first(var, NAME_COLUMNS)
    if np.mean([bool(HUMAN_ID.match(i)) for i in index]) > 0.5:
        ids, names = index, index if names is None else names
    else:
        names = index
    return feature_table(index if ids is None else ids, names, _first(var, TYPE_COLUMNS), _first(var, ("genome",)))


def _first(var: pd.DataFrame, columns: tuple[str, ...]) -> np.ndarray | None:
    for column in columns:
        if column in var:
            return var[column].astype(str).to_numpy(dtype=object)
    return None
