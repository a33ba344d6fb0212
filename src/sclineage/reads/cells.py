"""Which barcodes are cells: a list, a gene-expression matrix, or a plain knee of the reads per barcode."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from .._errors import InputError
from ..kernels import barcodes
from ..kernels.whitelists import Whitelist
from .streams import open_bytes, require

HDF5_MAGIC = b"\x89HDF"
LEAST_KNEE = 10  # reads: below it no barcode is a cell
ORDER = 0.1  # share of the reads of a large cell that a barcode must have to be one
DROPLET_READS, DROPLET_SHARE = 10, 0.1  # an empty droplet has at least so many reads, at most this share of a cell's

__all__ = ["CellList", "droplets", "knee", "read_cell_list"]


@dataclass(frozen=True, slots=True)
class CellList:
    """Cells given by the user.

    Attributes
    ----------
    ranks
        int64: ranks of their barcodes in the whitelist, ascending.
    totals
        int64: UMIs of each in the matrix that named it; None where it was a list.
    source
        ``list``, ``matrix`` or ``knee``.
    """

    ranks: np.ndarray
    totals: np.ndarray | None
    source: str


def read_cell_list(path: str | os.PathLike[str], whitelist: Whitelist) -> CellList:
    """Cells from a file.

    Parameters
    ----------
    path
        One barcode a line (plain or gzip, a ``-1`` is ignored, a header is not), a 10x h5, a 10x mtx folder, or an
        h5ad.
    whitelist
        All of them must be on it.

    Raises
    ------
    InputError
        Absent, empty, a barcode twice, or one that is not on the list.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / n for n in ("barcodes.tsv.gz", "barcodes.tsv") if (path / n).exists()]
        if not found:
            raise InputError(path, "no barcodes.tsv in the folder", "give a 10x matrix folder or a list of barcodes")
        path = found[0]
    with require(path).open("rb") as handle:
        hdf5 = handle.read(4) == HDF5_MAGIC
    words, totals = _matrix_barcodes(path) if hdf5 else (_listed(path), None)
    ranks = _ranks(path, words, whitelist)
    order = np.argsort(ranks, kind="stable")
    return CellList(ranks[order], None if totals is None else totals[order], "matrix" if totals is not None else "list")


def _listed(path: Path) -> list[str]:
    with open_bytes(path) as stream:
        data, block = bytearray(), bytearray(1 << 20)
        while got := stream.readinto(memoryview(block)):
            data += block[:got]
    lines = data.decode("ascii", "replace").replace(",", "\t").split("\n")
    return [line.split("\t")[0].strip().strip('"') for line in lines if line.strip()]


def _matrix_barcodes(path: Path) -> tuple[list[str], np.ndarray | None]:
    """Barcodes of a 10x h5 or h5ad, and UMIs per barcode (of the 10x h5)."""
    try:
        with h5py.File(path, "r") as file:
            if "matrix/barcodes" in file:
                group = file["matrix"]
                sums = np.add.reduceat(np.append(group["data"][:], 0).astype(np.int64), group["indptr"][:-1])
                sums[np.diff(group["indptr"][:]) == 0] = 0
                return [str(b) for b in group["barcodes"].asstr()[:]], sums
            if "obs" in file:
                names = file["obs"][file["obs"].attrs.get("_index", "_index")]
                return [str(b) for b in names.asstr()[:]], None
    except (OSError, KeyError, ValueError) as error:
        raise InputError(path, f"the file is damaged or cut off ({error})", "copy or download it again") from None
    raise InputError(path, "neither a 10x matrix nor an h5ad", "give one of them, or a list of barcodes")


def _ranks(path: Path, words: list[str], whitelist: Whitelist) -> np.ndarray:
    bases = [w.split("-")[0].upper() for w in words]
    header = [w for w in bases[:1] if set(w) - set("ACGTN")]
    bases = bases[len(header) :]
    if not bases:
        raise InputError(path, "no barcode in the file", "give one barcode a line")
    wrong = [i for i, w in enumerate(bases) if len(w) != whitelist.length or set(w) - set("ACGT")]
    if wrong:
        raise InputError(path, f"{bases[wrong[0]]!r} is no barcode of {whitelist.length} bases",
                         "give barcodes of this chemistry", place=f"line {wrong[0] + len(header) + 1}")
    codes, n_at = barcodes.pack(np.frombuffer("".join(bases).encode(), np.uint8).reshape(len(bases), -1))
    ranks = barcodes.look_up(codes, n_at, whitelist, counts=np.zeros(whitelist.n, np.int32)).astype(np.int64)
    if (ranks < 0).any():
        at = int(np.flatnonzero(ranks < 0)[0])
        raise InputError(path, f"{int((ranks < 0).sum())} of {len(bases)} barcodes are not on the whitelist",
                         f"give the cells of this library (first stranger: {bases[at]})")
    if np.unique(ranks).size < ranks.size:
        raise InputError(path, "a barcode appears twice", "give each cell once, and one GEM well at a time")
    return ranks


def knee(reads: np.ndarray) -> CellList:
    """Cells by a plain knee of the reads per barcode.

    The knee is the point of the curve of log reads over log rank that lies farthest above its chord. The barcodes up to
    it are the expected cells; all with at least a tenth of the reads of their 99th percentile are cells (the rule of
    Cell Ranger 2). A plain device for libraries without gene expression; call cells from gene expression where there
    is any.

    Parameters
    ----------
    reads
        Integers (barcodes,): reads by rank in the whitelist.

    Returns
    -------
    The cells; none where no barcode has ten reads.
    """
    seen = np.sort(reads[reads > 0])[::-1]
    if seen.size == 0 or seen[0] < LEAST_KNEE:
        return CellList(np.zeros(0, np.int64), None, "knee")
    expected = seen.size
    x, y = np.log(np.arange(1, seen.size + 1)), np.log(seen)
    if seen.size > 2 and y[0] > y[-1]:
        last = np.append(np.flatnonzero(np.diff(seen)), seen.size - 1)  # a plateau ends where its last barcode is
        above = (y[last] - y[0]) - (y[-1] - y[0]) * (x[last] - x[0]) / (x[-1] - x[0])
        expected = int(last[int(np.argmax(above))]) + 1
    cut = ORDER * float(np.percentile(seen[:expected], 99))
    return CellList(np.flatnonzero(reads >= max(cut, LEAST_KNEE)), None, "knee")


def droplets(reads: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Ranks of empty droplets: no cell, at least ten reads, at most a tenth of the reads of the median cell.

    Parameters
    ----------
    reads
        Integers (barcodes,): reads by rank.
    cells
        int64: ranks of the cells.
    """
    if cells.size == 0:
        return np.zeros(0, np.int64)
    most = DROPLET_SHARE * float(np.median(reads[cells]))
    chosen = (reads >= DROPLET_READS) & (reads <= most)
    chosen[cells] = False
    return np.flatnonzero(chosen)
