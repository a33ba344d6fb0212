"""Molecule tables of every kind; UMIs count once."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sclineage._errors import InputError
from sclineage.patient.molecules import named, read_molecules

from .synthetic import anndata, barcodes, write

CELLS = barcodes(6, suffix="")
ROWS = pd.DataFrame({"barcode": [CELLS[0], CELLS[0], CELLS[0], CELLS[1], CELLS[5]],
                     "umi": ["AAAA", "CCCC", "AAAA", "AAAA", "GGGG"], "feature": ["0", "0", "7", "0", "7"],
                     "reads": [3, 1, 2, 9, 1]})
EXPECTED = {(CELLS[0], "0"): 2, (CELLS[0], "7"): 1, (CELLS[1], "0"): 1, (CELLS[5], "7"): 1}


def counted(path: Path, **arguments: object) -> dict[tuple[str, str], int]:
    found = read_molecules(path, **arguments).counts
    return {(b, f): n for b, f, n in found.itertuples(index=False)}


@pytest.mark.parametrize("sep", ["\t", ",", " "])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("name", ["m.txt", "m.txt.gz"])
def test_separators_headers_and_compression(tmp_path: Path, sep: str, header: bool, name: str) -> None:
    path = write(tmp_path / name, ROWS, sep=sep, header=header)
    assert counted(path) == EXPECTED
    assert read_molecules(path).features == ("0", "7")


def test_a_repeated_molecule_counts_once(tmp_path: Path) -> None:
    twice = pd.concat([ROWS, ROWS.iloc[:2].assign(reads=5)])
    assert counted(write(tmp_path / "m.tsv", twice, sep="\t", header=False)) == EXPECTED


def test_our_own_table_says_what_was_looked_for(tmp_path: Path) -> None:
    own = ROWS.assign(unique_bases=60, junction="", barcode_posterior=0.99)
    path = write(tmp_path / "molecules.tsv.gz", own, sep="\t")
    assert read_molecules(path).features == ("0", "7")
    table = pd.DataFrame({"id": ["0", "7", "WPRE"], "name": ["0", "7", "WPRE"]})
    anndata(np.zeros((2, 3)), CELLS[:2], table).write_h5ad(tmp_path / "features.h5ad")
    assert read_molecules(path).features == ("0", "7", "WPRE")
    none = write(tmp_path / "molecules.tsv", own.iloc[:0], sep="\t")
    assert read_molecules(none).features == ("0", "7", "WPRE") and counted(none) == {}


@pytest.mark.parametrize(("change", "said"), [
    (lambda t: t.assign(reads=-1), "reads is '-1'"), (lambda t: t.assign(reads="nan"), "reads is 'nan'"),
    (lambda t: t.assign(reads=0), "line 2: reads is '0'; give a whole number of at least 1"),
    (lambda t: t.assign(reads=1.5), "reads is '1.5'"), (lambda t: t.assign(umi=""), "an empty barcode, umi or feature"),
    (lambda t: t.rename(columns={"feature": "featur"}), "column 'feature' is missing; nearest existing: featur"),
])
def test_bad_tables(tmp_path: Path, change, said: str) -> None:
    path = write(tmp_path / "m.tsv", change(ROWS), sep="\t")
    with pytest.raises(InputError, match=said) as caught:
        read_molecules(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_cut_off_empty_and_other_files(tmp_path: Path) -> None:
    text = write(tmp_path / "m.tsv", ROWS, sep="\t", header=False).read_bytes()
    (tmp_path / "cut.tsv").write_bytes(text[: text.rstrip().rfind(b"\t") - 2])
    with pytest.raises(InputError, match="the file is cut off"):
        read_molecules(tmp_path / "cut.tsv")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(text)[:-12])
    with pytest.raises(InputError, match="cut off"):
        read_molecules(tmp_path / "cut.gz")
    (tmp_path / "three.tsv").write_text("A\tB\tC\n")
    with pytest.raises(InputError, match="3 columns and no header"):
        read_molecules(tmp_path / "three.tsv")
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(InputError, match="0 bytes"):
        read_molecules(tmp_path / "empty.tsv")
    with pytest.raises(InputError, match="does not exist"):
        read_molecules(tmp_path / "absent.tsv")


def molecule_info(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["barcodes"] = np.array(CELLS, "S")
        file["barcode_idx"], file["gem_group"] = np.array([0, 0, 2, 5], "u8"), np.array([1, 1, 1, 2], "u2")
        file["feature_idx"], file["umi"] = np.array([1, 0, 1, 1], "u4"), np.arange(4, dtype="u4")
        file["count"] = np.array([3, 1, 4, 1], "u4")
        file["features/name"], file["features/id"] = np.array(["CD3D", "CAR1"], "S"), np.array(["ENSG1", "CAR1"], "S")
    return path


def test_molecule_info_gives_the_wanted_features_only(tmp_path: Path) -> None:
    path = molecule_info(tmp_path / "molecule_info.h5")
    found = counted(path, wanted=lambda table: list(table.index[~table["gene_ids"].str.startswith("ENSG")]))
    assert found == {(f"{CELLS[0]}-1", "CAR1"): 1, (f"{CELLS[2]}-1", "CAR1"): 1, (f"{CELLS[5]}-2", "CAR1"): 1}
    assert read_molecules(path).features == ()
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="truncated"):
        read_molecules(path)
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["barcode"] = np.zeros(2)
    with pytest.raises(InputError, match="Cell Ranger 3 or later"):
        read_molecules(tmp_path / "old.h5")


def test_names_come_from_all_samples_of_a_name(tmp_path: Path) -> None:
    one = write(tmp_path / "a.tsv", ROWS, sep="\t", header=False)
    other = write(tmp_path / "b.tsv", ROWS[ROWS["feature"] == "7"], sep="\t", header=False)
    final = named({"A": [read_molecules(one, name="HHV6"), read_molecules(one)],
                   "B": [read_molecules(other, name="HHV6")]})
    assert final["A"][0].features == final["B"][0].features == ("HHV6_0", "HHV6_7")
    assert set(final["B"][0].counts["feature"]) == {"HHV6_7"}
    assert final["A"][1].features == ("0", "7")
    single = named({"B": [read_molecules(other, name="CAR")]})
    assert single["B"][0].features == ("CAR",) and set(single["B"][0].counts["feature"]) == {"CAR"}
    nothing = write(tmp_path / "none.tsv", ROWS.iloc[:0], sep="\t")
    assert named({"B": [read_molecules(nothing, name="CAR")]})["B"][0].features == ("CAR",)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from(CELLS), st.text("ACGT", min_size=2, max_size=3), st.integers(0, 3),
                               st.integers(1, 50)), min_size=1, max_size=30),
       end=st.sampled_from(["\n", "\r\n"]), sep=st.sampled_from(["\t", ",", " "]), header=st.booleans(),
       trailing=st.booleans(), extra=st.booleans(), data=st.randoms(use_true_random=False))
def test_any_table_counts_distinct_molecules(rows, end, sep, header, trailing, extra, data) -> None:
    expected: dict[tuple[str, str], int] = {}
    for barcode, _, feature in {(b, u, f) for b, u, f, _ in rows}:
        expected[barcode, str(feature)] = expected.get((barcode, str(feature)), 0) + 1
    data.shuffle(rows)
    frame = pd.DataFrame(rows, columns=["barcode", "umi", "feature", "reads"])
    frame = frame.assign(more=1) if extra and header else frame
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "m.txt", frame, sep=sep, header=header, end=end)
        if not trailing:
            path.write_bytes(path.read_bytes().rstrip())
        assert counted(path) == expected
