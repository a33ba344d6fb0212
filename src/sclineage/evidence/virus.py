"""Virus per cell and population: artefact features, the viral soup, cells above it, and exact rates.

One viral molecule makes no positive cell, and one locus makes no positive library or population: real data hold
features that light up in virus-free cells (in published HHV-6B counts one feature is 47 to 89 % of the molecules),
and one lytic cell can flood a whole library.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy
from scipy.stats import binom, chi2, hypergeom, poisson

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
