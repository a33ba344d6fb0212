"""Kernel `evidence` against its slow plain version, on every device."""

from __future__ import annotations

import numpy as np
import pytest

from sclineage import _backend
from sclineage._errors import InputError
from sclineage.kernels import evidence as kernel
from sclineage.kernels import evidence_cpu as cpu
from tests.oracles import evidence as oracle

G = np.array([0.5, 1.0, 2.0])
M = np.array([1 / 16, 0.3, 1.0, 4.0])
W = np.array([0.0, 1e-4, 0.02, 0.4, 0.9, 1.0])
BACKGROUND = np.array([1e-6, 0.003, 0.4, 3.0])
SIGNAL = np.array([0.2, 1.5, 8.0, 60.0])


@pytest.mark.parametrize("sizes", [(4.0, 5.0), (0.7, np.inf), (6.4, 0.5)])
def test_likelihoods_match_scipy(backend, sizes):
    size, background_size = sizes
    found = kernel.likelihoods(BACKGROUND, SIGNAL, size=size, background_size=background_size, g=G, m=M, device=backend)
    for d in range(BACKGROUND.size):
        for count in (0, 1, 2, 7, 23, 24):
            wanted = oracle.cell_logliks(count, BACKGROUND[d], SIGNAL[d], size, background_size, G, M)
            np.testing.assert_allclose(found[d, count], wanted, rtol=1e-9, atol=1e-9)


def test_counts_sum_to_one(backend):
    found = kernel.likelihoods(BACKGROUND, SIGNAL, size=3.0, background_size=5.0, g=G, m=M, device=backend)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1.0, atol=1e-12)


def clones(rng, n_keys):
    clone = rng.integers(0, 6, 80)
    clone[clone == 4] = 5  # clone 4 has no cell
    return clone, rng.integers(0, n_keys, 80)


def weights(rng):
    log_w = np.log(rng.dirichlet(np.ones(W.size), size=(2, 3)))
    log_w[0, 0, 3:] = -np.inf
    log_w[1, 2, :2] = -np.inf
    return np.log(rng.dirichlet(np.ones(G.size), size=2)), log_w, np.log(rng.dirichlet(np.ones(M.size), size=2))


