"""Numba side of `barcodes`: packing, look-up and correction, each parallel over reads."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .whitelists_cpu import RANK_BITS, RANK_MASK, find, load8, lowest_bit, prefetch

NO_N, MANY_N, BAD_LETTER = -1, -2, -3  # values of n_at besides the position of a single N
EXACT, CORRECTED, AMBIGUOUS, NONE, WITH_N = 0, 1, 2, 3, 4
CELLRANGER, UNIQUE = 0, 1  # how `correct` weighs candidates
TOGETHER = 64  # reads that `correct` looks at together
N_CODE = 2  # an N packs as G, as bustools has it; the policies that know better look at n_at
_ONE, _THREE = np.uint64(1), np.uint64(3)
_BYTES = np.uint64(0x0101010101010101)
_BUT_CASE = np.uint64(0xD9D9D9D9D9D9D9D9)  # all bits of a letter but case and the two that are packed
_TWO_BITS = np.uint64(0x0303030303030303)
_LETTER_A = np.uint64(0x4141414141414141)


@njit(cache=True, forceinline=True)
def pack8(word: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Sixteen bits of eight ASCII bases at once, and a word that is 0 in the bytes of A, C, G and T in either case.

    Bits 1 and 2 of a letter tell A, C, T and G apart; the others are those of A, but for bits 0 and 4 of T.
    """
    low, high = word >> _ONE, (word >> np.uint64(2)) & _BYTES
    is_t = high & ~low
    wrong = (word & _BUT_CASE) ^ _LETTER_A ^ is_t ^ (is_t << np.uint64(4))
    y = (low & _TWO_BITS) ^ high  # A 0, C 1, G 2, T 3
    y = ((y << np.uint64(2)) | (y >> np.uint64(8))) & np.uint64(0x000F000F000F000F)
    return (y * np.uint64(0x1000010000100001)) >> np.uint64(48), wrong  # the four lanes side by side, the first on top


@njit(cache=True, forceinline=True)
def _base(letter: int) -> int:
    upper = letter & 0xDF
    if upper == 65:
        return 0
    if upper == 67:
        return 1
    if upper == 71:
        return 2
    if upper == 84:
        return 3
    return 4 if upper == 78 or letter == 46 else 5


@njit(cache=True, forceinline=True)
def _pack_clean(buffer: np.ndarray, at: int, bases: int) -> tuple[np.uint64, bool]:
    """Bits of the next up to eight bases at once, and whether all are A, C, G or T; the buffer may end behind them."""
    if at + 8 > buffer.size:
        return np.uint64(0), False
    unused = np.uint64(8 * (8 - bases))
    bits, wrong = pack8(load8(buffer, at))
    return bits >> (unused >> np.uint64(2)), wrong << unused == np.uint64(0)


@njit(cache=True)
def _pack_any(buffer: np.ndarray, start: int, length: int) -> tuple[np.uint64, int]:
    code = np.uint64(0)
    n_at = NO_N
    position = 0
    while position < length:
        stop = min(position + 8, length)
        bits, clean = _pack_clean(buffer, start + position, stop - position)
        if clean:
            code = (code << np.uint64(2 * (stop - position))) | bits
            position = stop
            continue
        while position < stop:
            base = _base(buffer[start + position])
            if base == 5:
                return np.uint64(0), BAD_LETTER
            if base == 4:
                n_at = position if n_at == NO_N else MANY_N
                base = N_CODE
            code = (code << np.uint64(2)) | np.uint64(base)
            position += 1
    return code, n_at


@njit(cache=True, forceinline=True)
def pack_one(buffer: np.ndarray, start: int, length: int) -> tuple[np.uint64, int]:
    """Packed bases of buffer[start : start + length], and the value of n_at."""
    if 8 < length <= 16 and start + 16 <= buffer.size:  # the usual lengths, without a loop
        unused = np.uint64(8 * (16 - length))
        first, wrong = pack8(load8(buffer, start))
        second, wrong_too = pack8(load8(buffer, start + 8))
        if wrong | (wrong_too << unused) == np.uint64(0):
            return ((first << np.uint64(16)) | second) >> (unused >> np.uint64(2)), NO_N
    return _pack_any(buffer, start, length)


