"""A processed patient, filled by hand: tables that conform to the schema, and every way in which parts are absent."""

from __future__ import annotations

import json
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd

from sclineage import _schema
from sclineage.patient import access

PATIENT = "P01"
MALIGNANT, CAR_T, SUSPICIOUS, MIXED = (f"{PATIENT}:{h}" for h in ("3f9ac2d1", "b71e04aa", "c05d7e19", "e4482b60"))
SMALL = [f"{PATIENT}:{k:08x}" for k in range(0xA000, 0xA000 + 30)]
CLONES = [MALIGNANT, CAR_T, SUSPICIOUS, MIXED, *SMALL]
#           sample    specimen   day     material      selection  cells with receptor
SAMPLES = [("apheresis", "apheresis", -35.0, "blood", "none"), ("product", "product", -1.0, "product", "CAR+"),
           ("blood_d30", "blood_d30", 30.0, "blood", "none"), ("biopsy_a", "biopsy", 412.0, "tumor", "none"),
           ("biopsy_b", "biopsy", 412.0, "tumor", "none")]
#               apheresis, product, blood_d30, biopsy_a, biopsy_b
COUNTS = {MALIGNANT: (2, 0, 0, 300, 290), CAR_T: (0, 60, 80, 6, 4), SUSPICIOUS: (0, 0, 4, 5, 0),
          MIXED: (10, 12, 40, 2, 0)}
NO_CLONE = (40, 20, 30, 25, 30)
CASES = ("full", "no_gex", "no_vdj", "indeterminate", "nothing")


def patient(case: str = "full", *, rename: dict[str, str] | None = None, seed: int = 0) -> md.MuData:
    """A processed patient; `rename` replaces sample names (to try hostile ones)."""
    names = [(rename or {}).get(s[0], s[0]) for s in SAMPLES]
    cells = _cells(names, seed)
    if case == "nothing":
        cells = cells[["patient", "sample", "barcode"]]
    data = _mudata(cells, case, seed)
    if case == "nothing":
        return data
    store = access.store(data)
    store["samples"] = _sheet(names)
    tables = {"samples": samples(names, case), **({} if case == "no_vdj" else _clone_tables(case, names))}
    for name, frame in tables.items():
        access.put_table(data, name, frame)
    if case != "no_vdj":
        store["focus"] = np.array([MALIGNANT, SUSPICIOUS], dtype=object)
        store["malignancy_lines"] = lines(case)
        if case == "full":
            store["car_what_if"] = what_if()
            access.put_table(data, "virus", virus(names))
            access.put_table(data, "clone_arms", clone_arms())
            access.put_table(data, "distinct", distinct())
            access.put_table(data, "car_dna", car_dna())
            access.put_table(data, "variants", variants())
    store["run"] = json.dumps(record())
    return data


