"""Markdown of `benchmarks.clones.real`."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmarks.clones.real_compare import CATEGORIES

WHY = {
    "same": "the cell's clonotype is the core of its clone and the other way round",
    "joined: chain not seen": "the cell shows only some of the chains of its clone (or one more): Cell Ranger makes "
                              "such cells a clonotype of their own, we attach them where one clone explains them",
    "joined: other alpha": "the beta of the clone beside another alpha: second alpha of the clone, or an ambient one "
                           "beside an alpha that was not seen",
    "joined: other beta": "the clone's alpha beside another beta: second productive beta, a beta taken for a "
                          "sequencing error of the clone's, or an ambient beta beside one not seen",
    "doublet": "the chains are those of two clones; Cell Ranger makes the mixture a clonotype",
    "no clone: no beta": "alpha alone: shared by several clones, invariant, ambient, or of no clone seen; not named",
    "no clone: beta": "a beta that may as well be ambient, or that several explanations share; posterior under 0.95",
    "split": "one clonotype of Cell Ranger whose cells are two clones here: other V or J gene or another alpha",
    "no clonotype of Cell Ranger": "Cell Ranger named none (no productive pair left by its filters)",
}


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *("| " + " | ".join(r) + " |" for r in rows)]


def report(results: dict[str, Any], facts: dict[str, Any]) -> str:
    """All parts that were run."""
    text = ["# Clones on public data", "", f"{facts['cpu']}, {facts['cores']} cores. Research use only."]
    parts = {"cell_ranger": _cell_ranger, "timeline": _timeline, "larry": _larry, "mitochondria": _mitochondria}
    for name, write in parts.items():
        if name in results:
            text += ["", *write(results[name])]
    return "\n".join(text) + "\n"


def _cell_ranger(rows: list[dict[str, Any]]) -> list[str]:
    names = [r["set"] for r in rows]
    scirpy = [k for k in rows[0] if k.startswith("scirpy")]
    body = [[c, *(f"{r[c]} ({100 * r[c] / r['cells']:.1f} %)" for r in rows), WHY[c]] for c in CATEGORIES]
    head = [["cells (libraries)", *(f"{r['cells']} ({r['libraries']})" for r in rows), ""]]
    tail = [[f"same, {k}", *(f"{r[k]} ({100 * r[k] / r['cells']:.1f} %)" for r in rows),
             "scirpy's clones against Cell Ranger's by the same rule"] for k in scirpy]
    return ["## Beside Cell Ranger's clonotypes", "",
            "Cells by how our clone differs from `raw_clonotype_id`, within each library.", "",
            *_table(["", *names, "why"], head + body + tail)]


def _timeline(found: dict[str, Any]) -> list[str]:
    frame = pd.DataFrame(found["rows"])
    samples = frame.sort_values("day")["sample"].drop_duplicates().tolist()
    body = []
    for clone in frame.groupby("clone_id", sort=False)["n_clone"].sum().sort_values(ascending=False).index:
        row = frame[frame["clone_id"] == clone].set_index("sample")
        body.append([clone, *(_cell(row.loc[s]) for s in samples)])
    n = frame.drop_duplicates("sample").set_index("sample")
    head = [["informative cells", *(str(n.loc[s, "n_informative"]) for s in samples)],
            ["limit of detection", *(f"{n.loc[s, 'limit_of_detection']:.2%}" for s in samples)]]
    return ["## Clones of CARPALL P05, months 1 to 36", "",
            f"{found['clones']} clones; the largest by cells of the unsorted samples: members, share and its exact "
            "95 % interval. Sorted samples do not enter. 0 is not seen: it excludes only shares above the limit of "
            "detection.", "", *_table(["clone", *samples], head + body)]


def _cell(row: pd.Series) -> str:
    return f"{row['n_clone']}: {row['frequency']:.2%} ({row['low']:.2%} to {row['high']:.2%})"


def _larry(rows: list[dict[str, Any]]) -> list[str]:
    body = [[r["input"], r["rule"], *(f"{r[k]:.4f}" for k in ("precision", "recall", "cells")), f"{r['clones']:.1f}"]
            for r in rows]
    return ["## Lineage barcodes (LARRY) against the published clones", "",
            "The stored matrix holds called barcodes, one per cell, no UMIs: from it our clones must equal the table. "
            "Noise (UMIs, capture, ambient, doublets, founders with two barcodes) is planted on the real clone sizes. "
            "Pairs of single cells; cells given the clone that holds most of theirs; clones called.", "",
            *_table(["input", "rule", "precision", "recall", "cells recovered", "clones"], body)]


def _mitochondria(rows: list[dict[str, Any]]) -> list[str]:
    body = [[r["clones"], str(r["cells with both"]), str(r["cells"]), str(r["clones of two or more"]), str(r["pairs"]),
             f"{r['expected']:.3f}", f"{r['observed']:.3f}",
             f"{r['beyond chance']:.3f} ({r['low']:.3f} to {r['high']:.3f})", f"{r['p']:.4f}",
             f"{r['mean over clones']:.3f} ({r['mean low']:.3f} to {r['mean high']:.3f})"] for r in rows]
    return ["## T-cell clones checked by mitochondrial clones", "",
            "Pairs of cells of one T-cell clone that share their mitochondrial clone; chance = all pairs; beyond "
            "chance = (observed - chance) / (1 - chance), 95 % bootstrap over clones; p: 2000 permutations. Cells with "
            "one mitochondrial clone and a named T-cell clone count.", "",
            *_table(["clones", "cells with both", "cells used", "clones of two or more", "pairs", "chance", "observed",
                     "beyond chance", "p", "mean over clones"], body)]
