"""Public data: T cells and monocytes come out as their receptors, sort and authors say."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sclineage.cells.annotate_api import annotate
from sclineage.patient.api import read_patient
from tests.patient.synthetic import sheet

pytestmark = pytest.mark.real
T_CELLS = ("CD4_T", "CD8_T", "T")


@pytest.fixture(scope="module")
def blood(public_data: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Cells of two blood samples of P10, one sorted for the CAR, one not."""
    data = public_data / "carpall-cart-gex-vdj"
    rows = [{"patient": "P10", "sample": s, "gex": str(data / "gex" / f"{s}.filtered_feature_bc_matrix.h5"),
             "vdj": str(data / "vdj" / f"{s}.filtered_contig_annotations.csv.gz")}
            for s in ("CAR-T10310323", "CAR-T10310325")]
    mdata = read_patient(sheet(tmp_path_factory.mktemp("p10"), *rows), car="CAT_scFv")
    annotate(mdata)
    labels = pd.read_csv(data / "car_t_cell_labels.tsv.gz", sep="\t", index_col=0)
    return mdata.obs[["sample", "subset"]].astype(str).assign(author=mdata.obs_names.isin(labels.index))


def test_the_unsorted_sample_has_monocytes_and_the_sorted_one_hardly_any(blood: pd.DataFrame) -> None:
    counts = pd.crosstab(blood["sample"], blood["subset"])
    assert counts.loc["CAR-T10310325", "myeloid"] == 556
    assert counts.loc["CAR-T10310323", "myeloid"] == 8
    assert counts.loc["CAR-T10310323", list(T_CELLS)].sum() >= 700


def test_no_car_t_cell_of_the_authors_is_called_anything_else(blood: pd.DataFrame) -> None:
    called = blood.loc[blood["author"], "subset"]
    assert len(called) == 610 and called.isin(T_CELLS).all()
