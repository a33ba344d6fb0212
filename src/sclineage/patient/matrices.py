"""Gene-expression matrices: 10x h5 (Cell Ranger 2 to 9), 10x mtx folder, h5ad, zarr. Raw counts or an error."""

from __future__ import annotations

import gzip
import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import h5py
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.io
from scipy import sparse

from .._errors import InputError
from .barcodes import require_unique
from .features import ANTIBODY, GENE_EXPRESSION, feature_table, require_human
from .text import read_table, reading, require_file

PEEK = 200  # cells whose counts are looked at when only the header is wanted
_RAW = "give the raw counts (filtered_feature_bc_matrix as Cell Ranger wrote it)"


@dataclass(frozen=True)
class Matrix:
    """One matrix.

    Attributes
    ----------
    file
        Where it was read from.
    counts
        int32 CSR, cells x features; only the first cells when it was only looked into.
    barcodes
        All barcodes, object array of text, as the file spells them.
    features
        See `features.feature_table`; one row per column of `counts`.
    source
        What the counts were found in: ``matrix``, ``X``, ``raw`` or ``layers['...']``.
    """

    file: Path
    counts: sparse.csr_matrix
    barcodes: np.ndarray
    features: pd.DataFrame
    source: str = "matrix"

    def of_type(self, feature_type: str) -> Matrix:
        """The columns of one feature type."""
        keep = (self.features["feature_types"] == feature_type).to_numpy(dtype=bool)
        if keep.all():
            return self
        return replace(self, counts=self.counts[:, np.flatnonzero(keep)],
                       features=self.features[keep].reset_index(drop=True))

    def other_types(self) -> dict[str, int]:
        """Number of features of each type that is neither gene expression nor antibody."""
        counts = self.features["feature_types"].value_counts()
        return {str(k): int(v) for k, v in counts.sort_index().items() if k not in (GENE_EXPRESSION, ANTIBODY)}


def read_matrix(path: str | Path, *, obs: str = "", peek: bool = False) -> Matrix:
    """Read and check a matrix.

    Parameters
    ----------
    path
        10x h5, folder with matrix.mtx (plain or gzip, genes.tsv or features.tsv), h5ad, or anndata zarr.
    obs
        ``column=value``: rows of an h5ad or zarr to keep.
    peek
        Read all names but the counts of the first cells only (`PEEK`): what `check` needs, in a fraction of the time.

    Raises
    ------
    InputError
        Absent, empty, truncated, another kind of file; counts that are not whole numbers >= 0; a barcode twice; not
        human.
    """
    path = Path(path)
    reader = _reader(path)
    if obs and reader is not _anndata:
        raise InputError(path, "gex_obs picks rows of an h5ad or zarr, and this is neither", "empty the column gex_obs")
    matrix = reader(path, obs, peek)
    if len(matrix.barcodes) == 0 or len(matrix.features) == 0:
        raise InputError(path, f"{len(matrix.barcodes)} cells x {len(matrix.features)} features",
                         "give a matrix that holds cells")
    require_unique(path, matrix.barcodes)
    require_human(path, matrix.features)
    return matrix


def _reader(path: Path) -> Callable[[Path, str, bool], Matrix]:
    if path.is_dir():
        return _anndata if any((path / n).exists() for n in (".zgroup", "zarr.json", ".zattrs")) else _mtx
    require_file(path)
    with open_h5(path) as file, reading(path):
        if "X" in file or ("obs" in file and "var" in file):
            return _anndata
        if "barcode_idx" in file:
            raise InputError(path, "found a molecule_info.h5", "name it in the column molecules, not gex")
    return _tenx


def _anndata(path: Path, obs: str, peek: bool) -> Matrix:  # noqa: FBT001
    from .anndata_counts import read_anndata

    return read_anndata(path, obs=obs, peek=peek)


def open_h5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading; `InputError` when it is not one, or is cut off."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        reason = "the file is truncated" if "truncated" in str(error) else "not an HDF5 file"
        raise InputError(path, reason, "copy or download it again (10x h5 or h5ad expected)") from None


# --- 10x h5 ----------------------------------------------------------------------------------------------------------
def _tenx(path: Path, obs: str, peek: bool) -> Matrix:  # noqa: FBT001
    with reading(path):
        with open_h5(path) as file:
            group = tenx_group(path, file)
            features, barcodes = tenx_features(group), group["barcodes"].asstr()[:].astype(object)
            start = _first_cells(path, group, len(features))
            described = group["indptr"].shape[0] - 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # repeated names are handled by `union`, repeated barcodes refused
            counts = start if peek else sc.read_10x_h5(path, gex_only=False).X
    if described != len(barcodes):
        raise InputError(path, f"{len(barcodes)} barcodes for {described} cells", "copy or download it again")
    return Matrix(path, as_counts(path, counts, "matrix"), barcodes, features)


def _first_cells(path: Path, group: h5py.Group, width: int) -> sparse.csr_matrix:
    """Counts of the first cells, before the whole matrix is read: scanpy stores integers as float32 unasked."""
    indptr = group["indptr"][: PEEK + 1]
    values = require_counts(path, group["data"][: indptr[-1]], "matrix")
    return sparse.csr_matrix((values, group["indices"][: indptr[-1]], indptr), shape=(len(indptr) - 1, width))


