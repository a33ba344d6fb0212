"""sl.tl.copy_number and gene positions: windows, reference categories, refusals."""

from __future__ import annotations

import gzip
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sclineage import pp, tl
from sclineage._errors import InputError
from sclineage.malignancy import genome
from tests.oracles import copynumber as oracle


def cells(n: int = 12, genes: int = 90) -> ad.AnnData:
    rng = np.random.default_rng(3)
    x = np.log1p(rng.poisson(0.7, (n, genes)) * rng.uniform(1, 3, (n, 1))).astype(np.float32)
    chromosome = np.array(["chr10"] * 25 + ["chr2"] * 40 + ["chrX"] * 15 + ["chrM"] * 5 + ["KI270.1"] * 5, dtype=object)
    chromosome[::11] = None
    var = pd.DataFrame({"chromosome": chromosome, "start": rng.permutation(genes) * 10}, index=[f"g{i}" for i in
                                                                                             range(genes)])
    var["end"] = var["start"] + 5
    obs = pd.DataFrame({"kind": ["a"] * 4 + ["b"] * 3 + ["t"] * (n - 7)}, index=[f"c{i}" for i in range(n)])
    return ad.AnnData(sparse.csr_matrix(x), obs=obs, var=var)


def in_order(adata: ad.AnnData, name: str) -> np.ndarray:
    here = np.flatnonzero((adata.var["chromosome"] == name).to_numpy())
    return here[np.argsort(adata.var["start"].to_numpy()[here])]


@pytest.mark.parametrize(("noise", "rows"), [("global", None), ("chunk:5", 5)])
def test_equals_the_oracle(noise: str, rows: int | None) -> None:
    adata = cells()
    tl.copy_number(adata, reference_key="kind", reference_cat=["a", "b"], window_size=10, step=3, noise=noise,
                   device="cpu")
    x = adata.X.toarray()
    groups = adata.obs["kind"].map({"a": 0, "b": 1, "t": -1}).to_numpy(int)
    chromosomes = [in_order(adata, "chr2"), in_order(adata, "chr10")]
    expected = oracle.profile(x, *oracle.bounds(x, groups, 2), chromosomes, window=10, step=3, noise_rows=rows)
    assert np.array_equal(adata.obsm["X_cnv"].toarray(), expected)
    assert adata.uns["cnv"]["chr_pos"] == {"chr2": 0, "chr10": len(oracle.weights(chromosomes[0].size, 10, 3))}


def test_one_category_dense_layer_and_key() -> None:
    adata, dense = cells(), cells()
    tl.copy_number(adata, reference_key="kind", reference_cat="a", window_size=10, device="cpu")
    dense.layers["log"] = dense.X.toarray().astype(np.float64)
    dense.X = sparse.csr_matrix(dense.shape, dtype=np.float32)
    tl.copy_number(dense, reference_key="kind", reference_cat=["a"], window_size=10, layer="log", key_added="cn",
                   device="cpu")
    assert (adata.obsm["X_cnv"] != dense.obsm["X_cn"]).nnz == 0
    assert adata.uns["cnv"] == dense.uns["cn"]


def test_order_of_cells_and_genes_does_not_matter() -> None:
    adata = cells()
    rng = np.random.default_rng(4)
    rows, columns = rng.permutation(adata.n_obs), rng.permutation(adata.n_vars)
    other = adata[rows][:, columns].copy()
    for one in (adata, other):
        tl.copy_number(one, reference_key="kind", reference_cat=["a", "b"], window_size=10, step=3, device="cpu")
    assert (adata.obsm["X_cnv"][rows] != other.obsm["X_cnv"]).nnz == 0


def _counts(adata: ad.AnnData) -> None:
    adata.X = adata.X.ceil()


def _no_start(adata: ad.AnnData) -> None:
    del adata.var["start"]


def _nan(adata: ad.AnnData) -> None:
    adata.X.data[0] = np.nan


