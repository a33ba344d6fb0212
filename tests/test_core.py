"""Errors, configuration, provenance, device choice."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sclineage import _backend, _provenance
from sclineage._config import Config, read_config
from sclineage._errors import Fault, InputError, InputErrors, nearest


def test_input_error_is_one_line_with_place_found_and_fix() -> None:
    error = InputError("a.csv", "found\n'x'", "write 'y'", place="line 3")
    assert str(error) == "a.csv, line 3: found 'x'; write 'y'"
    many = InputErrors([Fault("a", "", "b", "c"), Fault("d", "", "e", "f")])
    assert "1 more" in str(many)
    assert len(many.faults) == 2


def test_nearest_names_what_was_probably_meant() -> None:
    assert "CAT_scFv" in nearest("CAT-scFv", ["CAT_scFv", "CD4"])
    assert nearest("cat_scfv", ["CAT_scFv"]) == "nearest existing: CAT_scFv"
    assert "none of the 1" in nearest("zzzzz", ["CAT_scFv"])


@pytest.mark.parametrize(("text", "found"), [
    ("fraction_limt: 0.1", "unknown key 'fraction_limt'"),
    ("fraction_limit: high", "'high' is not a number"),
    ("fraction_limit: 2", "2 is not a number from 0 to 1"),
    ("min_umi: true", "True is not a number"),
    ("drivers: none.csv", "file 'none.csv' does not exist"),
    ("distinct_prior: [1, 2]", "are not 7 numbers above 0"),
    ("classifier: none.csv", "file 'none.csv' does not exist"),
    ("- a\n- b", "holds no key: value lines"),
    ("a: [", "is not YAML"),
])
def test_bad_configuration_is_refused(tmp_path, text: str, found: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"c\.yaml") as error:
        read_config(path)
    assert found in str(error.value)
    assert "\n" not in str(error.value)


def test_configuration_defaults_and_values(tmp_path) -> None:
    (tmp_path / "d.csv").write_text("x")
    (tmp_path / "c.yaml").write_text("drivers: d.csv\nmin_umi: 300\n")
    config = read_config(tmp_path / "c.yaml")
    assert config.min_umi == 300
    assert config.drivers == str(tmp_path / "d.csv")
    assert read_config(None) == Config()
    assert read_config({"min_umi": 300}).min_umi == 300
    assert read_config({"distinct_prior": [1, 1, 1, 1, 1, 1, 4]}).distinct_prior == (1, 1, 1, 1, 1, 1, 4)


def test_cuda_without_a_kernel_is_a_clear_error() -> None:
    with pytest.raises(InputError, match="has no CUDA version yet; use --device cpu"):
        _backend.pick("cuda", kernel="no_such_kernel")
    assert _backend.pick("auto", kernel="no_such_kernel") == "cpu"
    with pytest.raises(InputError, match="auto, cpu, cuda"):
        _backend.pick("tpu", kernel="no_such_kernel")  # type: ignore[arg-type]


def test_whole_leaves_nothing_when_the_block_fails(tmp_path) -> None:
    with pytest.raises(RuntimeError), _provenance.whole(tmp_path / "x.csv") as part:
        part.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with _provenance.whole(tmp_path / "x.csv") as part:
        part.write_text("all")
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]


def test_whole_keeps_the_old_file_when_the_block_fails(tmp_path) -> None:
    (tmp_path / "x.csv").write_text("old")
    with pytest.raises(RuntimeError), _provenance.whole(tmp_path / "x.csv") as part:
        part.write_text("half")
        raise RuntimeError
    assert (tmp_path / "x.csv").read_text() == "old"


def test_inputs_carry_their_sha256(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    [record] = _provenance.inputs([tmp_path / "a"])
    assert record["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert record["bytes"] == 3


def test_import_is_light() -> None:
    code = ("import sys, sclineage; "
            "print([m for m in ('numba', 'cupy', 'scanpy', 'pandas', 'cuml') if m in sys.modules])")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
