"""Lists of cells: barcodes, vireo ``donor_ids.tsv``, Cell Ranger ``tag_calls_per_cell.csv``, souporcell clusters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .._errors import InputError, nearest
from .barcodes import require_unique
from .molecules import own_counts
from .text import read_table, read_text

BARCODE_COLUMNS = ("cell", "barcode", "cell_barcode", "cell_id", "barcodes")
OWNER_COLUMNS = ("donor_id", "sample", "sample_id", "feature_call", "assignment", "donor")
NOBODY = ("doublet", "unassigned", "multiplet", "blank", "negative")


def read_cells(path: str | Path, *, owners: Sequence[str]) -> np.ndarray:
    """Barcodes of one sample from a list of cells.

    Parameters
    ----------
    path
        What ``sclineage count`` wrote (its folder or ``features.h5ad``), one column (all of them
        are cells of the sample), or a barcode and the sample or donor it belongs to; with or without header, plain or
        gzip.
    owners
        Names under which the sample may stand there, in order of preference: sample, specimen, patient. Doublets and
        unassigned barcodes belong to nobody, and so does a barcode whose ``status`` is not singlet.

    Returns
    -------
    Object array of text, in the order of the file.

    Raises
    ------
    InputError
        Absent, empty, a barcode twice, or nobody in the list is called one of `owners`.
    """
    table = _table(path)
    barcodes = table["barcode"].to_numpy(dtype=object)
    if "owner" in table:
        barcodes = barcodes[_owned(path, table["owner"], owners)]
    if len(barcodes) == 0 or (barcodes == "").any():
        raise InputError(path, "an empty list, or an empty barcode in it", "give one barcode per line")
    require_unique(path, barcodes)
    return barcodes


def _table(path: str | Path) -> pd.DataFrame:
    """Columns barcode and, where the file assigns barcodes, owner."""
    own = own_counts(path)
    if own is not None:
        return pd.DataFrame({"barcode": own.cells})
    first = read_text(path).lstrip("\n").split("\n", 1)[0]
    sep = "\t" if "\t" in first else ","
    header = [f.strip().strip('"').casefold() for f in first.split(sep)]
    named = next((i for i, f in enumerate(header) if f in BARCODE_COLUMNS), None)
    rows = read_table(path, sep=sep, header=named is not None)
    if named is None:
        return rows.set_axis(["barcode", *(["owner"] if rows.shape[1] > 1 else []), *range(2, rows.shape[1])], axis=1)
    owner = next((header.index(c) for c in OWNER_COLUMNS if c in header), None)
    if owner is None and len(header) > 1:
        raise InputError(path, f"no column says whose cells these are (found {', '.join(header)})",
                         f"name it one of {', '.join(OWNER_COLUMNS)}, or give the barcodes alone", place="header")
    out = pd.DataFrame({"barcode": rows.iloc[:, named]})
    if owner is not None:
        out["owner"] = rows.iloc[:, owner]
    if "status" in header:
        out = out[rows.iloc[:, header.index("status")] == "singlet"]
    return out


def _owned(path: str | Path, owner: pd.Series, owners: Sequence[str]) -> np.ndarray:
    known = sorted({o for o in owner if o.casefold() not in NOBODY})
    for name in owners:
        if name in known:
            return (owner == name).to_numpy(dtype=bool)
    listed = ", ".join(known[:6]) + (", ..." if len(known) > 6 else "")
    raise InputError(path, f"no cell belongs to {' or '.join(map(repr, dict.fromkeys(owners)))} (found: {listed})",
                     f"use the sample id as the name of the donor; {nearest(owners[0], known)}")
