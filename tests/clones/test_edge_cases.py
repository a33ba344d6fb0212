"""Every hard case of lineage by receptor, each as a repertoire small enough to check by eye."""

from __future__ import annotations

import numpy as np
import pytest

from .builders import background, junction, records, run


def ids(found, rows):
    return found.cells["clone_id"].to_numpy()[list(rows)]


def statuses(found, rows):
    return found.cells["clone_status"].tolist() if rows is None else found.cells["clone_status"].to_numpy()[list(rows)]


def one_clone(found, rows):
    named = set(ids(found, rows))
    return len(named) == 1 and "" not in named


def test_doublet_is_no_bridge():
    found = run(["b1 a1"] * 3 + ["b2 a2"] * 3 + ["b1 a1 b2 a2"] + background(20))
    assert one_clone(found, range(3))
    assert one_clone(found, range(3, 6))
    assert ids(found, [0])[0] != ids(found, [3])[0]
    cell = found.cells.iloc[6]
    assert cell["clone_status"] == "doublet"
    assert {cell["clone_id"], cell["clone_id_2"]} == {ids(found, [0])[0], ids(found, [3])[0]}
    sizes = found.receptors.set_index("clone_id")["n_cells"]
    assert sizes[ids(found, [0])[0]] == 3, "a doublet is not counted"


def test_doublet_bridge_alone():
    """Without any other cell around."""
    found = run(["b1 a1"] * 3 + ["b2 a2"] * 3 + ["b1 a1 b2 a2"])
    assert len({*ids(found, [0, 1, 2])}) == 1
    assert ids(found, [0])[0] != ids(found, [3])[0]
    assert statuses(found, [6])[0] == "doublet"


def test_doublet_of_two_clones_seen_nowhere_else():
    found = run([*background(50), "b1 a1 b2 a2"])
    cell = found.cells.iloc[-1]
    assert cell["clone_status"] == "doublet"
    assert cell["clone_id"] and cell["clone_id_2"]
    assert cell["clone_id"] != cell["clone_id_2"]


def test_large_clone_with_ambient_everywhere_stays_pure():
    """Half of the cells are one clone; its chains float into a tenth of all others."""
    mine = ["b1:10 a1:6"] * 100
    others = [f"b{i} a{i}" + (" a1:1" if i % 10 == 0 else " b1:1" if i % 10 == 5 else "") for i in range(1000, 1100)]
    found = run(mine + others)
    assert one_clone(found, range(100))
    members = found.cells["clone_id"] == ids(found, [0])[0]
    assert not members[100:].any()
    touched = [100 + i for i in range(100) if i % 5 == 0]
    assert (statuses(found, touched) == "ambient_cleaned").mean() > 0.8
    tra = found.receptors.set_index("clone_id").loc[ids(found, range(100, 200))[ids(found, range(100, 200)) != ""],
                                                     "tra_junction"]
    assert not tra.str.contains(junction("a1")).any(), "the ambient alpha is no partner of other clones"


def test_dual_alpha_with_rank_swap():
    found = run(["b1 a1:9 a2:3"] * 3 + ["b1 a1:3 a2:9"] * 3 + ["b1 a1"] * 2 + ["b1 a2"] * 2 + background(10))
    assert one_clone(found, range(10))
    row = found.receptors.set_index("clone_id").loc[ids(found, [0])[0]]
    assert set(row["tra_junction"].split(";")) == {junction("a1"), junction("a2")}


def test_beta_only_and_alpha_only_cells_join_their_clone():
    found = run(["b1 a1"] * 3 + ["b1"] * 2 + ["a1"] * 2 + background(20))
    assert one_clone(found, range(7))
    assert statuses(found, range(5)).tolist() == ["assigned"] * 5
    assert statuses(found, [5, 6]).tolist() == ["attached_dropout"] * 2
    row = found.receptors.set_index("clone_id").loc[ids(found, [0])[0]]
    assert (row["n_cells"], row["n_paired"]) == (7, 3)


