"""The k-mer filter: oracle, Numba, CUDA source and CUDA alike; and that endogenous reads never become a CAR."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sclineage._errors import InputError
from sclineage.kernels import kmers
from tests.oracles import kmers as oracle

LETTERS = np.array(list("ACGT"))
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def random_sequence(rng: np.random.Generator, n: int) -> str:
    return "".join(LETTERS[rng.integers(0, 4, n)])


def back(sequence: str) -> str:
    return sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))


def laid_out(reads: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    length = np.array([len(r) for r in reads], np.int32)
    start = np.concatenate([[0], np.cumsum(length + 1)[:-1]]).astype(np.int64)
    return np.frombuffer(("\n".join(reads) + "\n").encode(), np.uint8), start, length


def check(reads: Sequence[str], targets: Sequence[str], decoys: Sequence[str], k: int,
          junctions: Sequence[Sequence[int]], device: str) -> kmers.Scan:
    built = kmers.index(targets, decoys=decoys, k=k, junctions=junctions)
    plain = oracle.Index(targets, decoys, k, junctions, 10)
    got = kmers.scan(*laid_out(reads), built, device=device)
    want = [oracle.scan(r, plain) for r in reads]
    assert [kmers.KINDS[x] for x in got.kind] == [w[0] for w in want]
    assert [None if x < 0 else frozenset(built.members[x]) for x in got.set] == [w[1] for w in want]
    assert got.unique_bases.tolist() == [w[2] for w in want]
    assert got.endogenous_bases.tolist() == [w[3] for w in want]
    assert got.junction.tolist() == [w[4] for w in want]
    return got


def mutated(rng: np.random.Generator, read: str, rate: float) -> str:
    out = list(read)
    for i in np.flatnonzero(rng.random(len(out)) < rate):
        out[i] = str(rng.choice(list("ACGTNacgt")))
    return "".join(out)


def chimera(rng: np.random.Generator) -> tuple[list[str], list[str], list[list[int]]]:
    """Two constructs that share a domain with each other and two with nature, and their junctions."""
    domains = [random_sequence(rng, 90) for _ in range(6)]
    one = domains[0] + domains[1] + domains[2]
    two = domains[3] + domains[1] + domains[4]
    changed = list(domains[2])
    changed[::20] = ["A" if b != "A" else "C" for b in changed[::20]]
    recoded = list(domains[3])
    for at in (20, 31, 60, 71, 80):
        recoded[at] = "G" if recoded[at] != "G" else "T"
    decoys = [random_sequence(rng, 250) + domains[1] + random_sequence(rng, 50), back("".join(changed)), domains[5],
              random_sequence(rng, 30) + "".join(recoded)]
    return [one, two], decoys, [[90, 180], [90, 180]]


@pytest.mark.parametrize("k", [13, 17, 25, 31])
def test_scan_equals_oracle(k: int, backend: str) -> None:
    rng = np.random.default_rng(k)
    targets, decoys, junctions = chimera(rng)
    sources = [*targets, *decoys, targets[0][:60] + targets[1][200:260], random_sequence(rng, 300)]
    reads = ["", "ACGT", "N" * 90]
    for _ in range(400):
        source = sources[int(rng.integers(len(sources)))]
        at = int(rng.integers(max(1, len(source) - 90)))
        read = source[at : at + int(rng.integers(10, 91))]
        reads.append(mutated(rng, back(read) if rng.random() < 0.5 else read, float(rng.choice([0, 0.01, 0.05]))))
    got = check(reads, targets, decoys, k, junctions, backend)
    if k == 25:
        assert set(got.kind.tolist()) == {0, 1, 2, 3, 4}
        assert np.count_nonzero(got.endogenous_bases) > 20


@QUICK
@given(st.data())
def test_scan_property(data: st.DataObject) -> None:
    """A small alphabet makes k-mers repeat, overlap and nearly agree."""
    k = data.draw(st.sampled_from([13, 14, 16]))
    text = st.text("AC", min_size=k, max_size=50)
    targets = data.draw(st.lists(text, min_size=1, max_size=3))
    decoys = data.draw(st.lists(st.text("ACGN", max_size=40), max_size=2))
    reads = data.draw(st.lists(st.text("ACN", max_size=60), min_size=1, max_size=5)) + targets
    junctions = [data.draw(st.lists(st.integers(0, 50), max_size=2)) for _ in targets]
    check(reads, targets, decoys, k, junctions, "cpu")


def test_one_unique_kmer_is_not_enough(backend: str) -> None:
    rng = np.random.default_rng(0)
    target = random_sequence(rng, 300)
    reads = [target[50:75], target[50:82], target[50:83], target[50:75] + "N" + target[76:101]]
    got = check(reads, [target], [], 25, [[]], backend)
    assert [kmers.KINDS[x] for x in got.kind] == ["weak", "weak", "unique", "unique"]


def test_single_evidence_must_be_three_mismatches_away(backend: str) -> None:
    """A clean stretch of 33 bases or a junction counts only if no decoy has it with two changes."""
    rng = np.random.default_rng(11)
    target = random_sequence(rng, 300)
    for changes, kinds in (((147, 149), ["weak", "weak"]), ((145, 148, 152), ["unique", "unique"])):
        decoy = list(target)
        for at in changes:
            decoy[at] = {"A": "C", "C": "G", "G": "T", "T": "A"}[decoy[at]]
        for at in list(range(0, 120, 5)) + list(range(180, 300, 5)):
            decoy[at] = {"A": "C", "C": "G", "G": "T", "T": "A"}[decoy[at]]
        reads = [target[132:165], target[137:162]]
        got = check(reads, [target], ["".join(decoy)], 25, [[148]], backend)
        assert [kmers.KINDS[x] for x in got.kind] == kinds


def test_many_targets(backend: str) -> None:
    """More targets than a word has bits, some alike: sets are closed under intersection."""
    rng = np.random.default_rng(12)
    core, tail = random_sequence(rng, 60), random_sequence(rng, 60)
    targets = [random_sequence(rng, 60) for _ in range(40)]
    targets += [targets[0] + core, targets[1] + core + tail, targets[2] + tail + core]
    reads = [t[i : i + 60] for t in targets for i in range(0, max(1, len(t) - 59), 10)]
    got = check(reads, targets, [], 25, [[]] * len(targets), backend)
    built = kmers.index(targets)
    assert {built.members[x] for x in got.set if x >= 0} >= {(3,), (0, 40), (40, 41, 42), (41, 42)}


def test_masking_reaches_one_mismatch_and_no_further() -> None:
    rng = np.random.default_rng(1)
    target = random_sequence(rng, 60)
    for changes, kind in ((0, "shared"), (1, "shared"), (2, "unique")):
        decoy = list(target)
        for i in range(5, 60, 25 // 2 if changes == 2 else 30):
            if changes:
                decoy[i] = "A" if decoy[i] != "A" else "G"
        got = check([target], [target], ["".join(decoy)], 25, [[]], "cpu")
        assert kmers.KINDS[got.kind[0]] == kind


@pytest.mark.parametrize(("arguments", "says"), [
    ({"targets": []}, "found 0 sequences"), ({"targets": ["A" * 30] * 1025}, "1025 sequences"),
    ({"targets": ["ACGT"]}, "sequence 1 has 4 bases"), ({"targets": ["A" * 50], "k": 32}, "13 to 31"),
    ({"targets": ["A" * 50], "k": 12}, "13 to 31"),
])
def test_bad_targets(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        kmers.index(**arguments)  # type: ignore[arg-type]


def test_no_reads(backend: str) -> None:
    built = kmers.index(["ACGTTGCA" * 10])
    got = kmers.scan(np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int32), built, device=backend)
    assert got.kind.size == got.set.size == 0


def fasta(path: Path) -> dict[str, str]:
    out: dict[str, str] = {}
    name = ""
    for line in path.read_text().splitlines():
        if line.startswith(">"):
            name = line[1:].split()[0]
            out[name] = ""
        else:
            out[name] += line.strip()
    return out


def cut_reads(rng: np.random.Generator, sources: Sequence[str], n: int, rate: float) -> list[str]:
    """Reads of 90 bases from either strand, with substitutions."""
    out = []
    for _ in range(n):
        source = sources[int(rng.integers(len(sources)))]
        at = int(rng.integers(len(source) - 89))
        bases = list(source[at : at + 90])
        for i in np.flatnonzero(rng.random(90) < rate):
            bases[i] = str(rng.choice([b for b in "ACGT" if b != bases[i]]))
        out.append("".join(bases) if rng.random() < 0.5 else back("".join(bases)))
    return out


@pytest.mark.real
def test_no_endogenous_read_becomes_a_car(public_data: Path) -> None:
    """Real constructs, real human homologues, 1 % error: none of 200,000 endogenous reads counts; CAR reads do."""
    folder = public_data / "car-constructs"
    targets = [next(iter(fasta(folder / f"{name}.fasta").values())).upper() for name in (
        "axicel_HM852952", "tisacel_US9499629B2", "idecel_WO2021091978A1", "ciltacel_WO2022116086A1")]
    homologues = fasta(folder / "human_homologues_and_scfv_parts.fasta")
    decoys = [s.upper() for n, s in homologues.items() if n.startswith(("NM_", "NR_"))]
    assert len(decoys) == 5
    built = kmers.index(targets, decoys=decoys)
    rng = np.random.default_rng(5)
    native = kmers.scan(*laid_out(cut_reads(rng, decoys, 200_000, 0.01)), built)
    assert np.count_nonzero(native.kind >= 3) == 0
    assert np.count_nonzero(native.kind == 1) > 1000
    scfv = [t[100:700] for t in targets]
    for bit, source in enumerate(scfv):
        own = kmers.scan(*laid_out(cut_reads(rng, [source], 5_000, 0.01)), built)
        assert (own.kind == 3).mean() > 0.99
        assert all(bit in built.members[x] for x in np.unique(own.set[own.kind == 3]))
    tail = kmers.scan(*laid_out([targets[0][-i - 90 : len(targets[0]) - i] for i in range(200)]), built)
    assert np.count_nonzero(tail.kind >= 3) == 0
