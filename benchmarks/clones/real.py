"""Clone calls on public data: beside Cell Ranger and scirpy, over time, by lineage barcodes, and by mitochondria.

    python -m benchmarks.clones.real --data DIR [--out DIR] [--only PART]

DIR holds the public data sets by folder, as SCLINEAGE_DATA does for the tests. The parts are functions of this file;
`tests/clones/test_real.py` holds their key figures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import sclineage as sl
from benchmarks._runner import RESULTS, machine
from benchmarks.clones.real_compare import categories, larry_noise, nested_pairs, scirpy_clones
from sclineage.clones.normalise import chain_table
from sclineage.clones.patient import patient_clones
from sclineage.patient import access

NAME = "clones_real"
TENX = {"chain": "locus", "v_gene": "v_call", "j_gene": "j_call", "c_gene": "c_call", "cdr3_nt": "junction",
        "cdr3": "junction_aa", "umis": "umi_count", "reads": "consensus_count"}
LARGEST = 8  # clones of the timeline that are shown


# --- beside Cell Ranger ----------------------------------------------------------------------------------------------
def contigs(path: Path) -> pd.DataFrame:
    """Contigs of cells, as Cell Ranger called them, with its clonotype."""
    frame = pd.read_csv(path, keep_default_na=False).rename(columns=TENX)
    yes = (frame["is_cell"].astype(str).str.lower() == "true") & (
        frame["high_confidence"].astype(str).str.lower() == "true")
    return frame[yes & frame["locus"].isin(["TRA", "TRB"])]


def called(parts: dict[str, pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells of one patient (sample, barcode, Cell Ranger's clonotype, our calls) and their records."""
    records = pd.concat([p.assign(sample=name) for name, p in parts.items()], ignore_index=True)
    cells = records.groupby(["sample", "barcode"], sort=True)["raw_clonotype_id"].max().reset_index(name="cellranger")
    cells["cellranger"] = cells["cellranger"].where(~cells["cellranger"].isin(["", "None"]), "")
    index = pd.MultiIndex.from_frame(cells[["sample", "barcode"]])
    records["cell"] = index.get_indexer(pd.MultiIndex.from_frame(records[["sample", "barcode"]]))
    names, sample = np.unique(cells["sample"], return_inverse=True)
    found = patient_clones(chain_table(records), patient="P", sample=sample.astype(np.int64), n_samples=names.size)
    return pd.concat([cells, found.cells], axis=1), records


def against_cell_ranger(data: Path, say: Callable[[str], None],
                        patients: Sequence[str] = ("P02", "P05", "P10", "P13")) -> list[dict[str, Any]]:
    """Cells by how our clone differs from Cell Ranger's clonotype, library by library; scirpy's agreement beside it."""
    sets = {"healthy PBMC": {"pbmc3": data / "tcr-10x-public" / "pbmc3_t_filtered_contig_annotations.csv.gz"}}
    table = pd.read_csv(data / "carpall-cart-gex-vdj" / "samples.tsv", sep="\t")
    for patient, group in table[table["vdj_file"] & table["Patient"].isin(patients)].groupby("Patient"):
        sets[f"CARPALL {patient}"] = {
            s: data / "carpall-cart-gex-vdj" / "vdj" / f"{s}.filtered_contig_annotations.csv.gz"
            for s in sorted(group["TCR_Sample"])}
    rows = []
    for name, paths in sets.items():
        say(name)
        cells, records = called({s: contigs(p) for s, p in paths.items()})
        row = {"set": name, "libraries": len(paths), "cells": len(cells)} | categories(cells, records, "clone_id")
        for arms, dual in (("VDJ", "primary_only"), ("all", "any")):
            theirs = cells.assign(theirs=scirpy_clones(records, len(cells), arms, dual))
            row[f"scirpy {arms}/{dual}"] = categories(theirs, records, "theirs")["same"]
        rows.append(row)
    return rows


