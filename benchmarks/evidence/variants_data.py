"""Published genotypes per cell as patients: somatic sites in leukaemia and clonal haematopoiesis."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from scipy import sparse

from sclineage.patient.alleles import read_alleles

_MUTATION = re.compile(r"^([A-Z]+)(\d+)(\w+)$")


def patient(obs: pd.DataFrame, alt: np.ndarray, depth: np.ndarray, var: pd.DataFrame) -> md.MuData:
    """MuData of cells with allele counts; `obs` holds subset, population and, where known, clone_id."""
    alleles = ad.AnnData(sparse.csr_matrix(alt.astype(np.int64)), obs=pd.DataFrame(index=obs.index), var=var)
    alleles.layers["dp"] = sparse.csr_matrix(depth.astype(np.int64))
    data = md.MuData({"alleles": alleles})
    for column in obs.columns:
        data.obs[column] = obs[column].reindex(data.obs_names)
    return data


def _sites(rows: list[tuple[str, int, str, str, str]]) -> pd.DataFrame:
    """Sites named by gene and position in it where the source gives no genome position."""
    frame = pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt", "gene"])
    return frame.set_index(pd.Index([f"{c}:{p}:{r}:{a}" for c, p, r, a, _ in rows], dtype=object))


def mitoclone(folder: Path) -> md.MuData:
    """Patient P2: 1,066 sorted cells (Smart-seq2 plates), NPM1, DNMT3A and twenty mitochondrial sites."""
    source = folder / "somatic-variants-per-cell"
    mutant, reference = (pd.read_csv(source / f"mitoclone_P2_{x}.csv.gz", index_col=0) for x in "MN")
    keep = [c for c in mutant.columns if c in ("NPM1", "DNMT3A") or re.match(r"X\d+[ACGT]{2}$", c)]
    sites = []
    for c in keep:
        if c.startswith("X"):
            sites.append(("MT", int(c[1:-2]), c[-2], c[-1], ""))
        else:
            sites.append((c, 1, "R", "V", c))  # the source gives no position: reference and variant
    obs = pd.DataFrame({"patient": "P2", "sample": "P2", "population": "all",
                        "subset": [re.sub(r"\d*[A-H]\d+$", "", str(n)) for n in mutant.index]},
                       index=mutant.index.astype(str))
    alt = mutant[keep].to_numpy(np.int64)
    return patient(obs, alt, alt + reference.loc[mutant.index, keep].to_numpy(np.int64), _sites(sites))


def clonetracer(folder: Path) -> md.MuData:
    """Patient A.2: RNF130 in the cell types of one library; populations are the source's T cells and myeloid cells."""
    raw = json.loads(gzip.decompress((folder / "somatic-variants-per-cell" / "clonetracer_A.2.json.gz").read_bytes()))
    mutant, other = np.array(raw["M"], np.int64), np.array(raw["N"], np.int64)
    at = [j for j, kind in enumerate(raw["mut_type"]) if kind != 0]
    classes, types = (np.array(raw[f"{k}_names"])[np.array(raw[v], np.int64)]
                      for k, v in (("class", "class_assign"), ("celltype", "celltype")))
    obs = pd.DataFrame({"patient": "A.2", "sample": "A.2", "population": classes,
                        "subset": [FAMILY.get(t, t) for t in types]},
                       index=pd.Index([str(c) for c in raw["cell_barcode"]]))
    sites = [(str(raw["mut_names"][j]).split("_")[0], 1, "R", "V", str(raw["mut_names"][j])) for j in at]
    return patient(obs, mutant[:, at], mutant[:, at] + other[:, at], _sites(sites))


def sniffer(folder: Path, name: str) -> md.MuData:
    """One of the two leukaemias genotyped from 10x reads, through the package's reader of long tables."""
    found = read_alleles(folder / "somatic-variants-per-cell" / f"aml_{name}_cellcoverage.tsv.gz")
    obs = pd.DataFrame({"patient": name, "sample": [b.rsplit("-", 1)[-1] for b in found.barcodes], "population": "all"},
                       index=found.barcodes.astype(str))
    return patient(obs, found.ad.toarray(), found.dp.toarray(), found.sites)


def got(folder: Path) -> md.MuData:
    """BPDCN712: TET2 and ASXL1 in bone marrow; T cells and their clones by receptor, others by their cell type.

    Cells of one lane; clones are TRB nucleotides. A cell without receptor and cell type stays without a lineage.
    """
    source = folder / "ch-tet2-tcr-mito"
    counts = pd.read_csv(source / "got.tsv", sep="\t")
    listed = pd.read_csv(source / "barcodes.txt.gz", header=None)[0].astype(str).str.removesuffix("-1") + "-1"
    cells = sorted(set(listed) | set(counts["cell"]))
    names = sorted(set(counts["mutation"]))
    place = {c: i for i, c in enumerate(cells)}
    alt, depth = (np.zeros((len(cells), len(names)), np.int64) for _ in range(2))
    for row in counts.itertuples(index=False):
        at = place[row.cell], names.index(row.mutation)
        alt[at] += row.mutUMIs
        depth[at] += row.mutUMIs + row.wtUMIs
    sites = []
    for name in names:
        gene, change = name.split(".", 1)
        found = _MUTATION.match(change)
        assert found is not None, name
        sites.append((gene, int(found[2]), found[1], found[3].upper(), gene))
    return patient(_labels(source, cells), alt, depth, _sites(sites))


def _labels(source: Path, cells: list[str]) -> pd.DataFrame:
    tcr = pd.read_csv(source / "tcr.csv.gz", dtype=str)
    tcr = tcr[tcr["TCR_Recovery"] != "No Recovery"].assign(cell=lambda t: t["BC"] + "-1").drop_duplicates("cell")
    beta = tcr.set_index("cell")["TRB_CDR3nuc"].fillna("").reindex(cells)
    typed = pd.read_csv(source / "mito_positive_cells.tsv", sep="\t").drop_duplicates("cell").set_index("cell")
    typed = typed["CellType"].reindex(cells)
    t_like = beta.notna() | typed.isin(["CTL", "T"])
    lineage = np.where(t_like, "T", typed.map(FAMILY).fillna("").to_numpy())
    return pd.DataFrame({"patient": "BPDCN712", "sample": "lane2", "population": "all", "subset": lineage,
                         "clone_id": beta.fillna("").to_numpy(), "clone_status": "assigned"}, index=cells)


FAMILY = {"NK": "NK", "B": "B", "Plasma": "B", "EarlyE": "erythroid", "LateE": "erythroid", "cDC": "myeloid",
          "pDC": "myeloid", "Mono": "myeloid", "ncMono": "myeloid", "ProMono": "myeloid", "Prog": "stem",
          "HSC": "stem", "Cytotoxic Effectors": "T", "Memory/Naive T": "T", "B cells": "B", "Plasma cells": "B",
          "Monocytes": "myeloid", "HSC/MPP": "stem", "Lymphomyeloid precursors": "stem",
          "MEg/Ery precursors": "erythroid", "Aberrant": "aberrant", "Others": ""}
