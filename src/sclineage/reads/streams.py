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

import numpy as np

from .._errors import InputError

GZIP_MAGIC = b"\x1f\x8b"
_DAMAGE = "copy or download it again"
BLOCK, _AHEAD = 1 << 22, 4  # bytes of a block, and how many are inflated ahead
HEAD, TAIL = 1 << 17, 64  # bytes in front of a block for the rest of the one before, and behind it


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
def open_bytes(path: str | os.PathLike[str]) -> Iterator[ByteStream]:
    """Open a file for reading.

    Raises
    ------
    InputError
        Absent, a folder, empty, or (while reading) truncated or damaged.
    """
    path = require(path)
    with path.open("rb") as peek:
        compressed = peek.read(2) == GZIP_MAGIC
    handle = _open(path, compressed=compressed)
    try:
        yield ByteStream(path, handle, compressed=compressed)
    finally:
        handle.close()


def _open(path: Path, *, compressed: bool) -> BinaryIO | Any:
    if not compressed:
        return path.open("rb", buffering=0)
    from isal import igzip

    return igzip.open(path, "rb")


@contextmanager
def open_blocks(path: str | os.PathLike[str], *, size: int = BLOCK) -> Iterator[Blocks]:
    """Open a file to be read in blocks of `size` bytes; a compressed one is inflated in a thread of its own."""
    with open_bytes(path) as stream:
        blocks = Blocks(stream, size)
        try:
            yield blocks
        finally:
            blocks.stop()


class Blocks:
    """Text of a file, block by block. Where it is compressed a thread inflates up to `_AHEAD` blocks ahead.

    No byte is copied but the rest of a block, which goes in front of the next one.

    Attributes
    ----------
    path
        The file.
    """

    def __init__(self, stream: ByteStream, size: int) -> None:
        self.path = stream.path
        self._stream, self._size = stream, size
        self._free: Queue[np.ndarray | None] = Queue()
        self._full: Queue[tuple[np.ndarray, int] | BaseException] = Queue()
        for _ in range(_AHEAD if stream.compressed else 2):
            self._free.put(np.empty(HEAD + size + TAIL, np.uint8))
        self._held: np.ndarray | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="inflate", daemon=True) if stream.compressed else None
        if self._thread:
            self._thread.start()

    def following(self, rest: np.ndarray) -> tuple[np.ndarray, int, int]:
        """Next block with `rest` in front of it: buffer, where the text begins, where it ends.

        Parameters
        ----------
        rest
            uint8: what is left of the block before, at most `HEAD` bytes; that block must not be used any more.

        Returns
        -------
        A buffer with at least `TAIL` bytes behind the text; the text is `rest` alone where the file has ended.
        """
        block, got = self._next()
        first = HEAD - rest.size
        block[first:HEAD] = rest
        if self._held is not None:
            self._free.put(self._held)
        self._held = block
        return block, first, HEAD + got

    def _next(self) -> tuple[np.ndarray, int]:
        if self._ended:
            return np.empty(HEAD + TAIL, np.uint8), 0
        found = self._full.get() if self._thread else self._fill(self._free.get())
        if isinstance(found, BaseException):
            self._ended = True
            raise found
        self._ended = found[1] == 0
        return found

    def _fill(self, block: np.ndarray | None) -> tuple[np.ndarray, int]:
        assert block is not None
        return block, self._stream.readinto(block.data[HEAD : HEAD + self._size])

    def _work(self) -> None:
        try:
            while (block := self._free.get()) is not None:
                found = self._fill(block)
                self._full.put(found)
                if not found[1]:
                    return
        except BaseException as error:  # noqa: BLE001 (raised again in the reader's thread)
            self._full.put(error)

    def stop(self) -> None:
        """Stop the thread."""
        if self._thread:
            self._free.put(None)
            self._thread.join()
        self._ended = True
