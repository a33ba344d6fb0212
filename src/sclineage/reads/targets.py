"""Target sequences from FASTA files, with their segments, and the decoys."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .._errors import InputError
from ..kernels import kmers
from .annotation import CODING, Kind, Segment, beside, from_header, read_gtf
from .fasta import Paths, Record, as_paths, read_fasta

UNRESOLVED = "unresolved"
INTERGENIC = "intergenic"
_REFUSED = "+,=;:"

__all__ = ["INTERGENIC", "UNRESOLVED", "Target", "read_decoys", "read_targets"]


@dataclass(frozen=True, slots=True)
class Target:
    """One target sequence: a construct, a virus, a locus of a virus, or a lineage cassette.

    `junctions` are the boundaries between segments (bases before them), `masked` the intervals never counted.
    """

    name: str
    kind: Kind
    sequence: bytes
    segments: list[Segment]

    @property
    def junctions(self) -> list[int]:
        """Boundaries of the coding segments of a construct."""
        if self.kind != "car":
            return []
        ends = {p for s in self.segments if s.type in CODING for p in (s.start, s.stop)}
        return sorted(ends - {0, len(self.sequence)})

    @property
    def masked(self) -> list[tuple[int, int]]:
        """Promoters: they may hold the first exon of the human gene they were taken from."""
        return [(s.start, s.stop) for s in self.segments if s.promoter]


def read_targets(paths: list[str], gtfs: list[str] | None) -> tuple[list[Target], list[str]]:
    """Targets of FASTA files, sorted by name, and warnings; `gtfs` as `load_targets` has it.

    Raises
    ------
    InputError
        What `load_targets` says of files and names.
    """
    if gtfs is not None and len(gtfs) not in (1, len(paths)):
        raise InputError("gtf", f"found {len(gtfs)} files for {len(paths)} FASTA files", "give one for each, or one")
    records = [[(path, r) for r in read_fasta(path)] for path in paths]
    if gtfs is not None and len(gtfs) == 1:
        records = [[pair for group in records for pair in group]]
    _refuse_names([pair for group in records for pair in group])
    targets: list[Target] = []
    warnings: list[str] = []
    for n, group in enumerate(records):
        annotation = gtfs[n] if gtfs is not None else beside(paths[n])
        held, said = read_gtf(annotation, [r for _, r in group]) if annotation else ({}, [])
        warnings += said
        targets += [t for path, r in group for t in _loci(path, r, held.get(r.name, []))]
    return sorted(targets, key=lambda t: t.name), warnings


def _refuse_names(records: list[tuple[str, Record]]) -> None:
    seen: dict[str, str] = {}
    for path, record in records:
        if record.name in seen:
            raise InputError(path, f"the record {record.name!r} is there twice (also in {seen[record.name]})",
                             "give every target a name of its own", place=f"record {record.name!r}")
        if any(letter in record.name for letter in _REFUSED) or record.name == UNRESOLVED:
            raise InputError(path, f"{record.name!r} cannot be the name of a feature",
                             f"rename the record (none of {' '.join(_REFUSED)}, not {UNRESOLVED!r})",
                             place=f"record {record.name!r}")
        seen[record.name] = path


def _loci(path: str, record: Record, annotated: list[Segment]) -> Iterator[Target]:
    """The record as one target, or, for a virus with segments, one target for each locus."""
    kind, segments = from_header(record, path)
    segments = sorted({*segments, *annotated})
    if kind != "virus" or not segments:
        yield Target(record.name, kind, record.sequence, segments)
        return
    for name, sequence in _cut(record, segments):
        yield Target(f"{record.name}_{name}", kind, sequence, [])


def _cut(record: Record, segments: list[Segment]) -> Iterator[tuple[str, bytes]]:
    """Name and bases of each locus.

    A base belongs to the shortest gene over it (a gene across the ends of a circular genome is written as all of it).
    What lies apart is joined by an N, which no k-mer crosses.
    """
    names = [*dict.fromkeys(s.name for s in segments), INTERGENIC]
    owner = np.full(len(record.sequence), len(names) - 1)
    for s in sorted(segments, key=lambda s: (s.start - s.stop, s.start, s.name)):
        owner[s.start : s.stop] = names.index(s.name)
    edges = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), owner.size]
    parts: dict[int, list[bytes]] = {}
    for a, b in itertools.pairwise(edges):
        parts.setdefault(int(owner[a]), []).append(record.sequence[a:b])
    for locus in sorted(parts):
        joined = b"N".join(parts[locus])
        if len(joined) >= kmers.LEAST_BASES:
            yield names[locus], joined


def read_decoys(given: Paths | None, targets: list[Target]) -> Iterator[bytes]:
    """Sequences of the decoys; refuses one with the name of a target."""
    names = {t.name for t in targets}
    for path in [] if given is None else as_paths(given):
        for record in read_fasta(path):
            if record.name in names:
                raise InputError(path, f"the decoy {record.name!r} is one of the targets", "leave it out of the decoys",
                                 place=f"record {record.name!r}")
            yield record.sequence
