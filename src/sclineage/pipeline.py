"""The main job: a sample sheet in, verdicts, tables and a report out; resumable; whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from . import _backend, _provenance, _schema, _tables
from ._config import Config, read_config
from ._errors import InputErrors
from ._settings import Device, settings
from ._shared import Shared, share
from .patient import access
from .patient.access import Data

KERNELS = ("evidence", "knn", "leiden")  # a device that one of them lacks is refused before anything is read
SEEDS = 5  # partitions whose agreement tells how stable a cluster is
WORK = ".sclineage"  # checkpoints and unfinished output, inside the output folder
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What a run was asked to do; everything here enters the fingerprint of its checkpoints, except `say`."""

    car: str | None
    virus: tuple[str, ...] = ()
    config: Config = field(default_factory=Config)
    malignant_key: str | None = None
    focus: str | None = None
    car_adt: str | None = None
    seed: int = 0
    config_file: Path | None = None

    def record(self) -> dict[str, Any]:
        """Parameters as they are kept in run.json."""
        return {"car": self.car, "virus": list(self.virus), "config": self.config.record(),
                "malignant_key": self.malignant_key, "focus": self.focus, "car_adt": self.car_adt,
                "seed": self.seed}


def run(sheet: str | os.PathLike[str], out: str | os.PathLike[str], *, car: str | None = None,
        virus: Sequence[str] = (), config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        malignant_key: str | None = None, focus: str | None = None, car_adt: str | None = None, device: Device = "auto",
        threads: int | None = None, seed: int = 0, resume: bool = False, say: Say | None = None) -> None:
    """Run every step for every patient of a sheet and write tables, MuData and report into `out`.

    Parameters
    ----------
    sheet
        Sample sheet (CSV or TSV).
    out
        Output folder; several patients give one sub-folder each and the stacked tables at the top.
    car
        CAR features: ``FEATURE[+FEATURE][,...]`` or ``NAME=F1+F2,NAME2=F3``. None: the CAR is not assessed.
    virus
        ``NAME=F1+F2``, ``NAME=prefix:EBV_`` or ``NAME=contig:ID``, one per virus.
    config
        YAML file or mapping of configuration keys; an unknown key is an error.
    malignant_key
        Your own malignancy call: an obs column, or a CSV of cells or clones.
    focus
        File that names clones of interest.
    car_adt
        Antibody against the CAR (``F1+F2`` adds several): protein is reported beside RNA, never summed with it.
    device, threads, seed
        Device and threads change the time, never the result.
    resume
        Continue an interrupted run of the same inputs and parameters.
    say
        Receives one line per step (progress).

    Raises
    ------
    InputError
        Bad input; nothing is left in `out`.
    """
    from .patient.api import check, read_sheet

    for kernel in KERNELS:
        _backend.pick(device, kernel=kernel)
    options = Options(car, tuple(virus), read_config(config), malignant_key, focus, car_adt, seed,
                      None if config is None or isinstance(config, Mapping) else Path(config))
    faults = check(sheet, car=car, virus=options.virus)
    if faults:
        raise InputErrors(faults)
    rows = read_sheet(sheet)
    shared = share(rows, sites=options.config.sites, tables={
        "malignant_key": options.malignant_key, "classifier": options.config.classifier,
        "donors": options.config.donors})
    patients = sorted(set(map(str, rows["patient"])))
    target = Path(out)
    before, settings.device = settings.device, device
    made = not target.exists()
    try:
        # linear algebra in one thread: its sums, and with them the tables, then never depend on the machine
        with _backend.threads(threads), threadpool_limits(1):
            for patient in patients:
                folder = target if len(patients) == 1 else target / patient
                _Patient(Path(sheet), patient, folder, options, say or (lambda _: None), shared).run(resume=resume)
        if len(patients) > 1:
            _stack(target, patients)
    except (InputErrors, ValueError):
        if made:
            shutil.rmtree(target, ignore_errors=True)
        raise
    finally:
        settings.device = before


