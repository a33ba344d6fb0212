"""Chain tables: one spelling, wildcards, anchors; and the same clones whatever the caller wrote."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sclineage._errors import InputError
from sclineage.clones.chains import identify
from sclineage.clones.normalise import CHAINS, chain_table, core
from sclineage.clones.patient import patient_clones

from .builders import background, junction, records, run


def rows(**columns):
    n = max(len(v) for v in columns.values() if isinstance(v, list))
    return pd.DataFrame({"cell": range(n)} | columns)


def test_formats_give_one_table():
    j = junction("b1")
    airr = rows(locus=["TRB"], junction=[j], junction_aa=["CASSF"], v_call=["TRBV6-5*01"], j_call=["TRBJ2-7*01"],
                c_call=["TRBC2"], umi_count=[5], consensus_count=[900], productive=["T"])
    tenx = rows(chain=["TRB"], cdr3_nt=[j], cdr3=["CASSF"], v_gene=["TRBV6-5"], j_gene=["TRBJ2-7"], c_gene=["TRBC2"],
                umis=[5], reads=[900], productive=["True"])
    mixcr = rows(nSeqCDR3=[j.lower()], aaSeqCDR3=["CASSF"], allVHitsWithScore=["TRBV6-5*00(123)"],
                 allJHitsWithScore=["TRBJ2-7*00(99)"], allCHitsWithScore=["TRBC2*00(50)"], uniqueMoleculeCount=[5],
                 readCount=[900])
    trust4 = rows(CDR3nt=[j], CDR3aa=["CASSF"], V=["TRBV6-5*01"], J=["TRBJ2-7*01"], C=["TRBC2"])
    expected = chain_table(airr)
    assert tuple(expected.columns) == CHAINS
    assert expected.loc[0, ["locus", "junction", "v_gene", "umis", "reads"]].tolist() == ["TRB", j, "TRBV6-5", 5, 900]
    assert expected["productive"].tolist() == [True]
    names = ["locus", "junction", "v_gene", "j_gene", "c_gene", "umis", "reads", "productive"]
    for other in (tenx, mixcr):
        pd.testing.assert_frame_equal(chain_table(other)[names], expected[names], check_dtype=False)
    assert chain_table(trust4)[["umis", "reads"]].to_numpy().tolist() == [[0, 0]], "unknown, not one"


def test_productive_words():
    table = chain_table(rows(locus=["TRB"] * 6, junction=[junction("b1")] * 6,
                             productive=[True, False, None, "F", "true", "T"]))
    assert table["productive"].tolist() == [True, False, True, False, True, True]


def test_texts_are_handed_over_as_codes():
    table = chain_table(rows(locus=["TRB", "TRB"], junction=[junction("b1"), "x"], v_call=["TRBV1"] * 2))
    texts = [c for c in CHAINS if isinstance(table[c].dtype, pd.CategoricalDtype)]
    assert texts == ["locus", "junction", "junction_aa", "v_gene", "j_gene", "c_gene"]
    assert table["junction"].cat.categories.tolist() == [junction("b1")], "no category without a row"
    frame = records(["b1 a1"] * 3 + background(5))
    table, sample = chain_table(frame), np.zeros(8, np.int64)
    found = [patient_clones(x, patient="P", sample=sample, n_samples=1)
             for x in (table, table.astype(dict.fromkeys(texts, object)))]
    pd.testing.assert_frame_equal(found[0].cells, found[1].cells)
    pd.testing.assert_frame_equal(found[0].receptors, found[1].receptors)


def test_rows_without_use_are_left_out():
    table = chain_table(rows(locus=["TRB", "Multi", "TRB", "TRB"], junction=[junction("b1"), junction("b2"), None, ""],
                             v_call=["TRBV1"] * 4))
    assert table["cell"].tolist() == [0]


def test_amino_acids_alone_are_refused():
    with pytest.raises(InputError, match="amino acids alone"):
        chain_table(rows(locus=["TRB"], junction_aa=["CASSF"]))
    with pytest.raises(InputError, match="amino acids alone"):  # an amino-acid cdr3 is no junction
        chain_table(rows(locus=["TRB"], cdr3=["CASSLGQAYEQYF"]))


@pytest.mark.parametrize(("columns", "found"), [
    ({"locus": "TRB", "junction": "CASSLGQETQYF"}, "'CASSLGQETQYF'"),
    ({"locus": "T cell", "junction": "TGTGCCAGCAGC"}, "'TCELL'"),
    ({"junction": "TGTGCCAGCAGC"}, "no column that tells the locus")])
def test_chains_that_cannot_be_used_are_an_error_and_no_missing_receptor(columns, found):
    with pytest.raises(InputError, match=found):
        chain_table(pd.DataFrame({"cell": [0, 1], **columns}))


@pytest.mark.parametrize(("columns", "kept"), [({"locus": "IGH", "junction": "TGTGCCAGCAGC"}, 2),
                                               ({"locus": "TRB", "junction": None}, 0)])
def test_b_cells_stay_and_chains_without_a_junction_are_left_out(columns, kept):
    assert len(chain_table(pd.DataFrame({"cell": [0, 1], **columns}))) == kept


def test_core():
    assert core("TGTAAACCCGGGTTC") == "AAACCCGGG"
    assert core("TGCAAACCCGGGTGG") == "AAACCCGGG"
    assert core("AAACCCGGG") == "AAACCCGGG"


def test_wildcards_become_the_one_chain_they_can_mean():
    j = junction("b1")
    n = j[:20] + "N" + j[21:]
    other = j[:20] + ("A" if j[20] != "A" else "C") + j[21:]
    genes = {"locus": "TRB", "j_call": "TRBJ2-7", "v_call": "TRBV6-5"}
    chain, _ = identify(chain_table(rows(junction=[j, n]).assign(**genes)))
    assert chain.tolist() == [0, 0]
    chain, _ = identify(chain_table(rows(junction=[j, n, other]).assign(**genes)))
    assert chain[1] == -1, "two chains fit: the wildcard names none"
    chain, _ = identify(chain_table(rows(junction=[n, n]).assign(**genes)))
    assert chain.tolist() == [-1, -1], "two wildcards are not equal by their letters"
    chain, _ = identify(chain_table(rows(junction=[j, "N" * len(j)]).assign(**genes)))
    assert chain.tolist() == [0, -1]


def test_open_gene_calls_are_resolved():
    j = [junction("b1")] * 4
    table = chain_table(rows(junction=j, locus=["TRB"] * 4, j_call=["TRBJ2-7"] * 4,
                             v_call=["TRBV6-5*01", "TCRBV06", "TRBV6-5*00(9),TRBV6-6*00(9)", "TRBV7-2"]))
    chain, chains = identify(table)
    assert chain[0] == chain[1] == chain[2] != chain[3]
    assert chains.column("v_gene").tolist() == ["TRBV6-5", "TRBV7-2"]


def test_alleles_and_callers_make_one_clone():
    frame = records(["b1 a1"] * 5 + background(5))
    spellings = ["TRBV6-5", "TRBV6-5*01", "TRBV6-5*02", "TCRBV06-05", "TRBV6-5*00(412)"]
    for cell, v in enumerate(spellings):
        frame.loc[(frame["cell"] == cell) & (frame["locus"] == "TRB"), "v_call"] = v
    found = run([""] * 10, frame=frame)
    assert found.cells["clone_id"][:5].drop_duplicates().size == 1


def test_case_wildcard_and_anchors_make_one_clone_and_one_id():
    j = junction("b1")
    frame = records(["b1 a1"] * 5 + background(5))
    spellings = [j, j.lower(), j[:20] + "N" + j[21:], j[3:-3], j]
    for cell, text in enumerate(spellings):
        frame.loc[(frame["cell"] == cell) & (frame["locus"] == "TRB"), "junction"] = text
    found = run([""] * 10, frame=frame)
    assert found.cells["clone_id"][:5].drop_duplicates().size == 1
    plain = run(["b1 a1"] * 5 + background(5))
    assert found.cells["clone_id"][0] == plain.cells["clone_id"][0]
    assert found.receptors.set_index("clone_id").loc[found.cells["clone_id"][0], "trb_junction"] == j
    frame["junction"] = frame["junction"].str.upper().str[3:-3]
    without = run([""] * 10, frame=frame[frame["cell"] > 2].assign(cell=frame["cell"] - 3))
    assert set(without.cells["clone_id"][2:7]) == set(plain.cells["clone_id"][5:])


def test_non_productive_chains_make_no_clone():
    frame = records(["b1 a1"] * 3)
    frame["productive"] = frame["locus"] != "TRB"
    found = run([""] * 3, frame=frame)
    assert found.receptors.empty
    assert not found.cells["has_trb"].any()


def test_empty_table():
    chain, chains = identify(chain_table(pd.DataFrame({"cell": np.zeros(0, int)})))
    assert chain.size == 0
    assert len(chains) == 0
