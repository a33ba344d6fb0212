"""Barcode correction: the whole match and its parts, on lists shaped like the kits', with the peer's algorithm beside.

The lists have the block structure of 10x 3' v2 (737,280 barcodes, one block) and v3 (6.8 million), with random words,
so that the benchmark needs no kit file. Beside it runs the search of STARsolo's ``1MM_multi_Nbase_pseudocounts`` as its
documentation and source describe it, restated in Numba: a binary search of the sorted list for each of the 48
substitutions. It is not the program itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from benchmarks._runner import Case, Contender
from benchmarks.kernels import _library
from sclineage import _backend
from sclineage.kernels import barcodes, matching
from sclineage.kernels.whitelists import Whitelist, whitelist

SHAPES = {"v2-like": (7, 9, 480, 1536), "v3-like": (7, 9, 960, 7078)}


def word_list(shape: str, *, tiny: bool) -> np.ndarray:
    """Packed barcodes of a product of random half-words, sorted."""
    left, right, n_left, n_right = SHAPES[shape]
    if tiny:
        n_left, n_right = n_left // 24, n_right // 24
    rng = np.random.default_rng(left + n_left)
    lefts = np.sort(rng.choice(4**left, n_left, replace=False)).astype(np.uint64)
    rights = np.sort(rng.choice(4**right, n_right, replace=False)).astype(np.uint64)
    return ((lefts[:, None] << np.uint64(2 * right)) | rights).ravel()


@cache
def library(shape: str, n: int, *, tiny: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads (n, 16), qualities and the list: 10,000 cells hold nine tenths, 0.68 % of the bases are wrong."""
    codes = word_list(shape, tiny=tiny)
    made = _library.reads(codes, n, seed=7)
    return made.ascii(), made.qualities, codes


@njit(cache=True)
def _binary(keys: np.ndarray, code: np.uint64) -> int:
    low, high = 0, keys.size
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < code:
            low = middle + 1
        else:
            high = middle
    return low if low < keys.size and keys[low] == code else -1


@njit(cache=True)
def search_all(codes: np.ndarray, quality: np.ndarray, keys: np.ndarray, error: np.ndarray, out: np.ndarray) -> None:
    """Rank of each read of 16 packed bases without N, or -1: STARsolo's search, restated."""
    counts = np.zeros(keys.size, np.int64)
    for i in range(codes.size):
        out[i] = _binary(keys, codes[i])
        if out[i] >= 0:
            counts[out[i]] += 1
    for i in range(codes.size):
        if out[i] >= 0:
            continue
        best, highest, total = -1, 0.0, 0.0
        for position in range(16):
            shift = np.uint64(2 * (15 - position))
            for delta in range(1, 4):
                row = _binary(keys, codes[i] ^ (np.uint64(delta) << shift))
                if row >= 0:
                    likelihood = (1.0 + counts[row]) * error[quality[i, position]]
                    total += likelihood
                    if likelihood > highest:
                        best, highest = row, likelihood
        out[i] = best if best >= 0 and highest / total >= 0.975 else -1


