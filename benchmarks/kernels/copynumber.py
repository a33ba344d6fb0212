"""Running means along the genome beside infercnvpy 0.6.1: made-up cells of the size of a 10x library.

One core against one: run with ``--threads 1``; infercnvpy gets one worker. It is taken from the environment
(``pip install infercnvpy``) and left out where it is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks._runner import Case, Contender
from sclineage.kernels import copynumber

GENES, ENTRIES, CHUNK = 12_158, 1399, 5000
TOLERANCE, MISMATCHES = 1e-6, 1e-6  # largest difference, and share of entries that one keeps and the other drops


@cache
def cells(n: int, distinct: int) -> sparse.csr_matrix:
    """Log-normalised expression: genes of very unequal abundance, float32 (n, GENES); so many different cells."""
    rng = np.random.default_rng(20_260)
    base = min(n, distinct)
    abundance = rng.lognormal(0.0, 1.6, GENES)
    where = np.searchsorted(np.cumsum(abundance / abundance.sum()), rng.random(base * ENTRIES * 5 // 3))
    cell = np.sort(rng.integers(0, base, where.size))
    x = sparse.coo_matrix((np.ones(where.size, np.float32), (cell, np.minimum(where, GENES - 1)))).tocsr()
    x.resize(base, GENES)
    total = np.asarray(x.sum(axis=1)).ravel()
    x.data = np.log1p(x.data * np.repeat(1e4 / np.maximum(total, 1), np.diff(x.indptr))).astype(np.float32)
    return sparse.vstack([x] * (n // base), format="csr")


@cache
def chromosomes() -> list[np.ndarray]:
    """Columns of 22 chromosomes, large to small; the last one is smaller than a window."""
    share = np.append(np.linspace(2.0, 0.5, 21), 0.0)
    edges = np.cumsum(np.round(share / share.sum() * (GENES - 60)).astype(int))
    return np.split(np.arange(GENES), edges[:-1])


def groups(n: int, n_groups: int) -> np.ndarray:
    """Reference groups: the first tenth of the cells."""
    return np.where(np.arange(n) < n // 10, np.arange(n) % n_groups, -1)


def _ours(n_groups: int, device: Any, rows: int | None) -> Callable[[sparse.csr_matrix], sparse.csr_matrix]:
    def run(x: sparse.csr_matrix) -> sparse.csr_matrix:
        bounds = copynumber.reference_bounds(x, groups(x.shape[0], n_groups), n_groups)
        windows = copynumber.plan(chromosomes(), GENES)
        return copynumber.profile(x, *bounds, windows, noise_rows=rows, device=device).values

    return run


def _annotated(n_groups: int) -> Callable[[sparse.csr_matrix], Any]:
    def prepare(x: sparse.csr_matrix) -> Any:
        import anndata
        import pandas as pd

        names = np.repeat([f"chr{i + 1}" for i in range(22)], [c.size for c in chromosomes()])
        start = np.arange(GENES) * 1000
        var = pd.DataFrame({"chromosome": names, "start": start, "end": start + 500},
                           index=[f"g{i}" for i in range(GENES)])
        obs = pd.DataFrame({"group": groups(x.shape[0], n_groups).astype(str)},
                           index=[str(i) for i in range(x.shape[0])])
        return anndata.AnnData(x, obs=obs, var=var)

    return prepare


def _infercnvpy(n_groups: int) -> Callable[[Any], sparse.csr_matrix]:
    def run(adata: Any) -> sparse.csr_matrix:
        import infercnvpy

        return infercnvpy.tl.infercnv(adata, reference_key="group", reference_cat=[str(g) for g in range(n_groups)],
                                      chunksize=CHUNK, n_jobs=1, inplace=False)[1]

    return run


def _absent() -> str | None:
    return None if find_spec("infercnvpy") else "not measured: infercnvpy is not installed"


def _arrays(result: sparse.csr_matrix) -> Mapping[str, np.ndarray]:
    result.sort_indices()
    return {"indptr": result.indptr, "indices": result.indices, "data": result.data,
            "shape": np.array(result.shape)}


def compare(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Largest difference of entries that both keep, and share of all entries that only one keeps."""
    one, other = (sparse.csr_matrix((m["data"].astype(np.float64), m["indices"], m["indptr"]), shape=tuple(m["shape"]))
                  for m in (a, b))
    both = one.astype(bool).multiply(other.astype(bool))
    difference = abs(one - other).multiply(both)
    mismatches = one.nnz + other.nnz - 2 * both.nnz
    return float(difference.max() if difference.nnz else 0.0), mismatches / np.prod(one.shape)


def _near(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    difference, mismatches = compare(a, b)
    return difference <= TOLERANCE and mismatches <= MISMATCHES


def cases(*, tiny: bool) -> list[Case]:
    """One and two references at 10,000 cells against the peer; two references at 30,000 on the devices."""
    few, many = (200, 400) if tiny else (10_000, 30_000)
    out = [Case(f"{n_groups} reference{'s' * (n_groups > 1)}, noise by chunks of {CHUNK}", "cells", few,
                lambda: cells(few, few), [Contender("sclineage numba", _ours(n_groups, "cpu", CHUNK)),
                                     Contender("infercnvpy 0.6.1", _infercnvpy(n_groups), _annotated(n_groups),
                                               missing=_absent)], _arrays, _near) for n_groups in (1, 2)]
    devices = [Contender("sclineage numba", _ours(2, "cpu", None)),
               Contender("sclineage cuda", _ours(2, "cuda", None), device="cuda")]
    return [*out, Case("2 references, global noise", "cells", many, lambda: cells(many, 1000), devices, _arrays)]
