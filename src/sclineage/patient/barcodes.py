"""Barcodes of two tables, joined on their bases: ``AAAC``, ``AAAC-1`` and ``S1_AAAC-1`` are one cell of a sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .._errors import InputError

WHITELIST = 737_280  # smallest 10x list in use: the larger the chance overlap, the sooner strangers are refused
_BASES = r"(?P<bases>[ACGTN]{8,}(?:[-_.]?[ACGTN]{8,})*)(?:-(?P<well>\d+))?"


def _parts(barcodes: Sequence[str] | np.ndarray) -> pd.DataFrame:
    """Bases and GEM-well number of each barcode; a barcode without bases is its own key."""
    text = pd.Series(np.asarray(barcodes, dtype=object), dtype=object).astype(str)
    parts = text.str.extract(_BASES).astype(object)
    bases = parts["bases"].str.replace(r"[-_.]", "", regex=True)
    return pd.DataFrame({"text": text, "bases": bases.where(bases.notna(), text),
                         "well": parts["well"].where(parts["well"].notna(), "1")})


def keys(*tables: Sequence[str] | np.ndarray) -> list[pd.Index]:
    """Join keys of the barcodes of several tables.

    The bases alone when every table comes from one GEM well each, bases and well number (1 where missing) when a table
    holds several, and the spelling as it stands when bases do not tell the first table's cells apart.
    """
    parts = [_parts(t) for t in tables]
    several = any(len(set(p["well"])) > 1 for p in parts)
    found = [pd.Index(p["bases"] + "-" + p["well"] if several else p["bases"]) for p in parts]
    if found[0].has_duplicates:
        return [pd.Index(p["text"]) for p in parts]
    return found


def match(cells: Sequence[str] | np.ndarray, others: Sequence[str] | np.ndarray) -> np.ndarray:
    """Row of `cells` for each barcode of `others`, int64, -1 where it is not a cell.

    `cells` must hold each cell once; `others` may repeat.
    """
    if len(cells) == 0 or len(others) == 0:
        return np.full(len(others), -1, dtype=np.int64)
    known, asked = keys(cells, others)
    return known.get_indexer(asked).astype(np.int64)


def require_unique(file: object, barcodes: Sequence[str] | np.ndarray) -> None:
    """Raise `InputError` when a barcode appears twice, also under two spellings of one GEM well."""
    text = pd.Index(np.asarray(barcodes, dtype=object).astype(str))
    parts = _parts(text)
    spelled_alike = parts.duplicated(["bases", "well"]) & (parts["text"].str.fullmatch(_BASES))
    twice = text[text.duplicated() | spelled_alike.to_numpy(dtype=bool)]
    if len(twice):
        raise InputError(file, f"barcode {twice[0]!r} appears more than once ({len(twice)} repeats)",
                         "give one matrix per sample, with each barcode once")


def require_overlap(cells: np.ndarray, others: np.ndarray, *, table: object, cells_from: object,
                    partial: bool) -> np.ndarray:
    """Match a table's barcodes to the cells and refuse tables of another library.

    Parameters
    ----------
    cells
        Barcodes of the cells.
    others
        Distinct barcodes of the table.
    table, cells_from
        Files, for the message.
    partial
        Whether the table may rightly hold many barcodes that are not cells: molecule tables (empty droplets), and any
        table of a GEM well of which the sample is a part. Then only an overlap no larger than chance is refused;
        otherwise also one of less than 10 % of 20 or more barcodes.

    Returns
    -------
    `match` of the barcodes.

    Raises
    ------
    InputError
        No barcode meets, or too few for the two to be one library.
    """
    rows = match(cells, others)
    met = int((rows >= 0).sum())
    by_chance = len(cells) * len(others) / WHITELIST
    strangers = met <= by_chance + 3 * by_chance**0.5 if by_chance >= 1 else met == 0
    rare = not partial and len(others) >= 20 and met < 0.1 * len(others)
    if met == 0 or strangers or rare:
        raise InputError(table, f"{met} of its {len(others)} barcodes are among the {len(cells)} cells of {cells_from}",
                         "check that both files belong to the same sample and GEM well")
    return rows
