"""Each line of evidence against its plain formula, and what it must not do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sclineage.malignancy import background, classifier, cycling, dominance, mutation, phenotype, viral
from sclineage.malignancy.table import Alleles, Cells, depth_bins
from tests.oracles import malignancy as oracle


def make(clone, *, seed=0, sample=None, subset=None, genes=None, cycle=None, virus=None, alleles=None, **more):
    rng = np.random.default_rng(seed)
    clone = np.asarray(clone)
    n = clone.size
    sample = np.zeros(n, np.int64) if sample is None else np.asarray(sample)
    n_samples = int(sample.max()) + 1
    defaults = {"counts": np.ones(n, bool), "t_cell": clone >= 0, "unsorted": np.ones(n_samples, bool),
                "product": np.zeros(n_samples, bool), "depth": rng.lognormal(8, 0.4, n)}
    return Cells(clone=clone, sample=sample, n_clones=int(clone.max()) + 1, genes=genes or {}, virus=virus or {},
                 subset=np.full(n, "CD8_T", object) if subset is None else np.asarray(subset, object),
                 cycling=np.full(n, np.nan) if cycle is None else cycle, alleles=alleles, **(defaults | more))


def sizes(*n):
    return np.repeat(np.arange(len(n)), n)


# --- statistics ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("k", "n", "p0"), [(0, 5, 0.1), (5, 5, 0.1), (12, 20, 0.5), (20, 20, 0.85), (3, 30, 0.9)])
def test_marker_ratio_is_the_written_formula(k, n, p0):
    found = phenotype.marker_ratio(np.array([float(k)]), np.array([float(n)]), np.array([p0]))[0]
    assert found == pytest.approx(oracle.marker(k, n, p0), abs=1e-10)


def test_marker_that_is_aberrant_nearly_everywhere_says_nothing():
    assert np.isnan(phenotype.marker_ratio(np.array([10.0]), np.array([10.0]), np.array([0.91]))[0])
    assert np.isnan(phenotype.marker_ratio(np.array([0.0]), np.array([0.0]), np.array([0.5]))[0])


def test_a_kept_marker_costs_at_most_log_055():
    assert phenotype.marker_ratio(np.array([0.0]), np.array([500.0]), np.array([0.1]))[0] >= np.log(0.55) - 1e-12


# --- background ------------------------------------------------------------------------------------------------------
def test_matched_background_is_the_plain_average_with_the_clone_left_out():
    rng = np.random.default_rng(3)
    clone = np.concatenate([sizes(*rng.integers(1, 30, 25)), -np.ones(40, int)])
    cells = make(clone, sample=rng.integers(0, 3, clone.size), subset=rng.choice(["CD4_T", "CD8_T", "T"], clone.size),
                 t_cell=np.concatenate([np.ones(clone.size - 40, bool), rng.random(40) < 0.5]),
                 counts=rng.random(clone.size) < 0.9)
    positive = np.where(rng.random(clone.size) < 0.1, np.nan, (rng.random(clone.size) < 0.4).astype(float))
    found = background.matched(cells, positive)
    for c in range(cells.n_clones):
        if found.n[c]:
            assert found.rate[c] == pytest.approx(oracle.matched_rate(cells, positive, c), abs=1e-12)


def test_background_needs_twenty_other_t_cells():
    cells = make(sizes(30, 19))
    positive = np.zeros(49)
    assert np.isnan(background.matched(cells, positive).rate[0])
    more = make(sizes(30, 20))
    assert np.isfinite(background.matched(more, np.zeros(50)).rate[0])


def test_background_of_another_sample_does_not_count():
    clone = sizes(30, *[1] * 60)
    sample = np.concatenate([np.zeros(30, int), np.ones(60, int)])
    found = background.matched(make(clone, sample=sample), np.zeros(90))
    assert np.isnan(found.rate[0])


def test_clone_that_is_the_tumour_does_not_enter_its_own_background():
    clone = sizes(200, *[1] * 100)
    positive = (clone == 0).astype(float)
    found = background.matched(make(clone), positive)
    assert found.k[0] == 200
    assert found.rate[0] < 0.02


def test_background_is_matched_by_depth():
    rng = np.random.default_rng(1)
    clone = sizes(40, *[1] * 400)
    depth = np.where(clone == 0, 500.0, rng.choice([500.0, 8000.0], clone.size))
    absent = (depth < 1000).astype(float)  # a marker that shallow cells never show
    assert background.matched(make(clone, depth=depth), absent).rate[0] > 0.8


def test_depth_bins_follow_the_t_cells_of_the_sample():
    depth = np.array([1.0, 2, 3, 4, 100, np.nan])
    found = depth_bins(depth, np.zeros(6, int), np.array([1, 1, 1, 1, 0, 1], bool))
    assert found.tolist() == [0, 1, 2, 3, 3, 0]


# --- dominance -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [1, 30, 100, 400])
def test_dominance_ratio_is_the_written_formula(n):
    mean, sd = dominance.PRIORS["CD8"]
    found = dominance.ratio(np.array([(n + 0.5) / 1001]), mean, sd)[0]
    assert found == pytest.approx(oracle.dominance(n, 1000, mean, sd), abs=1e-12)


def test_dominance_uses_the_prior_without_clones_and_learns_with_them():
    prior = dominance.PRIORS["CD8"]
    assert dominance.fit(np.array([3, 2]), np.array([100, 100]), prior) == prior
    rng = np.random.default_rng(0)
    n = np.maximum(1, np.exp(rng.normal(np.log(0.002 * 20_000), 0.5, 300)).astype(int))
    mean, sd = dominance.fit(n, np.full(300, 20_000), prior)
    assert mean == pytest.approx(np.log(0.002), abs=0.15)
    assert sd == pytest.approx(0.5, abs=0.12)


def test_the_largest_clone_is_not_its_own_null():
    small = np.full(40, 4)
    total = np.full(41, 1000)
    with_tumour = dominance.fit(np.append(small, 600), total, dominance.PRIORS["CD8"])
    assert with_tumour[0] < np.log(0.01)


def test_dominance_is_not_assessed_in_sorted_cells():
    clone = sizes(50, *[2] * 40)
    assert np.isnan(dominance.score(make(clone, unsorted=np.zeros(1, bool)), 0).llr).all()
    assert np.isfinite(dominance.score(make(clone), 0).llr).all()


# --- phenotype -------------------------------------------------------------------------------------------------------
def _markers(clone, rng, *, lost=(), cd4=()):
    t = np.ones(clone.size)
    out = {g: rng.poisson(3.0 * t).astype(float) for g in phenotype.LOSS}
    out |= {"TNFRSF8": rng.poisson(0.02 * t).astype(float)}
    helper = np.isin(clone, cd4)
    out |= {"CD4": rng.poisson(np.where(helper, 3.0, 0.02)).astype(float)}
    out |= {g: rng.poisson(np.where(helper, 0.02, 3.0)).astype(float) for g in ("CD8A", "CD8B")}
    for gene in lost:
        out[gene] = np.where(clone == 0, 0.0, out[gene])
    return out


def test_a_clone_that_lost_three_markers_scores_and_benign_ones_do_not():
    rng = np.random.default_rng(5)
    clone = sizes(40, *[5] * 60)
    found = phenotype.score(make(clone, genes=_markers(clone, rng, lost=("CD7", "CD5", "CD3E"))), 0)
    assert found.llr[0] > 2.5
    assert found.detail[0] == "CD3E lost, CD5 lost, CD7 lost"
    assert found.llr[1:].max() < 0


def test_a_marker_that_the_whole_sample_lacks_is_no_loss():
    rng = np.random.default_rng(5)
    clone = sizes(40, *[5] * 60)
    genes = _markers(clone, rng)
    genes["CD7"] = np.zeros(clone.size)
    assert phenotype.score(make(clone, genes=genes), 0).llr[0] < 0


def test_shallow_cells_are_no_loss():
    rng = np.random.default_rng(6)
    clone = sizes(40, *[5] * 80)
    depth = np.where(rng.random(clone.size) < 0.5, 600.0, 6000.0)
    depth[clone == 0] = 600.0
    genes = {g: rng.poisson(depth / 1500).astype(float) for g in phenotype.LOSS}
    assert phenotype.score(make(clone, genes=genes, depth=depth), 0).llr[0] < 0


def test_a_cd4_clone_among_cd8_clones_is_not_double_negative():
    rng = np.random.default_rng(7)
    clone = sizes(40, *[6] * 60)
    genes = _markers(clone, rng, cd4=(0, 7, 19, 31, 40, 52, 55, 58))
    genes["CD4"] = rng.binomial(genes["CD4"].astype(int), 0.2).astype(float)  # CD4 RNA drops out
    found = phenotype.score(make(clone, genes=genes, subset=np.full(clone.size, "T", object)), 0)
    assert "CD4 and CD8 lost" not in found.detail[0]
    assert found.llr[0] < 1.5


def test_phenotype_without_genes_is_not_assessed():
    assert np.isnan(phenotype.score(make(sizes(40, *[5] * 60)), 0).llr).all()


def test_peers_take_the_upper_decile_of_the_other_clones():
    k, n = np.array([9.0, 1, 1, 1, 0]), np.array([10.0, 10, 10, 10, 2])
    found = phenotype.peers(background.Matched(k, n, np.array([0.1, 0.1, 0.1, 0.1, 0.1])))
    assert found[0] == pytest.approx(1.5 / 11)  # its own 9 of 10 is not its null
    assert found[1:4] == pytest.approx(9.5 / 11)
    assert found[4] == pytest.approx(9.5 / 11)


# --- cycling ---------------------------------------------------------------------------------------------------------
def test_cycling_clone_scores_only_above_a_quiet_background():
    rng = np.random.default_rng(2)
    clone = sizes(60, *[3] * 80)
    depth = np.full(clone.size, 3000.0)
    quiet = rng.poisson(np.where((clone == 0) & (rng.random(clone.size) < 0.3), 20.0, 3.0)).astype(float)
    busy = rng.poisson(np.where(rng.random(clone.size) < 0.35, 20.0, 3.0)).astype(float)
    assert cycling.score(make(clone, depth=depth, cycle=quiet), 0).llr[0] > 0.8
    assert cycling.score(make(clone, depth=depth, cycle=busy), 0).llr[0] == pytest.approx(0.0, abs=1e-12)


def test_cycling_lists_are_those_of_the_paper():
    assert len(cycling.S_GENES) == 44
    assert len(cycling.G2M_GENES) == 56  # 43 and 54 genes, three of them under both symbols
    assert len(set(cycling.GENES)) == 100


# --- virus -----------------------------------------------------------------------------------------------------------
def test_virus_line_needs_more_than_the_soup():
    rng = np.random.default_rng(4)
    clone = sizes(80, *[2] * 150)
    soup = (rng.random(clone.size) < 0.05).astype(float)
    infected = np.where(clone == 0, (rng.random(clone.size) < 0.5).astype(float), soup)
    assert viral.score(make(clone, virus={"EBV": infected}), 0).llr[0] > 1
    assert viral.score(make(clone, virus={"EBV": soup}), 0).llr[0] < 0
    assert np.isnan(viral.score(make(clone), 0).llr).all()


def test_absence_of_virus_costs_little():
    clone = sizes(500, *[2] * 150)
    found = viral.score(make(clone, virus={"EBV": np.zeros(clone.size)}), 0)
    assert found.llr[0] == pytest.approx(np.log(0.7), abs=1e-3)


# --- driver mutations ------------------------------------------------------------------------------------------------
def _panel(clone, alt, depth, gene="TP53"):
    return Alleles(sparse.csr_matrix(np.atleast_2d(alt).reshape(-1, 1)), sparse.csr_matrix(np.reshape(depth, (-1, 1))),
                   (gene,), ("17:1:C>T",))


@pytest.mark.parametrize(("k", "n", "k0", "n0"), [(4, 10, 0, 100), (4, 10, 3, 100), (4, 10, 20, 100), (0, 10, 0, 50),
                                                  (2, 6, 0, 0)])
def test_driver_weight_and_ratio_are_the_written_formula(k, n, k0, n0):
    error = 0.005 + 0.05 * (k + k0) / (n + n0)
    weight, pv = oracle.driver(k, n, k0, n0, error)
    arrays = (np.array([float(v)]) for v in (k0, n0, error))
    assert mutation.private_weight(*arrays)[0] == pytest.approx(weight, abs=1e-10)
    assert mutation.excess(np.array([k]), np.array([n]))[0] == pytest.approx(pv, abs=1e-10)


def test_private_driver_counts_and_a_shared_one_does_not():
    rng = np.random.default_rng(8)
    clone = sizes(100, *[2] * 200)
    depth = rng.poisson(0.5, clone.size)
    private = rng.binomial(depth, np.where(clone == 0, 0.4, 0.003))
    shared = rng.binomial(depth, np.where((clone == 0) | (clone % 4 == 1), 0.4, 0.003))
    assert mutation.score(make(clone, alleles=_panel(clone, private, depth)), 0).llr[0] > 7
    found = mutation.score(make(clone, alleles=_panel(clone, shared, depth)), 0)
    assert found.llr[0] < 0.5
    assert "ancestral" in found.detail[0]


def test_a_large_tumour_does_not_make_its_own_mutation_look_shared():
    """Soup of a tumour with 70 % of the cells brings driver reads into the others."""
    rng = np.random.default_rng(9)
    clone = sizes(700, *[2] * 150)
    depth = rng.poisson(0.6, clone.size)
    alt = rng.binomial(depth, np.where(clone == 0, 0.4, 0.4 * 0.03))
    assert mutation.score(make(clone, alleles=_panel(clone, alt, depth)), 0).llr[0] > 7


def test_t_cells_without_a_receptor_do_not_make_a_driver_shared():
    """A malignant cell that lost its receptor carries the driver too."""
    rng = np.random.default_rng(10)
    clone = np.concatenate([sizes(100, *[2] * 100), -np.ones(80, int)])
    depth = rng.poisson(0.6, clone.size)
    alt = rng.binomial(depth, np.where((clone == 0) | (clone == -1), 0.4, 0.002))
    lost = np.where(clone == -1, "T", "CD8_T")
    assert mutation.score(make(clone, alleles=_panel(clone, alt, depth), subset=lost), 0).llr[0] > 7
    blood = np.where(clone == -1, "myeloid", "CD8_T")
    assert mutation.score(make(clone, alleles=_panel(clone, alt, depth), subset=blood), 0).llr[0] < 0.1


def test_a_site_never_covered_elsewhere_or_seen_in_one_cell_stays_at_three_nats():
    clone = sizes(10, *[2] * 50)
    depth = np.where(clone == 0, 2, 0)
    alt = np.where(clone == 0, 1, 0)
    assert mutation.score(make(clone, alleles=_panel(clone, alt, depth)), 0).llr[0] == pytest.approx(3.0)
    depth = np.ones(clone.size, int) * 4
    one = np.zeros(clone.size, int)
    one[0] = 4
    assert mutation.score(make(clone, alleles=_panel(clone, one, depth)), 0).llr[0] <= 3.0


def test_haematopoiesis_genes_must_be_shown_private():
    """The same reads, little covered elsewhere: enough for TP53, not for TET2."""
    rng = np.random.default_rng(15)
    clone = sizes(100, *[2] * 20)
    depth = np.ones(clone.size, int)
    alt = rng.binomial(depth, np.where(clone == 0, 0.4, 0.0))
    assert mutation.score(make(clone, alleles=_panel(clone, alt, depth)), 0).llr[0] > 7
    assert mutation.score(make(clone, alleles=_panel(clone, alt, depth, gene="TET2")), 0).llr[0] == pytest.approx(3.0)


def test_stat3_in_a_cd8_clone_is_capped():
    rng = np.random.default_rng(11)
    clone = sizes(100, *[2] * 200)
    depth = rng.poisson(0.5, clone.size)
    alt = rng.binomial(depth, np.where(clone == 0, 0.4, 0.003))
    lgl = mutation.score(make(clone, alleles=_panel(clone, alt, depth, gene="STAT3")), 0)
    assert lgl.llr[0] == pytest.approx(1.5)
    assert lgl.power[0] == 0
    helper = np.full(clone.size, "CD4_T", object)
    assert mutation.score(make(clone, subset=helper, alleles=_panel(clone, alt, depth, gene="STAT3")), 0).llr[0] > 7


def test_a_driver_not_seen_costs_at_most_one_nat_and_does_not_outweigh_one_seen():
    clone = sizes(100, *[2] * 200)
    depth = np.ones(clone.size, int)
    line = mutation.LINE
    absent = mutation.score(make(clone, alleles=_panel(clone, np.zeros(clone.size, int), depth)), 0).llr
    assert line.cap(absent)[0] == -1.0
    rng = np.random.default_rng(12)
    alt = rng.binomial(1, np.where(clone == 0, 0.4, 0.003))
    both = Alleles(sparse.csr_matrix(np.column_stack([alt, np.zeros(clone.size, int)])),
                   sparse.csr_matrix(np.ones((clone.size, 2), int)), ("TP53", "JAK1"), ("a", "b"))
    assert line.cap(mutation.score(make(clone, alleles=both), 0).llr)[0] == 7.0


def test_no_read_at_any_site_is_not_assessed():
    clone = sizes(10, *[2] * 50)
    depth = np.where(clone == 0, 0, 1)
    found = mutation.score(make(clone, alleles=_panel(clone, np.zeros(clone.size, int), depth)), 0)
    assert np.isnan(found.llr[0])
    assert found.power[0] == 0


def test_power_is_a_lower_bound_of_the_simulated_one():
    rng = np.random.default_rng(13)
    clone = sizes(12, 40, *[2] * 200)
    depth = rng.poisson(0.8, clone.size)
    depth[:3] = [3, 0, 2]
    carrier = rng.binomial(depth, np.where(clone == 1, 0.4, 0.0))
    stated = mutation.score(make(clone, alleles=_panel(clone, carrier, depth)), 0).power[0]
    mine, outside = np.flatnonzero(clone == 0), clone > 1
    error = 0.005 + 0.05 * carrier.sum() / depth.sum()
    n0 = int(depth[outside].sum())
    hits = 0
    for _ in range(2000):
        alt = rng.binomial(depth[mine], 0.4)
        weight, pv = oracle.driver(int(alt.sum()), int(depth[mine].sum()), 0, n0, error)
        hits += weight * pv > 3 and (alt > 0).sum() >= 2
    assert stated <= hits / 2000 + 0.03
    assert stated >= hits / 2000 - 0.12
    assert stated > 0.5


def test_a_list_whose_sites_nobody_carries_clears_nobody():
    """The driver of a tumour may be on no list: without a carrier in the patient the panel has no power."""
    clone = sizes(100, *[2] * 200)
    depth = np.ones(clone.size, int) * 3
    assert (mutation.score(make(clone, alleles=_panel(clone, depth * 0, depth)), 0).power == 0).all()


def test_power_follows_the_sites_that_a_clone_carries():
    rng = np.random.default_rng(14)
    clone = sizes(60, 40, 3, *[2] * 150)
    depth = np.ones((clone.size, 2), int) * 2
    alt = depth * 0
    alt[:, 0] = rng.binomial(depth[:, 0], np.where(clone == 0, 0.4, 0.002))
    panel = Alleles(sparse.csr_matrix(alt), sparse.csr_matrix(depth), ("TP53", "JAK1"), ("a", "b"))
    found = mutation.score(make(clone, alleles=panel), 0)
    assert found.llr[0] > 7
    assert found.power[1] > 0.95
    assert found.power[2] < 0.8


# --- the user's classifier -------------------------------------------------------------------------------------------
def test_a_classifier_counts_only_above_its_background_and_is_capped():
    clone = sizes(60, *[4] * 60)
    called = (np.random.default_rng(0).random(clone.size) < 0.1).astype(float)
    called[clone == 0] = 1.0
    found = classifier.score(make(clone, classifier=called), 0)
    assert found.llr[0] > 2
    assert classifier.LINE.cap(found.llr)[0] == 1.5
    assert found.detail[0] == "60 of 60 cells called"
    everywhere = classifier.score(make(clone, classifier=np.ones(clone.size)), 0)
    assert abs(everywhere.llr[0]) < 0.2
    never = classifier.score(make(clone, classifier=np.where(clone == 0, 0.0, called)), 0)
    assert np.log(0.5) < never.llr[0] < 0
    assert np.isnan(classifier.score(make(clone), 0).llr).all()
    assert not classifier.LINE.genetic
