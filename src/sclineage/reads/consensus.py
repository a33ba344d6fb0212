"""Consensus of a construct from reads of infusion products; `refine` is for files.

Sequences in patents carry wrong bases and indels, and each loses the reads around it. Reads that k-mers or an alignment
give to the construct, and to no human gene, are piled up on it; where most of them say otherwise the sequence is
changed, and the reads are looked at again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .._errors import InputError
from .align import Aligned, Aligner, texts
from .annotation import Segment
from .constructs import Target
from .fasta import Paths

MARGIN = 12  # score by which a read must fit the construct better than every decoy to speak about it
_CODE = np.full(256, 5, np.int64)
_CODE[np.frombuffer(b"ACGT", np.uint8)] = np.arange(4)
_DELETED = 4
_COMPLEMENT = str.maketrans("ACGTN", "TGCAN")

__all__ = ["Refined", "consensus"]


@dataclass(frozen=True, slots=True)
class Refined:
    """A construct as its own reads have it.

    Attributes
    ----------
    target
        Name, new sequence, and segments moved along.
    changes
        One row per change to the sequence given: ``position`` (from 1, in the sequence given; an insertion stands
        behind it), ``was, found`` (empty for none), ``reads`` (that cover it), ``share`` (that say so).
    depth
        int64 (bases of the sequence given,): reads over each base in the first round.
    n_reads
        Reads that took part in the last round.
    """

    target: Target
    changes: pd.DataFrame
    depth: np.ndarray
    n_reads: int

    def fasta(self) -> str:
        """The record, with its segments in the header."""
        parts = ",".join(f"{s.name}:{s.start + 1}-{s.stop}" for s in self.target.segments)
        note = f" kind={self.target.kind}" + (f" segments={parts}" if parts else "")
        return f">{self.target.name}{note}\n{self.target.sequence.decode()}\n"


@dataclass(slots=True)
class _Pile:
    """Votes: bases and deletions per place (n, 6; the last column is for unknown letters), insertions behind it."""

    votes: np.ndarray
    inserted: list[Counter[str]]
    reads: int = 0


def consensus(target: Target, bases: np.ndarray, offsets: np.ndarray, *, decoys: Paths | None,
                     min_reads: int = 10, min_share: float = 0.8, rounds: int = 3) -> Refined:
    """Correct a construct's sequence by reads of infusion products.

    Parameters
    ----------
    target
        The construct (`Targets.targets` has it).
    bases, offsets
        Reads, as for `Targets.classify`; those of other genes are left aside.
    decoys
        FASTA files of the human genes whose parts are in the construct. In stretches that a human gene has too only
        reads that reach beyond them speak.
    min_reads, min_share
        Reads that must cover a base, and the share that must agree, to change it.
    rounds
        Most rounds of alignment; it ends when nothing changes.

    Raises
    ------
    InputError
        No read aligns to the construct better than to the decoys.
    MissingDependencyError
        mappy is not installed.
    """
    start, length = np.asarray(offsets)[:-1], np.diff(offsets)
    sequence, origin = target.sequence, np.arange(len(target.sequence))
    changes: list[pd.DataFrame] = []
    depth = np.zeros(0, np.int64)
    pile = None
    for _ in range(rounds):
        pile = _pile(sequence, Aligner([sequence], decoys), texts(bases, start, length, np.arange(start.size)))
        if pile.reads == 0:
            raise InputError(target.name, f"none of the {start.size} reads is the construct's",
                             "give cDNA reads of an infusion product, and this product's construct")
        depth = depth if depth.size else pile.votes[:, :5].sum(axis=1)
        sequence, origin, found = _apply(sequence, origin, pile, min_reads, min_share)
        if found.empty:
            break
        changes.append(found)
    table = pd.concat(changes, ignore_index=True) if changes else _table([])
    return Refined(_moved(target, sequence, origin), table.sort_values("position", ignore_index=True), depth,
                   pile.reads if pile else 0)


def _pile(sequence: bytes, aligner: Aligner, reads: Iterator[str]) -> _Pile:
    pile = _Pile(np.zeros((len(sequence), 6), np.int64), [Counter() for _ in sequence])
    for read in reads:
        aligned: Aligned = aligner.align(read)
        score = aligned.scores.get(0, 0)
        if score > 0 and score - aligned.decoy >= MARGIN:
            _vote(pile, read, aligned.hits[0])
            pile.reads += 1
    return pile


def _vote(pile: _Pile, read: str, hit: Any) -> None:
    """Add one alignment (operations 0 match, 1 insertion, 2 deletion)."""
    turned = read if hit.strand > 0 else read[::-1].translate(_COMPLEMENT)
    at_read = hit.q_st if hit.strand > 0 else len(read) - hit.q_en
    at = hit.r_st
    for n, operation in hit.cigar:
        if operation == 0:
            letters = np.frombuffer(turned[at_read : at_read + n].encode("latin-1"), np.uint8)
            np.add.at(pile.votes, (np.arange(at, at + n), _CODE[letters]), 1)
            at, at_read = at + n, at_read + n
        elif operation == 1:
            if at > 0:
                pile.inserted[at - 1][turned[at_read : at_read + n]] += 1
            at_read += n
        elif operation == 2:
            pile.votes[at : at + n, _DELETED] += 1
            at += n


def _apply(sequence: bytes, origin: np.ndarray, pile: _Pile, min_reads: int, min_share: float) -> tuple[
        bytes, np.ndarray, pd.DataFrame]:
    """Changed sequence, the place of each of its bases in the sequence first given, and the changes."""
    depth = pile.votes[:, :5].sum(axis=1)
    best = pile.votes[:, :5].argmax(axis=1)
    share = pile.votes[np.arange(depth.size), best] / np.maximum(depth, 1)
    letters, places, rows = [], [], []
    for i, letter in enumerate(sequence.decode()):
        new = letter
        if depth[i] >= min_reads and share[i] >= min_share and "ACGT-"[best[i]] != letter:
            new = "" if best[i] == _DELETED else "ACGT"[best[i]]
            rows.append((origin[i] + 1, letter, new, depth[i], share[i]))
        text, votes = pile.inserted[i].most_common(1)[0] if pile.inserted[i] else ("", 0)
        if depth[i] >= min_reads and votes / depth[i] >= min_share and set(text) <= set("ACGT"):
            new += text
            rows.append((origin[i] + 1, "", text, depth[i], votes / depth[i]))
        letters.append(new)
        places += [origin[i]] * len(new)
    return "".join(letters).encode(), np.array(places, np.int64), _table(rows)


def _table(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["position", "was", "found", "reads", "share"])


def _moved(target: Target, sequence: bytes, origin: np.ndarray) -> Target:
    edges = [(int(np.searchsorted(origin, s.start)), int(np.searchsorted(origin, s.stop))) for s in target.segments]
    segments = [Segment(a, b, s.name, s.type) for (a, b), s in zip(edges, target.segments, strict=True) if b > a]
    return Target(target.name, target.kind, sequence, segments)
