"""Simulated 10x libraries of target transcripts as FASTQ, with the truth of every molecule.

Each molecule has a cell, a UMI and a transcript (of a target or of an endogenous gene); amplification gives it a number
of reads; sequencing errors hit barcode, UMI and transcript alike, with a quality that knows of half of them.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .files import write_csv, write_text

BASES = np.frombuffer(b"ACGT", np.uint8)
GOOD, POOR = ord("F"), ord(",")

__all__ = ["ReadsPlan", "draw_barcodes", "simulate_reads"]


@dataclass(frozen=True)
class ReadsPlan:
    """A library.

    Attributes
    ----------
    targets, endogenous
        Sequences by name; a read is cut from anywhere in them.
    cells, droplets
        Barcodes with molecules of both kinds, and barcodes with a few molecules of ambient RNA.
    molecules_per_cell, targets_per_cell
        Mean endogenous and target molecules of a cell; a share `carriers` of the cells has targets.
    reads_per_molecule
        Mean reads, at least one.
    error
        Errors per base.
    umi
        Bases per UMI.
    length
        Bases of the transcript reads.
    junk
        Share of read pairs whose barcode is random.
    amplicon
        Base at which every target read begins (an enrichment with that primer); None: anywhere.
    chimeras
        Chimeras per target molecule: one read of the molecule under the barcode of another cell.
    seed
        Seed.
    """

    targets: Mapping[str, str]
    endogenous: Mapping[str, str]
    cells: int = 100
    droplets: int = 300
    molecules_per_cell: float = 100.0
    targets_per_cell: float = 3.0
    carriers: float = 0.4
    reads_per_molecule: float = 3.0
    error: float = 0.005
    umi: int = 12
    length: int = 90
    junk: float = 0.02
    amplicon: int | None = None
    chimeras: float = 0.0
    seed: int = 0


def draw_barcodes(n: int, length: int, rng: np.random.Generator) -> list[str]:
    """Distinct random barcodes, sorted."""
    found: set[str] = set()
    while len(found) < n:
        found |= {row.tobytes().decode() for row in BASES[rng.integers(0, 4, (n, length))]}
    return sorted(found)[:n] if len(found) == n else sorted(rng.choice(sorted(found), n, replace=False).tolist())


def simulate_reads(plan: ReadsPlan, whitelist: Sequence[str], out: Path, *, lanes: int = 1) -> pd.DataFrame:
    """Write FASTQ lanes (``L1_R1.fastq.gz`` ...), ``targets.fasta``, ``decoys.fasta``, ``cells.txt``, ``truth.csv``.

    Returns
    -------
    The truth: barcode, umi, feature, reads of every molecule of a target.
    """
    rng = np.random.default_rng(plan.seed)
    barcodes = [str(b) for b in rng.choice(np.asarray(whitelist), plan.cells + plan.droplets, replace=False)]
    molecules = _molecules(plan, rng)
    truth = _truth(plan, molecules, barcodes)
    read = np.repeat(np.arange(len(molecules)), molecules["reads"])
    rng.shuffle(read)
    for lane, rows in enumerate(np.array_split(read, lanes), start=1):
        _write_lane(plan, molecules.iloc[rows], barcodes, out, lane, rng)
    for name, sequences in (("targets", plan.targets), ("decoys", plan.endogenous)):
        write_text("".join(f">{k}\n{v}\n" for k, v in sequences.items()), out / f"{name}.fasta")
    write_text("\n".join(sorted(barcodes[: plan.cells])) + "\n", out / "cells.txt")
    write_csv(truth, out / "truth.csv")
    return truth


def _molecules(plan: ReadsPlan, rng: np.random.Generator) -> pd.DataFrame:
    """Cell, transcript (endogenous ones behind the targets), UMI, place and reads of every molecule; UMIs distinct."""
    n = plan.cells + plan.droplets
    carries = rng.random(n) < plan.carriers
    carries[plan.cells :] = False
    rare = np.where(np.arange(n) < plan.cells, 1.0, 0.05)
    parts = []
    names = [*plan.targets, *plan.endogenous]
    for kind, name in enumerate(names):
        own = kind < len(plan.targets)
        mean = plan.targets_per_cell * carries if own else plan.molecules_per_cell / len(plan.endogenous) * rare
        cell = np.repeat(np.arange(n), rng.poisson(mean, n))
        size = len(plan.targets[name] if own else plan.endogenous[name])
        at = rng.integers(0, size - plan.length + 1, cell.size)
        parts.append(pd.DataFrame({"cell": cell, "kind": kind, "at": plan.amplicon if own and plan.amplicon else at}))
    out = pd.concat(parts, ignore_index=True)
    out["reads"] = 1 + rng.poisson(rng.gamma(4.0, (plan.reads_per_molecule - 1.0) / 4.0, len(out)))
    out["umi"] = _umis(len(out), plan.umi, rng)
    out["true"] = True
    switched = out[out["kind"] < len(plan.targets)].sample(frac=plan.chimeras, random_state=rng).copy()
    switched["cell"] = (switched["cell"] + rng.integers(1, n, len(switched))) % n
    return pd.concat([out, switched.assign(reads=1, true=False)], ignore_index=True)


def _umis(n: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct random UMIs, none of them one base throughout."""
    codes = rng.choice(4**length, n + 4, replace=False)
    repeats = [base * (4**length - 1) // 3 for base in range(4)]
    return codes[~np.isin(codes, repeats)][:n]


def _truth(plan: ReadsPlan, molecules: pd.DataFrame, barcodes: Sequence[str]) -> pd.DataFrame:
    own = molecules[(molecules["kind"] < len(plan.targets)) & molecules["true"]]
    names = list(plan.targets)
    umis = _bases(own["umi"].to_numpy(), plan.umi)
    return pd.DataFrame({"barcode": [barcodes[c] for c in own["cell"]], "umi": [u.tobytes().decode() for u in umis],
                         "feature": [names[k] for k in own["kind"]], "reads": own["reads"].to_numpy()},
                        ).sort_values(["barcode", "umi"], ignore_index=True)


def _bases(codes: np.ndarray, length: int) -> np.ndarray:
    shifts = np.arange(2 * (length - 1), -1, -2)
    return BASES[(codes[:, None] >> shifts) & 3]


def _write_lane(plan: ReadsPlan, rows: pd.DataFrame, barcodes: Sequence[str], out: Path, lane: int,
                rng: np.random.Generator) -> None:
    n = len(rows)
    letters = np.frombuffer("".join(barcodes).encode(), np.uint8).reshape(len(barcodes), -1)
    head = letters[rows["cell"].to_numpy()]
    random = rng.random(n) < plan.junk
    head[random] = BASES[rng.integers(0, 4, (int(random.sum()), head.shape[1]))]
    one = np.concatenate([head, _bases(rows["umi"].to_numpy(), plan.umi)], axis=1)
    texts = [np.frombuffer(s.encode(), np.uint8) for s in (*plan.targets.values(), *plan.endogenous.values())]
    two = np.stack([texts[k][a : a + plan.length] for k, a in zip(rows["kind"], rows["at"], strict=True)])
    for mate, bases in ((1, one), (2, two)):
        path = out / f"L{lane}_R{mate}.fastq.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file, gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="",
                                                    compresslevel=4) as handle:
            handle.write(_fastq(*_sequenced(bases, plan.error, rng), lane))


def _sequenced(bases: np.ndarray, error: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Bases with errors, and qualities: half of the errors have a poor one, and so has one right base in fifty."""
    wrong = rng.random(bases.shape) < error
    read = bases.copy()
    order = np.searchsorted(BASES, bases[wrong])
    read[wrong] = BASES[(order + rng.integers(1, 4, order.size)) % 4]
    doubted = np.where(wrong, rng.random(bases.shape) < 0.5, rng.random(bases.shape) < 0.02)
    return read, np.where(doubted, POOR, GOOD).astype(np.uint8)


def _fastq(bases: np.ndarray, quality: np.ndarray, lane: int) -> bytes:
    return b"".join(b"@r%d.%d\n%s\n+\n%s\n" % (lane, k, b.tobytes(), q.tobytes())
                    for k, (b, q) in enumerate(zip(bases, quality, strict=True)))
