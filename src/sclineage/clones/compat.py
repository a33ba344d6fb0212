"""``mode="scirpy"``: the partition of `scirpy.tl.define_clonotypes`, from its definition, in linear time.

scirpy joins two cells where a matrix of receptor configurations has an entry and takes connected components. Here
every condition for an entry becomes a *token* that the two cells share (a chain, a pair of chains), and the tokens of
each cell are joined by union-find: the same components, without the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .. import _schema
from .._errors import InputError
from ..kernels.components import components
from . import compat_cells as cells_
from .flat import Chains, Spans, Words, apart, repeated
from .flat_cells import number_keys
from .other import KINDS, kind_names

ARMS = {"VJ": ("TRA", "TRG", "IGK", "IGL"), "VDJ": ("TRB", "TRD", "IGH")}
RANKED_BY = ("umi_count", "duplicate_count", "consensus_count")
T_LOCI = ("TRA", "TRB", "TRG", "TRD")
SHORTEST = 6  # nucleotides of a junction
CALLS = ("junction", "junction_aa", "v_call", "j_call", "c_call")
NEEDED = ("locus", "junction", "junction_aa", "productive")


@dataclass(frozen=True)
class _Receptors:
    """Chains of an AIRR array that scirpy would index.

    Attributes
    ----------
    columns
        The columns of `CALLS`, per chain.
    first
        int32 (cells, 4): chain of VJ_1, VJ_2, VDJ_1, VDJ_2, -1 none.
    named
        bool (cells, 4): whether it is there and has a junction.
    receptor_type
        uint8 (cells,): 0 no receptor, 1 T, 2 B, 3 ambiguous, 4 more than two chains of an arm.
    kinds
        ``receptor_kind`` per cell.
    """

    columns: dict[str, Spans]
    first: np.ndarray
    named: np.ndarray
    receptor_type: np.ndarray
    kinds: np.ndarray


def scirpy_clones(airr: Any, *, airr_key: str, receptor_arms: str, dual_ir: str,
                  patient: Words) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Clonotypes by nucleotide identity as scirpy defines them.

    Parameters
    ----------
    airr
        AnnData with the receptors; it is not changed.
    airr_key
        Key of the AIRR array in ``obsm``.
    receptor_arms, dual_ir
        As in `scirpy.tl.define_clonotypes`.
    patient
        Patient of every cell, in the order of the alphabet; scirpy does not keep patients apart, so neither does this
        mode.

    Returns
    -------
    Columns per cell, and the table ``receptors`` (one row per patient and clonotype). The ids are scirpy's: numbers in
    the order of the first cells.

    Raises
    ------
    InputError
        An unknown option, a column without which no chain counts (`NEEDED`), or a cell whose second chain has a
        junction while its first has none.

    Notes
    -----
    Sturm et al. 2020; `index_chains`, `chain_qc`, `ir_dist` (identity, nucleotides) and `define_clonotypes` of scirpy
    0.22 to 0.25 with their defaults.
    """
    if receptor_arms not in ("VJ", "VDJ", "all", "any"):
        raise InputError("receptor_arms", f"found {receptor_arms!r}", "use VJ, VDJ, all or any")
    if dual_ir not in ("primary_only", "any", "all"):
        raise InputError("dual_ir", f"found {dual_ir!r}", "use primary_only, any or all")
    chains = Chains(airr.obsm[airr_key])
    absent = [name for name in NEEDED if name not in chains.names]
    if absent and len(chains):
        raise InputError("receptors", f"chains have no column {', '.join(absent)}",
                         "add it, or use mode='posterior', which needs nucleotide junctions alone", place=airr_key)
    found = _receptors(chains)
    if (~found.named[:, (0, 2)] & found.named[:, (1, 3)]).any():
        raise InputError("receptors", "a cell's second chain has a nucleotide junction but its first has none",
                         "drop the chains without a junction, or use mode='posterior'")
    label = partition(found.columns["junction"], found.first, found.receptor_type, receptor_arms, dual_ir)
    ids = np.append(apart(cells_.decimals(label.max(initial=-1) + 1)), np.array([""], dtype=object))
    frame = pd.DataFrame({
        "clone_id": ids[label], "clone_posterior": np.full(label.size, np.nan),
        "clone_status": np.array(["no_receptor", "assigned"], dtype=object)[(label >= 0).view(np.uint8)],
        "clone_id_2": repeated("", label.size),
        "has_trb": found.named[:, 2], "receptor_kind": found.kinds}, copy=False)
    return frame, {"receptors": _table(found, label, ids, patient, airr.obs_names.to_numpy(object))}


