"""CAR constructs and virus specifications."""

from __future__ import annotations

import pandas as pd
import pytest

from sclineage._errors import InputError
from sclineage.patient.spec import VirusSpec, parse_car, parse_virus, resolve_virus, row_constructs

VAR = pd.DataFrame(
    {"gene_ids": ["ENSG1", "ENSG2", "EBNA-LP", "EBNA2", "EBER1", "cds9"], "genome": ["GRCh38"] * 2 + ["EBV"] * 4},
    index=["CD3D", "EBNA1BP2", "EBNA-LP", "EBNA2", "EBV_EBER1", "AF157706.1_cds_9"])


@pytest.mark.parametrize(("text", "constructs"), [
    ("CAT_scFv", {"CAT_scFv": ("CAT_scFv",)}),
    ("A+B,C", {"A+B": ("A", "B"), "C": ("C",)}),
    ("axi=A+B, tisa=C", {"axi": ("A", "B"), "tisa": ("C",)}),
    (None, {}),
])
def test_constructs(text: str | None, constructs: dict[str, tuple[str, ...]]) -> None:
    assert parse_car(text) == constructs


@pytest.mark.parametrize("text", ["", "A,,B", "A+", "=A", "N=A,N=B", "A+A", "x=y=z"])
def test_bad_constructs(text: str) -> None:
    with pytest.raises(InputError):
        parse_car(text)


def test_the_row_wins_over_the_command_line() -> None:
    default = parse_car("A")
    assert row_constructs("", default) == default
    assert row_constructs("none", default) is None
    assert row_constructs("B+C;D", default) == {"B+C": ("B", "C"), "D": ("D",)}


def test_virus_specs() -> None:
    found = parse_virus(["EBV=prefix:EBV_", "HHV6=contig:AF157706.1", "HTLV=tax+hbz"])
    assert found["EBV"] == VirusSpec("EBV", "prefix", ("EBV_",))
    assert found["HTLV"].values == ("tax", "hbz")
    assert [str(v) for v in found.values()] == ["EBV=prefix:EBV_", "HHV6=contig:AF157706.1", "HTLV=tax+hbz"]
    assert parse_virus("A=b") == parse_virus(["A=b"])


@pytest.mark.parametrize("texts", [["EBV"], ["=x"], ["EBV=prefix:"], ["A=b", "A=c"]])
def test_bad_virus_specs(texts: list[str]) -> None:
    with pytest.raises(InputError):
        parse_virus(texts)


def one(text: str) -> VirusSpec:
    return next(iter(parse_virus(text).values()))


def test_resolution_by_name_prefix_and_contig() -> None:
    assert resolve_virus(one("EBV=EBNA2+EBNA-LP"), VAR) == ("EBNA-LP", "EBNA2")
    assert resolve_virus(one("EBV=prefix:EBV_"), VAR) == ("EBV_EBER1",)
    assert resolve_virus(one("EBV=contig:EBV"), VAR) == ("EBNA-LP", "EBNA2", "EBV_EBER1", "AF157706.1_cds_9")
    assert resolve_virus(one("HHV6=contig:AF157706.1"), VAR) == ("AF157706.1_cds_9",)


def test_a_prefix_of_a_human_gene_is_refused() -> None:
    with pytest.raises(InputError, match="also matches the human gene 'EBNA1BP2'"):
        resolve_virus(one("EBV=prefix:EBNA"), VAR)
    with pytest.raises(InputError, match="human gene 'CD3D'"):
        resolve_virus(one("EBV=CD3D+EBNA2"), VAR)


def test_without_ensembl_ids_a_bare_prefix_is_refused() -> None:
    names = pd.DataFrame({"gene_ids": ["EBNA1BP2", "EBV_A"]}, index=["EBNA1BP2", "EBV_A"])
    with pytest.raises(InputError, match="no gene has an Ensembl id"):
        resolve_virus(one("EBV=prefix:EB"), names)
    assert resolve_virus(one("EBV=prefix:EBV_"), names) == ("EBV_A",)


def test_what_matches_nothing_names_the_nearest() -> None:
    with pytest.raises(InputError, match="nearest existing: EBNA2"):
        resolve_virus(one("EBV=EBNA3"), VAR)
    with pytest.raises(InputError, match="no feature matches EBV=prefix:HBV_"):
        resolve_virus(one("EBV=prefix:HBV_"), VAR)
