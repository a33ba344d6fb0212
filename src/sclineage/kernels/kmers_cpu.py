"""Numba side of `kmers`: the index of target k-mers, masking by decoys, and the scan of reads."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .barcodes_cpu import pack8
from .whitelists_cpu import load8

NOTHING, SHARED, WEAK, UNIQUE, SEVERAL = 0, 1, 2, 3, 4  # kinds of read
FLAG_SHARED, FLAG_JUNCTION = 1, 2  # flags of a k-mer
SEED = 12  # bases of the words that decide whether a read is looked at closely
CLEAN_RUN = 33  # bases of one unbroken unique stretch that are enough
EMPTY = 0xFFFFFFFFFFFFFFFF  # no k-mer of up to 31 bases
FACTOR = 0x9E3779B97F4A7C15
_EMPTY, _FACTOR = np.uint64(EMPTY), np.uint64(FACTOR)
_ONE, _THREE, _TWO = np.uint64(1), np.uint64(3), np.uint64(2)


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


@njit(cache=True)
def add_target(sequence: np.ndarray, k: int, bit: int, junctions: np.ndarray, margin: int, keys: np.ndarray,
               masks: np.ndarray, flags: np.ndarray, seeds: np.ndarray) -> int:
    """Enter the k-mers of a target sequence; returns how many are new."""
    new = 0
    for at in range(sequence.size - k + 1):
        code = np.uint64(0)
        whole = True
        for j in range(k):
            base = base_of(sequence[at + j])
            whole &= base < 4
            code = (code << _TWO) | np.uint64(base & 3)
        if not whole:
            continue
        back = reverse_complement(code, k)
        slot = slot_of(min(code, back), keys)
        if keys[slot] == _EMPTY:
            keys[slot] = min(code, back)
            new += 1
        masks[slot] |= np.uint32(1) << np.uint32(bit)
        for junction in junctions:
            if at + margin <= junction <= at + k - margin:
                flags[slot] |= FLAG_JUNCTION
        for strand in (code, back):
            for shift in range(0, 2 * (k - SEED) + 1, 2):
                word = (strand >> np.uint64(shift)) & np.uint64((1 << 2 * SEED) - 1)
                seeds[word >> np.uint64(6)] |= _ONE << (word & np.uint64(63))
    return new


@njit(cache=True)
def add_neighbours(keys: np.ndarray, k: int, near: np.ndarray) -> None:
    """Enter every k-mer of `keys` and all its single substitutions into the set `near`."""
    for code in keys:
        if code == _EMPTY:
            continue
        near[slot_of(code, near)] = code
        for shift in range(0, 2 * k, 2):
            for delta in range(1, 4):
                other = code ^ (np.uint64(delta) << np.uint64(shift))
                other = min(other, reverse_complement(other, k))
                near[slot_of(other, near)] = other


@njit(cache=True)
def widen(keys: np.ndarray, k: int, masks: np.ndarray, out: np.ndarray) -> None:
    """For every k-mer the targets that have it or have it with one base changed."""
    for slot in range(keys.size):
        code = keys[slot]
        if code == _EMPTY:
            continue
        out[slot] = masks[slot]
        for shift in range(0, 2 * k, 2):
            for delta in range(1, 4):
                other = code ^ (np.uint64(delta) << np.uint64(shift))
                other = min(other, reverse_complement(other, k))
                near = slot_of(other, keys)
                if keys[near] == other:
                    out[slot] |= masks[near]


@njit(cache=True)
def _mark_shared(code: np.uint64, k: int, keys: np.ndarray, flags: np.ndarray) -> None:
    slot = slot_of(code, keys)
    if keys[slot] == code:
        flags[slot] |= FLAG_SHARED
    for shift in range(0, 2 * k, 2):
        for delta in range(1, 4):
            other = code ^ (np.uint64(delta) << np.uint64(shift))
            other = min(other, reverse_complement(other, k))
            slot = slot_of(other, keys)
            if keys[slot] == other:
                flags[slot] |= FLAG_SHARED


@njit(cache=True)
def mask_by(decoy: np.ndarray, k: int, near: np.ndarray, keys: np.ndarray, flags: np.ndarray) -> None:
    """Mark the target k-mers that a decoy sequence has, or has with one base changed, on either strand."""
    keep = (_ONE << np.uint64(2 * k)) - _ONE
    top = np.uint64(2 * (k - 1))
    forward = backward = np.uint64(0)
    run = 0
    for letter in decoy:
        base = base_of(letter)
        run = run + 1 if base < 4 else 0
        forward = ((forward << _TWO) | np.uint64(base & 3)) & keep
        backward = (backward >> _TWO) | ((np.uint64(base & 3) ^ _THREE) << top)
        if run >= k:
            code = min(forward, backward)
            if near[slot_of(code, near)] == code:
                _mark_shared(code, k, keys, flags)


@njit(cache=True)
def _seeded(buffer: np.ndarray, start: int, length: int, k: int, seeds: np.ndarray) -> bool:
    """Whether one of the words that any k-mer must contain one of is a word of the targets."""
    for at in range(0, length - SEED + 1, k - SEED + 1):
        first, first_clean = pack8(load8(buffer, start + at))
        second, second_clean = pack8(load8(buffer, start + at + SEED - 8))
        word = (first << np.uint64(2 * SEED - 16)) | (second & np.uint64((1 << (2 * SEED - 16)) - 1))
        if first_clean and second_clean and (seeds[word >> np.uint64(6)] >> (word & np.uint64(63))) & _ONE:
            return True
    return False


@njit(cache=True)
def _scan_one(buffer: np.ndarray, start: int, length: int, k: int, keys: np.ndarray, masks: np.ndarray,
              flags: np.ndarray) -> tuple[int, np.uint32, int, bool]:
    keep = (_ONE << np.uint64(2 * k)) - _ONE
    top = np.uint64(2 * (k - 1))
    forward = backward = np.uint64(0)
    run = stretch = longest = unique_bases = 0
    first, last = -1, -1
    shared = crossing = apart = False
    common = np.uint32(0xFFFFFFFF)
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
        if flags[slot] & FLAG_SHARED:
            shared = True
            continue
        common &= masks[slot]
        crossing |= (flags[slot] & FLAG_JUNCTION) != 0
        stretch = stretch + 1 if last == at - 1 and last >= 0 else k
        longest = max(longest, stretch)
        unique_bases += k if last < 0 or at - last > k else at - last
        first = at if first < 0 else first
        apart |= at - first >= k
        last = at
    if first < 0:
        return (SHARED if shared else NOTHING), np.uint32(0), 0, False
    kind = WEAK
    if apart or crossing or longest >= CLEAN_RUN:
        kind = UNIQUE if common != np.uint32(0) else SEVERAL
    return kind, common, unique_bases, crossing


@njit(cache=True, parallel=True)
def scan(buffer: np.ndarray, start: np.ndarray, length: np.ndarray, k: int, keys: np.ndarray, masks: np.ndarray,
         flags: np.ndarray, seeds: np.ndarray, kind: np.ndarray, mask: np.ndarray, unique_bases: np.ndarray,
         junction: np.ndarray) -> None:
    """Classify every read."""
    for i in prange(start.size):
        kind[i], mask[i], unique_bases[i], junction[i] = NOTHING, np.uint32(0), 0, False
        if length[i] >= k and _seeded(buffer, start[i], length[i], k, seeds):
            kind[i], mask[i], unique_bases[i], junction[i] = _scan_one(buffer, start[i], length[i], k, keys, masks,
                                                                       flags)
