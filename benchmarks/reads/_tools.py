"""Running STARsolo and bustools on our inputs, and reading what they made of every read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from sclineage.kernels import barcodes
from sclineage.kernels.whitelists import Whitelist, decode

BUS_RECORD = np.dtype([("barcode", "<u8"), ("umi", "<u8"), ("ec", "<i4"), ("count", "<u4"), ("flags", "<u4"),
                       ("pad", "<u4")])
STARSOLO = "1MM_multi_Nbase_pseudocounts"


@dataclass(frozen=True, slots=True)
class Run:
    """CPU and wall seconds of a program, and its peak memory in bytes."""

    cpu: float
    wall: float
    peak: int


WATCH = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump([code, used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss], open(sys.argv[1], "w"))
"""  # a small process in between: a child counts the memory of the process that it was forked from as its own


def call(command: list[str | Path], folder: Path) -> Run:
    """Run a program in a folder; its words go to a log there."""
    start, used = time.perf_counter(), folder / "used.json"
    with (folder / "log.txt").open("ab") as log:
        subprocess.run([sys.executable, "-S", "-c", WATCH, str(used), *map(str, command)], cwd=folder, stdout=log,
                       stderr=log, check=True)
    wall = time.perf_counter() - start
    code, cpu, peak = json.loads(used.read_text())
    if code:
        raise RuntimeError(f"{command[0]} failed:\n{(folder / 'log.txt').read_text()[-2000:]}")
    return Run(cpu, wall, peak)


def bustools() -> str | None:
    """The program, from PATH or from kb-python."""
    found = shutil.which("bustools")
    if found is None and (package := find_spec("kb_python")) and package.origin:
        path = Path(package.origin).parent / "bins" / "linux" / "bustools" / "bustools"
        found = str(path) if path.exists() else None
    return found


def version(command: list[str]) -> str:
    """First line that a program says of itself."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().splitlines()[-1]


def write_list(whitelist: Whitelist, path: Path) -> Path:
    """The barcodes, one a line, sorted."""
    rows = np.full((whitelist.n, whitelist.length + 1), 10, np.uint8)
    rows[:, :-1] = decode(whitelist.codes(), whitelist.length)
    rows.tofile(path)
    return path


# --- STARsolo --------------------------------------------------------------------------------------------------------
def star_genome(folder: Path) -> Path:
    """Index of 20,000 random bases with one gene: STAR does not run without a genome."""
    letters = np.frombuffer(b"ACGT", np.uint8)[np.random.default_rng(0).integers(0, 4, 20_000)].tobytes().decode()
    (folder / "genome.fa").write_text(f">one\n{letters}\n")
    (folder / "genome.gtf").write_text('one\tx\texon\t1\t20000\t.\t+\t.\tgene_id "A"; transcript_id "A1";\n')
    call(["STAR", "--runMode", "genomeGenerate", "--genomeDir", "genome", "--genomeFastaFiles", "genome.fa",
          "--sjdbGTFfile", "genome.gtf", "--sjdbOverhang", "50", "--genomeSAindexNbases", "6", "--runThreadN", "1"],
         folder)
    return folder / "genome"


def star(folder: Path, genome: Path, one: Path, two: Path, listed: Path | None, umi: int, *,
         matching: str = STARSOLO) -> tuple[Run, Path]:
    """Run STARsolo with one thread (`listed` None: STAR alone); returns its BAM too."""
    folder.mkdir(exist_ok=True)
    solo: list[str | Path] = ["--readFilesIn", two]
    if listed is not None:
        solo = ["--readFilesIn", two, one, "--soloType", "CB_UMI_Simple", "--soloCBwhitelist", listed, "--soloUMIlen",
                str(umi), "--soloBarcodeReadLength", "0", "--soloCBmatchWLtype", matching, "--soloFeatures", "Gene",
                "--outSAMattributes", "NH", "CR", "CB"]
    run = call(["STAR", "--genomeDir", genome, "--runThreadN", "1", *solo, "--outSAMtype", "BAM", "SortedByCoordinate",
                "--outSAMunmapped", "Within", "--limitBAMsortRAM", "8000000000"], folder)
    return run, folder / "Aligned.sortedByCoord.out.bam"


def star_codes(bam: Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Packed corrected barcode of each read (named by its number), and whether it has one."""
    import pysam

    text = np.full((n, 16), ord("A"), np.uint8)
    has = np.zeros(n, bool)
    with pysam.AlignmentFile(str(bam), "rb", check_sq=False) as handle:
        for read in handle.fetch(until_eof=True):
            code = read.get_tag("CB")
            if code != "-":
                number = int(read.query_name)
                text[number] = np.frombuffer(code.encode(), np.uint8)
                has[number] = True
    return barcodes.pack(text)[0], has


# --- bustools --------------------------------------------------------------------------------------------------------
def write_bus(path: Path, codes: np.ndarray, umi: np.ndarray, ec: np.ndarray, umi_length: int) -> Path:
    """A BUS file of one record per read."""
    records = np.zeros(codes.size, BUS_RECORD)
    records["barcode"], records["umi"], records["ec"], records["count"] = codes, umi, ec, 1
    with path.open("wb") as handle:
        handle.write(b"BUS\0" + np.array([1, 16, umi_length, 0], "<u4").tobytes())
        records.tofile(handle)
    return path


def read_bus(path: Path) -> np.ndarray:
    """Records of a BUS file."""
    with path.open("rb") as handle:
        head = handle.read(20)
        handle.seek(int.from_bytes(head[16:20], "little"), 1)
        return np.fromfile(handle, BUS_RECORD)


def bustools_correct(tool: str, folder: Path, bus: Path, listed: Path) -> tuple[Run, Path]:
    """Correct; returns the file of corrected records too."""
    out = folder / "corrected.bus"
    return call([tool, "correct", "-w", listed, "-o", out, bus], folder), out


def bustools_count(tool: str, folder: Path, bus: Path, features: int) -> tuple[Run, Run, int]:
    """Sort with memory for all records, count molecules of genes; returns both runs and the molecules."""
    names = [f"f{k}" for k in range(features)]
    (folder / "names.txt").write_text("".join(f"{x}\n" for x in names))
    (folder / "genes.txt").write_text("".join(f"{x}\t{x}\n" for x in names))
    (folder / "matrix.ec").write_text("".join(f"{k}\t{k}\n" for k in range(features)))
    memory = max(64, int(1.25 * bus.stat().st_size / 2**20))
    sort = call([tool, "sort", "-t", "1", "-m", f"{memory}M", "-T", folder / "part", "-o", folder / "sorted.bus", bus],
                folder)
    count = call([tool, "count", "-o", folder / "counts", "-g", folder / "genes.txt", "-e", folder / "matrix.ec", "-t",
                  folder / "names.txt", "--genecounts", folder / "sorted.bus"], folder)
    with (folder / "counts.mtx").open() as handle:
        lines = [line for line in handle if not line.startswith("%")]
    return sort, count, int(sum(float(line.split()[2]) for line in lines[1:]))
