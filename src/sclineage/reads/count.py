"""Counting the molecules of targets in a library, batch by batch: the whole way from read pairs to molecules."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .._errors import InputError
from ..kernels import umis
from ..kernels.matching import Policy
from ..kernels.whitelists import Whitelist
from .bam import BamSource
from .chimeras import drop_chimeras
from .library import READ_STATES, Library, check_chemistry
from .lineage import LineageTargets, collapse_barcodes
from .molecules import FEW_READS, Molecules, TargetReads, count_molecules, with_fate
from .opening import Source
from .primers import primer_ends
from .tallies import AnyTargets, TargetTally
from .threshold import Threshold, reads_threshold

SAY_EVERY = 10.0  # seconds between lines of progress
CORRECTED, NO_LETTER = READ_STATES.index("corrected"), READ_STATES.index("n")

__all__ = ["Counted", "Way", "count_reads"]


@dataclass(frozen=True, slots=True)
class Way:
    """How to count.

    Attributes
    ----------
    policy
        Of barcode correction: ``cellranger``, ``unique`` or ``calibrated``.
    umi_policy
        Of UMI collapse: ``cellranger``, ``exact`` or ``directional``.
    device
        ``cpu`` or ``cuda``.
    enriched
        Whether the library is an enrichment: then chimeras are dropped, and molecules below a number of reads that is
        found from the library.
    primers
        ASCII of the primers that transcript reads begin with; empty: none is asked for.
    least_reads
        Least reads of a molecule of an enriched library; None finds it.
    """

    policy: Policy = "cellranger"
    umi_policy: umis.Policy = "cellranger"
    device: umis.Place = "cpu"
    enriched: bool = False
    primers: Sequence[np.ndarray] = ()
    least_reads: int | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of a library.

    Attributes
    ----------
    reads
        Read pairs.
    states
        Reads by state of the barcode (`library.READ_STATES`); they add up to the reads.
    features
        Names of the features.
    found
        Reads by what their transcript read is: each feature, ``endogenous``, ``nothing``, ``no_primer``; they add up
        to the reads.
    lost
        Reads of features without a molecule: ``no_barcode``, ``bad_umi``.
    molecules
        All molecules with their fates; their reads and the lost ones are the reads of features.
    barcode_reads
        int32 (barcodes,): exact reads of each barcode, by rank.
    on_list
        Share of the first barcodes that are on the whitelist exactly.
    threshold
        Least reads of a molecule; None for libraries that are not enriched.
    """

    reads: int
    states: np.ndarray
    features: list[str]
    found: dict[str, int]
    lost: dict[str, int]
    molecules: Molecules
    barcode_reads: np.ndarray
    on_list: float
    threshold: Threshold | None


def count_reads(source: Source, targets: AnyTargets, whitelist: Whitelist, way: Way, *, listed: str,
                others: Mapping[str, Whitelist] | None = None, prior: np.ndarray | None = None,
                say: Callable[[str], None] = lambda _: None) -> Counted:
    """Count the molecules of targets.

    Parameters
    ----------
    listed, others
        Name of the whitelist, and further lists for the message that refuses a wrong one.
    prior
        int32 (barcodes,): reads by rank that barcode correction weighs by; None takes those of the library.
    say
        Receives lines of progress.

    Raises
    ------
    InputError
        Damaged files, or a chemistry that does not fit the reads.
    """
    layout, reads, on_list, clock = source.chemistry, 0, 0.0, _Clock(say)
    library = Library(layout, whitelist, policy=way.policy, device=way.device, prior=prior)
    tally = TargetTally(layout, targets, barcode_length=whitelist.length,
                        every_read_waits=way.policy == "calibrated", device=way.device)
    with library, tally:
        for pair in source:
            if reads == 0 and not _is_corrected(source):
                on_list = check_chemistry(pair.barcode, layout, whitelist, listed=listed, others=others,
                                          mate=pair.cdna)
            looked = library.add(pair.barcode)
            tally.add(pair, looked, primed=primer_ends(pair.cdna, way.primers) if way.primers else None)
            reads += len(pair.barcode)
            clock(reads)
        if reads == 0:
            raise InputError(source.files[0], "no read in the file", "copy or download it again")
        library.finish()
        entries = tally.settle(library)
    entries, features = _collapsed(entries, targets)
    molecules = count_molecules(entries, features, umi_length=layout.umi.length, policy=way.umi_policy,
                                device=way.device)
    molecules, threshold = _enriched(molecules, way) if way.enriched else (molecules, None)
    lost = {"no_barcode": tally.counts.no_barcode, "bad_umi": tally.counts.bad_umi}
    return Counted(reads, _states(library, source), features, _found(tally, targets), lost, molecules, library.counts,
                   on_list, threshold)


def _collapsed(entries: TargetReads, targets: AnyTargets) -> tuple[TargetReads, list[str]]:
    if not isinstance(targets, LineageTargets):
        return entries, list(targets.features)
    return collapse_barcodes(entries, targets.features, targets.known, targets.patterns, targets.codes)


def _found(tally: TargetTally, targets: AnyTargets) -> dict[str, int]:
    """Reads by what their transcript read is; lineage barcodes are summed by cassette."""
    counts = tally.counts
    known = targets.known if isinstance(targets, LineageTargets) else list(targets.features)
    found = dict(zip(known, map(int, counts.feature), strict=False))
    if isinstance(targets, LineageTargets):
        cassette = np.array([c for c, _ in targets.codes], np.int64)
        for which, pattern in enumerate(targets.patterns):
            found[f"{pattern.name}_barcodes"] = int(counts.feature[len(known) :][cassette == which].sum())
    return found | {"endogenous": counts.endogenous, "nothing": counts.nothing, "no_primer": counts.no_primer}


def _enriched(molecules: Molecules, way: Way) -> tuple[Molecules, Threshold]:
    """Drop chimeras, and molecules with too few reads; the threshold is found with the chimeras still there."""
    found = reads_threshold(molecules.counted.reads)
    least = found.reads if way.least_reads is None else way.least_reads
    kept = drop_chimeras(molecules)
    return with_fate(kept, np.flatnonzero(kept.reads < least), FEW_READS), found


def _is_corrected(source: Source) -> bool:
    return isinstance(source, BamSource) and source.corrected


def _states(library: Library, source: Source) -> np.ndarray:
    """States of the reads; of a BAM with corrected barcodes they are those that its maker gave them."""
    states = library.states.copy()
    if isinstance(source, BamSource) and source.corrected:
        states[CORRECTED], states[0] = source.changed, states[0] - source.changed
        states[READ_STATES.index("none")], states[NO_LETTER] = states[NO_LETTER], 0
    return states


class _Clock:
    """Says now and then how far it is."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._start = say, time.monotonic()
        self._next = self._start + SAY_EVERY

    def __call__(self, reads: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + SAY_EVERY
            self._say(f"{reads / 1e6:.1f} M read pairs, {reads / 1e6 / (now - self._start):.2f} M a second")
