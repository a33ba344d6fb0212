"""Barcode matching: tables, both passes, the calibrated model; oracle, Numba, CUDA source and CUDA alike."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sclineage import _backend
from sclineage._errors import InputError
from sclineage.kernels import barcodes, matching
from sclineage.kernels import whitelists as w
from tests.oracles import barcodes as oracle

LETTERS = np.frombuffer(b"ACGT", np.uint8)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def ascii_rows(words: Sequence[str]) -> np.ndarray:
    length = len(words[0]) if words else 0
    return np.frombuffer("".join(words).encode(), np.uint8).reshape(len(words), length).copy()


def build(words: Sequence[str], **how: bool) -> w.Whitelist:
    return w.whitelist(barcodes.pack(ascii_rows(words))[0], len(words[0]), **how)


def random_words(rng: np.random.Generator, n: int, length: int) -> list[str]:
    rows = np.unique(LETTERS[rng.integers(0, 4, (n, length))], axis=0)
    return [r.tobytes().decode() for r in rng.permutation(rows)]


def products(rng: np.random.Generator, blocks: Sequence[tuple[int, int]], left: int, right: int) -> list[str]:
    """Disjoint union of products of random half-words, shuffled."""
    lefts = random_words(rng, 40 * sum(n for n, _ in blocks), left)
    rights = random_words(rng, 40 * sum(n for _, n in blocks), right)
    out: list[str] = []
    for n_left, n_right in blocks:
        mine, yours = lefts[:n_left], rights[:n_right]
        lefts, rights = lefts[n_left:], rights[n_right:]
        out += [a + b for a, b in itertools.product(mine, yours)]
    return [out[i] for i in rng.permutation(len(out))]


def noisy_reads(rng: np.random.Generator, words: Sequence[str], n: int, rate: float = 0.06,
                ) -> tuple[list[str], list[str]]:
    """Reads of a few big and many small barcodes, with substitutions, N, lower case, and some that are random."""
    share = rng.pareto(0.8, len(words)) + 0.01
    rows = ascii_rows([words[i] for i in rng.choice(len(words), n, p=share / share.sum())])
    wrong = rng.random(rows.shape) < rate
    rows[wrong] = LETTERS[rng.integers(0, 4, int(wrong.sum()))]
    junk = rng.random(n) < 0.03
    rows[junk] = LETTERS[rng.integers(0, 4, (int(junk.sum()), rows.shape[1]))]
    rows[rng.random(rows.shape) < 0.01] = ord("N")
    lower = rng.random(n) < 0.05
    rows[lower] |= 0x20
    quality = rng.choice(np.frombuffer(b"F:,#!~", np.uint8), rows.shape, p=(0.7, 0.1, 0.1, 0.05, 0.03, 0.02))
    return [r.tobytes().decode() for r in rows], [q.tobytes().decode() for q in quality]


def check(reads: Sequence[str], quality: Sequence[str] | None, listed: Mapping[str, int], whitelist: w.Whitelist,
          policy: str, device: str) -> matching.Match:
    """Compare a match with the oracle, read by read."""
    rows = None if quality is None else ascii_rows(quality)
    got = matching.match(ascii_rows(reads), rows, whitelist, policy=policy, device=device)
    want = oracle.match(reads, quality, listed, policy=policy)
    assert got.index.tolist() == [x[0] for x in want]
    assert [matching.STATES[s] for s in got.state] == [x[1] for x in want]
    assert got.posterior.tolist() == [np.float32(x[2]) for x in want]
    assert got.changed.tolist() == [x[3] for x in want]
    assert (got.index.dtype, got.posterior.dtype) == (np.int32, np.float32)
    return got


LISTS = {
    "product 7|9": lambda rng: products(rng, [(12, 30)], 7, 9),
    "blocks 8|8": lambda rng: products(rng, [(6, 8), (9, 5), (4, 11)], 8, 8),
    "product 8|6": lambda rng: products(rng, [(20, 9)], 8, 6),
    "product 10|10": lambda rng: products(rng, [(7, 7)], 10, 10),
    "dense 3|3": lambda rng: products(rng, [(30, 25)], 3, 3),
    "random 16": lambda rng: random_words(rng, 400, 16),
    "random 4": lambda rng: random_words(rng, 150, 4),
    "random 32": lambda rng: random_words(rng, 100, 32),
    "random 21": lambda rng: random_words(rng, 100, 21),
    "one base": lambda rng: ["A", "G"],
    "one barcode": lambda rng: ["ACGTACGTACGTACGT"],
}


# --- packing ---------------------------------------------------------------------------------------------------------
@QUICK
@given(st.integers(1, 32).flatmap(
    lambda n: st.lists(st.text("ACGTacgtNn.X-*", min_size=n, max_size=n), min_size=1, max_size=5)))
def test_pack_property(words: list[str]) -> None:
    codes, n_at = barcodes.pack(ascii_rows(words))
    assert [(int(c), int(k)) for c, k in zip(codes, n_at, strict=True)] == [oracle.pack(x) for x in words]


def test_pack_on_every_device(backend: str) -> None:
    rng = np.random.default_rng(1)
    for length in (1, 7, 8, 9, 14, 16, 24, 28, 31, 32):
        words = ["".join(rng.choice(list("ACGTacgtN"), length, p=[0.12] * 8 + [0.04])) for _ in range(300)]
        words += ["A" * length, "T" * length, "N" * length, "X" * length]
        codes, n_at = barcodes.pack(_backend.to_device(ascii_rows(words)) if backend == "cuda" else ascii_rows(words),
                                    device=backend)
        got = zip(_backend.to_host(codes).tolist(), _backend.to_host(n_at).tolist(), strict=True)
        assert list(got) == [oracle.pack(x) for x in words]


def test_every_byte_is_a_base_or_refused() -> None:
    """The eight-at-once packing and the one-at-a-time packing agree on all 256 bytes, in every place."""
    for place in range(16):
        rows = np.full((256, 16), ord("A"), np.uint8)
        rows[:, place] = np.arange(256)
        _, n_at = barcodes.pack(rows)
        assert set(np.flatnonzero(n_at == -1)) == set(b"ACGTacgt")
        assert set(np.flatnonzero(n_at == place)) == set(b"Nn.")
        assert (n_at == -3).sum() == 256 - 11


def test_decode_is_the_inverse() -> None:
    words = random_words(np.random.default_rng(0), 50, 19)
    assert (w.decode(barcodes.pack(ascii_rows(words))[0], 19) == ascii_rows(words)).all()


# --- tables ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", LISTS)
def test_product_structure_is_found_and_proven(kind: str) -> None:
    words = LISTS[kind](np.random.default_rng(5))
    length = len(words[0])
    built = build(words)
    counts = {cut: oracle.product_blocks(words, cut) for cut in range(max(1, length - 10), min(10, length - 1) + 1)}
    best = min((n for n in counts.values() if n is not None and n <= w.MAX_BLOCKS), default=0)
    assert built.blocks == best
    assert best == 0 or counts[built.cut] == best
    assert [r.tobytes().decode() for r in w.decode(built.codes(), length)] == sorted(words)
    assert build(words, product=False).blocks == 0


def test_a_product_with_one_barcode_missing_is_no_product() -> None:
    words = LISTS["product 7|9"](np.random.default_rng(2))
    assert build(words).blocks == 1
    rest = build(words[1:])
    assert rest.blocks != 1
    reads = [*words[:40], *words[-3:]]
    check(reads, None, oracle.listing(words[1:]), rest, "cellranger", "cpu")


def test_tables_of_blocks_do_not_mix() -> None:
    """A left word of one block with a right word of another is not on the list."""
    words = LISTS["blocks 8|8"](np.random.default_rng(4))
    mixed = [a[:8] + b[8:] for a, b in itertools.product(words[:25], words[:25])]
    got = check(mixed, None, oracle.listing(words), build(words), "unique", "cpu")
    assert (got.state == 0).sum() < len(mixed)


@pytest.mark.parametrize(("words", "says"), [
    (["ACGT", "ACGA", "ACGT"], "occurs twice \\(entries 1 and 3\\)"),
    (["A" * 33, "C" * 33], "33 bases"),
])
def test_bad_lists_are_refused(words: list[str], says: str) -> None:
    codes = np.array([oracle.pack(x[:32])[0] for x in words], np.uint64)
    with pytest.raises(InputError, match=says):
        w.whitelist(codes, len(words[0]))


def test_empty_list_is_refused() -> None:
    with pytest.raises(InputError, match="0 barcodes"):
        w.whitelist(np.zeros(0, np.uint64), 16)


# --- matching --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("policy", ["cellranger", "unique"])
@pytest.mark.parametrize("kind", LISTS)
def test_match_equals_oracle(kind: str, policy: str, backend: str) -> None:
    rng = np.random.default_rng(11)
    words = LISTS[kind](rng)
    reads, quality = noisy_reads(rng, words, 600)
    for how in ({}, {"product": False}):
        got = check(reads, quality, oracle.listing(words), build(words, **how), policy, backend)
        check(reads[:200], None, oracle.listing(words), build(words, **how), policy, backend)
        assert np.bincount(got.state, minlength=5).sum() == len(reads)
        assert got.counts.sum() == (got.state == 0).sum()


@QUICK
@given(st.data())
def test_match_property(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 12))
    words = data.draw(st.lists(st.text("ACGT", min_size=length, max_size=length), min_size=1, max_size=40, unique=True))
    reads = data.draw(st.lists(st.text("ACGTN", min_size=length, max_size=length), min_size=1, max_size=30))
    quality = [data.draw(st.text("!+5?FI", min_size=length, max_size=length)) for _ in reads]
    built = build(words, product=data.draw(st.booleans()))
    check(reads, quality, oracle.listing(words), built, data.draw(st.sampled_from(["cellranger", "unique"])), "cpu")


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("kind", ["product 7|9", "blocks 8|8", "random 16", "random 32"])
def test_packed_reads_of_several_segments_equal_the_oracle(kind: str, resident: bool, backend: str,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of 32 and of 64 bits; qualities on the device, on the host, or none."""
    rng = np.random.default_rng(12)
    words = LISTS[kind](rng)
    reads, quality = noisy_reads(rng, words, 9000)
    built, listed = build(words), oracle.listing(words)
    codes, n_at = barcodes.pack(ascii_rows(reads))
    if resident:
        monkeypatch.setattr(_backend, "on_host", lambda array: False)
    for given_, narrow in ((quality, False), (quality, len(words[0]) <= 16), (None, False)):
        counts = np.zeros(built.n, np.int32)
        held = [codes.astype(np.uint32) if narrow else codes, n_at, counts]
        rows = None if given_ is None else ascii_rows(given_)
        if backend == "cuda":
            held = [_backend.to_device(a) for a in held]
            rows = _backend.to_device(rows) if resident and rows is not None else rows
        out = barcodes.match_packed(*held[:2], rows, built, counts=held[2], device=backend)
        ranks, states, posteriors, changed = (_backend.to_host(a) for a in out)
        want = oracle.match(reads, given_, listed, policy="cellranger")
        assert built.rows(ranks).tolist() == [x[0] for x in want]
        assert [matching.STATES[s] for s in states] == [x[1] for x in want]
        assert posteriors.tolist() == [np.float32(x[2]) for x in want]
        assert changed.tolist() == [x[3] for x in want]
        assert _backend.to_host(held[2]).sum() == (states == 0).sum()


