"""Target sequences (CAR constructs, viruses, lineage cassettes) and what a read says about them.

The k-mer work is `sclineage.kernels.kmers`; here are names, segments, decoys, features and warnings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .. import _backend
from .._errors import InputError
from .._settings import Device
from ..kernels import kmers
from . import visible
from .annotation import Segment
from .chemistries import Chemistry, End
from .chemistries import chemistry as find_chemistry
from .fasta import Paths, as_paths
from .targets import UNRESOLVED, Target, read_decoys, read_targets

SHARED = ":shared"
_FLAG_SHARED, _FLAG_JUNCTION = kmers.cpu.FLAG_SHARED, kmers.cpu.FLAG_JUNCTION

__all__ = ["SHARED", "UNRESOLVED", "Calls", "Target", "Targets", "load_targets"]


@dataclass(frozen=True, slots=True)
class Calls:
    """What each read is.

    Attributes
    ----------
    feature
        int32 (n,): position in `Targets.features`, -1 for none.
    unique_bases
        int32 (n,): bases covered by k-mers that no decoy has, or has with one base changed.
    junction
        bool (n,): the read crosses a junction of a construct, with ten bases or more on both sides.
    endogenous
        bool (n,): the read shows more of a decoy (k-mers of its own beside the shared stretch) than of a target. Its
        feature is then ``<feature>:shared`` or none. A molecule with such a read is not the target's.
    """

    feature: np.ndarray
    unique_bases: np.ndarray
    junction: np.ndarray
    endogenous: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Targets ready for reads.

    Attributes
    ----------
    targets
        Sorted by name.
    features
        Feature names: the targets, then ``A_or_B`` for reads that fit several equally (the product is not resolved),
        ``<feature>:shared`` for each of them (sequence that decoys have too: never counts), and, where there are two
        targets or more, ``unresolved`` (parts that no one target has together). Sorted; independent of file order.
    index
        The k-mers.
    end
        End of the transcript that the library sequences.
    decoyed
        Whether decoys were given. Without, counts of a construct made of human parts are not its own alone.
    warnings
        One line each: what the reference cannot tell.
    unseen
        Names of the constructs that this chemistry cannot see.
    """

    targets: list[Target]
    features: list[str]
    index: kmers.Index
    end: End
    decoyed: bool
    warnings: list[str]
    unseen: list[str]
    _unique: np.ndarray = field(repr=False)
    _shared: np.ndarray = field(repr=False)
    _virus: np.ndarray = field(repr=False)

    @property
    def car_counting(self) -> str:
        """What the sample sheet's ``car_counting`` should say: ``unique`` with decoys, else ``unknown``."""
        return "unique" if self.decoyed else "unknown"

    def classify(self, bases: np.ndarray, offsets: np.ndarray, device: Device = "auto") -> Calls:
        """Say for each read which target it comes from.

        Parameters
        ----------
        bases
            uint8: the reads' letters, one behind the other (either case; others than A, C, G, T are unknown).
        offsets
            int64 (n + 1,): where each read begins, and the end of the last.
        device
            ``auto``, ``cpu`` or ``cuda``; the result is the same.
        """
        offsets = np.asarray(offsets, np.int64)
        return self.classify_at(bases, offsets[:-1], np.diff(offsets).astype(np.int32), device)

    def classify_at(self, buffer: np.ndarray, start: np.ndarray, length: np.ndarray, device: Device = "auto") -> Calls:
        """The same for reads that lie in a text (`sclineage.reads.fastq.Batch`): int64 and int32 (n,) say where."""
        place = _backend.pick(device, kernel="kmers")
        found = kmers.scan(buffer, start, length, self.index, device=place)
        return self._calls(self._settled(found, buffer, start, length, place))

    def _settled(self, found: kmers.Scan, buffer: np.ndarray, start: np.ndarray, length: np.ndarray,
                 place: kmers.Place) -> kmers.Scan:
        """Reads across the border of two loci of a virus belong to the first one that part of them fits."""
        if not self._virus.any():
            return found
        rows = np.flatnonzero(found.kind == kmers.KINDS.index("several"))
        part = np.asarray(length)[rows]
        while rows.size:
            part = part * 3 // 4
            again = kmers.scan(buffer, np.asarray(start)[rows], part, self.index, device=place)
            one = again.kind == kmers.KINDS.index("unique")
            virus = one & self._virus[np.where(one, again.set, 0)]
            found.kind[rows[virus]], found.set[rows[virus]] = again.kind[virus], again.set[virus]
            open_ = again.kind == kmers.KINDS.index("several")
            rows, part = rows[open_], part[open_]
        return found

    def feature_of(self, targets: Iterable[int]) -> int:
        """Feature of reads that fit the targets listed (positions in `targets`) equally."""
        wanted = tuple(sorted(targets))
        return int(self._unique[self.index.members.index(wanted) if wanted in self.index.members else -1])

    def members_of(self, feature: int) -> tuple[int, ...]:
        """Targets (positions in `targets`) that a feature which counts stands for; none for the others."""
        return next((self.index.members[i] for i in np.flatnonzero(self._unique == feature)), ())

    def _calls(self, found: kmers.Scan) -> Calls:
        feature, endogenous = np.full(found.kind.size, -1, np.int32), np.zeros(found.kind.size, bool)
        hit = np.flatnonzero((found.kind != 0) | (found.endogenous_bases != 0))
        native = found.endogenous_bases[hit] > found.unique_bases[hit]
        kind, set_ = found.kind[hit], found.set[hit]
        enough = kind >= kmers.KINDS.index("unique")
        shared = (kind == kmers.KINDS.index("shared")) | (enough & native)
        feature[hit] = np.where(shared, self._shared[set_], np.where(enough, self._unique[set_], -1))
        endogenous[hit] = native
        return Calls(feature, found.unique_bases, found.junction & ~endogenous, endogenous)

    def segments(self) -> pd.DataFrame:
        """Per segment (or whole target): its k-mers, how many are shared with decoys, and junction k-mers that are not.

        Returns
        -------
        Columns ``target, segment, start, stop`` (from 1, both ends), ``kmers, shared, unique, junction``; k-mers belong
        to the segment that holds their middle base.
        """
        rows = [row for t in self.targets for row in self._rows(t)]
        return pd.DataFrame(rows, columns=["target", "segment", "start", "stop", "kmers", "shared", "unique",
                                           "junction"])

    def _rows(self, target: Target) -> Iterator[tuple[object, ...]]:
        flags = kmers.places(target.sequence, self.index)
        half = self.index.k // 2
        whole = [Segment(0, len(target.sequence), "", "segment")]
        for s in target.segments or whole:
            here = flags[max(0, s.start - half) : max(0, s.stop - half)]
            here = here[here >= 0]
            own = (here & _FLAG_SHARED) == 0
            yield (target.name, s.name, s.start + 1, s.stop, here.size, int((~own).sum()), int(own.sum()),
                   int((own & ((here & _FLAG_JUNCTION) != 0)).sum()))


