"""Running means of expression along the genome, for copy number (slow plain version: ``tests/oracles/copynumber.py``).

The pipeline of infercnvpy (Sturm et al.; after inferCNV, Tirosh et al. 2016): difference to the reference, clip,
pyramid-weighted mean over windows of neighbouring genes, the cell's median window subtracted, small values set to zero.
A count of zero has the same value in every cell, so a cell is one fixed profile plus what its non-zero counts change:
nothing is densified beyond a block of rows.

Contract of both devices: bit-identical results, the same for any order of rows, any number of threads and (with noise
``global``) any size of blocks. That is so because every sum is a sum of whole numbers: differences are rounded to
2^-28, window means again, the standard deviation is taken of values rounded to 2^-20. `x` is read as float32.
Work: entries x window / step products per cell, one median of the windows. Memory beside input and output: 16 MB
(CPU) and 40 bytes per cell; on CUDA a host copy of one chunk of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from .. import _backend
from .._backend import Device
from .._errors import InputError
from . import copynumber_cpu as cpu

BLOCK_BYTES = 1 << 24  # window means held at once on the CPU
CHUNK_BYTES = 1 << 28  # sums and window means of a chunk on the device
KEPT_BYTES = 1 << 31  # window means that stay on the device between the two passes; beyond, they are made again
_THREADS = 128
_LARGEST = 1e6

__all__ = ["Profile", "Windows", "cuda_defines", "plan", "profile", "reference_bounds", "survey"]


@dataclass(frozen=True, slots=True)
class Windows:
    """Which windows a gene lies in, and with which weights.

    Attributes
    ----------
    first, count, pointer
        int32 (genes,): first window of the gene, how many follow on from there (0: the gene is not used), and where
        in `table` their weights stand.
    table
        float64: whole weights.
    divisor
        float64 (windows,): sum of the weights of each window.
    start
        int64 (chromosomes + 1,): first window of each chromosome, then the number of windows.
    """

    first: np.ndarray
    count: np.ndarray
    pointer: np.ndarray
    table: np.ndarray
    divisor: np.ndarray
    start: np.ndarray


@dataclass(frozen=True, slots=True)
class Profile:
    """What `profile` returns.

    Attributes
    ----------
    values
        CSR float32 (cells, windows): centred window means in log units, values below the noise left out.
    centre
        float64 (cells,): median window mean of each cell, before centring.
    bound
        float64 (cells,): magnitude below which values of the cell were left out.
    """

    values: sparse.csr_matrix
    centre: np.ndarray
    bound: np.ndarray


def cuda_defines() -> dict[str, str]:
    """Constants of ``copynumber.cu``."""
    return {"SCALE": f"{cpu.SCALE!r}", "HALF": f"{cpu.HALF!r}", "SHIFT": str(cpu.SHIFT)}


def plan(chromosomes: Sequence[np.ndarray], n_genes: int, *, window: int = 100, step: int = 10) -> Windows:
    """Lay windows over the chromosomes.

    Parameters
    ----------
    chromosomes
        For each, int (genes on it,): columns of its genes in order of position.
    n_genes
        Columns in all; those on no chromosome are not used.
    window
        Genes per window, weighted 1, 2, ... up to the middle and down again. A chromosome with no more genes than
        this is one window with equal weights.
    step
        Every `step`-th window is made.

    Raises
    ------
    InputError
        If `window` or `step` is below 1, or no chromosome holds a gene.
    """
    for name, value in (("window_size", window), ("step", step)):
        if value < 1:
            raise InputError(name, f"found {value}", "give a number of genes of at least 1")
    wide = -(-window // step)
    table = np.append(_table(window, step, wide), 1.0)
    first, count, pointer = (np.zeros(n_genes, np.int32) for _ in range(3))
    divisors: list[np.ndarray] = []
    start = [0]
    for genes in chromosomes:
        if window < genes.size:
            n = (genes.size - window) // step + 1
            at = np.arange(genes.size)
            begin = np.maximum(-(-(at - window + 1) // step), 0)
            count[genes] = np.maximum(np.minimum(at // step, n - 1) - begin + 1, 0)
            offset = np.clip(at - begin * step, 0, wide * step - 1)
            first[genes] = start[-1] + begin
            pointer[genes] = offset % step * wide + wide - 1 - offset // step
            divisors.append(np.full(n, _pyramid(window).sum(), np.float64))
        elif genes.size:
            first[genes], count[genes], pointer[genes] = start[-1], 1, table.size - 1
            divisors.append(np.full(1, genes.size, np.float64))
        start.append(sum(d.size for d in divisors))
    if not divisors:
        raise InputError("genes", "no gene lies on a chromosome that is used", "check the chromosome names of var")
    return Windows(first, count, pointer, table, np.concatenate(divisors), np.array(start, np.int64))


def _pyramid(window: int) -> np.ndarray:
    up = np.arange(1, window + 1)
    return np.minimum(up, up[::-1]).astype(np.float64)


def _table(window: int, step: int, wide: int) -> np.ndarray:
    """Weights by place within the window, so that those of one gene in consecutive windows stand side by side."""
    padded = np.zeros(wide * step)
    padded[:window] = _pyramid(window)
    return np.ascontiguousarray(padded.reshape(wide, step)[::-1].T).ravel()


def survey(x: sparse.csr_matrix) -> tuple[bool, bool, float]:
    """Whether all stored values are finite, whether all are whole numbers, and the largest magnitude."""
    finite, whole, largest = cpu.survey(x.data)
    return bool(finite), bool(whole), float(largest)


def reference_bounds(x: sparse.csr_matrix, groups: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest mean of each gene over the reference groups.

    Parameters
    ----------
    x
        CSR (cells, genes): log-normalised expression.
    groups
        int (cells,): reference group of each cell, -1 for none.
    n_groups
        Number of groups, each of which must hold a cell.

    Returns
    -------
    float32 (genes,), twice.
    """
    sizes = np.bincount(groups[groups >= 0], minlength=n_groups)
    if n_groups < 1 or (sizes == 0).any():
        raise InputError("reference", "no cell in one of the reference groups", "name groups that hold cells")
    sums = np.zeros((n_groups, x.shape[1]), np.int64)
    cpu.sum_groups(x.indptr, x.indices, x.data, np.asarray(groups, np.int64), sums)
    means = (sums / sizes[:, None] / cpu.SCALE).astype(np.float32)
    return means.min(axis=0), means.max(axis=0)


