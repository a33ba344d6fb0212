"""Barcodes join on their bases."""

from __future__ import annotations

import numpy as np
import pytest

from sclineage._errors import InputError
from sclineage.patient.barcodes import match, require_overlap, require_unique

from .synthetic import barcodes

A, C, G = "AAACCTGAGATCGGGT", "CCACCTGAGATCGGGT", "GGACCTGAGATCGGGT"


@pytest.mark.parametrize("spelled", ["{}", "{}-1", "S1_{}-1", "{}-1-40", "P02-3_{}-2"])
def test_one_well_joins_on_bases_however_it_is_spelled(spelled: str) -> None:
    assert match([f"{A}-1", f"{C}-1"], [spelled.format(C), spelled.format(G), spelled.format(A)]).tolist() == [1, -1, 0]


def test_several_wells_need_their_number() -> None:
    cells = [f"{A}-1", f"{A}-2", f"{C}-2"]
    assert match(cells, [f"{A}-2", A, f"{C}-1", f"{C}-2"]).tolist() == [1, 0, -1, 2]
    assert match([f"{A}-1", f"{C}-1"], [f"{A}-1", f"{C}-2"]).tolist() == [0, -1]


def test_barcodes_without_bases_and_of_two_parts() -> None:
    assert match(["cell1", "cell2"], ["cell2", "x"]).tolist() == [1, -1]
    parts = ["ACGTACGT-TTTTGGGG", "ACGTACGT-CCCCGGGG"]
    assert match(parts, parts[::-1]).tolist() == [1, 0]
    assert match([f"A_{A}", f"B_{A}"], [f"B_{A}"]).tolist() == [1]
    assert match([], [A]).tolist() == [-1]
    assert match([A], []).tolist() == []


def test_a_repeated_barcode_is_refused() -> None:
    require_unique("m.h5", [f"{A}-1", f"{C}-1", f"{A}-2"])
    for twice in ([f"{A}-1", f"{A}-1"], [f"{A}-1", A], ["x", "x"]):
        with pytest.raises(InputError, match=r"m\.h5: barcode .* appears more than once"):
            require_unique("m.h5", twice)


def overlap(cells: list[str], others: list[str], *, partial: bool = False) -> np.ndarray:
    return require_overlap(np.array(cells, dtype=object), np.array(others, dtype=object), table="v.csv",
                           cells_from="m.h5", partial=partial)


def test_strangers_are_refused_and_small_tables_are_not() -> None:
    cells, others = barcodes(400), barcodes(300, seed=9)
    assert overlap(cells, cells[:2]).tolist() == [0, 1]  # a failed library with two receptors
    with pytest.raises(InputError, match=r"v\.csv: 0 of its 300 barcodes are among the 400 cells of m\.h5"):
        overlap(cells, others)
    with pytest.raises(InputError, match="1 of its 300"):
        overlap(cells, [*others[1:], cells[0]])
    assert (overlap(cells, [*others[1:], cells[0]], partial=True) >= 0).sum() == 1
    with pytest.raises(InputError, match="0 of its 1"):
        overlap(cells, others[:1], partial=True)


def test_an_overlap_by_chance_is_refused_in_large_tables() -> None:
    many = barcodes(4000)
    strangers = barcodes(4000, seed=5)
    by_chance = [*strangers[:3979], *many[:21]]  # 4000 x 4000 / 737280 = 21.7 expected
    with pytest.raises(InputError, match="21 of its 4000"):
        overlap(many, by_chance, partial=True)
    assert (overlap(many, [*strangers[:3900], *many[:100]], partial=True) >= 0).sum() == 100
