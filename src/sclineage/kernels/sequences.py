"""Exact neighbour lists of receptor sequences (slow plain version: ``tests/oracles/sequences.py``).

Contract of both devices

- Sequences are strings of A-Z, ``*`` and ``_``, upper case, of any length, also empty; each letter is itself (no letter
  is a wildcard). tcrdist takes the 20 amino acids only, since it defines no distance for others.
- ``hamming``: number of differing positions; sequences of different length have no distance. ``levenshtein``: least
  number of substitutions, insertions and deletions. ``tcrdist_scirpy`` and ``tcrdist3``: the CDR3 part of TCRdist (Dash
  et al. 2017): 3 min(4, 4 - BLOSUM62) summed without the first three and last two residues, plus a penalty for each
  residue of length difference, the gap at one position. ``tcrdist_scirpy`` has penalty 4 and the fixed position of
  `scirpy.ir_dist.metrics.TCRdistDistanceCalculator`; ``tcrdist3`` has penalty 12 and the best position (tcrdist3,
  tcrdist_rs). They are two metrics: neither bounds the other's neighbour list.
- A neighbour is another entry of the list at a distance of at most `cutoff`; equal sequences are neighbours at 0.
- Every result is an integer, exact, and the same on both devices and for any number of threads.
- Memory beside input and output: at most 64 bytes per sequence of up to 24 residues (CPU); the time grows with the
  number of sequences and the number of pairs, by brute force only where the cost model finds that cheaper.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .. import _backend
from .._backend import Device
from .._errors import InputError, nearest
from . import sequences_cuda, sequences_search
from .sequences_bits import MAX_EDITS
from .sequences_cuda import cuda_defines
from .sequences_metrics import LEVENSHTEIN, TCRDIST, Metric, metric_of
from .sequences_pack import Packed, pack

METRICS = ("hamming", "levenshtein", "tcrdist_scirpy", "tcrdist3")
MetricName = Literal["hamming", "levenshtein", "tcrdist_scirpy", "tcrdist3"]
FAR = 65535
MAX_CUTOFF = FAR - 1

__all__ = ["FAR", "MAX_CUTOFF", "METRICS", "MetricName", "Packed", "cuda_defines", "nearest_neighbors",
           "neighbor_components", "neighbor_pairs", "pack", "pair_distances"]


# --- checks -----------------------------------------------------------------------------------------------------------
def _checked_cutoff(cutoff: Any) -> int:
    try:
        number = operator.index(cutoff)
    except TypeError:
        number = -1
    if isinstance(cutoff, bool) or not 0 <= number <= MAX_CUTOFF:
        raise InputError("cutoff", f"found {cutoff!r}", f"give a whole number from 0 to {MAX_CUTOFF}")
    return number


def _checked(sequences: Sequence[str] | Packed, metric: str, cutoff: Any) -> tuple[Packed, Metric]:
    if metric not in METRICS:
        raise InputError("metric", f"found {metric!r}", nearest(str(metric), METRICS))
    number = _checked_cutoff(cutoff)
    packed = sequences if isinstance(sequences, Packed) else pack(sequences)
    lengths = packed.index.lengths
    chosen = metric_of(metric, number, int(lengths[-1]) if lengths.size else 0)
    if chosen.kind == TCRDIST and packed.standard is not None:
        letter, row = packed.standard
        raise InputError("sequences", f"found {letter!r}, for which tcrdist has no distance",
                         "drop the sequence, or use metric='levenshtein'", place=f"entry {row}")
    if chosen.kind == LEVENSHTEIN and chosen.cutoff > MAX_EDITS:
        raise InputError("cutoff", f"found {number} edits", f"give at most {MAX_EDITS} for levenshtein")
    return packed, chosen


def _search(device: Device | None) -> Any:
    return sequences_cuda if _backend.pick(device, kernel="sequences") == "cuda" else sequences_search


# --- public -----------------------------------------------------------------------------------------------------------
def neighbor_pairs(sequences: Sequence[str] | Packed, *, metric: MetricName, cutoff: int,
                   device: Device | None = "auto") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pair of sequences within a distance.

    Parameters
    ----------
    sequences
        n strings, or what `pack` made of them; duplicates are legal.
    metric
        ``hamming``, ``levenshtein``, ``tcrdist_scirpy`` or ``tcrdist3`` (defined above).
    cutoff
        Largest distance reported, 0 to 65 534; for Levenshtein at most 31.
    device
        ``auto``, ``cpu`` or ``cuda``; None takes the setting.

    Returns
    -------
    i, j
        int32 (pairs,), i < j: every pair once, sorted by (i, j).
    d
        Distance, uint8 (pairs,), or uint16 if `cutoff` is above 255.

    Raises
    ------
    InputError
        For an unknown metric or cutoff, a missing value, or a letter that the metric does not know.
    """
    packed, chosen = _checked(sequences, metric, cutoff)
    bits = 2 * max(1, (packed.n - 1).bit_length()) + max(1, chosen.cutoff.bit_length())
    if bits > 64:
        raise InputError("sequences", f"found {packed.n} with a cutoff of {cutoff}",
                         "give fewer at a time, or use neighbor_components, which lists no pairs")
    dtype = np.uint8 if cutoff <= np.iinfo(np.uint8).max else np.uint16
    return _search(device).pairs(packed, chosen, dtype)


