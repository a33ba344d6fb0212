"""Rows of a matrix' feature table: ids, names and types; is it human; and the union over samples."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata.utils import make_index_unique

from .._errors import InputError
from .spec import HUMAN_ID

GENE_EXPRESSION, ANTIBODY = "Gene Expression", "Antibody Capture"
COLUMNS = ("gene_ids", "name", "feature_types", "genome")
OTHER_ENSEMBL = re.compile(r"ENS(?!G\d)[A-Z]{2,}G\d")
OTHER_GENOME = re.compile(r"(?:mm|rn|GRCm|mRatBN|Rnor|Mmul|ROS_Cfam)[\w.-]*?_")
MIXED = 0.05  # share of foreign genes above which a reference counts as mixed


Texts = Sequence[str] | np.ndarray | pd.Series


def feature_table(ids: Texts, names: Texts, types: Texts | None = None, genome: Texts | None = None) -> pd.DataFrame:
    """Feature table with the columns gene_ids, name, feature_types and genome, all text."""
    n = len(names)
    values = (ids, names, types if types is not None else [GENE_EXPRESSION] * n,
              genome if genome is not None else [""] * n)
    table = pd.DataFrame({c: np.asarray(v, dtype=object) for c, v in zip(COLUMNS, values, strict=True)}, dtype=object)
    return _without_genome_prefix(table)


def _without_genome_prefix(table: pd.DataFrame) -> pd.DataFrame:
    """Take ``GRCh38_`` off human names: references of two genomes carry it, and it would hide every marker gene."""
    prefixed = [bool(g) and n.startswith(f"{g}_") and bool(HUMAN_ID.search(i))
                for n, g, i in zip(table["name"], table["genome"], table["gene_ids"], strict=True)]
    table["name"] = [n[len(g) + 1 :] if p else n
                     for n, g, p in zip(table["name"], table["genome"], prefixed, strict=True)]
    return table


def require_human(file: object, table: pd.DataFrame) -> None:
    """Check that the gene-expression features are human genes.

    By Ensembl ids where there are any, else by the spelling of symbols (mouse: ``Cd3d``) and genome prefixes.

    Raises
    ------
    InputError
        Another species, two species in one reference, or no gene that looks human.
    """
    genes = table[table["feature_types"] == GENE_EXPRESSION]
    if genes.empty:
        raise InputError(file, "no feature of type 'Gene Expression'", "give the gene-expression matrix")
    human, other, what = _by_id(genes)
    if human + other == 0:
        human, other, what = _by_symbol(genes)
    if other > MIXED and human > MIXED:
        raise InputError(file, f"{human:.0%} human and {other:.0%} other {what}: a reference of two species",
                         "align to a human reference alone, or keep the human cells and genes only")
    if other > MIXED or human < 0.5:
        raise InputError(file, f"{human:.0%} of {len(genes)} {what} are human (such as {genes['name'].iloc[0]!r}, "
                         f"id {genes['gene_ids'].iloc[0]!r})", "give a matrix counted on a human reference")


def _by_id(genes: pd.DataFrame) -> tuple[float, float, str]:
    ids = genes["gene_ids"].astype(str)
    return float(ids.str.contains(HUMAN_ID).mean()), float(ids.str.contains(OTHER_ENSEMBL).mean()), "gene ids"


def _by_symbol(genes: pd.DataFrame) -> tuple[float, float, str]:
    names = genes["name"].astype(str)
    other = names.str.match(OTHER_GENOME) | names.str.fullmatch(r"[A-Z][a-z][a-z0-9-]*\d*[a-z0-9]*|\d+[A-Z]\d+Rik")
    human = ~other & names.str.contains(r"[A-Z]") & (names.str.upper() == names.str.replace("orf", "ORF"))
    return float(human.mean()), float(other.mean()), "gene symbols"


def union(tables: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Outer join of feature tables, sorted by gene id.

    Human genes join on their Ensembl id (version left out), everything else on its name; the n-th feature of an id
    joins the n-th of that id elsewhere. A table without any Ensembl id takes the ids that others give to its names.

    Returns
    -------
    Table with gene_ids (the join key), feature_types, genome and unique names as index (second and later holders of a
    name get ``-1``, ``-2``; of several names of one id the first in alphabet), and for each input the row of the union
    for each of its rows, int64.
    """
    ids = [_join_ids(t) for t in tables]
    known = _ids_by_name(tables, ids)
    parts = [_keyed(t, i, known) for t, i in zip(tables, ids, strict=True)]
    joined = pd.concat(parts, ignore_index=True).sort_values(["gene_ids", "nth", "name"], kind="stable")
    rows = joined.drop_duplicates(["gene_ids", "nth"]).reset_index(drop=True)
    keys = pd.MultiIndex.from_frame(rows[["gene_ids", "nth"]])
    places = [keys.get_indexer(pd.MultiIndex.from_frame(p[["gene_ids", "nth"]])).astype(np.int64) for p in parts]
    index = make_index_unique(pd.Index(rows["name"].to_numpy(dtype=object), dtype=object))
    return rows.set_index(index)[["gene_ids", "feature_types", "genome"]].rename_axis(None), places


def _join_ids(table: pd.DataFrame) -> pd.Series:
    ids = table["gene_ids"].astype(object)
    human = ids.astype(str).str.contains(HUMAN_ID)
    return ids.map(lambda i: str(i).partition(".")[0]).where(human, table["name"])


def _ids_by_name(tables: Sequence[pd.DataFrame], ids: Sequence[pd.Series]) -> dict[str, str]:
    pairs = pd.DataFrame({"name": pd.concat([t["name"] for t in tables], ignore_index=True),
                          "id": pd.concat(list(ids), ignore_index=True)})
    pairs = pairs[pairs["id"] != pairs["name"]].sort_values(["name", "id"], kind="stable").drop_duplicates("name")
    return dict(zip(pairs["name"], pairs["id"], strict=True))


def _keyed(table: pd.DataFrame, ids: pd.Series, known: dict[str, str]) -> pd.DataFrame:
    nameless = (ids == table["name"]).all()
    out = table.assign(gene_ids=[known.get(n, n) for n in table["name"]] if nameless else ids).reset_index(drop=True)
    return out.assign(nth=out.groupby("gene_ids").cumcount())
