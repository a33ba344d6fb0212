"""HHV-6B and WPRE molecules of published CAR-T libraries: artefact features, positive cells, cultures.

The authors removed two HHV-6B features by hand (6 and 120); here nothing is told. Cells are the source's list where it
gives one, else every barcode with a molecule.

    python -m benchmarks.evidence.virus_real --data FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from sclineage._provenance import versions
from sclineage._schema import CAR_CARRYING, CAR_NEGATIVE
from sclineage.evidence.api import car_status, virus_status
from sclineage.patient import access

from .acceptance import machine
from .real_cells import trb_clones

ROOT = "cart-umi-hhv6"
BY_HAND = (6, 120)
SUPER = 10  # molecules of one cell, the authors' rule for super-expressors


@dataclass(frozen=True)
class Source:
    """One library: its files, and which barcodes are cells."""

    name: str
    folder: str
    vector: str
    listed: str = ""


GROUPS = (
    (Source("BBBleuk", "broad", "CAR"), Source("BBB7", "broad", "CAR"), Source("E1_1", "broad", "CAR", "annotated"),
     Source("F1", "broad", "CAR", "annotated")),
    (Source("Day14", "cd7", "CAR", "genotyped"), Source("Infusion", "cd7", "CAR")),
    (Source("Sample34", "invitro", "WPRE"), Source("Sample38", "invitro", "WPRE")))
CULTURES = ("Sample34", "Sample34-Day5", "Sample34-Day7")
NOTES = f"""Consistency checks on public data, not a validation. Research use only.

- `artefacts`: HHV-6B features left out by `virus_status`, which is told none; libraries of one study are asked
  together. The authors left out {BY_HAND[0]} and {BY_HAND[1]} everywhere, by hand. A feature with few molecules cannot
  show that it is an artefact: 6 has 0 in BBBleuk and 3 in E1_1.
- `cells`: barcodes of the source's list (annotated, genotyped), else every barcode with a molecule.
- `positive`: cells above the soup on at least two loci. `any`, `any left` and `>= {SUPER}`: rules on the molecules of
  all features, of those left, and the authors' super-expressors.
