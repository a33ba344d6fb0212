"""Leaves of neighbouring points: what both devices search in. The answer never depends on how the leaves lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .knn_cpu import HEAD, LEAF, STEP


@dataclass(frozen=True)
class Tree:
    """Points in the order of their leaves; the number of leaves is a power of two.

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
    low: Any
    high: Any
    scale: float
    blur: float


def build(xp: Any, points: Any) -> Tree:
    """Halve the points at the median of their widest coordinate until a leaf holds at most `LEAF` of them.

    `points` are float64 (n, d), n at least 1, on the device of `xp`.
    """
    n = len(points)
    moved, scale, blur = _scaled(xp, points)
    levels = max(0, int(np.ceil(np.log2(n / LEAF))))
    order = xp.arange(n, dtype=xp.int32)
    for level in range(levels):
        starts = _starts(n, level)
        segment = xp.asarray(np.repeat(np.arange(1 << level, dtype=np.int32), np.diff(starts)))
        widest = xp.argmax(moved[order[_places(xp, starts)], :HEAD].var(axis=1), axis=1)
        order = order[xp.lexsort(xp.stack([moved[order, widest[segment]], segment.astype(xp.float32)]))]
    starts, moved = _starts(n, levels), moved[order]
    members = moved[_places(xp, starts)]
    half, head_half = ((0.5 * (part.astype(xp.float64) ** 2).sum(axis=1)).astype(xp.float32)
                       for part in (moved, moved[:, :HEAD]))
    return Tree(moved, half, head_half, order, xp.asarray(starts), members.min(axis=1), members.max(axis=1), scale,
                blur)


def _scaled(xp: Any, points: Any) -> tuple[Any, float, float]:
    n, d = points.shape
    centre = points.mean(axis=0)
    most = float(abs(points - centre).max())
    scale = float(2.0 ** -np.ceil(np.log2(most))) if most > 1e-100 else 1.0
    out = xp.zeros((n, max(HEAD, -(-d // STEP) * STEP)), dtype=xp.float32)
    out[:, :d] = ((points - centre) * scale)[:, xp.argsort(-points.var(axis=0))].astype(xp.float32)
    return out, scale, 8.0 * d * 2.0**-52 * scale * float(abs(points).max())


def _starts(n: int, level: int) -> np.ndarray:
    return (np.arange((1 << level) + 1, dtype=np.int64) * n) >> level


def _places(xp: Any, starts: np.ndarray) -> Any:
    """Places of every segment, (segments, longest); segments differ by one at most, so the last may stand twice."""
    inside = np.arange(int(np.diff(starts).max()))
    return xp.asarray(np.minimum(starts[:-1, None] + inside, starts[1:, None] - 1))
