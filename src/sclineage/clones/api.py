"""Clones of an AnnData or MuData: takes it apart, calls the array functions beside it, writes the results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from mudata import MuData
from scipy import sparse

from .. import _schema
from .._errors import InputError
from ..cells.subsets import MARKERS, subsets
from ..patient import access
from ..patient.access import Data
from .airr import records
from .assign import THRESHOLD
from .barcodes import HOMOPLASY, barcode_clones
from .flat import Words
from .focus import parse_focus
from .levels import nesting
from .normalise import chain_table
from .patient import patient_clones
from .why import why

__all__ = ["clones", "informative", "lineage_barcodes", "nesting", "parse_focus", "why"]

COLUMNS = ("clone_id", "clone_posterior", "clone_status", "clone_id_2", "has_trb", "receptor_kind")
NOT_MEMBERS = ("doublet", "ambiguous")
TABLES = ("receptors", "receptor_rates", "clone_aliases", "corrected_chains", "clone_markers")


def clones(mdata: Data, *, mode: Literal["posterior", "scirpy"] = "posterior", patient_key: str = "patient",
           sample_key: str = "sample", key_added: str = "clone_id", airr_mod: str = "airr", airr_key: str = "airr",
           threshold: float = THRESHOLD, receptor_arms: str = "all", dual_ir: str = "any") -> None:
    """Assign cells to clones by their T-cell receptors, within each patient.

    Parameters
    ----------
    mdata
        MuData with a modality `airr_mod`, or AnnData with ``obsm[airr_key]``, in scirpy's AIRR format.
    mode
        ``posterior``: anchor and attach, every cell with a posterior (see below). ``scirpy``: the partition of
        `scirpy.tl.define_clonotypes`, without posterior, over all cells of the object as scirpy does it.
    patient_key, sample_key
        obs columns; without them all cells are one patient, one sample. Patients never share a clone.
    key_added
        Column of the clone ids; the other columns keep their names (see Returns).
    airr_mod, airr_key
        Modality and ``obsm`` key of the receptors, as in scirpy.
    threshold
        Posterior from which a clone is named.
    receptor_arms, dual_ir
        Arguments of `scirpy.tl.define_clonotypes` for ``mode="scirpy"``.

    Returns
    -------
    Nothing. Written to ``mdata["airr"].obs[name]`` and ``mdata.obs["airr:" + name]`` (of an AnnData: ``obs[name]``):
    ``clone_id`` (``<patient>:<hash>``, empty without a clone), ``clone_posterior`` (float64, NaN without a statement),
    ``clone_status`` (``_schema.CLONE_STATUSES``; empty for cells of samples without V(D)J data), ``clone_id_2``
    (second clone of a doublet, likeliest clone of an ambiguous cell), ``has_trb`` (bool: a TRB that is not ambient),
    ``receptor_kind`` (``alpha_beta``, ``gamma_delta``, ``B_cell``, joined by ``+``). The table ``receptors``, and in
    ``uns["sclineage"]`` the frames ``receptor_rates`` (per sample), ``clone_aliases``, ``corrected_chains`` and
    ``clone_markers`` (non-productive rearrangements that mark a clone; none where contigs were filtered).

    Raises
    ------
    InputError
        There is no such modality or receptor array.

    Notes
    -----
    A clone is nucleated by its TRB (junction nucleotides, V, J); TRA chains attach to it. Every cell is weighed
    between the clones that its chains lead to, a clone of its own, two cells, and ambient chains, with capture,
    ambient and doublet rates estimated per sample; with a modality ``gex`` the share of droplets without a receptor of
    their own, and the capture, are estimated apart for T cells, myeloid and B cells, and others. A cell is named only
    at `threshold`; cells without TRB attach (``attached_dropout``) from 0.99, when one clone alone explains them, never
    by an invariant alpha chain. ``assigned``
    and its kin give P(a cell of the clone is in the droplet); ``doublet`` gives P(it is these two); ``ambiguous``
    gives P(it is a single cell of ``clone_id_2``). Gamma-delta and B-cell chains name no clone; a T cell with the
    chains of a B cell is a doublet with an empty second clone. See `sclineage.clones.posterior`.
    """
    if mode not in ("posterior", "scirpy"):
        raise InputError("mode", f"found {mode!r}", "use 'posterior' or 'scirpy'")
    airr = _receptors_of(mdata, airr_mod, airr_key)
    if mode == "scirpy":
        from .compat import scirpy_clones

        result = scirpy_clones(airr, airr_key=airr_key, receptor_arms=receptor_arms, dual_ir=dual_ir,
                               patient=_labels(mdata, airr, airr.obs_names, patient_key, "patient"))
    else:
        result = _posterior_clones(airr, _cells(mdata, airr, patient_key, sample_key), airr_key, threshold)
    cells, tables = result
    cells.columns = [key_added if name == "clone_id" else name for name in cells.columns]
    _write(mdata, airr, cells, airr_mod, sample_key)
    access.put_table(mdata, "receptors", tables.pop("receptors"))
    access.store(mdata).update(tables)
    access.put_params(mdata, "clones", {"mode": mode, "threshold": threshold, "patient_key": patient_key,
                                        "sample_key": sample_key, "key_added": key_added,
                                        **({"receptor_arms": receptor_arms, "dual_ir": dual_ir}
                                           if mode == "scirpy" else {})})


def lineage_barcodes(mdata: Data, *, patient_key: str = "patient", sample_key: str = "sample",
                     lineage_mod: str = "lineage", key_added: str = "clone_barcode", homoplasy: float = HOMOPLASY,
                     threshold: float = THRESHOLD) -> None:
    """Assign cells to clones by lineage barcodes (LARRY, CellTag), with the model of the receptors.

    Parameters
    ----------
    mdata
        MuData with a modality `lineage_mod`, or AnnData: cells x barcodes, X whole numbers, the UMIs of each barcode.
        Where X holds only 0 and 1, UMIs are taken as unknown.
    patient_key, sample_key
        obs columns; without them all cells are one patient (animal), one sample.
    lineage_mod
        Modality of the barcodes.
    key_added
        Column of the clone ids and first part of the other columns' names.
    homoplasy
        P(two founders drew the same barcode): one over the number of barcodes of the library.
    threshold
        Posterior from which a clone is named.

    Returns
    -------
    Nothing. Written to obs of the modality, and to ``mdata.obs`` under its prefix: ``clone_barcode`` (empty without a
    clone), ``clone_barcode_posterior``, ``clone_barcode_status`` (as ``clone_status``) and ``clone_barcode_2``. A level
    of lineage of its own beside ``clone_id``: `nesting` says how the two lie within each other.

    Raises
    ------
    InputError
        There is no such modality, or X holds no counts.
    """
    if isinstance(mdata, MuData) and lineage_mod not in mdata.mod:
        raise InputError("mdata", f"no modality {lineage_mod!r} (found {', '.join(mdata.mod) or 'none'})",
                         "add the cell x barcode counts as a modality, or name it with lineage_mod=")
    data = mdata.mod[lineage_mod] if isinstance(mdata, MuData) else mdata
    counts = sparse.csr_matrix(data.X).tocoo()
    if not access.is_counts(counts.data):
        raise InputError(lineage_mod, "X is no whole numbers", "give the UMIs of each barcode in each cell")
    umis = counts.data.astype(np.int64)
    rows = pd.DataFrame({"cell": counts.row.astype(np.int64), "chain": counts.col.astype(np.int64),
                         "umis": umis if umis.max(initial=0) > 1 else np.zeros_like(umis)})[umis > 0]
    patients, samples = (_labels(mdata, data, data.obs_names, k, d)
                         for k, d in ((patient_key, "patient"), (sample_key, "sample")))
    parts = [_barcodes_of(rows, data, np.flatnonzero(patients.codes == p), patients.texts[p], samples, homoplasy,
                          threshold) for p in np.unique(patients.codes)]
    cells = pd.concat(parts).sort_index() if parts else pd.DataFrame(columns=["", "_posterior", "_status", "_2"])
    for name in cells.columns:
        data.obs[key_added + name] = cells[name].to_numpy()
        if isinstance(mdata, MuData):
            values = pd.Series(cells[name].to_numpy(), index=data.obs_names).reindex(mdata.obs_names)
            mdata.obs[f"{lineage_mod}:{key_added}{name}"] = values if name == "_posterior" else values.fillna("")


def _barcodes_of(rows: pd.DataFrame, data: Any, members: np.ndarray, patient: str, samples: Words,
                 homoplasy: float, threshold: float) -> pd.DataFrame:
    """Columns of one patient's cells, indexed by row of the modality."""
    local = np.full(data.n_obs, -1, np.int64)
    local[members] = np.arange(members.size)
    mine = rows[local[rows["cell"].to_numpy()] >= 0]
    names, sample = np.unique(samples.codes[members], return_inverse=True)
    found = barcode_clones(mine.assign(cell=local[mine["cell"].to_numpy()]), data.var_names.to_numpy(object),
                           patient=patient, sample=sample.astype(np.int64), n_samples=names.size,
                           homoplasy=homoplasy, threshold=threshold)
    ids = np.append(found.clones["clone_id"].to_numpy(object), "")
    return pd.DataFrame({"": ids[found.cells["clone"]], "_posterior": found.cells["posterior"].to_numpy(),
                         "_status": found.cells["status"].to_numpy(), "_2": ids[found.cells["clone_2"]]}, index=members)


