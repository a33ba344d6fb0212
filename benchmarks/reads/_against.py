"""The comparisons of `benchmarks.reads.peers`: one function each, equal outputs first, then turns of both sides."""

from __future__ import annotations

import gzip
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _runner
from benchmarks.kernels import _library
from benchmarks.kernels.barcodes import search_all
from benchmarks.kernels.umis import LENGTH, _split, keys
from benchmarks.reads import _tools
from sclineage import _backend
from sclineage.kernels import barcodes, umis
from sclineage.kernels.whitelists import Whitelist, decode
from sclineage.reads.chemistries import chemistry
from sclineage.reads.fastq import read_single
from sclineage.reads.library import Library

UMI = 12
BATCH = 1 << 16  # reads
Row = dict[str, Any]
Files = tuple[Path, Path, int]


# --- inputs ----------------------------------------------------------------------------------------------------------
def real_fastq(path: Path, folder: Path, *, bases: int) -> Files:
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


def synthetic_fastq(made: _library.Reads, folder: Path) -> Files:
    """The reads of a library with random UMIs of 12 bases."""
    n = made.codes.size
    umi = np.random.default_rng(5).integers(1, 4**UMI - 1, n).astype(np.uint64)
    return write_reads(made.ascii(), made.qualities, umi, folder), second_reads(folder, n), n


def write_reads(barcode: np.ndarray, quality: np.ndarray, umi: np.ndarray, folder: Path) -> Path:
    """R1 of barcodes uint8 (n, 16), their qualities and packed UMIs; reads named by number."""
    n = umi.size
    digits = np.char.zfill(np.arange(n).astype("U8"), 8)
    rows = np.full((n, 70), 10, np.uint8)
    rows[:, 0], rows[:, 39] = ord("@"), ord("+")
    rows[:, 1:9] = np.frombuffer("".join(digits).encode(), np.uint8).reshape(n, 8)
    rows[:, 10:26], rows[:, 26:38] = barcode, decode(umi, UMI)
    rows[:, 41:57], rows[:, 57:69] = quality, ord("F")
    rows.tofile(folder / "R1.fastq")
    return folder / "R1.fastq"


# --- ours, and the clock ---------------------------------------------------------------------------------------------
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


def from_file(path: Path, whitelist: Whitelist, umi: int) -> int:
    """What STARsolo does to R1, by the path of ``sclineage count``: read, both passes, the reads set aside between."""
    layout, n = chemistry(f"r1:bc16,umi{umi}"), 0
    with Library(layout, whitelist) as library:
        for batch in read_single([path]):
            batch.pack(layout.umi.start, umi)
            n += len(library.add(batch).ranks)
        library.finish()
    return n


def correct(codes: np.ndarray, n_at: np.ndarray, quality: np.ndarray | None, whitelist: Whitelist,
            out: tuple[np.ndarray, np.ndarray], policy: Any = "cellranger") -> None:
    """Both passes over packed reads in batches, as ``sclineage count`` goes through them; ranks and states to `out`."""
    counts, rest = np.zeros(whitelist.n, np.int32), [np.zeros(0, np.int64)]
    ranks, states = out
    states[:] = 0
    for first in range(0, codes.size, BATCH):
        part = slice(first, first + BATCH)
        ranks[part] = barcodes.look_up(codes[part], n_at[part], whitelist, counts=counts)
        rest.append(first + np.flatnonzero(ranks[part] < 0))
    todo = np.concatenate(rest)
    for first in range(0, todo.size, BATCH):
        rows = todo[first : first + BATCH]
        ranks[rows], states[rows], _, _ = barcodes.correct(
            codes[rows], n_at[rows], None if quality is None else quality[rows], whitelist, counts=counts,
            policy=policy)


