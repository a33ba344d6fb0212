"""Writing a simulated patient in the formats that the tools of the field write; the same bytes for the same input."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from .._provenance import whole
from .expression import CAR, EBV, genes
from .plan import Plan, Site
from .receptors import contig_table
from .sampled import Sampled

Array = np.ndarray


def write_text(text: str, path: Path) -> None:
    """Write a text file whole; a name that ends in .gz is compressed without a time stamp."""
    data = text.encode()
    if path.suffix == ".gz":
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, filename="") as handle:
            handle.write(data)
        data = buffer.getvalue()
    with whole(path) as part:
        part.write_bytes(data)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table whole as CSV with Unix line ends."""
    write_text(frame.to_csv(index=False, lineterminator="\n", float_format="%.6g"), path)


def write_10x_h5(path: Path, barcodes: Sequence[str], features: Sequence[str], counts: sparse.csr_matrix) -> None:
    """Write a feature-barcode matrix as Cell Ranger 3 to 8 does (HDF5, group ``matrix``, one column per barcode)."""
    order = np.argsort(np.asarray(barcodes, dtype="S"), kind="stable")
    rows = counts[order].sorted_indices()
    ids = dict(zip(genes().symbol, genes().ensembl, strict=True))
    columns = {
        "barcodes": np.asarray(barcodes, dtype="S")[order], "data": rows.data.astype(np.int32),
        "indices": rows.indices.astype(np.int64), "indptr": rows.indptr.astype(np.int64),
        "shape": np.array([len(features), len(order)], np.int32),
        "features/id": np.array([ids.get(f, f) for f in features], dtype="S"),
        "features/name": np.array(features, dtype="S"),
        "features/feature_type": np.array(["Gene Expression"] * len(features), dtype="S"),
        "features/genome": np.array(["EBV" if f in EBV else "GRCh38" for f in features], dtype="S"),
        "features/_all_tag_keys": np.array(["genome"], dtype="S")}
    with whole(path) as part, h5py.File(part, "w") as handle:
        handle.attrs["filetype"] = "matrix"
        handle.attrs["version"] = 2
        group = handle.create_group("matrix")
        for name, values in columns.items():
            packed = {"compression": "gzip", "compression_opts": 4} if len(values) > 2 else {}
            group.create_dataset(name, data=values, track_times=False, **packed)


def write_mtx(path: Path, matrix: Array) -> None:
    """Write an integer matrix in Matrix Market coordinate format, column by column as cellsnp-lite does."""
    rows = sparse.csc_matrix(matrix)
    rows.sort_indices()
    column = np.repeat(np.arange(rows.shape[1]), np.diff(rows.indptr))
    lines = [f"{i + 1}\t{j + 1}\t{v}" for i, j, v in zip(rows.indices, column, rows.data, strict=True)]
    head = ["%%MatrixMarket matrix coordinate integer general", "%", f"{rows.shape[0]}\t{rows.shape[1]}\t{rows.nnz}"]
    write_text("\n".join(head + lines) + "\n", path)


def write_alleles(folder: Path, barcodes: Sequence[str], sites: Sequence[Site], alt: Array, depth: Array) -> None:
    """Write allele counts as cellsnp-lite does: base VCF, AD and DP matrices (sites x cells), and barcodes."""
    ranked = sorted(range(len(sites)), key=lambda i: (_chromosome_rank(sites[i].chrom), sites[i].pos))
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    for i in ranked:
        s = sites[i]
        info = f"AD={int(alt[:, i].sum())};DP={int(depth[:, i].sum())};OTH=0"
        lines.append(f"{s.chrom}\t{s.pos}\t.\t{s.ref}\t{s.alt}\t.\tPASS\t{info}")
    write_text("\n".join(lines) + "\n", folder / "cellSNP.base.vcf.gz")
    write_text("\n".join(barcodes) + "\n", folder / "cellSNP.samples.tsv")
    write_mtx(folder / "cellSNP.tag.AD.mtx", alt[:, ranked].T)
    write_mtx(folder / "cellSNP.tag.DP.mtx", depth[:, ranked].T)


def _chromosome_rank(name: str) -> tuple[int, str]:
    bare = name.removeprefix("chr")
    return (int(bare), "") if bare.isdigit() else (99, bare)


def write_library(folder: Path, plan: Plan, sampled: Sampled) -> dict[str, object]:
    """Write the files of one library; returns its row of the sample sheet, paths relative to the sheet."""
    library, name = sampled.library, sampled.library.sample
    row: dict[str, object] = {"patient": plan.patient, "sample": name, **library.row}
    if CAR not in library.features and "car" not in row:
        row["car"] = "+".join(library.features) or "none"
    barcodes = list(map(str, sampled.barcodes))
    if library.gex:
        row["gex"] = f"{name}/filtered_feature_bc_matrix.h5"
        write_10x_h5(folder / str(row["gex"]), barcodes, sampled.features, sampled.counts)
    if sampled.empties is not None and library.gex:
        row["raw"] = f"{name}/raw_feature_bc_matrix.h5"
        everything = sparse.csr_matrix(sparse.vstack([sampled.counts, sampled.empties]))
        write_10x_h5(folder / str(row["raw"]), barcodes + list(map(str, sampled.empty_barcodes)), sampled.features,
                     everything)
    if library.vdj:
        row["vdj"] = f"{name}/filtered_contig_annotations.csv"
        write_csv(contig_table(sampled.contigs), folder / str(row["vdj"]))
    if sampled.alt is not None and sampled.depth is not None:
        row["alleles"] = f"{name}/alleles"
        write_alleles(folder / str(row["alleles"]), barcodes, plan.sites, sampled.alt, sampled.depth)
    return row
