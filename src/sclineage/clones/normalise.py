"""Receptor records of any caller -> one flat chain table, spelled one way.

A junction is compared by its *core*: the nucleotides between the codons of the conserved Cys and Phe/Trp, which the
V and J genes give anyway. So tables with and without these codons name the same chain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from .._errors import InputError
from .flat import Words, one_spelling
from .genes import gene_words
from .immunoseq import immunoseq_junctions, in_frame, is_immunoseq

CHAINS = ("cell", "locus", "junction", "junction_aa", "v_gene", "j_gene", "c_gene", "umis", "reads", "productive")
LOCI = ("TRB", "TRA", "TRD", "TRG", "IGH", "IGK", "IGL")
# our name -> names of other formats, best first
_ALIASES = {
    "locus": ("locus", "chain"),
    "junction": ("junction", "cdr3_nt", "nSeqCDR3", "CDR3nt"),
    "cdr3": ("cdr3",),
    "junction_aa": ("junction_aa", "aaSeqCDR3", "CDR3aa"),
    "v_gene": ("v_call", "v_gene", "allVHitsWithScore", "V", "v_resolved", "vGeneName"),
    "j_gene": ("j_call", "j_gene", "allJHitsWithScore", "J", "j_resolved", "jGeneName"),
    "c_gene": ("c_call", "c_gene", "allCHitsWithScore", "C"),
    "umis": ("umi_count", "umis", "duplicate_count", "uniqueMoleculeCount", "templates"),
    "reads": ("consensus_count", "reads", "readCount", "cloneCount", "#count"),
    "productive": ("productive",),
}
_TRUE = frozenset({"true", "t", "1", "1.0", "yes"})
_MISSING = frozenset({"", "none", "nan", "na", "<na>", "null"})


def chain_table(records: pd.DataFrame) -> pd.DataFrame:
    """One row per chain of a cell, in one spelling.

    Parameters
    ----------
    records
        One row per contig or rearrangement, with ``cell`` (int, any numbering) and the columns of the AIRR standard,
        of a Cell Ranger contig table, of MiXCR, of TRUST4 or of immunoSEQ. A missing UMI column gives 0 (unknown).

    Returns
    -------
    DataFrame with the columns of `CHAINS`: cell int64; junction upper case, U as T, letters other than ACGT as N,
    including its anchor codons where they were given; IMGT genes without alleles, open calls as comma-separated sets;
    these texts are categorical, without unused categories; umis and reads int64 (0 = unknown); productive bool
    (unstated counts as productive). Rows without a usable nucleotide junction or with another locus are left out; order
    is that of `records`.

    Raises
    ------
    InputError
        No column ``cell``; rows without any column of nucleotide junctions, or of loci and genes; junctions that are
        amino acids throughout; loci of which none is known.
    """
    if "cell" not in records:
        raise InputError("receptors", "no column 'cell'", "give one row per chain with the number of its cell")
    if "junction" not in records and is_immunoseq(records):
        records = records.assign(junction=immunoseq_junctions(records), productive=in_frame(records))
    columns = {name: _first(records, aliases) for name, aliases in _ALIASES.items()}
    if len(records) and columns["junction"] is None and columns["cdr3"] is None:
        raise InputError("receptors", "no nucleotide junction column (junction, cdr3_nt)",
                         "clones need nucleotides; amino acids alone cannot tell clones apart")
    if len(records) and all(columns[name] is None for name in ("locus", "v_gene", "j_gene")):
        raise InputError("receptors", "no column that tells the locus (locus, chain, v_call, j_call)",
                         "add one; a chain of an unknown locus is in no clone")
    n = len(records)
    words = {g: gene_words(_column(columns[g], n)) for g in ("v_gene", "j_gene", "c_gene")}
    words["locus"] = _loci(_upper(_column(columns["locus"], n), r"\s", "TR[ABDG]"), words["v_gene"], words["j_gene"])
    words["junction"] = _junctions(columns["junction"], columns["cdr3"], n)
    _refuse_useless(columns, words)
    words["junction_aa"] = _upper(_column(columns["junction_aa"], n), r"[^A-Z*_?]", r"[A-Z*_?]{5,}")
    keep = np.isin(words["locus"].texts, LOCI)[words["locus"].codes]
    keep &= np.array([len(text) >= 6 for text in words["junction"].texts], bool)[words["junction"].codes]
    rest = {"cell": records["cell"].to_numpy(np.int64), "umis": _counts(columns["umis"], n),
            "reads": _counts(columns["reads"], n), "productive": _productive(columns["productive"], n)}
    parts = {name: _categorical(words[name], keep) if name in words else rest[name][keep] for name in CHAINS}
    return pd.DataFrame(parts, copy=False)


def _refuse_useless(columns: Mapping[str, pd.Series | None], words: Mapping[str, Words]) -> None:
    """Raise where texts are there but none can be used: their cells would pass for cells without a receptor."""
    texts = {name: [text for text in words[name].of_use().texts if text] for name in ("junction", "locus")}
    given = [x for name in ("junction", "cdr3") for x in _given(columns[name])]
    if given and not texts["junction"]:
        raise InputError("receptors", f"no junction of nucleotides, but {given[0]!r}",
                         "put nucleotides into junction or cdr3_nt; amino acids alone cannot tell clones apart")
    if texts["locus"] and not any(text.startswith(("TR", "IG", "MULTI")) for text in texts["locus"]):
        raise InputError("receptors", f"no locus of a receptor, but {texts['locus'][0]!r}",
                         "write TRA, TRB, TRG, TRD, IGH, IGK or IGL")


def _given(values: pd.Series | None) -> list[str]:
    """The first text of a column that is not missing, if there is one."""
    texts = () if values is None else (str(x) for x in values.dropna())
    return [text for text in texts if text.strip().lower() not in _MISSING][:1]


def _categorical(words: Words, keep: np.ndarray) -> pd.Categorical:
    words = Words(words.codes[keep], words.texts).of_use()
    return pd.Categorical.from_codes(words.codes, categories=pd.Index(words.texts, dtype=object))


def empty_chains() -> pd.DataFrame:
    """Chain table without rows."""
    return chain_table(pd.DataFrame({"cell": np.zeros(0, np.int64)}))


def _first(records: pd.DataFrame, names: tuple[str, ...]) -> pd.Series | None:
    """First of the named columns, its gaps filled from the next."""
    found = [records[n] for n in names if n in records]
    if not found:
        return None
    out = found[0].astype(object)
    for other in found[1:]:
        out = out.where(out.notna(), other.astype(object))
    return out


def _column(values: pd.Series | None, n: int) -> np.ndarray:
    return np.full(n, "", dtype=object) if values is None else values.to_numpy(dtype=object)


def _upper(values: np.ndarray, forbidden: str, clean: str) -> Words:
    return _spelled(values, clean, lambda texts: _uppered(texts, forbidden))


def _spelled(values: np.ndarray, clean: str, spell: Callable[[pd.Series], pd.Series]) -> Words:
    """Values as texts, spelled; those that match `clean` are as they should be."""
    codes, unique = pd.factorize(values)
    texts, match = np.fromiter(map(str, unique), object, len(unique)), re.compile(clean).fullmatch
    rest = np.flatnonzero([match(text) is None for text in texts])
    texts[rest] = spell(pd.Series(texts[rest], dtype=object))
    return one_spelling(codes, texts)


def _uppered(texts: pd.Series, forbidden: str) -> pd.Series:
    texts = texts.str.strip()
    return texts.where(~texts.str.lower().isin(_MISSING), "").str.upper().str.replace(forbidden, "", regex=True)


def _junctions(junction: pd.Series | None, cdr3: pd.Series | None, n: int) -> Words:
    """Junctions; where only the CDR3 without anchors is given, that (scirpy's ``cdr3`` may also be amino acids)."""
    first = _nucleotides(_column(junction, n))
    empty = (first.texts == "")[first.codes]
    if cdr3 is None or not empty.any():
        return first
    second = _nucleotides(_column(cdr3, n))
    return one_spelling(np.where(empty, first.texts.size + second.codes, first.codes), [*first.texts, *second.texts])


def _nucleotides(values: np.ndarray) -> Words:
    def spell(texts: pd.Series) -> pd.Series:
        texts = _uppered(texts, r"[\s.\-]").str.replace("U", "T")
        # a protein can be spelled with ambiguity codes alone; nucleotides hold few of them
        is_protein = texts.str.count(r"[^ACGTN]") > 0.1 * texts.str.len()
        return texts.where(~is_protein, "").str.replace(r"[^ACGT]", "N", regex=True)

    return _spelled(values, "[ACGT]+", spell)


def _loci(given: Words, v: Words, j: Words) -> Words:
    """Locus as stated (``TRB``, ``TCRB``, ``beta``), else that of the J gene, else of the V gene."""
    words = {"TCRA": "TRA", "TCRB": "TRB", "TCRG": "TRG", "TCRD": "TRD", "ALPHA": "TRA", "BETA": "TRB",
             "GAMMA": "TRG", "DELTA": "TRD", "A": "TRA", "B": "TRB"}
    texts = [words.get(text, text) for text in given.texts] + [text[:3] for w in (j, v) for text in w.texts]
    by_j = given.texts.size + j.codes
    by_gene = np.where((j.texts == "")[j.codes], given.texts.size + j.texts.size + v.codes, by_j)
    return one_spelling(np.where((given.texts == "")[given.codes], by_gene, given.codes), texts)


def _counts(values: pd.Series | None, n: int) -> np.ndarray:
    if values is None:
        return np.zeros(n, np.int64)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    return np.maximum(np.nan_to_num(numbers), 0).round().astype(np.int64)


def _productive(values: pd.Series | None, n: int) -> np.ndarray:
    if values is None:
        return np.ones(n, bool)
    codes, unique = pd.factorize(values.to_numpy(object))
    return np.array([str(x).strip().lower() in _TRUE | _MISSING for x in unique] + [True], bool)[codes]


def core(junction: str) -> str:
    """Junction without its two anchor codons; unchanged when it does not begin with the Cys codon."""
    return junction[3:-3] if junction[:3] in ("TGT", "TGC") and len(junction) > 9 else junction
