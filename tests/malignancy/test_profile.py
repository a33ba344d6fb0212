"""Members that lost their receptor: found by the clone's altered arms, at a bound that normal cells set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sclineage.malignancy import arms, profile
from sclineage.malignancy.table import ArmCells

from .test_arms import CLONES, cohort
from .test_copynumber_line import arm_test, plant

TUMOR = 2


def stripped(seed, *, planted=True):
    """A cohort in which half of one clone and a tenth of the other cells lost their receptor; and the truth."""
    data = cohort(seed)
    data = plant(data, TUMOR) if planted else data
    rng = np.random.default_rng(seed)
    was = data["clone"] == TUMOR
    lost = (rng.random(was.size) < np.where(was, 0.5, 0.1)) & (data["clone"] >= 0)
    clone = np.where(lost, -1, data["clone"])
    data = data | {"clone": clone}
    gene_arm = arms.gene_arms(data["x"], data["symbols"], data["arm"], ~lost)
    kept = ArmCells(np.arange(clone.size), arms.arm_counts(data["x"], gene_arm), clone, data["stratum"], data["sample"])
    return replace(arm_test(data, reference=~lost), cells=kept), lost, was


def found(test, lost, tumor=TUMOR):
    clone = test.cells.clone
    malignant = np.arange(CLONES) == tumor
    return profile.members(test, malignant, lost, (clone >= 0) & (clone != tumor))


@pytest.mark.parametrize("seed", [21, 22])
def test_members_are_found_and_normal_cells_are_not(seed):
    test, lost, was = stripped(seed)
    owner, llr = found(test, lost)
    assert (owner[~lost] == -1).all()
    assert (owner[lost & ~was] == TUMOR).sum() <= 1
    near = np.isin(test.cells.sample, np.unique(test.cells.sample[test.cells.clone == TUMOR]))
    assert (owner[lost & was & near] == TUMOR).mean() > 0.5
    assert np.isfinite(llr[lost & near]).all()
    assert np.isnan(llr[~lost]).all()


def test_a_clone_without_altered_arms_has_no_profile():
    test, lost, _ = stripped(23, planted=False)
    owner, llr = found(test, lost)
    assert (owner == -1).all()
    assert np.isnan(llr).all()


def test_the_bound_counts_what_normal_cells_reach():
    null = np.zeros(999)
    assert profile.bound(np.array([7.0, 8.0, 9.0]), null) == 7.0
    assert profile.bound(np.array([5.0, 5.5]), null) == np.inf
    null[:2] = 8.5
    assert profile.bound(np.array([7.0, 8.0, 9.0]), null) == 7.0
    null[:100] = 8.5
    assert profile.bound(np.array([7.0, 8.0, 9.0]), null) == 9.0
    assert profile.bound(np.array([7.0, 8.0, 9.0]), np.zeros(10)) == np.inf
