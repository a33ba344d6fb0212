"""Numba side of `kmers`: the scan of reads."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .whitelists_cpu import load8

NOTHING, SHARED, WEAK, UNIQUE, SEVERAL = 0, 1, 2, 3, 4  # kinds of read
FLAG_SHARED, FLAG_JUNCTION, FLAG_NEAR, FLAG_ENDOGENOUS = 1, 2, 4, 8  # flags of a k-mer
SEED = 12  # bases of the words that decide whether a read is looked at closely
CLEAN_RUN = 33  # bases of one unbroken unique stretch that are enough
EMPTY = 0xFFFFFFFFFFFFFFFF  # no k-mer of up to 31 bases
FACTOR = 0x9E3779B97F4A7C15
_EMPTY, _FACTOR = np.uint64(EMPTY), np.uint64(FACTOR)
_ONE, _THREE, _TWO = np.uint64(1), np.uint64(3), np.uint64(2)
LETTER_BITS = 0x0606060606060606
_LETTER_BITS = np.uint64(LETTER_BITS)


@njit(cache=True, forceinline=True)
def base_of(letter: int) -> int:
    """0 to 3 for A, C, G, T in either case, 4 for the rest."""
    upper = letter & 0xDF
    if upper == 65:
        return 0
    if upper == 67:
        return 1
    if upper == 71:
        return 2
    return 3 if upper == 84 else 4


@njit(cache=True)
def reverse_complement(code: np.uint64, k: int) -> np.uint64:
    """Packed reverse complement."""
    out = np.uint64(0)
    for _ in range(k):
        out = (out << _TWO) | (code & _THREE ^ _THREE)
        code >>= _TWO
    return out


@njit(cache=True, forceinline=True)
def slot_of(code: np.uint64, keys: np.ndarray) -> int:
    """Slot that holds a k-mer, or the empty one where it would go."""
    mask = keys.size - 1
    slot = int(((code ^ (code >> np.uint64(32))) * _FACTOR) >> np.uint64(32)) & mask
    while keys[slot] != code and keys[slot] != _EMPTY:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, forceinline=True)
def seed_word(first: np.uint64, second: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Place of a 12-base word in the filter (a number to be masked), and its two bits there.

    `first` holds the letters 1 to 8 of the word, `second` the letters 5 to 12, as they lie in memory. Two bits of a
    letter tell A, C, G and T apart in either case; the others look like one of them, which costs time and nothing else.
    """
    packed = (first & _LETTER_BITS) | ((second >> np.uint64(32)) & _LETTER_BITS) << _THREE
    mixed = packed * _FACTOR
    bits = (_ONE << (mixed >> np.uint64(58))) | (_ONE << ((mixed >> np.uint64(52)) & np.uint64(63)))
    return (mixed >> np.uint64(26)) & np.uint64(0x3FFFFFF), bits


@njit(cache=True)
def _seeded(buffer: np.ndarray, start: int, length: int, k: int, seeds: np.ndarray) -> bool:
    """Whether one of the words that any k-mer must contain one of may be a word of the index."""
    mask = np.uint64(seeds.size - 1)
    hit = False
    for at in range(0, length - SEED + 1, k - SEED + 1):
        word, bits = seed_word(load8(buffer, start + at), load8(buffer, start + at + SEED - 8))
        hit |= seeds[np.int64(word & mask)] & bits == bits
    return hit


@njit(cache=True)
def _scan_one(buffer: np.ndarray, start: int, length: int, k: int, keys: np.ndarray, sets: np.ndarray,
              flags: np.ndarray, meet: np.ndarray) -> tuple[int, int, int, int, bool]:
    keep = (_ONE << np.uint64(2 * k)) - _ONE
    top = np.uint64(2 * (k - 1))
    forward = backward = np.uint64(0)
    run = stretch = unique_bases = endogenous_bases = 0
    first = last = last_endogenous = -1
    own = shared = -1
    far = clean = crossing = apart = False
    for at in range(length):
        base = base_of(buffer[start + at])
        run = run + 1 if base < 4 else 0
        forward = ((forward << _TWO) | np.uint64(base & 3)) & keep
        backward = (backward >> _TWO) | ((np.uint64(base & 3) ^ _THREE) << top)
        if run < k:
            continue
        code = min(forward, backward)
        slot = slot_of(code, keys)
        if keys[slot] != code:
            continue
        flag = flags[slot]
        if flag & FLAG_ENDOGENOUS:
            endogenous_bases += k if last_endogenous < 0 else min(k, at - last_endogenous)
            last_endogenous = at
            continue
        if flag & FLAG_SHARED:
            shared = sets[slot] if shared < 0 else meet[shared, sets[slot]]
            continue
        own = sets[slot] if own < 0 else meet[own, sets[slot]]
        unbroken = last >= 0 and last == at - 1
        stretch = stretch + 1 if unbroken else k
        far = (far and unbroken) or not flag & FLAG_NEAR
        clean |= far and stretch >= CLEAN_RUN
        crossing |= (flag & FLAG_JUNCTION) != 0 and not flag & FLAG_NEAR
        unique_bases += k if last < 0 else min(k, at - last)
        first = at if first < 0 else first
        apart |= at - first >= k
        last = at
    if clean or crossing or apart:
        kind = UNIQUE if own < meet.shape[0] - 1 else SEVERAL
    elif shared >= 0:
        kind, own = SHARED, shared
    else:
        kind = WEAK if own >= 0 else NOTHING
    return kind, own, unique_bases, endogenous_bases, crossing


@njit(cache=True, parallel=True)
def scan(buffer: np.ndarray, start: np.ndarray, length: np.ndarray, k: int, keys: np.ndarray, sets: np.ndarray,
         flags: np.ndarray, meet: np.ndarray, seeds: np.ndarray, kind: np.ndarray, set_: np.ndarray,
         unique_bases: np.ndarray, endogenous_bases: np.ndarray, junction: np.ndarray) -> None:
    """Classify every read."""
    for i in prange(start.size):
        kind[i], set_[i], unique_bases[i], endogenous_bases[i], junction[i] = NOTHING, -1, 0, 0, False
        if length[i] >= k and _seeded(buffer, start[i], length[i], k, seeds):
            kind[i], set_[i], unique_bases[i], endogenous_bases[i], junction[i] = _scan_one(
                buffer, start[i], length[i], k, keys, sets, flags, meet)
