"""Line: cells in S or G2/M phase, 25 % in a lymphoma against the matched background. CAR-T clones cycle too."""

from __future__ import annotations

import numpy as np

from ..cells.genes import G2M_GENES, S_GENES
from .background import matched
from .lines import Line, Scores
from .statistics import log_betabin_ratio
from .table import Cells

GENES = (*S_GENES, *G2M_GENES)
MIN_GENES = 5
RHO, P1, P0_MIN = 0.15, 0.25, 0.05  # quiet samples hold activated clones too
MIN_UMI, FOLD = 3, 3.5


def in_cycle(umi: np.ndarray, depth: np.ndarray, sample: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Cells whose share of S/G2M UMIs is well above that of the quiet half of their sample.

    Parameters
    ----------
    umi, depth
        UMIs of the S and G2/M genes together, and all UMIs, float64 (n,); NaN where not assessed.
    sample
        Sample of each cell, int64.
    reference
        T cells that count, bool.

    Returns
    -------
    float64 (n,): 1 for at least 3 UMIs and 3.5 times the quiet share, else 0; NaN where not assessed.
    """
    out = np.where(np.isfinite(umi) & (depth > 0), 0.0, np.nan)
    for s in np.unique(sample):
        here = (sample == s) & np.isfinite(out)
        base = here & reference
        if not base.any():
            continue
        share = umi[base] / depth[base]
        calm = share <= np.median(share)
        quiet = umi[base][calm].sum() / depth[base][calm].sum()
        out[here] = (umi[here] >= MIN_UMI) & (umi[here] > FOLD * quiet * depth[here])
    return out


def ratio(k: np.ndarray, n: np.ndarray, p0: np.ndarray) -> np.ndarray:
    """Beta-binomial ratio of 25 % cycling against `p0`; 0 where the background itself cycles that much."""
    usable = np.isfinite(p0) & (n > 0)
    rate = np.where(usable, np.maximum(p0, P0_MIN), P1)
    return np.where(usable, log_betabin_ratio(k, n, np.maximum(P1, rate), rate, RHO), np.nan)


def score(cells: Cells, seed: int) -> Scores:
    """Score every clone; NaN without the genes or without a background."""
    del seed
    positive = in_cycle(cells.cycling, cells.depth, cells.sample, cells.counts & cells.t_cell)
    found = matched(cells, positive)
    llr = ratio(found.k, found.n, found.rate)
    detail = [f"{int(k)} of {int(n)} cells cycling" if x > 0.5 else ""
              for k, n, x in zip(found.k, found.n, llr, strict=True)]
    return Scores(llr, found.n.astype(np.int64), detail)


LINE = Line("cycling", -0.8, 0.8, score)
