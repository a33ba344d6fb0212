"""Chemistries: where barcode and UMI lie in a read pair, and which whitelist and which end of the transcript it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .._errors import InputError, nearest

End = Literal["3p", "5p", "unknown"]
_SPEC = re.compile(r"r(?P<read>[12]):(?P<parts>(?:bc|umi|skip)\d+(?:,(?:bc|umi|skip)\d+)*)")
LEAST_ON_LIST = 0.3  # a right list and place give more than half even in a poor run, a wrong one a few per cent

__all__ = ["CHEMISTRIES", "Chemistry", "Segment", "chemistry", "refuse_wrong_list"]


@dataclass(frozen=True, slots=True)
class Segment:
    """Bases `start` to `start + length` of a read."""

    start: int
    length: int

    @property
    def stop(self) -> int:
        """First base behind it."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Chemistry:
    """Layout of a library.

    Attributes
    ----------
    name
        Name or spec it was asked for by.
    read
        Read (1 or 2) that holds barcode and UMI; the other one holds the transcript.
    barcode, umi
        Their places.
    whitelist
        Stored name of its list, or empty: then one must be given.
    end
        End of the transcript that is sequenced.
    """

    name: str
    read: int
    barcode: Segment
    umi: Segment
    whitelist: str
    end: End

    @property
    def bases(self) -> int:
        """Bases that the barcode read must have."""
        return max(self.barcode.stop, self.umi.stop)


def _tenx(name: str, umi: int, whitelist: str, end: End) -> Chemistry:
    return Chemistry(name, 1, Segment(0, 16), Segment(16, umi), whitelist, end)


CHEMISTRIES = {c.name: c for c in (
    _tenx("10x-3p-v2", 10, "737K-august-2016", "3p"),
    _tenx("10x-3p-v3", 12, "3M-february-2018", "3p"),
    _tenx("10x-3p-v4", 12, "3M-3pgex-may-2023", "3p"),
    _tenx("10x-5p-v2", 10, "737K-august-2016", "5p"),
    _tenx("10x-5p-v3", 12, "3M-5pgex-jan-2023", "5p"),
)}
_ALSO = {"10x-3p-v3.1": "10x-3p-v3", "10x-5p-v1": "10x-5p-v2"}


def chemistry(name: str) -> Chemistry:
    """Chemistry by name or spec.

    Parameters
    ----------
    name
        ``10x-3p-v2``, ``10x-3p-v3`` (also ``10x-3p-v3.1``), ``10x-3p-v4``, ``10x-5p-v2`` (also ``10x-5p-v1``),
        ``10x-5p-v3``, or a spec: the read and its parts in order, ``r1:bc16,umi12``; ``skipN`` leaves N bases out.

    Raises
    ------
    InputError
        An unknown name, a spec without exactly one ``bc`` and one ``umi``, or one of more than 32 bases.
    """
    known = CHEMISTRIES.get(_ALSO.get(name, name))
    if known is not None:
        return known
    found = _SPEC.fullmatch(name.replace(" ", "").lower())
    if not found:
        raise InputError("chemistry", f"found {name!r}",
                         f"give one of {', '.join(CHEMISTRIES)} or a spec such as r1:bc16,umi12; "
                         + nearest(name, [*CHEMISTRIES, *_ALSO]))
    return _from_spec(name, int(found["read"]), found["parts"].split(","))


def _from_spec(name: str, read: int, parts: list[str]) -> Chemistry:
    places: dict[str, list[Segment]] = {"bc": [], "umi": [], "skip": []}
    start = 0
    for part in parts:
        kind, length = re.sub(r"\d", "", part), int(re.sub(r"\D", "", part))
        places[kind].append(Segment(start, length))
        start += length
    wrong = [k for k in ("bc", "umi") if len(places[k]) != 1 or not 1 <= places[k][0].length <= 32]
    if wrong:
        raise InputError("chemistry", f"found {name!r}",
                         f"give exactly one {wrong[0]} of 1 to 32 bases, such as r1:bc16,umi12")
    return Chemistry(name, read, places["bc"][0], places["umi"][0], "", "unknown")


def refuse_wrong_list(name: Chemistry, listed: str, on_list: float, others: dict[str, float], reads: int) -> None:
    """Refuse a chemistry whose barcodes are not on its list.

    Parameters
    ----------
    listed
        Name or file of the whitelist used.
    on_list
        Share of the barcodes looked at that are on it exactly.
    others
        Shares under other readings (another list, place or strand), for the message.
    reads
        How many were looked at.

    Raises
    ------
    InputError
        `on_list` is under `LEAST_ON_LIST`.
    """
    if reads == 0 or on_list >= LEAST_ON_LIST:
        return
    seen = [f"{k}: {v:.1%}" for k, v in sorted(others.items(), key=lambda kv: -kv[1])]
    better = f"; other readings: {', '.join(seen)}" if seen else ""
    raise InputError(listed, f"only {on_list:.1%} of the first {reads} barcodes of chemistry {name.name} are on it",
                     f"check chemistry and whitelist{better}")


def reverse_complement(codes: np.ndarray, length: int) -> np.ndarray:
    """Reverse complement of packed sequences, uint64."""
    out = np.zeros_like(codes)
    for shift in range(0, 2 * length, 2):
        out = (out << np.uint64(2)) | ((codes >> np.uint64(shift)) & np.uint64(3) ^ np.uint64(3))
    return out
