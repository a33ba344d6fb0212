"""Our barcodes and molecules beside STARsolo, bustools and UMI-tools: read by read, every difference explained.

    python -m benchmarks.reads.peers [--reads 10000000] [--resume] [--only PART ...] [--data DIR] [--out DIR]

Needs STAR (``apt-get install rna-star``), ``pip install kb-python umi_tools pysam``; what is absent is left out and
listed. DIR holds the public data (default: SCLINEAGE_DATA). ``reads_peers.json`` and ``reads_peers.md`` are written
after every part; with ``--resume`` the parts that are there already, of as many reads, are kept. For the bars on speed
take a quiet machine; ten million reads take about a quarter of an hour.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks import _runner
from benchmarks.kernels import _library
from benchmarks.reads import _against, _tools
from benchmarks.reads._against import Row
from sclineage.kernels.whitelists import Whitelist
from sclineage.reads.whitelists import read_whitelist

LISTS = {"v2": "10x_v2_737K-august-2016", "v3": "10x_v3_3M-february-2018"}
REAL = {"v3": (Path("pbmc_v31_chr21", "pbmc_chr21_S1_L001_R1_001.fastq.gz"), 28, 12, "real 3' v3.1 library"),
        "v2": (Path("tiny_v2_interleaved", "read-RA.fastq.gz"), 26, 10, "real 3' v2 library")}


@dataclass
class Setting:
    """What the parts share: the public data, the size, the number of turns, and a folder for each part."""

    data: Path
    reads: int
    repeats: int
    work: Path

    def blocks(self, name: str) -> Path:
        """One of the kits' lists, as its blocks."""
        return self.data / "barcode-lists-factored" / f"{LISTS[name]}.blocks.tsv.gz"

    def whitelist(self, name: str) -> Whitelist:
        """The same, read."""
        return read_whitelist(self.blocks(name))

    def library(self, listed: Whitelist) -> _library.Reads:
        """Synthetic reads of a list."""
        return _library.reads(listed.codes(), self.reads, seed=21)

    @cached_property
    def genome(self) -> Path:
        """A genome for STAR."""
        folder = self.work / "genome"
        folder.mkdir()
        return _tools.star_genome(folder)


Part = Callable[[Setting, Path], Row]


# --- the parts -------------------------------------------------------------------------------------------------------
def _real(name: str) -> Part:
    def run(at: Setting, here: Path) -> Row:
        file, bases, umi, what = REAL[name]
        files = _against.real_fastq(at.data / "fastq-10x" / file, here, bases=bases)
        return _against.against_starsolo(what, files, at.whitelist(name), umi, here, at.genome)

    return run


def _synthetic(name: str) -> Part:
    def run(at: Setting, here: Path) -> Row:
        listed = at.whitelist(name)
        files = _against.synthetic_fastq(at.library(listed), here)
        return _against.against_starsolo(f"synthetic, {name} list", files, listed, _against.UMI, here, at.genome,
                                         timed=True)

    return run


def _routine(name: str) -> Part:
    def run(at: Setting, here: Path) -> Row:
        del here
        listed = at.whitelist(name)
        return _against.against_routine(f"synthetic, {name} list, correction step alone", at.library(listed),
                                        listed, at.repeats)

    return run


def _bustools(name: str) -> Part:
    def run(at: Setting, here: Path) -> Row:
        listed = at.whitelist(name)
        return _against.against_bustools(f"synthetic, {name} list", at.library(listed), listed, here,
                                         str(_tools.bustools()), at.repeats)

    return run


def _molecules(at: Setting, here: Path) -> Row:
    return _against.molecules_against_bustools(at.reads, here, str(_tools.bustools()), at.repeats)


