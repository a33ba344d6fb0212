"""Cells as integer keys (library, depth bin, count), and histograms of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels.evidence import CMAX

BINS_PER_OCTAVE = 4  # bins of depth are 19 % wide


@dataclass(frozen=True, slots=True)
class Histogram:
    """Weighted counts of cells by depth bin and CAR count.

    Attributes
    ----------
    depth
        float64 (depths,): mean depth of the bin's cells.
    cells
        float64 (depths, CMAX + 1): weight of the cells.
    """

    depth: np.ndarray
    cells: np.ndarray

    @property
    def n(self) -> float:
        """Weight of all cells."""
        return float(self.cells.sum())

    @property
    def umi(self) -> float:
        """UMIs of all cells, counts above CMAX taken as CMAX."""
        return float((self.cells * np.arange(CMAX + 1)).sum())

    @property
    def molecules(self) -> float:
        """Depth summed over all cells."""
        return float((self.cells.sum(axis=1) * self.depth).sum())

    def occupied(self) -> Histogram:
        """The same without empty depth bins."""
        keep = self.cells.sum(axis=1) > 0
        return Histogram(self.depth[keep], self.cells[keep])


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of the cells of one library.

    Attributes
    ----------
    depth
        float64 (depths,): mean depth per bin, ascending.
    bin, count
        int64 (keys,): depth bin and count of every key that occurs, sorted by (bin, count).
    of_cell
        int64 (cells,): key of each cell.
    """

    depth: np.ndarray
    bin: np.ndarray
    count: np.ndarray
    of_cell: np.ndarray

    def histogram(self, weights: np.ndarray | None = None) -> Histogram:
        """Histogram of the cells (weight one each, or `weights` per key)."""
        if weights is None:
            weights = np.bincount(self.of_cell, minlength=self.bin.size).astype(np.float64)
        cells = np.zeros((self.depth.size, CMAX + 1))
        np.add.at(cells, (self.bin, self.count), weights)
        return Histogram(self.depth, cells)


def depth_bins(depth: np.ndarray) -> np.ndarray:
    """Bin of every depth (UMIs, > 0): quarter octaves."""
    return np.floor(BINS_PER_OCTAVE * np.log2(depth)).astype(np.int64)


def make_keys(depth: np.ndarray, count: np.ndarray) -> Keys:
    """Keys of one library's cells.

    Parameters
    ----------
    depth
        Gene-expression UMIs per cell, > 0.
    count
        Feature UMIs per cell; counts of `CMAX` and more share a key.
    """
    bins = depth_bins(np.asarray(depth, np.float64))
    named, at = np.unique(bins, return_inverse=True)
    cells = np.bincount(at, minlength=named.size)
    ordered = np.argsort(at, kind="stable")
    sums = np.array([np.sort(part).sum() for part in np.split(np.asarray(depth, np.float64)[ordered],
                                                              np.cumsum(cells)[:-1])]) if named.size else np.empty(0)
    pairs, of_cell = np.unique(at * (CMAX + 1) + np.minimum(count, CMAX).astype(np.int64), return_inverse=True)
    return Keys(sums / np.maximum(cells, 1), pairs // (CMAX + 1), pairs % (CMAX + 1), of_cell.astype(np.int64))
