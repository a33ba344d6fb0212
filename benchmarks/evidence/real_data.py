"""Real patients through the whole pipeline, and what must hold of the result.

CARPALL patients P02, P10 and P13 (5' GEX with the CAR feature CAT_scFv, V(D)J, CAR+-sorted and unsorted samples),
library F1 (CAR molecules and contigs without a matrix) and library BBBleuk (by its name taken before any CAR existed:
every CAR UMI in it is false), the last with clones laid over its barcodes, as a lymphoma would lie.

Run: ``python -m benchmarks.evidence.real_data`` (needs SCLINEAGE_DATA or the default folder).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import sclineage as sl
from sclineage._schema import CAR_CARRYING, CAR_NEGATIVE

CARPALL = "carpall-cart-gex-vdj"
UMI = "cart-umi-hhv6/broad"
MATERIAL = {"PB": "blood", "BM": "marrow", "PROD": "product"}
SORT = {"CD3+CAT+": "CAR+", "NoSo": "none"}


@dataclass(frozen=True)
class Layout:
    """Clones laid over the barcodes of BBBleuk, and how the library is declared."""

    name: str
    n_cells: int
    sizes: tuple[int, ...]
    singletons: int
    role: str = ""
    day: str = ""


LAYOUTS = (
    Layout("24 clones of 20-60 cells", 8000, tuple(range(20, 68, 2)), 1280),
    Layout("6 big clones", 8000, (150, 100, 60, 40, 30, 25), 800),
    Layout("one clone of 300", 12000, (300,), 500),
    Layout("one clone of 100", 12000, (100,), 500),
    Layout("one clone of 300, declared negative", 8000, (300,), 500, role="car_negative_control"),
    Layout("one clone of 300, day -30", 8000, (300,), 500, day="-30"),
)


def carpall_sheet(data: Path, patient: str, folder: Path) -> Path:
    """Sample sheet of one CARPALL patient: every sample that has a matrix or contigs."""
    table = pd.read_csv(data / CARPALL / "samples.tsv", sep="\t", dtype=str).query("Patient == @patient")
    rows = []
    for row in table.itertuples():
        gex = data / CARPALL / "gex" / f"{row.GEX_Sample}.filtered_feature_bc_matrix.h5"
        vdj = data / CARPALL / "vdj" / f"{row.TCR_Sample}.filtered_contig_annotations.csv.gz"
        months = int(row.Timepoint[1:])
        rows.append({"patient": patient, "sample": row.GEX_Sample, "selection": SORT[row.Sort],
                     "specimen": f"{patient}_{row.Source}_{row.Timepoint}", "material": MATERIAL[row.Source],
                     "day": months * 30, "gex": gex if gex.exists() else "", "vdj": vdj if vdj.exists() else ""})
    path = folder / f"{patient}.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def f1_sheet(data: Path, folder: Path, *, counting: str = "unknown") -> Path:
    """Library F1: a list of called cells, CAR molecules, contigs; no matrix, so the depth is unknown.

    All its cells are alike (sorted CAR+), so with `counting` unknown background and CAR cannot be told apart.
    """
    notes = pd.read_csv(data / UMI / "cell-annotation-metadata.F1_E1_1.txt.gz", sep="\t", header=None, dtype=str)
    cells = notes.loc[notes[1] == "F1", 0].str[:16] + "-1"
    (folder / "F1.cells.txt").write_text("\n".join(cells) + "\n")
    path = folder / "F1.csv"
    pd.DataFrame([{"patient": "Axi-R-15", "sample": "F1", "selection": "CAR+", "day": 7, "material": "blood",
                   "car_counting": counting, "cells": folder / "F1.cells.txt",
                   "molecules": f"CAR={data / UMI / 'F1_CAR.quant.txt.gz'}",
                   "vdj": data / UMI / "F1_TCR_all_contig_annotations.csv.gz"}]).to_csv(path, index=False)
    return path


def bbbleuk_sheet(data: Path, folder: Path, layout: Layout, *, seed: int = 0) -> Path:
    """Library BBBleuk with drawn clones: barcodes of its CAR records filled up with CAR-free ones to `n_cells`."""
    rng = np.random.default_rng(seed)
    with gzip.open(data / UMI / "BBBleuk_CAR.quant.txt.gz", "rt") as handle:
        seen = sorted({line.split("\t")[0] for line in handle})
    extra = {"".join(rng.choice(list("ACGT"), 16)) for _ in range(layout.n_cells)} - set(seen)
    cells = seen + sorted(extra)[: max(layout.n_cells - len(seen), 0)]
    chosen = rng.permutation(cells)[: sum(layout.sizes) + layout.singletons]
    (folder / "leuk.cells.txt").write_text("\n".join(f"{c}-1" for c in cells) + "\n")
    _write_contigs(folder / "leuk.contigs.csv", chosen, [*layout.sizes, *[1] * layout.singletons], rng)
    path = folder / "leuk.csv"
    pd.DataFrame([{"patient": "BBB", "sample": "BBBleuk", "selection": "none", "day": layout.day, "role": layout.role,
                   "cells": folder / "leuk.cells.txt", "vdj": folder / "leuk.contigs.csv",
                   "molecules": f"CAR={data / UMI / 'BBBleuk_CAR.quant.txt.gz'}"}]).to_csv(path, index=False)
    return path


CODONS = {"A": "GCT", "S": "AGC", "L": "CTG", "G": "GGA", "R": "CGT", "Y": "TAC", "N": "AAC", "D": "GAC", "E": "GAG",
          "Q": "CAG", "T": "ACC", "P": "CCA", "V": "GTG", "C": "TGT", "F": "TTC"}


def _junction(rng: np.random.Generator, start: str, end: str) -> tuple[str, str]:
    middle = "".join(rng.choice(list("SLGRYNDEQTPV"), 9))
    amino = start + middle + end
    return amino, "".join(CODONS[a] for a in amino)


def _write_contigs(path: Path, barcodes: np.ndarray, sizes: list[int], rng: np.random.Generator) -> None:
    columns = ["barcode", "is_cell", "contig_id", "high_confidence", "length", "chain", "v_gene", "d_gene", "j_gene",
               "c_gene", "full_length", "productive", "cdr3", "cdr3_nt", "reads", "umis", "raw_clonotype_id",
               "raw_consensus_id"]
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        start = 0
        for number, size in enumerate(sizes):
            chains = [("TRB", "TRBV5-1", "TRBJ2-7", "TRBC2", *_junction(rng, "CASS", "YEQYF")),
                      ("TRA", "TRAV8-2", "TRAJ52", "TRAC", *_junction(rng, "CAV", "GGTSYGF"))]
            for barcode in barcodes[start:start + size]:
                for k, (chain, v, j, c, amino, nt) in enumerate(chains, 1):
                    writer.writerow([f"{barcode}-1", "true", f"{barcode}-1_contig_{k}", "true", 600, chain, v, "", j, c,
                                     "true", "true", amino, nt, 1000, 5 + k, f"clonotype{number}", ""])
            start += size


def run(sheet: Path, out: Path, *, car: str) -> dict[str, pd.DataFrame]:
    """Run the pipeline and read back its tables."""
    sl.run(sheet, out, car=car)
    text = {"keep_default_na": False, "na_values": [""]}
    names = ("cells.csv.gz", "clones.csv", "clone_car.csv", "samples.csv", "timeline.csv")
    return {name.split(".")[0]: pd.read_csv(out / name, low_memory=False, **text) for name in names}


def author_labels(data: Path) -> pd.DataFrame:
    """Cells that the authors of CARPALL labelled CAR-T: columns sample, barcode."""
    names = pd.read_csv(data / CARPALL / "car_t_cell_labels.tsv.gz", sep="\t")["CellID"].str.rsplit("_", n=1)
    return pd.DataFrame({"sample": names.str[0], "barcode": names.str[1]})


def sorted_rows(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Clone statements of CAR+-sorted specimens, all members."""
    return tables["clone_car"].query("selection == 'CAR+' and population == 'all'")


