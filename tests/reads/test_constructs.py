"""Target sequences and what reads say about them: names, segments, decoys, features, warnings, errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sclineage._errors import InputError
from sclineage.reads.constructs import Calls, Targets, load_targets

LETTERS = np.array(list("ACGT"))


def dna(seed: int, n: int) -> str:
    return "".join(LETTERS[np.random.default_rng(seed).integers(0, 4, n)])


def back(sequence: str) -> str:
    return sequence[::-1].translate(str.maketrans("ACGTacgt", "TGCAtgca"))


def write(path: Path, records: Sequence[tuple[str, str]]) -> Path:
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in records))
    return path


def laid_out(reads: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    text = np.frombuffer("".join(reads).encode(), np.uint8)
    return text, np.concatenate([[0], np.cumsum([len(r) for r in reads])]).astype(np.int64)


def classify(targets: Targets, reads: Sequence[str]) -> tuple[list[str], Calls]:
    calls = targets.classify(*laid_out(reads), device="cpu")
    return ["" if f < 0 else targets.features[f] for f in calls.feature], calls


LEADER, BINDER_A, BINDER_B, HINGE, TAIL = (dna(s, n) for s, n in ((1, 60), (2, 400), (3, 400), (4, 150), (5, 300)))
NATIVE_HINGE = dna(6, 200) + HINGE + dna(7, 200)
NATIVE_TAIL = dna(8, 200) + TAIL + dna(9, 200)
A, B = LEADER + BINDER_A + HINGE + TAIL, LEADER + BINDER_B + HINGE + TAIL
SEGMENTS = "segments=leader:1-60,binder:61-460,hinge:461-610,tail:611-910"


@pytest.fixture
def two(tmp_path: Path) -> Targets:
    fasta = write(tmp_path / "t.fa", [(f"carB {SEGMENTS}", B), (f"carA {SEGMENTS}", A)])
    decoys = write(tmp_path / "d.fa", [("HINGE", NATIVE_HINGE), ("TAIL", back(NATIVE_TAIL))])
    return load_targets(fasta, decoys=decoys)


def test_features_are_sorted_and_shared_ones_beside(two: Targets) -> None:
    names = ["carA", "carB", "carA_or_carB", "unresolved"]
    assert two.features == names + [f"{n}:shared" for n in names]
    assert not two.warnings and two.car_counting == "unique"


def test_reads_of_every_part(two: Targets) -> None:
    """On both strands and in either case."""
    reads = {A[100:190]: "carA", B[100:190]: "carB", HINGE[10:100]: "carA_or_carB:shared",
             TAIL[200:290]: "carA_or_carB:shared", A[420:510]: "carA", dna(50, 90): "", "": "", "A" * 90: "",
             "N" * 90: "", A[100:120]: "", A[100:125]: "", A[3:55]: "carA_or_carB",
             A[100:150] + B[150:200]: "unresolved", A[565:655]: "carA_or_carB"}
    for turn in (str, back, str.lower):
        found, calls = classify(two, [turn(r) for r in reads])
        assert found == list(reads.values())
        assert not calls.endogenous.any()


def test_junction_needs_ten_bases_on_both_sides(two: Targets) -> None:
    found, calls = classify(two, [A[at : at + 25] for at in (444, 445, 450, 451)] + [A[436:470]])
    assert calls.junction.tolist() == [False, True, True, False, True]
    assert [found[i] for i in (1, 2, 4)] == ["carA"] * 3


def test_endogenous_read_supports_the_decoy(two: Targets) -> None:
    """A read that leaves the shared stretch into the native gene is endogenous, one that stays inside says nothing."""
    found, calls = classify(two, [NATIVE_HINGE[160:250], NATIVE_HINGE[210:300], NATIVE_HINGE[100:190]])
    assert found == ["carA_or_carB:shared", "carA_or_carB:shared", ""]
    assert calls.endogenous.tolist() == [True, False, True]
    assert calls.unique_bases.tolist() == [0, 0, 0]


def test_an_n_breaks_kmers(two: Targets) -> None:
    read = list(A[100:190])
    for at in range(20, 90, 20):
        read[at] = "N"
    assert classify(two, ["".join(read)])[0] == [""]
    read = list(A[100:190])
    read[45] = "N"
    assert classify(two, ["".join(read)])[0] == ["carA"]


def test_order_of_records_and_files_changes_nothing(tmp_path: Path, two: Targets) -> None:
    one, other = (write(tmp_path / f"{n}.fa", [(f"{n} {SEGMENTS}", s)]) for n, s in (("carA", A), ("carB", B)))
    decoys = write(tmp_path / "e.fa", [("TAIL", back(NATIVE_TAIL)), ("HINGE", NATIVE_HINGE)])
    again = load_targets([other, one], decoys=decoys)
    reads = [s[i : i + 90] for s in (A, B, NATIVE_HINGE) for i in range(0, len(s) - 90, 7)]
    assert again.features == two.features
    a, b = classify(two, reads)[1], classify(again, reads)[1]
    for name in ("feature", "unique_bases", "junction", "endogenous"):
        assert np.array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize(("text", "says"), [
    ("", "empty"), ("ACGT\n", "before the first '>'"), (">a\n>b\nACGT\n", "record 'a' has no bases"),
    (">\nACGT\n", "without a name"), (f">a\n{A}\n>a\n{B}\n", "there twice"), (f">a+b\n{A}\n", "name of a feature"),
    (f">unresolved\n{A}\n", "name of a feature"), (">a\nACGT1\n", "'1' is no base"), (">a\nACGT\n", "has 4 bases"),
    (f">a kind=cat\n{A}\n", "kind=cat"), (f">a segments=x:1-9999\n{A}\n", "1-9999"),
    (f">a segments=x:one-2\n{A}\n", "segment 'x:one-2'"), (f">a segments=x:0-20\n{A}\n", "0-20"),
])
def test_bad_fasta_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "t.fa"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        load_targets(path)
    assert "\n" not in str(caught.value)


def test_bad_decoys(tmp_path: Path) -> None:
    fasta = write(tmp_path / "t.fa", [("car", A)])
    with pytest.raises(InputError, match="one of the targets"):
        load_targets(fasta, decoys=fasta)
    with pytest.raises(InputError, match="every k-mer of it is in the decoys"):
        load_targets(fasta, decoys=write(tmp_path / "d.fa", [("other", dna(1, 60) + A)]))
    with pytest.raises(InputError, match="does not exist"):
        load_targets(fasta, decoys=tmp_path / "absent.fa")


GTF = 'car\tme\texon\t1\t60\t.\t+\t.\tgene_id "car"; exon_id "leader";\n'


@pytest.mark.parametrize(("text", "says"), [
    (GTF.replace("car\t", "cat\t") + GTF, "no record 'cat'"), (GTF.replace("\t60\t", "\t99999\t"), "1-99999"),
    (GTF.replace("\t60\t", "\tsixty\t"), "no GTF row"), ("# nothing\n", "no segment"),
    (GTF.split("gene_id")[0] + "note \"x\";\n", "without a name"),
])
def test_bad_gtf(tmp_path: Path, text: str, says: str) -> None:
    fasta = write(tmp_path / "t.fa", [("car", A)])
    (tmp_path / "t.gtf").write_text(text)
    with pytest.raises(InputError, match=says):
        load_targets(fasta)


def test_gtf_beside_the_fasta(tmp_path: Path) -> None:
    """One record and one name in the GTF belong together, whatever they are called."""
    fasta = write(tmp_path / "t.fasta", [("car", A)])
    (tmp_path / "t.gtf").write_text(GTF.replace("car\t", "x\t") + GTF.replace("car\t", "x\t").replace(
        "1\t60", "61\t460").replace("leader", "binder"))
    table = load_targets(fasta).segments()
    assert table["segment"].tolist() == ["leader", "binder"]
    assert table["junction"].tolist() == [3, 6]


def test_promoters_never_count(tmp_path: Path) -> None:
    fasta = write(tmp_path / "t.fa", [("v segments=EF1a_promoter:1-300,binder:301-700", dna(30, 300) + BINDER_A)])
    targets = load_targets(fasta)
    found, _ = classify(targets, [dna(30, 300)[i : i + 90] for i in range(0, 200, 10)])
    assert set(found) == {"v:shared"}
    assert classify(targets, [BINDER_A[100:190]])[0] == ["v"]


def test_no_decoys_is_said(tmp_path: Path) -> None:
    targets = load_targets(write(tmp_path / "t.fa", [("car", A)]))
    assert "no decoys" in targets.warnings[0] and targets.car_counting == "unknown"
    assert targets.features == ["car", "car:shared"]


def test_what_a_chemistry_sees(tmp_path: Path) -> None:
    """A coding sequence alone is blind in a 3' library; with its 3' end it is not; a 5' library sees the binder."""
    cds = write(tmp_path / "cds.fa", [(f"car {SEGMENTS}", A)])
    utr = dna(21, 500).replace("AATAAA", "AATCAA").replace("ATTAAA", "ATTCAA") + "AATAAA" + dna(22, 40)
    whole = write(tmp_path / "whole.fa", [(f"car {SEGMENTS}", A + utr)])
    decoys = write(tmp_path / "d.fa", [("HINGE", NATIVE_HINGE), ("TAIL", NATIVE_TAIL)])
    seen = {name: load_targets(p, decoys=decoys, chemistry=c) for name, p, c in (
        ("3cds", cds, "10x-3p-v3"), ("3whole", whole, "10x-3p-v3"), ("5cds", cds, "10x-5p-v2"))}
    assert seen["3cds"].unseen == ["car"] and "segment_not_seen_by_chemistry" in seen["3cds"].warnings[0]
    assert not seen["3whole"].unseen and not seen["5cds"].unseen
    assert not seen["3whole"].warnings


def test_virus_is_counted_by_locus_and_yields_to_the_vector(tmp_path: Path) -> None:
    genome = dna(40, 900)
    fasta = write(tmp_path / "t.fa", [("HIV kind=virus segments=gag:1-400,pol:350-800", genome),
                                      (f"vector {SEGMENTS}", A + genome[:200])])
    targets = load_targets(fasta)
    found, _ = classify(targets, [genome[10:100], genome[250:340], genome[500:590], genome[810:900]])
    assert found == ["vector", "HIV_gag", "HIV_pol", ""]
