"""How much of a library's CAR counts is misassigned.

Without T cells known to be free of the CAR, molecules of endogenous genes that were counted as CAR look like a CAR in
every clone. `begin` tries several rates, each with the expression that goes with it, and `refine` follows the best
one: a rate that all clones share is background, whatever the largest clone looks like. `compare` then asks whether
all of it, or much more than that, may be background: where that is not excluded the library yields no carrying
verdict.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import gammaln, logsumexp

from .._settings import Device
from . import library as lib_module
from . import prior, signal
from .background import Background
from .design import Cells, Design
from .library import Library

CLEAR = 0.95
PRIOR_CLEAR = 0.8
PRIOR_CLEAR_NATIVE = 0.5  # where reads of endogenous genes may have been counted
SIZES = (np.inf, 5.0, 3.0, 2.0, 1.5, 1.0, 0.5)  # sizes of a background that explains everything
LARGE = tuple([(1.0, size) for size in SIZES]
              + [(part, size) for part in (0.85, 0.7, 0.5, 0.25) for size in (5.0, 2.0, 1.0)])
EQUAL = 2.0  # nats: of explanations that are as good, the one that leaves least to the CAR is the alternative
SHARES = (0.0, 0.03, 0.06, 0.12, 0.25, 0.5, 0.7, 0.85)  # of the library's CAR counts, tried as misassigned
PENALTY = 2.0  # nats by which a misassignment must explain the clones better than none
MOST = 0.5  # largest misassignment, as a share of expression, that is told from expression
DOUBT = 2.0  # alternatives start at this multiple of the misassignment that was found
MIN_UMI = 10.0  # misassigned UMIs that a library's own clones must be expected to hold before they are asked
SHARP = 0.05  # log-sd of the background while its rate is sought: wider ones blur the rate of large clones
STEPS = (0.35, 0.2, 0.1)  # of the log rate, by round
BETWEEN = 0.7  # log-sd of the misassignment rate between libraries of one chemistry and reference
MIN_CELLS = 50
MEASURED = 0.15  # log-sd of a background whose rate is a share of the library's own mean


def rate(library: Library) -> float:
    """CAR UMIs per gene-expression UMI over the library's T cells."""
    cells = library.keys.histogram()
    return cells.umi / max(cells.molecules, 1.0)


def explaining(library: Library, share: float, size: float) -> Background:
    """Background that makes up this share of the CAR counts of the library's T cells."""
    known = library.background
    return replace(known, mt=max(share * rate(library) - known.beta, known.beta), size=size, spread=MEASURED)


def must_compare(design: Design, library: Library) -> bool:
    """Whether the question is open: no CAR-free T cells measured, and not a CAR+ sort with CAR-unique counting."""
    row = design.table.loc[library.name]
    return not library.background.t_measured and not (row["kind"] == "CAR+" and row["car_counting"] == "unique")


def _units_asked(library: Library) -> np.ndarray:
    """Weights of the rows that are asked: clones, whose cells are surely T cells; all rows where they are few."""
    use = library.rows.weights * (library.rows.strata > 0)
    return library.rows.weights if (use * library.rows.sets.sizes).sum() < MIN_CELLS else use


def _under(library: Library, use: np.ndarray, device: Device | None) -> tuple[float, np.ndarray]:
    """Log evidence of the library, and the share of the hypotheses in it."""
    rows = library.rows
    seen = lib_module.row_evidence(library, device=device)
    shares = prior.fit(seen.log, rows.strata, rows.weights)
    return prior.log_evidence(seen.log, shares[rows.strata], use), shares


def _supposed(library: Library, share: float, background: Background, use: np.ndarray,
              device: Device | None) -> Library:
    """The library if this share of its CAR counts were misassigned; if all, they tell nothing of expression."""
    moved = replace(library, background=background)
    if share == 1.0:
        moved = replace(lib_module.unheard(moved), sm=lib_module.DEFAULT_SM, tau=lib_module.DEFAULT_TAU)
    return replace(moved, hypotheses=_under(moved, use, device)[1])


def _try(library: Library, share: float, use: np.ndarray, device: Device | None) -> tuple[float, Library] | None:
    """Log evidence of a library started with this share of its CAR counts misassigned; None where out of range."""
    known = library.background
    found = replace(explaining(library, share, known.size) if share else replace(known, mt=0.0), spread=known.spread)
    guess = signal.first_guess(library.keys.histogram(), found, library.theta_prior)
    if found.mt > MOST * guess.theta:
        return None
    lib = replace(library, background=found, signal=guess, size=guess.size)
    lib, carrying = lib_module.expectation(lib, device=device)
    lib = lib_module.maximisation(lib, carrying)
    if found.mt > MOST * lib.signal.theta:
        return None
    value = _under(lib, use, device)[0] - signal.prior_loss(lib.signal.theta, lib.signal.size, lib.theta_prior)
    return value - (PENALTY if share else 0.0), lib


def begin(design: Design, cells: Cells, library: Library, *, device: Device | None = "cpu") -> Library:
    """The start of a library whose misassignment is open: the best of several rates.

    None is tried without depths, where cells of different sizes make background look like a mixture with CAR, nor in a
    CAR+ sort, where a CAR in every clone is what was looked for. A rate that other libraries lack counts less.
    """
    row = design.table.loc[library.name]
    if (not row["depth_known"] or row["kind"] == "CAR+" or not must_compare(design, library)
            or library.keys.count.max(initial=0) == 0):
        return library
    use, tried = _units_asked(library), []
    for share in SHARES:
        found = _try(library, share, use, device)
        if found is not None:
            tried.append((found[0] + (refutation(design, cells, library, {}, share) if share else 0.0), found[1]))
    best = max(tried, key=lambda pair: pair[0])[1] if tried else library
    return replace(best, misassigned=(best.background.mt, best.background.spread) if best.background.mt else None)