def _umi_tools(at: Setting, here: Path) -> Row:
    del here
    return _against.against_umi_tools(max(100, min(2000, at.reads // 1000)))


def _load(ending: str) -> Part:
    def run(at: Setting, here: Path) -> Row:
        listed = at.whitelist("v3")
        if ending == "blocks":
            return _against.load_time("from a file of its blocks (what a cache folder keeps)", at.blocks("v3"), listed,
                                      here, at.repeats)
        path = _tools.write_list(listed, here / "large.txt")
        if ending == "txt":
            return _against.load_time("from plain text", path, listed, here, at.repeats)
        packed = here / "large.txt.gz"
        with path.open("rb") as text, gzip.open(packed, "wb", 6) as to:
            shutil.copyfileobj(text, to, 1 << 22)
        return _against.load_time("from text in gzip", packed, listed, here, at.repeats)

    return run


PARTS: dict[str, tuple[str, Part]] = {
    **{f"starsolo-real-{k}": ("STARsolo", _real(k)) for k in ("v3", "v2")},
    **{f"routine-{k}": ("", _routine(k)) for k in LISTS},
    **{f"bustools-{k}": ("bustools", _bustools(k)) for k in LISTS},
    "molecules": ("bustools", _molecules), "umi-tools": ("UMI-tools", _umi_tools),
    **{f"load-{k}": ("", _load(k)) for k in ("txt", "gz", "blocks")},
    **{f"starsolo-{k}": ("STARsolo", _synthetic(k)) for k in LISTS}}


def missing() -> dict[str, str]:
    """Peers that are not here."""
    from importlib.util import find_spec

    here = {"STARsolo": shutil.which("STAR") and find_spec("pysam"), "bustools": _tools.bustools(),
            "UMI-tools": find_spec("umi_tools")}
    return {k: "not installed" for k, v in here.items() if not v}


# --- the page --------------------------------------------------------------------------------------------------------
def _rates(row: Row, bar: str = "") -> str:
    reads = row["reads"] / 1e6
    return (f"| {row['what']} | {row['peer']} | {row['reads']:,} | {reads / row['our_s']:.1f} | "
            f"{reads / row['peer_cpu_s']:.2f} | **{row['ratio']:.1f}** | {bar} |")


def _correction(parts: dict[str, Row], name: str) -> str:
    """STARsolo's correction beside our step, from two parts of the same reads."""
    star, step = parts[f"starsolo-{name}"], parts[f"routine-{name}"]
    each = step["our_s"] / step["reads"], star["peer_correction_cpu_s"] / star["reads"]
    return (f"| synthetic, {name} list, correction step | STARsolo with {_tools.STARSOLO} less STARsolo with Exact | "
            f"{star['reads']:,} | {1e-6 / each[0]:.1f} | {1e-6 / each[1]:.2f} | **{each[1] / each[0]:.1f}** | 25 |")


def _agreement(row: Row) -> str:
    rest = ""
    if "explained" in row:
        why = "; ".join(f"{n} {k}" for k, n in row["explained"].items())
        rest = f"{row['differ_same_counts']}" + (f": {why}" if why else "")
    corrected = f"{row['corrected']:,}" if "corrected" in row else ""
    return f"| {row['what']} | {row['peer']} | {row['reads']:,} | {corrected} | **{row['differ']}** | {rest} |"


def _by_read(parts: dict[str, Row]) -> list[str]:
    lines = ["## Agreement, read by read", "",
             "| reads | peer | n | corrected | differ | with the reads that it leaves out uncounted |",
             "| --- | --- | --- | --- | --- | --- |", *(_agreement(r) for r in parts.values() if "differ" in r)]
    if row := parts.get("umi-tools"):
        lines += ["", f"{row['what']} of UMIs against {row['peer']}: {row['molecules']:,} molecules; groups with "
                  f"another number of molecules: {row['groups_other_number']}, with other members: "
                  f"{row['groups_other_members']} (ties of reads: the peer's order is that of its input)."]
    return lines


def _speed(parts: dict[str, Row]) -> list[str]:
    rates = [_correction(parts, k) for k in LISTS if {f"starsolo-{k}", f"routine-{k}"} <= set(parts)]
    rates += [_rates(parts[f"{way}-{k}"], bar) for way, bar in (("bustools", "15"), ("routine", ""), ("starsolo", ""))
              for k in LISTS if f"{way}-{k}" in parts]
    return ["", "## Speed of correction", "",
            "- STARsolo with correction less STARsolo with exact barcodes only: what correcting adds in the program;",
            "  beside both our passes over packed reads, though the exact search is not in its time.",
            "- Restated search: the bare algorithm, a binary search for each of 48 substitutions, compiled, on",
            "  packed reads like ours. It is not the program.",
            "- STARsolo less STAR without barcodes: beside our whole way from the same plain R1 (reading, both",
            "  passes, the file between them).", "- bustools: less its time for an empty file.", "",
            "| what | peer | n | ours, M reads/s | peer | times faster | bar |",
            "| --- | --- | --- | --- | --- | --- | --- |", *rates]


def _molecule_rate(row: Row) -> list[str]:
    own, first, peer = row["our_s"], row["our_first_s"], row["peer_cpu_s"]
    return ["", "## Reads to molecules", "",
            f"{row['what']} beside {row['peer']}, each in a process of its own: ours {own:.3g} s, at the first call, "
            f"while memory is handed out, {first:.3g} s ({peer / first:.1f} times; policy cellranger, later, "
            f"{row['our_cellranger_s']:.3g} s), the peer {peer:.3g} s: **{row['ratio']:.1f} times** (bar 10). "
            f"Molecules: {row['molecules']:,} and {row['peer_molecules']:,}. Memory beside the input: "
            f"{row['our_extra_bytes'] / 1e6:.0f} MB; the peer with no more memory than its records need "
            f"{row['peer_peak'] / 1e6:.0f} MB (ours is **{row['memory_ratio']:.0%}**, bar 25 %), as it is called by "
            f"default {row['peer_default_peak'] / 1e6:.0f} MB."]


def _loads(parts: dict[str, Row]) -> list[str]:
    rows = [f"| {r['barcodes']:,} | {r['what']} | {r['file_bytes'] / 1e6:.2f} | {r['seconds']:.3f} | "
            f"{r['cpu_s']:.3f} | {r['extra_bytes'] / 1e6:.1f} | {r['tables_bytes'] / 1e6:.1f} |"
            for k in ("load-txt", "load-gz", "load-blocks") if (r := parts.get(k))]
    if row := parts.get("bustools-v3"):
        rows.append(f"| the same | `bustools correct` of an empty file | | {row['peer_load_wall_s']:.1f} | "
                    f"{row['peer_load_cpu_s']:.1f} | {row['peer_load_peak'] / 1e6:.0f} | |")
    return ["", "## Loading a list (bars: 0.5 s, 64 MB)", "",
            "| list of | read | file, MB | seconds | of CPU | extra memory at the peak, MB | kept, MB |",
            "| --- | --- | --- | --- | --- | --- | --- |", *rows]


def table(record: dict[str, Any]) -> str:
    """Markdown of a record."""
    facts, parts = record["machine"], record["parts"]
    minutes = sum(r["seconds_in_all"] for r in parts.values()) / 60
    lines = ["# Barcodes and molecules beside STARsolo, bustools and UMI-tools", "",
             f"{facts['cpu']}, {facts['cores']} cores; load {record['load']} over the parts; "
             f"{', '.join(record['peers'])}. Made by `python -m benchmarks.reads.peers --reads {record['reads']}` in "
             f"{minutes:.0f} minutes. One thread each, CPU seconds, medians of {record['repeats']} turns. Research use "
             "only.", "", *_by_read(parts), *_speed(parts)]
    lines += _molecule_rate(parts["molecules"]) if "molecules" in parts else []
    lines += [*_loads(parts), "", *(f"- {k}: {v}" for k, v in record["not_measured"].items())]
    return "\n".join(lines).rstrip() + "\n"


# --- all of it -------------------------------------------------------------------------------------------------------
def _begun(path: Path, reads: int) -> dict[str, Row]:
    """Parts of an earlier run with as many reads."""
    if not path.exists():
        return {}
    record = json.loads(path.read_text(encoding="utf-8"))
    return dict(record["parts"]) if record.get("reads") == reads else {}


def _write(out: Path, record: dict[str, Any]) -> None:
    loads = [r["load"] for r in record["parts"].values()]
    record["load"] = f"{min(loads):.1f} to {max(loads):.1f}" if loads else "unknown"
    (out / "reads_peers.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (out / "reads_peers.md").write_text(table(record), encoding="utf-8")


def measure(at: Setting, names: Sequence[str], record: dict[str, Any], out: Path) -> None:
    """Run parts, and write after each."""
    for name in names:
        here = at.work / name
        here.mkdir()
        start, load = time.monotonic(), os.getloadavg()[0]
        row = PARTS[name][1](at, here)
        shutil.rmtree(here)
        record["parts"][name] = row | {"load": load, "seconds_in_all": round(time.monotonic() - start, 1)}
        record["parts"] = {k: record["parts"][k] for k in PARTS if k in record["parts"]}
        print(f"{name}: {record['parts'][name]}", file=sys.stderr, flush=True)
        _write(out, record)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--reads", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--resume", action="store_true", help="keep the parts that are there already")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--data", type=Path, default=os.environ.get("SCLINEAGE_DATA"))
    parser.add_argument("--out", type=Path, default=_runner.RESULTS)
    given = parser.parse_args(arguments)
    if given.data is None:
        parser.error("give --data, or set SCLINEAGE_DATA")
    given.out.mkdir(parents=True, exist_ok=True)
    absent, tool = missing(), _tools.bustools()
    done = _begun(given.out / "reads_peers.json", given.reads) if given.resume else {}
    peers = [f"STAR {_tools.version(['STAR', '--version'])}"] if shutil.which("STAR") else []
    peers += [_tools.version([tool, "version"])] if tool else []
    record = {"benchmark": "reads_peers", "reads": given.reads, "repeats": given.repeats,
              "machine": _runner.machine(), "peers": peers, "parts": done, "not_measured": absent}
    names = [k for k in PARTS if k in given.only and k not in done and PARTS[k][0] not in absent]
    with tempfile.TemporaryDirectory(prefix="sclineage-peers-") as work:
        measure(Setting(given.data, given.reads, given.repeats, Path(work)), names, record, given.out)
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
