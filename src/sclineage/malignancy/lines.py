"""Registry of the lines of evidence: caps, and which of them are genetic. A new line is one `register` call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .table import Cells


@dataclass(frozen=True, slots=True)
class Scores:
    """What one line says of every clone.

    Attributes
    ----------
    llr
        float64 (n_clones,): log-likelihood ratio in nats, malignant against benign, before its cap; NaN = not assessed.
    n_informative
        int64 (n_clones,): cells (reads for mutations) behind it.
    detail
        A few words per clone for the sentence; empty where there is nothing to say.
    power
        float64 (n_clones,): P(this line alone exceeds 3 nats | malignant), for genetic lines; else None.
    """

    llr: np.ndarray
    n_informative: np.ndarray
    detail: list[str] = field(default_factory=list)
    power: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of evidence.

    Attributes
    ----------
    name
        Word used in tables: the column is ``llr_<name>``.
    low, high
        Caps in nats.
    score
        Array function from the cells and a seed to `Scores`.
    genetic
        Whether the line may carry a call of malignancy.
    soft
        Whether the cap is approached (``high * tanh(x / high)``) or cut.
    """

    name: str
    low: float
    high: float
    score: Callable[[Cells, int], Scores]
    genetic: bool = False
    soft: bool = False

    def cap(self, llr: np.ndarray) -> np.ndarray:
        """Capped ratios; NaN stays NaN."""
        if self.soft:
            return self.high * np.tanh(llr / self.high) + 0.0
        return np.clip(llr, self.low, self.high) + 0.0  # no negative zero in tables

    def hits(self, llr: np.ndarray) -> np.ndarray:
        """Where the cap changed the ratio by a noticeable amount, bool."""
        with np.errstate(invalid="ignore"):
            return (llr > self.high) | (llr < self.low)


LINES: dict[str, Line] = {}


def register(line: Line) -> Line:
    """Add a line of evidence, or replace the one of the same name; order of registration is order of report."""
    LINES[line.name] = line
    return line
