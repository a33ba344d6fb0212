"""Gene expression of the simulated populations: marker programs on top of a common background.

Numbers are UMIs per 10,000, of the order seen in public T-cell libraries; nothing is fitted. A population is a sum of
programs; cells differ by depth, cell cycle, a gamma factor per gene, and a factor per gene shared by their clone.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from zlib import crc32

import numpy as np

from ..malignancy.arms import AUTOSOMES
from ..malignancy.genome import arms, shipped

Array = np.ndarray
CAR = "FMC63_CAR"  # the single-chain antibody fragment of axi-cel and tisa-cel: no human sequence in it
EBV = ("EBV_RPMS1", "EBV_LMP1", "EBV_LMP2A", "EBV_BNLF2a", "EBV_EBNA1", "EBV_BZLF1")
EBV_SHARES = (0.42, 0.22, 0.12, 0.16, 0.06, 0.02)  # polyadenylated latency II: RPMS1 and LMP1/BNLF2 dominate

PROGRAMS: dict[str, dict[str, float]] = {
    "T": {"CD3D": 8, "CD3E": 10, "CD3G": 5, "CD247": 3, "CD2": 5, "CD5": 3, "CD6": 2, "CD7": 5, "TRAC": 9, "TRBC1": 4,
          "TRBC2": 7, "IL32": 12, "LTB": 6, "CD52": 6, "CD48": 2, "CD27": 2.5, "CD28": 1, "CD69": 2, "BTG1": 6},
    "CD4": {"CD4": 2.5, "MAL": 1.2, "CD40LG": 1, "AQP3": 1.5, "DPP4": 1.2},
    "CD8": {"CD8A": 6, "CD8B": 5},
    "naive": {"CCR7": 3, "SELL": 5, "LEF1": 4, "TCF7": 4, "IL7R": 4, "PECAM1": 1.5, "CD27": 2},
    "memory": {"IL7R": 7, "KLRB1": 3, "CCL5": 4, "GZMK": 4, "CXCR3": 1, "S100A4": 10, "ANXA1": 4},
    "cytotoxic": {"GZMB": 7, "GZMH": 6, "GZMA": 7, "PRF1": 5, "GNLY": 14, "NKG7": 22, "CCL5": 22, "CST7": 7,
                  "CCL4": 5, "KLRG1": 1.5, "ZEB2": 1.5, "CX3CR1": 1, "TBX21": 1, "FCGR3A": 1, "S1PR5": 0.6},
    "regulatory": {"FOXP3": 2, "IL2RA": 3, "CTLA4": 3, "IKZF2": 1.5, "TNFRSF18": 2, "TIGIT": 2},
    "activated": {"IL2RA": 2, "TNFRSF9": 1, "TNFRSF4": 1, "HLA-DRA": 6, "HLA-DRB1": 4, "CD74": 8, "LAG3": 2,
                  "HAVCR2": 1.5, "GZMB": 6, "GZMA": 5, "NKG7": 12, "CCL5": 10, "STAT1": 1.5},
    "NK": {"NKG7": 24, "GNLY": 28, "KLRD1": 5, "KLRF1": 3, "KLRC1": 2, "NCAM1": 0.6, "TYROBP": 9, "FCER1G": 6,
           "FCGR3A": 5, "PRF1": 9, "GZMB": 10, "CST7": 7, "XCL1": 1, "XCL2": 2, "CD7": 5, "CD247": 4, "CD2": 1},
    "B": {"CD79A": 12, "CD79B": 7, "MS4A1": 8, "CD19": 1.5, "CD22": 1.2, "BANK1": 3, "IGHM": 9, "IGHD": 3, "IGKC": 25,
          "CD74": 35, "HLA-DRA": 22, "HLA-DRB1": 14, "HLA-DPA1": 6, "HLA-DPB1": 8, "CD37": 6, "TCL1A": 2, "PAX5": 1},
    "monocyte": {"LYZ": 60, "S100A8": 55, "S100A9": 60, "S100A12": 8, "FCN1": 12, "VCAN": 8, "CD14": 6, "CST3": 22,
                 "TYROBP": 14, "FCER1G": 10, "LST1": 8, "AIF1": 9, "CD68": 3, "CSF1R": 1.5, "MS4A7": 2, "FTL": 40,
                 "FTH1": 25, "CD74": 20, "HLA-DRA": 20, "HLA-DRB1": 12, "CD163": 0.8},
    "follicular": {"CXCL13": 5, "CXCR5": 2, "PDCD1": 3, "ICOS": 3, "BCL6": 1.5, "TOX": 3, "TOX2": 2},
    "aberrant": {"TNFRSF8": 3, "TOX": 3, "CCR4": 2, "VIM": 10, "LGALS1": 10, "NPM1": 5, "PTMA": 6},
}
POPULATIONS: dict[str, tuple[str, ...]] = {
    "CD4_naive": ("T", "CD4", "naive"), "CD4_memory": ("T", "CD4", "memory"), "Treg": ("T", "CD4", "regulatory"),
    "CD8_naive": ("T", "CD8", "naive"), "CD8_memory": ("T", "CD8", "memory"), "CD8_effector": ("T", "CD8", "cytotoxic"),
    "CAR_T_CD4": ("T", "CD4", "activated"), "CAR_T_CD8": ("T", "CD8", "activated"), "NK": ("NK",), "B": ("B",),
    "monocyte": ("monocyte",),
}
T_CELLS = tuple(p for p, programs in POPULATIONS.items() if "T" in programs)
CYCLING = {"CAR_T_CD4": 0.25, "CAR_T_CD8": 0.3, "CD8_effector": 0.04, "CD8_memory": 0.02, "CD4_memory": 0.02}
_CLASS_SHARE = {"mito": 0.05, "ribo": 0.33, "cycle_s": 0.002, "cycle_g2m": 0.002, "marker": 0.0, "other": 0.28,
                "quiet": 0.18}
_QUIET = 45  # further genes per arm, weakly expressed: without them few arms have genes enough to be compared
_SHARED = {"MALAT1": 230, "B2M": 150, "ACTB": 70, "ACTG1": 20, "TMSB4X": 80, "TMSB10": 50, "EEF1A1": 95, "TPT1": 42,
           "HLA-A": 40, "HLA-B": 50, "HLA-C": 45, "HLA-E": 10, "GAPDH": 20, "PFN1": 30, "CFL1": 15, "FTL": 20,
           "FTH1": 30, "VIM": 12, "S100A4": 15, "S100A6": 12, "PTMA": 20, "FAU": 25, "UBA52": 15, "NACA": 15,
           "SH3BGRL3": 18, "PTPRC": 6, "CXCR4": 6, "JUNB": 10, "FOS": 8, "JUN": 6, "TSC22D3": 6, "SRGN": 8, "CD53": 4,
           "NEAT1": 3, "CD37": 3, "ARID1A": 0.6, "DNMT3A": 0.3, "TET2": 0.3, "TP53": 0.3, "JAK1": 1.5, "STAT3": 1}


@dataclass(frozen=True, slots=True)
class Aberration:
    """What sets a tumour apart from the population it came from.

    Attributes
    ----------
    lost
        Genes whose expression falls to 3 %.
    programs
        Programs added on top.
    arms
        Chromosome arm -> copies relative to two (0.5 loss of one, 1.5 gain of one).
    cycling
        Share of cells in S or G2/M.
    """

    lost: tuple[str, ...] = ()
    programs: tuple[str, ...] = ("aberrant",)
    arms: Mapping[str, float] = field(default_factory=dict)
    cycling: float = 0.35


@dataclass(frozen=True, slots=True)
class Genes:
    """The gene table: symbols, Ensembl ids, chromosome arms and classes; each part in genome order."""

    symbol: tuple[str, ...]
    ensembl: tuple[str, ...]
    arm: Array
    kind: Array

    def index(self, names: Sequence[str]) -> Array:
        """Positions of named genes; a name that is not in the table is an error."""
        where = {s: i for i, s in enumerate(self.symbol)}
        return np.array([where[n] for n in names], np.int64)


@cache
def genes() -> Genes:
    """Human genes (GRCh38): the named ones of the shipped table, then quiet ones that go by their Ensembl id."""
    text = resources.files(__package__).joinpath("genes.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    quiet = _quiet_genes({r["ensembl_id"] for r in rows})
    ids = tuple(name for name, _ in quiet)
    return Genes(tuple(r["symbol"] for r in rows) + ids, tuple(r["ensembl_id"] for r in rows) + ids,
                 np.array([r["arm"] for r in rows] + [arm for _, arm in quiet]),
                 np.array([r["class"] for r in rows] + ["quiet"] * len(quiet)))


def _quiet_genes(known: set[str]) -> list[tuple[str, str]]:
    """Ensembl id and arm of genes spread evenly over each autosomal arm, from the table of gene positions."""
    table = shipped()
    arm = arms(table["chromosome"].to_numpy(object), table["start"].to_numpy(np.float64))
    out = []
    for name in AUTOSOMES:
        on = table[(arm == name) & ~table.index.isin(sorted(known))].sort_values(["start", "end"]).index
        if len(on) >= 2 * _QUIET:
            out += [(str(on[i]), name) for i in np.linspace(0, len(on) - 1, _QUIET).astype(int)]
    return out


@cache
def _background() -> Array:
    """Expression that all populations share, UMIs per 10,000; the same for every seed."""
    table, rng = genes(), np.random.default_rng(2106)
    weight = np.exp(rng.standard_normal(len(table.symbol)) * np.where(table.kind == "other", 1.1, 0.6))
    out = np.full(len(table.symbol), 0.02)
    for kind, share in _CLASS_SHARE.items():
        rows = table.kind == kind
        out[rows] += 1e4 * share * weight[rows] / weight[rows].sum()
    out[table.index(list(_SHARED))] = list(_SHARED.values())
    return out


def make_profile(population: str, aberration: Aberration | None = None) -> Array:
    """Expected share of every gene among a cell's UMIs, float64, sum 1."""
    table, out = genes(), _background().copy()
    programs = POPULATIONS[population] + (aberration.programs if aberration else ())
    for program in programs:
        out[table.index(list(PROGRAMS[program]))] += list(PROGRAMS[program].values())
    if aberration:
        out[table.index(aberration.lost)] *= 0.03
        for arm, copies in aberration.arms.items():
            out[table.arm == arm] *= copies
    return out / out.sum()


