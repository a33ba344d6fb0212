"""``mode="scirpy"``: the partition of `scirpy.tl.define_clonotypes`, from its definition, in linear time.

scirpy joins two cells where a matrix of receptor configurations has an entry and takes connected components. Here
every condition for an entry becomes a *token* that the two cells share (a chain, a pair of chains), and cells and
tokens are joined by union-find: the same components, without the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from .. import _schema
from .._errors import InputError
from ..kernels.components import components
from .flat import Words, cells, flags, numbers, words
from .ids import alike
from .other import KINDS, kind_names

ARMS = {"VJ": ("TRA", "TRG", "IGK", "IGL"), "VDJ": ("TRB", "TRD", "IGH")}
RANKED_BY = ("umi_count", "duplicate_count", "consensus_count")
T_LOCI = ("TRA", "TRB", "TRG", "TRD")
CALLS = ("junction", "junction_aa", "v_call", "j_call", "c_call")


@dataclass(frozen=True)
class _Receptors:
    """Chains of an AIRR array that scirpy would index.

    Attributes
    ----------
    columns
        The columns of `CALLS`, per chain.
    first
        int64 (cells, 4): chain of VJ_1, VJ_2, VDJ_1, VDJ_2, -1 none.
    receptor_type
        int64 (cells,): 0 no receptor, 1 T, 2 B, 3 ambiguous, 4 more than two chains of an arm.
    kinds
        ``receptor_kind`` per cell.
    """

    columns: dict[str, Words]
    first: np.ndarray
    receptor_type: np.ndarray
    kinds: np.ndarray


def scirpy_clones(airr: Any, *, airr_key: str, receptor_arms: str, dual_ir: str,
                  patient: np.ndarray) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
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
        Patient of every cell; scirpy does not keep patients apart, so neither does this mode.

    Returns
    -------
    Columns per cell, and the table ``receptors`` (one row per patient and clonotype). The ids are scirpy's: numbers in
    the order of the first cells.

    Raises
    ------
    InputError
        An unknown option, or a cell whose second chain has a junction while its first has none.

    Notes
    -----
    Sturm et al. 2020; `index_chains`, `chain_qc`, `ir_dist` (identity, nucleotides) and `define_clonotypes` of scirpy
    0.22 to 0.25 with their defaults.
    """
    if receptor_arms not in ("VJ", "VDJ", "all", "any"):
        raise InputError("receptor_arms", f"found {receptor_arms!r}", "use VJ, VDJ, all or any")
    if dual_ir not in ("primary_only", "any", "all"):
        raise InputError("dual_ir", f"found {dual_ir!r}", "use primary_only, any or all")
    found = _receptors(airr.obsm[airr_key])
    label = partition(found.columns["junction"].codes, found.first, found.receptor_type, receptor_arms, dual_ir)
    names = np.append(np.arange(label.max(initial=-1) + 1).astype(str).astype(object), "")
    has = label >= 0
    frame = pd.DataFrame({
        "clone_id": names[label], "clone_posterior": np.nan,
        "clone_status": np.where(has, "assigned", "no_receptor").astype(object), "clone_id_2": "",
        "has_trb": _at(found.columns["junction"].codes, found.first[:, 2]) >= 0, "receptor_kind": found.kinds})
    return frame, {"receptors": _table(found, label, names, patient, np.asarray(airr.obs_names))}