# --- over time -------------------------------------------------------------------------------------------------------
def follow(data: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The largest clones of CARPALL P05 in its unsorted samples, months 1 to 36, by `sl.tl.timeline`."""
    say("CARPALL P05 over time")
    base = data / "carpall-cart-gex-vdj"
    table = pd.read_csv(base / "samples.tsv", sep="\t")
    table = table[table["Patient"] == "P05"].sort_values(["Timepoint", "Sort"])
    month = table["Timepoint"].str[1:].astype(int)
    sheet = pd.DataFrame({
        "patient": "P05", "sample": table["TCR_Sample"], "specimen": table["Timepoint"], "day": month * 30,
        "material": table["Source"].map({"PB": "blood", "BM": "marrow"}),
        "selection": np.where(table["Sort"] == "NoSo", "none", "CAR+"),
        "vdj": [str(base / "vdj" / f"{s}.filtered_contig_annotations.csv.gz") for s in table["TCR_Sample"]]})
    with tempfile.TemporaryDirectory() as folder:
        sheet.to_csv(Path(folder) / "sheet.csv", index=False)
        mdata = sl.io.read_patient(Path(folder) / "sheet.csv")
    sl.tl.clones(mdata)
    sl.tl.timeline(mdata)
    timeline = access.table(mdata, "timeline")
    assert timeline is not None
    largest = timeline.groupby("clone_id")["n_clone"].sum().sort_values(ascending=False, kind="stable").index[:LARGEST]
    shown = timeline[timeline["clone_id"].isin(largest)]
    return {"clones": int(timeline["clone_id"].nunique()), "rows": shown.drop(columns="patient").to_dict("records")}


# --- lineage barcodes ------------------------------------------------------------------------------------------------
def larry(data: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Clones of the published LARRY table from its cell x barcode matrix, as it is and with planted noise."""
    import anndata

    say("LARRY")
    folder = data / "clones-barcodes-variants" / "cospar"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = anndata.read_h5ad(folder / "test_adata_preprocessed.h5ad")
    table = pd.read_csv(folder / "clonal_data_in_table_format.txt")
    published = table["Clone_ID"].to_numpy(object)
    return larry_noise(np.asarray(adata.obsm["X_clone"].todense(), dtype=bool), published)


# --- mitochondria ----------------------------------------------------------------------------------------------------
def mitochondria(data: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Whether cells of one TCR clone share their mitochondrial clone, beyond chance; ours and scirpy's clones."""
    say("TCR clones by mitochondrial variants")
    folder = data / "ch-tet2-tcr-mito"
    tcr = pd.read_csv(folder / "tcr.csv.gz", keep_default_na=False)
    mito = pd.read_csv(folder / "mito_positive_cells.tsv", sep="\t")
    mito["cell"] = mito["cell"].str.removesuffix("-1")
    one = mito.groupby("cell")["clone"].agg(["nunique", "first"])
    label = one.loc[one["nunique"] == 1, "first"].reindex(tcr["BC"]).fillna("").to_numpy(object)
    names = {"TRB": ("TRB_CDR3nuc", "TRBV", "TRBJ"), "TRA": ("TRA_CDR3nuc", "TRAV", "TRAJ"),
             "TRA ": ("TRA.2_CDR3nuc", "TRAV.2", "TRAJ.2")}
    parts = [pd.DataFrame({"cell": np.arange(len(tcr)), "locus": locus.strip(), "junction": tcr[j], "v_call": tcr[v],
                           "j_call": tcr[d]})[~tcr[j].isin(["", "NA"])] for locus, (j, v, d) in names.items()]
    records = pd.concat(parts, ignore_index=True).assign(c_call="", productive=True, umi_count=1, consensus_count=1)
    found = patient_clones(chain_table(records.drop(columns=["umi_count", "consensus_count"])), patient="P",
                           sample=np.zeros(len(tcr), np.int64), n_samples=1)
    doublet = found.cells["clone_status"] == "doublet"
    calls = {"sclineage": found.cells["clone_id"].where(~doublet, "").to_numpy(object)}
    for arms, dual in (("VDJ", "primary_only"), ("all", "any")):
        calls[f"scirpy {arms}/{dual}"] = scirpy_clones(records, len(tcr), arms, dual)
    both = tcr["BC"].isin(mito["cell"]).to_numpy()
    return [{"clones": name, "cells with both": int(both.sum())} | nested_pairs(c, label) for name, c in calls.items()]


PARTS: dict[str, Callable[[Path, Callable[[str], None]], Any]] = {
    "larry": larry, "mitochondria": mitochondria, "timeline": follow, "cell_ranger": against_cell_ranger}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, write."""
    from benchmarks.clones.real_report import report

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SCLINEAGE_DATA"))
    parser.add_argument("--only", action="append", choices=list(PARTS), default=[])
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    if given.data is None:
        parser.error("no data: give --data or set SCLINEAGE_DATA")
    facts, results = machine(), {}
    given.out.mkdir(parents=True, exist_ok=True)
    for part in given.only or PARTS:
        results[part] = PARTS[part](Path(given.data), lambda x: print(x, file=sys.stderr))
        (given.out / f"{NAME}.md").write_text(report(results, facts), encoding="utf-8")
        record = json.dumps({"machine": facts} | results, indent=1)
        (given.out / f"{NAME}.json").write_text(record + "\n", encoding="utf-8")
    print(report(results, facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
