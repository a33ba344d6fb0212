"""Clone assignment: ``mode="scirpy"`` beside scirpy at equal partitions; posterior mode up to 1e6 cells; first calls.

    python -m benchmarks._runner clones.assign --repeats 1         side by side, equal partitions first
    python -m benchmarks.clones.assign [--tiny] [--out DIR]        posterior mode, memory, first calls; own processes

Receptors are simulated (`sclineage.simulate.repertoire`, the rates of an ordinary library). Side by side, clocks start
with the AnnData in hand, chains as an AIRR array, and stop when every cell's clonotype stands in `obs`: scirpy's four
calls (`index_chains`, `chain_qc`, `ir_dist`, `define_clonotypes`) against one of ours. Neither has read anything
before; ours ranks the chains and tells receptor types apart itself, as scirpy's first two calls do. Beyond the
partition scirpy leaves its distances and clonotype sizes, ours a table with genes and junctions of every clonotype
and its sizes (about four tenths of our time): neither is taken off.

Posterior mode: from the chain table of one patient (which `chain_table` makes of the records; its seconds are listed
apart) to clones, ids and tables. First calls: a fresh process, from the call to its result, with the compiled code in
Numba's cache and with an empty cache; imports are listed apart.

Bytes per receptor beside input and output: a receptor is a chain, a row of the chain table. What the process held
(resident memory) before the call, input included, is subtracted from its peak during the call, and so is the output:
the columns of the tables that the call returns (8 bytes for each text, number of cells and posterior, 1 for a truth
value) and, each once, the texts that the call made (ids, aliases, joined alpha chains); texts of the input that a
table points to are not counted again. Compiled code is loaded before, by a call on 300 cells.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._runner import Case, Contender, machine, options, publish
from benchmarks.clones.neighbors import _held
from benchmarks.clones.quality import _airr
from sclineage.clones.api import clones
from sclineage.clones.normalise import chain_table
from sclineage.clones.patient import patient_clones
from sclineage.simulate.repertoire import Rates, Repertoire, simulate_repertoire

NAME = "clones.assign_posterior"
MODES = (("all", "any"), ("VDJ", "primary_only"))
SIZES, TINY_SIZES = (10_000, 100_000, 1_000_000), (300, 1000)
FIRST_CALLS = {
    "posterior mode, 100 cells": "from benchmarks.clones.assign import small; import sclineage.clones.patient as m; "
                                 "made = small(); call = lambda: m.patient_clones(*made[0], **made[1])",
    "neighbour list, 5,000 CDR3": "from benchmarks.clones.repertoire import unique_cdr3; import sclineage as sl; "
                                  "s = unique_cdr3(5000); find = sl.tl.receptor_neighbors; call = lambda: find(s, "
                                  "metric='levenshtein', cutoff=1, device='cpu')"}


@cache
def _repertoire(n: int) -> Repertoire:
    return simulate_repertoire(n, seed=1, rates=Rates())


# --- side by side -----------------------------------------------------------------------------------------------------
def _ours(arms: str, dual: str) -> Callable[[Any], np.ndarray]:
    def run(data: Any) -> np.ndarray:
        clones(data, mode="scirpy", receptor_arms=arms, dual_ir=dual)
        return np.asarray(data.obs["clone_id"], dtype=object)

    return run


def _scirpy(arms: str, dual: str) -> Callable[[Any], np.ndarray]:
    def run(data: Any) -> np.ndarray:
        import scirpy as ir

        data.uns.pop("ir_dist_nt_identity", None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ir.pp.index_chains(data)
            ir.tl.chain_qc(data)
            ir.pp.ir_dist(data, metric="identity", sequence="nt")
            ir.tl.define_clonotypes(data, receptor_arms=arms, dual_ir=dual)
        labels = data.obs["clone_id"].astype(object)
        return np.asarray(labels.where(labels.notna(), ""), dtype=object)

    return run


def _partition(labels: np.ndarray) -> Mapping[str, np.ndarray]:
    """Every cell's first fellow; -1 without a clonotype."""
    codes, unique = pd.factorize(labels)
    _, first = np.unique(codes, return_index=True)
    return {"first": np.where(labels == "", -1, first[codes])} if len(unique) else {"first": codes}


def cases(*, tiny: bool) -> list[Case]:
    """The comparison with scirpy."""
    n = 1000 if tiny else 100_000
    return [Case(f"scirpy's partition, {arms} / {dual}, {n:,} T cells", "cells", n, lambda: _airr(_repertoire(n)),
                 [Contender("sclineage", _ours(arms, dual)),
                  Contender("scirpy", _scirpy(arms, dual), warm=1,
                            missing=lambda: None if importlib.util.find_spec("scirpy") else "scirpy is not installed")],
                 _partition) for arms, dual in MODES]


# --- posterior mode ---------------------------------------------------------------------------------------------------
def _of(found: Repertoire) -> tuple[tuple[pd.DataFrame], dict[str, Any]]:
    return (chain_table(found.records),), {"patient": "P", "sample": found.truth["sample"].to_numpy(), "n_samples": 1}


def small() -> tuple[tuple[pd.DataFrame], dict[str, Any]]:
    """Arguments of `patient_clones` for a first call."""
    return _of(_repertoire(100))


