"""Reads of a synthetic library by the hundred million: every read from its own number, by all threads, in a second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from sclineage.kernels.whitelists import decode

LENGTH = 16
IN_CELLS = 0.9  # share of the reads from cells, the others are from any barcode of the list
BINS = (0.92, 0.05, 0.02, 0.01)  # share of the bases by quality
QUALITY = (70, 58, 44, 35)  # Phred + 33
WRONG = (0.0036, 0.01, 0.05, 0.2)  # chance that a base of this quality is read as another: 0.68 % of all bases
UNKNOWN = 0.02  # chance that a base of the lowest quality is read as N
_SHARE = tuple(int(x * 65536) for x in np.cumsum(BINS))
_WRONG = tuple(int(x * 65536) for x in WRONG)
_UNKNOWN = int(UNKNOWN * 65536)


@dataclass(frozen=True, slots=True)
class Reads:
    """Barcodes as a sequencer gave them.

    Attributes
    ----------
    codes
        uint64 or uint32 (n,): packed two bits a base, N as G.
    n_at
        int8 (n,): -1 no N, the place of a single one, -2 more.
    qualities
        uint8 (n, 16): Phred + 33.
    truth
        int32 (n,): rank of the barcode that was sequenced.
    """

    codes: np.ndarray
    n_at: np.ndarray
    qualities: np.ndarray
    truth: np.ndarray

    def ascii(self) -> np.ndarray:
        """The bases, uint8 (n, 16), single N included; of several N the bases beneath."""
        rows = decode(self.codes, LENGTH)
        with_n = np.flatnonzero(self.n_at >= 0)
        rows[with_n, self.n_at[with_n]] = ord("N")
        return rows


@njit(cache=True, forceinline=True)
def mixed(x: np.uint64) -> np.uint64:
    """The finaliser of SplitMix64: a random number for each number."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True, parallel=True)
def _fill(listed: np.ndarray, cells: np.ndarray, seed: int, codes: np.ndarray, n_at: np.ndarray,
          qualities: np.ndarray, truth: np.ndarray) -> None:
    step, low = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFFFF)
    for i in prange(codes.size):
        state = mixed(np.uint64(seed) * step + np.uint64(i)) | np.uint64(1)
        draw = mixed(state)
        if (draw & low) < np.uint64(int(IN_CELLS * 65536)):
            rank = np.int64(cells[(draw >> np.uint64(16)) % np.uint64(cells.size)])
        else:
            rank = np.int64((draw >> np.uint64(16)) % np.uint64(listed.size))
        code, unknown = listed[rank], -1
        for position in range(LENGTH):
            state += step
            draw = mixed(state)
            share = draw & low
            quality = 0
            while quality < 3 and share >= np.uint64(_SHARE[quality]):
                quality += 1
            qualities[i, position] = QUALITY[quality]
            shift = np.uint64(2 * (LENGTH - 1 - position))
            chance = (draw >> np.uint64(16)) & low
            if quality == 3 and chance >= np.uint64(65536 - _UNKNOWN):
                unknown = position if unknown == -1 else -2
                code = (code & ~(np.uint64(3) << shift)) | (np.uint64(2) << shift)
            elif chance < np.uint64(_WRONG[quality]):
                code ^= (np.uint64(1) + (draw >> np.uint64(32)) % np.uint64(3)) << shift
        codes[i], n_at[i], truth[i] = code, unknown, rank


def reads(listed: np.ndarray, n: int, *, seed: int, cells: int = 10_000, narrow: bool = False) -> Reads:
    """A library of `n` reads.

    Parameters
    ----------
    listed
        uint64: the packed barcodes, sorted.
    narrow
        Codes of 32 bits.
    """
    chosen = np.sort(np.random.default_rng(seed).choice(listed.size, min(cells, listed.size // 2), replace=False))
    out = Reads(np.empty(n, np.uint32 if narrow else np.uint64), np.empty(n, np.int8), np.empty((n, LENGTH), np.uint8),
                np.empty(n, np.int32))
    _fill(listed, chosen, seed, out.codes, out.n_at, out.qualities, out.truth)
    return out
