"""Exact nearest neighbours of principal-component scores, beside scikit-learn's brute force and pynndescent."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks._runner import Case, Contender
from sclineage.kernels import knn

K, DIMENSIONS = 15, 50
LEAST_RECALL = 0.85  # below it a peer's answer is not the same work; pynndescent's at 100,000 points was .89


@cache
def scores(n: int, seed: int = 0) -> np.ndarray:
    """Simulated scores, float32: 20 populations of 4 lineages, 4 continuous programmes, spread falling as in PCA."""
    rng, j = np.random.default_rng(seed), np.arange(DIMENSIONS)
    lineage = rng.normal(size=(4, DIMENSIONS)) * 6 * np.exp(-j / 4)
    centre = np.repeat(lineage, 5, axis=0) + rng.normal(size=(20, DIMENSIONS)) * 2 * np.exp(-j / 8)
    programme = rng.normal(size=(4, DIMENSIONS)) * 4 * np.exp(-j / 10)
    population = rng.choice(20, n, p=rng.dirichlet(np.full(20, 2.0)))
    out = rng.standard_normal((n, DIMENSIONS), dtype=np.float32) * np.linspace(1.0, 0.8, DIMENSIONS, dtype=np.float32)
    out += centre[population].astype(np.float32)
    out += rng.random((n, 4), dtype=np.float32) @ programme.astype(np.float32)
    return out


def _ours(device: Any) -> Any:
    return lambda points: knn.nearest(points, K, device=device)


def _sklearn(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.neighbors import NearestNeighbors

    distances, indices = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(points).kneighbors(points)
    return indices, distances


def _pynndescent(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from pynndescent import NNDescent

    return NNDescent(points, n_neighbors=K, random_state=0).neighbor_graph


def peer(name: str, module: str, run: Any) -> Contender:
    """A peer's package with its version, listed as missing where it is not installed."""
    there = importlib.util.find_spec(module) is not None
    return Contender(f"{name} {version(name)}" if there else name, run,
                     missing=lambda: None if there else f"not measured: {name} is not installed")


def recall(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Share of our neighbours that are also theirs."""
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(ours[::50], theirs[::50], strict=True)]))


def _same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    if b["exact"]:
        return np.array_equal(a["indices"], b["indices"]) and np.array_equal(a["distances"], b["distances"])
    return recall(a["indices"], b["indices"]) >= LEAST_RECALL


def _arrays(result: tuple[np.ndarray, np.ndarray]) -> Mapping[str, np.ndarray]:
    ours = result[0].dtype == np.int32 and result[1].dtype == np.float64
    return {"indices": result[0], "distances": result[1], "exact": np.array(ours)}


def cases(*, tiny: bool) -> list[Case]:
    """The CPU at sizes it is used for, the device up to a million."""
    out = []
    for n in (1000,) if tiny else (10_000, 50_000, 100_000, 1_000_000):
        numba = Contender("sclineage numba", _ours("cpu"))
        cuda = Contender("sclineage cuda", _ours("cuda"), device="cuda")
        peers = [peer("pynndescent", "pynndescent", _pynndescent)]
        if n <= 10_000:
            peers.append(peer("scikit-learn", "sklearn", _sklearn))
        contenders = [cuda] if n > 100_000 else [numba, *peers] if n in (10_000, 50_000) else [numba, cuda, *peers]
        if n >= 50_000:
            contenders = [replace(c, warm=1) for c in contenders]
        name = f"{n:,} points x {DIMENSIONS}, k = {K}"
        out.append(Case(name, "points", n, lambda n=n: scores(n), contenders, _arrays, _same))
    return out


def device_cases(*, tiny: bool) -> list[Case]:
    """Equal neighbours for 100,000 points, then a million on the device alone."""
    kept = (1000,) if tiny else (100_000, 1_000_000)
    return [replace(case, contenders=[c for c in case.contenders if c.name.startswith("sclineage")])
            for case in cases(tiny=tiny) if case.n in kept]