def _bytes(result: Any, table: pd.DataFrame) -> tuple[int, int]:
    """Bytes of the columns of a result, and of the texts in them that are not those of the chain table."""
    frames = [getattr(result, field.name) for field in fields(result)]
    given = {id(text) for name in table.select_dtypes("category") for text in table[name].cat.categories}
    made = {id(text): sys.getsizeof(text) for frame in frames for name in frame.select_dtypes("object")
            for text in frame[name] if id(text) not in given}
    return int(sum(frame.memory_usage(deep=False).sum() for frame in frames)), sum(made.values())


def _give_back() -> None:
    """Free memory goes back to the system, so that what the call takes shows as growth of the process."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def size_of_one(n: int) -> dict[str, float]:
    """Seconds and memory of the posterior mode, once; the code is loaded before anything is measured."""
    args, named = _of(_repertoire(300))
    patient_clones(*args, **named)
    found = _repertoire(n)
    _repertoire.cache_clear()
    start = time.perf_counter()
    args, named = _of(found)
    reading = time.perf_counter() - start
    del found
    _give_back()
    Path("/proc/self/clear_refs").write_text("5")
    before, start, cpu = _held("VmRSS"), time.perf_counter(), time.process_time()
    result = patient_clones(*args, **named)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak, chains = _held("VmHWM"), len(args[0])
    columns, texts = _bytes(result, args[0])
    return {"n": n, "droplets": named["sample"].size, "chains": chains, "seconds": seconds, "cpu_seconds": cpu,
            "table_seconds": reading, "clones": len(result.receptors), "peak_bytes": peak, "before_bytes": before,
            "output_columns_bytes": columns, "output_texts_bytes": texts,
            "bytes_per_chain": (peak - before - columns - texts) / chains}


def _in_own_process(n: int) -> dict[str, float]:
    return dict(_python(["-m", "benchmarks.clones.assign", "--one", str(n)], os.environ))


def _python(arguments: list[str], environment: Mapping[str, str]) -> Any:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False,
                          cwd=Path(__file__).parents[2], env=dict(environment))
    if done.returncode:
        raise RuntimeError(f"{arguments}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def first_calls(*, tiny: bool) -> list[dict[str, Any]]:
    """Seconds of the first call in a fresh process, with a full and (unless tiny) with an empty cache."""
    rows = []
    for name, setup in FIRST_CALLS.items():
        code = (f"import json, time; t = time.perf_counter(); {setup}; u, c = time.perf_counter(), "
                "time.process_time(); call(); "
                "print(json.dumps([u - t, time.perf_counter() - u, time.process_time() - c]))")
        _python(["-c", code], os.environ)
        imports, cached, cpu = _python(["-c", code], os.environ)
        with tempfile.TemporaryDirectory() as folder:
            empty = None if tiny else _python(["-c", code], os.environ | {"NUMBA_CACHE_DIR": folder})[1]
        rows.append({"call": name, "imports_and_inputs_s": imports, "cached_s": cached, "cached_cpu_s": cpu,
                     "empty_cache_s": empty})
    return rows


def table(record: Mapping[str, Any]) -> str:
    """Markdown of a record."""
    facts = record["machine"]
    lines = [f"# {NAME}", "", f"{facts['cpu']}, {facts['cores']} cores; load at the start {facts['load']:.1f}; one "
             "call in a process per row, code compiled and loaded before.", ""]
    lines += ["**Tiny inputs: the times mean nothing.**", ""] if record["tiny"] else []
    lines += ["## Posterior mode, one patient", "",
              "| T cells | droplets | chains | clones | seconds | CPU seconds | chain table before, s | peak MB | "
              "output, bytes per chain | bytes per chain beside input and output |",
              "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    lines += [f"| {r['n']:,} | {r['droplets']:,} | {r['chains']:,} | {r['clones']:,} | {r['seconds']:.3g} | "
              f"{r['cpu_seconds']:.3g} | {r['table_seconds']:.3g} | {r['peak_bytes'] / 1e6:.0f} | "
              f"{(r['output_columns_bytes'] + r['output_texts_bytes']) / r['chains']:.0f} | "
              f"{r['bytes_per_chain']:.0f} |" for r in record["rows"]]
    lines += ["", "## First call of a process", "", "| call | seconds, code in the cache | CPU seconds | "
              "seconds, empty cache | imports and inputs before |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {r['call']} | {r['cached_s']:.3g} | {r['cached_cpu_s']:.3g} | "
              f"{'not measured' if r['empty_cache_s'] is None else format(r['empty_cache_s'], '.3g')} | "
              f"{r['imports_and_inputs_s']:.3g} |" for r in record["first_calls"]]
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the posterior mode and first calls, print the table, write it."""
    parser = options(__doc__)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        print(json.dumps(size_of_one(given.one)))
        return 0
    record = {"benchmark": NAME, "tiny": given.tiny, "machine": machine(),
              "rows": [_in_own_process(n) for n in (TINY_SIZES if given.tiny else SIZES)],
              "first_calls": first_calls(tiny=given.tiny)}
    publish(record, table(record), given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
