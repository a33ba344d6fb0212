"""The fast posterior against the plain one, on small random repertoires; and what it promises about probabilities."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from sclineage.clones import assign as assign_
from sclineage.clones import rates as rates_
from sclineage.clones.chains import identify
from sclineage.clones.normalise import chain_table
from sclineage.clones.nuclei import build, first_keys, second_anchors
from sclineage.clones.observed import observe
from sclineage.clones.patient import invariant
from sclineage.clones.posterior import NEW, NONE, PAIR, SINGLE, posterior
from sclineage.simulate.repertoire import draw_rates, simulate_repertoire
from tests.oracles import clones as oracle


@functools.cache
def one_round(seed, n=60, n_samples=2):
    """State of the second round of a small repertoire: nuclei, rates and who counts where."""
    found = simulate_repertoire(n, seed=seed, rates=draw_rates(seed), n_samples=n_samples)
    table = chain_table(found.records)
    chain, chains = identify(table)
    rows = table[["cell", "umis"]].assign(chain=chain)
    sample = found.truth["sample"].to_numpy()
    group = np.random.default_rng(seed).integers(0, 4, sample.size)
    obs, _ = observe(rows, chains.coded("locus", {"TRB": 0, "TRA": 1}), sample, group)
    canonical, rates = second_anchors(obs, len(chains)), rates_.start(obs, n_samples)
    keys, mine = first_keys(obs, canonical)
    own, owner = mine.astype(float), np.zeros(mine.size, np.int8)
    for last in (False, True):
        nuclei, keys, clone = build(obs, keys, mine, own, canonical, rates.capture[0], invariant(chains))
        if last:
            return obs, nuclei, rates, clone, mine, posterior(obs, nuclei, rates, clone, mine)
        rates = assign_.one_round(obs, nuclei, rates, clone, keys, mine, own, owner)


@pytest.mark.parametrize("seed", range(6))
def test_against_oracle(seed):
    obs, nuclei, rates, clone, mine, post = one_round(seed)
    kinds = {0: NONE, 1: SINGLE, 2: PAIR}
    checked = set()
    for i in range(obs.sample.size):
        lo, hi = obs.ptr[i], obs.ptr[i + 1]
        if not 0 < hi - lo <= 4:
            continue
        cell = oracle.Cell(i, obs, nuclei, rates, clone, mine)
        expected, own = cell.posterior()
        singles = {h[0]: p for h, p in expected.items() if len(h) == 1 and h[0] != oracle.NEW}
        np.testing.assert_allclose(post.p_none[i], expected[()], rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(post.p_new[i], expected[oracle.NEW,], rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(post.p_doublet[i], sum(p for h, p in expected.items() if len(h) == 2), rtol=1e-9,
                                   atol=1e-14)
        np.testing.assert_allclose(post.p_clone[i], max(singles.values(), default=0), rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(post.own[lo:hi], own, rtol=1e-9, atol=1e-14)
        best = max(expected, key=expected.__getitem__)
        np.testing.assert_allclose(post.p[i], expected[best], rtol=1e-9)
        kind = NEW if best == (oracle.NEW,) else kinds[len(best)]
        assert post.kind[i] == kind
        if kind == SINGLE:
            assert post.first[i] == best[0]
        checked.add((kind, int(hi - lo)))
    assert len(checked) >= 3


def test_every_kind_was_compared():
    """The seeds above reach doublets and cells without a chain of their own, not only the easy ones."""
    kinds = {int(k) for seed in range(6) for k in one_round(seed)[5].kind}
    assert {SINGLE, NEW, PAIR} <= kinds


def test_probabilities_are_probabilities():
    *_, post = one_round(7, n=300)
    for values in (post.p, post.p_doublet, post.p_new, post.p_none, post.p_clone, post.p_holds, post.own):
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        assert (values <= 1 + 1e-12).all()
    has = np.diff(one_round(7, n=300)[0].ptr) > 0
    assert (post.p_none + post.p_new + post.p_clone + post.p_doublet)[has].max() <= 1 + 1e-12
    assert (post.p_holds >= np.maximum(post.p_clone, post.p_new) - 1e-12)[has].all()
