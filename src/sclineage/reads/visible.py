"""Which part of a construct's transcript a library can see, and whether something there is the construct's alone."""

from __future__ import annotations

import re

import numpy as np

from .annotation import CODING, Segment
from .chemistries import End

REACH = 600  # bases from its end of the transcript within which nearly all reads of a 3' or 5' library lie
UPSTREAM = 250  # bases before the coding part that a 5' read may start at
LEAST = 60  # unique bases there, under which hardly any read can be told
_SIGNAL = re.compile(rb"AATAAA|ATTAAA")
_THREE_PRIME = re.compile(r"wpre|ltr|poly.?a|3.?utr|utr.?3|u3", re.IGNORECASE)

__all__ = ["LEAST", "REACH", "coding", "reason", "window"]


def coding(segments: list[Segment], length: int) -> tuple[int, int]:
    """Where the coding part begins and ends; the whole record where no segment says so."""
    parts = [s for s in segments if s.type in CODING and not s.promoter and not _THREE_PRIME.search(s.name)]
    return (min(s.start for s in parts), max(s.stop for s in parts)) if parts else (0, length)


def window(sequence: bytes, segments: list[Segment], end: End) -> tuple[int, int] | None:
    """Bases (start, stop) that a library of this end can see; None where the reference does not reach there.

    A 5' library sees the start of the transcript: the coding part's first `REACH` bases and a little before. A 3'
    library sees the last `REACH` bases before the poly-A signal behind the coding part; without a signal, the end of
    the record where a segment there is named as a 3' element (WPRE, LTR, poly-A, 3' UTR).
    """
    start, stop = coding(segments, len(sequence))
    if end == "5p":
        return max(0, start - UPSTREAM), min(len(sequence), start + REACH)
    if end == "unknown":
        return 0, len(sequence)
    signal = _SIGNAL.search(sequence, stop if stop < len(sequence) else max(0, len(sequence) - REACH // 6))
    if signal:
        return max(0, signal.end() - REACH), min(len(sequence), signal.end() + 30)
    if any(_THREE_PRIME.search(s.name) and s.stop > stop for s in segments):
        return max(0, len(sequence) - REACH), len(sequence)
    return None


def reason(name: str, seen: tuple[int, int] | None, unique: np.ndarray, end: End) -> str:
    """Why the construct cannot be seen in this library, or an empty text.

    Parameters
    ----------
    seen
        From `window`.
    unique
        bool (bases,): bases of the record that lie in a unique k-mer.
    """
    side = "last" if end == "3p" else "first"
    add = "WPRE, LTR or 3' UTR up to the poly-A signal" if end == "3p" else "leader and binder"
    if seen is None:
        return (f"{name}: a {end[0]}' library sees the {side} {REACH} bases of the transcript, and the reference ends "
                f"before them; add the vector's {add} (segment_not_seen_by_chemistry)")
    bases = int(unique[seen[0] : seen[1]].sum())
    if bases < LEAST:
        return (f"{name}: of the bases {seen[0] + 1}-{seen[1]} that a {end[0]}' library sees, {bases} are its own "
                f"alone; add the vector's {add} (segment_not_seen_by_chemistry)")
    return ""
