"""UMI collapse and count: from (cell, feature, UMI) of each read to molecules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numba import njit, prange

from benchmarks._runner import Case, Contender
from benchmarks.kernels._library import mixed
from sclineage import _backend
from sclineage.kernels import umis

LENGTH = 12


@cache
def reads(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads of molecules with a geometric number of reads, 0.5 % of the UMI bases wrong."""
    rng = np.random.default_rng(3)
    molecules = n // 4
    cell, feature = rng.integers(0, 5000, molecules), (rng.pareto(1.0, molecules) * 20).astype(np.int64) % 20_000
    umi = rng.integers(0, 4**LENGTH, molecules).astype(np.uint64)
    of = np.repeat(np.arange(molecules), rng.geometric(0.25, molecules))[:n]
    of = rng.permutation(np.concatenate([of, rng.integers(0, molecules, n - of.size)]))
    code = umi[of]
    wrong = np.flatnonzero(rng.random(n) < 0.005 * LENGTH)
    shift = 2 * rng.integers(0, LENGTH, wrong.size).astype(np.uint64)
    code[wrong] ^= rng.integers(1, 4, wrong.size).astype(np.uint64) << shift
    return cell[of], feature[of], code


def _count(policy: Any, device: Any) -> Any:
    def run(ready: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        rows = umis.tally(*ready)
        return umis.merge(rows, umis.collapse(rows, length=LENGTH, policy=policy, device=device))

    return run


def _numpy_count(ready: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows by NumPy: what the policy ``exact`` has to beat."""
    _, counts = np.unique(np.rec.fromarrays([*ready]), return_counts=True)
    return np.arange(counts.size), counts


def _arrays(result: tuple[np.ndarray, np.ndarray]) -> Mapping[str, np.ndarray]:
    return {"row": result[0], "reads": result[1]}


def cases(*, tiny: bool) -> list[Case]:
    """One case per policy."""
    n = 20_000 if tiny else 4_000_000
    out = []
    for policy in umis.POLICIES:
        contenders = [Contender("sclineage numba", _count(policy, "cpu"))]
        if policy == "exact":
            contenders.append(Contender("numpy unique", _numpy_count))
        out.append(Case(f"reads to molecules, {policy}", "reads", n, lambda: reads(n), contenders, _arrays))
    return out


# --- on a device -----------------------------------------------------------------------------------------------------
ROW_BYTES = 4 + 8 + 4 + 4  # group, UMI and reads of a row in, its target out; its neighbours come from the cache


@njit(cache=True, parallel=True)
def _draw(keys: np.ndarray, cells: int, features: int) -> None:
    step, unit = np.uint64(0x9E3779B97F4A7C15), 2.0**-53
    for molecule in prange(keys.size // 4):
        draw = mixed(np.uint64(molecule) * step)
        part = (mixed(draw) >> np.uint64(11)) * unit
        feature = np.uint64(features * part * part * part)  # features differ in depth: the first has 4 % of a cell
        pair = ((draw % np.uint64(cells)) << np.uint64(16)) | feature
        umi = mixed(draw + step) & np.uint64(4**LENGTH - 1)
        for k in range(4):
            error = mixed(draw ^ (np.uint64(k) + np.uint64(1)))
            shift = np.uint64(2) * ((error >> np.uint64(20)) % np.uint64(LENGTH))
            changed = (np.uint64(1) + (error >> np.uint64(40)) % np.uint64(3)) << shift
            wrong = error % np.uint64(1000) < np.uint64(5 * LENGTH)
            read = (np.uint64(4 * molecule + k) * np.uint64(2654435761)) % np.uint64(keys.size)  # a permutation
            keys[read] = (pair << np.uint64(2 * LENGTH)) | (umi ^ changed if wrong else umi)


@cache
def keys(n: int) -> np.ndarray:
    """Reads as (cell, feature, UMI) in one number; four of a molecule, 0.5 % of the UMI bases wrong."""
    out = np.empty(n - n % 4, np.uint64)
    _draw(out, max(n // 50_000, 10), 20_000)
    return out


@cache
def rows_of(n: int) -> umis.Tally:
    """Distinct rows of `keys`, sorted."""
    ordered = np.sort(keys(n))
    first = np.append(np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])), ordered.size)
    row = ordered[first[:-1]]
    pair, umi = row >> np.uint64(2 * LENGTH), row & np.uint64(4**LENGTH - 1)
    return umis.Tally((pair >> np.uint64(16)).astype(np.int64), (pair & np.uint64(0xFFFF)).astype(np.int64), umi,
                      np.diff(first), np.zeros(0, np.int64), first)


def _held(rows: umis.Tally) -> tuple[np.ndarray, ...]:
    pair = (rows.cell << 16) | rows.feature
    groups = np.cumsum(np.append(False, pair[1:] != pair[:-1]), dtype=np.int32)
    return groups, rows.umi, rows.reads.astype(np.int32)


def _page_locked(rows: umis.Tally) -> list[np.ndarray]:
    out = []
    for array in _held(rows):
        out.append(_backend.pinned(array.shape, array.dtype))
        out[-1][...] = array
    return [*out, _backend.pinned(rows.umi.shape, np.int32)]


def _collapse(policy: Any, device: Any) -> Any:
    return lambda rows: umis.collapse(rows, length=LENGTH, policy=policy, device=device)


def _resident(policy: Any) -> Any:
    return lambda held: umis.collapse_resident(*held, length=LENGTH, policy=policy)


def _there_and_back(policy: Any) -> Any:
    def run(held: list[np.ndarray]) -> np.ndarray:
        found = umis.collapse_resident(*map(_backend.to_device, held[:3]), length=LENGTH, policy=policy)
        return _backend.to_host(found, held[3])

    return run


def _target(result: Any) -> Mapping[str, np.ndarray]:
    return {"target": np.asarray(_backend.to_host(result)).astype(np.int64)}


def _split(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pair = packed >> np.uint64(2 * LENGTH)
    return pair >> np.uint64(16), pair & np.uint64(0xFFFF), packed & np.uint64(4**LENGTH - 1)


def _reads_numba(ready: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return umis.count(*ready, length=LENGTH)


def _reads_cuda(ready: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    found = umis.count(*map(_backend.to_device, ready), length=LENGTH, device="cuda")
    return tuple(map(_backend.to_host, found))


def _molecules(result: tuple[np.ndarray, ...]) -> Mapping[str, np.ndarray]:
    return {name: np.asarray(a).astype(np.int64) for name, a in zip("cfur", result, strict=True)}


def device_cases(*, tiny: bool) -> list[Case]:
    """The collapse alone on rows of 100 million reads, and reads to molecules end to end."""
    n = 20_000 if tiny else 100_000_000
    few = n // 10
    out = []
    for policy in ("cellranger", "directional"):
        contenders = [
            Contender("sclineage numba, all threads", _collapse(policy, "cpu")),
            Contender("sclineage cuda, rows on the device", _resident(policy),
                      lambda rows: tuple(map(_backend.to_device, _held(rows))), "cuda", bytes_per_unit=ROW_BYTES),
            Contender("sclineage cuda, rows from the host, targets back", _there_and_back(policy), _page_locked, "cuda",
                      bytes_per_unit=ROW_BYTES)]
        out.append(Case(f"collapse, {policy}, rows of {n:,} reads", "rows", rows_of(n).umi.size, lambda: rows_of(n),
                        contenders, _target))
    return [*out, Case("reads to molecules end to end, cellranger", "reads", few, lambda: _split(keys(few)),
                       [Contender("sclineage numba, all threads", _reads_numba),
                        Contender("sclineage cuda, sorted and collapsed there", _reads_cuda, device="cuda")],
                       _molecules)]
