"""Markdown of the real-data run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sclineage._provenance import versions


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join("" if v is None else str(v) for v in row) + " |" for row in rows]
    return "\n".join(lines)


def _sorted(facts: Mapping[str, Any], size: str) -> str:
    return f"{facts[f'sorted_{size}_carry']} / {facts[f'sorted_{size}_n']} ({facts[f'sorted_{size}_negative']})"


def markdown(record: Mapping[str, Any]) -> str:
    """Three tables: verdicts by clone size in sorted samples, what must never happen, sensitivities."""
    sizes = ("1", "2", "5", "10")
    names = ("1 cell", "2-4", "5-9", ">= 10")
    sort = _table(["data", *(f"{n}: carry / all (negative)" for n in names)],
                  ([k, *(_sorted(r, s) for s in sizes)] for k, r in record.items() if "sensitivity" in r))
    keys = ("clones", "carrying", "negative", "unsorted_cells_with_umi", "pos_cells_unsorted",
            "pos_cells_unsorted_without_umi", "pos_non_T", "unsorted_CAR_positive", "unsorted_negative")
    never = _table(["data", *keys], ([k, *(r[key] for key in keys)] for k, r in record.items()))
    columns = ("sample", "selection", "cells", "car_umi", "sensitivity", "source", "author_cells", "author_share")
    sens = _table(["data", *columns], ([k, *(row[c] for c in columns)] for k, r in record.items()
                                       for row in r.get("sensitivity", ())))
    made = ", ".join(f"{k} {v}" for k, v in versions().items() if k in ("sclineage", "python", "numpy", "scipy"))
    return f"""# Real patients and libraries

Consistency checks on public data, not a validation: sort and author labels are not cell truth. Research use only.

## CAR+-sorted samples: clones that carry, by informative cells

{sort}

## Counts per run

BBBleuk was by its name taken before any CAR existed: no clone in it may carry.

Where a library holds so few CAR molecules that all of them may be background, none of its cells is called `pos` and no
clone carries: such cells (`unsorted_cells_with_umi`) may well be CAR-T cells, the library alone cannot show it.

{never}

## Sensitivity per sample beside the share of author-labelled CAR-T cells with a CAR UMI

{sens}

Made with {made}.
"""
