"""Receptors of public data: spellings of four callers, and the key figures of `benchmarks.clones.real`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sclineage.clones.genes import compatible, normalise_genes
from sclineage.clones.normalise import chain_table

BULK = {"mixcr": "PT0310_mixcr.txt.gz", "trust4": "PT0310_trust4.tsv.gz",
        "immunoseq": "Pt310_baseline_immunoseq.tsv.gz"}


def bulk(public_data, name):
    frame = pd.read_csv(public_data / "bulk-tcr" / name, sep="\t", keep_default_na=False, low_memory=False)
    return frame.assign(cell=np.arange(len(frame)))


@pytest.fixture
def tables(public_data):
    return {caller: chain_table(bulk(public_data, name)) for caller, name in BULK.items()}


def test_every_row_of_every_caller_is_read(tables, public_data):
    """MiXCR and TRUST4 rows all hold a junction; of immunoSEQ those with an amino-acid CDR3, but for two."""
    raw = {caller: bulk(public_data, name) for caller, name in BULK.items()}
    assert len(tables["mixcr"]) == len(raw["mixcr"]) == 1024
    assert len(tables["trust4"]) == len(raw["trust4"]) == 1868
    stated = raw["immunoseq"]["amino_acid"] != "na"
    assert stated.sum() - 2 == len(tables["immunoseq"]) == 3789
    assert tables["mixcr"]["reads"].sum() == 5972
    assert tables["immunoseq"]["locus"].eq("TRB").all()


def test_every_stated_gene_has_its_imgt_name(public_data):
    calls = {"mixcr": ("allVHitsWithScore", "allJHitsWithScore"), "trust4": ("V", "J"),
             "immunoseq": ("v_resolved", "j_resolved")}
    for caller, columns in calls.items():
        frame = bulk(public_data, BULK[caller])
        for column in columns:
            genes = normalise_genes(frame[column])
            stated = ~frame[column].isin(["", "*", ".", "unresolved", "na"]).to_numpy()
            assert (genes[stated] != "").all()
            each = pd.Series(genes[stated]).str.split(",").explode()
            assert each.str.fullmatch(r"(TR|IG)[ABGDHKL][VJ][0-9PA].*").all()


@pytest.mark.parametrize(("first", "second", "shared", "v_share"), [
    ("mixcr", "trust4", 354, 0.94), ("mixcr", "immunoseq", 64, 0.9), ("trust4", "immunoseq", 74, 0.9)])
def test_one_junction_has_one_spelling_of_its_genes(tables, first, second, shared, v_share):
    """Callers that saw the same junction in the same patient name the same J gene, and V genes that may be one."""
    parts = [tables[c].astype(object).query("locus in ('TRA', 'TRB')").drop_duplicates(["locus", "junction"])
             for c in (first, second)]
    both = parts[0].merge(parts[1], on=["locus", "junction"])
    assert len(both) == shared
    assert (both["j_gene_x"] == both["j_gene_y"]).all()
    fits = [compatible(a, b) for a, b in zip(both["v_gene_x"], both["v_gene_y"], strict=True)]
    assert np.mean(fits) >= v_share


def test_immunoseq_junctions_translate_to_the_stated_amino_acids(tables):
    from sclineage.clones.codons import translate

    rows = tables["immunoseq"].query("productive")
    assert len(rows) > 3600
    assert all(j.startswith(("TG", "CG", "TA")) for j in rows["junction"].head(50))
    known = rows[rows["junction_aa"] != ""]
    assert [translate(j) for j in known["junction"]] == known["junction_aa"].tolist()


def quiet(_: str) -> None:
    """Say nothing."""


def test_published_larry_clones_are_recovered(public_data):
    """The table exactly; with noise planted on its clone sizes, more cells than LARRY's and CellTag's rules."""
    from benchmarks.clones.real import larry

    rows = {(r["input"].split(",")[0], r["rule"]): r for r in larry(public_data, quiet)}
    plain = rows["table as published", "sclineage"]
    assert (plain["precision"], plain["recall"], plain["clones"]) == (1.0, 1.0, 339.0)
    ours, larrys, celltags = (rows["noise", r] for r in ("sclineage", "LARRY", "CellTag"))
    assert ours["precision"] >= 0.98
    assert ours["recall"] >= max(larrys["recall"], celltags["recall"]) + 0.15
    assert ours["cells"] >= 0.83


def test_tcr_clones_share_their_mitochondria_beyond_chance(public_data):
    """Scored on the cells with both; the interval excludes chance, for scirpy's clones as for ours."""
    from benchmarks.clones.real import mitochondria

    rows = {r["clones"]: r for r in mitochondria(public_data, quiet)}
    ours = rows["sclineage"]
    assert ours["cells with both"] == 928
    assert ours["cells"] >= 780
    assert ours["expected"] < 0.15
    assert ours["observed"] > 0.6
    assert ours["low"] > 0.4
    assert ours["p"] < 0.001
    peer = rows["scirpy VDJ/primary_only"]
    assert ours["beyond chance"] >= peer["beyond chance"] - 0.02
    assert ours["pairs"] > peer["pairs"]


def test_public_pbmc_beside_cell_ranger(public_data):
    """Nearly all cells keep Cell Ranger's clonotype; every other cell is in a category that says why."""
    from benchmarks.clones.real import called, contigs
    from benchmarks.clones.real_compare import categories

    path = public_data / "tcr-10x-public" / "pbmc3_t_filtered_contig_annotations.csv.gz"
    cells, records = called({"pbmc3": contigs(path)})
    counts = categories(cells, records, "clone_id")
    assert sum(counts.values()) == len(cells)
    assert counts["same"] >= 0.85 * len(cells)
    assert counts["split"] + counts["joined: other beta"] <= 0.01 * len(cells)
