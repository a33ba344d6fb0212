"""Neighbour lists against the plain version and against the tools of the field, on every device."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from benchmarks.clones.repertoire import planted, unique_cdr3
from sclineage import _backend
from sclineage._errors import InputError
from sclineage.kernels import sequences as kernel
from sclineage.kernels import sequences_cuda, sequences_metrics, sequences_plan, sequences_search
from sclineage.kernels.sequences_keys import KIND
from sclineage.kernels.sequences_plan import BRUTE, CROSS, SELF, Costs
from tests.oracles import components as component_oracle
from tests.oracles import sequences as oracle

PLANS = {"brute": Costs(1, 1, 1, 0), "many blocks": Costs(1e-9, 1, 1, 1e9), "few blocks": Costs(1, 1e-9, 1e-9, 1e9)}
CUTOFFS = {"hamming": [0, 1, 2, 3], "levenshtein": [0, 1, 2, 4], "tcrdist_scirpy": [0, 5, 15, 24, 70],
           "tcrdist3": [0, 5, 15, 24, 70]}
# Few letters force collisions; the cheap pairs of tcrdist; CDR3-like; around one and two words of 12 residues.
TEXTS = (st.text("AV", max_size=6) | st.text("IVFYA", min_size=5, max_size=12)
         | st.from_regex("CAS[SR][LPQG]{1,5}[EY]QYF", fullmatch=True)
         | st.text("AC", min_size=11, max_size=14) | st.text("W", min_size=23, max_size=26))
SEQUENCES = st.lists(TEXTS, max_size=14)


@pytest.fixture(params=["as chosen", *PLANS])
def costs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Cost model: as it is, or bent so that every search goes one way."""
    if request.param in PLANS:
        for module in (sequences_search, sequences_cuda):
            monkeypatch.setattr(module, "costs", lambda _: PLANS[request.param])
    return str(request.param)