def _at(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values of the rows, -1 for a row of -1."""
    return np.append(values, -1)[rows]


# --- scirpy's receptor model ------------------------------------------------------------------------------------------
def _receptors(airr: Any) -> _Receptors:
    columns, locus, cell = {name: words(airr, name) for name in CALLS}, words(airr, "locus"), cells(airr)
    kept = flags(airr, "productive", missing=False) & (columns["junction_aa"].codes >= 0)
    first, many = np.full((len(airr), 4), -1, np.int64), np.zeros(len(airr), bool)
    for arm, loci in enumerate(ARMS.values()):
        rows = np.flatnonzero(kept & np.append(np.isin(locus.texts, loci), False)[locus.codes])
        rows = rows[_order(airr, rows, cell, columns)]
        rank = _rank(cell[rows])
        many[cell[rows[rank > 1]]] = True
        for k in (0, 1):
            first[cell[rows[rank == k]], 2 * arm + k] = rows[rank == k]
    long_enough = np.append(np.fromiter(map(len, columns["junction"].texts), np.int64) >= 6, False)
    shown = flags(airr, "productive", missing=True) & long_enough[columns["junction"].codes]
    return _Receptors(columns, first, _types(first, many, locus), _kinds(locus, cell, shown, len(airr)))


def _order(airr: Any, rows: np.ndarray, cell: np.ndarray, columns: dict[str, Words]) -> np.ndarray:
    """Order of chains by cell, falling expression, then falling junctions, as `scirpy.pp.index_chains` ranks them."""
    out, several = np.arange(rows.size), np.flatnonzero(alike(cell[rows]))  # chains come cell by cell
    rows = rows[several]
    keys = [cell[rows], *(-numbers(airr, name)[rows] for name in RANKED_BY)]
    order = np.lexsort(keys[::-1])
    ties = np.ones(max(0, rows.size - 1), bool)
    for key in keys:
        ties &= key[order[1:]] == key[order[:-1]]
    if ties.any():
        tied = order[np.append(ties, False) | np.append(False, ties)]
        for name in ("junction", "junction_aa"):
            rank = np.zeros(rows.size, np.int64)
            rank[tied] = -np.unique(columns[name].take(rows[tied]).astype(str), return_inverse=True)[1]
            keys.append(rank)
        order = np.lexsort(keys[::-1])
    out[several] = several[order]
    return out


def _rank(group: np.ndarray) -> np.ndarray:
    """Position of every row in its group; groups come one by one."""
    starts = np.flatnonzero(np.diff(group, prepend=-1) != 0)
    return np.arange(group.size) - np.repeat(starts, np.diff(np.append(starts, group.size)))


def _types(first: np.ndarray, many: np.ndarray, locus: Words) -> np.ndarray:
    is_t = np.append(np.isin(locus.texts, T_LOCI), False)
    codes = _at(locus.codes, first)
    has = first >= 0
    t, b = (has & is_t[codes]).any(axis=1), (has & ~is_t[codes]).any(axis=1)
    return np.select([~has.any(axis=1), many, t & b, t], [0, 4, 3, 1], 2)


def _kinds(locus: Words, cell: np.ndarray, shown: np.ndarray, n: int) -> np.ndarray:
    bits = np.zeros((len(KINDS), n), bool)
    for row, loci in enumerate(KINDS.values()):
        bits[row, cell[shown & np.append(np.isin(locus.texts, loci), False)[locus.codes]]] = True
    return kind_names(bits)


# --- the partition ----------------------------------------------------------------------------------------------------
def partition(junction: np.ndarray, first: np.ndarray, receptor_type: np.ndarray, receptor_arms: str,
              dual_ir: str) -> np.ndarray:
    """Clonotype of every cell.

    Parameters
    ----------
    junction
        Integer per chain: its junction, -1 missing.
    first
        int64 (n, 4): chains VJ_1, VJ_2, VDJ_1, VDJ_2 of every cell, -1 none.
    receptor_type
        int64 (n,): cells of different types never join.
    receptor_arms, dual_ir
        As in scirpy.

    Returns
    -------
    int64 (n,): numbered by the first cell, -1 without a receptor.
    """
    chains = _at(junction, first).astype(np.int64)
    if ((chains[:, 0] < 0) & (chains[:, 1] >= 0) | (chains[:, 2] < 0) & (chains[:, 3] >= 0)).any():
        raise InputError("receptors", "a cell's second chain has a nucleotide junction but its first has none",
                         "drop the chains without a junction, or use mode='posterior'")
    n_junctions = int(junction.max(initial=-1)) + 1
    arms = {"VJ": chains[:, :2], "VDJ": chains[:, 2:]}
    tokens = [_arm_tokens(arms[arm], dual_ir, n_junctions) for arm in
              (ARMS if receptor_arms in ("all", "any") else [receptor_arms])]
    if len(tokens) == 1 or receptor_arms == "any":
        groups = [(k, column) for k, arm in enumerate(tokens) for column in arm]
    else:
        groups = _both_arms(*tokens)
    return _joined([np.where(column >= 0, (column * 8 + receptor_type) * 4 + kind, -1) for kind, column in groups])


def _arm_tokens(chains: np.ndarray, dual_ir: str, n_junctions: int) -> list[np.ndarray]:
    """What two cells must share one of to match in an arm: int64 (n,) each, -1 none."""
    one, two = chains[:, 0], chains[:, 1]
    if dual_ir == "primary_only":
        return [one]
    if dual_ir == "any":
        return [one, two]
    low, high = np.minimum(one, two), np.maximum(one, two)  # the same number of chains, all of them matched
    return [np.where(one < 0, -1, np.where(two < 0, one, (low + 1) * (n_junctions + 1) + high))]


def _both_arms(vj: list[np.ndarray], vdj: list[np.ndarray]) -> list[tuple[int, np.ndarray]]:
    """Tokens of cells with both arms (pairs), and of those with one (kinds 1 and 2)."""
    has = vj[0] >= 0, vdj[0] >= 0
    left, right = _dense(np.concatenate(vj)), _dense(np.concatenate(vdj))
    n, width = vj[0].size, int(right.max(initial=-1)) + 1
    out = []
    for a, b in product(range(len(vj)), range(len(vdj))):
        x, y = left[a * n:(a + 1) * n], right[b * n:(b + 1) * n]
        out.append((0, np.where((x >= 0) & (y >= 0), x * width + y, -1)))
    out += [(1, np.where(has[1], -1, column)) for column in vj]
    return out + [(2, np.where(has[0], -1, column)) for column in vdj]


def _dense(values: np.ndarray) -> np.ndarray:
    """Ranks of values, -1 kept."""
    out = np.full(values.size, -1, np.int64)
    out[values >= 0] = np.unique(values[values >= 0], return_inverse=True)[1]
    return out


def _joined(columns: list[np.ndarray]) -> np.ndarray:
    """Connected components of cells that share a token, numbered by their first cell; -1 without a token."""
    n, nodes = columns[0].size, _dense(np.concatenate(columns))
    owners, kept = np.tile(np.arange(n), len(columns)), nodes >= 0
    label = components(n + int(nodes.max(initial=-1)) + 1, owners[kept], n + nodes[kept], device="cpu")[:n]
    has = np.zeros(n, bool)
    has[owners[kept]] = True
    out = np.full(n, -1, np.int64)
    leads = np.zeros(n, bool)  # the label of a component is its first cell
    leads[label[has]] = True
    out[has] = (np.cumsum(leads) - 1)[label[has]]
    return out


# --- the receptors table ----------------------------------------------------------------------------------------------
def _table(found: _Receptors, label: np.ndarray, names: np.ndarray, patient: np.ndarray,
           barcode: np.ndarray) -> pd.DataFrame:
    """Receptors of each clonotype: the chains of its first cell that shows both, in the order of the barcodes."""
    rows = np.flatnonzero(label >= 0)
    if rows.size == 0:
        return _schema.empty("receptors")
    of, patients = pd.factorize(patient, sort=True)
    junction = found.columns["junction"].codes
    vj, vdj = found.first[:, 0], found.first[:, 2]
    missing = (_at(junction, vj) < 0).astype(np.int64) + (_at(junction, vdj) < 0)
    group = np.unique(of[rows] * names.size + label[rows], return_inverse=True)[1]
    best = np.full(group.max() + 1, 2)
    np.minimum.at(best, group, missing[rows])
    lead = np.flatnonzero(missing[rows] == best[group])
    tied = lead[np.bincount(group[lead])[group[lead]] > 1]
    rank = np.zeros(rows.size, np.int64)
    rank[tied[np.argsort(barcode[rows[tied]].astype(str), kind="stable")]] = np.arange(tied.size)
    order = lead[np.lexsort((rank[lead], group[lead]))]
    first = rows[order[np.flatnonzero(np.diff(group[order], prepend=-1))]]
    return pd.DataFrame({
        "patient": np.asarray(patients, dtype=object)[of[first]], "clone_id": names[label[first]],
        **{f"trb_{short}": found.columns[name].take(vdj[first]) for short, name in
           (("junction", "junction"), ("junction_aa", "junction_aa"), ("v", "v_call"), ("j", "j_call"))},
        **{f"tra_{short}": found.columns[name].take(vj[first]) for short, name in
           (("junction", "junction"), ("v", "v_call"), ("j", "j_call"))},
        "trb_c": found.columns["c_call"].take(vdj[first]), "n_cells": np.bincount(group),
        "n_paired": np.bincount(group, missing[rows] == 0).astype(np.int64)})
