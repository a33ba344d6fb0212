"""Line: loss or gain of T-cell markers, against T cells of the same sample, subset and depth.

Per marker, with `k` of `n` cells aberrant: log[.45 BB(k | n, p1) / BB(k | n, p0) + .55]; a lymphoma need not have
lost each marker. RNA of CD26 (DPP4) and CCR4 is near zero in normal T cells, so their loss says nothing.
"""

from __future__ import annotations

import numpy as np

from .background import Matched, matched
from .lines import Line, Scores
from .statistics import log_betabin_ratio
from .table import Cells

LOSS = ("CD3D", "CD3E", "CD2", "CD5", "CD7")
GAIN = ("TNFRSF8",)
GENES = (*LOSS, *GAIN, "CD4", "CD8A", "CD8B")
RHO, SHARE_ABERRANT, UNINFORMATIVE = 0.15, 0.45, 0.9
P1, P1_MAX = 0.85, 0.99
P0_MIN = 1e-3
PEERS, PEER_CELLS = 0.9, 5


def aberrations(genes: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, bool]]:
    """Aberrant (1), normal (0) or not assessed (NaN) per cell and marker, and whether to match the annotation.

    Double-negative and double-positive cells define the annotation, so they are not matched by it.
    """
    out: dict[str, tuple[np.ndarray, bool]] = {}
    for gene in LOSS:
        if gene in genes:
            out[f"{gene} lost"] = (_flag(genes[gene] == 0, genes[gene]), True)
    for gene in GAIN:
        if gene in genes:
            out[f"{gene} gained"] = (_flag(genes[gene] > 0, genes[gene]), True)
    if all(g in genes for g in ("CD4", "CD8A", "CD8B")):
        cd4, cd8 = genes["CD4"], genes["CD8A"] + genes["CD8B"]
        out["CD4 and CD8 lost"] = (_flag((cd4 == 0) & (cd8 == 0), cd4 + cd8), False)
        out["CD4 with CD8"] = (_flag((cd4 > 0) & (cd8 > 0), cd4 + cd8), False)
    return out


def _flag(condition: np.ndarray, assessed: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(assessed), condition.astype(np.float64), np.nan)


def marker_ratio(k: np.ndarray, n: np.ndarray, p0: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio of one marker; NaN where the background is unknown or nearly always aberrant."""
    p0 = np.clip(p0, P0_MIN, None)
    p1 = np.minimum(np.maximum(P1, p0 + 0.5 * (1 - p0)), P1_MAX)
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(p0) & (p0 <= UNINFORMATIVE) & (n > 0)
    safe0, safe1 = np.where(usable, p0, 0.5), np.where(usable, p1, 0.85)
    bf = log_betabin_ratio(k, n, safe1, safe0, RHO)
    return np.where(usable, np.logaddexp(np.log(SHARE_ABERRANT) + bf, np.log1p(-SHARE_ABERRANT)), np.nan)


def peers(found: Matched) -> np.ndarray:
    """Upper decile of the aberrant share over the other clones of >= 5 cells; the matched rate where it is higher.

    Whole clones are CD4 or CD8, so the cell average of a sample is no null for a marker that follows the lineage.
    """
    share = np.where(found.n >= PEER_CELLS, (found.k + 0.5) / (found.n + 1.0), np.nan)
    ordered = np.sort(share[np.isfinite(share)])
    out = found.rate.copy()
    for c in range(share.size):
        others = np.delete(ordered, np.searchsorted(ordered, share[c])) if np.isfinite(share[c]) else ordered
        if others.size:
            decile = others[int(np.ceil(PEERS * others.size)) - 1]
            out[c] = np.maximum(out[c], decile)  # NaN stays NaN
    return out


def score(cells: Cells, seed: int) -> Scores:
    """Sum of the marker ratios of each clone; NaN where no marker could be assessed."""
    del seed
    names, ratios, counts = [], [], []
    for name, (aberrant, by_subset) in aberrations(cells.genes).items():
        found = matched(cells, aberrant, by_subset=by_subset)
        rate = found.rate if by_subset else peers(found)
        names.append(name)
        ratios.append(marker_ratio(found.k, found.n, rate))
        counts.append(found.n)
    if not names:
        return Scores(np.full(cells.n_clones, np.nan), np.zeros(cells.n_clones, np.int64))
    stacked = np.vstack(ratios)
    assessed = np.isfinite(stacked).any(axis=0)
    total = np.where(assessed, np.nansum(stacked, axis=0), np.nan)
    detail = [", ".join(names[m] for m in np.nonzero(stacked[:, c] > 0.5)[0]) for c in range(cells.n_clones)]
    return Scores(total, np.max(counts, axis=0).astype(np.int64), detail)


LINE = Line("phenotype", -2.5, 2.5, score, soft=True)