def room(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Where `correct` writes ranks and states; there before the clock runs, as the peers' arrays are."""
    return np.zeros(n, np.int32), np.zeros(n, np.uint8)


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call on one thread, and its result."""
    with _backend.threads(1):
        start = time.process_time()
        result = work()
        return time.process_time() - start, result


def turns(ours_: Callable[[], Any], peer: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Median CPU seconds of both, which take turns; ours has run before, so that nothing is compiled here."""
    seconds = [(cpu_seconds(ours_)[0], peer()) for _ in range(repeats)]
    return statistics.median(s[0] for s in seconds), statistics.median(s[1] for s in seconds)


# --- agreement -------------------------------------------------------------------------------------------------------
def against_starsolo(name: str, files: Files, whitelist: Whitelist, umi: int, folder: Path, genome: Path,
                     *, timed: bool = False) -> Row:
    """Compare every read with STARsolo's CB tag; `timed`: STARsolo beside STAR alone, and ours on the same file."""
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
    found: Row = {"what": name, "peer": f"STARsolo {_tools.STARSOLO}", "reads": n, "corrected": int((state == 1).sum()),
                  "states": np.bincount(state, minlength=5).tolist(), "differ": int(plain.sum()),
                  "differ_same_counts": int(rest.sum()), "explained": dict(why), "peer_whole_cpu_s": run.cpu,
                  "peer_peak": run.peak}
    if timed:
        bam.unlink()
        found |= _starsolo_apart(files, whitelist, umi, folder, genome, listed, run.cpu)
    return found


def _starsolo_apart(files: Files, whitelist: Whitelist, umi: int, folder: Path, genome: Path, listed: Path,
                    whole: float) -> Row:
    """What the barcodes cost STARsolo (less STAR without them), and what correcting does (less exact ones only)."""
    one, two, _ = files
    runs = {}
    for name, given, matching in (("exact", listed, "Exact"), ("alone", None, "")):
        run, bam = _tools.star(folder / name, genome, one, two, given, umi, matching=matching)
        bam.unlink()
        runs[name] = whole - run.cpu
    seconds = statistics.median(cpu_seconds(lambda: from_file(one, whitelist, umi))[0] for _ in range(3))
    return {"our_s": seconds, "peer_cpu_s": runs["alone"], "ratio": runs["alone"] / seconds,
            "peer_correction_cpu_s": runs["exact"]}


def differing(ranks: np.ndarray, codes: np.ndarray, has: np.ndarray, whitelist: Whitelist) -> np.ndarray:
    """Reads that got another barcode, or one from one side alone."""
    mine = np.where(ranks >= 0, whitelist.codes()[np.maximum(ranks, 0)], np.uint64(0))
    return ((ranks >= 0) != has) | (has & (mine != codes))


def against_routine(name: str, made: _library.Reads, whitelist: Whitelist, repeats: int) -> Row:
    """The correction step alone: both passes over packed reads, beside STARsolo's search restated (`search_all`)."""
    listed, error = whitelist.codes(), barcodes.error_table()
    use = made.n_at == -1  # the restated search knows no N
    codes, n_at, quality = made.codes[use], made.n_at[use], made.qualities[use]
    out = np.empty(codes.size, np.int32)

    def peer() -> float:
        return cpu_seconds(lambda: search_all(codes, quality, listed, error, out))[0]

    mine = room(codes.size)
    correct(codes, n_at, quality, whitelist, mine)
    peer()
    wrong = int((mine[0] != out).sum())
    if wrong:
        raise _runner.UnequalError(f"{name}: {wrong} reads differ from the restated search")
    our, other = turns(lambda: correct(codes, n_at, quality, whitelist, mine), peer, repeats)
    return {"what": name, "peer": "STARsolo's search, restated and compiled", "reads": codes.size, "differ": wrong,
            "our_s": our, "peer_cpu_s": other, "ratio": other / our}


def against_bustools(name: str, made: _library.Reads, whitelist: Whitelist, folder: Path, tool: str,
                     repeats: int) -> Row:
    """Compare every read with ``bustools correct``, and time both on one thread."""
    codes, n_at = barcodes.pack(made.ascii())
    listed = _tools.write_list(whitelist, folder / "list.txt")
    number = np.arange(codes.size, dtype=np.int32)
    bus = _tools.write_bus(folder / "in.bus", codes, number.astype(np.uint64) & np.uint64(4**UMI - 1), number, UMI)
    empty = _tools.write_bus(folder / "empty.bus", codes[:0], codes[:0], number[:0], UMI)
    run, out = _tools.bustools_correct(tool, folder, bus, listed)
    got = _tools.read_bus(out)
    theirs, has = np.zeros(codes.size, np.uint64), np.zeros(codes.size, bool)
    theirs[got["ec"]], has[got["ec"]] = got["barcode"], True
    found = room(codes.size)
    correct(codes, n_at, None, whitelist, found, "unique")
    wrong = differing(found[0], theirs, has, whitelist)
    base = min((_tools.bustools_correct(tool, folder, empty, listed)[0] for _ in range(2)), key=lambda r: r.cpu)
    our, other = turns(lambda: correct(codes, n_at, None, whitelist, found, "unique"),
                       lambda: _tools.bustools_correct(tool, folder, bus, listed)[0].cpu - base.cpu, repeats)
    return {"what": name, "peer": "bustools correct", "reads": codes.size, "differ": int(wrong.sum()),
            "corrected": int((found[1] == 1).sum()), "peer_cpu_s": other, "peer_load_cpu_s": base.cpu,
            "peer_load_wall_s": base.wall, "peer_load_peak": base.peak, "peer_peak": run.peak, "our_s": our,
            "ratio": other / our}


def against_umi_tools(groups: int) -> Row:
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


# --- molecules, and the loading of a list ----------------------------------------------------------------------------
def molecules_against_bustools(n: int, folder: Path, tool: str, repeats: int) -> Row:
    """Reads to molecules, one thread, beside ``bustools sort`` and ``count``."""
    cell, feature, umi = _split(keys(n))
    named = np.sort(np.random.default_rng(1).choice(4**16, int(cell.max()) + 1, replace=False)).astype(np.uint64)
    bus = _tools.write_bus(folder / "reads.bus", named[cell], umi, feature.astype(np.int32), LENGTH)
    usual = _tools.call([tool, "sort", "-t", "1", "-T", folder / "usual", "-o", folder / "usual.bus", bus], folder)
    features = int(feature.max()) + 1
    sort, count, total = _tools.bustools_count(tool, folder, bus, features)
    found = umis.count(cell, feature, umi, length=LENGTH, policy="exact")
    several = umis.shared(found[3], found[0], found[2])[1] > 1

    def peer() -> float:
        runs = _tools.bustools_count(tool, folder, bus, features)
        return runs[0].cpu + runs[1].cpu

    for path, array in zip(_columns(folder), (cell, feature, umi), strict=True):
        np.save(path, array)
    runs = [(*in_child(CHILD_COUNT, *_columns(folder)), peer()) for _ in range(repeats)]
    extra = max(r[0] for r in runs)
    first, our, other = (statistics.median(r[k] for r in runs) for k in (1, 2, 3))
    collapsed = statistics.median([cpu_seconds(lambda: umis.count(cell, feature, umi, length=LENGTH))[0]
                                   for _ in range(1 + repeats)][1:])
    return {"what": f"{cell.size:,} reads to molecules", "peer": "bustools sort + count", "reads": int(cell.size),
            "molecules": int((~several).sum()), "peer_molecules": total, "peer_cpu_s": other,
            "peer_sort_cpu_s": sort.cpu, "peer_peak": max(sort.peak, count.peak), "peer_default_peak": usual.peak,
            "our_s": our, "our_first_s": first, "our_cellranger_s": collapsed, "ratio": other / our,
            "our_extra_bytes": extra,
            "memory_ratio": extra / max(sort.peak, count.peak)}


def _columns(folder: Path) -> list[Path]:
    return [folder / f"{name}.npy" for name in ("cell", "feature", "umi")]


CHILD = """
import re, sys, time
from pathlib import Path
def peak(): return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
CHILD_LOAD = CHILD + """
from sclineage.reads.whitelists import read_whitelist
read_whitelist(Path(sys.argv[2]))
before, start, used = peak(), time.perf_counter(), time.process_time()
listed = read_whitelist(Path(sys.argv[1]))
print(time.perf_counter() - start, peak() - before, listed.nbytes, listed.n, time.process_time() - used)
"""
CHILD_COUNT = CHILD + """
import numpy as np
from sclineage.kernels import umis
small = np.arange(8, dtype=np.uint64)
umis.count(small, small, small, length=12, policy="exact")
columns = [np.load(path) for path in sys.argv[1:]]
before, marks = peak(), [time.process_time()]
for _ in range(2):
    umis.count(*columns, length=12, policy="exact")
    marks.append(time.process_time())
print(peak() - before, marks[1] - marks[0], marks[2] - marks[1])
"""


def in_child(code: str, *arguments: str | Path) -> list[float]:
    """Numbers that a Python process of its own prints."""
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
                          check=True, cwd=_runner.HERE.parent)
    return [float(x) for x in done.stdout.split()]


def load_time(what: str, path: Path, whitelist: Whitelist, folder: Path, repeats: int) -> Row:
    """Seconds by the clock and extra memory of loading a list, in a process that has loaded a small one before."""
    small = folder / "small.txt"
    small.write_text("ACGTACGTACGTACGT\nTTTTACGTACGTACGT\n")
    runs = [in_child(CHILD_LOAD, path, small) for _ in range(repeats)]
    if any(r[3] != whitelist.n for r in runs):
        raise _runner.UnequalError(f"{what}: another number of barcodes was read")
    return {"what": what, "file_bytes": path.stat().st_size, "barcodes": whitelist.n,
            "seconds": statistics.median(r[0] for r in runs), "cpu_s": statistics.median(r[4] for r in runs),
            "extra_bytes": max(r[1] for r in runs), "tables_bytes": runs[0][2]}
