"""Where read pairs come from: FASTQ lanes, interleaved FASTQ, or a 10x BAM; all as pairs of batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from . import parse
from .chemistries import Chemistry
from .fastq import BATCH, Batch, FastqReader, read_pairs
from .streams import open_blocks, require

__all__ = ["FastqSource", "Pair", "gather", "open_fastq"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Reads of one batch.

    Attributes
    ----------
    barcode
        The reads with barcode and UMI, at the places that the chemistry says.
    cdna
        The reads of the transcript.
    """

    barcode: Batch
    cdna: Batch


@dataclass(frozen=True, slots=True)
class FastqSource:
    """FASTQ lanes; without `twos` the records of each file are R1 and R2 in turn."""

    chemistry: Chemistry
    ones: tuple[Path, ...]
    twos: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, R1 first."""
        return self.ones + self.twos

    def __iter__(self) -> Iterator[Pair]:
        pairs = read_pairs(self.ones, self.twos) if self.twos else _interleaved(self.ones)
        for one, two in pairs:
            yield Pair(one, two) if self.chemistry.read == 1 else Pair(two, one)


def open_fastq(chemistry: Chemistry, ones: Sequence[str | os.PathLike[str]],
               twos: Sequence[str | os.PathLike[str]]) -> FastqSource:
    """FASTQ source; every file is looked at before the first read.

    Raises
    ------
    InputError
        No file, another number of R1 and R2 files, a file twice, absent or empty.
    """
    if not ones or (twos and len(ones) != len(twos)):
        raise InputError("FASTQ files", f"{len(ones)} of R1 and {len(twos)} of R2",
                         "give both reads of every lane, in the same order (R1 alone: interleaved files)")
    paths = [require(p) for p in (*ones, *twos)]
    resolved = [p.resolve() for p in paths]
    for place, path in enumerate(resolved):
        if path in resolved[:place]:
            raise InputError(paths[place], "the file is given twice", "give each file once")
    return FastqSource(chemistry, tuple(paths[: len(ones)]), tuple(paths[len(ones) :]))


def _interleaved(paths: Sequence[Path]) -> Iterator[tuple[Batch, Batch]]:
    for path in paths:
        with open_blocks(path) as blocks:
            reader = FastqReader(blocks)
            while len(got := reader.read(2 * BATCH, step=2)):
                one, two = _every_other(got, 0), _every_other(got, 1)
                row = parse.first_stranger(one.buffer, one.name[: len(two)], two.buffer, two.name)
                if row >= 0 or len(one) != len(two):
                    place = reader.records - len(got) + 2 * (row if row >= 0 else len(two)) + 1
                    raise InputError(path, "the record has no mate behind it",
                                     "give --r1 and --r2, or one file with R1 and R2 in turn", place=f"record {place}")
                yield one, two
            if reader.records == 0:
                raise InputError(path, "no record in the file", "copy or download it again")


def _every_other(batch: Batch, first: int) -> Batch:
    fields: dict[str, Any] = {k: np.ascontiguousarray(getattr(batch, k)[first::2])
                              for k in ("name", "start", "length", "quality")}
    return Batch(batch.buffer, **fields)


def gather(batch: Batch, rows: np.ndarray | None = None, *, skip: np.ndarray | None = None,
           ) -> tuple[np.ndarray, np.ndarray]:
    """Bases of reads one behind the other.

    Parameters
    ----------
    rows
        Which reads; None for all.
    skip
        int32 (n,): bases to leave out at the beginning of each of them.

    Returns
    -------
    bases uint8, and offsets int64 (n + 1,).
    """
    start, length = (batch.start, batch.length) if rows is None else (batch.start[rows], batch.length[rows])
    if skip is not None:
        start, length = start + skip, np.maximum(length - skip, 0).astype(np.int32)
    offsets = np.zeros(start.size + 1, np.int64)
    np.cumsum(length, out=offsets[1:])
    bases = np.empty(int(offsets[-1]), np.uint8)
    parse.copy_reads(batch.buffer, start, offsets, bases)
    return bases, offsets
