"""From a patient's chain table to clones with ids and the receptors table: arrays and frames only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .assign import THRESHOLD, Assignment, assign
from .chains import ChainList, identify
from .correct import correct
from .ids import clone_ids
from .markers import clone_markers
from .observed import canonical_order, observe
from .other import beside_b_cell, receptor_kind
from .rates import capture_by_sample

ANCHOR, PARTNER = "TRB", "TRA"
_MAIT_J = frozenset({"TRAJ33", "TRAJ12", "TRAJ20"})


@dataclass(frozen=True)
class PatientClones:
    """Result for one patient.

    Attributes
    ----------
    cells
        Columns clone_id, clone_posterior, clone_status, clone_id_2, has_trb, receptor_kind; one row per cell.
    receptors
        Columns of ``_schema.RECEPTORS``.
    rates
        One row per sample.
    aliases
        ``alias, clone_id, reason``.
    corrected
        One row per chain taken for a sequencing error: ``sample`` (number), ``child``, ``parent`` (junctions),
        ``umis, n_cells``.
    markers
        Non-productive rearrangements that mark a clone, see `markers.clone_markers`.
    """

    cells: pd.DataFrame
    receptors: pd.DataFrame
    rates: pd.DataFrame
    aliases: pd.DataFrame
    corrected: pd.DataFrame
    markers: pd.DataFrame


def patient_clones(table: pd.DataFrame, *, patient: str, sample: np.ndarray, n_samples: int,
                   group: np.ndarray | None = None, threshold: float = THRESHOLD) -> PatientClones:
    """Clones of one patient.

    Parameters
    ----------
    table
        `normalise.chain_table` with ``cell`` in ``0..n-1``.
    patient
        Patient id, first part of the clone ids.
    sample
        int64 (n): sample of every cell, in ``0..n_samples-1``; cells without any chain belong here too.
    n_samples
        Number of samples.
    group
        int64 (n): what the cell's expression says of it, without looking at its receptor: 0 unknown, 1 T cell,
        2 other, 3 myeloid or B cell. Droplets without a receptor of their own are as common as in their group.
    threshold
        Posterior from which a clone is named.
    """
    use = table["productive"].to_numpy(bool) & table["locus"].isin([ANCHOR, PARTNER]).to_numpy()
    chain, chains = identify(table[use].reset_index(drop=True))
    rows = table.loc[use, ["cell", "umis", "reads"]].assign(chain=chain, sample=sample[table.loc[use, "cell"]])
    rows = rows[rows["chain"] >= 0]
    rows, collapsed = correct(rows, chains)
    locus = (chains.frame["locus"] == PARTNER).to_numpy(np.int64)
    group = np.zeros(sample.size, np.int64) if group is None else group
    order = canonical_order(observe(rows, locus, sample, group))
    place = np.argsort(order)
    obs = observe(rows.assign(cell=place[rows["cell"]]), locus, sample[order], group[order])

    def beside(doublet: np.ndarray) -> np.ndarray:
        return beside_b_cell(table, sample, doublet)[order]

    found = assign(obs, n_chains=len(chains), n_samples=n_samples, invariant=invariant(chains), other_cell=beside,
                   threshold=threshold)
    ids, aliases = clone_ids(patient, found.clones, chains.frame)
    cells = _cell_columns(found, ids).iloc[place].reset_index(drop=True)
    kind = receptor_kind(table, sample.size)
    return PatientClones(cells.assign(receptor_kind=kind), _receptors(patient, found, ids, chains),
                         _rates(found, obs.sample, np.diff(obs.ptr) > 0, obs, n_samples),
                         pd.concat([aliases, _child_aliases(patient, found, ids, chains, collapsed)],
                                   ignore_index=True),
                         _corrected(collapsed, chains), clone_markers(table, _members(cells)))


def _members(cells: pd.DataFrame) -> np.ndarray:
    """Clone of every cell that counts in one."""
    return cells["clone_id"].where(cells["clone_status"] != "doublet", "").to_numpy(object)


def invariant(chains: ChainList) -> np.ndarray:
    """Whether each chain is an invariant alpha chain, shared by unrelated cells.

    MAIT: TRAV1-2 with TRAJ33, TRAJ12 or TRAJ20; iNKT: TRAV10 with TRAJ18.
    """
    v, j = chains.frame["v_gene"], chains.frame["j_gene"]
    mait = (v == "TRAV1-2") & j.isin(_MAIT_J)
    return np.asarray((chains.frame["locus"] == PARTNER) & (mait | ((v == "TRAV10") & (j == "TRAJ18"))), dtype=bool)


def _cell_columns(found: Assignment, ids: np.ndarray) -> pd.DataFrame:
    names = np.append(ids, "")
    return pd.DataFrame({"clone_id": names[found.cells["clone"]], "clone_posterior": found.cells["posterior"],
                         "clone_status": found.cells["status"], "clone_id_2": names[found.cells["clone_2"]],
                         "has_trb": found.cells["has_anchor"]})


def _receptors(patient: str, found: Assignment, ids: np.ndarray, chains: ChainList) -> pd.DataFrame:
    clones, frame = found.clones, chains.frame

    def text(column: str, rows: np.ndarray) -> np.ndarray:
        return np.append(frame[column].to_numpy(object), "")[rows]

    anchor = clones["anchor"].to_numpy()
    one, two = clones["partner_1"].to_numpy(), clones["partner_2"].to_numpy()
    mates = {column: [";".join(x for x in pair if x) for pair in zip(text(column, one), text(column, two), strict=True)]
             for column in ("junction", "v_gene", "j_gene")}
    return _one_row_per_id(pd.DataFrame({
        "patient": patient, "clone_id": ids, "trb_junction": text("junction", anchor),
        "trb_junction_aa": text("junction_aa", anchor), "trb_v": text("v_gene", anchor),
        "trb_j": text("j_gene", anchor), "tra_junction": mates["junction"], "tra_v": mates["v_gene"],
        "tra_j": mates["j_gene"], "trb_c": text("c_gene", anchor), "n_cells": clones["n_cells"].to_numpy(),
        "n_paired": clones["n_paired"].to_numpy()}))


def _one_row_per_id(frame: pd.DataFrame) -> pd.DataFrame:
    """Nuclei that turned out to be one clone (same anchor, same partner) share an id: one row, sizes added."""
    sizes = frame.groupby("clone_id", sort=False)[["n_cells", "n_paired"]].sum()
    first = frame.sort_values("n_cells", ascending=False, kind="stable").drop_duplicates("clone_id")
    first = first.loc[first.index.sort_values()].set_index("clone_id", drop=False)
    return first.assign(n_cells=sizes["n_cells"], n_paired=sizes["n_paired"]).reset_index(drop=True)


def _rates(found: Assignment, sample: np.ndarray, has: np.ndarray, obs, n_samples: int) -> pd.DataFrame:  # type: ignore[no-untyped-def]
    rates, cell = found.fit.rates, obs.cell
    capture = capture_by_sample(rates, obs)
    with_locus = [np.bincount(sample[np.unique(cell[obs.locus == k])], minlength=n_samples) for k in (0, 1)]
    foreign = np.bincount(sample[cell], 1 - found.fit.post.own, minlength=n_samples)
    entries = np.bincount(sample[cell], minlength=n_samples)
    return pd.DataFrame({
        "sample": np.arange(n_samples), "capture_trb": capture[:, 0], "capture_tra": capture[:, 1],
        "ambient_share": foreign / np.maximum(entries, 1), "doublet_share": rates.doublet,
        "n_cells": np.bincount(sample, minlength=n_samples), "n_with_trb": with_locus[0], "n_with_tra": with_locus[1]})


def _corrected(collapsed: pd.DataFrame, chains: ChainList) -> pd.DataFrame:
    junction = chains.frame["junction"].to_numpy(object)
    out = collapsed.copy()
    for name in ("child", "parent"):
        out[name] = junction[collapsed[name].to_numpy(np.int64)] if len(collapsed) else np.zeros(0, object)
    return out


def _child_aliases(patient: str, found: Assignment, ids: np.ndarray, chains: ChainList,
                   collapsed: pd.DataFrame) -> pd.DataFrame:
    """Ids that a collapsed anchor would have had on its own."""
    from .ids import chain_hash

    of = dict(zip(found.clones["anchor"], ids, strict=True))
    frame, known = chains.frame, set(ids)
    rows = set()
    for child, parent in zip(collapsed["child"], collapsed["parent"], strict=True):
        key = frame.iloc[child]
        alias = f"{patient}:{chain_hash(key['core'], key['v_gene'], key['j_gene'])}"
        if parent in of and alias not in known:
            rows.add((alias, of[parent], "sequencing_error"))
    return pd.DataFrame(sorted(rows), columns=["alias", "clone_id", "reason"], dtype=object)