class _Patient:
    """One patient's run: steps in order, a checkpoint after each, output staged and then moved into place."""

    def __init__(self, sheet: Path, patient: str, folder: Path, options: Options, say: Say, shared: Shared) -> None:
        self.sheet, self.patient, self.folder, self.options, self.say = sheet, patient, folder, options, say
        self.shared = shared
        self.work = folder / WORK
        self.seconds: dict[str, float] = {}
        self.steps: list[tuple[str, Callable[[Data], Data]]] = [
            ("read", self._read), ("cells", self._cells), ("clones", self._clones), ("virus", self._virus),
            ("malignancy", self._malignancy), ("car", self._car), ("origin", self._origin)]

    def run(self, *, resume: bool) -> None:
        inputs, fingerprint = self._fingerprint()
        data, done = self._checkpoint(fingerprint) if resume else (None, 0)
        if data is None:
            shutil.rmtree(self.work, ignore_errors=True)
        for number, (name, step) in enumerate(self.steps[done:], start=done + 1):
            self.say(f"[{self.patient}] {number}/{len(self.steps) + 1} {name}")
            started = time.perf_counter()
            data = step(data)
            self.seconds[name] = round(time.perf_counter() - started, 2)
            self._save(data, number, fingerprint)
        self.say(f"[{self.patient}] {len(self.steps) + 1}/{len(self.steps) + 1} tables and report")
        self._write(data, inputs)

    # --- checkpoints -------------------------------------------------------------------------------------------------
    def _fingerprint(self) -> tuple[list[dict[str, object]], str]:
        paths = [self.sheet, *self._input_files(), *self.options.config.files()]
        named = (self.options.config_file, self.options.focus, self.options.malignant_key)
        paths += [Path(p) for p in named if p and Path(p).is_file()]
        inputs = _provenance.inputs(paths)
        record = [inputs, self.options.record(), _provenance.versions()["sclineage"], self.patient]
        return inputs, hashlib.sha256(json.dumps(record, sort_keys=True, default=str).encode()).hexdigest()

    def _input_files(self) -> list[Path]:
        from .patient.sheet import FILES, files, read_sheet

        rows = read_sheet(self.sheet).query("patient == @self.patient")
        return sorted({path for _, row in rows.iterrows() for key in FILES for _, path in files(key, row[key])})

    def _checkpoint(self, fingerprint: str) -> tuple[Data | None, int]:
        state = self.work / "state.json"
        if not state.exists():
            return None, 0
        known = json.loads(state.read_text(encoding="utf-8"))
        if known.get("fingerprint") != fingerprint:
            self.say(f"[{self.patient}] inputs or parameters changed since the interrupted run: starting anew")
            return None, 0
        import mudata

        self.seconds = known["seconds"]
        self.say(f"[{self.patient}] resuming after step {known['done']} ({self.steps[known['done'] - 1][0]})")
        return mudata.read_h5mu(self.work / "state.h5mu"), int(known["done"])

    def _save(self, data: Data, done: int, fingerprint: str) -> None:
        with _provenance.whole(self.work / "state.h5mu") as part:
            data.write_h5mu(part)
        _provenance.write_json({"fingerprint": fingerprint, "done": done, "seconds": self.seconds},
                               self.work / "state.json")

    # --- steps -------------------------------------------------------------------------------------------------------
    def _read(self, _: Data) -> Data:
        from .patient.api import read_patient

        data = read_patient(self.sheet, patient=self.patient, car=self.options.car, virus=self.options.virus)
        if self.options.car_adt is not None:
            from .evidence.protein_api import antibodies

            antibodies(data, self.options.car_adt)
        self.say(f"[{self.patient}] {data.n_obs} cells, {len(access.sample_table(data))} samples, {_memory(data)}")
        return data

    def _cells(self, data: Data) -> Data:
        from .cells.annotate_api import annotate
        from .cells.api import cluster, embed, neighbors, umap
        from .patient.api import qc

        config = self.options.config
        qc(data, min_umi=config.min_umi, min_genes=config.min_genes, max_mito=config.max_mito, rng=self.options.seed)
        annotate(data)
        gex = access.modality(data, "gex")
        if gex is not None and gex.n_obs >= 3:
            embed(data, rng=self.options.seed, batch_key="sample")  # the whole patient: CAR and virus are named there
            neighbors(data, device=settings.device)
            cluster(data, rng=self.options.seed, n_seeds=SEEDS, key_added="cluster", device=settings.device)
            umap(data, rng=self.options.seed)
        return data

    def _clones(self, data: Data) -> Data:
        from .clones.api import clones

        if access.modality(data, "airr") is not None:
            clones(data)
        else:
            nothing = np.full(data.n_obs, "", dtype=object)
            access.put(data, {"clone_id": nothing, "clone_id_2": nothing, "clone_status": nothing,
                              "clone_posterior": np.full(data.n_obs, np.nan),
                              "has_trb": np.zeros(data.n_obs, dtype=bool)})
            access.put_table(data, "receptors", _schema.empty("receptors"))
        return data

    def _virus(self, data: Data) -> Data:
        viruses = _viruses(data)
        if viruses:
            from .evidence.api import virus_status

            named = self.options.config.vector_features
            virus_status(data, virus=viruses, vector=[v.strip() for v in named.split(",")] if named else (),
                         rng=self.options.seed)
        return data

    def _malignancy(self, data: Data) -> Data:
        from .malignancy.api import malignancy

        config = self.options.config
        focus = self._focus(data)
        user = self.shared.rows("malignant_key", self.options.malignant_key, self.patient)
        classifier = self.shared.rows("classifier", config.classifier, self.patient)
        malignancy(data, malignant_key=user, drivers=config.drivers, prior=config.malignancy_prior, gtf=config.gtf,
                   classifier=classifier, rng=self.options.seed)
        called = access.table(data, "malignancy")
        found = [] if called is None else called.loc[called["malignant_call"].isin(["malignant", "suspicious"]),
                                                     "clone_id"].tolist()
        access.store(data)["focus"] = np.array(focus or _focus_default(data, found), dtype=object)
        if focus:
            access.store(data)["focus_asked"] = np.array(focus, dtype=object)
        _keep_members(data, set(found) | set(access.store(data)["focus"]))
        return data

    def _focus(self, data: Data) -> list[str] | None:
        if self.options.focus is None:
            return None
        from .clones.api import parse_focus

        return parse_focus(self.options.focus, _tables.stage_table(data, "receptors"),
                           aliases=access.store(data).get("clone_aliases"))

    def _car(self, data: Data) -> Data:
        from .malignancy.populations_api import populations

        if self.options.car is not None:
            from .evidence.api import car_status

            config = self.options.config
            called = np.isin(access.text(data, "malignant_call"), ("malignant", "suspicious"))
            likely = pd.to_numeric(access.column(data, "malignant_p")).fillna(0).to_numpy() >= 0.5
            access.put(data, {"malignant_member": called & likely})
            car_status(data, car=self.options.car, unit="clone", population_key="malignant_member",
                       focus=list(access.store(data)["focus"]), fraction_limit=config.fraction_limit,
                       silenced_share=config.silenced_share, doublet_rate=config.doublet_rate,
                       sites=self.shared.own_sites(data), reference_copies=config.reference_copies,
                       rng=self.options.seed, device=settings.device)
            if self.options.car_adt is not None:
                from .evidence.api import car_protein

                car_protein(data, features=self.options.car_adt, fraction_limit=config.fraction_limit)
        populations(data)
        return data

    def _origin(self, data: Data) -> Data:
        from .origin.api import timeline
        from .origin.compare_api import compare
        from .origin.distinct_api import distinct

        if _viruses(data):
            from .evidence.api import virus_table

            virus_table(data)
        self._variants(data)
        timeline(data)
        config = self.options.config
        donors = self.shared.rows("donors", config.donors, self.patient)
        distinct(data, drivers=config.drivers, donor_key=donors, prior=config.distinct_prior)
        compare(data)
        return data

    def _variants(self, data: Data) -> None:
        from .evidence.api import variant_status

        drivers = self.options.config.drivers
        if drivers is not None and access.modality(data, "alleles") is not None:
            variant_status(data, sites=drivers, rng=self.options.seed, device=settings.device)

    # --- output ------------------------------------------------------------------------------------------------------
    def _write(self, data: Data, inputs: list[dict[str, object]]) -> None:
        from .report import page

        staged = self.work / "out"
        shutil.rmtree(staged, ignore_errors=True)
        started = time.perf_counter()
        for name, (table, make) in _tables.FILES.items():
            frame = make(data)
            access.store(data).setdefault("tables", {})[table] = frame
            _schema.write(frame, table, staged / name)
        record = {"patient": self.patient, "inputs": inputs, "parameters": self.options.record(),
                  "seed": self.options.seed, "versions": _provenance.versions(), "device": settings.device,
                  "note": "research use only"}
        access.store(data)["run"] = json.dumps(record, default=str)
        page.write_report(data, staged / "report.html")
        data.write_h5mu(staged / "patient.h5mu")
        self.seconds["write"] = round(time.perf_counter() - started, 2)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        _provenance.write_json(record | {"seconds": self.seconds, "peak_memory_mb": peak}, staged / "run.json")
        _move(staged, self.folder)
        shutil.rmtree(self.work, ignore_errors=True)


