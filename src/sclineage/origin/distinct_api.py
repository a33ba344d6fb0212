"""Distinctness of populations: takes the MuData apart, scores the lines of every pair, writes the table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import logit

from .. import _schema
from .._errors import InputError
from ..clones.api import informative
from ..malignancy.table import codes
from ..malignancy.userkey import cell_values
from ..patient import access
from ..patient.drivers import bare, read_drivers
from ..patient.given import MISSING, Given, name_of
from . import relatedness
from .levels import LEVELS, Answer, Line, answer
from .variants import variants

POPULATIONS = ("malignant", "CAR-T", "other_T", "other")
MITOCHONDRIAL = ("M", "MT")
KINDS = ("germline", "somatic", "mitochondrial")
NO_DONOR = (*MISSING, "unassigned", "doublet", "ambiguous")  # vireo, souporcell


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What the lines read, per cell: receptors, donors, reads at sites; and the tables of the clones."""

    population: np.ndarray
    informative: np.ndarray
    clone: np.ndarray
    sample: np.ndarray
    trb: np.ndarray
    tra: np.ndarray
    donor: np.ndarray
    counts: dict[str, tuple[sparse.csr_matrix, sparse.csr_matrix]]
    arms: pd.DataFrame
    car: pd.DataFrame
    car_parts: pd.DataFrame

    def among(self, name: str) -> np.ndarray:
        """Cells of a population, bool (n,)."""
        return self.population == name

    def majority(self, name: str) -> str:
        """Clone of most informative cells of a population, empty without one."""
        ids = self.clone[self.among(name) & self.informative & (self.clone != "")]
        values, counts = np.unique(ids.astype(str), return_counts=True)
        return str(values[np.argmax(counts)]) if counts.size and 2 * counts.max() >= counts.sum() else ""


def distinct(mdata: access.Data, *, drivers: str | os.PathLike[str] | pd.DataFrame | None = None,
             donor_key: Given | None = None, prior: Sequence[float] | None = None) -> None:
    """Say at which level the populations of a patient share an ancestor.

    Parameters
    ----------
    mdata
        MuData (or AnnData) of one patient with obs ``population`` (`sl.tl.populations`) and ``has_trb``.
    drivers
        Somatic sites (CSV or VCF). Of the other sites of modality ``alleles`` those on the mitochondrial chromosome
        are mitochondrial variants, the rest inherited; ``var["kind"]`` (germline, somatic, mitochondrial) overrides.
    donor_key
        Donor labels (vireo, souporcell): a column of ``obs``, or a CSV or frame of cells (``sample, barcode, donor``);
        None takes the column ``donor`` where it exists.
    prior
        Probabilities of the levels D0 to D6; default equal.

    Raises
    ------
    InputError
        The populations or the column of donors are missing, or a prior or kind of site is none.

    Notes
    -----
    Writes table ``distinct``: per pair one row for each line of evidence, and one with line ``all``: the deepest level
    reached with probability 0.95, the posterior of all seven, and three answers: same T cell, shared blood stem cell
    (or deeper), vector in the first population. Silence of a line is no statement: it is ``not_assessed``. The lines
    and their sources are in `sclineage.origin.relatedness` and `sclineage.origin.variants`.
    """
    if not access.has_column(mdata, "population"):
        raise InputError("obs", "no column 'population'", "run sl.tl.populations first")
    if prior is not None and (len(prior) != len(LEVELS) or min(prior) <= 0):
        raise InputError("prior", f"found {list(prior)}", f"give {len(LEVELS)} probabilities above 0, one per level")
    seen = _evidence(mdata, drivers, donor_key)
    present = [p for p in POPULATIONS if seen.among(p).any()]
    parts = [_rows(seen, a, b, prior) for a, b in combinations(present, 2)]
    frame = pd.concat(parts, ignore_index=True) if parts else _schema.empty("distinct").drop(columns="patient")
    patients = access.text(mdata, "patient")
    frame.insert(0, "patient", str(patients[0]) if patients.size else "")
    access.put_table(mdata, "distinct", frame)


def _donors(data: access.Data, key: Given | None) -> np.ndarray:
    """Donor of each cell, empty where unknown; a cell that was not given to one donor is no donor of its own."""
    said = _said_donors(data, key)
    unknown = [str(v).lower() in NO_DONOR or "/" in str(v) for v in said]  # "0/1": souporcell's doublet
    return np.where(unknown, "", said)


def _said_donors(data: access.Data, key: Given | None) -> np.ndarray:
    if key is None or access.has_column(data, name_of(key)):
        return access.text(data, "donor" if key is None else name_of(key))
    barcode = access.text(data, "barcode") if access.has_column(data, "barcode") else data.obs_names.to_numpy(object)
    said = cell_values(key, "donor", sample=access.text(data, "sample", default="sample"), barcode=barcode)
    return np.where(said == None, "", said)  # noqa: E711 - element by element


