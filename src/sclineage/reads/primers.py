"""Primers of enrichment libraries: the transcript read must begin with one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit, prange

from .._errors import InputError
from .fastq import Batch

MOST_MISMATCHES = 2
MOST_SHIFT = 4  # bases that may stand before the primer (staggered primers, a base lost or gained)
LEAST_BASES = 12

__all__ = ["primer_codes", "primer_ends"]


def primer_codes(primers: Sequence[str]) -> list[np.ndarray]:
    """Primers as upper-case ASCII.

    Raises
    ------
    InputError
        One is shorter than 12 bases or has a letter other than A, C, G, T.
    """
    out = []
    for text in primers:
        word = text.strip().upper()
        if len(word) < LEAST_BASES or set(word) - set("ACGT"):
            raise InputError("primer", f"found {text!r}", f"give at least {LEAST_BASES} bases A, C, G, T")
        out.append(np.frombuffer(word.encode(), np.uint8))
    return out


def primer_ends(batch: Batch, primers: Sequence[np.ndarray]) -> np.ndarray:
    """First base behind the primer of each read, int32 (n,), -1 where none of them fits.

    A primer fits with at most two mismatches, at most four bases into the read; fewest mismatches first, then the
    earlier place, then the earlier primer.
    """
    best = np.full(len(batch), MOST_MISMATCHES + 1, np.int32)
    shift, end = np.full(len(batch), MOST_SHIFT + 1, np.int32), np.full(len(batch), -1, np.int32)
    for primer in primers:
        _anchor(batch.buffer, batch.start, batch.length, primer, MOST_SHIFT, best, shift, end)
    return end


@njit(cache=True, parallel=True)
def _anchor(buffer: np.ndarray, start: np.ndarray, length: np.ndarray, primer: np.ndarray, most_shift: int,
            best: np.ndarray, shift: np.ndarray, end: np.ndarray) -> None:
    for row in prange(start.size):
        for at in range(min(most_shift, length[row] - primer.size) + 1):
            wrong = 0
            for k in range(primer.size):
                wrong += (buffer[start[row] + at + k] & 0xDF) != primer[k]
                if wrong > best[row]:
                    break
            if wrong < best[row] or (wrong == best[row] and end[row] >= 0 and at < shift[row]):
                best[row], shift[row], end[row] = wrong, at, at + primer.size
