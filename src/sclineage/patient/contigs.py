"""V(D)J contigs: 10x contig CSV and AIRR rearrangement TSV, as one table of AIRR fields, then scirpy's format."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd
import scirpy
from anndata import AnnData

from .._errors import InputError
from .text import read_table, require_columns, whole_numbers

TENX = {
    "contig_id": "sequence_id", "chain": "locus", "v_gene": "v_call", "d_gene": "d_call", "j_gene": "j_call",
    "c_gene": "c_call", "cdr3_nt": "junction", "cdr3": "junction_aa", "umis": "umi_count", "reads": "consensus_count",
    "productive": "productive", "is_cell": "is_cell", "high_confidence": "high_confidence",
}
TENX_REQUIRED = ("barcode", "is_cell", "contig_id", "high_confidence", "chain", "v_gene", "j_gene", "c_gene",
                 "productive", "cdr3", "cdr3_nt", "reads", "umis")
AIRR_REQUIRED = ("cell_id", "productive", "v_call", "j_call", "junction", "junction_aa")
FIELDS = ("sequence_id", "locus", "v_call", "d_call", "j_call", "c_call", "junction", "junction_aa", "umi_count",
          "consensus_count", "productive", "is_cell", "high_confidence")
LOCI = ("TRA", "TRB", "TRG", "TRD", "IGH", "IGK", "IGL")
_TRUE, _FALSE = ("true", "t", "1"), ("false", "f", "0", "none", "", "na", "nan")
_MISSING = ("", "None", "NA", "nan")


def read_contigs(path: str | os.PathLike[str], *, every: bool = False) -> pd.DataFrame:
    """Read one contig file, 10x CSV (Cell Ranger 2 to 9, filtered or all) or AIRR TSV, plain or gzip.

    Parameters
    ----------
    path
        File; the format is told by its columns.
    every
        Also keep contigs of barcodes that the V(D)J run did not call cells (for ``vdj_all``); otherwise those with
        ``is_cell`` true alone stay. Contigs of low confidence never do.

    Returns
    -------
    One row per contig: ``barcode`` and `FIELDS`; text missing as None, counts Int64 (reads may be missing), flags bool.

    Raises
    ------
    InputError
        Absent, empty, truncated, a missing column, a value that is no flag or count, nothing left to keep.
    """
    frame = read_table(path)
    if "barcode" in frame and "contig_id" in frame:
        require_columns(path, frame, TENX_REQUIRED)
        frame = frame.rename(columns=TENX)
    else:
        frame = _from_airr(path, frame)
    return _kept(path, _typed(path, frame), every=every)


def _from_airr(path: str | os.PathLike[str], frame: pd.DataFrame) -> pd.DataFrame:
    require_columns(path, frame, AIRR_REQUIRED)
    counts = [c for c in ("umi_count", "duplicate_count") if c in frame]
    if not counts:
        raise InputError(path, "neither column umi_count nor duplicate_count",
                         "give the UMIs of each contig in umi_count (1 where unknown)", place="header")
    out = frame.rename(columns={"cell_id": "barcode"})
    out["umi_count"] = frame[counts[0]]
    defaults = {
        "consensus_count": "", "is_cell": "true", "high_confidence": "true", "d_call": "", "c_call": "",
        "locus": ""}
    for column, default in defaults.items():
        if column not in out:
            out = out.assign(**{column: default})
    if "sequence_id" not in out:
        out["sequence_id"] = out["barcode"] + "_contig_" + (out.groupby("barcode").cumcount() + 1).astype(str)
    return out


def _typed(path: str | os.PathLike[str], frame: pd.DataFrame) -> pd.DataFrame:
    out = pd.DataFrame({"barcode": frame["barcode"].astype(object)}, dtype=object)
    if (out["barcode"] == "").any():
        raise InputError(path, "a contig without barcode", "every contig needs the barcode of its cell")
    for column in FIELDS:
        values = frame[column].astype(object) if column in frame else pd.Series(None, index=frame.index, dtype=object)
        if column in ("umi_count", "consensus_count"):
            out[column] = _numbers(path, values, column)
        elif column in ("productive", "is_cell", "high_confidence"):
            out[column] = _flags(path, values, column)
        else:
            out[column] = values.where(~values.isin(_MISSING), None)
    out["locus"] = [_locus(row) for row in zip(*(out[c] for c in ("locus", "v_call", "j_call", "c_call")), strict=True)]
    return out


def _numbers(path: str | os.PathLike[str], values: pd.Series, column: str) -> pd.Series:
    """Counts as Int64; reads may be missing (plate protocols count UMIs alone), UMIs may not."""
    text = values.map(str).str.replace(r"\.0+$", "", regex=True)
    unknown = text.isin(_MISSING) & (column == "consensus_count")
    numbers = pd.Series(whole_numbers(path, text.mask(unknown, "0"), what=column), index=values.index, dtype="Int64")
    return numbers.mask(unknown)


def _flags(path: str | os.PathLike[str], values: pd.Series, column: str) -> np.ndarray:
    words = values.map(lambda v: str(v).strip().casefold())
    unknown = words[~words.isin((*_TRUE, *_FALSE))]
    if len(unknown):
        raise InputError(path, f"{column} is {values[unknown.index[0]]!r}", "use true or false",
                         place=f"line {unknown.index[0] + 2}")
    return words.isin(_TRUE).to_numpy(dtype=bool)


def _locus(row: tuple[str | None, ...]) -> str | None:
    """Locus as given, else the one that V, J and C agree on (``TRAV29/DV5`` may be either and does not vote)."""
    given, *calls = row
    if given in LOCI:
        return given
    votes = {c[:3] for c in calls if c and not re.search(r"TRAV.*/DV", c)} & set(LOCI)
    return votes.pop() if len(votes) == 1 else None


def _kept(path: str | os.PathLike[str], contigs: pd.DataFrame, *, every: bool) -> pd.DataFrame:
    keep = contigs["high_confidence"] & contigs["locus"].notna()
    if not every:
        keep &= contigs["is_cell"]
    if not keep.any():
        raise InputError(path, f"{len(contigs)} contigs, none of them of a cell and of high confidence",
                         "leave the column empty where V(D)J failed")
    return contigs[keep].reset_index(drop=True)


def read_vdj(productive: Sequence[Path], everything: Sequence[Path]) -> pd.DataFrame | None:
    """Contigs of one sample: the files of ``vdj``, and the non-productive contigs of the files of ``vdj_all``.

    Without ``vdj``, all contigs of ``vdj_all`` that are of cells are taken.

    Returns
    -------
    As `read_contigs`, sorted by barcode, productive first, UMIs falling, id; None without a file.
    """
    parts = [read_contigs(p) for p in productive]
    for path in everything:
        extra = read_contigs(path, every=True)
        parts.append(extra[~extra["productive"]] if productive else extra[extra["is_cell"]])
    if not parts:
        return None
    joined = pd.concat(parts, ignore_index=True)
    joined["_order"] = -joined["umi_count"]
    joined["_last"] = ~joined["productive"]
    keys = ["barcode", "_last", "_order", "sequence_id", "junction", "v_call", "j_call"]
    joined = joined.sort_values(keys, kind="stable", ignore_index=True)
    return joined.drop_duplicates(["barcode", "sequence_id", "junction"], ignore_index=True)[["barcode", *FIELDS]]


def airr_modality(contigs: pd.DataFrame, cells: Sequence[str]) -> AnnData:
    """Contigs in scirpy's format, by `scirpy.io.read_airr`.

    Parameters
    ----------
    contigs
        Columns ``cell_id`` (one of `cells`) and `FIELDS`.
    cells
        Names of the cells; those without a contig get an empty list of chains.

    Returns
    -------
    AnnData with ``obsm["airr"]``, rows in the order of `cells`.
    """
    frame = contigs[["cell_id", *FIELDS]].astype(object)
    frame["productive"] = np.where(contigs["productive"].to_numpy(dtype=bool), "T", "F")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata calls awkward arrays experimental each time
        found = scirpy.io.read_airr(frame.where(frame.notna(), None))
        rows = pd.Index(found.obs_names).get_indexer(list(cells))
        chains = found.obsm["airr"]
        length = np.where(rows >= 0, np.asarray(ak.num(chains))[rows], 0)
        airr = ak.unflatten(ak.flatten(chains[rows[rows >= 0]]), length)
        obs = pd.DataFrame(index=pd.Index(np.asarray(cells, dtype=object), dtype=object))
        return AnnData(obs=obs, obsm={"airr": airr}, uns={"scirpy_version": found.uns["scirpy_version"]})
