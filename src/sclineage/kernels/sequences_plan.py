"""What to search, and how: frames that align two lengths, blocks of positions, and the cost model.

The index is exact. A pair within the cutoff has at most m mismatches over the positions that a *frame* aligns. Split
the positions into k blocks; then some m blocks, left out, leave two equal keys. One task joins the keys of one choice
of m blocks, and reports a pair only if its mismatches make this choice the first of all that would find it: every pair
once, none missed. k = m is brute force, k = length is a wildcard at every set of m positions; the cheapest k is chosen
for each pair of lengths from a sample. Blocks hold about equal information and are scattered over the sequence, because
the two ends of a CDR3 are nearly constant; for edits, where residues shift, they are stretches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numba import njit, prange

from .. import _backend
from .sequences_filter import table_bits
from .sequences_keys import (
    ALIGNED,
    BLOCKS,
    COLUMNS,
    GAP,
    KIND,
    LIMIT,
    LONG,
    MIDDLE,
    ROW0,
    ROW1,
    SAMPLE,
    SHORT,
    WILD,
    fill_blocks,
    fill_masks,
    plain_key,
    position_weights,
)
from .sequences_metrics import HAMMING, LEVENSHTEIN, TCRDIST, Metric, gap_range
from .sequences_pack import Index

DUPLICATES, BRUTE, SELF, CROSS = 0, 1, 2, 3
NO_FILTER = -1  # LIMIT of a brute-force task whose pairs all go to the exact distance
MAX_BLOCKS = 30
MAX_INDEXED_EDITS = 2
TRIED_ALIGNED, TRIED_EDITS = 3, 12  # tasks that the cost model samples; stretches differ more than interleaved blocks
SAMPLE_MAX, SAMPLE_SHARE = 4096, 32
PAIRS_PER_TASK = 1 << 22
DUPLICATES_PER_TASK = 1 << 16


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


# --- cost model -------------------------------------------------------------------------------------------------------
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
def _collisions(index: Index, metric: Metric, task: np.ndarray, block_of: np.ndarray, examples: np.ndarray) -> float:
    """Estimated share of the pairs of the shorter group whose keys are equal, from a sample and some of the tasks."""
    group, words = task[SHORT], index.words
    n, base, stride = index.counts[group], index.bases[group], index.strides[group]
    sample = min(n, max(SAMPLE, min(SAMPLE_MAX, n // SAMPLE_SHARE)))
    masks, keys = np.empty((3, index.widths[group]), dtype=np.uint64), np.empty(sample, dtype=np.uint64)
    equal, tried = 0, 0
    for wild in examples:
        if wild < 0:
            break
        task[WILD] = wild
        fill_masks(masks, block_of, metric, task)
        kept = masks[0] | masks[1] | masks[2]
        for row in range(sample):
            keys[row] = plain_key(words, base + row * n // sample, stride, kept, metric.kind)
        equal += _equal_pairs(keys)
        tried += 1
    return equal / (tried * max(1.0, sample * (sample - 1) / 2))


@njit(cache=True)
def _cheapest(index: Index, metric: Metric, task: np.ndarray, positions: int, costs: Costs, weights: np.ndarray,
              examples: np.ndarray, shares: np.ndarray) -> tuple[int, float]:
    """Cheapest number of blocks and its cost per task; 0 blocks for brute force. `shares` keeps what was estimated."""
    candidate = costs.candidate if task[MIDDLE] == ALIGNED else costs.edit_candidate
    n_short, n_long = index.counts[task[SHORT]], index.counts[task[LONG]]
    same = task[SHORT] == task[LONG] and task[MIDDLE] == ALIGNED
    rows, pairs = (n_short, n_short * (n_short - 1) / 2) if same else (n_short + n_long, float(n_short) * n_long)
    best, choice, per_task = pairs * costs.pair, 0, pairs * costs.pair
    choices, block_of = 1.0, np.empty(weights.size, dtype=np.int64)
    for blocks in range(task[LIMIT] + 1, min(positions, MAX_BLOCKS) + 1):
        choices *= blocks / (blocks - task[LIMIT])
        if choices * rows * costs.key >= best:
            break
        if shares[blocks] < 0.0:
            task[BLOCKS] = blocks
            fill_blocks(weights, blocks, task[MIDDLE], metric, block_of)
            shares[blocks] = _collisions(index, metric, task, block_of, examples[blocks])
        one = rows * costs.key + shares[blocks] * pairs * candidate
        if choices * one < best:
            best, choice, per_task = choices * one, blocks, one
    return choice, per_task


@njit(cache=True)
def _choose_of_group(index: Index, metric: Metric, joins: np.ndarray, examples: np.ndarray, costs: Costs,
                     weights: np.ndarray, blocks: np.ndarray, cost: np.ndarray, group: int) -> None:
    """The joins of one shorter group: those that leave out as many blocks share the estimates, whatever their gap."""
    own = weights[group, :index.lengths[group]]
    own[:] = position_weights(index, group, metric)
    shares = np.full((examples.shape[0], MAX_BLOCKS + 1), -1.0)
    for k in range(np.searchsorted(joins[:, 0], group), np.searchsorted(joins[:, 0], group + 1)):
        task, row = np.zeros(COLUMNS, dtype=np.int64), joins[k, 6]
        task[KIND], task[SHORT], task[LONG] = SELF, group, joins[k, 1]
        task[GAP], task[MIDDLE], task[LIMIT] = joins[k, 2], joins[k, 3], joins[k, 4]
        blocks[k], cost[k] = _cheapest(index, metric, task, joins[k, 5], costs, own, examples[row], shares[row])


@njit(cache=True, parallel=True)
def choose_blocks(index: Index, metric: Metric, joins: np.ndarray, examples: np.ndarray, costs: Costs,
                  weights: np.ndarray, blocks: np.ndarray, cost: np.ndarray) -> None:
    """Weigh the positions of every length, then fill the cheapest number of blocks of every join and its cost per task.

    `joins` int64 (joins, 7), ascending by the first: the fields of `_Join`, the positions that it compares, and its row
    of `examples`.
    """
    for group in prange(index.lengths.size):
        _choose_of_group(index, metric, joins, examples, costs, weights, blocks, cost, group)


@njit(cache=True)
def fill_maps(index: Index, metric: Metric, weights: np.ndarray, wanted: np.ndarray, maps: np.ndarray) -> None:
    """Blocks of the positions of each wanted (shorter group, number of blocks, middle shift, place in the maps)."""
    for k in range(wanted.shape[0]):
        group, place = wanted[k, 0], wanted[k, 3]
        length = index.lengths[group]
        fill_blocks(weights[group, :length], wanted[k, 1], wanted[k, 2], metric, maps[place:place + length])


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
        first, last = gap_range.py_func(metric, short, difference)
        for gap in range(first, last + 1):
            yield gap, ALIGNED, (metric.cutoff - metric.gap * difference) // metric.cheapest


def _positions(metric: Metric, short: int, join: _Join) -> int:
    if metric.kind != TCRDIST:
        return short
    return max(0, join.gap - metric.trim_left) + max(0, short - metric.trim_right - join.gap)


@lru_cache(maxsize=256)
def wild_sets(blocks: int, limit: int, *, adjacent: bool) -> list[int]:
    """Every choice of `limit` blocks as bits, ascending by block; without neighbouring pairs if not `adjacent`."""
    chosen = combinations(range(blocks), limit)
    return [sum(1 << b for b in c) for c in chosen if adjacent or c[1] > c[0] + 1]


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
    """Tasks, int64 (tasks, 11), and the block of every position, int64; a task's ``MAP`` says where its own begin."""

    tasks: np.ndarray
    maps: np.ndarray


