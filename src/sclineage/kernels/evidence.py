"""Evidence of a sparse feature, pooled over the cells of clones.

Every cell is reduced to an integer key (library, depth bin, count) and every clone to a sparse multiset of keys. A
table holds, for every key, the log-likelihood of one cell on a grid of three nuisance axes: `g`, a multiplier of the
background, `m`, the clone's expression relative to the library's (its last column is the doublet), and `w`, the share
of cells whose counts carry signal. The log-likelihood of a clone is a sum of rows of the table; hypotheses are
weights on the grid. All mixtures are formed in logs: no likelihood ratio is capped.

Two devices, one contract: Numba (``evidence_cpu.py``) and CUDA (``evidence.cu``). Clones are independent outputs and
each is summed in the order of its keys, so results do not depend on the number of threads. Devices agree within 1e-6
nats per cell. A mixture table made on the device stays there until evidence and posterior have used it.
Slow plain version: ``tests/oracles/evidence.py``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _backend
from .._backend import Device
from .._errors import InputError
from . import evidence_cpu as cpu
from . import evidence_cuda as cuda
from .evidence_cuda import CMAX, KERNEL, cuda_defines

__all__ = ["CMAX", "Multisets", "cuda_defines", "evidence", "likelihoods", "mixture_table", "multisets", "posterior"]

SMALL = 20_000  # values below which one thread is faster
DOUBLET_SHARES = np.array([0.25, 0.5, 0.75])  # part of a doublet's depth that the foreign partner brings
DOUBLET_WEIGHTS = np.array([0.25, 0.5, 0.25])
PARTNERS = np.outer(DOUBLET_SHARES, [0.5, 1.0, 2.0]).ravel()  # times the partner's expression
PARTNER_WEIGHTS = np.outer(DOUBLET_WEIGHTS, [0.25, 0.5, 0.25]).ravel()


class Multisets(NamedTuple):
    """Clones as sparse multisets of keys (CSR).

    Attributes
    ----------
    indptr
        int64 (clones + 1,).
    keys
        int32 (entries,): rows of a table, ascending within a clone.
    counts
        int64 (entries,): cells of the clone with that key.
    """

    indptr: np.ndarray
    keys: np.ndarray
    counts: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Cells per clone, int64."""
        total = np.concatenate([[0], np.cumsum(self.counts)])
        return total[self.indptr[1:]] - total[self.indptr[:-1]]

    def take(self, rows: np.ndarray) -> Multisets:
        """The clones named by `rows`, in that order."""
        lengths = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        entries = np.repeat(self.indptr[:-1][rows] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return Multisets(indptr, self.keys[entries], self.counts[entries])


def multisets(clone: np.ndarray, key: np.ndarray, *, n_clones: int) -> Multisets:
    """Compress cells to one multiset of keys per clone.

    Parameters
    ----------
    clone
        int (cells,): clone of each cell, in 0 .. n_clones - 1.
    key
        int (cells,): key of each cell, >= 0.
    n_clones
        Number of clones; a clone without cells gets an empty row.

    Returns
    -------
    The same value for any order of the cells.
    """
    clone, key = np.asarray(clone, np.int64), np.asarray(key, np.int64)
    width = int(key.max(initial=0)) + 1
    pairs, counts = np.unique(clone * width + key, return_counts=True)
    rows = np.bincount(pairs // width, minlength=n_clones)
    indptr = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
    return Multisets(indptr, (pairs % width).astype(np.int32), counts.astype(np.int64))


def likelihoods(background: np.ndarray, signal: np.ndarray, *, size: float, background_size: float, g: np.ndarray,
                m: np.ndarray, device: Device | None = "cpu") -> np.ndarray:
    """Log-likelihood of every count at every depth, under background, background plus signal, and a doublet.

    Background ~ NB(g * background, background_size), signal ~ NB(m * signal, size), independent; a doublet's foreign
    partner brings the share q of the depth, q in {1/4, 1/2, 3/4} with weights {1/4, 1/2, 1/4}, and expresses half, once
    or twice the library's mean with the same weights (log-sd 0.5, that between clones).

    Parameters
    ----------
    background
        float64 (depths,): expected background UMIs, >= 0.
    signal
        float64 (depths,): expected CAR UMIs of a carrying cell, >= 0.
    size, background_size
        Sizes of the negative binomials, > 0; inf is the Poisson.
    g, m
        float64: multipliers of background and of signal, > 0.

    Returns
    -------
    float64 (depths, CMAX + 1, len(g), len(m) + 2); on the last axis background alone, every m, the doublet. The count
    CMAX stands for all counts of CMAX and more. Probabilities below 1e-300 are reported as that.
    """
    background, signal = np.asarray(background, np.float64), np.asarray(signal, np.float64)
    g, m = np.asarray(g, np.float64), np.asarray(m, np.float64)
    if not (background.shape == signal.shape and size > 0 and background_size > 0):
        raise InputError("likelihoods", f"shapes {background.shape}, {signal.shape}, sizes {size}, {background_size}",
                         "give one background and one signal per depth and positive sizes")
    if not all(np.isfinite(part).all() and part.min(initial=0) >= 0 for part in (background, signal, g, m)):
        raise InputError("likelihoods", "a rate that is negative or no number", "give finite rates of 0 or more")
    if _backend.pick(device, kernel=KERNEL) == "cuda":
        return cuda.likelihoods(background, signal, size, background_size, g, m, PARTNERS, PARTNER_WEIGHTS)
    out = np.empty((background.size, CMAX + 1, g.size, m.size + 2))
    fill = cpu.fill_likelihoods if out.size > SMALL else cpu.fill_likelihoods_serial
    fill(background, signal, float(size), float(background_size), g, m, PARTNERS, PARTNER_WEIGHTS, out)
    return out


def mixture_table(loglik: np.ndarray, w: np.ndarray, *, device: Device | None = "cpu") -> Any:
    """``log((1 - w) L0 + w L1)`` of every key on the grid, in logs.

    Parameters
    ----------
    loglik
        float64 (keys, g, m + 2): rows of `likelihoods` (background, every m, doublet).
    w
        float64: shares of signal cells, in [0, 1].

    Returns
    -------
    float64 (keys, g, m + 1, w), an array of the device it was made on; the last column of the third axis is the
    doublet.
    """
    loglik, w = np.ascontiguousarray(loglik, np.float64), np.asarray(w, np.float64)
    if _backend.pick(device, kernel=KERNEL) == "cuda":
        return cuda.mixture_table(loglik, w)
    keys, backgrounds, columns = loglik.shape
    out = np.empty((keys, backgrounds, columns - 1, w.size))
    cpu.fill_mixture(loglik, w, out)
    return out


def evidence(clones: Multisets, table: Any, *, log_g: np.ndarray, log_w: np.ndarray,
             group: np.ndarray | None = None, device: Device | None = "cpu") -> np.ndarray:
    """Log evidence of every clone under every hypothesis on w, separately for every expression column.

    Parameters
    ----------
    clones
        Multisets of keys; a key is a row of `table`.
    table
        float64 (keys, g, columns, w): `mixture_table`, of the host or of the device.
    log_g
        float64 (groups, g): log weights of the background multipliers.
    log_w
        float64 (groups, hypotheses, w): log weights of the hypotheses on w; -inf excludes a point.
    group
        int (clones,): which group of weights each clone uses; the first when absent.

    Returns
    -------
    float64 (clones, hypotheses, columns), natural logs, the maximum taken out per hypothesis.
    """
    rows = clones.indptr.size - 1
    group = np.zeros(rows, np.int64) if group is None else np.asarray(group, np.int64)
    log_g, log_w = (np.ascontiguousarray(a, np.float64) for a in (log_g, log_w))
    if _backend.pick(device, kernel=KERNEL) == "cuda":
        return cuda.evidence(clones, table, log_g, log_w, group)
    out = np.empty((rows, log_w.shape[1], table.shape[2]))
    log_m, none = np.zeros((len(log_g), 0)), np.empty((0, 0, 0))
    cpu.fill_clones(*clones, _backend.to_host(table), log_g, log_w, np.exp(log_w), log_m, log_m, group, out, none, none)
    return out


def posterior(clones: Multisets, table: Any, *, log_g: np.ndarray, log_w: np.ndarray, log_m: np.ndarray,
              group: np.ndarray | None = None, device: Device | None = "cpu") -> tuple[np.ndarray, np.ndarray]:
    """Posteriors of w and m of every clone under every carrying hypothesis.

    Parameters
    ----------
    clones, table, log_g, log_w, group
        As in `evidence`.
    log_m
        float64 (groups, columns without the doublet): log weights of m.

    Returns
    -------
    float64 (clones, hypotheses, w) and float64 (clones, hypotheses, m), each summing to one over its last axis.
    """
    rows = clones.indptr.size - 1
    group = np.zeros(rows, np.int64) if group is None else np.asarray(group, np.int64)
    log_g, log_w, log_m = (np.ascontiguousarray(a, np.float64) for a in (log_g, log_w, log_m))
    if _backend.pick(device, kernel=KERNEL) == "cuda":
        return cuda.posterior(clones, table, log_g, log_w, log_m, group)
    out_w = np.zeros((rows, log_w.shape[1], table.shape[3]))
    out_m = np.zeros((rows, log_w.shape[1], log_m.shape[1]))
    cpu.fill_clones(*clones, _backend.to_host(table), log_g, log_w, np.exp(log_w), log_m, np.exp(log_m), group,
                    np.empty((0, 0, 0)), out_w, out_m)
    return out_w, out_m
