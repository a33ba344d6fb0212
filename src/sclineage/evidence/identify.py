"""Is the CAR of a library there at all? All of its CAR molecules as background, against CAR in some cells.

Without T cells known to be free of the CAR, molecules of endogenous genes that were counted as CAR look like a clonal
CAR: every T cell has some. The comparison sets the misassignment rate to 0, or to all that the library shows, and asks
which explains the clones better; a library in doubt yields no carrying verdict.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import gammaln, logsumexp

from .._settings import Device
from . import library as lib_module
from . import prior
from .background import Background
from .design import Cells, Design
from .library import Library

CLEAR = 0.95
PRIOR_CLEAR = 0.8
SIZES = (np.inf, 5.0, 3.0, 2.0, 1.5, 1.0, 0.5)  # sizes of a background that explains everything
BETWEEN = 0.7  # log-sd of the misassignment rate between libraries of one chemistry and reference
MIN_CELLS = 50
MEASURED = 0.15  # log-sd of a background whose rate is the library's own mean


def everything(library: Library, size: float) -> Background:
    """Background that explains all CAR molecules of the library's T cells."""
    cells = library.keys.histogram()
    rate = cells.umi / max(cells.molecules, 1.0)
    known = library.background
    return replace(known, mt=max(rate - known.beta, known.beta), size=size, spread=MEASURED, eta=known.eta)


def must_compare(design: Design, library: Library) -> bool:
    """Whether the question is open: no CAR-free T cells measured, and not a CAR+ sort with CAR-unique counting."""
    row = design.table.loc[library.name]
    return not library.background.t_measured and not (row["kind"] == "CAR+" and row["car_counting"] == "unique")


def compare(design: Design, cells: Cells, library: Library, others: dict[str, Library], *,
            device: Device | None = "cpu") -> Library:
    """Fill `p_clear`, `compared` and `alternative` of a library."""
    if not must_compare(design, library) or library.keys.count.max(initial=0) == 0:
        return replace(library, p_clear=1.0, compared=False, alternative=None, other_hypotheses=None)
    rows, strata = library.rows, library.rows.strata
    use = rows.weights * (strata > 0)  # cells with a receptor are surely T cells
    if (use * rows.sets.sizes).sum() < MIN_CELLS:
        use = rows.weights
    found = lib_module.row_evidence(library, device=device)
    own = prior.log_evidence(found.log, library.hypotheses[strata], use)
    backgrounds = [everything(library, size) for size in SIZES]
    logs, shares = [], []
    for background in backgrounds:
        seen = lib_module.row_evidence(library, background=background, device=device)
        shares.append(prior.fit(seen.log, strata, rows.weights))
        logs.append(prior.log_evidence(seen.log, shares[-1][strata], use))
    free = -np.inf if design.table.loc[library.name, "depth_known"] else shapeless(library, use)
    against = max(*logs, free) + refutation(design, cells, library, others)
    both = np.array([np.log(PRIOR_CLEAR) + own, np.log(1 - PRIOR_CLEAR) + against])
    p_clear = float(np.exp(both[0] - logsumexp(both)))
    best, doubt = int(np.argmax(logs)), p_clear < CLEAR
    return replace(library, p_clear=p_clear, compared=True, alternative=backgrounds[best] if doubt else None,
                   other_hypotheses=shares[best] if doubt else None)


def shapeless(library: Library, weights: np.ndarray) -> float:
    """Log evidence of counts that are alike in all cells, whatever their distribution (BIC penalty).

    Without depths, cells of different sizes make background look like a mixture; only counts that go together within
    clones speak for a CAR then.
    """
    sets = library.rows.sets
    cells = np.repeat(weights, np.diff(sets.indptr)) * sets.counts
    seen = np.bincount(library.keys.count[sets.keys], cells)
    seen = seen[seen > 0]
    return float((seen * np.log(seen / seen.sum())).sum() - 0.5 * (seen.size - 1) * np.log(seen.sum()))


def refutation(design: Design, cells: Cells, library: Library, others: dict[str, Library]) -> float:
    """Log-likelihood ratio, at most 0, from other libraries in which such a background should show as well.

    Misassignment belongs to the reference and the chemistry, not to the sample: where T cells of another library of
    this patient with the same chemistry, counting and CAR features lack it, it cannot explain this one. Its rate may
    differ between libraries by a log-sd of 0.7. Where the other library's own clones told CAR from background, the
    cells without the CAR are asked, else all.
    """
    own = library.keys.histogram()
    rate = own.umi / max(own.molecules, 1.0)
    ratios = [0.0]
    for name in sorted(others):
        if name == library.name or not design.same(name, library.name, ("chemistry", "car_counting", "depth_known")):
            continue
        other = others[name]
        mask = (cells.sample == design.names.index(name)) & cells.usable & cells.t_cell & (cells.clone >= 0)
        if mask.sum() < MIN_CELLS:
            continue
        umi, depth = (other.free if other.compared and other.p_clear >= CLEAR else
                      (float(cells.count[mask].sum()), float(np.sort(cells.depth[mask]).sum())))
        ratios.append(_absence(round(umi), rate * max(depth, 1.0)))
    return min(ratios)


def _absence(umi: int, expected: float) -> float:
    """Log ratio of Poisson(umi; expected e^d), d ~ N(0, BETWEEN), to a rate that is exponential with that mean."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    shifted = np.log(expected) + BETWEEN * nodes
    with np.errstate(divide="ignore"):
        there = logsumexp(np.log(weights / weights.sum()) + umi * shifted - np.exp(shifted) - gammaln(umi + 1))
    free = umi * np.log(expected) - (umi + 1) * np.log1p(expected)
    return float(there - free)
