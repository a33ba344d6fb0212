"""Arm test on real benign T-cell clones (CARPALL), on pseudo-clones, and on decoys with planted arms.

Between-clone variance is always learnt from the other patients' clones. Needs the public data (SCLINEAGE_DATA);
infercnvpy's score is printed beside ours where it is installed.

    python -m benchmarks.malignancy.arms
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import rankdata

from sclineage._provenance import versions, whole, write_json
from sclineage.malignancy import arms, genome
from sclineage.malignancy.decoys import plant_arms, pseudo_clone

RESULTS = Path(__file__).parents[1] / "results"
MIN_UMI, MIN_GENES, MAX_MITO = 1000, 500, 0.12
CLUSTERS = 10
LEAST_CELLS, TAU_CELLS = 8, 15
GRID = [(5, 1), (5, 2), (5, 4), (5, 8), (10, 1), (10, 2), (10, 4), (10, 8), (20, 1), (20, 2), (20, 4), (20, 8),
        (50, 1), (50, 2), (50, 4), (50, 8)]


@dataclass(frozen=True)
class Cohort:
    """T cells of all patients: counts, arms of the genes, and per-cell codes."""

    x: sparse.csr_matrix
    symbols: np.ndarray
    arm: np.ndarray
    position: pd.DataFrame
    patient: np.ndarray
    sample: np.ndarray
    stratum: np.ndarray
    clone: np.ndarray
    n_clones: int
    clone_patient: np.ndarray

    def sizes(self) -> np.ndarray:
        """Cells per clone."""
        return np.bincount(self.clone[self.clone >= 0], minlength=self.n_clones)


def _sample(folder: Path, row: Any) -> tuple[sparse.csr_matrix, pd.DataFrame, pd.DataFrame]:
    with h5py.File(folder / "gex" / f"{row.GEX_Sample}.filtered_feature_bc_matrix.h5") as handle:
        m = handle["matrix"]
        x = sparse.csc_matrix((m["data"][:], m["indices"][:], m["indptr"][:]), shape=m["shape"][:]).T.tocsr()
        barcode, gene = m["barcodes"][:].astype(str), m["features"]["name"][:].astype(str)
        var = pd.DataFrame({"symbol": gene, "id": m["features"]["id"][:].astype(str)})
    contigs = pd.read_csv(folder / "vdj" / f"{row.TCR_Sample}.filtered_contig_annotations.csv.gz")
    trb = contigs[(contigs["chain"] == "TRB") & (contigs["productive"].astype(str).str.lower() == "true")]
    trb = trb.drop_duplicates("barcode", keep=False).set_index("barcode")["cdr3_nt"]
    total, mito = np.asarray(x.sum(axis=1)).ravel(), np.char.startswith(gene, "MT-")
    good = (total >= MIN_UMI) & (np.diff(x.indptr) >= MIN_GENES) & (
        np.asarray(x[:, mito].sum(axis=1)).ravel() <= MAX_MITO * total)
    junction = trb.reindex(barcode).fillna("").to_numpy(object)
    obs = pd.DataFrame({"patient": row.Patient, "sample": row.GEX_Sample, "junction": junction})
    keep = good & (junction != "")
    return x[keep], obs[keep], var


def _strata(x: sparse.csr_matrix, sample: np.ndarray) -> np.ndarray:
    """k-means clusters of 20 principal components of the 2,000 most dispersed genes, within each sample."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD

    depth = np.asarray(x.sum(axis=1)).ravel()
    logged = sparse.csr_matrix(sparse.diags(1e4 / depth) @ x.astype(np.float64)).log1p()
    out = np.zeros(x.shape[0], np.int64)
    for s in np.unique(sample):
        here = np.flatnonzero(sample == s)
        rows = logged[here]
        mean, square = (np.asarray(m.mean(axis=0)).ravel() for m in (rows, rows.multiply(rows)))
        variance = square - mean**2
        genes = np.argsort(-np.where(mean > 0.01, variance / np.maximum(mean, 1e-9), 0), kind="stable")[:2000]
        rank = min(20, here.size - 1)
        points = np.zeros((here.size, 1))
        if rank > 1:
            points = TruncatedSVD(rank, random_state=0).fit_transform(rows[:, genes])
        k = max(1, min(CLUSTERS, here.size // 30))
        out[here] = s * CLUSTERS + KMeans(k, random_state=0, n_init=3).fit_predict(points)
    return out


def load(folder: Path) -> Cohort:
    """All samples with expression and receptors."""
    sheet = pd.read_csv(folder / "samples.tsv", sep="\t")
    parts = [_sample(folder, row) for row in sheet[sheet["gex_file"] & sheet["vdj_file"]].itertuples()]
    x = sparse.vstack([p[0] for p in parts], format="csr")
    obs, var = pd.concat([p[1] for p in parts], ignore_index=True), parts[0][2]
    known = genome.positions(var["id"].to_numpy(object))
    sample = pd.Categorical(obs["sample"]).codes.astype(np.int64)
    names = obs["patient"] + ":" + obs["junction"]
    clone, labels = pd.factorize(names, sort=True)
    sizes = np.bincount(clone)
    big = np.flatnonzero(sizes >= LEAST_CELLS)
    renumber = np.full(sizes.size, -1)
    renumber[big] = np.arange(big.size)
    return Cohort(x, var["symbol"].to_numpy(object), known["arm"].to_numpy(object), known,
                  obs["patient"].to_numpy(object), sample, _strata(x, sample), renumber[clone], big.size,
                  np.array([labels[b].split(":")[0] for b in big], dtype=object))


@dataclass(frozen=True)
class Bench:
    """Arm counts of the cohort, its clones compared, and each clone's between-clone variance from other patients."""

    cohort: Cohort
    gene_arm: np.ndarray
    counts: np.ndarray
    compared: arms.Compared
    tau2: np.ndarray

    @property
    def tested(self) -> np.ndarray:
        """Arms that take part."""
        return np.unique(self.gene_arm[self.gene_arm >= 0])


def prepare(cohort: Cohort) -> Bench:
    """Everything that the draws share."""
    everyone = np.ones(cohort.sample.size, bool)
    gene_arm = arms.gene_arms(cohort.x, cohort.symbols, cohort.arm, everyone)
    counts = arms.arm_counts(cohort.x, gene_arm)
    compared = arms.compare(counts, cohort.clone, cohort.n_clones, cohort.stratum, cohort.sample, everyone)
    tau2 = np.array([arms.between_variance(compared, (cohort.sizes() >= TAU_CELLS) & (cohort.clone_patient != p))
                     for p in cohort.clone_patient])
    return Bench(cohort, gene_arm, counts, compared, tau2)


def one_clone(bench: Bench, counts: np.ndarray, cells: np.ndarray, owner: int, *,
              leave_owner: bool) -> tuple[float, np.ndarray, np.ndarray]:
    """LLR, shifts and errors of some cells as a clone; `leave_owner` takes their clone out of the reference."""
    cohort = bench.cohort
    clone = np.full(cohort.sample.size, -1)
    clone[cells] = 0
    near = np.isin(cohort.sample, cohort.sample[cells])
    reference = (cohort.clone != owner) if leave_owner else np.ones(clone.size, bool)
    found = arms.compare(counts[near], clone[near], 1, cohort.stratum[near], cohort.sample[near], reference[near])
    error = arms.standard_error(found, bench.tau2[owner])
    return float(arms.llr(found.shift, error)[0]), found.shift[0], error[0]


def planted(bench: Bench, cells: np.ndarray, n_arms: int, rng: np.random.Generator) -> np.ndarray:
    """Arm counts with random arms of some cells lost or gained: thinning a sum is summing thinned genes."""
    counts = bench.counts.copy()
    for arm in rng.choice(bench.tested, n_arms, replace=False):
        moved = rng.binomial(counts[cells, arm].astype(np.int64), 0.5)
        counts[cells, arm] += rng.choice([-1, 1]) * moved
    return counts


def sensitivity(bench: Bench, draws: int, seed: int) -> dict[str, dict[str, float]]:
    """Share of decoys with LLR > 3, and the power that we would state for them (four arms)."""
    sizes, out = bench.cohort.sizes(), {}
    for n, n_arms in GRID:
        rng, hits, stated = np.random.default_rng([seed, n, n_arms]), 0, []
        for _ in range(draws):
            owner = int(rng.choice(np.flatnonzero(sizes >= n)))
            cells = np.sort(rng.choice(np.flatnonzero(bench.cohort.clone == owner), n, replace=False))
            ratio, _, error = one_clone(bench, planted(bench, cells, n_arms, rng), cells, owner, leave_owner=True)
            hits += ratio > 3
            if n_arms == 4 and len(stated) < 10:
                stated.append(float(arms.power(error[None], n_altered=4, rng=seed)[0]))
        out[f"{n} cells x {n_arms}"] = {"cells": n, "arms": n_arms, "detected": hits / draws,
                                        "stated": float(np.mean(stated)) if stated else float("nan")}
    return out


def nulls(bench: Bench, draws: int, seed: int) -> dict[str, Any]:
    """Real clones and pseudo-clones: nothing is altered."""
    cohort = bench.cohort
    real = arms.llr(bench.compared.shift, arms.standard_error(bench.compared, bench.tau2))
    error = arms.standard_error(bench.compared, bench.tau2)
    called = (arms.called(bench.compared.shift, error) != 0).any(axis=1)
    rng, pseudo = np.random.default_rng([seed, 99]), []
    everyone = np.ones(cohort.sample.size, bool)
    for _ in range(draws):
        owner = int(rng.integers(cohort.n_clones))
        cells = pseudo_clone(cohort.stratum, np.flatnonzero(cohort.clone == owner), everyone, rng)
        pseudo.append(one_clone(bench, bench.counts, cells, owner, leave_owner=False)[0])
    n = cohort.n_clones
    return {"clones": n, "patients": len(set(cohort.clone_patient)), "above 3": int((real > 3).sum()),
            "largest": float(real.max()), "clones with a called arm": int(called.sum()),
            "upper bound": float(1 - 0.05 ** (1 / n)) if not (real > 3).any() else float("nan"),
            "pseudo-clones": draws, "pseudo above 3": int(np.sum(np.array(pseudo) > 3)),
            "pseudo largest": float(np.max(pseudo)), "tau largest": float(np.sqrt(np.nanmax(bench.tau2)))}


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half."""
    ranks, n = rankdata(score), int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (positive.size - n)))


def held_out(bench: Bench, n_arms: int, seed: int, *, peer: bool) -> dict[str, Any]:
    """Cells of planted clones against other T cells of their samples; arms learnt on the other half of the clone."""
    cohort, rows = bench.cohort, []
    for owner in np.flatnonzero(cohort.sizes() >= 20):
        rng = np.random.default_rng([seed, n_arms, owner])
        cells = rng.permutation(np.flatnonzero(cohort.clone == owner))
        learn, test = np.sort(cells[::2]), np.sort(cells[1::2])
        chosen = [arms.AUTOSOMES[a] for a in rng.choice(bench.tested, n_arms, replace=False)]
        gains = [a for a in chosen if rng.random() < 0.5]
        x = plant_arms(cohort.x, cohort.arm, cohort.clone == owner, gains=gains,
                       losses=[a for a in chosen if a not in gains], rng=seed)
        counts = arms.arm_counts(x, bench.gene_arm)
        _, shift, error = one_clone(bench, counts, learn, int(owner), leave_owner=True)
        profile = np.where(arms.called(shift, error) != 0, np.nan_to_num(shift), 0.0)
        normal = np.flatnonzero(np.isin(cohort.sample, cohort.sample[test]) & (cohort.clone != owner))
        reference = normal[rng.permutation(normal.size) % 2 == 0]
        judged = np.setdiff1d(normal, reference)
        both = np.concatenate([test, judged])
        kept = np.zeros(cohort.sample.size, bool)
        kept[reference] = True
        share = arms.reference_share(counts, np.full(kept.size, -1), cohort.stratum, cohort.sample, kept, both)
        score = arms.cell_scores(counts[both], share, profile)
        truth = np.arange(both.size) < test.size
        usable = np.isfinite(score)
        row = {"cells": int(cells.size), "called": int((profile != 0).sum()),
               "auroc": auroc(score[usable], truth[usable])}
        if peer:
            row["infercnvpy"] = auroc(_magnitude(cohort, x, reference, both), truth)
        rows.append(row)
    return {"clones": len(rows), "arms": n_arms, **{k: float(np.mean([r[k] for r in rows])) for k in rows[0]},
            "lowest": float(min(r["auroc"] for r in rows))}


def _magnitude(cohort: Cohort, x: sparse.csr_matrix, reference: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """infercnvpy's score: mean magnitude of its profile per cell."""
    import anndata
    import infercnvpy

    rows = np.concatenate([reference, cells])
    part = x[rows].astype(np.float64)
    part = sparse.csr_matrix(sparse.diags(1e4 / np.asarray(part.sum(axis=1)).ravel()) @ part).log1p().astype(np.float32)
    var = cohort.position[["chromosome", "start", "end"]].set_axis([f"g{i}" for i in range(part.shape[1])], axis=0)
    seen = np.asarray((part > 0).sum(axis=0)).ravel() >= 5
    obs = pd.DataFrame({"reference": np.where(np.arange(rows.size) < reference.size, "yes", "no")},
                       index=[str(i) for i in range(rows.size)])
    adata = anndata.AnnData(part[:, seen], obs=obs, var=var[seen])
    found = infercnvpy.tl.infercnv(adata, reference_key="reference", reference_cat="yes", n_jobs=1, inplace=False)[1]
    return np.asarray(abs(found).mean(axis=1)).ravel()[reference.size:]


def table(record: dict[str, Any]) -> str:
    """Markdown of the record."""
    null = record["nulls"]
    lines = ["# Copy number by arm: real benign clones, pseudo-clones, decoys", "",
             f"{record['cells']} T cells with a receptor (CARPALL), {null['clones']} benign clones of {LEAST_CELLS} or "
             f"more cells in {null['patients']} patients, {record['genes']} genes on {record['arms']} arms; "
             "between-clone variance from the other patients' clones. Planted arms assume full dosage and no other "
             "biology: accuracy rests on planted data.", "",
             f"- real clones: LLR > 3 in {null['above 3']} of {null['clones']} (largest {null['largest']:.2f}; 95 % "
             f"upper bound of the rate {null['upper bound']:.3f}); an arm called in {null['clones with a called arm']}",
             f"- pseudo-clones: LLR > 3 in {null['pseudo above 3']} of {null['pseudo-clones']} (largest "
             f"{null['pseudo largest']:.2f})", "",
             "Share of decoys with LLR > 3, and the power stated for four arms:", "",
             "| cells | 1 arm | 2 arms | 4 arms | 8 arms | stated power, 4 arms |",
             "| --- | --- | --- | --- | --- | --- |"]
    for n in dict.fromkeys(n for n, _ in GRID):
        found = [record["sensitivity"][f"{n} cells x {a}"]["detected"] for a in (1, 2, 4, 8)]
        stated = record["sensitivity"][f"{n} cells x 4"]["stated"]
        lines.append(f"| {n} | " + " | ".join(f"{v:.3f}" for v in found) + f" | {stated:.3f} |")
    lines += ["", "AUROC of single cells, profile learnt on the other half of the clone (clones of 20 or more cells):",
              "",
              "| arms | clones | arms called, mean | AUROC, mean | lowest | infercnvpy, mean |",
              "| --- | --- | --- | --- | --- | --- |"]
    lines += [f"| {r['arms']} | {r['clones']} | {r['called']:.2f} | {r['auroc']:.4f} | {r['lowest']:.4f} | "
              + (f"{r['infercnvpy']:.4f}" if "infercnvpy" in r else "not measured") + " |" for r in record["held_out"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all and write the record."""
    from importlib.util import find_spec

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SCLINEAGE_DATA", "data")))
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--pseudo", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=71_003)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    bench = prepare(load(chosen.data / "carpall-cart-gex-vdj"))
    peer = find_spec("infercnvpy") is not None
    record = {"cells": bench.cohort.sample.size, "genes": int((bench.gene_arm >= 0).sum()), "arms": bench.tested.size,
              "seed": chosen.seed, "draws": chosen.draws, "nulls": nulls(bench, chosen.pseudo, chosen.seed),
              "sensitivity": sensitivity(bench, chosen.draws, chosen.seed),
              "held_out": [held_out(bench, a, chosen.seed, peer=peer and a == 2) for a in (1, 2, 4)],
              "versions": versions()}
    write_json(record, chosen.out / "copynumber_arms.json")
    with whole(chosen.out / "copynumber_arms.md") as part:
        part.write_text(table(record), encoding="utf-8")
    print(table(record))


if __name__ == "__main__":
    main()