def refine(library: Library, step: int, *, device: Device | None = "cpu") -> Library:
    """Misassignment rate from the library's own clones, around what another library or `begin` said of it.

    One step of a parabola in the log rate; its curvature says how well the rate is known.
    """
    known, free = library.background, library.free[1]
    if (known.t_measured and known.borrowed is None) or known.mt * free < MIN_UMI:
        return library
    use, h = _units_asked(library), STEPS[min(step, len(STEPS) - 1)]
    at = np.log(known.mt) + h * np.array([-1.0, 0.0, 1.0])
    left, middle, right = (
        _under(replace(library, background=replace(known, mt=float(np.exp(x)), spread=SHARP)), use, device)[0]
        + known.log_prior(float(x)) for x in at)
    bend = left - 2 * middle + right
    move = np.clip(0.5 * (left - right) / bend, -2, 2) if bend < 0 else 2 * np.sign(right - left)
    sd = min(h / np.sqrt(-bend), known.spread) if bend < 0 else known.spread
    rate_ = float(np.exp(at[1] + h * move))
    return replace(library, misassigned=(rate_, float(np.hypot(MEASURED, sd))),
                   background=replace(known, mt=rate_, spread=float(np.hypot(MEASURED, sd))))


def compare(design: Design, cells: Cells, library: Library, others: dict[str, Library], *,
            device: Device | None = "cpu") -> Library:
    """Fill `p_clear`, `compared` and `alternative` of a library."""
    if not must_compare(design, library) or library.keys.count.max(initial=0) == 0:
        return replace(library, p_clear=1.0, compared=False, alternative=None)
    use = _units_asked(library)
    own = prior.log_evidence(lib_module.row_evidence(library, device=device).log,
                             library.hypotheses[library.rows.strata], use)
    partly = design.table.loc[library.name, "kind"] != "CAR+"  # most cells of a sort carry, weakly or not
    tried = [(share, explaining(library, share, size)) for share, size in LARGE
             if share == 1.0 or (partly and share * rate(library) > DOUBT * library.background.mt)]
    absent = {share: refutation(design, cells, library, others, share) for share in {share for share, _ in tried}}
    found = [_under(replace(library, background=background), use, device)[0] for _, background in tried]
    logs = [value + absent[share] for (share, _), value in zip(tried, found, strict=True)]
    row = design.table.loc[library.name]
    free = -np.inf if row["depth_known"] else shapeless(library, use) + absent[1.0]
    against, clear = max(*logs, free), PRIOR_CLEAR if row["car_counting"] == "unique" else PRIOR_CLEAR_NATIVE
    fitted = 2 + (library.misassigned is not None)  # theta, size and rate were fitted to these counts
    both = np.array([np.log(clear) + own - fitted, np.log(1 - clear) + against])
    p_clear = float(np.exp(both[0] - logsumexp(both)))
    best = max((i for i, value in enumerate(logs) if value >= max(logs) - EQUAL), key=lambda i: (tried[i][0], logs[i]))
    other = _supposed(library, *tried[best], use, device) if p_clear < CLEAR else None
    return replace(library, p_clear=p_clear, compared=True, alternative=other)


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


def refutation(design: Design, cells: Cells, library: Library, others: dict[str, Library],
               share: float) -> float:
    """Log-likelihood ratio, at most 0, against this share of the counts being misassigned, from other libraries.

    Misassignment belongs to the reference and the chemistry, not to the sample: where T cells of another library of
    this patient with the same chemistry, counting and CAR features lack it, it cannot explain this one. Its rate may
    differ between libraries by a log-sd of 0.7. Where the other library's own clones told CAR from background, the
    cells without the CAR are asked, else all.
    """
    expected = share * rate(library)
    ratios = [0.0]
    for name in design.names:
        if name == library.name or not design.same(name, library.name, ("chemistry", "car_counting", "depth_known")):
            continue
        other = others.get(name)
        mask = (cells.sample == design.names.index(name)) & cells.usable & cells.t_cell & (cells.clone >= 0)
        if mask.sum() < MIN_CELLS:
            continue
        umi, depth = (other.free if other is not None and other.compared and other.p_clear >= CLEAR else
                      (float(cells.count[mask].sum()), float(np.sort(cells.depth[mask]).sum())))
        there = expected * max(depth, 1.0)
        if share == 1.0 or umi < there:  # more than expected may be the other library's own CAR
            ratios.append(_absence(round(umi), there))
    return min(ratios)


def _absence(umi: int, expected: float) -> float:
    """Log ratio of Poisson(umi; expected e^d), d ~ N(0, BETWEEN), to a rate that is exponential with that mean."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    shifted = np.log(expected) + BETWEEN * nodes
    with np.errstate(divide="ignore"):
        there = logsumexp(np.log(weights / weights.sum()) + umi * shifted - np.exp(shifted) - gammaln(umi + 1))
    free = umi * np.log(expected) - (umi + 1) * np.log1p(expected)
    return float(there - free)