def load_targets(targets_fasta: Paths, *, decoys: Paths | None = None, gtf: Paths | None = None,
                 chemistry: str | Chemistry | None = None, k: int = 25) -> Targets:
    """Read target sequences and mask what nature has too.

    Parameters
    ----------
    targets_fasta
        FASTA file or files, plain or gzip; the features are named as the records. What a header can say beside the name
        is in `sclineage.reads.annotation`. A record of kind ``virus`` with segments is counted by locus:
        ``<record>_<segment>`` (where genes overlap, the first one has the bases).
    decoys
        FASTA file or files of endogenous sequences: at least the human genes whose parts are in the construct (CD28,
        CD247, TNFRSF9, CD8A, CSF2RA, IgG hinge, EGFR ...), best the whole transcriptome. Read once, not kept.
    gtf
        Segments, one file for each FASTA file or one for all. Default: the file of the same name beside each.
    chemistry
        Name, spec or `Chemistry`: warns where the library cannot see the construct.
    k
        Bases per k-mer.

    Raises
    ------
    InputError
        A damaged or empty file, two records of one name, a name that cannot be a feature, a GTF row that fits no
        record, a record shorter than `k`, a construct without a single k-mer of its own.

    Notes
    -----
    Read rule: two unique 25-mers that do not overlap, an unbroken unique run of 33 bases, or a junction with ten bases
    on both sides; *unique* = in no decoy, not even with one base changed, on either strand.
    """
    targets, warnings = read_targets(as_paths(targets_fasta), None if gtf is None else as_paths(gtf))
    built = kmers.index([t.sequence for t in targets], decoys=read_decoys(decoys, targets), k=k,
                        junctions=[t.junctions for t in targets], masked=[t.masked for t in targets])
    end = _end(chemistry)
    unseen, said = _own(targets, built, end, decoyed=decoys is not None)
    features, unique, shared = _features(targets, built.members)
    if decoys is None and any(t.kind == "car" for t in targets):
        warnings.append("no decoys were given: reads of human genes whose parts are in a construct count as the "
                        "construct's; give the transcriptome or those genes")
    return Targets(targets, features, built, end, decoys is not None, warnings + said, unseen, unique, shared,
                   np.array([bool(m) and all(targets[t].kind == "virus" for t in m) for m in built.members]))


