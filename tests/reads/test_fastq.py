"""FASTQ as it comes: any line ends, gzip members, damage, mates that do not match; dnaio is the oracle."""

from __future__ import annotations

import gzip
import io
from functools import partial
from pathlib import Path

import dnaio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sclineage._errors import InputError
from sclineage.reads import fastq, parse, streams
from tests.oracles.barcodes import pack

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
Record = tuple[str, str, str]


def text(records: list[Record], *, end: str = "\n", plus: str = "+") -> bytes:
    return "".join(f"@{n}{end}{s}{end}{plus}{end}{q}{end}" for n, s, q in records).encode()


def records_of(path: Path, batch: int = fastq.BATCH) -> list[Record]:
    out = []
    for got in fastq.read_single([path], batch=batch):
        raw = got.buffer.tobytes()
        for name, start, length, quality in zip(got.name, got.start, got.length, got.quality, strict=True):
            out.append((raw[name : raw.index(b"\n", name)].strip().decode(), raw[start : start + length].decode(),
                        raw[quality : quality + length].decode()))
    return out


def simulated(n: int, seed: int = 0, longest: int = 120) -> list[Record]:
    rng = np.random.default_rng(seed)
    out = []
    for k in range(n):
        length = int(rng.integers(0, longest))
        bases = "".join(rng.choice(list("ACGTN"), length))
        out.append((f"read{k} 1:N:0", bases, "".join(chr(c) for c in rng.integers(33, 127, length))))
    return out


BASES_AND_QUALITIES = st.text("ACGTN", max_size=30).flatmap(
    lambda s: st.tuples(st.just(s), st.text("!@+#F~", min_size=len(s), max_size=len(s))))


