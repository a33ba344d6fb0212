"""Identity of chains within a patient: equal core, V and J are one chain; open calls and N are resolved if unique.

A chain is a row of the *chain list*: (locus, core, V, J). Chains whose V or J call is open (a family, several genes)
or whose junction holds N are wildcards: they become the one fully known chain that they can mean, if there is exactly
one in the patient. A wildcard junction that finds none names no chain: two of them are never equal by their letters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from . import chains_cells as cells_
from .flat import Words
from .flat_cells import renumbered
from .genes import compatible, is_open
from .letters import Letters, cores, letters, matches
from .sorting import by_key

MOST_N = 6  # nucleotides; a junction with more wildcards than this says too little to be matched
GENES = ("locus", "v_gene", "j_gene")  # numbered in the order of the alphabet


@dataclass(frozen=True)
class ChainList:
    """Distinct chains of a patient, sorted by (locus, core, V, J): the order does not depend on that of the cells.

    Attributes
    ----------
    columns
        locus, v_gene, j_gene, junction, junction_aa, c_gene of every chain. `junction` is the longest spelling seen
        (with anchor codons where any record had them), `c_gene` the commonest call.
    core
        The junctions without their anchor codons.
    kind
        Integer per chain: number of its (locus, V, J), in their order.
    """

    columns: dict[str, Words]
    core: Letters
    kind: np.ndarray

    def __len__(self) -> int:
        return int(self.kind.size)

    def column(self, name: str) -> np.ndarray:
        """A column as object array of strings."""
        return self.columns[name].take(np.arange(len(self)))

    def coded(self, name: str, numbers: dict[str, int]) -> np.ndarray:
        """A column with a number for every string, int8; a string that a chain has must be numbered."""
        column = self.columns[name].of_use()
        return np.array([numbers[text] for text in column.texts], np.int8)[column.codes]

    def without_letters(self) -> ChainList:
        """The same, but for `core`: the letters are a copy that only comparing and hashing them needs."""
        return replace(self, core=letters([]))


def identify(table: pd.DataFrame) -> tuple[np.ndarray, ChainList]:
    """Number the chains of one patient's chain table.

    Parameters
    ----------
    table
        `normalise.chain_table` of one patient.

    Returns
    -------
    chain
        int32 per row of `table`; -1 for a wildcard junction that no single chain explains.
    chains
        The chain list.
    """
    genes = {name: words_of(table[name], sort=True) for name in GENES}
    junction = words_of(table["junction"])
    spelled = letters(junction.texts)
    inner = cores(spelled)
    rank = inner.rank()
    rows, start = by_key(rank[junction.codes], int(rank.max(initial=0)) + 1, np.arange(len(table), dtype=np.int32))
    sizes = [genes[name].texts.size for name in GENES]
    kind = cells_.kinds(*(genes[name].codes for name in GENES), *sizes[1:])
    code, core_rank, kind = cells_.distinct(rows, start, kind)
    del rows, start
    code, core_rank, kind = _by_locus(code, core_rank, kind, sizes)
    of_rank = np.zeros(int(rank.max(initial=0)) + 1, np.int32)
    of_rank[rank] = np.arange(rank.size, dtype=np.int32)
    parts = _unpacked(kind, sizes)
    locus, v, j = (Words(part, genes[name].texts) for part, name in zip(parts, GENES, strict=True))
    keys = _Keys(locus, v, j, core_rank, inner.take(of_rank[core_rank]), kind)
    target = _resolve(keys)
    if target is not None:
        present = np.zeros(kind.size + 1, bool)
        present[target], present[-1] = True, False
        code = np.where(target >= 0, (np.cumsum(present) - 1)[target], -1).astype(np.int32)[code]
        keys = keys.take(np.flatnonzero(present))
    return code, _described(table, code, junction, spelled, keys)


def words_of(column: pd.Series, *, sort: bool = False) -> Words:
    """A column of strings as `Words` (int32); `sort`: in the order of the alphabet. Of a categorical its codes."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        codes, texts = pd.factorize(column.to_numpy(object), sort=sort)
        return Words(codes.astype(np.int32), np.asarray(texts, dtype=object))
    codes = column.cat.codes.to_numpy().astype(np.int32)  # a copy: compiled code takes a view that is locked otherwise
    words = Words(codes, column.cat.categories.to_numpy(object)).of_use()
    order = np.argsort(words.texts) if sort else np.arange(0)
    return words if np.array_equal(order, np.arange(order.size)) else words.chosen(order)


