"""One library in numbers: gene and feature counts, contigs, allele counts, empty droplets, and what is true."""

from __future__ import annotations

from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
import pandas as pd
from scipy import sparse

from .counts import draw_background, draw_depth, draw_signal, draw_spread
from .expression import EBV, Aberration, clone_factor, draw_counts, draw_cycle, draw_virus, genes, make_profile
from .people import Cells, Clones, cycling_share, draw_cells, variant_carriers
from .plan import Library, Plan
from .receptors import Contig, ambient_contig, capture_contigs

Array = np.ndarray
_BLOCK = 512  # cells whose dense counts are held at once


@dataclass(slots=True)
class Sampled:
    """A library as it would come out of the pipeline, with the truth beside it.

    Attributes
    ----------
    barcodes
        Barcodes with a cell, sorted.
    features
        Feature names: genes, then EBV genes, then CAR features.
    counts
        int32 CSR, barcodes x features.
    contigs
        Assembled chains.
    alt, depth
        int64 (barcodes, sites): alternative and all reads; None without a panel.
    empty_barcodes, empties
        Empty droplets, and their counts (CSR); None without a raw matrix.
    truth
        One row per barcode.
    """

    library: Library
    barcodes: Array
    features: tuple[str, ...]
    counts: sparse.csr_matrix
    contigs: list[Contig]
    alt: Array | None
    depth: Array | None
    empty_barcodes: Array
    empties: sparse.csr_matrix | None
    truth: pd.DataFrame


def draw_barcodes(rng: np.random.Generator, n: int) -> Array:
    """Different 16-base barcodes with the suffix ``-1``, in random order."""
    out: list[str] = []
    seen: set[str] = set()
    while len(out) < n:
        for row in rng.integers(0, 4, (n, 16)):
            word = "".join("ACGT"[i] for i in row) + "-1"
            if word not in seen and len(out) < n:
                seen.add(word)
                out.append(word)
    return np.array(out, object)


def sample_library(plan: Plan, library: Library, clones: Clones, seed: int) -> Sampled:
    """Draw one library; its random numbers depend on the seed and the sample's name alone."""
    rng = np.random.default_rng([seed, crc32(library.sample.encode()), 2])
    words = draw_barcodes(rng, sum(g.n for g in library.groups) + library.empties)
    cells = draw_cells(rng, library, clones)
    n = cells.n_droplets
    barcodes = np.array(sorted(words[:n]), object)
    depth = draw_depth(rng, len(cells.clone), median=library.depth, sd=library.depth_sd) * cells.part
    depth_all = np.bincount(cells.host, depth, n)
    expression, soup = _expression(rng, library, cells, clones, depth)
    viral = draw_virus(rng, cells.ebv, depth) if plan.virus else np.zeros((len(depth), 0), np.int32)
    car, content = _car(rng, library, cells, clones, depth, depth_all)
    join = sparse.csr_matrix((np.ones(len(depth), np.int32), (cells.host, np.arange(len(depth)))), (n, len(depth)))
    viral_all = np.asarray(join @ viral)
    if library.ebv_super and plan.virus:
        viral_all = _burst(rng, viral_all, cells, library.ebv_super)
    split = _split(rng, car, library)
    counts = sparse.csr_matrix(sparse.hstack([join @ expression, sparse.csr_matrix(viral_all),
                                              sparse.csr_matrix(split)]), dtype=np.int32)
    alt, reads = _alleles(rng, plan, library, cells, clones, depth, join)
    features = genes().symbol + (EBV if plan.virus else ()) + tuple(library.features)
    empties = _empties(rng, library, soup, viral_all, content) if library.empties else None
    return Sampled(library, barcodes, features, counts, _contigs(rng, library, cells, clones, depth, barcodes), alt,
                   reads, np.array(sorted(words[n:]), object), empties, _truth(library, cells, clones, barcodes))


