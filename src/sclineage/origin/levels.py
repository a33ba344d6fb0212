"""Ancestor levels of two populations: what each line of evidence says of them, their posterior, and the plain answers.

D0 different donors, D1 same donor, D2 same blood stem-cell clone, D3 same T-cell precursor (one TRB, different TRA), D4
same mature T cell (TRB and TRA), D5 same transduced cell, D6 same tumour clone. Evidence of a level is evidence of all
levels above it, so the level told is the deepest that is sure to be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

LEVELS = ("D0", "D1", "D2", "D3", "D4", "D5", "D6")
SURE = 0.95
SPEAKS = 3.0  # nats


@dataclass(frozen=True, slots=True)
class Line:
    """One line of evidence on a pair of populations.

    Attributes
    ----------
    name
        Word of the table.
    llr
        Nats, > 0 shared; NaN not assessed.
    levels
        Levels whose log-likelihood the ratio is added to.
    n_a, n_b
        Informative cells, reads or arms in the two populations.
    flags
        Words.
    """

    name: str
    llr: float
    levels: tuple[int, ...]
    n_a: int
    n_b: int
    flags: tuple[str, ...] = ()

    @property
    def assessed(self) -> bool:
        """Whether the line says anything."""
        return bool(np.isfinite(self.llr))


@dataclass(frozen=True, slots=True)
class Answer:
    """Posterior over the levels and what follows: level (empty when none is sure), its posterior, two plain answers."""

    posterior: np.ndarray
    level: str
    p_level: float
    same_t_cell: str
    shared_ancestor: str


def posterior(lines: Sequence[Line], prior: Sequence[float] | None = None) -> np.ndarray:
    """P(level | lines), float64 (7,); `prior` of the seven levels, default equal."""
    start = np.full(len(LEVELS), 1 / len(LEVELS)) if prior is None else np.asarray(prior, np.float64)
    total = np.log(start / start.sum())
    for line in lines:
        if line.assessed:
            total[list(line.levels)] += line.llr
    return np.exp(total - logsumexp(total))


def answer(lines: Sequence[Line], prior: Sequence[float] | None = None) -> Answer:
    """Level and plain answers; without an assessed line nothing is claimed.

    The deepest level reached with probability 0.95 is told, D0 when its own is. The same T cell is denied when the
    receptors differ (a TRB line below -3, which needs five cells on either side), and no line on T-cell levels speaks
    for a shared one; shared blood formation (D2) says nothing either way.
    """
    p = posterior(lines, prior)
    reached = np.cumsum(p[::-1])[::-1]
    if not any(line.assessed for line in lines):
        return Answer(p, "", np.nan, "not_assessed", "not_assessed")
    deep = np.flatnonzero(reached[1:] >= SURE) + 1
    different = p[0] >= SURE
    level = 0 if different else int(deep[-1]) if deep.size else -1
    p_level = float(p[0]) if different else float(reached[level]) if level > 0 else np.nan
    ancestor = "no" if different else "yes" if reached[2] >= SURE else "not_assessed"
    return Answer(p, LEVELS[level] if level >= 0 else "", p_level, _same(lines, reached, different=different), ancestor)


def _same(lines: Sequence[Line], reached: np.ndarray, *, different: bool) -> str:
    if different:
        return "no"
    if reached[4] >= SURE:
        return "yes"
    told = [line for line in lines if line.assessed]
    mismatch = any(line.name == "trb" and line.llr < -SPEAKS for line in told)
    shared = any(min(line.levels) >= 3 and line.llr > SPEAKS for line in told)
    return "no" if mismatch and not shared else "not_assessed"
