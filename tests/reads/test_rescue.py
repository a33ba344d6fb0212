"""Rescue by alignment and the refined construct."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sclineage._errors import InputError, MissingDependencyError
from sclineage.reads.consensus import consensus
from sclineage.reads.constructs import load_targets
from sclineage.reads.refine import refine_construct
from sclineage.reads.rescue import with_rescue
from tests.reads.small import (
    BINDER_A,
    HINGE,
    LEADER,
    NATIVE_HINGE,
    NATIVE_TAIL,
    SEGMENTS,
    TAIL,
    A,
    B,
    back,
    dna,
    laid_out,
    write,
)


def cut(sequence: str, n: int, seed: int, *, wrong: float = 0.01, indel: float = 0.0) -> list[str]:
    rng = np.random.default_rng(seed)
    out = []
    for at in rng.integers(0, len(sequence) - 95, n):
        bases = []
        for base in sequence[at : at + 95]:
            if rng.random() < indel:
                bases += [] if rng.random() < 0.5 else [base, str(rng.choice(list("ACGT")))]
            else:
                bases.append(str(rng.choice([x for x in "ACGT" if x != base])) if rng.random() < wrong else base)
        read = "".join(bases)[:90]
        out.append(read if rng.random() < 0.5 else back(read))
    return out


@pytest.fixture
def decoys(tmp_path: Path) -> Path:
    return write(tmp_path / "d.fa", [("HINGE", NATIVE_HINGE), ("TAIL", back(NATIVE_TAIL))])


def test_rescue_finds_poor_reads_and_no_endogenous_one(tmp_path: Path, decoys: Path) -> None:
    pytest.importorskip("mappy")
    targets = load_targets(write(tmp_path / "t.fa", [(f"carA {SEGMENTS}", A), (f"carB {SEGMENTS}", B)]), decoys=decoys)
    rescuing = with_rescue(targets, decoys)
    for sequence, name in ((A[60:460], "carA"), (B[60:460], "carB")):
        reads = laid_out(cut(sequence, 400, 1, wrong=0.04, indel=0.01))
        before = targets.classify(*reads, device="cpu")
        after = rescuing.classify(*reads, device="cpu")
        share = [np.mean([f >= 0 and targets.features[f] == name for f in c.feature]) for c in (before, after)]
        assert share[1] > share[0] + 0.1
        assert not any(f >= 0 and targets.features[f] not in (name,) for f in after.feature)
    native = cut(NATIVE_HINGE, 1000, 2, wrong=0.05, indel=0.01) + cut(NATIVE_TAIL, 1000, 3, wrong=0.05, indel=0.01)
    reads = laid_out(native + cut(dna(77, 2000), 500, 4))
    calls = rescuing.classify(*reads, device="cpu")
    assert all(f < 0 or targets.features[f].endswith(":shared") for f in calls.feature)


def edited(sequence: str) -> tuple[str, list[tuple[int, str, str]]]:
    """The sequence with two bases changed, one lost and two put in, and what mends it."""
    bases = list(sequence)
    truth = []
    for at in (150, 300):
        bases[at] = "A" if sequence[at] != "A" else "C"
        truth.append((at, bases[at], sequence[at]))
    lost, put = 220, 380
    return "".join([*bases[:lost], *bases[lost + 1 : put], "GT", *bases[put:]]), truth


def test_refined_construct_is_what_the_reads_have(tmp_path: Path, decoys: Path) -> None:
    pytest.importorskip("mappy")
    wrong, truth = edited(A)
    targets = load_targets(write(tmp_path / "t.fa", [(f"carA {SEGMENTS}", wrong)]), decoys=decoys)
    native = cut(NATIVE_HINGE, 500, 5) + cut(NATIVE_TAIL, 500, 6)
    refined = consensus(targets.targets[0], *laid_out(cut(A, 1500, 7) + native), decoys=decoys)
    assert refined.target.sequence.decode() == A
    substitutions = refined.changes[(refined.changes["was"] != "") & (refined.changes["found"] != "")]
    assert {(r.was, r.found) for r in substitutions.itertuples()} >= {(w, f) for _, w, f in truth}
    path = tmp_path / "refined.fa"
    path.write_text(refined.fasta())
    again = load_targets(path, decoys=decoys)
    assert [(s.name, s.start) for s in again.targets[0].segments][:2] == [("leader", 0), ("binder", 60)]


def test_refinement_leaves_a_right_sequence_alone(tmp_path: Path, decoys: Path) -> None:
    """Human reads with other bases in the shared part change nothing."""
    pytest.importorskip("mappy")
    other = list(HINGE)
    for at in (40, 70, 110):
        other[at] = "A" if other[at] != "A" else "C"
    human = "".join([NATIVE_HINGE[:200], *other, NATIVE_HINGE[350:]])
    targets = load_targets(write(tmp_path / "t.fa", [("carA", LEADER + BINDER_A + HINGE + TAIL)]), decoys=decoys)
    refined = consensus(targets.targets[0], *laid_out(cut(A, 800, 8) + cut(human, 4000, 9)), decoys=decoys)
    assert refined.target.sequence.decode() == A and refined.changes.empty


def test_refinement_without_its_reads(tmp_path: Path, decoys: Path) -> None:
    pytest.importorskip("mappy")
    targets = load_targets(write(tmp_path / "t.fa", [("carA", A)]), decoys=decoys)
    with pytest.raises(InputError, match="none of the 50 reads"):
        consensus(targets.targets[0], *laid_out(cut(NATIVE_TAIL, 50, 1)), decoys=decoys)


def test_without_mappy(tmp_path: Path, decoys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = load_targets(write(tmp_path / "t.fa", [("carA", A)]), decoys=decoys)
    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name == "mappy":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingDependencyError, match=r"pip install 'sclineage\[align\]'"):
        with_rescue(targets, decoys)


def test_refine_from_files(tmp_path: Path, decoys: Path) -> None:
    """FASTQ in, FASTA out; the new reference finds reads that the old one lost."""
    pytest.importorskip("mappy")
    wrong, _ = edited(A)
    fasta = write(tmp_path / "t.fa", [(f"carA {SEGMENTS}", wrong), (f"carB {SEGMENTS}", B)])
    reads = cut(A, 1500, 21) + cut(NATIVE_TAIL, 500, 22)
    fastq = tmp_path / "r2.fastq"
    fastq.write_text("".join(f"@{i}\n{r}\n+\n{'F' * len(r)}\n" for i, r in enumerate(reads)))
    refined = refine_construct(fasta, fastq, decoys=decoys, name="carA", out=tmp_path / "new.fa")
    assert refined.target.sequence.decode() == A
    fresh = laid_out(cut(A[60:460], 500, 23))
    found = [np.count_nonzero(load_targets(p, decoys=decoys).classify(*fresh, device="cpu").feature >= 0)
             for p in (fasta, tmp_path / "new.fa")]
    assert found[1] > found[0]
    with pytest.raises(InputError, match="found 2 records"):
        refine_construct(fasta, fastq, decoys=decoys)
    with pytest.raises(InputError, match="no record 'carC'"):
        refine_construct(fasta, fastq, decoys=decoys, name="carC")
