"""Junctions of immunoSEQ exports, which give a fixed window of nucleotides that holds the junction but is not it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .codons import translate

WINDOW = ("rearrangement", "nucleotide")
AMINO = ("amino_acid", "aminoAcid", "cdr3_amino_acid")
START = ("v_index", "vIndex")
LENGTH = ("cdr3_length", "cdr3Length")


def is_immunoseq(records: pd.DataFrame) -> bool:
    """Whether the columns are those of an immunoSEQ export (v1 to v3)."""
    return any(c in records for c in WINDOW) and any(c in records for c in ("v_resolved", "vGeneName", *AMINO))


def immunoseq_junctions(records: pd.DataFrame) -> np.ndarray:
    """Junction (Cys codon to Phe/Trp codon) of every row, ``""`` where it cannot be cut out.

    By ``v_index`` and ``cdr3_length`` where given, which out-of-frame rearrangements need; else the one place in the
    window whose translation is the amino-acid CDR3.
    """
    window = _texts(records, WINDOW)
    amino = _texts(records, AMINO)
    start, length = (pd.to_numeric(_column(records, names), errors="coerce").to_numpy(np.float64)
                     for names in (START, LENGTH))
    return np.array([_cut(w, a, s, n) for w, a, s, n in zip(window, amino, start, length, strict=True)], dtype=object)


def in_frame(records: pd.DataFrame) -> np.ndarray:
    """bool: whether each rearrangement is productive, by ``frame_type`` or else by its amino-acid CDR3."""
    frame = next((records[c] for c in ("frame_type", "sequenceStatus") if c in records), None)
    if frame is not None:
        return frame.astype(str).str.lower().str.startswith("in").to_numpy(bool)
    amino = pd.Series(_texts(records, AMINO), dtype=object)
    return ((amino != "") & ~amino.str.contains("*", regex=False)).to_numpy(bool)


def _column(records: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    return next((records[c] for c in names if c in records), pd.Series(np.nan, index=records.index))


def _texts(records: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    texts = _column(records, names).astype(object).map(lambda x: "" if x is None or x != x else str(x).strip().upper())
    return ["" if t in ("NA", "NONE", "UNRESOLVED", "NULL") else t for t in texts]


def _cut(window: str, amino: str, start: float, length: float) -> str:
    if start >= 0 and length > 0:
        return window[int(start):int(start + length)]
    if not amino:
        return ""
    places = [3 * at + frame for frame in range(3)
              for at in _places(translate(window[frame:len(window) - (len(window) - frame) % 3]), amino)]
    return window[places[0]:places[0] + 3 * len(amino)] if len(places) == 1 else ""


def _places(protein: str, amino: str) -> list[int]:
    return [k for k in range(len(protein) - len(amino) + 1) if protein.startswith(amino, k)]
