"""The clones of a patient, and the cells that a library draws from them."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from .counts import draw_partners, draw_spread
from .expression import CYCLING
from .plan import BLOOD_T, Focus, Library, Plan
from .receptors import Receptor, make_receptor

Array = np.ndarray
TAU = 0.5  # standard deviation of log CAR expression between clones, measured .35 to .7
# Zipf exponents of clone sizes: naive T cells are nearly all different, effector clones are large
_STEEPNESS = {"naive": 0.0, "memory": 0.6, "Treg": 0.3, "effector": 1.0, "CAR": 0.6}


@dataclass(frozen=True, slots=True)
class Clone:
    """A clone of the patient.

    Attributes
    ----------
    receptor
        Its chains.
    strength
        CAR expression relative to the library's average.
    focus
        The scenario's description, None for any other clone.
    carries
        bool per site of the panel: whether the clone's cells carry the variant (focus clones: per cell, see `Cells`).
    """

    receptor: Receptor
    strength: float
    focus: Focus | None
    carries: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Clones:
    """All clones, and per (source, population) which of them cells are drawn from and with which weight."""

    members: tuple[Clone, ...]
    pools: dict[tuple[str, str], tuple[Array, Array]]


@dataclass(slots=True)
class Cells:
    """Cells in the droplets of one library: one row per cell, the second cells of doublets at the end.

    `host` is the droplet of each row (droplets are numbered 0 to n - 1 and the first n rows are their first cells);
    `part` is the share of the cell's molecules that were captured (1 for first cells); `clone` is -1 without one.
    """

    population: Array
    clone: Array
    car: Array
    malignant: Array
    ebv: Array
    captured: Array
    host: Array
    part: Array

    @property
    def n_droplets(self) -> int:
        """Droplets with a cell."""
        return int(self.host.max()) + 1 if len(self.host) else 0

    @property
    def is_t(self) -> Array:
        """Per row, whether the cell has a T-cell receptor."""
        return self.clone >= 0


def draw_clones(plan: Plan, seed: int) -> Clones:
    """Draw the patient's clones: focus clones first, then the repertoire, then the infused cells' clones.

    A share `plan.mixed` of the infused clones also stands in the repertoire: its members there were never transduced.
    """
    rng = np.random.default_rng([seed, crc32(plan.patient.encode()), 1])
    taken: set[str] = set()
    n = len(plan.focus) + plan.pool + plan.car_clones
    strengths = draw_spread(rng, n, sd=TAU)
    members: list[Clone] = []
    for focus in plan.focus:
        strength = focus.strength if focus.strength is not None else float(strengths[len(members)])
        carries = tuple(focus.name in site.focus for site in plan.sites)
        members.append(Clone(make_receptor(rng, taken, dual_tra=0, dual_trb=0, silent_trb=0), strength, focus, carries))
    while len(members) < n:
        carries = tuple(bool(rng.random() < site.clones) for site in plan.sites)
        members.append(Clone(make_receptor(rng, taken), float(strengths[len(members)]), None, carries))
    return Clones(tuple(members), _pools(plan))


def _weights(population: str, n: int) -> Array:
    steepness = next(v for k, v in _STEEPNESS.items() if k in population)
    weight = (np.arange(n) + 2.0) ** -steepness
    return weight / weight.sum()


def _pools(plan: Plan) -> dict[tuple[str, str], tuple[Array, Array]]:
    start = len(plan.focus)
    pools: dict[tuple[str, str], tuple[Array, Array]] = {
        (focus.name, ""): (np.array([i]), np.ones(1)) for i, focus in enumerate(plan.focus)}
    car = np.arange(start + plan.pool, start + plan.pool + plan.car_clones)
    shared = car[:round(plan.mixed * len(car))]
    bounds = np.round(np.cumsum([0.0, *BLOOD_T.values()]) / sum(BLOOD_T.values()) * plan.pool).astype(int) + start
    for i, population in enumerate(BLOOD_T):
        own = np.arange(bounds[i], bounds[i + 1])
        if population == "CD8_memory":
            own = np.concatenate([own[:5], shared, own[5:]])
        pools["pool", population] = own, _weights(population, len(own))
    for population, rows in (("CAR_T_CD8", car[::2]), ("CAR_T_CD4", car[1::2])):
        pools["car", population] = rows, _weights(population, len(rows))
    return pools


def draw_cells(rng: np.random.Generator, library: Library, clones: Clones) -> Cells:
    """Draw the cells of one library in random order, then its doublets."""
    parts = []
    for group in library.groups:
        focus = next((c.focus for c in clones.members if c.focus and c.focus.name == group.source), None)
        population = group.population or (focus.population if focus else "")
        clone = np.full(group.n, -1)
        if group.source:
            rows, weights = clones.pools[group.source, "" if focus else population]
            clone = rng.choice(rows, size=group.n, p=weights)
        parts.append((np.full(group.n, population, object), clone, rng.random(group.n) < group.car,
                      np.full(group.n, group.malignant), rng.random(group.n) < group.ebv,
                      np.full(group.n, group.captured)))
    columns = [np.concatenate(values) for values in zip(*parts, strict=True)]
    order = rng.permutation(len(columns[0]))
    first = _assemble([c[order] for c in columns], np.arange(len(order)), np.ones(len(order)))
    return _with_doublets(rng, first, library, clones)


def _with_doublets(rng: np.random.Generator, cells: Cells, library: Library, clones: Clones) -> Cells:
    host, partner, part = draw_partners(rng, cells.n_droplets, library.doublets)
    for name, prefix, share in library.pairs:
        index = clones.pools[name, ""][0][0]
        hosts = np.flatnonzero((cells.clone == index) & (rng.random(len(cells.clone)) < share))
        others = np.flatnonzero([str(p).startswith(prefix) for p in cells.population])
        host = np.concatenate([host, hosts])
        partner = np.concatenate([partner, rng.choice(others, size=len(hosts))])
        part = np.concatenate([part, rng.beta(4.0, 4.0, len(hosts))])
    host, unique = np.unique(host, return_index=True)
    keep = ~cells.captured[host]  # rare cells that an answer depends on stay alone
    host, rows, part = host[keep], partner[unique][keep], part[unique][keep]
    kept = (cells.population, cells.clone, cells.car, cells.malignant, cells.ebv, cells.captured)
    return _assemble([np.concatenate([c, c[rows]]) for c in kept], np.concatenate([cells.host, host]),
                     np.concatenate([cells.part, part]))


def _assemble(columns: list[Array], host: Array, part: Array) -> Cells:
    population, clone, car, malignant, ebv, captured = columns
    return Cells(population, clone, car, malignant, ebv, captured, host, part)


def cycling_share(cells: Cells, clones: Clones) -> Array:
    """Chance of every cell to be in S or G2/M."""
    out = np.array([CYCLING.get(str(p), 0.005) for p in cells.population])
    for index, clone in enumerate(clones.members):
        if clone.focus is None:
            break
        if clone.focus.aberration:
            out[(cells.clone == index) & cells.malignant] = clone.focus.aberration.cycling
    return out


def variant_carriers(rng: np.random.Generator, cells: Cells, clones: Clones, plan: Plan) -> Array:
    """Whether each cell carries each site's variant, bool (cells, sites)."""
    out = np.zeros((len(cells.clone), len(plan.sites)), bool)
    table = np.array([c.carries for c in clones.members], bool).reshape(len(clones.members), len(plan.sites))
    n_focus = len(plan.focus)
    for j, site in enumerate(plan.sites):
        out[:, j] = np.where(cells.is_t, table[cells.clone, j], rng.random(len(cells.clone)) < site.others)
        if site.malignant_only:
            out[:, j] &= cells.malignant | (cells.clone >= n_focus) | ~cells.is_t
    return out
