"""Our barcodes and molecules beside STARsolo, bustools and UMI-tools: read by read, every difference explained.

    python -m benchmarks.reads.peers [--reads 10000000] [--data DIR] [--out DIR]

Needs STAR (``apt-get install rna-star``), ``pip install kb-python umi_tools pysam``; what is absent is left out and
listed. DIR holds the public data (default: SCLINEAGE_DATA). Writes ``reads_peers.json`` and ``reads_peers.md``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _runner
from benchmarks.kernels import _library
from benchmarks.kernels.umis import LENGTH, _split, keys
from benchmarks.reads import _tools
from sclineage import _backend
from sclineage.kernels import barcodes, umis
from sclineage.kernels.whitelists import Whitelist, decode
from sclineage.reads.chemistries import chemistry
from sclineage.reads.fastq import read_single
from sclineage.reads.library import Library
from sclineage.reads.whitelists import read_whitelist

UMI = 12
LISTS = {"v1": "10x_v1_737K-april-2014_rc", "v2": "10x_v2_737K-august-2016", "v3": "10x_v3_3M-february-2018",
         "v4": "10x_v4", "ARC": "10x_arc_gex_737K-arc-v1"}


def factored(data: Path, name: str) -> Whitelist:
    """One of the kits' lists, from its blocks."""
    return read_whitelist(data / "barcode-lists-factored" / f"{LISTS[name]}.blocks.tsv.gz")


# --- inputs ----------------------------------------------------------------------------------------------------------
def real_fastq(path: Path, folder: Path, *, bases: int) -> tuple[Path, Path, int]:
    """R1 of a file (every other record if it holds pairs), reads named by number, and a read of five bases for R2."""
    with gzip.open(path, "rt") as handle:
        lines = [line.rstrip() for line in handle]
    reads = [(lines[k + 1], lines[k + 3]) for k in range(0, len(lines), 4)]
    ones = [r for r in reads if len(r[0]) == bases]
    with (folder / "R1.fastq").open("w") as one:
        one.writelines(f"@{k}\n{bases_}\n+\n{quality}\n" for k, (bases_, quality) in enumerate(ones))
    return folder / "R1.fastq", second_reads(folder, len(ones)), len(ones)


def second_reads(folder: Path, n: int) -> Path:
    """R2 of five bases: STAR gives up on them at once."""
    with (folder / "R2.fastq").open("w") as two:
        for first in range(0, n, 100_000):
            two.write("".join(f"@{k}\nACGTA\n+\nFFFFF\n" for k in range(first, min(first + 100_000, n))))
    return folder / "R2.fastq"


def synthetic_fastq(made: _library.Reads, folder: Path) -> tuple[Path, Path, int]:
    """The reads of a library with random UMIs of 12 bases."""
    n = made.codes.size
    digits = np.char.zfill(np.arange(n).astype("U8"), 8)
    rows = np.full((n, 69), 10, np.uint8)
    rows[:, 0], rows[:, 39] = ord("@"), ord("+")
    rows[:, 1:9] = np.frombuffer("".join(digits).encode(), np.uint8).reshape(n, 8)
    umi = np.random.default_rng(5).integers(1, 4**UMI - 1, n).astype(np.uint64)
    rows[:, 10:26], rows[:, 26:38] = made.ascii(), decode(umi, UMI)
    rows[:, 41:57], rows[:, 57:69] = made.qualities, ord("F")
    with (folder / "R1.fastq").open("wb") as handle:
        for first in range(0, n, 1 << 20):
            part = rows[first : first + (1 << 20)]
            np.concatenate([part, np.full((len(part), 1), 10, np.uint8)], axis=1).tofile(handle)
    return folder / "R1.fastq", second_reads(folder, n), n