def test_cases_of_cell_rangers_own_corrector(backend: str) -> None:
    """The situations of its unit tests: counts 100, 11 and 2, least posterior 0.95."""
    words = ["AAAAA", "AAGAC", "ACGAA", "ACGTT"]
    built = build(words)
    counts = np.zeros(4, np.int32)
    for word, count in {"AAAAA": 100, "AAGAC": 11, "ACGAA": 2}.items():
        counts[words.index(word)] = count
    cases = [("AAAAT", bytes([66] * 4 + [66]), "AAAAA"), ("AAAAT", bytes([66] * 4 + [40]), "AAAAA"),
             ("ACGAT", bytes([66] * 5), None), ("ACGAT", bytes([66] * 4 + [40]), "ACGAA"),
             ("ACAAA", bytes([66] * 5), "AAAAA")]
    codes, n_at = barcodes.pack(ascii_rows([c[0] for c in cases]))
    quality = np.array([list(c[1]) for c in cases], np.uint8)
    given_ = [_backend.to_device(a) if backend == "cuda" else a for a in (codes, n_at, quality, counts)]
    ranks = _backend.to_host(barcodes.correct(*given_[:3], built, counts=given_[3], threshold=0.95, device=backend)[0])
    assert [None if r < 0 else words[r] for r in ranks] == [c[2] for c in cases]
    listed = oracle.listing(words)
    for read, phred, want in cases:
        row = oracle.correct(read, phred.decode(), listed, dict(enumerate(counts)), policy="cellranger",
                             threshold=0.95)[0]
        assert (None if row < 0 else words[row]) == want


