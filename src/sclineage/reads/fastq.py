"""FASTQ files as batches of places in a block of text: bounded memory, no copy of the reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .._errors import InputError
from . import parse
from .streams import Blocks, open_blocks

BATCH = 1 << 16  # records
LONGEST = 1000  # bases; longer reads are not of the short-read kits this reads

__all__ = ["BATCH", "LONGEST", "Batch", "FastqReader", "read_pairs", "read_single"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one file; they are overwritten when the next batch is read.

    Attributes
    ----------
    buffer
        uint8: the text.
    name, start, quality
        int64 (n,): where name (behind the @), bases and qualities begin.
    length
        int32 (n,): bases.
    packed
        Pieces packed already, by first base and bases: those that were asked for of an earlier batch.
    asked
        Pieces that were ever asked for, kept by the reader.
    """

    buffer: np.ndarray
    name: np.ndarray
    start: np.ndarray
    length: np.ndarray
    quality: np.ndarray
    packed: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    asked: set[tuple[int, int]] = field(default_factory=set)

    def __len__(self) -> int:
        return self.start.size

    def take(self, rows: np.ndarray) -> Batch:
        """Some of the records."""
        return Batch(self.buffer, self.name[rows], self.start[rows], self.length[rows], self.quality[rows])

    def part(self, first: int, last: int) -> Batch:
        """Records first ... last - 1, without a copy."""
        at = slice(first, last)
        packed = {k: (codes[at], n_at[at]) for k, (codes, n_at) in self.packed.items()}
        return Batch(self.buffer, self.name[at], self.start[at], self.length[at], self.quality[at], packed, self.asked)

    def pack(self, first: int, bases: int) -> tuple[np.ndarray, np.ndarray]:
        """Packed bases of a piece of each read, and n_at as `kernels.barcodes` has it (-4: the read is too short)."""
        self.asked.add((first, bases))
        if (ready := self.packed.pop((first, bases), None)) is not None:
            return ready
        codes, n_at = np.empty(len(self), np.uint64), np.empty(len(self), np.int8)
        parse.pack_pieces(self.buffer, self.start, self.length, first, bases, codes, n_at)
        return codes, n_at

    def qualities(self, rows: np.ndarray, first: int, bases: int) -> np.ndarray:
        """Quality bytes of a piece of the reads listed, uint8 (rows, bases); they must be long enough."""
        out = np.empty((rows.size, bases), np.uint8)
        parse.copy_pieces(self.buffer, self.quality, rows, first, out)
        return out

    def lowest_quality(self, first: int, bases: int) -> np.ndarray:
        """Lowest quality byte of a piece of each read, uint8 (n,); 0 where the read is too short."""
        out = np.empty(len(self), np.uint8)
        parse.lowest_quality(self.buffer, self.quality, self.length, first, bases, out)
        return out


