"""What the lines of evidence read: one row per cell, arrays only."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse

from .arms import called as call_arms

DEPTH_BINS = 4


@dataclass(frozen=True, slots=True)
class Alleles:
    """Allele counts at the driver sites.

    Attributes
    ----------
    alt, depth
        CSR int64, cells x sites: reads of the driver allele, and all reads.
    gene
        Gene symbol per site, empty where unknown.
    name
        ``chrom:pos:ref>alt`` per site.
    """

    alt: sparse.csr_matrix
    depth: sparse.csr_matrix
    gene: tuple[str, ...]
    name: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ArmCells:
    """Cells behind an arm test (those with an expression profile).

    Attributes
    ----------
    rows
        int64 (m,): which of the patient's cells.
    counts
        float64 (m, n_arms).
    clone, stratum, sample
        int64 (m,).
    """

    rows: np.ndarray
    counts: np.ndarray
    clone: np.ndarray
    stratum: np.ndarray
    sample: np.ndarray


@dataclass(frozen=True, slots=True)
class ArmTest:
    """Arms of each clone against its matched reference (`copynumber.arm_test`).

    Attributes
    ----------
    shift, error
        float64 (n_clones, n_arms): log ratio of the counts, and its standard error; NaN not compared.
    llr
        float64 (n_clones,): aneuploid against diploid, in nats; NaN not assessed.
    n_cells
        int64 (n_clones,): cells with a reference.
    cells
        The cells behind it; None where they were not kept.
    """

    shift: np.ndarray
    error: np.ndarray
    llr: np.ndarray
    n_cells: np.ndarray
    cells: ArmCells | None = None

    @property
    def called(self) -> np.ndarray:
        """Arms called: -1 lost, 1 gained, 0 neither; int8 (n_clones, n_arms)."""
        return call_arms(self.shift, self.error)


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of one patient as the lines of evidence see them.

    Attributes
    ----------
    clone
        int64 (n,): index of the clone, -1 without one (also doublets and ambiguous cells).
    sample
        int64 (n,): index of the sample.
    subset
        object (n,): annotation of the cell (`CD4_T`, `CD8_T`, `T`, `B`, ...), empty where unknown.
    counts
        bool (n,): cells that count in statistics (no doublet, not excluded by QC).
    t_cell
        bool (n,): T cells that clones are compared with; a receptor makes one, also where CD3 was lost.
    depth
        float64 (n,): UMIs; NaN without a matrix.
    genes
        Gene -> float64 (n,): UMIs of a marker, NaN where the cell's sample had no such gene.
    cycling
        float64 (n,): UMIs of S and G2/M genes together, NaN where not assessed.
    virus
        Name -> float64 (n,): 1 positive, 0 not, NaN not assessed.
    alleles
        Counts at the driver sites, or None without drivers or without allele counts.
    n_clones
        Number of clones.
    unsorted
        bool (n_samples,): samples whose shares are shares of the body (not sorted).
    product
        bool (n_samples,): infusion products.
    arms
        Arm test of the clones, or None where copy number was not assessed.
    classifier
        float64 (n,): the user's classifier, 1 malignant, 0 not, NaN not assessed; or None.
    """

    clone: np.ndarray
    sample: np.ndarray
    subset: np.ndarray
    counts: np.ndarray
    t_cell: np.ndarray
    depth: np.ndarray
    genes: dict[str, np.ndarray]
    cycling: np.ndarray
    virus: dict[str, np.ndarray]
    alleles: Alleles | None
    n_clones: int
    unsorted: np.ndarray
    product: np.ndarray
    arms: ArmTest | None = None
    classifier: np.ndarray | None = None
    _bins: list[np.ndarray] = field(default_factory=list)

    @property
    def in_clone(self) -> np.ndarray:
        """Cells that speak for a clone, bool (n,)."""
        return self.counts & (self.clone >= 0)

    @property
    def depth_bin(self) -> np.ndarray:
        """Quarter of the sample's T cells, by depth, into which a cell falls; int64 (n,)."""
        if not self._bins:
            self._bins.append(depth_bins(self.depth, self.sample, self.counts & self.t_cell))
        return self._bins[0]

    def per_clone(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Sum of whole numbers over the cells of each clone that are in `mask`, float64 (n_clones,)."""
        use = mask & self.in_clone
        return np.bincount(self.clone[use], weights=values[use], minlength=self.n_clones).astype(np.float64)

    def majority(self, subset: str) -> np.ndarray:
        """Clones of which more cells are annotated `subset` than any other T subset, bool (n_clones,)."""
        shares = {s: self.per_clone(np.ones(self.clone.size), self.subset == s) for s in ("CD4_T", "CD8_T")}
        other = shares["CD4_T" if subset == "CD8_T" else "CD8_T"]
        return (shares[subset] > other) & (shares[subset] > 0)


def depth_bins(depth: np.ndarray, sample: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Bin cells by the depth quartiles of the reference cells of their sample; unknown depth is bin 0."""
    out = np.zeros(depth.size, np.int64)
    for s in np.unique(sample):
        here = sample == s
        known = depth[here & reference & np.isfinite(depth)]
        if known.size:
            edges = np.quantile(known, np.arange(1, DEPTH_BINS) / DEPTH_BINS)
            out[here] = np.searchsorted(edges, np.nan_to_num(depth[here], nan=-1.0), side="right")
    return out


def codes(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Sorted-name codes of strings: equal for any order of the cells."""
    categorical = pd.Categorical(values, categories=sorted(set(values)))
    return categorical.codes.astype(np.int64), [str(c) for c in categorical.categories]
