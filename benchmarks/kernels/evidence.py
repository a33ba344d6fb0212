"""The evidence of many clones: likelihoods, table and evidence on the full grid, and the posterior of the clones.

The grid is the engine's own. On CUDA the table stays on the device between the steps; the keys of the clones and the
results cross the bus in every run, so this is an end-to-end time of the kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from benchmarks._runner import Case, Contender
from sclineage.evidence import grids
from sclineage.kernels import evidence as kernel

DEPTHS = 32


@cache
def inputs(n: int, clones: int) -> tuple[kernel.Multisets, np.ndarray, np.ndarray]:
    """Clones (sizes by a power law), and the depths' background and signal."""
    rng = np.random.default_rng(3)
    clone = np.minimum(clones * rng.random(n) ** 2, clones - 1).astype(np.int64)
    depth = np.geomspace(500, 30_000, DEPTHS)
    at = np.clip(rng.normal(DEPTHS / 2, DEPTHS / 8, n), 0, DEPTHS - 1).astype(np.int64)
    carries = (clone % 3 == 0) & (rng.random(n) < 0.9)
    count = np.minimum(rng.poisson(np.where(carries, 4e-4, 1e-6) * depth[at] * rng.gamma(4, 0.25, n)), kernel.CMAX)
    return kernel.multisets(clone, at * (kernel.CMAX + 1) + count, n_clones=clones), 1e-6 * depth, 4e-4 * depth


def run(ready: tuple[kernel.Multisets, np.ndarray, np.ndarray], device: Any) -> Mapping[str, np.ndarray]:
    """The whole path, from rates to posteriors."""
    sets, background, signal = ready
    g = grids.background_nodes(0.5)
    rows = kernel.likelihoods(background, signal, size=4.0, background_size=5.0, g=g, m=grids.M, device=device)
    table = kernel.mixture_table(rows.reshape(-1, g.size, grids.M.size + 2), grids.W, device=device)
    log_g = np.full((1, g.size), -np.log(g.size))
    log_w = np.log(np.random.default_rng(1).dirichlet(np.ones(grids.W.size), size=(1, 5)))
    log_m = np.full((1, grids.M.size), -np.log(grids.M.size))
    found = kernel.evidence(sets, table, log_g=log_g, log_w=log_w, device=device)
    w, m = kernel.posterior(sets, table, log_g=log_g, log_w=log_w[:, 2:3], log_m=log_m, device=device)
    return {"evidence": found, "w": w, "m": m}


def _close(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    return all(np.allclose(a[k], b[k], rtol=1e-6, atol=1e-6) for k in a)


def cases(*, tiny: bool) -> list[Case]:
    """A large patient, and the size of an atlas."""
    part = 10 if tiny else 1
    return [Case(f"{n:,} cells in {clones:,} clones", "cells", n // part,
                 lambda n=n, clones=clones: inputs(n // part, clones // part), [  # type: ignore[misc]
        Contender("sclineage numba", lambda ready: run(ready, "cpu")),
        Contender("sclineage cuda, end to end", lambda ready: run(ready, "cuda"), device="cuda"),
    ], lambda found: found, _close) for n, clones in ((200_000, 40_000), (1_000_000, 100_000))]
