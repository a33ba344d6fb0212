"""`sl.pp.match_barcodes` as a user calls it, and whitelist files as they come."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sclineage._errors import InputError
from sclineage.reads import whitelists
from sclineage.reads.api import match_barcodes
from tests.oracles import barcodes as oracle

WORDS = ["ACGTACGT", "TTTTACGA", "GGGGCCCC", "ACGTTTTT"]


def test_public_name() -> None:
    import sclineage as sl

    assert sl.pp.match_barcodes is match_barcodes


def test_frame_has_the_promised_columns() -> None:
    reads = ["ACGTACGT", "acgtacgt", "ACGTACGG", "NCGTACGT", "NNGTACGT", "CATCATCA", "TTTTACGN"]
    got = match_barcodes(reads, whitelist=WORDS)
    assert list(got.columns) == ["index", "state", "posterior"]
    assert got["index"].dtype == np.int32
    assert got["posterior"].dtype == np.float32
    assert list(got["state"].cat.categories) == ["exact", "corrected", "ambiguous", "none", "n"]
    assert got["index"].tolist() == [0, 0, 0, 0, -1, -1, 1]
    assert got["state"].tolist() == ["exact", "exact", "corrected", "corrected", "n", "none", "corrected"]
    assert got["posterior"].tolist() == [1, 1, 1, 1, 0, 0, 1]


@pytest.mark.parametrize("policy", ["cellranger", "unique"])
def test_equals_oracle_through_every_kind_of_input(policy: str) -> None:
    rng = np.random.default_rng(0)
    letters = np.array(list("ACGT"))
    words = sorted({"".join(r) for r in letters[rng.integers(0, 4, (60, 6))]})
    reads = ["".join(r) for r in letters[rng.integers(0, 4, (500, 6))]] + words * 3
    quality = ["".join(r) for r in np.array(list("!+5?F"))[rng.integers(0, 5, (len(reads), 6))]]
    want = oracle.match(reads, quality, oracle.listing(words), policy=policy)
    as_bytes = np.frombuffer("".join(reads).encode(), np.uint8).reshape(-1, 6)
    scores = np.frombuffer("".join(quality).encode(), np.uint8).reshape(-1, 6)
    for sequences, qualities in ((reads, quality), (as_bytes, scores), (np.array(reads), np.array(quality)),
                                 (pd.Series(reads), pd.Series(quality)), (as_bytes[::-1][::-1], scores)):
        got = match_barcodes(sequences, qualities, whitelist=words, policy=policy, device="cpu")
        assert got["index"].tolist() == [x[0] for x in want]
        assert got["state"].tolist() == [x[1] for x in want]
        assert got["posterior"].tolist() == [np.float32(x[2]) for x in want]


def test_no_reads() -> None:
    for empty in ([], np.zeros((0, 8), np.uint8)):
        got = match_barcodes(empty, whitelist=WORDS)
        assert len(got) == 0
        assert next(iter(got["state"].cat.categories)) == "exact"


@pytest.mark.parametrize(("sequences", "qualities", "extra", "says"), [
    (["ACGTACGT", "ACG"], None, {}, "entry 2: 'ACG' has 3 letters, not 8"),
    (["ACGTACG*"], None, {}, "letter that is no base"),
    (["ACGTACGé"], None, {}, "not ASCII"),
    (["ACGTACGT", None], None, {}, "entry 2: None is no text"),
    ("ACGTACGT", None, {}, "give a list of str"),
    (np.zeros((3, 8)), None, {}, "give a list of str"),
    (np.zeros((3, 7), np.uint8), None, {}, "shape \\(n, 8\\)"),
    (["ACGTACGT"], ["FFFF"], {}, "'FFFF' has 4 letters, not 8"),
    (["ACGTACGT"], ["FFFFFFFF"] * 2, {}, "2 entries for 1 sequences"),
    (["ACGTACGT"], ["FFFFFFF "], {}, "entry 1: a character outside"),
    (["ACGTACGT"], None, {"policy": "nearest"}, "cellranger, unique, calibrated"),
    (["ACGTACGT"], None, {"device": "tpu"}, "auto, cpu, cuda"),
    (["ACGTACGT"], None, {"whitelist": ["ACGTACGT", "ACGTACGT"]}, "occurs twice"),
    (["ACGTACGT"], None, {"whitelist": ["ACGTACGT", "ACGTACG"]}, "entry 2: 'ACGTACG' has 7 letters"),
    (["ACGTACGT"], None, {"whitelist": ["ACGTACGN"]}, "letter other than A, C, G, T"),
    (["ACGTACGT"], None, {"whitelist": []}, "0 barcodes"),
    (["ACGTACGT"], None, {"whitelist": "no-such-list"}, "no such file"),
])
def test_bad_input_is_one_clear_line(sequences: object, qualities: object, extra: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        match_barcodes(sequences, qualities, **({"whitelist": WORDS} | extra))
    assert "\n" not in str(caught.value)


# --- whitelist files -------------------------------------------------------------------------------------------------
TEXTS = {
    "plain": "\n".join(WORDS) + "\n",
    "no last line end": "\n".join(WORDS),
    "crlf": "\r\n".join(WORDS) + "\r\n",
    "empty lines": "\n\n" + "\n\n".join(WORDS) + "\n\n\n",
    "second column": "\n".join(f"{w}\tNNNN" for w in WORDS) + "\n",
    "csv": "\n".join(f"{w},x" for w in WORDS),
    "well": "\n".join(f"{w}-1" for w in WORDS) + "\n",
    "lower case": "\n".join(WORDS).lower(),
}


@pytest.mark.parametrize("how", ["plain", "gz", "two members"])
@pytest.mark.parametrize("kind", TEXTS)
def test_whitelist_files(kind: str, how: str, tmp_path: Path) -> None:
    data, path = TEXTS[kind].encode(), tmp_path / "list.txt"
    half = len(data) // 2
    path.write_bytes({"plain": data, "gz": gzip.compress(data),
                      "two members": gzip.compress(data[:half]) + gzip.compress(data[half:])}[how])
    got = match_barcodes(WORDS, whitelist=path)
    assert got["index"].tolist() == [0, 1, 2, 3]


def test_long_list_crosses_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    codes = rng.permutation(np.unique(rng.integers(0, 2**24, 200_000)).astype(np.uint64))
    from sclineage.kernels.whitelists import decode

    words = [r.tobytes().decode() for r in decode(codes, 12)]
    path = tmp_path / "long.txt.gz"
    path.write_bytes(gzip.compress("\n".join(words).encode(), 1))
    built = whitelists.read_whitelist(path)
    assert built.n == len(words)
    got = match_barcodes(words[:500] + words[-500:], whitelist=built)
    assert got["index"].tolist() == [*range(500), *range(len(words) - 500, len(words))]


@pytest.mark.parametrize(("data", "says"), [
    (b"", "empty"),
    (b"\n\n", "no barcode"),
    (b"ACGT\nACG\n", "line 2: barcode 'ACG' has 3 letters, the first one 4"),
    (b"ACGT\nACXT\n", "line 2: barcode 'ACXT' has a letter"),
    (b"barcode\nACGT\n", "line 1"),
    (b"ACGT\nTTTT\nACGT\n", "ACGT occurs twice"),
    (b"A" * 33, "33 bases"),
    (gzip.compress(b"ACGT\n" * 1000, mtime=0)[:-12], "truncated|cannot be read"),
    (b"\x1f\x8bnonsense", "cannot be read"),
])
def test_bad_whitelist_files(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=says) as caught:
        whitelists.read_whitelist(path)
    assert str(path) in str(caught.value)


def test_absent_whitelist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        whitelists.read_whitelist(tmp_path / "none.txt")
    with pytest.raises(InputError, match="folder"):
        whitelists.read_whitelist(tmp_path)


def test_lists_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(whitelists.FOLDER, str(tmp_path))
    (tmp_path / "my-kit.txt.gz").write_bytes(gzip.compress("\n".join(WORDS).encode()))
    assert match_barcodes(WORDS, whitelist="my-kit")["index"].tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match="my-kit"):
        whitelists.find_whitelist("my-kid")


def test_list_as_blocks(tmp_path: Path) -> None:
    path = tmp_path / "kit.blocks.tsv"
    path.write_text("block\tside\tword\n0\tL\tAC\n0\tL\tGT\n0\tR\tAAA\n0\tR\tCCC\n1\tL\tTT\n1\tR\tGGG\n")
    built = whitelists.read_whitelist(path)
    want = ["ACAAA", "ACCCC", "GTAAA", "GTCCC", "TTGGG"]
    assert match_barcodes(want, whitelist=built)["index"].tolist() == [0, 1, 2, 3, 4]
    for bad in ("0\tX\tAC\n", "0\tL\n", "0\tL\tAXA\n0\tR\tC\n", "0\tL\tAC\n", ""):
        path.write_text("block\tside\tword\n" + bad)
        with pytest.raises(InputError):
            whitelists.read_whitelist(path)


@pytest.mark.real
def test_real_list_from_text_and_from_blocks_is_the_same(public_data: Path) -> None:
    text = whitelists.read_whitelist(public_data / "barcode-whitelists" / "737K-august-2016.txt.gz")
    blocks = whitelists.read_whitelist(public_data / "barcode-lists-factored" / "10x_v2_737K-august-2016.blocks.tsv.gz")
    assert np.array_equal(text.codes(), blocks.codes())
    assert (text.blocks, text.cut, text.order) == (1, 7, None)
