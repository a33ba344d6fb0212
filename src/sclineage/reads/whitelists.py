"""Whitelist files: one barcode a line, plain or gzip, any line ends; or the list as blocks of half-words."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from .._errors import InputError, nearest
from .._settings import cache_folder
from ..kernels import barcodes
from ..kernels import whitelists as tables
from ..kernels.whitelists import Whitelist
from .letters import ascii_rows
from .lines import FIELD_LENGTH, FIELD_LETTER, first_field, parse_barcodes
from .streams import open_blocks, open_bytes

FOLDER = "SCLINEAGE_WHITELISTS"
BLOCK_HEADER = ["block", "side", "word"]
_CHUNK = 1 << 20

__all__ = ["FOLDER", "StoredWhitelists", "find_whitelist", "from_words", "read_whitelist"]


def folder() -> Path:
    """Folder in which whitelists are looked up by name: ``$SCLINEAGE_WHITELISTS``, else the user's cache folder."""
    if os.environ.get(FOLDER):
        return Path(os.environ[FOLDER])
    return cache_folder() / "whitelists"


def find_whitelist(name: str | os.PathLike[str]) -> Path:
    """Path of a whitelist given by path, or by name in `folder`.

    A name matches ``NAME``, ``NAME.txt``, ``NAME.tsv``, ``NAME.blocks.tsv`` and the same with ``.gz``.

    Raises
    ------
    InputError
        Neither a file nor a name in the folder; the lists of kits belong to their makers and are not shipped.
    """
    path = Path(name)
    if path.exists():
        return path
    where = folder()
    for ending in ("", ".txt", ".tsv", ".blocks.tsv"):
        for found in (where / f"{name}{ending}", where / f"{name}{ending}.gz"):
            if found.is_file():
                return found
    known = sorted({p.name.split(".")[0] for p in where.iterdir()}) if where.is_dir() else []
    raise InputError(name, "no such file, and no whitelist of that name is stored",
                     f"give the path of the list, or put it into {where}" + (f"; {nearest(str(name), known)}"
                                                                            if known else ""))