@njit(cache=True, parallel=True)
def pack(sequences: np.ndarray, codes: np.ndarray, n_at: np.ndarray) -> None:
    """Pack every row of a contiguous (n, length) array."""
    length = sequences.shape[1]
    flat = sequences.ravel()
    for i in prange(sequences.shape[0]):
        codes[i], n_at[i] = pack_one(flat, i * length, length)


@njit(cache=True, nogil=True, parallel=True)
def look_up(codes: np.ndarray, n_at: np.ndarray, length: int, half: int, left: np.ndarray, right: np.ndarray,
            left_mask: np.ndarray, right_mask: np.ndarray, keys: np.ndarray, slots: np.ndarray, bits: np.ndarray,
            ranks: np.ndarray, counts: np.ndarray) -> None:
    """Exact matches; part k of the reads is counted in counts[k], so threads never share a counter."""
    parts = counts.shape[0]
    size = -(-codes.size // parts)
    for part in prange(parts):
        for i in range(part * size, min((part + 1) * size, codes.size)):
            rank = find(codes[i], half, left, right, keys, slots, bits) if n_at[i] == NO_N else -1
            ranks[i] = rank
            if rank >= 0:
                counts[part, rank] += 1


@njit(cache=True, forceinline=True)
def substituted(code: np.uint64, shift: int, k: int) -> np.uint64:
    """The code with the base at bit `shift` replaced by the k-th (0 to 2) of the three others, ascending."""
    at = np.uint64(shift)
    base, other = (code >> at) & _THREE, np.uint64(k)
    if other >= base:
        other += _ONE
    return code ^ ((base ^ other) << at)


@njit(cache=True, forceinline=True)
def _product_ranks(code: np.uint64, length: int, half: int, left: np.ndarray, right: np.ndarray,
                   left_mask: np.ndarray, right_mask: np.ndarray, ranks: np.ndarray, positions: np.ndarray,
                   n: int) -> int:
    """Whitelist entries one substitution away, by position and then base, from row n on; returns the next row."""
    right_bases = half // 2
    left_bases = length - right_bases
    high = code >> np.uint64(half)
    low = code & ((_ONE << np.uint64(half)) - _ONE)
    start, word = left[high], right[low]
    mask = left_mask[high] if word >= 0 else np.uint32(0)
    while mask:
        bit = lowest_bit(mask)
        mask &= mask - np.uint32(1)
        neighbour = left[substituted(high, 2 * (left_bases - 1 - bit // 3), bit % 3)]
        if neighbour >> 32 == word >> RANK_BITS:
            ranks[n] = (neighbour & 0xFFFFFFFF) + (word & RANK_MASK)
            positions[n] = bit // 3
            n += 1
    mask = right_mask[low] if start >= 0 else np.uint32(0)
    while mask:
        bit = lowest_bit(mask)
        mask &= mask - np.uint32(1)
        entry = right[substituted(low, 2 * (right_bases - 1 - bit // 3), bit % 3)]
        if entry >> RANK_BITS == start >> 32:
            ranks[n] = (start & 0xFFFFFFFF) + (entry & RANK_MASK)
            positions[n] = left_bases + bit // 3
            n += 1
    return n


@njit(cache=True, forceinline=True)
def candidates(code: np.uint64, n_at: int, length: int, half: int, left: np.ndarray, right: np.ndarray,
               left_mask: np.ndarray, right_mask: np.ndarray, keys: np.ndarray, slots: np.ndarray, bits: np.ndarray,
               ranks: np.ndarray, positions: np.ndarray, n: int) -> int:
    """Whitelist entries one mismatch from a read, in the order of the contract, from row n on; returns the next row."""
    if n_at == NO_N and half > 0:
        return _product_ranks(code, length, half, left, right, left_mask, right_mask, ranks, positions, n)
    if n_at == NO_N:
        for trial in range(3 * length):
            rank = find(substituted(code, 2 * (length - 1 - trial // 3), trial % 3), half, left, right, keys, slots,
                        bits)
            if rank >= 0:
                ranks[n], positions[n] = rank, trial // 3
                n += 1
    elif n_at >= 0:
        shift = np.uint64(2 * (length - 1 - n_at))
        for base in range(4):
            filled = (code & ~(_THREE << shift)) | (np.uint64(base) << shift)
            rank = find(filled, half, left, right, keys, slots, bits)
            if rank >= 0:
                ranks[n], positions[n] = rank, n_at
                n += 1
    return n


@njit(cache=True)
def refused(n_at: int, n_candidates: int) -> int:
    """State of a read that is not on the list and of which no candidate was taken."""
    if n_at != NO_N:
        return WITH_N
    return AMBIGUOUS if n_candidates > 0 else NONE


@njit(cache=True, forceinline=True)
def _candidates_of(codes: np.ndarray, n_at: np.ndarray, begin: int, size: int, length: int, half: int, left: np.ndarray,
                   right: np.ndarray, left_mask: np.ndarray, right_mask: np.ndarray, keys: np.ndarray,
                   slots: np.ndarray, bits: np.ndarray, counts: np.ndarray, policy: int, near: np.ndarray,
                   where: np.ndarray, ends: np.ndarray) -> None:
    """Candidates of a few reads, one read's behind the other's; what they need of `counts` is asked for meanwhile."""
    end = 0
    for j in range(size):
        i, first = begin + j, end
        if policy == UNIQUE and n_at[i] != NO_N:
            near[end] = find(codes[i], half, left, right, keys, slots, bits)
            where[end] = NO_N
            end += 1 if near[end] >= 0 else 0
        if end == first:
            end = candidates(codes[i], NO_N if policy == UNIQUE else n_at[i], length, half, left, right, left_mask,
                             right_mask, keys, slots, bits, near, where, end)
        for k in range(first, end if policy == CELLRANGER and end > first + 1 else first):
            prefetch(counts, near[k])
        ends[j] = end


@njit(cache=True, parallel=True)
def correct(codes: np.ndarray, n_at: np.ndarray, qualities: np.ndarray, length: int, half: int, left: np.ndarray,
            right: np.ndarray, left_mask: np.ndarray, right_mask: np.ndarray, keys: np.ndarray, slots: np.ndarray,
            bits: np.ndarray, counts: np.ndarray, error: np.ndarray, threshold: float, policy: int, chunk: int,
            ranks: np.ndarray, states: np.ndarray, posteriors: np.ndarray, changed: np.ndarray) -> None:
    """Correct reads that are not on the list; `qualities` with one row serves all reads."""
    step = 0 if qualities.shape[0] == 1 else 1
    for part in prange(-(-codes.size // chunk)):
        near = np.empty(TOGETHER * (3 * length + 4), np.int32)
        where = np.empty(near.size, np.int8)
        ends = np.empty(TOGETHER, np.int64)
        stop = min((part + 1) * chunk, codes.size)
        for begin in range(part * chunk, stop, TOGETHER):
            size, first = min(TOGETHER, stop - begin), 0
            _candidates_of(codes, n_at, begin, size, length, half, left, right, left_mask, right_mask, keys, slots,
                           bits, counts, policy, near, where, ends)
            for j in range(size):
                i, n = begin + j, ends[j] - first
                best, highest, total = -1, 0.0, 0.0
                for k in range(first, ends[j]):
                    likelihood = 1.0
                    if policy == CELLRANGER and n > 1:  # a lone one is certain: its count, far in memory, is not asked
                        likelihood = (1.0 + counts[near[k]]) * error[qualities[i * step, where[k]]]
                    total += likelihood
                    if likelihood > highest:
                        best, highest = k, likelihood
                posterior = highest / total if n > 0 else 0.0
                accepted = n > 0 and posterior >= threshold
                states[i] = CORRECTED if accepted else refused(n_at[i], n)
                posteriors[i] = posterior
                ranks[i] = near[best] if accepted else -1
                changed[i] = where[best] if accepted else -1
                first = ends[j]


@njit(cache=True)
def _far_mass(code: np.uint64, first: int, skip: int, quality: np.ndarray, weights: np.ndarray, odds: np.ndarray,
              length: int, half: int, left: np.ndarray, right: np.ndarray, keys: np.ndarray, slots: np.ndarray,
              bits: np.ndarray) -> float:
    """Weight of the entries that differ from `code` at one position from `first` on, `skip` left out."""
    mass = 0.0
    for position in range(first, length):
        if position != skip:
            for k in range(3):
                neighbour = substituted(code, 2 * (length - 1 - position), k)
                rank = find(neighbour, half, left, right, keys, slots, bits)
                if rank >= 0:
                    mass += weights[rank] * odds[quality[position]]
    return mass


@njit(cache=True)
def _two_mismatches(code: np.uint64, n_at: int, quality: np.ndarray, weights: np.ndarray, odds: np.ndarray,
                    length: int, half: int, left: np.ndarray, right: np.ndarray, keys: np.ndarray,
                    slots: np.ndarray, bits: np.ndarray) -> float:
    """Weight of the entries one mismatch further away than the candidates."""
    mass = 0.0
    if n_at >= 0:
        shift = np.uint64(2 * (length - 1 - n_at))
        for base in range(4):
            filled = (code & ~(_THREE << shift)) | (np.uint64(base) << shift)
            mass += _far_mass(filled, 0, n_at, quality, weights, odds, length, half, left, right, keys, slots, bits)
        return mass
    for position in range(length - 1):
        for k in range(3):
            changed = substituted(code, 2 * (length - 1 - position), k)
            mass += odds[quality[position]] * _far_mass(changed, position + 1, -1, quality, weights, odds, length,
                                                        half, left, right, keys, slots, bits)
    return mass


@njit(cache=True, parallel=True)
def shares(codes: np.ndarray, n_at: np.ndarray, exact: np.ndarray, qualities: np.ndarray, length: int, half: int,
           left: np.ndarray, right: np.ndarray, left_mask: np.ndarray, right_mask: np.ndarray, keys: np.ndarray,
           slots: np.ndarray, bits: np.ndarray, weights: np.ndarray, odds: np.ndarray, inverse: np.ndarray, chunk: int,
           ranks: np.ndarray, changed: np.ndarray, found: np.ndarray, best_mass: np.ndarray, mass: np.ndarray,
           scale: np.ndarray) -> None:
    """Best entry of every read and its share of the barcodes' weight under an error model."""
    step = 0 if qualities.shape[0] == 1 else 1
    for part in prange(-(-codes.size // chunk)):
        near = np.empty(3 * length + 4, np.int32)
        where = np.empty(3 * length + 4, np.int8)
        for i in range(part * chunk, min((part + 1) * chunk, codes.size)):
            quality = qualities[i * step]
            n = candidates(codes[i], n_at[i], length, half, left, right, left_mask, right_mask, keys, slots, bits,
                           near, where, 0)
            best, highest, total = -1, 0.0, 0.0
            for k in range(n):
                share = weights[near[k]] * (odds[quality[where[k]]] if n_at[i] == NO_N else 1.0)
                total += share
                if share > highest:
                    best, highest = k, share
            if exact[i] >= 0:
                highest = np.float64(weights[exact[i]])
                total += highest
            elif n_at[i] != MANY_N:
                total += _two_mismatches(codes[i], n_at[i], quality, weights, odds, length, half, left, right,
                                         keys, slots, bits)
            product = 1.0
            for position in range(length):
                product *= 4.0 if position == n_at[i] else inverse[quality[position]]
            ranks[i] = exact[i] if exact[i] >= 0 else (near[best] if best >= 0 else -1)
            changed[i] = where[best] if best >= 0 and exact[i] < 0 else NO_N
            found[i] = n
            best_mass[i], mass[i], scale[i] = highest, total, product


@njit(cache=True, parallel=True)
def spill(counts: np.ndarray, codes: np.ndarray, length: int, half: int, left: np.ndarray, right: np.ndarray,
          left_mask: np.ndarray, right_mask: np.ndarray, keys: np.ndarray, slots: np.ndarray, bits: np.ndarray,
          out: np.ndarray) -> None:
    """Exact reads of the neighbours of each seen barcode: out[i] = sum of counts one mismatch from codes[i]."""
    for i in prange(codes.size):
        near = np.empty(3 * length + 4, np.int32)
        where = np.empty(3 * length + 4, np.int8)
        total = 0
        n = candidates(codes[i], NO_N, length, half, left, right, left_mask, right_mask, keys, slots, bits, near, where,
                       0)
        for k in range(n):
            total += counts[near[k]]
        out[i] = total


@njit(cache=True, parallel=True)
def rows_of(qualities: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """Copy the rows listed, by all threads."""
    for i in prange(rows.size):
        for position in range(qualities.shape[1]):
            out[i, position] = qualities[rows[i], position]


@njit(cache=True)
def quality_histogram(qualities: np.ndarray, reads: np.ndarray, out: np.ndarray) -> None:
    """Count the quality bytes of the reads listed."""
    for i in reads:
        for position in range(qualities.shape[1]):
            out[qualities[i, position]] += 1
