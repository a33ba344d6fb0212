"""Lineage barcodes: random bases between constant ones, read off the reads, then collapsed by distance and support.

A cassette is a target whose sequence has N at the random bases (``...ACGTNNNNTGNNNNCANNNN...``). A read shows its
barcode when the bases around it (up to 16 on both sides, at least 8) and the constant ones inside fit with at most one
mismatch each, on either strand. The feature is ``<cassette>_<BARCODE>``, random bases only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from .._errors import InputError
from .._settings import Device
from ..kernels import barcodes
from ..kernels.sequences import neighbor_pairs
from ..kernels.whitelists import decode
from .constructs import Calls, Targets
from .molecules import TargetReads, compress

ANCHOR, LEAST_ANCHOR, MOST_RANDOM = 16, 8, 32
LEAST_RATIO = 5  # molecules of a barcode over those of the one it swallows (starcode's default ratio)
_COMPLEMENT = np.zeros(256, np.uint8)
for _a, _b in zip(b"ACGTNacgtn", b"TGCANTGCAN", strict=True):
    _COMPLEMENT[_a] = _b

__all__ = ["Cassette", "LineageTargets", "cassette", "collapse_barcodes", "collapse_map", "extract",
           "with_cassettes"]


@dataclass(frozen=True, slots=True, eq=False)
class Cassette:
    """Pattern of a lineage barcode.

    Attributes
    ----------
    name
        Its name.
    pattern
        uint8: ASCII from the left anchor to the right one, N at random bases.
    left, right
        Bases of the anchors.
    """

    name: str
    pattern: np.ndarray
    left: int
    right: int

    @property
    def random(self) -> np.ndarray:
        """Places of the random bases in the pattern."""
        return np.flatnonzero(self.pattern == ord("N"))

    @property
    def distance(self) -> int:
        """Mismatches up to which a barcode may be a misreading of another: one in eight bases, at least one."""
        return max(1, self.random.size // 8)


def cassette(name: str, sequence: bytes) -> Cassette:
    """Pattern of a target sequence with random bases.

    Raises
    ------
    InputError
        No N, more than 32, or fewer than eight constant bases on a side.
    """
    bases = np.frombuffer(sequence, np.uint8)
    places = np.flatnonzero(bases == ord("N"))
    if not 1 <= places.size <= MOST_RANDOM:
        raise InputError(name, f"{places.size} random bases (N)", f"give a cassette of 1 to {MOST_RANDOM}")
    left, right = min(ANCHOR, int(places[0])), min(ANCHOR, bases.size - 1 - int(places[-1]))
    if min(left, right) < LEAST_ANCHOR:
        raise InputError(name, f"{left} constant bases before and {right} behind the random ones",
                         f"give at least {LEAST_ANCHOR} on both sides")
    return Cassette(name, bases[places[0] - left : places[-1] + right + 1].copy(), left, right)


def extract(bases: np.ndarray, offsets: np.ndarray, pattern: Cassette) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the reads that show a whole barcode, and the barcodes, packed uint64; the forward strand goes first."""
    found = np.full(offsets.size - 1, -1, np.int64)
    flipped = np.zeros(found.size, np.bool_)
    inside = pattern.pattern.size - pattern.right
    _locate(bases, offsets, pattern.pattern, pattern.left, inside, found)
    _locate_back(bases, offsets, _COMPLEMENT[pattern.pattern[::-1]], pattern.right,
                 pattern.pattern.size - pattern.left, found, flipped)
    rows = np.flatnonzero(found >= 0)
    width = pattern.pattern.size
    windows = bases[found[rows][:, None] + np.arange(width)] if rows.size else np.zeros((0, width), np.uint8)
    back = flipped[rows]
    windows[back] = _COMPLEMENT[windows[back][:, ::-1]]
    codes, n_at = barcodes.pack(np.ascontiguousarray(windows[:, pattern.random]))
    whole = n_at == -1
    return rows[whole], codes[whole]


@njit(cache=True)
def _fits(bases: np.ndarray, at: int, pattern: np.ndarray, first: int, last: int) -> bool:
    wrong = 0
    for k in range(first, last):
        if pattern[k] != 78 and (bases[at + k] & 0xDF) != pattern[k]:
            wrong += 1
            if wrong > 1:
                return False
    return True


@njit(cache=True)
def _first(bases: np.ndarray, begin: int, end: int, pattern: np.ndarray, left: int, inside: int) -> int:
    for at in range(begin, end - pattern.size + 1):
        if (_fits(bases, at, pattern, 0, left) and _fits(bases, at, pattern, inside, pattern.size)
                and _fits(bases, at, pattern, left, inside)):
            return at
    return -1


@njit(cache=True)
def _locate(bases: np.ndarray, offsets: np.ndarray, pattern: np.ndarray, left: int, inside: int,
            found: np.ndarray) -> None:
    for row in range(found.size):
        found[row] = _first(bases, offsets[row], offsets[row + 1], pattern, left, inside)


@njit(cache=True)
def _locate_back(bases: np.ndarray, offsets: np.ndarray, pattern: np.ndarray, left: int, inside: int,
                 found: np.ndarray, flipped: np.ndarray) -> None:
    for row in range(found.size):
        if found[row] < 0:
            found[row] = _first(bases, offsets[row], offsets[row + 1], pattern, left, inside)
            flipped[row] = found[row] >= 0


