"""The barcodes of one library, met batch by batch: exact counts first, then every read decided with them.

Memory does not depend on the number of reads: what cannot be decided in the first pass waits in a temporary file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO

import numpy as np

from .. import _backend
from .._errors import InputError
from ..kernels import matching
from ..kernels.barcodes import STATES, Place, look_up
from ..kernels.barcodes_cpu import BAD_LETTER, MANY_N, NO_N
from ..kernels.matching import Calibration, ErrorTally, Policy
from ..kernels.whitelists import Whitelist
from .chemistries import LEAST_ON_LIST, Chemistry, refuse_wrong_list, reverse_complement
from .fastq import Batch
from .parse import TOO_SHORT

READ_STATES = (*STATES, "too_short")
LEAST_BASES = 25  # of a transcript read: one k-mer
_WAITING = 1 << 20  # reads decided at a time

__all__ = ["READ_STATES", "Library", "Looked", "check_chemistry", "open_aside",
           "set_aside"]


@dataclass(frozen=True, slots=True)
class Looked:
    """Barcodes of a batch after the first pass.

    Attributes
    ----------
    codes, n_at
        As `kernels.barcodes.pack` gives them; n_at is -4 for reads that are too short.
    ranks
        int32 (n,): rank of exact matches, else -1.
    """

    codes: np.ndarray
    n_at: np.ndarray
    ranks: np.ndarray


class Library:
    """Counts and decides the barcodes of a library.

    Use as a context: `add` every batch, then `finish`, then `decide` the reads that are wanted.

    Parameters
    ----------
    prior
        int32 (barcodes,): reads of each barcode by rank that ``cellranger`` weighs candidates by; None takes the exact
        reads of this library.

    Attributes
    ----------
    counts
        int32 (barcodes,): exact reads by rank.
    states
        int64 (6,): reads by state (`READ_STATES`), complete after `finish`; they add up to the reads.
    """

    def __init__(self, chemistry: Chemistry, whitelist: Whitelist, *, policy: Policy = "cellranger",
                 device: Place = "cpu", prior: np.ndarray | None = None) -> None:
        if whitelist.length != chemistry.barcode.length:
            raise ValueError(f"the whitelist has {whitelist.length} bases, the chemistry {chemistry.barcode.length}")
        self.counts = np.zeros(whitelist.n, np.int32)
        self.states = np.zeros(len(READ_STATES), np.int64)
        self._chemistry, self._whitelist, self._policy, self._device = chemistry, whitelist, policy, device
        self._record = np.dtype([("code", "<u8"), ("n_at", "i1"), ("rank", "<i4"),
                                 ("quality", "u1", (whitelist.length,))])
        self._waiting: IO[bytes] = open_aside()
        self._model: Calibration | None = None
        self._prior = self.counts if prior is None else prior

    def __enter__(self) -> Library:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._waiting.close()

    def add(self, batch: Batch) -> Looked:
        """First pass over a batch of the read that holds the barcode."""
        place = self._chemistry.barcode
        codes, n_at = batch.pack(place.start, place.length)
        n_at[n_at == BAD_LETTER] = MANY_N
        ranks = self._look_up(codes, n_at)
        self.states[-1] += np.count_nonzero(n_at == TOO_SHORT)
        if self._policy != "calibrated":
            self.states[0] += np.count_nonzero(ranks >= 0)
            rows = np.flatnonzero((ranks < 0) & (n_at != TOO_SHORT))
        else:
            rows = np.flatnonzero(n_at != TOO_SHORT)
        held = np.empty(rows.size, self._record)
        held["code"], held["n_at"], held["rank"] = codes[rows], n_at[rows], ranks[rows]
        held["quality"] = batch.qualities(rows, place.start, place.length)
        set_aside(self._waiting, held)
        return Looked(codes, n_at, ranks)

    def _look_up(self, codes: np.ndarray, n_at: np.ndarray) -> np.ndarray:
        if self._device == "cpu":
            return np.asarray(look_up(codes, n_at, self._whitelist, counts=self.counts))
        counts = _backend.to_device(np.zeros_like(self.counts))
        ranks = look_up(_backend.to_device(codes), _backend.to_device(n_at), self._whitelist, counts=counts,
                        device=self._device)
        self.counts += _backend.to_host(counts)
        return _backend.to_host(ranks)

    def _chunks(self) -> Iterator[np.ndarray]:
        self._waiting.seek(0)
        while data := self._waiting.read(_WAITING * self._record.itemsize):
            yield np.frombuffer(data, self._record)

    def finish(self) -> None:
        """Second pass: fit the error model where the policy has one, and count the states of all reads."""
        if self._policy == "calibrated":
            self._model = self._fit()
        for chunk in self._chunks():
            state = self.decide(*self._fields(chunk))[1]
            self.states[: len(STATES)] += np.bincount(state, minlength=len(STATES))

    @staticmethod
    def _fields(chunk: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        code, n_at, rank, quality = (np.ascontiguousarray(chunk[k]) for k in ("code", "n_at", "rank", "quality"))
        return code, n_at, rank, quality

    def decide(self, codes: np.ndarray, n_at: np.ndarray, ranks: np.ndarray, qualities: np.ndarray,
               ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Decide reads of the library after `finish`.

        Parameters
        ----------
        codes, n_at, ranks
            Of these reads, as `add` gave them.
        qualities
            uint8 (n, L): of their barcodes.

        Returns
        -------
        ranks int32 (-1: no barcode), states uint8, posteriors float32, all (n,).
        """
        found = matching.decide(codes, n_at, ranks, qualities, self._whitelist, counts=self._prior, policy=self._policy,
                                model=self._model, device=self._device)
        return found[0], found[1], found[2]

    def _fit(self) -> Calibration:
        """`kernels.matching.calibrate`, chunk by chunk: the same model to the bit."""
        length, tally = self._whitelist.length, ErrorTally.empty()
        for chunk in self._chunks():
            code, n_at, rank, quality = self._fields(chunk)
            found = matching.decide(code, n_at, rank, quality, self._whitelist, counts=self.counts, device=self._device)
            tally.add(quality, found[1], found[3], length)
        error, rate = tally.rates()
        weights = matching.barcode_weights(self.counts, self._whitelist, rate, self._device)
        total = float(weights.sum(dtype=np.float64))
        parts = []
        for chunk in self._chunks():
            code, n_at, rank, quality = self._fields(chunk)
            weighed = matching.weigh(code, n_at, rank, quality, self._whitelist, weights=weights, error=error,
                                     device=self._device)
            use = n_at != MANY_N
            parts.append(matching.ratio_bins(weighed[4][use], weighed[5][use], total, length))
        bins, where = np.unique(np.concatenate([p[0] for p in parts] or [np.zeros(0, np.int64)]), return_inverse=True)
        reads = np.zeros(bins.size, np.int64)
        np.add.at(reads, where, np.concatenate([p[1] for p in parts] or [np.zeros(0, np.int64)]))
        return Calibration(error, weights, matching.junk_share(bins, reads))


