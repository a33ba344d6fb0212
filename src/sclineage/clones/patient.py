"""From a patient's chain table to clones with ids and the receptors table: arrays and frames only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .assign import THRESHOLD, Fit, assign
from .chains import ChainList, identify, words_of
from .correct import correct
from .flat import Words
from .ids import alike, chain_heads, child_aliases, clone_ids
from .markers import clone_markers
from .observed import Observed, observe
from .observed_cells import per_sample
from .other import beside_b_cell, kind_names, kinds_shown
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
    loci, productive = words_of(table["locus"]), table["productive"].to_numpy(bool)
    shown = kinds_shown(table["cell"].to_numpy(), loci, productive, sample.size)
    rows, chains = _rows(table, productive & np.isin(loci.texts, (ANCHOR, PARTNER))[loci.codes], sample)
    rows["chain"], collapsed = correct(rows, chains.core, chains.kind)
    heads, chains = chain_heads(chains), chains.without_letters()
    obs, row = observe(rows, chains.coded("locus", {ANCHOR: 0, PARTNER: 1}), sample, group)
    del rows, loci

    def beside(doublet: np.ndarray) -> np.ndarray:
        return beside_b_cell(table, shown, sample, doublet)

    found = assign(obs, row, n_chains=len(chains), n_samples=n_samples, invariant=invariant(chains), other_cell=beside,
                   threshold=threshold)
    rates, calls, clones = _rates(found.fit, obs, n_samples), found.cells, found.clones
    del obs, row, found  # what the ids and tables need no more makes room for them
    ids, aliases = clone_ids(patient, clones, heads)
    cells = _cell_columns(calls, ids, kind_names(np.packbits(shown, axis=0, bitorder="little")[0]))
    del calls
    aliases = pd.concat([aliases, child_aliases(patient, clones, ids, heads, collapsed)], ignore_index=True)
    markers = clone_markers(table.iloc[:0] if productive.all() else table, _members(cells))
    return PatientClones(cells, _receptors(patient, clones, ids, chains), rates, aliases, _corrected(collapsed, chains),
                         markers)


def _rows(table: pd.DataFrame, use: np.ndarray, sample: np.ndarray) -> tuple[dict[str, np.ndarray], ChainList]:
    """Cell, chain, UMIs and sample of the table's rows in `use` that name a chain, and the chain list."""
    rows = slice(None) if use.all() else np.flatnonzero(use)
    chain, chains = identify(table if isinstance(rows, slice) else table.iloc[rows])
    cell, umis = (table[name].to_numpy(np.int64)[rows] for name in ("cell", "umis"))
    if (chain < 0).any():
        cell, umis, chain = cell[chain >= 0], umis[chain >= 0], chain[chain >= 0]
    return {"cell": cell, "chain": chain, "umis": umis, "sample": sample.astype(np.int32)[cell]}, chains


def _members(cells: pd.DataFrame) -> np.ndarray:
    """Clone of every cell that counts in one."""
    return np.where(cells["clone_status"] == "doublet", "", cells["clone_id"])


def invariant(chains: ChainList) -> np.ndarray:
    """Whether each chain is an invariant alpha chain, shared by unrelated cells.

    MAIT: TRAV1-2 with TRAJ33, TRAJ12 or TRAJ20; iNKT: TRAV10 with TRAJ18.
    """
    v, j = chains.columns["v_gene"], chains.columns["j_gene"]

    def named(column: Words, *genes: str) -> np.ndarray:
        return np.isin(column.texts, genes)[column.codes]

    return np.asarray((named(v, "TRAV1-2") & named(j, *_MAIT_J)) | (named(v, "TRAV10") & named(j, "TRAJ18")))


