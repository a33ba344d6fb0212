"""`read_patient`: sample sheet to the MuData of one patient, in the layout that `access` documents."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from mudata import MuData

from .._errors import InputError
from .._schema import ASSAYED
from . import access
from .empties import COLUMNS, no_empties, read_empties
from .features import union
from .hopping import hopping_table, note_hopping
from .load import Guard, Sample, load_sample, require_car, sample_facts
from .modalities import assemble
from .molecules import OWN_MATRIX, named, natural, own_counts
from .sheet import FILES, UNUSED, read_sheet
from .spec import Constructs, VirusSpec, parse_car, parse_virus, resolve_virus, row_constructs

Car = str | Mapping[str, Iterable[str]] | None
Virus = str | VirusSpec | Iterable[str | VirusSpec] | None


def read_patient(sheet: str | os.PathLike[str] | pd.DataFrame, *, patient: str | None = None, car: Car = None,
                 virus: Virus = None) -> MuData:
    """Read all files of one patient into a MuData.

    Parameters
    ----------
    sheet
        Path of a sample sheet, or the frame that `read_sheet` returns.
    patient
        Whose rows to read; needed when the sheet holds several.
    car
        Constructs: ``FEATURE[+FEATURE][,...]`` or ``NAME=F1+F2,...`` (or a mapping); the column ``car`` of a row wins.
    virus
        One or several of ``NAME=F1+F2``, ``NAME=prefix:EBV_``, ``NAME=contig:ID``.

    Returns
    -------
    MuData with the modalities the files give: ``gex`` (int32 CSR, genes sorted by id), ``airr`` (cells of samples with
    V(D)J), ``targets`` (cells of samples with molecules), ``adt``, ``alleles`` (``X`` alternative allele,
    ``layers["dp"]`` depth). ``obs_names`` are ``<sample>_<barcode>``, sorted; ``uns["sclineage"]`` holds the rows of
    the sheet with facts of each sample, empty droplets, CAR and viral features, input files and notes. The result does
    not depend on the order of rows or files.

    Raises
    ------
    InputError
        Bad input: one line with file, what was found and what would fix it.
    """
    rows = _rows(sheet, patient)
    constructs, viruses = parse_car(car), parse_virus(virus)
    samples = load_patient(rows, constructs, viruses, Guard(collect=False))
    if not any(len(s.cells) for s in samples.values()):
        raise InputError(_source(sheet), "no sample says which barcodes are cells",
                         "give gex, cells or vdj for at least one sample")
    hopped = hopping_table(samples)
    note_hopping(samples, hopped)
    mdata = assemble(samples)
    mdata.uns[ASSAYED] = _record(samples, resolve_features(samples, viruses), _inputs(sheet, samples))
    access.put_table(mdata, "hopping", hopped)
    given = {"car": _written(constructs), "virus": ";".join(map(str, viruses.values()))}
    access.put_params(mdata, "read_patient", given)
    return mdata


def _source(sheet: str | os.PathLike[str] | pd.DataFrame) -> str:
    return "sample sheet" if isinstance(sheet, pd.DataFrame) else str(sheet)


def _rows(sheet: str | os.PathLike[str] | pd.DataFrame, patient: str | None) -> pd.DataFrame:
    rows = sheet if isinstance(sheet, pd.DataFrame) else read_sheet(sheet)
    known = sorted(set(rows["patient"]))
    if patient is None and len(known) > 1:
        raise InputError(_source(sheet), f"found {len(known)} patients ({', '.join(known)})",
                         "name one with patient=, or use run(), which does them one by one", place="column patient")
    if patient is not None and patient not in known:
        raise InputError(_source(sheet), f"no patient {patient!r}",
                         "name one of " + ", ".join(known[:20]), place="column patient")
    return rows[rows["patient"] == (known[0] if patient is None else patient)].sort_values("sample", kind="stable")


def load_patient(rows: pd.DataFrame, car: Constructs, virus: Mapping[str, VirusSpec], guard: Guard, *,
                 peek: bool = False) -> dict[str, Sample]:
    """Load all samples of a patient, give molecule features their final names, and check the CAR features."""
    def wanted(table: pd.DataFrame) -> list[str]:
        return [*_all_features(rows, car), *(f for spec in virus.values() for f in _present(spec, table))]

    samples = {str(name): load_sample(row, car=car, wanted=wanted, guard=guard, peek=peek)
               for name, row in rows.iterrows()}
    final = named({name: s.tables for name, s in samples.items()})
    for name, sample in samples.items():
        sample.tables = final[name]
        _note_unseen(sample)
        guard(_require_one_table_per_feature, sample)
        guard(require_car, sample)
    return samples


def _note_unseen(sample: Sample) -> None:
    """Note it where the reference that the molecules were counted on cannot see the CAR in this chemistry."""
    wanted = {f for features in (sample.constructs or {}).values() for f in features}
    if wanted and wanted <= {f for table in sample.tables for f in table.unseen}:
        sample.facts["segment_seen"] = "false"
        sample.notes.append(f"{sample.name}: the library's chemistry cannot see the counted part of the CAR")


def _all_features(rows: pd.DataFrame, car: Constructs) -> list[str]:
    found = [row_constructs(str(text), car) or {} for text in rows["car"]]
    return [f for constructs in found for features in constructs.values() for f in features]


def _present(spec: VirusSpec, table: pd.DataFrame) -> tuple[str, ...]:
    try:
        return resolve_virus(spec, table)
    except InputError:
        return ()


def _require_one_table_per_feature(sample: Sample) -> None:
    seen: dict[str, object] = {}
    for table in sample.tables:
        for feature in table.features:
            if feature in seen:
                raise InputError(table.file, f"feature {feature!r} is also in {seen[feature]}",
                                 "give the tables different names (NAME=path)")
            seen[feature] = table.file


def resolve_features(samples: Mapping[str, Sample], viruses: Mapping[str, VirusSpec]) -> pd.DataFrame:
    """CAR and viral features of a patient: columns kind (``car`` or ``virus``), name (construct or virus), feature."""
    var = _known_features(samples)
    rows = {("car", name, f) for s in samples.values() for name, fs in (s.constructs or {}).items() for f in fs}
    rows |= {("virus", spec.name, f) for spec in viruses.values() for f in resolve_virus(spec, var)}
    return pd.DataFrame(sorted(rows), columns=["kind", "name", "feature"], dtype=object)


def _known_features(samples: Mapping[str, Sample]) -> pd.DataFrame:
    genes = [s.gex.features for s in samples.values() if s.gex is not None]
    parts = [union(genes)[0]] if genes else []
    targets = sorted({f for s in samples.values() for t in s.tables for f in t.features}, key=natural)
    parts.append(pd.DataFrame({"gene_ids": "", "genome": ""}, index=pd.Index(targets, dtype=object)))
    return pd.concat(parts).fillna("")


# --- what is kept beside it ------------------------------------------------------------------------------------------
def _record(samples: Mapping[str, Sample], features: pd.DataFrame, inputs: list[str]) -> dict[str, object]:
    rows = pd.DataFrame([s.row for s in samples.values()], index=pd.Index(list(samples), dtype=object))
    rows["not_used"] = [";".join(c for c in _unused(row) if _given(row[c])) for _, row in rows.iterrows()]
    viral_and_car = {kind: np.array(sorted(set(features.loc[features["kind"] == kind, "feature"])), dtype=object)
                     for kind in ("car", "virus")}
    return {
        "samples": pd.concat([rows, sample_facts(samples)], axis=1).rename_axis(None),
        "empties": _empties(samples, features), "tables": {}, "params": {}, "features": features,
        "car_features": viral_and_car["car"], "virus_features": viral_and_car["virus"],
        "inputs": np.array(inputs, dtype=object),
        "notes": np.array([note for s in samples.values() for note in s.notes], dtype=object),
    }


def _unused(row: pd.Series) -> tuple[str, ...]:
    """Columns that serve nothing in this row: a purity without a vector copy number says nothing."""
    return UNUSED if _given(row["vcn_target"]) else (*UNUSED, "purity")


def _given(value: object) -> bool:
    return str(value) not in ("", "nan")


def _empties(samples: Mapping[str, Sample], features: pd.DataFrame) -> pd.DataFrame:
    """Sums over empty droplets; samples that share an unfiltered matrix share its droplets."""
    wanted = list(dict.fromkeys(features["feature"]))
    shared: dict[str, list[Sample]] = {}
    for sample in samples.values():
        if sample.row["raw"]:
            shared.setdefault(str(sample.paths("raw")[0]), []).append(sample)
    parts = []
    for path, together in sorted(shared.items()):
        sums = read_empties(path, cells=np.unique(np.concatenate([s.cells for s in together])), features=wanted)
        parts += [sums.assign(sample=s.name) for s in together]
    parts += [_own_empties(s, wanted) for s in samples.values() if s.tables and not s.row["raw"]]
    parts = [p for p in parts if len(p)]
    if not parts:
        return no_empties()
    return pd.concat(parts)[list(COLUMNS)].sort_values(["sample", "feature"], kind="stable", ignore_index=True)


def _own_empties(sample: Sample, wanted: list[str]) -> pd.DataFrame:
    """Droplets that ``sclineage count`` met, for a sample without an unfiltered matrix."""
    rows = []
    for table in sample.tables:
        own = None if table.name else own_counts(table.file.parent / OWN_MATRIX)
        rows += [(sample.name, f, own.droplets, own.umi[f]) for f in wanted if own and own.droplets and f in own.umi]
    found = pd.DataFrame(rows, columns=["sample", "feature", "n_droplets", "feature_umi"])
    return found.assign(umi_total=0)[list(COLUMNS)].astype(COLUMNS)


def _inputs(sheet: str | os.PathLike[str] | pd.DataFrame, samples: Mapping[str, Sample]) -> list[str]:
    paths = {str(p) for s in samples.values() for column in FILES for p in s.paths(column)}
    return sorted(paths if isinstance(sheet, pd.DataFrame) else paths | {os.fspath(sheet)})


def _written(constructs: Constructs) -> str:
    return ",".join(f"{name}={'+'.join(features)}" for name, features in constructs.items())