def test_alpha_only_cell_of_two_clones_is_ambiguous():
    found = run(["b1 a1"] * 4 + ["b2 a1"] * 4 + ["a1"] + background(20))
    cell = found.cells.iloc[8]
    assert cell["clone_status"] == "ambiguous"
    assert cell["clone_id"] == ""
    assert cell["clone_id_2"] in set(ids(found, [0, 4]))
    assert cell["clone_posterior"] < 0.95


def test_alpha_only_cell_without_clone_is_not_forced():
    found = run(["b1 a1"] * 3 + ["a9"] + background(10))
    cell = found.cells.iloc[3]
    assert (cell["clone_id"], cell["clone_id_2"], cell["clone_status"]) == ("", "", "ambiguous")
    assert np.isnan(cell["clone_posterior"])


def test_cell_without_receptor():
    found = run(["b1 a1", ""])
    cell = found.cells.iloc[1]
    assert (cell["clone_id"], cell["clone_status"], cell["clone_id_2"]) == ("", "no_receptor", "")
    assert np.isnan(cell["clone_posterior"])
    assert not cell["has_trb"]


@pytest.mark.parametrize("name", ["mait", "inkt"])
def test_invariant_alpha_never_attaches(name):
    found = run([f"b{i} {name}" for i in range(5)] + [f"b9 {name}"] * 6 + [name] * 3 + background(20))
    assert len(set(ids(found, range(5)))) == 5
    assert one_clone(found, range(5, 11))
    assert (ids(found, range(11, 14)) == "").all()
    assert not (statuses(found, range(11, 14)) == "attached_dropout").any()


def test_fixed_beta_animal_is_not_one_clone():
    """All cells share the transgenic beta; their alphas tell the clones."""
    cells = [f"b1 a{i}" for i in range(60)] + ["b1 a500"] * 8 + ["b1"] * 3
    found = run(cells)
    assert one_clone(found, range(60, 68))
    assert not (ids(found, range(60)) == ids(found, [60])[0]).any()
    assert len(set(ids(found, range(60))) - {""}) > 50
    assert (ids(found, range(68, 71)) == "").all(), "a beta that says nothing names no clone"


def test_convergent_beta_makes_two_clones():
    found = run(["b1 a1"] * 5 + ["b1 a2"] * 5 + background(30))
    assert one_clone(found, range(5))
    assert one_clone(found, range(5, 10))
    first, second = ids(found, [0])[0], ids(found, [5])[0]
    assert first != second
    assert first.split("-")[0] == second.split("-")[0]
    assert "-" in first and "-" in second


def test_two_productive_betas_of_one_clone():
    found = run(["b1 b2 a1"] * 4 + ["b1 a1", "b2 a1", "b2"] + background(30))
    assert one_clone(found, range(7))
    assert not (found.cells["clone_status"][:7] == "doublet").any()
    aliases = found.aliases[found.aliases["reason"] == "second_anchor"]
    assert aliases["clone_id"].tolist() == [ids(found, [0])[0]]


def test_two_betas_together_twice_are_doublets():
    found = run(["b1 a1"] * 6 + ["b2 a2"] * 6 + ["b1 b2 a1 a2"] * 2 + background(60))
    assert (statuses(found, [12, 13]) == "doublet").all()
    assert ids(found, [0])[0] != ids(found, [6])[0]


def test_malignant_cells_that_lost_the_alpha():
    found = run(["b1 a1"] * 5 + ["b1:12"] * 15 + background(20))
    assert one_clone(found, range(20))
    assert (statuses(found, range(20)) == "assigned").all()


def test_malignant_cells_that_lost_the_beta():
    found = run(["b1 a1:12"] * 5 + ["a1:12"] * 15 + background(40))
    assert one_clone(found, range(5))
    assert (ids(found, range(5, 20)) == ids(found, [0])[0]).all()
    assert (statuses(found, range(5, 20)) == "attached_dropout").all()