def _sorted_search(ready: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    reads, quality, keys = ready
    codes, _ = barcodes.pack(reads)
    out = np.empty(codes.size, np.int32)
    error = 10.0 ** (-np.clip(np.arange(256) - 33, 0, 33) / 10.0)
    search_all(codes, quality, keys, error, out)
    return out


def _ready(inputs: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, Whitelist]:
    return inputs[0], inputs[1], whitelist(inputs[2], 16)


def _match(policy: Any, device: Any) -> Any:
    return lambda ready: matching.match(*ready, policy=policy, device=device).index


def _index(result: Any) -> Mapping[str, np.ndarray]:
    return {"index": np.asarray(_backend.to_host(result))}


def cases(*, tiny: bool) -> list[Case]:
    """Match per list and policy; the peer's routine beside the default policy."""
    n = 20_000 if tiny else 4_000_000
    out = []
    for shape in SHAPES:
        contenders = [Contender("sclineage numba", _match("cellranger", "cpu"), _ready),
                      Contender("sorted list, 48 binary searches (STARsolo's routine)", _sorted_search)]
        out.append(Case(f"match, {shape}", "reads", n, lambda shape=shape: library(shape, n, tiny=tiny), contenders,
                        _index))
    for policy in ("unique", "calibrated"):
        out.append(Case(f"match {policy}, v2-like", "reads", n // 4, lambda: library("v2-like", n // 4, tiny=tiny),
                        [Contender("sclineage numba", _match(policy, "cpu"), _ready)], _index))
    out.append(Case("whitelist tables, v3-like", "barcodes", word_list("v3-like", tiny=tiny).size,
                    lambda: word_list("v3-like", tiny=tiny),
                    [Contender("product found and proven", lambda codes: whitelist(codes, 16)),
                     Contender("hash table", lambda codes: whitelist(codes, 16, product=False))],
                    lambda listed: {"codes": listed.codes()}))
    return out


# --- on a device -----------------------------------------------------------------------------------------------------
# Bytes per read of both passes with codes of 32 bits, one read in ten not on the list: 5 in, 10 out, and for the tenth
# 2 + 2 of its place, 5 in, 10 out and a sector of 32 bytes for its qualities. Tables and counts stay in the L2 cache.
PACKED_BYTES = 5 + 10 + 0.1 * (2 + 2 + 5 + 10 + 32)


@cache
def packed(shape: str, n: int, *, tiny: bool) -> tuple[_library.Reads, Whitelist]:
    """Packed reads in codes of 32 bits, and the list."""
    codes = word_list(shape, tiny=tiny)
    return _library.reads(codes, n, seed=7, narrow=True), whitelist(codes, 16)


def _numba_packed(ready: tuple[_library.Reads, Whitelist]) -> np.ndarray:
    made, listed = ready
    counts = np.zeros(listed.n, np.int32)
    return barcodes.match_packed(made.codes, made.n_at, made.qualities, listed, counts=counts)[0]


def _on_device(inputs: tuple[_library.Reads, Whitelist]) -> tuple[Any, ...]:
    made, listed = inputs
    return *map(_backend.to_device, (made.codes, made.n_at, made.qualities)), listed


def _resident(ready: tuple[Any, ...]) -> Any:
    """Both passes on packed reads and qualities that lie on the device already, and stay there."""
    codes, n_at, quality, listed = ready
    counts = _backend.cupy().zeros(listed.n, np.int32)
    return barcodes.match_packed(codes, n_at, quality, listed, counts=counts, device="cuda")[0]


def _page_locked(inputs: tuple[_library.Reads, Whitelist]) -> tuple[Any, ...]:
    made, listed = inputs
    held = [_backend.pinned(a.shape, a.dtype) for a in (made.codes, made.n_at)]
    for to, array in zip(held, (made.codes, made.n_at), strict=True):
        to[...] = array
    return *held, made.qualities, listed, _backend.pinned(made.codes.shape, np.int32)


def _there_and_back(ready: tuple[Any, ...]) -> np.ndarray:
    """Packed reads go over, then the qualities of those not on the list; ranks come back."""
    codes, n_at, quality, listed, ranks = ready
    counts = _backend.cupy().zeros(listed.n, np.int32)
    found = barcodes.match_packed(_backend.to_device(codes), _backend.to_device(n_at), quality, listed, counts=counts,
                                  device="cuda")
    return _backend.to_host(found[0], ranks)


def device_cases(*, tiny: bool) -> list[Case]:
    """Packed reads that lie on the device, that come from the host, and ASCII reads from the host."""
    n = 20_000 if tiny else 100_000_000
    out = []
    for shape in SHAPES:
        contenders = [
            Contender("sclineage numba, all threads", _numba_packed),
            Contender("sclineage cuda, packed reads on the device", _resident, _on_device, "cuda",
                      bytes_per_unit=PACKED_BYTES),
            Contender("sclineage cuda, packed reads from the host, ranks back", _there_and_back, _page_locked, "cuda",
                      bytes_per_unit=PACKED_BYTES)]
        out.append(Case(f"match packed reads, {shape}", "reads", n, lambda shape=shape: packed(shape, n, tiny=tiny),
                        contenders, _index))
    few = max(n // 10, 10_000)
    for shape, policy in (("v3-like", "cellranger"), ("v3-like", "unique"), ("v2-like", "calibrated")):
        size = few if policy != "calibrated" else few // 20
        out.append(Case(f"match ASCII reads end to end, {policy}, {shape}", "reads", size,
                        lambda shape=shape, size=size: library(shape, size, tiny=tiny),
                        [Contender("sclineage numba, all threads", _match(policy, "cpu"), _ready),
                         Contender("sclineage cuda, from host arrays and back", _match(policy, "cuda"), _ready,
                                   "cuda")], _index))
    return out
