"""What to search, and how: frames that align two lengths, blocks of positions, and the cost model.

The index is exact. A pair within the cutoff has at most m mismatches over the positions that a *frame* aligns. Split
the positions into k blocks; then some m blocks, left out, leave two equal keys. One task joins the keys of one choice
of m blocks, and reports a pair only if its mismatches make this choice the first of all that would find it: every pair
once, none missed. k = m is brute force, k = length is a wildcard at every set of m positions; the cheapest k is chosen
for each pair of lengths from a sample. Blocks interleave (position modulo k), because the two ends of a CDR3 are nearly
constant; for edits, where residues shift, they are stretches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numba import njit

from .sequences_bits import CODES, PER_WORD, RESIDUE, RESIDUE_BITS, STANDARD, merged, shifted
from .sequences_pack import Index

HAMMING, LEVENSHTEIN, TCRDIST = 0, 1, 2
DUPLICATES, BRUTE, SELF, CROSS = 0, 1, 2, 3
KIND, SHORT, LONG, GAP, BLOCKS, WILD, MIDDLE, LIMIT, ROW0, ROW1 = range(10)  # columns of a task
ALIGNED = -1  # MIDDLE of a task without edits
NO_FILTER = -1  # LIMIT of a brute-force task whose pairs all go to the exact distance
MAX_BLOCKS = 30
MAX_INDEXED_EDITS = 2
SAMPLE_MIN, SAMPLE_MAX, SAMPLE_SHARE = 256, 4096, 32
PAIRS_PER_TASK = 1 << 22
DUPLICATES_PER_TASK = 1 << 16
MIX = 0x9E3779B97F4A7C15

# BLOSUM62 below the diagonal (Henikoff and Henikoff 1992), residues in the order of STANDARD.
_BLOSUM62 = """
-1
-2 0
-2 -2 1
0 -3 -3 -3
-1 1 0 0 -3
-1 0 0 2 -4 2
0 -2 0 -1 -3 -2 -2
-2 0 1 -1 -3 0 0 -2
-1 -3 -3 -3 -1 -3 -3 -4 -3
-1 -2 -3 -4 -1 -2 -3 -4 -3 2
-1 2 0 -1 -3 1 1 -2 -1 -3 -2
-1 -1 -2 -3 -1 0 -2 -3 -2 1 2 -1
-2 -3 -3 -3 -2 -3 -3 -3 -1 0 0 -3 0
-1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4
1 -1 1 0 -1 0 0 0 -1 -2 -2 0 -1 -2 -1
0 -1 0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1 1
-3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1 1 -4 -3 -2
-2 -2 -2 -3 -2 -1 -2 -3 2 -1 -1 -2 -1 3 -3 -2 -2 2
0 -3 -3 -3 -1 -2 -2 -3 -3 3 1 -2 1 -1 -2 -2 0 -3 -1
"""
_MATCH_SCORE = 4
_WEIGHT = 3


class Metric(NamedTuple):
    """A distance and its cutoff, as the kernels take them.

    ``costs`` (uint8, 32 x 32) by residue code, weight included; ``cheapest`` is the least cost of a mismatch that
    merging I/V and F/Y does not hide; ``gap`` the penalty of each residue of length difference; ``free`` whether the
    best gap position is taken; the trims are residues left out at the two ends.
    """

    kind: int
    cutoff: int
    gap: int
    free: bool
    trim_left: int
    trim_right: int
    cheapest: int
    costs: np.ndarray


class Costs(NamedTuple):
    """Nanoseconds of a key, of a candidate and of a pair in brute force; only their ratios matter."""

    key: float
    candidate: float
    pair: float


class _Join(NamedTuple):
    """One frame of one pair of length groups, before it is cut into tasks."""

    short: int
    long: int
    gap: int
    middle: int
    limit: int


# --- metrics ----------------------------------------------------------------------------------------------------------
def tcrdist_costs() -> np.ndarray:
    """Weighted distance of two residues by code: 3 min(4, 4 - BLOSUM62), 0 for equal ones (Dash et al. 2017)."""
    costs = np.zeros((32, 32), dtype=np.uint8)
    code = CODES[[ord(letter) for letter in STANDARD]]
    for row, line in enumerate(_BLOSUM62.split("\n")[1:-1], start=1):
        for column, score in enumerate(map(int, line.split())):
            cost = _WEIGHT * min(_MATCH_SCORE, _MATCH_SCORE - score)
            costs[code[row], code[column]] = costs[code[column], code[row]] = cost
    return costs


def _cheapest(costs: np.ndarray) -> int:
    codes = np.arange(32, dtype=np.uint64)
    unlike = merged_codes(codes)[:, None] != merged_codes(codes)[None, :]
    return int(costs[unlike & (costs > 0)].min())


def merged_codes(codes: np.ndarray) -> np.ndarray:
    """Residue codes with I/V and F/Y merged."""
    return np.where(codes >= 28, codes & ~np.uint64(1), codes)


def metric_of(name: str, cutoff: int, longest: int) -> Metric:
    """The metric of a name; a cutoff beyond the largest possible distance is lowered to it."""
    none = np.zeros((32, 32), dtype=np.uint8)
    if name == "hamming":
        return Metric(HAMMING, min(cutoff, longest), 0, False, 0, 0, 1, none)
    if name == "levenshtein":
        return Metric(LEVENSHTEIN, min(cutoff, longest), 1, False, 0, 0, 1, none)
    costs = tcrdist_costs()
    gap, free = (_MATCH_SCORE, False) if name == "tcrdist_scirpy" else (_MATCH_SCORE * _WEIGHT, True)
    most = longest * max(int(costs.max()), gap)
    return Metric(TCRDIST, min(cutoff, most), gap, free, 3, 2, _cheapest(costs), costs)


# --- frames -----------------------------------------------------------------------------------------------------------
@njit(cache=True)
def gap_range(free: bool, trim_right: int, short: int, difference: int) -> tuple[int, int]:
    """First and last gap position for a shorter sequence of this length, as pwseqdist (of tcrdist3) has them."""
    if difference == 0:
        return short - trim_right, short - trim_right
    if not free:
        fixed = min(6, 3 + (short - 5) // 2)
        return fixed, fixed
    first, last = 5, short - 5
    while first > last:
        first, last = first - 1, last + 1
    return first, last


@njit(cache=True)
def _class_of(at: int, length: int, trim_left: int, trim_right: int, task: np.ndarray) -> int:
    """Which of three shifts the position of the shorter sequence is compared under; -1 if it is not compared."""
    if task[MIDDLE] == ALIGNED:
        block = at % task[BLOCKS]
        in_core = (at >= trim_left) if at < task[GAP] else (at < length - trim_right)
        where = (0 if at < task[GAP] else 1) if in_core else -1
    else:
        block = at * task[BLOCKS] // length
        below, upto = task[WILD] & ((1 << block) - 1), task[WILD] >> block
        where = 0 if below == 0 else (1 if upto != 0 else 2)
    return -1 if (task[WILD] >> block) & 1 else where


@njit(cache=True)
def fill_masks(masks: np.ndarray, length: int, trim_left: int, trim_right: int, task: np.ndarray) -> None:
    """Masks (3, words) of the residues that make up the task's key, by the shift of the longer sequence."""
    masks[:] = np.uint64(0)
    for at in range(length):
        where = _class_of(at, length, trim_left, trim_right, task)
        if where >= 0:
            masks[where, at // PER_WORD] |= np.uint64(RESIDUE) << np.uint64(RESIDUE_BITS * (at % PER_WORD))


@njit(cache=True)
def task_key(words: np.ndarray, at: int, stride: int, width: int, masks: np.ndarray, first_shift: int,
             second_shift: int, merge: bool) -> np.uint64:
    """Hash of the residues that the masks keep."""
    key = np.uint64(0)
    for word in range(masks.shape[1]):
        kept = shifted(words, at, stride, width, word, 0) & masks[0, word]
        kept |= shifted(words, at, stride, width, word, first_shift) & masks[1, word]
        kept |= shifted(words, at, stride, width, word, second_shift) & masks[2, word]
        key = (key ^ (merged(kept) if merge else kept)) * np.uint64(MIX)
        key ^= key >> np.uint64(32)
    return key * np.uint64(MIX)


# --- cost model -------------------------------------------------------------------------------------------------------
@njit(cache=True)
def table_bits(n: int) -> int:
    """Bits of a hash table that is at most half full with n entries."""
    bits = 1
    while (1 << bits) < 2 * n:
        bits += 1
    return bits


@njit(cache=True)
def _equal_pairs(keys: np.ndarray) -> int:
    bits = table_bits(keys.size)
    head, following = np.full(1 << bits, -1, dtype=np.int32), np.empty(keys.size, dtype=np.int32)
    pairs = 0
    for row in range(keys.size):
        bucket = keys[row] >> np.uint64(64 - bits)
        other = head[bucket]
        while other >= 0:
            pairs += keys[other] == keys[row]
            other = following[other]
        following[row] = head[bucket]
        head[bucket] = row
    return pairs


@njit(cache=True)
def _wild_example(which: int, blocks: int, limit: int) -> int:
    wild = 0
    for rank in range(limit):
        block = rank if which == 0 else (blocks - 1 - rank if which == 1 else rank * blocks // limit)
        wild |= 1 << block
    return wild


@njit(cache=True)
def _collisions(index: Index, task: np.ndarray, trim_left: int, trim_right: int, merge: bool) -> float:
    """Estimated share of the pairs of the shorter group whose keys are equal, from a sample and three tasks."""
    group, length = task[SHORT], index.lengths[task[SHORT]]
    n = index.counts[group]
    sample = min(n, max(SAMPLE_MIN, min(SAMPLE_MAX, n // SAMPLE_SHARE)))
    masks, keys = np.empty((3, index.widths[group]), dtype=np.uint64), np.empty(sample, dtype=np.uint64)
    equal = 0
    for which in range(3):
        task[WILD] = _wild_example(which, task[BLOCKS], task[LIMIT])
        fill_masks(masks, length, trim_left, trim_right, task)
        for row in range(sample):
            at = index.bases[group] + row * n // sample
            keys[row] = task_key(index.words, at, index.strides[group], index.widths[group], masks, 0, 0, merge)
        equal += _equal_pairs(keys)
    return equal / (3 * max(1.0, sample * (sample - 1) / 2))


@njit(cache=True)
def choose_blocks(index: Index, task: np.ndarray, trims: tuple[int, int], merge: bool, positions: int,
                  costs: Costs) -> tuple[int, float]:
    """Cheapest number of blocks and its cost per task; 0 blocks for brute force."""
    n_short, n_long = index.counts[task[SHORT]], index.counts[task[LONG]]
    same = task[SHORT] == task[LONG] and task[MIDDLE] == ALIGNED
    rows, pairs = (n_short, n_short * (n_short - 1) / 2) if same else (n_short + n_long, float(n_short) * n_long)
    best, choice, per_task = pairs * costs.pair, 0, pairs * costs.pair
    combinations_ = 1.0
    for blocks in range(task[LIMIT] + 1, min(positions, MAX_BLOCKS) + 1):
        combinations_ *= blocks / (blocks - task[LIMIT])
        if combinations_ * rows * costs.key >= best:
            break
        task[BLOCKS] = blocks
        share = _collisions(index, task, trims[0], trims[1], merge)
        one = rows * costs.key + share * pairs * costs.candidate
        if combinations_ * one < best:
            best, choice, per_task = combinations_ * one, blocks, one
    return choice, per_task


# --- tasks ------------------------------------------------------------------------------------------------------------
def _frames(metric: Metric, short: int, difference: int) -> Iterator[tuple[int, int, int]]:
    """Gap position, middle shift and allowed mismatches of each frame that aligns two lengths."""
    if metric.kind == LEVENSHTEIN and metric.cutoff > MAX_INDEXED_EDITS:
        return
    if metric.kind == HAMMING or (metric.kind == LEVENSHTEIN and difference == 0):
        yield short, ALIGNED, metric.cutoff
    if metric.kind == LEVENSHTEIN and metric.cutoff == 1 and difference == 1:
        yield short, 0, 1
    if metric.kind == LEVENSHTEIN and metric.cutoff == 2:
        for middle in {0: (1,), 1: (0, 1), 2: (1,)}[difference]:
            yield short, middle, 2
    if metric.kind == TCRDIST:
        first, last = gap_range(metric.free, metric.trim_right, short, difference)
        for gap in range(first, last + 1):
            yield gap, ALIGNED, (metric.cutoff - metric.gap * difference) // metric.cheapest


def _positions(metric: Metric, short: int, join: _Join) -> int:
    if metric.kind != TCRDIST:
        return short
    return max(0, join.gap - metric.trim_left) + max(0, short - metric.trim_right - join.gap)


@lru_cache(maxsize=256)
def wild_sets(blocks: int, limit: int, *, adjacent: bool) -> np.ndarray:
    """Every choice of `limit` blocks as bits, ascending by block; without neighbouring pairs if not `adjacent`."""
    chosen = combinations(range(blocks), limit)
    return np.array([sum(1 << b for b in c) for c in chosen if adjacent or c[1] > c[0] + 1], dtype=np.int64)


def _rows(join: _Join, kind: int, blocks: int, wild: np.ndarray, rows: np.ndarray) -> np.ndarray:
    tasks = np.zeros((max(wild.size, rows.size - 1), 10), dtype=np.int64)
    tasks[:, [KIND, SHORT, LONG, GAP, BLOCKS, MIDDLE, LIMIT]] = (
        kind, join.short, join.long, join.gap, blocks, join.middle, join.limit)
    tasks[:, WILD], tasks[:, ROW0], tasks[:, ROW1] = wild, rows[:-1], rows[1:]
    return tasks


def _brute(index: Index, join: _Join, cost: float) -> tuple[np.ndarray, np.ndarray]:
    n_short, n_long = int(index.counts[join.short]), int(index.counts[join.long])
    step = max(1, PAIRS_PER_TASK // n_long)
    rows = np.append(np.arange(0, n_short, step), n_short)
    return _rows(join, BRUTE, 1, np.zeros(1, dtype=np.int64), rows), np.diff(rows) * float(n_long) * cost


def _indexed(index: Index, join: _Join, blocks: int, cost: float) -> tuple[np.ndarray, np.ndarray]:
    kind = SELF if join.short == join.long and join.middle == ALIGNED else CROSS
    adjacent = not (join.middle == 1 and index.lengths[join.long] - index.lengths[join.short] == 1)
    wild = wild_sets(blocks, join.limit, adjacent=adjacent)
    tasks = _rows(join, kind, blocks, wild, np.array([0, index.counts[join.long]]))
    return tasks, np.full(wild.size, cost)


def _blocks_of(index: Index, metric: Metric, join: _Join, costs: Costs) -> tuple[int, float]:
    task = np.array([SELF, join.short, join.long, join.gap, 0, 0, join.middle, join.limit, 0, 0], dtype=np.int64)
    positions = _positions(metric, int(index.lengths[join.short]), join)
    trims = (metric.trim_left, metric.trim_right)
    return choose_blocks(index, task, trims, metric.kind == TCRDIST, positions, costs)


def _join_tasks(index: Index, metric: Metric, short: int, long: int, costs: Costs) -> Iterator[tuple]:
    """Tasks of one pair of length groups: all its frames by the index, or brute force where that is cheaper."""
    length = int(index.lengths[short])
    joins = [_Join(short, long, *frame) for frame in _frames(metric, length, int(index.lengths[long]) - length)]
    chosen = [_blocks_of(index, metric, join, costs) for join in joins]
    total = sum(cost * math.comb(blocks, join.limit) for join, (blocks, cost) in zip(joins, chosen, strict=True))
    brute = costs.pair * float(index.counts[short]) * float(index.counts[long])
    if joins and all(blocks for blocks, _ in chosen) and total < brute:
        for join, (blocks, cost) in zip(joins, chosen, strict=True):
            yield _indexed(index, join, blocks, cost)
        return
    one_frame = len(joins) == 1 and joins[0].middle == ALIGNED and metric.kind != LEVENSHTEIN
    yield _brute(index, joins[0] if one_frame else _Join(short, long, length, ALIGNED, NO_FILTER), costs.pair)


def _duplicates(index: Index) -> np.ndarray:
    n = int(index.firsts[-1])
    rows = np.append(np.arange(0, n, DUPLICATES_PER_TASK), n)
    tasks = np.zeros((rows.size - 1, 10), dtype=np.int64)
    tasks[:, KIND], tasks[:, ROW0], tasks[:, ROW1] = DUPLICATES, rows[:-1], rows[1:]
    return tasks


def plan(index: Index, metric: Metric, costs: Costs) -> np.ndarray:
    """Tasks, int64 (tasks, 10), that together report every pair once; the dearest first."""
    most = {HAMMING: 0, LEVENSHTEIN: metric.cutoff}.get(metric.kind, metric.cutoff // max(metric.gap, 1))
    parts, weights = [np.empty((0, 10), dtype=np.int64)], [np.empty(0)]
    for short in range(index.lengths.size):
        for long in range(short, index.lengths.size):
            if index.lengths[long] - index.lengths[short] > most:
                break
            for tasks, cost in _join_tasks(index, metric, short, long, costs):
                parts.append(tasks)
                weights.append(cost)
    order = np.argsort(-np.concatenate(weights), kind="stable")
    joined = np.concatenate(parts)[order]
    if index.members.size > index.firsts[-1]:
        joined = np.concatenate([_duplicates(index), joined])
    return joined
