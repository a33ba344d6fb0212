"""Line: cells with virus in the clone against the T cells around it. Most T-cell lymphomas carry none."""

from __future__ import annotations

import numpy as np

from .background import matched
from .lines import Line, Scores
from .statistics import log_betabin_ratio
from .table import Cells

RHO, P1, P0_MIN = 0.15, 0.5, 1e-3
SHARE_VIRAL = 0.3  # T-cell lymphomas with the virus: its absence costs at most log(0.7)


def ratio(k: np.ndarray, n: np.ndarray, p0: np.ndarray) -> np.ndarray:
    """Log ratio of a mixture, 30 % of tumours with half of their cells positive, against the background rate."""
    usable = np.isfinite(p0) & (n > 0)
    rate = np.where(usable, np.maximum(p0, P0_MIN), P1)
    bf = log_betabin_ratio(k, n, np.maximum(P1, rate), rate, RHO)
    mixed = np.logaddexp(np.log(SHARE_VIRAL) + bf, np.log1p(-SHARE_VIRAL))
    return np.where(usable, mixed, np.nan)


def score(cells: Cells, seed: int) -> Scores:
    """Score every clone by the virus that speaks loudest; NaN where none was assessed."""
    del seed
    llr, n_seen = np.full(cells.n_clones, np.nan), np.zeros(cells.n_clones, np.int64)
    detail = [""] * cells.n_clones
    for name in sorted(cells.virus):
        found = matched(cells, cells.virus[name], by_subset=False)
        value = ratio(found.k, found.n, found.rate)
        for c in np.nonzero(np.isfinite(value) & ~(llr >= value))[0]:
            llr[c], n_seen[c] = value[c], int(found.n[c])
            detail[c] = f"{name} in {int(found.k[c])} of {int(found.n[c])} cells" if value[c] > 0.5 else ""
    return Scores(llr, n_seen, detail)


LINE = Line("virus", -0.5, 1.0, score)
