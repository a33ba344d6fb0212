"""Malignancy of the clones of one patient: takes the MuData apart, calls the array functions, writes the results."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _schema
from .._errors import InputError, nearest
from ..patient import access
from ..patient.drivers import bare, read_drivers
from ..patient.given import MISSING, Given, name_of
from . import calls as words
from . import cycling, phenotype, profile
from .copynumber_api import arm_table, clone_arms
from .fusion import PI_SURVEILLANCE, PI_SUSPECTED, Fused, clone_prior, fuse, line_table
from .table import Alleles, ArmTest, Cells, codes
from .userkey import Verdicts, cell_values, from_column, from_file

T_SUBSETS = ("CD4_T", "CD8_T", "T")
OTHER_SUBSETS = ("NK", "B", "myeloid", "other")
NOT_MEMBERS = ("doublet", "ambiguous")
RECEPTOR_CELLS = 50  # other cells with a receptor that make a background without those that have none


def malignancy(
    mdata: access.Data,
    *,
    malignant_key: Given | None = None,
    drivers: str | os.PathLike[str] | pd.DataFrame | None = None,
    prior: float | None = None,
    focus: Sequence[str] | None = None,
    gtf: str | os.PathLike[str] | None = None,
    classifier: Given | None = None,
    rng: int = 0,
) -> None:
    """Score every clone for malignancy and write posterior, call, and every line of evidence.

    The unit is the clone, pooled over samples; the null are the T cells around it. Lines: clone size, marker loss,
    cycling, virus, private driver mutations, copy number. Whether a clone carries the CAR is the question and never
    evidence.

    Parameters
    ----------
    mdata
        MuData (or AnnData) of one patient with ``clone_id`` (`sl.tl.clones`).
    malignant_key
        The user's own call: a column of ``obs``, or a CSV or frame of cells (``sample, barcode, malignant``) or clones
        (``clone_id`` or ``trb_junction``, ``malignant``). Replaces the posterior of what it lists.
    drivers
        Driver mutations (CSV or VCF); only those listed count. Needs modality ``alleles``: cells x sites,
        ``X`` driver reads, ``layers["dp"]`` all reads, ``var`` with chrom, pos, ref, alt and gene.
    prior
        Probability that the patient has a malignant T-cell clone. Default 0.5 when a sample's diagnosis is proven or
        suspected or its material is tumor, else 0.01.
    focus
        Clone ids that must be in the data.
    gtf
        GTF of the reference, for the chromosome arms of the genes; None takes ``var["arm"]`` (`sl.pp.gene_positions`),
        else the shipped table of GRCh38. Copy number also needs ``obs["cluster"]`` and raw counts; where something is
        missing the line is not assessed, and ``params`` says why. Samples with role ``cnv_reference`` (apheresis,
        remission) stand in for samples that hold fewer than 20 other T cells.
    classifier
        Your own classifier's probability that a cell is malignant (0 to 1; missing: not assessed): a column of
        ``obs``, or a CSV or frame of cells (``sample, barcode, probability``). Enters as one capped line: the share of
        a clone's cells at 0.5 or more, against T cells around it.
    rng
        Seed of lines of evidence that draw random numbers (the power of the copy-number line).

    Raises
    ------
    InputError
        No clones in the data, or several patients; `malignant_key`, `focus` or `drivers` name something the data do
        not hold; `prior` or a value of `classifier` outside its range; a `gtf` that does not know the genes.

    Notes
    -----
    Writes obs ``malignant_p, malignant_call``, and of cells without a receptor ``genetic_clone, genetic_llr`` (the
    malignant clone whose altered arms they show, see `sclineage.malignancy.profile`); tables ``malignancy`` and
    ``clone_arms``, and ``malignancy_lines`` in ``uns["sclineage"]``. The model is sclineage's own; beta-binomial and
    Poisson terms are in the modules of each line.
    """
    clone_ids, clone = _clones(mdata)
    _check_focus(focus, clone_ids)
    pi, from_diagnosis = _prior(mdata, prior)
    user = _user(mdata, malignant_key, clone, clone_ids)
    cells = _cells(mdata, clone, len(clone_ids), drivers)
    test, no_copy_number = _arms(mdata, cells, gtf)
    cells = replace(cells, arms=test, classifier=_classifier(mdata, classifier))
    sizes = np.bincount(clone[clone >= 0], minlength=len(clone_ids)).astype(np.int64)
    fused = fuse(cells, clone_prior(pi, sizes), seed=rng)
    result = _results(fused, sizes, user.clone, from_diagnosis=from_diagnosis)
    frame = _table(mdata, fused, result, clone_ids, sizes)
    access.put_table(mdata, "malignancy", frame)
    access.put_table(mdata, "clone_arms", _schema.empty("clone_arms") if test is None else arm_table(
        test, clone_ids, _patients(mdata, clone_ids)))
    access.store(mdata)["malignancy_lines"] = line_table(fused, clone_ids)
    access.put(mdata, _per_cell(mdata, clone, result, user.cell) | _by_profile(mdata, cells, result.call, clone_ids))
    access.put_params(mdata, "malignancy", {
        "prior": float(pi), "prior_source": "diagnosis" if from_diagnosis else "given" if prior else "surveillance",
        "malignant_key": None if malignant_key is None else name_of(malignant_key), "rng": int(rng),
        "n_driver_sites": 0 if cells.alleles is None else len(cells.alleles.name),
        "copy_number_not_assessed": no_copy_number or None})


@dataclass(frozen=True, slots=True)
class _Results:
    """Per clone: posterior (with and without pathology), call, basis, driving line; the user's word included."""

    posterior: np.ndarray
    no_pathology: np.ndarray
    call: np.ndarray
    basis: np.ndarray
    driver: list[str]
    user: np.ndarray


