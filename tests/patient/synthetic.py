"""Small input files in the real formats, written by the tests themselves."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.io
from anndata import AnnData
from scipy import sparse

BASES = np.array(list("ACGT"))
CAR = "CAR1"
GENES = ["CD3D", "CD3E", "CD4", "CD8A", "MT-CO1", "LYZ", "CD79A", "NKG7", "EBNA1BP2", "GAPDH", "TRBV20-1", "ACTB"]


def barcodes(n: int, *, seed: int = 0, suffix: str = "-1") -> list[str]:
    """Distinct 16-base barcodes in alphabetical order."""
    rng = np.random.default_rng(seed)
    found: set[str] = set()
    while len(found) < n:
        found.add("".join(rng.choice(BASES, 16)))
    return [b + suffix for b in sorted(found)]


def features(extra: Sequence[str] = (CAR,)) -> pd.DataFrame:
    """Human genes with Ensembl ids, then features of the construct or a virus (id = name)."""
    ids = [f"ENSG{i:011d}" for i in range(len(GENES))] + list(extra)
    return pd.DataFrame({"id": ids, "name": GENES + list(extra), "type": "Gene Expression", "genome": "GRCh38"})


def counts(n: int, *, seed: int = 1, extra: Sequence[str] = (CAR,)) -> np.ndarray:
    """Cells x features of whole numbers; no cell is empty."""
    out = np.random.default_rng(seed).poisson(2.0, (n, len(GENES) + len(extra)))
    out[:, 0] += 1
    return out.astype(np.int32)


def tenx_h5(path: Path, matrix: np.ndarray, cells: Sequence[str], table: pd.DataFrame, *, old: bool = False) -> Path:
    """10x h5 of Cell Ranger 3 and later, or (`old`) of Cell Ranger 2."""
    csr = sparse.csr_matrix(matrix)
    with h5py.File(path, "w") as file:
        group = file.create_group("GRCh38" if old else "matrix")
        group["barcodes"] = np.array(cells, dtype="S")
        group["data"], group["indices"], group["indptr"] = csr.data, csr.indices.astype("i8"), csr.indptr.astype("i8")
        group["shape"] = np.array(csr.shape[::-1], dtype="i4")
        if old:
            group["genes"], group["gene_names"] = np.array(table["id"], "S"), np.array(table["name"], "S")
            return path
        rows = group.create_group("features")
        rows["id"], rows["name"] = np.array(table["id"], "S"), np.array(table["name"], "S")
        rows["feature_type"], rows["genome"] = np.array(table["type"], "S"), np.array(table["genome"], "S")
        rows["_all_tag_keys"] = np.array(["genome"], "S")
    return path


def mtx_folder(folder: Path, matrix: np.ndarray, cells: Sequence[str], table: pd.DataFrame, *, compress: bool = True,
               old: bool = False) -> Path:
    """10x matrix folder: gzip with features.tsv, plain, or (`old`) plain with genes.tsv."""
    folder.mkdir()
    scipy.io.mmwrite(folder / "matrix.mtx", sparse.coo_matrix(matrix.T), field="integer")
    (folder / "barcodes.tsv").write_text("".join(f"{c}\n" for c in cells))
    rows = table[["id", "name"]] if old else table[["id", "name", "type"]]
    rows.to_csv(folder / ("genes.tsv" if old else "features.tsv"), sep="\t", header=False, index=False)
    if compress:
        for path in list(folder.iterdir()):
            (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    return folder


def anndata(matrix: np.ndarray, cells: Sequence[str], table: pd.DataFrame, **obs: Sequence[str]) -> AnnData:
    """AnnData with counts in X and gene ids in var."""
    return AnnData(sparse.csr_matrix(matrix.astype(np.float32)), obs=pd.DataFrame(obs, index=list(cells)),
                   var=pd.DataFrame({"gene_ids": list(table["id"])}, index=list(table["name"])))


def contigs(cells: Sequence[str], **changes: object) -> pd.DataFrame:
    """10x contig table (Cell Ranger 3 columns): one TRB and one TRA per cell."""
    rows = []
    for i, cell in enumerate(cells):
        for chain, number in (("TRB", 1), ("TRA", 2)):
            rows.append({
                "barcode": cell, "is_cell": "true", "contig_id": f"{cell}_contig_{number}", "high_confidence": "true",
                "length": 500, "chain": chain, "v_gene": f"{chain}V{1 + i % 5}", "d_gene": "", "j_gene": f"{chain}J1-1",
                "c_gene": f"{chain}C1" if chain == "TRB" else "TRAC", "full_length": "true", "productive": "true",
                "cdr3": "CASSF", "cdr3_nt": "TGTGCCAGCAGC" + "ACG" * (i % 3) + "TTC", "reads": 100 + i,
                "umis": 3 + i % 4, "raw_clonotype_id": f"clonotype{i}", "raw_consensus_id": ""})
    return pd.DataFrame(rows).assign(**changes)


def write(path: Path, frame: pd.DataFrame, *, sep: str = ",", header: bool = True, end: str = "\n") -> Path:
    """Text table, gzip when the name says so."""
    text = frame.to_csv(sep=sep, index=False, header=header, lineterminator=end).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def sheet(folder: Path, *rows: Mapping[str, object], name: str = "sheet.csv") -> Path:
    """Sample sheet in `folder`."""
    return write(folder / name, pd.DataFrame(list(rows)).fillna(""), sep="\t" if name.endswith("tsv") else ",")


def sample(folder: Path, name: str, *, n: int = 60, seed: int = 0,
           table: pd.DataFrame | None = None) -> dict[str, object]:
    """Files of one whole sample (gex, vdj) and its row of the sheet."""
    cells = barcodes(n, seed=seed)
    rows = features() if table is None else table
    extra = list(rows["name"])[len(GENES):]
    tenx_h5(folder / f"{name}.h5", counts(n, seed=seed + 1, extra=extra), cells, rows)
    write(folder / f"{name}.vdj.csv", contigs(cells[: n // 2]))
    return {"patient": "P1", "sample": name, "day": 30, "gex": f"{name}.h5", "vdj": f"{name}.vdj.csv"}


def listing(folder: Path) -> dict[str, int]:
    """Files below a folder with their sizes: to see that nothing was written."""
    return {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
