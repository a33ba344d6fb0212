"""CAR protein by antibody: components found again, nothing called where they are not apart, never summed with RNA."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import nbinom

from sclineage import _schema
from sclineage._errors import InputError
from sclineage.evidence import protein
from sclineage.evidence.api import car_protein
from sclineage.evidence.protein import Component, Seen
from sclineage.patient import access


def draw(rng, mean, size, n):
    return rng.negative_binomial(size, size / (size + mean), n)


def test_component_is_a_negative_binomial() -> None:
    counts = np.arange(40)
    assert Component(7.0, 2.5).log(counts) == pytest.approx(nbinom.logpmf(counts, 2.5, 2.5 / 9.5), abs=1e-10)


@pytest.mark.parametrize("known", [True, False])
def test_mixture_is_found_again_and_calibrated(known: bool) -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(3000) < 0.3
    counts = np.where(truth, draw(rng, 120, 4, 3000), draw(rng, 6, 2, 3000))
    found = protein.fit(counts, draw(rng, 6, 2, 400) if known else np.zeros(0, np.int64))
    assert found is not None and found.resolved
    assert found.share == pytest.approx(truth.mean(), abs=0.03)
    p = found.posterior(counts)
    assert (~truth[p >= 0.95]).mean() < 0.02
    assert p[truth].mean() > 0.9


def test_nothing_is_resolved_in_one_component() -> None:
    rng = np.random.default_rng(2)
    for mean in (5, 100):
        found = protein.fit(draw(rng, mean, 3, 2000), np.zeros(0, np.int64))
        assert found is not None
        assert not found.resolved


def test_weak_staining_is_not_resolved() -> None:
    rng = np.random.default_rng(3)
    counts = np.concatenate([draw(rng, 6, 2, 1000), draw(rng, 14, 2, 500)])
    found = protein.fit(counts, draw(rng, 6, 2, 300))
    assert found is not None
    assert not found.resolved


def test_too_few_cells_give_no_mixture() -> None:
    assert protein.fit(np.arange(10), np.zeros(100, np.int64)) is None


@pytest.mark.parametrize(("seen", "controls", "want"), [
    (Seen(40, 12, 1, 1.0), 100, "present"), (Seen(60, 0, 0, 1.0), 100, "not_detected"),
    (Seen(60, 0, 0, 1.0), 5, "not_decided"), (Seen(10, 0, 0, 0.2), 100, "not_decided"),
    (Seen(60, 0, 8, 1.0), 100, "not_decided"), (Seen(30, 1, 0, 0.01), 100, "not_decided"),
    (Seen(0, 0, 0, 0.0), 100, "not_decided")])
def test_calls(seen: Seen, controls: int, want: str) -> None:
    assert seen.call(controls=controls, limit=0.1) == want


def patient(seed: int = 0, *, strength: float = 120.0, rna: float = 0.6) -> md.MuData:
    """Free clone of 80, carrying clone of 60 and singles, monocytes; protein and RNA of the same carriers."""
    rng = np.random.default_rng(seed)
    clone = np.array(["free"] * 80 + ["car"] * 60 + [f"s{i}" for i in range(200)] + [""] * 100, dtype=object)
    carries = (clone == "car") | np.isin(clone, [f"s{i}" for i in range(80)])
    subset = np.where(clone == "", "myeloid", "CD8_T")
    counts = np.where(carries, draw(rng, strength, 4, clone.size), draw(rng, 5, 2, clone.size))
    obs = pd.DataFrame(index=[f"S_{i:04d}" for i in range(clone.size)])
    adt = ad.AnnData(sparse.csr_matrix(np.column_stack([counts, draw(rng, 50, 3, clone.size)])), obs=obs,
                     var=pd.DataFrame(index=["anti-FMC63", "CD3"]))
    data = md.MuData({"adt": adt})
    umi = np.where(carries, rng.poisson(-np.log(1 - rna), clone.size), 0)
    for name, values in {"patient": "P", "sample": "S", "clone_id": clone, "subset": subset, "clone_status": "assigned",
                         "car_umi": umi}.items():
        data.obs[name] = values
    return data


def table(data: md.MuData) -> pd.DataFrame:
    return access.table(data, "car_protein").set_index("clone_id")


def test_clones_by_protein_and_the_sensitivity_of_rna() -> None:
    data = patient()
    car_protein(data, features="anti-FMC63")
    said = table(data)
    assert said.loc["car", "protein_call"] == "present"
    assert said.loc["free", "protein_call"] == "not_detected"
    assert (said.loc[[f"s{i}" for i in range(100, 200)], "protein_call"] == "not_decided").all()
    library = access.store(data)["car_adt"].iloc[0]
    assert library["low"] < 0.6 < library["high"]
    assert said.reset_index()[[c.name for c in _schema.CAR_PROTEIN]].columns.size == len(_schema.CAR_PROTEIN)


def test_an_antibody_that_does_not_work_says_nothing() -> None:
    data = patient(strength=5.0)
    car_protein(data, features="anti-FMC63")
    assert (table(data)["protein_call"] == "not_decided").all()
    assert data.obs["car_adt_p"].isna().all()


def test_conflict_is_flagged_in_both_tables_and_changes_no_verdict() -> None:
    data = patient()
    rows = _schema.empty("car_clones")
    for name, verdict in (("car", "CAR_transcript_not_detected"), ("free", "CAR_transcript_not_detected")):
        rows.loc[len(rows)] = {c.name: "" if c.dtype == "str" else np.nan for c in _schema.CAR_CLONES} | {
            "patient": "P", "clone_id": name, "car_verdict": verdict}
    access.put_table(data, "car_clones", rows)
    car_protein(data, features="anti-FMC63")
    clones = access.table(data, "car_clones").set_index("clone_id")
    assert clones["car_flags"].to_dict() == {"car": "rna_protein_conflict", "free": ""}
    assert (clones["car_verdict"] == "CAR_transcript_not_detected").all()
    assert table(data).loc["car", "flags"] == "rna_protein_conflict"


def test_order_of_cells_does_not_matter() -> None:
    data = patient()
    turned = data[np.random.default_rng(3).permutation(data.n_obs)].copy()
    for d in (data, turned):
        car_protein(d, features="anti-FMC63")
    pd.testing.assert_frame_equal(access.table(data, "car_protein"), access.table(turned, "car_protein"))


def test_bad_input_is_one_line() -> None:
    data = patient()
    with pytest.raises(InputError, match="no antibody 'anti-FMC6'"):
        car_protein(data, features="anti-FMC6")
    data["adt"].X = data["adt"].X.astype(float) * 0.5
    with pytest.raises(InputError, match="not whole numbers"):
        car_protein(data, features="anti-FMC63")
