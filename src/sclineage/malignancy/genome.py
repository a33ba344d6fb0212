"""Where genes lie: positions by Ensembl id (GRCh38), from the user's GTF or our table, and chromosome arms.

``genes_grch38.csv.gz`` holds facts of Ensembl Genes 109 alone (number of the stable id, chromosome, start, end) for
protein-coding, lncRNA, and immunoglobulin and T-cell receptor genes. The bounds between the arms are those of the
bands p11 and q11 in UCSC's ``cytoBand`` of hg38; no protein-coding gene lies across one.
"""

from __future__ import annotations

import gzip
import os
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from .._errors import InputError

TABLE = Path(__file__).with_name("genes_grch38.csv.gz")
CENTROMERES = {  # millions of bases
    "chr1": 123.4, "chr2": 93.9, "chr3": 90.9, "chr4": 50.0, "chr5": 48.8, "chr6": 59.8, "chr7": 60.1, "chr8": 45.2,
    "chr9": 43.0, "chr10": 39.8, "chr11": 53.4, "chr12": 35.5, "chr13": 17.7, "chr14": 17.2, "chr15": 19.0,
    "chr16": 36.8, "chr17": 25.1, "chr18": 18.5, "chr19": 26.2, "chr20": 28.1, "chr21": 12.0, "chr22": 15.0,
    "chrX": 61.0, "chrY": 10.4}
CHROMOSOMES = tuple(CENTROMERES)
MIN_KNOWN = 0.5  # share of the genes that must be found
_ID = re.compile(r"^(ENS[A-Z]*G)(\d{11})(?:\.\d+)?(?:_PAR_Y)?$")
_GENE_ID = re.compile(r'gene_id "([^"]+)"')


@cache
def shipped() -> pd.DataFrame:
    """Our table: index Ensembl gene id without version; columns chromosome (``chr1``), start, end (1-based)."""
    table = pd.read_csv(TABLE, dtype={"gene": np.int64, "chr": str, "start": np.int64, "end": np.int64})
    ids = [f"ENSG{g:011d}" for g in table["gene"]]
    return pd.DataFrame({"chromosome": ("chr" + table["chr"]).to_numpy(object), "start": table["start"].to_numpy(),
                         "end": table["end"].to_numpy()}, index=pd.Index(ids, name="gene_id"))


def read_gtf(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Genes of a GTF (plain or gzip): same columns as `shipped`.

    Raises
    ------
    InputError
        No line with feature ``gene`` and a ``gene_id``, or a position that is not a number.
    """
    ids, rows = [], []
    with (gzip.open if os.fspath(path).endswith(".gz") else open)(path, "rt", encoding="utf-8") as handle:  # type: ignore[operator]
        for number, line in enumerate(handle, 1):
            field = line.rstrip("\n").split("\t")
            if line.startswith("#") or len(field) < 9 or field[2] != "gene":
                continue
            name = _GENE_ID.search(field[8])
            if name is None or not (field[3].isdigit() and field[4].isdigit()):
                raise InputError(path, "a gene without gene_id, start or end", "give a GTF of Ensembl or GENCODE",
                                 place=f"line {number}")
            ids.append(stem(name[1]))
            rows.append((field[0] if field[0].startswith("chr") else f"chr{field[0]}", int(field[3]), int(field[4])))
    if not rows:
        raise InputError(path, "no line with feature 'gene'", "give the GTF of the reference that the reads were "
                         "aligned to")
    table = pd.DataFrame(rows, columns=["chromosome", "start", "end"], index=pd.Index(ids, name="gene_id"))
    return table[~table.index.duplicated()]


def stem(gene_id: str) -> str:
    """Ensembl id without its version."""
    return gene_id.split(".", 1)[0]


def positions(gene_ids: np.ndarray, table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Position of each gene.

    Parameters
    ----------
    gene_ids
        Ensembl gene ids (genes,), with or without version.
    table
        Positions by id; None takes the shipped table (human, GRCh38).

    Returns
    -------
    Columns chromosome, start, end (missing where unknown) and arm (``1p``; empty where unknown), in the
    order of `gene_ids`.

    Raises
    ------
    InputError
        Ids of another species with the shipped table, or fewer than half of the ids known.
    """
    known = shipped() if table is None else table
    if table is None:
        _refuse_other_species(gene_ids)
    found = known.reindex([stem(str(g)) for g in gene_ids])
    share = found["start"].notna().mean() if len(found) else 0.0
    if share < MIN_KNOWN:
        raise InputError("gene ids", f"positions of {share:.0%} of {len(found)} genes are known (first: "
                         f"{str(gene_ids[0]) if len(gene_ids) else 'none'})",
                         "give Ensembl gene ids (var['gene_ids']), and the GTF of the reference if it is not GRCh38")
    found["arm"] = arms(found["chromosome"].to_numpy(object), found["start"].to_numpy(np.float64))
    return found


def _refuse_other_species(gene_ids: np.ndarray) -> None:
    prefixes = {m[1] for m in map(_ID.match, map(str, gene_ids)) if m}
    if prefixes - {"ENSG"}:
        raise InputError("gene ids", f"ids {sorted(prefixes)[-1]}... are not human",
                         "copy number is known for human genes (ENSG...) on GRCh38; give a GTF for another genome")


def arms(chromosome: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Chromosome arm of each gene (``1p`` ... ``22q``, ``Xp`` ...), empty off the chromosomes 1 to 22, X and Y."""
    bound = np.array([CENTROMERES.get(c, np.nan) if isinstance(c, str) else np.nan for c in chromosome]) * 1e6
    names = [c[3:] if b == b else "" for c, b in zip(chromosome, bound, strict=True)]
    side = np.where(start < bound, "p", "q")
    return np.array([n + s if n else "" for n, s in zip(names, side, strict=True)], dtype=object)
