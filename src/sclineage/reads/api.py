"""Public face of the reads: `sl.pp.match_barcodes`, `sl.pp.count_targets`."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import write_elem
from scipy import sparse

from .. import _backend, _provenance, _schema
from .._errors import InputError
from .._settings import Device
from ..kernels.matching import POLICIES, STATES, Policy, match
from ..kernels.umis import POLICIES as UMI_POLICIES
from ..kernels.umis import Place
from ..kernels.umis import Policy as UmiPolicy
from ..kernels.whitelists import Whitelist
from .constructs import Targets, load_targets
from .count import Way
from .counting import Result, count_library, warnings_about
from .letters import ascii_rows
from .lineage import with_cassettes
from .molecules import write_molecules
from .opening import Opened, PathLike, Paths, open_reads
from .outputs import LAST, empty_droplets, fates, peak_memory, read_states, sharing_table, staged
from .primers import primer_codes
from .rescue import with_rescue
from .whitelists import find_whitelist, from_words, read_whitelist

__all__ = ["count_targets", "match_barcodes"]

KERNELS = ("barcodes", "umis", "kmers")  # of counting: a device that one of them lacks is refused at once


def match_barcodes(sequences: Sequence[str] | np.ndarray, qualities: Sequence[str] | np.ndarray | None = None, *,
                   whitelist: str | os.PathLike[str] | Sequence[str] | np.ndarray | Whitelist,
                   policy: Policy = "cellranger", device: Device = "auto") -> pd.DataFrame:
    """Match cell barcodes to a whitelist, correcting one wrong base.

    Parameters
    ----------
    sequences
        Barcode of each read: a list of texts, or uint8 (n, L) of ASCII, L the length of the whitelist. Lower case reads
        as upper case, ``N`` and ``.`` as an unknown base.
    qualities
        Phred + 33, in the same shape, or None (then Q 33 everywhere).
    whitelist
        Path or stored name of a list (one barcode a line, plain or gzip), the barcodes themselves, or what
        `sclineage.reads.whitelists.read_whitelist` returns (reuse it between calls).
    policy
        ``cellranger``: posterior of each entry one substitution away from (1 + its exact reads) and the quality of the
        changed base, taken at 0.975 or more (Cell Ranger; STARsolo ``1MM_multi_Nbase_pseudocounts``). ``unique``: the
        only entry one substitution away, N read as G (bustools). ``calibrated``: an error model fitted to these reads,
        junk and two mismatches included, whose posterior is meant to be the true one.
    device
        ``auto``, ``cpu`` or ``cuda``; the result is the same.

    Returns
    -------
    One row per read: ``index`` int32, row of the whitelist as given, -1 for none; ``state`` categorical, exact,
    corrected, ambiguous (entries one mismatch away, none good enough), none, n (not corrected, with an N);
    ``posterior`` float32 of the best entry, taken or not (0 without one).

    Raises
    ------
    InputError
        A barcode of another length or with a letter that is no base, qualities of another shape or below ``!``, a
        whitelist that is empty, has an entry twice or cannot be read, an unknown policy.

    Notes
    -----
    The exact reads of all `sequences` are the prior of the correction, so give a whole library at once.
    """
    listed = _whitelist(whitelist)
    rows = ascii_rows(sequences, "sequences", length=listed.length)
    scores = None if qualities is None else _scores(qualities, rows)
    place = _backend.pick(device, kernel="barcodes")
    with _backend.threads(None):
        found = match(rows, scores, listed, policy=policy, device=place)
    state = pd.Categorical.from_codes(found.state.astype(np.int8), categories=pd.Index(STATES))
    return pd.DataFrame({"index": found.index, "state": state, "posterior": found.posterior})


def _whitelist(given: str | os.PathLike[str] | Sequence[str] | np.ndarray | Whitelist) -> Whitelist:
    if isinstance(given, Whitelist):
        return given
    if isinstance(given, str | os.PathLike):
        return read_whitelist(find_whitelist(given))
    return from_words(given)


def _scores(qualities: Sequence[str] | np.ndarray, rows: np.ndarray) -> np.ndarray:
    scores = ascii_rows(qualities, "qualities", length=rows.shape[1])
    if scores.shape != rows.shape:
        raise InputError("qualities", f"{scores.shape[0]} entries for {rows.shape[0]} sequences",
                         "give one quality text per sequence")
    if scores.size and (scores.min() < 33 or scores.max() > 126):
        row = int(np.flatnonzero(((scores < 33) | (scores > 126)).any(axis=1))[0])
        raise InputError("qualities", "a character outside '!' to '~'", "give Phred + 33", place=f"entry {row + 1}")
    return scores


def count_targets(*, chemistry: str, targets: PathLike, r1: Paths = (), r2: Paths = (),
                  bam: PathLike | None = None, out: PathLike | None = None, whitelist: PathLike | None = None,
                  decoys: PathLike | None = None, gtf: PathLike | None = None, cells: PathLike | None = None,
                  policy: Policy = "cellranger", umi_policy: UmiPolicy | None = None, enriched: bool = False,
                  primers: Sequence[str] = (), least_reads: int | None = None, rescue: bool = False,
                  merge: PathLike | None = None, device: Device = "auto", threads: int | None = None,
                  say: Callable[[str], None] | None = None) -> AnnData:
    """Count molecules of target sequences (CAR constructs, viruses, lineage barcodes) in a 10x library.

    Parameters
    ----------
    chemistry
        Name or spec, see `sclineage.reads.chemistries.chemistry`.
    targets
        FASTA of the targets, see `sclineage.reads.constructs`; a record with runs of N is a lineage barcode between its
        constant parts.
    r1, r2
        FASTQ files (plain or gzip) lane by lane; R1 alone: files with R1 and R2 in turn.
    bam
        10x BAM instead: with `whitelist` its raw barcodes (CR, UR) are corrected here, without it those of its maker
        (CB, UB) are taken.
    out
        Folder for ``molecules.tsv.gz``, ``features.h5ad``, ``reads.csv``, ``sharing.csv`` and ``run.json``; None writes
        nothing.
    whitelist
        Path or stored name; None takes that of the chemistry.
    decoys
        FASTA of endogenous transcripts that targets share sequence with.
    gtf
        Segments of the targets; None takes the file of the same name beside the FASTA.
    cells
        Barcodes, 10x matrix or h5ad of the cells; its UMIs are then the prior of barcode correction in an enriched
        library. None: a plain knee of the reads per barcode.
    policy
        Barcode correction: ``cellranger``, ``unique`` or ``calibrated`` (`match_barcodes`).
    umi_policy
        ``cellranger`` (default), ``exact`` (default of a BAM whose UMIs are corrected), or ``directional`` (default of
        enriched libraries).
    enriched
        An enrichment (amplicon) library: chimeras are dropped, and molecules under a number of reads that is found from
        the library.
    primers
        Primers that the transcript reads of an enrichment begin with.
    least_reads
        Least reads of a molecule of an enrichment, instead of the number found.
    rescue
        Align reads that hold k-mers of a target, but too few to count (needs mappy, extra ``align``): constructs whose
        sequence is not quite the one given. Slow on a library with many such reads; `refine_construct` mends the cause.
    merge
        Molecule table (ours, or Cell Ranger's ``molecule_info.h5``) of the gene-expression library of the same cells:
        what both have counts once.
    device, threads
        They change the time, never the result.
    say
        Receives lines of progress.

    Returns
    -------
    AnnData, cells x features: molecules in ``X`` (int32 CSR); ``obs["reads"]`` exact reads of the barcode;
    ``var["molecules"]`` molecules of all barcodes, ``var["umi_droplets"]`` those in empty droplets;
    ``uns["count"]`` what was counted and how, ``uns["count"]["molecules"]`` the molecule table.

    Raises
    ------
    InputError
        Bad input; nothing is left in `out`.

    Notes
    -----
    Memory is that of the distinct (cell, feature, UMI) and the whitelist, not of the files. Reads whose barcode has to
    wait for the counts of the whole library wait in the folder for temporary files.
    """
    usual: UmiPolicy = "directional" if enriched else "exact" if bam and not whitelist else "cellranger"
    way = _way(policy, umi_policy or usual, device, enriched=enriched, primers=primers, least_reads=least_reads)
    asked = {"chemistry": chemistry, "targets": targets, "decoys": decoys, "gtf": gtf, "r1": r1, "r2": r2, "bam": bam,
             "whitelist": whitelist, "cells": cells, "merge": merge, "primers": list(primers), "rescue": rescue}
    with contextlib.ExitStack() as stack:
        folder = None if out is None else stack.enter_context(staged(out))
        stack.enter_context(_backend.threads(threads))
        return _count(asked, way, folder, say or (lambda _: None))


def _count(asked: dict[str, Any], way: Way, folder: Path | None, say: Callable[[str], None]) -> AnnData:
    """Open, count, and write into the folder where one is given; `asked` holds what the caller gave, by name."""
    start = time.monotonic()
    opened = open_reads(chemistry_name=asked["chemistry"], r1=asked["r1"], r2=asked["r2"], bam=asked["bam"],
                        whitelist=asked["whitelist"])
    loaded = load_targets(asked["targets"], decoys=asked["decoys"], gtf=asked["gtf"], chemistry=opened.source.chemistry)
    loaded = with_rescue(loaded, asked["decoys"]) if asked["rescue"] else loaded
    result = count_library(opened, with_cassettes(loaded), way, cells=asked["cells"], merge=asked["merge"], say=say)
    found = _anndata(result)
    record = _record(opened, loaded, result, way, asked, time.monotonic() - start)
    found.uns["count"] = {"warnings": np.array(record["warnings"], dtype=object), "droplets": result.droplets.size}
    if folder is not None:
        _write(folder, opened, result, found, record)
    found.uns["count"] |= {"molecules": result.table, "record": record}
    return found


def _way(policy: Policy, umi_policy: UmiPolicy, device: Device, *, enriched: bool, primers: Sequence[str],
         least_reads: int | None) -> Way:
    for name, value, known in (("policy", policy, POLICIES), ("umi policy", umi_policy, UMI_POLICIES)):
        if value not in known:
            raise InputError(name, f"found {value!r}", f"use one of {', '.join(known)}")
    if not enriched and (primers or least_reads is not None):
        raise InputError("primers", "primers or least reads for a library that is not enriched", "add --enriched")
    if least_reads is not None and least_reads < 1:
        raise InputError("least reads", f"found {least_reads}", "give a number of at least 1")
    places = {_backend.pick(device, kernel=k) for k in KERNELS}
    place: Place = "cuda" if places == {"cuda"} else "cpu"
    return Way(policy, umi_policy, place, enriched, primer_codes(primers), least_reads)


def _anndata(result: Result) -> AnnData:
    """Cells x features, cells and features in order."""
    features, counted = pd.Index(result.counted.features, dtype=object), result.counted
    cells = pd.Index(result.barcodes, dtype=object)
    where = [names.get_indexer(pd.Index(result.table[column]))
             for names, column in ((cells, "barcode"), (features, "feature"))]
    inside = where[0] >= 0
    matrix = sparse.csr_matrix((np.ones(int(inside.sum()), np.int32), (where[0][inside], where[1][inside])),
                               shape=(len(cells), len(features)), dtype=np.int32)
    obs = pd.DataFrame({"reads": counted.barcode_reads[result.cells.ranks].astype(np.int64)}, index=cells)
    var = pd.DataFrame({"molecules": np.bincount(where[1], minlength=len(features)),
                        "umi_droplets": empty_droplets(counted, result.droplets)}, index=features)
    return AnnData(matrix, obs=obs, var=var)


def _record(opened: Opened, loaded: Targets, result: Result, way: Way, asked: dict[str, Any],
            seconds: float) -> dict[str, Any]:
    """What ``run.json`` says."""
    counted, layout = result.counted, opened.source.chemistry
    others = map(asked.get, ("targets", "decoys", "gtf", "cells", "merge"))
    files = [*opened.source.files, *(Path(str(p)) for p in others if p)]
    return {
        "made_by": "sclineage count", "note": "research use only", "parameters": asked,
        "policy": way.policy, "umi_policy": way.umi_policy, "enriched": way.enriched, "device": way.device,
        "chemistry": {"name": layout.name, "barcode_bases": layout.barcode.length, "umi_bases": layout.umi.length,
                      "end": layout.end, "whitelist": opened.listed, "barcodes": opened.whitelist.n,
                      "first_barcodes_on_list": counted.on_list},
        "reads": counted.reads, "transcript_reads": counted.found, "feature_reads": fates(counted),
        "molecules": len(result.table), "molecules_only_in_merged": result.merged,
        "cells": {"n": len(result.barcodes), "source": result.cells.source}, "empty_droplets": result.droplets.size,
        "threshold": None if counted.threshold is None else {
            k: getattr(counted.threshold, k) for k in ("reads", "error_mean", "molecule_mean", "error_share", "gain")},
        "car_counting": loaded.car_counting, "constructs_unseen": loaded.unseen,
        "warnings": [*loaded.warnings, *warnings_about(result, way)], "inputs": _provenance.inputs(files),
        "versions": _provenance.versions(), "seconds": round(seconds, 3), "peak_memory_bytes": peak_memory()}


def _write(folder: Path, opened: Opened, result: Result, found: AnnData, record: dict[str, Any]) -> None:
    write_molecules(result.table, folder / "molecules.tsv.gz")
    _write_h5ad(found, folder / "features.h5ad")
    _schema.write(read_states(result.counted), "reads", folder / "reads.csv")
    table = sharing_table(result.counted, opened.source.chemistry.umi.length, result.droplets)
    _schema.write(table, "sharing", folder / "sharing.csv")
    _provenance.write_json(record, folder / LAST)


def _write_h5ad(found: AnnData, path: Path) -> None:
    """Write an AnnData through memory: HDF5 may crash the process when the disk is full."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write_elem(file, "/", found)
    path.write_bytes(buffer.getvalue())
