"""Principal components of sparse log expression: arpack through scanpy, exact products on the CPU and on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import linalg, sparse

from benchmarks._runner import Case, Contender
from benchmarks.kernels.gram import MOST, expression
from benchmarks.kernels.knn import peer
from sclineage.cells.components import Components, components

K = 50
LEAST = 0.999  # least canonical correlation of the subspaces: below it a peer's components are not the same work
GAP = 1e-3  # of a variance to the next, relative, from which a component is one of its own


def _ours(device: Any) -> Any:
    return lambda x: components(x, K, device=device)


def scanpy_components(x: sparse.csr_matrix) -> Components:
    """As `sc.pp.pca` does by default: arpack on the sparse matrix."""
    import scanpy as sc
    from anndata import AnnData

    data = AnnData(x)
    sc.pp.pca(data, n_comps=K, svd_solver="arpack")
    return Components(np.asarray(data.obsm["X_pca"], dtype=np.float64), np.asarray(data.varm["PCs"], dtype=np.float64),
                      np.asarray(data.uns["pca"]["variance"], dtype=np.float64), data.uns["pca"]["variance_ratio"])


def agreement(ours: Components, theirs: Components) -> dict[str, float]:
    """Angles between the subspaces of the loadings, and differences of variances and of scores.

    `own`: components whose variance differs from those beside it by more than `GAP`; correlations of the others alone
    say nothing, for they may turn within their plane.
    """
    cosines = linalg.svdvals(ours.loadings.T @ theirs.loadings)
    gaps = np.abs(np.diff(theirs.variance)) / theirs.variance[:-1]
    own = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf)) > GAP
    single = np.abs((ours.loadings * theirs.loadings).sum(axis=0))
    spread = np.sqrt(theirs.variance)
    gap = np.abs(np.abs(ours.scores) - np.abs(theirs.scores))[:, own] / spread[own]
    return {"components": len(theirs.variance), "least canonical correlation": float(cosines.min()),
            "largest angle (degrees)": float(np.degrees(np.arccos(min(1.0, cosines.min())))),
            "own": int(own.sum()), "least correlation of one of its own": float(single[own].min()),
            "variance (relative)": float(np.abs(ours.variance / theirs.variance - 1).max()),
            "variance ratio (relative)": float(np.abs(ours.variance_ratio / theirs.variance_ratio - 1).max()),
            "score (of its spread)": float(gap.max()),
            "same signs": int((np.sign((ours.loadings * theirs.loadings).sum(axis=0)) > 0)[own].sum())}


def _arrays(result: Components) -> Mapping[str, np.ndarray]:
    return {"scores": result.scores, "loadings": result.loadings, "variance": result.variance}


def _same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    if b["scores"].dtype == np.float32:
        return all(np.array_equal(a[name], b[name]) for name in a)
    return float(linalg.svdvals(a["loadings"].T @ b["loadings"]).min()) >= LEAST


def cases(*, tiny: bool) -> list[Case]:
    """The CPU and scanpy up to 100,000 cells, the device up to a million."""
    out = []
    for n in (500,) if tiny else (10_000, 50_000, 100_000, 1_000_000):
        numba, cuda = Contender("sclineage numba", _ours("cpu")), Contender("sclineage cuda", _ours("cuda"),
                                                                            device="cuda")
        contenders = [cuda] if n > MOST else [numba, cuda, peer("scanpy", "scanpy", scanpy_components)]
        if n >= 50_000:
            contenders = [replace(c, warm=1) for c in contenders]
        out.append(Case(f"{K} components of {n:,} cells x 2,000 genes", "cells", n, lambda n=n: expression(n),
                        contenders, _arrays, _same))
    return out


def device_cases(*, tiny: bool) -> list[Case]:
    """Equal scores for 100,000 cells, then a million on the device alone."""
    kept = (500,) if tiny else (100_000, 1_000_000)
    return [replace(case, contenders=[c for c in case.contenders if c.name.startswith("sclineage")])
            for case in cases(tiny=tiny) if case.n in kept]
