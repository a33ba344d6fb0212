"""Samples to modalities: counts over the union of features, chains, molecules, antibodies, alleles; then the MuData."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import mudata
import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from .._errors import InputError
from . import access
from .contigs import airr_modality
from .features import union
from .load import Sample
from .matrices import Matrix
from .molecules import natural

PER_CELL = ("specimen", "gem_well", "pool", "day", "material", "selection")


def cell_names(sample: Sample) -> np.ndarray:
    """Names of a sample's cells in the MuData: ``<sample>_<barcode>``."""
    return np.array([f"{sample.name}_{b}" for b in sample.cells], dtype=object)


def assemble(samples: Mapping[str, Sample]) -> MuData:
    """MuData of the cells of all samples; per-cell columns of the sheet in ``obs``."""
    cells = [s for s in samples.values() if len(s.cells)]
    makers: dict[str, Callable[[Sequence[Sample]], AnnData | None]] = {
        "gex": _gex, "airr": _airr, "targets": _targets, "adt": _adt, "alleles": _alleles}
    made = {name: found for name, maker in makers.items() if (found := maker(cells)) is not None}
    if not made:
        made = {"gex": _frame(cells, sparse.csr_matrix((sum(len(s.cells) for s in cells), 0), dtype=np.int32),
                              pd.DataFrame({"gene_ids": []}, dtype=object))}
    total = sum(len(s.cells) for s in cells)
    obs = pd.concat([_obs(s) for s in cells])
    if obs.index.has_duplicates:
        raise InputError("sample sheet", f"two cells would be called {obs.index[obs.index.duplicated()][0]!r}",
                         "rename one of the samples", place="column sample")
    made = dict(sorted(made.items(), key=lambda item: item[1].n_obs < total))  # a complete one sets the order of cells
    with warnings.catch_warnings(), _not_pulling():
        warnings.simplefilter("ignore")
        mdata = MuData(made)
    access.put(mdata, {name: obs[name].reindex(mdata.obs_names).to_numpy() for name in map(str, obs.columns)})
    return mdata


def _not_pulling() -> AbstractContextManager[object]:
    """MuData 0.3 copies every modality's columns into its own table; 0.4 does not and has no such option."""
    options = getattr(mudata, "set_options", None)
    return nullcontext() if options is None else options(pull_on_update=False)


def _obs(sample: Sample) -> pd.DataFrame:
    n = len(sample.cells)
    columns = {"patient": [sample.row["patient"]] * n, "sample": [sample.name] * n, "barcode": list(sample.cells)}
    columns |= {c: [sample.row[c]] * n for c in PER_CELL}
    out = pd.DataFrame({k: np.array(v, dtype=object) for k, v in columns.items()}, index=cell_names(sample))
    return out.assign(day=out["day"].astype(float))


def _frame(samples: Sequence[Sample], matrix: sparse.csr_matrix, var: pd.DataFrame,
           has: Mapping[str, np.ndarray] | None = None) -> AnnData:
    """Modality over the cells of `samples`; `has` = positions of the features that each sample was assessed for."""
    names = np.concatenate([cell_names(s) for s in samples])
    sample = np.concatenate([np.full(len(s.cells), s.name, dtype=object) for s in samples])
    out = AnnData(matrix, obs=pd.DataFrame({"sample": sample}, index=names), var=var)
    if has is not None:
        inside = pd.DataFrame(data=False, index=out.var_names, columns=list(has))
        for name, places in has.items():
            inside.loc[inside.index[places], name] = True
        out.varm["in_sample"] = inside
    return out


def _spread(parts: Sequence[sparse.csr_matrix], places: Sequence[np.ndarray], width: int) -> sparse.csr_matrix:
    """Stack matrices of several samples, moving each one's columns to their places in the union."""
    moved = [sparse.csr_matrix((m.data, p[m.indices], m.indptr), shape=(m.shape[0], width))
             for m, p in zip(parts, places, strict=True)]
    stacked = sparse.csr_matrix(sparse.vstack(moved, format="csr"))
    stacked.sort_indices()
    return stacked


def _joined(samples: Sequence[Sample], matrices: Sequence[Matrix]) -> AnnData:
    """Counts of several samples over the union of their features."""
    var, places = union([m.features for m in matrices])
    return _frame(samples, _spread([m.counts for m in matrices], places, len(var)), var,
                  {s.name: p for s, p in zip(samples, places, strict=True)})


def _gex(samples: Sequence[Sample]) -> AnnData | None:
    with_gex = [s for s in samples if s.gex is not None]
    return _joined(with_gex, [s.gex for s in with_gex if s.gex is not None]) if with_gex else None


def _adt(samples: Sequence[Sample]) -> AnnData | None:
    with_adt = [s for s in samples if s.adt is not None]
    return _joined(with_adt, [s.adt for s in with_adt if s.adt is not None]) if with_adt else None


def _airr(samples: Sequence[Sample]) -> AnnData | None:
    with_vdj = [s for s in samples if s.contigs is not None]
    if not with_vdj:
        return None
    contigs = pd.concat([s.contigs.assign(cell_id=cell_names(s)[s.contigs["cell"].to_numpy()])
                         for s in with_vdj if s.contigs is not None], ignore_index=True)
    out = airr_modality(contigs, np.concatenate([cell_names(s) for s in with_vdj]).tolist())
    out.obs["sample"] = np.concatenate([np.full(len(s.cells), s.name, dtype=object) for s in with_vdj])
    return out


def _targets(samples: Sequence[Sample]) -> AnnData | None:
    counted = [s for s in samples if s.tables]
    features = pd.Index(sorted({f for s in counted for t in s.tables for f in t.features}, key=natural), dtype=object)
    if features.empty:
        return None
    rows, start = [], 0
    for s in counted:
        rows += [t.counts.assign(row=t.counts["cell"] + start) for t in s.tables]
        start += len(s.cells)
    found = pd.concat(rows)
    where = (found["row"].to_numpy(dtype=int), features.get_indexer(pd.Index(found["feature"])))
    matrix = sparse.csr_matrix((found["n"].to_numpy(dtype=np.int32), where), shape=(start, len(features)))
    has = {s.name: features.get_indexer(pd.Index([f for t in s.tables for f in t.features])) for s in counted}
    return _frame(counted, matrix, pd.DataFrame({"gene_ids": ""}, index=features), has)


def _alleles(samples: Sequence[Sample]) -> AnnData | None:
    found = [(s, s.alleles) for s in samples if s.alleles is not None]
    if not found:
        return None
    sites = pd.concat([a.sites for _, a in found])
    sites = sites[~sites.index.duplicated()].sort_values(["chrom", "pos", "ref", "alt"], kind="stable")
    places = [sites.index.get_indexer(a.sites.index) for _, a in found]
    ad = _spread([a.ad for _, a in found], places, len(sites))
    out = _frame([s for s, _ in found], ad, sites, {s.name: p for (s, _), p in zip(found, places, strict=True)})
    out.layers["dp"] = _spread([a.dp for _, a in found], places, len(sites))
    return out
