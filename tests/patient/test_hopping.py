"""Index hopping between the libraries of a patient: seen from the molecule tables, said in table, flag and note."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sclineage import _tables
from sclineage.patient import access
from sclineage.patient.api import read_patient

from .synthetic import CAR, barcodes, sample, sheet, write

COLUMNS = ["barcode", "umi", "feature", "reads"]
FEW = ("gem_well", "samples", "molecules", "shared", "minor")


def library(cells: list[str], seed: int, n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    umi = ["".join(w) for w in rng.choice(list("ACGT"), (n, 10))]
    return pd.DataFrame({"barcode": rng.choice(cells, n), "umi": umi, "feature": CAR, "reads": 20}, columns=COLUMNS)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, dict[str, object], dict[str, object], list[str]]:
    """Two samples whose cells have the same barcodes."""
    return tmp_path, sample(tmp_path, "S1"), sample(tmp_path, "S2"), barcodes(60)


def hopped(rows: Path) -> tuple[list[list[object]], dict[str, str], list[str]]:
    """Table, flags of the samples, notes."""
    mdata = read_patient(rows, car=CAR)
    table = _tables.stage_table(mdata, "hopping")
    flags = _tables.samples(mdata).set_index("sample")["flags"].to_dict()
    return table[list(FEW)].to_numpy().tolist(), flags, [n for n in access.store(mdata)["notes"] if "library" in n]


def test_molecules_of_another_library_are_flagged(two) -> None:
    folder, one, other, cells = two
    mine, theirs = library(cells, 1), library(cells, 2)
    leaked = mine.iloc[:12].assign(reads=1)
    write(folder / "1.tsv", mine, sep="\t")
    write(folder / "2.tsv", pd.concat([theirs, leaked]), sep="\t")
    given = one | {"molecules": "1.tsv", "pool": "A"}, other | {"molecules": "2.tsv", "pool": "A"}
    table, flags, notes = hopped(sheet(folder, *given))
    assert table == [["S1", "S1", 400, 12, 0], ["S2", "S2", 412, 12, 12]]
    assert (flags["S1"], flags["S2"]) == ("index_hopping=0.030", "index_hopping=0.029")
    assert len(notes) == 2 and "S2: 2.9% of its 412 molecules" in notes[1]
    apart = hopped(sheet(folder, given[0], given[1] | {"pool": "B"}))
    assert apart == ([], {"S1": "", "S2": ""}, [])


def test_libraries_without_hopping_are_in_the_table_and_carry_no_flag(two) -> None:
    folder, one, other, cells = two
    for name, seed in (("1.tsv", 1), ("2.tsv", 2)):
        write(folder / name, library(cells, seed), sep="\t")
    table, flags, notes = hopped(sheet(folder, one | {"molecules": "1.tsv"}, other | {"molecules": "2.tsv"}))
    assert table == [["S1", "S1", 400, 0, 0], ["S2", "S2", 400, 0, 0]]
    assert (flags, notes) == ({"S1": "", "S2": ""}, [])


@pytest.mark.parametrize("how", ["one file", "one well"])
def test_samples_of_one_library_do_not_hop(how: str, two) -> None:
    folder, one, other, cells = two
    third = sample(folder, "S3")
    for name, seed in (("1.tsv", 1), ("2.tsv", 1), ("3.tsv", 3)):
        write(folder / name, library(cells, seed), sep="\t")
    second = {"molecules": "1.tsv"} if how == "one file" else {"molecules": "2.tsv", "gem_well": "S1"}
    rows = sheet(folder, one | {"molecules": "1.tsv"}, other | second, third | {"molecules": "3.tsv"})
    assert hopped(rows)[0] == [["S1", "S1;S2", 400, 0, 0], ["S3", "S3", 400, 0, 0]]


def test_one_sample_with_molecules_gives_no_table(two) -> None:
    folder, one, other, cells = two
    write(folder / "1.tsv", library(cells, 1), sep="\t")
    assert hopped(sheet(folder, one | {"molecules": "1.tsv"}, other))[0] == []