def triples(found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> list[tuple[int, int, int]]:
    i, j, d = found
    assert i.dtype == j.dtype == np.int32
    return list(zip(i.tolist(), j.tolist(), d.tolist(), strict=True))


def cdr3(n: int, seed: int = 0) -> list[str]:
    return planted(unique_cdr3(n, seed=seed), share=0.2, seed=seed)


def receptors() -> list[str]:
    return cdr3(150, seed=3) + cdr3(20, seed=4) * 2


@cache
def distances_of_receptors(metric: str) -> list[tuple[int, int, int]]:
    return oracle.pairs(receptors(), metric, max(CUTOFFS[metric]))


# --- the plain version ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("metric", kernel.METRICS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequences=SEQUENCES, which=st.integers(0, 4))
@example(sequences=["", "", "A", "AV", "AVA"], which=2)
@example(sequences=["AVAV", "VAVA", "AVAVA", "VVAVA"], which=2)
def test_pairs_equal_the_plain_version(backend: str, costs: str, metric: Any, sequences: list[str], which: int) -> None:
    cutoff = CUTOFFS[metric][which % len(CUTOFFS[metric])]
    found = kernel.neighbor_pairs(sequences, metric=metric, cutoff=cutoff, device=backend)
    assert triples(found) == oracle.pairs(sequences, metric, cutoff)


@pytest.mark.parametrize("metric", kernel.METRICS)
def test_receptors_equal_the_plain_version(backend: str, costs: str, metric: Any) -> None:
    sequences = receptors()
    for cutoff in CUTOFFS[metric]:
        found = kernel.neighbor_pairs(sequences, metric=metric, cutoff=cutoff, device=backend)
        assert triples(found) == [pair for pair in distances_of_receptors(metric) if pair[2] <= cutoff]


@pytest.mark.parametrize("metric", kernel.METRICS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequences=SEQUENCES, which=st.integers(0, 4))
def test_streams_equal_the_plain_version(
    backend: str, costs: str, metric: Any, sequences: list[str], which: int,
) -> None:
    cutoff = CUTOFFS[metric][which % len(CUTOFFS[metric])]
    edges = [(i, j) for i, j, _ in oracle.pairs(sequences, metric, cutoff)]
    labels = kernel.neighbor_components(sequences, metric=metric, cutoff=cutoff, device=backend)
    assert labels.dtype == np.int32
    assert labels.tolist() == component_oracle.components(len(sequences), edges)
    neighbors, distances = kernel.nearest_neighbors(sequences, k=3, metric=metric, cutoff=cutoff, device=backend)
    want = [row + [(kernel.FAR, -1)] * (3 - len(row)) for row in oracle.nearest(sequences, metric, cutoff, 3)]
    got = [list(zip(d, j, strict=True)) for d, j in zip(distances.tolist(), neighbors.tolist(), strict=True)]
    assert (neighbors.dtype, distances.dtype) == (np.int32, np.uint16)
    assert got == want


@pytest.mark.parametrize("metric", kernel.METRICS)
def test_given_pairs_equal_the_plain_version(backend: str, metric: Any) -> None:
    sequences = ["", "A", *cdr3(60, seed=5)]
    first, second = (part.ravel() for part in np.indices((62, 62)))
    found = kernel.pair_distances(sequences, first, second, metric=metric, cutoff=20, device=backend)
    assert found.dtype == np.uint16
    for i, j, d in zip(first.tolist(), second.tolist(), found.tolist(), strict=True):
        want = oracle.distance(sequences[i], sequences[j], metric)
        assert d == (kernel.FAR if want is None or want > 20 else want)


def test_oracle_costs_are_those_of_the_kernel() -> None:
    codes = {letter: kernel.pack([letter]).index.words[0] for letter in oracle.BLOSUM62_ORDER}
    table = sequences_metrics.tcrdist_costs()
    for a in codes:
        assert [int(table[codes[a], codes[b]]) for b in codes] == [oracle.substitution_cost(a, b) for b in codes]
    assert sequences_metrics.metric_of("tcrdist3", 15, 20).cheapest == 6


# --- the tools of the field -------------------------------------------------------------------------------------------
def of_scirpy(matrix: Any) -> list[tuple[int, int, int]]:
    """Pairs of a scirpy distance matrix, which stores d + 1."""
    upper = matrix.tocoo()
    kept = upper.row < upper.col
    return sorted(zip(upper.row[kept].tolist(), upper.col[kept].tolist(), (upper.data[kept].astype(int) - 1).tolist(),
                      strict=True))


@pytest.mark.parametrize(("metric", "cutoff", "calculator", "options"), [
    ("hamming", 2, "HammingDistanceCalculator", {}),
    ("levenshtein", 2, "LevenshteinDistanceCalculator", {"n_jobs": 1}),
    ("tcrdist_scirpy", 15, "TCRdistDistanceCalculator", {}),
    ("tcrdist_scirpy", 40, "TCRdistDistanceCalculator", {}),
    ("tcrdist3", 40, "TCRdistDistanceCalculator", {"gap_penalty": 12, "fixed_gappos": False}),
])
def test_equals_scirpy(metric: Any, cutoff: int, calculator: str, options: dict[str, Any]) -> None:
    metrics = pytest.importorskip("scirpy.ir_dist.metrics", reason="scirpy is not installed")
    short = ["".join(pair) for n in range(1, 8) for pair in zip("CASSLEQ"[:n], "VIFYACD"[:n], strict=True)]
    sequences = list(dict.fromkeys(cdr3(600, seed=6) + short))
    theirs = getattr(metrics, calculator)(cutoff=cutoff, **options).calc_dist_mat(np.array(sequences))
    ours = triples(kernel.neighbor_pairs(sequences, metric=metric, cutoff=cutoff, device="cpu"))
    assert len(ours) > 30
    assert ours == of_scirpy(theirs)


@pytest.mark.parametrize("metric", ["hamming", "levenshtein"])
@pytest.mark.parametrize("cutoff", [1, 2])
def test_equals_symscan(metric: Any, cutoff: int) -> None:
    symscan = pytest.importorskip("symscan", reason="symscan is not installed")
    sequences = cdr3(3000, seed=7) + cdr3(30, seed=7)
    row, col, d = symscan.get_neighbors_within(sequences, max_distance=cutoff, distance_type=metric)
    low, high = np.minimum(row, col), np.maximum(row, col)
    ours = triples(kernel.neighbor_pairs(sequences, metric=metric, cutoff=cutoff, device="cpu"))
    assert ours == sorted(zip(low.tolist(), high.tolist(), d.tolist(), strict=True))


@pytest.mark.parametrize(("metric", "gap", "fixed"), [("tcrdist_scirpy", 4, True), ("tcrdist3", 12, False)])
@pytest.mark.parametrize("cutoff", [15, 30])
def test_equals_tcrdist_rs(metric: Any, gap: int, fixed: bool, cutoff: int) -> None:
    tcrdist_rs = pytest.importorskip("tcrdist_rs", reason="tcrdist_rs is not installed")
    sequences = [s for s in cdr3(1500, seed=8) if len(s) > 9]
    found = tcrdist_rs.tcrdist_neighbor_matrix(sequences, cutoff, dist_weight=3, gap_penalty=gap, ntrim=3, ctrim=2,
                                               fixed_gappos=fixed, parallel=False)
    theirs = sorted({(min(i, j), max(i, j), d) for i, j, d in map(tuple, found) if i != j})
    assert triples(kernel.neighbor_pairs(sequences, metric=metric, cutoff=cutoff, device="cpu")) == theirs


# --- sizes, duplicates, long sequences --------------------------------------------------------------------------------
@pytest.mark.parametrize("metric", kernel.METRICS)
def test_nothing_and_one(backend: str, metric: Any) -> None:
    for sequences in ([], ["CASSLEQF"], [""]):
        assert triples(kernel.neighbor_pairs(sequences, metric=metric, cutoff=2, device=backend)) == []
        labels = kernel.neighbor_components(sequences, metric=metric, cutoff=2, device=backend)
        assert labels.tolist() == list(range(len(sequences)))
        assert kernel.nearest_neighbors(sequences, k=2, metric=metric, cutoff=2, device=backend)[0].tolist() == [
            [-1, -1]] * len(sequences)


def test_ten_thousand_copies() -> None:
    n = 10_000
    i, j, d = kernel.neighbor_pairs(["CASSLAPGATNEKLFF"] * n, metric="levenshtein", cutoff=1, device="cpu")
    assert i.size == n * (n - 1) // 2
    assert not d.any()
    order = i.astype(np.int64) * n + j
    assert (np.diff(order) > 0).all()
    assert (i < j).all()
    labels = kernel.neighbor_components(["CASSLAPGATNEKLFF"] * n, metric="levenshtein", cutoff=1, device="cpu")
    assert not labels.any()


def test_copies_beside_neighbours(backend: str) -> None:
    sequences = ["CASSF", "CASRF", "CASSF", "CASSEF", "CASSF", "CASRF"]
    found = triples(kernel.neighbor_pairs(sequences, metric="levenshtein", cutoff=1, device=backend))
    assert found == oracle.pairs(sequences, "levenshtein", 1)


@pytest.mark.parametrize("length", [127, 128, 300, 10_000])
def test_long_sequences(backend: str, costs: str, length: int) -> None:
    rng = np.random.default_rng(length)
    base = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), size=length))
    changed = base[:100] + ("A" if base[100] != "A" else "C") + base[101:]
    sequences = [base, changed, base[:-1], changed[:50] + changed[51:], base[::-1]]
    assert triples(kernel.neighbor_pairs(sequences, metric="hamming", cutoff=1, device=backend)) == [(0, 1, 1)]
    edits = triples(kernel.neighbor_pairs(sequences, metric="levenshtein", cutoff=2, device=backend))
    assert {(0, 1, 1), (0, 2, 1), (1, 2, 2), (1, 3, 1), (0, 3, 2)} <= set(edits)
    assert not [pair for pair in edits if 4 in pair[:2]]


