"""Second look, by alignment, at reads with unique k-mers but not enough of them to count.

Indels, patent sequences with wrong bases and poor reads break k-mers; an alignment bridges them. A read is taken for a
target only if it fits one better, by a margin, than every decoy.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .align import Aligner, texts
from .constructs import Calls, Targets
from .fasta import Paths

MARGIN = 24  # score by which a target must beat every decoy: six wrong bases, each of which costs the one what it gains
SISTER = 12  # score within which two targets fit a read equally well
LEAST_SHARE = 0.5  # of the read's bases, the least score

__all__ = ["LEAST_SHARE", "MARGIN", "SISTER", "Rescuer"]


class Rescuer:
    """Aligns the few reads that k-mers leave open.

    Parameters
    ----------
    targets
        As classified.
    decoys
        The same FASTA files that `load_targets` had.

    Raises
    ------
    MissingDependencyError
        mappy is not installed (the message has the pip command).
    """

    def __init__(self, targets: Targets, decoys: Paths | None = None) -> None:
        self._targets = targets
        self._aligner = Aligner([t.sequence for t in targets.targets], decoys)

    def rescue(self, bases: np.ndarray, offsets: np.ndarray, calls: Calls) -> Calls:
        """Calls with the feature of rescued reads filled in; the others stay as they are.

        Parameters
        ----------
        bases, offsets, calls
            What `Targets.classify` was given, and what it said.
        """
        counted = np.isin(calls.feature, np.flatnonzero([not f.endswith(":shared") for f in self._targets.features]))
        rows = np.flatnonzero((calls.unique_bases > 0) & ~counted & ~calls.endogenous)
        feature = calls.feature.copy()
        start, length = np.asarray(offsets)[:-1], np.diff(offsets)
        for i, read in zip(rows, texts(bases, start, length, rows), strict=True):
            found = self._look(read)
            feature[i] = feature[i] if found is None else found
        return replace(calls, feature=feature)

    def _look(self, read: str) -> int | None:
        aligned = self._aligner.align(read)
        best = max(aligned.scores.values(), default=0)
        if best < LEAST_SHARE * len(read) or best - aligned.decoy < MARGIN:
            return None
        fitting = (t for t, score in aligned.scores.items() if score > best - SISTER)
        return self._targets.feature_of(fitting)
