"""Bad input of `sclineage count`: one clear line and status 2, or the right result; nothing half-written."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sclineage.cli import main

from .libraries import LISTED, Made, keys, make, molecules_of

OUTPUTS = ["features.h5ad", "molecules.tsv.gz", "reads.csv", "run.json", "sharing.csv"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("made"), error=0.0, junk=0.0)


def arguments(made: Made, out: Path, **change: object) -> list[str]:
    words = ["count", "--out", str(out)]
    for name, value in made.arguments(**change).items():
        several = value if isinstance(value, list) else [value]
        words += [] if value in (None, []) else [f"--{name}", *map(str, several)]
    return words


def count(capsys: pytest.CaptureFixture[str], words: list[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main(words)
    return int(end.value.code or 0), capsys.readouterr().err


def refused(capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path, says: str, **change: object) -> None:
    """Status 2, one line, and the folder as it was."""
    before = sorted(tmp_path.rglob("*"))
    status, err = count(capsys, arguments(made, tmp_path / "out", **change))
    assert status == 2, err
    assert len(err.strip().splitlines()) == 1
    assert says in err
    assert sorted(tmp_path.rglob("*")) == before


def text_of(made: Made, mate: int) -> bytes:
    return gzip.decompress((made.folder / f"L1_R{mate}.fastq.gz").read_bytes())


def replaced(made: Made, tmp_path: Path, mate: int, data: bytes, name: str = "changed.fastq") -> dict[str, list[Path]]:
    (tmp_path / name).write_bytes(data)
    return {f"r{mate}": [tmp_path / name]}


@pytest.mark.parametrize("mate", [1, 2])
def test_truncated_gzip(capsys, made: Made, tmp_path: Path, mate: int) -> None:
    data = (made.folder / f"L1_R{mate}.fastq.gz").read_bytes()
    refused(capsys, made, tmp_path, "truncated", **replaced(made, tmp_path, mate, data[: len(data) // 2]))


def test_concatenated_gzip_is_read_whole(capsys, made: Made, tmp_path: Path) -> None:
    data = text_of(made, 1)
    cut = data.index(b"\n@", len(data) // 3) + 1
    change = replaced(made, tmp_path, 1, gzip.compress(data[:cut]) + gzip.compress(data[cut:]))
    status, _ = count(capsys, arguments(made, tmp_path / "out", **change))
    assert status == 0
    assert keys(molecules_of(tmp_path / "out")) == keys(made.truth)


@pytest.mark.parametrize("mate", [1, 2])
def test_one_file_has_more_records(capsys, made: Made, tmp_path: Path, mate: int) -> None:
    shorter = text_of(made, mate).splitlines(keepends=True)[:-4]
    refused(capsys, made, tmp_path, "has more records than", **replaced(made, tmp_path, mate, b"".join(shorter)))


def test_mates_in_another_order(capsys, made: Made, tmp_path: Path) -> None:
    lines = text_of(made, 2).splitlines(keepends=True)
    refused(capsys, made, tmp_path, "another name", **replaced(made, tmp_path, 2, b"".join(lines[4:] + lines[:4])))


def test_wrong_whitelist_and_wrong_chemistry(capsys, made: Made, tmp_path: Path) -> None:
    others = tmp_path / "others.txt"
    others.write_text("\n".join(sorted({w[8:] + w[:8] for w in LISTED} - set(LISTED))) + "\n")
    refused(capsys, made, tmp_path, "only 0.0% of the first", whitelist=others, cells=None)
    refused(capsys, made, tmp_path, "those of chemistry r1:bc14,umi12 have 14", chemistry="r1:bc14,umi12")
    refused(capsys, made, tmp_path, "R1 and R2 swapped: 100.0%", r1=made.arguments()["r2"], r2=made.arguments()["r1"])
    refused(capsys, made, tmp_path, "reads have the 36 bases of barcode and UMI", chemistry="r1:bc16,umi20")
    refused(capsys, made, tmp_path, "no such file, and no whitelist of that name", whitelist="no-such-list")
    refused(capsys, made, tmp_path, "10x-3p-v3", chemistry="10x-3p-v9")


def fastq(rows: list[tuple[str, str]]) -> bytes:
    return "".join(f"@r{k}\n{s}\n+\n{q}\n" for k, (s, q) in enumerate(rows)).encode()


def test_reads_too_short_and_only_n(capsys, made: Made, tmp_path: Path) -> None:
    two = fastq([("ACGT" * 20, "F" * 80)] * 50)
    change = replaced(made, tmp_path, 2, two, "two.fastq")
    for bases in ("ACGTACGT", "N" * 28, ""):
        one = replaced(made, tmp_path, 1, fastq([(bases, "F" * len(bases))] * 50))
        refused(capsys, made, tmp_path, "none of the first 50 reads has a whole barcode", **one, **change)
    one = replaced(made, tmp_path, 1, fastq([(LISTED[0] + "ACGTACGTACGT", "F" * 28)] * 50))
    short = replaced(made, tmp_path, 2, fastq([("ACGTACGT", "F" * 8)] * 50), "two.fastq")
    refused(capsys, made, tmp_path, "the transcript reads have 8 bases", **one, **short)


def test_some_short_and_n_reads_are_counted_as_such(capsys, made: Made, tmp_path: Path) -> None:
    lines = text_of(made, 1).splitlines()
    lines[1], lines[3] = lines[1][:10], lines[3][:10]
    lines[5] = b"N" * len(lines[5])
    change = replaced(made, tmp_path, 1, b"\n".join(lines) + b"\n")
    assert count(capsys, arguments(made, tmp_path / "out", **change))[0] == 0
    states = dict(line.split(",")[1:3] for line in (tmp_path / "out" / "reads.csv").read_text().splitlines()[1:7])
    assert (states["too_short"], states["n"]) == ("1", "1")


@pytest.mark.parametrize("end", ["lower", "crlf", "no last line end"])
def test_lower_case_and_line_ends(capsys, made: Made, tmp_path: Path, end: str) -> None:
    change: dict[str, list[Path]] = {}
    for mate in (1, 2):
        lines = text_of(made, mate).splitlines()
        if end == "lower":
            lines[1::4] = [x.lower() for x in lines[1::4]]
        joined = (b"\r\n" if end == "crlf" else b"\n").join(lines) + (b"" if end.startswith("no") else b"\r\n")
        change |= replaced(made, tmp_path, mate, joined if end != "lower" else b"\n".join(lines) + b"\n", f"{mate}.fq")
    assert count(capsys, arguments(made, tmp_path / "out", **change))[0] == 0
    assert keys(molecules_of(tmp_path / "out")) == keys(made.truth)


@pytest.mark.parametrize(("data", "says"), [
    (b"", "0 bytes"), (gzip.compress(b"", mtime=0), "has more records than"),
    (b">x\nACGT\n", "does not begin with '@'"),
    (b"@a\n" + b"A" * 3000 + b"\n+\n" + b"F" * 3000 + b"\n", "long reads are not supported"),
])
def test_empty_other_and_long(capsys, made: Made, tmp_path: Path, data: bytes, says: str) -> None:
    for mate in (1, 2):
        refused(capsys, made, tmp_path, says, **replaced(made, tmp_path, mate, data))


def test_missing_files_and_contradictions(capsys, made: Made, tmp_path: Path) -> None:
    refused(capsys, made, tmp_path, "does not exist", r1=[tmp_path / "nothing.fastq"])
    os.mkfifo(tmp_path / "pipe")
    refused(capsys, made, tmp_path, "found a pipe or device", r1=[tmp_path / "pipe"])
    refused(capsys, made, tmp_path, "1 of R1 and 2 of R2", r2=made.arguments()["r2"] * 2)
    refused(capsys, made, tmp_path, "given twice", r1=made.arguments()["r1"] * 2, r2=made.arguments()["r2"] * 2)
    refused(capsys, made, tmp_path, "give --r1 and --r2, or --bam", r1=[], r2=[])
    refused(capsys, made, tmp_path, "cellranger, unique, calibrated", policy="best")
    refused(capsys, made, tmp_path, "the record has no mate behind it", r2=None)
    (tmp_path / "t.fasta").write_text(">short\nACGT\n")
    refused(capsys, made, tmp_path, "give sequences of at least 25 bases", targets=tmp_path / "t.fasta")
    (tmp_path / "t.fasta").write_text("ACGT\n")
    refused(capsys, made, tmp_path, "t.fasta", targets=tmp_path / "t.fasta")


def test_an_older_result_survives_a_failure_and_is_replaced_by_a_success(capsys, made: Made, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert count(capsys, arguments(made, out))[0] == 0
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    data = (made.folder / "L1_R1.fastq.gz").read_bytes()
    change = replaced(made, tmp_path, 1, data[:-200])
    assert count(capsys, arguments(made, out, **change))[0] == 2
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert count(capsys, arguments(made, out, policy="unique"))[0] == 0
    assert '"policy": "unique"' in (out / "run.json").read_text()
    assert sorted(p.name for p in out.iterdir()) == OUTPUTS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["changed.fastq", "out"]


def child(words: list[str], tmp_path: Path, **more: object) -> subprocess.Popen[str]:
    (tmp_path / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen([sys.executable, "-m", "sclineage.cli", *words], stderr=subprocess.PIPE, text=True,
                            env=os.environ | {"TMPDIR": str(tmp_path / "tmp")}, **more)  # type: ignore[call-overload]


@pytest.mark.parametrize("limit", [2_000, 20_000])
def test_disk_full(made: Made, tmp_path: Path, limit: int) -> None:
    """A limit on the size of files stands in for a full disk: the reads set aside break it first, or the outputs do."""
    def cap() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    noisy = make(tmp_path / "noisy", error=0.02) if limit > 10_000 else made
    process = child(arguments(noisy, tmp_path / "out"), tmp_path, preexec_fn=cap)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2, err
    lines = err.strip().splitlines()
    assert len(lines) == 1
    assert "File too large" in lines[0] and ("--out" in lines[0] or "TMPDIR" in lines[0])
    assert not (tmp_path / "out").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".out")]


def test_interrupted(made: Made, tmp_path: Path) -> None:
    """SIGINT while reads are read: status 130, one line, nothing left."""
    change = {}
    for mate in (1, 2):
        members = (made.folder / f"L1_R{mate}.fastq.gz").read_bytes() * 500  # more than is read before the signal
        change |= replaced(made, tmp_path, mate, members, f"{mate}.fq.gz")
    # a shell's background job ignores the signal, and so would its children
    process = child(arguments(made, tmp_path / "out", **change), tmp_path,
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".out.*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    assert list(tmp_path.glob(".out.*"))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.strip().splitlines() == ["interrupted; nothing that looks finished was written"]
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out.*"))
