"""Where a result came from: inputs with sha256, parameters, seed, versions, device, seconds per step."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from . import _backend

PACKAGES = ("sclineage", "numpy", "scipy", "pandas", "numba", "anndata", "mudata", "muon", "scanpy", "scirpy",
            "scikit-learn", "h5py", "igraph", "awkward")


def sha256(path: str | os.PathLike[str]) -> str:
    """Hex sha256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python, the packages that touch the result, and the device."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found | _backend.describe()


def inputs(paths: Iterable[str | os.PathLike[str]]) -> list[dict[str, object]]:
    """Name, size and sha256 of each input file (folders: of every file in them), sorted by path."""
    files: set[Path] = set()
    for path in map(Path, paths):
        files.update(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else files.add(path)
    return [{"file": str(p), "bytes": p.stat().st_size, "sha256": sha256(p)} for p in sorted(files)]


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place only when the block ends without an error."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(target.suffixes[-2:])
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=f".part{suffix}", dir=target.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def write_json(record: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a JSON file whole, keys in the order given."""
    with whole(path) as part:
        part.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
