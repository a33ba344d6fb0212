"""Gene spellings of every caller."""

from __future__ import annotations

import pytest

from sclineage.clones.genes import compatible, is_open, normalise_genes, parse_gene


@pytest.mark.parametrize(("text", "genes"), [
    ("TRBV6-5", ("TRBV6-5",)),
    ("TRBV6-5*01", ("TRBV6-5",)),
    ("trbv6-5*01", ("TRBV6-5",)),
    ("TCRBV06-05", ("TRBV6-5",)),
    ("TCRBV06-05*01", ("TRBV6-5",)),
    ("TRBV6-5*00(123)", ("TRBV6-5",)),
    ("TRBV6-5*00(1023.4),TRBV6-6*00(988)", ("TRBV6-5",)),
    ("TRBV6-2*00(500),TRBV6-3*00(500)", ("TRBV6-2", "TRBV6-3")),
    ("TRBV6-2*01 or TRBV6-3*01", ("TRBV6-2", "TRBV6-3")),
    ("Homsap TRBV6-5*01 F", ("TRBV6-5",)),
    ("TCRBV06-02/06-03*01", ("TRBV6-2", "TRBV6-3")),
    ("TCRBV06", ("TRBV6",)),
    ("TCRBV27-01", ("TRBV27",)),
    ("TCRBV20-01", ("TRBV20-1",)),
    ("TCRBV20-or09_02", ("TRBV20",)),
    ("TCRBJ01-02*01", ("TRBJ1-2",)),
    ("TCRBD02-01*02", ("TRBD2-1",)),
    ("TCRAV38-02*01", ("TRAV38-2/DV8",)),
    ("TCRAJ33-01", ("TRAJ33",)),
    ("TRAV29/DV5", ("TRAV29/DV5",)),
    ("TRAV29DV5*01", ("TRAV29/DV5",)),
    ("TRAV38-2DV8", ("TRAV38-2/DV8",)),
    ("TRAV14D-3/DV8", ("TRAV14D-3/DV8",)),
    ("IGHV3-30*18", ("IGHV3-30",)),
    ("TRBC2", ("TRBC2",)),
    ("unresolved", ()), ("None", ()), ("", ()), ("*", ()), ("na", ()),
])
def test_spellings(text, genes):
    assert parse_gene(text) == genes


def test_missing_calls_stay_missing():
    assert normalise_genes([None, float("nan"), "TRBV1*01", "TRBV1", "TRBV1*02"]).tolist() == ["", "", *["TRBV1"] * 3]


def test_sets_meet():
    assert compatible("TRBV6-2,TRBV6-3", "TRBV6-3")
    assert compatible("TRBV6", "TRBV6-3")
    assert not compatible("TRBV6", "TRBV7-3")
    assert not compatible("TRBV6-1", "TRBV6-10")
    assert compatible("", "TRBV7-3")


def test_open_calls():
    assert [is_open(g) for g in ("TRBV6", "TRBV27", "TRBV6-5", "", "TRBV6-2,TRBV6-3", "TRAV12", "TRAV4", "TRBJ2-7")] \
        == [True, False, False, True, True, True, False, False]
