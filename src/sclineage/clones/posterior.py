"""Posterior of every cell over clones, a clone of its own, doublets and ambient chains.

Model of one cell. It is a single cell of clone c (prior: frequency of c in the sample), of a clone seen in no other
cell, two cells (doublet rate), or a barcode without a captured chain of its own. Each chain of the clone is captured
with the capture rate and then shows a number of UMIs; each chain seen is either such a chain or ambient (ambient rate
times the chain's share of the sample's chains, with the UMIs of ambient chains; their number in a droplet is negative
binomial). The likelihood of a hypothesis is the
sum over all ways to give each chain seen to one of the hypothesis' clones or to the ambient, in which every clone of
the hypothesis owns at least one. The cell itself never counts in what is known of the clone (leave one out).
``tests/oracles/clones.py`` states the same in plain Python.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .nuclei import Nuclei
from .observed import Observed
from .posterior_cells import MOST_CLONES, NEW, NONE, PAIR, SINGLE, SMOOTH, STRAY, all_cells
from .rates import Rates

__all__ = ["MOST_CLONES", "NEW", "NONE", "PAIR", "SINGLE", "SMOOTH", "STRAY", "Posterior", "posterior"]


class Posterior(NamedTuple):
    """Result per cell (n) and per entry (E): 57 bytes a cell, 9 an entry, so that it is kept for few at a time.

    Attributes
    ----------
    kind
        int8: likeliest hypothesis, NONE, SINGLE, NEW or PAIR.
    first, second
        int32: clones of the likeliest hypothesis, -1 for a clone of its own or none.
    p
        float64: posterior of the likeliest hypothesis.
    p_doublet, p_new, p_none
        float64: posterior of all doublets together, of a clone of its own, of no chain of its own.
    clone, p_clone
        int32, float64: likeliest clone of a single cell (-1 without), and its posterior.
    p_holds
        float64: P(a cell of the likeliest single-cell explanation's clone is in it, alone or beside another).
    owner
        int8 (E): under the likeliest hypothesis, 0 ambient, 1 or 2 the first or second clone.
    own
        float64 (E): probability that the entry is not ambient.
    """

    kind: np.ndarray
    first: np.ndarray
    second: np.ndarray
    clone: np.ndarray
    p: np.ndarray
    p_doublet: np.ndarray
    p_new: np.ndarray
    p_none: np.ndarray
    p_clone: np.ndarray
    p_holds: np.ndarray
    owner: np.ndarray
    own: np.ndarray


def posterior(obs: Observed, nuclei: Nuclei, rates: Rates, assigned: np.ndarray, mine: np.ndarray, *,
              holding: bool = True) -> Posterior:
    """Posterior of all cells given the clones and rates of the last round.

    Parameters
    ----------
    obs, nuclei, rates
        What was seen, the clones, the rates.
    assigned
        int32 per cell: its clone in the last round (it is left out of that clone), -1 none.
    mine
        bool per entry: whether the entry counted as a chain of that clone.
    holding
        Whether `p_holds` is asked for; without, what stands there means nothing.
    """
    n, n_entries = obs.sample.size, obs.chain.size
    first, second, clone = (np.full(n, -1, np.int32) for _ in range(3))
    p, p_doublet, p_new, p_none, p_clone, p_holds = (np.zeros(n) for _ in range(6))
    out = Posterior(np.full(n, -1, np.int8), first, second, clone, p, p_doublet, p_new, p_none, p_clone, p_holds,
                    np.zeros(n_entries, np.int8), np.zeros(n_entries))
    all_cells(obs, nuclei, rates, assigned, mine, holding, out)
    return out
