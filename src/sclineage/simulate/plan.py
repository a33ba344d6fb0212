"""What a scenario is made of: clones that matter, groups of cells, libraries, sites, and the answers to expect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .counts import CarModel
from .expression import CAR, Aberration

# how the T cells of a sample without disease are made up
BLOOD_T = {"CD4_naive": 0.3, "CD4_memory": 0.25, "Treg": 0.05, "CD8_naive": 0.1, "CD8_memory": 0.15,
           "CD8_effector": 0.15}
BLOOD_OTHER = {"monocyte": 0.55, "NK": 0.25, "B": 0.2}
TUMOR_OTHER = {"monocyte": 0.6, "NK": 0.2, "B": 0.2}


@dataclass(frozen=True, slots=True)
class Focus:
    """A clone that the scenario is about.

    Attributes
    ----------
    name
        Name by which groups and answers refer to it.
    population
        Population its benign members look like.
    aberration
        What its malignant members changed.
    strength
        CAR expression of the clone relative to the library's average; None draws it like any other clone's.
    """

    name: str
    population: str = "CD4_memory"
    aberration: Aberration | None = None
    strength: float | None = 1.0


@dataclass(frozen=True, slots=True)
class Group:
    """Cells of one kind in one library.

    Attributes
    ----------
    population
        Name in `expression.POPULATIONS`; focus clones may leave it empty.
    n
        Cells.
    source
        Where their receptors come from: "" none, "pool" the patient's repertoire, "car" the repertoire of the infused
        cells, else the name of a focus clone.
    car
        Share of these cells whose genome holds the CAR.
    malignant
        Whether they show the clone's aberration.
    ebv
        Share of cells infected with EBV.
    captured
        Every chain of these cells is captured (for rare cells that an answer depends on).
    """

    population: str
    n: int
    source: str = ""
    car: float = 0.0
    malignant: bool = False
    ebv: float = 0.0
    captured: bool = False


@dataclass(frozen=True, slots=True)
class Library:
    """One library: its cells, its row of the sample sheet, and its rates.

    Attributes
    ----------
    sample
        Sample id.
    groups
        Its cells.
    row
        Columns of the sample sheet besides the files.
    model
        Rates of the CAR signal and background.
    features
        CAR features of its reference -> share of the CAR molecules that map to each (they may add up to less than 1).
    depth, depth_sd
        Median UMIs per cell and standard deviation of the log.
    ambient
        Share of gene-expression UMIs from the soup.
    doublets
        Share of barcodes with a second cell, any other cell of the library.
    pairs
        Further doublets: (name of a focus clone, prefix of the partner's population, share of the clone's cells).
    trb, tra, ambient_chain
        Capture of each chain in T cells of median depth; share of barcodes with another cell's chain.
    empties
        Empty droplets written to the raw matrix; 0 writes no raw matrix.
    panel
        Whether reads at the patient's sites were counted.
    gex, vdj
        Whether the library has these files.
    ebv_super
        Viral UMIs of one bursting barcode, a monocyte; 0 for none.
    """

    sample: str
    groups: tuple[Group, ...]
    row: Mapping[str, object] = field(default_factory=dict)
    model: CarModel = field(default_factory=CarModel)
    features: Mapping[str, float] = field(default_factory=lambda: {CAR: 1.0})
    depth: float = 3500.0
    depth_sd: float = 0.45
    ambient: float = 0.02
    doublets: float = 0.015
    pairs: tuple[tuple[str, str, float], ...] = ()
    trb: float = 0.9
    tra: float = 0.8
    ambient_chain: float = 0.02
    empties: int = 0
    panel: bool = False
    gex: bool = True
    vdj: bool = True
    ebv_super: int = 0


@dataclass(frozen=True, slots=True)
class Site:
    """A somatic variant and who carries it (heterozygous).

    Attributes
    ----------
    gene, chrom, pos, ref, alt
        Where it is (GRCh38, 1-based).
    focus
        Focus clones whose cells carry it.
    malignant_only
        Of the focus clones, only malignant members carry it.
    clones
        Share of all other T clones that carry it.
    others
        Share of cells without a receptor (myeloid, NK, B) that carry it.
    coverage
        Reads (UMIs) per cell of median depth.
    """

    gene: str
    chrom: str
    pos: int
    ref: str
    alt: str
    focus: tuple[str, ...] = ()
    malignant_only: bool = False
    clones: float = 0.0
    others: float = 0.0
    coverage: float = 0.6

    @property
    def name(self) -> str:
        """``chrom:pos:ref>alt``."""
        return f"{self.chrom}:{self.pos}:{self.ref}>{self.alt}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that the package should give.

    Attributes
    ----------
    question
        In words.
    expected
        Allowed words separated by ``|``, or a comparison such as ``>=2``.
    table, column
        Output table (`sclineage._schema.TABLES`) and column that hold the answer.
    focus
        Clone asked about, or "".
    where
        Further conditions on the row, ``column=value`` separated by ``;``.
    """

    question: str
    expected: str
    table: str = ""
    column: str = ""
    focus: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A patient to simulate.

    Attributes
    ----------
    libraries
        Samples, in order of the sheet.
    focus
        Clones the scenario is about.
    answers
        Answers to expect.
    pool, car_clones
        Clones of the patient's repertoire, and of the infused cells.
    mixed
        Share of the infused cells' clones that also have untransduced members in the repertoire.
    sites
        Variant panel.
    virus
        Whether the reference holds EBV genes.
    arguments
        Command-line arguments that the scenario is meant to be run with.
    config
        Keys of a configuration file.
    """

    libraries: tuple[Library, ...]
    focus: tuple[Focus, ...]
    answers: tuple[Answer, ...]
    pool: int = 2500
    car_clones: int = 120
    mixed: float = 0.08
    sites: tuple[Site, ...] = ()
    virus: bool = False
    arguments: Mapping[str, str] = field(default_factory=lambda: {"car": CAR})
    config: Mapping[str, object] = field(default_factory=dict)
    patient: str = "P1"


def spread(n: int, shares: Mapping[str, float], source: str = "", **rest: float) -> tuple[Group, ...]:
    """Groups of n cells in all, divided over populations by `shares`."""
    total, out, left = sum(shares.values()), [], n
    for i, (population, share) in enumerate(shares.items()):
        size = left if i == len(shares) - 1 else min(left, round(n * share / total))
        left -= size
        out.append(Group(population, size, source, **rest))  # type: ignore[arg-type]
    return tuple(g for g in out if g.n)


def t_cells(n: int) -> tuple[Group, ...]:
    """Polyclonal T cells without the CAR, as in blood."""
    return spread(n, BLOOD_T, "pool")


def other_cells(n: int, *, tumor: bool = False) -> tuple[Group, ...]:
    """Monocytes, NK and B cells."""
    return spread(n, TUMOR_OTHER if tumor else BLOOD_OTHER)


def car_t(n: int) -> tuple[Group, ...]:
    """Infused CAR-T cells, all of which carry the CAR."""
    return spread(n, {"CAR_T_CD8": 0.6, "CAR_T_CD4": 0.4}, "car", car=1.0)