def oracle_tables(keys):
    return [oracle.cell_table(oracle.cell_logliks(k % 25, BACKGROUND[k // 25], SIGNAL[k // 25], 3.0, 5.0, G, M), W)
            for k in keys]


def test_evidence_and_posterior_match_the_plain_version(backend):
    rng = np.random.default_rng(5)
    clone, key = clones(rng, 100)
    log_g, log_w, log_m = weights(rng)
    group = np.array([0, 1, 0, 1, 0, 1])
    sets = kernel.multisets(clone, key, n_clones=6)
    rows = kernel.likelihoods(BACKGROUND, SIGNAL, size=3.0, background_size=5.0, g=G, m=M, device=backend)
    table = kernel.mixture_table(rows.reshape(100, G.size, M.size + 2), W, device=backend)
    found = kernel.evidence(sets, table, log_g=log_g, log_w=log_w, group=group, device=backend)
    post_w, post_m = kernel.posterior(sets, table, log_g=log_g, log_w=log_w, log_m=log_m, group=group, device=backend)
    for k in (0, 1, 2, 3, 5):
        tables, s = oracle_tables(key[clone == k]), group[k]
        np.testing.assert_allclose(found[k], oracle.clone_evidence(tables, log_g[s], log_w[s]), rtol=1e-6, atol=1e-6)
        wanted = oracle.clone_posterior(tables, log_g[s], log_w[s], log_m[s])
        np.testing.assert_allclose(post_w[k], wanted[0], atol=1e-6)
        np.testing.assert_allclose(post_m[k], wanted[1], atol=1e-6)
    np.testing.assert_allclose(found[4, :, 0], np.log(np.exp(log_w[0]).sum(axis=1)), atol=1e-12)  # no cell: the weights


def test_ten_thousand_cells_do_not_underflow(backend):
    """A clone far from a hypothesis keeps a finite evidence under it: the maximum is taken out per hypothesis."""
    rows = kernel.likelihoods(BACKGROUND, SIGNAL, size=3.0, background_size=5.0, g=G, m=M, device=backend)
    table = kernel.mixture_table(rows[1], W, device=backend)
    sets = kernel.Multisets(np.array([0, 1]), np.array([0], np.int32), np.array([40_000]))
    log_w = np.full((1, 2, W.size), -np.inf)
    log_w[0, 0, 0] = log_w[0, 1, -1] = 0.0
    found = kernel.evidence(sets, table, log_g=np.full((1, 3), -np.log(3)), log_w=log_w, device=backend)
    assert np.all(np.isfinite(found))
    assert found[0, 1, 2] < found[0, 0, 2] - 10_000


def test_posterior_of_ten_thousand_cells_far_from_a_hypothesis(backend):
    """The sum under a hypothesis that the counts all but exclude is made in logs."""
    rows = kernel.likelihoods(BACKGROUND, SIGNAL, size=3.0, background_size=5.0, g=G, m=M, device=backend)
    table = kernel.mixture_table(rows[1], W, device=backend)
    sets = kernel.Multisets(np.array([0, 1]), np.array([0], np.int32), np.array([10_000]))
    log_w = np.full((1, 1, W.size), -np.inf)
    log_w[0, 0, -2:] = np.log(0.5)
    log_g, log_m = np.full((1, 3), -np.log(3)), np.full((1, M.size), -np.log(M.size))
    found_w, found_m = kernel.posterior(sets, table, log_g=log_g, log_w=log_w, log_m=log_m, device=backend)
    tables = [oracle.cell_table(oracle.cell_logliks(0, BACKGROUND[1], SIGNAL[1], 3.0, 5.0, G, M), W)] * 10_000
    wanted_w, wanted_m = oracle.clone_posterior(tables, log_g[0], log_w[0], log_m[0])
    assert wanted_w[0, 0] == 0  # far below what a float can hold beside the best of all points
    np.testing.assert_allclose(found_w[0], wanted_w, atol=1e-6)
    np.testing.assert_allclose(found_m[0], wanted_m, atol=1e-6)


def test_exponentials_are_those_of_numpy():
    values = np.concatenate([-np.geomspace(1e-300, 699.0, 4000), [0.0, -0.5 * np.log(2), -700.0, -1e6, -np.inf]])
    found = np.ones(values.size)
    cpu.add_exponentials(values + 3.0, 3.0, np.empty(values.size), np.empty(values.size), found)
    np.testing.assert_allclose(found[:-2] - 1.0, np.exp(values[:-2]), atol=3e-16)
    alone = np.zeros(values.size)
    cpu.add_exponentials(values, 0.0, np.empty(values.size), np.empty(values.size), alone)
    np.testing.assert_allclose(alone[:-2], np.exp(values[:-2]), rtol=1e-15)
    assert np.all(alone[-2:] == alone[-3])  # they count as -700


@pytest.mark.parametrize("clones", [1, 5, cpu.STRIDE, 2 * cpu.STRIDE, cpu.STRIDE + 1])
def test_every_clone_has_its_turn(clones):
    assert sorted(cpu.spread(turn, clones) for turn in range(clones)) == list(range(clones))


def test_same_bits_for_any_thread_count_and_cell_order():
    rng = np.random.default_rng(9)
    clone, key = rng.integers(0, 300, 5000), rng.integers(0, 100, 5000)
    order = rng.permutation(5000)
    log_g, log_w, log_m = weights(rng)
    group = rng.integers(0, 2, 300)
    rows = kernel.likelihoods(BACKGROUND, SIGNAL, size=3.0, background_size=5.0, g=G, m=M).reshape(100, 3, -1)
    results = []
    for threads, shuffle in ((1, slice(None)), (2, order)):
        with _backend.threads(threads):
            sets = kernel.multisets(clone[shuffle], key[shuffle], n_clones=300)
            table = kernel.mixture_table(rows, W)
            results.append((kernel.evidence(sets, table, log_g=log_g, log_w=log_w, group=group),
                            *kernel.posterior(sets, table, log_g=log_g, log_w=log_w, log_m=log_m, group=group)))
    for one, two in zip(*results, strict=True):
        assert one.tobytes() == two.tobytes()


def test_multisets_take_and_sizes():
    sets = kernel.multisets(np.array([2, 0, 2, 2]), np.array([7, 1, 3, 7]), n_clones=3)
    assert sets.sizes.tolist() == [1, 0, 3]
    picked = sets.take(np.array([2, 0]))
    assert picked.indptr.tolist() == [0, 2, 3]
    assert picked.keys.tolist() == [3, 7, 1]
    assert picked.counts.tolist() == [1, 2, 1]


def test_clones_of_which_nothing_was_seen():
    """A table without a key: the evidence is that of the weights, the posterior that of the priors."""
    sets = kernel.multisets(np.empty(0, int), np.empty(0, int), n_clones=2)
    log_g, log_w, log_m = weights(np.random.default_rng(3))
    table = kernel.mixture_table(np.empty((0, G.size, M.size + 2)), W)
    found = kernel.evidence(sets, table, log_g=log_g, log_w=log_w)
    np.testing.assert_allclose(found[1, :, 0], np.log(np.exp(log_w[0]).sum(axis=1)), atol=1e-12)
    post_w, post_m = kernel.posterior(sets, table, log_g=log_g, log_w=log_w, log_m=log_m)
    np.testing.assert_allclose(post_w[0], np.exp(log_w[0]) / np.exp(log_w[0]).sum(axis=1, keepdims=True), atol=1e-12)
    np.testing.assert_allclose(post_m[0], np.tile(np.exp(log_m[0]), (3, 1)), atol=1e-12)


def test_bad_sizes_are_told():
    with pytest.raises(InputError, match="positive sizes"):
        kernel.likelihoods(BACKGROUND, SIGNAL, size=0.0, background_size=1.0, g=G, m=M)


@pytest.mark.parametrize("rate", [np.nan, -1e-9, np.inf])
def test_a_rate_that_is_no_number_is_refused_and_never_a_floor(rate):
    for background, signal in (([0.1, rate], [1.0, 1.0]), ([0.1, 0.1], [rate, 1.0])):
        with pytest.raises(InputError, match="no number"):
            kernel.likelihoods(np.array(background), np.array(signal), size=3.0, background_size=1.0, g=G, m=M)