def _clones(data: access.Data) -> tuple[list[str], np.ndarray]:
    """Sorted clone ids, and the index of each cell's clone (-1 without one, or for doublets and ambiguous cells)."""
    if not access.has_column(data, "clone_id"):
        raise InputError("obs", "no column 'clone_id'", "run sl.tl.clones first")
    patients = sorted(set(access.text(data, "patient")) - {""})
    if len(patients) > 1:
        raise InputError("obs", f"{len(patients)} patients ({', '.join(patients[:3])} ...)",
                         "give the data of one patient: nothing is compared across patients")
    ids, status = access.text(data, "clone_id"), access.text(data, "clone_status")
    member = (ids != "") & ~np.isin(status, NOT_MEMBERS)
    names = sorted(set(ids[member]))
    index = {c: i for i, c in enumerate(names)}
    return names, np.array([index[c] if m else -1 for c, m in zip(ids, member, strict=True)], np.int64)


def _check_focus(focus: Sequence[str] | None, clone_ids: list[str]) -> None:
    for name in [focus] if isinstance(focus, str) else list(focus or ()):
        if name not in clone_ids:
            raise InputError("focus", f"no clone {name!r}", nearest(name, clone_ids))


def _prior(data: access.Data, prior: float | None) -> tuple[float, bool]:
    """Probability of a malignant clone in the patient, and whether a diagnosis carries it."""
    if prior is not None:
        if not 0 < prior < 1:
            raise InputError("malignancy_prior", f"found {prior}", "give a probability between 0 and 1")
        return float(prior), False
    samples = access.sample_table(data)
    known = samples.get("diagnosis", pd.Series(dtype=object)).isin(["T_lymphoma_proven", "suspected"]).any()
    tumor = samples.get("material", pd.Series(dtype=object)).astype(str).str.lower().isin(["tumor", "tumour"]).any()
    return (PI_SUSPECTED, True) if known or tumor else (PI_SURVEILLANCE, False)


def _user(data: access.Data, key: Given | None, clone: np.ndarray, clone_ids: list[str]) -> Verdicts:
    if key is None:
        return Verdicts(np.full(clone.size, np.nan), np.full(len(clone_ids), np.nan))
    if access.has_column(data, name_of(key)):
        return from_column(access.column(data, name_of(key)), name_of(key), clone, len(clone_ids))
    return from_file(key, sample=_sample_names(data), barcode=_barcodes(data), clone=clone, clone_ids=clone_ids,
                     receptors=access.table(data, "receptors"))


def _barcodes(data: access.Data) -> np.ndarray:
    return access.text(data, "barcode") if access.has_column(data, "barcode") else data.obs_names.to_numpy(object)