_Row = tuple[int, int, int, int, int, int, int, int, int, int, int]  # in the order of a task's columns


class _Planner:
    """Makes the tasks of one search; keeps what several frames of a length share."""

    def __init__(self, index: Index, metric: Metric, costs: Costs, joins: list[_Join]) -> None:
        self.index, self.metric, self.costs = index, metric, costs
        self.weights = np.zeros((index.lengths.size, int(index.lengths.max(initial=1))))
        self.lengths, self.counts = index.lengths.tolist(), index.counts.tolist()
        self.chosen = self._choose(joins)
        self.maps: dict[tuple[int, int, bool], tuple[int, int, int, int]] = {}
        self.used = 0

    def _choose(self, joins: list[_Join]) -> dict[_Join, tuple[int, float]]:
        """Number of blocks for every frame, and the cost of each of its tasks."""
        kinds = [(join.limit, TRIED_ALIGNED if join.middle == ALIGNED else TRIED_EDITS) for join in joins]
        row = {kind: k for k, kind in enumerate(dict.fromkeys(kinds))}
        examples = np.full((len(row), MAX_BLOCKS + 1, TRIED_EDITS), -1, dtype=np.int64)
        for kind, k in row.items():
            examples[k, :, :kind[1]] = _examples(*kind)
        asked = np.array([(*join, _positions(self.metric, self.lengths[join.short], join), row[kind])
                          for join, kind in zip(joins, kinds, strict=True)], dtype=np.int64).reshape(-1, 7)
        blocks, cost = np.zeros(len(joins), dtype=np.int64), np.zeros(len(joins))
        with _backend.threads(None):
            choose_blocks(self.index, self.metric, asked, examples, self.costs, self.weights, blocks, cost)
        return dict(zip(joins, zip(blocks.tolist(), cost.tolist(), strict=True), strict=True))

    def place_of_map(self, join: _Join, blocks: int) -> int:
        """Where the blocks of a frame's positions will stand in the maps."""
        key = (join.short, blocks, join.middle == ALIGNED)
        if key not in self.maps:
            self.maps[key] = (join.short, blocks, join.middle, self.used)
            self.used += self.lengths[join.short]
        return self.maps[key][3]

    def filled_maps(self) -> np.ndarray:
        """The blocks of all the positions asked for."""
        maps = np.zeros(self.used + 1, dtype=np.int64)
        wanted = np.array([*self.maps.values()], dtype=np.int64).reshape(-1, 4)
        fill_maps(self.index, self.metric, self.weights, wanted, maps)
        return maps

    def indexed(self, join: _Join, blocks: int, cost: float) -> Iterator[tuple[_Row, float]]:
        """Tasks of a frame by the index."""
        kind = SELF if join.short == join.long and join.middle == ALIGNED else CROSS
        adjacent = not (join.middle == 1 and self.lengths[join.long] - self.lengths[join.short] == 1)
        place, n = self.place_of_map(join, blocks), self.counts[join.long]
        for wild in wild_sets(blocks, join.limit, adjacent=adjacent):
            yield _row(join, kind, blocks, wild, (0, n), place), cost

    def brute(self, join: _Join) -> Iterator[tuple[_Row, float]]:
        """Tasks of a pair of lengths by brute force."""
        n_short, n_long = self.counts[join.short], self.counts[join.long]
        step = max(1, PAIRS_PER_TASK // n_long)
        for start in range(0, n_short, step):
            rows = (start, min(n_short, start + step))
            yield _row(join, BRUTE, 1, 0, rows, 0), (rows[1] - start) * n_long * self.costs.pair

    def tasks(self, short: int, long: int, joins: list[_Join]) -> Iterator[tuple[_Row, float]]:
        """Tasks and their costs for two lengths: all frames by the index, or brute force where that is cheaper."""
        chosen = [self.chosen[join] for join in joins]
        total = sum(cost * math.comb(blocks, join.limit) for join, (blocks, cost) in zip(joins, chosen, strict=True))
        brute = self.costs.pair * self.counts[short] * self.counts[long]
        if joins and all(blocks for blocks, _ in chosen) and total < brute:
            for join, (blocks, cost) in zip(joins, chosen, strict=True):
                yield from self.indexed(join, blocks, cost)
            return
        one_frame = len(joins) == 1 and joins[0].middle == ALIGNED and self.metric.kind != LEVENSHTEIN
        whole = _Join(short, long, self.lengths[short], ALIGNED, NO_FILTER)
        yield from self.brute(joins[0] if one_frame else whole)


def _row(join: _Join, kind: int, blocks: int, wild: int, rows: tuple[int, int], place: int) -> _Row:
    return kind, join.short, join.long, join.gap, blocks, wild, join.middle, join.limit, *rows, place


def _duplicates(index: Index) -> np.ndarray:
    n = int(index.firsts[-1])
    rows = np.append(np.arange(0, n, DUPLICATES_PER_TASK), n)
    tasks = np.zeros((rows.size - 1, COLUMNS), dtype=np.int64)
    tasks[:, KIND], tasks[:, ROW0], tasks[:, ROW1] = DUPLICATES, rows[:-1], rows[1:]
    return tasks


def plan(index: Index, metric: Metric, costs: Costs) -> Plan:
    """Tasks that together report every pair once; the dearest first."""
    most = {HAMMING: 0, LEVENSHTEIN: metric.cutoff}.get(metric.kind, metric.cutoff // max(metric.gap, 1))
    lengths = index.lengths.tolist()
    joins = {(short, long): [_Join(short, long, *frame)
                             for frame in _frames(metric, lengths[short], lengths[long] - lengths[short])]
             for short in range(len(lengths)) for long in range(short, len(lengths))
             if lengths[long] - lengths[short] <= most}
    planner = _Planner(index, metric, costs, [join for frames in joins.values() for join in frames])
    made = [task for (short, long), frames in joins.items() for task in planner.tasks(short, long, frames)]
    made.sort(key=lambda task: -task[1])
    tasks = np.array([row for row, _ in made], dtype=np.int64).reshape(-1, COLUMNS)
    if index.members.size > index.firsts[-1]:
        tasks = np.concatenate([_duplicates(index), tasks])
    return Plan(tasks, planner.filled_maps())
