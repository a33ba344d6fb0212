"""Index hopping: molecules that two libraries of one sequencing pool both hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from .. import _schema
from ..reads.chimeras import hopping
from .load import Sample

FLAG_FROM = 0.01  # share of a library's molecules that another one holds too

Library = tuple[np.ndarray, np.ndarray]


def hopping_table(samples: Mapping[str, Sample]) -> pd.DataFrame:
    """One row per library (GEM well) of a pool in which several have molecule tables (columns `_schema.HOPPING`).

    Samples of one GEM well, or with a file in common, are one library. Samples without a pool are compared with each
    other. A barcode, UMI and feature that two libraries share by chance is rare: among a million molecules each of one
    feature, with ten thousand barcodes and UMIs of 12 bases, about six.
    """
    found = []
    for pool, libraries in _pools(samples).items():
        if len(libraries) > 1:
            table = hopping({well: _molecules([samples[n] for n in names]) for well, names in libraries.items()})
            table = table.rename(columns={"sample": "gem_well"})
            table["samples"] = [";".join(libraries[w]) for w in table["gem_well"]]
            found.append(table.assign(pool=pool, share=table["shared"] / table["molecules"].clip(lower=1)))
    if not found:
        return _schema.empty("hopping")
    patient = str(next(iter(samples.values())).row["patient"])
    return _schema.conform(pd.concat(found).assign(patient=patient), "hopping")


def _pools(samples: Mapping[str, Sample]) -> dict[str, dict[str, list[str]]]:
    """Samples with molecules, by pool and library."""
    library_of: dict[Path, str] = {}
    pools: dict[str, dict[str, list[str]]] = {}
    for name in sorted(samples):
        sample = samples[name]
        files = [t.file for t in sample.tables if t.keys.size]
        if files:
            library = next((library_of[f] for f in files if f in library_of), str(sample.row["gem_well"]))
            library_of |= dict.fromkeys(files, library)
            pools.setdefault(str(sample.row["pool"]), {}).setdefault(library, []).append(name)
    return pools


def _molecules(samples: list[Sample]) -> Library:
    """Molecules of a library, each once: samples that share a file hold them several times."""
    tables = [t for s in samples for t in s.tables]
    keys, first = np.unique(np.concatenate([t.keys for t in tables]), return_index=True)
    return keys, np.concatenate([t.reads for t in tables])[first]


def note_hopping(samples: Mapping[str, Sample], table: pd.DataFrame) -> None:
    """Flag the samples of libraries that share molecules with another one, and say so in the report."""
    for names, molecules, share in zip(table["samples"], table["molecules"], table["share"], strict=True):
        for name in str(names).split(";") if share >= FLAG_FROM else ():
            samples[name].facts["index_hopping"] = f"{share:.3f}"
            samples[name].notes.append(
                f"{name}: {share:.1%} of its {molecules} molecules are in another library of the pool as well "
                "(index hopping, or one library given twice)")
