"""`read_patient`: the layout, every kind of sample, and every bad input named in one line."""

from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.io
from mudata import MuData
from scipy import sparse

from sclineage._errors import InputError
from sclineage.patient import access
from sclineage.patient.api import read_patient, read_sheet

from .synthetic import (
    CAR,
    GENES,
    anndata,
    barcodes,
    contigs,
    counts,
    features,
    listing,
    sample,
    sheet,
    tenx_h5,
    write,
)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, dict[str, object], dict[str, object]]:
    """Two whole samples in a folder."""
    return tmp_path, sample(tmp_path, "S1"), sample(tmp_path, "S2", seed=7)


def molecules(cells: list[str], feature: str = "0") -> pd.DataFrame:
    """Cell i has i % 4 molecules."""
    rows = [(c, "ACGT"[j] * 4, feature, 1 + j) for i, c in enumerate(cells) for j in range(i % 4)]
    return pd.DataFrame(rows, columns=["barcode", "umi", "feature", "reads"])


def test_layout(two) -> None:
    folder, one, other = two
    mdata = read_patient(sheet(folder, one, other), car=CAR)
    assert set(mdata.mod) == {"gex", "airr"}
    assert mdata.n_obs == 120 and list(mdata.obs_names) == sorted(mdata.obs_names)
    assert mdata.obs["sample"].tolist() == ["S1"] * 60 + ["S2"] * 60
    assert mdata.obs_names[0] == "S1_" + barcodes(60)[0] and mdata.obs["barcode"].iloc[0] == barcodes(60)[0]
    assert mdata.obs["day"].tolist() == [30.0] * 120 and set(mdata.obs["selection"]) == {"unknown"}
    assert mdata.obs["gem_well"].tolist() == mdata.obs["sample"].tolist()
    gex = mdata["gex"]
    assert gex.X.dtype == np.int32 and sparse.issparse(gex.X)
    assert gex.var["gene_ids"].tolist() == sorted(features()["id"])
    assert gex.varm["in_sample"].to_numpy().all() and list(gex.varm["in_sample"].columns) == ["S1", "S2"]
    order = [GENES.index(n) if n in GENES else len(GENES) for n in gex.var_names]
    assert np.array_equal(gex.X.toarray()[:60], counts(60, seed=1)[:, order])
    assert len(mdata["airr"]) == 120 and ak.num(mdata["airr"].obsm["airr"]).to_list() == ([2] * 30 + [0] * 30) * 2
    kept = mdata.uns["sclineage"]
    assert kept["samples"].index.tolist() == ["S1", "S2"] and kept["samples"]["n_cells"].tolist() == [60, 60]
    assert kept["car_features"].tolist() == [CAR] and len(kept["virus_features"]) == 0
    assert kept["features"].to_numpy().tolist() == [["car", CAR, CAR]]
    assert {"S1.vdj.csv", "sheet.csv", "S2.h5"} <= {Path(p).name for p in kept["inputs"]}
    assert access.feature_counts(mdata, [CAR]).assessed.all()
    assert access.sample_table(mdata).loc["S1", "counts_from"] == "matrix"


def same(one: MuData, other: MuData) -> None:
    """Same content, to the last number."""
    assert list(one.mod) == list(other.mod) and list(one.obs_names) == list(other.obs_names)
    pd.testing.assert_frame_equal(one.obs, other.obs)
    for name in one.mod:
        a, b = one[name], other[name]
        assert list(a.obs_names) == list(b.obs_names) and list(a.var_names) == list(b.var_names)
        if name == "airr":
            assert ak.to_list(a.obsm["airr"]) == ak.to_list(b.obsm["airr"])
            continue
        assert np.array_equal(a.X.indptr, b.X.indptr) and np.array_equal(a.X.indices, b.X.indices)
        assert np.array_equal(a.X.data, b.X.data)
        pd.testing.assert_frame_equal(a.varm["in_sample"], b.varm["in_sample"])
    for key in ("samples", "empties", "features"):
        pd.testing.assert_frame_equal(one.uns["sclineage"][key], other.uns["sclineage"][key])


