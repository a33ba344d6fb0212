"""Byte streams of plain or gzip-compressed files, told apart by content; damage becomes one clear error."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any, BinaryIO

from .._errors import InputError

GZIP_MAGIC = b"\x1f\x8b"
_DAMAGE = "copy or download it again"
_BLOCKS, _BLOCK = 4, 1 << 20  # blocks inflated ahead, and their bytes


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
    if not path.is_file():
        raise InputError(path, "found a pipe or device", "give a file: it is looked at before it is read")
    if path.stat().st_size == 0:
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
    from isal import igzip

    handle = igzip.open(path, "rb")
    return Ahead(handle) if ahead else handle


class Ahead:
    """Reads a handle in a thread of its own, up to `_BLOCKS` blocks ahead; no byte is copied but into the target."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._free: Queue[bytearray | None] = Queue()
        self._full: Queue[tuple[bytearray, int] | BaseException] = Queue()
        for _ in range(_BLOCKS):
            self._free.put(bytearray(_BLOCK))
        self._block, self._at, self._size, self._ended = bytearray(), 0, 0, False
        self._thread = threading.Thread(target=self._work, name="inflate", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            while (block := self._free.get()) is not None:
                got = self._handle.readinto(block)
                self._full.put((block, got))
                if not got:
                    return
        except BaseException as error:  # noqa: BLE001 (raised again in the reader's thread)
            self._full.put(error)

    def readinto(self, target: memoryview) -> int:
        """Copy what is at hand into `target`, at most a block; 0 at the end."""
        if self._at == self._size and not self._next():
            return 0
        n = min(len(target), self._size - self._at)
        target[:n] = memoryview(self._block)[self._at : self._at + n]
        self._at += n
        return n

    def _next(self) -> bool:
        if self._ended:
            return False
        if self._block:
            self._free.put(self._block)
        found = self._full.get()
        if isinstance(found, BaseException):
            self._ended = True
            raise found
        self._block, self._size = found
        self._at, self._ended = 0, self._size == 0
        return not self._ended

    def close(self) -> None:
        """Stop the thread and close the handle."""
        self._free.put(None)
        self._thread.join()
        self._ended = True
        self._handle.close()
