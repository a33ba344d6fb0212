"""Barcode matching in plain Python, read by read: a dictionary of the list and every substitution tried."""

from __future__ import annotations

import gzip
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

BASES = "ACGT"
STATES = ("exact", "corrected", "ambiguous", "none", "n")


def clean(read: str) -> str:
    return read.upper().replace(".", "N")


def error(quality: str) -> float:
    return 10.0 ** (-(min(ord(quality), 66) - 33) / 10.0)


def substitutions(read: str) -> Iterator[tuple[int, str]]:
    for position, existing in enumerate(read):
        for base in BASES:
            if base != existing:
                yield position, read[:position] + base + read[position + 1 :]


def listing(whitelist: Sequence[str]) -> dict[str, int]:
    return {barcode: row for row, barcode in enumerate(whitelist)}


def pack(read: str) -> tuple[int, int]:
    """Two bits a base, N as G; and -1 (no N), the place of a single N, -2 (several), -3 (a letter that is no base)."""
    bases = clean(read)
    if set(bases) - set("ACGTN"):
        return 0, -3
    code = 0
    for base in bases:
        code = 4 * code + BASES.index("G" if base == "N" else base)
    return code, {0: -1, 1: bases.find("N")}.get(bases.count("N"), -2)


def candidates(read: str, listed: Mapping[str, int]) -> list[tuple[int, int]]:
    """(row, changed position) of the entries one substitution away; an N is a base like any other, on no list."""
    return [(listed[other], position) for position, other in substitutions(read) if other in listed]


def count_exact(reads: Sequence[str], listed: Mapping[str, int]) -> Counter[int]:
    return Counter(listed[clean(r)] for r in reads if clean(r) in listed)


def correct(read: str, quality: str | None, listed: Mapping[str, int], counts: Mapping[int, int], *,
            policy: str, threshold: float = 0.975) -> tuple[int, str, float, int]:
    """Row, state, posterior and changed position of a read that is not on the list."""
    if policy == "unique":
        filled = read.replace("N", "G")
        found = [(listed[filled], -1)] if filled in listed else candidates(filled, listed)
        weights = [1.0] * len(found)
    else:
        found = candidates(read, listed)
        weights = [(1.0 + counts.get(row, 0)) * error("B" if quality is None else quality[at]) for row, at in found]
    total = 0.0
    for weight in weights:
        total += weight
    posterior = max(weights) / total if found else 0.0
    if found and posterior >= threshold:
        row, at = found[weights.index(max(weights))]
        return row, "corrected", posterior, at
    state = "n" if "N" in read else "ambiguous" if found else "none"
    return -1, state, posterior, -1


def match(reads: Sequence[str], qualities: Sequence[str] | None, listed: Mapping[str, int], *, policy: str,
          ) -> list[tuple[int, str, float, int]]:
    """What becomes of each read, under ``cellranger`` or ``unique``."""
    counts = count_exact(reads, listed)
    out = []
    for i, raw in enumerate(reads):
        read = clean(raw)
        if read in listed:
            out.append((listed[read], "exact", 1.0, -1))
        else:
            quality = None if qualities is None else qualities[i]
            out.append(correct(read, quality, listed, counts, policy=policy))
    return out


def likelihood(read: str, barcode: str, rates: Sequence[float]) -> float:
    """P(read | barcode) over P(read | itself): N says nothing; a wrong base is each of the three others alike."""
    product = 1.0
    for base, true, rate in zip(read, barcode, rates, strict=True):
        if base not in ("N", true):
            product *= rate / 3.0 / (1.0 - rate)
    return product


def shares(read: str, whitelist: Sequence[str], weights: Sequence[float], rates: Sequence[float],
           ) -> tuple[int, int, float, float, float]:
    """Best row, number of candidates, its weight, the weight of all entries within reach, and the scale.

    Within reach: two mismatches besides a single N's place; one for a read that is on the list.
    """
    scale = 1.0
    for base, rate in zip(read, rates, strict=True):
        scale *= 4.0 if base == "N" and read.count("N") == 1 else 1.0 / (1.0 - rate)
    best, found, highest, mass = -1, 0, 0.0, 0.0
    if read.count("N") > 1:
        return best, found, highest, mass, scale
    with_n = read.count("N")
    reach = 1 if read in whitelist or with_n else 2
    for row, barcode in enumerate(whitelist):
        away = sum(a not in ("N", b) for a, b in zip(read, barcode, strict=True))
        if away > reach:
            continue
        weight = weights[row] * likelihood(read, barcode, rates)
        mass += weight
        near = away == 0 if with_n else away == 1
        found += near
        if read == barcode or (near and weight > highest and read not in whitelist):
            best, highest = row, weight
    return best, found, highest, mass, scale


def product_blocks(whitelist: Sequence[str], cut: int) -> int | None:
    """Number of blocks if the list is a disjoint union of products at this cut, else None."""
    rights: dict[str, set[str]] = {}
    for barcode in whitelist:
        rights.setdefault(barcode[:cut], set()).add(barcode[cut:])
    sets = {frozenset(s) for s in rights.values()}
    return len(sets) if sum(map(len, sets)) == len(frozenset().union(*sets)) else None


class Factored(Mapping[str, int]):
    """A real list as its blocks of words: barcode to row of the expansion, by two dictionaries of half-words."""

    def __init__(self, path: Path) -> None:
        self._left: dict[str, tuple[int, int]] = {}
        self._right: dict[str, tuple[int, int]] = {}
        self._words: dict[tuple[int, str], list[str]] = {}
        with gzip.open(path, "rt") as handle:
            next(handle)
            for line in handle:
                block, side, word = line.split()
                self._words.setdefault((int(block), side), []).append(word)
        offset = 0
        for block in sorted({b for b, _ in self._words}):
            lefts, rights = self._words[block, "L"], self._words[block, "R"]
            self._left |= {x: (block, offset + i * len(rights)) for i, x in enumerate(lefts)}
            self._right |= {x: (block, i) for i, x in enumerate(rights)}
            offset += len(lefts) * len(rights)
        self._n, self._cut = offset, len(next(iter(self._left)))

    def __getitem__(self, barcode: str) -> int:
        left, right = self._left.get(barcode[: self._cut]), self._right.get(barcode[self._cut :])
        if left is None or right is None or left[0] != right[0]:
            raise KeyError(barcode)
        return left[1] + right[1]

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[str]:
        for lefts, rights in self.blocks():
            yield from (a + b for a, b in itertools.product(lefts, rights))

    def blocks(self) -> list[tuple[list[str], list[str]]]:
        """Left and right words of each block."""
        return [(self._words[b, "L"], self._words[b, "R"]) for b in sorted({b for b, _ in self._words})]