@QUICK
@given(rows=st.lists(st.tuples(st.text("abc:/ 1", max_size=9).map(str.strip), BASES_AND_QUALITIES), min_size=1,
                     max_size=20),
       batch=st.integers(1, 7), end=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
def test_parse_property(rows: list[tuple[str, tuple[str, str]]], batch: int, end: str, last: bool,
                        tmp_path_factory: pytest.TempPathFactory) -> None:
    """Qualities that begin with @ or +, empty reads, any batch size, with or without the last line end."""
    records = [(n, s, q) for n, (s, q) in rows]
    data = text(records, end=end)
    if not last and records[-1][1]:
        data = data[: -len(end)]
    path = tmp_path_factory.mktemp("fastq") / "x.fastq"
    path.write_bytes(data)
    assert records_of(path, batch) == records


def outcome(path: Path, batch: int) -> list[Record] | str:
    try:
        return records_of(path, batch)
    except InputError as error:
        return str(error)


@QUICK
@given(bases=st.integers(1, 70), head=st.integers(1, 80), longer=st.integers(0, 1),
       strays=st.lists(st.tuples(st.integers(0, 600), st.sampled_from(b"\n\r@+A")), max_size=3))
def test_the_shape_of_the_record_before_is_only_a_guess(bases: int, head: int, longer: int,
                                                        strays: list[tuple[int, int]],
                                                        tmp_path_factory: pytest.TempPathFactory) -> None:
    """Records of one shape with strays in any place: the same reads or the same error as record by record."""
    data = bytearray(text([("x" * (head + longer * (k % 2)), "A" * bases, "F" * bases) for k in range(6)]))
    for place, letter in strays:
        data[place % len(data)] = letter
    path = tmp_path_factory.mktemp("fastq") / "x.fastq"
    path.write_bytes(data)
    assert outcome(path, fastq.BATCH) == outcome(path, 1)


@pytest.mark.parametrize("batch", [1, 7, 1000, fastq.BATCH])
def test_equals_dnaio(batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks, so that records cross them."""
    monkeypatch.setattr(fastq, "open_blocks", partial(streams.open_blocks, size=4096))
    data = text(simulated(3000), plus="+again")
    path = tmp_path / "x.fastq.gz"
    path.write_bytes(gzip.compress(data[:50_001]) + gzip.compress(data[50_001:]))
    with dnaio.open(io.BytesIO(text(simulated(3000)))) as reader:
        want = [(r.name, r.sequence, r.qualities) for r in reader]
    assert records_of(path, batch) == want


def test_pieces_are_packed_in_place(tmp_path: Path) -> None:
    records = simulated(500)
    path = tmp_path / "x.fastq"
    path.write_bytes(text(records))
    (got,) = fastq.read_single([path])
    codes, n_at = got.pack(3, 16)
    lowest = got.lowest_quality(3, 16)
    whole = np.flatnonzero(got.length >= 19)
    quality = got.qualities(whole, 3, 16)
    for row, (_, bases, q) in enumerate(records):
        if len(bases) < 19:
            assert (n_at[row], lowest[row]) == (parse.TOO_SHORT, 0)
        else:
            assert (int(codes[row]), int(n_at[row])) == pack(bases[3:19])
            assert lowest[row] == min(q[3:19].encode())
    assert [r.tobytes().decode() for r in quality] == [records[k][2][3:19] for k in whole]


@pytest.mark.parametrize("batch", [1, 60, 499])
def test_pieces_asked_for_before_are_packed_while_parsing(batch: int, tmp_path: Path) -> None:
    """The same as packing them afterwards, also when asked for twice or changed in place in between."""
    records = simulated(500, seed=3)
    path = tmp_path / "x.fastq"
    path.write_bytes(text(records))
    row = 0
    for number, got in enumerate(fastq.read_single([path], batch=batch)):
        assert set(got.packed) == ({(3, 16), (0, 5)} if number else set())
        for first, bases in ((3, 16), (0, 5), (3, 16)):
            codes, n_at = got.pack(first, bases)
            for k in range(len(got)):
                word = records[row + k][1]
                short = len(word) < first + bases
                want = (0, parse.TOO_SHORT) if short else pack(word[first : first + bases])
                assert (int(codes[k]), int(n_at[k])) == want
            n_at[:] = 7
        row += len(got)
    assert row == 500


@pytest.mark.parametrize(("data", "says"), [
    (b"", "empty"),
    (gzip.compress(b"", mtime=0), "no record"),
    (b"\n\n", "no record"),
    (b">x\nACGT\n", "record 1: a record does not begin with '@'"),
    (b"@a\nACGT\n+\nFFFF\nb\nACGT\n+\nFFFF\n", "record 2: a record does not begin"),
    (b"@a\nACGT\nACGT\n+\nFFFFFFFF\n", "record 1: no '\\+' line"),
    (b"@a\nACGT\n+\nFFF\n", "bases and qualities differ"),
    (b"@a\nACGT\n+\nFFFF\n@b\nACGT\n+\n", "record 2: the last record is cut off"),
    (b"@a\nACGT\n+\nFFFF\n@b", "record 2: the last record is cut off"),
    (b"@a\n" + b"A" * 2000 + b"\n+\n" + b"F" * 2000 + b"\n", "more than 1000 bases"),
    (b"@a\n" + b"A" * 200_000, "more than 1000 bases"),
    (gzip.compress(text(simulated(2000)), mtime=0)[:-300], "truncated|cannot be read"),
    (gzip.compress(text(simulated(2000)), mtime=0)[:3000] + b"damage" * 500, "cannot be read|truncated"),
    (gzip.compress(text(simulated(2000)), mtime=0)[:-8] + b"wrongcrc", "cannot be read"),
])
def test_damage_is_one_clear_line(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.fastq"
    path.write_bytes(data)
    with pytest.raises(InputError, match=says) as caught:
        records_of(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def pair(tmp_path: Path, one: list[Record], two: list[Record]) -> list[int]:
    paths = [tmp_path / "r1.fastq.gz", tmp_path / "r2.fastq"]
    paths[0].write_bytes(gzip.compress(text(one)))
    paths[1].write_bytes(text(two))
    return [len(a) for a, _ in fastq.read_pairs(paths[:1], paths[1:], batch=100)]


def test_pairs(tmp_path: Path) -> None:
    one, two = simulated(250), simulated(250, seed=1)
    assert pair(tmp_path, one, two) == [100, 100, 50]
    slashed = [[(f"x{k}/{mate}", s, q) for k, (_, s, q) in enumerate(r)] for mate, r in ((1, one), (2, two))]
    assert pair(tmp_path, *slashed) == [100, 100, 50]
    with pytest.raises(InputError, match="record 131: the read has another name"):
        pair(tmp_path, one, [*two[:130], ("other", "A", "F"), *two[131:]])
    with pytest.raises(InputError, match=r"r1.fastq.gz: has more records than .*r2.fastq \(249\)"):
        pair(tmp_path, one, two[:-1])
    with pytest.raises(InputError, match=r"r2.fastq: has more records"):
        pair(tmp_path, one[:200], two)
    with pytest.raises(InputError, match="1 of R1 and 0 of R2"):
        list(fastq.read_pairs(["a"], []))


def test_several_lanes_in_order(tmp_path: Path) -> None:
    records = simulated(20)
    paths = [tmp_path / "l1.fastq", tmp_path / "l2.fastq.gz"]
    paths[0].write_bytes(text(records[:12]))
    paths[1].write_bytes(gzip.compress(text(records[12:])))
    assert [len(b) for b in fastq.read_single(paths)] == [12, 8]


@pytest.mark.real
def test_real_files_equal_dnaio(public_data: Path) -> None:
    folder = public_data / "fastq-10x" / "pbmc_v31_chr21"
    ones, twos = ([folder / f"pbmc_chr21_S1_L001_R{k}_001.fastq.gz"] for k in (1, 2))
    with dnaio.open(ones[0], twos[0]) as reader:
        want = [(r1.sequence, r2.qualities) for r1, r2 in reader]
    seen = 0
    for a, b in fastq.read_pairs(ones, twos):
        first, second = a.buffer.tobytes(), b.buffer.tobytes()
        for k in range(0, len(a), 97):
            s, q = a.start[k], b.quality[k]
            assert first[s : s + a.length[k]].decode() == want[seen + k][0]
            assert second[q : q + b.length[k]].decode() == want[seen + k][1]
        seen += len(a)
    assert seen == len(want) == 100_000
