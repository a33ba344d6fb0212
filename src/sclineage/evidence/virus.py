"""Virus per cell and population: artefact features, the viral soup, cells above it, and exact rates.

One viral molecule makes no positive cell, and one locus makes no positive library or population: real data hold
features that light up in virus-free cells (in published HHV-6B counts one feature is 47 to 89 % of the molecules),
and one lytic cell can flood a whole library.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy
from scipy.stats import beta, binom, chi2, hypergeom, poisson

MIN_UMI, MIN_LOCI = 2, 2
TAIL = 1e-3  # P(that many UMIs from soup) below which a cell is positive
LEAK = 0.015  # soup of a droplet as a share of the mean viral content: upper 95 % bound measured for a transgene
LEAK_WITH_EMPTIES = 0.001
MIN_LINEAGE = 50
RICH_UMI, RICH_LOCI = 4, 2  # viral load of a cell, the tested feature left out, that shows true infection
ARTEFACT_FOLD, ARTEFACT_P = 5.0, 0.01
TOGETHER_P, FLAT_P = 0.01, 1e-3
NEGATIVE_CELLS, NEGATIVE_SHARE = 3, 0.2
SPREADER_UMI, SPREADER_SHARE = 10, 0.5
HIGH_MITO = 0.2


@dataclass(frozen=True, slots=True)
class Viral:
    """Counts of one virus.

    Attributes
    ----------
    counts
        int64 (n, f): UMIs per cell and feature.
    assessed
        bool (n, f): whether the reference of the cell's sample held the feature.
    library
        int64 (n,): library (GEM well) of the cell.
    group
        int64 (n,): lineage or large clone of the cell, -1 unknown; artefacts are flat over groups.
    negative
        bool (n,): cells declared free of the virus.
    empty_droplets, empty_umi
        int64 (n_libraries,) and (n_libraries, f): empty droplets and their UMIs; 0 droplets where unknown.
    """

    counts: np.ndarray
    assessed: np.ndarray
    library: np.ndarray
    group: np.ndarray
    negative: np.ndarray
    empty_droplets: np.ndarray
    empty_umi: np.ndarray

    @property
    def cells(self) -> np.ndarray:
        """Cells in whose sample at least one feature was assessed, bool (n,)."""
        return np.asarray(self.assessed.any(axis=1))


# --- artefact features -----------------------------------------------------------------------------------------------
def artefacts(viral: Viral) -> np.ndarray:
    """Features that are positive where there is no virus, bool (f,); learnt from the data, the worst first.

    A feature is an artefact when it is (a) over-represented at least five-fold among what cells show that are not
    infected otherwise (and empties, and declared negatives), against its share of the molecules of infected cells, of
    which soup is made, (b) not seen together with other viral features, and (c) flat over the groups of cells; or when
    declared negative cells show it at a fifth of its rate elsewhere or more.
    """
    out = from_negatives(viral)
    while True:
        worst = _worst(viral, out)
        if worst < 0:
            return out
        out[worst] = True


def from_negatives(viral: Viral) -> np.ndarray:
    """Features that at least three declared negative cells show, at 1/5 of the rate elsewhere or more, bool (f,)."""
    negative, other = viral.negative & viral.cells, ~viral.negative & viral.cells
    hits = (viral.counts[negative] > 0).sum(axis=0)
    rate = hits / max(1, int(negative.sum()))
    elsewhere = (viral.counts[other] > 0).sum(axis=0) / max(1, int(other.sum()))
    return (hits >= NEGATIVE_CELLS) & (rate >= NEGATIVE_SHARE * elsewhere)


def _worst(viral: Viral, dropped: np.ndarray) -> int:
    """Index of the clearest artefact among the features still in use, -1 if there is none. Ties: lowest index."""
    use = np.nonzero(~dropped & (viral.counts.sum(axis=0) + viral.empty_umi.sum(axis=0) > 0))[0]
    kept = viral.counts[:, ~dropped]
    load, loci = kept.sum(axis=1), (kept > 0).sum(axis=1)
    best, best_p = -1, ARTEFACT_P / max(1, int((~dropped).sum()))
    for f in use:
        own = viral.counts[:, f]
        rich = (load - own >= RICH_UMI) & (loci - (own > 0) >= RICH_LOCI) & ~viral.negative
        p = _excess(viral, dropped, int(f), rich)
        if p < best_p and not _together(viral, own, load - own, rich) and _flat(viral, own):
            best, best_p = int(f), p
    return best


def _excess(viral: Viral, dropped: np.ndarray, f: int, rich: np.ndarray) -> float:
    """P-value of the feature's share of what uninfected cells and empties show; 1 where below five-fold."""
    keep = ~dropped
    poor = (viral.counts[~rich] > 0).sum(axis=0) + viral.empty_umi.sum(axis=0)  # cells: one burst is no artefact
    infected = viral.counts[rich].sum(axis=0)
    k, n = int(poor[f]), int(poor[keep].sum())
    share = (infected[f] + 0.5) / (infected[keep].sum() + 0.5 * max(2, int(keep.sum())))
    if k < 3 or k < ARTEFACT_FOLD * share * n:
        return 1.0
    return float(binom.sf(k - 1, n, share))