def _sample_names(data: access.Data) -> np.ndarray:
    return access.text(data, "sample", default="sample")


def _cells(data: access.Data, clone: np.ndarray, n_clones: int, drivers: Any) -> Cells:
    """Arrays of all lines."""
    sample, names = codes(_sample_names(data))
    subset = access.text(data, "subset")
    status = access.text(data, "clone_status", default="no_receptor")
    receptor = (clone >= 0) | ~np.isin(status, ("no_receptor", ""))
    counts = (status != "doublet") & (access.text(data, "excluded_reason") == "")
    depth, known = access.depth(data)
    samples = access.sample_table(data).reindex(names)
    selection = samples["selection"].fillna("").astype(str) if "selection" in samples else pd.Series("", index=names)
    material = samples["material"].fillna("").astype(str) if "material" in samples else pd.Series("", index=names)
    genes = _genes(data, (*phenotype.GENES, *cycling.GENES))
    return Cells(
        clone=clone, sample=sample, subset=subset, counts=counts,
        t_cell=_background(np.isin(subset, T_SUBSETS), receptor, sample, clone),
        depth=np.where(known, depth, np.nan).astype(np.float64),
        genes={g: genes[g] for g in phenotype.GENES if g in genes}, cycling=_cycling(genes, clone.size),
        virus=_virus(data), alleles=_alleles(data, drivers), n_clones=n_clones,
        unsorted=selection.isin(["", "none", "unknown"]).to_numpy(bool),
        product=(material == "product").to_numpy(bool))


def _arms(data: access.Data, cells: Cells, gtf: str | os.PathLike[str] | None) -> tuple[ArmTest | None, str]:
    """Arm test of the clones, or why there is none."""
    roles = access.sample_table(data).get("role", pd.Series(dtype=object)).fillna("").astype(str)
    named = {str(s) for s, role in roles.items() if "cnv_reference" in role.split(",")}
    return clone_arms(data, clone=np.where(cells.in_clone, cells.clone, -1), n_clones=cells.n_clones,
                      sample=cells.sample, reference=cells.counts & cells.t_cell, gtf=gtf,
                      stand_in=np.isin(_sample_names(data), sorted(named)))


