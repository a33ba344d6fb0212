"""A library batch by batch is the library at once; chemistries; molecules and their table."""

from __future__ import annotations

import gzip
from pathlib import Path

import dnaio
import numpy as np
import pandas as pd
import pytest

from sclineage._errors import InputError
from sclineage.kernels import barcodes, matching
from sclineage.kernels.barcodes import pack
from sclineage.kernels.whitelists import decode
from sclineage.reads import library, molecules
from sclineage.reads.chemistries import CHEMISTRIES, Segment, chemistry, reverse_complement
from sclineage.reads.fastq import read_single
from sclineage.reads.whitelists import from_words, read_whitelist
from tests.oracles import barcodes as barcode_oracle
from tests.oracles import umis as umi_oracle
from tests.oracles.barcodes import Factored

LETTERS = np.array(list("ACGT"))


def words(n: int, length: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return sorted({"".join(r) for r in LETTERS[rng.integers(0, 4, (n, length))]})


def write_fastq(path: Path, reads: list[tuple[str, str]]) -> Path:
    text = "".join(f"@r{k}\n{s}\n+\n{q}\n" for k, (s, q) in enumerate(reads))
    path.write_bytes(gzip.compress(text.encode()))
    return path


def noisy(listed: list[str], n: int, extra: int = 12, seed: int = 1) -> list[tuple[str, str]]:
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        bases = list(listed[int(rng.pareto(0.7) * 3) % len(listed)] + "".join(LETTERS[rng.integers(0, 4, extra)]))
        for k in np.flatnonzero(rng.random(len(bases)) < 0.05):
            bases[k] = str(rng.choice(list("ACGTNacgt")))
        read = "".join(bases)[: int(rng.choice([len(bases), 5], p=[0.98, 0.02]))]
        out.append((read, "".join(rng.choice(list("F:,#"), len(read)))))
    return out


# --- chemistries -----------------------------------------------------------------------------------------------------
def test_names_and_specs() -> None:
    assert chemistry("10x-3p-v3.1") is CHEMISTRIES["10x-3p-v3"]
    assert chemistry("10x-5p-v1").umi == Segment(16, 10)
    assert {c.umi.length for c in CHEMISTRIES.values()} == {10, 12}
    plain = chemistry("r1:bc16,umi12")
    assert (plain.read, plain.barcode, plain.umi, plain.bases) == (1, Segment(0, 16), Segment(16, 12), 28)
    other = chemistry("R2: umi8, skip4, bc10")
    assert (other.read, other.barcode, other.umi, other.bases) == (2, Segment(12, 10), Segment(0, 8), 22)


@pytest.mark.parametrize("name", ["10x-3p-v9", "", "r1:bc16", "r3:bc16,umi12", "r1:bc16,umi12,umi3", "r1:bc33,umi12",
                                  "r1:bc0,umi12", "bc16,umi12", "r1:bc16;umi12"])
def test_bad_chemistries(name: str) -> None:
    with pytest.raises(InputError, match="chemistry"):
        chemistry(name)


def test_reverse_complement() -> None:
    codes = pack(np.frombuffer(b"ACGGTAAATTTT", np.uint8).reshape(2, 6).copy())[0]
    want = pack(np.frombuffer(b"TACCGTAAAATT", np.uint8).reshape(2, 6).copy())[0]
    assert reverse_complement(codes, 6).tolist() == want.tolist()


def test_wrong_list_is_refused_with_what_was_seen(tmp_path: Path) -> None:
    mine, theirs = words(300, 16), words(300, 16, seed=9)
    path = write_fastq(tmp_path / "r1.fastq.gz", noisy(mine, 500))
    (batch,) = read_single([path])
    used = chemistry("r1:bc16,umi12")
    assert library.check_chemistry(batch, used, from_words(mine), listed="mine") > 0.3
    with pytest.raises(InputError, match=r"theirs: only 0.0% of the first \d+ barcodes.*mine: [3-9]\d"):
        library.check_chemistry(batch, used, from_words(theirs), listed="theirs", others={"mine": from_words(mine)})
    back = [w[::-1].translate(str.maketrans("ACGT", "TGCA")) for w in mine]
    with pytest.raises(InputError, match=r"reverse complement: [3-9]\d"):
        library.check_chemistry(batch, used, from_words(back), listed="back")
    short = write_fastq(tmp_path / "short.fastq.gz", [("ACGT", "FFFF")] * 3)
    (batch,) = read_single([short])
    with pytest.raises(InputError, match="none of the first 3 reads has a whole barcode"):
        library.check_chemistry(batch, used, from_words(mine), listed="mine")


@pytest.mark.real
def test_real_v3_reads_are_not_v2(public_data: Path) -> None:
    listed = read_whitelist(public_data / "barcode-whitelists" / "737K-august-2016.txt.gz")
    v3 = read_whitelist(public_data / "barcode-lists-factored" / "10x_v3_3M-february-2018.blocks.tsv.gz")
    path = public_data / "fastq-10x" / "pbmc_v31_chr21" / "pbmc_chr21_S1_L001_R1_001.fastq.gz"
    batch = next(iter(read_single([path])))
    with pytest.raises(InputError, match=r"only 1\.\d% .*v3: 9\d\.\d%"):
        library.check_chemistry(batch, chemistry("10x-3p-v2"), listed, listed="737K-august-2016", others={"v3": v3})
    assert library.check_chemistry(batch, chemistry("10x-3p-v3"), v3, listed="3M-february-2018") > 0.9


# --- streaming -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("policy", matching.POLICIES)
def test_batches_equal_the_whole(policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_WAITING", 333)
    listed = from_words(words(400, 8))
    reads = noisy(words(400, 8), 3000)
    path = write_fastq(tmp_path / "r1.fastq.gz", reads)
    long = [(s, q) for s, q in reads if len(s) >= 8]
    rows = [np.frombuffer("".join(x[:8] for x in column).encode(), np.uint8).reshape(-1, 8).copy()
            for column in zip(*long, strict=True)]
    want = matching.match(rows[0], rows[1], listed, policy=policy)
    with library.Library(chemistry("r1:bc8,umi12"), listed, policy=policy) as met:
        kept = []
        for batch in read_single([path], batch=700):
            looked = met.add(batch)
            whole = np.flatnonzero(batch.length >= 8)
            kept.append((looked.codes[whole], looked.n_at[whole], looked.ranks[whole], batch.qualities(whole, 0, 8)))
        met.finish()
        ranks, states, posteriors = met.decide(*(np.concatenate(x) for x in zip(*kept, strict=True)))
    assert np.array_equal(listed.rows(ranks), want.index)
    assert np.array_equal(states, want.state)
    assert np.array_equal(posteriors, want.posterior)
    assert np.array_equal(met.counts, want.counts)
    assert met.states.tolist() == [*np.bincount(want.state, minlength=5).tolist(), len(reads) - len(long)]
    assert met.states.sum() == len(reads)


def test_disk_full_is_one_clear_line(tmp_path: Path) -> None:
    listed = from_words(words(50, 8))
    path = write_fastq(tmp_path / "r1.fastq.gz", noisy(words(50, 8), 200))

    class Full:
        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            """Nothing is open."""

    with library.Library(chemistry("r1:bc8,umi12"), listed) as met:
        met._waiting = Full()  # type: ignore[assignment]
        with pytest.raises(InputError, match=r"No space left on device.*TMPDIR"):
            met.add(next(iter(read_single([path]))))


@pytest.mark.real
def test_real_reads_agree_with_the_oracle(public_data: Path) -> None:
    """100,000 real reads, the real list, through the stream; what is left over is template-switch oligo and junk."""
    file = public_data / "barcode-lists-factored" / "10x_v3_3M-february-2018.blocks.tsv.gz"
    listed = read_whitelist(file)
    path = public_data / "fastq-10x" / "pbmc_v31_chr21" / "pbmc_chr21_S1_L001_R1_001.fastq.gz"
    with dnaio.open(path) as reader:
        reads, quality = zip(*((r.sequence[:16], r.qualities[:16]) for r in reader), strict=True)
    want = barcode_oracle.match(reads, quality, Factored(file), policy="cellranger")
    with library.Library(chemistry("10x-3p-v3"), listed) as met:
        looked = [(x.codes, x.n_at, x.ranks, b.qualities(np.arange(len(b)), 0, 16))
                  for b in read_single([path]) for x in [met.add(b)]]
        met.finish()
        ranks, states, posteriors = met.decide(*(np.concatenate(x) for x in zip(*looked, strict=True)))
    assert listed.rows(ranks).tolist() == [x[0] for x in want]
    assert [library.READ_STATES[s] for s in states] == [x[1] for x in want]
    assert posteriors.tolist() == [np.float32(x[2]) for x in want]
    assert met.states.tolist() == [91941, 1283, 1624, 5139, 13, 0]


# --- molecules -------------------------------------------------------------------------------------------------------
def target_reads(n: int, seed: int = 0) -> tuple[molecules.TargetReads, list[tuple[int, int, str]]]:
    rng = np.random.default_rng(seed)
    pool = ["".join(r) for r in LETTERS[rng.integers(0, 4, (n // 5, 6))]]
    names = [(int(rng.integers(4)), int(rng.integers(2)), pool[int(rng.pareto(0.7) * 3) % len(pool)]) for _ in range(n)]
    umi = pack(np.frombuffer("".join(x[2] for x in names).encode(), np.uint8).reshape(-1, 6).copy())[0]
    return molecules.TargetReads(np.array([x[0] for x in names], np.int32), np.array([x[1] for x in names], np.int32),
                                 umi, rng.integers(0, 90, n).astype(np.int32), rng.random(n) < 0.2,
                                 rng.random(n).astype(np.float32), np.ones(n, np.int64)), names


@pytest.mark.parametrize("policy", ["exact", "cellranger", "directional"])
def test_molecules_equal_oracle(policy: str) -> None:
    reads, names = target_reads(800)
    rows = umi_oracle.count(names)
    target = umi_oracle.collapse(rows, policy)
    want = umi_oracle.molecules(rows, target)
    low = umi_oracle.low_support(rows, target) if policy == "cellranger" else set()
    every = molecules.count_molecules(reads, ["CAR", "WPRE"], umi_length=6, policy=policy)
    squeezed = molecules.count_molecules(molecules.compress(reads), ["CAR", "WPRE"], umi_length=6, policy=policy)
    assert all(np.array_equal(getattr(every, f), getattr(squeezed, f)) for f in every.__dataclass_fields__)
    got = every.counted
    listed = from_words(["AAAAAAAA", "CCCCCCCC", "GGGGGGGG", "TTTTTTTT"])
    table = molecules.frame(got, listed, ["CAR", "WPRE"], 6)
    seen = {("ACGT".index(b[0]), ["CAR", "WPRE"].index(f), u): n
            for b, f, u, n in zip(table["barcode"], table["feature"], table["umi"], table["reads"], strict=True)}
    assert seen == {k: v for k, v in want.items() if k not in low}
    assert (every.fate == molecules.OTHER_FEATURE).sum() == sum(k in low for k in want)
    for k, name in enumerate(zip(got.cell, got.feature, table["umi"], strict=True)):
        mine = [i for i, x in enumerate(names) if target[x] == (int(name[0]), int(name[1]), name[2])]
        assert got.unique_bases[k] == reads.unique_bases[mine].max()
        assert got.junction[k] == reads.junction[mine].any()
        assert got.posterior[k] == reads.posterior[mine].max()


def test_table_is_the_same_bytes_and_reads_back(tmp_path: Path) -> None:
    from sclineage.patient.molecules import read_molecules

    listed = from_words(["AAAAAAAA", "CCCCCCCC", "GGGGGGGG", "TTTTTTTT"])
    reads, _ = target_reads(300)
    order = np.random.default_rng(5).permutation(300)
    shuffled = molecules.TargetReads(*(getattr(reads, f)[order] for f in reads.__dataclass_fields__))
    for name, which in (("a", reads), ("b", shuffled)):
        got = molecules.count_molecules(which, ["CAR", "WPRE"], umi_length=6).counted
        table = molecules.frame(got, listed, ["CAR", "WPRE"], 6)
        molecules.write_molecules(table, tmp_path / name / "molecules.tsv.gz")
    data = [(tmp_path / n / "molecules.tsv.gz").read_bytes() for n in "ab"]
    assert data[0] == data[1]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["molecules.tsv.gz"]
    back = pd.read_csv(tmp_path / "a" / "molecules.tsv.gz", sep="\t")
    assert tuple(back.columns) == molecules.COLUMNS
    assert read_molecules(tmp_path / "a" / "molecules.tsv.gz").counts["n"].sum() == len(back)


def test_usable_umis() -> None:
    texts = ["ACGTAC", "AAAAAA", "TTTTTT", "NCGTAC", "ACGTAC", "GGGGGC"]
    codes, n_at = barcodes.pack(np.frombuffer("".join(texts).encode(), np.uint8).reshape(-1, 6).copy())
    lowest = np.array([43, 70, 70, 70, 42, 70], np.uint8)
    assert molecules.usable_umis(codes, n_at, 6, lowest).tolist() == [True, False, False, False, False, True]
    assert molecules.usable_umis(codes, n_at, 6).tolist() == [True, False, False, False, True, True]


def test_no_molecules() -> None:
    got = molecules.count_molecules(molecules.no_reads(), ["CAR"], umi_length=10)
    table = molecules.frame(got, from_words(["ACGT"]), ["CAR"], 10)
    assert tuple(table.columns) == molecules.COLUMNS
    assert len(table) == 0


def vote(*rows: tuple[int, int, str, int]) -> dict[tuple[int, str, str], tuple[int, str]]:
    """Molecules of (cell, feature, umi, reads) rows: (cell, umi, feature) -> reads and fate."""
    features = ["A", "A:shared", "B", "B:shared", "A_or_B", "A_or_B:shared", "V"]
    columns = list(zip(*rows, strict=True))
    codes = pack(np.frombuffer("".join(columns[2]).encode(), np.uint8).reshape(len(rows), -1).copy())[0]
    n = len(rows)
    reads = molecules.TargetReads(np.array(columns[0], np.int32), np.array(columns[1], np.int32), codes,
                                  np.full(n, 60, np.int32), np.zeros(n, bool), np.ones(n, np.float32),
                                  np.array(columns[3], np.int64))
    got = molecules.count_molecules(reads, features, umi_length=4)
    texts = [u.tobytes().decode() for u in decode(got.umi, 4)]
    return {(int(c), u, features[f]): (int(r), molecules.FATES[k])
            for c, u, f, r, k in zip(got.cell, texts, got.feature, got.reads, got.fate, strict=True)}


A, A_SHARED, B, B_SHARED, A_OR_B, V = 0, 1, 2, 3, 4, 6


def test_votes_of_the_reads_of_a_molecule() -> None:
    counted = (3, "counted")
    assert vote((0, A, "ACGT", 1), (0, A_SHARED, "ACGT", 2)) == {(0, "ACGT", "A"): counted}
    assert vote((0, A_SHARED, "ACGT", 3)) == {(0, "ACGT", "A:shared"): counted}
    assert vote((0, A, "ACGT", 1), (0, A_OR_B, "ACGT", 2)) == {(0, "ACGT", "A"): counted}
    assert vote((0, A_OR_B, "ACGT", 2), (0, B_SHARED, "ACGT", 1)) == {(0, "ACGT", "A_or_B"): counted}
    assert vote((0, A, "ACGT", 2), (0, B, "ACGT", 1)) == {(0, "ACGT", "A"): counted}
    assert vote((0, A, "ACGT", 2), (0, B, "ACGT", 2)) == {(0, "ACGT", "A"): (4, "other_feature")}
    assert vote((0, A, "ACGT", 1), (1, A, "ACGT", 1)) == {(0, "ACGT", "A"): (1, "counted"),
                                                          (1, "ACGT", "A"): (1, "counted")}
    assert vote((0, A, "ACGT", 1), (0, V, "ACGT", 3)) == {(0, "ACGT", "A"): (1, "other_feature"),
                                                          (0, "ACGT", "V"): counted}


def test_an_endogenous_read_takes_the_molecule_with_it() -> None:
    assert vote((0, A, "ACGT", 9), (0, -1, "ACGT", 1)) == {(0, "ACGT", "A"): (9, "endogenous")}
    assert vote((0, A, "ACGT", 9), (1, -1, "ACGT", 1)) == {(0, "ACGT", "A"): (9, "counted")}
    # the read of the misread UMI goes with its molecule, and so does the endogenous one beside it
    assert vote((0, A, "ACGT", 9), (0, A, "ACGA", 1), (0, -1, "ACGA", 1)) == {(0, "ACGT", "A"): (10, "endogenous")}
