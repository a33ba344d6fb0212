"""CUDA side of `kernels.evidence`: launches ``evidence.cu``; see `evidence` for the contract of every function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _backend
from .._errors import InputError
from .evidence_cpu import FLOOR

if TYPE_CHECKING:
    from .evidence import Multisets

KERNEL = "evidence"
CMAX = 24  # counts of this many and more share one bin
BACKGROUNDS = 32  # most background multipliers a thread holds
_BLOCK = 128


def cuda_defines() -> dict[str, str]:
    """Constants of ``evidence.cu``."""
    return {"CMAX": str(CMAX), "FLOOR": repr(FLOOR), "BACKGROUNDS": str(BACKGROUNDS)}


def _launch(name: str, threads: int, *arguments: Any) -> None:
    if threads:
        function = _backend.module(KERNEL, cuda_defines()).get_function(name)
        function((-(-threads // _BLOCK),), (_BLOCK,), arguments)


def likelihoods(background: np.ndarray, signal: np.ndarray, size: float, background_size: float, g: np.ndarray,
                m: np.ndarray, shares: np.ndarray, share_weights: np.ndarray) -> np.ndarray:
    """Table of every count at every depth, on the host."""
    xp = _backend.cupy()
    out = xp.empty((background.size, CMAX + 1, g.size, m.size + 2))
    held = [xp.asarray(a) for a in (background, signal, g, m, shares, share_weights)]
    _launch("likelihoods", background.size * g.size * (m.size + 2), held[0], held[1], np.int64(background.size),
            np.float64(size), np.float64(background_size), held[2], np.int32(g.size), held[3], np.int32(m.size),
            held[4], held[5], np.int32(shares.size), out)
    return _backend.to_host(out)


def mixture_table(loglik: np.ndarray, w: np.ndarray) -> Any:
    """Mixture of every key on the grid, left on the device."""
    xp = _backend.cupy()
    keys, backgrounds, columns = loglik.shape
    out = xp.empty((keys, backgrounds, columns - 1, w.size))
    _launch("mixture", out.size, xp.asarray(loglik), np.int64(keys * backgrounds), np.int32(columns - 1),
            xp.asarray(w), np.int32(w.size), out)
    return out


def _surface(clones: Multisets, table: Any, log_g: Any, group: Any) -> Any:
    xp = _backend.cupy()
    n, (_, backgrounds, columns, points) = clones.indptr.size - 1, table.shape
    if backgrounds > BACKGROUNDS:
        raise InputError("evidence", f"{backgrounds} background multipliers", f"use at most {BACKGROUNDS}")
    out = xp.empty((n, columns, points))
    _launch("collapse", out.size, xp.asarray(clones.indptr), xp.asarray(clones.keys), xp.asarray(clones.counts),
            np.int64(n), xp.asarray(table), np.int32(backgrounds), np.int32(columns), np.int32(points),
            xp.asarray(log_g), group, out)
    return out


def evidence(clones: Multisets, table: Any, log_g: np.ndarray, log_w: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Log evidence of every clone, hypothesis and column, on the host."""
    xp = _backend.cupy()
    n, columns, points, hypotheses = clones.indptr.size - 1, table.shape[2], table.shape[3], log_w.shape[1]
    group = xp.asarray(group)
    out = xp.empty((n, hypotheses, columns))
    _launch("evidence", out.size, _surface(clones, table, log_g, group), np.int64(n), np.int32(columns),
            np.int32(points), xp.asarray(log_w), np.int32(hypotheses), group, out)
    return _backend.to_host(out)


def posterior(clones: Multisets, table: Any, log_g: np.ndarray, log_w: np.ndarray, log_m: np.ndarray,
              group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posteriors of w and m, on the host."""
    xp = _backend.cupy()
    n, columns, points, hypotheses = clones.indptr.size - 1, table.shape[2], table.shape[3], log_w.shape[1]
    group = xp.asarray(group)
    out_w, out_m = xp.empty((n, hypotheses, points)), xp.empty((n, hypotheses, log_m.shape[1]))
    _launch("posterior", n * hypotheses, _surface(clones, table, log_g, group), np.int64(n), np.int32(columns),
            np.int32(points), xp.asarray(log_w), np.int32(hypotheses), xp.asarray(log_m), np.int32(log_m.shape[1]),
            group, out_w, out_m)
    return _backend.to_host(out_w), _backend.to_host(out_m)