def _memory(data: Data) -> str:
    size = sum(m.X.data.nbytes + m.X.indices.nbytes for m in data.mod.values() if hasattr(m.X, "indices"))
    return f"counts take {size / 1e6:.0f} MB, expect about {max(6 * size / 1e9, 1):.1f} GB in all"


def _viruses(data: Data) -> dict[str, tuple[str, ...]]:
    """Viruses named for this run, with the features that the matrices hold."""
    features = access.store(data)["features"]
    viral = features[features["kind"] == "virus"]
    return {str(name): tuple(map(str, part["feature"])) for name, part in viral.groupby("name", sort=True)}


def _focus_default(data: Data, called: list[str]) -> list[str]:
    """All malignant and suspicious clones, plus the largest."""
    receptors = _tables.stage_table(data, "receptors")
    if receptors.empty:
        return called
    largest = receptors.sort_values(["n_cells", "clone_id"], ascending=[False, True], kind="stable")["clone_id"].iloc[0]
    return list(dict.fromkeys([*called, str(largest)]))


def _keep_members(data: Data, clones: set[str]) -> None:
    """Quality control flags members of malignant and focus clones instead of dropping them."""
    reason = access.text(data, "excluded_reason")
    kept = np.isin(access.text(data, "clone_id"), sorted(clones)) & np.isin(reason, _tables.QC_REASONS)
    access.put(data, {"qc_kept": np.where(kept, reason, ""), "excluded_reason": np.where(kept, "", reason)})


def _move(staged: Path, folder: Path) -> None:
    """Move finished files into place; run.json, the sign of a whole run, leaves first and arrives last."""
    (folder / "run.json").unlink(missing_ok=True)
    for path in sorted(staged.iterdir(), key=lambda p: p.name == "run.json"):
        path.replace(folder / path.name)


def _stack(target: Path, patients: Sequence[str]) -> None:
    """Stack the tables of all patients at the top of the output folder."""
    for name, (table, _) in _tables.FILES.items():
        parts = [pd.read_csv(target / p / name, dtype=_text_columns(table), keep_default_na=False, na_values=[""])
                 for p in patients]
        _schema.write(pd.concat(parts, ignore_index=True), table, target / name)


def _text_columns(table: str) -> dict[str, type]:
    return {c.name: str for c in _schema.TABLES[table] if c.dtype == "str"}