def test_oligoclonal_product():
    """Four clones hold the whole product; doublets between them are common and are not members."""
    cells = [f"b{k} a{k}" for k in range(4) for _ in range(50)]
    pairs = [f"b{k} a{k} b{(k + 1) % 4} a{(k + 1) % 4}" for k in range(4) for _ in range(2)]
    found = run(cells + pairs)
    for k in range(4):
        assert one_clone(found, range(50 * k, 50 * k + 50))
    assert len(set(ids(found, range(200)))) == 4
    assert (statuses(found, range(200, 208)) == "doublet").all()


def test_engineered_cells_with_the_beta_of_the_malignant_clone_are_of_that_clone():
    """Lineage and CAR are two questions: the receptor says one clone."""
    found = run(["b1 a1"] * 10 + ["b1 a1"] * 3 + background(10), samples=[0] * 10 + [1] * 3 + [1] * 10)
    assert one_clone(found, range(13))


def test_gamma_delta_cells_are_no_alpha_beta_clones():
    found = run(["g1 d1"] * 5 + ["b1 a1"] * 3 + ["a1 d1", "a7 d2"] + background(10))
    assert (statuses(found, range(5)) == "no_receptor").all()
    assert (found.cells["receptor_kind"][:5] == "gamma_delta").all()
    assert not found.cells["has_trb"][:5].any()
    assert one_clone(found, range(5, 8))


def test_ambient_beta_in_a_cell_of_its_own():
    found = run(["b1:12 a1:8"] * 60 + ["b2:9 a2:7 b1:1"] + background(60))
    cell = found.cells.iloc[60]
    assert cell["clone_status"] == "ambient_cleaned"
    assert cell["clone_id"] == found.receptors.set_index("trb_junction").loc[junction("b2"), "clone_id"]


def test_clone_of_one_cell():
    found = run(["b1 a1", *background(5)])
    assert statuses(found, None) == ["assigned"] * 6
    assert (found.receptors["n_cells"] == 1).all()


def test_one_cell_alone():
    found = run(["b1 a1"])
    cell = found.cells.iloc[0]
    assert cell["clone_status"] == "assigned"
    assert cell["clone_posterior"] >= 0.95
    assert found.receptors["n_cells"].tolist() == [1]


def test_no_cell_and_no_chain():
    found = run([])
    assert found.cells.empty
    assert found.receptors.empty
    found = run(["", ""])
    assert statuses(found, None) == ["no_receptor"] * 2
    assert found.receptors.empty
    assert found.rates["n_cells"].tolist() == [2]


def test_sample_without_any_receptor():
    found = run(["b1 a1"] * 3 + [""] * 3, samples=[0, 0, 0, 1, 1, 1])
    assert found.rates["n_with_trb"].tolist() == [3, 0]
    assert np.isfinite(found.rates["capture_trb"]).all()


def test_many_identical_cells():
    found = run(["b1 a1"] * 3000)
    assert one_clone(found, range(3000))


def test_very_long_junction():
    frame = records(["b1 a1"] * 3)
    long = "TGT" + "GCTAGCGGACAG" * 40 + "TTC"
    frame.loc[frame["locus"] == "TRB", "junction"] = long
    found = run([""] * 3, frame=frame)
    assert one_clone(found, range(3))
    assert found.receptors["trb_junction"].tolist() == [long]


def test_sequencing_error_is_not_a_clone():
    frame = records(["b1:30 a1"] * 5 + ["b1:1 a1"] + background(10))
    row = frame.index[(frame["cell"] == 5) & (frame["locus"] == "TRB")][0]
    wrong = junction("b1")[:20] + ("A" if junction("b1")[20] != "A" else "C") + junction("b1")[21:]
    frame.loc[row, "junction"] = wrong
    found = run([""] * 16, frame=frame)
    assert one_clone(found, range(6))
    assert found.corrected["child"].tolist() == [wrong]
    assert found.corrected["parent"].tolist() == [junction("b1")]


