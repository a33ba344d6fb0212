"""Development simulator: CAR-T libraries at the rates measured in public data, with the truth beside them.

Deliberately not the model: depth and expression are log-normal per cell, doublets add a part of a real profile and
take a part of the host's depth, soup has droplet noise, shares of mixed clones are uniform.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

CAR_FREE, MIXED, CARRYING = "CAR_free", "mixed", "CAR"


@dataclass(frozen=True)
class Rates:
    depth: float = 4000.0
    depth_sd: float = 0.5
    theta: float = 4e-4  # CAR UMIs per UMI of a carrying cell
    size: float = 4.0  # NB size within a clone
    tau: float = 0.5  # log-sd of expression between clones
    silent: float = 0.03
    foreign: float = 0.003  # share of the library's CAR content that leaks into every cell
    soup_noise: float = 0.4
    native: float = 0.0  # misassigned endogenous reads per UMI, T cells only
    doublets: float = 0.03
    lognormal: bool = False  # expression noise log-normal instead of gamma


@dataclass(frozen=True)
class Library:
    sample: str
    clones: dict[str, int]  # clone -> cells
    truth: dict[str, str]  # clone -> CAR_FREE, MIXED, CARRYING
    share: dict[str, float]  # carrying share of mixed clones
    rates: Rates
    other_cells: int = 200  # myeloid
    obs: dict[str, object] = field(default_factory=dict)


def zipf_clones(rng, *, singles, small, medium, carrying, mixed, dominant=None, prefix="c"):
    """Clone sizes of a repertoire with truths: `carrying` share of clones carries, `mixed` of those above one cell."""
    sizes = [1] * singles + list(rng.integers(2, 5, small)) + list(rng.integers(5, 41, medium))
    clones = {f"{prefix}{i:05d}": int(n) for i, n in enumerate(sizes)}
    truth, share = {}, {}
    for name, n in clones.items():
        truth[name] = CARRYING if rng.random() < carrying else CAR_FREE
        if n > 1 and rng.random() < mixed:
            truth[name], share[name] = MIXED, float(rng.uniform(0.1, 0.9))
    for name, (n, state, f) in (dominant or {}).items():
        clones[name], truth[name] = n, state
        if state == MIXED:
            share[name] = f
    return clones, truth, share


def simulate(library, rng, expression):
    """AnnData of one library; `expression` maps clone -> log multiplier, shared by the libraries of a patient."""
    r = library.rates
    clone = np.repeat(np.array(list(library.clones), object), list(library.clones.values()))
    clone = np.concatenate([clone, np.full(library.other_cells, "", object)])
    t_cell = clone != ""
    n = clone.size
    carries = np.zeros(n, bool)
    for name in library.clones:
        mine = clone == name
        state = library.truth[name]
        carries[mine] = state == CARRYING
        if state == MIXED:
            carries[mine] = rng.random(mine.sum()) < library.share[name]
    if library.obs.get("selection") == "CAR+":  # the sort keeps carrying cells, with a few leaks
        keep = carries | ~t_cell | (rng.random(n) < 0.02)
        clone, t_cell, carries = clone[keep], t_cell[keep], carries[keep]
        n = clone.size
    depth = np.exp(rng.normal(np.log(r.depth), r.depth_sd, n))
    multiplier = np.exp([expression.get(c, 0.0) for c in clone])
    silent = rng.random(n) < r.silent
    noise = (np.exp(rng.normal(-0.5 * np.log1p(1 / r.size), np.sqrt(np.log1p(1 / r.size)), n)) if r.lognormal
             else rng.gamma(r.size, 1 / r.size, n))
    own = rng.poisson(np.where(carries & ~silent, r.theta * depth * multiplier * noise, 0.0))
    content = own.sum() / depth.sum()
    soup = np.exp(rng.normal(0, r.soup_noise, n)) * r.foreign * content * depth
    native = np.where(t_cell, r.native * depth * rng.gamma(4.0, 1 / 4.0, n), 0.0)
    false = rng.poisson(soup + native)
    counts, total = own + false, depth.copy()
    double = rng.random(n) < r.doublets
    partner = rng.integers(0, n, n)
    part = rng.beta(4, 4, n)
    counts[double] = rng.binomial(counts[double], 1 - part[double]) + rng.binomial(counts[partner[double]],
                                                                                     part[double])
    total = np.maximum(np.round(total), counts + 1)
    obs = pd.DataFrame({"clone_id": clone, "sample": library.sample, "patient": "sim", "carries": carries,
                        "foreign": double & carries[partner],
                        "subset": np.where(t_cell, "T", "myeloid"), **library.obs},
                       index=[f"{library.sample}_{i:05d}" for i in range(n)])
    x = sparse.csr_matrix(np.column_stack([counts, total - counts]).astype(np.float32))
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=["CAR", "rest"]))


def patient(libraries, seed):
    """All libraries of a patient as one AnnData; truth in obs["carries"] and uns["truth"]."""
    rng = np.random.default_rng(seed)
    names = sorted({c for lib in libraries for c in lib.clones})
    expression = {c: float(rng.normal(0, libraries[0].rates.tau)) for c in names}
    parts = [simulate(lib, rng, expression) for lib in libraries]
    adata = ad.concat(parts, join="outer")
    for column in adata.obs.columns:
        if adata.obs[column].dtype == object:
            adata.obs[column] = adata.obs[column].fillna("")
    truth = {c: lib.truth[c] for lib in libraries for c in lib.clones}
    share = {c: lib.share.get(c, float(lib.truth[c] == CARRYING)) for lib in libraries for c in lib.clones}
    adata.uns["truth"] = pd.DataFrame({"truth": truth, "share": share})
    return adata


def between(rng, rates, sd=0.6):
    """The same rates with another library's expression."""
    return replace(rates, theta=rates.theta * float(np.exp(rng.normal(0, sd))))