def clone_factor(name: str, *, sd: float = 0.2) -> Array:
    """Factor per gene that the cells of one clone share, the same in all its samples."""
    rng = np.random.default_rng([977, crc32(name.encode())])
    return np.exp(sd * rng.standard_normal(len(genes().symbol)) - 0.5 * sd**2)


def draw_cycle(rng: np.random.Generator, cycling: Array) -> Array:
    """Phase of every cell: 0 resting, 1 S, 2 G2/M; `cycling` is each cell's chance of either."""
    u = rng.random(len(cycling))
    return np.where(u < 0.5 * cycling, 1, np.where(u < cycling, 2, 0))


def draw_counts(rng: np.random.Generator, shares: Array, depth: Array, phase: Array, factors: Array | float,
                *, soup: Array, ambient: float, noise: float = 4.0) -> Array:
    """Gene counts of a block of cells, int32 (cells, genes).

    Parameters
    ----------
    rng
        Random generator.
    shares
        float64 (cells, genes), expected shares by population.
    depth
        Expected UMIs per cell (of the second cell of a doublet: the part that was captured).
    phase
        Cell-cycle phase per cell (`draw_cycle`).
    factors
        float64 (cells, genes) or a scalar: clone factors.
    soup
        float64 (genes,), the library's mean profile.
    ambient
        Share of a cell's UMIs that come from the soup.
    noise
        Gamma shape of the factor per cell and gene.
    """
    table = genes()
    mean = shares * factors
    for number, kind in ((1, "cycle_s"), (2, "cycle_g2m")):
        mean[np.ix_(phase == number, table.kind == kind)] *= 12.0
    mean *= rng.gamma(noise, 1.0 / noise, mean.shape)
    mean /= mean.sum(axis=1, keepdims=True)
    return rng.poisson(((1 - ambient) * mean + ambient * soup) * depth[:, None]).astype(np.int32)


def draw_virus(rng: np.random.Generator, infected: Array, depth: Array, *, mean: float = 4.0,
               leak: float = 0.004) -> Array:
    """EBV UMIs, int32 (cells, features): infected cells express a latency II programme, the rest see soup.

    Parameters
    ----------
    rng
        Random generator.
    infected
        bool per cell.
    depth
        Expected UMIs per cell; viral UMIs are proportional to it.
    mean
        UMIs of an infected cell of mean depth.
    leak
        Soup per droplet as a share of the mean viral content.
    """
    relative = depth / depth.mean()
    own = np.where(infected, mean * relative * rng.gamma(0.8, 1 / 0.8, len(depth)), 0.0)
    expected = own + leak * own.mean()
    return rng.poisson(expected[:, None] * np.array(EBV_SHARES)).astype(np.int32)
