"""Arm test of a clone on made-up counts: nothing where nothing is altered, planted arms found, matched references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sclineage._errors import InputError
from sclineage.malignancy import arms
from sclineage.malignancy.decoys import plant_arms, pseudo_clone

PER_ARM, CLONES = 80, 30


def cohort(seed: int = 0, *, cells: int = 1000) -> dict[str, np.ndarray]:
    """Two samples with two phenotypes that use some arms differently; clones of 20 cells, the rest alone."""
    rng = np.random.default_rng(seed)
    arm = np.repeat(np.array(arms.AUTOSOMES, dtype=object), PER_ARM)
    sample, kind = rng.integers(0, 2, cells), rng.integers(0, 2, cells)
    clone = np.where(np.arange(cells) < 20 * CLONES, np.arange(cells) // 20, -1)
    kind[clone >= 0] = clone[clone >= 0] % 2
    rate = rng.lognormal(-1.2, 0.4, arm.size)
    factor = np.exp(0.5 * rng.standard_normal((2, len(arms.AUTOSOMES))))[kind][:, np.repeat(
        np.arange(len(arms.AUTOSOMES)), PER_ARM)]
    depth = rng.lognormal(0.0, 0.3, cells)
    x = rng.poisson(rate * factor * depth[:, None]).astype(np.int32)
    symbols = np.array([f"G{i}" for i in range(arm.size)], dtype=object)
    return {"x": sparse.csr_matrix(x), "arm": arm, "symbols": symbols, "sample": sample, "stratum": 2 * sample + kind,
            "clone": clone}


def compared(data: dict[str, np.ndarray], *, by_kind: bool = True) -> arms.Compared:
    everyone = np.ones(data["sample"].size, bool)
    gene_arm = arms.gene_arms(data["x"], data["symbols"], data["arm"], everyone)
    counts = arms.arm_counts(data["x"], gene_arm)
    stratum = data["stratum"] if by_kind else data["sample"]
    return arms.compare(counts, data["clone"], CLONES, stratum, data["sample"], everyone)


def ratios(data: dict[str, np.ndarray], **more: bool) -> tuple[np.ndarray, np.ndarray]:
    found = compared(data, **more)
    error = arms.standard_error(found, arms.between_variance(found, np.arange(CLONES) > 3) if not more else np.zeros(
        found.shift.shape[1]))
    return arms.llr(found.shift, error), arms.called(found.shift, error)


def test_nothing_altered_nothing_found_and_the_reference_must_match() -> None:
    ratio, called = ratios(cohort())
    assert (ratio < 0).all() and (called == 0).mean() > 0.999
    unmatched, called = ratios(cohort(), by_kind=False)
    assert (unmatched > 3).mean() > 0.5 and (called != 0).any(axis=1).mean() > 0.5


def test_planted_arms_are_found_and_named() -> None:
    data = cohort(1)
    data["x"] = plant_arms(data["x"], data["arm"], data["clone"] == 2, losses=["9p", "17p"], gains=["8q", "1q"], rng=5)
    ratio, called = ratios(data)
    assert ratio[2] > 10 and (np.delete(ratio, 2) < 3).all()
    assert {arms.AUTOSOMES[a]: int(called[2, a]) for a in np.flatnonzero(called[2])} == {
        "9p": -1, "17p": -1, "8q": 1, "1q": 1}


def test_stated_power_is_the_share_found() -> None:
    found = compared(cohort(2))
    error = arms.standard_error(found, arms.between_variance(found, np.ones(CLONES, bool)))
    stated = arms.power(error, n_altered=2, draws=400)
    assert np.array_equal(stated, arms.power(error, n_altered=2, draws=400))
    hits = []
    rng = np.random.default_rng(9)
    for c in range(8):
        data = cohort(2)
        chosen = rng.choice(arms.AUTOSOMES, 2, replace=False)
        data["x"] = plant_arms(data["x"], data["arm"], data["clone"] == c, losses=chosen[:1], gains=chosen[1:],
                               dosage=arms.DOSAGE, rng=c)
        again = compared(data)
        hits.append(arms.llr(again.shift, error)[c] > 3)
    assert abs(np.mean(hits) - stated[:8].mean()) < 0.35
    assert (arms.power(np.full((1, 44), 1.0)) < 0.3).all()


def test_cells_are_told_by_the_learnt_profile() -> None:
    data = cohort(3)
    data["x"] = plant_arms(data["x"], data["arm"], data["clone"] == 4, losses=["3p", "6q"], gains=["7p"], rng=6)
    profile = np.zeros(len(arms.AUTOSOMES))
    for name, value in (("3p", np.log(0.5)), ("6q", np.log(0.5)), ("7p", np.log(1.5))):
        profile[arms.AUTOSOMES.index(name)] = value
    everyone = np.ones(data["sample"].size, bool)
    counts = arms.arm_counts(data["x"], arms.gene_arms(data["x"], data["symbols"], data["arm"], everyone))
    share = arms.reference_share(counts, data["clone"], data["stratum"], data["sample"], everyone,
                                 np.arange(everyone.size))
    assert np.allclose(share.sum(axis=1), 1)
    score = arms.cell_scores(counts, share, profile)
    mine = data["clone"] == 4
    assert score[mine].mean() > 3 and score[~mine].mean() < -3


def test_order_of_cells_does_not_matter() -> None:
    data = cohort(4)
    order = np.random.default_rng(0).permutation(data["sample"].size)
    other = {k: v if k in ("arm", "symbols") else v[order] for k, v in data.items()}
    assert np.array_equal(ratios(data)[0], ratios(other)[0])


def test_too_small_a_reference_is_not_assessed() -> None:
    data = cohort(5, cells=30)
    data["clone"] = np.where(np.arange(30) < 20, 0, -1)
    found = compared(data)
    assert np.isnan(found.shift).all() and (found.n_cells == 0).all()
    assert np.isnan(arms.llr(found.shift, found.shift)).all()


def test_receptor_and_effector_genes_are_left_out() -> None:
    names = ["TRBV7-2", "TRAC", "TRBC1", "IGHG1", "HLA-DRA", "RPL3", "MT-CO1", "GZMB", "CCL5", "JUNB", "IFNG", "HSPA1A",
             "XIST", "B2M"]
    assert arms.excluded(np.array(names)).all()


def test_ordinary_genes_stay() -> None:
    assert not arms.excluded(np.array(["TRAF1", "TRIM5", "IGF1R", "RPTOR", "MTOR", "CDKN2A", "TP53", "PTEN"])).any()


def test_planting_changes_only_the_chosen_and_refuses_nonsense() -> None:
    data = cohort(6)
    chosen = data["clone"] == 1
    out = plant_arms(data["x"], data["arm"], chosen, losses=["1p"], gains=["2q"], rng=1)
    assert (out[~chosen] != data["x"][~chosen]).nnz == 0
    before, after = data["x"][chosen].toarray(), out[chosen].toarray()
    for name, low, high in (("1p", 0.4, 0.6), ("2q", 1.4, 1.6), ("3p", 1.0, 1.0)):
        assert low <= after[:, data["arm"] == name].sum() / before[:, data["arm"] == name].sum() <= high
    with pytest.raises(InputError, match="unknown arm '1x'"):
        plant_arms(data["x"], data["arm"], chosen, losses=["1x"])
    with pytest.raises(InputError, match="lost and gained"):
        plant_arms(data["x"], data["arm"], chosen, losses=["1p"], gains=["1p"])
    with pytest.raises(InputError, match="not whole"):
        plant_arms(data["x"] * 0.3, data["arm"], chosen, losses=["1p"])


def test_pseudo_clones_have_the_mixture_of_the_clone() -> None:
    data = cohort(7)
    like = np.flatnonzero(data["clone"] == 3)
    drawn = pseudo_clone(data["stratum"], like, np.ones(data["clone"].size, bool), np.random.default_rng(0))
    assert np.unique(drawn).size == like.size
    assert np.array_equal(np.bincount(data["stratum"][drawn], minlength=4), np.bincount(data["stratum"][like],
                                                                                        minlength=4))


def test_one_arm_alone_carries_no_call_and_two_do() -> None:
    shift, error = np.zeros((3, 39)), np.full((3, 39), 0.02)
    shift[1, 0] = shift[2, 0] = np.log(0.5)
    shift[2, 1] = np.log(1.5)
    ratio = arms.llr(shift, error)
    assert 2 < ratio[1] < 3 < ratio[2]
