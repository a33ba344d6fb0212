"""Files with bytes changed, lost or cut off: read, or refused in one line that names the file; nothing else."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sclineage._errors import InputError
from sclineage.patient.cell_lists import read_cells
from sclineage.patient.contigs import read_contigs
from sclineage.patient.empties import read_empties
from sclineage.patient.matrices import read_matrix
from sclineage.patient.molecules import read_molecules
from sclineage.patient.sheet import sheet_faults

from .synthetic import CAR, anndata, barcodes, contigs, counts, features, mtx_folder, sheet, tenx_h5, write
from .test_molecules import molecule_info

CELLS = barcodes(30)
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "h5": ("a.h5", read_matrix), "h5 look": ("a.h5", lambda p: read_matrix(p, peek=True)),
    "h5 v2": ("old.h5", read_matrix), "h5ad": ("a.h5ad", lambda p: read_matrix(p, obs="s=a")),
    "mtx": ("mtx/matrix.mtx.gz", lambda p: read_matrix(p.parent)),
    "mtx look": ("mtx/matrix.mtx.gz", lambda p: read_matrix(p.parent, peek=True)),
    "genes": ("mtx/features.tsv.gz", lambda p: read_matrix(p.parent)), "contigs": ("c.csv", read_contigs),
    "contigs gz": ("c.csv.gz", read_contigs), "molecules": ("m.tsv", read_molecules),
    "molecule_info": ("mi.h5", lambda p: read_molecules(p, wanted=lambda t: list(t.index))),
    "empties": ("a.h5", lambda p: read_empties(p, cells=CELLS[:3], features=[CAR])),
    "donors": ("donors.tsv", lambda p: read_cells(p, owners=["S1"])), "sheet": ("sheet.csv", sheet_faults),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of every kind."""
    folder = tmp_path_factory.mktemp("whole")
    tenx_h5(folder / "a.h5", counts(30), CELLS, features())
    tenx_h5(folder / "old.h5", counts(30), CELLS, features(), old=True)
    anndata(counts(30), CELLS, features(), s=["a", "b"] * 15).write_h5ad(folder / "a.h5ad")
    mtx_folder(folder / "mtx", counts(30), CELLS, features())
    write(folder / "c.csv", contigs(CELLS))
    write(folder / "c.csv.gz", contigs(CELLS))
    molecules = pd.DataFrame({"barcode": CELLS, "umi": "ACGT", "feature": "0", "reads": 3})
    write(folder / "m.tsv", molecules, sep="\t", header=False)
    molecule_info(folder / "mi.h5")
    write(folder / "donors.tsv", pd.DataFrame({"cell": CELLS, "donor_id": ["S1", "S2"] * 15}), sep="\t")
    sheet(folder, {"patient": "P", "sample": "S", "day": "1", "gex": "a.h5", "molecules": "A=m.tsv"})
    return folder


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut off, with single bytes changed, or with a piece lost."""
    out = bytearray(data)
    kind = rng.integers(3)
    if kind == 0:
        return bytes(out[: rng.integers(0, len(out))])
    if kind == 1:
        for at in rng.integers(len(out), size=rng.integers(1, 6)):
            out[at] = rng.integers(256)
        return bytes(out)
    at = rng.integers(len(out))
    return bytes(out[:at] + out[at + rng.integers(1, 200) :])


@pytest.mark.parametrize("kind", list(READERS))
def test_damage_is_refused_in_one_line_or_does_no_harm(whole: Path, tmp_path: Path, kind: str) -> None:
    name, reader = READERS[kind]
    folder = tmp_path / "damaged"
    shutil.copytree(whole, folder)
    rng, refused = np.random.default_rng([7, len(kind), *kind.encode()]), 0
    for _ in range(25):
        (folder / name).write_bytes(damaged((whole / name).read_bytes(), rng))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = reader(folder / name)
            refused += bool(found) if kind == "sheet" else 0
        except InputError as error:
            assert "\n" not in str(error) and str(folder) in str(error)
            refused += 1
    assert refused >= 5


def test_no_handle_stays_open(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    shutil.copy(whole / "a.h5ad", path)
    read_matrix(path)
    anndata(counts(30), CELLS, features(), s=["a", "b"] * 15).write_h5ad(path)
    assert read_matrix(path).counts.sum() == counts(30).sum()
