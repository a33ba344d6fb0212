"""Neighbour lists: ours, scirpy, symscan and tcrdist_rs side by side; growth from 1e4 to 1e6; memory per receptor.

    python -m benchmarks._runner clones.neighbors --repeats 1      side by side, equal outputs first
    python -m benchmarks.clones.neighbors [--tiny] [--out DIR]     growth and memory, each size in a process of its own

Sequences are random TRB CDR3 (`repertoire.unique_cdr3`), all different, one in a hundred a planted neighbour. Clocks
start with the list of strings in hand and stop with the pairs in whatever form the contender returns them (arrays; of
tcrdist_rs a list, of scirpy a sparse matrix): what brings these to one form is not timed. Growth: the exponent b of
time = a n^b + c pairs, beside the plain exponents of time and of pairs. Memory: the peak above what the process held
before the call, less the output, per receptor.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from benchmarks._runner import Case, Contender, machine, options, publish
from benchmarks.clones.repertoire import unique_cdr3
from sclineage.clones.neighbors import MetricName, receptor_neighbors

NAME = "clones.neighbors_growth"
TASKS: tuple[tuple[MetricName, int], ...] = (
    ("hamming", 1), ("hamming", 2), ("levenshtein", 1), ("levenshtein", 2), ("tcrdist_scirpy", 15), ("tcrdist3", 15))
SIZES, TINY_SIZES = (10_000, 31_623, 100_000, 316_228, 1_000_000), (1000, 3000, 10_000)
REPEATS = 3
FAST_CALLS = 9  # warm calls of contenders that take less than a second or so


@cache
def _sequences(n: int) -> list[str]:
    return unique_cdr3(n, seed=1)


# --- contenders -------------------------------------------------------------------------------------------------------
def _ours(metric: MetricName, cutoff: int, device: Any) -> Callable[[list[str]], Any]:
    return lambda sequences: receptor_neighbors(sequences, metric=metric, cutoff=cutoff, device=device)


def _symscan(metric: str, cutoff: int) -> Callable[[list[str]], Any]:
    def run(sequences: list[str]) -> Any:
        import symscan

        return symscan.get_neighbors_within(sequences, max_distance=cutoff, distance_type=metric)

    return run


def _scirpy(metric: str, cutoff: int) -> Callable[[list[str]], Any]:
    def run(sequences: list[str]) -> Any:
        from scirpy.ir_dist import metrics

        name = {"hamming": "Hamming", "levenshtein": "Levenshtein", "tcrdist_scirpy": "TCRdist"}[metric]
        return getattr(metrics, f"{name}DistanceCalculator")(cutoff=cutoff).calc_dist_mat(np.array(sequences))

    return run


def _tcrdist_rs(metric: str, cutoff: int) -> Callable[[list[str]], Any]:
    def run(sequences: list[str]) -> Any:
        import tcrdist_rs

        fixed = metric == "tcrdist_scirpy"
        return tcrdist_rs.tcrdist_neighbor_matrix(sequences, cutoff, dist_weight=3, gap_penalty=4 if fixed else 12,
                                                  ntrim=3, ctrim=2, fixed_gappos=fixed, parallel=True)

    return run


def _missing(package: str) -> Callable[[], str | None]:
    return lambda: None if importlib.util.find_spec(package) else f"{package} is not installed"


def _pairs(result: Any) -> Mapping[str, np.ndarray]:
    """The same sorted (i, j, d) from every contender's own form."""
    if isinstance(result, tuple):
        i, j, d = (np.asarray(part, dtype=np.int64) for part in result)
    elif isinstance(result, list):
        i, j, d = np.array(result, dtype=np.int64).reshape(-1, 3).T
    else:
        matrix = result.tocoo()
        i, j, d = (np.asarray(part, dtype=np.int64) for part in (matrix.row, matrix.col, matrix.data - 1))
    low, high = np.minimum(i, j), np.maximum(i, j)
    kept = low < high
    table = np.unique(np.stack([low, high, d])[:, kept], axis=1)
    return {"i": table[0], "j": table[1], "d": table[2]}


def _case(metric: MetricName, cutoff: int, n: int, peers: Sequence[str]) -> Case:
    makers = {"scirpy": _scirpy, "symscan": _symscan, "tcrdist_rs": _tcrdist_rs}
    contenders = [Contender("sclineage numba", _ours(metric, cutoff, "cpu"), warm=FAST_CALLS)]
    fast = {"symscan"}
    contenders += [Contender(peer, makers[peer](metric, cutoff), missing=_missing(peer), tried=peer in fast,
                             warm=FAST_CALLS if peer in fast else 1) for peer in peers]
    contenders.append(Contender("sclineage cuda", _ours(metric, cutoff, "cuda"), device="cuda"))
    return Case(f"{metric} <= {cutoff}, {n:,} TRB CDR3", "receptors", n, lambda: _sequences(n), contenders, _pairs)


