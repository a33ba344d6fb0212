"""The list of driver sites a user gives: CSV or VCF, plain or gzip."""

from __future__ import annotations

import gzip
import io
import os
import re
from pathlib import Path

import pandas as pd

from .._errors import InputError

COLUMNS = ["chrom", "pos", "ref", "alt", "gene"]
SITE = re.compile(r"^(?:chr)?([^:_]+)[:_](\d+)[:_]([ACGTNacgtn-]+)(?:>|[:_/])([ACGTNacgtn-]+)$")


def read_drivers(source: str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    """Read driver sites.

    Parameters
    ----------
    source
        A table, or the path of a VCF or CSV. A CSV has either ``site`` (``chr2:25234373:C>T``; ``_`` and ``:`` also
        separate) or ``chrom, pos, ref, alt``; ``gene`` is optional.

    Returns
    -------
    Columns ``chrom`` (without ``chr``), ``pos`` (1-based int), ``ref``, ``alt``, ``gene``; one row per site, sorted.

    Raises
    ------
    InputError
        The file is absent or empty, lacks columns, or a line is no site.
    """
    if isinstance(source, pd.DataFrame):
        name, frame = "drivers", source
    else:
        name = os.fspath(source)
        frame = _read(name)
    sites = _sites(frame, name)
    if sites.empty:
        raise InputError(name, "no driver site in it", "list at least one site, or leave the option out")
    sites["chrom"] = sites["chrom"].map(bare)
    return sites.drop_duplicates(COLUMNS[:4]).sort_values(COLUMNS[:4], kind="stable", ignore_index=True)


def bare(chromosome: object) -> str:
    """Chromosome without ``chr``; ``M`` and ``MT`` are one."""
    name = re.sub("^chr", "", str(chromosome), flags=re.IGNORECASE)
    return "MT" if name.upper() == "M" else name.upper()


def _read(name: str) -> pd.DataFrame:
    path = Path(name)
    if not path.is_file():
        raise InputError(name, "no such file", "give a VCF or a CSV of driver sites")
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    if text.startswith(("##fileformat=VCF", "#CHROM")):
        return _vcf(text, name)
    if not text.strip():
        raise InputError(name, "the file is empty", "list at least one site")
    return pd.read_csv(io.StringIO(text), sep="\t" if "\t" in text.splitlines()[0] else ",", dtype=str, comment="#",
                       skipinitialspace=True, keep_default_na=False)


def _vcf(text: str, name: str) -> pd.DataFrame:
    rows: list[dict[str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) < 5:
            raise InputError(name, f"{len(fields)} fields where a VCF has at least 5", "separate them by tabs",
                             place=f"line {number}")
        gene = re.search(r"(?:^|;)(?:GENE|SYMBOL|Gene)=([^;|,]+)", fields[7]) if len(fields) > 7 else None
        rows.extend({"chrom": fields[0], "pos": fields[1], "ref": fields[3], "alt": alt,
                     "gene": gene.group(1) if gene else ""} for alt in fields[4].split(","))
    return pd.DataFrame(rows, columns=COLUMNS)


def _sites(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    frame = frame.rename(columns={c: str(c).strip().lower().lstrip("#") for c in frame.columns})
    gene = frame["gene"].fillna("").astype(str).tolist() if "gene" in frame else [""] * len(frame)
    if "site" in frame:
        parts = [_split(str(v), name, row) for row, v in enumerate(frame["site"], 2)]
        out = pd.DataFrame(parts, columns=COLUMNS[:4])
    else:
        absent = [c for c in COLUMNS[:4] if c not in frame]
        if absent:
            raise InputError(name, f"no column {absent[0]!r}", "give the column site, or chrom, pos, ref and alt")
        out = frame[COLUMNS[:4]].astype(str).reset_index(drop=True)
    for row, value in enumerate(out["pos"], 2):
        if not str(value).isdigit():
            raise InputError(name, f"position {value!r} is no whole number", "give 1-based positions",
                             place=f"row {row}")
    bases = out[["ref", "alt"]].apply(lambda c: c.astype(str).str.upper())
    return out.assign(pos=out["pos"].astype(int), ref=bases["ref"], alt=bases["alt"], gene=gene)


def _split(value: str, name: str, row: int) -> tuple[str, str, str, str]:
    match = SITE.match(value.strip())
    if match is None:
        raise InputError(name, f"{value!r} is no site", "write chr2:25234373:C>T", place=f"row {row}")
    return match.group(1), match.group(2), match.group(3), match.group(4)
