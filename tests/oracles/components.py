"""Slow plain connected components: the specification of ``kernels/components``."""

from __future__ import annotations

from collections.abc import Iterable


def components(n: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """Smallest node of every node's component: lower labels spread along edges until nothing changes."""
    labels, links = list(range(n)), list(edges)
    changed = True
    while changed:
        changed = False
        for a, b in links:
            low = min(labels[a], labels[b])
            changed |= labels[a] != low or labels[b] != low
            labels[a] = labels[b] = low
    return labels
