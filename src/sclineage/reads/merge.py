"""Molecules of two libraries of the same cells: one cDNA molecule keeps its barcode and UMI through both."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from .._errors import InputError, nearest
from ..kernels.whitelists import decode
from .cells import HDF5_MAGIC
from .molecules import COLUMNS, SHARED
from .streams import require

LAYOUT = ("barcodes", "barcode_idx", "feature_idx", "gem_group", "umi", "count", "features/id", "features/name")
BLOCK = 1 << 24  # rows looked at together

__all__ = ["merge_molecules", "molecule_info_features", "molecule_info_rows", "read_molecule_table"]


def read_molecule_table(path: str | os.PathLike[str], features: Sequence[str], *, umi_length: int) -> pd.DataFrame:
    """Molecules of some features from our own ``molecules.tsv.gz`` or a Cell Ranger ``molecule_info.h5``.

    Parameters
    ----------
    features
        Names wanted (of genes of the h5: name or id).
    umi_length
        Bases per UMI, which the h5 does not say.

    Returns
    -------
    Columns `molecules.COLUMNS`; what the file does not know is 0 (unique_bases, junction) or 1 (posterior).

    Raises
    ------
    InputError
        Absent, damaged, of another layout, or without any of the features.
    """
    path = require(path)
    with path.open("rb") as handle:
        hdf5 = handle.read(4) == HDF5_MAGIC
    try:
        table = _molecule_info(path, features, umi_length) if hdf5 else pd.read_csv(path, sep="\t", na_filter=False)
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, f"cannot be read ({error})", "give molecules.tsv.gz or molecule_info.h5") from None
    missing = [c for c in COLUMNS if c not in table]
    if missing:
        raise InputError(path, f"column {missing[0]!r} is missing", "give molecules.tsv.gz or molecule_info.h5",
                         place="header")
    return table[table["feature"].isin(list(features))].reset_index(drop=True)[list(COLUMNS)]


def molecule_info_features(path: Path, file: h5py.File) -> tuple[np.ndarray, np.ndarray]:
    """Names and ids of the features of a ``molecule_info.h5``.

    Raises
    ------
    InputError
        A dataset of the layout is missing.
    """
    missing = [d for d in LAYOUT if d not in file]
    if missing:
        raise InputError(path, f"no {missing[0]!r} in the file", "give a molecule_info.h5 of Cell Ranger 3 or later")
    names, ids = (file[f"features/{k}"].asstr()[:].astype(object) for k in ("name", "id"))
    return names, ids


def molecule_info_rows(file: h5py.File, wanted: np.ndarray) -> tuple[np.ndarray, ...]:
    """Barcode text (with its GEM well), feature row, packed UMI and reads of the molecules of some features.

    The datasets have one entry per molecule and all genes, so they are gone through in blocks.

    Parameters
    ----------
    wanted
        Rows of ``features`` to keep.
    """
    parts = []
    for low in range(0, file["feature_idx"].shape[0], BLOCK):
        feature = file["feature_idx"][low : low + BLOCK]
        rows = np.flatnonzero(np.isin(feature, wanted))
        parts.append([feature[rows], *(file[k][low : low + BLOCK][rows]
                                       for k in ("barcode_idx", "gem_group", "umi", "count"))])
    feature, barcode, well, umi, reads = (np.concatenate(p) if parts else np.zeros(0, np.int64)
                                          for p in (zip(*parts, strict=True) if parts else [()] * 5))
    bases = file["barcodes"].asstr()[:].astype(object)
    text = np.array([f"{bases[b]}-{w}" for b, w in zip(barcode, well, strict=True)], dtype=object)
    return text, feature, umi.astype(np.uint64), reads.astype(np.int64)


def _molecule_info(path: Path, features: Sequence[str], umi_length: int) -> pd.DataFrame:
    with h5py.File(path, "r") as file:
        names, ids = molecule_info_features(path, file)
        called = np.where(np.isin(names, list(features)), names, np.where(np.isin(ids, list(features)), ids, ""))
        wanted = np.flatnonzero(called != "")
        if wanted.size == 0:
            raise InputError(path, f"feature {features[0]!r} is not there", nearest(features[0], names.tolist()))
        barcode, feature, umi, reads = molecule_info_rows(file, wanted)
    if umi.size and int(umi.max()) >= 4**umi_length:
        raise InputError(path, f"UMIs of more than {umi_length} bases", "give the library of the same chemistry")
    return pd.DataFrame({"barcode": barcode, "umi": [u.tobytes().decode() for u in decode(umi, umi_length)],
                         "feature": called[feature], "reads": reads, "unique_bases": 0, "junction": 0,
                         "barcode_posterior": 1.0})


def merge_molecules(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Molecules that either library has; those that both have stand once, with the reads of both.

    A molecule that one calls by its feature and the other only by ``:shared`` is the feature's.
    """
    every = pd.concat([one, other], ignore_index=True)
    base = every["feature"].str.removesuffix(SHARED)
    every = every.assign(base=base, shared=(every["feature"] != base).astype(int),
                         cell=every["barcode"].str.split("-").str[0])
    every = every.sort_values(["cell", "base", "umi", "shared"], kind="stable")
    found = every.groupby(["cell", "base", "umi"], sort=True, as_index=False).agg(
        barcode=("barcode", "first"), feature=("feature", "first"), reads=("reads", "sum"),
        unique_bases=("unique_bases", "max"), junction=("junction", "max"),
        barcode_posterior=("barcode_posterior", "max"))
    return found[list(COLUMNS)].sort_values(["barcode", "feature", "umi"], kind="stable", ignore_index=True)
