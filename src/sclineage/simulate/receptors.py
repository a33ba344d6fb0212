"""T-cell receptors: rearrangements from real gene ends, clones, and the contig table as Cell Ranger 7 writes it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import pandas as pd

_BASES = "TCAG"
_CODE = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
CODONS = {a + b + c: _CODE[16 * i + 4 * j + k]
          for i, a in enumerate(_BASES) for j, b in enumerate(_BASES) for k, c in enumerate(_BASES)}
CONTIG_COLUMNS = (
    "barcode", "is_cell", "contig_id", "high_confidence", "length", "chain", "v_gene", "d_gene", "j_gene", "c_gene",
    "full_length", "productive", "fwr1", "fwr1_nt", "cdr1", "cdr1_nt", "fwr2", "fwr2_nt", "cdr2", "cdr2_nt", "fwr3",
    "fwr3_nt", "cdr3", "cdr3_nt", "fwr4", "fwr4_nt", "reads", "umis", "raw_clonotype_id", "raw_consensus_id",
    "exact_subclonotype_id")
_LENGTHS = {"TRA": (8, 18), "TRB": (9, 20)}  # amino acids of the junction, C and F/W included


@dataclass(frozen=True, slots=True)
class Chain:
    """A rearranged chain: genes, and the junction from the Cys codon to the Phe/Trp codon, nucleotides."""

    locus: str
    v: str
    d: str
    j: str
    c: str
    junction: str
    productive: bool = True

    @property
    def junction_aa(self) -> str:
        """Translation of the junction."""
        return translate(self.junction)


@dataclass(frozen=True, slots=True)
class Receptor:
    """Chains of one clone: the first of each locus is the dominant one."""

    trb: tuple[Chain, ...]
    tra: tuple[Chain, ...]

    @property
    def key(self) -> str:
        """Anchor of the clone: its TRB junction, nucleotides."""
        return self.trb[0].junction


def translate(nucleotides: str) -> str:
    """Amino acids of a reading frame; a trailing incomplete codon is dropped."""
    return "".join(CODONS[nucleotides[i:i + 3]] for i in range(0, len(nucleotides) - 2, 3))


@cache
def segments() -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
    """Ends of the germline genes that form a junction: (locus, region) -> (gene, nucleotides), sorted by gene."""
    out: dict[tuple[str, str], list[tuple[str, str]]] = {}
    text = resources.files(__package__).joinpath("segments.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        out.setdefault((row["locus"], row["region"]), []).append((row["gene"], row["sequence"]))
    return {key: tuple(sorted(genes)) for key, genes in out.items()}


def _trim(rng: np.random.Generator, most: int) -> int:
    return min(int(rng.poisson(2.2)), most)


def _added(rng: np.random.Generator, mean: float) -> str:
    return "".join(_BASES[i] for i in rng.integers(0, 4, int(rng.poisson(mean))))


def _middle(rng: np.random.Generator, locus: str, j: str) -> tuple[str, str]:
    """Nucleotides between V and J, and the D gene that gave some of them."""
    if locus == "TRA":
        return _added(rng, 4.0), ""
    genes = segments()["TRB", "D"]
    gene, sequence = genes[0] if j.startswith("TRBJ1") else genes[int(rng.integers(len(genes)))]
    a, b = _trim(rng, 5), _trim(rng, 5)
    return _added(rng, 3.0) + sequence[a:len(sequence) - b] + _added(rng, 3.0), gene


def _is_productive(junction: str, locus: str) -> bool:
    if len(junction) % 3:
        return False
    protein, (low, high) = translate(junction), _LENGTHS[locus]
    return protein[0] == "C" and protein[-1] in "FW" and "*" not in protein and low <= len(protein) <= high


def rearrange(rng: np.random.Generator, locus: str, *, productive: bool = True) -> Chain:
    """Draw one V(D)J rearrangement with trimming and added nucleotides, until it is (not) productive.

    Gene use is uniform over the genes of ``segments.csv``: gene usage is not what is being tested. TRBC follows the
    J cluster (TRBC1 with TRBJ1, TRBC2 with TRBJ2), as on chromosome 7.
    """
    pool = segments()
    while True:
        v, v_end = pool[locus, "V"][int(rng.integers(len(pool[locus, "V"])))]
        j, j_start = pool[locus, "J"][int(rng.integers(len(pool[locus, "J"])))]
        middle, d = _middle(rng, locus, j)
        junction = v_end[:len(v_end) - _trim(rng, len(v_end) - 3)] + middle + j_start[_trim(rng, len(j_start) - 6):]
        if _is_productive(junction, locus) == productive:
            constant = "TRAC" if locus == "TRA" else "TRBC" + j[4]
            return Chain(locus, v, d, j, constant, junction, productive)


def make_receptor(rng: np.random.Generator, taken: set[str], *, dual_tra: float = 0.1, dual_trb: float = 0.01,
                  silent_trb: float = 0.05) -> Receptor:
    """Draw the receptor of a new clone; its TRB junction is added to `taken` and differs from those in it.

    Parameters
    ----------
    rng
        Random generator.
    taken
        TRB junctions in use.
    dual_tra, dual_trb
        Share of clones with a second productive chain of the locus.
    silent_trb
        Share of clones whose second TRB allele is a non-productive rearrangement that is transcribed.
    """
    while (first := rearrange(rng, "TRB")).junction in taken:
        pass
    taken.add(first.junction)
    trb, tra = [first], [rearrange(rng, "TRA")]
    if rng.random() < dual_tra:
        tra.append(rearrange(rng, "TRA"))
    if rng.random() < dual_trb:
        trb.append(rearrange(rng, "TRB"))
    elif rng.random() < silent_trb:
        trb.append(rearrange(rng, "TRB", productive=False))
    return Receptor(tuple(trb), tuple(tra))


@dataclass(frozen=True, slots=True)
class Contig:
    """One assembled chain of one barcode."""

    barcode: str
    chain: Chain
    umis: int
    reads: int


def capture_contigs(rng: np.random.Generator, receptor: Receptor, barcode: str, *, trb: float, tra: float,
                    relative_depth: float = 1.0) -> list[Contig]:
    """Chains of a cell that V(D)J sequencing saw.

    Parameters
    ----------
    rng
        Random generator.
    receptor
        Chains of the clone.
    barcode
        Barcode the contigs get.
    trb, tra
        Probability that a chain is captured in a cell of median depth; 1 captures always.
    relative_depth
        Depth over the library's median: deep cells lose fewer chains.
    """
    out = []
    for chains, p in ((receptor.trb, trb), (receptor.tra, tra)):
        seen = 1.0 - (1.0 - p) ** np.sqrt(relative_depth)
        for chain in chains:
            odds = seen if chain.productive else 0.5 * seen
            if rng.random() < odds:
                umis = 1 + int(rng.negative_binomial(1.5, 1.5 / (1.5 + (6.0 if chain.locus == "TRB" else 4.0))))
                out.append(Contig(barcode, chain, umis, int(rng.poisson(220 * umis)) + 20))
    return out


def ambient_contig(rng: np.random.Generator, receptor: Receptor, barcode: str) -> Contig:
    """One chain of another cell's clone that floated into a droplet: mostly a single UMI."""
    chain = (*receptor.trb, *receptor.tra)[int(rng.integers(len(receptor.trb) + len(receptor.tra)))]
    umis = 1 + int(rng.random() < 0.1)
    return Contig(barcode, chain, umis, int(rng.poisson(60 * umis)) + 2)


