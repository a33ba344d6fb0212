"""Contig tables become scirpy's AIRR data; order, line ends and extra columns change nothing."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd
import pytest
import scirpy
from hypothesis import given, settings
from hypothesis import strategies as st

from sclineage._errors import InputError
from sclineage.patient.contigs import airr_modality, read_contigs, read_vdj

from .synthetic import barcodes, contigs, write

CELLS = barcodes(12)
TABLE = contigs(CELLS)


def airr_table() -> pd.DataFrame:
    """The same chains as an AIRR rearrangement table."""
    return pd.DataFrame({
        "sequence_id": TABLE["contig_id"], "cell_id": TABLE["barcode"], "locus": TABLE["chain"],
        "v_call": TABLE["v_gene"], "d_call": "", "j_call": TABLE["j_gene"], "c_call": TABLE["c_gene"],
        "junction": TABLE["cdr3_nt"], "junction_aa": TABLE["cdr3"], "productive": "T", "rev_comp": "F",
        "duplicate_count": TABLE["umis"], "consensus_count": TABLE["reads"]})


def test_10x_and_airr_give_the_same_chains(tmp_path: Path) -> None:
    for name in ("c.csv", "c.csv.gz"):
        tenx = read_contigs(write(tmp_path / name, TABLE))
        assert len(tenx) == 24 and tenx["productive"].all() and tenx["umi_count"].tolist() == TABLE["umis"].tolist()
    airr = read_contigs(write(tmp_path / "c.tsv.gz", airr_table(), sep="\t"))
    pd.testing.assert_frame_equal(tenx, airr)


def test_columns_of_cell_ranger_2_3_and_6(tmp_path: Path) -> None:
    old = TABLE.assign(d_gene="None", productive="True", is_cell="True", c_gene=["None", "TRAC"] * 12)
    new = TABLE.assign(fwr1="A", cdr1="B", exact_subclonotype_id="1")
    found = read_contigs(write(tmp_path / "old.csv", old))
    assert found["c_call"].tolist()[:2] == [None, "TRAC"] and found["productive"].all()
    plain = read_contigs(write(tmp_path / "plain.csv", TABLE))
    pd.testing.assert_frame_equal(read_contigs(write(tmp_path / "new.csv", new)), plain)


def test_cells_of_high_confidence_stay(tmp_path: Path) -> None:
    table = TABLE.assign(is_cell=["true", "true", "false", "false"] * 6, high_confidence=["true", "false"] * 12)
    path = write(tmp_path / "all.csv", table)
    assert read_contigs(path)["barcode"].tolist() == CELLS[::2]
    assert len(read_contigs(path, every=True)) == 12


def test_all_contigs_add_the_non_productive_ones(tmp_path: Path) -> None:
    filtered = write(tmp_path / "f.csv", TABLE)
    extra = TABLE.iloc[:4].assign(productive=["false", "None", "true", "false"], is_cell="false", cdr3="", cdr3_nt="",
                                  contig_id=["x1", "x2", "x3", "x4"])
    everything = write(tmp_path / "a.csv", pd.concat([TABLE, extra]))
    joined = read_vdj([filtered], [everything])
    assert joined is not None
    assert len(joined) == 24 + 3 and set(joined.loc[~joined["productive"], "sequence_id"]) == {"x1", "x2", "x4"}
    first = joined[joined["barcode"] == CELLS[0]]
    assert first["productive"].tolist() == [True, True, False, False]
    alone = read_vdj([], [everything])
    assert alone is not None and len(alone) == 24
    assert read_vdj([], []) is None


def test_several_files_join(tmp_path: Path) -> None:
    gamma_delta = contigs(CELLS[:3]).assign(chain="TRG", v_gene="TRGV9", j_gene="TRGJP",
                                            contig_id=[f"g{i}" for i in range(6)])
    joined = read_vdj([write(tmp_path / "ab.csv", TABLE), write(tmp_path / "gd.csv", gamma_delta)], [])
    assert joined is not None and (joined["locus"] == "TRG").sum() == 6
    other = read_vdj([tmp_path / "gd.csv", tmp_path / "ab.csv"], [])
    pd.testing.assert_frame_equal(joined, other)


@pytest.mark.parametrize(("change", "said"), [
    (lambda t: t.drop(columns="cdr3_nt"), "column 'cdr3_nt' is missing"),
    (lambda t: t.rename(columns={"umis": "umi"}), "column 'umis' is missing; nearest existing: umi"),
    (lambda t: t.assign(umis="-3"), "umi_count is '-3'"),
    (lambda t: t.assign(umis="many"), "umi_count is 'many'"),
    (lambda t: t.assign(productive="perhaps"), "line 2: productive is 'perhaps'"),
    (lambda t: t.assign(is_cell="false"), "none of them of a cell"),
    (lambda t: t.assign(barcode=""), "a contig without barcode"),
    (lambda t: t.iloc[:0], "0 contigs"),
])
def test_bad_10x_tables(tmp_path: Path, change, said: str) -> None:
    path = write(tmp_path / "c.csv", change(TABLE))
    with pytest.raises(InputError, match=said) as caught:
        read_contigs(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("change", "said"), [
    (lambda t: t.drop(columns="cell_id"), "column 'cell_id' is missing"),
    (lambda t: t.drop(columns="junction"), "column 'junction' is missing"),
    (lambda t: t.drop(columns="duplicate_count"), "neither column umi_count nor duplicate_count"),
])
def test_bad_airr_tables(tmp_path: Path, change, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_contigs(write(tmp_path / "c.tsv", change(airr_table()), sep="\t"))


def test_cut_off_files(tmp_path: Path) -> None:
    text = write(tmp_path / "c.csv", TABLE).read_bytes()
    (tmp_path / "cut.csv").write_bytes(text[:-60])
    with pytest.raises(InputError, match="the file is cut off"):
        read_contigs(tmp_path / "cut.csv")
    packed = gzip.compress(text)
    (tmp_path / "cut.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match="gzip stream is damaged or cut off"):
        read_contigs(tmp_path / "cut.csv.gz")
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(InputError, match="0 bytes"):
        read_contigs(tmp_path / "empty.csv")


def test_reads_may_be_missing_umis_may_not(tmp_path: Path) -> None:
    table = airr_table().drop(columns="consensus_count")
    found = read_contigs(write(tmp_path / "c.tsv", table, sep="\t"))
    assert found["consensus_count"].isna().all()
    data = airr_modality(found.rename(columns={"barcode": "cell_id"}), CELLS)
    assert ak.to_list(data.obsm["airr"]["consensus_count"])[0] == [None, None]
    scirpy.pp.index_chains(data)
    data.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match="umi_count is ''"):
        read_contigs(write(tmp_path / "d.tsv", airr_table().assign(duplicate_count=""), sep="\t"))


def test_locus_is_inferred_where_it_is_missing(tmp_path: Path) -> None:
    table = airr_table().drop(columns="locus")
    assert read_contigs(write(tmp_path / "c.tsv", table, sep="\t"))["locus"].tolist() == ["TRB", "TRA"] * 12
    delta = airr_table().assign(locus="", v_call="TRAV29/DV5", j_call="TRDJ1", c_call="TRDC")
    assert set(read_contigs(write(tmp_path / "d.tsv", delta, sep="\t"))["locus"]) == {"TRD"}


def test_the_modality_is_scirpys(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", TABLE)
    ours = airr_modality(read_contigs(path).rename(columns={"barcode": "cell_id"}), [*CELLS, "without"])
    theirs = scirpy.io.read_10x_vdj(path)
    assert list(ours.obs_names) == [*CELLS, "without"]
    for field in ("locus", "v_call", "j_call", "c_call", "junction", "junction_aa", "umi_count", "consensus_count",
                  "productive", "sequence_id"):
        assert ak.to_list(ours.obsm["airr"][field])[:-1] == ak.to_list(theirs.obsm["airr"][field])
    assert ak.to_list(ours.obsm["airr"])[-1] == []
    scirpy.pp.index_chains(ours)
    scirpy.tl.chain_qc(ours)
    assert ours.obs["chain_pairing"].astype(str).tolist() == ["single pair"] * 12 + ["no IR"]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), end=st.sampled_from(["\n", "\r\n"]), trailing=st.booleans(), extra=st.booleans(),
       bom=st.booleans())
def test_order_line_ends_and_extra_columns_do_not_matter(seed: int, end: str, trailing: bool, extra: bool,
                                                         bom: bool) -> None:
    rng = np.random.default_rng(seed)
    table = TABLE.iloc[rng.permutation(len(TABLE))]
    table = table[list(rng.permutation(table.columns))]
    table = table.assign(note="a b") if extra else table
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "c.csv", table, end=end)
        data = path.read_bytes() if trailing else path.read_bytes().rstrip()
        path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + data)
        found = read_vdj([path], [])
        expected = read_vdj([write(Path(folder) / "plain.csv", TABLE)], [])
    pd.testing.assert_frame_equal(found, expected)