def test_nucleotides_and_other_letters(backend: str) -> None:
    sequences = ["TGTGCCAGC", "TGTGCCAGN", "TGT*CC_GC", "TGT*CC_GX"]
    found = triples(kernel.neighbor_pairs(sequences, metric="hamming", cutoff=2, device=backend))
    assert found == oracle.pairs(sequences, "hamming", 2)


def test_distances_above_255_take_two_bytes(backend: str) -> None:
    sequences = ["W" * 60, "A" * 60, "C" * 58]
    i, j, d = kernel.neighbor_pairs(sequences, metric="tcrdist_scirpy", cutoff=2000, device=backend)
    assert d.dtype == np.uint16
    assert list(zip(i, j, d, strict=True)) == oracle.pairs(sequences, "tcrdist_scirpy", 2000)
    assert kernel.neighbor_pairs(sequences, metric="tcrdist_scirpy", cutoff=255, device=backend)[2].dtype == np.uint8


# --- the same whatever the machine does -------------------------------------------------------------------------------
@pytest.mark.parametrize("metric", kernel.METRICS)
def test_threads_order_and_room_do_not_matter(metric: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences, cutoff = cdr3(4000, seed=9), 15 if metric.startswith("tcr") else 2
    whole = kernel.neighbor_pairs(sequences, metric=metric, cutoff=cutoff, device="cpu")
    with _backend.threads(1):
        single = kernel.neighbor_pairs(sequences, metric=metric, cutoff=cutoff, device="cpu")
    monkeypatch.setattr(sequences_search, "CODES_LEAST", 8)
    monkeypatch.setattr(sequences_search, "CODES_SHARE", 0)
    counted_first = kernel.neighbor_pairs(sequences, metric=metric, cutoff=cutoff, device="cpu")
    for other in (single, counted_first):
        assert all(np.array_equal(a, b) for a, b in zip(whole, other, strict=True))
    order = np.random.default_rng(0).permutation(len(sequences))
    i, j, d = kernel.neighbor_pairs([sequences[k] for k in order], metric=metric, cutoff=cutoff, device="cpu")
    back = sorted(zip(*np.sort([order[i], order[j]], axis=0).tolist(), d.tolist(), strict=True))
    assert back == triples(whole)
    assert len(back) > 300


def test_device_batches_and_room_do_not_matter(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences_cuda, "BATCH_BYTES", 1 << 10)
    monkeypatch.setattr(sequences_cuda, "FIRST_CODES", 1)
    monkeypatch.setattr(sequences_cuda, "costs", lambda _: PLANS["many blocks"])
    sequences = cdr3(120, seed=10) * 3
    found = kernel.neighbor_pairs(sequences, metric="levenshtein", cutoff=2, device=backend)
    assert triples(found) == oracle.pairs(sequences, "levenshtein", 2)


def test_device_tiles_cover_a_group(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences_cuda, "TILE_COLUMNS", 7)
    monkeypatch.setattr(sequences_cuda, "BLOCK", 16)
    monkeypatch.setattr(sequences_cuda, "costs", lambda _: PLANS["brute"])
    sequences = [s[:12] for s in cdr3(150, seed=11)]
    for metric in ("hamming", "tcrdist3"):
        found = kernel.neighbor_pairs(sequences, metric=metric, cutoff=3, device=backend)
        assert triples(found) == oracle.pairs(sequences, metric, 3)


def test_packed_once_searched_often() -> None:
    sequences = cdr3(300, seed=12)
    packed = kernel.pack(sequences)
    for metric, cutoff in (("hamming", 1), ("tcrdist3", 20)):
        again = kernel.neighbor_pairs(packed, metric=metric, cutoff=cutoff, device="cpu")
        once = kernel.neighbor_pairs(sequences, metric=metric, cutoff=cutoff, device="cpu")
        assert triples(again) == triples(once)


def test_any_iterable_of_strings() -> None:
    array = np.array(["CASSF", "CASRF"])
    for given_as in (array, array.astype(object), tuple(array.tolist()), iter(array.tolist())):
        assert triples(kernel.neighbor_pairs(given_as, metric="hamming", cutoff=1, device="cpu")) == [(0, 1, 1)]


# --- cost model -------------------------------------------------------------------------------------------------------
def kinds(sequences: list[str], metric: Any, cutoff: int) -> set[int]:
    packed = kernel.pack(sequences)
    chosen = sequences_metrics.metric_of(metric, cutoff, int(packed.index.lengths[-1]))
    tasks = sequences_plan.plan(packed.index, chosen, sequences_search.costs(chosen)).tasks
    return set(tasks[:, KIND].tolist())


def test_the_cost_model_turns_from_brute_force_to_the_index() -> None:
    few, many = unique_cdr3(30), unique_cdr3(3000)
    assert kinds(few, "hamming", 1) == {BRUTE}
    assert SELF in kinds(many, "hamming", 1)
    assert CROSS in kinds(many, "levenshtein", 2)
    assert kinds(many, "tcrdist_scirpy", 15) >= {SELF, CROSS}
    assert kinds(many, "tcrdist_scirpy", 90) == {BRUTE}
    assert CROSS not in kinds(many, "levenshtein", 3)


# --- bad input --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("sequences", "arguments", "words"), [
    (["CASSF", None], {}, "entry 1: found None"),
    (["CASSF", float("nan")], {}, "entry 1: found nan"),
    (["CASSF", "caSSF"], {}, "entry 1: found the letter 'c'; upper-case"),
    (["CASSF", "", "CAS-F"], {}, "entry 2: found the letter '-'"),
    (["CASSF", "CAß"], {}, "entry 1"),
    (["CASSF", "CA\nSSF", ""], {}, "entry 1: found a line break"),
    (["CASSF", "CASS\n"], {}, "entry 1: found a line break"),
    (["CASSF"], {"metric": "haming"}, "hamming"),
    (["CASSF"], {"cutoff": -1}, "cutoff: found -1"),
    (["CASSF"], {"cutoff": 1.5}, "cutoff: found 1.5"),
    (["CASSF"], {"cutoff": True}, "cutoff: found True"),
    (["A" * 40], {"metric": "levenshtein", "cutoff": 32}, "at most 31"),
    (["CASSF", "CAXSF"], {"metric": "tcrdist3"}, "entry 1: found 'X', for which tcrdist has no distance"),
])
def test_bad_input_is_named(sequences: list, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        kernel.neighbor_pairs(sequences, **({"metric": "hamming", "cutoff": 1} | arguments))


def test_bad_k_and_bad_pairs() -> None:
    with pytest.raises(InputError, match="k: found 0"):
        kernel.nearest_neighbors(["A"], k=0, metric="hamming", cutoff=1)
    with pytest.raises(InputError, match="entries 0 to 1"):
        kernel.pair_distances(["A", "C"], np.array([0]), np.array([2]), metric="hamming", cutoff=1)
    with pytest.raises(InputError, match="two 1-d arrays alike"):
        kernel.pair_distances(["A", "C"], np.array([0]), np.array([1, 1]), metric="hamming", cutoff=1)