def _by_locus(code: np.ndarray, rank: np.ndarray, kind: np.ndarray,
              sizes: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys, sorted by (core, locus, V, J), by (locus, core, V, J)."""
    locus = (kind // max(sizes[1] * sizes[2], 1)).astype(np.int32)
    order, _ = by_key(locus, sizes[0], np.arange(kind.size, dtype=np.int32))
    number = np.empty(order.size, np.int32)
    number[order] = np.arange(order.size, dtype=np.int32)
    narrow = np.int32 if np.prod(np.array(sizes, np.float64)) < 2**31 else np.int64
    return renumbered(code, number), rank[order], kind[order].astype(narrow)


def _unpacked(code: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """Parts of numbers that were made of them as digits, each of the least integer type that holds it."""
    out = []
    for size in reversed(sizes):
        out.append((code % max(size, 1)).astype(np.min_scalar_type(-max(size, 1))))
        code = code // max(size, 1)
    return out[::-1]


@dataclass(frozen=True)
class _Keys:
    """Distinct (locus, core, V, J), sorted; `rank` and `letters` of the core, `kind` of (locus, V, J)."""

    locus: Words
    v_gene: Words
    j_gene: Words
    rank: np.ndarray
    letters: Letters
    kind: np.ndarray

    def take(self, rows: np.ndarray) -> _Keys:
        locus, v, j = (Words(w.codes[rows], w.texts) for w in (self.locus, self.v_gene, self.j_gene))
        return _Keys(locus, v, j, self.rank[rows], self.letters.take(rows), self.kind[rows])


def _resolve(keys: _Keys) -> np.ndarray | None:
    """Row of the chain that each distinct key means: itself, the one full chain it is compatible with, or -1.

    None where all mean themselves.
    """
    n = keys.letters.wildcards()
    open_genes = np.zeros(n.size, bool)
    for gene in (keys.v_gene, keys.j_gene):
        open_genes |= np.array([is_open(text) for text in gene.texts], bool)[gene.codes]
    wild = np.flatnonzero((n > 0) | open_genes)
    if wild.size == 0:
        return None
    target = np.arange(keys.rank.size)
    full = np.flatnonzero((n == 0) & ~open_genes)
    same_core = _Groups(full, keys.locus.codes, keys.rank)
    same_length = _Groups(full, keys.locus.codes, keys.letters.length)
    for w in wild.tolist():
        if n[w] > MOST_N:
            target[w] = -1
            continue
        rows = (same_length if n[w] else same_core).like(w)
        fits = rows[matches(keys.letters.content, keys.letters.start, keys.letters.start[w], keys.letters.length[w],
                            rows)]
        fits = [r for r in fits.tolist() if _compatible(keys, w, r)]
        target[w] = fits[0] if len(fits) == 1 else -1 if n[w] else w
    return target


class _Groups:
    """Rows by two numbers that they share."""

    def __init__(self, rows: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
        self.code = first.astype(np.int64) * (int(second.max(initial=0)) + 1) + second
        self.rows = rows[np.argsort(self.code[rows], kind="stable")]
        self.sorted = self.code[self.rows]

    def like(self, row: int) -> np.ndarray:
        """The rows that share both with `row`."""
        low, high = (np.searchsorted(self.sorted, self.code[row], side=side) for side in ("left", "right"))
        return self.rows[low:high]


def _compatible(keys: _Keys, a: int, b: int) -> bool:
    return all(compatible(g.texts[g.codes[a]], g.texts[g.codes[b]]) for g in (keys.v_gene, keys.j_gene))


def _described(table: pd.DataFrame, chain: np.ndarray, junction: Words, spelled: Letters, keys: _Keys) -> ChainList:
    """Add junction, junction_aa and C gene of each chain from its rows: longest, commonest, first in the alphabet."""
    n, clear = keys.rank.size, spelled.wildcards() == 0
    longest = _leading(chain, junction, clear, junction, n, spelled.length)
    without = np.flatnonzero(longest < 0)  # N in the anchor codons of every spelling
    texts = junction.texts
    if without.size:
        texts = np.append(texts, np.array([text.decode() for text in keys.letters.take(without).texts()], object))
        longest[without] = junction.texts.size + np.arange(without.size)
    columns = {"locus": keys.locus, "v_gene": keys.v_gene, "j_gene": keys.j_gene, "junction": Words(longest, texts)}
    for name in ("junction_aa", "c_gene"):
        words = words_of(table[name])
        columns[name] = Words(_leading(chain, junction, clear, words, n), words.texts)
    return ChainList(columns, keys.letters, keys.kind)


def _leading(chain: np.ndarray, junction: Words, clear: np.ndarray, value: Words, n_chains: int,
             score: np.ndarray | None = None) -> np.ndarray:
    """Value of each chain with the highest score (default: number of rows), the first in the alphabet among equals.

    Of rows whose junction is `clear` and whose value is no empty string. int32 (n_chains), -1 for a chain without.
    """
    texts = value.texts
    out, several = np.full(n_chains, -1, np.int32), np.zeros(n_chains, bool)  # most chains have one spelling
    named = np.ones(texts.size, bool) if value is junction else np.asarray(texts != "", bool)
    about = chain, junction.codes, clear, value.codes, named
    cells_.last_values(*about, out, several)
    rows = np.flatnonzero(cells_.undecided(*about, several)) if several.any() else np.zeros(0, np.int64)
    code, n = np.unique(chain[rows].astype(np.int64) * max(texts.size, 1) + value.codes[rows], return_counts=True)
    chains, values = code // max(texts.size, 1), code % max(texts.size, 1)
    alphabet = np.unique(texts[values].astype(str), return_inverse=True)[1]
    order = np.lexsort((alphabet, -(n if score is None else score[values]), chains))[::-1]
    out[chains[order]] = values[order]  # the last written is the best
    return out