def open_aside() -> IO[bytes]:
    """Temporary file without a name; it is gone when it is closed, or when the process ends.

    Raises
    ------
    InputError
        No folder for temporary files can be written to.
    """
    try:
        return tempfile.TemporaryFile(prefix="sclineage-")
    except OSError as error:
        raise InputError("TMPDIR", f"no temporary file can be made ({error.strerror or error})",
                         "point TMPDIR at a folder with free space") from None


def set_aside(file: IO[bytes], held: np.ndarray) -> None:
    """Append records to a temporary file.

    Raises
    ------
    InputError
        The disk is full.
    """
    try:
        file.write(held.tobytes())
        file.flush()
    except OSError as error:
        raise InputError(tempfile.gettempdir(), f"reads cannot be set aside there ({error.strerror})",
                         "free space, or point TMPDIR at a larger disk") from None


def check_chemistry(batch: Batch, used: Chemistry, whitelist: Whitelist, *, listed: str,
                    others: Mapping[str, Whitelist] | None = None, mate: Batch | None = None) -> float:
    """Share of the barcodes of a first batch that are on the list exactly; refuses a wrong chemistry.

    Parameters
    ----------
    listed
        Name or file of the whitelist, for the message.
    others
        Further lists by name, tried where the share is too small so that the error can say which one fits.
    mate
        The other reads of the pairs, to see whether the two were swapped.

    Raises
    ------
    InputError
        Under `chemistries.LEAST_ON_LIST`; the message has the shares under the other readings of the barcode.
    """
    place = used.barcode
    codes, n_at = batch.pack(place.start, place.length)
    codes = codes[n_at == NO_N]
    share = _share(codes, whitelist)
    if codes.size and share < LEAST_ON_LIST:
        seen = {"reverse complement": _share(reverse_complement(codes, place.length), whitelist)}
        if mate is not None:
            swapped, whole = mate.pack(place.start, place.length)
            seen["R1 and R2 swapped"] = _share(swapped[whole == NO_N], whitelist)
        for name, other in (others or {}).items():
            if other.length == place.length:
                seen[name] = _share(codes, other)
        refuse_wrong_list(used, listed, share, seen, codes.size)
    if not codes.size:
        raise InputError(listed, f"none of the first {len(batch)} reads has a whole barcode of chemistry {used.name} "
                         f"({place.stop} bases, no N)", "check the chemistry, and that R1 and R2 are not swapped")
    long = float((batch.length >= used.bases).mean())
    if long < LEAST_ON_LIST:
        raise InputError(listed, f"only {long:.1%} of the first {len(batch)} reads have the {used.bases} bases of "
                         f"barcode and UMI (median {int(np.median(batch.length))})",
                         f"{used.name} is not their chemistry")
    if mate is not None and int(mate.length.max(initial=0)) < LEAST_BASES:
        raise InputError(listed, f"the transcript reads have {int(mate.length.max(initial=0))} bases",
                         f"give reads of at least {LEAST_BASES} bases, and check that R1 and R2 are not swapped")
    return share


def _share(codes: np.ndarray, whitelist: Whitelist) -> float:
    counts = np.zeros(whitelist.n, np.int32)
    ranks = look_up(codes, np.full(codes.size, NO_N, np.int8), whitelist, counts=counts)
    return float((ranks >= 0).mean()) if codes.size else 0.0
