"""Fusion: log prior odds plus the capped ratios of all registered lines, each kept, adding up to the logit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from . import classifier, copynumber, cycling, dominance, mutation, phenotype, viral
from .lines import LINES, Scores, register
from .table import Cells

PI_SUSPECTED, PI_SURVEILLANCE = 0.5, 0.01
PRIOR_FLOOR, PRIOR_CLONE_CELLS = 1e-4, 5
GENETIC = 3.0  # nats beyond which a genetic line speaks

for _module in (dominance, phenotype, cycling, viral, mutation, copynumber, classifier):  # order of report
    register(_module.LINE)


@dataclass(frozen=True, slots=True)
class Fused:
    """Posterior of every clone with its parts.

    Attributes
    ----------
    prior
        float64 (n_clones,): prior probability.
    lines
        Line -> its `Scores`, before the caps.
    capped
        Line -> float64 (n_clones,): capped log-likelihood ratio; NaN not assessed.
    logit
        float64 (n_clones,): logit(prior) + sum of the assessed capped ratios.
    """

    prior: np.ndarray
    lines: dict[str, Scores]
    capped: dict[str, np.ndarray]
    logit: np.ndarray

    @property
    def posterior(self) -> np.ndarray:
        """P(malignant | data), float64 (n_clones,)."""
        return expit(self.logit)

    def without(self, line: str) -> np.ndarray:
        """Posterior with one line left out, float64 (n_clones,)."""
        return expit(self.logit - _zero(self.capped[line]))

    def at_prior(self, prior: np.ndarray) -> np.ndarray:
        """Posterior under another prior probability, float64 (n_clones,)."""
        return expit(self.logit - logit(self.prior) + logit(prior))

    @property
    def genetic(self) -> np.ndarray:
        """Highest capped ratio of a genetic line, float64 (n_clones,); -inf where none was assessed."""
        rows = [np.where(np.isfinite(v), v, -np.inf) for k, v in self.capped.items() if LINES[k].genetic]
        return np.max(rows, axis=0) if rows else np.full(self.prior.size, -np.inf)

    @property
    def power(self) -> np.ndarray:
        """P(some genetic line exceeds 3 nats | malignant), lines taken as independent; float64 (n_clones,)."""
        rows = [s.power for k, s in self.lines.items() if LINES[k].genetic and s.power is not None]
        return 1.0 - np.prod([1.0 - r for r in rows], axis=0) if rows else np.zeros(self.prior.size)

    @property
    def driver(self) -> list[str]:
        """Line whose removal lowers the posterior most, per clone; empty where no line raises it."""
        names = list(self.capped)
        if not names:
            return [""] * self.prior.size
        values = np.vstack([_zero(self.capped[k]) for k in names])
        best = np.argmax(values, axis=0)
        return [names[b] if values[b, c] > 0 else "" for c, b in enumerate(best)]


def clone_prior(pi: float, sizes: np.ndarray) -> np.ndarray:
    """Prior of each clone: `pi` shared by the clones of >= 5 cells, not below 1e-4.

    Smaller clones, of which a sample can hold thousands, share `pi` among all clones, else their priors would add up
    to many tumours.

    Parameters
    ----------
    pi
        Probability that the patient has a malignant T-cell clone.
    sizes
        Cells per clone, int64 (n_clones,).
    """
    k = max(1, int((sizes >= PRIOR_CLONE_CELLS).sum()))
    shared = np.where(sizes >= PRIOR_CLONE_CELLS, pi / k, pi / max(1, sizes.size))
    return np.maximum(shared, min(PRIOR_FLOOR, pi))


def fuse(cells: Cells, prior: np.ndarray, *, seed: int = 0) -> Fused:
    """Score every registered line and add them up.

    Parameters
    ----------
    cells
        Cells of the patient.
    prior
        Prior probability per clone, float64 (n_clones,), in (0, 1).
    seed
        Seed of lines that draw random numbers.
    """
    scores = {name: line.score(cells, seed) for name, line in LINES.items()}
    capped = {name: LINES[name].cap(s.llr) for name, s in scores.items()}
    total = logit(prior)
    for value in capped.values():
        total = total + _zero(value)
    return Fused(prior, scores, capped, total)


def _zero(llr: np.ndarray) -> np.ndarray:
    """A line that was not assessed adds nothing."""
    return np.where(np.isfinite(llr), llr, 0.0)


def line_table(fused: Fused, clone_ids: list[str]) -> pd.DataFrame:
    """Long table: one row per clone and line.

    Returns
    -------
    Columns ``clone_id, line, llr`` (capped, NaN = not assessed), ``capped`` (bool), ``cap`` (the cap on that side),
    ``n_informative``, ``posterior_without``, ``detail`` (a few words); sorted by clone, then in order of registration.
    """
    parts = []
    for order, (name, score) in enumerate(fused.lines.items()):
        line = LINES[name]
        parts.append(pd.DataFrame({
            "clone_id": clone_ids, "line": name, "llr": fused.capped[name], "capped": line.hits(score.llr),
            "cap": np.where(_zero(score.llr) >= 0, line.high, line.low), "n_informative": score.n_informative,
            "posterior_without": fused.without(name),
            "detail": score.detail if len(score.detail) else "", "order": order,
        }))
    table = pd.concat(parts, ignore_index=True)
    return table.sort_values(["clone_id", "order"], kind="stable", ignore_index=True).drop(columns="order")
