"""Gene mask and subset rules."""

from __future__ import annotations

import numpy as np
import pytest

from sclineage.cells.genes import masked
from sclineage.cells.subsets import MARKERS, STATES, SUBSETS, states, subsets


def test_what_tells_clones_and_vectors_is_masked() -> None:
    out = ["TRAV1-2", "TRBV20-1", "TRBV20OR9-2", "TRGV9", "TRGVA", "TRDV1", "TRAJ33", "TRBJ2-7", "TRGJP1", "TRDJ1",
           "TRBD1", "TRBC1", "TRBC2", "IGHV3-23", "IGKV1-39", "IGLV2-14", "IGHD3-10", "IGHD",
           "IGHJ4", "IGKJ2", "IGHM", "IGHG1", "IGHA2", "IGHE", "IGKC", "IGLC2", "MT-CO1", "MT-ND4L", "RPS4X",
           "RPS4Y1", "RPL10A", "RPL3", "RPLP0", "RPSA", "RPS27L", "CAR1"]
    kept = ["TRAC", "TRDC", "TRGC1", "TRGC2", "TRADD", "TRAF1", "TRDN", "TRDMT1", "IGHMBP2", "IGF1", "RPS6KA1", "MTOR",
            "CD3D", "TRAT1", "IGLL5"]
    assert [n for n, m in zip(out, masked(out, extra=["CAR1"]), strict=True) if not m] == []
    assert [n for n, m in zip(kept, masked(kept), strict=True) if m] == []
    assert masked(["XIST", "MKI67", "HSPA1A"], groups=("sex", "cycle")).tolist() == [True, True, False]


def one(receptor: bool = False, car: int = 0, **umi: int) -> str:
    values = {group: np.array([umi.get(group, 0)]) for group in MARKERS}
    return subsets(values, receptor=np.array([receptor]), car=np.array([car]))[0]


@pytest.mark.parametrize(("cell", "word"), [
    ({"t": 5, "cd8": 2, "cd4": 1}, "CD8_T"), ({"t": 2, "cd4": 1}, "CD4_T"), ({"t": 2}, "T"), ({"t": 1}, "other"),
    ({}, "other"), ({"receptor": True}, "T"), ({"receptor": True, "nk": 40, "cd8": 3}, "CD8_T"),
    ({"receptor": True, "myeloid": 50}, "T"), ({"myeloid": 10}, "myeloid"), ({"myeloid": 9}, "other"),
    ({"myeloid": 10, "t": 2}, "T"), ({"myeloid": 300, "t": 4}, "myeloid"), ({"myeloid": 300, "cd4": 5}, "myeloid"),
    ({"b": 3}, "B"), ({"b": 2}, "other"), ({"b": 4, "t": 2}, "T"), ({"b": 9, "t": 1}, "B"),
    ({"nk": 3, "nk_only": 1}, "NK"), ({"nk": 9}, "other"), ({"nk": 10}, "NK"), ({"nk": 10, "t": 2}, "T"),
    # a CAR-T cell without CD3, receptor, CD4 and CD8 is a T cell; the background of monocytes and B cells stays theirs
    ({"car": 1, "nk": 30, "nk_only": 2}, "T"), ({"car": 3}, "T"), ({"car": 1, "cd8": 1}, "CD8_T"),
    ({"car": 1, "b": 2}, "T"), ({"car": 1, "myeloid": 40}, "myeloid"), ({"car": 2, "b": 6}, "B"),
])
def test_subset_rules(cell: dict[str, int], word: str) -> None:
    assert one(**cell) == word and word in SUBSETS


@pytest.mark.parametrize(("subset", "umi", "word"), [
    ("CD8_T", {"cycling": 3}, "cycling"), ("B", {"cycling": 3}, "cycling"), ("CD4_T", {"cycling": 2}, ""),
    ("CD4_T", {"foxp3": 1, "regulatory": 2}, "regulatory"), ("T", {"foxp3": 2, "regulatory": 5}, "regulatory"),
    ("CD4_T", {"foxp3": 3, "regulatory": 1}, ""), ("CD4_T", {"regulatory": 9}, ""),
    ("CD8_T", {"foxp3": 1, "regulatory": 2}, ""), ("myeloid", {"foxp3": 1, "regulatory": 4}, ""),
    ("CD4_T", {"foxp3": 1, "regulatory": 2, "cycling": 5}, "cycling"),
])
def test_state_rules(subset: str, umi: dict[str, int], word: str) -> None:
    values = {group: np.array([umi.get(group, 0)]) for group in (*MARKERS, *STATES)}
    assert states(values, subset=np.array([subset], dtype=object))[0] == word
