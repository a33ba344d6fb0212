"""Second look, by alignment, at reads with unique k-mers but not enough of them to count.

Indels, patent sequences with wrong bases and poor reads break k-mers; an alignment bridges them. A read is taken for a
target only if it fits one better, by a margin, than every decoy.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np

from .._settings import Device
from .align import Aligner, texts
from .constructs import SHARED, Calls, Targets
from .fasta import Paths

MARGIN = 24  # score by which a target must beat every decoy: six wrong bases, each of which costs the one what it gains
SISTER = 12  # score within which two targets fit a read equally well
LEAST_SHARE = 0.5  # of the read's bases, the least score

__all__ = ["LEAST_SHARE", "MARGIN", "SISTER", "Rescued", "with_rescue"]


@dataclass(frozen=True, slots=True, eq=False)
class Rescued(Targets):
    """Targets whose open reads are aligned; made by `with_rescue`."""

    _aligner: Aligner = field(repr=False, kw_only=True)

    def classify(self, bases: np.ndarray, offsets: np.ndarray, device: Device = "auto") -> Calls:
        """See `Targets.classify`; reads with unique k-mers and no call may get a feature from their alignment."""
        calls = Targets.classify(self, bases, offsets, device)
        counts = np.array([SHARED not in f for f in self.features] + [False])[calls.feature]
        rows = np.flatnonzero((calls.unique_bases > 0) & ~counts & ~calls.endogenous)
        feature = calls.feature.copy()
        for i, read in zip(rows, texts(bases, np.asarray(offsets)[:-1], np.diff(offsets), rows), strict=True):
            found = self._look(read)
            feature[i] = feature[i] if found is None else found
        return replace(calls, feature=feature)

    def _look(self, read: str) -> int | None:
        aligned = self._aligner.align(read)
        best = max(aligned.scores.values(), default=0)
        if best < LEAST_SHARE * len(read) or best - aligned.decoy < MARGIN:
            return None
        return self.feature_of(t for t, score in aligned.scores.items() if score > best - SISTER)


def with_rescue(targets: Targets, decoys: Paths | None = None) -> Rescued:
    """The targets, with a second look at the few reads that k-mers leave open.

    Parameters
    ----------
    targets
        As loaded.
    decoys
        The same FASTA files that `load_targets` had.

    Raises
    ------
    MissingDependencyError
        mappy is not installed (the message has the pip command).
    """
    held = {f.name: getattr(targets, f.name) for f in fields(targets)}
    return Rescued(**held, _aligner=Aligner([t.sequence for t in targets.targets], decoys))
