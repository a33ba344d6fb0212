"""Small simulated libraries for the tests of counting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sclineage.simulate.reads import BASES, ReadsPlan, draw_barcodes, simulate_reads

CHEMISTRY = "r1:bc16,umi12"


def sequence(n: int, seed: int) -> str:
    return BASES[np.random.default_rng(seed).integers(0, 4, n)].tobytes().decode()



CAR = sequence(1200, 1)
TARGETS = {"CAR": CAR, "WPRE": sequence(600, 2)}
GENES = {f"g{k}": sequence(900, 10 + k) for k in range(4)}
LISTED = draw_barcodes(30000, 16, np.random.default_rng(3))


@dataclass(frozen=True)
class Made:
    folder: Path
    truth: pd.DataFrame

    def arguments(self, lanes: int = 1, **more: Any) -> dict[str, Any]:
        r1, r2 = ([self.folder / f"L{k}_R{mate}.fastq.gz" for k in range(1, lanes + 1)] for mate in (1, 2))
        return {"chemistry": CHEMISTRY, "targets": self.folder / "targets.fasta",
                "decoys": self.folder / "decoys.fasta", "r1": r1, "r2": r2,
                "whitelist": self.folder / "whitelist.txt", "cells": self.folder / "cells.txt"} | more


def make(folder: Path, *, lanes: int = 1, **plan: Any) -> Made:
    given = {"targets": TARGETS, "endogenous": GENES, "cells": 40, "droplets": 120, "molecules_per_cell": 40.0} | plan
    truth = simulate_reads(ReadsPlan(**given), LISTED, folder, lanes=lanes)
    (folder / "whitelist.txt").write_text("\n".join(LISTED) + "\n")
    return Made(folder, truth)


def molecules_of(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path / "molecules.tsv.gz", sep="\t", na_filter=False)
    return table.assign(barcode=table["barcode"].str.removesuffix("-1"))


def keys(table: pd.DataFrame) -> set[tuple[str, str, str]]:
    return set(zip(table["barcode"], table["umi"], table["feature"], strict=True))
