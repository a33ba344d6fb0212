"""FASTA files, plain or gzip-compressed, record by record."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .._errors import InputError
from .streams import open_bytes

_KNOWN = b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv.-*"
_UPPER = bytes.maketrans(b"acgtuUnryswkmbdhv.", b"ACGTTTNRYSWKMBDHVN")
_BLOCK = 1 << 22

__all__ = ["Paths", "Record", "as_paths", "read_fasta"]

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes
    ----------
    name
        First word of the header.
    note
        Rest of the header.
    sequence
        Bases in upper case, U as T.
    """

    name: str
    note: str
    sequence: bytes


def as_paths(given: Paths) -> list[str]:
    """One path or several as a list of texts."""
    return [os.fspath(p) for p in ([given] if isinstance(given, str | os.PathLike) else given)]


def read_fasta(path: str | os.PathLike[str]) -> Iterator[Record]:
    """Records of a file, in its order.

    Raises
    ------
    InputError
        Absent, empty or damaged file; text before the first header, a header without a name, a record without bases, a
        letter that is no base.
    """
    header: tuple[int, str] | None = None
    parts: list[bytes] = []
    for number, line in enumerate(_lines(path), 1):
        if line.startswith(b">"):
            if header is not None:
                yield _record(path, header, b"".join(parts))
            header, parts = (number, line[1:].decode("utf-8", "replace").strip()), []
        elif line.strip():
            parts.append(_bases(path, number, line, started=header is not None))
    if header is None:
        raise InputError(path, "no FASTA record in it", "give a FASTA file (lines '>name', then bases)")
    yield _record(path, header, b"".join(parts))


def _lines(path: str | os.PathLike[str]) -> Iterator[bytes]:
    with open_bytes(path) as stream:
        block, rest = bytearray(_BLOCK), b""
        while got := stream.readinto(memoryview(block)):
            *whole, rest = (rest + bytes(block[:got])).split(b"\n")
            yield from whole
        if rest:
            yield rest


def _bases(path: object, number: int, line: bytes, *, started: bool) -> bytes:
    bases = line.strip()
    if not started:
        raise InputError(path, f"found {bases[:20].decode('latin-1')!r} before the first '>' line",
                         "give a FASTA file (lines '>name', then bases)", place=f"line {number}")
    strange = bases.translate(None, _KNOWN)
    if strange:
        raise InputError(path, f"{chr(strange[0])!r} is no base", "give DNA letters", place=f"line {number}")
    return bases.translate(_UPPER, b"-*")


def _record(path: object, header: tuple[int, str], sequence: bytes) -> Record:
    number, text = header
    name, _, note = text.partition(" ") if " " in text else text.partition("\t")
    if not name:
        raise InputError(path, "a header without a name", "write '>name'", place=f"line {number}")
    if not sequence:
        raise InputError(path, f"record {name!r} has no bases", "give its sequence or remove it",
                         place=f"line {number}")
    return Record(name, note.strip(), sequence)
