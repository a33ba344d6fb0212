"""Fit of all libraries of one patient: backgrounds per GEM well, signal per sample, and what may inform what."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._settings import Device
from . import background as bg
from . import identify, library, signal
from .background import Background
from .design import Cells, Design, in_car_sort
from .keys import Histogram, make_keys
from .library import Library
from .signal import ThetaPrior

ROUNDS = 3
MAX_DOUBLETS = 0.4
MIN_LOADED = 2500  # small libraries show 1 to 2 % of barcodes with two TRB: few called cells were not few loaded ones


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the analysis; see `car_status`."""

    fraction_limit: float = 0.10
    silenced_share: float = 0.02
    doublet_rate: float = 0.008
    rng: int = 0
    device: Device | None = "cpu"


def histogram(cells: Cells, mask: np.ndarray) -> Histogram:
    """Histogram of the cells under a mask."""
    return make_keys(cells.depth[mask], cells.count[mask]).histogram()


def analysed(cells: Cells) -> np.ndarray:
    """Cells that may carry the CAR and count in their library's fit."""
    return cells.usable & cells.t_cell & ~cells.negative


def eta_expected(cells: Cells, in_well: np.ndarray, carrying: float, rate: float) -> float:
    """Share of cells with a carrying partner: doublets of a well of this size times its carrying share."""
    doublets = min(rate * max(in_well.sum(), MIN_LOADED) / 1000.0, MAX_DOUBLETS)
    return float(np.clip(doublets * carrying, 1e-4, MAX_DOUBLETS))


def _empties(design: Design, samples: list[str]) -> tuple[int, int] | None:
    known = design.table.loc[samples, ["empty_droplets", "empty_umi"]].dropna()
    if known.empty:
        return None
    first = known.iloc[0]  # samples of one well share their empty droplets
    return int(first["empty_droplets"]), int(first["empty_umi"])


def _elsewhere(design: Design, cells: Cells, sample: str) -> tuple[float, float] | None:
    """Misassignment in CAR-free T cells of other wells with the same chemistry."""
    names = design.names
    well = design.word(sample, "gem_well")
    donors = [i for i, n in enumerate(names) if design.word(n, "gem_well") != well
              and design.same(n, sample, ("chemistry",))]
    mask = cells.usable & cells.t_cell & cells.negative & np.isin(cells.sample, donors)
    return bg.misassignment(histogram(cells, mask)) if mask.sum() >= bg.MIN_CONTROL_CELLS else None


def well_background(design: Design, cells: Cells, samples: list[str], *, carrying: float, theta: float, size: float,
                    rate: float, away: tuple[float, float] | None, previous: Background | None) -> Background:
    """Background of one GEM well from its best control; `away` is what other wells' CAR-free T cells show."""
    names = design.names
    in_well = np.isin(cells.sample, [names.index(s) for s in samples])
    use = in_well & cells.usable
    content = max(float(cells.count[use].sum()), 0.5) / max(float(np.sort(cells.depth[use]).sum()), 1.0)
    start = bg.unmeasured(content, eta=eta_expected(cells, in_well, carrying, rate), empties=_empties(design, samples))
    t_free, other = use & cells.t_cell & cells.negative, use & ~cells.t_cell
    for mask, t_cells in ((t_free, True), (other, False)):
        if mask.sum() >= bg.MIN_CONTROL_CELLS:
            start = bg.fit(histogram(cells, mask), start, theta=theta, size=size, t_cells=t_cells,
                           previous=previous)
            break
    return start if away is None else bg.with_misassignment(start, *away)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Libraries of one patient by sample, and theta of declared controls and of samples of known CAR+ share.

    Attributes
    ----------
    libraries
        Sample to fitted library; samples without a usable T cell are absent.
    declared
        Sample to (theta, expected carrying cells, CAR UMIs) of its control cells.
    """

    libraries: dict[str, Library]
    declared: dict[str, tuple[float, float, int]]


def _declared_share(design: Design, sample: str) -> tuple[float, float]:
    """Beta parameters of the carrying share of a control sample."""
    fraction, n = design.number(sample, "car_fraction"), design.number(sample, "car_fraction_n")
    if np.isnan(fraction):
        return 4.0, 1.0
    n = 100.0 if np.isnan(n) else n
    return fraction * n + 0.5, (1 - fraction) * n + 0.5


def _declared(design: Design, cells: Cells, backgrounds: dict[str, Background]) -> dict[str, tuple[float, float, int]]:
    """Signal of declared control cells, and of unsorted samples whose CAR+ share is known."""
    out = {}
    for i, name in enumerate(design.names):
        here = cells.usable & cells.t_cell & ~cells.negative & (cells.sample == i)
        mask = here if design.known_share(name) else here & cells.positive
        if mask.any():
            part = histogram(cells, mask)
            guess = signal.first_guess(part, backgrounds[name], ThetaPrior())
            fitted, share = signal.fit_mixture(part, backgrounds[name], ThetaPrior(), start=guess,
                                               share=_declared_share(design, name))
            out[name] = (fitted.theta, share * float(mask.sum()), int(cells.count[mask].sum()))
    return out


def _centre(values: list[tuple[float, float]]) -> float:
    """Mean of theta on the log scale, weighted by what each library knows."""
    weights = np.array([1 / (signal.BETWEEN**2 + spread**2) for _, spread in values])
    return float(np.exp((weights * np.log([theta for theta, _ in values])).sum() / weights.sum()))


def theta_prior(design: Design, sample: str, fitted: Fitted) -> ThetaPrior:
    """What is known of a sample's theta from elsewhere, the nearest source first."""
    well = design.word(sample, "gem_well")
    own = [s for s in sorted(fitted.declared) if design.word(s, "gem_well") == well]
    if own:
        return ThetaPrior(_centre([(fitted.declared[s][0], 0.0) for s in own]), signal.WITHIN_WELL, "same_library")
    known = {s: (lib.signal.theta, lib.signal.spread) for s, lib in fitted.libraries.items()
             if s != sample and lib.p_clear >= identify.CLEAR
             and lib.signal.spread < signal.MIN_INFORMATION**-0.5}
    pairs = [known[s] for s in sorted(known) if design.paired(sample, s)]
    if pairs:
        return ThetaPrior(_centre(pairs), signal.BETWEEN, "paired")
    others = [known[s] for s in sorted(known)]
    if others:
        sd = float(np.hypot(signal.BETWEEN, signal.BETWEEN / np.sqrt(len(others))))
        return ThetaPrior(_centre(others), sd, "other_day" if len(others) == 1 else "empirical_bayes")
    return ThetaPrior()