class StoredWhitelists(Mapping[str, Whitelist]):
    """The whitelists of some chemistries that are in `folder`, each read when it is asked for."""

    def __init__(self, names: Iterable[str]) -> None:
        self._paths: dict[str, Path] = {}
        for name in names:
            with contextlib.suppress(InputError):
                self._paths[name] = find_whitelist(name)

    def __getitem__(self, name: str) -> Whitelist:
        return read_whitelist(self._paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def read_whitelist(path: str | os.PathLike[str]) -> Whitelist:
    """Read a whitelist and build its tables.

    Parameters
    ----------
    path
        One barcode a line, the first field up to a tab, comma or blank; a ``-1`` behind the bases is ignored, empty
        lines are skipped. Or a table ``block side word`` (side L or R): all pairs L + R within each block.

    Returns
    -------
    The whitelist; its rows are the barcodes in the order of the file (for blocks: block by block, left-major).

    Raises
    ------
    InputError
        Absent, empty, truncated, a barcode of another length or with another letter than A, C, G, T, or given twice.
    """
    path = Path(path)
    with open_bytes(path) as stream:
        head = bytearray(1 << 12)
        head = head[: stream.readinto(memoryview(head))]
    first = first_field(head)
    if head.split(b"\n", 1)[0].split() == [h.encode() for h in BLOCK_HEADER]:
        return _read_blocks(path)
    if not first:
        raise InputError(path, "no barcode in the file", "give a list with one barcode a line")
    codes = _read_lines(path, len(first))
    return tables.whitelist(codes, len(first), name=str(path))


def _read_lines(path: Path, length: int) -> np.ndarray:
    """Packed barcodes of a text file, block by block: memory is the packed list and one block."""
    if length > tables.MAX_LENGTH:
        raise InputError(path, f"the first barcode has {length} bases", f"use at most {tables.MAX_LENGTH}",
                         place="line 1")
    codes = np.empty(1 << 16, _narrowest(length))
    n = lines = 0
    rest = np.zeros(0, np.uint8)
    with open_blocks(path, size=_CHUNK) as blocks:
        while True:
            buffer, first, size = blocks.following(rest)
            last = size - first == rest.size
            if last:
                buffer[size] = 10
                size += 1
            text = buffer[first:size]
            most = n + text.size // (length + 1) + 1
            if codes.size < most:
                codes.resize(most + n // 40, refcheck=False)  # by little: what is added is filled, and counts as used
            used, n, lines, fault = parse_barcodes(text, length, codes, n, lines)
            rest = text[used:]
            if fault:
                _refuse(path, fault, lines, length, rest)
            if rest.size > 255:
                raise InputError(path, "a line of more than 255 characters", "give a list with one barcode a line",
                                 place=f"line {lines + 1}")
            if last:
                break
    codes.resize(n, refcheck=False)
    return codes


def _narrowest(length: int) -> type[np.unsignedinteger]:
    return np.uint32 if length <= 16 else np.uint64


def _refuse(path: Path, fault: int, line: int, length: int, rest: np.ndarray) -> None:
    word = first_field(rest[:80].tobytes())
    text = word.decode("ascii", "replace")
    if fault == FIELD_LENGTH:
        raise InputError(path, f"barcode {text!r} has {len(word)} letters, the first one {length}",
                         "give barcodes of one length", place=f"line {line + 1}")
    assert fault == FIELD_LETTER
    raise InputError(path, f"barcode {text!r} has a letter other than A, C, G, T", "remove the line or its header",
                     place=f"line {line + 1}")


def _read_blocks(path: Path) -> Whitelist:
    with open_bytes(path) as stream:
        data = bytearray()
        block = bytearray(_CHUNK)
        while got := stream.readinto(memoryview(block)):
            data += block[:got]
    rows = [line.split() for line in data.decode("ascii", "replace").splitlines()[1:] if line.strip()]
    words: dict[tuple[str, str], list[str]] = {}
    for number, row in enumerate(rows, start=2):
        if len(row) != 3 or row[1] not in ("L", "R"):
            raise InputError(path, f"found {' '.join(row)!r}", "give lines of block, L or R, word",
                             place=f"line {number}")
        words.setdefault((row[0], row[1]), []).append(row[2])
    blocks = list(dict.fromkeys(block for block, _ in words))
    if not blocks:
        raise InputError(path, "no word in the file", "give lines of block, L or R, word")
    lengths = {side: len(words.get((blocks[0], side), [""])[0]) for side in "LR"}
    sides = [[_pack_words(path, words.get((name, side), []), lengths[side], name, side) for side in "LR"]
             for name in blocks]
    bases = sum(lengths.values())
    return tables.whitelist(_products(sides, lengths["R"], _narrowest(bases)), bases, name=str(path))


def _products(blocks: list[list[np.ndarray]], bases: int, kind: type[np.unsignedinteger]) -> np.ndarray:
    """All pairs of the left and right words of each block, packed; the right ones have so many bases."""
    codes = np.empty(sum(left.size * right.size for left, right in blocks), kind)
    at = 0
    for lefts, right in blocks:
        for left in lefts:
            codes[at : at + right.size] = (left << np.uint64(2 * bases)) | right
            at += right.size
    return codes


def _pack_words(path: Path, words: list[str], length: int, block: str, side: str) -> np.ndarray:
    if not words or {len(w) for w in words} != {length}:
        raise InputError(path, f"block {block}, side {side}: words missing or of several lengths",
                         "give words of one length per side", place=f"block {block}")
    codes, n_at = barcodes.pack(np.frombuffer("".join(words).encode(), np.uint8).reshape(len(words), length))
    if (n_at != -1).any():
        word = words[int(np.flatnonzero(n_at != -1)[0])]
        raise InputError(path, f"word {word!r} has a letter other than A, C, G, T", "correct the word",
                         place=f"block {block}")
    return codes


def from_words(words: Sequence[str] | np.ndarray, *, name: str = "whitelist") -> Whitelist:
    """Whitelist from barcodes in memory: texts of one length, or uint8 (n, L) ASCII."""
    rows = ascii_rows(words, name)
    if not 1 <= rows.shape[1] <= tables.MAX_LENGTH:
        raise InputError(name, f"{rows.shape[0]} barcodes of {rows.shape[1]} bases",
                         f"give at least one barcode of 1 to {tables.MAX_LENGTH} bases")
    codes, n_at = barcodes.pack(rows)
    wrong = np.flatnonzero(n_at != -1)
    if wrong.size:
        text = rows[wrong[0]].tobytes().decode("ascii", "replace")
        raise InputError(name, f"barcode {text!r} has a letter other than A, C, G, T", "remove the entry",
                         place=f"entry {wrong[0] + 1}")
    return tables.whitelist(codes, rows.shape[1], name=name)
