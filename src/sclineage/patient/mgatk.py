"""Mitochondrial reads per cell, position and base, as mgatk leaves them in its folder ``final``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from .._errors import InputError
from .text import read_table, whole_numbers

BASES = "ACGT"
CELLS, PER_STRAND, CORRELATION = 5, 2, 0.65  # Lareau 2021: cells sure of a variant, reads that make sure, both strands
_NAMES = ("pos", "barcode", "forward", "reverse")


def is_mgatk(folder: Path) -> bool:
    """Whether a folder holds mgatk's table of reads that show an A."""
    return any(folder.glob("*.A.txt.gz"))


def mgatk_counts(folder: Path) -> tuple[np.ndarray, pd.DataFrame, sparse.csr_matrix, sparse.csr_matrix]:
    """Variants that enough cells are sure of, on both strands.

    Parameters
    ----------
    folder
        Holds ``<name>.{A,C,G,T}.txt.gz`` (position, barcode, forward reads, reverse reads; no header) and
        ``*_refAllele.txt`` (position, base).

    Returns
    -------
    Barcodes, sites (``chrom, pos, ref, alt, gene``), and int32 CSR (cells, sites): reads of the variant, and of it and
    the reference base. A variant counts where five cells show it twice on either strand and the strands agree over
    cells (correlation 0.65), the thresholds of Lareau and others (2021); a base that all cells share counts, too.
    Samples are read one by one: of a variant that only another sample shows nothing is said here.

    Raises
    ------
    InputError
        A file is absent or damaged, a number is no count, or no variant is left.
    """
    reference = _reference(folder)
    parts = {base: _base(folder, base) for base in BASES}
    barcodes = np.unique(np.concatenate([part["barcode"].to_numpy(str) for part in parts.values()]))
    of_cell = pd.Index(barcodes)
    for part in parts.values():
        part["cell"] = of_cell.get_indexer(pd.Index(part.pop("barcode").astype(str)))
    chosen = pd.concat([_variants(part, base, reference) for base, part in parts.items()], ignore_index=True)
    if chosen.empty:
        raise InputError(folder, f"no variant that {CELLS} cells show on both strands",
                         "leave the folder out, or give counts of the sites you know as a table")
    chosen = chosen.sort_values(["pos", "alt"], kind="stable", ignore_index=True)
    shape = (barcodes.size, len(chosen))
    ad, ref = (_matrix(parts, chosen["pos"], chosen[column], shape) for column in ("alt", "ref"))
    sites = pd.DataFrame({"chrom": "MT", "pos": chosen["pos"], "ref": chosen["ref"], "alt": chosen["alt"], "gene": ""})
    sites.index = pd.Index([f"MT:{p}:{r}:{a}" for p, r, a in zip(sites["pos"], sites["ref"], sites["alt"],
                                                                strict=True)], dtype=object)
    return barcodes.astype(object), sites.astype({"chrom": object}), ad, sparse.csr_matrix(ad + ref)


def _one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise InputError(folder, f"{len(found)} files {pattern} in the folder", "give mgatk's folder final of one run")
    return found[0]


def _reference(folder: Path) -> dict[int, str]:
    path = _one(folder, "*_refAllele.txt")
    table = read_table(path, sep=r"\s+", header=False)
    if table.shape[1] != 2:
        raise InputError(path, f"{table.shape[1]} columns", "give position and base")
    pos = whole_numbers(path, table[0], what="position", least=1)
    return dict(zip(pos.tolist(), table[1].str.upper(), strict=True))


def _base(folder: Path, base: str) -> pd.DataFrame:
    """Reads that show a base: ``pos, barcode, forward, reverse``."""
    path = _one(folder, f"*.{base}.txt.gz")
    try:
        frame = pd.read_csv(path, header=None, names=list(_NAMES), index_col=False, on_bad_lines="error",
                            dtype={"pos": np.int64, "barcode": str, "forward": np.int64, "reverse": np.int64})
    except (ValueError, OSError, EOFError) as error:
        raise InputError(path, f"not position, barcode, forward and reverse reads ({str(error).strip()})",
                         "give the file as mgatk wrote it") from None
    if (frame[["forward", "reverse"]] < 0).any(axis=None) or frame["barcode"].isna().any():
        raise InputError(path, "a line without a barcode, or with fewer than 0 reads",
                         "give the file as mgatk wrote it")
    if frame.duplicated(["pos", "barcode"]).any():
        raise InputError(path, "a cell has two lines for one position", "give the files of one run")
    return frame.sort_values("pos", kind="stable", ignore_index=True)


def _at(part: pd.DataFrame, pos: int) -> pd.DataFrame:
    first, last = part["pos"].searchsorted([pos, pos + 1])
    return part.iloc[first:last]


def _variants(part: pd.DataFrame, base: str, reference: dict[int, str]) -> pd.DataFrame:
    """Positions ``pos, ref, alt`` where the base is a variant that enough cells are sure of."""
    known = part["pos"].map(reference)
    other = part[known.isin(list(BASES)) & (known != base) & (part["forward"] + part["reverse"] > 0)]
    sure = (other["forward"] >= PER_STRAND) & (other["reverse"] >= PER_STRAND)
    enough = sure.groupby(other["pos"]).sum()
    pos = [p for p in enough.index[enough >= CELLS] if _agree(_at(other, p))]
    return pd.DataFrame({"pos": np.array(pos, np.int64), "ref": [reference[p] for p in pos], "alt": base})


def _agree(lines: pd.DataFrame) -> bool:
    """Whether forward and reverse reads rise together over cells; equal counts everywhere agree."""
    a, b = (lines[c].to_numpy(np.float64) for c in ("forward", "reverse"))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return bool(np.ptp(a) == np.ptp(b))
    return float(np.corrcoef(a, b)[0, 1]) >= CORRELATION


def _matrix(parts: dict[str, pd.DataFrame], pos: pd.Series, bases: pd.Series,
            shape: tuple[int, int]) -> sparse.csr_matrix:
    """Reads of each site's base, both strands: int32 CSR."""
    values, rows, columns = [], [], []
    for column, (where, base) in enumerate(zip(pos, bases, strict=True)):
        lines = _at(parts[base], where)
        values.append((lines["forward"] + lines["reverse"]).to_numpy(np.int32))
        rows.append(lines["cell"].to_numpy(np.int64))
        columns.append(np.full(len(lines), column))
    made = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    out = sparse.csr_matrix(made, shape=shape)
    out.eliminate_zeros()
    return out
