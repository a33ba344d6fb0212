"""Variants in published genotypes per cell: informative cells, status, power; never wild type by silence.

Beside every call stands what two usual rules say: one read of the variant makes a group mutant, none makes it wild
type; and the same of the pooled share of reads at 5 %.

    python -m benchmarks.evidence.variants_real --data FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import pandas as pd

from sclineage._provenance import versions
from sclineage.evidence.api import variant_status
from sclineage.patient import access

from .acceptance import machine
from .variants_data import clonetracer, got, mitoclone, sniffer

SHOWN = ("population", "lineage", "clone")
COLUMNS = ("data", "gene", "site", "group", "name", "n_cells", "n_informative", "n_reads", "n_alt_cells", "n_alt_reads",
           "alt_reads_expected", "variant_call", "variant_reason", "p_mutant", "fraction", "fraction_low",
           "fraction_high", "power", "cells_needed", "flags")
NOTES = """Nothing here is a validation: no truth is known but what the sources say of bulk. What can be checked is that
silence is never wild type, and that counts are the sources' own.

- `any read`: the rule "a read of the variant makes mutant, none makes wild type". `share >= 5 %`: the same of the
  pooled share of reads. Both call groups of a single read, and groups without one.
- P2 (leukaemia, sorted Smart-seq2 cells) and BPDCN712 give no genome position: sites are named by gene, position in it,
  and letters (`R>V` where the source says only reference and variant).
- BPDCN712: T cells are those with a receptor, clones their TRB nucleotides; other cells have a type only where the
  source lists them with a mitochondrial variant, so their numbers are small. That list holds positive cells alone, so
  nothing in it can be wild type, and it is not scored as genotypes.
- A.2: a T cell holds 0.12 reads of RNF130, a myeloid cell 3.1, so all reads of T cells may be soup. They are neither
  mutant nor wild type here; a first version, which took soup for a fixed share of a cell's reads, called them mutant,
  as the rule of any read does. In the source's bulk 0 of 48 reads of T cells show it, 41 of 114 of myeloid cells.
- 548327 and 809653: cells by 10x barcode, without cell types: one population."""


def rows_of(name: str, data: object, *, largest: int = 6) -> pd.DataFrame:
    """Rows of one patient: populations, lineages, and the clones with most informative cells per site."""
    start = time.perf_counter()
    variant_status(data)
    print(name, f"{time.perf_counter() - start:.1f} s", flush=True)
    table = access.table(data, "variants")
    assert table is not None
    clone = table["group"] == "clone"
    ranked = table[clone].sort_values(["site", "n_informative", "name"], ascending=[True, False, True], kind="stable")
    return pd.concat([table[~clone], ranked.groupby("site", sort=True).head(largest)]).assign(data=name)


def rules(frame: pd.DataFrame) -> pd.DataFrame:
    """What the usual rules say of the same reads."""
    share = frame["n_alt_reads"].astype(float) / frame["n_reads"].astype(float).where(lambda n: n > 0)
    return frame.assign(any_read=(frame["n_alt_reads"] > 0).map({True: "mutant", False: "wild type"}),
                        share_rule=(share.fillna(0) >= 0.05).map({True: "mutant", False: "wild type"}))


def totals(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Counts per data set over all groups."""
    out = []
    for name, part in frame.groupby("data", sort=False):
        silent = part["n_informative"] == 0
        open_ = part["variant_call"] == "not_assessable"
        out.append({"data": name, "rows": len(part), **{c: int((part["variant_call"] == c).sum()) for c in
                                                        ("mutant", "wild_type", "not_assessable")},
                    "without_a_read": int(silent.sum()),
                    "without_a_read_called_wild_type": int((silent & (part["variant_call"] == "wild_type")).sum()),
                    "wild_type_below_power": int(((part["variant_call"] == "wild_type") & (part["power"] < 0.8)).sum()),
                    "any_read_decides_where_we_do_not": int(open_.sum())})
    return out


def _cell(value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def markdown(record: dict) -> str:
    """The tables for people."""
    lines = ["# Variants in published genotypes", "", f"{record['machine']['cpu']}; sclineage "
             f"{record['versions']['sclineage']}. Research use only.", ""]
    for key in ("totals", "rows"):
        head = list(record[key][0])
        lines += ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        lines += ["| " + " | ".join(_cell(r[c]).replace("|", "/") for c in head) + " |" for r in record[key]] + [""]
    return "\n".join([*lines, NOTES]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SCLINEAGE_DATA"), help="folder of the public data")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    options = parser.parse_args()
    folder = Path(options.data)
    made = {"P2": mitoclone(folder), "A.2": clonetracer(folder), "548327": sniffer(folder, "548327"),
            "809653": sniffer(folder, "809653"), "BPDCN712": got(folder)}
    frame = rules(pd.concat([rows_of(name, data) for name, data in made.items()], ignore_index=True))
    shown = frame[[*COLUMNS, "any_read", "share_rule"]].astype(object)
    record = {"machine": machine(), "versions": versions(), "totals": totals(frame),
              "rows": json.loads(shown.where(shown.notna(), None).to_json(orient="records", double_precision=6))}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "variants_real.json").write_text(json.dumps(record, indent=1) + "\n")
    (options.out / "variants_real.md").write_text(markdown(record))


if __name__ == "__main__":
    main()
