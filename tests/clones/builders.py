"""Small repertoires written by hand: ``"b1:6"`` is TRB number 1 with 6 UMIs; ``a`` TRA, ``g`` TRG, ``d`` TRD ..."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sclineage.clones.normalise import chain_table
from sclineage.clones.patient import PatientClones, patient_clones

LOCI = {"b": "TRB", "a": "TRA", "g": "TRG", "d": "TRD", "h": "IGH", "k": "IGK"}
GENES = {"TRB": ("TRBV6-5", "TRBJ2-7", "TRBC2"), "TRA": ("TRAV12-1", "TRAJ9", "TRAC"),
         "TRG": ("TRGV9", "TRGJP", "TRGC1"), "TRD": ("TRDV2", "TRDJ1", "TRDC"),
         "IGH": ("IGHV3-30", "IGHJ4", "IGHM"), "IGK": ("IGKV1-39", "IGKJ2", "IGKC")}
SPECIAL = {"mait": ("TRAV1-2", "TRAJ33"), "inkt": ("TRAV10", "TRAJ18")}
_CODONS = ["GCT", "AGC", "GGA", "CAG", "GAA", "ACT", "TAC", "AAT", "CTG", "CGA"]


def junction(name: str) -> str:
    """A junction of its own for every chain name."""
    rng = np.random.default_rng([ord(c) for c in name])
    return "TGT" + "".join(rng.choice(_CODONS, 13)) + "TTC"


def chain(spec: str) -> dict[str, object]:
    """One chain from ``name:umis`` (default 8 UMIs); ``name`` may be ``mait`` or ``inkt``."""
    name, _, umis = spec.partition(":")
    locus = "TRA" if name in SPECIAL else LOCI[name[0]]
    v, j, c = GENES[locus]
    if name in SPECIAL:
        v, j = SPECIAL[name]
    return {"locus": locus, "junction": junction(name), "v_call": v, "j_call": j, "c_call": c,
            "umi_count": int(umis or 8), "consensus_count": 200 * int(umis or 8), "productive": True}


def records(cells: Sequence[str]) -> pd.DataFrame:
    """Records of cells, each written as its chains separated by blanks (empty: a cell without receptor)."""
    rows = [{"cell": i} | chain(spec) for i, text in enumerate(cells) for spec in text.split()]
    return pd.DataFrame(rows, columns=["cell", "locus", "junction", "v_call", "j_call", "c_call", "umi_count",
                                       "consensus_count", "productive"])


def run(cells: Sequence[str], *, samples: Sequence[int] | None = None, patient: str = "P",
        frame: pd.DataFrame | None = None) -> PatientClones:
    """Clones of hand-written cells, all of one sample unless said otherwise."""
    sample = np.zeros(len(cells), np.int64) if samples is None else np.asarray(samples, np.int64)
    table = chain_table(records(cells) if frame is None else frame)
    return patient_clones(table, patient=patient, sample=sample, n_samples=int(sample.max(initial=0)) + 1)


def background(n: int, *, start: int = 1000) -> list[str]:
    """Clones of one cell each, so that a sample has the usual company."""
    return [f"b{start + i} a{start + i}" for i in range(n)]


def airr_data(cells: Sequence[str], obs: dict[str, Sequence[str]] | None = None):  # type: ignore[no-untyped-def]
    """AnnData with scirpy's AIRR array of hand-written cells."""
    import scirpy as ir

    made = []
    for i, text in enumerate(cells):
        cell = ir.io.AirrCell(f"cell{i:05d}")
        for spec in text.split():
            one = ir.io.AirrCell.empty_chain_dict()
            one.update(chain(spec) | {"junction_aa": "CASSF"})
            cell.add_chain(one)
        made.append(cell)
    data = ir.io.from_airr_cells(made)
    for name, values in (obs or {}).items():
        data.obs[name] = list(values)
    return data