def _burst(rng: np.random.Generator, viral: Array, cells: Cells, total: int) -> Array:
    """One monocyte in lysis: `total` viral UMIs, more than half of one feature, and 5 % as much in everyone's soup."""
    share = np.array([0.55, *[0.45 / (len(EBV) - 1)] * (len(EBV) - 1)])
    out = viral + rng.poisson(0.05 * total / len(viral) * share, viral.shape)
    out[np.flatnonzero(cells.population[:cells.n_droplets] == "monocyte")[0]] += rng.multinomial(total, share)
    return np.asarray(out, np.int32)


def _expression(rng: np.random.Generator, library: Library, cells: Cells, clones: Clones,
                depth: Array) -> tuple[sparse.csr_matrix, Array]:
    """Gene counts of every cell (CSR) and the library's mean profile."""
    keys = [(str(p), c if m else -1) for p, c, m in zip(cells.population, cells.clone, cells.malignant, strict=True)]
    kinds = sorted(set(keys))
    profiles = np.array([make_profile(p, _aberration(clones, c)) for p, c in kinds])
    kind = np.array([kinds.index(k) for k in keys])
    soup = np.bincount(kind, depth, len(kinds)) @ profiles / depth.sum()
    phase = draw_cycle(rng, cycling_share(cells, clones))
    factors = _factors(cells, clones)
    blocks = []
    for a in range(0, len(depth), _BLOCK):
        b = slice(a, a + _BLOCK)
        factor = np.ones((len(kind[b]), profiles.shape[1]))
        for i, c in enumerate(cells.clone[b]):
            if int(c) in factors:
                factor[i] = factors[int(c)]
        blocks.append(sparse.csr_matrix(draw_counts(rng, profiles[kind[b]], depth[b], phase[b], factor, soup=soup,
                                                    ambient=library.ambient)))
    return sparse.csr_matrix(sparse.vstack(blocks)), soup


def _aberration(clones: Clones, clone: int) -> Aberration | None:
    focus = clones.members[clone].focus if clone >= 0 else None
    return focus.aberration if focus else None


def _factors(cells: Cells, clones: Clones) -> dict[int, Array]:
    """Factor per gene of clones with three or more cells here; smaller ones differ by cell noise alone."""
    found, sizes = np.unique(cells.clone[cells.clone >= 0], return_counts=True)
    return {int(c): clone_factor(clones.members[c].receptor.key) for c, n in zip(found, sizes, strict=True) if n >= 3}


def _car(rng: np.random.Generator, library: Library, cells: Cells, clones: Clones, depth: Array,
         depth_all: Array) -> tuple[Array, float]:
    """CAR UMIs per barcode, all features together, and the mean true content per barcode."""
    strength = np.array([clones.members[c].strength if c >= 0 else 1.0 for c in cells.clone])
    own = draw_signal(rng, depth, cells.car, strength, library.model)
    n = cells.n_droplets
    signal = np.bincount(cells.host, own, n).astype(np.int64)
    t_cell = np.bincount(cells.host, cells.is_t, n) > 0
    content = float(signal.mean())
    return signal + draw_background(rng, depth_all, t_cell, content, library.model), content


def _split(rng: np.random.Generator, car: Array, library: Library) -> Array:
    """CAR UMIs per feature, int32 (barcodes, features); the share that maps to none of them is lost."""
    shares = np.array(list(library.features.values()), float)
    lost = max(0.0, 1.0 - float(shares.sum()))
    return rng.multinomial(car, np.append(shares, lost))[:, :-1].astype(np.int32)


def _alleles(rng: np.random.Generator, plan: Plan, library: Library, cells: Cells, clones: Clones, depth: Array,
             join: sparse.csr_matrix) -> tuple[Array | None, Array | None]:
    """Reads at the panel's sites: allelic imbalance Beta(3, 3), error 0.002, soup at the library's allele fraction."""
    if not library.panel or not plan.sites:
        return None, None
    carriers = variant_carriers(rng, cells, clones, plan)
    coverage = np.array([site.coverage for site in plan.sites])
    reads = rng.poisson(coverage * (depth / library.depth)[:, None])
    fraction = np.where(carriers, rng.beta(3.0, 3.0, carriers.shape), 0.002)
    alt = rng.binomial(reads, (1 - library.ambient) * fraction + library.ambient * 0.5 * carriers.mean(axis=0))
    return np.asarray(join @ alt), np.asarray(join @ reads)


