"""Running means along the genome, plainly: dense, one cell and one window at a time.

`profile` follows the contract to the letter (whole-numbered sums) and must be met bit by bit. `published` is the
pipeline as infercnvpy 0.6.1 documents it, in plain floating point, without the roundings; the contract is held to it
within a tolerance.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

SCALE, COARSE = 2**28, 2**20


def weights(n_genes: int, window: int, step: int) -> list[list[tuple[int, int]]]:
    """(place, weight) of the genes in each window of a chromosome."""
    if window >= n_genes:
        return [[(g, 1) for g in range(n_genes)]]
    return [[(begin + k, min(k + 1, window - k)) for k in range(window)]
            for begin in range(0, n_genes - window + 1, step)]


def bounds(x: np.ndarray, groups: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    means = []
    for group in range(n_groups):
        rows = x[groups == group]
        sums = [sum(round(float(v) * SCALE) for v in column) for column in rows.T]
        means.append([np.float32(s / len(rows) / SCALE) for s in sums])
    return np.min(means, axis=0), np.max(means, axis=0)


def differences(x: np.ndarray, low: np.ndarray, high: np.ndarray, clip: float) -> np.ndarray:
    """Distance to the nearer bound in float32, clipped."""
    d = np.where(x > high, x - high, np.where(x < low, x - low, np.float32(0)))
    return np.clip(d, np.float32(-clip), np.float32(clip))


def profile(x: np.ndarray, low: np.ndarray, high: np.ndarray, chromosomes: list[np.ndarray], *, window: int, step: int,
            clip: float = 3.0, threshold: float = 1.5, noise_rows: int | None = None) -> np.ndarray:
    """Dense float32 (cells, windows)."""
    fixed = [[round(float(v) * SCALE) for v in row] for row in differences(x, low, high, clip)]
    means = []
    for row in fixed:
        out = []
        for genes in chromosomes:
            for members in weights(len(genes), window, step) if len(genes) else []:
                total, divisor = sum(row[genes[g]] * w for g, w in members), sum(w for _, w in members)
                out.append(round(total / divisor))  # a correctly rounded quotient, then half to even
        means.append(out)
    centred = []
    for out in means:
        ordered, n = sorted(out), len(out)
        twice = ordered[(n - 1) // 2] + ordered[n // 2]
        centred.append([2 * v - twice for v in out])
    result = np.zeros((len(x), len(means[0]) if means else 0), np.float32)
    for begin in range(0, len(x), noise_rows or max(len(x), 1)):
        rows = range(begin, min(begin + (noise_rows or len(x)), len(x)))
        coarse = [(v + 256) // 512 for r in rows for v in centred[r]]
        mean = Fraction(sum(coarse), len(coarse))
        variance = Fraction(sum(c * c for c in coarse), len(coarse)) - mean**2
        bound = threshold * float(variance) ** 0.5 * 512
        for r in rows:
            result[r] = [np.float32(v / 2**29) if abs(v) >= bound else 0 for v in centred[r]]
    return result


def published(x: np.ndarray, low: np.ndarray, high: np.ndarray, chromosomes: list[np.ndarray], *, window: int,
              step: int, clip: float = 3.0, threshold: float = 1.5, noise_rows: int | None = None) -> np.ndarray:
    """Dense float64 (cells, windows), as published."""
    d = differences(x, low, high, clip).astype(np.float64)
    parts = []
    for genes in chromosomes:
        if len(genes) == 0:
            continue
        up = np.arange(1, window + 1)
        kernel = np.minimum(up, up[::-1]) if window < len(genes) else np.ones(len(genes))
        smooth = np.array([np.convolve(row, kernel, mode="valid") for row in d[:, genes]]) / kernel.sum()
        parts.append(smooth[:, ::step])
    smooth = np.hstack(parts)
    centred = smooth - np.median(smooth, axis=1)[:, None]
    for begin in range(0, len(x), noise_rows or max(len(x), 1)):
        part = centred[begin:begin + (noise_rows or len(x))]
        part[np.abs(part) < threshold * part.std()] = 0
    return centred