- `rate ratio`: HHV-6B molecules per cell with a CAR (WPRE) molecule over those without, where the cells are listed.
- BBBleuk was by its name taken before any CAR existed and shows no feature but 120."""


def quantified(path: Path) -> pd.DataFrame:
    """Molecules of one file: columns barcode, umi, feature."""
    table = pd.read_csv(path, sep="\t", header=None, usecols=[0, 1, 2], names=["barcode", "umi", "feature"])
    return table.drop_duplicates()


def listed_cells(root: Path, source: Source) -> pd.Index | None:
    """Barcodes that the source calls cells, None where it gives no list."""
    if source.listed == "annotated":
        path = root / "broad" / "cell-annotation-metadata.F1_E1_1.txt.gz"
        known = pd.read_csv(path, sep="\t", header=None, dtype=str)
        return pd.Index(known.loc[known[1] == source.name, 0].str[:16].unique())
    if source.listed == "genotyped":
        known = pd.read_csv(root / "cd7" / f"{source.name}_souporcell_clusters.tsv.gz", sep="\t")
        return pd.Index(known.loc[known["status"] == "singlet", "barcode"].str[:16].unique())
    return None


def receptors(root: Path, name: str) -> pd.Series:
    """TRB clone of every barcode of a culture."""
    found = trb_clones(root / "invitro" / f"{name}_VDJ_filtered_contig_annotations.csv.gz")
    found.index = found.index.str[:16]
    return found[~found.index.duplicated()]


def must_meet(name: str, cells: pd.Index, barcodes: pd.Index | pd.Series) -> None:
    """Stop where no molecule lies in a cell: barcodes of another spelling would read as cells without any."""
    if not cells.isin(barcodes).any():
        raise SystemExit(f"{name}: no molecule of the vector in any of {len(cells)} cells; compare the barcodes")


def library(root: Path, source: Source) -> tuple[pd.DataFrame, pd.Series]:
    """Cells x HHV-6B features, and CAR or WPRE molecules per cell."""
    viral = quantified(root / source.folder / f"{source.name}_HHV6b.quant.txt.gz")
    vector = quantified(root / source.folder / f"{source.name}_{source.vector}.quant.txt.gz").groupby("barcode").size()
    cells = listed_cells(root, source)
    if cells is None:
        cells = pd.Index(sorted(set(viral["barcode"]) | set(vector.index)))
    must_meet(source.name, cells, vector.index)
    counts = pd.crosstab(viral["barcode"], viral["feature"]).reindex(cells, fill_value=0)
    return counts, vector.reindex(cells, fill_value=0)


def group_rows(root: Path, sources: tuple[Source, ...]) -> list[dict[str, object]]:
    """Rows of libraries that are asked together."""
    read = [library(root, source) for source in sources]
    counts = pd.concat([c.set_axis(f"{s.name}:" + c.index, axis=0) for s, (c, _) in zip(sources, read, strict=True)])
    counts = counts.fillna(0).astype(np.int64).sort_index(axis=1)
    vector = np.concatenate([v.to_numpy() for _, v in read])
    names = [f"HHV6B_{k}" for k in counts.columns]
    sample = counts.index.str.split(":").str[0]
    obs = pd.DataFrame({"sample": sample, "patient": "P", "clone_status": "assigned",
                        "population": np.where(vector > 0, "CAR-T", "other_T")}, index=counts.index)
    data = AnnData(sparse.csr_matrix(counts.to_numpy(np.float32)), obs=obs, var=pd.DataFrame(index=names))
    virus_status(data, virus={"HHV6B": names})
    loci, table = access.store(data)["virus_loci"], access.table(data, "virus")
    assert table is not None
    left = ~loci["blacklisted"].to_numpy(bool)
    found = [int(n.split("_")[1]) for n in loci.loc[~left, "feature"]]
    positive = access.column(data, "virus_pos:HHV6B").to_numpy(dtype=bool)
    out = []
    for source in sources:
        here = np.asarray(sample == source.name)
        every, kept = counts.to_numpy()[here].sum(axis=1), counts.to_numpy()[here][:, left].sum(axis=1)
        mine = table[(table["sample"] == source.name) & (table["population"] == "CAR-T")].iloc[0]
        by_hand = counts.loc[here, [k for k in BY_HAND if k in counts.columns]].sum()
        out.append({"library": source.name, "cells": int(here.sum()), "list": source.listed or "any molecule",
                    "molecules": int(every.sum()), **{f"of {k}": int(by_hand.get(k, 0)) for k in BY_HAND},
                    "artefacts": " ".join(map(str, sorted(found))), "left": int(kept.sum()),
                    "any": int((every > 0).sum()), "any left": int((kept > 0).sum()),
                    f">= {SUPER}": int((kept >= SUPER).sum()), "positive": int(positive[here].sum()),
                    "rate ratio": _ratio(mine) if source.listed else ""})
    return out


def _ratio(row: pd.Series) -> str:
    if not np.isfinite(row["ratio_low"]):
        return ""
    return f"{row['rate_ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"


def culture_rows(root: Path) -> list[dict[str, object]]:
    """CAR-T cultures by WPRE: cells with a TRB, and verdicts on their clones, every culture for itself."""
    out = []
    for name in CULTURES:
        clone = receptors(root, name)
        molecules = quantified(root / "invitro" / f"{name}_WPRE.quant.txt.gz")
        must_meet(name, clone.index, molecules["barcode"])
        count = molecules.groupby("barcode").size().reindex(clone.index, fill_value=0)
        data = AnnData(sparse.csr_matrix(count.to_numpy(np.float32)[:, None]), var=pd.DataFrame(index=["WPRE"]),
                       obs=pd.DataFrame({"clone_id": clone.to_numpy(object), "sample": name, "patient": name,
                                         "selection": "none", "car_counting": "unique"}, index=clone.index))
        car_status(data, car="WPRE", sample_key="sample", selection_key="selection")
        table = access.table(data, "car_clones")
        assert table is not None
        inside = int(count.sum())
        row: dict[str, object] = {"culture": name, "cells with a TRB": len(clone), "with WPRE": int((count > 0).sum()),
                                  "molecules": inside, "in barcodes without": len(molecules) - inside}
        for low, high in ((1, 1), (2, 4), (5, 20), (21, 10**9)):
            part = table[table["car_n_informative"].between(low, high)]
            word = part["car_verdict"].astype(str)
            row[f"{low}" if low == high else f"{low}-{high}" if high < 10**9 else f">= {low}"] = (
                f"{word.isin(CAR_CARRYING).sum()} / {word.isin(CAR_NEGATIVE).sum()} / {len(part)}")
        out.append(row | {"why open": ", ".join(f"{k} {v}" for k, v in table.loc[
            table["car_verdict"] == "indeterminate", "car_reason"].value_counts().items())})
    return out


def _table(rows: list[dict[str, object]]) -> str:
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + " --- |" * len(rows[0])]
    return "\n".join(lines + ["| " + " | ".join(map(str, row.values())) + " |" for row in rows])


def markdown(record: dict) -> str:
    """The tables with their notes."""
    shown = ("sclineage", "python", "numpy", "scipy")
    made = ", ".join(f"{k} {v}" for k, v in record["versions"].items() if k in shown)
    return f"""# HHV-6B and WPRE molecules of published CAR-T libraries

{NOTES}

## HHV-6B

{_table(record["virus"])}

## CAR-T cultures by the vector's WPRE

No matrix of these unsorted cultures is public, so depths are unknown, and no cell is known to be free of the vector:
cells of different sizes in a library that is all background would look the same. Nothing is said of them then, neither
carrying nor negative. By size of the clone: carrying / negative / all.

{_table(record["cultures"])}

Made with {made}.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get(
        "SCLINEAGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    options = parser.parse_args()
    root = Path(options.data) / ROOT
    record = {"machine": machine(), "versions": versions(),
              "virus": [row for sources in GROUPS for row in group_rows(root, sources)], "cultures": culture_rows(root)}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "virus_real.json").write_text(json.dumps(record, indent=1) + "\n")
    (options.out / "virus_real.md").write_text(markdown(record))


if __name__ == "__main__":
    main()
