"""Cell-barcode matching: which whitelist entry a read's barcode is, and how sure that is.

Contract of both devices (slow plain version: ``tests/oracles/barcodes.py``)

- A barcode packs two bits a base (A 0, C 1, G 2, T 3), first base most significant, in either case. N and ``.`` are
  unknown bases: `n_at` holds -1 without one, the position of a single one, -2 for more; any other letter is an error.
- Pass 1: a read without N that is on the list is `exact` and counts for its barcode. Pass 2, with these counts frozen:
  the candidates of the others are the entries one substitution away (with a single N: the entries that differ there
  only; with more: none), ordered by position and then base. The likeliest is taken if its posterior is at least 0.975,
  in float64, summed in that order; of equals the first is the likeliest.
- Policies. ``cellranger``: likelihood (1 + count) * 10^(-min(Q, 33) / 10), Q of the changed base, Q 33 without
  qualities; a lone candidate is always taken (Cell Ranger ``corrector.rs``, STARsolo
  ``1MM_multi_Nbase_pseudocounts``). ``unique``: N reads as G, and a read is corrected if it has exactly one candidate
  (``bustools correct``). ``calibrated``: see `matching.calibrate`.
- States: exact, corrected, ambiguous (candidates, none good enough), none, n (not corrected and with an N); they add up
  to the reads. Ranks and states are the same on both devices and for any number of threads; so are posteriors, float32
  (the same operations in the same order; 0 without a candidate, 1 / candidates for ``unique``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np

from .. import _backend
from . import barcodes_cpu as cpu
from .whitelists import HASH_FILTER, HASH_SLOT, RANK_BITS, RANK_MASK, Whitelist

STATES = ("exact", "corrected", "ambiguous", "none", "n")
THRESHOLD = 0.975
Place = Literal["cpu", "cuda"]
Policy = Literal["cellranger", "unique"]
_MAX_QUALITY = 33
_CHUNK = 4096  # reads that share a scratch buffer
_COUNTERS = 1 << 25  # at most this many private counters over all threads (128 MiB), and no more than reads
_BLOCK = 256
_SEGMENT = 4096  # reads of one block in the passes over packed reads; at most 65,536

__all__ = ["STATES", "THRESHOLD", "Place", "Policy", "complete", "correct", "cuda_defines", "error_table", "look_up",
           "match_packed", "pack", "shares", "spill"]


def cuda_defines() -> dict[str, str]:
    """Constants of ``barcodes.cu``."""
    numbers = {name: getattr(cpu, name) for name in (
        "NO_N", "MANY_N", "BAD_LETTER", "N_CODE", "EXACT", "CORRECTED", "AMBIGUOUS", "NONE", "WITH_N", "CELLRANGER",
        "UNIQUE")}
    numbers |= {"RANK_BITS": RANK_BITS, "RANK_MASK": RANK_MASK, "SEGMENT": _SEGMENT}
    return {name: f"({value})" for name, value in numbers.items()} | {
        "HASH_FILTER": f"{HASH_FILTER}ull", "HASH_SLOT": f"{HASH_SLOT}ull"}


# --- launching -------------------------------------------------------------------------------------------------------
def _launch_blocks(name: str, blocks: int, *arguments: Any) -> None:
    if blocks:
        _backend.module("barcodes", cuda_defines()).get_function(name)((blocks,), (_BLOCK,), arguments)


def _launch(name: str, n: int, *arguments: Any) -> None:
    _launch_blocks(name, -(-n // _BLOCK), *arguments)


def _xp(device: Place) -> Any:
    return np if device == "cpu" else _backend.cupy()


@lru_cache(maxsize=4)
def _device_tables(whitelist: Whitelist, xp: Any) -> tuple[Any, ...]:
    length, half, *arrays = whitelist.tables
    sizes = (np.int64(whitelist.tables.slots.size), np.int64(64 * whitelist.tables.bits.size))
    return (np.int32(length), np.int32(half), *(xp.asarray(a) for a in arrays), *sizes)


def pack(sequences: Any, *, device: Place = "cpu") -> tuple[Any, Any]:
    """Pack ASCII barcodes.

    Parameters
    ----------
    sequences
        uint8 (n, L), L at most 32, C-contiguous, on the device named.

    Returns
    -------
    codes uint64 (n,) and n_at int8 (n,): -1 no N, the position of a single N, -2 several, -3 another letter.
    """
    xp = _xp(device)
    n, length = sequences.shape
    codes, n_at = xp.empty(n, xp.uint64), xp.empty(n, xp.int8)
    if device == "cpu":
        cpu.pack(np.ascontiguousarray(sequences), codes, n_at)
    else:
        _launch("pack", n, xp.ascontiguousarray(sequences), np.int64(n), np.int32(length), codes, n_at)
    return codes, n_at


def look_up(codes: Any, n_at: Any, whitelist: Whitelist, *, counts: Any, device: Place = "cpu") -> Any:
    """Exact matches (pass 1).

    Parameters
    ----------
    codes, n_at
        As `pack` gives them.
    counts
        int32 (barcodes,): the reads of each barcode are added to it, by rank.

    Returns
    -------
    int32 (n,): rank in the sorted list, -1 for reads that are not on it.
    """
    xp = _xp(device)
    ranks = xp.empty(codes.size, xp.int32)
    if device == "cuda":
        _launch("look_up", codes.size, codes, n_at, np.int64(codes.size), *_device_tables(whitelist, xp), ranks, counts)
        return ranks
    import numba

    parts = min(numba.get_num_threads(), max(1, _COUNTERS // counts.size), 1 + codes.size // counts.size)
    private = counts[None] if parts == 1 else np.zeros((parts, counts.size), np.int32)
    cpu.look_up(codes, n_at, *whitelist.tables, ranks, private)
    if parts > 1:
        counts += private.sum(axis=0, dtype=np.int32)
    return ranks


def error_table() -> np.ndarray:
    """Probability that a base of each quality byte is wrong, float64 (256,)."""
    phred = np.clip(np.arange(256) - 33, 0, _MAX_QUALITY)
    return 10.0 ** (-phred / 10.0)


def _quality_rows(qualities: Any | None, length: int, xp: Any) -> Any:
    return xp.full((1, length), 33 + _MAX_QUALITY, xp.uint8) if qualities is None else xp.ascontiguousarray(qualities)


def correct(codes: Any, n_at: Any, qualities: Any | None, whitelist: Whitelist, *, counts: Any,
            policy: Policy = "cellranger", threshold: float = THRESHOLD,
            device: Place = "cpu") -> tuple[Any, Any, Any, Any]:
    """Correct reads that are not on the list (pass 2, `counts` frozen).

    Parameters
    ----------
    codes, n_at, qualities
        Of these reads only; qualities are uint8 (n, L) Phred + 33, or None.
    counts
        int32 (barcodes,): exact reads by rank.
    threshold
        Least posterior at which a candidate is taken.

    Returns
    -------
    ranks int32, states uint8, posteriors float32, changed int8, all (n,).
    """
    xp, n = _xp(device), codes.size
    out = (xp.empty(n, xp.int32), xp.empty(n, xp.uint8), xp.empty(n, xp.float32), xp.empty(n, xp.int8))
    rows = _quality_rows(qualities, whitelist.length, xp)
    error = xp.asarray(error_table())
    way = cpu.UNIQUE if policy == "unique" else cpu.CELLRANGER
    if device == "cpu":
        cpu.correct(codes, n_at, rows, *whitelist.tables, counts, error, threshold, way, _CHUNK, *out)
    else:
        step = np.int32(0 if rows.shape[0] == 1 else whitelist.length)
        _launch("correct", n, codes, n_at, np.int64(n), rows, step, *_device_tables(whitelist, xp), counts, error,
                np.float64(threshold), np.int32(way), *out)
    return out


def complete(codes: Any, n_at: Any, exact: Any, qualities: np.ndarray | None, whitelist: Whitelist, *, counts: Any,
             policy: Policy = "cellranger", device: Place = "cpu") -> tuple[Any, Any, Any, Any]:
    """Correct what `look_up` left, all reads at hand.

    Parameters
    ----------
    codes, n_at, exact
        All reads; `exact`, the ranks that `look_up` gave, is written to.
    qualities
        uint8 (n, L) on the host, or None.

    Returns
    -------
    ranks int32, states uint8, posteriors float32, changed int8, all (n,).
    """
    xp = _xp(device)
    todo = (exact < 0).nonzero()[0]
    rows = None
    if qualities is not None:
        rows = np.empty((todo.size, whitelist.length), np.uint8)
        cpu.rows_of(qualities, _backend.to_host(todo), rows)
        rows = xp.asarray(rows)
    found = correct(codes[todo], n_at[todo], rows, whitelist, counts=counts, policy=policy, device=device)
    out = (exact, xp.full(exact.size, cpu.EXACT, xp.uint8), xp.ones(exact.size, xp.float32),
           xp.full(exact.size, cpu.NO_N, xp.int8))
    for whole, part in zip(out, found, strict=True):
        whole[todo] = part
    return out


def match_packed(codes: Any, n_at: Any, qualities: Any | None, whitelist: Whitelist, *, counts: Any,
                 policy: Policy = "cellranger", threshold: float = THRESHOLD, device: Place = "cpu",
                 ) -> tuple[Any, Any, Any, Any]:
    """Both passes over the packed reads of a whole library.

    Parameters
    ----------
    codes
        uint64 (n,), or uint32 for lists of up to 16 bases; on the device named, as are `n_at` and `counts`.
    qualities
        uint8 (n, L) on the device, or on the host (then only the rows of reads to be corrected go over), or None.
    counts
        int32 (barcodes,): the exact reads are added to it, by rank.

    Returns
    -------
    ranks int32, states uint8, posteriors float32, changed int8, all (n,).
    """
    if device == "cpu":
        codes = codes.astype(np.uint64, copy=False)
        exact = look_up(codes, n_at, whitelist, counts=counts)
        return complete(codes, n_at, exact, qualities, whitelist, counts=counts, policy=policy)
    xp, n = _backend.cupy(), codes.size
    segments = -(-n // _SEGMENT)
    out = (xp.empty(n, xp.int32), xp.empty(n, xp.uint8), xp.empty(n, xp.float32), xp.empty(n, xp.int8))
    packed = (codes, np.int32(8 * codes.dtype.itemsize), n_at)
    listed = (xp.empty(n, xp.uint16), xp.zeros(segments, xp.int32))
    tables = _device_tables(whitelist, xp)
    _launch_blocks("first_pass", segments, *packed, np.int64(n), *tables, counts, *out, *listed)
    rows, step, offsets = _waiting_qualities(qualities, whitelist.length, *listed)
    way = np.int32(cpu.UNIQUE if policy == "unique" else cpu.CELLRANGER)
    _launch_blocks("second_pass", segments, *packed, rows, step, offsets, *tables, counts, xp.asarray(error_table()),
                   np.float64(threshold), way, *listed, *out)
    return out


def _waiting_qualities(qualities: Any | None, length: int, rows: Any, waiting: Any) -> tuple[Any, np.int32, Any]:
    """Quality rows for `second_pass`, the bytes from one to the next, and where the rows of each segment begin."""
    xp, everywhere = _backend.cupy(), np.int64(0)
    if qualities is None:
        return _quality_rows(None, length, xp), np.int32(0), everywhere
    if not _backend.on_host(qualities):
        return xp.ascontiguousarray(qualities), np.int32(length), everywhere
    ends = xp.cumsum(waiting, dtype=xp.int64)
    offsets = ends - waiting
    listed = xp.empty(int(ends[-1]) if ends.size else 0, xp.int32)
    _launch_blocks("list_waiting", waiting.size if listed.size else 0, rows, waiting, offsets, listed)
    held = _backend.pinned((listed.size, length), np.uint8)
    cpu.rows_of(qualities, _backend.to_host(listed), held)
    return xp.asarray(held), np.int32(length), offsets


def shares(codes: Any, n_at: Any, exact: Any, qualities: Any | None, whitelist: Whitelist, *, weights: Any,
           error: np.ndarray, device: Place = "cpu") -> tuple[Any, Any, Any, Any, Any, Any]:
    """Weigh every read under an error model (the ground of the ``calibrated`` policy, `matching.calibrate`).

    The weight of an entry is `weights` times the product of e / 3 / (1 - e) over its mismatches with the read.

    Parameters
    ----------
    codes, n_at, exact, qualities
        All reads; `exact` is the rank that `look_up` gave.
    weights
        float32 (barcodes,): reads of each barcode, by rank.
    error
        float64 (256,): probability e that a base of this quality byte is wrong; on the host.

    Returns
    -------
    ranks int32 (n,)
        Heaviest candidate, or the exact match; -1 without one.
    changed int8 (n,)
        Position in which it differs, -1 where in none.
    found int32 (n,)
        Candidates one mismatch away.
    best, mass float64 (n,)
        Weight of that entry; of all entries at up to two mismatches (up to one for an exact read).
    scale float64 (n,)
        1 / P(no base is wrong), times 4 for an N: times a probability per sequence it is a weight on the same scale.
    """
    xp, n = _xp(device), codes.size
    out = (xp.empty(n, xp.int32), xp.empty(n, xp.int8), xp.empty(n, xp.int32),
           xp.empty(n, xp.float64), xp.empty(n, xp.float64), xp.empty(n, xp.float64))
    rows = _quality_rows(qualities, whitelist.length, xp)
    odds, inverse = xp.asarray(error / 3.0 / (1.0 - error)), xp.asarray(1.0 / (1.0 - error))
    if device == "cpu":
        cpu.shares(codes, n_at, exact, rows, *whitelist.tables, weights, odds, inverse, _CHUNK, *out)
    else:
        step = np.int32(0 if rows.shape[0] == 1 else whitelist.length)
        _launch("shares", n, codes, n_at, exact, np.int64(n), rows, step, *_device_tables(whitelist, xp), weights, odds,
                inverse, *out)
    return out


def spill(ranks: np.ndarray, whitelist: Whitelist, *, counts: Any, device: Place = "cpu") -> Any:
    """Exact reads of the neighbours of each barcode.

    Parameters
    ----------
    ranks
        intp (m,): ranks of the barcodes asked about, on the host.
    counts
        int32 (barcodes,): exact reads by rank.

    Returns
    -------
    int64 (m,): sum of `counts` over the entries one mismatch away.
    """
    xp = _xp(device)
    near, codes = xp.empty(ranks.size, xp.int64), xp.asarray(whitelist.codes()[ranks])
    if device == "cpu":
        cpu.spill(counts, codes, *whitelist.tables, near)
    else:
        _launch("spill", ranks.size, counts, codes, np.int64(ranks.size), *_device_tables(whitelist, xp), near)
    return near