def _evidence(data: access.Data, drivers: str | os.PathLike[str] | pd.DataFrame | None,
              donor_key: Given | None) -> _Evidence:
    if not access.has_column(data, "has_trb"):
        raise InputError("obs", "no column 'has_trb'", "run sl.tl.clones first")
    clone, status = access.text(data, "clone_id"), access.text(data, "clone_status")
    speaks = informative(status, access.column(data, "has_trb").to_numpy())
    receptors = access.table(data, "receptors")
    chains = [_chain(receptors, clone, c) for c in ("trb_junction", "tra_junction")]
    arms, car, parts = (_schema.empty(t) if (found := access.table(data, t)) is None else found
                        for t in ("clone_arms", "car_clones", "clone_car"))
    return _Evidence(
        population=access.text(data, "population"), informative=speaks, clone=clone,
        sample=codes(access.text(data, "sample", default="sample"))[0],
        trb=np.where(speaks, chains[0], ""), tra=np.where(speaks, chains[1], ""),
        donor=np.where(status == "doublet", "", _donors(data, donor_key)), counts=_counts(data, drivers),
        arms=arms, car=car, car_parts=parts)


def _chain(receptors: pd.DataFrame | None, clone: np.ndarray, column: str) -> np.ndarray:
    """Junction of each cell's clone, empty where unknown."""
    if receptors is None or receptors.empty:
        return np.full(clone.size, "", dtype=object)
    known = receptors.drop_duplicates("clone_id").set_index("clone_id")[column].fillna("").astype(str).to_dict()
    return np.array([known.get(c, "") for c in clone], dtype=object)


def _counts(data: access.Data, drivers: str | os.PathLike[str] | pd.DataFrame | None,
            ) -> dict[str, tuple[sparse.csr_matrix, sparse.csr_matrix]]:
    """Variant reads and all reads, cells x sites, per kind of site."""
    mod = access.modality(data, "alleles") if hasattr(data, "mod") else None
    if mod is None or "dp" not in mod.layers or mod.n_vars == 0:
        return {}
    rows = data.obs_names.get_indexer(mod.obs_names)
    place = sparse.csr_matrix((np.ones(rows.size, np.int64), (rows, np.arange(rows.size))),
                              shape=(data.n_obs, rows.size))
    kind = _kinds(mod.var, drivers)
    return {name: (sparse.csr_matrix(place @ sparse.csr_matrix(mod.X)[:, kind == name]),
                   sparse.csr_matrix(place @ sparse.csr_matrix(mod.layers["dp"])[:, kind == name]))
            for name in KINDS if (kind == name).any()}


def _kinds(var: pd.DataFrame, drivers: str | os.PathLike[str] | pd.DataFrame | None) -> np.ndarray:
    if "kind" in var:
        kind = var["kind"].astype(str).to_numpy(object)
        unknown = sorted(set(kind) - set(KINDS))
        if unknown:
            raise InputError("alleles", f"kind of site {unknown[0]!r}", f"use {', '.join(KINDS)}")
        return kind
    listed = set() if drivers is None else set(_sites(read_drivers(drivers)))
    sites = _sites(var)
    return np.array(["somatic" if s in listed else "mitochondrial" if s[0] in MITOCHONDRIAL else "germline"
                     for s in sites], dtype=object)


def _sites(frame: pd.DataFrame) -> list[tuple[str, int, str]]:
    return [(bare(c), int(p), str(a).upper())
            for c, p, a in zip(frame["chrom"], frame["pos"], frame["alt"], strict=True)]


def _rows(seen: _Evidence, a: str, b: str, prior: Sequence[float] | None) -> pd.DataFrame:
    """Rows of one pair: its lines, then all of them together."""
    lines = _lines(seen, a, b)
    said = answer(lines, prior)
    has = _vector(seen, a)
    flags = [] if any(line.assessed for line in lines) else ["not_assessed"]
    flags += ["same_t_cell_vector_not_seen"] if said.same_t_cell == "yes" and has == "not_detected" else []
    # a tumour with cells that may carry the vector is itself a CAR-T clone: another receptor of others denies nothing
    open_ = b == "CAR-T" and said.same_t_cell == "no" and said.level != "D0" and not _free(seen, a)
    flags += ["vector_not_excluded"] if open_ else []
    together = {"line": "all", "llr": _same_t_cell(said, lines, prior), "level": said.level, "p_level": said.p_level,
                "n_informative_a": int((seen.informative & seen.among(a)).sum()),
                "n_informative_b": int((seen.informative & seen.among(b)).sum()), "flags": ";".join(flags),
                "same_t_cell": "not_assessed" if open_ else said.same_t_cell,
                "shared_ancestor": said.shared_ancestor, "vector_in_a": has,
                **{f"p_{name.lower()}": p if "not_assessed" not in flags else np.nan
                   for name, p in zip(LEVELS, said.posterior, strict=True)}}
    single = [{"line": x.name, "llr": x.llr, "n_informative_a": x.n_a, "n_informative_b": x.n_b,
               "flags": ";".join(x.flags if x.assessed or x.flags else ("not_assessed",))} for x in lines]
    return pd.DataFrame([together, *single]).assign(population_a=a, population_b=b)


