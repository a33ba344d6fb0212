"""Receptor records of any caller -> one flat chain table, spelled one way.

A junction is compared by its *core*: the nucleotides between the codons of the conserved Cys and Phe/Trp, which the
V and J genes give anyway. So tables with and without these codons name the same chain.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._errors import InputError
from .genes import normalise_genes
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
    umis and reads int64 (0 = unknown); productive bool (unstated counts as productive). Rows without a usable
    nucleotide junction or with another locus are left out; order is that of `records`.

    Raises
    ------
    InputError
        No column ``cell``, or no nucleotide junction at all although there are rows.
    """
    if "cell" not in records:
        raise InputError("receptors", "no column 'cell'", "give one row per chain with the number of its cell")
    if "junction" not in records and is_immunoseq(records):
        records = records.assign(junction=immunoseq_junctions(records), productive=in_frame(records))
    columns = {name: _first(records, aliases) for name, aliases in _ALIASES.items()}
    if len(records) and columns["junction"] is None and columns["cdr3"] is None:
        raise InputError("receptors", "no nucleotide junction column (junction, cdr3_nt)",
                         "clones need nucleotides; amino acids alone cannot tell clones apart")
    out = pd.DataFrame({"cell": records["cell"].to_numpy(np.int64)})
    genes = {g: normalise_genes(_column(columns[g], len(out))) for g in ("v_gene", "j_gene", "c_gene")}
    out["locus"] = _loci(_column(columns["locus"], len(out)), genes["v_gene"], genes["j_gene"])
    out["junction"] = _junctions(_column(columns["junction"], len(out)), _column(columns["cdr3"], len(out)))
    out["junction_aa"] = _upper(_column(columns["junction_aa"], len(out)), r"[^A-Z*_?]")
    for name, values in genes.items():
        out[name] = values
    out["umis"], out["reads"] = _counts(columns["umis"], len(out)), _counts(columns["reads"], len(out))
    out["productive"] = _productive(columns["productive"], len(out))
    keep = out["locus"].isin(LOCI) & (out["junction"].str.len() >= 6)
    return out.loc[keep, list(CHAINS)].reset_index(drop=True)


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


def _upper(values: np.ndarray, forbidden: str) -> np.ndarray:
    codes, unique = pd.factorize(values)
    texts = pd.Series([*map(str, unique), ""], dtype=object).str.strip()
    texts = texts.where(~texts.str.lower().isin(_MISSING), "").str.upper().str.replace(forbidden, "", regex=True)
    return texts.to_numpy(dtype=object)[codes]


def _junctions(junction: np.ndarray, cdr3: np.ndarray) -> np.ndarray:
    """Junctions; where only the CDR3 without anchors is given, that (scirpy's ``cdr3`` may also be amino acids)."""
    first = _nucleotides(junction)
    return np.where(first == "", _nucleotides(cdr3), first)


def _nucleotides(values: np.ndarray) -> np.ndarray:
    codes, unique = pd.factorize(_upper(values, r"[\s.\-]"))
    texts = pd.Series([*unique, ""], dtype=object).str.replace("U", "T")
    # a protein can be spelled with ambiguity codes alone; nucleotides hold few of them
    is_protein = texts.str.count(r"[^ACGTN]") > 0.1 * texts.str.len()
    texts = texts.where(~is_protein, "").str.replace(r"[^ACGT]", "N", regex=True)
    return texts.to_numpy(dtype=object)[codes]


def _loci(given: np.ndarray, v: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Locus as stated (``TRB``, ``TCRB``, ``beta``), else that of the J gene, else of the V gene."""
    words = {"TCRA": "TRA", "TCRB": "TRB", "TCRG": "TRG", "TCRD": "TRD", "ALPHA": "TRA", "BETA": "TRB",
             "GAMMA": "TRG", "DELTA": "TRD", "A": "TRA", "B": "TRB"}
    codes, unique = pd.factorize(_upper(given, r"\s"))
    named = np.array([words.get(u, u) for u in unique] + [""], dtype=object)[codes]
    by_gene = np.array([(b or a)[:3] for a, b in zip(v, j, strict=True)], dtype=object)
    return np.where(np.isin(named, LOCI), named, np.where(named == "", by_gene, named))


def _counts(values: pd.Series | None, n: int) -> np.ndarray:
    if values is None:
        return np.zeros(n, np.int64)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    return np.maximum(np.nan_to_num(numbers), 0).round().astype(np.int64)


def _productive(values: pd.Series | None, n: int) -> np.ndarray:
    if values is None:
        return np.ones(n, bool)
    texts = values.map(lambda x: "" if x is None or x != x else str(x).strip().lower())
    return (texts.isin(_TRUE) | texts.isin(_MISSING)).to_numpy(bool)


def core(junction: str) -> str:
    """Junction without its two anchor codons; unchanged when it does not begin with the Cys codon."""
    return junction[3:-3] if junction[:3] in ("TGT", "TGC") and len(junction) > 9 else junction


def cores(junctions: np.ndarray) -> np.ndarray:
    """`core` of every entry of an object array."""
    codes, unique = pd.factorize(junctions)
    return np.array([core(u) for u in unique] + [""], dtype=object)[codes]
