"""Empty droplets: what barcodes of 10 to 100 UMIs hold of the features that must not be there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from .._errors import InputError
from .barcodes import match
from .features import GENE_EXPRESSION
from .matrices import open_h5, require_counts, tenx_features, tenx_group
from .text import reading

LEAST, MOST = 10, 100  # UMIs of a barcode that counts as an empty droplet
BLOCK = 20_000_000  # stored entries read at once
COLUMNS = {"sample": object, "feature": object, "n_droplets": np.int64, "umi_total": np.int64, "feature_umi": np.int64}


def read_empties(path: str | Path, *, cells: Sequence[str] | np.ndarray, features: Iterable[str]) -> pd.DataFrame:
    """Sum up the empty droplets of an unfiltered 10x h5; the matrix is streamed, never held.

    Parameters
    ----------
    path
        ``raw_feature_bc_matrix.h5``.
    cells
        Barcodes of all samples that share the file: they are not droplets, however few UMIs they have.
    features
        Names of features to count; those that the matrix lacks are left out.

    Returns
    -------
    One row per feature: feature, n_droplets (barcodes of 10 to 100 gene-expression UMIs), umi_total (their UMIs),
    feature_umi (of these, of the feature).

    Raises
    ------
    InputError
        Not a 10x h5, not counts, or no barcode in that range (a filtered matrix).
    """
    path = Path(path)
    with open_h5(path) as file, reading(path):
        return _summed(path, tenx_group(path, file), cells, features)


def _summed(path: Path, group: h5py.Group, cells: Sequence[str] | np.ndarray,
            features: Iterable[str]) -> pd.DataFrame:
    table = tenx_features(group)
    expressed = (table["feature_types"] == GENE_EXPRESSION).to_numpy(dtype=bool)
    totals = np.concatenate([_row_sums(v * expressed[i], p) for p, i, v in _blocks(path, group)])
    barcodes = group["barcodes"].asstr()[:].astype(object)
    candidates = np.flatnonzero((totals >= LEAST) & (totals <= MOST))
    droplet = np.zeros(len(totals), dtype=bool)
    droplet[candidates] = match(np.asarray(cells, dtype=object), barcodes[candidates]) < 0
    if not droplet.any():
        raise InputError(path, f"no barcode with {LEAST} to {MOST} UMIs",
                         "give the unfiltered raw_feature_bc_matrix.h5")
    names = [f for f in features if f in set(table["name"][expressed])]
    column = np.full(len(table), -1)
    for j, name in enumerate(names):
        column[((table["name"] == name) & expressed).to_numpy()] = j
    found = _feature_sums(path, group, droplet, column, len(names))
    return pd.DataFrame({"feature": np.asarray(names, dtype=object), "n_droplets": int(droplet.sum()),
                         "umi_total": int(totals[droplet].sum()), "feature_umi": found})


def _blocks(path: Path, group: h5py.Group) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(indptr from 0, indices, data) of runs of barcodes."""
    indptr = group["indptr"][:].astype(np.int64)
    start = 0
    while start < len(indptr) - 1:
        stop = max(start + 1, int(np.searchsorted(indptr, indptr[start] + BLOCK, side="right")) - 1)
        low, high = indptr[start], indptr[stop]
        values = require_counts(path, group["data"][low:high], "matrix").astype(np.int64)
        yield indptr[start : stop + 1] - low, group["indices"][low:high], values
        start = stop


def _row_sums(values: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    total = np.concatenate([[0], np.cumsum(values)])
    return total[indptr[1:]] - total[indptr[:-1]]


def _feature_sums(path: Path, group: h5py.Group, droplet: np.ndarray, column: np.ndarray, n: int) -> np.ndarray:
    """UMIs of each wanted feature in the droplets, int64."""
    sums, row = np.zeros(n, dtype=np.int64), 0
    for indptr, indices, values in _blocks(path, group) if n else ():
        inside = np.repeat(droplet[row : row + len(indptr) - 1], np.diff(indptr))
        wanted = inside & (column[indices] >= 0)
        np.add.at(sums, column[indices[wanted]], values[wanted])
        row += len(indptr) - 1
    return sums


def no_empties() -> pd.DataFrame:
    """Table of empty droplets without a row."""
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in COLUMNS.items()})