def test_posterior_of_exactly_the_threshold_is_enough(backend: str) -> None:
    """39 / 40 = 0.975: accepted; one count less is not."""
    words = ["ACGTACGT", "ACGTACGA"]
    for exact, state in ((38, "corrected"), (37, "ambiguous")):
        reads = ["ACGTACGT"] * exact + ["ACGTACGC"]
        got = check(reads, ["!" * 8] * len(reads), oracle.listing(words), build(words), "cellranger", backend)
        assert matching.STATES[got.state[-1]] == state


def test_n_at_every_position(backend: str) -> None:
    words = ["ACGTACGTACGTACGT", "TTTTACGTACGTACGT", "ACGTACGTACGTACGA"]
    reads = [words[1][:k] + "N" + words[1][k + 1 :] for k in range(16)]
    reads += [words[0][:-1] + "N", "NN" + words[0][2:], "N" * 16, "AN" + words[1][2:]]
    got = check(reads, None, oracle.listing(words), build(words), "cellranger", backend)
    assert (got.index[:16] == 1).all()
    assert [matching.STATES[s] for s in got.state[16:]] == ["n", "n", "n", "n"]


def test_order_and_threads_change_nothing() -> None:
    rng = np.random.default_rng(3)
    words = LISTS["blocks 8|8"](rng)
    reads, quality = map(ascii_rows, noisy_reads(rng, words, 30_000))
    built = build(words)
    order = rng.permutation(len(reads))
    for policy in matching.POLICIES:
        one = matching.match(reads, quality, built, policy=policy)
        shuffled = matching.match(reads[order], quality[order], built, policy=policy)
        with _backend.threads(1):
            single = matching.match(reads, quality, built, policy=policy)
        for name in ("index", "state", "posterior", "changed"):
            assert np.array_equal(getattr(one, name)[order], getattr(shuffled, name))
            assert np.array_equal(getattr(one, name), getattr(single, name))
        assert np.array_equal(one.counts, shuffled.counts)


