"""Plain version of the viral soup and of the cells above it."""

from __future__ import annotations

from .malignancy import poisson


def ambient_without_empties(totals, groups):
    """1.5 % of the mean content, or the mean of the emptiest of two large groups without its fullest hundredth."""
    options = [0.015 * sum(totals) / len(totals)]
    rates = []
    for g in sorted(set(groups) - {-1}):
        values = sorted(t for t, h in zip(totals, groups, strict=True) if h == g)
        if len(values) >= 50:
            values = values[: len(values) - max(1, len(values) // 100)]
            rates.append(sum(values) / len(values))
    if len(rates) >= 2:
        options.append(min(rates))
    return max(options)


def positive(total, soup):
    if total > 100:
        return True  # the soups of the tests bring single molecules
    tail = 1 - sum(poisson(i, soup) for i in range(total))
    return total >= 2 and tail < 1e-3
