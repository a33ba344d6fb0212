"""Barcode whitelists as look-up tables.

The whitelists of most kits are products of half-words, or disjoint unions of a few such products: a barcode is on
the list exactly when its left part and its right part are words of the same block. `whitelist` finds such a structure
by itself, proves it by expansion, and builds tables of one to three megabytes in which "is it on the list, at which
rank" takes two direct look-ups and "which entries are one mismatch away" takes one bit mask per half. Any other list
of up to 32 bases gets a hash table behind a presence filter. Both give the same answers.

The tables are built on the CPU; `barcodes` searches them on either device. Slow plain version:
``tests/oracles/barcodes.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._errors import InputError
from .whitelists_cpu import (
    HASH_FILTER,
    HASH_SLOT,
    RANK_BITS,
    RANK_MASK,
    Tables,
    fill_hash,
    first_disorder,
    left_groups,
    neighbour_masks,
    same_rights,
)

MAX_LENGTH = 32
MAX_HALF = 10  # bases of a half-word: direct tables of 4^10 entries at most, and 30 mask bits
MAX_BLOCKS = 64
BASES = "ACGT"

__all__ = ["BASES", "HASH_FILTER", "HASH_SLOT", "MAX_LENGTH", "RANK_BITS", "RANK_MASK", "Tables",
           "Whitelist", "decode", "whitelist"]


@dataclass(frozen=True, slots=True, eq=False)
class Whitelist:
    """A whitelist ready to be searched.

    Attributes
    ----------
    n
        Barcodes on the list.
    length
        Bases per barcode.
    blocks
        Blocks of the product structure; 0 when the list is searched by hash.
    cut
        Bases of the left half-word; 0 without a product.
    tables
        Look-up tables; they work with ranks in the sorted list.
    order
        int32 (n,): row of the list as given, by rank; None when the list was given sorted.
    """

    n: int
    length: int
    blocks: int
    cut: int
    tables: Tables
    order: np.ndarray | None

    @property
    def nbytes(self) -> int:
        """Bytes held by the tables."""
        arrays = [a for a in self.tables if isinstance(a, np.ndarray)]
        return sum(a.nbytes for a in arrays) + (0 if self.order is None else self.order.nbytes)

    def rows(self, ranks: np.ndarray) -> np.ndarray:
        """Rows of the list as given for ranks in sorted order (-1 stays -1), int32."""
        if self.order is None:
            return ranks.astype(np.int32, copy=False)
        return np.where(ranks >= 0, self.order[ranks], -1).astype(np.int32)

    def codes(self) -> np.ndarray:
        """The packed barcodes in sorted order, uint64 (n,): a product is expanded anew at each call."""
        return self.tables.keys if self.blocks == 0 else _expand(self.tables)


def decode(codes: np.ndarray, length: int) -> np.ndarray:
    """Bases of packed sequences as ASCII, uint8 (n, length)."""
    shifts = np.arange(2 * (length - 1), -1, -2, dtype=np.uint64)
    letters = np.frombuffer(BASES.encode(), np.uint8)
    return letters[((np.asarray(codes, np.uint64)[:, None] >> shifts) & np.uint64(3)).astype(np.intp)]


def whitelist(codes: np.ndarray, length: int, *, product: bool = True, name: str = "whitelist") -> Whitelist:
    """Build the look-up tables of a barcode list.

    Parameters
    ----------
    codes
        uint64 (n,), or uint32 for barcodes of up to 16 bases (half the memory): packed two bits a base (A 0, C 1, G 2,
        T 3), first base most significant, any order.
    length
        Bases per barcode, 1 to 32.
    product
        Whether to look for a product structure. False forces the generic tables (same answers).
    name
        What error messages call the list, usually its file.

    Returns
    -------
    The whitelist; `Whitelist.blocks` says whether a product was found.

    Raises
    ------
    InputError
        The list is empty, longer than 2^31 - 1, its length is outside 1 to 32, or a barcode occurs twice.
    """
    codes = np.ascontiguousarray(codes, dtype=np.uint32 if codes.dtype == np.uint32 else np.uint64)
    if not 1 <= length <= MAX_LENGTH:
        raise InputError(name, f"barcodes of {length} bases", f"use barcodes of 1 to {MAX_LENGTH} bases")
    if not 0 < codes.size < 2**31:
        raise InputError(name, f"{codes.size} barcodes", "give a list of 1 to 2147483647 barcodes")
    codes, order = _sorted(codes, length, name)
    shape = _best_cut(codes, length) if product else None
    if shape is None:
        return Whitelist(codes.size, length, 0, 0, _hash_tables(codes, length), order)
    cut, starts, model = shape
    tables = _product_tables(codes, length, cut, starts, model)
    return Whitelist(codes.size, length, np.unique(model).size, cut, tables, order)


def _sorted(codes: np.ndarray, length: int, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    ascending, repeated = first_disorder(codes)
    order = None
    if repeated < 0 and not ascending:
        order = np.argsort(codes, kind="stable").astype(np.int32)
        codes = codes[order]
        repeated = first_disorder(codes)[1]
    if repeated >= 0:
        rows = (repeated - 1, repeated) if order is None else (order[repeated - 1], order[repeated])
        word = decode(codes[repeated : repeated + 1], length).tobytes().decode()
        raise InputError(name, f"barcode {word} occurs twice (entries {rows[0] + 1} and {rows[1] + 1})",
                         "remove the repeated entry")
    return codes, order


# --- products ---------------------------------------------------------------------------------------------------------
def _best_cut(codes: np.ndarray, length: int) -> tuple[int, np.ndarray, np.ndarray] | None:
    """Cut with the fewest blocks (then the most even one) that makes the list a disjoint union of products."""
    best: tuple[tuple[int, int, int], tuple[int, np.ndarray, np.ndarray]] | None = None
    for cut in range(max(1, length - MAX_HALF), min(MAX_HALF, length - 1) + 1):
        found = _blocks(codes, 2 * (length - cut), 4**cut)
        if found is None:
            continue
        key = (np.unique(found[1]).size, abs(2 * cut - length), cut)
        if best is None or key < best[0]:
            best = (key, (cut, *found))
    return None if best is None else best[1]


def _blocks(codes: np.ndarray, half: int, most: int) -> tuple[np.ndarray, np.ndarray]| None:
    """First row of each left group, and the group that stands for its block; None where the cut gives no product."""
    n, _, starts, sums = left_groups(codes, half, min(most, codes.size))
    sizes = np.diff(starts[: n + 1])
    _, first, block = np.unique(sums[:n], return_index=True, return_inverse=True)
    if first.size > MAX_BLOCKS:
        return None
    model = first[block]
    rights = np.concatenate([codes[starts[g] : starts[g] + sizes[g]] for g in first]) & np.uint64((1 << half) - 1)
    if np.unique(rights).size != rights.size or not same_rights(codes, half, starts, model):
        return None
    return starts[: n + 1], model


def _product_tables(codes: np.ndarray, length: int, cut: int, starts: np.ndarray, model: np.ndarray) -> Tables:
    half = 2 * (length - cut)
    lefts = (codes[starts[:-1]] >> np.uint64(half)).astype(np.intp)
    models, block = np.unique(model, return_inverse=True)
    left = np.full(4**cut, -1, np.int64)
    left[lefts] = (block.astype(np.int64) << 32) | starts[:-1]
    right = np.full(1 << half, -1, np.int32)
    for number, group in enumerate(models):
        words = (codes[starts[group] : starts[group + 1]] & np.uint64((1 << half) - 1)).astype(np.intp)
        right[words] = (number << RANK_BITS) | np.arange(words.size)
    return Tables(length, half, left, right, neighbour_masks(left >= 0, cut), neighbour_masks(right >= 0, length - cut),
                  np.zeros(0, np.uint64), np.zeros(0, np.int32), np.zeros(0, np.uint64))


def _expand(tables: Tables) -> np.ndarray:
    rights = np.flatnonzero(tables.right >= 0)
    block = tables.right[rights] >> RANK_BITS
    parts = [(np.uint64(left) << np.uint64(tables.half)) | rights[block == tables.left[left] >> 32].astype(np.uint64)
             for left in np.flatnonzero(tables.left >= 0)]
    return np.concatenate(parts)


# --- any other list ---------------------------------------------------------------------------------------------------
def _hash_tables(codes: np.ndarray, length: int) -> Tables:
    slots = np.full(1 << max(4, int(2 * codes.size - 1).bit_length()), -1, np.int32)
    bits = np.zeros(1 << max(0, int(16 * codes.size - 1).bit_length() - 6), np.uint64)
    codes = codes.astype(np.uint64, copy=False)
    fill_hash(codes, slots, bits)
    return Tables(length, 0, np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint32),
                  np.zeros(0, np.uint32), codes, slots, bits)