def _end(chemistry: str | Chemistry | None) -> End:
    if chemistry is None:
        return "unknown"
    return chemistry.end if isinstance(chemistry, Chemistry) else find_chemistry(chemistry).end


def _own(targets: list[Target], built: kmers.Index, end: End, *, decoyed: bool) -> tuple[list[str], list[str]]:
    """Names of the constructs that the chemistry cannot see, and warnings; refuses one without unique k-mers."""
    unseen, said = [], []
    for target in targets:
        flags = kmers.places(target.sequence, built)
        own = (flags >= 0) & ((flags & _FLAG_SHARED) == 0)
        if not own.any():
            raise InputError(target.name, "every k-mer of it is in the decoys or a promoter" if decoyed else
                             "no k-mer of it can be counted", "if a decoy is the target itself leave it out; else give "
                             "a target with a part of its own")
        bases = np.zeros(len(target.sequence), bool)
        for shift in range(built.k):
            bases[shift : shift + own.size] |= own
        why = "" if target.kind != "car" else visible.reason(
            target.name, visible.window(target.sequence, target.segments, end), bases, end)
        if why:
            unseen.append(target.name)
            said.append(why)
    return unseen, said


def _features(targets: list[Target], members: tuple[tuple[int, ...], ...]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Feature names, and for each set of targets its feature and its feature of shared sequence.

    Where a construct and a virus have the same k-mers (a lentiviral vector and HIV), the construct has them.
    """
    number = {m: i for i, m in enumerate(members)}
    chosen = np.arange(len(members))
    for i, m in enumerate(members):
        constructs = tuple(t for t in m if targets[t].kind == "car")
        chosen[i] = number.get(constructs, i) if constructs else i
    used = sorted(set(chosen.tolist()) - ({len(members) - 1} if len(targets) == 1 else set()))
    names = ["_or_".join(targets[t].name for t in members[i]) or UNRESOLVED for i in used]
    at = np.zeros(len(members), np.int32)
    at[used] = np.arange(len(used))
    doubled = [n for n in names if names.count(n) > 1]
    if doubled:
        raise InputError("targets", f"two features would be called {doubled[0]!r}", "rename a record")
    unique = at[chosen]
    return names + [n + SHARED for n in names], unique, unique + len(used)
