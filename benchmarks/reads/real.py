"""`sclineage count` on real reads, on real molecules, and on simulated reads with truth, in one command.

    SCLINEAGE_DATA=... python -m benchmarks.reads.real [--pairs 300000] [--out benchmarks/results]

Writes ``reads_real.json`` and ``reads_real.md``: states of the reads of real FASTQ files and a BAM, how wrong
chemistries are refused, what barcode correction does to real molecules, counts against the truth of simulated reads
of real CAR constructs, and the peak memory at one and four times the file size.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._runner import RESULTS, machine
from sclineage.reads.api import match_barcodes
from sclineage.reads.fasta import read_fasta
from sclineage.reads.whitelists import read_whitelist
from sclineage.simulate.reads import ReadsPlan, simulate_reads

DATA = Path(os.environ.get("SCLINEAGE_DATA", "../shared/data"))
CONSTRUCTS = {"axicel": "axicel_HM852952", "idecel": "idecel_WO2021091978A1", "ciltacel": "ciltacel_WO2022116086A1"}
HUMAN = DATA / "car-constructs" / "human_homologues_and_scfv_parts.fasta"
NOT_HUMAN = ("KM595254", "OP963038")  # parts of single-chain antibodies in that file
LISTS = {"3M-february-2018": "barcode-lists-factored/10x_v3_3M-february-2018.blocks.tsv.gz",
         "737K-august-2016": "barcode-whitelists/737K-august-2016.txt.gz",
         "3M-3pgex-may-2023": "barcode-lists-factored/10x_v4.blocks.tsv.gz"}


class Workplace:
    """A temporary folder with the whitelists under their names, the decoys, and a way to call the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        lists = folder / "whitelists"
        lists.mkdir()
        for name, file in LISTS.items():
            source = DATA / file
            (lists / (name + source.name[source.name.index(".") :])).symlink_to(source.resolve())
        self.environment = os.environ | {"SCLINEAGE_WHITELISTS": str(lists)}
        self.decoys = folder / "human.fasta"
        human = [r for r in read_fasta(HUMAN) if not r.name.startswith(NOT_HUMAN)]
        self.decoys.write_bytes(b"".join(b">%s\n%s\n" % (r.name.encode(), r.sequence) for r in human))
        self.calls = 0

    def count(self, **options: Any) -> dict[str, Any]:
        """Run `sclineage count`; what it wrote, or how it refused."""
        self.calls += 1
        out = self.folder / f"out{self.calls}"
        words = [w for name, value in options.items() for w in
                 (f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)]))]
        done = subprocess.run([sys.executable, "-m", "sclineage.cli", "count", "--out", str(out), *words],
                              env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            return {"status": done.returncode, "message": _plain(done.stderr), "left_behind": out.exists()}
        record = json.loads((out / "run.json").read_text())
        table = pd.read_csv(out / "reads.csv")
        states = {g: dict(zip(t["state"], map(int, t["reads"]), strict=True)) for g, t in table.groupby("group")}
        added = {g: sum(s.values()) for g, s in states.items()}
        others = sum(record["transcript_reads"][k] for k in ("endogenous", "nothing", "no_primer"))
        return {"status": 0, "reads": record["reads"], "states": states, "folder": out, "cells": record["cells"]["n"],
                "add_up": added["barcode"] == added["transcript"] == record["reads"]
                and added["molecule"] == record["reads"] - others,
                "molecules": record["molecules"], "seconds": record["seconds"], "warnings": record["warnings"],
                "peak_mb": round(record["peak_memory_bytes"] / 1e6),
                "on_list": record["chemistry"]["first_barcodes_on_list"]}


def _plain(text: str) -> str:
    """A message without the folders of this machine."""
    return re.sub(r"(/[\w.+-]+)+/", "", text.strip())


def real_fastq(work: Workplace) -> list[dict[str, Any]]:
    """Real reads with the right chemistry and with wrong ones."""
    folder = DATA / "fastq-10x"
    v3 = [folder / "pbmc_v31_chr21" / f"pbmc_chr21_S1_L001_R{k}_001.fastq.gz" for k in (1, 2)]
    v2 = folder / "tiny_v2_interleaved" / "read-RA.fastq.gz"
    targets = {"targets": DATA / "car-constructs" / "axicel_HM852952.fasta", "decoys": work.decoys}
    pair = {"r1": v3[0], "r2": v3[1]}
    cases = [*(("PBMC 3' v3.1", f"10x-3p-v{k}", pair) for k in (3, 2, 4)),
             ("PBMC 3' v3.1, R1 and R2 swapped", "10x-3p-v3", {"r1": v3[1], "r2": v3[0]}),
             ("3' v2, interleaved", "10x-3p-v2", {"r1": v2}), ("3' v2, interleaved", "10x-3p-v3", {"r1": v2})]
    return [{"reads_of": name, "chemistry": chemistry, **work.count(chemistry=chemistry, **targets, **given)}
            for name, chemistry, given in cases]


def real_bam(work: Workplace) -> dict[str, Any]:
    """Mitochondrial reads of a 10x BAM: molecules against the file's own CB and UB."""
    try:
        import pysam
    except ImportError:
        return {"status": "not measured: no pysam"}
    path = DATA / "bam-10x" / "nsclc_5p_chrM.bam"
    with pysam.AlignmentFile(str(path), "rb", check_sq=False) as file:
        rows = [r for r in file.fetch(until_eof=True) if not r.flag & 0x900 and r.has_tag("CB") and r.has_tag("UB")]
    tagged = {(r.get_tag("CB"), r.get_tag("UB")) for r in rows}
    got = work.count(chemistry="10x-5p-v2", bam=path, targets=DATA / "human-reference-small" / "chrM_NC_012920.fasta")
    table = pd.read_csv(got["folder"] / "molecules.tsv.gz", sep="\t")
    found = set(zip(table["barcode"], table["umi"], strict=True))
    return got | {"tagged": len(tagged), "found": len(found), "found_and_tagged": len(found & tagged)}


def real_molecules() -> list[dict[str, Any]]:
    """Molecules of a CD7 CAR-T patient whose barcodes were never corrected, before and after."""
    listed = read_whitelist(DATA / LISTS["737K-august-2016"])
    rows = []
    for name in ("Day14_CAR", "Infusion_CAR"):
        with gzip.open(DATA / "cart-umi-hhv6" / "cd7" / f"{name}.quant.txt.gz", "rt") as handle:
            barcodes = [line[0] for line in csv.reader(handle, delimiter="\t")]
        for policy in ("cellranger", "unique", "calibrated"):
            got = match_barcodes(barcodes, whitelist=listed, policy=policy)  # type: ignore[arg-type]
            rows.append({"table": name, "policy": policy, "molecules": len(barcodes),
                         "off_before": float((got["state"] != "exact").mean()),
                         "off_after": float((got["index"] < 0).mean()),
                         **{k: int(n) for k, n in got["state"].value_counts().items()}})
    return rows


def _libraries(work: Workplace) -> tuple[dict[str, str], dict[str, str], list[str]]:
    targets = {k: next(iter(read_fasta(DATA / "car-constructs" / f"{v}.fasta"))).sequence.decode()
               for k, v in CONSTRUCTS.items()}
    endogenous = {r.name: r.sequence.decode() for r in read_fasta(work.decoys)}
    with gzip.open(DATA / LISTS["737K-august-2016"], "rt") as handle:
        return targets, endogenous, handle.read().split()


def simulated(work: Workplace) -> list[dict[str, Any]]:
    """Counts against the truth: three real constructs beside the human genes that they share sequence with."""
    targets, endogenous, listed = _libraries(work)
    rows = []
    for error, seed in ((0.0, 11), (0.002, 12), (0.01, 13)):
        folder = work.folder / f"simulated{seed}"
        plan = ReadsPlan(targets, endogenous, cells=300, droplets=1500, umi=10, error=error, seed=seed,
                         targets_per_cell=4.0, reads_per_molecule=4.0, junk=0.02 if error else 0.0)
        truth = simulate_reads(plan, listed, folder)
        got = work.count(chemistry="10x-5p-v2", targets=folder / "targets.fasta", decoys=folder / "decoys.fasta",
                         r1=folder / "L1_R1.fastq.gz", r2=folder / "L1_R2.fastq.gz", cells=folder / "cells.txt")
        rows.append({"error": error, "seed": seed, **got, **_against(truth, got["folder"])})
    return rows


def _against(truth: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """True molecules by what they are called; one of shared sequence alone cannot be told from a human gene's."""
    table = pd.read_csv(folder / "molecules.tsv.gz", sep="\t")
    table["barcode"] = table["barcode"].str.removesuffix("-1")
    both = truth.merge(table, on=["barcode", "umi"], how="outer", suffixes=("_true", ""), indicator=True)
    called = both["feature"].astype(object).where(both["feature"].notna(), "")
    own = both["_merge"] == "both"
    right, shared = own & (called == both["feature_true"]), own & called.str.endswith(":shared")
    joint = own & ~right & ~shared & called.str.contains("_or_|unresolved")
    extra = (both["_merge"] == "right_only") & ~called.str.endswith(":shared")
    return {"true_molecules": len(truth), "named_right": int(right.sum()), "product_not_resolved": int(joint.sum()),
            "shared_only": int(shared.sum()), "named_wrong": int((own & ~right & ~shared & ~joint).sum()),
            "missed": int((both["_merge"] == "left_only").sum()), "not_in_truth": int(extra.sum()),
            "reads_right": int((both["reads_true"] == both["reads"])[right].sum())}


def memory(work: Workplace, pairs: int) -> list[dict[str, Any]]:
    """Peak memory of files of one and four times as many read pairs of the same kind."""
    targets, endogenous, listed = _libraries(work)
    rows = []
    for times in (1, 4):
        folder = work.folder / f"memory{times}"
        plan = ReadsPlan({"axicel": targets["axicel"]}, endogenous, cells=400, droplets=2000, umi=10, seed=20,
                         molecules_per_cell=150.0, targets_per_cell=4.0, error=0.005,
                         reads_per_molecule=times * pairs / (400 * 150.0 * 1.25))
        simulate_reads(plan, listed, folder)
        files = [folder / f"L1_R{k}.fastq.gz" for k in (1, 2)]
        got = work.count(chemistry="10x-5p-v2", targets=folder / "targets.fasta", decoys=folder / "decoys.fasta",
                         r1=files[0], r2=files[1], cells=folder / "cells.txt")
        rows.append({"times": times, "bytes": sum(f.stat().st_size for f in files), **got})
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return "\n".join("| " + " | ".join(map(str, r)) + " |" for r in (head, ["---"] * len(head), *rows))


def markdown(record: dict[str, Any]) -> str:
    """The page."""
    facts, states = record["machine"], ("exact", "corrected", "ambiguous", "none", "n", "too_short")
    taken = [r for r in record["fastq"] if r["status"] == 0]
    refused = [r for r in record["fastq"] if r["status"] != 0]
    bam = record["bam"]
    parts = [
        "# Reads to molecules: real data and truth", "",
        f"{facts['cpu']}, {facts['cores']} cores; load {facts['load']:.1f} at the end. Research use only.", "",
        "## Real FASTQ files", "",
        "States of the barcodes; the CAR cannot be in these libraries, and no read is called it.", "",
        _table(["reads of", "chemistry", "pairs", *states, "states add up", "CAR reads", "first on list"],
                   [[r["reads_of"], r["chemistry"], r["reads"], *(r["states"]["barcode"][s] for s in states),
                     r["add_up"], sum(r["states"]["molecule"].values()), f"{r['on_list']:.1%}"] for r in taken]),
        "", "Refused (exit status, message):", "",
        *[f"- {r['reads_of']} as {r['chemistry']}: {r['status']}, `{r['message']}`" for r in refused],
        "", "## Real BAM", "",
        f"Mitochondrial reads of two cells: {bam.get('found_and_tagged')} of {bam.get('found')} molecules are (CB, UB) "
        f"pairs of the file, which has {bam.get('tagged')}.", "",
        "## Real molecules that were never corrected (CD7 CAR-T patient)", "",
        _table(["table", "policy", "molecules", "off the list before", "after", "corrected", "ambiguous", "none"],
               [[r["table"], r["policy"], r["molecules"], f"{r['off_before']:.2%}", f"{r['off_after']:.2%}",
                 r.get("corrected", 0), r.get("ambiguous", 0), r.get("none", 0)] for r in record["molecules"]]),
        "", "## Simulated reads of three real constructs among their human homologues", "",
        _table(["error per base", "pairs", "true molecules", "named right", "product not resolved", "shared only",
                "named wrong", "missed", "not in truth", "states add up"],
               [[r["error"], r["reads"], r["true_molecules"], r["named_right"], r["product_not_resolved"],
                 r["shared_only"], r["named_wrong"], r["missed"], r["not_in_truth"], r["add_up"]]
                for r in record["simulated"]]),
        "", "A molecule all of whose reads lie in sequence that two constructs, or a human gene, have too cannot be",
        "named.",
        "With errors, `missed` and `not in truth` are mostly single-read molecules with a misread UMI.", "",
        "## Memory", "", _table(["file size", "bytes", "pairs", "molecules", "peak MB", "seconds"],
                                [[f"{r['times']}x", r["bytes"], r["reads"], r["molecules"], r["peak_mb"], r["seconds"]]
                                 for r in record["memory"]]), ""]
    return "\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--pairs", type=int, default=300_000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        work = Workplace(Path(folder))
        record: dict[str, Any] = {}
        for name, step in (("fastq", lambda: real_fastq(work)), ("bam", lambda: real_bam(work)),
                           ("molecules", real_molecules), ("simulated", lambda: simulated(work)),
                           ("memory", lambda: memory(work, given.pairs))):
            print(name, file=sys.stderr)
            record[name] = step()
    record["machine"] = machine()
    given.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, default=lambda v: v.item() if isinstance(v, np.generic) else "")
    (given.out / "reads_real.json").write_text(text + "\n", encoding="utf-8")
    (given.out / "reads_real.md").write_text(markdown(record), encoding="utf-8")
    print(markdown(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
