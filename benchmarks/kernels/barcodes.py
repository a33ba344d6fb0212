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
from sclineage import _backend
from sclineage.kernels import barcodes, matching
from sclineage.kernels.whitelists import Whitelist, decode, whitelist

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
    rng = np.random.default_rng(7)
    cells = rng.choice(codes.size, 10_000 if not tiny else 100, replace=False)
    truth = np.where(rng.random(n) < 0.9, rng.choice(cells, n), rng.integers(0, codes.size, n))
    reads = decode(codes[truth], 16)
    bin_ = rng.choice(4, reads.shape, p=(0.92, 0.05, 0.02, 0.01))
    quality = np.array([70, 58, 44, 35], np.uint8)[bin_]
    wrong = rng.random(reads.shape) < np.array([0.0036, 0.01, 0.05, 0.2])[bin_]
    reads[wrong] = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, int(wrong.sum()))]
    return reads, quality, codes


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
def _search_all(codes: np.ndarray, quality: np.ndarray, keys: np.ndarray, error: np.ndarray, out: np.ndarray) -> None:
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
    _search_all(codes, quality, keys, error, out)
    return out


def _ready(inputs: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, Whitelist]:
    return inputs[0], inputs[1], whitelist(inputs[2], 16)


def _on_device(inputs: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[Any, Any, Any, Whitelist]:
    codes, n_at = barcodes.pack(inputs[0])
    return *map(_backend.to_device, (codes, n_at, inputs[1])), whitelist(inputs[2], 16)


def _kernels_only(ready: tuple[Any, Any, Any, Whitelist]) -> Any:
    """Both passes on packed reads that lie on the device already."""
    codes, n_at, quality, listed = ready
    xp = _backend.cupy()
    counts = xp.zeros(listed.n, xp.int32)
    ranks = barcodes.look_up(codes, n_at, listed, counts=counts, device="cuda")
    todo = xp.flatnonzero(ranks < 0)
    ranks[todo] = barcodes.correct(codes[todo], n_at[todo], quality[todo], listed, counts=counts, device="cuda")[0]
    return ranks


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
                      Contender("sclineage cuda, from host arrays", _match("cellranger", "cuda"), _ready, "cuda"),
                      Contender("sclineage cuda, kernels only", _kernels_only, _on_device, "cuda"),
                      Contender("sorted list, 48 binary searches (STARsolo's routine)", _sorted_search)]
        out.append(Case(f"match, {shape}", "reads", n, lambda shape=shape: library(shape, n, tiny=tiny), contenders,
                        _index))
    for policy in ("unique", "calibrated"):
        contenders = [Contender("sclineage numba", _match(policy, "cpu"), _ready),
                      Contender("sclineage cuda, from host arrays", _match(policy, "cuda"), _ready, "cuda")]
        out.append(Case(f"match {policy}, v2-like", "reads", n // 4, lambda: library("v2-like", n // 4, tiny=tiny),
                        contenders, _index))
    out.append(Case("whitelist tables, v3-like", "barcodes", word_list("v3-like", tiny=tiny).size,
                    lambda: word_list("v3-like", tiny=tiny),
                    [Contender("product found and proven", lambda codes: whitelist(codes, 16)),
                     Contender("hash table", lambda codes: whitelist(codes, 16, product=False))],
                    lambda listed: {"codes": listed.codes()}))
    return out
