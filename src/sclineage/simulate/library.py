"""Libraries in memory for testing CAR verdicts: one patient's samples as AnnData, clones of known size and content.

No files and no gene-expression biology: a few genes carry the depth and the markers of the major cell types. The
counts come from the same generative model as the patients on disk (`counts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from zlib import crc32

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .counts import CarModel, Family, draw_background, draw_depth, draw_partners, draw_signal, draw_spread
from .expression import CAR

Array = np.ndarray
CELLS = {1: 260, 2: 30, 3: 24, 4: 16, 5: 12, 8: 12, 12: 10, 20: 10, 30: 20, 50: 8, 100: 14, 300: 4}
_FILLER = 12  # genes that carry the depth
# marker genes and UMIs per 10,000 in T cells, monocytes and B cells
MARKERS = {"CD3D": (8, 0, 0), "CD3E": (10, 0, 0), "CD3G": (5, 0, 0), "TRAC": (9, 0, 0), "TRBC2": (7, 0, 0),
           "CD2": (5, 0, 0), "LYZ": (0, 60, 0), "S100A8": (0, 55, 0), "S100A9": (0, 60, 0), "CD14": (0, 6, 0),
           "FCN1": (0, 12, 0), "CD79A": (0, 0, 12), "MS4A1": (0, 0, 8), "CD79B": (0, 0, 7)}
_SUBSETS = ("T", "myeloid", "B")


@dataclass(frozen=True, slots=True)
class Params:
    """A patient for testing CAR verdicts.

    Attributes
    ----------
    sizes
        Clone size -> number of clones in the unsorted tumour library (realised exactly).
    carrying
        Share of the clones that are not mixed whose members all carry the CAR.
    mixed, mixed_range
        Share of clones of two or more cells with a CAR fraction drawn uniformly from the range.
    dominant
        Cells of one further, CAR-free clone; 0 for none.
    tau, clone_family
        Spread of log CAR expression between clones, and its family.
    theta, theta_sd
        CAR UMIs per UMI, and its log standard deviation between the libraries.
    model
        Rates within a library (its theta is replaced).
    depth, depth_sd
        Median UMIs per cell and standard deviation of the log.
    doublets
        Share of barcodes with a second cell.
    flagged
        Share of the doublets of two T cells that carry ``clone_status`` doublet, as where both TRB were captured.
    other
        Monocytes and B cells of the tumour library.
    sister, leak
        Cells of a CAR+-sorted library of the same specimen (0: none), and the share of them without the CAR.
    product, product_car
        Cells of an unsorted infusion product, and the share that carries the CAR (given as `car_fraction`).
    before
        T cells of a pre-infusion sample (0: none).
    counting
        `car_counting` of all samples.
    empties
        Empty droplets of each library (0: none known).
    """

    sizes: Mapping[int, int] = field(default_factory=lambda: dict(CELLS))
    carrying: float = 0.5
    mixed: float = 0.1
    mixed_range: tuple[float, float] = (0.1, 0.9)
    dominant: int = 0
    tau: float = 0.5
    clone_family: Family = "lognormal"
    theta: float = 4.5e-4
    theta_sd: float = 0.6
    model: CarModel = field(default_factory=CarModel)
    depth: float = 4000.0
    depth_sd: float = 0.5
    doublets: float = 0.03
    flagged: float = 0.0
    other: int = 250
    sister: int = 400
    leak: float = 0.03
    product: int = 0
    product_car: float = 0.5
    before: int = 600
    counting: str = "unique"
    empties: int = 0


def _clones(params: Params, rng: np.random.Generator) -> pd.DataFrame:
    """Clones of the tumour library: size, designed CAR fraction, expression relative to the library."""
    size = np.repeat(list(params.sizes), list(params.sizes.values()))
    fraction = (rng.random(len(size)) < params.carrying).astype(float)
    mixed = (rng.random(len(size)) < params.mixed) & (size >= 2)
    fraction[mixed] = rng.uniform(*params.mixed_range, int(mixed.sum()))
    if params.dominant:
        size, fraction = np.append(size, params.dominant), np.append(fraction, 0.0)
    return pd.DataFrame({"size": size, "car_fraction": fraction,
                         "strength": draw_spread(rng, len(size), sd=params.tau, family=params.clone_family)},
                        index=[f"clone{i:05d}" for i in range(len(size))])


def _tumor(clones: pd.DataFrame, params: Params, rng: np.random.Generator) -> pd.DataFrame:
    cells = clones.loc[clones.index.repeat(clones["size"])]
    car = rng.random(len(cells)) < cells["car_fraction"].to_numpy()
    frame = pd.DataFrame({"clone_id": cells.index, "car": car, "strength": cells["strength"].to_numpy(), "subset": "T"})
    kind = np.where(rng.random(params.other) < 0.75, "myeloid", "B")
    other = pd.DataFrame({"clone_id": "", "car": False, "strength": 1.0, "subset": kind})
    return pd.concat([frame, other], ignore_index=True)


def _sister(clones: pd.DataFrame, params: Params, rng: np.random.Generator) -> pd.DataFrame:
    """CAR+-sorted cells of the same clones: by their carrying members, and a leak by their other members."""
    leaks = rng.random(params.sister) < params.leak
    weight = clones["size"].to_numpy() * clones["car_fraction"].to_numpy()
    rest = clones["size"].to_numpy() * (1 - clones["car_fraction"].to_numpy())
    if weight.sum() == 0:
        return _extra("sorted", params.sister, ~leaks, params, rng)
    if rest.sum() == 0:
        leaks[:] = False
    pick = np.where(leaks, rng.choice(len(clones), params.sister, p=rest / rest.sum() if rest.sum() else None),
                    rng.choice(len(clones), params.sister, p=weight / weight.sum()))
    return pd.DataFrame({"clone_id": clones.index[pick], "car": ~leaks, "strength": clones["strength"].to_numpy()[pick],
                         "subset": "T"})


def _extra(name: str, n: int, car: Array, params: Params, rng: np.random.Generator) -> pd.DataFrame:
    """T cells of clones that are not in the tumour library, in clones of about three."""
    clone = rng.integers(0, max(n // 3, 1), n)
    strength = draw_spread(rng, n, sd=params.tau, family=params.clone_family)
    return pd.DataFrame({"clone_id": [f"{name}{c:05d}{'p' if x else 'n'}" for c, x in zip(clone, car, strict=True)],
                         "car": car, "strength": strength[clone], "subset": "T"})


def _libraries(params: Params, clones: pd.DataFrame, seed: int) -> list[tuple[dict[str, object], pd.DataFrame]]:
    def stream(name: str) -> np.random.Generator:
        return np.random.default_rng([seed, crc32(name.encode()), 11])

    base = {"chemistry": "10x-5p-v2", "car_counting": params.counting, "role": "", "car_fraction": np.nan,
            "car_fraction_n": np.nan, "diagnosis": ""}
    tumor = {**base, "specimen": "biopsy", "day": 60.0, "material": "tumor", "pool": "b"}
    out = [({**tumor, "sample": "tumor", "selection": "none"}, _tumor(clones, params, stream("tumor")))]
    if params.sister:
        out.append(({**tumor, "sample": "tumor_sorted", "selection": "CAR+", "role": "car_positive_control"},
                    _sister(clones, params, stream("sister"))))
    if params.product:
        rng = stream("product")
        car = rng.random(params.product) < params.product_car
        out.append(({**base, "sample": "product", "specimen": "product", "day": 0.0, "material": "product",
                     "selection": "none", "pool": "a", "car_fraction": params.product_car, "car_fraction_n": 5000.0},
                    _extra("product", params.product, car, params, rng)))
    if params.before:
        rng = stream("before")
        out.append(({**base, "sample": "apheresis", "specimen": "apheresis", "day": -30.0, "material": "blood",
                     "selection": "none", "pool": "a"},
                    _extra("before", params.before, np.zeros(params.before, bool), params, rng)))
    return out


def _gene_counts(rng: np.random.Generator, depth: Array, subset: Array, join: sparse.csr_matrix) -> sparse.csr_matrix:
    kind = np.array([_SUBSETS.index(s) for s in subset])
    rates = np.array(list(MARKERS.values()), float).T[kind] * 1e-4
    filler = np.repeat((1 - rates.sum(axis=1, keepdims=True)) / _FILLER, _FILLER, axis=1)
    counts = rng.poisson(np.hstack([rates, filler]) * depth[:, None])
    return sparse.csr_matrix(join @ sparse.csr_matrix(counts.astype(np.int64)))


def _count(row: Mapping[str, object], cells: pd.DataFrame, params: Params, seed: int) -> AnnData:
    """Counts and truth of one library."""
    rng = np.random.default_rng([seed, crc32(str(row["sample"]).encode()), 12])
    model = replace(params.model, theta=params.theta * float(np.exp(params.theta_sd * rng.standard_normal())))
    host, partner, part = draw_partners(rng, len(cells), params.doublets)
    rows = np.concatenate([np.arange(len(cells)), partner])
    barcode = np.concatenate([np.arange(len(cells)), host])
    depth = draw_depth(rng, len(rows), median=params.depth, sd=params.depth_sd)
    depth *= np.concatenate([np.ones(len(cells)), part])
    signal = draw_signal(rng, depth, cells["car"].to_numpy()[rows], cells["strength"].to_numpy()[rows], model)
    own = np.bincount(barcode, signal, len(cells)).astype(np.int64)
    t_cell = np.bincount(barcode, cells["subset"].to_numpy()[rows] == "T", len(cells)) > 0
    total = np.bincount(barcode, depth, len(cells))
    car = own + draw_background(rng, total, t_cell, float(own.mean()), model)
    join = sparse.csr_matrix((np.ones(len(rows), np.int64), (barcode, np.arange(len(rows)))), (len(cells), len(rows)))
    genes = _gene_counts(rng, depth, cells["subset"].to_numpy()[rows], join)
    obs = cells.rename(columns={"car": "truth_car", "strength": "truth_strength"}).assign(truth_partner_car=False)
    obs["truth_doublet"] = np.isin(np.arange(len(cells)), host)
    obs.loc[host, "truth_partner_car"] = cells["car"].to_numpy()[partner]
    obs["truth_own_umi"], obs["truth_theta"] = own, model.theta
    obs["clone_status"] = np.where(cells["clone_id"] == "", "no_receptor", "assigned")
    two = host[(cells["subset"].to_numpy()[host] == "T") & (cells["subset"].to_numpy()[partner] == "T")]
    obs.loc[two[rng.random(len(two)) < params.flagged], "clone_status"] = "doublet"
    obs = obs.assign(**row)  # type: ignore[arg-type]
    obs.index = [f"{row['sample']}:{i:06d}" for i in range(len(obs))]
    names = [*MARKERS, *(f"FILLER_{i + 1}" for i in range(_FILLER)), CAR]
    matrix = sparse.csr_matrix(sparse.hstack([genes, sparse.csr_matrix(car[:, None])]), dtype=np.float32)
    return AnnData(matrix, obs=obs, var=pd.DataFrame(index=names))


def _empties(name: str, own: Array, params: Params, seed: int) -> dict[str, object]:
    """Sums over the empty droplets of a library: soup at the rate per droplet that its cells have."""
    rng = np.random.default_rng([seed, crc32(name.encode()), 13])
    rate = params.model.soup * float(own.mean()) * draw_spread(rng, params.empties, sd=params.model.droplet_sd)
    return {"sample": name, "feature": CAR, "n_droplets": params.empties,
            "umi_total": int(rng.poisson(45 * params.empties)), "feature_umi": int(rng.poisson(rate).sum())}


def simulate_library(params: Params | None = None, *, seed: int) -> AnnData:
    """Simulate the libraries of one patient for a test of CAR verdicts.

    Parameters
    ----------
    params
        Rates and composition; None for the defaults.
    seed
        Seed; the same seed gives the same data.

    Returns
    -------
    AnnData: raw counts in ``X`` (float32 CSR of whole numbers; a few genes, the last one the CAR feature
    ``FMC63_CAR``); ``obs`` holds ``patient, sample, specimen, day, material, selection, pool, role, chemistry,
    car_counting, car_fraction, clone_id`` (empty without one), ``clone_status, subset``, and the truth: ``truth_car``
    (bool, of the barcode's first cell), ``truth_strength``, ``truth_doublet``, ``truth_partner_car``,
    ``truth_own_umi`` and ``truth_theta``. ``uns["sclineage"]["samples"]`` is the sample sheet; beside it ``empties``,
    sums over empty droplets, if asked for. ``uns["truth_clones"]`` has size, designed CAR fraction and expression of
    every clone of the tumour library.
    """
    params = params or Params()
    clones = _clones(params, np.random.default_rng([seed, 10]))
    parts, sheet, empties = [], [], []
    for row, cells in _libraries(params, clones, seed):
        parts.append(_count(row, cells, params, seed))
        sheet.append({"patient": "P1", **row})
        if params.empties:
            empties.append(_empties(str(row["sample"]), parts[-1].obs["truth_own_umi"].to_numpy(), params, seed))
    matrix = sparse.csr_matrix(sparse.vstack([p.X for p in parts]))
    obs = pd.concat([p.obs for p in parts])
    obs.insert(0, "patient", "P1")
    out = AnnData(matrix, obs=obs, var=parts[0].var)
    samples = pd.DataFrame(sheet)
    out.uns["sclineage"] = {"samples": samples.set_index(pd.Index(samples["sample"].to_list()))}
    if empties:
        out.uns["sclineage"]["empties"] = pd.DataFrame(empties)
    out.uns["truth_clones"] = clones
    return out
