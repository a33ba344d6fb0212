"""UMI collapse and count: from (cell, feature, UMI) of each read to molecules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from benchmarks._runner import Case, Contender
from sclineage.kernels import umis

LENGTH = 12


@cache
def reads(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads of molecules with a geometric number of reads, 0.5 % of the UMI bases wrong."""
    rng = np.random.default_rng(3)
    molecules = n // 4
    cell, feature = rng.integers(0, 5000, molecules), (rng.pareto(1.0, molecules) * 20).astype(np.int64) % 20_000
    umi = rng.integers(0, 4**LENGTH, molecules).astype(np.uint64)
    of = np.repeat(np.arange(molecules), rng.geometric(0.25, molecules))[:n]
    of = rng.permutation(np.concatenate([of, rng.integers(0, molecules, n - of.size)]))
    code = umi[of]
    wrong = np.flatnonzero(rng.random(n) < 0.005 * LENGTH)
    shift = 2 * rng.integers(0, LENGTH, wrong.size).astype(np.uint64)
    code[wrong] ^= rng.integers(1, 4, wrong.size).astype(np.uint64) << shift
    return cell[of], feature[of], code


def _count(policy: Any, device: Any) -> Any:
    def run(ready: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        rows = umis.tally(*ready)
        return umis.merge(rows, umis.collapse(rows, length=LENGTH, policy=policy, device=device))

    return run


def _numpy_count(ready: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows by NumPy: what the policy ``exact`` has to beat."""
    _, counts = np.unique(np.rec.fromarrays([*ready]), return_counts=True)
    return np.arange(counts.size), counts


def _arrays(result: tuple[np.ndarray, np.ndarray]) -> Mapping[str, np.ndarray]:
    return {"row": result[0], "reads": result[1]}


def cases(*, tiny: bool) -> list[Case]:
    """One case per policy."""
    n = 20_000 if tiny else 4_000_000
    out = []
    for policy in umis.POLICIES:
        contenders = [Contender("sclineage numba", _count(policy, "cpu"))]
        if policy == "exact":
            contenders.append(Contender("numpy unique", _numpy_count))
        else:
            contenders.append(Contender("sclineage cuda", _count(policy, "cuda"), device="cuda"))
        out.append(Case(f"reads to molecules, {policy}", "reads", n, lambda: reads(n), contenders, _arrays))
    return out
