"""The k-mer filter in plain Python: sets of strings, every mismatch spelt out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

BASES = "ACGT"
KINDS = ("nothing", "shared", "weak", "unique", "several")


def canonical(word: str) -> str:
    back = word[::-1].translate(str.maketrans("ACGT", "TGCA"))
    return min(word, back)


def words(sequence: str, k: int) -> list[tuple[int, str]]:
    """Place and canonical k-mer wherever all bases are known."""
    upper = sequence.upper()
    cut = ((at, upper[at : at + k]) for at in range(len(upper) - k + 1))
    return [(at, canonical(w)) for at, w in cut if set(w) <= set(BASES)]


def within_one(word: str) -> set[str]:
    return {canonical(word[:i] + b + word[i + 1 :]) for i in range(len(word)) for b in BASES}


class Index:
    def __init__(self, targets: Sequence[str], decoys: Sequence[str], k: int, junctions: Sequence[Sequence[int]],
                 margin: int) -> None:
        self.k = k
        self.targets: dict[str, set[int]] = {}
        self.crossing: set[str] = set()
        for bit, sequence in enumerate(targets):
            for at, word in words(sequence, k):
                self.targets.setdefault(word, set()).add(bit)
                if any(at + margin <= j <= at + k - margin for j in junctions[bit]):
                    self.crossing.add(word)
        exact = {w: set(bits) for w, bits in self.targets.items()}
        for word, bits in self.targets.items():
            for other in within_one(word):
                bits |= exact.get(other, set())
        endogenous = {w for d in decoys for _, w in words(d, k)}
        self.shared = {w for w in self.targets if not within_one(w).isdisjoint(endogenous)}


def scan(read: str, index: Index) -> tuple[str, int, int, bool]:
    """Kind, mask, unique bases and whether a unique junction k-mer is there."""
    k = index.k
    seen = [(at, w) for at, w in words(read, k) if w in index.targets]
    unique = [(at, w) for at, w in seen if w not in index.shared]
    if not unique:
        return ("shared" if seen else "nothing"), 0, 0, False
    places = [at for at, _ in unique]
    covered = {at + j for at in places for j in range(k)}
    longest = run = k
    for a, b in itertools.pairwise(places):
        run = run + 1 if b == a + 1 else k
        longest = max(longest, run)
    crossing = any(w in index.crossing for _, w in unique)
    common = set.intersection(*(index.targets[w] for _, w in unique))
    enough = places[-1] - places[0] >= k or longest >= 33 or crossing
    kind = "weak" if not enough else "unique" if common else "several"
    return kind, sum(1 << bit for bit in common), len(covered), crossing