def _contigs(rng: np.random.Generator, library: Library, cells: Cells, clones: Clones, depth: Array,
             barcodes: Array) -> list[Contig]:
    """Chains of every T cell, then stray ones; the same chain twice in a barcode is one contig."""
    if not library.vdj:
        return []
    found: dict[tuple[str, str, str], Contig] = {}
    rows = np.flatnonzero(cells.is_t)
    for i in rows:
        trb, tra = (1.0, 1.0) if cells.captured[i] else (library.trb, library.tra)
        receptor = clones.members[cells.clone[i]].receptor
        _add(found, capture_contigs(rng, receptor, str(barcodes[cells.host[i]]), trb=trb, tra=tra,
                                    relative_depth=float(depth[i] / library.depth)))
    stray = np.flatnonzero(rng.random(len(barcodes)) < library.ambient_chain)
    for droplet in stray if len(rows) else ():
        source = clones.members[cells.clone[rng.choice(rows)]].receptor
        _add(found, [ambient_contig(rng, source, str(barcodes[droplet]))])
    return list(found.values())


def _add(found: dict[tuple[str, str, str], Contig], contigs: list[Contig]) -> None:
    for contig in contigs:
        key = contig.barcode, contig.chain.locus, contig.chain.junction
        old = found.get(key)
        found[key] = contig if old is None else replace(old, umis=old.umis + contig.umis,
                                                        reads=old.reads + contig.reads)


def _empties(rng: np.random.Generator, library: Library, soup: Array, viral: Array,
             content: float) -> sparse.csr_matrix:
    """Counts of empty droplets: soup of the same make-up as in cells, CAR at the same rate per droplet."""
    n = library.empties
    droplet = draw_spread(rng, n, sd=library.model.droplet_sd)
    total = rng.poisson(np.clip(library.ambient * library.depth * droplet * np.exp(0.3 * rng.standard_normal(n)),
                                12, 95))
    gene = rng.choice(len(soup), size=int(total.sum()), p=soup)
    genes_ = sparse.csr_matrix((np.ones(len(gene), np.int32), (np.repeat(np.arange(n), total), gene)), (n, len(soup)))
    leak = rng.poisson(0.004 * viral.mean(axis=0, keepdims=True) * np.ones((n, 1)))
    car = rng.poisson(library.model.soup * content * droplet)
    return sparse.csr_matrix(sparse.hstack([genes_, sparse.csr_matrix(leak),
                                            sparse.csr_matrix(_split(rng, car, library))]), dtype=np.int32)


def _truth(library: Library, cells: Cells, clones: Clones, barcodes: Array) -> pd.DataFrame:
    """What is true of every barcode: its first cell, and the second one where there is one."""
    n = cells.n_droplets
    key = np.array(["" if c < 0 else clones.members[c].receptor.key for c in cells.clone], object)
    second = {int(h): i for i, h in enumerate(cells.host[n:], start=n)}
    kind = np.where(cells.malignant, "malignant", np.where(cells.car, "CAR-T", np.where(cells.is_t, "other_T",
                                                                                       "other")))
    other = [second.get(i) for i in range(n)]
    return pd.DataFrame({
        "sample": library.sample, "barcode": barcodes, "clone": key[:n], "car": cells.car[:n].astype(int),
        "malignant": cells.malignant[:n].astype(int), "doublet": [int(j is not None) for j in other],
        "population": kind[:n], "phenotype": cells.population[:n], "ebv": cells.ebv[:n].astype(int),
        "clone_2": ["" if j is None else key[j] for j in other],
        "car_2": [0 if j is None else int(cells.car[j]) for j in other],
        "phenotype_2": ["" if j is None else cells.population[j] for j in other]})
