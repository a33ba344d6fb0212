"""Fusion, calls and basis: sums, caps, priors, and each rule by itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit

from sclineage.malignancy import calls
from sclineage.malignancy.fusion import Fused, clone_prior, fuse, line_table
from sclineage.malignancy.lines import LINES, Line, Scores, register

from .test_lines import make, sizes


def fused(prior=0.01, power=0.0, **llr):
    """One clone with the given capped ratios."""
    values = {name: np.array([llr.get(name, np.nan)]) for name in LINES}
    lines = {n: Scores(v, np.ones(1, np.int64), [""], np.array([power]) if n == "driver" else None)
             for n, v in values.items()}
    total = logit(np.array([prior])) + sum(np.nan_to_num(v) for v in values.values())
    return Fused(np.array([prior]), lines, values, total)


def call(**kwargs):
    return calls.calls(fused(**kwargs))[0]


# --- sums ------------------------------------------------------------------------------------------------------------
def test_prior_and_lines_add_up_to_the_logit():
    rng = np.random.default_rng(0)
    clone = sizes(80, *[4] * 60)
    depth = np.full(clone.size, 3000.0)
    cells = make(clone, depth=depth, cycle=rng.poisson(4.0, clone.size).astype(float),
                 virus={"EBV": (rng.random(clone.size) < 0.1).astype(float)},
                 genes={g: rng.poisson(2.0, clone.size).astype(float) for g in ("CD3D", "CD5", "CD7")})
    found = fuse(cells, clone_prior(0.5, np.bincount(clone)))
    for c in range(cells.n_clones):
        parts = sum(v[c] for v in found.capped.values() if np.isfinite(v[c]))
        p = found.posterior[c]
        assert np.log(p / (1 - p)) == pytest.approx(np.log(found.prior[c] / (1 - found.prior[c])) + parts, abs=1e-9)
    table = line_table(found, [f"c{i:03d}" for i in range(cells.n_clones)])
    assert list(table["line"][:5]) == ["dominance", "phenotype", "cycling", "virus", "driver"]
    totals = table.groupby("clone_id")["llr"].sum()
    assert np.allclose(totals.to_numpy() + logit(found.prior), found.logit, atol=1e-9)
    some = table[table["line"] == "dominance"]
    assert np.allclose(some["posterior_without"], 1 / (1 + np.exp(-(found.logit - found.capped["dominance"]))))


def test_caps_hold_and_are_told():
    line = LINES["driver"]
    assert line.cap(np.array([50.0, -9.0, 2.0, np.nan])).tolist()[:3] == [7.0, -1.0, 2.0]
    assert line.hits(np.array([50.0, -9.0, 2.0, np.nan])).tolist() == [True, True, False, False]
    assert LINES["phenotype"].cap(np.array([100.0]))[0] == pytest.approx(2.5)
    assert {n: (v.low, v.high) for n, v in LINES.items() if n in ("dominance", "cycling")} == {
        "dominance": (-1.5, 1.5), "cycling": (-0.8, 0.8)}


def test_a_further_line_is_one_registration():
    line = Line("aneuploidy", -1.5, 9.0, lambda cells, seed: Scores(np.full(cells.n_clones, 20.0),
                np.full(cells.n_clones, 3), ["7q lost"] * cells.n_clones, np.ones(cells.n_clones)), genetic=True)
    register(line)
    try:
        found = fuse(make(sizes(5, 5, 5)), np.full(3, 0.01))
        assert found.capped["aneuploidy"].tolist() == [9.0] * 3
        assert found.genetic.tolist() == [9.0] * 3
        assert found.power.tolist() == [1.0] * 3
        assert found.driver == ["aneuploidy"] * 3
        assert calls.calls(found).tolist() == ["malignant"] * 3
    finally:
        del LINES["aneuploidy"]


def test_no_line_at_all_leaves_the_prior():
    found = fuse(make(sizes(2, 2), unsorted=np.zeros(1, bool)), np.full(2, 0.1))
    assert found.posterior == pytest.approx([0.1, 0.1])
    assert found.driver == ["", ""]
    assert calls.calls(found).tolist() == ["not_assessable"] * 2


# --- prior -----------------------------------------------------------------------------------------------------------
def test_prior_is_shared_by_clones_of_five_cells():
    assert clone_prior(0.5, np.array([10, 5, 4, 1])).tolist() == [0.25, 0.25, 0.125, 0.125]
    assert clone_prior(0.01, np.full(1000, 9)).tolist() == [1e-4] * 1000  # the floor
    assert clone_prior(0.5, np.array([1, 1])).tolist() == [0.25, 0.25]
    assert clone_prior(0.5, np.zeros(0, np.int64)).size == 0


def test_a_thousand_singletons_beside_one_clone_do_not_get_its_prior():
    prior = clone_prior(0.5, np.array([50] + [1] * 999))
    assert prior[0] == 0.5
    assert prior[1:].sum() < 0.5


# --- calls -----------------------------------------------------------------------------------------------------------
def test_malignant_needs_a_genetic_line():
    assert call(prior=0.02, driver=7.0, phenotype=2.0) == "malignant"
    assert call(prior=0.9, phenotype=2.5, cycling=0.8, virus=1.0, dominance=1.5) == "suspicious"


def test_genetic_evidence_alone_is_suspicious():
    assert call(prior=1e-4, driver=4.0) == "suspicious"
    assert call(prior=1e-4, driver=3.0) == "not_assessable"


def test_many_lost_markers_in_a_large_clone_are_suspicious():
    assert call(prior=1e-4, phenotype=2.45, cycling=-0.7, dominance=1.0) == "suspicious"
    assert call(prior=1e-4, phenotype=2.45, cycling=-0.7, dominance=-0.5) == "not_assessable"
    assert call(prior=1e-4, phenotype=2.3, cycling=-0.7, dominance=1.0) == "not_assessable"


def test_two_supporting_lines_in_a_large_clone_are_suspicious():
    weak = {"prior": 1e-4}
    assert call(**weak, phenotype=2.0, cycling=0.7, dominance=0.3) == "suspicious"
    assert call(**weak, phenotype=2.0, virus=0.9, dominance=0.3) == "suspicious"
    assert call(**weak, phenotype=2.0, cycling=0.7, dominance=0.0) == "not_assessable"
    assert call(**weak, phenotype=2.0, dominance=1.5) == "not_assessable"


@pytest.mark.parametrize("prior", [1e-4, 0.01, 0.3, 0.5])
@pytest.mark.parametrize("power", [0.0, 1.0])
def test_dominance_alone_never_leaves_not_assessable(prior, power):
    assert call(prior=prior, dominance=1.5, power=power) in {"not_assessable", "no_malignant_features"}
    if prior > 0.02:
        assert call(prior=prior, dominance=1.5, power=power) == "not_assessable"


def test_no_malignant_features_needs_power():
    assert call(prior=0.001, phenotype=-2.0, power=0.0) == "not_assessable"
    assert call(prior=0.001, phenotype=-2.0, power=0.79) == "not_assessable"
    assert call(prior=0.001, phenotype=-2.0, power=0.8) == "no_malignant_features"
    assert call(prior=0.05, dominance=-1.5, power=1.0) == "not_assessable"  # the size does not clear a clone either


def test_basis_is_genetic_pathology_or_nothing():
    size = np.array([50])

    def basis(from_diagnosis, **kwargs):
        found = fused(**kwargs)
        return calls.basis(found, calls.calls(found), size, from_diagnosis=from_diagnosis)[0]

    assert basis(True, prior=0.5, driver=7.0) == "genetic"
    assert basis(True, prior=0.5, phenotype=2.4) == "pathology"
    assert basis(False, prior=0.5, phenotype=2.4) == ""
    assert basis(True, prior=0.5, phenotype=-2.0) == ""


def test_every_call_explains_itself():
    found = fused(prior=0.02, driver=7.0, phenotype=2.0, dominance=1.0)
    word = calls.calls(found)
    size = np.array([321])
    [text] = calls.sentences(found, word, size, calls.basis(found, word, size, from_diagnosis=True))
    assert text.startswith("321 cells: malignant (posterior ")
    assert "driven by driver" in text
    assert "phenotype +2.0" in text
    assert "cycling" not in text
    assert text.count(".") >= 1
    assert "\n" not in text
