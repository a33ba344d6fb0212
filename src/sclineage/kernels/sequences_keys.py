"""Blocks of positions, the masks that leave some out, and the keys that are joined; see ``sequences_plan.py``."""

from __future__ import annotations

import numpy as np
from numba import njit

from .sequences_bits import PER_WORD, RESIDUE, RESIDUE_BITS, merged, shifted
from .sequences_metrics import TCRDIST, Metric
from .sequences_pack import Index

Task = tuple[int, int, int, int, int, int, int, int, int, int, int]

KIND, SHORT, LONG, GAP, BLOCKS, WILD, MIDDLE, LIMIT, ROW0, ROW1, MAP = range(11)  # columns of a task
COLUMNS = 11
ALIGNED = -1  # MIDDLE of a task without edits
SAMPLE = 256  # sequences that position weights are taken from
LEAST_BITS = 0.05  # a position never weighs less
MIX = 0x9E3779B97F4A7C15


@njit(cache=True)
def _class_of(at: int, block_of: np.ndarray, metric: Metric, task: np.ndarray | Task) -> int:
    """Which of three shifts the position of the shorter sequence is compared under; -1 if it is not compared."""
    block = block_of[at]
    if task[MIDDLE] == ALIGNED:
        in_core = (at >= metric.trim_left) if at < task[GAP] else (at < block_of.size - metric.trim_right)
        where = (0 if at < task[GAP] else 1) if in_core else -1
    else:
        below, upto = task[WILD] & ((1 << block) - 1), task[WILD] >> block
        where = 0 if below == 0 else (1 if upto != 0 else 2)
    return -1 if (task[WILD] >> block) & 1 else where


@njit(cache=True)
def fill_masks(masks: np.ndarray, block_of: np.ndarray, metric: Metric, task: np.ndarray | Task) -> None:
    """Masks (3, words) of the residues that make up the task's key, by the shift of the longer sequence."""
    masks[:] = np.uint64(0)
    for at in range(block_of.size):
        where = _class_of(at, block_of, metric, task)
        if where >= 0:
            masks[where, at // PER_WORD] |= np.uint64(RESIDUE) << np.uint64(RESIDUE_BITS * (at % PER_WORD))


@njit(cache=True)
def task_key(words: np.ndarray, at: int, stride: int, width: int, masks: np.ndarray, first_shift: int,
             second_shift: int, kind: int) -> np.uint64:
    """Hash of the residues that the masks keep of a longer sequence, under three shifts."""
    key = np.uint64(0)
    for word in range(masks.shape[1]):
        kept = shifted(words, at, stride, width, word, 0) & masks[0, word]
        kept |= shifted(words, at, stride, width, word, first_shift) & masks[1, word]
        kept |= shifted(words, at, stride, width, word, second_shift) & masks[2, word]
        key = (key ^ (merged(kept) if kind == TCRDIST else kept)) * np.uint64(MIX)
        key ^= key >> np.uint64(32)
    return key * np.uint64(MIX)


@njit(cache=True)
def plain_key(words: np.ndarray, at: int, stride: int, kept: np.ndarray, kind: int) -> np.uint64:
    """Hash of the residues that a mask keeps of a shorter sequence: `task_key` without shifts."""
    key = np.uint64(0)
    for word in range(kept.size):
        residues = words[at + word * stride] & kept[word]
        key = (key ^ (merged(residues) if kind == TCRDIST else residues)) * np.uint64(MIX)
        key ^= key >> np.uint64(32)
    return key * np.uint64(MIX)


@njit(cache=True)
def task_masks(index: Index, metric: Metric, tasks: np.ndarray, maps: np.ndarray) -> tuple:
    """Key masks of many tasks, and where each task's (3, words) begin: uint64 and int64 (tasks,)."""
    starts = np.zeros(tasks.shape[0] + 1, dtype=np.int64)
    for task in range(tasks.shape[0]):
        starts[task + 1] = starts[task] + 3 * index.widths[tasks[task, SHORT]]
    masks = np.empty(starts[-1], dtype=np.uint64)
    for task in range(tasks.shape[0]):
        own = masks[starts[task]:starts[task + 1]].reshape((3, index.widths[tasks[task, SHORT]]))
        begin = tasks[task, MAP]
        block_of = maps[begin:begin + index.lengths[tasks[task, SHORT]]]
        fill_masks(own, block_of, metric, tasks[task])
    return masks, starts[:-1].copy()


# --- blocks -----------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _sampled_residue(index: Index, group: int, at: int, row: int, sample: int, metric: Metric) -> np.uint64:
    place = index.bases[group] + at // PER_WORD * index.strides[group] + row * index.counts[group] // sample
    word = merged(index.words[place]) if metric.kind == TCRDIST else index.words[place]
    return (word >> np.uint64(RESIDUE_BITS * (at % PER_WORD))) & np.uint64(RESIDUE)


@njit(cache=True)
def position_weights(index: Index, group: int, metric: Metric) -> np.ndarray:
    """Bits by which each position, beyond the one before it, tells two sequences of a group apart, from a sample.

    float64 (length,). In a V or J end the residue before says nearly all; single residues would look informative.
    """
    sample, length = min(index.counts[group], SAMPLE), index.lengths[group]
    weights, before, now = np.empty(length), np.zeros(sample, dtype=np.int64), np.zeros(sample, dtype=np.int64)
    single, double = np.zeros(RESIDUE + 1, dtype=np.int64), np.zeros((RESIDUE + 1) ** 2, dtype=np.int64)
    equal_before = float(sample * sample)
    for at in range(length):
        equal, equal_both = 0, 0  # sums of the squared counts, kept as the counts grow
        for row in range(sample):
            now[row] = _sampled_residue(index, group, at, row, sample, metric)
            both = before[row] * (RESIDUE + 1) + now[row]
            equal += 2 * single[now[row]] + 1
            equal_both += 2 * double[both] + 1
            single[now[row]] += 1
            double[both] += 1
        for row in range(sample):
            single[now[row]], double[before[row] * (RESIDUE + 1) + now[row]] = 0, 0
        weights[at] = max(LEAST_BITS, np.log2(equal_before / equal_both))
        equal_before = float(equal)
        before, now = now, before
    return weights


@njit(cache=True)
def _stretches(weights: np.ndarray, blocks: int, block_of: np.ndarray) -> None:
    total, before = weights.sum(), 0.0
    for at in range(weights.size):
        block_of[at] = min(blocks - 1, int((before + weights[at] / 2) / total * blocks))
        before += weights[at]


@njit(cache=True)
def fill_blocks(weights: np.ndarray, blocks: int, middle: int, metric: Metric, block_of: np.ndarray) -> None:
    """Block of every position, of about equal bits: stretches for edits, else the heaviest position to the lightest."""
    if middle != ALIGNED:
        _stretches(weights, blocks, block_of)
        return
    load, core = np.zeros(blocks), weights.copy()
    core[:metric.trim_left] = 0.0
    core[max(0, weights.size - metric.trim_right):] = 0.0
    for at in np.argsort(-core, kind="mergesort"):
        lightest = np.argmin(load)
        block_of[at] = lightest
        load[lightest] += core[at]
