"""The k-mer filter in plain Python: sets of strings, every mismatch counted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

BASES = "ACGT"
KINDS = ("nothing", "shared", "weak", "unique", "several")


def back(word: str) -> str:
    return word[::-1].translate(str.maketrans("ACGT", "TGCA"))


def canonical(word: str) -> str:
    return min(word, back(word))


def words(sequence: str, k: int) -> list[tuple[int, str]]:
    """Place and canonical k-mer wherever all bases are known."""
    upper = sequence.upper()
    cut = ((at, upper[at : at + k]) for at in range(len(upper) - k + 1))
    return [(at, canonical(w)) for at, w in cut if set(w) <= set(BASES)]


def letters(listed: Sequence[str], k: int) -> np.ndarray:
    return np.frombuffer("".join(listed).encode(), np.uint8).reshape(len(listed), k)


def mismatches(left: Sequence[str], right: Sequence[str], k: int) -> np.ndarray:
    """Mismatches (left, right) on the better strand."""
    a, b, c = letters(left, k), letters(right, k), letters([back(w) for w in right], k)
    one, two = ((a[:, None] != x[None]).sum(axis=2) for x in (b, c))
    return np.minimum(one, two)


class Index:
    def __init__(self, targets: Sequence[str], decoys: Sequence[str], k: int, junctions: Sequence[Sequence[int]],
                 margin: int, flank: int = 100) -> None:
        self.k = k
        exact: dict[str, set[int]] = {}
        self.crossing: set[str] = set()
        for bit, sequence in enumerate(targets):
            for at, word in words(sequence, k):
                exact.setdefault(word, set()).add(bit)
                if any(at + margin <= j <= at + k - margin for j in junctions[bit]):
                    self.crossing.add(word)
        listed = list(exact)
        close = mismatches(listed, listed, k) <= 1
        self.targets = {w: frozenset().union(*(exact[listed[j]] for j in np.flatnonzero(close[i])))
                        for i, w in enumerate(listed)}
        self.shared: set[str] = set()
        self.near: set[str] = set()
        self.endogenous: set[str] = set()
        for decoy in decoys:
            self._mask(words(decoy, k), listed, flank)
        self.near -= self.shared

    def _mask(self, decoy: list[tuple[int, str]], listed: list[str], flank: int) -> None:
        if not decoy or not listed:
            return
        apart = mismatches(listed, [w for _, w in decoy], self.k)
        self.shared |= {listed[i] for i in np.flatnonzero(apart.min(axis=1) <= 1)}
        self.near |= {listed[i] for i in np.flatnonzero(apart.min(axis=1) == 2)}
        nearest = apart.min(axis=0)
        hits = [at for (at, _), n in zip(decoy, nearest, strict=True) if n <= 1]
        self.endogenous |= {w for (at, w), n in zip(decoy, nearest, strict=True)
                            if n >= 2 and any(abs(at - h) <= flank for h in hits)}


def covered(places: Sequence[int], k: int) -> int:
    return len({at + j for at in places for j in range(k)})


def scan(read: str, index: Index) -> tuple[str, frozenset[int] | None, int, int, bool]:
    """Kind, set of targets, unique bases, endogenous bases, and whether a unique junction k-mer is there."""
    k = index.k
    seen = [(at, w) for at, w in words(read, k) if w in index.targets]
    unique = [(at, w) for at, w in seen if w not in index.shared]
    shared = [w for _, w in seen if w in index.shared]
    native = covered([at for at, w in words(read, k) if w in index.endogenous], k)
    places = [at for at, _ in unique]
    crossing = any(w in index.crossing and w not in index.near for _, w in unique)
    enough = crossing or (bool(places) and places[-1] - places[0] >= k) or clean_run(unique, index)
    if not enough and shared:
        return "shared", frozenset.intersection(*(index.targets[w] for w in shared)), covered(places, k), native, False
    if not unique:
        return "nothing", None, 0, native, False
    common = frozenset.intersection(*(index.targets[w] for _, w in unique))
    kind = "weak" if not enough else "unique" if common else "several"
    return kind, common, covered(places, k), native, crossing


def clean_run(unique: Sequence[tuple[int, str]], index: Index) -> bool:
    """An unbroken stretch of 33 bases that holds a k-mer not near a decoy."""
    runs: list[list[str]] = []
    for n, (at, word) in enumerate(unique):
        if n and unique[n - 1][0] == at - 1:
            runs[-1].append(word)
        else:
            runs.append([word])
    for run in runs:
        for end in range(33 - index.k + 1, len(run) + 1):
            if any(w not in index.near for w in itertools.islice(run, end)):
                return True
    return False
