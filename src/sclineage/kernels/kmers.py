"""Which reads come from a target sequence (a CAR construct, a virus) and from nothing else.

Contract of both devices (slow plain version: ``tests/oracles/kmers.py``). All integer, bit-identical.

- A k-mer and its reverse complement are one. A target k-mer is *shared* if a decoy sequence has it, or has it with one
  base changed, on either strand: one sequencing error must never turn an endogenous read into a target read. The
  others are *unique*; *near* where a decoy has it with two bases changed.
- Each target k-mer has a set of targets: those that have it, or have it with one base changed (an error must not turn
  one construct into its sister either). The set of a read is the intersection over its unique k-mers.
- A k-mer of a decoy that lies at most `FLANK` bases from a shared one, and is two changes or more from every target
  k-mer, is *endogenous*: what a read of the decoy shows and a read of the target does not.
- Kinds of read. ``unique``: two unique k-mers that do not overlap, or an unbroken unique stretch of 33 bases, or a
  junction k-mer; a stretch must hold a k-mer, and a junction k-mer must be one, that is not near (so no decoy read
  passes with fewer than three errors at chosen bases). ``several``: the same, and the intersection is empty.
  ``shared``: not enough unique k-mers, and some shared ones; its set is the intersection over those; never counts.
  ``weak``: unique k-mers, not enough. ``nothing``: no target k-mer.
- A junction k-mer crosses a junction of a target with at least `margin` bases on both sides.
- Bases other than A, C, G, T (either case) break k-mers.
- A read is looked at closely only if one of its 12-base words, looked at every 14th base (k - 11), passes a filter that
  every word of the k-mers above passes; every k-mer contains such a word, so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from .. import _backend
from .._errors import InputError
from . import kmers_cpu as cpu
from . import kmers_index_cpu as build
from .kmers_sets import MAX_SETS, Sets, close

KINDS = ("nothing", "shared", "weak", "unique", "several")
MAX_TARGETS = MAX_SETS // 2
FLANK = 100
LEAST_BASES = 50  # two k-mers of 25 bases that do not overlap
Place = Literal["cpu", "cuda"]
_BLOCK = 128

__all__ = ["FLANK", "KINDS", "MAX_TARGETS", "Index", "Scan", "cuda_defines", "index", "places", "scan"]


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Target k-mers.

    Attributes
    ----------
    k
        Bases per k-mer.
    members
        Targets of each set of targets: every target alone, in order, then the sets of several, last the empty set.
    meet
        int16 (sets, sets): intersections.
    keys
        uint64: open addressing with linear probing, a power of two.
    sets, flags
        int16, uint8, by slot: set of the k-mer; bit 0 shared, 1 junction, 2 near, 3 endogenous.
    seeds
        uint64: filter of the 12-base words of the k-mers, both strands; two bits each, in one word; a power of two.
    """

    k: int
    members: tuple[tuple[int, ...], ...]
    meet: np.ndarray
    keys: np.ndarray
    sets: np.ndarray
    flags: np.ndarray
    seeds: np.ndarray


@dataclass(frozen=True, slots=True)
class Scan:
    """What each read is.

    Attributes
    ----------
    kind
        uint8 (n,): position in `KINDS`.
    set
        int32 (n,): set of targets (position in `Index.members`), of the shared k-mers for kind ``shared``, else of the
        unique ones; -1 without.
    unique_bases, endogenous_bases
        int32 (n,): bases covered by unique and by endogenous k-mers.
    junction
        bool (n,): it holds a unique junction k-mer that is not near a decoy.
    """

    kind: np.ndarray
    set: np.ndarray
    unique_bases: np.ndarray
    endogenous_bases: np.ndarray
    junction: np.ndarray


def cuda_defines() -> dict[str, str]:
    """Constants of ``kmers.cu``."""
    names = ("NOTHING", "SHARED", "WEAK", "UNIQUE", "SEVERAL", "FLAG_SHARED", "FLAG_JUNCTION", "FLAG_NEAR",
             "FLAG_ENDOGENOUS", "SEED", "CLEAN_RUN")
    return {name: f"({getattr(cpu, name)})" for name in names} | {
        "EMPTY": f"{cpu.EMPTY}ull", "FACTOR": f"{cpu.FACTOR}ull", "LETTER_BITS": f"{cpu.LETTER_BITS}ull"}


