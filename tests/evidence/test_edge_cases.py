"""Edge cases of the CAR status: bad input is an error, missing data is never a zero or a negative."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sclineage import _schema as schema
from sclineage._errors import InputError
from sclineage.evidence.api import car_status
from tests.evidence import devsim, small
from tests.evidence.devsim import CARRIES, NEGATIVE

FULL = {"free": (60, 40, 12), "carrying": (40, 30, 20), "singles_free": 60, "singles_carrying": 20}


@pytest.fixture(scope="module")
def base():
    return devsim.patient([small.library(**FULL)], 3)


def test_missing_feature_names_it_and_writes_nothing(base):
    adata = base.copy()
    with pytest.raises(InputError, match=r"'CAR-x' is in no matrix"):
        car_status(adata, car="CAR-x", device="cpu")
    assert not [c for c in adata.obs.columns if c.startswith("car_")]
    assert not adata.uns.get("sclineage", {}).get("tables")


def test_empty_car_and_bad_shares_are_refused(base):
    with pytest.raises(InputError, match="at least one feature"):
        car_status(base.copy(), car={}, device="cpu")
    with pytest.raises(InputError, match="between 0 and 1"):
        car_status(base.copy(), car="CAR", fraction_limit=2.0, device="cpu")


def test_counts_that_are_not_whole_are_refused(base):
    adata = base.copy()
    adata.X = adata.X * 0.7
    with pytest.raises(InputError, match="raw integer counts"):
        car_status(adata, car="CAR", device="cpu")


def test_more_car_than_depth_is_refused(base):
    adata = base.copy()
    x = adata.X.tolil()
    x[0, 0], x[0, 1] = 50, 5
    adata.X = x.tocsr()
    with pytest.raises(InputError, match="more CAR UMIs than UMIs of all other genes"):
        car_status(adata, car="CAR", device="cpu")


def test_clone_across_patients_is_refused(base):
    adata = base.copy()
    adata.obs["patient"] = np.where(np.arange(adata.n_obs) % 2, "A", "B")
    adata.obs["sample"] = adata.obs["patient"]
    with pytest.raises(InputError, match="cells of several patients"):
        car_status(adata, car="CAR", device="cpu")


def test_two_selections_in_one_sample_are_refused(base):
    adata = base.copy()
    adata.obs["selection"] = np.where(np.arange(adata.n_obs) % 2, "none", "CAR+")
    with pytest.raises(InputError, match="several values of 'selection'"):
        car_status(adata, car="CAR", device="cpu")


def test_unknown_control_is_refused(base):
    with pytest.raises(InputError, match="neither a sample nor a column"):
        car_status(base.copy(), car="CAR", positive="produkt", device="cpu")
    with pytest.raises(InputError, match="both a positive and a negative control"):
        car_status(base.copy(), car="CAR", positive="s1", negative="s1", device="cpu")


def test_missing_unit_column_is_refused(base):
    adata = base.copy()
    del adata.obs["clone_id"]
    with pytest.raises(InputError, match="no column 'clone_id'"):
        car_status(adata, car="CAR", device="cpu")


def test_all_zero_without_a_control_is_indeterminate():
    adata = small.run(small.library(free=(200, 60, 10), singles_free=50))
    adata_counts = adata[:, "CAR"].X
    assert adata_counts.sum() == 0
    table = small.clone_table(adata)
    assert set(table["car_verdict"]) == {"indeterminate"}
    assert table.loc["free0", "car_reason"] == "no_control"
    assert set(adata.obs["car_call"]) == {"unlikely"}
    assert (table["car_power"].fillna(0) == 0).all()
    assert "no_positive_control" in small.stored(adata, "car_samples")["flags"].iloc[0]


def test_all_zero_with_a_sorted_sister_is_negative():
    sort = small.library("sort", carrying=(30, 20), singles_carrying=60, prefix="z",
                         obs={"selection": "CAR+", "specimen": "b"})
    adata = small.run(small.library(free=(200, 60, 3), singles_free=50, obs={"specimen": "b"}), sort)
    table = small.clone_table(adata)
    assert table.loc["free0", "car_verdict"] == "CAR_transcript_not_detected"
    assert table.loc["free1", "car_verdict"] in NEGATIVE
    assert table.loc["free2", "car_verdict"] == "indeterminate"  # three cells are never negative
    assert small.stored(adata, "car_samples").loc["s1", "car_sensitivity_source"] == "paired"


def test_silent_control_turns_negatives_off():
    full = small.run(small.library(**FULL), small.library("product", free=(50,), prefix="p"), positive="product")
    table = small.clone_table(full)
    # the library's own carrying clones show capture, and outweigh a silent control of another well
    assert table.loc["free0", "car_verdict"] in NEGATIVE
    silent = small.run(small.library(free=(100, 60), singles_free=80),
                       small.library("product", free=(50,), prefix="p"), positive="product")
    table = small.clone_table(silent)
    assert set(table["car_verdict"]) == {"indeterminate"}
    assert table.loc["free0", "car_reason"] == "control_silent"
    assert "control_silent" in small.stored(silent, "car_samples").loc["s1", "flags"]


def test_declared_control_of_the_same_day_measures_and_of_another_does_not():
    def pair(day):
        return small.run(small.library(free=(100, 60), singles_free=80, obs={"day": 300.0}),
                         small.library("product", carrying=(40, 30), singles_carrying=60, prefix="p",
                                       obs={"day": day}), positive=["product"])

    same, other = small.clone_table(pair(300.0)), small.clone_table(pair(0.0))
    assert same.loc["free0", "car_verdict"] in NEGATIVE
    assert other.loc["free0", "car_verdict"] == "indeterminate"
    assert other.loc["free0", "car_reason"] == "no_control"


def test_known_car_fraction_makes_a_product_a_control():
    product = small.library("product", carrying=(40,), free=(60,), singles_carrying=40, singles_free=60, prefix="p",
                            obs={"day": 0.0, "car_fraction": 0.4, "car_fraction_n": 500.0})
    adata = small.run(small.library(free=(100, 60), singles_free=80, obs={"day": 300.0}), product)
    assert small.clone_table(adata).loc["free0", "car_verdict"] in NEGATIVE


def test_single_cells_are_never_mixed_nor_negative():
    adata = small.run(small.library(**FULL))
    table = small.clone_table(adata)
    single = table[table["car_n_informative"] == 1]
    assert len(single) == 80
    assert (single["car_p_mixed"] == 0).all()
    assert not set(single["car_verdict"]) & {*NEGATIVE, "CAR_mixed"}


def test_no_t_cell_gives_empty_tables():
    adata = small.run(small.library(other_cells=60))
    tables = adata.uns["sclineage"]["tables"]
    assert list(tables["car_clones"].columns) == [c.name for c in schema.CAR_CLONES]
    assert list(tables["clone_car"].columns) == [c.name for c in schema.CLONE_CAR]
    assert len(tables["car_clones"]) == len(tables["clone_car"]) == 0
    assert (adata.obs["car_call"] != "pos").all()


def test_no_cell_at_all_gives_empty_tables(base):
    adata = base[:0].copy()
    car_status(adata, car="CAR", device="cpu")
    assert len(small.clone_table(adata)) == 0
    assert len(small.stored(adata, "car_samples")) == 0


def test_cells_without_a_clone_get_the_populations_prior():
    def hide(adata):
        adata.obs.loc[adata.obs["clone_id"].str.startswith("s"), "clone_id"] = np.nan

    adata = small.run(small.library(**FULL), edit=hide)
    hidden = adata.obs["clone_id"].isna() & (adata.obs["subset"] == "T")
    assert hidden.sum() == 80
    p, umi = adata.obs.loc[hidden, "car_p"], adata.obs.loc[hidden, "car_umi"]
    assert p.notna().all()
    assert p[umi >= 3].min() > 0.5 > p[umi == 0].max()
    assert "" not in small.clone_table(adata).index


def test_cells_without_umis_are_dropped_with_a_reason(base):
    adata = base.copy()
    x = adata.X.tolil()
    x[0] = 0
    adata.X = x.tocsr()
    car_status(adata, car="CAR", device="cpu")
    cell = adata.obs.iloc[0]
    assert (cell["excluded_reason"], cell["car_call"]) == ("no_umi", "")
    assert np.isnan(cell["car_p"])
    assert (adata.obs["excluded_reason"].iloc[1:] == "").all()


def test_doublets_ambiguous_and_excluded_cells_do_not_count(base):
    adata = base.copy()
    first = np.flatnonzero(adata.obs["clone_id"] == "free0")[:3]
    status, reason = np.full(adata.n_obs, "assigned", object), np.full(adata.n_obs, "", object)
    status[first[0]], status[first[1]], reason[first[2]] = "doublet", "ambiguous", "low_umi"
    adata.obs["clone_status"], adata.obs["excluded_reason"] = status, reason
    car_status(adata, car="CAR", device="cpu")
    assert small.clone_table(adata).loc["free0", "car_n_informative"] == 57
    assert np.isnan(adata.obs["car_p"].iloc[first[[0, 2]]]).all()
    assert np.isfinite(adata.obs["car_p"].iloc[first[1]])


def test_cells_that_are_no_t_cells_are_never_called():
    def paint(adata):  # monocytes full of CAR
        x = adata.X.tolil()
        for i in np.flatnonzero(adata.obs["subset"] == "myeloid")[:20]:
            x[i, 0] = 12
        adata.X = x.tocsr()

    adata = small.run(small.library(**FULL), edit=paint)
    other = adata.obs["subset"] == "myeloid"
    assert not (adata.obs.loc[other, "car_call"] == "pos").any()


def test_sample_before_the_infusion_is_a_control_and_never_carries():
    pre = small.library("pre", free=(60, 30), singles_free=60, prefix="p", obs={"day": -10.0},
                        rates=devsim.Rates(native=6e-5))
    adata = small.run(small.library(**FULL, rates=devsim.Rates(native=6e-5)), pre)
    before = adata.obs["sample"] == "pre"
    assert (adata.obs.loc[before, "car_p"] == 0).all()
    fit = small.stored(adata, "car_fit").set_index("sample")
    assert list(fit.index) == ["s1"]
    assert 3e-5 < fit.loc["s1", "mt"] < 1e-4
    assert small.clone_table(adata).loc["pfree0", "car_reason"] == "not_assessed"
    assert small.clone_table(adata).loc["car0", "car_verdict"] in CARRIES


def test_car_before_the_infusion_shows_as_a_flag():
    swapped = small.library("pre", carrying=(60, 30), prefix="p", obs={"day": -10.0})
    adata = small.run(small.library(**FULL), swapped)
    assert "pre_infusion_car" in small.stored(adata, "car_samples").loc["pre", "flags"]
    assert "pre" in set(small.stored(adata, "car_fit")["sample"])  # assessed like any other


def test_reference_without_the_car_is_not_assessed():
    second = small.library("s2", free=(30,), carrying=(), prefix="n", obs={"car": "none"})
    adata = small.run(small.library(**FULL, obs={"car": ""}), second)
    there = adata.obs["sample"] == "s2"
    assert adata.obs.loc[there, "car_umi"].isna().all()
    assert (adata.obs.loc[there, "car_call"] == "").all()
    row = small.clone_table(adata).loc["nfree0"]
    assert (row["car_verdict"], row["car_reason"]) == ("indeterminate", "not_assessed")
    assert np.isnan(small.stored(adata, "car_samples").loc["s2", "car_umi_total"])


def test_patients_do_not_inform_each_other():
    one = devsim.patient([small.library(**FULL)], 3)
    two = devsim.patient([small.library("t1", free=(50,), carrying=(40,), singles_carrying=50, prefix="b")], 4)
    two.obs["patient"] = "other"
    both = ad.concat([one, two], join="outer")
    car_status(one, car="CAR", device="cpu")
    car_status(both, car="CAR", device="cpu")
    table = both.uns["sclineage"]["tables"]["car_clones"]
    mine = table[table["patient"] == "sim"].reset_index(drop=True)
    assert small.same_bytes(mine, one.uns["sclineage"]["tables"]["car_clones"])
    assert len(small.stored(both, "car_samples")) == 2


def test_depth_unknown_is_flagged():
    counts = np.concatenate([np.random.default_rng(2).poisson(2.0, 60), np.zeros(60, int)])
    adata = ad.AnnData(sparse.csr_matrix(counts[:, None].astype(np.float32)),
                       obs=pd.DataFrame({"clone_id": ["a"] * 60 + ["b"] * 60, "selection": "none"},
                                        index=[f"c{i}" for i in range(120)]), var=pd.DataFrame(index=["CAR"]))
    car_status(adata, car="CAR", device="cpu")
    assert "depth_unknown" in small.stored(adata, "car_samples")["flags"].iloc[0]
    assert (adata.obs["car_umi"] == counts).all()


def test_other_units_and_sample_keys(base):
    adata = base.copy()
    adata.obs["group"] = np.where(adata.obs["clone_id"].str.startswith("car"), "carrying", "rest")
    adata.obs["library"] = adata.obs.pop("sample")
    adata.obs["how"] = adata.obs.pop("selection")
    out = car_status(adata, car="CAR", unit="group", sample_key="library", selection_key="how", copy=True, device="cpu")
    assert "car_p" not in adata.obs
    assert list(small.clone_table(out).index) == ["carrying", "rest"]
    assert small.clone_table(out).loc["carrying", "car_verdict"] in CARRIES


def test_no_sample_column_is_one_sample(base):
    adata = base.copy()
    del adata.obs["sample"], adata.obs["patient"]
    car_status(adata, car="CAR", device="cpu")
    assert len(small.stored(adata, "car_samples")) == 1
    assert (adata.uns["sclineage"]["tables"]["car_clones"]["patient"] == "patient").all()


def test_mudata_and_file_round_trip(base, tmp_path):
    gex = ad.AnnData(base.X.copy(), obs=pd.DataFrame(index=base.obs_names), var=base.var.copy())
    airr = ad.AnnData(np.zeros((base.n_obs, 0), np.float32), obs=base.obs[["clone_id"]].copy())
    mdata = md.MuData({"gex": gex, "airr": airr})
    for column in ("sample", "patient", "selection", "subset"):
        mdata.obs[column] = base.obs[column].to_numpy()
    mdata.obs["airr:clone_id"] = base.obs["clone_id"].to_numpy()
    car_status(mdata, car="CAR", device="cpu")
    plain = base.copy()
    car_status(plain, car="CAR", device="cpu")
    assert small.same_bytes(small.clone_table(mdata), small.clone_table(plain))
    mdata.write(tmp_path / "patient.h5mu")
    again = md.read(tmp_path / "patient.h5mu")
    for name in ("car_samples", "car_what_if", "car_fit"):
        assert len(again.uns["sclineage"][name]) == len(mdata.uns["sclineage"][name])
    np.testing.assert_allclose(again.obs["car_p"], plain.obs["car_p"])
    plain.write_h5ad(tmp_path / "plain.h5ad")


def test_empty_results_survive_a_file(tmp_path):
    adata = small.run(small.library(other_cells=60))
    adata.write_h5ad(tmp_path / "empty.h5ad")
    assert len(ad.read_h5ad(tmp_path / "empty.h5ad").uns["sclineage"]["car_what_if"]) == 0
