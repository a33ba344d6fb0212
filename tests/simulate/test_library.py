"""Libraries in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sclineage.simulate.counts import CarModel
from sclineage.simulate.expression import CAR
from sclineage.simulate.library import CELLS, Params, simulate_library


def test_same_seed_same_data_other_seed_other_data() -> None:
    one, two, three = (simulate_library(seed=s) for s in (4, 4, 5))
    assert (one.X != two.X).nnz == 0
    assert one.obs.equals(two.obs)
    assert one.X.sum() != three.X.sum()


def test_clones_have_the_sizes_asked_for() -> None:
    data = simulate_library(seed=1)
    tumor = data.obs[(data.obs["sample"] == "tumor") & (data.obs["clone_id"] != "")]
    sizes = tumor.groupby("clone_id").size().value_counts().to_dict()
    assert sizes == CELLS
    assert (data.X.data == np.floor(data.X.data)).all()


def test_truth_follows_the_design() -> None:
    data = simulate_library(Params(carrying=0.4, mixed=0.3, dominant=700), seed=2)
    tumor = data.obs[(data.obs["sample"] == "tumor") & (data.obs["clone_id"] != "")]
    share = tumor.groupby("clone_id")["truth_car"].mean()
    clones = data.uns["truth_clones"].loc[share.index]
    fixed = clones["car_fraction"].isin([0.0, 1.0])
    assert (share[fixed] == clones.loc[fixed, "car_fraction"]).all()
    big = ~fixed & (clones["size"] >= 50)
    assert np.abs(share[big] - clones.loc[big, "car_fraction"]).max() < 0.2
    assert clones.loc[clones["size"] == 700, "car_fraction"].tolist() == [0.0]


def test_samples_without_carriers_hold_background_alone() -> None:
    data = simulate_library(Params(theta_sd=0, theta=8e-4, doublets=0), seed=3)
    count = np.asarray(data[:, CAR].X.todense()).ravel()
    obs = data.obs
    assert count[(obs["sample"] == "apheresis").to_numpy()].sum() == 0
    tumor = (obs["sample"] == "tumor").to_numpy()
    free = tumor & ~obs["truth_car"].to_numpy(bool)
    content = obs.loc[tumor, "truth_own_umi"].mean()
    assert count[free].mean() / content == pytest.approx(0.003, abs=0.002)
    assert (obs.loc[obs["sample"] == "tumor_sorted", "truth_car"]).mean() == pytest.approx(0.97, abs=0.03)


def test_rates_are_those_asked_for() -> None:
    model = CarModel(size=4, silenced=0)
    params = Params(sizes={1: 20_000}, carrying=1.0, mixed=0, tau=0, theta=5e-4, theta_sd=0, depth_sd=0.0,
                    doublets=0.05, other=0, sister=0, before=0, model=model)
    data = simulate_library(params, seed=6)
    alone = ~data.obs["truth_doublet"].to_numpy(bool)
    own = data.obs["truth_own_umi"].to_numpy()[alone]
    assert own.mean() == pytest.approx(5e-4 * 4000, rel=0.03)
    assert own.var() == pytest.approx(2 + 4 / 4, rel=0.06)
    assert 1 - alone.mean() == pytest.approx(0.05, abs=0.006)
    total = np.asarray(data.X.sum(axis=1)).ravel()
    assert total[~alone].mean() / total[alone].mean() == pytest.approx(1.5, abs=0.02)


def test_a_library_without_control_has_none() -> None:
    data = simulate_library(Params(carrying=0, mixed=0, sister=0, before=0), seed=7)
    assert set(data.obs["sample"]) == {"tumor"}
    assert not data.obs["truth_car"].any()
    product = simulate_library(replace(Params(), sister=0, product=300, product_car=0.6), seed=7)
    sheet = product.uns["sclineage"]["samples"].set_index("sample")
    assert float(sheet.loc["product", "car_fraction"]) == 0.6


def test_empty_droplets_have_the_rate_of_the_soup() -> None:
    model = CarModel(soup=0.02, swap=0)
    data = simulate_library(Params(empties=50_000, theta_sd=0, model=model), seed=8)
    table = data.uns["sclineage"]["empties"].set_index("sample")
    content = data.obs.groupby("sample")["truth_own_umi"].mean()
    rate = table["feature_umi"] / table["n_droplets"]
    assert rate["apheresis"] == 0
    for sample in ("tumor", "tumor_sorted"):
        assert rate[sample] == pytest.approx(0.02 * content[sample], rel=0.15)


def test_flagged_doublets_are_doublets_of_two_t_cells() -> None:
    obs = simulate_library(Params(doublets=0.2, flagged=0.5), seed=9).obs
    flagged = (obs["clone_status"] == "doublet").to_numpy()
    assert obs.loc[flagged, "truth_doublet"].all() and (obs.loc[flagged, "subset"] == "T").all()
    twice = ((obs["subset"] == "T") & obs["truth_doublet"]).to_numpy()
    assert 0.4 < flagged.sum() / twice.sum() < 0.55
    assert not (simulate_library(seed=9).obs["clone_status"] == "doublet").any()
