"""Real patients and libraries through the whole path: what must and what must never be said of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.evidence import real_data as real
from sclineage._schema import CAR_CARRYING, CAR_NEGATIVE

pytestmark = [pytest.mark.real, pytest.mark.slow]
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def carpall(public_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tables]:
    done: dict[str, Tables] = {}

    def run(patient: str) -> Tables:
        if patient not in done:
            folder = tmp_path_factory.mktemp(patient)
            done[patient] = real.run(real.carpall_sheet(public_data, patient, folder), folder / "out", car="CAT_scFv")
        return done[patient]

    return run


def unsorted_cells(tables: Tables, *, product: bool) -> pd.DataFrame:
    samples = tables["samples"].query("selection == 'none'")
    chosen = samples[(samples["material"] == "product") == product]["sample"]
    return tables["cells"][tables["cells"]["sample"].isin(chosen)]


def test_p02_clones_of_the_sort_carry(carpall: Callable[[str], Tables]) -> None:
    rows = real.sorted_rows(carpall("P02"))
    large, middle = rows.query("n_informative >= 10"), rows.query("n_informative >= 5")
    assert len(large) >= 6
    assert large["car_verdict"].isin(CAR_CARRYING).all()
    assert middle["car_verdict"].isin(CAR_CARRYING).mean() >= 0.9
    assert not rows["car_verdict"].isin(CAR_NEGATIVE).any()


def test_p02_mixed_clone_of_sort_and_unsorted_blood(carpall: Callable[[str], Tables]) -> None:
    tables = carpall("P02")
    rows = tables["clone_car"].query("specimen == 'P02_PB_M02' and population == 'all'")
    largest = rows.query("selection == 'none'").sort_values("n_informative").iloc[-1]
    assert 40 <= largest["n_informative"] <= 55
    assert largest["n_with_car"] == 0
    sort = rows.query("selection == 'CAR+' and clone_id == @largest.clone_id").iloc[0]
    assert sort["n_with_car"] >= 40
    clone = tables["clones"].set_index("clone_id").loc[largest["clone_id"]]
    assert clone["car_verdict"] == "CAR_mixed"
    assert "minor" in str(clone["flags"]).split(";")


def test_p02_unsorted_cells_are_not_positive_by_their_clone(carpall: Callable[[str], Tables]) -> None:
    positive = unsorted_cells(carpall("P02"), product=False).query("car_call == 'pos'")
    assert len(positive) <= 2
    assert (positive["car_umi"] >= 1).all()
    product = unsorted_cells(carpall("P02"), product=True).query("car_call == 'pos'")
    assert (product["car_umi"] >= 1).all()


@pytest.mark.parametrize("patient", ["P02", "P10", "P13"])
def test_cells_that_are_no_t_cells_are_never_positive(carpall: Callable[[str], Tables], patient: str) -> None:
    cells = carpall(patient)["cells"]
    others = cells[cells["subset"].isin(["myeloid", "B"])]
    assert len(others) > 0
    assert not others["car_call"].eq("pos").any()


@pytest.mark.parametrize("patient", ["P10", "P13"])
def test_nothing_is_negative_where_no_control_was_measured(carpall: Callable[[str], Tables], patient: str) -> None:
    tables = carpall(patient)
    rows = tables["clone_car"].query("selection == 'none'")
    assert not rows["car_verdict"].eq("CAR_positive").any()
    controlled = set(tables["samples"].query("car_sensitivity_source in ['same_library', 'paired']")["specimen"])
    negative = rows[rows["car_verdict"].isin(CAR_NEGATIVE)]
    assert set(negative["specimen"]) <= controlled


def test_fitted_sensitivity_is_near_that_of_author_labelled_cells(carpall: Callable[[str], Tables],
                                                                  public_data: Path) -> None:
    rows = pd.DataFrame(real.sensitivities(carpall("P02"), public_data)).query("author_cells >= 100")
    assert len(rows) >= 3
    assert (rows["sensitivity"] - rows["author_share"]).abs().max() <= 0.12


@pytest.mark.parametrize("counting", ["unknown", "unique"])
def test_f1_runs_without_a_matrix(public_data: Path, tmp_path: Path, counting: str) -> None:
    tables = real.run(real.f1_sheet(public_data, tmp_path, counting=counting), tmp_path / "out", car="CAR")
    [sample] = tables["samples"].to_dict("records")
    assert "depth_unknown" in str(sample["flags"])
    assert sample["n_cells"] == 1353
    rows = real.sorted_rows(tables)
    assert not rows["car_verdict"].isin(CAR_NEGATIVE).any()
    large = rows.query("n_informative >= 5")
    if counting == "unique":
        assert large["car_verdict"].isin(CAR_CARRYING).mean() >= 0.9
    else:  # all cells alike and nothing declared: it may say why it cannot tell, and nothing else
        assert (large["car_verdict"].isin(CAR_CARRYING) | (large["car_reason"] == "background_not_identified")).all()


@pytest.mark.parametrize("layout", [real.LAYOUTS[k] for k in (0, 4, 5)],
                         ids=lambda layout: layout.name.replace(" ", "_"))
def test_no_clone_carries_before_any_car_existed(public_data: Path, tmp_path: Path, layout: real.Layout) -> None:
    tables = real.run(real.bbbleuk_sheet(public_data, tmp_path, layout), tmp_path / "out", car="CAR")
    assert tables["samples"]["car_umi_total"].sum() > 5000  # the false molecules are there
    assert not tables["clones"]["car_verdict"].isin(CAR_CARRYING).any()
    assert not tables["clone_car"]["car_verdict"].isin(CAR_CARRYING).any()
