"""Configuration of a run: the keys of ``--config``, with their defaults. An unknown key is an error."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ._errors import InputError, nearest

_NUMBERS = {"fraction_limit": (0, 1), "malignancy_prior": (0, 1), "silenced_share": (0, 1), "doublet_rate": (0, 1),
            "reference_copies": (0, 100),
            "min_umi": (0, float("inf")), "min_genes": (0, float("inf")), "max_mito": (0, 1)}
_FILES = ("drivers", "gtf", "classifier", "donors", "sites", "labs")
_LEVELS = 7  # D0 to D6


@dataclass(frozen=True)
class Config:
    """Keys of a configuration file.

    Attributes
    ----------
    fraction_limit
        Largest CAR+ share that a strict negative may leave open.
    malignancy_prior
        Prior that the patient has a malignant T-cell clone; None: 0.5 with a proven or suspected lymphoma or a
        tumour sample, else 0.01.
    silenced_share
        Prior share of CAR+ clones that do not express it.
    doublet_rate
        Doublets per cell, per 1,000 cells loaded.
    min_umi, min_genes, max_mito
        Quality control.
    drivers
        VCF or CSV of driver mutations.
    gtf
        GTF of the reference, for the chromosome arms of the genes; None: GRCh38.
    classifier
        CSV of cells (``sample, barcode, probability``): your own classifier's probability of malignancy.
    donors
        CSV of cells (``sample, barcode, donor``), as told apart by genotype.
    distinct_prior
        Probabilities of the ancestor levels D0 to D6; None: equal.
    sites
        CSV of vector integration sites: specimen, chrom, pos, reads (or fragments), gene.
    reference_copies
        Copies per cell of the gene that vcn_reference counts.
    vector_features
        Viral features whose sequence the vector holds, separated by commas: left out of every virus.
    labs, scheduler
        Known keys of later versions: accepted, named as not used in the report.
    """

    fraction_limit: float = 0.10
    malignancy_prior: float | None = None
    silenced_share: float = 0.02
    doublet_rate: float = 0.008
    reference_copies: float = 2.0
    vector_features: str | None = None
    min_umi: int = 500
    min_genes: int = 200
    max_mito: float = 0.20
    drivers: str | None = None
    gtf: str | None = None
    classifier: str | None = None
    donors: str | None = None
    distinct_prior: tuple[float, ...] | None = None
    sites: str | None = None
    labs: str | None = None
    scheduler: str | None = None

    def record(self) -> dict[str, Any]:
        """The keys as a plain dict, without those left open."""
        return {k: v for k, v in asdict(self).items() if v is not None}

    def files(self) -> list[Path]:
        """Files that the configuration names."""
        return [Path(v) for k in _FILES if (v := getattr(self, k)) is not None]


def read_config(config: str | os.PathLike[str] | Mapping[str, Any] | None) -> Config:
    """Read and check a configuration; paths in a file are relative to that file."""
    if config is None:
        return Config()
    if isinstance(config, Mapping):
        return _check(dict(config), "config", Path())
    import yaml

    path = Path(config)
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(path, error.strerror or "cannot be read", "give an existing YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(path, f"is not YAML ({error})", "write lines of the form key: value") from None
    if not isinstance(loaded or {}, dict):
        raise InputError(path, "holds no key: value lines", "write lines of the form key: value")
    return _check(loaded or {}, str(path), path.parent)


def _check(keys: dict[str, Any], name: str, folder: Path) -> Config:
    known = [f.name for f in fields(Config)]
    for key, value in keys.items():
        if key not in known:
            raise InputError(name, f"unknown key {key!r}", nearest(str(key), known))
        if key in _NUMBERS:
            _number(name, key, value)
        elif key == "vector_features":
            keys[key] = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        elif key in _FILES:
            keys[key] = str(folder / str(value))
            if not Path(keys[key]).exists():
                raise InputError(name, f"file {value!r} does not exist", "paths are relative to the configuration",
                                 place=f"key {key}")
        elif key == "distinct_prior":
            keys[key] = _levels(name, value)
    return Config(**keys)


def _number(name: str, key: str, value: object) -> None:
    low, high = _NUMBERS[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(name, f"{value!r} is not a number from {low} to {high}", "give such a number",
                         place=f"key {key}")


def _levels(name: str, value: object) -> tuple[float, ...]:
    given = list(value) if isinstance(value, list | tuple) else []
    good = len(given) == _LEVELS and all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0
                                         for v in given)
    if not good:
        raise InputError(name, f"{value!r} are not {_LEVELS} numbers above 0", "give one per level, D0 to D6",
                         place="key distinct_prior")
    return tuple(float(v) for v in given)
