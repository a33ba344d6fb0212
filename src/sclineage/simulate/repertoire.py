"""Repertoires with known truth for judging clone assignment: the rates of capture, ambient and doublets are drawn.

Deliberately not the model of `sclineage.clones`: capture varies with the depth of the cell and with the chain of the
clone, ambient chains come in overdispersed numbers and UMIs, sequencing errors make chains, clones share alphas by
chance, and every seed draws its own rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pandas as pd

_CODONS = np.array([a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT" if a + b + c not in
                    ("TAA", "TAG", "TGA")], dtype=object)
_N_V = {"TRB": 48, "TRA": 44}
_N_J = {"TRB": 13, "TRA": 50}


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of one simulated library set.

    Attributes
    ----------
    malignant
        Share of T cells in the largest clone.
    naive
        Share of T cells whose clone has one cell.
    zipf
        Exponent of the sizes of the other clones.
    capture_trb, capture_tra
        P(a chain is seen) at median depth.
    depth_sd
        Log-normal spread of the cells' depth, which raises capture and UMIs together.
    umi_trb, umi_tra
        Mean UMIs of a seen chain beyond the first.
    ambient
        Expected ambient chains per droplet.
    ambient_spread
        Gamma shape of that number between droplets; small is uneven.
    ambient_umi
        Mean UMIs of an ambient chain beyond the first (negative binomial, size 0.3).
    doublet
        Share of droplets with two cells.
    dual_tra, dual_trb
        Share of clones with two productive chains.
    sister
        Share of clones that share the TRB of another with their own TRA.
    public_tra
        Share of clones whose TRA comes from a small shared pool.
    error
        P(a seen chain with many UMIs sheds a one-nucleotide child).
    other
        Droplets without T cells, as a share of those with.
    uneven
        Log-normal spread of the sizes of the samples, and normal spread of the logit of their capture; 0: all alike.
    recognised
        Share of T cells of median depth that their expression shows to be T cells.
    mistaken
        Share of droplets without T cell whose expression looks like one.
    uncaptured
        Cells that were lost and fed the ambient, as a share of those captured.
    """

    malignant: float = 0.15
    naive: float = 0.4
    zipf: float = 1.6
    capture_trb: float = 0.93
    capture_tra: float = 0.85
    depth_sd: float = 0.5
    umi_trb: float = 6.0
    umi_tra: float = 3.5
    ambient: float = 0.03
    ambient_spread: float = 1.0
    ambient_umi: float = 0.3
    doublet: float = 0.05
    dual_tra: float = 0.2
    dual_trb: float = 0.01
    sister: float = 0.001
    public_tra: float = 0.02
    error: float = 0.01
    other: float = 0.3
    uneven: float = 0.0
    recognised: float = 0.95
    mistaken: float = 0.02
    uncaptured: float = 0.5


@dataclass(frozen=True)
class Repertoire:
    """Simulated receptors.

    Attributes
    ----------
    records
        One row per chain seen: ``cell, locus, junction, v_call, j_call, c_call, umi_count, consensus_count,
        productive``.
    truth
        One row per droplet: ``sample`` (int), ``clone`` and ``clone_2`` (-1 none), ``n_own`` (own chains seen),
        ``own_trb`` (whether an own TRB was seen), ``shown_1``, ``shown_2``, ``trb_1``, ``trb_2`` (whether the first and
        the second cell showed a chain, a TRB), ``trb_umi_1``, ``trb_umi_2`` (UMIs of that TRB), ``group`` (by
        expression: 1 T cell, 2 other, 3 myeloid or B cell).
    clones
        One row per clone: chains ``trb, trb_2, tra, tra_2`` (-1 none), rows of `chains`.
    chains
        ``locus, junction, v_call, j_call``.
    rates
        What was drawn.
    """

    records: pd.DataFrame
    truth: pd.DataFrame
    clones: pd.DataFrame
    chains: pd.DataFrame
    rates: Rates