def profile(
    x: sparse.csr_matrix, low: np.ndarray, high: np.ndarray, windows: Windows, *, clip: float = 3.0,
    threshold: float = 1.5, noise_rows: int | None = None, device: Device | None = "auto",
) -> Profile:
    """Smooth the cells along the genome.

    Parameters
    ----------
    x
        CSR (cells, genes): log-normalised expression, finite, without duplicate entries.
    low, high
        float32 (genes,): what `reference_bounds` returns. Values between them are no difference, others differ by
        their distance to the nearer bound.
    windows
        What `plan` returns.
    clip
        Largest magnitude of a difference, at most 7.
    threshold
        Values of magnitude below this many standard deviations are left out.
    noise_rows
        Cells over which the standard deviation is taken: None for all, or consecutive chunks of so many rows (the
        outcome then depends on the order of the cells).
    device
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    InputError
        Shapes that do not match, values that are not finite, or a window so large that sums would not be exact.
    """
    _check(x, low, high, windows, clip)
    if noise_rows is not None and noise_rows < 1:
        raise InputError("noise", f"found chunks of {noise_rows} cells", "give 'global' or 'chunk:N' with N >= 1")
    bounds = (np.ascontiguousarray(low, np.float32), np.ascontiguousarray(high, np.float32), np.float32(clip))
    zero = cpu.at_zero(*bounds) * (windows.count > 0)
    engine = _cuda if _backend.pick(device, kernel="copynumber") == "cuda" else _cpu
    with _backend.threads(None):
        return engine(x, bounds, zero, windows, lambda sums, squares: _bounds(
            sums, squares, windows.divisor.size, noise_rows or max(x.shape[0], 1), threshold))


