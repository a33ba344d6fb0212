"""Where the report comes from: input files, parameters, versions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from . import format as f
from .tables import Cell, Table
from .view import View

# these change from run to run, or from machine to machine, without changing a result
_LEFT_OUT = {"seconds", "threads", "out", "resume", "debug", "peak_memory_mb", "say"}


def inputs(view: View) -> Table | None:
    """Input files with size and sha256, their paths below the common folder: where the data lie does not matter."""
    records = _inputs(view.run.get("inputs"))
    if not records:
        return None
    start = _common([str(r["file"]) for r in records])
    rows = [[Cell(str(r["file"])[start:]), Cell(f.count(r.get("bytes")), "", "num"),
             Cell(str(r.get("sha256", ""))[:12], str(r.get("sha256", "")), "hash")] for r in records]
    return Table("Input files", ["File", "Bytes", "sha256"], rows)


def _inputs(value: Any) -> list[dict[str, Any]]:
    frame = pd.DataFrame(value if value is not None else [])
    if frame.empty or "file" not in frame:
        return []
    return [{str(k): v for k, v in r.items()} for r in frame.sort_values("file", kind="stable").to_dict("records")]


def _common(files: list[str]) -> int:
    folders = {os.path.dirname(name) for name in files}  # noqa: PTH120 - text, not a place on this machine
    try:
        shared = os.path.commonpath(sorted(folders))
    except ValueError:
        return 0
    return len(shared) + 1 if shared and shared != "/" else len(shared)


def settings(view: View) -> Table | None:
    """Parameters of the run and of its stages, flat."""
    flat = dict(_flat(view.run.get("parameters", {}))) | dict(_flat(view.params))
    for key in ("seed", "device"):
        if f.known(view.run.get(key)):
            flat[key] = str(view.run[key])
    rows = [[Cell(k), Cell(v)] for k, v in sorted(flat.items())]
    return Table("Parameters", ["Parameter", "Value"], rows) if rows else None


def versions(view: View) -> Table | None:
    """Versions of the software."""
    found = view.run.get("versions", {})
    rows = [[Cell(str(k)), Cell(str(v))] for k, v in sorted(found.items())] if isinstance(found, Mapping) else []
    return Table("Versions", ["Software", "Version"], rows) if rows else None


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            if str(key) not in _LEFT_OUT:
                yield from _flat(value[key], f"{prefix}.{key}" if prefix else str(key))
        return
    items = list(value) if isinstance(value, list | tuple | np.ndarray) and np.ndim(value) else [value]
    shown = [_name(v) for v in items[:8] if f.known(v)]
    if shown:
        yield prefix, ", ".join(shown) + (f", ... ({len(items)} in all)" if len(items) > 8 else "")


def _name(value: Any) -> str:
    """Value as text; of a path only the name, since folders differ between machines."""
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return PurePath(shown).name if shown.startswith("/") else shown