FREE_100 = {f"free100_{i}": (100, CAR_FREE, 0.0) for i in range(6)}
CAR_30 = {f"car30_{i}": (30, CARRYING, 0.0) for i in range(6)}
TEST_CLONES = FREE_100 | CAR_30


def _tumour(rng, rates, *, carrying=0.15, mixed=0.05, sample="tumor", dominant=None, prefix="c", **obs):
    clones, truth, share = zipf_clones(rng, singles=700, small=150, medium=60, carrying=carrying, mixed=mixed,
                                       dominant=TEST_CLONES if dominant is None else dominant, prefix=prefix)
    return Library(sample, clones, truth, share, rates, obs={"selection": "none", "specimen": "biopsy", **obs})


def _sorted_sister(rng, rates):
    first = _tumour(rng, rates, carrying=0.03, mixed=0.03, dominant=FREE_100)
    more, truth, share = zipf_clones(rng, singles=250, small=40, medium=10, carrying=1.0, mixed=0.0, prefix="s")
    return [first, replace(first, sample="sort", rates=between(rng, rates), clones=first.clones | more,
                           truth=first.truth | truth, share=first.share | share,
                           obs={"selection": "CAR+", "specimen": "biopsy"})]


def _native(rng, rates):
    dominant = {"dominant": (400, CAR_FREE, 0.0)} | FREE_100
    return [_tumour(rng, replace(rates, native=1e-4), carrying=0.0, mixed=0.0, dominant=dominant)]


def _pre_infusion(rng, rates):
    clones, truth, share = zipf_clones(rng, singles=300, small=50, medium=10, carrying=0.0, mixed=0.0, prefix="p")
    return [_tumour(rng, replace(rates, native=5e-5)),
            Library("pre", clones, truth, share, replace(rates, native=6e-5),
                    obs={"selection": "none", "specimen": "pre", "day": -10.0})]


def _other_day(rng, rates):
    return [_tumour(rng, rates, carrying=0.01, mixed=0.0, dominant=FREE_100, day=300.0),
            _tumour(rng, between(rng, rates), sample="early", specimen="blood", day=30.0, carrying=0.3, prefix="e",
                    dominant={"other": (80, CARRYING, 0.0)})]


