"""Rates and compositions of the acceptance patients; each scenario draws a patient's parameters from a generator.

Measured on published CAR-T libraries (22 sorted, 34 in all): theta 1.5e-4 to 13e-4 per UMI with log-sd .61 between
libraries, size 3 to 5 within a clone, tau .35 to .7 between clones, silencing 0 to .05, background .3 % of the
library's content (upper 95 % bound 1.5 %). Doublet shares, depths and the families that are not log-normal are
assumptions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sclineage.simulate.counts import CarModel
from sclineage.simulate.library import CELLS, Params

Rng = np.random.Generator
FEW = {1: 120, 2: 15, 3: 12, 4: 8, 5: 6, 8: 5, 12: 4, 20: 4, 30: 8, 50: 2, 100: 3}


def _patient(rng: Rng, **changes: object) -> Params:
    background = 0.003 * float(np.exp(0.4 * rng.standard_normal()))
    soup = float(rng.uniform(0.3, 0.9))
    model = CarModel(size=float(rng.uniform(3, 5)), silenced=float(rng.uniform(0, 0.05)), soup=background * soup,
                     swap=background * (1 - soup), droplet_sd=float(rng.uniform(0.2, 0.5)))
    params = Params(sizes=dict(CELLS), tau=float(rng.uniform(0.35, 0.7)), model=model,
                    depth=float(rng.uniform(2500, 5500)), depth_sd=float(rng.uniform(0.4, 0.6)),
                    doublets=float(rng.uniform(0.015, 0.045)), carrying=float(rng.uniform(0.3, 0.6)))
    return replace(params, **changes)  # type: ignore[arg-type]


def _model(params: Params, **changes: object) -> Params:
    return replace(params, model=replace(params.model, **changes))  # type: ignore[arg-type]


def measured(rng: Rng) -> Params:
    """The measured rates; CAR+-sorted sister library and pre-infusion T cells."""
    return _patient(rng)


def empty_droplets(rng: Rng) -> Params:
    """The measured rates, with 4,000 empty droplets of every library beside."""
    return _patient(rng, empties=4000)


def weak_expressers(rng: Rng) -> Params:
    """Theta at the low end of what was measured (1.5e-4, about .6 UMI per CAR+ cell)."""
    return _patient(rng, theta=1.5e-4, theta_sd=0.3)


def high_soup(rng: Rng) -> Params:
    """Background at the upper measured bound: 1.5 % of the library's content, most of it soup."""
    return _model(_patient(rng, theta=7e-4, carrying=0.6), soup=0.012, swap=0.003)


def heavy_doublets(rng: Rng) -> Params:
    """Ten percent of barcodes hold a second cell; none is flagged by its receptor."""
    return _patient(rng, doublets=0.10)


def flagged_doublets(rng: Rng) -> Params:
    """The measured rates as the pipeline sees them: four of five doublets of two T cells show two receptors."""
    return _patient(rng, flagged=0.8)


def heavy_flagged_doublets(rng: Rng) -> Params:
    """Ten percent doublets, four of five of two T cells flagged by their receptors."""
    return _patient(rng, doublets=0.10, flagged=0.8)


def rare_car(rng: Rng) -> Params:
    """Five percent of the clones carry the CAR."""
    return _patient(rng, carrying=0.05, mixed=0.03)


def silenced(rng: Rng) -> Params:
    """Twenty percent of carrying cells make no transcript: four times the upper measured bound."""
    return _model(_patient(rng), silenced=0.20)


def lognormal_gamma(rng: Rng) -> Params:
    """Misspecified: log-normal between cells, gamma between clones."""
    return _model(_patient(rng, clone_family="gamma"), family="lognormal")


def bimodal_clones(rng: Rng) -> Params:
    """Misspecified: clones express at one of two levels, three-fold apart."""
    return _patient(rng, clone_family="bimodal", tau=0.5)


def bursting_cells(rng: Rng) -> Params:
    """Misspecified: cells of one clone express at one of two levels (bursts), more variable than measured."""
    return _model(_patient(rng), family="bimodal", size=2.0)


def native_with_t_control(rng: Rng) -> Params:
    """Whole-CDS counting: endogenous CD28/CD247 reads in T cells; pre-infusion T cells show them."""
    return _model(_patient(rng, counting="whole_cds", before=900), native=float(rng.uniform(1e-5, 5e-5)))