def test_rows_are_those_of_the_list_as_given() -> None:
    rng = np.random.default_rng(9)
    words = sorted(LISTS["product 7|9"](rng))
    shuffled = [words[i] for i in rng.permutation(len(words))]
    got = matching.match(ascii_rows(shuffled), None, build(shuffled))
    assert got.index.tolist() == list(range(len(words)))
    assert build(words).order is None


@pytest.mark.parametrize("policy", matching.POLICIES)
def test_no_reads(policy: str, backend: str) -> None:
    built = build(["ACGTACGT", "TTTTACGT"])
    got = matching.match(np.zeros((0, 8), np.uint8), np.zeros((0, 8), np.uint8), built, policy=policy, device=backend)
    assert got.index.size == got.state.size == 0
    assert got.counts.sum() == 0


def test_bad_reads_are_refused() -> None:
    built = build(["ACGTACGT", "TTTTACGT"])
    with pytest.raises(InputError, match=r"read 2: read 'ACGTAC-T'"):
        matching.match(ascii_rows(["ACGTACGT", "ACGTAC-T"]), None, built)
    with pytest.raises(InputError, match=r"needs \(reads, 8\)"):
        matching.match(ascii_rows(["ACGTACG"]), None, built)
    with pytest.raises(InputError, match="cellranger, unique, calibrated"):
        matching.match(ascii_rows(["ACGTACGT"]), None, built, policy="best")