def informative(statuses: np.ndarray, has_trb: np.ndarray) -> np.ndarray:
    """Cells that count in the denominator of clone frequencies: neither doublet nor ambiguous, with a usable TRB.

    The one definition of *informative*: `sl.tl.timeline` counts by it. A cell that no clone can be named for might
    be of the one that is looked for without counting as such, so it must not lower the limit of detection.

    Parameters
    ----------
    statuses
        ``clone_status`` per cell.
    has_trb
        ``has_trb`` per cell (missing values count as False).
    """
    usable = pd.Series(has_trb).astype("boolean").fillna(value=False).to_numpy(bool)
    return usable & ~np.isin(np.asarray(statuses, dtype=object), NOT_MEMBERS)


def _receptors_of(mdata: Data, airr_mod: str, airr_key: str) -> Any:
    """The AnnData that holds the receptors."""
    if isinstance(mdata, MuData):
        if airr_mod not in mdata.mod:
            raise InputError("mdata", f"no modality {airr_mod!r} (found {', '.join(mdata.mod) or 'none'})",
                             "read V(D)J data with sl.io.read_patient, or name it with airr_mod=")
        airr = mdata.mod[airr_mod]
    else:
        airr = mdata
    if airr_key not in airr.obsm:
        raise InputError(airr_mod, f"no obsm[{airr_key!r}]",
                         "read V(D)J data with scirpy.io.read_10x_vdj or sl.io.read_patient, or give airr_key=")
    return airr


