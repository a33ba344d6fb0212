"""The whole path on the CPU and on a CUDA device: seconds per step, peak memory, and whether the tables agree.

    python -m benchmarks.pipeline [--devices cpu cuda] [--scenario index_case] [--seed 0] [--runs 2]

Each device runs the same simulated patient in a process of its own; the first run there is cold (compilation or its
cache included), the later ones warm. Tables agree when every word and whole number is the same and every fraction is
within 1e-6. A device that is not there is left out and named.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._runner import RESULTS, machine

TOLERANCE = 1e-6


def child(folder: Path, device: str, runs: int) -> None:
    """Run the patient several times on one device; one line of JSON with the seconds of each step."""
    import sclineage as sl
    from sclineage.demo import _arguments, _config, compare

    arguments, records = _arguments(folder / "input"), []
    for i in range(runs):
        out = folder / f"{device}-{i}"
        sl.run(folder / "input" / "sheet.csv", out, car=arguments.get("car"),
               virus=arguments.get("virus", "").split(), config=_config(folder), device=device)  # type: ignore[arg-type]
        record = json.loads((out / "run.json").read_text(encoding="utf-8"))
        records.append({"seconds": record["seconds"], "peak_mb": record["peak_memory_mb"]})
    answers = compare(folder / "input" / "truth" / "expected.csv", out)
    print(json.dumps({"runs": records, "right": sum(bool(a["right"]) for a in answers), "answers": len(answers)}))


def differences(one: Path, two: Path) -> list[str]:
    """Columns of the output tables that disagree."""
    from sclineage._tables import FILES

    out = []
    for name in FILES:
        a, b = (pd.read_csv(folder / name, low_memory=False) for folder in (one, two))
        if a.shape != b.shape:
            out.append(f"{name}: {len(a)} and {len(b)} rows")
            continue
        for column in a.columns:
            if pd.api.types.is_float_dtype(a[column]):
                same = np.allclose(a[column], b[column], rtol=0, atol=TOLERANCE, equal_nan=True)
            else:
                same = a[column].equals(b[column])
            if not same:
                out.append(f"{name}: {column}")
    return out


def measure(scenario: str, seed: int, devices: list[str], runs: int) -> dict[str, Any]:
    """Simulate, run on every device, compare with the first."""
    from sclineage import _backend
    from sclineage.simulate.api import simulate

    present = [d for d in devices if d != "cuda" or _backend.cuda_available()]
    record: dict[str, Any] = {"scenario": scenario, "seed": seed, "machine": machine(), "devices": {},
                              "not_measured": sorted(set(devices) - set(present)), "differences": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(scenario, seed=seed, out=folder / "input")
        for device in present:
            done = subprocess.run([sys.executable, "-W", "ignore", "-m", "benchmarks.pipeline", "--child", device,
                                   str(folder), "--runs", str(runs)], capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{device} failed:\n{done.stderr[-3000:]}")
            record["devices"][device] = json.loads(done.stdout.strip().splitlines()[-1])
        for device in present[1:]:
            record["differences"][device] = differences(folder / f"{present[0]}-0", folder / f"{device}-0")
    return record


def table(record: dict[str, Any]) -> str:
    """Markdown of a record."""
    facts = record["machine"]
    columns = [(device, i, run) for device, found in record["devices"].items() for i, run in enumerate(found["runs"])]
    head = [f"{device}, {'cold' if i == 0 else 'warm'}" for device, i, _ in columns]
    lines = [f"# The whole path: `{record['scenario']}`, seed {record['seed']}", "",
             f"{facts['cpu']}, {facts['cores']} cores; CUDA device: {facts['versions']['cuda_device']}; sclineage "
             f"{facts['versions']['sclineage']}, Python {facts['versions']['python']}. Seconds. Research use only.", "",
             "| step | " + " | ".join(head) + " |", "| --- |" + " --- |" * len(head)]
    for step in columns[0][2]["seconds"]:
        lines.append(f"| {step} | " + " | ".join(f"{run['seconds'][step]:.2f}" for _, _, run in columns) + " |")
    lines.append("| all | " + " | ".join(f"{sum(run['seconds'].values()):.2f}" for _, _, run in columns) + " |")
    lines.append("| peak MB | " + " | ".join(str(run["peak_mb"]) for _, _, run in columns) + " |")
    lines.append("")
    lines += [f"- {device}: {found['right']} of {found['answers']} answers equal the truth."
              for device, found in record["devices"].items()]
    lines += [f"- {device} against {next(iter(record['devices']))}: "
              f"{'all tables agree' if not found else 'these columns differ: ' + ', '.join(found)}."
              for device, found in record["differences"].items()]
    lines += [f"- {device}: not measured, no such device here." for device in record["not_measured"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--devices", nargs="+", default=["cpu", "cuda"])
    parser.add_argument("--scenario", default="index_case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(Path(given.child[1]), given.child[0], given.runs)
        return
    record = measure(given.scenario, given.seed, given.devices, given.runs)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "pipeline.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (given.out / "pipeline.md").write_text(table(record), encoding="utf-8")
    print(table(record))


if __name__ == "__main__":
    main()
