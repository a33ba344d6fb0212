"""Genes that must not shape the embedding: what defines a clone, a vector or a stressed cell is not a cell type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

SEGMENTS = r"TR[ABGD]V(\d.*|[AB])|TR[BD]D\d|TR[ABGD]J(\d.*|P\d*)|IG[HKL]V.*|IGHD(\d.*)?|IG[HKL]J\d.*"
CONSTANT = r"TRBC\d|IGH([ME]|[GA]\d|GP|EP\d)|IGKC|IGLC\d"  # of which a clone has one, as TRBC1 or TRBC2
LINEAGE = r"TR(AC|DC|GC\d)"  # constant genes that all T cells of a kind share: not masked
ABUNDANT = r"MT-.*|RP[SL]\d+[AXYL]?\d*(-\d+)?|RPLP\d|RPSA\d?"  # mitochondrial, ribosomal
MASKED = re.compile(f"{SEGMENTS}|{CONSTANT}|{ABUNDANT}", re.IGNORECASE)

# Cell-cycle genes of Tirosh et al., Science 352:189 (2016); older and newer symbols of the renamed ones.
S_GENES = (
    "MCM5", "PCNA", "TYMS", "FEN1", "MCM2", "MCM4", "RRM1", "UNG", "GINS2", "MCM6", "CDCA7", "DTL", "PRIM1",
    "UHRF1", "MLF1IP", "CENPU", "HELLS", "RFC2", "RPA2", "NASP", "RAD51AP1", "GMNN", "WDR76", "SLBP", "CCNE2",
    "UBR7", "POLD3", "MSH2", "ATAD2", "RAD51", "RRM2", "CDC45", "CDC6", "EXO1", "TIPIN", "DSCC1", "BLM", "CASP8AP2",
    "USP1", "CLSPN", "POLA1", "CHAF1B", "BRIP1", "E2F8",
)
G2M_GENES = (
    "HMGB2", "CDK1", "NUSAP1", "UBE2C", "BIRC5", "TPX2", "TOP2A", "NDC80", "CKS2", "NUF2", "CKS1B", "MKI67", "TMPO",
    "CENPF", "TACC3", "FAM64A", "PIMREG", "SMC4", "CCNB2", "CKAP2L", "CKAP2", "AURKB", "BUB1", "KIF11", "ANP32E",
    "TUBB4B", "GTSE1", "KIF20B", "HJURP", "CDCA3", "HN1", "JPT1", "CDC20", "TTK", "CDC25C", "KIF2C", "RANGAP1",
    "NCAPD2", "DLGAP5", "CDCA2", "CDCA8", "ECT2", "KIF23", "HMMR", "AURKA", "PSRC1", "ANLN", "LBR", "CKAP5",
    "CENPE", "CTCF", "NEK2", "G2E3", "GAS2L3", "CBX5", "CENPA",
)
# Genes of dissociation and heat (van den Brink et al. 2017), and of the sex chromosomes.
STRESS_GENES = (
    "FOS", "FOSB", "JUN", "JUNB", "JUND", "ATF3", "EGR1", "EGR2", "IER2", "IER3", "ZFP36", "DUSP1", "HSPA1A", "HSPA1B",
    "HSPA6", "HSPA8", "HSPB1", "HSPE1", "HSPH1", "HSP90AA1", "HSP90AB1", "DNAJA1", "DNAJB1", "DNAJB4", "BAG3", "HSPD1",
)
SEX_GENES = ("XIST", "TSIX", "RPS4Y1", "RPS4Y2", "DDX3Y", "EIF1AY", "KDM5D", "UTY", "USP9Y", "ZFY", "NLGN4Y", "TMSB4Y",
             "TTTY14", "TTTY15", "PRKY", "SRY", "BCORP1", "LINC00278")
GROUPS: dict[str, tuple[str, ...]] = {"cycle": (*S_GENES, *G2M_GENES), "stress": STRESS_GENES, "sex": SEX_GENES}


def masked(names: Iterable[str], *, extra: Iterable[str] = (), groups: Sequence[str] = ()) -> np.ndarray:
    """Whether each gene is kept out of the highly variable genes.

    Parameters
    ----------
    names
        Gene symbols.
    extra
        Further names: CAR and viral features. With them in, a "CAR cluster" would be found because it was put in.
    groups
        Keys of `GROUPS` whose genes are masked as well.

    Returns
    -------
    bool, one per name.

    Notes
    -----
    Segments (V, D, J) and the constant genes of which a clone has one are masked; TRAC, TRDC and TRGC, which tell kinds
    of T cells, are not. Measured on public cells (``benchmarks/results/cells.receptors.md``): with the segments out, a
    constant gene more or less moves no neighbours towards the same TRBV or TRBC, and those that tell kinds of cells
    bring cells of the same annotation together in scaled data.
    """
    further = {*extra, *(gene for group in groups for gene in GROUPS[group])}
    return np.array([n in further or MASKED.fullmatch(n) is not None for n in map(str, names)], dtype=bool)