# --- ours ------------------------------------------------------------------------------------------------------------
def ours(path: Path, whitelist: Whitelist, umi: int, *, skip: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """Ranks and states of all reads by the path of ``sclineage count``, and which UMIs STARsolo refuses.

    Reads to `skip` are left out of the counts.
    """
    layout, parts, first = chemistry(f"r1:bc16,umi{umi}"), [], 0
    with Library(layout, whitelist) as library:
        for batch in read_single([path]):
            codes, n_at = batch.pack(layout.umi.start, umi)
            uniform = np.isin(codes, np.arange(4, dtype=np.uint64) * np.uint64((4**umi - 1) // 3))
            bad = (n_at != -1) | uniform
            looked = library.add(batch)
            quality = batch.qualities(np.arange(len(batch)), 0, 16)
            parts.append((looked.codes.copy(), looked.n_at.copy(), looked.ranks.copy(), quality, bad))
            if skip is not None:
                left = looked.ranks[skip[first : first + len(batch)]]
                np.subtract.at(library.counts, left[left >= 0], 1)
            first += len(batch)
        library.finish()
        code, at, rank, quality, bad = (np.concatenate(p) for p in zip(*parts, strict=True))
        found, state, posterior = library.decide(code, at, rank, quality)
        if skip is None:
            assert library.states.sum() == code.size, "the states do not add up to the reads"
    return found, state, posterior, bad


# --- agreement -------------------------------------------------------------------------------------------------------
def against_starsolo(name: str, files: tuple[Path, Path, int], whitelist: Whitelist, umi: int, folder: Path,
                     genome: Path) -> dict[str, Any]:
    """Compare every read with STARsolo's CB tag."""
    one, two, n = files
    listed = _tools.write_list(whitelist, folder / "list.txt")
    run, bam = _tools.star(folder / "star", genome, one, two, listed, umi)
    codes, has = _tools.star_codes(bam, n)
    ranks, state, posterior, refused = ours(one, whitelist, umi)
    plain = differing(ranks, codes, has, whitelist)
    ranks, state, posterior, _ = ours(one, whitelist, umi, skip=refused)
    rest = differing(ranks, codes, has, whitelist)
    why: Counter[str] = Counter()
    for row in np.flatnonzero(rest):
        if refused[row]:
            why["STARsolo refuses the UMI (N, or one base all through) and leaves the read out"] += 1
        elif abs(float(posterior[row]) - barcodes.THRESHOLD) < 1e-6:
            why["posterior within 1e-6 of 0.975: STARsolo sums in 32-bit floats"] += 1
        else:
            why["not explained"] += 1
    return {"what": name, "peer": f"STARsolo {_tools.STARSOLO}", "reads": n, "corrected": int((state == 1).sum()),
            "states": np.bincount(state, minlength=5).tolist(), "differ": int(plain.sum()),
            "differ_same_counts": int(rest.sum()), "explained": dict(why), "peer_cpu_s": run.cpu,
            "peer_peak": run.peak}


def differing(ranks: np.ndarray, codes: np.ndarray, has: np.ndarray, whitelist: Whitelist) -> np.ndarray:
    """Reads that got another barcode, or one from one side alone."""
    mine = np.where(ranks >= 0, whitelist.codes()[np.maximum(ranks, 0)], np.uint64(0))
    return ((ranks >= 0) != has) | (has & (mine != codes))


def against_bustools(name: str, reads: np.ndarray, whitelist: Whitelist, folder: Path, tool: str) -> dict[str, Any]:
    """Compare every read with ``bustools correct``, and time both on one thread."""
    codes, n_at = barcodes.pack(reads)
    listed = _tools.write_list(whitelist, folder / "list.txt")
    number = np.arange(codes.size, dtype=np.int32)
    bus = _tools.write_bus(folder / "in.bus", codes, number.astype(np.uint64) & np.uint64(4**UMI - 1), number, UMI)
    empty = _tools.write_bus(folder / "empty.bus", codes[:0], codes[:0], number[:0], UMI)
    run, out = _tools.bustools_correct(tool, folder, bus, listed)
    got = _tools.read_bus(out)
    base = min((_tools.bustools_correct(tool, folder, empty, listed)[0] for _ in range(2)), key=lambda r: r.cpu)
    theirs, has = np.zeros(codes.size, np.uint64), np.zeros(codes.size, bool)
    theirs[got["ec"]], has[got["ec"]] = got["barcode"], True
    seconds, found = best(lambda: correct(codes, n_at, whitelist, "unique"))
    wrong = differing(found[0], theirs, has, whitelist)
    return {"what": name, "peer": "bustools correct", "reads": codes.size, "differ": int(wrong.sum()),
            "corrected": int((found[1] == 1).sum()), "peer_cpu_s": run.cpu - base.cpu, "peer_load_cpu_s": base.cpu,
            "peer_load_wall_s": base.wall, "peer_load_peak": base.peak, "peer_peak": run.peak, "our_s": seconds,
            "ratio": (run.cpu - base.cpu) / seconds}


def correct(codes: np.ndarray, n_at: np.ndarray, whitelist: Whitelist, policy: Any) -> tuple[np.ndarray, ...]:
    """Both passes over packed reads."""
    counts = np.zeros(whitelist.n, np.int32)
    return barcodes.match_packed(codes, n_at, None, whitelist, counts=counts, policy=policy)


def best(work: Callable[[], Any], times: int = 4) -> tuple[float, Any]:
    """Least CPU seconds of some calls after a first, on one thread, and the result."""
    with _backend.threads(1):
        result, least = work(), np.inf
        for _ in range(times):
            start = time.process_time()
            result = work()
            least = min(least, time.process_time() - start)
    return least, result


def against_umi_tools(groups: int) -> dict[str, Any]:
    """Molecules of single (cell, feature) groups against UMI-tools' own clusterer."""
    from umi_tools.network import UMIClusterer

    rng = np.random.default_rng(9)
    wrong = members = total = 0
    for _ in range(groups):
        length = int(rng.integers(4, 11))
        seeds = rng.integers(0, 4**length, int(rng.integers(1, 40))).astype(np.uint64)
        umi = seeds[rng.integers(0, seeds.size, int(rng.integers(1, 300)))]
        bad = rng.random(umi.size) < 0.15
        shift = 2 * rng.integers(0, length, int(bad.sum())).astype(np.uint64)
        umi[bad] ^= rng.integers(1, 4, int(bad.sum())).astype(np.uint64) << shift
        zero = np.zeros(umi.size, np.int64)
        rows = umis.tally(zero, zero, umi)
        target = umis.collapse(rows, length=length, policy="directional")
        words = [w.tobytes() for w in decode(rows.umi, length)]
        found = UMIClusterer(cluster_method="directional")(dict(zip(words, rows.reads.tolist(), strict=True)), 1)
        mine: dict[int, set[bytes]] = {}
        for word, t in zip(words, target.tolist(), strict=True):
            mine.setdefault(t, set()).add(word)
        wrong += len(found) != len(mine)
        members += {frozenset(g) for g in found} != {frozenset(g) for g in mine.values()}
        total += len(found)
    return {"what": f"directional, {groups:,} groups", "peer": "UMI-tools", "molecules": total,
            "groups_other_number": wrong, "groups_other_members": members}


# --- speed -----------------------------------------------------------------------------------------------------------
def molecules_against_bustools(n: int, folder: Path, tool: str) -> dict[str, Any]:
    """Reads to molecules, one thread, beside ``bustools sort`` and ``count``."""
    cell, feature, umi = _split(keys(n))
    named = np.sort(np.random.default_rng(1).choice(4**16, int(cell.max()) + 1, replace=False)).astype(np.uint64)
    bus = _tools.write_bus(folder / "reads.bus", named[cell], umi, feature.astype(np.int32), LENGTH)
    usual = _tools.call([tool, "sort", "-t", "1", "-T", folder / "usual", "-o", folder / "usual.bus", bus], folder)
    sort, count, total = _tools.bustools_count(tool, folder, bus, int(feature.max()) + 1)
    seconds, found = best(lambda: umis.count(cell, feature, umi, length=LENGTH, policy="exact"))
    several = umis.shared(found[3], found[0], found[2])[1] > 1
    cr, _ = best(lambda: umis.count(cell, feature, umi, length=LENGTH))
    return {"what": f"{cell.size:,} reads to molecules", "peer": "bustools sort + count", "reads": int(cell.size),
            "molecules": int((~several).sum()), "peer_molecules": total, "peer_cpu_s": sort.cpu + count.cpu,
            "peer_sort_cpu_s": sort.cpu, "peer_peak": max(sort.peak, count.peak),
            "peer_default_peak": usual.peak, "our_s": seconds,
            "our_cellranger_s": cr, "ratio": (sort.cpu + count.cpu) / seconds}


CHILD = """
import re, sys, time
from pathlib import Path
def peak(): return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
CHILD_LOAD = CHILD + """
from sclineage.reads.whitelists import read_whitelist
read_whitelist(Path(sys.argv[2]))
before, start = peak(), time.perf_counter()
listed = read_whitelist(Path(sys.argv[1]))
print(time.perf_counter() - start, peak() - before, listed.nbytes)
"""
CHILD_COUNT = CHILD + """
import numpy as np
from sclineage.kernels import umis
small = np.arange(8, dtype=np.uint64)
umis.count(small, small, small, length=12, policy="exact")
columns = [np.load(path) for path in sys.argv[1:]]
before = peak()
umis.count(*columns, length=12, policy="exact")
print(peak() - before)
"""


def in_child(code: str, *arguments: str | Path) -> list[float]:
    """Numbers that a Python process of its own prints."""
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
                          check=True, cwd=_runner.HERE.parent)
    return [float(x) for x in done.stdout.split()]


def load_time(whitelist: Whitelist, folder: Path) -> dict[str, Any]:
    """Seconds and extra memory of loading a list, in a process that has loaded a small one before."""
    large = _tools.write_list(whitelist, folder / "large.txt")
    (folder / "small.txt").write_text("ACGTACGTACGTACGT\nTTTTACGTACGTACGT\n")
    runs = [in_child(CHILD_LOAD, large, folder / "small.txt") for _ in range(3)]
    return {"what": f"load {whitelist.n:,} barcodes", "seconds": min(r[0] for r in runs),
            "extra_bytes": max(r[1] for r in runs), "tables_bytes": runs[0][2]}


# --- all of it -------------------------------------------------------------------------------------------------------
def missing() -> dict[str, str]:
    """Peers that are not here."""
    from importlib.util import find_spec

    here = {"STARsolo": shutil.which("STAR") and find_spec("pysam"), "bustools": _tools.bustools(),
            "UMI-tools": find_spec("umi_tools")}
    return {k: "not installed" for k, v in here.items() if not v}


def measure(data: Path, n: int, work: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Every comparison that can be made here."""
    absent, tool = missing(), _tools.bustools()
    agreement: list[dict[str, Any]] = []
    speed: list[dict[str, Any]] = []

    def folder(name: str) -> Path:
        made = work / name
        made.mkdir()
        return made

    lists = {name: factored(data, name) for name in ("v2", "v3")}
    made = {name: _library.reads(listed.codes(), n, seed=21) for name, listed in lists.items()}
    if "STARsolo" not in absent:
        genome = _tools.star_genome(folder("genome"))
        fastq = data / "fastq-10x"
        real = {"v3": (fastq / "pbmc_v31_chr21" / "pbmc_chr21_S1_L001_R1_001.fastq.gz", 28, 12, "real 3' v3.1 library"),
                "v2": (fastq / "tiny_v2_interleaved" / "read-RA.fastq.gz", 26, 10, "real 3' v2 library")}
        for name, (path, bases, umi, what) in real.items():
            here = folder(f"real-{name}")
            agreement.append(against_starsolo(what, real_fastq(path, here, bases=bases), lists[name], umi, here,
                                              genome))
            say(f"{agreement[-1]}")
        here = folder("synthetic")
        agreement.append(against_starsolo(f"synthetic, v2 list, {n:,} reads", synthetic_fastq(made["v2"], here),
                                          lists["v2"], UMI, here, genome))
        say(f"{agreement[-1]}")
        shutil.rmtree(here)
    for name, listed in lists.items():
        if tool:
            here = folder(f"bustools-{name}")
            agreement.append(against_bustools(f"synthetic, {name} list, {n:,} reads", made[name].ascii(), listed, here,
                                              tool))
            say(f"{agreement[-1]}")
            shutil.rmtree(here)
    if "UMI-tools" not in absent:
        agreement.append(against_umi_tools(2000))
        say(f"{agreement[-1]}")
    if tool:
        here = folder("molecules")
        speed.append(molecules_against_bustools(n, here, tool))
        columns = [here / f"{name}.npy" for name in ("cell", "feature", "umi")]
        for path, array in zip(columns, _split(keys(n)), strict=True):
            np.save(path, array)
        speed[-1] |= {"our_extra_bytes": in_child(CHILD_COUNT, *columns)[0], "our_input_bytes": 24 * n}
        say(f"{speed[-1]}")
    speed.append(load_time(lists["v3"], folder("load")))
    say(f"{speed[-1]}")
    return {"agreement": agreement, "speed": speed, "not_measured": absent}


def table(record: dict[str, Any]) -> str:
    """Markdown of a record."""
    facts = record["machine"]
    lines = ["# Barcodes and molecules beside STARsolo, bustools and UMI-tools", "",
             f"{facts['cpu']}, {facts['cores']} cores; load at the start {facts['load']:.1f}; "
             f"{', '.join(record['peers'])}. One thread each; CPU seconds.", "", "## Agreement, read by read", ""]
    for a in record["agreement"]:
        if "groups_other_number" in a:
            lines.append(f"- {a['what']} against {a['peer']}: {a['molecules']:,} molecules; groups with another number "
                         f"of molecules {a['groups_other_number']}, with other members {a['groups_other_members']} "
                         "(ties of reads: the peer's order is that of its input).")
            continue
        lines.append(f"- {a['what']} against {a['peer']}: {a['reads']:,} reads, {a['corrected']:,} corrected, "
                     f"**{a['differ']} differ**" + (f"; with the reads that it leaves out uncounted "
                     f"{a['differ_same_counts']}: {a['explained'] or 'none'}" if "explained" in a else "") + ".")
    lines += ["", "## Speed", ""]
    for a in record["agreement"]:
        if "our_s" in a:
            lines.append(f"- {a['what']}, both passes, against {a['peer']}: ours {a['reads'] / a['our_s'] / 1e6:.1f} M "
                         f"reads/s, the peer {a['reads'] / a['peer_cpu_s'] / 1e6:.2f} (its time for no reads, "
                         f"{a['peer_load_cpu_s']:.2f} s, subtracted): **{a['ratio']:.1f} times**. List loaded by the "
                         f"peer in {a['peer_load_cpu_s']:.2f} s, {a['peer_load_peak'] / 1e6:.0f} MB.")
    for s in record["speed"]:
        if "ratio" in s:
            lines.append(f"- {s['what']} against {s['peer']}: ours {s['our_s']:.3g} s (with the policy cellranger "
                         f"{s['our_cellranger_s']:.3g} s), the peer {s['peer_cpu_s']:.3g} s: "
                         f"**{s['ratio']:.1f} times**; molecules {s['molecules']:,} and {s['peer_molecules']:,}; "
                         f"memory beside the input {s['our_extra_bytes'] / 1e6:.0f} MB, the peer's peak "
                         f"{s['peer_peak'] / 1e6:.0f} MB (its default: {s['peer_default_peak'] / 1e6:.0f} MB).")
        else:
            lines.append(f"- {s['what']}: {s['seconds']:.3g} s, {s['extra_bytes'] / 1e6:.0f} MB extra at the peak, "
                         f"tables of {s['tables_bytes'] / 1e6:.1f} MB.")
    lines += [f"- {k}: {v}" for k, v in record["not_measured"].items()]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--reads", type=int, default=10_000_000)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCLINEAGE_DATA"))
    parser.add_argument("--out", type=Path, default=_runner.RESULTS)
    given = parser.parse_args(arguments)
    if given.data is None:
        parser.error("give --data, or set SCLINEAGE_DATA")
    facts = _runner.machine()
    with tempfile.TemporaryDirectory(prefix="sclineage-peers-") as work:
        found = measure(given.data, given.reads, Path(work), lambda x: print(x, file=sys.stderr, flush=True))
    tool = _tools.bustools()
    peers = [f"STAR {_tools.version(['STAR', '--version'])}"] if shutil.which("STAR") else []
    peers += [_tools.version([tool, "version"])] if tool else []
    record = {"benchmark": "reads_peers", "machine": facts, "peers": peers, **found}
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "reads_peers.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (given.out / "reads_peers.md").write_text(table(record), encoding="utf-8")
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
