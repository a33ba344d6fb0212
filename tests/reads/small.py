"""Two small constructs that share parts with each other and with two human genes, and reads laid out for counting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sclineage.reads.constructs import Calls, Targets

LETTERS = np.array(list("ACGT"))


def dna(seed: int, n: int) -> str:
    return "".join(LETTERS[np.random.default_rng(seed).integers(0, 4, n)])


def back(sequence: str) -> str:
    return sequence[::-1].translate(str.maketrans("ACGTacgt", "TGCAtgca"))


def write(path: Path, records: Sequence[tuple[str, str]]) -> Path:
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in records))
    return path


def laid_out(reads: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    text = np.frombuffer("".join(reads).encode(), np.uint8)
    return text, np.concatenate([[0], np.cumsum([len(r) for r in reads])]).astype(np.int64)


def classify(targets: Targets, reads: Sequence[str]) -> tuple[list[str], Calls]:
    calls = targets.classify(*laid_out(reads), device="cpu")
    return ["" if f < 0 else targets.features[f] for f in calls.feature], calls


LEADER, BINDER_A, BINDER_B, HINGE, TAIL = (dna(s, n) for s, n in ((1, 60), (2, 400), (3, 400), (4, 150), (5, 300)))
NATIVE_HINGE = dna(6, 200) + HINGE + dna(7, 200)
NATIVE_TAIL = dna(8, 200) + TAIL + dna(9, 200)
A, B = LEADER + BINDER_A + HINGE + TAIL, LEADER + BINDER_B + HINGE + TAIL
SEGMENTS = "segments=leader:1-60,binder:61-460,hinge:461-610,tail:611-910"
