"""Leaves of neighbouring points: what both devices search in. The answer never depends on how the leaves lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .knn_cpu import HEAD, LEAF, STEP
from .knn_tile import LANES

CHUNK = 1024  # leaves compared with a group's at once
SAMPLE = 128  # points of a part, or up to twice as many, that tell its widest coordinate


@dataclass(frozen=True)
class Tree:
    """Points in the order of their leaves, group after group; the leaves of a group are a power of two.

    Attributes
    ----------
    points
        float32 (n, d): centred, scaled into [-1, 1] by a power of two, coordinates by falling variance, d padded with
        zeros to a multiple of `STEP` and at least `HEAD`.
    half, head_half
        float32 (n,): half squared norms, of all and of the first `HEAD` coordinates.
    order
        int32 (n,): row of the input at each place.
    starts
        int64 (leaves + 1,): places of each leaf.
    spans
        int64 (groups + 1,), on the host: leaves of each group.
    low, high
        float32 (leaves, d): boxes around the leaves.
    scale, blur
        Power of two by which the input was multiplied; most that centring may have moved a squared distance.
    """

    points: Any
    half: Any
    head_half: Any
    order: Any
    starts: Any
    spans: np.ndarray
    low: Any
    high: Any
    scale: float
    blur: float


def build(xp: Any, points: Any, groups: Sequence[np.ndarray]) -> Tree:
    """Halve the points of each group along their widest coordinate until a leaf has at most `LEAF` of them.

    `points` are float64 (n, d), n at least 1, on the device of `xp`; `groups` the rows of each group, none empty.
    """
    moved, scale, blur = _scaled(xp, points)
    parts = [_leaves(xp, moved, xp.asarray(rows.astype(np.int32))) for rows in groups]
    order = xp.concatenate([part for part, _ in parts])
    begin = np.cumsum([0, *(rows.size for rows in groups)])
    starts = np.concatenate([*(part[:-1] + at for (_, part), at in zip(parts, begin, strict=False)), begin[-1:]])
    spans = np.cumsum([0, *(part.size - 1 for _, part in parts)])
    moved = moved[order]
    members = moved[_places(xp, starts)]
    half, head_half = (_half_norms(xp, moved[:, :most]) for most in (None, HEAD))
    return Tree(moved, half, head_half, order, xp.asarray(starts), spans, members.min(axis=1), members.max(axis=1),
                scale, blur)


def _leaves(xp: Any, moved: Any, order: Any) -> tuple[Any, np.ndarray]:
    """The given rows in the order of their leaves, and the places at which those start."""
    n = len(order)
    levels = max(0, int(np.ceil(np.log2(n / LEAF))))
    for level in range(levels):
        starts = _starts(n, level)
        inside = order[_places(xp, starts)]
        some = inside[:, :: max(1, inside.shape[1] // SAMPLE)]
        widest = xp.argmax(moved[some, :HEAD].var(axis=1), axis=1)
        values = moved[inside, widest[:, None]]
        fits = xp.arange(inside.shape[1]) < xp.asarray(np.diff(starts))[:, None]
        values[~fits] = xp.inf
        order = xp.take_along_axis(inside, xp.argsort(values, axis=1), axis=1)[fits]
    return order, _starts(n, levels)


def entries(xp: Any, tree: Tree, group: int) -> Any:
    """Where each leaf's search of a group begins, int64 (leaves,), counted from the group's first leaf: near itself."""
    first, last = tree.spans[group : group + 2]
    centres = tree.low + tree.high
    targets = centres[first:last]
    norms, out = (targets**2).sum(axis=1), xp.zeros(len(centres), dtype=xp.int64)
    for at in range(0, len(centres) if tree.spans.size > 2 else 0, CHUNK):
        out[at : at + CHUNK] = xp.argmin(norms - 2.0 * (centres[at : at + CHUNK] @ targets.T), axis=1)
    out[first:last] = xp.arange(last - first)
    return out


def _scaled(xp: Any, points: Any) -> tuple[Any, float, float]:
    n, d = points.shape
    centre, low, high = points.mean(axis=0), points.min(axis=0), points.max(axis=0)
    most = float(xp.maximum(high - centre, centre - low).max())
    scale = float(2.0 ** -np.ceil(np.log2(most))) if most > 1e-100 else 1.0
    falling = xp.argsort(-points.var(axis=0))
    moved = points[:, falling]
    moved -= centre[falling]
    moved *= scale
    out = xp.zeros((n, max(HEAD, -(-d // STEP) * STEP)), dtype=xp.float32)
    out[:, :d] = moved
    return out, scale, 8.0 * d * 2.0**-52 * scale * float(xp.maximum(high, -low).max())


def _half_norms(xp: Any, points: Any) -> Any:
    """Half squared norms, float32; a coordinate at a time, which takes no room."""
    total = xp.zeros(len(points))
    for j in range(points.shape[1]):
        total += points[:, j].astype(xp.float64) ** 2
    return (0.5 * total).astype(xp.float32)


def _starts(n: int, level: int) -> np.ndarray:
    """Places that cut n points into 2**level parts of whole strips."""
    strips = -(-n // LANES)
    return np.minimum((np.arange((1 << level) + 1, dtype=np.int64) * strips >> level) * LANES, n)


def _places(xp: Any, starts: np.ndarray) -> Any:
    """Places of every segment, (segments, longest); the last of a shorter one stands several times."""
    inside = np.arange(int(np.diff(starts).max()))
    return xp.asarray(np.minimum(starts[:-1, None] + inside, starts[1:, None] - 1))