# --- the calibrated policy -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["product 7|9", "blocks 8|8", "dense 3|3", "random 16", "random 4", "random 21"])
def test_shares_equal_oracle(kind: str, backend: str) -> None:
    rng = np.random.default_rng(21)
    words = LISTS[kind](rng)
    reads, quality = noisy_reads(rng, words, 150)
    reads = [oracle.clean(r) for r in reads]
    error = np.clip(10.0 ** (-(np.arange(256) - 33) / 10), 1e-5, 0.75)
    weights = rng.pareto(1.0, len(words)).astype(np.float32)
    order = np.argsort(words)
    for how in ({}, {"product": False}):
        built = build(words, **how)
        codes, n_at = barcodes.pack(ascii_rows(reads))
        exact = barcodes.look_up(codes, n_at, built, counts=np.zeros(built.n, np.int32))
        held = [codes, n_at, exact, ascii_rows(quality), weights[order]]
        if backend == "cuda":
            held = [_backend.to_device(a) for a in held]
        out = barcodes.shares(*held[:4], built, weights=held[4], error=error, device=backend)
        ranks, _, found, best, mass, scale = (_backend.to_host(a) for a in out)
        for i, read in enumerate(reads):
            rates = [float(error[ord(q)]) for q in quality[i]]
            row, n, highest, total, factor = oracle.shares(read, words, weights.tolist(), rates)
            assert found[i] == n
            assert (built.rows(ranks[i : i + 1])[0] if ranks[i] >= 0 else -1) == row
            assert np.allclose([best[i], mass[i], scale[i]], [highest, total, factor], rtol=1e-9, atol=0)


def test_numba_and_the_cuda_source_agree_to_the_bit(backend: str) -> None:
    """Of the calibrated policy too: integers and float64 alike."""
    rng = np.random.default_rng(31)
    words = LISTS["blocks 8|8"](rng)
    reads, quality = map(ascii_rows, noisy_reads(rng, words, 3000))
    for how in ({}, {"product": False}):
        built = build(words, **how)
        here = matching.match(reads, quality, built, policy="calibrated")
        there = matching.match(reads, quality, built, policy="calibrated", device=backend)
        for name in ("index", "state", "posterior", "changed", "counts"):
            assert np.array_equal(getattr(here, name), getattr(there, name)), name


