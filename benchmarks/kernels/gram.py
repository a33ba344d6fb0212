"""Exact products of gene columns, and scores of cells, beside scipy's whole-number product and its float64 scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks._runner import Case, Contender
from benchmarks.kernels.knn import scores
from sclineage.kernels import gram

GENES, PROGRAMMES, BLOCK, STEPS = 2000, 20, 5000, 4096
MOST = 100_000  # cells that are drawn; more repeat them


@cache
def expression(n: int, seed: int = 0) -> sparse.csr_matrix:
    """Simulated log expression of 2,000 variable genes, float32: Poisson counts of the cells of `scores`, 11 % > 0."""
    if n > MOST:
        return sparse.vstack([expression(MOST, seed)] * (n // MOST), format="csr")
    rng, points, parts = np.random.default_rng(seed), scores(n, seed)[:, :PROGRAMMES], []
    loadings = rng.normal(size=(PROGRAMMES, GENES)).astype(np.float32) * np.float32(0.12)
    base = rng.normal(-3.6, 1.2, GENES).astype(np.float32)
    depth = rng.lognormal(0.0, 0.4, n).astype(np.float32)
    for first in range(0, n, BLOCK):
        rate = np.exp(points[first : first + BLOCK] @ loadings + base).clip(max=200.0)
        parts.append(sparse.csr_matrix(rng.poisson(rate * depth[first : first + BLOCK, None]).astype(np.float32)))
    counts = sparse.vstack(parts, format="csr")
    total = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1.0)
    counts.data = np.log1p(counts.data * np.repeat(2000.0 / total, np.diff(counts.indptr)).astype(np.float32))
    return counts


def whole(n: int) -> sparse.csr_matrix:
    """The same in whole 4096ths, int32."""
    x = expression(n)
    return sparse.csr_matrix((np.rint(x.data * STEPS).astype(np.int32), x.indices, x.indptr), x.shape)


def _ours(device: Any) -> Any:
    return lambda x: gram.gram(x, device=device)


def _scipy(x: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    wide = x.astype(np.int64)
    return (wide.T @ wide).toarray(), np.asarray(wide.sum(axis=0)).ravel()


def _arrays(result: tuple[np.ndarray, np.ndarray]) -> Mapping[str, np.ndarray]:
    return {"products": result[0], "sums": result[1]}


def cases(*, tiny: bool) -> list[Case]:
    """The CPU up to 100,000 cells, the device up to a million."""
    out = []
    for n in (500,) if tiny else (10_000, 100_000, 1_000_000):
        numba, cuda = Contender("sclineage numba", _ours("cpu")), Contender("sclineage cuda", _ours("cuda"),
                                                                            device="cuda")
        peer = Contender(f"scipy {version('scipy')}", _scipy)
        contenders = [cuda] if n > MOST else [numba, cuda, *([peer] if n <= 10_000 else [])]
        if n >= MOST:
            contenders = [replace(c, warm=1) for c in contenders]
        out.append(Case(f"products of {GENES:,} genes in {n:,} cells", "cells", n, lambda n=n: whole(n), contenders,
                        _arrays))
    return out


def device_cases(*, tiny: bool) -> list[Case]:
    """Equal products for 100,000 cells, then a million on the device alone."""
    kept = (500,) if tiny else (100_000, 1_000_000)
    return [replace(case, contenders=[c for c in case.contenders if c.name.startswith("sclineage")])
            for case in cases(tiny=tiny) if case.n in kept]
