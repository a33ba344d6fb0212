"""A construct's sequence as the reads of an infusion product have it (`sl.pp.refine_construct`)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .. import _provenance
from .._errors import InputError, nearest
from .consensus import Refined, consensus
from .constructs import Targets, load_targets
from .fasta import Paths, as_paths
from .fastq import read_single

SENSITIVE_K = 17  # short k-mers find reads beside wrong bases too

__all__ = ["refine_construct"]


def refine_construct(targets: Paths, reads: Paths, *, decoys: Paths, gtf: Paths | None = None, name: str | None = None,
                     out: str | os.PathLike[str] | None = None, min_reads: int = 10, min_share: float = 0.8,
                     most: int = 200_000) -> Refined:
    """Correct the sequence of a construct by cDNA reads of infusion products.

    Sequences from patents have wrong bases and indels; each loses the reads around it. Where reads that fit the
    construct better than every human gene agree on something else, the sequence is changed.

    Parameters
    ----------
    targets
        FASTA file of the construct, as for `sclineage count`.
    reads
        FASTQ files of cDNA reads (R2) of products that carry it.
    decoys
        FASTA files of the human genes whose parts are in it, best the transcriptome.
    gtf
        Segments; default: the file of the same name beside the FASTA.
    name
        Which record, where the FASTA file has several.
    out
        FASTA file to write: the new sequence, segments in its header.
    min_reads, min_share
        Reads that must cover a base, and the share that must agree, to change it.
    most
        Reads of the construct to use; the first ones are taken.

    Returns
    -------
    The construct with its new sequence and segments, and the table of changes.

    Raises
    ------
    InputError
        Bad files, an unknown name, no read of the construct.
    MissingDependencyError
        mappy is not installed (extra ``align``).
    """
    loaded = load_targets(targets, decoys=decoys, gtf=gtf, k=SENSITIVE_K)
    names = [t.name for t in loaded.targets]
    if name is None and len(names) > 1:
        raise InputError(as_paths(targets)[0], f"found {len(names)} records ({', '.join(names[:5])})",
                         "say which with name=")
    if name is not None and name not in names:
        raise InputError(as_paths(targets)[0], f"no record {name!r}", nearest(name, names))
    target = loaded.targets[0 if name is None else names.index(name)]
    bases, offsets = _reads_with_kmers(loaded, as_paths(reads), most)
    refined = consensus(target, bases, offsets, decoys=decoys, min_reads=min_reads, min_share=min_share)
    if out is not None:
        with _provenance.whole(Path(out)) as part:
            part.write_text(refined.fasta(), encoding="utf-8")
    return refined


def _reads_with_kmers(targets: Targets, paths: list[str], most: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads that hold a k-mer of a target that no decoy has, one behind the other."""
    texts: list[bytes] = []
    for batch in read_single(paths):
        calls = targets.classify_at(batch.buffer, batch.start, batch.length)
        for i in np.flatnonzero(calls.unique_bases > 0):
            texts.append(batch.buffer[batch.start[i] : batch.start[i] + batch.length[i]].tobytes())
        if len(texts) >= most:
            break
    texts = texts[:most]
    return np.frombuffer(b"".join(texts), np.uint8), np.cumsum([0, *map(len, texts)]).astype(np.int64)
