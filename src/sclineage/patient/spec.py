"""What the user calls the CAR and the viruses: text of the command line or the sheet to names of features."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from .._errors import InputError, nearest

Constructs = dict[str, tuple[str, ...]]
HUMAN_ID = re.compile(r"ENSG\d")
CONTIG_COLUMNS = ("contig", "chromosome", "seqname", "genome")


@dataclass(frozen=True, slots=True)
class VirusSpec:
    """One virus: `kind` says whether `values` are feature names, one prefix of names, or one contig (reference) id."""

    name: str
    kind: Literal["features", "prefix", "contig"]
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}={'+'.join(self.values) if self.kind == 'features' else f'{self.kind}:{self.values[0]}'}"


def parse_car(text: str | Mapping[str, Iterable[str]] | None) -> Constructs:
    """Constructs of ``--car``: ``F``, ``F1+F2`` (segments of one construct), ``F,G`` (two), ``NAME=F1+F2,NAME2=F3``.

    Returns
    -------
    Construct name to its features, in the order given; a construct without a name is called by its own text.

    Raises
    ------
    InputError
        Empty names, a name given twice, a feature repeated within a construct.
    """
    if text is None:
        return {}
    if isinstance(text, Mapping):
        return {str(k): tuple(map(str, v)) for k, v in text.items()}
    return _constructs(text, text.split(","), "--car")


def row_constructs(text: str, default: Constructs) -> Constructs | None:
    """Constructs of a sheet row: its own (``;`` between constructs) or `default`; None when the row says ``none``."""
    if not text:
        return default
    if text.casefold() == "none":
        return None
    return _constructs(text, text.split(";"), "column car")


def _constructs(text: str, items: list[str], source: str) -> Constructs:
    found: Constructs = {}
    for item in items:
        name, equals, segments = item.strip().rpartition("=")
        features = tuple(f.strip() for f in segments.split("+"))
        name = name.strip() if equals else segments.strip()
        if not name or "=" in name or not all(features):
            raise InputError(source, f"found {text!r}",
                             "write FEATURE[+FEATURE] or NAME=FEATURE[+FEATURE] per construct")
        if name in found or len(set(features)) < len(features):
            raise InputError(source, f"{name!r} is given twice in {text!r}", "name each construct and feature once")
        found[name] = features
    return found


def parse_virus(texts: str | VirusSpec | Iterable[str | VirusSpec] | None) -> dict[str, VirusSpec]:
    """Viruses of ``--virus``, each ``NAME=F1+F2``, ``NAME=prefix:EBV_`` or ``NAME=contig:NC_007605.1``.

    Raises
    ------
    InputError
        A text of another form, or a name given twice.
    """
    if texts is None:
        return {}
    found: dict[str, VirusSpec] = {}
    for text in [texts] if isinstance(texts, (str, VirusSpec)) else texts:
        spec = text if isinstance(text, VirusSpec) else _virus(text)
        if spec.name in found:
            raise InputError("--virus", f"{spec.name!r} is given twice", "give each virus once; join features with +")
        found[spec.name] = spec
    return found


def _virus(text: str) -> VirusSpec:
    name, equals, value = (part.strip() for part in text.partition("="))
    kind, colon, rest = value.partition(":")
    if colon and kind in ("prefix", "contig"):
        values: tuple[str, ...] = (rest.strip(),)
    else:
        kind, values = "features", tuple(f.strip() for f in value.split("+"))
    if not (equals and name and all(values)):
        raise InputError("--virus", f"found {text!r}", "write NAME=F1+F2, NAME=prefix:EBV_ or NAME=contig:ID")
    return VirusSpec(name, kind, values)  # type: ignore[arg-type]


def resolve_virus(spec: VirusSpec, var: pd.DataFrame) -> tuple[str, ...]:
    """Features of a virus among the rows of `var` (index = feature names, ``gene_ids`` where known), in its order.

    A contig is looked for in the columns contig, chromosome, seqname and genome, then as the beginning of feature
    names and ids (``NC_007605.1_cds_...``).

    Raises
    ------
    InputError
        Nothing matches (nearest names given), or a human gene does: ``EBNA`` also begins EBNA1BP2. A gene is human when
        its id is an Ensembl human gene id; without any such id in `var`, a prefix must end in ``_`` or ``-``.
    """
    names = pd.Index(var.index.astype(str))
    hits = {"features": _listed, "prefix": _prefixed, "contig": _on_contig}[spec.kind](spec, names, var)
    if not hits.any():
        raise InputError("--virus", f"no feature matches {spec}", nearest(spec.values[0], names))
    _require_not_human(spec, var, hits)
    return tuple(names[hits])


def _listed(spec: VirusSpec, names: pd.Index, var: pd.DataFrame) -> np.ndarray:
    absent = [f for f in spec.values if f not in names]
    if absent:
        raise InputError("--virus", f"feature {absent[0]!r} of {spec.name} is in no matrix or molecule table",
                         nearest(absent[0], names))
    return names.isin(spec.values)


def _prefixed(spec: VirusSpec, names: pd.Index, var: pd.DataFrame) -> np.ndarray:
    return np.array([n.startswith(spec.values[0]) for n in names], dtype=bool)


def _on_contig(spec: VirusSpec, names: pd.Index, var: pd.DataFrame) -> np.ndarray:
    contig = spec.values[0]
    for column in CONTIG_COLUMNS:
        if column in var and (var[column].astype(str) == contig).any():
            return (var[column].astype(str) == contig).to_numpy(dtype=bool)
    begins = re.compile(rf"{re.escape(contig)}(?:[._:|-].*)?")
    ids = var["gene_ids"].astype(str) if "gene_ids" in var else names
    return np.array([bool(begins.fullmatch(n) or begins.fullmatch(i)) for n, i in zip(names, ids, strict=True)])


def human_genes(var: pd.DataFrame) -> pd.Series:
    """Whether each row of `var` has an Ensembl human gene id."""
    ids = var["gene_ids"] if "gene_ids" in var else var.index.to_series()
    return pd.Series(ids.astype(str).str.contains(HUMAN_ID).to_numpy(dtype=bool), index=var.index)


def _require_not_human(spec: VirusSpec, var: pd.DataFrame, hits: np.ndarray) -> None:
    human = human_genes(var).to_numpy()
    wrong = list(var.index[human & hits])
    if wrong:
        raise InputError("--virus", f"{spec} also matches the human gene {wrong[0]!r}",
                         "use a longer prefix, or list the viral features with +")
    if spec.kind == "prefix" and not human.any() and spec.values[0][-1] not in "_-":
        raise InputError("--virus", f"{spec} matches {var.index[hits][0]!r}, and no gene has an Ensembl id to tell "
                         "human from viral", "list the viral features with +")
