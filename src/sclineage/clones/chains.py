"""Identity of chains within a patient: equal core, V and J are one chain; open calls and N are resolved if unique.

A chain is a row of the *chain list*: (locus, core, V, J). Chains whose V or J call is open (a family, several genes)
or whose junction holds N are wildcards: they become the one fully known chain that they can mean, if there is exactly
one in the patient. A wildcard junction that finds none names no chain: two of them are never equal by their letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .flat import Words
from .genes import compatible, is_open
from .letters import Letters, cores, letters, matches

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
        int64 per chain: number of its (locus, V, J), in their order.
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
        """A column with a number for every string, int64."""
        column = self.columns[name]
        return np.array([numbers[text] for text in column.texts], np.int64)[column.codes]


def identify(table: pd.DataFrame) -> tuple[np.ndarray, ChainList]:
    """Number the chains of one patient's chain table.

    Parameters
    ----------
    table
        `normalise.chain_table` of one patient.

    Returns
    -------
    chain
        int64 per row of `table`; -1 for a wildcard junction that no single chain explains.
    chains
        The chain list.
    """
    genes = {name: _words(table[name], sort=True) for name in GENES}
    junction = _words(table["junction"])
    spelled = letters(junction.texts)
    inner = cores(spelled)
    rank = inner.rank()
    sizes = [genes["locus"].texts.size, int(rank.max(initial=0)) + 1, *(genes[g].texts.size for g in GENES[1:])]
    parts = (genes["locus"].codes, rank[junction.codes], *(genes[g].codes for g in GENES[1:]))
    code, unique = pd.factorize(_packed(parts, sizes), sort=True)
    locus, core, v, j = _unpacked(unique, sizes)
    of_rank = np.zeros(sizes[1], np.int64)
    of_rank[rank] = np.arange(rank.size)
    keys = _Keys(Words(locus, genes["locus"].texts), Words(v, genes["v_gene"].texts), Words(j, genes["j_gene"].texts),
                 core, inner.take(of_rank[core]))
    target = _resolve(keys)
    present = np.zeros(unique.size + 1, bool)
    present[target], present[-1] = True, False
    used = np.flatnonzero(present)
    chain = np.where(target >= 0, (np.cumsum(present) - 1)[target], -1)[code]
    return chain, _described(table, chain, junction, spelled, keys.take(used))


def _words(column: pd.Series, *, sort: bool = False) -> Words:
    codes, texts = pd.factorize(column.to_numpy(object), sort=sort)
    return Words(codes.astype(np.int64), np.asarray(texts, dtype=object))


def _packed(parts: Sequence[np.ndarray], sizes: Sequence[int]) -> np.ndarray:
    """One number for each row of the parts, ordered as the rows are."""
    out = np.zeros(parts[0].size, np.int64)
    for part, size in zip(parts, sizes, strict=True):
        out = out * size + part
    return out


def _unpacked(code: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    out = []
    for size in reversed(sizes):
        out.append(code % max(size, 1))
        code = code // max(size, 1)
    return out[::-1]


@dataclass(frozen=True)
class _Keys:
    """Distinct (locus, core, V, J), sorted; `rank` and `letters` are those of the core."""

    locus: Words
    v_gene: Words
    j_gene: Words
    rank: np.ndarray
    letters: Letters

    def take(self, rows: np.ndarray) -> _Keys:
        locus, v, j = (Words(w.codes[rows], w.texts) for w in (self.locus, self.v_gene, self.j_gene))
        return _Keys(locus, v, j, self.rank[rows], self.letters.take(rows))


def _resolve(keys: _Keys) -> np.ndarray:
    """Row of the chain that each distinct key means: itself, the one full chain it is compatible with, or -1."""
    target, n = np.arange(keys.rank.size), keys.letters.wildcards()
    open_genes = np.zeros(n.size, bool)
    for gene in (keys.v_gene, keys.j_gene):
        open_genes |= np.array([is_open(text) for text in gene.texts], bool)[gene.codes]
    wild = np.flatnonzero((n > 0) | open_genes)
    if wild.size == 0:
        return target
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
        self.code = first * (int(second.max(initial=0)) + 1) + second
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
    n = keys.rank.size
    rows = np.flatnonzero((chain >= 0) & (spelled.wildcards() == 0)[junction.codes])
    longest = _leading(chain[rows], junction.codes[rows], n, junction.texts, spelled.length)
    without = np.flatnonzero(longest < 0)  # N in the anchor codons of every spelling
    texts = np.append(junction.texts, np.array([text.decode() for text in keys.letters.take(without).texts()], object))
    longest[without] = junction.texts.size + np.arange(without.size)
    columns = {"locus": keys.locus, "v_gene": keys.v_gene, "j_gene": keys.j_gene, "junction": Words(longest, texts)}
    for name in ("junction_aa", "c_gene"):
        words = _words(table[name])
        known = rows[(words.texts != "")[words.codes[rows]]]
        columns[name] = Words(_leading(chain[known], words.codes[known], n, words.texts), words.texts)
    sizes = [w.texts.size for w in (keys.locus, keys.v_gene, keys.j_gene)]
    kind = _packed((keys.locus.codes, keys.v_gene.codes, keys.j_gene.codes), sizes)
    return ChainList(columns, keys.letters, kind)


def _leading(chain: np.ndarray, value: np.ndarray, n_chains: int, texts: np.ndarray,
             score: np.ndarray | None = None) -> np.ndarray:
    """Value of each chain with the highest score (default: number of rows), the first in the alphabet among equals.

    int64 (n_chains), -1 for a chain without rows.
    """
    out = np.full(n_chains, -1, np.int64)
    out[chain] = value
    several = np.zeros(n_chains, bool)  # most chains have one spelling
    several[chain[out[chain] != value]] = True
    rows = np.flatnonzero(several[chain])
    code, n = np.unique(chain[rows] * max(texts.size, 1) + value[rows], return_counts=True)
    chains, values = code // max(texts.size, 1), code % max(texts.size, 1)
    alphabet = np.unique(texts[values].astype(str), return_inverse=True)[1]
    order = np.lexsort((alphabet, -(n if score is None else score[values]), chains))[::-1]
    out[chains[order]] = values[order]  # the last written is the best
    return out
