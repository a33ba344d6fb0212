"""Leaves of neighbouring points: what both devices search in. The answer never depends on how the leaves lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .knn_cpu import HEAD, LEAF, STEP
from .knn_tile import LANES

CHUNK = 1024  # leaves compared with a group's at once


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
    """Halve the points of each group at the median of their widest coordinate until a leaf has at most `LEAF` of them.

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
    half, head_half = ((0.5 * (part.astype(xp.float64) ** 2).sum(axis=1)).astype(xp.float32)
                       for part in (moved, moved[:, :HEAD]))
    return Tree(moved, half, head_half, order, xp.asarray(starts), spans, members.min(axis=1), members.max(axis=1),
                scale, blur)


def _leaves(xp: Any, moved: Any, order: Any) -> tuple[Any, np.ndarray]:
    """The given rows in the order of their leaves, and of strips in these, and the places at which leaves start."""
    n = len(order)
    levels = max(0, int(np.ceil(np.log2(n / LEAF))))
    leaves = _starts(n, levels)
    for starts in (*(_starts(n, level) for level in range(levels)),
                   *(_cuts(leaves, LEAF >> level) for level in range((LEAF // LANES).bit_length() - 1))):
        segment = xp.asarray(np.repeat(np.arange(starts.size - 1, dtype=np.int32), np.diff(starts)))
        widest = xp.argmax(moved[order[_places(xp, starts)], :HEAD].var(axis=1), axis=1)
        order = order[xp.lexsort(xp.stack([moved[order, widest[segment]], segment.astype(xp.float32)]))]
    return order, leaves


def _cuts(starts: np.ndarray, width: int) -> np.ndarray:
    """Leaves cut after every `width` places."""
    places = starts[:-1, None] + np.arange(0, LEAF, width)
    return np.append(places[places < starts[1:, None]], starts[-1])


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
    centre = points.mean(axis=0)
    most = float(abs(points - centre).max())
    scale = float(2.0 ** -np.ceil(np.log2(most))) if most > 1e-100 else 1.0
    out = xp.zeros((n, max(HEAD, -(-d // STEP) * STEP)), dtype=xp.float32)
    out[:, :d] = ((points - centre) * scale)[:, xp.argsort(-points.var(axis=0))].astype(xp.float32)
    return out, scale, 8.0 * d * 2.0**-52 * scale * float(abs(points).max())


def _starts(n: int, level: int) -> np.ndarray:
    return (np.arange((1 << level) + 1, dtype=np.int64) * n) >> level


def _places(xp: Any, starts: np.ndarray) -> Any:
    """Places of every segment, (segments, longest); the last of a shorter one stands several times."""
    inside = np.arange(int(np.diff(starts).max()))
    return xp.asarray(np.minimum(starts[:-1, None] + inside, starts[1:, None] - 1))
