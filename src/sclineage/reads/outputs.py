"""What counting writes: tables and provenance, staged in a folder of their own and moved into place when whole."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from .._errors import InputError
from .chimeras import chimera_table, collision_table
from .count import Counted
from .library import READ_STATES
from .molecules import CHIMERA, COUNTED, FATES, Molecules

LAST = "run.json"  # a folder without it is not finished

__all__ = ["LAST", "empty_droplets", "fates", "matrix_entries", "peak_memory", "read_states", "sharing_table", "staged"]


@contextmanager
def staged(out: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a folder beside `out`; its files are moved into `out` only when the block ends without an error.

    Raises
    ------
    InputError
        Nothing can be written there, or the disk is full.
    """
    target = Path(out).absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    except OSError as error:
        raise InputError(out, f"cannot be written ({error.strerror})", "give another --out") from None
    try:
        yield work
        _move(work, target)
    except OSError as error:
        raise InputError(out, f"cannot be written ({error.strerror or error})", "free space, or give another --out",
                         ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _move(work: Path, target: Path) -> None:
    work.chmod(0o755)
    if not target.exists():
        work.replace(target)
        return
    (target / LAST).unlink(missing_ok=True)
    for path in sorted(work.iterdir(), key=lambda p: p.name == LAST):
        path.replace(target / path.name)


def peak_memory() -> int:
    """Peak bytes of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # the resource counter of Linux also holds the peak of the process that started this one
        found = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        if found:
            return 1024 * int(found[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def fates(counted: Counted) -> dict[str, int]:
    """Reads of features by what became of them; they add up to the reads of features."""
    molecules = counted.molecules
    by_fate = np.bincount(molecules.fate, molecules.reads, minlength=len(FATES)).astype(np.int64)
    return {"counted": int(by_fate[COUNTED]), **counted.lost,
            **{name: int(n) for name, n in zip(FATES[1:], by_fate[1:], strict=True)}}


def read_states(counted: Counted) -> pd.DataFrame:
    """Rows of ``reads.csv``."""
    groups = {"barcode": dict(zip(READ_STATES, map(int, counted.states), strict=True)), "transcript": counted.found,
              "molecule": fates(counted)}
    rows = [(group, state, n, n / max(sum(states.values()), 1)) for group, states in groups.items()
            for state, n in states.items()]
    return pd.DataFrame(rows, columns=["group", "state", "reads", "share"])


def sharing_table(counted: Counted, umi_length: int, droplets: np.ndarray) -> pd.DataFrame:
    """Rows of ``sharing.csv``: chimeras, collisions, and what empty droplets hold, per feature."""
    every = counted.molecules
    undone = Molecules(*(np.where(every.fate == CHIMERA, COUNTED, every.fate) if f == "fate" else getattr(every, f)
                         for f in Molecules.__dataclass_fields__))
    table = chimera_table(undone, counted.features, umi_length)
    table = table.merge(collision_table(every, counted.features, umi_length), on="feature", validate="one_to_one")
    return table.assign(umi_droplets=empty_droplets(counted, droplets), n_droplets=droplets.size)


def empty_droplets(counted: Counted, droplets: np.ndarray) -> np.ndarray:
    """Molecules of each feature in empty droplets, int64."""
    molecules = counted.molecules.counted
    inside = np.isin(molecules.cell, droplets)
    return np.bincount(molecules.feature[inside], minlength=len(counted.features))


def matrix_entries(molecules: Molecules, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row (of `cells`, sorted ranks) and feature of each molecule in a cell."""
    row = np.searchsorted(cells, molecules.cell)
    inside = row < cells.size
    inside[inside] = cells[row[inside]] == molecules.cell[inside]
    return row[inside], molecules.feature[inside]