def test_order_of_rows_files_barcodes_and_genes_does_not_matter(two) -> None:
    folder, one, other = two
    cells = barcodes(60)
    write(folder / "mol.tsv", molecules(cells), sep="\t")
    write(folder / "gd.csv", contigs(cells[50:]).assign(chain="TRG", contig_id=[f"g{i}" for i in range(20)]))
    one |= {"molecules": "VIR=mol.tsv", "vdj": "S1.vdj.csv;gd.csv"}
    expected = read_patient(sheet(folder, one, other), car=CAR)
    rng = np.random.default_rng(3)
    rows, columns = rng.permutation(60), rng.permutation(13)
    tenx_h5(folder / "S1.h5", counts(60, seed=1)[rows][:, columns], [cells[i] for i in rows], features().iloc[columns])
    for name, table in (("S1.vdj.csv", contigs(cells[:30])), ("mol.tsv", molecules(cells))):
        shuffled = table.iloc[rng.permutation(len(table))]
        write(folder / name, shuffled, sep="\t" if name == "mol.tsv" else ",", end="\r\n")
    one["vdj"] = "gd.csv;S1.vdj.csv"
    found = read_patient(sheet(folder, other, one), car=CAR)
    for mdata in (expected, found):
        mdata.uns["sclineage"]["samples"]["vdj"] = ""
    same(expected, found)


def test_h5mu_and_back(two) -> None:
    folder, one, other = two
    write(folder / "mol.tsv", molecules(barcodes(60)), sep="\t")
    one |= {"molecules": "mol.tsv", "role": "car_positive_control", "purity": 0.8}
    mdata = read_patient(sheet(folder, one, other), car=f"axi={CAR}")
    mdata.write_h5mu(folder / "patient.h5mu")
    back = mudata.read_h5mu(folder / "patient.h5mu")
    assert list(back.obs_names) == list(mdata.obs_names) and list(back.mod) == list(mdata.mod)
    assert np.array_equal(back["gex"].X.toarray(), mdata["gex"].X.toarray())
    assert ak.to_list(back["airr"].obsm["airr"]["junction"]) == ak.to_list(mdata["airr"].obsm["airr"]["junction"])
    for name in ("patient", "sample", "barcode", "specimen", "gem_well", "pool", "material", "selection"):
        assert access.text(back, name).tolist() == access.text(mdata, name).tolist()
    kept = back.uns["sclineage"]
    assert kept["samples"].loc["S1", ["role", "not_used"]].tolist() == ["car_positive_control", "purity"]
    assert np.isnan(kept["samples"].loc["S2", "purity"])
    assert list(kept["car_features"]) == [CAR] and kept["params"]["read_patient"]["car"] == f"axi={CAR}"
    assert kept["empties"].empty and list(kept["empties"].columns) == ["sample", "feature", "n_droplets", "umi_total",
                                                                      "feature_umi"]
    again = access.feature_counts(back, [CAR, "0"])
    assert np.array_equal(again.counts, access.feature_counts(mdata, [CAR, "0"]).counts)
    assert np.array_equal(again.assessed, access.feature_counts(mdata, [CAR, "0"]).assessed)


# --- kinds of samples ------------------------------------------------------------------------------------------------
def test_molecules_replace_the_matrix_where_they_were_counted(two) -> None:
    folder, one, other = two
    cells = barcodes(60)
    write(folder / "mol.tsv", molecules([c[:16] for c in cells]), sep="\t", header=False)
    one["molecules"] = f"{CAR}=mol.tsv"
    mdata = read_patient(sheet(folder, one, other), car=CAR)
    targets = mdata["targets"]
    assert targets.n_obs == 60 and list(targets.var_names) == [CAR]
    found = access.feature_counts(mdata, [CAR])
    assert found.counts[:60, 0].tolist() == [i % 4 for i in range(60)]
    assert found.from_molecules[:, 0].tolist() == [True] * 60 + [False] * 60
    assert found.assessed.all()


