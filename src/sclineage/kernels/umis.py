"""UMIs to molecules: which UMIs of a (cell, feature) are one molecule read with an error.

Contract of both devices (slow plain version: ``tests/oracles/umis.py``). All integer, bit-identical.

- `tally` turns reads into distinct (cell, feature, UMI) rows with read counts, sorted by these three.
- `collapse` gives each row the row it is counted with, within its (cell, feature). ``exact``: itself. ``cellranger``:
  of itself and the UMIs one base away the one with most reads, ties to the larger UMI; one step, not followed further
  (Cell Ranger ``mark_dups.rs``, STARsolo ``1MM_CR``). ``directional``: an edge leads from a to b if they are one base
  apart and reads(a) >= 2 reads(b) - 1; going through the rows by descending reads, each takes what it reaches along
  edges and is not yet taken (UMI-tools ``directional``; the number of molecules is the same in any order of ties, the
  membership here goes to the smaller UMI).
- `low_support` marks UMIs seen in several features of one cell, as Cell Ranger does: with one read of each corrected
  UMI moved to its target, the feature with strictly most reads keeps the UMI; a tie at the top keeps none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .. import _backend
from . import umis_cpu as cpu

POLICIES = ("exact", "cellranger", "directional")
Policy = Literal["exact", "cellranger", "directional"]
Place = Literal["cpu", "cuda"]
_CHUNK = 256  # groups per task
_BLOCK = 256

__all__ = ["POLICIES", "Tally", "collapse", "collapse_resident", "collisions", "count", "cuda_defines", "low_support",
           "merge", "molecules_behind", "order_by", "shared", "tally"]


@dataclass(frozen=True, slots=True)
class Tally:
    """Distinct (cell, feature, UMI) rows, sorted by these three.

    Attributes
    ----------
    cell, feature
        int64 (m,).
    umi
        uint64 (m,): packed two bits a base.
    reads
        int64 (m,).
    order
        int64 (n,): the reads in the order of the rows; row r holds order[first[r] : first[r + 1]].
    first
        int64 (m + 1,).
    """

    cell: np.ndarray
    feature: np.ndarray
    umi: np.ndarray
    reads: np.ndarray
    order: np.ndarray
    first: np.ndarray


def cuda_defines() -> dict[str, str]:
    """Constants of ``umis.cu``."""
    return {"PAIRWISE": f"({cpu.PAIRWISE})"}


def order_by(*keys: np.ndarray) -> np.ndarray:
    """Stable ascending order by several non-negative integer keys, the first one most significant, int64 (n,)."""
    arrays = [np.asarray(k, np.uint64) for k in keys]
    widths = [int(a.max(initial=0)).bit_length() for a in arrays]
    if sum(widths) > 64:
        return np.lexsort(arrays[::-1]).astype(np.int64)
    packed = np.zeros(arrays[0].size, np.uint64)
    for array, width in zip(arrays, widths, strict=True):
        packed = (packed << np.uint64(width)) | array if width < 64 else array
    return cpu.radix_argsort(packed)


def _starts(*keys: np.ndarray) -> np.ndarray:
    """First row of every run of equal keys, and the number of rows."""
    n = keys[0].size
    new = np.ones(n, bool)
    if n:
        new[1:] = np.logical_or.reduce([k[1:] != k[:-1] for k in keys])
    return np.append(np.flatnonzero(new), n).astype(np.int64)


def tally(cell: np.ndarray, feature: np.ndarray, umi: np.ndarray, *, reads: np.ndarray | None = None) -> Tally:
    """Count the reads of each distinct (cell, feature, UMI).

    Parameters
    ----------
    cell, feature
        Integers (n,), not negative.
    umi
        uint64 (n,): packed UMIs.
    reads
        Integers (n,): reads each entry stands for; None for one each.
    """
    order = order_by(cell, feature, umi)
    sorted_ = (np.asarray(cell, np.int64)[order], np.asarray(feature, np.int64)[order],
               np.asarray(umi, np.uint64)[order])
    first = _starts(*sorted_)
    each = np.diff(first) if reads is None else np.add.reduceat(
        np.append(np.asarray(reads, np.int64)[order], 0), first[:-1]) if order.size else np.zeros(0, np.int64)
    rows = [a[first[:-1]] for a in sorted_]
    return Tally(rows[0], rows[1], rows[2], each.astype(np.int64), order, first)


def collapse(rows: Tally, *, length: int, policy: Policy = "cellranger", device: Place = "cpu") -> np.ndarray:
    """Row that each row is counted with.

    Parameters
    ----------
    rows
        What `tally` returns.
    length
        Bases per UMI, at most 32.
    policy
        ``exact``, ``cellranger`` or ``directional``.

    Returns
    -------
    int64 (m,): rows that nothing is counted with hold no molecule.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy {policy!r} is none of {POLICIES}")
    if policy == "exact" or rows.umi.size == 0:
        return np.arange(rows.umi.size, dtype=np.int64)
    starts = _starts(rows.cell, rows.feature)
    if device == "cuda":
        return _collapse_cuda(rows, starts, length, policy)
    target = np.empty(rows.umi.size, np.int64)
    way = cpu.CELLRANGER if policy == "cellranger" else cpu.DIRECTIONAL
    cpu.collapse(rows.umi, rows.reads, starts, length, way, _CHUNK, target)
    return target