def draw_rates(seed: int) -> Rates:
    """Rates of a seed, over the range seen in real libraries and somewhat beyond."""
    rng = np.random.default_rng([seed, crc32(b"rates")])
    return Rates(malignant=float(rng.choice([0.0, 0.05, 0.15, 0.3, 0.5])), naive=float(rng.uniform(0.1, 0.7)),
                 zipf=float(rng.uniform(1.2, 2.2)), capture_trb=float(rng.uniform(0.8, 0.97)),
                 capture_tra=float(rng.uniform(0.65, 0.93)), depth_sd=float(rng.uniform(0.2, 0.7)),
                 umi_trb=float(rng.uniform(3, 12)), umi_tra=float(rng.uniform(2, 7)),
                 ambient=float(np.exp(rng.uniform(np.log(0.005), np.log(0.10)))),
                 ambient_spread=float(rng.uniform(0.3, 3)), ambient_umi=float(rng.uniform(0.05, 0.6)),
                 doublet=float(rng.uniform(0.01, 0.10)), dual_tra=float(rng.uniform(0.1, 0.3)),
                 dual_trb=float(rng.uniform(0.002, 0.02)), sister=float(rng.uniform(0, 0.003)),
                 public_tra=float(rng.uniform(0, 0.05)), error=float(rng.uniform(0, 0.02)),
                 other=float(rng.uniform(0, 1)))


def simulate_repertoire(n_cells: int, *, seed: int, rates: Rates | None = None, n_samples: int = 1) -> Repertoire:
    """Draw a repertoire of one patient.

    Parameters
    ----------
    n_cells
        Droplets with a T cell.
    seed
        Seed; equal seeds give equal repertoires.
    rates
        Rates; None draws them from the seed.
    n_samples
        Samples over which droplets are spread (evenly unless ``rates.uneven``); clones are in all of them.
    """
    rates = draw_rates(seed) if rates is None else rates
    rng = np.random.default_rng([seed, crc32(b"repertoire")])
    lost = round(n_cells * rates.uncaptured)
    of_all = _clone_of_cells(rng, n_cells + lost, rates)
    of_cell = of_all[:n_cells]
    clones, chains = _receptors(rng, int(of_all.max()) + 1, rates)
    n = n_cells + round(n_cells * rates.other)
    sample, shift = _samples(rng, n, n_samples, rates.uneven)
    truth = pd.DataFrame({"sample": sample, "clone": -1, "clone_2": -1})
    truth.loc[:n_cells - 1, "clone"] = of_cell
    second = np.flatnonzero(rng.random(n_cells) < rates.doublet)
    truth.loc[second, "clone_2"] = rng.choice(of_cell, second.size)
    own, depth = _own_chains(rng, truth, clones, chains, rates, shift)
    outside = pd.DataFrame({"sample": rng.choice(sample, lost), "clone": of_all[n_cells:], "clone_2": -1})
    soup, _ = _own_chains(rng, outside, clones, chains, rates, shift)
    soup = pd.concat([own.assign(sample=sample[own["cell"]]),
                      soup.assign(sample=outside["sample"].to_numpy()[soup["cell"]])], ignore_index=True)
    seen = pd.concat([own, _ambient(rng, truth, soup, rates)], ignore_index=True)
    seen = _with_errors(rng, seen, len(chains), rates.error)
    truth["n_own"] = np.bincount(own["cell"], minlength=n)
    is_trb = chains["locus"].to_numpy(object)[own["chain"]] == "TRB"
    for party in (0, 1):
        cell, of = own["cell"], own["party"] == party
        truth[f"shown_{party + 1}"] = np.bincount(cell[of], minlength=n) > 0
        truth[f"trb_{party + 1}"] = np.bincount(cell[of & is_trb], minlength=n) > 0
        umi = own[of & is_trb].groupby("cell")["umi_count"].max()
        truth[f"trb_umi_{party + 1}"] = umi.reindex(range(n), fill_value=0)
    truth["own_trb"] = truth["trb_1"] | truth["trb_2"]
    truth["group"] = _groups(rng, truth, depth, rates)
    return Repertoire(_records(rng, seen, chains), truth, clones, chains, rates)