def simulated(rng: np.random.Generator, built: w.Whitelist, n: int, inflation: float, junk: float,
              ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads, qualities and true ranks (-1: junk); the true error rate is `inflation` times what the quality says."""
    cells, size = rng.choice(built.n, 300, replace=False), rng.lognormal(0, 1, 300)
    truth = np.where(rng.random(n) < 0.9, rng.choice(cells, n, p=size / size.sum()), rng.integers(0, built.n, n))
    reads = w.decode(built.codes()[truth], built.length)
    quality = rng.choice(np.array([70, 58, 44, 35], np.uint8), reads.shape, p=(0.9, 0.06, 0.03, 0.01))
    rate = np.minimum(inflation * 10.0 ** (-(quality.astype(float) - 33) / 10), 0.7)
    wrong = rng.random(reads.shape) < rate
    code = np.searchsorted(LETTERS, reads)
    reads[wrong] = LETTERS[(code[wrong] + rng.integers(1, 4, int(wrong.sum()))) % 4]
    is_junk = rng.random(n) < junk
    reads[is_junk] = LETTERS[rng.integers(0, 4, (int(is_junk.sum()), built.length))]
    return reads, quality, np.where(is_junk, -1, truth)


@pytest.mark.parametrize(("inflation", "junk"), [(1.0, 0.0), (3.0, 0.02)])
def test_calibrated_posterior_is_true(inflation: float, junk: float) -> None:
    """Of the reads at posterior p a share p is right, though the qualities are wrong; fewer go to a wrong barcode."""
    rng = np.random.default_rng(17)
    built = build(sorted(products(rng, [(300, 700)], 7, 9)))
    reads, quality, truth = simulated(rng, built, 300_000, inflation, junk)
    good = matching.match(reads, quality, built, policy="calibrated")
    plain = matching.match(reads, quality, built)
    codes, n_at = barcodes.pack(reads)
    exact = barcodes.look_up(codes, n_at, built, counts=np.zeros(built.n, np.int32))
    model, weighed = matching.calibrate(codes, n_at, exact, quality, built, counts=good.counts)
    p = matching.settle(model, n_at, exact, weighed, built.length)[2]
    judged = (exact < 0) & (weighed[0] >= 0)
    for low, high in ((0.0, 0.2), (0.2, 0.8), (0.8, 0.975), (0.975, 1.01)):
        here = judged & (p >= low) & (p < high)
        right, said = (weighed[0][here] == truth[here]).mean(), p[here].mean(dtype=np.float64)
        spread = 4 * np.sqrt(said * (1 - said) / here.sum())
        assert here.sum() > 30
        assert abs(right - said) < spread + (0.06 if high < 1 else 2e-4), (low, high, here.sum(), right, said)
    assert abs(model.junk - junk) < 0.2 * junk + 0.003
    wrong = [float((x.index[x.state == 1] != truth[x.state == 1]).mean()) for x in (good, plain)]
    assert wrong[0] < wrong[1] / 5


def test_a_barcode_seen_once_weighs_what_ambient_ones_do() -> None:
    """Ambient reads on any barcode, 200 cells: a barcode weighs what its class gives, not what it gave itself."""
    rng = np.random.default_rng(23)
    built = build(sorted(products(rng, [(300, 700)], 7, 9)))
    rates = np.full(built.n, 0.05)
    rates[rng.choice(built.n, 200, replace=False)] = 300.0
    counts = rng.poisson(rates).astype(np.int32)
    weights = matching.barcode_weights(counts, built, 0.0, "cpu")
    for reads in (0, 1):
        assert 0.04 < weights[counts == reads].mean() < 0.11
    assert np.array_equal(weights[counts > 40], counts[counts > 40])
    assert abs(weights.sum(dtype=np.float64) / rates.sum() - 1.0) < 0.03


# --- real lists ------------------------------------------------------------------------------------------------------
def packed(listed: oracle.Factored) -> np.ndarray:
    """Packed barcodes in the order of the rows."""
    parts = []
    for lefts, rights in listed.blocks():
        bits = np.uint64(2 * len(rights[0]))
        left, right = (barcodes.pack(ascii_rows(words))[0] for words in (lefts, rights))
        parts.append(((left[:, None] << bits) | right).ravel())
    return np.concatenate(parts)


REAL = {"10x_v1_737K-april-2014_rc": (14, 1), "10x_v2_737K-august-2016": (16, 1), "10x_v3_3M-february-2018": (16, 1),
        "10x_v4": (16, 8), "10x_arc_gex_737K-arc-v1": (16, 4)}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_lists_agree_with_the_oracle(name: str, public_data: Path) -> None:
    listed = oracle.Factored(public_data / "barcode-lists-factored" / f"{name}.blocks.tsv.gz")
    length, blocks = REAL[name]
    codes = packed(listed)
    built = w.whitelist(codes, length)
    assert (built.n, built.blocks) == (len(listed), blocks)
    assert built.nbytes - (0 if built.order is None else built.order.nbytes) < 4_000_000
    rng = np.random.default_rng(8)
    words = [r.tobytes().decode() for r in w.decode(codes[rng.choice(codes.size, 600, replace=False)], length)]
    reads, quality = noisy_reads(rng, words, 4000, rate=0.03)
    for policy in ("cellranger", "unique"):
        got = check(reads, quality, listed, built, policy, "cpu")
        assert (np.bincount(got.state, minlength=5) > 0).all()


@pytest.mark.real
def test_product_and_generic_path_agree_on_a_real_list(public_data: Path) -> None:
    with gzip.open(public_data / "barcode-whitelists" / "737K-august-2016.txt.gz") as handle:
        rows = np.frombuffer(handle.read(), np.uint8).reshape(-1, 17)[:, :16].copy()
    codes, _ = barcodes.pack(rows)
    product, generic = w.whitelist(codes, 16), w.whitelist(codes, 16, product=False)
    assert (product.blocks, product.cut, generic.blocks) == (1, 7, 0)
    rng = np.random.default_rng(4)
    words = [r.tobytes().decode() for r in rows[rng.choice(len(rows), 3000)]]
    reads, quality = map(ascii_rows, noisy_reads(rng, words, 100_000, rate=0.02))
    for policy in matching.POLICIES:
        a, b = (matching.match(reads, quality, x, policy=policy) for x in (product, generic))
        for name in ("index", "state", "posterior", "changed", "counts"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), (policy, name)
