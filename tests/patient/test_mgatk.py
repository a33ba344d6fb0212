"""Folders as mgatk leaves them: variants that cells are sure of, reads of both alleles, damaged files."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from sclineage._errors import InputError
from sclineage.patient.alleles import read_alleles

REFERENCE = "GATTACA"
Lines = Mapping[tuple[int, str, str], tuple[int, int]]  # position, cell, base: reads of either strand


def write(folder: Path, lines: Lines) -> Path:
    folder.mkdir(exist_ok=True)
    for base in "ACGT":
        text = "".join(f"{p},{cell},{f},{r}\n" for (p, cell, b), (f, r) in lines.items() if b == base)
        with gzip.open(folder / f"run.{base}.txt.gz", "wt") as handle:
            handle.write(text)
    (folder / "chrM_refAllele.txt").write_text("".join(f"{i}\t{b}\n" for i, b in enumerate(REFERENCE, 1)))
    return folder


def library(seed: int = 1) -> dict[tuple[int, str, str], tuple[int, int]]:
    """Twelve cells: 3T>C in half of each of six cells, 5A>G in reads of one strand, 6C>T in one cell."""
    rng = np.random.default_rng(seed)
    lines = {}
    for i in range(12):
        cell = f"CELL{i:02d}-1"
        for pos, base in enumerate(REFERENCE, 1):
            lines[pos, cell, base] = (int(rng.integers(3, 9)), int(rng.integers(3, 9)))
        if i % 2 == 0:
            lines[3, cell, "C"] = (2 + i, 3 + i)
        lines[5, cell, "G"] = (4, 0)
    lines[6, "CELL03-1", "T"] = (5, 5)
    return lines


def test_variants_on_both_strands_of_enough_cells(tmp_path: Path) -> None:
    lines = library()
    found = read_alleles(write(tmp_path / "final", lines))
    assert found.sites.index.tolist() == ["MT:3:T:C"]
    ad, dp = (dict(zip(found.barcodes, m.toarray()[:, 0], strict=True)) for m in (found.ad, found.dp))
    for i in range(12):
        cell = f"CELL{i:02d}-1"
        assert ad[cell] == sum(lines.get((3, cell, "C"), (0, 0)))
        assert dp[cell] == ad[cell] + sum(lines[3, cell, "T"])


def test_two_variants_of_one_position_share_the_reference_reads(tmp_path: Path) -> None:
    lines = library()
    lines |= {(3, f"CELL{i:02d}-1", "G"): (2 + i, 2 + i) for i in range(1, 12, 2)}
    found = read_alleles(write(tmp_path, lines))
    assert found.sites.index.tolist() == ["MT:3:T:C", "MT:3:T:G"]
    reference = [sum(lines[3, cell, "T"]) for cell in found.barcodes]
    assert np.array_equal((found.dp - found.ad).toarray(), np.column_stack([reference, reference]))


def test_the_order_of_lines_does_not_matter(tmp_path: Path) -> None:
    lines = library()
    a = read_alleles(write(tmp_path / "a", lines))
    b = read_alleles(write(tmp_path / "b", dict(reversed(lines.items()))))
    assert a.sites.equals(b.sites)
    assert (a.ad != b.ad).nnz == 0
    assert (a.dp != b.dp).nnz == 0


@pytest.mark.parametrize(("damage", "words"), [
    (lambda f: (f / "run.G.txt.gz").unlink(), "0 files *.G.txt.gz"),
    (lambda f: (f / "chrM_refAllele.txt").unlink(), "0 files *_refAllele.txt"),
    (lambda f: (f / "run.T.txt.gz").write_bytes((f / "run.T.txt.gz").read_bytes()[:-9]), "run.T.txt.gz"),
    (lambda f: (f / "run.C.txt.gz").write_bytes(gzip.compress(b"3,CELL00-1,two,2\n")), "run.C.txt.gz"),
    (lambda f: (f / "run.C.txt.gz").write_bytes(gzip.compress(b"3,CELL00-1,2\n")), "run.C.txt.gz"),
    (lambda f: (f / "run.C.txt.gz").write_bytes(gzip.compress(b"3,X,2,2\n3,X,2,2\n")), "two lines for one position"),
    (lambda f: (f / "run.C.txt.gz").write_bytes(gzip.compress(b"3,X,2,2\n")), "no variant that 5 cells show"),
])
def test_damage_is_named(tmp_path: Path, damage, words: str) -> None:
    folder = write(tmp_path / "final", library())
    damage(folder)
    with pytest.raises(InputError) as error:
        read_alleles(folder)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
