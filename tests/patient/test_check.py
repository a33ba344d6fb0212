"""`check` finds all faults of all inputs at once, and nothing in good inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sclineage.patient.api import check, read_sheet

from .synthetic import CAR, barcodes, contigs, counts, features, listing, sample, sheet, tenx_h5, write


def test_good_inputs_have_no_fault(tmp_path: Path) -> None:
    path = sheet(tmp_path, sample(tmp_path, "S1"), sample(tmp_path, "S2", seed=4) | {"patient": "P2"})
    assert check(path, car=CAR) == [] == check(read_sheet(path), car=CAR)


def test_every_fault_at_once(tmp_path: Path) -> None:
    rows = [sample(tmp_path, f"S{i}", seed=i) for i in range(6)]
    rows[0] |= {"day": "soon", "role": "controll"}
    rows[1]["gex"] = "absent.h5"
    tenx_h5(tmp_path / "S2.h5", np.log1p(counts(60)), barcodes(60, seed=2), features())
    write(tmp_path / "S3.vdj.csv", contigs(barcodes(30, seed=40)))
    mouse = features().assign(id=[f"ENSMUSG{i:011d}" for i in range(13)])
    tenx_h5(tmp_path / "S4.h5", counts(60), barcodes(60, seed=4), mouse)
    (tmp_path / "S5.vdj.csv").write_bytes(b"")
    path = sheet(tmp_path, *rows)
    before = listing(tmp_path)
    found = [str(f) for f in check(path, car="CAR9", virus=["EBV=prefix:EBNA"])]
    for said in ("'soon' is not a number", "unknown role 'controll'", "absent.h5 does not exist",
                 "S2.h5, matrix: found", "S3.vdj.csv: 0 of its 30", "S4.h5: 0% of 13 gene ids",
                 "S5.vdj.csv: the file is empty", "S0.h5: CAR feature 'CAR9' is not there", "human gene 'EBNA1BP2'"):
        assert sum(said in f for f in found) == 1, (said, found)
    assert len(found) == 6 + 1 + 1 + 3 and len(set(found)) == len(found)
    assert all("\n" not in f for f in found) and listing(tmp_path) == before


def test_arguments_and_an_unreadable_sheet(tmp_path: Path) -> None:
    path = sheet(tmp_path, sample(tmp_path, "S1"))
    assert "found 'A,'" in str(check(path, car="A,")[0])
    assert "found 'EBV'" in str(check(path, virus=["EBV"])[0])
    assert "does not exist" in str(check(tmp_path / "no.csv", car=CAR)[0])
