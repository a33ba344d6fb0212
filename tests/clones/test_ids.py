"""Ids: the same clone has the same id in any order, subset or company, or stands in the alias table."""

from __future__ import annotations

import re

import numba
import numpy as np
import pandas as pd
import pytest

from sclineage.clones import ids as ids_
from sclineage.clones import observed
from sclineage.clones.chains import identify
from sclineage.clones.ids import chain_hash
from sclineage.clones.normalise import chain_table, core
from sclineage.clones.patient import patient_clones
from sclineage.simulate.repertoire import simulate_repertoire

from .builders import background, run


def test_form():
    found = run(["b1 a1"] * 3, patient="P07")
    assert re.fullmatch(r"P07:[a-z2-7]{12}", found.cells["clone_id"][0])


def test_hash_is_fixed():
    """A change here renames every clone of every user."""
    assert chain_hash("GCCAGCAGC", "TRBV6-5", "TRBJ2-7") == "c7wu7yrlul3t"
    assert chain_hash("GCCAGCAGC", "TRBV6-5", "TRBJ2-1") != chain_hash("GCCAGCAGC", "TRBV6-5", "TRBJ2-7")


def test_patients_never_share_an_id():
    one, two = run(["b1 a1"] * 3, patient="P1"), run(["b1 a1"] * 3, patient="P2")
    assert one.cells["clone_id"][0].split(":")[1] == two.cells["clone_id"][0].split(":")[1]
    assert one.cells["clone_id"][0] != two.cells["clone_id"][0]


def test_shuffling_changes_nothing():
    found = simulate_repertoire(400, seed=5, n_samples=2)
    table, sample = chain_table(found.records), found.truth["sample"].to_numpy()
    order = np.random.default_rng(0).permutation(sample.size)
    place = np.argsort(order)
    mixed = table.assign(cell=place[table["cell"]]).sample(frac=1, random_state=1).reset_index(drop=True)
    first = patient_clones(table, patient="P", sample=sample, n_samples=2)
    second = patient_clones(mixed, patient="P", sample=sample[order], n_samples=2)
    back = second.cells.iloc[place].reset_index(drop=True)
    for name in first.cells:
        assert first.cells[name].equals(back[name]) or np.array_equal(first.cells[name], back[name], equal_nan=True)
    assert first.receptors.sort_values("clone_id").reset_index(drop=True).equals(
        second.receptors.sort_values("clone_id").reset_index(drop=True))


def test_neither_threads_nor_rows_at_a_time_change_anything(monkeypatch):
    found = simulate_repertoire(400, seed=6, n_samples=2)
    table, sample = chain_table(found.records), found.truth["sample"].to_numpy()
    first = patient_clones(table, patient="P", sample=sample, n_samples=2)
    monkeypatch.setattr(observed, "BLOCK", 37)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    second = patient_clones(table, patient="P", sample=sample, n_samples=2)
    numba.set_num_threads(threads)
    for name in ("cells", "receptors", "rates", "aliases", "corrected", "markers"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name), check_exact=True)


def known(ids, aliases):
    return set(ids) | set(aliases["alias"])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_sample_more_or_less_leaves_ids_or_aliases(seed):
    """Ids of one sample alone are found again, as ids or aliases, when a second sample is added."""
    found = simulate_repertoire(1500, seed=seed, n_samples=2)
    table, sample = chain_table(found.records), found.truth["sample"].to_numpy()
    whole = patient_clones(table, patient="P", sample=sample, n_samples=2)
    keep = np.flatnonzero(sample == 0)
    local = np.full(sample.size, -1)
    local[keep] = np.arange(keep.size)
    part = table[local[table["cell"]] >= 0]
    alone = patient_clones(part.assign(cell=local[part["cell"]]).reset_index(drop=True), patient="P",
                           sample=np.zeros(keep.size, int), n_samples=1)
    together = whole.cells.iloc[keep].reset_index(drop=True)
    both = (alone.cells["clone_id"] != "") & (together["clone_id"] != "")
    both &= (alone.cells["clone_status"] != "doublet") & (together["clone_status"] != "doublet")
    aliases = whole.aliases.groupby("alias")["clone_id"].agg(set).to_dict()
    assert both.sum() > 400
    for before, after in zip(alone.cells.loc[both, "clone_id"], together.loc[both, "clone_id"], strict=True):
        assert before == after or after in aliases.get(before, set()), (before, after)


def test_convergent_clone_added_later_is_an_alias():
    before = run(["b1 a1"] * 5 + background(20))
    after = run(["b1 a1"] * 5 + background(20) + ["b1 a2"] * 6, samples=[0] * 25 + [1] * 6)
    old, new, second = before.cells["clone_id"][0], after.cells["clone_id"][0], after.cells["clone_id"][25]
    assert old == new.split("-")[0] == second.split("-")[0]
    assert new != second
    rows = after.aliases[after.aliases["alias"] == old]
    assert set(rows["clone_id"]) == {new, second}


def test_one_stray_sister_does_not_rename_a_large_clone():
    before = run(["b1 a1"] * 30 + background(20))
    after = run(["b1 a1"] * 30 + background(20) + ["b1 a2:9"])
    assert (after.cells["clone_id"][:30] == before.cells["clone_id"][0]).all()


@pytest.mark.parametrize("n", [6, 110, 111, 128, 240, 500])
def test_compiled_hash_is_the_library_s(n):
    """Messages that end within, at and behind a block of 128 bytes."""
    j = "TGC" + "ACGTTGCA" * (n // 8 + 1)
    rows = pd.DataFrame({"cell": range(9), "locus": "TRB", "junction": [j[:n + k] for k in range(9)],
                         "v_call": "TRBV6-5", "j_call": "TRBJ2-7"})
    _, chains = identify(chain_table(rows))
    spelled = [chain_hash(core(x), "TRBV6-5", "TRBJ2-7") for x in chains.column("junction")]
    assert ids_._spelled(ids_.chain_heads(chains)).tolist() == spelled
