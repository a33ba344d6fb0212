"""Building of the k-mer index (`kmers.index`), which happens once and on the CPU.

Neighbours are found by pieces: two k-mers with at most two mismatches agree in one of three pieces, so a list sorted
by each piece and a comparison of the few candidates finds them all, in memory of the order of the targets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .kmers_cpu import EMPTY, SEED, base_of, reverse_complement, seed_word, slot_of

FAR = 3  # mismatches beyond which nothing is counted
UNKNOWN = 255  # no k-mer: a base is not known
_ONE, _TWO, _THREE = np.uint64(1), np.uint64(2), np.uint64(3)
LETTERS = np.frombuffer(b"ACGT", np.uint8)
_ODD = np.uint64(0x5555555555555555)


class Pieces(NamedTuple):
    """K-mers on both strands, ordered by each of three pieces.

    `start` int64 (3, 4^longest + 1): bucket of a piece's value; `codes` uint64 (3, 2 n) and `which` int32 (3, 2 n): the
    k-mers, and which of the n they are; `shift`, `keep` uint64 (3,): where the piece lies.
    """

    start: np.ndarray
    codes: np.ndarray
    which: np.ndarray
    shift: np.ndarray
    keep: np.ndarray


def pieces(codes: np.ndarray, k: int) -> Pieces:
    """Order canonical k-mers by their pieces."""
    both = np.concatenate([codes, reverse_complements(codes, k)])
    n, lengths = codes.size, (k // 3, k // 3, k - 2 * (k // 3))
    out = Pieces(np.zeros((3, 4 ** lengths[2] + 1), np.int64), np.empty((3, 2 * n), np.uint64),
                 np.empty((3, 2 * n), np.int32), np.zeros(3, np.uint64), np.zeros(3, np.uint64))
    place = 0
    for p, length in enumerate(lengths):
        out.shift[p], out.keep[p] = 2 * place, 4**length - 1
        place += length
        value = ((both >> out.shift[p]) & out.keep[p]).astype(np.int64)
        order = np.argsort(value, kind="stable")
        out.codes[p], out.which[p] = both[order], order % max(n, 1)
        out.start[p, 1:] = np.cumsum(np.bincount(value, minlength=out.start.shape[1] - 1))
    return out


@njit(cache=True)
def reverse_complements(codes: np.ndarray, k: int) -> np.ndarray:
    """Packed reverse complements."""
    out = np.empty_like(codes)
    for i in range(codes.size):
        out[i] = reverse_complement(codes[i], k)
    return out


@njit(cache=True)
def kmers_of(sequence: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Forward k-mer at every place, and whether all its bases are known."""
    n = max(0, sequence.size - k + 1)
    codes, known = np.zeros(n, np.uint64), np.zeros(n, np.bool_)
    keep = (_ONE << np.uint64(2 * k)) - _ONE
    code, run = np.uint64(0), 0
    for i in range(sequence.size):
        base = base_of(sequence[i])
        run = run + 1 if base < 4 else 0
        code = ((code << _TWO) | np.uint64(base & 3)) & keep
        if run >= k:
            codes[i - k + 1], known[i - k + 1] = code, True
    return codes, known


@njit(cache=True)
def canonical(codes: np.ndarray, k: int) -> np.ndarray:
    """The lesser of each k-mer and its reverse complement."""
    out = np.empty_like(codes)
    for i in range(codes.size):
        out[i] = min(codes[i], reverse_complement(codes[i], k))
    return out


@njit(cache=True, forceinline=True)
def _mismatches(a: np.uint64, b: np.uint64) -> int:
    """Mismatches of two packed k-mers, `FAR` for three or more."""
    x = a ^ b
    x = (x | (x >> _ONE)) & _ODD
    n = 0
    while x != np.uint64(0) and n < FAR:
        x &= x - _ONE
        n += 1
    return n


