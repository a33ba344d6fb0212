"""UMI collapse: oracle, Numba, CUDA source and CUDA alike; the tie rules of the named peers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sclineage import _backend
from sclineage.kernels import umis, umis_cpu
from sclineage.kernels.whitelists import decode
from tests.oracles import umis as oracle
from tests.oracles.barcodes import pack

QUICK = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
Read = tuple[int, int, str]


def tally_of(reads: list[Read]) -> umis.Tally:
    cell, feature = (np.array([r[k] for r in reads], np.int64) for k in (0, 1))
    return umis.tally(cell, feature, np.array([pack(r[2])[0] for r in reads], np.uint64))


def names(rows: umis.Tally, length: int) -> list[Read]:
    words = [w.tobytes().decode() for w in decode(rows.umi, length)]
    return list(zip(rows.cell.tolist(), rows.feature.tolist(), words, strict=True))


def check(reads: list[Read], policy: str, device: str) -> tuple[umis.Tally, np.ndarray]:
    """Compare tally, collapse, molecules and low support with the oracle."""
    length = len(reads[0][2])
    rows = tally_of(reads)
    want = oracle.count(reads)
    row_names = names(rows, length)
    assert row_names == list(want)
    assert rows.reads.tolist() == list(want.values())
    target = umis.collapse(rows, length=length, policy=policy, device=device)
    target_of = oracle.collapse(want, policy)
    assert [row_names[t] for t in target] == [target_of[r] for r in row_names]
    kept, total = umis.merge(rows, target)
    assert dict(zip([row_names[k] for k in kept], total.tolist(), strict=True)) == oracle.molecules(want, target_of)
    low = umis.low_support(rows, target)
    assert {r for r, flag in zip(row_names, low, strict=True) if flag} == oracle.low_support(want, target_of)
    return rows, target


def random_reads(rng: np.random.Generator, n: int, cells: int, features: int, length: int) -> list[Read]:
    """A skewed library: few molecules with many reads, some misread, so that neighbours abound."""
    letters = np.array(list("ACGT"))
    words = ["".join(w) for w in letters[rng.integers(0, 4, (max(4, n // 6), length))]]
    out = []
    for k in (rng.pareto(0.7, n) * 3).astype(int) % len(words):
        word = words[k]
        if rng.random() < 0.3:
            place = int(rng.integers(length))
            word = word[:place] + str(rng.choice(letters)) + word[place + 1 :]
        out.append((int(k * 7 % cells), int(rng.integers(features)), word))
    return out


@pytest.mark.parametrize("policy", umis.POLICIES)
@pytest.mark.parametrize(("n", "cells", "features", "length"), [
    (400, 5, 3, 10), (600, 1, 1, 4), (1500, 1, 1, 5), (300, 40, 2, 12), (50, 3, 3, 1), (400, 2, 2, 16), (200, 2, 1, 32),
])
def test_collapse_equals_oracle(n: int, cells: int, features: int, length: int, policy: str, backend: str) -> None:
    check(random_reads(np.random.default_rng(n), n, cells, features, length), policy, backend)


@QUICK
@given(st.integers(1, 4).flatmap(lambda length: st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.text("ACGT", min_size=length, max_size=length)),
    min_size=1, max_size=60)), st.sampled_from(umis.POLICIES))
def test_collapse_property(reads: list[Read], policy: str) -> None:
    rows, target = check(reads, policy, "cpu")
    kept, total = umis.merge(rows, target)
    assert total.sum() == len(reads)
    if policy == "directional":
        assert np.array_equal(target[target], target)
        most = umis.merge(rows, umis.collapse(rows, length=len(reads[0][2]), policy="exact"))[0].size
        assert kept.size <= most
    assert (rows.cell[target] == rows.cell).all()
    assert (rows.feature[target] == rows.feature).all()


def molecules(counts: dict[str, int], policy: str, device: str) -> dict[str, int]:
    reads = [(0, 0, umi) for umi, n in counts.items() for _ in range(n)]
    rows, target = check(reads, policy, device)
    kept, total = umis.merge(rows, target)
    return {names(rows, len(reads[0][2]))[k][2]: int(n) for k, n in zip(kept, total, strict=True)}


def test_one_step_against_transitive(backend: str) -> None:
    """A(1) - B(2) - C(4): Cell Ranger moves one step and counts two, UMI-tools counts one."""
    chain = {"AAAA": 1, "AAAC": 2, "AACC": 4}
    assert molecules(chain, "cellranger", backend) == {"AAAC": 1, "AACC": 6}
    assert molecules(chain, "directional", backend) == {"AACC": 7}
    assert molecules(chain, "exact", backend) == chain


def test_ties(backend: str) -> None:
    assert molecules({"AAAA": 3, "AAAC": 3}, "cellranger", backend) == {"AAAC": 6}
    assert molecules({"AAAA": 3, "AAAC": 3}, "directional", backend) == {"AAAA": 3, "AAAC": 3}
    assert molecules({"AAAA": 1, "AAAC": 1}, "directional", backend) == {"AAAA": 2}
    assert molecules({"AAAA": 5, "AAAC": 3}, "directional", backend) == {"AAAA": 8}
    assert molecules({"AAAA": 4, "AAAC": 3}, "directional", backend) == {"AAAA": 4, "AAAC": 3}


def test_long_chain_of_single_reads(backend: str) -> None:
    """Singles reach each other along any path: the spread on the device needs as many steps as the path is long."""
    chain = {"A" * (20 - k) + "C" * k: 1 for k in range(21)}
    assert molecules(chain, "directional", backend) == {"A" * 20: 21}


@pytest.mark.parametrize("n", [umis_cpu.PAIRWISE, umis_cpu.PAIRWISE + 1, 4 * umis_cpu.PAIRWISE])
def test_large_groups_are_searched_alike(n: int, backend: str) -> None:
    rng = np.random.default_rng(n)
    words = list(dict.fromkeys("".join(w) for w in np.array(list("ACGT"))[rng.integers(0, 4, (3 * n, 6))]))[:n]
    reads = [(0, 0, w) for w in words for _ in range(int(rng.integers(1, 9)))]
    for policy in umis.POLICIES:
        check(reads, policy, backend)


@pytest.mark.parametrize("policy", umis.POLICIES)
def test_count_equals_its_parts(policy: str, backend: str) -> None:
    rng = np.random.default_rng(6)
    for n, length in ((3000, 5), (1, 5), (0, 5), (2000, 24)):
        cell, feature = rng.integers(0, 9, n), rng.integers(0, 3, n)
        umi = rng.integers(0, 4**5, n).astype(np.uint64) << np.uint64(2 * length - 10)
        held = [a.astype(np.uint64) for a in (cell, feature, umi)]
        if backend == "cuda":
            held = [_backend.to_device(a) for a in held]
        found = umis.count(*held, length=length, policy=policy, device=backend)
        rows = umis.tally(cell, feature, umi)
        kept, total = umis.merge(rows, umis.collapse(rows, length=length, policy=policy))
        want = [a[kept].tolist() for a in (rows.cell, rows.feature, rows.umi)] + [total.tolist()]
        assert [_backend.to_host(a).tolist() for a in found] == want


def test_count_refuses_what_does_not_fit() -> None:
    wide = np.full(2, 1 << 40, np.uint64)
    with pytest.raises(ValueError, match="take 122 bits; 64 are the most"):
        umis.count(wide, wide, wide, length=20)


@pytest.mark.parametrize("bits", [1, 12, 33, 64])
def test_distinct_is_numpys_unique(bits: int) -> None:
    keys = np.random.default_rng(bits).integers(0, 2**64 - 1, 20_000, dtype=np.uint64) >> np.uint64(64 - bits)
    keys.sort()
    found = keys.copy()
    rows, reads = umis_cpu.distinct(found)
    assert [found[:rows].tolist(), reads.tolist()] == [a.tolist() for a in np.unique(keys, return_counts=True)]


def test_low_support_is_cell_rangers() -> None:
    """Strict maximum keeps the UMI; a tie drops it everywhere; other cells do not matter."""
    reads = [(0, 0, "AAAA")] * 3 + [(0, 1, "AAAA")] * 2 + [(0, 0, "CCCC")] + [(0, 1, "CCCC")] + [(1, 1, "AAAA")]
    rows, target = check(reads, "cellranger", "cpu")
    low = umis.low_support(rows, target)
    assert [r for r, flag in zip(names(rows, 4), low, strict=True) if not flag] == [(0, 0, "AAAA"), (1, 1, "AAAA")]


def test_low_support_after_one_moved_read() -> None:
    """Feature 0 has AAAA twice and gains one read of AAAC: with three reads of AAAA in feature 1 it is a tie."""
    reads = [(0, 0, "AAAA")] * 2 + [(0, 0, "AAAC")] + [(0, 1, "AAAA")] * 3
    rows, target = check(reads, "cellranger", "cpu")
    low = dict(zip(names(rows, 4), umis.low_support(rows, target).tolist(), strict=True))
    assert low[0, 0, "AAAA"] and low[0, 1, "AAAA"]


def test_tally_with_given_reads_and_reads_behind_rows() -> None:
    cell, feature = np.array([1, 0, 1, 1]), np.array([0, 0, 0, 2])
    rows = umis.tally(cell, feature, np.array([5, 5, 5, 1], np.uint64), reads=np.array([10, 1, 3, 7]))
    assert rows.cell.tolist() == [0, 1, 1]
    assert rows.reads.tolist() == [1, 13, 7]
    assert [sorted(rows.order[a:b].tolist()) for a, b in zip(rows.first, rows.first[1:], strict=False)] == [
        [1], [0, 2], [3]]


def test_no_reads(backend: str) -> None:
    rows = umis.tally(np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.uint64))
    for policy in umis.POLICIES:
        target = umis.collapse(rows, length=12, policy=policy, device=backend)
        assert target.size == umis.merge(rows, target)[0].size == umis.low_support(rows, target).size == 0
    assert umis.shared(rows.reads, rows.cell, rows.umi)[0].size == 0


def test_unknown_policy() -> None:
    with pytest.raises(ValueError, match="adjacency"):
        umis.collapse(tally_of([(0, 0, "A")]), length=1, policy="adjacency")


def test_threads_and_order_change_nothing() -> None:
    rng = np.random.default_rng(2)
    n = 40_000
    cell, feature = rng.integers(0, 300, n), rng.integers(0, 5, n)
    umi = rng.integers(0, 4**5, n).astype(np.uint64)
    shuffle = rng.permutation(n)
    for policy in ("cellranger", "directional"):
        found = []
        for order, threads in ((np.arange(n), 1), (shuffle, 2)):
            with _backend.threads(threads):
                rows = umis.tally(cell[order], feature[order], umi[order])
                target = umis.collapse(rows, length=5, policy=policy)
                found.append((rows.umi, rows.reads, target, umis.low_support(rows, target)))
        for a, b in zip(*found, strict=True):
            assert np.array_equal(a, b)


@QUICK
@given(st.lists(st.tuples(*[st.integers(0, 2**k - 1) for k in (3, 9, 30)]), max_size=80),
       st.sampled_from([(3, 9, 30), (30, 3, 9)]))
def test_order_by_property(rows: list[tuple[int, ...]], widths: tuple[int, ...]) -> None:
    keys = [np.array([r[k] for r in rows], np.uint64) for k in range(3)]
    assert np.array_equal(umis.order_by(*keys), np.lexsort(keys[::-1]))
    wide = [k << np.uint64(33) for k in keys]
    assert np.array_equal(umis.order_by(*wide), np.lexsort(wide[::-1]))
    full = [np.array([2**64 - 1 - r[0] for r in rows], np.uint64)]
    assert np.array_equal(umis.order_by(*full), np.lexsort(full))


def test_shares_show_chimeras() -> None:
    cell, umi = np.array([0, 1, 0, 2]), np.array([9, 9, 4, 9])
    share, members = umis.shared(np.array([90, 8, 5, 2]), umi)
    assert share.tolist() == [0.9, 0.08, 1.0, 0.02]
    assert members.tolist() == [3, 3, 1, 3]
    assert umis.shared(np.array([90, 8, 5, 2]), cell, umi)[1].tolist() == [1, 1, 1, 1]


def test_collision_expectation_against_simulation() -> None:
    rng = np.random.default_rng(0)
    n, length, trials = 300, 5, 400
    pairs, distinct = [], []
    for _ in range(trials):
        counts = np.bincount(rng.integers(0, 4**length, n))
        pairs.append((counts * (counts - 1) / 2).sum())
        distinct.append((counts > 0).sum())
    assert umis.collisions(n, length) == pytest.approx(np.mean(pairs), rel=0.03)
    assert umis.molecules_behind(np.mean(distinct), length) == pytest.approx(n, rel=0.01)
    assert umis.molecules_behind(4.0**length, length) == np.inf