def _together(viral: Viral, own: np.ndarray, other: np.ndarray, rich: np.ndarray) -> bool:
    """Whether uninfected-looking cells show the feature together with others more often than by chance."""
    pool = viral.cells & ~rich
    n, with_other = int(pool.sum()), int((pool & (other > 0)).sum())
    with_own, both = int((pool & (own > 0)).sum()), int((pool & (own > 0) & (other > 0)).sum())
    return bool(both >= 2 and hypergeom.sf(both - 1, n, with_other, with_own) < TOGETHER_P)


def _flat(viral: Viral, own: np.ndarray) -> bool:
    """Whether the share of positive cells is the same in all groups of >= 50 cells (likelihood-ratio test)."""
    pool = viral.cells & (viral.group >= 0)
    n = np.bincount(viral.group[pool])
    k = np.bincount(viral.group[pool], weights=(own[pool] > 0).astype(np.float64))
    big = n >= MIN_LINEAGE
    if big.sum() < 2:
        return True
    k, n = k[big], n[big].astype(np.float64)
    p, pooled = k / n, k.sum() / n.sum()
    g = 2 * np.sum(xlogy(k, p) + xlogy(n - k, 1 - p) - xlogy(k, pooled) - xlogy(n - k, 1 - pooled))
    return bool(chi2.sf(g, big.sum() - 1) >= FLAT_P or p.max() < ARTEFACT_FOLD * max(p.min(), 1 / n.max()))


