"""From principal-component scores to labels, ours beside scanpy with its defaults: leidenalg to convergence."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np

from benchmarks._runner import Case, Contender
from benchmarks.cells.stage import arrays, ours, same, with_igraph, with_scanpy
from benchmarks.kernels.knn import K, peer, scores


def _compiled(points: np.ndarray) -> np.ndarray:
    """The points, after a call with the faster flavour on them, which compiles the same functions."""
    with_igraph(points)
    return points


def _defaults() -> Contender:
    known = peer("scanpy", "scanpy", with_scanpy)
    missing = None if importlib.util.find_spec("leidenalg") else "not measured: leidenalg is not installed"
    return replace(known, name=f"{known.name}, defaults, compiled before", prepare=_compiled, warm=0, tried=False,
                   missing=lambda: known.missing() or missing)


def cases(*, tiny: bool) -> list[Case]:
    """One call of scanpy each, compared and timed: it takes minutes. ``--repeats 1`` takes about six on two cores."""
    return [Case(f"{n:,} cells, k = {K}", "cells", n, lambda n=n: scores(n),
                 [Contender("sclineage numba", ours("cpu")), _defaults()], arrays, same)
            for n in ((1000,) if tiny else (10_000, 50_000))]