@dataclass(frozen=True)
class _Cells:
    """Cells the assignment sees: those of the receptor modality, then others of the same samples, without receptor.

    The latter tell how many droplets hold no receptor of their own.
    """

    names: pd.Index
    patient: Words
    sample: Words
    group: np.ndarray


def _labels(mdata: Data, airr: Any, names: pd.Index, key: str, default: str) -> Words:
    """Column `key` of the named cells, from the receptor modality first; in the order of the alphabet."""
    homes = [airr.obs[key]] if key in airr.obs else []
    if isinstance(mdata, MuData) and access.has_column(mdata, key):
        homes.append(access.column(mdata, key))
    if not homes:
        return Words(np.zeros(len(names), np.int64), np.array([default], dtype=object))
    out = homes[0].reindex(names)
    for other in homes[1:]:
        out = out.astype(object).where(out.notna(), other.astype(object).reindex(names))
    codes, found = pd.factorize(out)
    number, texts = pd.factorize(np.array([*map(str, found), default], dtype=object), sort=True)
    return Words(number[codes], texts)


def _assayed(mdata: Data, airr: Any, sample_key: str) -> np.ndarray:
    """Samples with cells in the receptor modality."""
    samples = _labels(mdata, airr, airr.obs_names, sample_key, "sample")
    return samples.texts[np.unique(samples.codes)]