def test_neighbour_with_umis_of_its_own_is_a_clone():
    frame = records(["b1:30 a1"] * 5 + ["b1:9 a2"] * 3 + background(10))
    rows = frame["cell"].isin([5, 6, 7]) & (frame["locus"] == "TRB")
    near = junction("b1")[:20] + ("A" if junction("b1")[20] != "A" else "C") + junction("b1")[21:]
    frame.loc[rows, "junction"] = near
    found = run([""] * 18, frame=frame)
    assert one_clone(found, range(5))
    assert one_clone(found, range(5, 8))
    assert ids(found, [0])[0] != ids(found, [5])[0]
    assert found.corrected.empty


def test_unknown_umis():
    frame = records(["b1 a1"] * 4 + ["b1", "a1"] + ["b1 a1 b2 a2"] + ["b2 a2"] * 3 + background(20))
    found = run([""] * 30, frame=frame.drop(columns=["umi_count", "consensus_count"]))
    assert one_clone(found, range(5))
    assert one_clone(found, range(7, 10))
    assert ids(found, [6])[0] == "" or statuses(found, [6])[0] == "doublet"


def test_t_cell_with_b_cell_chains_is_a_doublet():
    found = run(["b1 a1"] * 5 + ["b1 a1 h1 k1", "b1 a1 k9:1"] + ["h1 k1"] * 10 + background(60))
    cell = found.cells.iloc[5]
    assert (cell["clone_status"], cell["clone_id"], cell["clone_id_2"]) == ("doublet", ids(found, [0])[0], "")
    assert found.cells["receptor_kind"][5] == "alpha_beta+B_cell"
    assert statuses(found, [6])[0] == "assigned", "one ambient light chain is no B cell"
    assert (statuses(found, range(7, 17)) == "no_receptor").all()
    assert found.receptors.set_index("clone_id")["n_cells"][cell["clone_id"]] == 6


def test_alpha_beside_delta():
    """A TRA and a TRD rearrangement in one cell: the alpha leads to its clone, the delta to none."""
    found = run(["b1 a1:8"] * 6 + ["b1 a1 d1", "a1:12 d1", "a7 d2"] + background(40))
    assert one_clone(found, range(8))
    assert statuses(found, [6, 7, 8]).tolist() == ["assigned", "attached_dropout", "ambiguous"]
    assert found.cells["receptor_kind"][7] == "alpha_beta+gamma_delta"
    assert not (found.receptors["trb_junction"] == junction("d1")).any()


def test_samples_in_another_order_are_the_same_clones():
    """Time points as they come: numbering the samples otherwise changes nothing."""
    cells = ["b1 a1"] * 6 + ["b1", "a1", "b2 a2", "b1 a1 b2 a2"] + ["b2 a2"] * 4 + background(21)
    samples = np.arange(len(cells)) % 3
    first, second = run(cells, samples=samples), run(cells, samples=np.array([2, 0, 1])[samples])
    assert first.cells["clone_id"].tolist() == second.cells["clone_id"].tolist()
    assert first.cells["clone_status"].tolist() == second.cells["clone_status"].tolist()
    np.testing.assert_allclose(first.cells["clone_posterior"], second.cells["clone_posterior"], rtol=1e-9)


def test_index_hopped_chains_make_no_members():
    """Weak chains of the tumour's clone in cells of an earlier library are ambient there, not members."""
    tumor = [f"b1:{4 + k % 9} a1:{3 + k % 5}" for k in range(300)]
    before = background(150, start=3000) + [f"b{k} a{k} b1:1" for k in range(4000, 4006)]
    found = run(tumor + before, samples=[1] * 300 + [0] * 156)
    mine = ids(found, [0])[0]
    assert not (ids(found, range(300, 456)) == mine).any()
    assert (statuses(found, range(450, 456)) == "ambient_cleaned").all()
