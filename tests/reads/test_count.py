"""A whole library to molecules: simulated reads with truth, every way in, every order."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata.io import read_h5ad

from sclineage._errors import InputError
from sclineage.reads.api import count_targets

from .libraries import LISTED, Made, keys, make, molecules_of


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """No error, no junk: counts must equal the truth."""
    return make(tmp_path_factory.mktemp("clean"), error=0.0, junk=0.0, lanes=2)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("noisy"), error=0.005, reads_per_molecule=5.0, seed=5)


def states(folder: Path) -> dict[str, dict[str, int]]:
    table = pd.read_csv(folder / "reads.csv")
    return {g: dict(zip(t["state"], t["reads"], strict=True)) for g, t in table.groupby("group")}


def test_counts_equal_the_truth(clean: Made, tmp_path: Path) -> None:
    found = count_targets(**clean.arguments(2), out=tmp_path / "out")
    table = molecules_of(tmp_path / "out")
    want = clean.truth.sort_values(["barcode", "feature", "umi"], ignore_index=True)
    pd.testing.assert_frame_equal(table[["barcode", "umi", "feature", "reads"]], want)
    assert (table["barcode_posterior"] == 1).all() and (table["unique_bases"] >= 50).all()
    written = read_h5ad(tmp_path / "out" / "features.h5ad")
    assert (written.X != found.X).nnz == 0
    cells = sorted((clean.folder / "cells.txt").read_text().split())
    assert [b.removesuffix("-1") for b in written.obs_names] == cells
    per_cell = want[want["barcode"].isin(cells)].groupby(["barcode", "feature"]).size()
    counts = pd.DataFrame(written.X.toarray(), index=cells, columns=written.var_names)
    for (barcode, feature), n in per_cell.items():
        assert counts.loc[barcode, feature] == n
    assert counts.to_numpy().sum() == per_cell.sum() > 50
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "features.h5ad", "molecules.tsv.gz", "reads.csv", "run.json", "sharing.csv"]


def test_states_add_up(noisy: Made, tmp_path: Path) -> None:
    count_targets(**noisy.arguments(), out=tmp_path / "out")
    found, record = states(tmp_path / "out"), json.loads((tmp_path / "out" / "run.json").read_text())
    with gzip.open(noisy.folder / "L1_R1.fastq.gz") as handle:
        reads = sum(1 for _ in handle) // 4
    assert sum(found["barcode"].values()) == sum(found["transcript"].values()) == reads == record["reads"]
    of_features = sum(v for k, v in found["transcript"].items() if k not in ("endogenous", "nothing", "no_primer"))
    assert sum(found["molecule"].values()) == of_features
    assert found["molecule"]["counted"] == molecules_of(tmp_path / "out")["reads"].sum()
    assert found["barcode"]["corrected"] > 100 and found["barcode"]["none"] > 10
    assert found["molecule"]["no_barcode"] > 0
    assert record["peak_memory_bytes"] > 0 and record["versions"]["sclineage"]
    assert all(len(i["sha256"]) == 64 for i in record["inputs"])


def test_errors_cost_few_molecules(noisy: Made, tmp_path: Path) -> None:
    """What is not in the truth must be explained: a UMI one error away, or a barcode that junk or an error made."""
    count_targets(**noisy.arguments(), out=tmp_path / "out")
    table = molecules_of(tmp_path / "out")
    truth, found = keys(noisy.truth), keys(table)
    assert len(truth & found) >= 0.985 * len(truth)
    false = table[[k not in truth for k in zip(table["barcode"], table["umi"], table["feature"], strict=True)]]
    assert len(false) <= 0.02 * len(truth)
    known = set(noisy.truth["umi"])
    assert all(u in known or min(sum(a != b for a, b in zip(u, t, strict=True)) for t in known) == 1
               for u in false["umi"])


def write_as(folder: Path, name: str, rows: list[list[bytes]]) -> Path:
    path = folder / name
    path.write_bytes(b"".join(b"\n".join(r) + b"\n" for r in rows))
    return path


def records(path: Path) -> list[list[bytes]]:
    lines = gzip.decompress(path.read_bytes()).splitlines()
    return [lines[k : k + 4] for k in range(0, len(lines), 4)]


def result(folder: Path) -> dict[str, bytes]:
    return {n: (folder / n).read_bytes() for n in ("molecules.tsv.gz", "reads.csv", "sharing.csv")}


@pytest.mark.parametrize("policy", ["cellranger", "calibrated"])
def test_order_threads_lanes_and_interleaving_do_not_matter(noisy: Made, tmp_path: Path, policy: str) -> None:
    count_targets(**noisy.arguments(policy=policy), out=tmp_path / "a", threads=2)
    one, two = (records(noisy.folder / f"L1_R{k}.fastq.gz") for k in (1, 2))
    order = np.random.default_rng(0).permutation(len(one))
    half = len(one) // 2
    files = [write_as(tmp_path, f"{part}_{mate}.fq", [reads[k] for k in rows])
             for mate, reads in ((1, one), (2, two)) for part, rows in (("x", order[:half]), ("y", order[half:]))]
    count_targets(**noisy.arguments(r1=files[:2], r2=files[2:], policy=policy), out=tmp_path / "b", threads=1)
    assert result(tmp_path / "a") == result(tmp_path / "b")
    mixed = write_as(tmp_path, "both.fq", [r for pair in zip(one, two, strict=True) for r in pair])
    count_targets(**noisy.arguments(r1=mixed, r2=(), policy=policy), out=tmp_path / "c")
    assert result(tmp_path / "a") == result(tmp_path / "c")


def test_without_an_output_folder(clean: Made) -> None:
    found = count_targets(**clean.arguments(2))
    assert len(found.uns["count"]["molecules"]) == len(clean.truth)
    assert list(found.var["molecules"]) == [int((clean.truth["feature"] == f).sum()) for f in found.var_names]


def test_cells_by_a_knee(clean: Made) -> None:
    found = count_targets(**clean.arguments(2, cells=None))
    listed = set((clean.folder / "cells.txt").read_text().split())
    called = {b.removesuffix("-1") for b in found.obs_names}
    assert len(called & listed) >= 0.95 * len(listed) and len(called - listed) <= 2
    assert any("knee" in w for w in found.uns["count"]["record"]["warnings"])


def test_cells_from_matrices(clean: Made, tmp_path: Path) -> None:
    import anndata
    from scipy import sparse

    from sclineage.simulate.files import write_10x_h5

    cells = sorted((clean.folder / "cells.txt").read_text().split())[:20]
    write_10x_h5(tmp_path / "m.h5", [f"{c}-1" for c in cells], ["A", "B"], sparse.csr_matrix(np.ones((20, 2), int)))
    anndata.AnnData(np.ones((20, 1)), obs=pd.DataFrame(index=cells)).write_h5ad(tmp_path / "m.h5ad")
    (tmp_path / "mtx").mkdir()
    (tmp_path / "mtx" / "barcodes.tsv.gz").write_bytes(gzip.compress("\n".join(cells).encode()))
    want = count_targets(**clean.arguments(2)).to_df().loc[[f"{c}-1" for c in cells]]
    for path in ("m.h5", "m.h5ad", "mtx"):
        got = count_targets(**clean.arguments(2, cells=tmp_path / path))
        pd.testing.assert_frame_equal(got.to_df(), want)


@pytest.mark.parametrize(("content", "says"), [
    ("", "0 bytes"), ("barcode\n", "no barcode in the file"), ("ACGT\n", "no barcode of 16 bases"),
    (LISTED[0] + "\n" + LISTED[0] + "-1\n", "appears twice"),
    ("AAAAAAAAAAAAAAAA\nCCCCCCCCCCCCCCCC\n", "2 of 2 barcodes are not on the whitelist"),
])
def test_bad_cell_lists(clean: Made, tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "cells.txt").write_text(content)
    with pytest.raises(InputError, match=says):
        count_targets(**clean.arguments(2, cells=tmp_path / "cells.txt"), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_cells_of_another_library_are_refused(clean: Made, tmp_path: Path) -> None:
    mine = set(clean.truth["barcode"]) | set((clean.folder / "cells.txt").read_text().split())
    (tmp_path / "cells.txt").write_text("\n".join([b for b in LISTED if b not in mine][:50]))
    with pytest.raises(InputError, match="its 50 cells have"):
        count_targets(**clean.arguments(2, cells=tmp_path / "cells.txt"))