def test_a_reference_that_the_chemistry_cannot_see_is_noted(two) -> None:
    """What our own counting wrote beside its table reaches the sample table; features that can be seen do not."""
    folder, one, other = two
    mine = folder / "count"
    mine.mkdir()
    cells = barcodes(60)
    both = pd.concat([molecules(cells, "carA"), molecules(cells, "WPRE").assign(umi="CCCC")])
    write(mine / "molecules.tsv", both, sep="\t")
    record = {"made_by": "sclineage count", "constructs_unseen": ["carA", "carB"]}
    (mine / "run.json").write_text(json.dumps(record))
    rows = sheet(folder, one | {"molecules": "count/molecules.tsv"}, other | {"car": "none"})
    for car, seen in (("carA", "false"), ("carA+WPRE", "")):
        mdata = read_patient(rows, car=car)
        assert mdata.uns["sclineage"]["samples"]["segment_seen"].tolist()[0] == seen
    (mine / "run.json").write_text("{")
    refused(rows, str(mine / "run.json"), "no JSON", car="carA")


def test_molecules_of_either_construct_are_not_left_out(two) -> None:
    folder, one, other = two
    cells = barcodes(60)
    parts = [molecules(cells, f).assign(umi=u) for f, u in (("A", "AAAA"), ("B", "CCCC"), ("A_or_B", "GGGG"),
                                                            ("A:shared", "TTTT"))]
    write(folder / "mol.tsv", pd.concat(parts), sep="\t")
    rows = sheet(folder, one | {"molecules": "mol.tsv"}, other | {"car": "none"})
    refused(rows, "mol.tsv", "molecules of 'A_or_B' are of 'A' or another construct", "--car A,B,A_or_B", car="A")
    refused(rows, "mol.tsv", "endogenous transcripts have too; use 'A'", car="A:shared")
    assert list(read_patient(rows, car="A,B,A_or_B").uns["sclineage"]["car_features"]) == ["A", "A_or_B", "B"]


def test_a_feature_only_in_molecules_is_not_assessed_elsewhere(two) -> None:
    folder, one, other = two
    write(folder / "mol.tsv", molecules(barcodes(60), "3"), sep="\t")
    mdata = read_patient(sheet(folder, one | {"molecules": "HHV6=mol.tsv"}, other), car=CAR, virus="HHV6=HHV6")
    found = access.feature_counts(mdata, ["HHV6"])
    assert found.assessed[:, 0].tolist() == [True] * 60 + [False] * 60
    assert list(mdata.uns["sclineage"]["virus_features"]) == ["HHV6"]


def test_a_table_without_molecules_of_a_named_assay_is_a_zero(two) -> None:
    folder, one, _ = two
    write(folder / "none.tsv", molecules([]), sep="\t")
    mdata = read_patient(sheet(folder, one | {"molecules": f"{CAR}=none.tsv"}), car=CAR)
    found = access.feature_counts(mdata, [CAR])
    assert found.from_molecules.all() and found.counts.sum() == 0


def test_vdj_alone_makes_cells_of_the_airr_modality_only(two) -> None:
    folder, one, other = two
    del other["gex"]
    mdata = read_patient(sheet(folder, one, other), car=CAR)
    assert mdata["gex"].n_obs == 60 and mdata["airr"].n_obs == 90 and mdata.n_obs == 90
    assert list(mdata.obs_names) == sorted(mdata.obs_names)
    assert not access.feature_counts(mdata, [CAR]).assessed[60:].any()
    facts = mdata.uns["sclineage"]["samples"]
    assert facts["n_cells"].tolist() == [60, 30] and np.isnan(facts.loc["S2", "vdj_without_gex"])


def test_receptors_of_barcodes_that_are_no_cells_are_counted_and_dropped(two) -> None:
    folder, one, _ = two
    write(folder / "S1.vdj.csv", contigs([*barcodes(60)[:30], *barcodes(5, seed=3)]))
    mdata = read_patient(sheet(folder, one))
    assert mdata["airr"].n_obs == 60 and mdata.uns["sclineage"]["samples"].loc["S1", "vdj_without_gex"] == 5