def tenx_group(path: Path, file: h5py.File) -> h5py.Group:
    """Group of a 10x h5 that holds the matrix: ``matrix``, or the genome's name before Cell Ranger 3."""
    found = ["matrix"] if "matrix" in file else sorted(k for k in file if isinstance(file[k], h5py.Group))
    if len(found) > 1 and all("barcodes" in file[k] for k in found):
        raise InputError(path, f"matrices of {len(found)} genomes ({', '.join(found)}): a reference of two species",
                         "align to a human reference alone")
    group = file[found[0]] if found else file
    new = ("features/id", "features/name", "features/feature_type")
    names = new if "features" in group else ("genes", "gene_names")
    missing = [n for n in ("barcodes", "data", "indices", "indptr", "shape", *names) if n not in group]
    if missing:
        raise InputError(path, f"no {missing[0]!r} in the file: not a 10x matrix, or cut off",
                         "give filtered_feature_bc_matrix.h5")
    return group


def tenx_features(group: h5py.Group) -> pd.DataFrame:
    """Feature table of a 10x h5."""
    def text(name: str) -> np.ndarray:
        return group[name].asstr()[:].astype(object)

    if "features" not in group:
        return feature_table(text("genes"), text("gene_names"))
    genome = text("features/genome") if "features/genome" in group else None
    several = genome is not None and len(set(genome)) > 1
    return feature_table(text("features/id"), text("features/name"), text("features/feature_type"),
                         genome if several else None)


# --- 10x mtx folder --------------------------------------------------------------------------------------------------
def _mtx(path: Path, obs: str, peek: bool) -> Matrix:  # noqa: FBT001
    matrix, barcodes = _in_folder(path, "matrix.mtx"), _in_folder(path, "barcodes.tsv")
    rows = read_table(_in_folder(path, "features.tsv", "genes.tsv"), sep="\t", header=False)
    names = rows[1] if rows.shape[1] > 1 else rows[0]
    features = feature_table(rows[0], names, rows[2] if rows.shape[1] > 2 else None)
    cells = read_table(barcodes, sep="\t", header=False)[0].to_numpy(dtype=object)
    counts = read_mtx(matrix, peek=peek)
    shape = counts.shape
    if shape != (len(features), len(cells)):
        raise InputError(matrix, f"{shape[0]} x {shape[1]}, but {len(features)} features and {len(cells)} barcodes",
                         "give the three files of one folder as Cell Ranger wrote them")
    return Matrix(path, as_counts(matrix, counts.T, "matrix"), cells, features)


def _in_folder(folder: Path, *names: str) -> Path:
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.exists():
                return require_file(path)
    raise InputError(folder, f"no {names[0]} or {names[0]}.gz in the folder",
                     "give a 10x matrix folder (matrix.mtx, barcodes.tsv, features.tsv)")


def read_mtx(path: Path, *, peek: bool = False) -> sparse.coo_matrix:
    """Matrix Market file, plain or gzip; with `peek` its first entries only, in the full shape.

    Raises
    ------
    InputError
        Not a Matrix Market file, or fewer entries than it announces.
    """
    require_file(path)
    if peek:
        return _mtx_head(path)
    with reading(path):
        return sparse.coo_matrix(scipy.io.mmread(str(path)))


def _mtx_head(path: Path, entries: int = 100_000) -> sparse.coo_matrix:
    """Shape and first entries of a Matrix Market file."""
    with reading(path):
        with _opened(path) as handle:
            lines = [line for line in itertools.islice(handle, entries) if line.strip() and not line.startswith("%")]
        rows, columns = (int(v) for v in lines[0].split()[:2])
        head = np.array([line.split()[:3] for line in lines[1:]], dtype=float).reshape(-1, 3)
        where = (head[:, 0].astype(int) - 1, head[:, 1].astype(int) - 1)
        return sparse.coo_matrix((head[:, 2], where), shape=(rows, columns))


def _opened(path: Path) -> IO[str]:
    with path.open("rb") as handle:
        compressed = handle.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8") if compressed else path.open(encoding="utf-8")


# --- counts ----------------------------------------------------------------------------------------------------------
def describe(values: np.ndarray) -> str:
    """What is wrong with values that should be counts; empty when nothing is."""
    values = np.asarray(values)
    if values.size == 0:
        return ""
    if not np.issubdtype(values.dtype, np.number):
        return f"values of type {values.dtype}"
    if np.isnan(values).any():
        return "NaN values"
    if values.min() < 0:
        return f"negative values (such as {values.min():g})"
    broken = values != np.floor(values)
    if broken.any():
        return f"values that are not whole numbers (such as {values[np.argmax(broken)]:g})"
    return f"a value beyond int32 ({values.max():g})" if values.max() >= 2**31 else ""


def require_counts(file: object, values: np.ndarray, place: str) -> np.ndarray:
    """Return values when they are counts, raise `InputError` otherwise."""
    wrong = describe(values)
    if wrong:
        raise InputError(file, f"found {wrong} instead of raw counts", _RAW, place=place)
    return values


def as_counts(file: object, matrix: object, place: str) -> sparse.csr_matrix:
    """Matrix as int32 CSR with sorted indices and no stored zero; `InputError` when its values are not counts."""
    with reading(str(file)):
        rows = sparse.csr_matrix(matrix)
        rows.check_format(full_check=True)  # indices of a damaged file would read foreign memory
    require_counts(file, rows.data, place)
    rows = sparse.csr_matrix(rows.astype(np.int32))
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows
