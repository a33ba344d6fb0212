"""CAR counting on real constructs: endogenous reads that become a CAR (none may), and CAR reads that are found.

Needs the public data (environment variable SCLINEAGE_DATA). Reads have 90 bases from either strand and 1 % wrong bases.
One target set, the one of the zero, gives every figure; mappy is not used. Writes reads_constructs.json and .md.

    python -m benchmarks.reads.constructs
"""

from __future__ import annotations

import argparse
import gzip
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd

from benchmarks._runner import RESULTS, machine
from sclineage._provenance import whole, write_json
from sclineage.kernels import kmers
from sclineage.reads.constructs import SHARED, Targets, load_targets
from sclineage.reads.fasta import read_fasta

BASES, RATE, BLOCK = 90, 0.01, 500_000
LETTERS = np.frombuffer(b"ACGT", np.uint8)
CODE = np.full(256, 4, np.uint8)
CODE[LETTERS] = np.arange(4)
CONSTRUCTS = {"axi-cel": "axicel_HM852952.fasta axicel.gtf", "tisa-cel": "tisacel_US9499629B2.fasta tisacel.gtf",
              "ide-cel": "idecel_WO2021091978A1.fasta idecel.gtf",
              "cilta-cel": "ciltacel_WO2022116086A1.fasta ciltacel_WO2022116086A1.gtf"}
VECTORS = {"tisa-cel vector": "vector_tisacel.fasta vector_tisacel.gtf",
           "ide-cel vector": "vector_idecel.fasta vector_idecel.gtf"}
HOMOLOGUES = "human_homologues_and_scfv_parts.fasta"


@dataclass(frozen=True)
class Source:
    """Sequences to cut reads from, end to end, and the places where a read may begin."""

    bases: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, sequences: Sequence[bytes]) -> Source:
        """Every place whose read stays inside one sequence."""
        coded = [CODE[np.frombuffer(s.upper(), np.uint8)] for s in sequences if len(s) >= BASES]
        first = np.cumsum([0, *(c.size for c in coded)])
        starts = [np.arange(a, a + c.size - BASES + 1) for a, c in zip(first, coded, strict=False)]
        return cls(np.concatenate(coded), np.concatenate(starts))


def blocks(source: Source, n: int, seed: int, rate: float = RATE) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Reads (m, 90) as letters and their starts, on random strands with wrong bases."""
    rng = np.random.default_rng(seed)
    while n > 0:
        m = min(n, BLOCK)
        n -= m
        start = source.starts[rng.integers(0, source.starts.size, m)]
        reads = source.bases[start[:, None] + np.arange(BASES)]
        wrong = np.flatnonzero(rng.random(reads.size, np.float32) < rate)
        flat = reads.ravel()
        flat[wrong] = np.where(flat[wrong] < 4, (flat[wrong] + rng.integers(1, 4, wrong.size, np.uint8)) & 3, 4)
        turned = rng.random(m) < 0.5
        backward = reads[turned][:, ::-1]
        reads[turned] = np.where(backward < 4, 3 - backward, 4)
        yield np.frombuffer(b"ACGTN", np.uint8)[reads], start


def tally(targets: Targets, reads: np.ndarray) -> np.ndarray:
    """Feature of each read, -1 for none."""
    offsets = np.arange(reads.shape[0] + 1, dtype=np.int64) * reads.shape[1]
    return targets.classify(reads.ravel(), offsets, device="cpu").feature


def is_car(targets: Targets) -> np.ndarray:
    """Per feature (and, last, none) whether it counts as a CAR."""
    return np.array([SHARED not in f for f in targets.features] + [False])


# --- endogenous ------------------------------------------------------------------------------------------------------
def donors(sequences: Sequence[bytes], n: int, rate: float, seed: int) -> list[bytes]:
    """Haplotypes of `n` donors: the sequences with random single-base variants."""
    rng = np.random.default_rng(seed)
    out = []
    for sequence in list(sequences) * n:
        coded = CODE[np.frombuffer(sequence, np.uint8)].copy()
        at = np.flatnonzero((rng.random(coded.size) < rate) & (coded < 4))
        coded[at] = (coded[at] + rng.integers(1, 4, at.size, np.uint8)) & 3
        out.append(np.frombuffer(b"ACGTN", np.uint8)[coded].tobytes())
    return out


def genes(data: Path) -> dict[str, list[bytes]]:
    """Human and viral sequences that are not decoys."""
    small = data / "human-reference-small"
    table = pd.read_csv(small / "human_TRA_TRB_genes.tsv.gz", sep="\t")
    alleles = [str(s).replace(".", "").upper().encode() for s in table["nucseq"]]
    ebv = data / "virus-references" / "ebv" / "NC_007605.fasta.gz"
    return {"TRA and TRB alleles": alleles,
            "T and B cell receptor genes of the genome": _sequences(small / "hg38_bcrtcr_genes.fa.gz"),
            "mitochondrial genome": _sequences(small / "chrM_NC_012920.fasta"), "EBV genome": _sequences(ebv)}


def _sequences(path: Path) -> list[bytes]:
    return [r.sequence for r in read_fasta(path)]


def real_reads(data: Path) -> np.ndarray:
    """Real R2 of healthy PBMC, the 90-base ones."""
    path = data / "fastq-10x" / "pbmc_v31_chr21" / "pbmc_chr21_S1_L001_R2_001.fastq.gz"
    with gzip.open(path, "rb") as handle:
        lines = [line.rstrip() for i, line in enumerate(handle) if i % 4 == 1]
    return np.frombuffer(b"".join(x for x in lines if len(x) == BASES), np.uint8).reshape(-1, BASES)


def negatives(targets: Targets, data: Path, n: int, seed: int) -> list[dict[str, Any]]:
    """Reads that no construct made: how many became a CAR."""
    native = _sequences(data / "car-constructs" / HOMOLOGUES)
    few = n // 10
    named = "decoy genes (CD247, CD8A, TNFRSF9, CD28, CSF2RA, two antibody chains)"
    rows = [_negative(targets, named, native, n, seed)]
    rows.append(_negative(targets, "the same, 3 % wrong bases", native, few, seed + 1, 0.03))
    rows.append(_negative(targets, "the same in 50 donors with a variant every 300 bases",
                          donors(native, 50, 1 / 300, seed), few, seed + 2))
    rows += [_negative(targets, f"{name} (no decoys)", sequences, few, seed + 3 + i)
             for i, (name, sequences) in enumerate(genes(data).items())]
    rng = np.random.default_rng(seed + 9)
    found = [tally(targets, LETTERS[rng.integers(0, 4, (BLOCK, BASES))]) for _ in range(max(1, few // BLOCK))]
    rows.append(_row(targets, "random bases", found))
    rows.append(_row(targets, "real PBMC reads, as they are", [tally(targets, real_reads(data))]))
    return rows


def _negative(targets: Targets, name: str, sequences: Sequence[bytes], n: int, seed: int,
              rate: float = RATE) -> dict[str, Any]:
    made = blocks(Source.of(sequences), n, seed, rate)
    return _row(targets, name, [tally(targets, reads) for reads, _ in made])


def _row(targets: Targets, name: str, found: Sequence[np.ndarray]) -> dict[str, Any]:
    feature = np.concatenate(found)
    car = is_car(targets)[feature]
    return {"reads from": name, "n": feature.size, "CAR": int(car.sum()), "shared": int((~car & (feature >= 0)).sum())}


# --- CAR -------------------------------------------------------------------------------------------------------------
def recall(targets: Targets, n: int, seed: int) -> list[dict[str, Any]]:
    """Per construct and segment, reads that lie in it, and what they became."""
    rows = []
    for t, target in enumerate(targets.targets):
        flags = kmers.places(target.sequence, targets.index)
        own = (flags >= 0) & ((flags & kmers.cpu.FLAG_SHARED) == 0)
        unique = np.convolve(own, np.ones(BASES - targets.index.k + 1), "valid") == BASES - targets.index.k + 1
        right = np.array([target.name in f.split("_or_") for f in targets.features] + [False])
        made = blocks(Source.of([target.sequence]), n, seed + t)
        parts = [(tally(targets, reads), start) for reads, start in made]
        feature, start = (np.concatenate(p) for p in zip(*parts, strict=True))
        for name, inside in _places(target.segments, start):
            rows.append(_recall_row(targets, target.name, name, feature[inside], unique[start[inside]], right))
    return rows


def _places(segments: Sequence[Any], start: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Reads wholly in each segment (those shorter than a read: that hold it whole), then all of them."""
    for s in segments:
        if s.stop - s.start >= BASES:
            yield s.name, (start >= s.start) & (start + BASES <= s.stop)
        else:
            yield f"{s.name} (within)", (start <= s.start) & (start + BASES >= s.stop)
    yield "all", np.ones(start.size, bool)


def _recall_row(targets: Targets, construct: str, segment: str, feature: np.ndarray, unique: np.ndarray,
                right: np.ndarray) -> dict[str, Any]:
    car = is_car(targets)[feature]
    own = feature[unique]
    return {"construct": construct, "segment": segment, "n": feature.size, "CAR": int(car.sum()),
            "other construct": int((car & ~right[feature]).sum()),
            "shared": int((~car & (feature >= 0)).sum()), "n unique": int(unique.sum()),
            "CAR of unique": int(is_car(targets)[own].sum())}


def with_receptors(targets: Targets, genes: Sequence[bytes], n: int, seed: int) -> dict[str, Any]:
    """Receptor genes as decoys too: reads of those genes, and the recall of reads that are still unique in full."""
    row = _negative(targets, "T and B cell receptor genes of the genome, as decoys", genes, n // 10, seed + 4)
    totals = [r for r in recall(targets, n // 20, seed + 100) if r["segment"] == "all"]
    return {"negative": row, "unique_recall": [sum(r[k] for r in totals) for k in ("CAR of unique", "n unique")]}


def native_tail(targets: Targets, n: int, seed: int) -> dict[str, Any]:
    """Reads of axi-cel's CD28 and CD3 zeta parts that touch no junction: none may count."""
    target = next(t for t in targets.targets if t.name == "axi-cel")
    parts = [target.sequence[s.start : s.stop] for s in target.segments if s.name in ("CD28", "CD247")]
    return _negative(targets, "axi-cel's own CD28 and CD247 parts", parts, n, seed)


# --- speed -----------------------------------------------------------------------------------------------------------
def speed(targets: Targets, reads: np.ndarray, repeats: int = 5) -> dict[str, float]:
    """Reads per second of one thread: by the clock, and by the processor's time (where others compute too)."""
    numba.set_num_threads(1)
    offsets = np.arange(reads.shape[0] + 1, dtype=np.int64) * reads.shape[1]
    flat = reads.ravel()
    best: dict[str, float] = {}
    for name, clock in (("by the clock", time.perf_counter), ("by processor time", time.process_time)):
        taken = [_time(clock, lambda: targets.classify(flat, offsets, device="cpu")) for _ in range(repeats)]
        best[name] = reads.shape[0] / float(np.median(taken))
    return best


def _time(clock: Callable[[], float], run: Callable[[], object]) -> float:
    start = clock()
    run()
    return clock() - start


# --- the record ------------------------------------------------------------------------------------------------------
def load(data: Path, products: dict[str, str], scratch: Path, *more: Path) -> Targets:
    """The products under their own names, with the homologues (and `more`) as decoys."""
    folder, paths, annotations = data / "car-constructs", [], []
    for name, files in products.items():
        fasta, gtf = files.split()
        sequence = _sequences(folder / fasta)[0].decode()
        paths.append(scratch / f"{name.replace(' ', '-')}.fasta")
        paths[-1].write_text(f">{name.replace(' ', '-')}\n{sequence}\n")
        annotations.append(folder / gtf)
    return load_targets(paths, gtf=annotations, decoys=[folder / HOMOLOGUES, *more])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown of records of one shape."""
    keys = list(rows[0])
    cells = ["| " + " | ".join(f"{r[k]:,}" if isinstance(r[k], int) else str(r[k]) for k in keys) + " |" for r in rows]
    return "\n".join(["| " + " | ".join(keys) + " |", "| --- " * len(keys) + "|", *cells])


def _shares(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    def share(part: int, of: int) -> str:
        return f"{100 * part / of:.2f} %" if of else "no such read"

    return [{"construct": r["construct"], "segment": r["segment"], "reads": r["n"],
             "called CAR": share(r["CAR"], r["n"]), "called another construct": r["other construct"],
             "called shared": share(r["shared"], r["n"]), "unique in full": r["n unique"],
             "of these called CAR": share(r["CAR of unique"], r["n unique"])} for r in rows]


def page(record: dict[str, Any]) -> str:
    """Markdown of the record."""
    facts = record["machine"]
    total, wide = record["unique_recall"], record["receptor_decoys"]
    rates = [{"reads": name, **{k: f"{v / 1e6:.1f} M/s" for k, v in found.items()}}
             for name, found in record["speed"].items()]
    return "\n\n".join([
        "# CAR reads", f"`python -m benchmarks.reads.constructs`: {record['seconds']:.0f} s; {facts['cpu']}, "
        f"{facts['cores']} cores, load at the start {facts['load']:.1f}. Reads of {BASES} bases from either strand, "
        f"1 % wrong bases unless said; four CAR constructs as targets, k = {record['k']}, without mappy. *Unique "
        "in full*: every k-mer of the read, before its errors, is the construct's own. Research use only.",
        "## Reads that no CAR made", table(record["negatives"]),
        f"## Reads that a CAR made\n\nReads unique in full, all constructs: {total[0]:,} of {total[1]:,} called CAR "
        f"({100 * total[0] / total[1]:.2f} %).", table(_shares(record["recall"])),
        f"With the receptor genes of the genome as decoys too: {wide['negative']['CAR']} CAR in "
        f"{wide['negative']['n']:,} of their reads; reads unique in full: {wide['unique_recall'][0]:,} of "
        f"{wide['unique_recall'][1]:,} called CAR.",
        "## Vectors (a target set of their own)", table(_shares(record["vectors"])),
        "## Speed of one thread, reads without a CAR", table(rates)]) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--reads", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=61_003)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    began, facts = time.perf_counter(), machine()
    data = Path(os.environ.get("SCLINEAGE_DATA", "../shared/data"))
    scratch = given.out / ".reads_constructs"
    scratch.mkdir(parents=True, exist_ok=True)
    targets, vectors = load(data, CONSTRUCTS, scratch), load(data, VECTORS, scratch)
    receptors = data / "human-reference-small" / "hg38_bcrtcr_genes.fa.gz"
    wider = load(data, CONSTRUCTS, scratch, receptors)
    rows = recall(targets, given.reads // 20, given.seed + 100)
    tail = native_tail(targets, given.reads // 20, given.seed + 200)
    totals = [r for r in rows if r["segment"] == "all"]
    rng = np.random.default_rng(given.seed)
    some = LETTERS[rng.integers(0, 4, (min(given.reads, 2_000_000), BASES))]
    real = np.tile(real_reads(data), (max(1, min(given.reads, 2_000_000) // 100_000), 1))
    record = {
        "k": targets.index.k, "seed": given.seed, "machine": facts, "features": targets.features,
        "negatives": [*negatives(targets, data, given.reads, given.seed), tail], "recall": rows,
        "unique_recall": [sum(r["CAR of unique"] for r in totals), sum(r["n unique"] for r in totals)],
        "receptor_decoys": with_receptors(wider, _sequences(receptors), given.reads, given.seed),
        "vectors": recall(vectors, given.reads // 20, given.seed + 300),
        "speed": {"random": speed(targets, some), "real PBMC": speed(targets, real)}}
    for file in scratch.iterdir():
        file.unlink()
    scratch.rmdir()
    record["seconds"] = time.perf_counter() - began
    write_json(record, given.out / "reads_constructs.json")
    with whole(given.out / "reads_constructs.md") as part:
        part.write_text(page(record), encoding="utf-8")
    print(page(record))


if __name__ == "__main__":
    main()