def _check(x: sparse.csr_matrix, low: np.ndarray, high: np.ndarray, windows: Windows, clip: float) -> None:
    if not (x.shape[1] == low.size == high.size == windows.first.size):
        raise InputError("x", f"{x.shape[1]} genes, but bounds of {low.size} and {high.size} and windows over "
                         f"{windows.first.size}", "make all from the same genes")
    finite, _, largest = survey(x)
    if not finite or largest > _LARGEST:
        raise InputError("x", "values that are not finite or above a million", "give log-normalised expression")
    if not 0 < clip <= 7:
        raise InputError("clip", f"found {clip}", "give a value above 0 and up to 7 (natural log units)")
    room = 2**53 / (2 * clip * cpu.SCALE)
    if windows.divisor.max() > room or windows.divisor.size * (4 * clip * 2**20) ** 2 > 2**62:
        raise InputError("windows", "so large or so many that their sums are not exact", "make window_size smaller or "
                         "step larger")


def _bounds(sums: np.ndarray, squares: np.ndarray, windows: int, rows: int, threshold: float) -> np.ndarray:
    """Bound of each cell in units of 2^-29, from the exact variance of its chunk of rows."""
    out = np.zeros(sums.size)
    for begin in range(0, sums.size, rows):
        part = slice(begin, begin + rows)
        s1, s2, n = _total(sums[part]), _total(squares[part]), sums[part].size * windows
        out[part] = threshold * np.sqrt((n * s2 - s1 * s1) / (n * n)) * 2.0**cpu.SHIFT
    return out


def _total(values: np.ndarray) -> int:
    """Exact sum of int64, as it may exceed them."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def _blocks(n: int, rows: int) -> Iterator[slice]:
    for begin in range(0, n, rows):
        yield slice(begin, min(begin + rows, n))


def _part(x: sparse.csr_matrix, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets, columns and float32 values of some rows; views where the types allow."""
    offsets = x.indptr[rows.start:rows.stop + 1]
    held = slice(int(offsets[0]), int(offsets[-1]))
    return offsets - offsets[0], x.indices[held], x.data[held].astype(np.float32, copy=False)


class _Output:
    """CSR arrays that grow in place, so that the output is never held twice."""

    def __init__(self, n_rows: int) -> None:
        self.indptr = np.zeros(n_rows + 1, np.int64)
        self.indices = np.empty(0, np.int32)
        self.values = np.empty(0, np.float32)

    def grow(self, rows: slice, kept: np.ndarray) -> np.ndarray:
        """Make room for so many entries in each of the next rows; where each row begins, counted from the new part."""
        begin = int(self.indptr[rows.start])
        starts = np.append(0, np.cumsum(kept, dtype=np.int64))
        self.indptr[rows.start + 1:rows.stop + 1] = begin + starts[1:]
        for array in (self.indices, self.values):
            array.resize(begin + int(starts[-1]), refcheck=False)
        return starts

    def matrix(self, n_columns: int) -> sparse.csr_matrix:
        return sparse.csr_matrix((self.values, self.indices, self.indptr), shape=(self.indptr.size - 1, n_columns))


_Bounds = tuple[np.ndarray, np.ndarray, np.float32]  # low, high, clip
_Noise = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _finish(output: _Output, windows: Windows, centre: np.ndarray, bound: np.ndarray) -> Profile:
    return Profile(output.matrix(windows.divisor.size), centre * cpu.HALF, bound * cpu.HALF)


