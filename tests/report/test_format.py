"""Numbers in print: limits never promise too much, missing is never zero."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sclineage.report import format as f


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, "", pd.NaT])
def test_missing_is_not_assessed(missing: object) -> None:
    for form in (f.count, f.quantity, f.share, f.probability, f.signed):
        assert form(missing) == "not assessed"
    assert f.day(missing) == "day unknown"
    assert f.interval(missing, 0.5) == f.interval(0.1, missing) == "not assessed"
    assert not f.known(missing)


@pytest.mark.parametrize(("value", "text"), [
    (0.0, "0 %"), (1.0, "100 %"), (0.05, "5 %"), (0.0041, "0.41 %"), (0.9994, "99.9 %"), (0.99996, "> 99.9 %"),
    (0.123, "12 %"), (3.2e-5, "0.0032 %"), (0.785, "78 %")])
def test_share(value: float, text: str) -> None:
    assert f.share(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0041, "0.41 %"), (0.00411, "0.42 %"), (0.0999, "10 %"),
                                             (7.486e-4, "0.075 %"), (0.9999, "100 %"), (0.121, "13 %")])
def test_limits_are_rounded_up(value: float, text: str) -> None:
    assert f.share(value, up=True) == text
    assert float(text.removesuffix(" %")) >= 100 * value - 1e-9


@pytest.mark.parametrize(("value", "text"), [(1.0, "> 0.999"), (0.0, "< 0.001"), (0.5, "0.500"), (0.9995, "> 0.999")])
def test_a_posterior_is_never_certain(value: float, text: str) -> None:
    assert f.probability(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (0.0021, "0.0021"), (810.4, "810"), (2.64, "2.6"),
                                             (12345.0, "12,345"), (0.9, "0.90")])
def test_quantity(value: float, text: str) -> None:
    assert f.quantity(value) == text


def test_words_and_lists() -> None:
    assert f.words("a; b;;c") == ["a", "b", "c"]
    assert f.words(np.nan) == []
    assert [f.listing(x) for x in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert f.cells(1) == "1 cell"
    assert f.cells(1204) == "1,204 cells"
    assert f.signed(-9.44) == "\u22129.4"
    assert f.day(-35.0) == "day \u221235"
