"""Neighbours of receptors by sequence: the public face, on arrays, of ``kernels/sequences``.

Similarity describes specificity, never lineage: connected components of a neighbour graph percolate (a third of 1e5
unrelated TRB at tcrdist <= 15 are one component), so nothing here is a clone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._backend import Device
from ..kernels import sequences as kernel
from ..kernels.sequences import FAR, METRICS, MetricName

__all__ = ["FAR", "METRICS", "nearest_receptors", "neighbor_components", "receptor_neighbors"]


def receptor_neighbors(sequences: Sequence[str], *, metric: MetricName, cutoff: int,
                       device: Device | None = "auto") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pair of receptors within a sequence distance, exactly.

    Parameters
    ----------
    sequences
        n strings: junctions or CDR3, amino acids or nucleotides, upper case; duplicates are legal.
    metric
        ``hamming`` (equal lengths only), ``levenshtein``, or the CDR3 part of TCRdist as scirpy computes it
        (``tcrdist_scirpy``: gap penalty 4 at a fixed position) or as tcrdist3 and tcrdist_rs do (``tcrdist3``: gap
        penalty 12 at the best position). The last two are different metrics.
    cutoff
        Largest distance reported, 0 to 65 534; for Levenshtein at most 31.
    device
        ``auto``, ``cpu`` or ``cuda``; None takes the setting. The result is the same on both.

    Returns
    -------
    i, j
        int32 (pairs,), i < j: positions in `sequences`; every pair once, sorted by (i, j). Equal sequences are pairs at
        distance 0.
    d
        Distance, uint8 (pairs,), or uint16 if `cutoff` is above 255. (scirpy's matrices store d + 1.)

    Raises
    ------
    InputError
        For an unknown metric or cutoff, a missing value, a lower-case letter, or one that tcrdist does not know.

    Notes
    -----
    Time grows with the receptors and the pairs, not with all pairs: wildcard and deletion keys over blocks of positions
    are joined, and candidates verified (`sclineage.kernels.sequences`). TCRdist: Dash et al. 2017, Mayer-Blackwell et
    al. 2021; presets as in scirpy (Sturm et al. 2020) and tcrdist3.

    Examples
    --------
    >>> i, j, d = receptor_neighbors(["CASSLEQYF", "CASRLEQYF", "CASSEQYF"], metric="levenshtein", cutoff=1)
    >>> list(zip(i.tolist(), j.tolist(), d.tolist()))
    [(0, 1, 1), (0, 2, 1)]
    """
    return kernel.neighbor_pairs(sequences, metric=metric, cutoff=cutoff, device=device)


def neighbor_components(sequences: Sequence[str], *, metric: MetricName, cutoff: int,
                        device: Device | None = "auto") -> np.ndarray:
    """Connected components of the neighbour graph, its pairs never stored.

    Parameters
    ----------
    sequences, metric, cutoff, device
        As for `receptor_neighbors`.

    Returns
    -------
    int32 (n,): the smallest position of each receptor's component. Not a clone: see the module's first lines.

    Raises
    ------
    InputError
        As for `receptor_neighbors`.
    """
    return kernel.neighbor_components(sequences, metric=metric, cutoff=cutoff, device=device)


def nearest_receptors(sequences: Sequence[str], *, k: int, metric: MetricName, cutoff: int,
                      device: Device | None = "auto") -> tuple[np.ndarray, np.ndarray]:
    """The k nearest receptors of every receptor within a distance, other pairs never stored.

    Parameters
    ----------
    sequences, metric, cutoff, device
        As for `receptor_neighbors`.
    k
        Neighbours per receptor, at least 1.

    Returns
    -------
    neighbors
        int32 (n, k): by distance, then by position; -1 where there are fewer.
    distances
        uint16 (n, k); `FAR` where there is no neighbour.

    Raises
    ------
    InputError
        As for `receptor_neighbors`, or for a bad `k`.
    """
    return kernel.nearest_neighbors(sequences, k=k, metric=metric, cutoff=cutoff, device=device)