@pytest.mark.parametrize(("change", "more", "words"), [
    (_counts, {}, "raw counts"), (_nan, {}, "not finite"),
    (None, {"reference_key": "kinds"}, "nearest existing: kind"), (None, {"reference_cat": "A"}, "no cell is 'A'"),
    (None, {"reference_cat": []}, "no category"), (None, {"noise": "chunk:0"}, "found 'chunk:0'"),
    (None, {"noise": "local"}, "found 'local'"), (None, {"layer": "log"}, "no layer"), (None, {"step": 0}, "step"),
    (None, {"exclude_chromosomes": ("chr2", "chr10", "chrX")}, "no gene lies"),
    (_no_start, {}, "gene_positions"),
])
def test_refusals(change: object, more: dict, words: str) -> None:
    adata = cells()
    if change is not None:
        change(adata)  # type: ignore[operator]
    with pytest.raises(InputError, match=words):
        tl.copy_number(adata, **{"reference_key": "kind", "reference_cat": "a", "window_size": 10, "device": "cpu"}
                       | more)
    assert "X_cnv" not in adata.obsm


KNOWN = {"TP53": ("ENSG00000141510", "chr17", "17p"), "CD7": ("ENSG00000173762", "chr17", "17q"),
         "MYC": ("ENSG00000136997", "chr8", "8q"), "CDKN2A": ("ENSG00000147889", "chr9", "9p"),
         "PTPRC": ("ENSG00000081237", "chr1", "1q"), "XIST": ("ENSG00000229807", "chrX", "Xq")}


def genes(ids: list[str]) -> ad.AnnData:
    return ad.AnnData(sparse.csr_matrix((1, len(ids)), dtype=np.float32),
                      var=pd.DataFrame({"gene_ids": ids}, index=[f"s{i}" for i in range(len(ids))]))


def test_positions_and_arms_of_known_genes() -> None:
    adata = genes([v[0] + ".12" for v in KNOWN.values()] + ["CAR"])
    pp.gene_positions(adata)
    assert adata.var["chromosome"].tolist()[:-1] == [v[1] for v in KNOWN.values()]
    assert adata.var["arm"].tolist() == [v[2] for v in KNOWN.values()] + [""]
    assert adata.var["chromosome"].isna().tolist() == [False] * len(KNOWN) + [True]


def test_other_species_and_symbols_are_refused() -> None:
    with pytest.raises(InputError, match="not human"):
        pp.gene_positions(genes(["ENSMUSG00000059552", "ENSMUSG00000022346"]))
    with pytest.raises(InputError, match="0% of 2 genes"):
        pp.gene_positions(genes(["TP53", "MYC"]))


def test_gtf_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "x.gtf.gz"
    with gzip.open(path, "wt") as handle:
        handle.write('#!x\n17\te\tgene\t100\t900\t.\t-\t.\tgene_id "ENSG00000141510.5"; gene_name "TP53";\n'
                     '17\te\texon\t100\t200\t.\t-\t.\tgene_id "ENSG00000141510.5";\n')
    adata = genes([KNOWN["TP53"][0]])
    pp.gene_positions(adata, gtf=path)
    assert adata.var[["chromosome", "start", "end", "arm"]].iloc[0].tolist() == ["chr17", 100, 900, "17p"]
    path.write_bytes(gzip.compress(b"17\te\tgene\tx\t900\t.\t-\t.\tgene_id \"A\";\n"))
    with pytest.raises(InputError, match="line 1"):
        genome.read_gtf(path)
    path.write_bytes(gzip.compress(b"17\te\texon\t1\t900\t.\t-\t.\tgene_id \"A\";\n"))
    with pytest.raises(InputError, match="no line with feature 'gene'"):
        genome.read_gtf(path)


@pytest.mark.real
def test_the_shipped_table_is_that_of_its_source(public_data: Path) -> None:
    source = pd.read_csv(public_data / "human-reference-small" / "grch38_gene_order.tsv.gz", sep="\t",
                         dtype={"chr": str}).drop_duplicates("ensgene").set_index("ensgene")
    ours = genome.shipped()
    same = source.loc[ours.index]
    assert ours.index.is_unique and len(ours) > 39_000
    assert (ours["start"] == same["start"]).all() and (ours["end"] == same["end"]).all()
    assert (ours["chromosome"] == "chr" + same["chr"]).all()
    bound = same["chr"].map({c[3:]: m * 1e6 for c, m in genome.CENTROMERES.items()})
    coding = (same["biotype"] == "protein_coding").to_numpy()
    assert not (coding & (same["start"] < bound).to_numpy() & (same["end"] > bound).to_numpy()).any()