def _same_t_cell(said: Answer, lines: list[Line], prior: Sequence[float] | None) -> float:
    """Ratio of all lines together for the same mature T cell (D4 or deeper), the prior taken out."""
    if not any(line.assessed for line in lines):
        return float("nan")
    before = np.ones(len(LEVELS)) if prior is None else np.asarray(prior, np.float64)
    after = np.clip(said.posterior[4:].sum(), 1e-15, 1 - 1e-15)
    return float(logit(after) - logit((before / before.sum())[4:].sum()))


def _lines(seen: _Evidence, a: str, b: str) -> list[Line]:
    one, two = seen.among(a), seen.among(b)
    out = [relatedness.donors(seen.donor, one, two)]
    for kind in KINDS:
        if kind in seen.counts:
            k, n = (np.array([np.asarray(m[rows].sum(axis=0)).ravel() for rows in (one, two)])
                    for m in seen.counts[kind])
            out += [relatedness.germline(k, n)] if kind == "germline" else variants(
                kind, k, n, np.array([_soup(*seen.counts[kind], seen.sample, rows) for rows in (one, two)]),
                one_clone=bool(seen.majority(a)) and not seen.majority(b))
    out += relatedness.receptor(seen.trb, seen.tra, one, two)
    out.append(_arms(seen, a, b))
    if b == "CAR-T":
        row = _car(seen, a)
        p = [np.nan] * 3 if row is None else _carrying(row)
        known = 0 if row is None else int(np.nan_to_num(_number(row["car_n_informative"])))
        out.append(relatedness.vector(p, known, int(two.sum())))
    return out


def _carrying(row: pd.Series) -> list[float]:
    """P(no, every, some member carries the vector); where DNA shows it, RNA's silence is no evidence."""
    if str(row.get("car_dna", "")) == "present":
        return [0.0, 1.0, 0.0]
    return [_number(row[f"car_p_{w}"]) for w in ("negative", "positive", "mixed")]


def _soup(alt: sparse.csr_matrix, depth: sparse.csr_matrix, sample: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Share of each variant among all reads of the samples that some cells lie in, weighted by their reads."""
    places = [sparse.csr_matrix((use.astype(np.float64), (sample, np.arange(sample.size)))) for use in (
        np.ones(sample.size), rows)]
    k, n, own = (np.asarray((m @ x).todense()) for m, x in ((places[0], alt), (places[0], depth), (places[1], depth)))
    return np.asarray((own * k / np.maximum(n, 1.0)).sum(axis=0) / np.maximum(own.sum(axis=0), 1.0))


def _number(value: object) -> float:
    return float(pd.to_numeric(pd.Series([value], dtype=object), errors="coerce").astype("float64").iloc[0])


def _arms(seen: _Evidence, a: str, b: str) -> Line:
    """Called arms of the population's main clone, looked for in the clones of the other, pooled by their precision."""
    main = seen.majority(a)
    own = seen.arms[seen.arms["clone_id"].astype(str) == main].set_index("arm")
    members = set(seen.clone[seen.among(b) & (seen.clone != "")]) - {main}
    other = seen.arms[seen.arms["clone_id"].astype(str).isin(members)]
    if not main or own.empty or other.empty:
        return Line("copy_number", np.nan, (6,), 0 if own.empty else int((own["called"] != 0).sum()), 0)
    weight = 1.0 / other["error"].astype(float) ** 2
    sums = pd.DataFrame({"arm": other["arm"], "w": weight, "ws": weight * other["shift"].astype(float)}).groupby(
        "arm")[["w", "ws"]].sum().reindex(own.index)
    return relatedness.shared_arms(own["called"].to_numpy(float), (sums["ws"] / sums["w"]).to_numpy(float),
                                   (1 / np.sqrt(sums["w"])).to_numpy(float))


def _car(seen: _Evidence, a: str) -> pd.Series | None:
    mine = seen.car[seen.car["clone_id"].astype(str) == seen.majority(a)]
    return None if mine.empty or a == "CAR-T" else mine.iloc[0]


def _free(seen: _Evidence, a: str) -> bool:
    """Whether the vector is excluded in all members of a population's main clone, in every specimen and sort."""
    row, parts = _car(seen, a), seen.car_parts
    carrying = parts["car_verdict"].isin(_schema.CAR_CARRYING) & (parts["clone_id"].astype(str) == seen.majority(a))
    return row is not None and str(row["car_verdict"]) in _schema.CAR_NEGATIVE[1:] and not carrying.any()


def _vector(seen: _Evidence, a: str) -> str:
    """Whether a population carries the vector, by the verdict on its main clone."""
    if a == "CAR-T":
        return "yes"
    row = _car(seen, a)
    verdict = "" if row is None else str(row["car_verdict"])
    return "yes" if verdict in _schema.CAR_CARRYING else (
        "not_detected" if verdict in _schema.CAR_NEGATIVE else "not_assessed")
