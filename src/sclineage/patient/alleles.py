"""Allele counts per cell and site: folders as cellsnp-lite, vartrix and mgatk write them, or one long table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from .._errors import InputError
from .allele_tables import long_counts
from .barcodes import require_unique
from .matrices import as_counts, read_mtx
from .mgatk import is_mgatk, mgatk_counts
from .text import read_table, read_text, require_columns, require_file, whole_numbers

SITE_COLUMNS = ("chrom", "pos", "ref", "alt")


@dataclass(frozen=True)
class Alleles:
    """Allele counts of one sample.

    Attributes
    ----------
    file
        The folder or table.
    barcodes
        Object array of text.
    sites
        Index ``chrom:pos:ref:alt`` (position 1-based), columns chrom, pos, ref, alt, gene (empty where not given).
    ad, dp
        int32 CSR, cells x sites: UMIs or reads of the alternative allele, and of both alleles.
    """

    file: Path
    barcodes: np.ndarray
    sites: pd.DataFrame
    ad: sparse.csr_matrix
    dp: sparse.csr_matrix


def read_alleles(folder: str | Path) -> Alleles:
    """Read a folder of allele counts, or a long table of them (`allele_tables.long_counts`).

    cellsnp-lite: ``cellSNP.base.vcf``, ``cellSNP.tag.AD.mtx``, ``cellSNP.tag.DP.mtx``, ``cellSNP.samples.tsv``. vartrix
    (coverage mode): ``ref.mtx``, ``alt.mtx``, ``barcodes.tsv`` and the sites as a VCF or as ``sites.tsv`` with columns
    chrom, pos, ref, alt and, if known, gene. mgatk: its folder ``final`` (`mgatk.mgatk_counts`). Files may be
    gzip-compressed.

    Raises
    ------
    InputError
        A file is absent or cut off, shapes disagree, a site or barcode is listed twice, or AD exceeds DP.
    """
    if Path(folder).is_file():
        return _from_table(Path(folder))
    folder = require_file(folder, folder=True)
    if is_mgatk(folder):
        return Alleles(folder, *mgatk_counts(folder))
    listed = _file(folder, "cellSNP.samples.tsv", "barcodes.tsv", "samples.tsv")
    barcodes = read_table(listed, sep="\t", header=False)[0].to_numpy(dtype=object)
    require_unique(folder, barcodes)
    sites = _sites(folder)
    first, second = ("cellSNP.tag.AD.mtx", "alt.mtx"), ("cellSNP.tag.DP.mtx", "ref.mtx")
    ad, other = (_counts(folder, names, (len(sites), len(barcodes))) for names in (first, second))
    dp = other if _find(folder, second[0]) is not None else sparse.csr_matrix(ad + other)
    if ((dp - ad).data < 0).any():
        raise InputError(folder, "an alternative-allele count above the depth", "give AD and DP of one run")
    return Alleles(folder, barcodes, sites, ad, dp)


def _from_table(path: Path) -> Alleles:
    table = long_counts(path)
    barcodes, cell = np.unique(table["barcode"].to_numpy(dtype=str), return_inverse=True)
    names = (table["chrom"].astype(str) + ":" + table["pos"].astype(str) + ":" + table["ref"] + ":" + table["alt"])
    first = table.loc[~names.duplicated(), ["chrom", "pos", "ref", "alt", "gene"]]
    sites = first.set_index(pd.Index(names[~names.duplicated()], dtype=object))
    at = (cell, sites.index.get_indexer(pd.Index(names)))
    ad, dp = (sparse.csr_matrix((table[c].to_numpy(np.int32), at), shape=(barcodes.size, len(sites)))
              for c in ("n_alt", "n_depth"))
    ad.eliminate_zeros()
    dp.eliminate_zeros()
    return Alleles(path, barcodes.astype(object), sites, ad, dp)


def _find(folder: Path, *names: str) -> Path | None:
    return next((p for n in names for p in (folder / n, folder / f"{n}.gz") if p.exists()), None)


def _file(folder: Path, *names: str) -> Path:
    path = _find(folder, *names)
    if path is None:
        raise InputError(folder, f"no {' or '.join(names)} in the folder",
                         "give an output folder of cellsnp-lite, vartrix or mgatk (final)")
    return path


def _counts(folder: Path, names: tuple[str, ...], shape: tuple[int, int]) -> sparse.csr_matrix:
    path = _file(folder, *names)
    matrix = read_mtx(path)
    if matrix.shape != shape:
        raise InputError(path, f"{matrix.shape[0]} x {matrix.shape[1]}, but {shape[0]} sites and {shape[1]} barcodes",
                         "give the files of one run")
    return as_counts(path, matrix.T, "matrix")


def _sites(folder: Path) -> pd.DataFrame:
    any_vcf = sorted([*folder.glob("*.vcf"), *folder.glob("*.vcf.gz")])
    vcf = _find(folder, "cellSNP.base.vcf") or next(iter(any_vcf), None)
    path = vcf or _file(folder, "sites.tsv", "sites.csv")
    table = _vcf(path) if vcf else read_table(path)
    require_columns(path, table, SITE_COLUMNS)
    pos = whole_numbers(path, table["pos"], what="pos", least=1)
    index = pd.Index([f"{c}:{p}:{r}:{a}" for c, p, r, a in
                      zip(table["chrom"], pos, table["ref"], table["alt"], strict=True)], dtype=object)
    if index.has_duplicates:
        raise InputError(path, f"site {index[index.duplicated()][0]} is listed twice", "list each site once")
    gene = table["gene"] if "gene" in table else [""] * len(table)
    return pd.DataFrame({"chrom": table["chrom"].to_numpy(dtype=object), "pos": pos,
                         "ref": table["ref"].to_numpy(dtype=object), "alt": table["alt"].to_numpy(dtype=object),
                         "gene": np.asarray(gene, dtype=object)}, index=index)


def _vcf(path: Path) -> pd.DataFrame:
    lines = [line.split("\t")[:5] for line in read_text(path).split("\n") if line and not line.startswith("#")]
    if not lines or any(len(line) < 5 for line in lines):
        raise InputError(path, "no site, or a line with fewer than five fields", "give the VCF of the sites")
    return pd.DataFrame([[c, p, r, a] for c, p, _, r, a in lines], columns=list(SITE_COLUMNS), dtype=object)