def _cell_columns(cells: pd.DataFrame, ids: np.ndarray, kinds: np.ndarray) -> pd.DataFrame:
    names = np.append(ids, "")
    return pd.DataFrame({"clone_id": names[cells["clone"]], "clone_posterior": cells["posterior"].to_numpy(),
                         "clone_status": cells["status"].to_numpy(), "clone_id_2": names[cells["clone_2"]],
                         "has_trb": cells["has_anchor"].to_numpy(), "receptor_kind": kinds}, copy=False)


def _receptors(patient: str, clones: pd.DataFrame, ids: np.ndarray, chains: ChainList) -> pd.DataFrame:
    def text(column: str, rows: np.ndarray) -> np.ndarray:
        return chains.columns[column].take(rows)

    rows, n_cells, n_paired = _one_row_per_id(clones, ids)
    anchor, one, two = (clones[name].to_numpy()[rows] for name in ("anchor", "partner_1", "partner_2"))
    mates = {column: text(column, one) for column in ("junction", "v_gene", "j_gene")}
    dual = np.flatnonzero(two >= 0)
    for column, texts in mates.items():
        texts[dual] = [";".join(filter(None, pair)) for pair in
                       zip(texts[dual], text(column, two[dual]), strict=True)]
    return pd.DataFrame({
        "patient": np.full(anchor.size, patient, dtype=object), "clone_id": ids[rows],
        "trb_junction": text("junction", anchor), "trb_junction_aa": text("junction_aa", anchor),
        "trb_v": text("v_gene", anchor), "trb_j": text("j_gene", anchor), "tra_junction": mates["junction"],
        "tra_v": mates["v_gene"], "tra_j": mates["j_gene"], "trb_c": text("c_gene", anchor), "n_cells": n_cells,
        "n_paired": n_paired}, copy=False)


def _one_row_per_id(clones: pd.DataFrame, ids: np.ndarray) -> tuple[np.ndarray | slice, np.ndarray, np.ndarray]:
    """Rows of the clones to list, and their cells and paired cells.

    Nuclei that turned out to be one clone (same anchor, same partner) share an id: their sizes add up, and the one with
    most cells is listed.
    """
    n_cells, n_paired = (clones[name].to_numpy() for name in ("n_cells", "n_paired"))
    sisters = np.flatnonzero(alike(clones["anchor"].to_numpy()))
    twice = sisters[pd.Series(ids[sisters]).duplicated(keep=False).to_numpy()]
    if twice.size == 0:
        return slice(None), n_cells, n_paired
    part = pd.DataFrame({"id": ids[twice], "n_cells": n_cells[twice], "n_paired": n_paired[twice]}, index=twice)
    sizes = part.groupby("id")[["n_cells", "n_paired"]].sum()
    first = part.sort_values("n_cells", ascending=False, kind="stable").drop_duplicates("id")
    n_cells, n_paired, listed = n_cells.copy(), n_paired.copy(), np.ones(ids.size, bool)
    n_cells[first.index], n_paired[first.index] = sizes.loc[first["id"]].to_numpy().T
    listed[part.index.difference(first.index)] = False
    return np.flatnonzero(listed), n_cells[listed], n_paired[listed]


def _rates(fit: Fit, obs: Observed, n_samples: int) -> pd.DataFrame:
    rates, capture = fit.rates, capture_by_sample(fit.rates, obs)
    foreign, entries, *counted = per_sample(obs.ptr, obs.locus, obs.sample, obs.n_cells, fit.own, n_samples)
    cells, with_trb, with_tra = (x.astype(np.int64) for x in counted)
    return pd.DataFrame({
        "sample": np.arange(n_samples), "capture_trb": capture[:, 0], "capture_tra": capture[:, 1],
        "ambient_share": foreign / np.maximum(entries, 1), "doublet_share": rates.doublet, "n_cells": cells,
        "n_with_trb": with_trb, "n_with_tra": with_tra})


def _corrected(collapsed: pd.DataFrame, chains: ChainList) -> pd.DataFrame:
    junction = chains.columns["junction"]
    return collapsed.assign(**{name: junction.take(collapsed[name].to_numpy(np.int64)) for name in ("child", "parent")})