def _clonotypes(contigs: Sequence[Contig]) -> dict[str, int]:
    """Clonotype number of every barcode: same set of productive junctions, numbered by size as Cell Ranger does."""
    chains: dict[str, set[tuple[str, str]]] = {}
    for contig in contigs:
        if contig.chain.productive:
            chains.setdefault(contig.barcode, set()).add((contig.chain.locus, contig.chain.junction))
    key = {barcode: tuple(sorted(found)) for barcode, found in chains.items()}
    order = sorted(Counter(key.values()).items(), key=lambda item: (-item[1], item[0]))
    number = {found: i + 1 for i, (found, _) in enumerate(order)}
    return {barcode: number[found] for barcode, found in key.items()}


def contig_table(contigs: Sequence[Contig]) -> pd.DataFrame:
    """``filtered_contig_annotations.csv`` in Cell Ranger 7's columns, sorted by barcode, highest UMI first.

    The framework and CDR1/2 columns stay empty; only junctions are simulated.
    """
    ranked = sorted(contigs, key=lambda c: (c.barcode, -c.umis, -c.reads, c.chain.locus, c.chain.junction))
    numbers, rows, count = _clonotypes(contigs), [], Counter[str]()
    for contig in ranked:
        chain, barcode = contig.chain, contig.barcode
        count[barcode] += 1
        clonotype = f"clonotype{numbers[barcode]}" if barcode in numbers else ""
        row = dict.fromkeys(CONTIG_COLUMNS, "") | {
            "barcode": barcode, "is_cell": "true", "contig_id": f"{barcode}_contig_{count[barcode]}",
            "high_confidence": "true", "length": str(420 + len(chain.junction)), "chain": chain.locus,
            "v_gene": chain.v, "d_gene": chain.d, "j_gene": chain.j, "c_gene": chain.c, "full_length": "true",
            "productive": "true" if chain.productive else "false", "reads": str(contig.reads),
            "umis": str(contig.umis), "raw_clonotype_id": clonotype}
        if chain.productive:
            row |= {"cdr3": chain.junction_aa, "cdr3_nt": chain.junction, "exact_subclonotype_id": "1",
                    "raw_consensus_id": f"{clonotype}_consensus_{count[barcode]}"}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(CONTIG_COLUMNS))