def _cells(mdata: Data, airr: Any, patient_key: str, sample_key: str) -> _Cells:
    names = airr.obs_names
    if isinstance(mdata, MuData):
        rest = mdata.obs_names[~mdata.obs_names.isin(names)]
        samples = _labels(mdata, airr, rest, sample_key, "sample")
        names = names.append(rest[np.isin(samples.texts, _assayed(mdata, airr, sample_key))[samples.codes]])
    return _Cells(names, _labels(mdata, airr, names, patient_key, "patient"),
                  _labels(mdata, airr, names, sample_key, "sample"), _groups(mdata, names))


def _groups(mdata: Data, names: pd.Index) -> np.ndarray:
    """What expression says of each cell, blind to its receptor: see `patient_clones`."""
    found = access.counts_matrix(mdata) if isinstance(mdata, MuData) and "gex" in mdata.mod else None
    if found is None:
        return np.zeros(len(names), np.int64)
    gex, counts = found
    umi = {name: np.asarray(counts[:, np.flatnonzero(gex.var_names.isin(genes))].sum(axis=1)).ravel().astype(np.int64)
           for name, genes in MARKERS.items()}
    if not umi["t"].any():
        return np.zeros(len(names), np.int64)
    subset = subsets(umi, receptor=np.zeros(gex.n_obs, bool), car=np.zeros(gex.n_obs, np.int64))
    kind = np.select([np.isin(subset, ("CD4_T", "CD8_T", "T")), np.isin(subset, ("myeloid", "B"))], [1, 3], default=2)
    rows = gex.obs_names.get_indexer(names)
    return np.where(rows >= 0, kind[rows], 0)


def _posterior_clones(airr: Any, cells: _Cells, airr_key: str,
                      threshold: float) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Columns per cell of the receptor modality, and tables, patient by patient."""
    table = chain_table(records(airr.obsm[airr_key]))
    parts: list[pd.DataFrame] = []
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for patient in np.unique(cells.patient.codes):
        rows = np.flatnonzero(cells.patient.codes == patient)
        local = np.full(cells.patient.codes.size, -1, np.int64)
        local[rows] = np.arange(rows.size)
        mine = table[local[table["cell"].to_numpy()] >= 0]
        mine = mine.assign(cell=local[mine["cell"].to_numpy()]).reset_index(drop=True)
        samples, sample = np.unique(cells.sample.codes[rows], return_inverse=True)
        names = cells.sample.texts[samples]
        found = patient_clones(mine, patient=cells.patient.texts[patient], sample=sample.astype(np.int64),
                               n_samples=names.size, group=cells.group[rows], threshold=threshold)
        parts.append(found.cells.set_index(rows))
        for name, frame in zip(TABLES, (found.receptors, found.rates, found.aliases, found.corrected,
                                              found.markers), strict=True):
            if "sample" in frame:
                frame = frame.assign(sample=names[frame["sample"].to_numpy(np.int64)].astype(object))
            frames[name].append(frame)
    if not parts:
        return pd.DataFrame({c: [] for c in COLUMNS}), {"receptors": _schema.empty("receptors")}
    return (pd.concat(parts).sort_index().iloc[:airr.n_obs],
            {name: pd.concat(frame, ignore_index=True) for name, frame in frames.items()})


def _write(mdata: Data, airr: Any, cells: pd.DataFrame, airr_mod: str, sample_key: str) -> None:
    """Columns into the receptor modality and, under its prefix, into the MuData."""
    for name in cells.columns:
        airr.obs[name] = pd.Series(cells[name].to_numpy(), index=airr.obs_names)
        if not isinstance(mdata, MuData):
            continue
        values = pd.Series(cells[name].to_numpy(), index=airr.obs_names).reindex(mdata.obs_names)
        if name == "has_trb":
            values = values.astype("boolean").fillna(value=False).astype(bool)
        elif name != "clone_posterior":
            absent = _absent(mdata, airr, sample_key) if name == "clone_status" else np.full(mdata.n_obs, "", object)
            values = values.astype(object).where(values.notna(), pd.Series(absent, index=mdata.obs_names))
        mdata.obs[f"{airr_mod}:{name}"] = values


def _absent(mdata: Data, airr: Any, sample_key: str) -> np.ndarray:
    """Status of cells outside the receptor modality: no_receptor, or empty where their sample has no V(D)J data."""
    sample = access.text(mdata, sample_key, default="sample")
    return np.where(np.isin(sample, _assayed(mdata, airr, sample_key)), "no_receptor", "").astype(object)