def facts(tables: dict[str, pd.DataFrame]) -> dict[str, object]:
    """Counts that the table prints for one patient."""
    clones, rows, cells = tables["clones"], tables["clone_car"].query("population == 'all'"), tables["cells"]
    unsorted = set(tables["samples"].query("selection == 'none'")["sample"])
    positive = cells.query("car_call == 'pos'")
    out: dict[str, object] = {
        "clones": len(clones), "carrying": int(clones["car_verdict"].isin(CAR_CARRYING).sum()),
        "negative": int(clones["car_verdict"].isin(CAR_NEGATIVE).sum()),
        "unsorted_cells_with_umi": int((cells["sample"].isin(unsorted) & (cells["car_umi"] > 0)).sum()),
        "pos_cells_unsorted": int(positive["sample"].isin(unsorted).sum()),
        "pos_cells_unsorted_without_umi": int((positive["sample"].isin(unsorted) & ~(positive["car_umi"] > 0)).sum()),
        "pos_non_T": int(positive["subset"].isin(["myeloid", "B"]).sum()),
        "unsorted_CAR_positive": int(rows.query("selection == 'none'")["car_verdict"].eq("CAR_positive").sum()),
        "unsorted_negative": int(rows.query("selection == 'none'")["car_verdict"].isin(CAR_NEGATIVE).sum()),
    }
    for low, high in ((1, 1), (2, 4), (5, 9), (10, 10**9)):
        part = sorted_rows(tables)
        part = part[part["n_informative"].between(low, high)]
        out[f"sorted_{low}_n"] = len(part)
        out[f"sorted_{low}_carry"] = int(part["car_verdict"].isin(CAR_CARRYING).sum())
        out[f"sorted_{low}_negative"] = int(part["car_verdict"].isin(CAR_NEGATIVE).sum())
    return out