def collapse_map(codes: np.ndarray, molecules: np.ndarray, pattern: Cassette) -> np.ndarray:
    """Barcode that each barcode is counted as.

    From the one with most molecules on, each takes those within `Cassette.distance` mismatches that have at most a
    fifth of its molecules and are not taken yet; ties go to the smaller code. There are no chains.

    Parameters
    ----------
    codes
        uint64 (n,): distinct packed barcodes, ascending.
    molecules
        int64 (n,): molecules (cell and UMI) of each.

    Returns
    -------
    int64 (n,): row of the barcode it is counted as.
    """
    target = np.arange(codes.size)
    if codes.size < 2:
        return target
    texts = [w.tobytes().decode() for w in decode(codes, pattern.random.size)]
    one, other, _ = neighbor_pairs(texts, metric="hamming", cutoff=pattern.distance)
    pairs = np.concatenate([np.stack([one, other]), np.stack([other, one])], axis=1).astype(np.int64)
    pairs = pairs[:, molecules[pairs[0]] >= LEAST_RATIO * molecules[pairs[1]]]
    order = np.lexsort((pairs[1], pairs[0], -molecules[pairs[0]]))
    taken = np.zeros(codes.size, bool)
    for parent, child in pairs[:, order].T.tolist():
        if target[parent] == parent and not taken[child]:
            target[child], taken[child] = parent, True
    return target


def collapse_barcodes(reads: TargetReads, features: Sequence[str], known: Sequence[str], patterns: Sequence[Cassette],
                      codes: Sequence[tuple[int, int]]) -> tuple[TargetReads, list[str]]:
    """Collapse the lineage barcodes of a library.

    Parameters
    ----------
    reads
        Entries of the library; features behind `known` are lineage barcodes.
    features, known
        All features in the order in which they were met, and those that are no lineage barcodes.
    codes
        Cassette and packed barcode of each feature behind `known`.

    Returns
    -------
    The entries with the features they are counted with, and the features: `known`, then the barcodes by name.
    """
    n, moved = len(known), np.arange(len(features))
    for which, pattern in enumerate(patterns):
        mine = np.array([n + k for k, (c, _) in enumerate(codes) if c == which], np.int64)
        packed = np.array([codes[k - n][1] for k in mine], np.uint64)
        order = np.argsort(packed, kind="stable")
        mine, packed = mine[order], packed[order]
        support = np.bincount(reads.feature[reads.feature >= 0], minlength=len(features))[mine]
        moved[mine] = mine[collapse_map(packed, support, pattern)]
    kept = sorted({int(k) for k in moved[n:]}, key=lambda k: features[k])
    place = np.full(len(features) + 1, -1, np.int64)
    place[:n] = np.arange(n)
    place[kept] = n + np.arange(len(kept))
    feature = np.where(reads.feature >= 0, place[moved[reads.feature]], -1).astype(np.int32)
    return compress(replace(reads, feature=feature)), [*known, *(features[k] for k in kept)]


class LineageTargets:
    """Targets some of which are cassettes: reads that show a barcode count for it, the rest as without cassettes.

    Attributes
    ----------
    known
        Features that are no lineage barcodes.
    features
        Those, then the lineage barcodes in the order in which they were met.
    codes
        Cassette and packed barcode of each lineage barcode.
    """

    def __init__(self, targets: Targets, patterns: Sequence[Cassette]) -> None:
        self._targets, self.patterns = targets, list(patterns)
        self.known = list(targets.features)
        self.features = list(self.known)
        self.codes: list[tuple[int, int]] = []
        self._place: dict[tuple[int, int], int] = {}

    def classify(self, bases: np.ndarray, offsets: np.ndarray, device: Device = "auto") -> Calls:
        """See `constructs.Targets`."""
        calls = self._targets.classify(bases, offsets, device)
        feature, unique, endogenous = calls.feature.copy(), calls.unique_bases.copy(), calls.endogenous.copy()
        for which, pattern in enumerate(self.patterns):
            rows, codes = extract(bases, offsets, pattern)
            distinct, back = np.unique(codes, return_inverse=True)
            places = np.array([self._row(which, int(c)) for c in distinct], np.int32)
            feature[rows], unique[rows], endogenous[rows] = places[back], pattern.pattern.size, False
        return replace(calls, feature=feature, unique_bases=unique, endogenous=endogenous)

    def _row(self, which: int, code: int) -> int:
        key = (which, code)
        if key not in self._place:
            self._place[key] = len(self.features)
            word = decode(np.array([code], np.uint64), self.patterns[which].random.size)[0].tobytes().decode()
            self.features.append(f"{self.patterns[which].name}_{word}")
            self.codes.append(key)
        return self._place[key]


def with_cassettes(targets: Targets) -> Targets | LineageTargets:
    """The targets, with lineage barcodes read off the reads where some of them are cassettes.

    Raises
    ------
    InputError
        A cassette without random bases, with more than 32, or with fewer than eight constant bases on a side.
    """
    patterns = [cassette(t.name, t.sequence) for t in targets.targets if t.kind == "lineage"]
    return LineageTargets(targets, patterns) if patterns else targets