def test_a_cell_list_alone_and_one_that_divides_a_pooled_well(tmp_path: Path) -> None:
    cells = barcodes(60)
    tenx_h5(tmp_path / "pool.h5", counts(60), cells, features())
    write(tmp_path / "pool.csv", contigs(cells))
    donors = pd.DataFrame({"cell": cells, "donor_id": (["S1"] * 2 + ["S2", "doublet"]) * 15})
    write(tmp_path / "donor_ids.tsv", donors, sep="\t")
    write(tmp_path / "plain.txt", pd.DataFrame(cells[:10]), header=False)
    well = {"patient": "P1", "gex": "pool.h5", "vdj": "pool.csv", "gem_well": "W", "cells": "donor_ids.tsv"}
    mdata = read_patient(sheet(tmp_path, well | {"sample": "S1"}, well | {"sample": "S2"},
                               {"patient": "P1", "sample": "S3", "cells": "plain.txt", "vdj": "pool.csv"}), car=CAR)
    assert mdata.obs["sample"].value_counts().to_dict() == {"S1": 30, "S2": 15, "S3": 10}
    assert mdata["gex"].n_obs == 45 and (ak.num(mdata["airr"].obsm["airr"]).to_numpy() == 2).all()
    assert mdata.uns["sclineage"]["samples"]["vdj_without_gex"].tolist() == [30, 45, 50]


def test_rows_of_a_shared_h5ad(tmp_path: Path) -> None:
    cells = barcodes(40)
    data = anndata(counts(40), [f"donor_{c}" for c in cells], features(), who=["a", "b"] * 20)
    data.write_h5ad(tmp_path / "all.h5ad")
    write(tmp_path / "v.csv", contigs(cells))
    shared = {"patient": "P1", "gex": "all.h5ad", "vdj": "v.csv"}
    rows = [shared | {"sample": f"S{v}", "gex_obs": f"who={v}"} for v in "ab"]
    mdata = read_patient(sheet(tmp_path, *rows), car=CAR)
    assert mdata.obs["sample"].tolist() == ["Sa"] * 20 + ["Sb"] * 20
    assert mdata.obs_names[0] == f"Sa_donor_{cells[0]}"
    assert mdata.uns["sclineage"]["samples"]["counts_from"].tolist() == ["X", "X"]


def test_samples_of_different_references_join(two) -> None:
    folder, one, _ = two
    wider = features([CAR, "EBV_A", "EBV_B"])
    other = sample(folder, "S2", seed=7, table=wider)
    mdata = read_patient(sheet(folder, one, other), car=CAR, virus=["EBV=prefix:EBV_"])
    found = access.feature_counts(mdata, ["EBV_A"])
    assert found.assessed[:, 0].tolist() == [False] * 60 + [True] * 60
    assert found.counts[60:, 0].tolist() == counts(60, seed=8, extra=[CAR, "EBV_A", "EBV_B"])[:, 13].tolist()
    assert mdata.uns["sclineage"]["virus_features"].tolist() == ["EBV_A", "EBV_B"]