def _cpu(x: sparse.csr_matrix, bounds: _Bounds, zero: np.ndarray, windows: Windows, noise: _Noise) -> Profile:
    n, m = x.shape[0], windows.divisor.size
    where = (windows.first, windows.count, windows.pointer, windows.table)
    offset = cpu.baseline(zero, *where, m)
    rows = max(1, BLOCK_BYTES // (4 * m))
    means = np.empty((min(rows, n), m), np.int32)

    def smooth(block: slice) -> np.ndarray:
        out = means[:block.stop - block.start]
        cpu.smooth(*_part(x, block), *bounds, zero, *where, offset, windows.divisor, out)
        return out

    centre, sums, squares = (np.zeros(n, np.int64) for _ in range(3))
    for block in _blocks(n, rows):
        cpu.settle(smooth(block), centre[block], sums[block], squares[block])
    bound = noise(sums, squares)
    output = _Output(n)
    for block in _blocks(n, rows):
        held = means if n <= rows else smooth(block)
        starts = output.grow(block, cpu.count_kept(held, centre[block], bound[block]))
        tail = slice(int(output.indptr[block.start]), None)
        cpu.fill(held, centre[block], bound[block], starts, output.indices[tail], output.values[tail])
    return _finish(output, windows, centre, bound)


def _cuda(x: sparse.csr_matrix, bounds: _Bounds, zero: np.ndarray, windows: Windows, noise: _Noise) -> Profile:
    xp, module = _backend.cupy(), _backend.module("copynumber", cuda_defines())
    n, m = x.shape[0], windows.divisor.size
    low, high, clip = xp.asarray(bounds[0]), xp.asarray(bounds[1]), bounds[2]
    where = [xp.asarray(a) for a in (windows.first, windows.count, windows.pointer, windows.table)]
    offset = xp.asarray(cpu.baseline(zero, windows.first, windows.count, windows.pointer, windows.table, m))
    fixed, divisor = xp.asarray(zero), xp.asarray(windows.divisor)
    rows = max(1, CHUNK_BYTES // (12 * m))

    def smooth(block: slice) -> Any:
        size = block.stop - block.start
        indptr, indices, data = _part(x, block)
        total, means = xp.zeros(size * m, np.float64), xp.empty(size * m, np.int32)
        held = (xp.asarray(indptr.astype(np.int64)), xp.asarray(indices.astype(np.int32, copy=False)), xp.asarray(data))
        module.get_function("scatter")((size,), (_THREADS,), (*held, low, high, clip, fixed, *where, np.int64(size),
                                                             total))
        module.get_function("divide")((-(-size * m // _THREADS),), (_THREADS,), (
            total, offset, divisor, np.int64(size), np.int64(m), means))
        return means

    def per_row(name: str, block: slice, *arguments: Any) -> None:
        size = block.stop - block.start
        module.get_function(name)((-(-size // _THREADS),), (_THREADS,), (*arguments[:1], np.int64(size), np.int64(m),
                                                                       *arguments[1:]))

    centre, sums, squares = (xp.zeros(n, np.int64) for _ in range(3))
    kept: dict[int, Any] = {}
    for block in _blocks(n, rows):
        means = smooth(block)
        per_row("settle", block, means, centre[block], sums[block], squares[block])
        if 4 * n * m <= KEPT_BYTES:
            kept[block.start] = means
    bound = noise(_backend.to_host(sums), _backend.to_host(squares))
    limit, output = xp.asarray(bound), _Output(n)
    for block in _blocks(n, rows):
        held = kept.pop(block.start) if block.start in kept else smooth(block)
        number = xp.empty(block.stop - block.start, np.int64)
        per_row("count_kept", block, held, centre[block], limit[block], number)
        starts = output.grow(block, _backend.to_host(number))
        columns, values = xp.empty(int(starts[-1]), np.int32), xp.empty(int(starts[-1]), np.float32)
        per_row("fill", block, held, centre[block], limit[block], xp.asarray(starts), columns, values)
        tail = slice(int(output.indptr[block.start]), None)
        output.indices[tail], output.values[tail] = _backend.to_host(columns), _backend.to_host(values)
    return _finish(output, windows, _backend.to_host(centre), bound)
