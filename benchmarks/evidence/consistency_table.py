"""Markdown of the consistency checks on real patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(str(v) for v in row) + " |" for row in rows]


def _curve(found: Mapping[str, Any]) -> list[str]:
    return [f"{b['posterior']:.2f} > {b['share']:.2f} ({b['cells']})" if b["cells"] else "" for b in found["bins"]]


def _reliability(record: Mapping[str, Any]) -> list[str]:
    rows = [[patient, which, {"sorted": "all sorted", "labelled": "labelled"}[truth], found["cells"], found["true"],
             f"{found['ece']:.3f}", *_curve(found)]
            for patient, seen in record.items() for which, two in seen["curves"].items()
            for truth, found in two.items()]
    head = ["patient", "posterior", "taken as carrying", "cells", "of these carrying", "ECE",
            *(f"{b / 10:.1f}-{(b + 1) / 10:.1f}" for b in range(10))]
    return _table(head, rows)


def _free(record: Mapping[str, Any]) -> str:
    return RELIABILITY.format(free="; ".join(f"{patient}: {seen['free_with_umi']} of {seen['free']} show a UMI"
                                             for patient, seen in record.items()))


def _predicted(found: Mapping[str, Any]) -> list[str]:
    return [f"{found['share']:.2f} ({found['low']:.2f} to {found['high']:.2f})", found["source"],
            "yes" if found["inside"] else "no"]


def _sensitivity(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    head = ["patient", "sample", "labelled cells", "with a CAR UMI", "own fit",
            "from the patient's other samples (90 %)", "source", "holds it",
            "from the other patients (90 %)", "source", "holds it"]
    return _table(head, ([r["patient"], r["sample"], r["labelled"], f"{r['observed']:.2f}", f"{r['own']:.2f}",
                          *_predicted(r["rest"]), *_predicted(r["others"])] for r in rows))


def wrong(sizes: Mapping[str, Any]) -> str:
    """Wrong verdicts and clones of one truth."""
    return f"{sum(v['wrong'] for v in sizes.values())} / {sum(map(_clones, sizes.values()))}"


def _clones(v: Mapping[str, int]) -> int:
    return v["negative"] + v["indeterminate"] + v["carrying"]


def _percent(v: Mapping[str, int]) -> str:
    return " / ".join(f"{100 * v[k] / _clones(v):.0f}" for k in ("negative", "indeterminate", "carrying"))


def _mixtures(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    runs = list(runs)
    sizes = [int(s) for s in next(iter(runs[0]["verdicts"].values()))]
    rows = [[r["context"], f"{100 * r['contamination']:.0f}", truth, wrong(shares),
             *(_percent(shares[str(s)]) for s in sorted(sizes))]
            for r in runs for truth, shares in r["verdicts"].items()]
    head = ["libraries", "contaminated %", "clones", "wrong / all", *map(str, sorted(sizes))]
    fits = _table(["libraries", "contaminated %", "cells", "doublet share fitted", "theta", "cell ECE",
                   "cell FDR at .95", "sensitivity at .95"],
                  ([r["context"], f"{100 * r['contamination']:.0f}", r["cells"], f"{r['eta']:.3f}",
                    f"{r['theta']:.1e}", f"{r['cell_ece']:.3f}", f"{r['cell_fdr']:.3f}", f"{r['sensitivity']:.3f}"]
                   for r in runs))
    return [*_table(head, rows), "", *fits]


TEXT = """Consistency checks on public data, not a validation: sort and author labels are not cell truth. Research use
only. No rate of the engine was fitted to these runs; its priors come from published libraries, these among them."""
RELIABILITY = """Cells with a TRB in blood and marrow. Unsorted cells are taken as free of the CAR ({free}).
In every bin: mean posterior > share taken as carrying (cells). 'All sorted' takes every sorted cell as carrying, leaked
ones too; 'labelled' takes the cells that the authors labelled and leaves the other sorted ones out."""
SENSITIVITY = """Share of the author-labelled cells of a sorted sample that show a CAR UMI, and what the rest lets
expect of it at the cells' own depths, that sample left out."""
MIXTURES = """Unsorted T cells of one patient, and sorted, labelled CAR-T cells of another as 15 % of the T cells, are
one library; a third library is the declared positive control. A foreign CAR-T profile is added to a share of all
barcodes. Clones of one to 300 cells (25 of each kind) are drawn from the same cells, from one real clone where one is
large enough, and assessed with the library's fit. Verdicts: negative / indeterminate / carrying %. Wrong, by the
members drawn: a CAR-free clone that carries, a carrying clone that is negative, a clone of both that is `CAR_positive`
or `CAR_transcript_not_detected`. Real profiles, but an artificial library: no soup, doublets by addition."""


def markdown(record: Mapping[str, Any]) -> str:
    """All parts that the record has."""
    lines = ["# CAR evidence on real patients: consistency", "", TEXT, "",
             f"{record['machine']['cpu']}; sclineage {record['versions']['sclineage']}, Python "
             f"{record['versions']['python']}.", ""]
    if "reliability" in record:
        lines += ["## Reliability of the cell posterior", "", _free(record["reliability"]), "",
                  *_reliability(record["reliability"]), ""]
    if "sensitivity" in record:
        lines += ["## Sensitivity, the sample left out", "", SENSITIVITY, "", *_sensitivity(record["sensitivity"]), ""]
    if "mixtures" in record:
        lines += ["## In-silico mixtures", "", MIXTURES, "", *_mixtures(record["mixtures"])]
    return "\n".join(lines).rstrip() + "\n"