def dominant_native(rng: Rng) -> Params:
    """One dominant CAR-free clone, whole-CDS counting, no control of any kind: the lymphoma library at its worst."""
    native = float(np.exp(rng.uniform(np.log(4e-5), np.log(2.5e-4))))
    params = _patient(rng, sizes=dict(FEW), dominant=1500, counting="whole_cds", before=0, sister=0, carrying=0.0,
                      mixed=0.0, other=200)
    return _model(params, native=native)


def dominant_native_few_car(rng: Rng) -> Params:
    """The same with CAR-T cells in a third of the small clones and a sorted sister library."""
    params = _patient(rng, sizes=dict(FEW), dominant=1500, counting="whole_cds", before=0, carrying=0.3)
    return _model(params, native=float(rng.uniform(1e-5, 6e-5)))


def dominant_free(rng: Rng) -> Params:
    """One dominant CAR-free clone of 2,000 cells among CAR-T cells and others; sorted sister library."""
    return _patient(rng, sizes=dict(FEW), dominant=2000, carrying=0.5)


def product_control(rng: Rng) -> Params:
    """No sorted library; the unsorted product has a CAR+ share known by flow cytometry."""
    return _patient(rng, sister=0, product=600, product_car=float(rng.uniform(0.3, 0.8)))


def minor_mixed(rng: Rng) -> Params:
    """Half of the clones are mixed, with 2 to 30 % carrying members."""
    return _patient(rng, mixed=0.5, mixed_range=(0.02, 0.3))


def no_control(rng: Rng) -> Params:
    """No CAR+ cell and no control anywhere: nothing may be called negative."""
    return _patient(rng, sister=0, carrying=0.0, mixed=0.0, sizes=dict(FEW))


def wide_clones(rng: Rng) -> Params:
    """Clones differ twice as much as measured: log-sd 1 between them."""
    return _patient(rng, tau=1.0)


def alike_clones(rng: Rng) -> Params:
    """Clones hardly differ (log-sd .1); all spread is between cells."""
    return _patient(rng, tau=0.1)


def uneven_droplets(rng: Rng) -> Params:
    """Soup of very unequal droplets (log-sd 1.2) at the upper measured bound, proportional to nothing."""
    return _model(_patient(rng, theta=7e-4, carrying=0.6), soup=0.015, swap=0.0, droplet_sd=1.2)


def swapped_reads(rng: Rng) -> Params:
    """All background by barcode swapping, proportional to depth, at the upper measured bound; uneven depths."""
    return _model(_patient(rng, carrying=0.6, depth_sd=0.8), soup=0.0, swap=0.015)


def lognormal_cells(rng: Rng) -> Params:
    """Misspecified: log-normal between cells with the spread of size 2, log-normal between clones."""
    return _model(_patient(rng), family="lognormal", size=2.0)


def gamma_clones(rng: Rng) -> Params:
    """Misspecified: gamma between clones with a long lower tail (log-sd about .8)."""
    return _patient(rng, clone_family="gamma", tau=0.8)


def half_mixed(rng: Rng) -> Params:
    """Half of the clones are mixed, with 30 to 80 % carrying members."""
    return _patient(rng, mixed=0.5, mixed_range=(0.3, 0.8))


def shallow_cells(rng: Rng) -> Params:
    """A third of the depth: 1,300 UMIs in the median cell."""
    return _patient(rng, depth=1300.0)


SCENARIOS: dict[str, Callable[[Rng], Params]] = {f.__name__: f for f in (
    measured, empty_droplets, weak_expressers, high_soup, heavy_doublets, flagged_doublets,
    heavy_flagged_doublets, rare_car, silenced, lognormal_gamma, bimodal_clones, bursting_cells,
    native_with_t_control, dominant_native, dominant_native_few_car, dominant_free,
    product_control, minor_mixed, no_control, wide_clones, alike_clones, uneven_droplets, swapped_reads,
    lognormal_cells, gamma_clones, half_mixed, shallow_cells)}
UNCONTROLLED = ("dominant_native", "no_control")  # no CAR+ cell anywhere: no verdict may be negative
# beyond what was measured: the bars of safety hold here as well, those of power are shown beside an oracle's figures
OUTSIDE = ("weak_expressers", "heavy_doublets", "heavy_flagged_doublets", "silenced", "bursting_cells",
           "dominant_native", "dominant_native_few_car", "wide_clones", "uneven_droplets", "lognormal_cells",
           "gamma_clones", "shallow_cells")
MANY_DOUBLETS = ("heavy_doublets", "heavy_flagged_doublets")  # more than 4 % of the barcodes