def fit_patient(design: Design, cells: Cells, options: Options) -> Fitted:
    """Fit every library of a patient.

    Parameters
    ----------
    design
        Samples; flags are added to it.
    cells
        Cells with settled controls (`design.settle_controls`).
    """
    wells = {s: w for w, samples in design.wells().items() for s in samples}
    libraries: dict[str, Library] = {}
    in_sort = in_car_sort(design, cells)
    declared: dict[str, tuple[float, float, int]] = {}
    away = {well: _elsewhere(design, cells, samples[0]) for well, samples in design.wells().items()}
    backgrounds: dict[str, Background] = {}
    for step in range(ROUNDS + 1):
        backgrounds = _backgrounds(design, cells, libraries, options, away, backgrounds)
        if step == 0:
            declared = _declared(design, cells, {s: backgrounds[wells[s]] for s in design.names})
        for i, name in enumerate(design.names):
            mask = analysed(cells) & (cells.sample == i)
            if not mask.any():
                continue
            prior = theta_prior(design, name, Fitted(libraries if step else {}, declared))
            if step == 0:
                first = library.start(name, cells.depth[mask], cells.count[mask], cells.clone[mask],
                                      in_sort[mask], backgrounds[wells[name]], prior)
                libraries[name] = identify.begin(design, cells, first, device=options.device)
            else:
                libraries[name] = replace(libraries[name], theta_prior=prior, background=_own_background(
                    backgrounds[wells[name]], libraries[name].misassigned))
        for name in sorted(libraries):
            libraries[name] = _round(libraries[name], options, step)
        for name in sorted(libraries):
            libraries[name] = identify.compare(design, cells, libraries[name], libraries, device=options.device)
    return Fitted(libraries, declared)


def _own_background(well: Background, misassigned: tuple[float, float] | None) -> Background:
    """Background of a library: its well's, with the misassignment that its own clones show where they were asked."""
    return well if misassigned is None else replace(well, mt=misassigned[0], spread=misassigned[1])


def _round(lib: Library, options: Options, step: int) -> Library:
    if step:  # the background was reset to what the controls say
        lib = library.false_counts(lib, device=options.device)
    lib, carrying = library.expectation(lib, device=options.device)
    if step < ROUNDS:
        lib = library.spread_of_expression(library.maximisation(lib, carrying), device=options.device)
        lib = identify.refine(lib, step, device=options.device)
    lib = library.law_of_shares(lib, device=options.device)
    return library.expectation(lib, device=options.device)[0] if step == ROUNDS else lib


def _backgrounds(design: Design, cells: Cells, libraries: dict[str, Library], options: Options,
                 away: dict[str, tuple[float, float] | None], before: dict[str, Background]) -> dict[str, Background]:
    """Backgrounds of all GEM wells; `before` are those of the round before, from which the fits start."""
    out = {}
    for well, samples in design.wells().items():
        known = [libraries[s] for s in samples if s in libraries]
        cells_of = np.array([max(lib.carrying, 1e-6) * lib.keys.of_cell.size for lib in known])
        in_well = int(np.isin(cells.sample, [design.names.index(s) for s in samples]).sum())
        carrying = float(cells_of.sum() / max(in_well, 1)) if libraries else _first_share(design, cells, samples)
        theta = float(np.exp((cells_of * np.log([lib.signal.theta for lib in known])).sum() / cells_of.sum())
                      ) if known else signal.THETA
        size = float((cells_of * [lib.size for lib in known]).sum() / cells_of.sum()) if known else signal.SIZE
        out[well] = well_background(design, cells, samples, carrying=carrying, theta=theta, size=size,
                                    rate=options.doublet_rate, away=away[well], previous=before.get(well))
    return out


def _first_share(design: Design, cells: Cells, samples: list[str]) -> float:
    in_well = np.isin(cells.sample, [design.names.index(s) for s in samples]) & cells.usable
    return float(np.clip((cells.count[in_well] > 0).mean() if in_well.any() else 0.0, 1e-3, 0.95))
