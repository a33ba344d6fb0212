"""Reads of targets on their way to molecules: tallied once their barcode is sure, set aside on disk until then."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import IO

import numpy as np

from ..kernels.umis import Place
from .chemistries import Chemistry
from .constructs import Targets
from .library import Library, Looked, open_aside, set_aside
from .lineage import LineageTargets
from .molecules import TargetReads, compress, no_reads, usable_umis
from .sources import Pair, gather

_ENTRIES = 1 << 18  # tallied entries that may be pending
_READS = 1 << 20  # reads decided at a time

__all__ = ["AnyTargets", "TargetTally"]

AnyTargets = Targets | LineageTargets


@dataclass(slots=True)
class _Counts:
    feature: np.ndarray
    endogenous: int = 0
    nothing: int = 0
    no_primer: int = 0
    no_barcode: int = 0
    bad_umi: int = 0


class TargetTally:
    """Collects the reads of targets of a library. Use as a context: `add` every batch, then `settle`.

    Memory is that of the distinct (cell, feature, UMI), not of the reads.

    Attributes
    ----------
    counts
        Reads by feature, of endogenous transcripts, of nothing, without the primer; these add up to the reads. And of
        the reads of features those without a barcode and those whose UMI cannot count.
    """

    def __init__(self, chemistry: Chemistry, targets: AnyTargets, *, barcode_length: int, every_read_waits: bool,
                 device: Place) -> None:
        self.counts = _Counts(np.zeros(len(targets.features), np.int64))
        self._chemistry, self._targets, self._device = chemistry, targets, device
        self._waits = every_read_waits
        self._pending: list[TargetReads] = [no_reads()]
        self._entries = self._least = 0
        self._record = np.dtype([
            ("code", "<u8"), ("n_at", "i1"), ("rank", "<i4"), ("quality", "u1", (barcode_length,)), ("feature", "<i4"),
            ("umi", "<u8"), ("usable", "?"), ("unique", "<i4"), ("junction", "?")])
        self._waiting: IO[bytes] = open_aside()

    def __enter__(self) -> TargetTally:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._waiting.close()

    def add(self, pair: Pair, looked: Looked, *, primed: np.ndarray | None = None) -> None:
        """Classify the reads of a batch and keep those of targets.

        Parameters
        ----------
        looked
            Their barcodes after the first pass.
        primed
            int32 (n,): base of the transcript read behind its primer, -1 without primer; None: no primer is asked for.
        """
        rows = None if primed is None else np.flatnonzero(primed >= 0)
        bases, offsets = gather(pair.cdna, rows, skip=None if rows is None or primed is None else primed[rows])
        calls = self._targets.classify(bases, offsets, device=self._device)
        feature = np.where(calls.endogenous, -1, calls.feature)
        wanted = np.flatnonzero((feature >= 0) | calls.endogenous)
        self._count(len(pair.cdna), offsets.size - 1, feature, calls.endogenous)
        held = np.zeros(wanted.size, self._record)
        held["feature"], held["unique"] = feature[wanted], calls.unique_bases[wanted]
        held["junction"] = calls.junction[wanted]
        self._keep(pair, looked, held, wanted if rows is None else rows[wanted])

    def _count(self, reads: int, primed: int, feature: np.ndarray, endogenous: np.ndarray) -> None:
        counts, n = self.counts, len(self._targets.features)
        if counts.feature.size < n:
            counts.feature = np.append(counts.feature, np.zeros(n - counts.feature.size, np.int64))
        counts.feature += np.bincount(feature[feature >= 0], minlength=n)
        counts.endogenous += int(endogenous.sum())
        counts.nothing += int(np.count_nonzero((feature < 0) & ~endogenous))
        counts.no_primer += reads - primed

    def _keep(self, pair: Pair, looked: Looked, held: np.ndarray, rows: np.ndarray) -> None:
        umi, whole = self._chemistry.umi, self._chemistry.barcode
        batch = pair.barcode.take(rows)
        codes, n_at = batch.pack(umi.start, umi.length)
        held["umi"] = codes
        held["usable"] = usable_umis(codes, n_at, umi.length, batch.lowest_quality(umi.start, umi.length))
        held["code"], held["n_at"], held["rank"] = looked.codes[rows], looked.n_at[rows], looked.ranks[rows]
        sure = (held["rank"] >= 0) & (not self._waits)
        self._enter(held[sure], held["rank"][sure], np.ones(int(sure.sum()), np.float32))
        later = np.flatnonzero(~sure)
        long = later[pair.barcode.length[rows[later]] >= whole.stop]
        self.counts.no_barcode += int((held["feature"][later] >= 0).sum() - (held["feature"][long] >= 0).sum())
        waiting = held[long]
        waiting["quality"] = batch.qualities(long, whole.start, whole.length)
        set_aside(self._waiting, waiting)

    def _enter(self, held: np.ndarray, ranks: np.ndarray, posterior: np.ndarray) -> None:
        own = held["feature"] >= 0
        barcode, usable = ranks >= 0, held["usable"]
        self.counts.no_barcode += int(np.count_nonzero(own & ~barcode))
        self.counts.bad_umi += int(np.count_nonzero(own & barcode & ~usable))
        keep = np.flatnonzero(barcode & usable)
        got = held[keep]
        self._pending.append(TargetReads(
            ranks[keep].astype(np.int32), got["feature"].copy(), got["umi"].copy(), got["unique"].copy(),
            got["junction"].copy(), posterior[keep], np.ones(keep.size, np.int64)))
        self._entries += keep.size
        if self._entries > max(_ENTRIES, 2 * self._least):
            self._pending = [compress(*self._pending)]
            self._entries = self._least = self._pending[0].cell.size

    def settle(self, library: Library) -> TargetReads:
        """Decide the barcodes that wait (after `Library.finish`) and return all reads, one entry per distinct three."""
        self._waiting.seek(0)
        while data := self._waiting.read(_READS * self._record.itemsize):
            held = np.frombuffer(data, self._record)
            code, n_at, rank, quality = (np.ascontiguousarray(held[k]) for k in ("code", "n_at", "rank", "quality"))
            ranks, _, posterior = library.decide(code, n_at, rank, quality)
            self._enter(held, ranks, posterior)
        found = compress(*self._pending)
        self._pending = [no_reads()]
        return found
