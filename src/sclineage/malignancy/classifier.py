"""Line: the user's own classifier of malignant cells, against the matched background; capped, never genetic.

Classifiers trained on carcinomas call activated T cells malignant: what counts is that a clone is called far more often
than T cells of the same sample, subset and depth.
"""

from __future__ import annotations

import numpy as np

from .background import matched
from .lines import Line, Scores
from .statistics import log_betabin_ratio
from .table import Cells

RHO, P1, P0_MIN = 0.15, 0.8, 0.01
SHARE_CALLED = 0.5  # lymphomas that a classifier sees; its silence costs at most log(0.5)


def score(cells: Cells, seed: int) -> Scores:
    """Score every clone; NaN without a classifier, or without a background."""
    del seed
    if cells.classifier is None:
        return Scores(np.full(cells.n_clones, np.nan), np.zeros(cells.n_clones, np.int64), [""] * cells.n_clones)
    found = matched(cells, cells.classifier)
    usable = np.isfinite(found.rate) & (found.n > 0)
    rate = np.where(usable, np.maximum(found.rate, P0_MIN), P1)
    bf = log_betabin_ratio(found.k, found.n, np.maximum(P1, rate), rate, RHO)
    llr = np.where(usable, np.logaddexp(np.log(SHARE_CALLED) + bf, np.log1p(-SHARE_CALLED)), np.nan)
    detail = [f"{int(k)} of {int(n)} cells called" if u else ""
              for k, n, u in zip(found.k, found.n, usable, strict=True)]
    return Scores(llr, found.n.astype(np.int64), detail)


LINE = Line("classifier", -0.5, 1.5, score)