def cases(*, tiny: bool) -> list[Case]:
    """The comparisons of the issue; scirpy's Levenshtein at a size it can do."""
    shrink = 100 if tiny else 1
    return [_case("hamming", 1, 100_000 // shrink, ["scirpy", "symscan"]),
            _case("hamming", 2, 100_000 // shrink, ["symscan"]),
            _case("levenshtein", 1, 3000 // shrink, ["scirpy", "symscan"]),
            _case("levenshtein", 1, 100_000 // shrink, ["symscan"]),
            _case("levenshtein", 2, 100_000 // shrink, ["symscan"]),
            _case("tcrdist_scirpy", 15, 30_000 // shrink, ["scirpy", "tcrdist_rs"]),
            _case("tcrdist3", 15, 30_000 // shrink, ["tcrdist_rs"])]


# --- growth and memory ------------------------------------------------------------------------------------------------
def _held(field: str) -> int:
    """Bytes from /proc/self/status: VmRSS now, VmHWM the peak since it was last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def size_of_one(metric: MetricName, cutoff: int, n: int) -> dict[str, float]:
    """Seconds, pairs and memory of one search; the code is loaded, from its cache, before anything is measured."""
    receptor_neighbors(_sequences(20_000)[:5000], metric=metric, cutoff=cutoff, device="cpu")
    sequences = _sequences(n)
    Path("/proc/self/clear_refs").write_text("5")
    before, seconds, output, pairs = _held("VmRSS"), [], 0, 0
    for _ in range(REPEATS):
        start = time.perf_counter()
        found = receptor_neighbors(sequences, metric=metric, cutoff=cutoff, device="cpu")
        seconds.append(time.perf_counter() - start)
        output, pairs = sum(part.nbytes for part in found), found[0].size
        del found
    extra = _held("VmHWM") - before
    return {"n": n, "seconds": min(seconds), "pairs": pairs, "extra_bytes": extra, "output_bytes": output,
            "bytes_per_receptor": (extra - output) / n, "peak_bytes": _held("VmHWM")}


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Exponent of a power law through the points, least squares in logarithms; NaN with a zero."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0]) if min(y) > 0 else math.nan


def growth_exponent(n: np.ndarray, pairs: np.ndarray, seconds: np.ndarray) -> float:
    """The b of seconds = a n^b + c pairs, a and c not negative, with the least relative error."""
    def error(b: float) -> float:
        return float(nnls(np.stack([n**b, pairs], axis=1) / seconds[:, None], np.ones(n.size))[1])

    return float(min(np.arange(0.5, 2.5, 0.01), key=error))


def _in_own_process(metric: str, cutoff: int, n: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.clones.neighbors", "--one", metric, str(cutoff), str(n)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    if done.returncode:
        raise RuntimeError(f"{metric} <= {cutoff}, {n}:\n{done.stderr[-3000:]}")
    record: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return record


def growth(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Every task at every size, with the exponents."""
    results = []
    for metric, cutoff in TASKS:
        rows = [_in_own_process(metric, cutoff, n) for n in sizes]
        n, pairs, seconds = (np.array([row[key] for row in rows], dtype=float) for key in ("n", "pairs", "seconds"))
        results.append({"task": f"{metric} <= {cutoff}", "rows": rows, "exponent_time": slope(n, seconds),
                        "exponent_pairs": slope(n, pairs),
                        "exponent_without_pairs": growth_exponent(n, pairs, seconds)})
    return results


def table(record: Mapping[str, Any]) -> str:
    """Markdown of a record."""
    facts = record["machine"]
    lines = [f"# {NAME}", "", f"{facts['cpu']}, {facts['cores']} cores; load at the start {facts['load']:.1f}; best of "
             f"{REPEATS} in one process per row, code compiled and loaded before.", ""]
    lines += ["**Tiny inputs: the times mean nothing.**", ""] if record["tiny"] else []
    for result in record["results"]:
        lines += [f"## {result['task']}", "", f"time ~ n^{result['exponent_time']:.2f}, pairs ~ "
                  f"n^{result['exponent_pairs']:.2f}, time apart from the pairs ~ "
                  f"n^{result['exponent_without_pairs']:.2f}", "",
                  "| receptors | seconds | pairs | process peak MB | bytes per receptor beside input and output |",
                  "| --- | --- | --- | --- | --- |"]
        lines += [f"| {row['n']:,} | {row['seconds']:.4g} | {row['pairs']:,} | {row['peak_bytes'] / 1e6:.0f} | "
                  f"{row['bytes_per_receptor']:.0f} |" for row in result["rows"]]
        lines.append("")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure growth and memory, print the table, write it."""
    parser = options(__doc__)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        print(json.dumps(size_of_one(given.one[0], int(given.one[1]), int(given.one[2]))))
        return 0
    record = {"benchmark": NAME, "tiny": given.tiny, "machine": machine(),
              "results": growth(TINY_SIZES if given.tiny else SIZES)}
    publish(record, table(record), given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
