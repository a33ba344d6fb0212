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
KIND, SHORT, LONG, GAP, BLOCKS, WILD, MIDDLE, LIMIT, ROW0, ROW1, MAP = range(11)  # columns of a task
COLUMNS = 11
ALIGNED = -1  # MIDDLE of a task without edits
NO_FILTER = -1  # LIMIT of a brute-force task whose pairs all go to the exact distance
MAX_BLOCKS = 30
MAX_INDEXED_EDITS = 2
TRIED_ALIGNED, TRIED_EDITS = 3, 12  # tasks that the cost model samples; stretches differ more than interleaved blocks
SAMPLE_MIN, SAMPLE_MAX, SAMPLE_SHARE = 256, 4096, 32
LEAST_BITS = 0.05  # a position never weighs less
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
    """Nanoseconds of a key, of a candidate (also one with edits) and of a pair by brute force; ratios matter only."""

    key: float
    candidate: float
    edit_candidate: float
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
def _class_of(at: int, block_of: np.ndarray, trim_left: int, trim_right: int, task: np.ndarray) -> int:
    """Which of three shifts the position of the shorter sequence is compared under; -1 if it is not compared."""
    block = block_of[at]
    if task[MIDDLE] == ALIGNED:
        in_core = (at >= trim_left) if at < task[GAP] else (at < block_of.size - trim_right)
        where = (0 if at < task[GAP] else 1) if in_core else -1
    else:
        below, upto = task[WILD] & ((1 << block) - 1), task[WILD] >> block
        where = 0 if below == 0 else (1 if upto != 0 else 2)
    return -1 if (task[WILD] >> block) & 1 else where


@njit(cache=True)
def fill_masks(masks: np.ndarray, block_of: np.ndarray, trim_left: int, trim_right: int, task: np.ndarray) -> None:
    """Masks (3, words) of the residues that make up the task's key, by the shift of the longer sequence."""
    masks[:] = np.uint64(0)
    for at in range(block_of.size):
        where = _class_of(at, block_of, trim_left, trim_right, task)
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


@njit(cache=True)
def task_masks(index: Index, trims: tuple[int, int], tasks: np.ndarray, maps: np.ndarray) -> tuple:
    """Key masks of many tasks, and where each task's (3, words) begin: uint64 and int64 (tasks,)."""
    starts = np.zeros(tasks.shape[0] + 1, dtype=np.int64)
    for task in range(tasks.shape[0]):
        starts[task + 1] = starts[task] + 3 * index.widths[tasks[task, SHORT]]
    masks = np.empty(starts[-1], dtype=np.uint64)
    for task in range(tasks.shape[0]):
        own = masks[starts[task]:starts[task + 1]].reshape((3, index.widths[tasks[task, SHORT]]))
        begin = tasks[task, MAP]
        block_of = maps[begin:begin + index.lengths[tasks[task, SHORT]]]
        fill_masks(own, block_of, trims[0], trims[1], tasks[task])
    return masks, starts[:-1].copy()


# --- blocks -----------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _sampled_residue(index: Index, group: int, at: int, row: int, sample: int, merge: bool) -> int:
    place = index.bases[group] + at // PER_WORD * index.strides[group] + row * index.counts[group] // sample
    word = merged(index.words[place]) if merge else index.words[place]
    return np.int64((word >> np.uint64(RESIDUE_BITS * (at % PER_WORD))) & np.uint64(RESIDUE))


@njit(cache=True)
def position_weights(index: Index, group: int, merge: bool) -> np.ndarray:
    """Bits by which each position, beyond the one before it, tells two sequences of a group apart, from a sample.

    float64 (length,). In a V or J end the residue before says nearly all; single residues would look informative.
    """
    sample, length = min(index.counts[group], SAMPLE_MIN), index.lengths[group]
    weights, before = np.empty(length), np.zeros(sample, dtype=np.int64)
    equal_before = 1.0
    for at in range(length):
        single, double = np.zeros(RESIDUE + 1), np.zeros((RESIDUE + 1) ** 2)
        for row in range(sample):
            residue = _sampled_residue(index, group, at, row, sample, merge)
            single[residue] += 1.0
            double[before[row] * (RESIDUE + 1) + residue] += 1.0
            before[row] = residue
        weights[at] = max(LEAST_BITS, np.log2(equal_before / ((double / sample) ** 2).sum()))
        equal_before = ((single / sample) ** 2).sum()
    return weights


@njit(cache=True)
def _stretches(weights: np.ndarray, blocks: int, block_of: np.ndarray) -> None:
    total, before = weights.sum(), 0.0
    for at in range(weights.size):
        block_of[at] = min(blocks - 1, int((before + weights[at] / 2) / total * blocks))
        before += weights[at]


