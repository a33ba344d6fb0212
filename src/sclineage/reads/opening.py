"""Settling what is counted before the first read: reads, chemistry, whitelist, targets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .._errors import InputError
from ..kernels.whitelists import Whitelist
from .bam import BamSource, open_bam
from .chemistries import CHEMISTRIES, Chemistry, chemistry
from .sources import FastqSource, open_fastq
from .whitelists import StoredWhitelists, find_whitelist, read_whitelist

PathLike = str | os.PathLike[str]
Paths = PathLike | Sequence[PathLike]
Source = FastqSource | BamSource

__all__ = ["Opened", "PathLike", "Paths", "Source", "open_reads"]


@dataclass(frozen=True, slots=True)
class Opened:
    """Reads and the list of their barcodes.

    Attributes
    ----------
    source
        Read pairs.
    whitelist
        The list.
    listed
        Its name or file.
    others
        Stored lists of other chemistries, to tell which one fits where this one does not.
    """

    source: Source
    whitelist: Whitelist
    listed: str
    others: Mapping[str, Whitelist]


def _paths(given: Paths) -> list[PathLike]:
    return [given] if isinstance(given, str | os.PathLike) else list(given)


def open_reads(*, chemistry_name: str, r1: Paths, r2: Paths, bam: PathLike | None,
               whitelist: PathLike | None) -> Opened:
    """Open FASTQ files or a BAM.

    Raises
    ------
    InputError
        Neither or both given, an unknown chemistry, a whitelist that is not found or of another length, bad files.
    """
    ones, twos = _paths(r1), _paths(r2)
    if bool(ones or twos) == (bam is not None):
        raise InputError("reads", "both FASTQ files and a BAM" if bam else "no file", "give --r1 and --r2, or --bam")
    layout = chemistry(chemistry_name)
    if bam is None:
        source: Source = open_fastq(layout, ones, twos)
    else:
        bam_source, own = open_bam(bam, raw=whitelist is not None, end=layout.end)
        if own is not None:
            return Opened(bam_source, own, str(bam), {})
        source = bam_source
    return _with_list(source, layout, whitelist)


def _with_list(source: Source, layout: Chemistry, whitelist: PathLike | None) -> Opened:
    wanted = whitelist if whitelist is not None else layout.whitelist
    if not wanted:
        raise InputError("whitelist", f"chemistry {layout.name} names none", "give --whitelist")
    path = find_whitelist(wanted)
    listed = read_whitelist(path)
    length = source.chemistry.barcode.length
    if listed.length != length:
        raise InputError(path, f"barcodes of {listed.length} bases, those of chemistry {layout.name} have {length}",
                         "give the whitelist of this chemistry")
    names = {c.whitelist for c in CHEMISTRIES.values()} - {_bare(path)}
    return Opened(source, listed, str(wanted), StoredWhitelists(sorted(names)))


def _bare(path: Path) -> str:
    return path.name.split(".")[0]