BUILD = {
    "base": lambda rng, r: [_tumour(rng, r)],
    "heavy_doublets": lambda rng, r: [_tumour(rng, replace(r, doublets=0.10), carrying=0.3)],
    "deep": lambda rng, r: [_tumour(rng, replace(r, depth=9000.0, foreign=0.01), carrying=0.4)],
    "low_expression": lambda rng, r: [_tumour(rng, replace(r, theta=1.5e-4), carrying=0.3)],
    "resting": lambda rng, r: [_tumour(rng, r, carrying=0.05, mixed=0.01)],
    "lognormal": lambda rng, r: [_tumour(rng, replace(r, lognormal=True, tau=0.6))],
    "mixed": lambda rng, r: [_tumour(rng, r, mixed=0.3)],
    "sorted_sister": _sorted_sister,
    "native_no_control": _native,
    "native_and_car": lambda rng, r: [_tumour(rng, replace(r, native=float(rng.choice([3e-5, 1e-4, 3e-4]))))],
    "native_pre_infusion": _pre_infusion,
    "no_control": lambda rng, r: [_tumour(rng, r, carrying=0.0, mixed=0.0, dominant=FREE_100)],
    "other_day": _other_day,
}
SCENARIOS = tuple(BUILD)


def scenario(name, seed):
    """One patient of a named scenario."""
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    rates = replace(Rates(), theta=4e-4 * float(np.exp(rng.normal(0, 0.4))), size=float(rng.uniform(3, 5)),
                    silent=float(rng.uniform(0, 0.05)))
    return patient(BUILD[name](rng, rates), [seed, 7])


NEGATIVE = ("no_clonal_CAR_expression", "CAR_transcript_not_detected", "CAR_DNA_not_detected")
CARRIES = ("CAR_positive", "CAR_mixed", "CAR_present")


def is_wrong(verdict, truth):
    """Whether a verdict is wrong, by the words' own definitions."""
    if truth == CAR_FREE:
        return verdict in CARRIES
    if truth == CARRYING:
        return verdict in NEGATIVE
    return verdict in {"CAR_positive", "CAR_transcript_not_detected", "CAR_DNA_not_detected"}


def score(adata):
    """Counts for the acceptance bars of one processed patient."""
    table = adata.uns["sclineage"]["tables"]["car_clones"].set_index("clone_id")
    rows = adata.uns["truth"].join(table, how="inner")
    rows["n"] = rows["car_n_informative"].astype(int)
    definite = rows["car_verdict"] != "indeterminate"
    wrong = np.array([is_wrong(v, t) for v, t in zip(rows["car_verdict"], rows["truth"], strict=True)], bool)
    big = rows["n"] >= 5
    shared = big & rows["car_fraction_low"].notna()
    inside = (rows["car_fraction_low"] <= rows["share"] + 1e-9) & (rows["share"] <= rows["car_fraction_high"] + 1e-9)
    pos = (adata.obs["car_call"] == "pos").to_numpy()
    carries = adata.obs["carries"].to_numpy(dtype=bool)
    free = rows.index.str.startswith("free100") & (rows["n"] >= 90)
    car30 = rows.index.str.startswith("car30")
    return pd.Series({
        "definite": definite.sum(), "wrong": (wrong & definite).sum(), "definite5": (definite & big).sum(),
        "wrong5": (wrong & big).sum(), "false_negative5": (wrong & big & (rows["truth"] != CAR_FREE)).sum(),
        "free100": free.sum(), "free100_negative": (free & rows["car_verdict"].isin(NEGATIVE)).sum(),
        "car30": car30.sum(), "car30_carry": (car30 & rows["car_verdict"].isin(CARRIES)).sum(),
        "pos": pos.sum(), "false_pos": (pos & ~carries).sum(), "true": carries.sum(), "true_pos": (pos & carries).sum(),
        "intervals": shared.sum(), "covered": (shared & inside).sum(),
        "small_negative": (rows["car_verdict"].isin(NEGATIVE) & (rows["n"] <= 3)).sum(),
        "transcript": (rows["car_verdict"] == "CAR_transcript_not_detected").sum()})