# --- scirpy's receptor model ------------------------------------------------------------------------------------------
def _receptors(chains: Chains) -> _Receptors:
    columns, locus = {name: chains.spans(name) for name in CALLS}, chains.spans("locus").words()
    junction, aa = columns["junction"], columns["junction_aa"]
    names = [name for name in RANKED_BY if name in chains.names]
    ranked = np.array([chains.numbers(name) for name in names]).reshape(len(names), len(chains))
    ranked[np.isnan(ranked)] = -np.inf
    kept = chains.flags("productive", missing=False) & aa.present()
    shown = chains.flags("productive", missing=True) & (junction.end - junction.start >= SHORTEST)
    groups = (*ARMS.values(), T_LOCI, *KINDS.values())  # bits of a chain, lowest first
    bits = np.array([sum((text in loci) << bit for bit, loci in enumerate(groups)) for text in [*locus.texts, ""]],
                    np.uint8)[locus.codes]
    first, named, receptor_type, kinds = cells_.index_chains(chains.ptr, bits, kept, shown, ranked, junction, aa)
    return _Receptors(columns, first, named, receptor_type, kind_names(kinds))


# --- the partition ----------------------------------------------------------------------------------------------------
def partition(junction: Spans, first: np.ndarray, receptor_type: np.ndarray, receptor_arms: str,
              dual_ir: str) -> np.ndarray:
    """Clonotype of every cell.

    Parameters
    ----------
    junction
        The chains' junctions.
    first
        int32 (n, 4): chains VJ_1, VJ_2, VDJ_1, VDJ_2 of every cell, -1 none.
    receptor_type
        uint8 (n,): cells of different types never join.
    receptor_arms, dual_ir
        As in scirpy.

    Returns
    -------
    int64 (n,): numbered by the first cell, -1 without a receptor.
    """
    arms = [_shared(junction, first[:, at:at + 2] if receptor_arms in (arm, "all", "any") else first[:, :0], dual_ir)
            for arm, at in (("VJ", 0), ("VDJ", 2))]
    owner, token = cells_.tokens(arms[0], arms[1], receptor_type, receptor_arms == "all")
    code, firsts = number_keys(token)
    next_too = np.flatnonzero(owner[1:] == owner[:-1])  # tokens of one cell follow each other
    root = components(firsts.size, code[next_too], code[next_too + 1], device="cpu")
    number = np.cumsum(root == np.arange(root.size)) - 1
    label = np.full(len(first), -1, np.int64)
    label[owner] = number[root[code]]  # tokens, and so their components, are numbered in the order of the cells
    return label


def _shared(junction: Spans, rows: np.ndarray, dual_ir: str) -> np.ndarray:
    """What two cells must share one of to match in an arm, given its chains: int32 (n, 0 to 2), -1 none."""
    rows = rows[:, :1] if dual_ir == "primary_only" else rows
    chains = junction.take(rows.ravel()).number()[0].reshape(rows.shape)
    if dual_ir != "all" or not rows.size:
        return chains
    low, high = np.sort(chains, axis=1).T.astype(np.int64)  # the same number of chains, all of them matched
    pair = number_keys(low << 32 | high & 0xFFFFFFFF)[0]
    return np.where(chains[:, :1] < 0, np.int32(-1), pair[:, None])


# --- the receptors table ----------------------------------------------------------------------------------------------
def _table(found: _Receptors, label: np.ndarray, ids: np.ndarray, patient: Words,
           barcode: np.ndarray) -> pd.DataFrame:
    """Receptors of each clonotype: the chains of its first cell that shows both, in the order of the barcodes."""
    rows = np.flatnonzero(label >= 0)
    if rows.size == 0:
        return _schema.empty("receptors")
    of, label = patient.codes[rows], label[rows]
    group, firsts = number_keys(of * ids.size + label)
    order = np.lexsort((*_alphabet(label[firsts]), of[firsts]))
    group, firsts = np.argsort(order).astype(np.int32)[group], firsts[order]
    arms = found.first[rows, 0], found.first[rows, 2]
    paired = (found.named[:, 0] & found.named[:, 2])[rows]
    lead = cells_.leads(group, firsts.size, paired, *Spans.of(barcode[rows].tolist()))

    def text(name: str, arm: int) -> np.ndarray:
        shown = found.columns[name].take(arms[arm][lead])
        return shown.texts() if name.startswith("junction") else shown.words().take_all()  # most are of one clone

    return pd.DataFrame({
        "patient": patient.texts[of[firsts]], "clone_id": ids[label[firsts]],
        "trb_junction": text("junction", 1), "trb_junction_aa": text("junction_aa", 1), "trb_v": text("v_call", 1),
        "trb_j": text("j_call", 1), "tra_junction": text("junction", 0), "tra_v": text("v_call", 0),
        "tra_j": text("j_call", 0), "trb_c": text("c_call", 1), "n_cells": np.bincount(group),
        "n_paired": np.bincount(group[paired], minlength=firsts.size)}, copy=False)


def _alphabet(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keys, the last one first, by which numbers stand in the order of their decimals as text."""
    powers = 10 ** np.arange(1, 19)
    digits = np.searchsorted(powers, numbers, side="right")
    return digits, numbers * powers[digits.max(initial=0) - digits]
