"""mappy (extra ``align``): reads against targets and decoys, with a margin between the two."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError, MissingDependencyError
from .fasta import Paths, as_paths, read_fasta

COMMAND = "pip install 'sclineage[align]'"
MISMATCH = 3  # price of a mismatch or of a base in a gap, in matching bases

__all__ = ["COMMAND", "Aligned", "Aligner"]


def _mappy() -> Any:
    try:
        import mappy
    except ImportError:
        raise MissingDependencyError("mappy (needed for rescue and refinement)", COMMAND) from None
    return mappy


@dataclass(frozen=True, slots=True)
class Aligned:
    """Best alignments of a read.

    Attributes
    ----------
    scores
        Score of the best alignment to each target that the read aligns to: matching bases less `MISMATCH` for each
        mismatch and each base in a gap.
    decoy
        The same for the best decoy, 0 for none.
    hits
        mappy's alignment behind each of `scores`.
    """

    scores: dict[int, int]
    decoy: int
    hits: dict[int, Any]


class Aligner:
    """Aligns short reads to targets and decoys at once.

    Parameters
    ----------
    sequences
        Target sequences.
    decoys
        FASTA files of endogenous sequences.

    Raises
    ------
    MissingDependencyError
        mappy is not installed.
    """

    def __init__(self, sequences: list[bytes], decoys: Paths | None = None) -> None:
        mappy = _mappy()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "references.fa"
            with path.open("wb") as out:
                for name, sequence in self._records(sequences, decoys):
                    out.write(b">%s\n%s\n" % (name.encode(), sequence))
            self._aligner = mappy.Aligner(str(path), preset="sr", best_n=50, k=13, w=5, min_cnt=1, min_chain_score=20,
                                          min_dp_score=30)
        if not self._aligner:
            raise InputError("targets", "mappy could not index them", "check the sequences")

    @staticmethod
    def _records(sequences: list[bytes], decoys: Paths | None) -> Iterator[tuple[str, bytes]]:
        for t, sequence in enumerate(sequences):
            yield f"t{t}", sequence
        number = 0
        for path in [] if decoys is None else as_paths(decoys):
            for record in read_fasta(path):
                yield f"d{number}", record.sequence
                number += 1

    def align(self, read: str) -> Aligned:
        """Align one read."""
        scores: dict[int, int] = {}
        hits: dict[int, Any] = {}
        decoy = 0
        for hit in self._aligner.map(read):
            score = hit.mlen - MISMATCH * hit.NM
            if hit.ctg[0] == "d":
                decoy = max(decoy, score)
                continue
            t = int(hit.ctg[1:])
            if score > scores.get(t, 0):
                scores[t], hits[t] = score, hit
        return Aligned(scores, decoy, hits)


def texts(bases: np.ndarray, start: np.ndarray, length: np.ndarray, rows: np.ndarray) -> Iterator[str]:
    """Reads of some rows as text in upper case."""
    for i in rows:
        yield bases[start[i] : start[i] + length[i]].tobytes().decode("latin-1").upper()