def _classifier(data: access.Data, key: Given | None) -> np.ndarray | None:
    """Cells that the user's classifier calls, 1 or 0, NaN where it says nothing."""
    if key is None:
        return None
    said = access.column(data, name_of(key)) if access.has_column(data, name_of(key)) else pd.Series(
        cell_values(key, "probability", sample=_sample_names(data), barcode=_barcodes(data)))
    values = pd.to_numeric(said, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    known = np.isfinite(values)
    odd = ~known & ~said.isna().to_numpy() & ~said.astype(str).str.strip().str.lower().isin(MISSING).to_numpy()
    if odd.any():
        raise InputError("classifier", f"{name_of(key)!r} holds {said[odd].iloc[0]!r}",
                         "give the probability that a cell is malignant, nothing where it is not known")
    if not known.any() or (values[known] < 0).any() or (values[known] > 1).any():
        raise InputError("classifier", f"{name_of(key)!r} holds no probability from 0 to 1" if not known.any() else
                         f"{name_of(key)!r} holds {values[known].min():g} to {values[known].max():g}",
                         "give the probability that a cell is malignant")
    return np.where(known, (values >= 0.5).astype(np.float64), np.nan)


def _background(annotated: np.ndarray, receptor: np.ndarray, sample: np.ndarray, clone: np.ndarray) -> np.ndarray:
    """T cells to compare with: by receptor where a sample has enough beside its largest clone, else annotated ones too.

    Where a tumour is, T cells without a receptor are often tumour cells whose receptor was not read.
    """
    n_samples, n_clones = int(sample.max(initial=0)) + 1, int(clone.max(initial=-1)) + 2
    sizes = np.bincount((sample * n_clones + clone + 1)[receptor], minlength=n_samples * n_clones)
    by_clone = sizes.reshape(n_samples, n_clones)
    beside = by_clone.sum(axis=1) - by_clone[:, 1:].max(axis=1, initial=0)
    return receptor | (annotated & (beside[sample] < RECEPTOR_CELLS))


def _genes(data: access.Data, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """UMIs of the genes that a matrix holds, NaN in cells whose sample's matrix lacks them."""
    found = access.counts_matrix(data)
    if found is None:
        return {}
    gex, matrix = found
    present = [g for g in wanted if g in gex.var_names]
    at = [gex.var_names.get_loc(g) for g in present]
    values = np.asarray(matrix[:, at].todense(), dtype=np.float64)
    rows = data.obs_names.get_indexer(gex.obs_names)
    held = pd.DataFrame(gex.varm["in_sample"]).loc[present] if "in_sample" in gex.varm else None
    sample = pd.Series(_sample_names(data)[rows])
    out = {}
    for j, gene in enumerate(present):
        column = np.full(data.n_obs, np.nan)
        has = np.ones(rows.size, bool) if held is None else sample.map(held.loc[gene].to_dict()).eq(True).to_numpy(bool)
        column[rows[has]] = values[has, j]
        out[gene] = column
    return out


def _cycling(genes: dict[str, np.ndarray], n: int) -> np.ndarray:
    """UMIs of the S and G2/M genes together; NaN where fewer than five of them were assessed."""
    present = [genes[g] for g in dict.fromkeys(cycling.GENES) if g in genes]
    if not present:
        return np.full(n, np.nan)
    stacked = np.vstack(present)
    enough = np.isfinite(stacked).sum(axis=0) >= cycling.MIN_GENES
    return np.where(enough, np.nansum(stacked, axis=0), np.nan)


def _virus(data: access.Data) -> dict[str, np.ndarray]:
    """Positivity per virus that `virus_status` left in obs: 1, 0, NaN where the sample was not assessed."""
    prefix = "virus_pos:"
    out = {}
    for name in sorted(str(c) for c in data.obs.columns if str(c).startswith(prefix)):
        out[name[len(prefix):]] = pd.to_numeric(data.obs[name].astype("boolean").astype("Float64")).to_numpy(
            dtype=np.float64, na_value=np.nan)
    return out


def _alleles(data: access.Data, drivers: Any) -> Alleles | None:
    """Allele counts at the listed driver sites."""
    mod = access.modality(data, "alleles") if hasattr(data, "mod") else None
    if drivers is None:
        return None
    sites = read_drivers(drivers)
    if mod is None:
        return None
    name = "drivers" if isinstance(drivers, pd.DataFrame) else os.fspath(drivers)
    absent = [c for c in ("chrom", "pos", "ref", "alt") if c not in mod.var]
    if absent or "dp" not in mod.layers:
        raise InputError("alleles", f"no {'column ' + repr(absent[0]) if absent else 'layer ' + repr('dp')}",
                         "give var chrom, pos, ref, alt and layers['dp'] (all reads)")
    have = {_site(v): i for i, v in enumerate(mod.var[["chrom", "pos", "ref", "alt"]].itertuples(index=False))}
    listed = [(have[_site(s)], s) for s in sites.itertuples(index=False) if _site(s) in have]
    if not listed:
        first = sites.iloc[0]
        raise InputError(name, f"none of its {len(sites)} sites is among the {mod.n_vars} of the allele counts (first: "
                         f"{first['chrom']}:{first['pos']}:{first['ref']}>{first['alt']})",
                         "check the genome build and that positions are 1-based")
    return _counts(data, mod, listed)


def _site(row: Any) -> tuple[str, int, str, str]:
    return bare(row.chrom), int(row.pos), str(row.ref).upper(), str(row.alt).upper()


def _counts(data: access.Data, mod: Any, listed: list[tuple[int, Any]]) -> Alleles:
    at = [i for i, _ in listed]
    rows = data.obs_names.get_indexer(mod.obs_names)
    place = sparse.csr_matrix((np.ones(rows.size, np.int64), (rows, np.arange(rows.size))),
                              shape=(data.n_obs, rows.size))
    alt, depth = (sparse.csr_matrix(place @ sparse.csr_matrix(m)[:, at].astype(np.int64))
                  for m in (mod.X, mod.layers["dp"]))
    if (alt > depth).nnz:
        raise InputError("alleles", "more driver reads than reads in a cell", "X holds driver reads, layers['dp'] all")
    genes = [s.gene or str(mod.var["gene"].iloc[i] if "gene" in mod.var else "") for i, s in listed]
    return Alleles(alt, depth, tuple(genes), tuple(f"{s.chrom}:{s.pos}:{s.ref}>{s.alt}" for _, s in listed))


def _results(fused: Fused, sizes: np.ndarray, user: np.ndarray, *, from_diagnosis: bool) -> _Results:
    """Posterior, call and basis of each clone; the user's word stands above the model's."""
    call = words.calls(fused)
    basis = words.basis(fused, call, sizes, from_diagnosis=from_diagnosis)
    said = np.isfinite(user)
    no_pathology = fused.at_prior(words.surveillance_prior(sizes))
    denied = np.where(call == "no_malignant_features", call, "not_assessable")  # the user's no gives us no power
    call = np.where(said, np.where(user == 1, "malignant", denied), call)
    basis = np.where(said, np.where(user == 1, "user", ""), basis)
    return _Results(np.where(said, user, fused.posterior), np.where(said, user, no_pathology), call, basis,
                    fused.driver, said)


def _table(data: access.Data, fused: Fused, result: _Results, clone_ids: list[str], sizes: np.ndarray) -> pd.DataFrame:
    text = words.sentences(fused, result.call, sizes, result.basis)
    text = [f"Called by the user; by the data alone: {t}" if u else t for t, u in zip(text, result.user, strict=True)]
    columns = {f"llr_{name}": value for name, value in fused.capped.items()}
    return pd.DataFrame({
        "patient": _patients(data, clone_ids), "clone_id": clone_ids, "malignant_p": result.posterior,
        "malignant_p_no_pathology": result.no_pathology, "malignant_call": result.call,
        "malignant_driver": result.driver, "malignant_basis": result.basis, "malignant_prior": fused.prior, **columns,
        "malignant_power": fused.power, "malignant_sentence": text})


def _patients(data: access.Data, clone_ids: list[str]) -> list[str]:
    pairs = dict(zip(access.text(data, "clone_id"), access.text(data, "patient"), strict=True))
    return [pairs[c] for c in clone_ids]


def _per_cell(data: access.Data, clone: np.ndarray, result: _Results, user: np.ndarray) -> dict[str, Any]:
    """Posterior and call per cell, by its clone; the user's word on a cell stands above that of its clone."""
    member = clone >= 0
    p = np.where(member, np.append(result.posterior, np.nan)[clone], np.nan)
    if access.has_column(data, "clone_posterior"):
        known = pd.to_numeric(access.column(data, "clone_posterior")).to_numpy(dtype=np.float64, na_value=np.nan)
        by_user = np.append(result.user, np.array([False]))[clone]
        p = np.where(np.isfinite(known) & ~by_user, p * np.clip(known, 0, 1), p)
    call = np.where(member, np.append(result.call, "not_assessable")[clone], "not_assessable").astype(object)
    said = np.isfinite(user)
    call = np.where(said, np.where(user == 1, "malignant", "not_assessable"), call)
    return {"malignant_p": np.where(said, user, p), "malignant_call": call.astype(object)}


def _by_profile(data: access.Data, cells: Cells, call: np.ndarray, clone_ids: list[str]) -> dict[str, Any]:
    """Cells without a receptor that show the altered arms of a malignant clone."""
    owner, llr = np.full(data.n_obs, "", dtype=object), np.full(data.n_obs, np.nan)
    test = cells.arms
    if test is not None and test.cells is not None and (call == "malignant").any():
        rows = test.cells.rows
        bare = np.isin(access.text(data, "clone_status", default="no_receptor"), ("no_receptor", ""))
        candidate = bare & cells.counts & ~np.isin(cells.subset, OTHER_SUBSETS)
        harmless = np.append(~np.isin(call, ("malignant", "suspicious")), False)
        found, score = profile.members(test, call == "malignant", candidate[rows],
                                       (cells.in_clone & harmless[cells.clone])[rows])
        llr[rows], owner[rows] = score, np.append(np.array(clone_ids, dtype=object), "")[found]
    return {"genetic_clone": owner, "genetic_llr": llr}