def _samples(rng: np.random.Generator, n: int, n_samples: int, uneven: float) -> tuple[np.ndarray, np.ndarray]:
    """Sample of every droplet, and the shift of the capture's logit in every sample."""
    if uneven == 0:
        return rng.integers(0, n_samples, n), np.zeros(n_samples)
    size = np.exp(rng.normal(0, uneven, n_samples))
    return rng.choice(n_samples, n, p=size / size.sum()), rng.normal(0, uneven, n_samples)


def _clone_of_cells(rng: np.random.Generator, n: int, rates: Rates) -> np.ndarray:
    """Clone 0 is the malignant one (if any); then Zipf-sized clones, then clones of one cell."""
    malignant = round(rates.malignant * n)
    naive = round(rates.naive * (n - malignant))
    memory = n - malignant - naive
    sizes = np.minimum(rng.zipf(rates.zipf, memory + 1), max(memory // 20, 1))
    sizes = sizes[:np.searchsorted(np.cumsum(sizes), memory) + 1]
    labels = [np.zeros(malignant, np.int64), np.repeat(np.arange(1, sizes.size + 1), sizes)[:memory]]
    labels.append(np.arange(naive) + sizes.size + 1)
    return rng.permutation(np.concatenate(labels))


def _junctions(rng: np.random.Generator, n: int) -> np.ndarray:
    length = rng.integers(8, 16, n)
    codons = rng.choice(_CODONS, int(length.sum()))
    ends = np.cumsum(length)
    return np.array(["TGT" + "".join(codons[e - k:e]) + "TTC" for e, k in zip(ends, length, strict=True)],
                    dtype=object)


def _chain_rows(rng: np.random.Generator, n: int, locus: str) -> pd.DataFrame:
    v, j = rng.integers(1, _N_V[locus] + 1, n), rng.integers(1, _N_J[locus] + 1, n)
    names = (("TRBV{}-1", "TRBJ1-{}") if locus == "TRB" else ("TRAV{}-1", "TRAJ{}"))
    return pd.DataFrame({"locus": locus, "junction": _junctions(rng, n), "v_call": [names[0].format(x) for x in v],
                         "j_call": [names[1].format(x) for x in j]})


def _receptors(rng: np.random.Generator, n: int, rates: Rates) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Chains of the clones: own TRB and TRA, some second chains, some shared with other clones."""
    chains = pd.concat([_chain_rows(rng, 2 * n, "TRB"), _chain_rows(rng, 2 * n, "TRA")], ignore_index=True)
    index = np.arange(n)
    trb, tra = index.copy(), 2 * n + index
    sister = np.flatnonzero(rng.random(n) < rates.sister)
    trb[sister] = trb[rng.integers(0, n, sister.size)]
    public = np.flatnonzero(rng.random(n) < rates.public_tra)
    tra[public] = 2 * n + rng.integers(0, max(n // 200, 3), public.size)
    clones = pd.DataFrame({"trb": trb, "trb_2": np.where(rng.random(n) < rates.dual_trb, n + index, -1), "tra": tra,
                           "tra_2": np.where(rng.random(n) < rates.dual_tra, 3 * n + index, -1)})
    return clones, chains


def _own_chains(rng: np.random.Generator, truth: pd.DataFrame, clones: pd.DataFrame, chains: pd.DataFrame,
                rates: Rates, shift: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Chains of the cells in the droplets that were captured, with UMIs; and the log depth of the first cells."""
    weight = {c: rng.normal(0, 0.4, len(clones)) for c in clones.columns}  # how well each chain of a clone captures
    sample = truth["sample"].to_numpy()
    parts, first = [], np.zeros(len(truth))
    for party, column in enumerate(("clone", "clone_2")):
        cell = np.flatnonzero(truth[column] >= 0)
        clone = truth[column].to_numpy()[cell]
        depth = rng.normal(0, rates.depth_sd, cell.size)
        first[cell] = np.maximum(first[cell], depth) if party else depth
        for name in clones.columns:
            chain = clones[name].to_numpy()[clone]
            base, mean = ((rates.capture_trb, rates.umi_trb) if name.startswith("trb") else
                          (rates.capture_tra, rates.umi_tra))
            logit = np.log(base / (1 - base)) + depth + weight[name][clone] + shift[sample[cell]]
            seen = (chain >= 0) & (rng.random(cell.size) < 1 / (1 + np.exp(-logit)))
            umis = 1 + _negative_binomial(rng, mean * np.exp(0.7 * depth + 0.5 * weight[name][clone]), 1.3)
            parts.append(pd.DataFrame({"cell": cell[seen], "chain": chain[seen], "umi_count": umis[seen],
                                       "party": party}))
    return pd.concat(parts, ignore_index=True), first


def _groups(rng: np.random.Generator, truth: pd.DataFrame, depth: np.ndarray, rates: Rates) -> np.ndarray:
    """What expression says of each droplet; T cells of low depth are missed more often."""
    logit = np.log(rates.recognised / (1 - rates.recognised)) + 2 * depth
    is_t = (truth["clone"] >= 0).to_numpy()
    called = rng.random(len(truth)) < np.where(is_t, 1 / (1 + np.exp(-logit)), rates.mistaken)
    return np.select([called, is_t | (rng.random(len(truth)) < 0.3)], [1, 2], default=3)


def _negative_binomial(rng: np.random.Generator, mean: np.ndarray, size: float) -> np.ndarray:
    return rng.poisson(rng.gamma(size, 1, mean.size) * mean / size)


def _ambient(rng: np.random.Generator, truth: pd.DataFrame, soup: pd.DataFrame, rates: Rates) -> pd.DataFrame:
    """Chains of the cells of the sample, captured or lost, in every droplet, drawn by their UMIs."""
    number = rng.poisson(rates.ambient * rng.gamma(rates.ambient_spread, 1 / rates.ambient_spread, len(truth)))
    cell = np.repeat(np.arange(len(truth)), number)
    chain = np.zeros(cell.size, np.int64)
    sample = truth["sample"].to_numpy()
    for s in np.unique(sample):
        pool = soup[soup["sample"] == s]
        where = np.flatnonzero(sample[cell] == s)
        weight = pool["umi_count"].to_numpy(np.float64)
        if len(pool):
            chain[where] = rng.choice(pool["chain"].to_numpy(), where.size, p=weight / weight.sum())
    umis = 1 + _negative_binomial(rng, np.full(cell.size, rates.ambient_umi), 0.3)
    return pd.DataFrame({"cell": cell, "chain": chain, "umi_count": umis, "party": -1})


def _with_errors(rng: np.random.Generator, seen: pd.DataFrame, n_chains: int, error: float) -> pd.DataFrame:
    """Add up equal chains of a droplet and let some chains shed a child, numbered behind the real chains."""
    seen = seen.groupby(["cell", "chain"])["umi_count"].sum().reset_index()
    shed = seen[(rng.random(len(seen)) < error) & (seen["umi_count"] >= 4).to_numpy()]
    child = shed.assign(umi_count=1, chain=n_chains + shed["chain"])
    return pd.concat([seen, child], ignore_index=True).sort_values(["cell", "chain"], ignore_index=True)


def _records(rng: np.random.Generator, seen: pd.DataFrame, chains: pd.DataFrame) -> pd.DataFrame:
    n = len(chains)
    rows = chains.iloc[seen["chain"].to_numpy() % n].reset_index(drop=True)
    junction = rows["junction"].to_numpy(object).copy()
    for i in np.flatnonzero(seen["chain"].to_numpy() >= n):
        at = int(rng.integers(6, len(junction[i]) - 6))
        base = "ACGT"[("ACGT".index(junction[i][at]) + int(rng.integers(1, 4))) % 4]
        junction[i] = junction[i][:at] + base + junction[i][at + 1:]
    return pd.DataFrame({
        "cell": seen["cell"].to_numpy(), "locus": rows["locus"], "junction": junction, "v_call": rows["v_call"],
        "j_call": rows["j_call"], "c_call": np.where(rows["locus"] == "TRA", "TRAC", "TRBC1"),
        "umi_count": seen["umi_count"].to_numpy(), "consensus_count": 200 * seen["umi_count"].to_numpy(),
        "productive": True})
