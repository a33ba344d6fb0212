"""Nested clones: whether one labelling of cells (T-cell clone) lies inside another (blood-stem-cell clone)."""

from __future__ import annotations

import numpy as np
import pandas as pd


def nesting(outer: np.ndarray, inner: np.ndarray, *, n_shuffles: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Test, per inner clone, whether its cells fall into one outer clone more than labels at random would.

    Lineage is a tree: a stem-cell clone (mitochondrial or clonal-haematopoiesis variant) holds T-cell clones, which
    hold subclones (copy number, integration). Levels stay separate columns; this says how they nest.

    Parameters
    ----------
    outer, inner
        Labels per cell as text; empty (or missing) where the level says nothing: such cells are left out.
    n_shuffles
        Permutations of the outer labels.
    seed
        Seed of the permutations.

    Returns
    -------
    DataFrame
        One row per inner label with at least two informative cells, sorted: ``inner, n`` (informative cells), ``outer``
        (commonest outer label), ``share`` (of the inner cells in it), ``expected`` (mean share under permutation) and
        ``p`` (permutation p-value, at least ``1 / (n_shuffles + 1)``).
    """
    frame = pd.DataFrame({"outer": pd.Series(outer, dtype=object), "inner": pd.Series(inner, dtype=object)})
    frame = frame[frame.notna().all(axis=1) & (frame["outer"] != "") & (frame["inner"] != "")]
    out_code, out_names = pd.factorize(frame["outer"].astype(str), sort=True)
    in_code, in_names = pd.factorize(frame["inner"].astype(str), sort=True)
    observed, best = _top_share(out_code, in_code, out_names.size, in_names.size)
    rng = np.random.default_rng(seed)
    above, total = np.zeros(in_names.size), np.zeros(in_names.size)
    for _ in range(n_shuffles):
        share, _ = _top_share(rng.permutation(out_code), in_code, out_names.size, in_names.size)
        above += share >= observed - 1e-12
        total += share
    n = np.bincount(in_code, minlength=in_names.size)
    table = pd.DataFrame({"inner": in_names.astype(object), "n": n, "outer": out_names.to_numpy(object)[best]
                          if in_names.size else [], "share": observed, "expected": total / n_shuffles,
                          "p": (above + 1) / (n_shuffles + 1)})
    return table[table["n"] >= 2].reset_index(drop=True)


def _top_share(outer: np.ndarray, inner: np.ndarray, n_outer: int, n_inner: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of each inner label's cells in its commonest outer label, and that label (lowest code among equals)."""
    if n_inner == 0:
        return np.zeros(0), np.zeros(0, np.int64)
    table = np.bincount(inner * n_outer + outer, minlength=n_inner * n_outer).reshape(n_inner, n_outer)
    return table.max(axis=1) / np.maximum(table.sum(axis=1), 1), table.argmax(axis=1)