def main() -> None:
    """Run everything and write the JSON and Markdown tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=os.environ.get(
        "SCLINEAGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    args = parser.parse_args()
    from benchmarks.evidence.real_table import markdown

    record: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for patient in ("P02", "P10", "P13"):
            tables = run(carpall_sheet(args.data, patient, folder), folder / patient, car="CAT_scFv")
            record[patient] = facts(tables) | {"sensitivity": sensitivities(tables, args.data)}
        for counting in ("unknown", "unique"):
            tables = run(f1_sheet(args.data, folder, counting=counting), folder / f"F1_{counting}", car="CAR")
            record[f"F1, counting {counting}"] = facts(tables) | {"sensitivity": sensitivities(tables, None)}
        for layout in LAYOUTS:
            inner = folder / layout.name.replace(" ", "_")
            inner.mkdir()
            record[f"BBBleuk: {layout.name}"] = facts(run(bbbleuk_sheet(args.data, inner, layout), inner / "out",
                                                          car="CAR"))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "real_data.json").write_text(json.dumps(record, indent=1) + "\n")
    (args.out / "real_data.md").write_text(markdown(record))


def sensitivities(tables: dict[str, pd.DataFrame], data: Path | None) -> list[dict[str, object]]:
    """Fitted sensitivity per sample beside the share of author-labelled CAR-T cells with a CAR UMI."""
    cells = tables["cells"]
    if data is not None:
        cells = cells.merge(author_labels(data).assign(author=True), on=["sample", "barcode"], how="left")
    else:
        cells = cells.assign(author=np.nan)
    rows = []
    for sample in tables["samples"].itertuples():
        known = cells[(cells["sample"] == sample.sample) & cells["car_umi"].notna()]
        label = known[known["author"].notna()]
        rows.append({"sample": sample.sample, "selection": sample.selection, "cells": int(sample.n_cells),
                     "car_umi": None if pd.isna(sample.car_umi_total) else int(sample.car_umi_total),
                     "sensitivity": None if pd.isna(sample.car_sensitivity) else round(sample.car_sensitivity, 3),
                     "source": sample.car_sensitivity_source, "author_cells": len(label),
                     "author_share": round(float((label["car_umi"] > 0).mean()), 3) if len(label) else None})
    return rows


if __name__ == "__main__":
    main()
