"""Same input and seed, same bytes: for any number of threads, order of cells, of genes, and of samples."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from sclineage import _backend
from sclineage.evidence.api import car_status
from tests.evidence import devsim, small
from tests.kernels import shim

NAMES = ("car_samples", "car_what_if", "car_fit")
COLUMNS = ["car_umi", "car_bg_expected", "car_p", "car_p_cell_only", "car_call", "car_product"]


@pytest.fixture(scope="module")
def patient():
    sizes = {"free": (60, 20), "carrying": (40, 30), "mixed": (20,), "singles_free": 40, "singles_carrying": 20}
    return devsim.patient([
        small.library("s1", **sizes, obs={"specimen": "b"}),
        small.library("s2", **sizes, obs={"specimen": "b", "selection": "CAR+"}),
        small.library("s3", free=(30, 5), prefix="q", obs={"specimen": "c"})], 2)


def result(adata, **arguments):
    car_status(adata, **({"car": "CAR", "device": "cpu"} | arguments))
    tables = adata.uns["sclineage"]["tables"]
    cells = adata.obs[COLUMNS].sort_index()
    return [cells, tables["car_clones"], tables["clone_car"], *(small.stored(adata, n) for n in NAMES)]


@pytest.fixture(scope="module")
def reference(patient):
    return result(patient.copy(), threads=1)


def check(found, reference):
    for one, two in zip(found, reference, strict=True):
        assert small.same_bytes(one, two)


def test_threads(patient, reference):
    check(result(patient.copy(), threads=2), reference)


def test_order_of_cells_and_genes(patient, reference):
    rng = np.random.default_rng(0)
    shuffled = patient[rng.permutation(patient.n_obs)][:, [1, 0]].copy()
    check(result(shuffled, threads=1), reference)


def test_order_of_samples(patient, reference):
    parts = [patient[(patient.obs["sample"] == s).to_numpy()] for s in ("s3", "s1", "s2")]
    check(result(ad.concat(parts), threads=1), reference)


def test_running_twice_changes_nothing(patient, reference):
    adata = patient.copy()
    result(adata, threads=1)
    check(result(adata, threads=1), reference)


def test_the_seed_moves_only_the_power(patient, reference):
    other = result(patient.copy(), threads=1, rng=1)
    assert small.same_bytes(other[1].drop(columns="car_power"), reference[1].drop(columns="car_power"))
    assert not small.same_bytes(other[1], reference[1])


@pytest.mark.parametrize("device", ["shim", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_device_moves_no_verdict(patient, reference, device, monkeypatch):
    if device == "cuda" and not _backend.cuda_available():
        pytest.skip("no CUDA device")
    if device == "shim":
        if not shim.available():
            pytest.skip("no g++")
        shim.install(monkeypatch)
    found = result(patient.copy(), threads=1, device="cuda")
    for one, two in zip(found, reference, strict=True):
        pd.testing.assert_frame_equal(one, two, rtol=0, atol=1e-6)
