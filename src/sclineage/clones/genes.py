"""Spelling of V, D, J and C genes: every caller's spelling to IMGT gene names without allele.

Known spellings: 10x (``TRBV6-5``, ``TRAV29/DV5``), AIRR and TRUST4 with alleles (``TRBV6-5*01``), MiXCR with scores
(``TRBV6-5*00(123.4)``), immunoSEQ (``TCRBV06-05*01``, ``TCRBV06-02/06-03``, family only ``TCRBV06``), several hits
separated by commas or ``or``. What stays undecided is a set, written with commas: ``TRBV6-2,TRBV6-3``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

import numpy as np
import pandas as pd

from .flat import Words, one_spelling

_GENE = re.compile(r"(TCR|TR|IG)([ABGDHKL])([VDJCMGAE])([0-9A-Z/\-]*)")
_SCORE = re.compile(r"\(([0-9.]+)\)")
# families of one gene, which immunoSEQ numbers "-01" and IMGT does not
_SINGLE_TRBV = frozenset(map(str, (1, 2, 9, 13, 14, 15, 16, 17, 18, 19, 26, 27, 28, 30)))
_SEVERAL_TRAV = frozenset(map(str, (1, 8, 9, 12, 13, 26, 38)))
_SHARED_WITH_DELTA = {"TRAV14": "TRAV14/DV4", "TRAV23": "TRAV23/DV6", "TRAV29": "TRAV29/DV5",
                      "TRAV36": "TRAV36/DV7", "TRAV38-2": "TRAV38-2/DV8"}


@cache
def parse_gene(text: str) -> tuple[str, ...]:
    """IMGT gene names that a call may mean, sorted, without alleles; empty when unresolved.

    Of scored hits (MiXCR) the best stay; a family without a gene number stays as the family (``TRBV6``).
    """
    hits = [h for h in re.split(r",|;|\bOR\b", str(text).upper()) if h.strip()]
    scores = [float(m.group(1)) if (m := _SCORE.search(h)) else np.nan for h in hits]
    best = np.nanmax(scores) if any(not np.isnan(s) for s in scores) else np.nan
    kept = [h for h, s in zip(hits, scores, strict=True) if np.isnan(best) or s == best]
    return tuple(sorted({gene for hit in kept for gene in _names(hit)}))


def _names(hit: str) -> list[str]:
    found = _GENE.search(hit)
    if found is None:
        return []
    style, chain, segment, body = found.groups()
    prefix = ("IG" if style == "IG" else "TR") + chain + segment
    if style != "TCR":
        return [_delta(prefix + body.rstrip("-/"))]
    first, *others = body.split("/")
    alternatives = [first, *(o for o in others if o[:1].isdigit())]
    return [_delta(_immunoseq(prefix, a)) for a in alternatives]


def _immunoseq(prefix: str, body: str) -> str:
    """``06-05`` of TCRB V as IMGT writes it."""
    parts = [p.lstrip("0") or "0" for p in re.sub(r"^OR0*", "OR", body).split("-")]
    family = parts[0]
    if len(parts) > 1 and parts[1].startswith("OR"):
        return f"{prefix}{family}/OR{parts[1][2:].lstrip('0')}-{parts[2]}" if len(parts) > 2 else prefix + family
    lone = (family in _SINGLE_TRBV if prefix == "TRBV" else family not in _SEVERAL_TRAV if prefix == "TRAV"
            else prefix in {"TRAJ", "TRDV", "TRDJ", "TRGV"})
    return prefix + (family if lone else "-".join(parts))


def _delta(gene: str) -> str:
    """One spelling for the V genes that alpha and delta share: ``TRAV29DV5``, ``TRAV29`` -> ``TRAV29/DV5``."""
    gene = re.sub(r"^(TRAV[0-9D\-]*[0-9])/?(DV.+)$", r"\1/\2", gene)
    return _SHARED_WITH_DELTA.get(gene, gene)


def normalise_genes(calls: Iterable[object]) -> np.ndarray:
    """Gene calls in any spelling -> object array of IMGT names, several joined by commas, ``""`` when unresolved."""
    return gene_words(calls).take_all()


def gene_words(calls: Iterable[object]) -> Words:
    """The same as `Words`."""
    codes, unique = pd.factorize(pd.Series(calls if isinstance(calls, np.ndarray) else list(calls), dtype=object))
    names = [",".join(parse_gene(_text(u))) for u in unique]
    return one_spelling(codes, names)


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)  # NaN is not equal to itself


def is_open(gene: str) -> bool:
    """Whether a normalised call leaves the gene open: unresolved, several, or a family of several genes."""
    if not gene or "," in gene:
        return True
    family = re.fullmatch(r"(TR[AB]V)(\d+)", gene)
    if family is None:
        return False
    prefix, number = family.groups()
    return number not in _SINGLE_TRBV if prefix == "TRBV" else number in _SEVERAL_TRAV


def compatible(a: str, b: str) -> bool:
    """Whether two normalised calls can mean the same gene: their sets meet, a family meets each of its genes."""
    if not a or not b:
        return True
    return any(x == y or x.startswith(y + "-") or y.startswith(x + "-") for x in a.split(",") for y in b.split(","))
