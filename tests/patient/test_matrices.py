"""Matrices of every format, and every way in which they are wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sclineage._errors import InputError
from sclineage.patient.features import feature_table, union
from sclineage.patient.matrices import PEEK, read_matrix

from .synthetic import CAR, GENES, anndata, barcodes, counts, features, listing, mtx_folder, tenx_h5

CELLS, COUNTS, TABLE = barcodes(30), counts(30), features()


def write(kind: str, folder: Path, matrix: np.ndarray = COUNTS, cells: list[str] = CELLS,
          table: pd.DataFrame = TABLE) -> Path:
    path = folder / f"m_{kind}"
    if kind in ("h5", "h5_v2"):
        return tenx_h5(path, matrix, cells, table, old=kind == "h5_v2")
    if kind.startswith("mtx"):
        return mtx_folder(path, matrix, cells, table, compress=kind == "mtx_gz", old=kind == "mtx_v2")
    data = anndata(matrix, cells, table)
    if kind == "zarr":
        data.write_zarr(path)
    else:
        data.write_h5ad(path)
    return path


@pytest.mark.parametrize("kind", ["h5", "h5_v2", "mtx_gz", "mtx", "mtx_v2", "h5ad", "zarr"])
def test_every_format_gives_the_same_matrix(tmp_path: Path, kind: str) -> None:
    path = write(kind, tmp_path)
    matrix = read_matrix(path)
    assert matrix.barcodes.tolist() == CELLS
    assert matrix.features["name"].tolist() == [*GENES, CAR]
    assert matrix.features["gene_ids"].tolist() == list(TABLE["id"])
    assert matrix.counts.dtype == np.int32
    assert np.array_equal(matrix.counts.toarray(), COUNTS)
    looked = read_matrix(path, peek=True)
    assert looked.barcodes.tolist() == CELLS and looked.features.equals(matrix.features)


def test_a_look_reads_the_first_cells_only(tmp_path: Path) -> None:
    n = PEEK + 50
    path = write("h5", tmp_path, counts(n), barcodes(n))
    looked = read_matrix(path, peek=True)
    assert looked.counts.shape[0] == PEEK and len(looked.barcodes) == n
    assert np.array_equal(looked.counts.toarray(), counts(n)[:PEEK])


@pytest.mark.parametrize("kind", ["h5", "mtx_gz", "h5ad", "zarr"])
@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN values"), (-2.0, "negative values (such as -2)"),
                                             (1.386, "not whole numbers (such as 1.386)")])
@pytest.mark.parametrize("peek", [False, True])
def test_what_is_not_counts_is_refused(tmp_path: Path, kind: str, value: float, said: str, peek: bool) -> None:
    matrix = COUNTS.astype(float)
    matrix[0, 0] = value
    if kind.startswith("mtx"):
        path = mtx_folder(tmp_path / "m", matrix, CELLS, TABLE, compress=False)
        rows, columns = matrix.T.nonzero()
        entries = "".join(f"{r + 1} {c + 1} {matrix[c, r]}\n" for r, c in zip(rows, columns, strict=True))
        head = f"%%MatrixMarket matrix coordinate real general\n{matrix.shape[1]} {matrix.shape[0]} {len(rows)}\n"
        (path / "matrix.mtx").write_text(head + entries)
    else:
        path = write(kind, tmp_path, matrix)
    before = listing(tmp_path)
    with pytest.raises(InputError) as caught:
        read_matrix(path, peek=peek)
    text = str(caught.value)
    assert str(path) in text and said in text and "raw counts" in text and "\n" not in text
    assert listing(tmp_path) == before


@pytest.mark.parametrize(("content", "said"), [
    (b"", "0 bytes"), (b"barcode,umi\n", "not an HDF5 file"), (None, "does not exist"),
])
def test_a_file_that_is_none(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "m.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_matrix(path)


@pytest.mark.parametrize("kind", ["h5", "h5ad"])
def test_a_truncated_hdf5_file(tmp_path: Path, kind: str) -> None:
    whole = write(kind, tmp_path).read_bytes()
    for size in (100, len(whole) // 2, len(whole) - 10):
        path = tmp_path / "cut.h5"
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cut\.h5: (the file is truncated|not an HDF5 file)"):
            read_matrix(path)


def test_a_truncated_mtx_folder(tmp_path: Path) -> None:
    folder = write("mtx_gz", tmp_path)
    matrix = folder / "matrix.mtx.gz"
    whole = matrix.read_bytes()
    matrix.write_bytes(whole[: len(whole) // 2])
    for peek in (False, True):
        with pytest.raises(InputError, match=r"matrix\.mtx\.gz"):
            read_matrix(folder, peek=peek)
    matrix.write_bytes(gzip.compress(b"\n".join(gzip.decompress(whole).split(b"\n")[:-20])))
    with pytest.raises(InputError, match=r"matrix\.mtx\.gz: the file is damaged or cut off"):
        read_matrix(folder)
    matrix.write_bytes(whole)
    (folder / "barcodes.tsv.gz").write_bytes(gzip.compress("\n".join(CELLS[:-1]).encode()))
    with pytest.raises(InputError, match="but 13 features and 29 barcodes"):
        read_matrix(folder)
    (folder / "barcodes.tsv.gz").unlink()
    with pytest.raises(InputError, match=r"no barcodes\.tsv"):
        read_matrix(folder)


def test_other_hdf5_files_are_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["matrix/barcodes"] = np.array(CELLS, "S")
    with pytest.raises(InputError, match="no 'data' in the file: not a 10x matrix"):
        read_matrix(tmp_path / "other.h5")
    with h5py.File(tmp_path / "molecule_info.h5", "w") as file:
        file["barcode_idx"] = np.zeros(3)
    with pytest.raises(InputError, match="name it in the column molecules"):
        read_matrix(tmp_path / "molecule_info.h5")


def test_duplicate_barcodes(tmp_path: Path) -> None:
    cells = [*CELLS[:-1], CELLS[0]]
    for kind in ("h5", "mtx_gz", "h5ad"):
        with pytest.raises(InputError, match=f"barcode '{CELLS[0]}' appears more than once"):
            read_matrix(write(kind, tmp_path, cells=cells))


@pytest.mark.parametrize(("ids", "names", "said"), [
    ([f"ENSMUSG{i:011d}" for i in range(13)], ["Cd3d"] * 13, "0% of 13 gene ids are human"),
    ([f"ENSG{i:011d}" for i in range(7)] + [f"ENSMUSG{i:011d}" for i in range(6)], ["x"] * 13, "two species"),
    ([f"GRCh38_ENSG{i:011d}" for i in range(7)] + [f"mm10___ENSMUSG{i:011d}" for i in range(6)], ["x"] * 13,
     "two species"),
    (["Cd3d", "Cd3e", "Trbc1", "Xist", "Gapdh", "Actb", "Lyz2", "Cd79a", "Nkg7", "Cst7", "Il7r", "Sell", "Ccr7"], None,
     "0% of 13 gene symbols are human"),
    ([f"g{i}" for i in range(13)], None, "0% of 13 gene symbols are human"),
])
@pytest.mark.parametrize("peek", [False, True])
def test_wrong_species(tmp_path: Path, ids: list[str], names: list[str] | None, said: str, peek: bool) -> None:
    table = TABLE.assign(id=ids, name=ids if names is None else names)
    path = write("h5", tmp_path, table=table)
    with pytest.raises(InputError, match=said) as caught:
        read_matrix(path, peek=peek)
    assert str(path) in str(caught.value) and "human reference" in str(caught.value)


def test_two_genomes_of_cell_ranger_2(tmp_path: Path) -> None:
    path = write("h5_v2", tmp_path)
    with h5py.File(path, "a") as file:
        file.copy("GRCh38", "mm10")
    with pytest.raises(InputError, match=r"2 genomes \(GRCh38, mm10\)"):
        read_matrix(path)


def test_names_of_a_reference_with_a_second_genome_lose_their_prefix(tmp_path: Path) -> None:
    table = TABLE.assign(name=[f"GRCh38_{n}" for n in GENES] + ["vector_CAR1"], genome=["GRCh38"] * 12 + ["vector"])
    assert read_matrix(write("h5", tmp_path, table=table)).features["name"].tolist() == [*GENES, "vector_CAR1"]


def test_feature_types_are_told_apart(tmp_path: Path) -> None:
    table = TABLE.assign(type=["Gene Expression"] * 10 + ["Antibody Capture"] * 2 + ["CRISPR Guide Capture"])
    for kind in ("h5", "mtx_gz"):
        matrix = read_matrix(write(kind, tmp_path, table=table))
        assert matrix.of_type("Gene Expression").counts.shape == (30, 10)
        assert matrix.of_type("Antibody Capture").features["name"].tolist() == GENES[10:]
        assert matrix.other_types() == {"CRISPR Guide Capture": 1}


# --- h5ad and zarr ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.parametrize("place", ["X", "raw", "layers['counts']", "dense X"])
def test_counts_are_found_wherever_they_are(tmp_path: Path, kind: str, place: str) -> None:
    data = anndata(COUNTS, CELLS, TABLE)
    normal = sparse.csr_matrix(np.log1p(COUNTS.astype(np.float32)))
    if place == "raw":
        data.raw = data.copy()
        data.X = normal
        data = data[:, :5].copy()
    elif place.startswith("layers"):
        data.layers["counts"], data.X = data.X.copy(), normal
        data.layers["scaled"] = normal.toarray() - 1.0
    elif place == "dense X":
        data.X = data.X.toarray()
    path = tmp_path / "m"
    data.write_zarr(path) if kind == "zarr" else data.write_h5ad(path)
    matrix = read_matrix(path)
    assert matrix.source == place.replace("dense ", "")
    assert np.array_equal(matrix.counts.toarray(), COUNTS)
    assert matrix.features["name"].tolist() == [*GENES, CAR]


def test_two_different_candidates_are_listed_and_two_equal_ones_are_one(tmp_path: Path) -> None:
    data = anndata(COUNTS, CELLS, TABLE)
    data.layers["counts"] = data.X.copy()
    data.write_h5ad(tmp_path / "same.h5ad")
    assert read_matrix(tmp_path / "same.h5ad").source == "X"
    data.layers["spliced"] = sparse.csr_matrix(COUNTS[::-1].astype(np.float32))
    data.layers["norm"] = sparse.csr_matrix(np.log1p(COUNTS))
    data.write_h5ad(tmp_path / "two.h5ad")
    with pytest.raises(InputError) as caught:
        read_matrix(tmp_path / "two.h5ad")
    text = str(caught.value)
    assert "X: whole numbers" in text and "layers['spliced']: whole numbers" in text
    assert "layers['norm']: values that are not whole numbers" in text and "keep one of them" in text


def test_rows_of_a_shared_h5ad(tmp_path: Path) -> None:
    data = anndata(COUNTS, CELLS, TABLE, sample=["a", "b", "b"] * 10)
    for path in (tmp_path / "m.h5ad", tmp_path / "m.zarr"):
        data.write_zarr(path) if path.suffix == ".zarr" else data.write_h5ad(path)
        matrix = read_matrix(path, obs="sample=a")
        assert matrix.barcodes.tolist() == CELLS[::3]
        assert np.array_equal(matrix.counts.toarray(), COUNTS[::3])
        with pytest.raises(InputError, match="no row has sample = 'c'"):
            read_matrix(path, obs="sample=c")
        with pytest.raises(InputError, match="no obs column 'sampel'; nearest existing: sample"):
            read_matrix(path, obs="sampel=a")
    with pytest.raises(InputError, match="gex_obs picks rows of an h5ad"):
        read_matrix(write("h5", tmp_path), obs="sample=a")


def test_ensembl_ids_as_names_take_symbols_from_var(tmp_path: Path) -> None:
    data = anndata(COUNTS, CELLS, TABLE)
    data.var["feature_name"] = list(TABLE["name"])
    data.var_names = list(TABLE["id"])
    data.write_h5ad(tmp_path / "cellxgene.h5ad")
    found = read_matrix(tmp_path / "cellxgene.h5ad").features
    assert found["name"].tolist() == [*GENES, CAR] and found["gene_ids"].tolist() == list(TABLE["id"])


def test_a_csc_matrix_is_read(tmp_path: Path) -> None:
    data = anndata(COUNTS, CELLS, TABLE, sample=["a", "b"] * 15)
    data.X = sparse.csc_matrix(data.X)
    data.write_h5ad(tmp_path / "csc.h5ad")
    assert np.array_equal(read_matrix(tmp_path / "csc.h5ad", obs="sample=b").counts.toarray(), COUNTS[1::2])


# --- union of features -----------------------------------------------------------------------------------------------
def test_union_joins_on_ids_whatever_the_order_and_spelling() -> None:
    one = feature_table(["ENSG2.7", "ENSG1", "CAR"], ["B", "A", "CAR"])
    two = feature_table(["ENSG1", "ENSG3", "car_id"], ["A_OLD", "C", "CAR"])
    symbols = feature_table(["C", "B", "X"], ["C", "B", "X"])
    var, places = union([one, two, symbols])
    assert var["gene_ids"].tolist() == ["CAR", "ENSG1", "ENSG2", "ENSG3", "X"]
    assert var.index.tolist() == ["CAR", "A", "B", "C", "X"]
    assert [p.tolist() for p in places] == [[2, 1, 0], [1, 3, 0], [3, 2, 4]]
    again, _ = union([symbols, two, one])
    assert again.equals(var)


def test_union_keeps_repeated_ids_and_makes_names_unique() -> None:
    var, places = union([feature_table(["ENSG1", "ENSG2", "ENSG3", "ENSG3"], ["A", "A", "P", "P"])])
    assert var.index.tolist() == ["A", "A-1", "P", "P-1"]
    assert places[0].tolist() == [0, 1, 2, 3]
