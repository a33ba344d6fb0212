"""Allele counts in long tables: one line per cell and site, as genotyping and mitochondrial pipelines write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .._errors import InputError, nearest
from .text import read_table, whole_numbers

CELL = ("barcode", "cell", "bc", "cell_barcode", "cb")
ALT = ("alt_reads", "altreads", "mutumis", "alt", "ad", "alt_count", "mut_umis")
REF = ("ref_reads", "refreads", "wtumis", "ref", "ref_count", "wt_umis")
DEPTH = ("depth", "dp", "coverage", "cov")
NAME = ("site", "variant", "mutation")
CHROM, POS = ("chrom", "chr", "chromosome"), ("pos", "start", "position")
REF_BASE, ALT_BASE = ("ref", "ref_base", "ref_allele"), ("alt", "var", "alt_base", "alt_allele")
_SITE = re.compile(r"^(?P<chrom>[^:_\s]+)[:_](?P<pos>\d+)[:_](?P<ref>[ACGTN-]+)[>:_/](?P<alt>[ACGTN-]+)$",
                   re.IGNORECASE)
_MITO = re.compile(r"^(?:m\.)?(?P<pos>\d+)_?(?P<ref>[ACGT])>(?P<alt>[ACGT])$", re.IGNORECASE)
_BASES = re.compile(r"^[ACGTN-]+$", re.IGNORECASE)


def long_counts(path: Path) -> pd.DataFrame:
    """Read a long table of allele counts.

    Parameters
    ----------
    path
        CSV or TSV, plain or gzip. A cell (``barcode``, ``cell``, ``BC``), a site (``chrom``, ``pos``, ``ref``, ``alt``,
        or one column ``site``, ``variant``, ``mutation`` with ``chr2:25234373:C>T`` or, mitochondrial, ``2593_G>A``),
        and two of reads (or UMIs) of the variant, of the reference allele, and of both (``depth``, ``cov``). Spellings
        of cb_sniffer and of genotyping of transcriptomes are known.

    Returns
    -------
    Columns ``barcode, chrom, pos, ref, alt, gene`` and int64 ``n_alt, n_depth``; one row per cell and site.

    Raises
    ------
    InputError
        A column is missing (a list of positive cells alone says nothing of the others), a number is no count, a site
        cannot be read, a cell has two lines for one site, or counts exceed depths.
    """
    table = read_table(path)
    known = {str(c).strip().casefold(): str(c) for c in table.columns}
    cell = _pick(path, known, CELL, "the cell (barcode)")
    sites, used = _sites(path, table, known)
    left = {k: v for k, v in known.items() if v not in used}
    n_alt, depth = _counts(path, table, left)
    out = sites.assign(barcode=table[cell].to_numpy(dtype=object), n_alt=n_alt, n_depth=depth)
    twice = out.duplicated(["barcode", "chrom", "pos", "ref", "alt"])
    if twice.any():
        row = out[twice].iloc[0]
        raise InputError(path, f"cell {row['barcode']} has two lines for {row['chrom']}:{row['pos']}",
                         "give one line per cell and site", place=f"line {int(np.argmax(twice)) + 2}")
    return out


def _pick(path: Path, known: dict[str, str], names: Sequence[str], what: str) -> str:
    found = next((known[n] for n in names if n in known), None)
    if found is None:
        raise InputError(path, f"no column for {what}", f"name it {names[0]}; " + nearest(names[0], known.values()),
                         place="header")
    return found


def _find(known: dict[str, str], names: Sequence[str]) -> str | None:
    return next((known[n] for n in names if n in known), None)


def _sites(path: Path, table: pd.DataFrame, known: dict[str, str]) -> tuple[pd.DataFrame, set[str]]:
    """Sites of the lines, and the columns that they were read from."""
    spelt = [_find(known, names) for names in (CHROM, POS, REF_BASE, ALT_BASE)]
    bases = [c for c in spelt[2:] if c is not None and table[c].map(lambda v: bool(_BASES.match(v))).all()]
    name = _find(known, NAME)
    if None not in spelt and len(bases) == 2:
        chrom, pos, ref, alt = (str(c) for c in spelt)
        gene = table[name].str.split().str[0] if name is not None else ""
        frame = pd.DataFrame({"chrom": table[chrom], "pos": whole_numbers(path, table[pos], what="pos", least=1),
                              "ref": table[ref].str.upper(), "alt": table[alt].str.upper(), "gene": gene})
        return frame, {chrom, pos, ref, alt, *([name] if name else [])}
    if name is None:
        raise InputError(path, "no column says which site a line is of",
                         "give chrom, pos, ref and alt, or a column site such as chr2:25234373:C>T", place="header")
    parts = [_named(path, v, line) for line, v in enumerate(table[name], 2)]
    gene_column = known.get("gene")
    frame = pd.DataFrame(parts, columns=["chrom", "pos", "ref", "alt"])
    return frame.assign(gene=table[gene_column].to_numpy() if gene_column else ""), {name}


def _named(path: Path, value: str, line: int) -> tuple[str, int, str, str]:
    found = _SITE.match(value.strip())
    if found is not None:
        return found["chrom"], int(found["pos"]), found["ref"].upper(), found["alt"].upper()
    found = _MITO.match(value.strip())
    if found is None:
        raise InputError(path, f"{value!r} names no position", "write chr2:25234373:C>T, or 2593_G>A of the "
                         "mitochondrial genome", place=f"line {line}")
    return "MT", int(found["pos"]), found["ref"].upper(), found["alt"].upper()


def _counts(path: Path, table: pd.DataFrame, known: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Reads of the variant and of both alleles."""
    columns = {what: _find(known, names) for what, names in (("alt", ALT), ("ref", REF), ("depth", DEPTH))}
    values = {what: whole_numbers(path, table[c], what=c) for what, c in columns.items() if c is not None}
    if len(values) < 2:
        raise InputError(path, "fewer than two of reads of the variant, of the reference allele and of both",
                         "give alt_reads and ref_reads (or depth): cells that are only listed as positive say nothing "
                         "of the others", place="header")
    depth = values["depth"] if "depth" in values else values["alt"] + values["ref"]
    alt = values["alt"] if "alt" in values else depth - values["ref"]
    bad = (alt > depth) | (alt < 0)
    if bad.any():
        raise InputError(path, f"{alt[bad][0]} reads of the variant among {depth[bad][0]}",
                         "give counts of one run", place=f"line {int(np.argmax(bad)) + 2}")
    return alt, depth
