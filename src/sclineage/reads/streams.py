"""Byte streams of plain or gzip-compressed files, told apart by content; damage becomes one clear error."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .._errors import InputError

GZIP_MAGIC = b"\x1f\x8b"
_DAMAGE = "copy or download it again"


class ByteStream:
    """Reads a file's bytes, inflated where they are compressed.

    Attributes
    ----------
    path
        The file.
    compressed
        Whether it is gzip (concatenated members are read one after another).
    """

    def __init__(self, path: Path, handle: Any, *, compressed: bool) -> None:
        self.path, self.compressed = path, compressed
        self._handle = handle

    def readinto(self, target: memoryview) -> int:
        """Fill `target` as far as the file goes; returns the bytes written (fewer only at the end)."""
        done = 0
        while done < len(target):
            try:
                got = self._handle.readinto(target[done:])
            except EOFError:
                raise InputError(self.path, "the gzip stream ends too early (the file is truncated)", _DAMAGE) from None
            except (OSError, zlib.error) as error:
                raise InputError(self.path, f"cannot be read ({error})", _DAMAGE) from None
            if not got:
                break
            done += got
        return done


def require(path: str | os.PathLike[str]) -> Path:
    """Return the path of an existing file that is not empty.

    Raises
    ------
    InputError
        Absent, a folder, or empty.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(path, "the file does not exist", "correct the path")
    if path.is_dir():
        raise InputError(path, "found a folder", "give the path of a file")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(path, "the file is empty (0 bytes)", _DAMAGE)
    return path


@contextmanager
def open_bytes(path: str | os.PathLike[str], *, ahead: bool = False) -> Iterator[ByteStream]:
    """Open a file for reading.

    Parameters
    ----------
    ahead
        Inflate in a thread of its own, a few blocks ahead of the reader.

    Raises
    ------
    InputError
        Absent, a folder, empty, or (while reading) truncated or damaged.
    """
    path = require(path)
    with path.open("rb") as peek:
        compressed = peek.read(2) == GZIP_MAGIC
    handle = _open(path, compressed=compressed, ahead=ahead)
    try:
        yield ByteStream(path, handle, compressed=compressed)
    finally:
        handle.close()


def _open(path: Path, *, compressed: bool, ahead: bool) -> BinaryIO | Any:
    if not compressed:
        return path.open("rb", buffering=0)
    if ahead:
        from isal import igzip_threaded

        return igzip_threaded.open(path, "rb", threads=1)
    from isal import igzip

    return igzip.open(path, "rb")
