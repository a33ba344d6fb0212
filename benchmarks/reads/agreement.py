"""Barcode policies on the kits' real lists: beside the slow oracle, the truth, each other, STARsolo and bustools.

    SCLINEAGE_DATA=... python -m benchmarks.reads.agreement [--reads 1000000] [--out benchmarks/results]

Writes ``reads_agreement.json`` and ``reads_agreement.md``: counts of reads, no times. Under ``calibrated`` the oracle
looks at every barcode of the list for each read (`brute`). Peers that are not installed are left out and named.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _runner
from benchmarks.reads import _against, _tools, peers
from sclineage.kernels import barcodes, matching
from sclineage.kernels.whitelists import Whitelist, decode, whitelist
from sclineage.reads.whitelists import read_whitelist
from tests.oracles import barcodes as oracle

LISTS = {"v1": "10x_v1_737K-april-2014_rc", "v2": "10x_v2_737K-august-2016", "v3": "10x_v3_3M-february-2018",
         "v4": "10x_v4", "ARC": "10x_arc_gex_737K-arc-v1"}
BINS = (0.0, 0.5, 0.8, 0.95, 0.975, 1.01)
QUALITY, SHARE = np.array([70, 58, 44, 35], np.uint8), (0.92, 0.05, 0.02, 0.01)
WRONG = np.array([0.0036, 0.01, 0.05, 0.2])  # more than the qualities say
Row = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """Reads with their truth: uint8 (n, L) bases and qualities, int64 rank of the barcode (-1: from none)."""

    reads: np.ndarray
    quality: np.ndarray
    truth: np.ndarray


def library(codes: np.ndarray, length: int, n: int, seed: int) -> Made:
    """Nine reads in ten from 2,000 cells of unequal size, one in a hundred from no barcode at all."""
    rng = np.random.default_rng(seed)
    cells, size = rng.choice(codes.size, min(2000, codes.size // 2), replace=False), rng.lognormal(0, 1, 2000)
    size = size[: cells.size] / size[: cells.size].sum()
    truth = np.where(rng.random(n) < 0.9, rng.choice(cells, n, p=size), rng.integers(0, codes.size, n))
    reads, letters = decode(codes[truth], length), np.frombuffer(b"ACGT", np.uint8)
    bin_ = rng.choice(4, reads.shape, p=SHARE)
    wrong = rng.random(reads.shape) < WRONG[bin_]
    reads[wrong] = letters[(np.searchsorted(letters, reads[wrong]) + rng.integers(1, 4, int(wrong.sum()))) % 4]
    junk = rng.random(n) < 0.01
    reads[junk] = letters[rng.integers(0, 4, (int(junk.sum()), length))]
    reads[(bin_ == 3) & (rng.random(reads.shape) < 0.02)] = ord("N")
    return Made(reads, QUALITY[bin_], np.where(junk, -1, truth))


# --- beside the oracle -----------------------------------------------------------------------------------------------
def brute(code: int, read: str, rates: list[float], codes: np.ndarray, words: int, weights: np.ndarray,
          ) -> tuple[int, int, float, float, float]:
    """`oracle.shares` with the whole list: every barcode is compared, those too far off are not weighed one by one."""
    x = codes ^ np.uint64(code)
    x = (x | (x >> np.uint64(1))) & np.uint64(0x5555555555555555)
    near = np.flatnonzero(np.bitwise_count(x) <= 2 + read.count("N"))
    listed = [w.tobytes().decode() for w in decode(codes[near], words)]
    row, *rest = oracle.shares(read, listed, weights[near].tolist(), rates)
    return (int(near[row]) if row >= 0 else -1, *rest)


def differing_calibrated(made: Made, listed: Whitelist, most: int) -> tuple[int, int]:
    """Reads looked at, and those whose rank, state, candidates, weights or posterior differ from the oracle's."""
    codes, n_at = barcodes.pack(made.reads)
    counts = np.zeros(listed.n, np.int32)
    exact = barcodes.look_up(codes, n_at, listed, counts=counts)
    model, weighed = matching.calibrate(codes, n_at, exact, made.quality, listed, counts=counts)
    rank, state, posterior, _ = matching.settle(model, n_at, exact, weighed, listed.length)
    every, total = listed.codes(), float(model.weights.sum(dtype=np.float64))
    junk = model.junk / (1 - model.junk) * total / 4.0**listed.length
    rows = [*np.flatnonzero(exact < 0)[: most - most // 8], *np.flatnonzero(exact >= 0)[: most // 8]]
    wrong = 0
    for i in rows:
        read = made.reads[i].tobytes().decode()
        rates = [float(model.error[q]) for q in made.quality[i]]
        row, n, best, mass, scale = brute(int(codes[i]), read, rates, every, listed.length, model.weights)
        p = best / (mass + junk * scale) if mass else 0.0
        on = exact[i] >= 0
        word = "exact" if on else "corrected" if n and p >= matching.THRESHOLD else (
            "n" if "N" in read else "ambiguous" if n else "none")
        same = (np.allclose([best, mass, scale, p], [weighed[3][i], weighed[4][i], weighed[5][i], posterior[i]],
                            rtol=1e-6) and (on or weighed[2][i] == n) and matching.STATES[state[i]] == word
                and rank[i] == (row if word in ("exact", "corrected") else -1))
        wrong += not same
    return len(rows), wrong


def beside_oracle(name: str, listed: Whitelist, dictionary: Any, n: int, brute_reads: int) -> list[Row]:
    """Reads whose index, state, posterior or changed position differ from the oracle's, for every policy."""
    codes = np.empty(listed.n, np.uint64)
    codes[np.arange(listed.n) if listed.order is None else listed.order] = listed.codes()  # in the rows' order
    made = library(codes, listed.length, n, seed=31)
    reads, quality = ([r.tobytes().decode() for r in a] for a in (made.reads, made.quality))
    rows = []
    for policy in ("cellranger", "unique"):
        got = matching.match(made.reads, made.quality, listed, policy=policy)  # type: ignore[arg-type]
        want = oracle.match(reads, quality, dictionary, policy=policy)
        mine = zip(got.index.tolist(), (matching.STATES[s] for s in got.state), got.posterior.tolist(),
                   got.changed.tolist(), strict=True)
        wrong = sum(a != (b[0], b[1], float(np.float32(b[2])), b[3]) for a, b in zip(mine, want, strict=True))
        rows.append({"list": name, "barcodes": listed.n, "blocks": listed.blocks, "policy": policy, "reads": n,
                     "not_exact": int((got.state != 0).sum()), "differ": wrong})
    looked, wrong = differing_calibrated(made, listed, brute_reads)
    rows.append({"list": name, "barcodes": listed.n, "blocks": listed.blocks, "policy": "calibrated", "reads": looked,
                 "not_exact": looked - looked // 8, "differ": wrong})
    return rows


# --- beside the truth and each other ---------------------------------------------------------------------------------
def beside_truth(name: str, listed: Whitelist, n: int) -> tuple[list[Row], list[Row], dict[str, np.ndarray], Made]:
    """States and wrong barcodes by policy, and how true the posteriors are; the answers too, as ranks."""
    made = library(listed.codes(), listed.length, n, seed=32)
    codes, n_at = barcodes.pack(made.reads)
    counts = np.zeros(listed.n, np.int32)
    exact = barcodes.look_up(codes, n_at, listed, counts=counts)
    model, weighed = matching.calibrate(codes, n_at, exact, made.quality, listed, counts=counts)
    found = {p: matching.decide(codes, n_at, exact, made.quality, listed, counts=counts, policy=p)
             for p in ("cellranger", "unique")}
    found["calibrated"] = matching.settle(model, n_at, exact, weighed, listed.length)
    rows, reliability = [], []
    for policy, (rank, state, posterior, _) in found.items():
        taken = state == 1
        states = dict(zip(matching.STATES, np.bincount(state, minlength=5).tolist(), strict=True))
        rows.append({"list": name, "policy": policy, **states,
                     "corrected_wrong": int((rank[taken] != made.truth[taken]).sum()),
                     "exact_wrong": int((rank[state == 0] != made.truth[state == 0]).sum())})
        if policy != "unique":
            best = weighed[0] if policy == "calibrated" else _best(codes, n_at, made, listed, counts)
            reliability += _reliability(name, policy, best, posterior, made.truth, (exact < 0) & (best >= 0))
    return rows, reliability, {p: f[0] for p, f in found.items()}, made


def _best(codes: np.ndarray, n_at: np.ndarray, made: Made, listed: Whitelist, counts: np.ndarray) -> np.ndarray:
    """Best candidate under ``cellranger``, whatever its posterior."""
    return np.asarray(barcodes.correct(codes, n_at, made.quality, listed, counts=counts, threshold=0.0)[0])


def _reliability(name: str, policy: str, best: np.ndarray, posterior: np.ndarray, truth: np.ndarray,
                 use: np.ndarray) -> list[Row]:
    rows = []
    for low, high in pairwise(BINS):
        here = use & (posterior >= low) & (posterior < high)
        if here.any():
            rows.append({"list": name, "policy": policy, "from": low, "to": min(high, 1.0), "reads": int(here.sum()),
                         "said": float(posterior[here].mean(dtype=np.float64)),
                         "right": float((best[here] == truth[here]).mean())})
    return rows


def beside_peers(name: str, listed: Whitelist, answers: dict[str, np.ndarray], made: Made, work: Path) -> list[Row]:
    """Reads that STARsolo and bustools answer otherwise than each policy."""
    absent, n = peers.missing(), len(made.truth)
    theirs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    text = _tools.write_list(listed, work / "list.txt")
    if "STARsolo" not in absent:
        umi = np.random.default_rng(5).integers(1, 4**_against.UMI - 1, n).astype(np.uint64)
        one = _against.write_reads(made.reads, made.quality, umi, work)
        genome = work / "genome"
        genome.mkdir()
        bam = _tools.star(work / "star", _tools.star_genome(genome), one, _against.second_reads(work, n), text,
                          _against.UMI)[1]
        theirs["STARsolo"] = _tools.star_codes(bam, n)
    if "bustools" not in absent:
        codes, number = barcodes.pack(made.reads)[0], np.arange(n, dtype=np.int32)
        bus = _tools.write_bus(work / "in.bus", codes, number.astype(np.uint64) & np.uint64(4**12 - 1), number, 12)
        got = _tools.read_bus(_tools.bustools_correct(str(_tools.bustools()), work, bus, text)[1])
        found, has = np.zeros(n, np.uint64), np.zeros(n, bool)
        found[got["ec"]], has[got["ec"]] = got["barcode"], True
        theirs["bustools"] = found, has
    return [{"list": name, "policy": policy, "reads": n,
             **{k: int((rank != other).sum()) for k, other in answers.items()},
             **{k: int(_against.differing(rank, *v, listed).sum()) for k, v in theirs.items()}}
            for policy, rank in answers.items()]


# --- all of it -------------------------------------------------------------------------------------------------------
def measure(data: Path, reads: int, few: int, brute_reads: int) -> dict[str, Any]:
    """All four tables."""
    record: dict[str, Any] = {"oracle": [], "truth": [], "reliability": [], "pairs": []}
    for name, file in LISTS.items():
        path = data / "barcode-lists-factored" / f"{file}.blocks.tsv.gz"
        listed = read_whitelist(path)
        record["oracle"] += beside_oracle(name, listed, oracle.Factored(path), few, brute_reads)
        print(record["oracle"][-3:], file=sys.stderr, flush=True)
        if name not in ("v2", "v3"):
            continue
        rows, reliability, answers, made = beside_truth(name, listed, reads)
        record["truth"] += rows
        record["reliability"] += reliability
        with tempfile.TemporaryDirectory(prefix="sclineage-agreement-") as work:
            record["pairs"] += beside_peers(name, listed, answers, made, Path(work))
        print(record["pairs"][-3:], file=sys.stderr, flush=True)
    codes = np.unique(np.random.default_rng(3).integers(0, 4**16, 700_000).astype(np.uint64))
    words = [w.tobytes().decode() for w in decode(codes, 16)]
    record["oracle"] += beside_oracle("random", whitelist(codes, 16), oracle.listing(words), few, brute_reads)
    return record


def _table(rows: Sequence[Row]) -> str:
    def shown(value: object) -> str:
        return f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)

    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([shown(r.get(k, "")) for k in head] for r in rows)]
    return "\n".join("| " + " | ".join(line).replace("_", " ") + " |" for line in lines)


def markdown(record: dict[str, Any]) -> str:
    """The page."""
    return "\n".join([
        "# Barcode policies on real lists", "",
        "Counts of reads, no times. The reads are simulated with more errors than their qualities say, one in a",
        "hundred from no barcode; `random`: 700,000 random barcodes, by the hash tables. Research use only.", "",
        "## Beside the oracle", "", "`differ`: reads with another barcode, state, posterior or changed position. Under "
        "`calibrated` the oracle goes through the", "whole list for each read.", "", _table(record["oracle"]), "",
        "## Beside the truth", "", _table(record["truth"]), "", "## Is the posterior true?", "",
        "Reads not on the list with a candidate, by the posterior of the best one: what it said and what was right.",
        "", _table(record["reliability"]), "", "## Beside each other and the peers: reads with another answer", "",
        _table(record["pairs"]), "", *(f"- {k}: {v}" for k, v in record["not_measured"].items())]).rstrip() + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--reads", type=int, default=1_000_000, help="beside the truth and the peers")
    parser.add_argument("--few", type=int, default=50_000, help="beside the oracle")
    parser.add_argument("--brute", type=int, default=200, help="beside the oracle, under calibrated")
    parser.add_argument("--data", type=Path, default=os.environ.get("SCLINEAGE_DATA"))
    parser.add_argument("--out", type=Path, default=_runner.RESULTS)
    given = parser.parse_args(arguments)
    if given.data is None:
        parser.error("give --data, or set SCLINEAGE_DATA")
    record = measure(given.data, given.reads, given.few, given.brute)
    absent = {k: v for k, v in peers.missing().items() if k in ("STARsolo", "bustools")}
    record |= {"machine": _runner.machine(), "not_measured": absent}
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "reads_agreement.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (given.out / "reads_agreement.md").write_text(markdown(record), encoding="utf-8")
    print(markdown(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