def _ascii(sequence: str | bytes | np.ndarray) -> np.ndarray:
    if isinstance(sequence, np.ndarray):
        return sequence
    return np.frombuffer(sequence.encode("ascii", "replace") if isinstance(sequence, str) else sequence, np.uint8)


def index(targets: Sequence[str | bytes], *, decoys: Iterable[str | bytes] = (), k: int = 25,
          junctions: Sequence[Sequence[int]] | None = None, masked: Sequence[Sequence[tuple[int, int]]] | None = None,
          margin: int = 10) -> Index:
    """Index the k-mers of the targets and mask those of the decoys.

    Parameters
    ----------
    targets
        Sequences.
    decoys
        Endogenous sequences, a few genes or a whole transcriptome; they are read once and not kept.
    k
        Bases per k-mer, 13 to 31.
    junctions
        For each target the places (bases before the junction) where parts meet that nature has apart.
    masked
        For each target intervals (start, stop) whose k-mers count as shared whatever the decoys say.
    margin
        Bases a junction k-mer must have on both sides.

    Raises
    ------
    InputError
        No target or more than `MAX_TARGETS`, a target shorter than k, k out of range, targets that share k-mers in too
        many ways.
    """
    arrays = _checked(targets, k)
    owner, at, every = _all_kmers(arrays, k)
    codes, inverse = np.unique(every, return_inverse=True)
    pieces = build.pieces(codes, k)
    sets, ids = _sets(len(arrays), codes, inverse, owner, pieces)
    best, endogenous = _against(decoys, k, pieces, codes.size)
    flags = np.where(best <= 1, cpu.FLAG_SHARED, 0) | np.where(best == 2, cpu.FLAG_NEAR, 0)
    _flag(flags, inverse, _crossing(owner, at, k, junctions, margin), cpu.FLAG_JUNCTION)
    _flag(flags, inverse, _inside(owner, at, k, masked), cpu.FLAG_SHARED)
    return _table(k, sets, codes, ids, flags, endogenous)


def _checked(targets: Sequence[str | bytes], k: int) -> list[np.ndarray]:
    if not 13 <= k <= 31:
        raise InputError("k", f"found {k}", "use 13 to 31 bases")
    if not 1 <= len(targets) <= MAX_TARGETS:
        raise InputError("targets", f"found {len(targets)} sequences", f"give 1 to {MAX_TARGETS}")
    arrays = [_ascii(t) for t in targets]
    for i, array in enumerate(arrays):
        if array.size < k:
            raise InputError("targets", f"sequence {i + 1} has {array.size} bases",
                             f"give sequences of at least {k} bases")
    return arrays