# --- soup ------------------------------------------------------------------------------------------------------------
def ambient(viral: Viral, dropped: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Viral UMIs that soup brings into a droplet, per library, and where the number comes from.

    Measured in empty droplets where there are any. Else the viral share of the library, super-spreaders included,
    times a soup level of 1.5 % of a cell's content. In both cases not below what declared negatives show, nor, without
    empties, below the lineage with least virus: viruses have a tropism, soup has none.

    Returns
    -------
    float64 (n_libraries,), and per library ``empties``, ``negative``, ``lowest_lineage``, ``prior`` or ``none``.
    """
    total = viral.counts[:, ~dropped].sum(axis=1)
    n_libraries = viral.empty_droplets.size
    rate, source = np.full(n_libraries, np.nan), ["none"] * n_libraries
    for s in range(n_libraries):
        here = (viral.library == s) & viral.cells
        if not here.any():
            continue
        mean = total[here].mean()
        droplets = int(viral.empty_droplets[s])
        if droplets:
            umi = int(viral.empty_umi[s, ~dropped].sum())
            options = [("empties", (umi + 0.5) / (droplets + 1) + LEAK_WITH_EMPTIES * mean)]
        else:
            options = [("prior", LEAK * mean), ("lowest_lineage", _lowest(total[here], viral.group[here]))]
        negative = here & viral.negative
        if negative.sum() >= MIN_LINEAGE:
            options.append(("negative", float(total[negative].mean())))
        source[s], rate[s] = max(options, key=lambda o: o[1])
    return rate, source


def _lowest(total: np.ndarray, group: np.ndarray) -> float:
    """Mean of the group with least virus, of two or more of >= 50 cells, its fullest cells left out; else 0."""
    rates = []
    for g in np.unique(group[group >= 0]):
        values = np.sort(total[group == g])
        if values.size >= MIN_LINEAGE:
            rates.append(float(values[: values.size - max(1, values.size // 100)].mean()))
    return min(rates) if len(rates) >= 2 else 0.0


def positive_cells(viral: Viral, dropped: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Cells above the soup: two UMIs or more, P(as many from soup) < 0.001, in a library with two loci, bool (n,)."""
    kept = viral.counts[:, ~dropped]
    total = kept.sum(axis=1)
    loci = np.array([(kept[viral.library == s].sum(axis=0) > 0).sum() for s in range(rate.size)])
    expected = np.nan_to_num(rate)[viral.library]
    with_loci = (loci >= MIN_LOCI)[viral.library]
    return (total >= MIN_UMI) & (poisson.sf(total - 1, expected) < TAIL) & with_loci & viral.cells


# --- populations -----------------------------------------------------------------------------------------------------
def garwood(umi: int, n: int) -> tuple[float, float]:
    """Exact two-sided 95 % Poisson interval of a rate per cell (Garwood, Biometrika 28:437, 1936)."""
    if n == 0:
        return np.nan, np.nan
    low = chi2.ppf(0.025, 2 * umi) / 2 if umi else 0.0
    return float(low / n), float(chi2.ppf(0.975, 2 * umi + 2) / 2 / n)


def rate_ratio(own: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Ratio of two rates per cell and its 95 % interval; NaN without cells or without one UMI.

    Parameters
    ----------
    own, other
        int64: viral UMIs of every cell of the two populations.

    Notes
    -----
    Exact for two Poisson counts (the split of their sum is binomial), after both are divided by the larger dispersion
    (variance over mean, at least 1) of the two: cells of one population do not hold equal amounts of a virus.
    """
    total = float(own.sum() + other.sum())
    if own.size == 0 or other.size == 0 or total == 0:
        return np.nan, np.nan, np.nan
    spread = max(1.0, *(float(v.var() / v.mean()) for v in (own, other) if v.sum()))
    k, n, scale = own.sum() / spread, total / spread, other.size / own.size
    low = beta.ppf(0.025, k, n - k + 1) if k > 0 else 0.0
    high = beta.ppf(0.975, k + 1, n - k) if n > k else 1.0
    ratio = scale * own.sum() / other.sum() if other.sum() else np.inf
    return float(ratio), float(scale * low / (1 - low)), float(scale * high / (1 - high)) if high < 1 else np.inf


# --- Epstein-Barr virus ----------------------------------------------------------------------------------------------
PROGRAMMES = ("latency_I", "latency_II", "latency_III", "lytic")
_GENES = {"latency_I": ("EBNA1", "RPMS1", "A73"), "latency_II": ("LMP1", "BNLF1", "LMP2A", "LMP2B",
          "LMP2"), "latency_III": ("EBNA2", "BYRF1", "EBNA3A", "EBNA3B", "EBNA3C", "EBNALP", "EBNA-LP"),
          "lytic": ("BZLF1", "BRLF1", "BMRF1", "BALF5", "BALF2", "BLLF1", "BCLF1", "BCRF1", "BHRF1", "BGLF5", "BMLF1",
                    "BSLF2", "BXLF1", "BKRF3")}
_HELD = {gene: programme for programme, genes in _GENES.items() for gene in genes}
MIN_GENE_UMI, MIN_LYTIC = 2, 2


def programme(features: Sequence[str], umi: np.ndarray, expected: np.ndarray) -> tuple[str, list[str]]:
    """The least programme of Epstein-Barr virus that explains the genes seen above the soup, and those genes.

    Latency I holds EBNA1 and the BART transcripts, II the latent membrane proteins, III the other nuclear antigens; two
    lytic genes make it lytic. A higher programme is never excluded: its genes may be expressed and not captured.

    Parameters
    ----------
    features
        Names; those that end in a gene of the virus after ``_``, ``-``, ``:`` or alone are known.
    umi
        int64: UMIs of each in a population.
    expected
        float64: UMIs that the soup would bring.

    Returns
    -------
    Word of `PROGRAMMES`, empty where no gene of one is seen; and the genes, sorted.
    """
    seen = {_gene(name) for name, k, e in zip(features, umi, expected, strict=True)
            if _gene(name) and k >= MIN_GENE_UMI and poisson.sf(k - 1, e) < TAIL}
    by = {p: sorted(g for g in seen if _HELD[g] == p) for p in PROGRAMMES}
    if len(by["lytic"]) < MIN_LYTIC:
        by["lytic"] = []
    highest = [p for p in PROGRAMMES if by[p]]
    return (highest[-1], by[highest[-1]]) if highest else ("", [])


def _gene(feature: str) -> str:
    name = re.split(r"[_:|]", feature.upper())[-1]
    return name if name in _HELD else ""


# --- vector ----------------------------------------------------------------------------------------------------------
FOLLOW_FOLD, FOLLOW_P, FOLLOW_CELLS = 5.0, 1e-6, 20


def follows_car(counts: np.ndarray, car: np.ndarray, assessed: np.ndarray) -> np.ndarray:
    """Features found in cells with CAR molecules five-fold more often than in others, bool (f,).

    Sequence of the vector itself (long terminal repeats, response elements, poly-A signals) does that; so does a virus
    of the CAR-T cells. So it is said and nothing is left out for it.

    Parameters
    ----------
    counts
        int64 (n, f): viral UMIs.
    car
        int64 (n,): CAR UMIs.
    assessed
        bool (n,): cells in which both were looked for.
    """
    with_car, without = assessed & (car > 0), assessed & (car == 0)
    if with_car.sum() < FOLLOW_CELLS or without.sum() < FOLLOW_CELLS:
        return np.zeros(counts.shape[1], bool)
    k, k0 = (counts[with_car] > 0).sum(axis=0), (counts[without] > 0).sum(axis=0)
    n, n0 = int(with_car.sum()), int(without.sum())
    p = hypergeom.sf(k - 1, n + n0, k + k0, n)
    return np.asarray((k / n >= FOLLOW_FOLD * k0 / n0) & (p < FOLLOW_P / max(1, counts.shape[1])) & (k >= 3))


def summary(counts: np.ndarray, positive: np.ndarray, rate: float, mito: np.ndarray) -> dict[str, object]:
    """Row of a population: cells, positives, UMIs, exact rate, ratio to the soup, loci and flags.

    Parameters
    ----------
    counts
        int64 (n, f): UMIs of the features in use.
    positive
        bool (n,): cells above the soup.
    rate
        Soup per droplet.
    mito
        float64 (n,): mitochondrial share, NaN unknown.

    Notes
    -----
    Where one barcode holds half of the UMIs (flag ``super_spreader``), the ratio to the soup is that of the others:
    one cell says nothing of its population.
    """
    per_cell = counts.sum(axis=1)
    n, umi, loci = int(per_cell.size), int(per_cell.sum()), int((counts.sum(axis=0) > 0).sum())
    low, high = garwood(umi, n)
    spread = bool(n and per_cell.max() >= SPREADER_UMI and per_cell.max() > SPREADER_SHARE * umi)
    rest, others = (umi - int(per_cell.max()), n - 1) if spread else (umi, n)
    n_positive = int(positive.sum()) if loci >= MIN_LOCI else 0
    flags = ["one_locus_only"] if loci == 1 else []
    flags += ["super_spreader"] if spread else []
    if umi and (n_positive == 0 or not garwood(rest, others)[0] > rate):
        flags.append("at_ambient")
    bad = positive & (np.nan_to_num(mito) > HIGH_MITO)
    if n_positive and 2 * int(bad.sum()) > n_positive:
        flags.append("high_mito")
    ratio = rest / others / rate if others and rate > 0 else np.nan
    return {"n_cells": n, "n_positive": n_positive, "umi": umi, "rate": umi / n if n else np.nan, "low": low,
            "high": high, "ratio_to_ambient": ratio, "n_loci": loci, "flags": flags}
