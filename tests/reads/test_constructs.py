"""Target sequences and what reads say about them: names, segments, decoys, features, warnings, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sclineage._errors import InputError
from sclineage.kernels import kmers
from sclineage.reads.constructs import Targets, load_targets
from sclineage.reads.fasta import read_fasta
from tests.reads.small import (
    BINDER_A,
    HINGE,
    NATIVE_HINGE,
    NATIVE_TAIL,
    SEGMENTS,
    TAIL,
    A,
    B,
    back,
    classify,
    dna,
    write,
)


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
    found, _ = classify(targets, [genome[10:100], genome[250:340], genome[500:590], genome[805:895],
                                   genome[300:390], genome[320:410]])
    assert found == ["vector", "HIV_gag", "HIV_pol", "HIV_intergenic", "HIV_gag", "HIV_gag"]


# --- real constructs ---
PRODUCTS = {"axicel": "axicel_HM852952", "tisacel": "tisacel_US9499629B2", "idecel": "idecel_WO2021091978A1",
            "ciltacel": "ciltacel_WO2022116086A1"}


@pytest.fixture(scope="module")
def real(public_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Targets, list[bytes]]:
    """Four products under short names, with their annotation, and the human homologues as decoys."""
    folder, scratch = public_data / "car-constructs", tmp_path_factory.mktemp("real")
    fasta = [write(scratch / f"{name}.fa", [(name, next(read_fasta(folder / f"{file}.fasta")).sequence.decode())])
             for name, file in PRODUCTS.items()]
    gtf = [next(folder.glob(f"{name}*.gtf")) for name in PRODUCTS]
    decoys = folder / "human_homologues_and_scfv_parts.fasta"
    return load_targets(fasta, gtf=gtf, decoys=decoys), [r.sequence for r in read_fasta(decoys)]


def _one_hot(sequence: bytes, k: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(sequence, np.uint8), k)
    return np.concatenate([windows == b for b in b"ACGT"], axis=1).astype(np.float32)


@pytest.mark.real
def test_masking_is_complete_on_real_constructs(real: tuple[Targets, list[bytes]]) -> None:
    """Brute force: every construct k-mer against every decoy k-mer on both strands; no more and no less is masked."""
    targets, decoys = real
    human = np.concatenate([_one_hot(s, 25) for d in decoys for s in (d, back(d.decode()).encode())])
    for target in targets.targets:
        own = _one_hot(target.sequence, 25)
        nearest = 25 - np.max([(own @ human[i : i + 8192].T).max(axis=1) for i in range(0, len(human), 8192)], axis=0)
        flags = kmers.places(target.sequence, targets.index)
        assert np.array_equal((flags & kmers.cpu.FLAG_SHARED) != 0, nearest <= 1)
        assert np.array_equal((flags & kmers.cpu.FLAG_NEAR) != 0, nearest == 2)
        assert (nearest <= 1).any()


@pytest.mark.real
def test_native_tail_of_axicel_never_counts(real: tuple[Targets, list[bytes]]) -> None:
    """Of reads inside its CD28 and CD247 parts none counts, of reads inside its binder all do."""
    targets, _ = real
    axicel = next(t for t in targets.targets if t.name == "axicel").sequence.decode()
    for first, last, shared in ((809, 1131, True), (1131, 1470, True), (68, 809, False)):
        reads = [axicel[i : i + 90] for i in range(first, last - 89)]
        for turn in (str, back):
            found, _ = classify(targets, [turn(r) for r in reads])
            assert all(f.endswith(":shared") == shared and f for f in found)


@pytest.mark.real
def test_two_products_in_one_patient(real: tuple[Targets, list[bytes]]) -> None:
    """Axi-cel and tisa-cel have one binder: linker and junctions tell them apart, the rest does not."""
    targets, _ = real
    axicel, tisacel = (next(t for t in targets.targets if t.name == n).sequence.decode() for n in ("axicel", "tisacel"))
    binder = [axicel[i : i + 90] for i in range(150, 700, 10)]
    found = classify(targets, binder)[0]
    assert set(found) == {"axicel", "axicel_or_tisacel"} and found.count("axicel_or_tisacel") >= 40
    assert classify(targets, [axicel[760:850], tisacel[740:830]])[0] == ["axicel", "tisacel"]


@pytest.mark.real
def test_every_locus_of_two_viruses_is_a_feature(public_data: Path, tmp_path: Path) -> None:
    """EBV by the genes of its GFF3 file, HHV-6B by its coding sequences; reads find the locus they were cut from."""
    ebv = next(read_fasta(public_data / "virus-references" / "ebv" / "NC_007605.fasta.gz"))
    fasta = write(tmp_path / "ebv.fa", [("NC_007605.1 kind=virus", ebv.sequence.decode())])
    gff = public_data / "virus-references" / "ebv" / "NC_007605.improved.gff3.gz"
    targets = load_targets(fasta, gtf=gff)
    assert len([f for f in targets.features if not f.endswith(":shared")]) > 80
    assert not targets.warnings
    names = [t.name for t in targets.targets]
    assert "NC_007605.1_EBNA-1" in names or "NC_007605.1_BKRF1" in names
    for target in targets.targets[::7]:
        text = target.sequence.decode()
        found, calls = classify(targets, [text[i : i + 90] for i in range(0, len(text) - 90, 97)])
        own = [f for f in found if target.name in f.split("_or_")]
        assert len(own) >= 0.9 * len(found) and not calls.endogenous.any()