def _all_kmers(arrays: Sequence[np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Target, place and canonical code of every k-mer."""
    owner, at, codes = [], [], []
    for t, array in enumerate(arrays):
        forward, known = build.kmers_of(array, k)
        at.append(np.flatnonzero(known))
        codes.append(build.canonical(forward[known], k))
        owner.append(np.full(at[-1].size, t, np.int64))
    return np.concatenate(owner), np.concatenate(at), np.concatenate(codes)


def _sets(n: int, codes: np.ndarray, inverse: np.ndarray, owner: np.ndarray, pieces: build.Pieces) -> tuple[
        Sets, np.ndarray]:
    """Set of targets of each k-mer: its own and those of k-mers one change away."""
    left, right = build.close_pairs(codes, pieces)
    own = np.unique(np.stack([inverse.ravel(), owner]), axis=1)
    count = np.bincount(own[0], minlength=codes.size)
    first = np.concatenate([[0], np.cumsum(count)])
    each = count[right]
    offset = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each)
    lent = np.stack([np.repeat(left, each), own[1][np.repeat(first[right], each) + offset]])
    pairs = np.unique(np.concatenate([own, lent], axis=1), axis=1)
    start = np.concatenate([[0], np.cumsum(np.bincount(pairs[0], minlength=codes.size))])
    return close(n, pairs[1], start)


def _against(decoys: Iterable[str | bytes], k: int, pieces: build.Pieces, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Mismatches of each target k-mer to the nearest decoy (3 for more), and the endogenous k-mers, sorted."""
    best = np.full(n, build.FAR, np.uint8)
    kept = [np.zeros(0, np.uint64)]
    for decoy in decoys:
        codes, known = build.kmers_of(_ascii(decoy), k)
        within = np.empty(codes.size, np.uint8)
        if build.nearest_decoy(codes, known, pieces, best, within):
            kept.append(build.canonical(codes[build.beside_shared(within, FLANK)], k))
    return best, np.unique(np.concatenate(kept))


def _crossing(owner: np.ndarray, at: np.ndarray, k: int, junctions: Sequence[Sequence[int]] | None,
              margin: int) -> np.ndarray:
    out = np.zeros(owner.size, bool)
    for t, places_ in enumerate(junctions or ()):
        for junction in places_:
            out |= (owner == t) & (at + margin <= junction) & (junction <= at + k - margin)
    return out


def _inside(owner: np.ndarray, at: np.ndarray, k: int, masked: Sequence[Sequence[tuple[int, int]]] | None
            ) -> np.ndarray:
    out = np.zeros(owner.size, bool)
    for t, intervals in enumerate(masked or ()):
        for start, stop in intervals:
            out |= (owner == t) & (at < stop) & (at + k > start)
    return out


def _flag(flags: np.ndarray, inverse: np.ndarray, where: np.ndarray, flag: int) -> None:
    flags[np.unique(inverse.ravel()[where])] |= flag


def _table(k: int, sets: Sets, codes: np.ndarray, ids: np.ndarray, flags: np.ndarray, endogenous: np.ndarray) -> Index:
    keys = build.empty_table(codes.size + endogenous.size)
    key_sets, key_flags = np.full(keys.size, -1, np.int16), np.zeros(keys.size, np.uint8)
    seeds = build.empty_seeds(codes.size + endogenous.size)
    build.fill(codes, ids, flags.astype(np.uint8), k, keys, key_sets, key_flags, seeds)
    build.fill(endogenous, np.full(endogenous.size, -1, np.int16),
               np.full(endogenous.size, cpu.FLAG_ENDOGENOUS, np.uint8), k, keys, key_sets, key_flags, seeds)
    return Index(k, sets.members, sets.meet, keys, key_sets, key_flags, seeds)


def places(sequence: str | bytes, built: Index) -> np.ndarray:
    """Flags of the k-mer at every place of a sequence.

    Returns
    -------
    int16 (bases - k + 1,): the flags of `Index.flags`; -1 where the index does not have the k-mer.
    """
    codes, known = build.kmers_of(_ascii(sequence), built.k)
    return build.flags_at(build.canonical(codes, built.k), known, built.keys, built.flags)


@lru_cache(maxsize=4)
def _on_device(built: Index, xp: Any) -> tuple[Any, ...]:
    return (xp.asarray(built.keys), xp.asarray(built.sets), xp.asarray(built.flags), np.int64(built.keys.size),
            xp.asarray(built.meet), np.int32(len(built.members)), xp.asarray(built.seeds), np.int64(built.seeds.size))


def scan(buffer: np.ndarray, start: np.ndarray, length: np.ndarray, built: Index, *, device: Place = "cpu") -> Scan:
    """Classify reads that lie in a block of text.

    Parameters
    ----------
    buffer
        uint8: the text.
    start, length
        int64 and int32 (n,): where the bases of each read begin, and how many they are.
    """
    n = start.size
    start, length = np.ascontiguousarray(start, np.int64), np.ascontiguousarray(length, np.int32)
    kinds = (np.uint8, np.int32, np.int32, np.int32, np.bool_)
    if device == "cpu":
        out = tuple(np.empty(n, t) for t in kinds)
        cpu.scan(buffer, start, length, built.k, built.keys, built.sets, built.flags, built.meet, built.seeds, *out)
        return Scan(*out)
    xp = _backend.cupy()
    held = tuple(xp.empty(n, t) for t in kinds)
    if n:
        given = [xp.asarray(a) for a in (np.ascontiguousarray(buffer), start, length)]
        function = _backend.module("kmers", cuda_defines()).get_function("scan")
        function((-(-n // _BLOCK),), (_BLOCK,), (*given, np.int64(n), np.int32(built.k), *_on_device(built, xp), *held))
    return Scan(*(_backend.to_host(a) for a in held))