def test_antibodies_alleles_and_empty_droplets(two) -> None:
    folder, one, other = two
    cells = barcodes(60)
    table = pd.concat([features(), pd.DataFrame({"id": ["CD3_TotalSeqC", "guide1"], "name": ["CD3_TotalSeqC", "guide1"],
                                                 "type": ["Antibody Capture", "CRISPR Guide Capture"], "genome": ""})])
    in_cells, in_empties = (counts(n, seed=seed, extra=[CAR, "a", "b"]) for n, seed in ((60, 1), (80, 5)))
    tenx_h5(folder / "S1.h5", in_cells, cells, table)
    tenx_h5(folder / "raw.h5", np.vstack([in_cells, in_empties]), [*cells, *barcodes(80, seed=11)], table)
    alleles = folder / "alleles"
    alleles.mkdir()
    depth = np.random.default_rng(0).poisson(1.0, (2, 50))
    for name, matrix in (("AD", depth // 2), ("DP", depth)):
        scipy.io.mmwrite(alleles / f"cellSNP.tag.{name}.mtx", sparse.coo_matrix(matrix), field="integer")
    (alleles / "cellSNP.base.vcf").write_text("chr2\t7\t.\tA\tG\nchr1\t9\t.\tC\tT\n")
    (alleles / "cellSNP.samples.tsv").write_text("\n".join(cells[10:]))
    mdata = read_patient(sheet(folder, one | {"alleles": "alleles", "raw": "raw.h5"}, other), car=CAR)
    assert list(mdata["adt"].var_names) == ["CD3_TotalSeqC"] and mdata["adt"].n_obs == 60
    assert "CD3_TotalSeqC" not in mdata["gex"].var_names and mdata["gex"].n_vars == 13
    assert any("1 features of type CRISPR Guide Capture left out" in n for n in mdata.uns["sclineage"]["notes"])
    sites = mdata["alleles"]
    assert list(sites.var_names) == ["chr1:9:C:T", "chr2:7:A:G"] and sites.n_obs == 60
    assert np.array_equal(sites.layers["dp"].toarray()[10:], depth.T[:, ::-1]) and sites.layers["dp"][:10].sum() == 0
    assert np.array_equal(sites.X.toarray()[10:], (depth // 2).T[:, ::-1])
    empties = mdata.uns["sclineage"]["empties"]
    gex = in_empties[:, :13]
    assert empties.to_dict("list") == {"sample": ["S1"], "feature": [CAR], "n_droplets": [80],
                                       "umi_total": [int(gex.sum())], "feature_umi": [int(gex[:, 12].sum())]}
    mdata.write_h5mu(folder / "whole.h5mu")
    assert mudata.read_h5mu(folder / "whole.h5mu")["alleles"].layers["dp"].sum() == depth.sum()


def test_the_frame_of_read_sheet_and_one_of_several_patients(two) -> None:
    folder, one, other = two
    path = sheet(folder, one, other | {"patient": "P2"})
    assert read_patient(read_sheet(path), patient="P2").obs["patient"].tolist() == ["P2"] * 60
    with pytest.raises(InputError, match=r"found 2 patients \(P1, P2\)"):
        read_patient(path)
    with pytest.raises(InputError, match="no patient 'P3'; name one of P1, P2"):
        read_patient(path, patient="P3")


# --- bad input: file, what was found, what would fix it; nothing written ---------------------------------------------
def refused(path: Path, *said: str, **arguments: object) -> None:
    before = listing(path.parent)
    with pytest.raises(InputError) as caught:
        read_patient(path, **arguments)
    text = str(caught.value)
    assert "\n" not in text
    for part in said:
        assert part in text, text
    assert listing(path.parent) == before


def test_a_car_feature_that_is_not_there(two) -> None:
    folder, one, other = two
    path = sheet(folder, one, other)
    refused(path, str(folder / "S1.h5"), "CAR feature 'CAR2' is not there", "nearest existing: CAR1", car="CAR2")
    refused(path, "CAR feature 'CD3D' is the human gene ENSG", car="CD3D")
    lacking = sample(folder, "S2", seed=7, table=features([]))
    refused(sheet(folder, one, lacking), str(folder / "S2.h5"), "write none in its column car", car=CAR)
    mdata = read_patient(sheet(folder, one, lacking | {"car": "none"}), car=CAR)
    assert access.feature_counts(mdata, [CAR]).assessed[:, 0].tolist() == [True] * 60 + [False] * 60


def test_cells_of_one_name_are_refused(tmp_path: Path) -> None:
    cells = barcodes(20)
    for name, spelled in (("A", [f"B_{c}" for c in cells]), ("A_B", cells)):
        anndata(counts(20), spelled, features()).write_h5ad(tmp_path / f"{name}.h5ad")
    rows = [{"patient": "P1", "sample": name, "gex": f"{name}.h5ad"} for name in ("A", "A_B")]
    refused(sheet(tmp_path, *rows), f"two cells would be called 'A_B_{cells[0]}'", "rename one of the samples")


def test_a_row_may_name_its_own_construct(two) -> None:
    folder, one, _ = two
    other = sample(folder, "S2", seed=7, table=features(["OTHER"]))
    mdata = read_patient(sheet(folder, one, other | {"car": "OTHER"}), car=CAR)
    assert mdata.uns["sclineage"]["car_features"].tolist() == [CAR, "OTHER"]


def test_a_car_name_that_two_features_bear(two) -> None:
    folder, _, _ = two
    table = features([CAR, "CD3D"])
    row = sample(folder, "S1", table=table)
    refused(sheet(folder, row), "'CD3D' is the name of 2 features", car="CD3D")


def test_viral_prefix_of_a_human_gene(two) -> None:
    folder, one, _ = two
    refused(sheet(folder, one), "also matches the human gene 'EBNA1BP2'", virus=["EBV=prefix:EBNA"])
    refused(sheet(folder, one), "no feature matches EBV=prefix:EBV_", virus=["EBV=prefix:EBV_"])


def test_tables_of_another_library(two) -> None:
    folder, one, _ = two
    write(folder / "far.csv", contigs(barcodes(50, seed=20)))
    refused(sheet(folder, one | {"vdj": "far.csv"}), str(folder / "far.csv"), str(folder / "S1.h5"),
            "0 of its 50 barcodes are among the 60 cells", "same sample")
    write(folder / "far.tsv", molecules(barcodes(50, seed=20)), sep="\t")
    refused(sheet(folder, one | {"molecules": "far.tsv"}), str(folder / "far.tsv"), "0 of its 37 barcodes")
    write(folder / "mostly.csv", contigs([*barcodes(50, seed=20), *barcodes(60)[:4]]))
    refused(sheet(folder, one | {"vdj": "mostly.csv"}), "4 of its 54 barcodes")


def test_duplicate_samples_and_barcodes(two) -> None:
    folder, one, other = two
    refused(sheet(folder, one, other | {"sample": "S1"}), "sample 'S1' is already on line 2")
    cells = barcodes(60)
    tenx_h5(folder / "S1.h5", counts(60), [*cells[:-1], cells[0]], features())
    refused(sheet(folder, one), str(folder / "S1.h5"), f"barcode '{cells[0]}' appears more than once")


@pytest.mark.parametrize(("matrix", "said"), [
    (lambda m: np.log1p(m / m.sum(axis=1, keepdims=True) * 1e4), "not whole numbers"),
    (lambda m: np.where(m == m.max(), -1.0, m), "negative values"),
    (lambda m: np.where(m == m.max(), np.nan, m), "NaN values"),
])
def test_values_that_are_no_counts(two, matrix, said: str) -> None:
    folder, one, _ = two
    tenx_h5(folder / "S1.h5", matrix(counts(60).astype(float)), barcodes(60), features())
    refused(sheet(folder, one), str(folder / "S1.h5"), said, "give the raw counts")


def test_another_species(two) -> None:
    folder, one, _ = two
    mouse = features().assign(id=[f"ENSMUSG{i:011d}" for i in range(13)])
    tenx_h5(folder / "S1.h5", counts(60), barcodes(60), mouse)
    refused(sheet(folder, one), str(folder / "S1.h5"), "0% of 13 gene ids are human", "human reference")


@pytest.mark.parametrize("column", ["gex", "vdj"])
def test_files_absent_empty_and_cut_off(two, column: str) -> None:
    folder, one, _ = two
    path = folder / str(one[column])
    whole = path.read_bytes()
    refused(sheet(folder, one | {column: "absent"}), "absent does not exist", "relative to the sheet")
    path.write_bytes(b"")
    refused(sheet(folder, one), str(path), "0 bytes", "copy or download it again")
    path.write_bytes(whole[: len(whole) - 40])
    refused(sheet(folder, one), str(path), "copy or download it again")


def test_columns_missing_or_misspelt(two) -> None:
    folder, one, _ = two
    refused(sheet(folder, one | {"molecule": "x"}), "unknown column 'molecule'", "nearest existing: molecules")
    del one["patient"]
    refused(sheet(folder, one), "column 'patient' is missing")


def test_molecules_alone_are_not_assessed(two) -> None:
    folder, one, _ = two
    write(folder / "mol.tsv", molecules(barcodes(60)), sep="\t")
    alone = {"patient": "P1", "sample": "S3", "molecules": "mol.tsv"}
    mdata = read_patient(sheet(folder, one, alone))
    assert mdata.n_obs == 60 and any("S3" in n and "not assessed" in n for n in mdata.uns["sclineage"]["notes"])
    refused(sheet(folder, alone), "no sample says which barcodes are cells")


def test_one_feature_from_two_tables(two) -> None:
    folder, one, _ = two
    write(folder / "a.tsv", molecules(barcodes(60)), sep="\t")
    write(folder / "b.tsv", molecules(barcodes(60)), sep="\t")
    refused(sheet(folder, one | {"molecules": "a.tsv,b.tsv"}), "feature '0' is also in", "NAME=path")
