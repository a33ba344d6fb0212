"""Molecule tables: one row per UMI of a target feature, ours, four columns of anybody's, or Cell Ranger's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from .._errors import InputError
from ..reads.chimeras import molecule_keys
from ..reads.merge import molecule_info_features, molecule_info_rows
from .matrices import open_h5
from .text import read_table, read_text, reading, require_columns, require_file, whole_numbers

COLUMNS = ("barcode", "umi", "feature", "reads")
OWN_TABLE, OWN_MATRIX = "molecules.tsv.gz", "features.h5ad"  # of ``sclineage count``
SHARED = ":shared"  # ending of its features that only have sequence which endogenous transcripts have too
Pick = Callable[[pd.DataFrame], Collection[str]]


@dataclass(frozen=True)
class MoleculeTable:
    """Molecules of one file.

    Attributes
    ----------
    file, name
        Where from, and the name that the sheet gives the table (may be empty).
    counts
        Columns barcode, feature (text) and n (int64): distinct molecules; each (barcode, feature) once.
    features
        What was looked for, as far as the file says; features without a molecule included.
    unseen
        Those of them that the library's chemistry cannot see in the reference used, by our own ``run.json`` beside.
    keys, reads
        uint64, int64: every molecule once (`reads.chimeras.molecule_keys`), for index hopping, and its reads.
    """

    file: Path
    name: str
    counts: pd.DataFrame
    features: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    keys: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    reads: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


def read_molecules(path: str | Path, *, name: str = "", wanted: Pick | None = None) -> MoleculeTable:
    """Read a molecule table.

    Parameters
    ----------
    path
        Folder that ``sclineage count`` wrote, or ``barcode umi feature reads`` separated by tabs, commas or
        blanks, plain or gzip, with or without header (then exactly four columns; with one, further columns are
        ignored); or a Cell Ranger ``molecule_info.h5``.
    name
        Name of the table in the sheet.
    wanted
        Given the feature table of a ``molecule_info.h5`` (index = names, column gene_ids), the names to keep, for that
        file holds all genes. None keeps nothing of it.

    Returns
    -------
    Rows of one (barcode, UMI, feature) count as one molecule. ``features.h5ad`` beside our own table says what was
    looked for.

    Raises
    ------
    InputError
        Absent, empty, truncated, a missing column, a number of reads that is not a whole number above 0.
    """
    path = require_file(Path(path) / OWN_TABLE if Path(path).is_dir() else path)
    with path.open("rb") as handle:
        is_h5 = handle.read(8) == b"\x89HDF\r\n\x1a\n"
    if is_h5:
        return _molecule_info(path, name, wanted)
    rows, first_line = _text_rows(path)
    whole_numbers(path, rows["reads"], what="reads", least=1, first_line=first_line)
    empty = (rows[["barcode", "umi", "feature"]] == "").any(axis=1).to_numpy()
    if empty.any():
        raise InputError(path, "an empty barcode, umi or feature", "every molecule needs all three",
                         place=f"line {int(np.argmax(empty)) + first_line}")
    distinct = rows.drop_duplicates(["barcode", "umi", "feature"])
    counts = distinct.groupby(["barcode", "feature"], sort=True).size().rename("n").reset_index()
    features = tuple(sorted({*_declared(path), *counts["feature"]}, key=natural))
    return MoleculeTable(path, name, counts, features, _unseen(path, features), molecule_keys(distinct, name + " "),
                         distinct["reads"].to_numpy(dtype=np.int64))


def _text_rows(path: Path) -> tuple[pd.DataFrame, int]:
    """Rows of a text table and the line of the first one."""
    first = read_text(path).lstrip("\n").split("\n", 1)[0]
    sep = "\t" if "\t" in first else "," if "," in first else r"\s+"
    fields = [f.strip().strip('"').casefold() for f in re.split(sep, first.strip())]
    if fields[:1] == ["barcode"] or "umi" in fields:
        rows = read_table(path, sep=sep)
        rows.columns = [str(c).casefold() for c in rows.columns]
        require_columns(path, rows, COLUMNS)
        return rows[list(COLUMNS)], 2
    rows = read_table(path, sep=sep, header=False)
    if rows.shape[1] != 4:
        raise InputError(path, f"{rows.shape[1]} columns and no header", "give barcode, umi, feature, reads")
    return rows.set_axis(list(COLUMNS), axis=1), 1


def _declared(path: Path) -> list[str]:
    """Features that our own counting looked for, from the ``features.h5ad`` beside its table."""
    beside = path.parent / OWN_MATRIX
    if path.name.split(".")[0] != "molecules" or not beside.exists():
        return []
    from anndata.io import read_elem

    with open_h5(beside) as file, reading(beside):
        return [str(v) for v in read_elem(file["var"]).index]


def _unseen(path: Path, features: Sequence[str]) -> tuple[str, ...]:
    """Features whose constructs all lie out of reach of the chemistry, from the ``run.json`` beside our own table."""
    beside = path.parent / "run.json"
    if path.name.split(".")[0] != "molecules" or not beside.exists():
        return ()
    try:
        record = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(beside, "it is no JSON", "count the sample again, or move the file away") from None
    out_of_reach = set(record.get("constructs_unseen", ())) if record.get("made_by") == "sclineage count" else set()
    return tuple(f for f in features if set(f.split("_or_")) <= out_of_reach)


@dataclass(frozen=True, slots=True)
class OwnCounts:
    """What the ``features.h5ad`` of ``sclineage count`` says beside the counts.

    Attributes
    ----------
    cells
        Barcodes of the cells.
    droplets
        Empty droplets of the library.
    umi
        Molecules in them, by feature.
    """

    cells: np.ndarray
    droplets: int
    umi: dict[str, int]


def own_counts(path: str | Path) -> OwnCounts | None:
    """Read ``features.h5ad`` of ``sclineage count`` (the file, or its folder); None where the file is another one."""
    path = Path(path) / OWN_MATRIX if Path(path).is_dir() else Path(path)
    if not path.is_file() or path.suffix != ".h5ad":
        return None
    from anndata.io import read_elem

    with open_h5(path) as file, reading(path):
        if "uns/count" not in file:
            return None
        var = read_elem(file["var"])
        return OwnCounts(read_elem(file["obs"]).index.astype(str).to_numpy(dtype=object),
                         int(read_elem(file["uns/count/droplets"])),
                         dict(zip(map(str, var.index), map(int, var["umi_droplets"]), strict=True)))


def _molecule_info(path: Path, name: str, wanted: Pick | None) -> MoleculeTable:
    """Wanted features of a Cell Ranger (>= 3) ``molecule_info.h5``: its rows are distinct molecules already."""
    with open_h5(path) as file, reading(path):
        names, ids = molecule_info_features(path, file)
        table = pd.DataFrame({"gene_ids": ids}, index=pd.Index(names, dtype=object))
        keep = np.flatnonzero(table.index.isin(list(wanted(table) if wanted else ())))
        barcode, feature, umi, reads = molecule_info_rows(file, keep)
    rows = pd.DataFrame({"barcode": barcode, "feature": names[feature], "umi": umi}, dtype=object)
    counts = rows.groupby(["barcode", "feature"], sort=True).size().rename("n").reset_index()
    return MoleculeTable(path, name, counts, tuple(sorted(names[keep], key=natural)),
                         keys=molecule_keys(rows, name + " "), reads=reads)


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``f2`` comes before ``f10``."""
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"(\d+)", str(text)) if p)


def named(tables: Mapping[str, Sequence[MoleculeTable]]) -> dict[str, list[MoleculeTable]]:
    """Give features their final names, over all samples of a patient at once.

    A table ``NAME=path`` with one feature over all samples calls it NAME, with several ``NAME_<feature>``; what one
    sample's table of that name holds was looked for in every other. Tables without a name keep their own names.
    """
    seen: dict[str, set[str]] = {}
    for table in (t for several in tables.values() for t in several if t.name):
        seen.setdefault(table.name, set()).update(table.features)
    return {sample: [_renamed(t, seen[t.name]) if t.name else t for t in several]
            for sample, several in tables.items()}


def _renamed(table: MoleculeTable, features: Iterable[str]) -> MoleculeTable:
    all_features = sorted(features, key=natural)
    if len(all_features) <= 1:
        names = dict.fromkeys(all_features, table.name)
    else:
        names = {f: f"{table.name}_{f}" for f in all_features}
    counts = table.counts.assign(feature=table.counts["feature"].map(names))
    return replace(table, counts=counts, features=tuple(names.values()) or (table.name,),
                   unseen=tuple(names[f] for f in table.unseen))
