"""Which reads come from a target sequence (a CAR construct, a virus) and from nothing else.

Contract of both devices (slow plain version: ``tests/oracles/kmers.py``). All integer, bit-identical.

- A k-mer and its reverse complement are one. A target k-mer is *shared* if a decoy sequence has it, or has it with one
  base changed, on either strand: one sequencing error must never turn an endogenous read into a target read. The
  others are *unique*; each knows the targets that have it, or have it with one base changed (one bit per target, at
  most 32: an error must not turn one construct into its sister either), and whether it crosses a junction of a target
  with at least `margin` bases on both sides.
- Kinds of read. ``nothing``: no target k-mer. ``shared``: only shared ones; never counts. ``weak``: unique k-mers, but
  not enough of them. ``unique``: enough (two unique k-mers that do not overlap, or an unbroken unique stretch of 33
  bases, or a junction k-mer), and some target has all the unique ones. ``several``: enough, but no target has all.
- Bases other than A, C, G, T (either case) break k-mers.
- A read is looked at closely only if, at every 14th base (k - 11), one of its 12-base words is a word of a target
  k-mer; every k-mer contains such a word, so nothing is lost.
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

KINDS = ("nothing", "shared", "weak", "unique", "several")
MAX_TARGETS = 32
Place = Literal["cpu", "cuda"]
_BLOCK = 128

__all__ = ["KINDS", "MAX_TARGETS", "Index", "Scan", "cuda_defines", "index", "scan"]


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Target k-mers.

    Attributes
    ----------
    k
        Bases per k-mer.
    keys
        uint64: open addressing with linear probing, a power of two.
    masks, flags
        uint32, uint8, by slot: targets that have the k-mer, at up to one mismatch; bit 0 shared, bit 1 junction.
    seeds
        uint64 bitmap of the 12-base words of the k-mers, both strands.
    """

    k: int
    keys: np.ndarray
    masks: np.ndarray
    flags: np.ndarray
    seeds: np.ndarray


@dataclass(frozen=True, slots=True)
class Scan:
    """What each read is.

    Attributes
    ----------
    kind
        uint8 (n,): position in `KINDS`.
    mask
        uint32 (n,): targets that have all its unique k-mers (0 without unique k-mers).
    unique_bases
        int32 (n,): bases covered by unique k-mers.
    junction
        bool (n,): it holds a unique junction k-mer.
    """

    kind: np.ndarray
    mask: np.ndarray
    unique_bases: np.ndarray
    junction: np.ndarray


def cuda_defines() -> dict[str, str]:
    """Constants of ``kmers.cu``."""
    names = ("NOTHING", "SHARED", "WEAK", "UNIQUE", "SEVERAL", "FLAG_SHARED", "FLAG_JUNCTION", "SEED", "CLEAN_RUN")
    return {name: f"({getattr(cpu, name)})" for name in names} | {
        "EMPTY": f"{cpu.EMPTY}ull", "FACTOR": f"{cpu.FACTOR}ull"}


def _ascii(sequence: str | bytes) -> np.ndarray:
    return np.frombuffer(sequence.encode("ascii", "replace") if isinstance(sequence, str) else sequence, np.uint8)


def _table(entries: int) -> np.ndarray:
    return np.full(1 << max(4, int(2 * entries).bit_length()), cpu.EMPTY, np.uint64)


def index(targets: Sequence[str | bytes], *, decoys: Iterable[str | bytes] = (), k: int = 25,
          junctions: Sequence[Sequence[int]] | None = None, margin: int = 10) -> Index:
    """Index the k-mers of the targets and mask those of the decoys.

    Parameters
    ----------
    targets
        Sequences, one bit each.
    decoys
        Endogenous sequences, a few genes or a whole transcriptome; they are read once and not kept.
    k
        Bases per k-mer, 13 to 31.
    junctions
        For each target the places (bases before the junction) where parts meet that nature has apart.
    margin
        Bases a junction k-mer must have on both sides.

    Raises
    ------
    InputError
        No target or more than 32, a target shorter than k, k out of range.
    """
    if not 13 <= k <= 31:
        raise InputError("k", f"found {k}", "use 13 to 31 bases")
    if not 1 <= len(targets) <= MAX_TARGETS:
        raise InputError("targets", f"found {len(targets)} sequences", f"give 1 to {MAX_TARGETS}")
    arrays = [_ascii(t) for t in targets]
    short = [i for i, a in enumerate(arrays) if a.size < k]
    if short:
        raise InputError("targets", f"sequence {short[0] + 1} has {arrays[short[0]].size} bases",
                         f"give sequences of at least {k} bases")
    keys = _table(sum(a.size for a in arrays))
    masks, flags = np.zeros(keys.size, np.uint32), np.zeros(keys.size, np.uint8)
    seeds = np.zeros(4**cpu.SEED // 64, np.uint64)
    n = 0
    for bit, array in enumerate(arrays):
        places = np.asarray([] if junctions is None else junctions[bit], np.int64)
        n += cpu.add_target(array, k, bit, places, margin, keys, masks, flags, seeds)
    near = _table(n * (3 * k + 1))
    cpu.add_neighbours(keys, k, near)
    for decoy in decoys:
        cpu.mask_by(_ascii(decoy), k, near, keys, flags)
    wide = np.zeros_like(masks)
    cpu.widen(keys, k, masks, wide)
    return Index(k, keys, wide, flags, seeds)


@lru_cache(maxsize=4)
def _on_device(built: Index, xp: Any) -> tuple[Any, ...]:
    return (xp.asarray(built.keys), xp.asarray(built.masks), xp.asarray(built.flags), np.int64(built.keys.size),
            xp.asarray(built.seeds))


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
    if device == "cpu":
        out = tuple(np.empty(n, t) for t in (np.uint8, np.uint32, np.int32, np.bool_))
        cpu.scan(buffer, start, length, built.k, built.keys, built.masks, built.flags, built.seeds, *out)
        return Scan(*out)
    xp = _backend.cupy()
    held = tuple(xp.empty(n, t) for t in (np.uint8, np.uint32, np.int32, np.bool_))
    if n:
        given = [xp.asarray(a) for a in (np.ascontiguousarray(buffer), start, length)]
        function = _backend.module("kmers", cuda_defines()).get_function("scan")
        function((-(-n // _BLOCK),), (_BLOCK,), (*given, np.int64(n), np.int32(built.k), *_on_device(built, xp), *held))
    return Scan(*(_backend.to_host(a) for a in held))
