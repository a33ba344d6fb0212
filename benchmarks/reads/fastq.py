"""FASTQ.gz of R1 to barcode ranks and packed UMIs, beside inflating alone and beside dnaio's record loop.

Inflating alone is the floor that nothing can beat with one decoder; one thread inflates, one works (two cores). The
same work on plain text shows what the working thread could do if it never waited: the whole cannot be faster than the
slower of the two.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._runner import Case, Contender
from benchmarks.kernels.barcodes import library
from sclineage.kernels.whitelists import Whitelist, whitelist
from sclineage.reads.chemistries import chemistry
from sclineage.reads.fastq import read_single
from sclineage.reads.library import Library
from sclineage.reads.streams import open_bytes

RECORD = 100  # bytes of one record, all alike


@cache
def fastq(n: int, *, tiny: bool) -> tuple[Path, np.ndarray]:
    """A gzip file of `n` records of 28 bases (kept in the temporary folder), and the list."""
    reads, quality, codes = library("v2-like", n, tiny=tiny)
    path = Path(tempfile.gettempdir()) / f"sclineage-bench-{n}-{tiny}.fastq.gz"
    if not path.exists():
        rng = np.random.default_rng(1)
        rows = np.full((n, RECORD), ord("x"), np.uint8)
        tail = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, (n, 12))]
        rows[:, 0] = ord("@")
        digits = np.char.zfill(np.arange(n).astype("U9"), 9)
        rows[:, 1:10] = np.frombuffer("".join(digits).encode(), np.uint8).reshape(n, 9)
        rows[:, 39], rows[:, 68], rows[:, 69], rows[:, 70], rows[:, 99] = 10, 10, ord("+"), 10, 10
        rows[:, 40:56], rows[:, 56:68] = reads, tail
        rows[:, 71:87], rows[:, 87:99] = quality, ord("F")
        part = path.with_suffix(".part")
        part.write_bytes(gzip.compress(rows.tobytes(), 4))
        part.replace(path)
    return path, codes


def _inflate(ready: tuple[Path, Whitelist]) -> int:
    block, total = bytearray(1 << 22), 0
    with open_bytes(ready[0]) as stream:
        while got := stream.readinto(memoryview(block)):
            total += got
    return total // RECORD


def _ours(ready: tuple[Path, Whitelist]) -> int:
    layout, n = chemistry("r1:bc16,umi12"), 0
    with Library(layout, ready[1]) as met:
        for batch in read_single([ready[0]]):
            met.add(batch)
            batch.pack(layout.umi.start, layout.umi.length)
            n += len(batch)
    return n


def _plain(ready: tuple[Path, Whitelist]) -> tuple[Path, Whitelist]:
    """The same text, not compressed, beside the gzip file."""
    path = ready[0].with_suffix("")
    if not path.exists():
        with gzip.open(ready[0], "rb") as packed, path.with_suffix(".part").open("wb") as to:
            shutil.copyfileobj(packed, to, 1 << 22)
        path.with_suffix(".part").replace(path)
    return path, ready[1]


def _dnaio(ready: tuple[Path, Whitelist]) -> int:
    import dnaio

    n = 0
    with dnaio.open(ready[0]) as reader:
        for record in reader:
            n += len(record.sequence) == 28
    return n


def _outputs(result: Any) -> Mapping[str, np.ndarray]:
    return {"reads": np.array([result])}


def cases(*, tiny: bool) -> list[Case]:
    """One case: reads through the whole of it."""
    n = 20_000 if tiny else 4_000_000

    def ready(inputs: tuple[Path, np.ndarray]) -> tuple[Path, Whitelist]:
        return inputs[0], whitelist(inputs[1], 16)

    return [Case("FASTQ.gz R1 to barcodes and UMIs", "reads", n, lambda: fastq(n, tiny=tiny),
                 [Contender("sclineage (inflate, parse, pack, look up)", _ours, ready),
                  Contender("igzip, inflate only", _inflate, ready),
                  Contender("sclineage, the work alone (plain text)", _ours, lambda inputs: _plain(ready(inputs))),
                  Contender("dnaio, loop over records", _dnaio, ready)],
                 _outputs)]
