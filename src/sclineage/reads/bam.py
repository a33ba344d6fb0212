"""10x BAM files as read pairs: raw barcode and UMI tags (CR, CY, UR, UY), or those already corrected (CB, UB)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError, MissingDependencyError
from ..kernels.whitelists import Whitelist
from .chemistries import Chemistry, End, Segment
from .fastq import BATCH, LONGEST, Batch
from .sources import Pair
from .streams import require
from .whitelists import from_words

SECONDARY = 0x900  # secondary and supplementary alignments repeat a read
_FLIP = bytes.maketrans(b"ACGTNacgtn", b"TGCANtgcan")
_NO_QUALITY = "F"

__all__ = ["BamSource", "open_bam"]


@dataclass(slots=True)
class BamSource:
    """Alignments of a BAM, primary ones only, in the direction in which they were sequenced.

    Attributes
    ----------
    corrected
        Whether barcode and UMI are the corrected ones (CB, UB); a read without CB then has no barcode.
    changed
        Reads so far whose CB is not their CR.
    """

    chemistry: Chemistry
    path: Path
    corrected: bool
    changed: int = 0

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def __iter__(self) -> Iterator[Pair]:
        texts: list[tuple[str, str, str, str]] = []
        with _alignments(self.path) as rows:
            for row in rows:
                texts.append(self._read(row))
                if len(texts) == BATCH:
                    yield self._pair(texts)
                    texts.clear()
        if texts:
            yield self._pair(texts)

    def _read(self, row: Any) -> tuple[str, str, str, str]:
        """Barcode and UMI in their places, their qualities, bases, qualities of the bases."""
        layout = self.chemistry
        barcode, barcode_quality = _tag(row, "CB" if self.corrected else "CR", "CR"), _tag(row, "CY")
        umi, umi_quality = _tag(row, "UB" if self.corrected else "UR", "UR"), _tag(row, "UY")
        if self.corrected:
            barcode = barcode if row.has_tag("CB") else ""
            self.changed += bool(barcode) and row.has_tag("CR") and row.get_tag("CR") != barcode.split("-")[0]
        head, quality = ["N"] * layout.bases, [_NO_QUALITY] * layout.bases
        for place, text, marks in ((layout.barcode, barcode.split("-")[0], barcode_quality),
                                   (layout.umi, umi, umi_quality)):
            if len(text) == place.length:
                head[place.start : place.stop] = text
            if len(marks) == place.length and not self.corrected:
                quality[place.start : place.stop] = marks
        bases = row.get_forward_sequence() or ""
        return "".join(head), "".join(quality), bases, ""

    def _pair(self, texts: list[tuple[str, str, str, str]]) -> Pair:
        longest = max(len(t[2]) for t in texts)
        if longest > LONGEST:
            raise InputError(self.path, f"a read of {longest} bases", "give short reads; long reads are not supported")
        return Pair(_batch([t[0] for t in texts], [t[1] for t in texts]), _batch([t[2] for t in texts], []))


def _batch(bases: list[str], quality: list[str]) -> Batch:
    length = np.array([len(b) for b in bases], np.int32)
    start = np.zeros(length.size, np.int64)
    np.cumsum(length[:-1], out=start[1:])
    text = "".join(bases) + "".join(quality)
    buffer = np.frombuffer(text.encode("ascii") + bytes(8), np.uint8)
    return Batch(buffer, start, start, length, start + int(length.sum()) if quality else start)


def _tag(row: Any, *names: str) -> str:
    for name in names:
        if row.has_tag(name):
            return str(row.get_tag(name))
    return ""


@contextmanager
def _alignments(path: Path) -> Iterator[Iterator[Any]]:
    """Primary alignments of a BAM; damage becomes one clear error."""
    pysam = _pysam()
    pysam.set_verbosity(0)
    try:
        with pysam.AlignmentFile(str(path), "rb", check_sq=False) as file:
            yield (row for row in file.fetch(until_eof=True) if not row.flag & SECONDARY)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, f"cannot be read as BAM ({error})", "give a whole BAM file of Cell Ranger or STARsolo",
                         ) from None


def _pysam() -> Any:
    try:
        import pysam
    except ImportError:
        raise MissingDependencyError("pysam (needed for --bam)", "pip install 'sclineage[bam]'") from None
    return pysam


def open_bam(path: str | os.PathLike[str], *, raw: bool, end: End = "unknown") -> tuple[BamSource, Whitelist | None]:
    """BAM source.

    Parameters
    ----------
    raw
        Correct the raw barcodes (CR, CY) with a whitelist of the caller's. False takes the corrected ones (CB, UB).
    end
        End of the transcript that the library sequences.

    Returns
    -------
    The source, and (not `raw`) the barcodes that occur in CB as its whitelist.

    Raises
    ------
    InputError
        Absent, empty, no BAM, or without the tags.
    """
    path = require(path)
    names = ("CR", "UR") if raw else ("CB", "UB")
    barcodes: set[str] = set()
    umi = 0
    with _alignments(path) as rows:
        for row in rows:
            if row.has_tag(names[0]):
                barcodes.add(str(row.get_tag(names[0])).split("-")[0])
                umi = umi or len(_tag(row, names[1], "UR"))
            if raw and umi:
                break
    if not barcodes or not umi:
        other = "give --r1 and --r2" if raw else "leave --whitelist out only for files with CB and UB, or give FASTQ"
        raise InputError(path, f"no read has the tags {names[0]} and {names[1]}", other)
    words = sorted(barcodes)
    lengths = sorted({len(w) for w in words})
    if len(lengths) > 1:
        raise InputError(path, f"barcodes of {lengths[0]} to {lengths[-1]} bases", "give the BAM of one chemistry")
    layout = Chemistry(f"bam:bc{lengths[0]},umi{umi}", 1, Segment(0, lengths[0]), Segment(lengths[0], umi), "", end)
    return BamSource(layout, path, not raw), None if raw else from_words(words, name=str(path))