@njit(cache=True)
def nearest_decoy(codes: np.ndarray, known: np.ndarray, index: Pieces, best: np.ndarray, within: np.ndarray) -> bool:
    """Lower `best` (per target k-mer), set `within` (per decoy k-mer) to the mismatches; whether any is at most 1."""
    hit = False
    for i in range(codes.size):
        within[i] = UNKNOWN
        if not known[i]:
            continue
        nearest = FAR
        for p in range(3):
            value = np.int64((codes[i] >> index.shift[p]) & index.keep[p])
            for at in range(index.start[p, value], index.start[p, value + 1]):
                n = _mismatches(codes[i], index.codes[p, at])
                if n < FAR:
                    nearest = min(nearest, n)
                    best[index.which[p, at]] = min(best[index.which[p, at]], n)
        within[i] = nearest
        hit |= nearest <= 1
    return hit


@njit(cache=True)
def beside_shared(within: np.ndarray, flank: int) -> np.ndarray:
    """Decoy k-mers at most `flank` bases from a shared one and two mismatches or more from any target."""
    n = within.size
    out = np.zeros(n, np.bool_)
    reach = -1
    for i in range(n):
        reach = i + flank if within[i] <= 1 else reach
        out[i] = i <= reach
    reach = n
    for i in range(n - 1, -1, -1):
        reach = i - flank if within[i] <= 1 else reach
        out[i] = (out[i] or i >= reach) and 2 <= within[i] <= FAR
    return out


@njit(cache=True)
def close_pairs(codes: np.ndarray, index: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of different target k-mers (i, j) with at most one mismatch on either strand; may repeat."""
    left, right = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    for i in range(codes.size):
        for p in range(3):
            value = np.int64((codes[i] >> index.shift[p]) & index.keep[p])
            for at in range(index.start[p, value], index.start[p, value + 1]):
                if index.which[p, at] != i and _mismatches(codes[i], index.codes[p, at]) <= 1:
                    left.append(np.int64(i))
                    right.append(np.int64(index.which[p, at]))
    return np.array(left, np.int64), np.array(right, np.int64)


@njit(cache=True)
def _letters(code: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Letters 1 to 8 and 5 to 12 of the last `SEED` bases of a packed sequence, as they would lie in memory."""
    first = second = np.uint64(0)
    for j in range(SEED):
        base = (code >> np.uint64(2 * (SEED - 1 - j))) & _THREE
        letter = np.uint64(LETTERS[base])
        if j < 8:
            first |= letter << np.uint64(8 * j)
        if j >= SEED - 8:
            second |= letter << np.uint64(8 * (j - SEED + 8))
    return first, second


@njit(cache=True)
def fill(codes: np.ndarray, ids: np.ndarray, flags: np.ndarray, k: int, keys: np.ndarray, key_sets: np.ndarray,
         key_flags: np.ndarray, seeds: np.ndarray) -> None:
    """Enter k-mers into the table, and their words into the filter of seeds."""
    mask = np.uint64(seeds.size - 1)
    for i in range(codes.size):
        slot = slot_of(codes[i], keys)
        keys[slot], key_sets[slot], key_flags[slot] = codes[i], ids[i], flags[i]
        for strand in (codes[i], reverse_complement(codes[i], k)):
            for shift in range(0, 2 * (k - SEED) + 1, 2):
                word, bits = seed_word(*_letters(strand >> np.uint64(shift)))
                seeds[np.int64(word & mask)] |= bits


def empty_seeds(kmers: int) -> np.ndarray:
    """Filter of seeds with about 64 bits for each word (two for each k-mer), at most 64 MB."""
    return np.zeros(1 << min(23, max(6, (2 * kmers - 1).bit_length())), np.uint64)


def empty_table(entries: int) -> np.ndarray:
    """Room for `entries` keys at a load of at most one half."""
    return np.full(1 << max(4, int(2 * entries).bit_length()), EMPTY, np.uint64)


@njit(cache=True)
def flags_at(codes: np.ndarray, known: np.ndarray, keys: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Flags of canonical k-mers, -1 for those that are not in the table."""
    out = np.full(codes.size, -1, np.int16)
    for i in range(codes.size):
        slot = slot_of(codes[i], keys)
        if known[i] and keys[slot] == codes[i]:
            out[i] = flags[slot]
    return out
