"""UMI collapse in plain Python, one (cell, feature) or one cell at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping


def count(reads: Iterable[tuple[int, int, str]]) -> dict[tuple[int, int, str], int]:
    """Reads of each (cell, feature, UMI), sorted."""
    return dict(sorted(Counter(reads).items()))


def distance(a: str, b: str) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))


def cellranger(counts: Mapping[str, int]) -> dict[str, str]:
    """Target of each UMI of one (cell, feature)."""
    return {umi: max((other for other in counts if distance(umi, other) <= 1), key=lambda o: (counts[o], o))
            for umi in counts}


def directional(counts: Mapping[str, int]) -> dict[str, str]:
    """UMI-tools: directed graph, components from the highest count down, each UMI in the first that reaches it."""
    ordered = sorted(counts, key=lambda u: (-counts[u], u))
    edges = {a: [b for b in ordered if distance(a, b) == 1 and counts[a] >= 2 * counts[b] - 1] for a in ordered}
    target: dict[str, str] = {}
    for root in ordered:
        if root in target:
            continue
        seen, queue = {root}, [root]
        while queue:
            for other in edges[queue.pop()]:
                if other not in seen:
                    seen.add(other)
                    queue.append(other)
        for umi in seen:
            target.setdefault(umi, root)
    return target


POLICIES = {"exact": lambda counts: {u: u for u in counts}, "cellranger": cellranger, "directional": directional}
Row = tuple[int, int, str]


def collapse(rows: Mapping[Row, int], policy: str) -> dict[Row, Row]:
    """Target of each (cell, feature, UMI)."""
    groups: dict[tuple[int, int], dict[str, int]] = defaultdict(dict)
    for (cell, feature, umi), n in rows.items():
        groups[cell, feature][umi] = n
    return {(c, f, u): (c, f, t) for (c, f), counts in groups.items() for u, t in POLICIES[policy](counts).items()}


def molecules(rows: Mapping[Row, int], target: Mapping[Row, Row]) -> dict[Row, int]:
    out: Counter[Row] = Counter()
    for row, n in rows.items():
        out[target[row]] += n
    return dict(sorted(out.items()))


def low_support(rows: Mapping[Row, int], target: Mapping[Row, Row]) -> set[Row]:
    """Cell Ranger: one read of each corrected UMI moves, then the strict maximum over features keeps the UMI."""
    moved = dict(rows)
    for row, to in target.items():
        if row != to:
            moved[row] -= 1
            moved[to] += 1
    by_umi: dict[tuple[int, str], dict[Row, int]] = defaultdict(dict)
    for row, n in moved.items():
        by_umi[row[0], row[2]][row] = n
    low: set[Row] = set()
    for entries in by_umi.values():
        top = max(entries.values())
        tied = list(entries.values()).count(top) > 1
        low |= {row for row, n in entries.items() if tied or n < top}
    return low
