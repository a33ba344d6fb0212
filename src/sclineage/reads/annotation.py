"""Named segments of a target, from its FASTA header or from a GTF or GFF3 file.

In the header, after the name: ``>axicel kind=car segments=leader:1-66,scFv:67-809,CD28:810-1131,CD3z:1132-1470``.
Places are counted from 1 and include both ends, as in GTF. ``kind`` is ``car`` (default), ``virus`` or ``lineage``
(default for a record that holds six or more N in a row). In GTF or GFF3 the first column is the name of the FASTA
record (any name where both files hold one only); a segment's name is the first of the attributes ``segment``,
``exon_id``, ``gene_name``, ``gene_id``, ``gene``, ``Name``, ``locus_tag``. Rows of types that are no part of a
transcript (primers, origins, whole transcripts) are left out; of a GFF3 file only the genes are taken.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .._errors import InputError, nearest
from .fasta import Record
from .streams import open_bytes

Kind = Literal["car", "virus", "lineage"]
KINDS = ("car", "virus", "lineage")
LEFT_OUT = {"primer", "primer_bind", "origin", "rep_origin", "transcript", "mrna", "region", "source", "start_codon",
            "stop_codon", "terminator", "landmark", "sequence_feature"}
PROMOTER = ("promoter", "enhancer")  # not "regulatory": the WPRE is filed under that, and is transcribed
CODING = {"exon", "cds", "orf", "segment"}
_NAMES = ("segment", "exon_id", "gene_name", "gene_id", "gene", "Name", "locus_tag")
_SEGMENT = re.compile(r"([^\s:,=]+):(\d+)-(\d+)")
_FIX = "write kind=car|virus|lineage and segments=NAME:START-STOP,... after the name"

__all__ = ["CODING", "KINDS", "PROMOTER", "Kind", "Segment", "beside", "from_header", "read_gtf"]


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """Bases `start` to `stop` (0-based, `stop` behind the last one) of a target, and the type of the row."""

    start: int
    stop: int
    name: str
    type: str

    @property
    def promoter(self) -> bool:
        """Whether it is not known to be transcribed, and may hold the first exon of a human gene."""
        return any(word in text for word in PROMOTER for text in (self.type, self.name.lower()))


def from_header(record: Record, path: object) -> tuple[Kind, list[Segment]]:
    """Kind and segments that a FASTA header names.

    Raises
    ------
    InputError
        An unknown kind, segments that cannot be read or lie outside the record.
    """
    words = dict(w.split("=", 1) for w in record.note.split() if w.startswith(("kind=", "segments=")))
    kind = words.get("kind", "lineage" if b"N" * 6 in record.sequence else "car")
    if kind not in KINDS:
        raise InputError(path, f"kind={kind}", _FIX, place=f"record {record.name!r}")
    segments = []
    for text in filter(None, words.get("segments", "").split(",")):
        found = _SEGMENT.fullmatch(text)
        if not found:
            raise InputError(path, f"segment {text!r}", _FIX, place=f"record {record.name!r}")
        segments.append(Segment(int(found[2]) - 1, int(found[3]), found[1], "segment"))
        _within(segments[-1], record, path, f"record {record.name!r}")
    return kind, sorted(segments)  # type: ignore[return-value]


def _within(segment: Segment, record: Record, path: object, place: str) -> None:
    if not 0 <= segment.start < segment.stop <= len(record.sequence):
        raise InputError(path, f"segment {segment.name!r} at {segment.start + 1}-{segment.stop}",
                         f"{record.name!r} has bases 1 to {len(record.sequence)}", place=place)


def beside(fasta: str | os.PathLike[str]) -> Path | None:
    """The GTF or GFF3 file of the same name beside a FASTA file, if there is one."""
    path = Path(fasta)
    stem = re.sub(r"\.(fasta|fa|fna)(\.gz)?$", "", path.name)
    for suffix in (".gtf", ".gtf.gz", ".gff3", ".gff3.gz"):
        if (path.parent / (stem + suffix)).is_file():
            return path.parent / (stem + suffix)
    return None


def read_gtf(path: str | os.PathLike[str], records: list[Record]) -> tuple[dict[str, list[Segment]], list[str]]:
    """Segments of the records of a FASTA file, and warnings.

    Raises
    ------
    InputError
        A row without nine columns or with places that are no numbers or outside the record, a name that no record has,
        no row at all.
    """
    rows = [(n, fields) for n, fields in _rows(path) if fields[2].lower() not in LEFT_OUT]
    genes = any(fields[2] == "gene" for _, fields in rows) and not any('"' in fields[8] for _, fields in rows)
    rows = [(n, f) for n, f in rows if f[2] == "gene"] if genes else rows
    names = {f[0] for _, f in rows}
    known = {r.name: r for r in records}
    if len(names) == len(records) == 1:
        known |= {names.pop(): records[0]}
    out: dict[str, set[Segment]] = {}
    reversed_rows = []
    for number, fields in rows:
        record = known.get(fields[0])
        if record is None:
            raise InputError(path, f"the FASTA file has no record {fields[0]!r}",
                             f"give rows and record one name; {nearest(fields[0], [r.name for r in records])}",
                             place=f"line {number}")
        segment = _segment(path, number, fields)
        if segment.start >= segment.stop:
            reversed_rows.append(number)
            continue
        _within(segment, record, path, f"line {number}")
        out.setdefault(record.name, set()).add(segment)
    if not out:
        raise InputError(path, "no segment in it", "give GTF rows with start and end, or leave the file out")
    said = [f"{os.fspath(path)}: {len(reversed_rows)} row(s) that start after their end were left out (first: line "
            f"{reversed_rows[0]})"] if reversed_rows else []
    return {name: sorted(found) for name, found in out.items()}, said


def _rows(path: str | os.PathLike[str]) -> list[tuple[int, list[str]]]:
    with open_bytes(path) as stream:
        block, text = bytearray(1 << 20), b""
        while got := stream.readinto(memoryview(block)):
            text += bytes(block[:got])
    rows = []
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        if line.startswith("##FASTA"):
            break
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) < 9 or not (fields[3].strip().isdigit() and fields[4].strip().isdigit()):
            raise InputError(path, "a row that is no GTF row", "give nine tab-separated columns with start and end",
                             place=f"line {number}")
        rows.append((number, fields))
    return rows


def _segment(path: object, number: int, fields: list[str]) -> Segment:
    pairs = re.findall(r'\s*([^\s;="]+)[\s=]+("[^"]*"|[^;]*)', fields[8])
    attributes = {key: value.strip().strip('"') for key, value in pairs}
    name = next((attributes[n] for n in _NAMES if attributes.get(n)), "")
    if not name:
        raise InputError(path, "a row without a name", f"give one of the attributes {', '.join(_NAMES[:4])}",
                         place=f"line {number}")
    return Segment(int(fields[3]) - 1, int(fields[4]), re.sub(r"[\s:,;=+]+", "_", name), fields[2].lower())