def _collapse_cuda(rows: Tally, starts: np.ndarray, length: int, policy: Policy) -> np.ndarray:
    if max(rows.umi.size, int(rows.reads.max())) > np.iinfo(np.int32).max // 2:
        raise ValueError("more than 2^30 rows, or reads of one row: collapse them on the CPU")
    groups = np.repeat(np.arange(starts.size - 1, dtype=np.int32), np.diff(starts))
    held = (_backend.to_device(a) for a in (groups, rows.umi, rows.reads.astype(np.int32)))
    return _backend.to_host(collapse_resident(*held, length=length, policy=policy)).astype(np.int64)


def collapse_resident(groups: Any, umi: Any, reads: Any, *, length: int, policy: Policy) -> Any:
    """`collapse` of rows that lie on the device.

    Parameters
    ----------
    groups
        int32 (m,): number of the (cell, feature) of each row, ascending.
    umi
        uint64 (m,): ascending within a group.
    reads
        int32 (m,), below 2^30.

    Returns
    -------
    int32 (m,) on the device: row that each row is counted with.
    """
    xp, n = _backend.cupy(), umi.size
    module = _backend.module("umis", cuda_defines())
    grid, block = (-(-n // _BLOCK),), (_BLOCK,)
    held = (groups, umi, reads, np.int32(n), np.int32(length))
    target = xp.arange(n, dtype=xp.int32)
    if policy == "exact" or n == 0:
        return target
    if policy == "cellranger":
        module.get_function("to_best")(grid, block, (*held, target))
        return target
    step, changed = module.get_function("spread"), xp.ones(1, xp.int32)
    following = xp.empty_like(target)
    while int(changed[0]):
        changed.fill(0)
        step(grid, block, (*held, target, following, changed))
        target, following = following, target
    return target


def count(cell: Any, feature: Any, umi: Any, *, length: int, policy: Policy = "cellranger", device: Place = "cpu",
          ) -> tuple[Any, Any, Any, Any]:
    """Molecules of reads: what `tally`, `collapse` and `merge` give, without keeping which reads are behind a row.

    Parameters
    ----------
    cell, feature, umi
        uint64 (n,), together of at most 64 bits; on the device named.

    Returns
    -------
    cell, feature (uint32; uint64 where their values need it), umi uint64 and reads int32 of the molecules, sorted by
    the first three.

    Raises
    ------
    ValueError
        The three do not fit into 64 bits.

    Notes
    -----
    Beside the input the CPU takes one number of 64 bits a read and 20 to 36 bytes a row: the sort is in place.
    """
    n, tail = umi.size, 2 * length
    bits = [int(a.max()).bit_length() if n else 0 for a in (cell, feature)]
    if sum(bits) + tail > 64:
        raise ValueError(f"cell, feature and UMI take {sum(bits) + tail} bits; 64 are the most")
    keys = cell << np.uint64(bits[1] + tail)
    _or_into(keys, feature, tail)
    keys |= umi
    keys, reads = (_count_cuda if device == "cuda" else _count_cpu)(keys, length, policy)
    kinds = [np.uint32 if b <= 32 else np.uint64 for b in bits]
    if device == "cuda":
        pair = keys >> np.uint64(tail)
        cell, feature = pair >> np.uint64(bits[1]), pair & np.uint64((1 << bits[1]) - 1)
        return cell.astype(kinds[0]), feature.astype(kinds[1]), keys & np.uint64((1 << tail) - 1), reads
    cell, feature = (np.empty(keys.size, k) for k in kinds)
    cpu.split(keys, tail, bits[1], cell, feature)
    return cell, feature, keys, reads


def _or_into(keys: Any, values: Any, shift: int, rows: int = 1 << 20) -> None:
    """Write values << shift into the keys, a part at a time: shifted, they are never there as a whole."""
    for first in range(0, keys.size, rows):
        keys[first : first + rows] |= values[first : first + rows] << np.uint64(shift)


def _count_cpu(keys: np.ndarray, length: int, policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    keys.sort()
    rows, reads = cpu.distinct(keys)
    keys.resize(rows, refcheck=False)
    if policy == "exact":
        return keys, reads
    target, total = np.empty(keys.size, np.int64), np.zeros(keys.size, np.int32)
    umi = keys & np.uint64((1 << (2 * length)) - 1)
    way = cpu.CELLRANGER if policy == "cellranger" else cpu.DIRECTIONAL
    cpu.collapse(umi, reads, cpu.group_starts(keys, 2 * length), length, way, _CHUNK, target)
    cpu.sum_by_target(reads, target, total)
    kept = np.flatnonzero(total)
    return keys[kept], total[kept]


def _count_cuda(keys: Any, length: int, policy: Policy) -> tuple[Any, Any]:
    xp, n = _backend.cupy(), keys.size
    keys = xp.sort(keys)
    new = xp.ones(n, bool)
    new[1:] = keys[1:] != keys[:-1]
    first = xp.append(xp.flatnonzero(new), n)
    keys, reads = keys[first[:-1]], xp.diff(first).astype(xp.int32)
    pair, umi = keys >> np.uint64(2 * length), keys & np.uint64((1 << (2 * length)) - 1)
    groups = xp.zeros(keys.size, xp.int32)
    groups[1:] = xp.cumsum(pair[1:] != pair[:-1], dtype=xp.int32)
    target = collapse_resident(groups, umi, reads, length=length, policy=policy)
    total = xp.zeros(keys.size, xp.int32)
    xp.add.at(total, target, reads)
    kept = xp.flatnonzero(total)
    return keys[kept], total[kept]


def merge(rows: Tally, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Molecules after a collapse: the rows that stand for one (ascending), and their reads, int64 both."""
    total = np.zeros(target.size, np.int64)
    cpu.sum_by_target(rows.reads, target, total)
    kept = np.flatnonzero(total > 0)
    return kept, total[kept]


def low_support(rows: Tally, target: np.ndarray) -> np.ndarray:
    """Rows whose UMI belongs to another feature of the cell, or to none (see the module), bool (m,)."""
    moved = np.zeros(target.size, np.int64)
    cpu.move_one_read(rows.reads, target, moved)
    order = order_by(rows.cell, rows.umi)
    low = np.zeros(target.size, np.bool_)
    cpu.below_top(order, _starts(rows.cell[order], rows.umi[order]), moved, low)
    return low


def shared(reads: np.ndarray, *keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of each row in the reads of all rows with its keys, and how many rows those are.

    With keys (cell, UMI) it shows chimeras between features, with (feature, UMI) between cells, with (cell, feature,
    UMI) over several samples index hopping (the sharing that DropletUtils' ``chimericDrops`` and ``swappedDrops``
    filter by).

    Returns
    -------
    float64 (m,) in (0, 1], and int64 (m,) of at least 1.
    """
    order = order_by(*keys)
    starts = _starts(*(np.asarray(k)[order] for k in keys))
    size = np.diff(starts)
    total = np.add.reduceat(np.append(np.asarray(reads, np.int64)[order], 0), starts[:-1]) if size.size else size
    share, members = np.empty(order.size), np.empty(order.size, np.int64)
    share[order] = np.asarray(reads)[order] / np.repeat(np.maximum(total, 1), size)
    members[order] = np.repeat(size, size)
    return share, members


def collisions(molecules: np.ndarray | float, length: int) -> np.ndarray | float:
    """Expected pairs of molecules of one (cell, feature) that share a UMI by chance: n (n - 1) / (2 * 4^length)."""
    return molecules * (molecules - 1.0) / (2.0 * 4.0**length)


def molecules_behind(distinct: np.ndarray | float, length: int) -> np.ndarray | float:
    """Molecules expected behind a number of distinct UMIs (each of 4^length equally likely); infinite when all occur.

    Inverts E(distinct) = 4^length * (1 - (1 - 4^-length)^molecules).
    """
    space = 4.0**length
    with np.errstate(divide="ignore"):
        return np.log1p(-np.asarray(distinct, np.float64) / space) / np.log1p(-1.0 / space)