def _cells(names: list[str], seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for k, sample in enumerate(names):
        members = [(c, n[k]) for c, n in COUNTS.items()] + [(c, 1 + (i + k) % 4) for i, c in enumerate(SMALL)]
        for clone, n in [*members, ("", NO_CLONE[k])]:
            rows += [{"patient": PATIENT, "sample": sample, "barcode": f"C{len(rows) + j:05d}-1", "clone_id": clone}
                     for j in range(n)]
    frame = pd.DataFrame(rows)
    clone = frame["clone_id"].to_numpy(dtype=object)
    carrier = (clone == CAR_T) | ((clone == MIXED) & (rng.random(len(frame)) < 0.4))
    umi = np.where(carrier, rng.negative_binomial(3, 0.55, len(frame)), (rng.random(len(frame)) < 0.004).astype(int))
    malignant = np.select([clone == MALIGNANT, clone == SUSPICIOUS, clone == ""],
                          ["malignant", "suspicious", ""], default="no_malignant_features")
    frame["specimen"] = frame["sample"]
    frame["malignant_call"] = malignant
    frame["malignant_p"] = np.select([clone == MALIGNANT, clone == SUSPICIOUS], [0.998, 0.71], default=0.001)
    frame["car_umi"] = umi.astype(float)
    frame["car_p"] = np.where(carrier, 0.98, 0.002)
    frame["car_call"] = np.where(carrier, np.where(umi > 0, "pos", "uncertain"), "unlikely")
    frame["population"] = np.select([clone == MALIGNANT, carrier], ["malignant", "CAR-T"], default="other_T")
    frame["n_umi"] = rng.integers(1500, 9000, len(frame))
    frame["subset"] = np.where(rng.random(len(frame)) < 0.6, "CD4_T", "CD8_T")
    frame["mito_share"] = rng.beta(2, 40, len(frame))
    frame["excluded_reason"] = np.where(rng.random(len(frame)) < 0.03, "low_umi", "")
    frame.index = pd.Index([f"{s}_{b}" for s, b in zip(frame["sample"], frame["barcode"], strict=True)])
    return frame


def _mudata(cells: pd.DataFrame, case: str, seed: int) -> md.MuData:
    rng = np.random.default_rng([seed, 1])
    obs = pd.DataFrame(index=cells.index)
    mods: dict[str, ad.AnnData] = {}
    if case != "no_gex":
        gex = ad.AnnData(X=rng.poisson(2, (len(cells), 4)).astype(np.float32), obs=obs.copy(),
                         var=pd.DataFrame(index=["CD3D", "CD4", "CD8A", "GAPDH"]))
        if case != "nothing":
            gex.obsm["X_umap"] = _umap(cells, rng)
        mods["gex"] = gex
    if case not in ("no_vdj", "nothing"):
        mods["airr"] = ad.AnnData(X=np.zeros((len(cells), 1), np.float32), obs=obs.copy(),
                                  var=pd.DataFrame(index=["receptor"]))
    data = md.MuData(mods)
    drop = ["clone_id", "malignant_call", "malignant_p"] if case == "no_vdj" else []
    access.put(data, {c: cells[c].to_numpy() for c in cells.columns if c not in drop})
    return data


def _umap(cells: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    centre = {MALIGNANT: (6, 1), CAR_T: (-3, 4), SUSPICIOUS: (4, 4), MIXED: (-3, 2), "": (1, -4)}
    at = np.array([centre.get(c, (-1, 0)) for c in cells["clone_id"]], dtype=float)
    return at + rng.normal(0, 1.0, at.shape)


def _sheet(names: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame({
        "patient": PATIENT, "sample": names, "specimen": [s[1] for s in SAMPLES], "day": [s[2] for s in SAMPLES],
        "material": [s[3] for s in SAMPLES], "selection": [s[4] for s in SAMPLES],
        "diagnosis": ["none", "none", "surveillance", "T_lymphoma_proven", "T_lymphoma_proven"],
        "role": ["car_negative_control", "car_positive_control", "", "", ""],
        "car_counting": "unique", "chemistry": "10x-5p-v2", "not_used": ["", "", "", "alleles", ""]}, index=names)
    return frame


def samples(names: list[str], case: str) -> pd.DataFrame:
    car = case not in ("indeterminate",)
    n = len(names)
    return pd.DataFrame({
        "patient": PATIENT, "sample": names, "specimen": [s[1] for s in SAMPLES], "day": [s[2] for s in SAMPLES],
        "material": [s[3] for s in SAMPLES], "selection": [s[4] for s in SAMPLES],
        "n_cells": [127, 167, 229, 413, 399],
        "n_with_receptor": [np.nan] * n if case == "no_vdj" else [87, 147, 199, 388, 369],
        "median_umi": [np.nan] * n if case == "no_gex" else [4100, 5200, 4800, 5100, 5050],
        "car_umi_total": [0, 180, 250, 22, 15] if car else [np.nan] * n,
        "car_background_per_cell": [0.0008, 0.004, 0.003, 0.001, 0.001] if car else [np.nan] * n,
        "car_background_source": ["negative_control", "empties", "empties", "empties", "prior"] if car else [""] * n,
        "car_p_background": [np.nan, 0.001, 0.002, 0.01, 0.02] if car else [np.nan] * n,
        "car_sensitivity": [np.nan, 0.71, 0.66, 0.62, 0.6] if car else [np.nan] * n,
        "car_sensitivity_source": ["", "same_library", "same_library", "other_day", "prior"] if car else [""] * n,
        "car_doublet_share": [0.01, 0.02, 0.015, 0.006, 0.005] if car else [np.nan] * n,
        "receptor_capture_trb": [np.nan] * n if case == "no_vdj" else [0.78, 0.9, 0.88, 0.93, 0.92],
        "flags": ["", "", "", "not_used:alleles", "background_prior"]})


def _row(clone: str, **values: Any) -> dict[str, Any]:
    return {"patient": PATIENT, "clone_id": clone, **values}


def _clone_tables(case: str, names: list[str]) -> dict[str, pd.DataFrame]:
    clones = pd.DataFrame([clone_row(c, case) for c in CLONES])
    return {"clones": clones, "clone_car": clone_car(case), "timeline": timeline(names)}


def clone_row(clone: str, case: str = "full") -> dict[str, Any]:
    """One row of ``clones``."""
    k = CLONES.index(clone)
    n = sum(COUNTS.get(clone, (1, 1, 1, 1, 1)))
    row = _row(clone, trb_junction="TGTGCCAGCAGC", trb_junction_aa=f"CASSL{'GASTQEY'[k % 7]}QYF", trb_v="TRBV7-9",
               trb_j="TRBJ2-7", trb_c="TRBC2", tra_junction="TGTGCTGTG", tra_v="TRAV12-2", tra_j="TRAJ33",
               n_cells=n, n_paired=int(0.8 * n), malignant_p=0.001, malignant_p_no_pathology=0.0005,
               malignant_call="no_malignant_features", malignant_driver="", malignant_basis="",
               malignant_prior=0.05, llr_dominance=-0.2, llr_phenotype=-1.1, llr_cycling=-0.1, llr_virus=0.0,
               llr_driver=np.nan, llr_copy_number=np.nan, llr_classifier=np.nan,
               malignant_power=0.85, malignant_sentence="", first_day=30.0,
               predates_infusion="not_detected", predates_limit=0.034, predates_reason="", flags="", car_flags="",
               car_product="", car_p_silent=0.01, car_dna="",
               **car_numbers("indeterminate", "too_few_cells"), car_n_informative=n, car_n_with_car=0)
    row |= SPECIAL.get(clone, {})
    if case == "indeterminate":
        row |= {"malignant_call": "not_assessable", "malignant_p": np.nan, "malignant_sentence": "",
                "malignant_basis": "", "predates_infusion": "not_sampled", "predates_limit": np.nan,
                "predates_reason": "", "first_day": np.nan, "car_n_with_car": 0, "car_flags": "",
                **car_numbers("indeterminate", _schema.CAR_REASONS[k % len(_schema.CAR_REASONS)])}
    if case != "conform":
        row = {c.name: row[c.name] for c in _schema.TABLES["clones"]}
    return row


def car_numbers(verdict: str, reason: str = "") -> dict[str, Any]:
    """Verdict and its numbers, as the CAR stage writes them."""
    p = {"CAR_positive": (1e-6, 0.99, 0.01), "CAR_mixed": (1e-6, 0.01, 0.99), "CAR_present": (1e-3, 0.6, 0.399),
         "indeterminate": (0.7, 0.2, 0.1)}.get(verdict, (0.9991, 1e-5, 0.0008))
    negative = verdict in _schema.CAR_NEGATIVE
    share = {"CAR_positive": (0.97, 0.91, 1.0), "CAR_mixed": (0.42, 0.3, 0.55), "CAR_present": (0.6, 0.2, 1.0),
             "indeterminate": (0.2, 0.0, 0.9)}.get(verdict, (0.0005, 0.0, 0.0041))
    return {"car_verdict": verdict, "car_reason": reason, "car_evidence": "" if reason else "RNA",
            "car_p_negative": p[0], "car_p_positive": p[1], "car_p_mixed": p[2],
            "car_log10_bf": -9.4 if negative else 0.4 if reason else 24.1, "car_fraction": share[0],
            "car_fraction_low": share[1], "car_fraction_high": share[2], "car_power": 0.12 if reason else 0.99,
            "car_theta_excluded": 0.05 if negative else np.nan, "car_cells_needed": 31 if reason else np.nan}


SPECIAL: dict[str, dict[str, Any]] = {
    MALIGNANT: {"malignant_p": 0.998, "malignant_p_no_pathology": 0.81, "malignant_call": "malignant",
                "malignant_driver": "phenotype", "malignant_basis": "pathology", "llr_dominance": 1.5,
                "llr_phenotype": 2.5, "llr_cycling": 0.6, "llr_virus": 0.8,
                "malignant_sentence": "Malignant by pathology: it is the dominant clone of a biopsy with proven T-cell "
                                      "lymphoma, and CD5 and CD7 are lost in 88 % of its cells.",
                "first_day": -35.0, "predates_infusion": "yes", "predates_limit": 0.034,
                "car_n_informative": 571, "car_n_with_car": 1, **car_numbers("CAR_transcript_not_detected")},
    CAR_T: {"first_day": -1.0, "car_n_informative": 90, "car_n_with_car": 66, **car_numbers("CAR_positive")},
    SUSPICIOUS: {"malignant_p": 0.71, "malignant_p_no_pathology": 0.2, "malignant_call": "suspicious",
                 "malignant_driver": "phenotype", "llr_phenotype": 1.9, "llr_cycling": 0.6, "car_n_informative": 9,
                 "malignant_sentence": "Suspicious: markers are lost and it divides, but nothing genetic was seen."},
    MIXED: {"first_day": -35.0, "predates_infusion": "yes", "car_n_informative": 52, "car_n_with_car": 17,
            "car_flags": "minor", "flags": "minor", **car_numbers("CAR_mixed")},
}


def clone_car(case: str = "full") -> pd.DataFrame:
    def line(clone: str, specimen: str, selection: str, population: str, n: int, k: int, umi: int, negative: float,
             positive: float, verdict: str, reason: str = "") -> dict[str, Any]:
        return _row(clone, specimen=specimen, selection=selection, population=population, n_informative=n,
                    n_with_car=k, umi=umi, expected_if_negative=negative, expected_if_positive=positive,
                    **car_numbers(verdict, reason))

    none, few = "CAR_transcript_not_detected", ("indeterminate", "too_few_cells")
    rows = [line(MALIGNANT, "apheresis", "none", "all", 2, 0, 0, 0.002, 2.6, *few),
            line(MALIGNANT, "biopsy", "none", "all", 590, 1, 1, 0.9, 810.0, none),
            line(MALIGNANT, "biopsy", "none", "malignant", 571, 1, 1, 0.87, 790.0, none),
            line(MALIGNANT, "biopsy", "none", "other", 19, 0, 0, 0.03, 25.0, *few),
            line(CAR_T, "blood_d30", "none", "all", 80, 57, 190, 0.3, 185.0, "CAR_positive"),
            line(CAR_T, "product", "CAR+", "all", 60, 44, 140, 0.3, 150.0, "CAR_present"),
            line(SUSPICIOUS, "biopsy", "none", "all", 5, 0, 0, 0.005, 6.9, *few),
            line(SUSPICIOUS, "blood_d30", "none", "all", 4, 0, 0, 0.012, 5.6, *few),
            line(MIXED, "blood_d30", "none", "all", 40, 15, 44, 0.12, 93.0, "CAR_mixed"),
            *(line(c, "biopsy", "none", "all", 5, 0, 0, 0.006, 7.0, *few) for c in SMALL)]
    frame = pd.DataFrame(rows)
    if case == "indeterminate":
        for c in ("umi", "n_with_car", "expected_if_negative", "expected_if_positive", "car_p_negative",
                  "car_p_positive", "car_p_mixed", "car_log10_bf"):
            frame[c] = np.nan
        frame = frame.assign(n_informative=0, car_verdict="indeterminate", car_reason="not_assessed", car_evidence="")
    return frame


def timeline(names: list[str]) -> pd.DataFrame:
    specimens = [(names[0], -35.0, 87, ""), (names[1], -1.0, 147, "selected"), (names[2], 30.0, 199, ""),
                 ("biopsy", 412.0, 757, "")]
    rows = []
    for clone in CLONES:
        counts = COUNTS.get(clone, (1, 2, 1, 1, 1))
        for (sample, day, n, flags), k in zip(specimens, (*counts[:3], counts[3] + counts[4]), strict=True):
            low, high = _interval(k, n)
            rows.append(_row(clone, sample=sample, day=day, n_clone=k, n_informative=n, frequency=k / n, low=low,
                             high=high, limit_of_detection=1 - 0.05 ** (1 / n), flags=flags))
    return pd.DataFrame(rows)


def _interval(k: int, n: int) -> tuple[float, float]:
    from scipy import stats

    return (0.0 if k == 0 else float(stats.beta.ppf(0.025, k, n - k + 1)),
            1.0 if k == n else float(stats.beta.ppf(0.975, k + 1, n - k)))


def lines(case: str = "full") -> pd.DataFrame:
    def line(clone: str, name: str, llr: float, cap: float, n: int, without: float, detail: str = "") -> dict[str, Any]:
        return {"clone_id": clone, "line": name, "llr": llr, "capped": abs(llr) >= cap, "cap": cap,
                "n_informative": n, "posterior_without": without, "detail": detail}

    rows = [line(MALIGNANT, "dominance", 1.5, 1.5, 590, 0.99), line(MALIGNANT, "phenotype", 2.5, 2.5, 585, 0.96),
            line(MALIGNANT, "cycling", 0.6, 0.8, 590, 0.994), line(MALIGNANT, "virus", 0.8, 1.0, 590, 0.993),
            line(MALIGNANT, "driver", np.nan, 7.0, 0, np.nan),
            line(MALIGNANT, "copy_number", 6.2, 9.0, 588, 0.4, "7q gained, 9p lost"),
            line(SUSPICIOUS, "dominance", -0.3, 1.5, 9, 0.75),
            line(SUSPICIOUS, "phenotype", 1.9, 2.5, 9, 0.3), line(SUSPICIOUS, "cycling", 0.6, 0.8, 9, 0.57),
            line(SUSPICIOUS, "virus", np.nan, 1.0, 0, np.nan), line(SUSPICIOUS, "driver", np.nan, 7.0, 0, np.nan),
            line(SUSPICIOUS, "copy_number", np.nan, 9.0, 0, np.nan)]
    frame = pd.DataFrame(rows)
    return frame.assign(llr=np.nan, n_informative=0, posterior_without=np.nan) if case == "indeterminate" else frame


def clone_arms() -> pd.DataFrame:
    shifts = {MALIGNANT: {"7q": 0.4, "9p": -0.6, "10q": 0.02}, SUSPICIOUS: {"7q": 0.1, "9p": -0.1}}
    return pd.DataFrame([
        {"patient": "P1", "clone_id": clone, "arm": arm, "shift": shift, "error": 0.05,
         "called": int(np.sign(shift)) if abs(shift) > 0.2 else 0, "n_cells": 588 if clone == MALIGNANT else 9}
        for clone, arms in shifts.items() for arm, shift in arms.items()])


def what_if() -> pd.DataFrame:
    rows = []
    for clone, verdict, reason in ((MALIGNANT, "CAR_transcript_not_detected", ""),
                                   (SUSPICIOUS, "indeterminate", "too_few_cells")):
        for scenario in ("sensitivity_halved", "background_x10", "doublets_x2"):
            changed = clone == MALIGNANT and scenario == "sensitivity_halved"
            numbers = car_numbers("no_clonal_CAR_expression" if changed else verdict, "" if changed else reason)
            rows.append({"clone_id": clone, "scenario": scenario,
                         **{k: numbers[k] for k in ("car_verdict", "car_p_negative", "car_p_positive", "car_p_mixed",
                                                    "car_log10_bf")}})
    return pd.DataFrame(rows)


def virus(names: list[str]) -> pd.DataFrame:
    base = {"patient": PATIENT, "virus": "EBV", "programme": "", "genes": "", "compared_with": "", "rate_ratio": np.nan,
            "ratio_low": np.nan, "ratio_high": np.nan}
    return pd.DataFrame([
        base | {"population": "malignant", "sample": names[3], "n_cells": 300, "n_positive": 142, "umi": 310,
                "rate": 1.03, "low": 0.9, "high": 1.2, "ratio_to_ambient": 41.0, "n_loci": 5, "flags": ""},
        base | {"population": "CAR-T", "sample": names[2], "n_cells": 100, "n_positive": 0, "umi": 1,
                "rate": 0.01, "low": 0.0003, "high": 0.056, "ratio_to_ambient": 1.1, "n_loci": 1, "flags": "one_locus"},
        base | {"population": "other_T", "sample": names[3], "n_cells": 0, "n_positive": 0, "umi": 0,
                "rate": np.nan, "low": np.nan, "high": np.nan, "ratio_to_ambient": np.nan, "n_loci": 0, "flags": ""}])


def car_dna() -> pd.DataFrame:
    """Two specimens: one that decides and one whose purity is unknown."""
    def line(specimen: str, **values: Any) -> dict[str, Any]:
        nothing = {c.name: np.nan if c.dtype != "str" else "" for c in _schema.CAR_DNA}
        return nothing | {"patient": PATIENT, "clone_id": MALIGNANT, "specimen": specimen} | values

    return pd.DataFrame([
        line("biopsy", vcn_target=2, vcn_reference=1500, purity=0.9, tumor_copies_low=0.0, tumor_copies_high=0.011,
             dna_call="not_detected", purity_needed=0.096, n_sites=3, site="chr17:7676154", site_gene="TP53",
             site_reads=30, site_share=0.75),
        line("blood_d30", vcn_target=9, vcn_reference=80, dna_call="not_decided", dna_reason="purity_unknown")])


def variants() -> pd.DataFrame:
    """One site: mutant in the malignant clone, not covered in a small one, wild type with power in myeloid cells."""
    def line(group: str, name: str, call: str, reason: str, n: int, alt: int, **values: Any) -> dict[str, Any]:
        base = {c.name: np.nan if c.dtype != "str" else "" for c in _schema.VARIANTS}
        return base | {"patient": PATIENT, "group": group, "name": name, "site": "chr2:25234373:C>T", "gene": "DNMT3A",
                       "kind": "nuclear", "n_cells": 600, "n_informative": n, "n_reads": n, "n_alt_reads": alt,
                       "n_alt_cells": alt, "variant_call": call, "variant_reason": reason} | values

    return pd.DataFrame([
        line("clone", MALIGNANT, "mutant", "", 80, 33, p_mutant=0.999, power=1.0),
        line("clone", SUSPICIOUS, "not_assessable", "no_reads", 0, 0, power=0.0, cells_needed=160),
        line("lineage", "myeloid", "wild_type", "", 90, 0, p_mutant=0.001, fraction_low=0.0, fraction_high=0.06,
             power=0.99)])


def distinct() -> pd.DataFrame:
    base = {"patient": PATIENT, "population_a": "malignant", "population_b": "CAR-T"}
    base |= {"vector_in_a": "not_assessed"} | {f"p_d{i}": np.nan for i in range(7)}
    return pd.DataFrame([
        base | {"level": "D1", "p_level": 0.97, "same_t_cell": "no", "shared_ancestor": "not_assessed", "line": "all",
                "llr": -11.2, "n_informative_a": 590, "n_informative_b": 90, "flags": ""},
        base | {"level": "D1", "p_level": 0.97, "same_t_cell": "no", "shared_ancestor": "not_assessed",
                "line": "receptor", "llr": -11.2, "n_informative_a": 590, "n_informative_b": 90, "flags": ""}])


def record() -> dict[str, Any]:
    return {"patient": PATIENT, "inputs": [
                {"file": "/data/in/biopsy_a.h5", "bytes": 12345678, "sha256": "ab" * 32},
                {"file": "/data/in/vdj/biopsy_a.csv", "bytes": 2345, "sha256": "cd" * 32}],
            "parameters": {"car": "FMC63", "virus": ["EBV=prefix:EBV_"],
                           "config": {"fraction_limit": 0.1, "silenced_share": 0.02, "doublet_rate": 0.008},
                           "malignant_key": None, "focus": None, "seed": 0},
            "seed": 0, "versions": {"sclineage": "0.1.0", "python": "3.11.9", "numpy": "2.2.0"}, "device": "cpu",
            "seconds": {"read": 1.25}, "note": "research use only"}
