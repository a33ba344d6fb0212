"""Numbers as a reader of a report wants them. What is missing reads "not assessed", never zero."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

NOT_ASSESSED = "not assessed"
_MINUS = "\u2212"


def known(value: Any) -> bool:
    """Whether a value of a table is there (NaN, None, missing integers and empty text are not)."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return False
    return not bool(pd.isna(value))


def real(value: Any) -> float | None:
    """Value as a float, or None where missing."""
    return float(value) if known(value) else None


def count(value: Any) -> str:
    """Whole number with thousands separated: 1,204."""
    return f"{round(float(value)):,}" if known(value) else NOT_ASSESSED


def cells(n: Any) -> str:
    """"1 cell", "1,204 cells"."""
    return f"{count(n)} cell" + ("" if known(n) and round(float(n)) == 1 else "s")


def quantity(value: Any) -> str:
    """Expected counts and rates: two digits below ten, none above."""
    x = real(value)
    if x is None:
        return NOT_ASSESSED
    if x == 0:
        return "0"
    if abs(x) >= 10:
        return f"{x:,.0f}".replace("-", _MINUS)
    return _plain(x, 2)


def share(value: Any, *, up: bool = False) -> str:
    """Share in per cent, two digits; `up` rounds a limit away from zero, so that it never promises too much."""
    x = real(value)
    if x is None:
        return NOT_ASSESSED
    percent = 100 * x
    if percent in (0.0, 100.0):
        return f"{percent:.0f} %"
    digits = 1 - math.floor(math.log10(abs(percent)))
    if percent > 90:
        digits = 1  # 99.94 % must not read 100 %
    step = 10.0 ** -digits
    rounded = math.ceil(percent / step - 1e-9) * step if up else round(percent / step) * step
    if rounded >= 100:
        return "100 %" if up else "> 99.9 %"
    return f"{rounded:.{max(digits, 0)}f}".removesuffix(".0") + " %"


def probability(value: Any) -> str:
    """Three decimals, with > 0.999 and < 0.001 at the ends: a posterior is never 0 or 1."""
    x = real(value)
    if x is None:
        return NOT_ASSESSED
    if x > 0.999:
        return "> 0.999"
    return "< 0.001" if x < 0.001 else f"{x:.3f}"


def chance(value: Any) -> str:
    """Probability for the middle of a sentence: "0.998", "above 0.999", "not assessed"."""
    return probability(value).replace("> ", "above ").replace("< ", "below ")


def posterior(value: Any) -> str:
    """For a sentence: "posterior 0.998", "posterior above 0.999", "posterior not assessed"."""
    return f"posterior {chance(value)}"


def signed(value: Any, digits: int = 1) -> str:
    """Number with its sign, for Bayes factors and nats."""
    x = real(value)
    if x is None:
        return NOT_ASSESSED
    return f"{x:+.{digits}f}".replace("-", _MINUS)


def day(value: Any) -> str:
    """"day 30", "day −35", "day unknown"."""
    x = real(value)
    return "day unknown" if x is None else f"day {x:g}".replace("-", _MINUS)


def interval(low: Any, high: Any) -> str:
    """Interval of a share: "0.28 to 8.1 %"."""
    a, b = share(low), share(high, up=True)
    return f"{a} to {b}" if known(low) and known(high) else NOT_ASSESSED


def quantities(low: Any, high: Any) -> str:
    """Interval of a rate."""
    return f"{quantity(low)} to {quantity(high)}" if known(low) and known(high) else NOT_ASSESSED


def _plain(x: float, digits: int) -> str:
    """Significant digits without an exponent."""
    places = max(digits - 1 - math.floor(math.log10(abs(x))), 0)
    if places > 8:
        return "< 0.00000001" if x > 0 else "0"
    return f"{x:.{places}f}".replace("-", _MINUS)


def words(text: Any) -> list[str]:
    """Words of a ';'-separated column."""
    return [w.strip() for w in str(text).split(";") if w.strip()] if known(text) else []


def listing(parts: list[str]) -> str:
    """"a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + (f" and {parts[-1]}" if parts else "")