class FastqReader:
    """Reads batches from the blocks of a file.

    Attributes
    ----------
    records
        Records read so far.
    """

    def __init__(self, blocks: Blocks) -> None:
        self.records = 0
        self._blocks = blocks
        self._buffer = np.empty(0, np.uint8)
        self._from = self._size = 0
        self._ended = False
        self._asked: set[tuple[int, int]] = set()

    def read(self, most: int = BATCH, *, step: int = 1) -> Batch:
        """Next records: at most `most`, fewer where a block ends, none only at the end of the file.

        Parameters
        ----------
        step
            Their number is a multiple of it unless the file ends.

        Raises
        ------
        InputError
            The text is no FASTQ, a record is cut off, or a read has more than 1,000 bases.
        """
        places, length = np.empty((3, most), np.int64), np.empty(most, np.int32)
        pieces = np.array(sorted(self._asked), np.int64).reshape(-1, 2)
        codes, n_at = np.empty((len(pieces), most), np.uint64), np.empty((len(pieces), most), np.int8)
        n = 0
        while n == 0:
            self._from, n, why = parse.parse_records(self._buffer, self._from, self._size, LONGEST, places[0],
                                                     places[1], length, places[2], pieces, codes, n_at)
            if why not in (parse.FULL, parse.NEED_MORE):
                self._refuse(why, n)
            if n % step and not self._ended:
                self._from = int(places[0, n - n % step]) - 1
                n -= n % step
            if n == 0:
                if self._ended:
                    self._refuse_rest(n)
                    break
                self._fill()
        self.records += n
        packed = {(int(a), int(b)): (codes[k, :n], n_at[k, :n]) for k, (a, b) in enumerate(pieces)}
        return Batch(self._buffer, places[0, :n], places[1, :n], length[:n], places[2, :n], packed, self._asked)

    def _fill(self) -> None:
        rest = self._size - self._from
        self._buffer, self._from, self._size = self._blocks.following(self._buffer[self._from : self._size])
        self._ended = self._size - self._from == rest
        if self._ended and rest and self._buffer[self._size - 1] != 10:
            self._buffer[self._size] = 10
            self._size += 1

    def _refuse_rest(self, n: int) -> None:
        rest = self._buffer[self._from : self._size].tobytes().strip()
        if rest:
            raise InputError(self._blocks.path, "the last record is cut off", "copy or download the file again",
                             place=f"record {self.records + n + 1}")
        self._from = self._size

    def _refuse(self, why: int, n: int) -> None:
        found, fix = {
            parse.NO_AT: ("a record does not begin with '@'", "give a FASTQ file"),
            parse.NO_PLUS: ("no '+' line behind the bases", "give a FASTQ file with one line of bases per record"),
            parse.LENGTHS: ("bases and qualities differ in length", "copy or download the file again"),
            parse.TOO_LONG: (f"a read of more than {LONGEST} bases", "give short reads; long reads are not supported"),
        }[why]
        raise InputError(self._blocks.path, found, fix, place=f"record {self.records + n + 1}")


def read_single(paths: Sequence[str | os.PathLike[str]], *, batch: int = BATCH) -> Iterator[Batch]:
    """Batches of one or more FASTQ files, one file after another, inflated in a thread ahead of the reader."""
    for path in paths:
        with open_blocks(path) as blocks:
            reader = FastqReader(blocks)
            while len(got := reader.read(batch)):
                yield got
            if reader.records == 0:
                raise InputError(path, "no record in the file", "copy or download it again")


def read_pairs(ones: Sequence[str | os.PathLike[str]], twos: Sequence[str | os.PathLike[str]], *, batch: int = BATCH,
               ) -> Iterator[tuple[Batch, Batch]]:
    """Batches of R1 and R2 in step.

    Parameters
    ----------
    ones, twos
        Files of both reads, lane by lane in the same order.

    Raises
    ------
    InputError
        Another number of R1 and R2 files, one file with more records than its mate, or reads with different names.
    """
    if len(ones) != len(twos) or not ones:
        raise InputError("FASTQ files", f"{len(ones)} of R1 and {len(twos)} of R2",
                         "give both reads of every lane, in the same order")
    for one, two in zip(map(Path, ones), map(Path, twos), strict=True):
        with open_blocks(one) as first, open_blocks(two) as second:
            yield from _in_step((one, two), (FastqReader(first), FastqReader(second)), batch)


def _in_step(paths: tuple[Path, Path], readers: tuple[FastqReader, FastqReader], batch: int,
             ) -> Iterator[tuple[Batch, Batch]]:
    """Batches of two files; their blocks end at different records, so each pair goes as far as the nearer end."""
    done = 0
    a, b = (r.read(batch) for r in readers)
    while n := min(len(a), len(b)):
        one, two = a.part(0, n), b.part(0, n)
        row = parse.first_stranger(one.buffer, one.name, two.buffer, two.name)
        if row >= 0:
            raise InputError(paths[0], f"the read has another name in {paths[1]}",
                             "give the two files of one lane, in the same order", place=f"record {done + row + 1}")
        yield one, two
        done += n
        a, b = (x.part(n, len(x)) if len(x) > n else r.read(batch) for x, r in zip((a, b), readers, strict=True))
    if len(a) != len(b):
        more, fewer = paths if len(a) > len(b) else paths[::-1]
        raise InputError(more, f"has more records than {fewer} ({done})", "give the two files of one lane, whole")
    if not done:
        raise InputError(paths[0], "no record in the file", "copy or download it again")