@njit(cache=True)
def fill_blocks(weights: np.ndarray, blocks: int, aligned: bool, trims: tuple[int, int], block_of: np.ndarray) -> None:
    """Block of every position, of about equal bits: stretches for edits, else the heaviest position to the lightest."""
    if not aligned:
        _stretches(weights, blocks, block_of)
        return
    load, core = np.zeros(blocks), weights.copy()
    core[:trims[0]] = 0.0
    core[max(0, weights.size - trims[1]):] = 0.0
    for at in np.argsort(-core, kind="mergesort"):
        lightest = np.argmin(load)
        block_of[at] = lightest
        load[lightest] += core[at]


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
def _collisions(index: Index, task: np.ndarray, trims: tuple[int, int], merge: bool, block_of: np.ndarray,
                examples: np.ndarray) -> float:
    """Estimated share of the pairs of the shorter group whose keys are equal, from a sample and some of the tasks."""
    group = task[SHORT]
    n = index.counts[group]
    sample = min(n, max(SAMPLE_MIN, min(SAMPLE_MAX, n // SAMPLE_SHARE)))
    masks, keys = np.empty((3, index.widths[group]), dtype=np.uint64), np.empty(sample, dtype=np.uint64)
    equal, tried = 0, 0
    for wild in examples:
        if wild < 0:
            break
        task[WILD] = wild
        fill_masks(masks, block_of, trims[0], trims[1], task)
        for row in range(sample):
            at = index.bases[group] + row * n // sample
            keys[row] = task_key(index.words, at, index.strides[group], index.widths[group], masks, 0, 0, merge)
        equal += _equal_pairs(keys)
        tried += 1
    return equal / (tried * max(1.0, sample * (sample - 1) / 2))


@njit(cache=True)
def choose_blocks(index: Index, task: np.ndarray, trims: tuple[int, int], merge: bool, positions: int, costs: Costs,
                  weights: np.ndarray, examples: np.ndarray) -> tuple[int, float]:
    """Cheapest number of blocks and its cost per task; 0 blocks for brute force."""
    n_short, n_long = index.counts[task[SHORT]], index.counts[task[LONG]]
    same = task[SHORT] == task[LONG] and task[MIDDLE] == ALIGNED
    rows, pairs = (n_short, n_short * (n_short - 1) / 2) if same else (n_short + n_long, float(n_short) * n_long)
    best, choice, per_task = pairs * costs.pair, 0, pairs * costs.pair
    choices, block_of = 1.0, np.empty(weights.size, dtype=np.uint8)
    for blocks in range(task[LIMIT] + 1, min(positions, MAX_BLOCKS) + 1):
        choices *= blocks / (blocks - task[LIMIT])
        if choices * rows * costs.key >= best:
            break
        task[BLOCKS] = blocks
        fill_blocks(weights, blocks, task[MIDDLE] == ALIGNED, trims, block_of)
        share = _collisions(index, task, trims, merge, block_of, examples[blocks])
        one = rows * costs.key + share * pairs * costs.candidate
        if choices * one < best:
            best, choice, per_task = choices * one, blocks, one
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


@lru_cache(maxsize=64)
def _examples(limit: int, tried: int) -> np.ndarray:
    """For every number of blocks some wild sets, evenly spaced among all; -1 behind the last."""
    examples = np.full((MAX_BLOCKS + 1, tried), -1, dtype=np.int64)
    for blocks in range(limit + 1, MAX_BLOCKS + 1):
        n = math.comb(blocks, limit)
        ranks = {k * n // min(n, tried) for k in range(min(n, tried))}
        for column, rank in enumerate(sorted(ranks)):
            examples[blocks, column] = _set_of_rank(rank, blocks, limit)
    return examples


def _set_of_rank(rank: int, blocks: int, limit: int) -> int:
    """The choice of blocks, as bits, that stands at this place of `wild_sets`."""
    wild = 0
    for block in range(blocks):
        with_it = math.comb(blocks - block - 1, limit - 1) if limit else 0
        if limit and rank < with_it:
            wild, limit = wild | 1 << block, limit - 1
        else:
            rank -= with_it
    return wild


class Plan(NamedTuple):
    """Tasks, int64 (tasks, 11), and the block of every position, uint8; a task's ``MAP`` says where its own begin."""

    tasks: np.ndarray
    maps: np.ndarray


class _Planner:
    """Makes the tasks of one search; keeps what several frames of a length share."""

    def __init__(self, index: Index, metric: Metric, costs: Costs) -> None:
        self.index, self.metric, self.costs = index, metric, costs
        self.trims = (metric.trim_left, metric.trim_right)
        self.merge = metric.kind == TCRDIST
        self.weights: dict[int, np.ndarray] = {}
        self.maps: list[np.ndarray] = [np.zeros(1, dtype=np.uint8)]
        self.places: dict[tuple[int, int, bool], int] = {}
        self.used = 1

    def blocks_of(self, join: _Join) -> tuple[int, float]:
        """Number of blocks for a frame, and the cost of each of its tasks."""
        if join.short not in self.weights:
            self.weights[join.short] = position_weights(self.index, join.short, self.merge)
        task = np.zeros(COLUMNS, dtype=np.int64)
        task[[KIND, SHORT, LONG, GAP, MIDDLE, LIMIT]] = SELF, join.short, join.long, join.gap, join.middle, join.limit
        positions = _positions(self.metric, int(self.index.lengths[join.short]), join)
        aligned = join.middle == ALIGNED
        costs = self.costs if aligned else self.costs._replace(candidate=self.costs.edit_candidate)
        return choose_blocks(self.index, task, self.trims, self.merge, positions, costs, self.weights[join.short],
                             _examples(join.limit, TRIED_ALIGNED if aligned else TRIED_EDITS))

    def place_of_map(self, join: _Join, blocks: int) -> int:
        """Where the blocks of a frame's positions begin in the maps."""
        aligned = join.middle == ALIGNED
        key = (join.short, blocks, aligned)
        if key not in self.places:
            block_of = np.empty(int(self.index.lengths[join.short]), dtype=np.uint8)
            fill_blocks(self.weights[join.short], blocks, aligned, self.trims, block_of)
            self.places[key] = self.used
            self.maps.append(block_of)
            self.used += block_of.size
        return self.places[key]

    def indexed(self, join: _Join, blocks: int, cost: float) -> tuple[np.ndarray, np.ndarray]:
        """Tasks of a frame by the index."""
        kind = SELF if join.short == join.long and join.middle == ALIGNED else CROSS
        lengths = self.index.lengths
        adjacent = not (join.middle == 1 and lengths[join.long] - lengths[join.short] == 1)
        wild = wild_sets(blocks, join.limit, adjacent=adjacent)
        tasks = _rows(join, kind, blocks, wild, np.array([0, self.index.counts[join.long]]))
        tasks[:, MAP] = self.place_of_map(join, blocks)
        return tasks, np.full(wild.size, cost)

    def brute(self, join: _Join) -> tuple[np.ndarray, np.ndarray]:
        """Tasks of a pair of lengths by brute force."""
        n_short, n_long = int(self.index.counts[join.short]), int(self.index.counts[join.long])
        rows = np.append(np.arange(0, n_short, max(1, PAIRS_PER_TASK // n_long)), n_short)
        return _rows(join, BRUTE, 1, np.zeros(1, dtype=np.int64), rows), np.diff(rows) * n_long * self.costs.pair

    def tasks(self, short: int, long: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Tasks and their costs for two lengths: all frames by the index, or brute force where that is cheaper."""
        length = int(self.index.lengths[short])
        joins = [_Join(short, long, *frame)
                 for frame in _frames(self.metric, length, int(self.index.lengths[long]) - length)]
        chosen = [self.blocks_of(join) for join in joins]
        total = sum(cost * math.comb(blocks, join.limit) for join, (blocks, cost) in zip(joins, chosen, strict=True))
        brute = self.costs.pair * float(self.index.counts[short]) * float(self.index.counts[long])
        if joins and all(blocks for blocks, _ in chosen) and total < brute:
            for join, (blocks, cost) in zip(joins, chosen, strict=True):
                yield self.indexed(join, blocks, cost)
            return
        one_frame = len(joins) == 1 and joins[0].middle == ALIGNED and self.metric.kind != LEVENSHTEIN
        yield self.brute(joins[0] if one_frame else _Join(short, long, length, ALIGNED, NO_FILTER))


def _rows(join: _Join, kind: int, blocks: int, wild: np.ndarray, rows: np.ndarray) -> np.ndarray:
    tasks = np.zeros((max(wild.size, rows.size - 1), COLUMNS), dtype=np.int64)
    tasks[:, [KIND, SHORT, LONG, GAP, BLOCKS, MIDDLE, LIMIT]] = (
        kind, join.short, join.long, join.gap, blocks, join.middle, join.limit)
    tasks[:, WILD], tasks[:, ROW0], tasks[:, ROW1] = wild, rows[:-1], rows[1:]
    return tasks


def _duplicates(index: Index) -> np.ndarray:
    n = int(index.firsts[-1])
    rows = np.append(np.arange(0, n, DUPLICATES_PER_TASK), n)
    tasks = np.zeros((rows.size - 1, COLUMNS), dtype=np.int64)
    tasks[:, KIND], tasks[:, ROW0], tasks[:, ROW1] = DUPLICATES, rows[:-1], rows[1:]
    return tasks


def plan(index: Index, metric: Metric, costs: Costs) -> Plan:
    """Tasks that together report every pair once; the dearest first."""
    most = {HAMMING: 0, LEVENSHTEIN: metric.cutoff}.get(metric.kind, metric.cutoff // max(metric.gap, 1))
    planner = _Planner(index, metric, costs)
    parts, weights = [np.empty((0, COLUMNS), dtype=np.int64)], [np.empty(0)]
    for short in range(index.lengths.size):
        for long in range(short, index.lengths.size):
            if index.lengths[long] - index.lengths[short] > most:
                break
            for tasks, cost in planner.tasks(short, long):
                parts.append(tasks)
                weights.append(cost)
    joined = np.concatenate(parts)[np.argsort(-np.concatenate(weights), kind="stable")]
    if index.members.size > index.firsts[-1]:
        joined = np.concatenate([_duplicates(index), joined])
    return Plan(joined, np.concatenate(planner.maps))