def neighbor_components(sequences: Sequence[str] | Packed, *, metric: MetricName, cutoff: int,
                        device: Device | None = "auto") -> np.ndarray:
    """Connected components of the neighbour graph; its edges are never stored.

    Components chain: at tcrdist <= 15 a third of 1e5 unrelated TRB form a single one. They are no clones.

    Parameters
    ----------
    sequences, metric, cutoff, device
        As for `neighbor_pairs`.

    Returns
    -------
    int32 (n,): the smallest entry of each entry's component.
    """
    packed, chosen = _checked(sequences, metric, cutoff)
    roots = _search(device).components(packed, chosen)
    smallest = np.full(packed.n_distinct, packed.n, dtype=np.int32)
    np.minimum.at(smallest, roots, packed.index.members[packed.index.member_start[:-1]])
    return smallest[roots][packed.distinct_of()]


def nearest_neighbors(sequences: Sequence[str] | Packed, *, k: int, metric: MetricName, cutoff: int,
                      device: Device | None = "auto") -> tuple[np.ndarray, np.ndarray]:
    """The k nearest neighbours of every sequence within a distance; other pairs are never stored.

    Parameters
    ----------
    sequences, metric, cutoff, device
        As for `neighbor_pairs`.
    k
        Neighbours per sequence, at least 1.

    Returns
    -------
    neighbors
        int32 (n, k): by distance, then by entry; -1 where there are fewer.
    distances
        uint16 (n, k); 65 535 where there is no neighbour.
    """
    packed, chosen = _checked(sequences, metric, cutoff)
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise InputError("k", f"found {k!r}", "give a whole number of at least 1")
    codes = _search(device).nearest(packed, chosen, int(k)).reshape(packed.n, int(k))
    absent = codes == sequences_search.EMPTY
    neighbors = (codes & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.int32)
    distances = (codes >> np.uint64(32)).astype(np.uint16)
    return np.where(absent, np.int32(-1), neighbors), np.where(absent, np.uint16(FAR), distances)


def pair_distances(sequences: Sequence[str] | Packed, first: np.ndarray, second: np.ndarray, *, metric: MetricName,
                   cutoff: int, device: Device | None = "auto") -> np.ndarray:
    """Distances of given pairs.

    Parameters
    ----------
    sequences, metric, cutoff, device
        As for `neighbor_pairs`.
    first, second
        Integer arrays (pairs,): entries of `sequences`.

    Returns
    -------
    uint16 (pairs,): the distance; 65 535 where it is above `cutoff` or there is none.
    """
    packed, chosen = _checked(sequences, metric, cutoff)
    ends = [np.asarray(end) for end in (first, second)]
    if ends[0].ndim != 1 or ends[0].shape != ends[1].shape:
        raise InputError("second", f"found shapes {ends[0].shape} and {ends[1].shape}", "give two 1-d arrays alike")
    if ends[0].size == 0:
        return np.empty(0, dtype=np.uint16)
    if any(e.dtype.kind not in "iu" or e.min() < 0 or e.max() >= packed.n for e in ends):
        raise InputError("first, second", "found an entry outside the sequences", f"give entries 0 to {packed.n - 1}")
    distinct = packed.distinct_of()
    return _search(device).distances(packed, chosen, distinct[ends[0]], distinct[ends[1]])
