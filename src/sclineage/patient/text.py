"""Text tables as people really send them: CSV or TSV, gzip or plain, with a BOM, with CRLF, cut off in the middle."""

from __future__ import annotations

import csv
import gzip
import io
import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from .._errors import InputError, nearest

_COPY = "copy or download it again"


def require_file(path: str | os.PathLike[str], *, folder: bool = False) -> Path:
    """Return `path` when it is an existing file (or folder) that is not empty.

    Raises
    ------
    InputError
        It is absent, of the other kind, or empty.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(path, "the file does not exist", _siblings(path))
    if path.is_dir() != folder:
        kind, wanted = ("folder", "file") if path.is_dir() else ("file", "folder")
        raise InputError(path, f"found a {kind}", f"give the path of a {wanted}")
    if not folder and path.stat().st_size == 0:
        raise InputError(path, "the file is empty (0 bytes)", _COPY)
    return path


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever breaks while a library reads a file into an `InputError` that names the file.

    A damaged HDF5, zarr or gzip file may raise nearly anything, private classes of the libraries included; the cause is
    kept for ``--debug``.
    """
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(path, "the file does not fit into memory, or is damaged", _COPY) from error
    except Exception as error:
        raise InputError(path, f"the file is damaged or cut off ({type(error).__name__}: {error})", _COPY) from error


def _siblings(path: Path) -> str:
    """What to do about an absent file: name what lies beside it under a similar name."""
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist either; correct the path"
    return "correct the path; " + nearest(path.name, sorted(p.name for p in path.parent.iterdir()))


def read_text(path: str | os.PathLike[str]) -> str:
    """Text of a plain or gzip-compressed file (told by content, not by name), with plain line ends and no BOM.

    Raises
    ------
    InputError
        Absent, empty, truncated gzip stream, or not UTF-8 text.
    """
    path = require_file(path)
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(path, f"the gzip stream is damaged or cut off ({error})", _COPY) from None
    if not data.strip():
        raise InputError(path, "the file holds no text", _COPY)
    if data[:4] == b"PK\x03\x04":
        raise InputError(path, "found a zip archive or Excel workbook", "export it as CSV (UTF-8)")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, f"byte {error.start} is not UTF-8 text", "save it as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def separator(line: str) -> str:
    """Tab or comma, whichever the line has more of (comma when neither)."""
    return "\t" if line.count("\t") > line.count(",") else ","


def read_table(path: str | os.PathLike[str], *, sep: str | None = None, header: bool = True) -> pd.DataFrame:
    r"""Read a delimited table as text, every value a string, nothing guessed.

    Parameters
    ----------
    path
        Plain or gzip file.
    sep
        Separator; None sniffs tab or comma from the first line. ``r"\\s+"`` for runs of blanks.
    header
        Whether the first line holds column names; otherwise columns are numbered from 0.

    Raises
    ------
    InputError
        Absent, empty or damaged file, a line with too many fields, a last line that is cut off, a repeated column.
    """
    text = read_text(path).strip("\n")
    first = text.split("\n", 1)[0]
    sep = separator(first) if sep is None else sep
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(io.StringIO(text), sep=sep, header=0 if header else None, dtype=str, na_filter=False,
                                index_col=False)
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        raise InputError(path, f"not a regular table ({str(error).strip()})",
                         "give every line as many fields as the first") from None
    if header:
        frame.columns = _names(path, first, sep)
    _require_whole_last_line(path, text, sep, frame.shape[1])
    return frame


def _names(path: str | os.PathLike[str], line: str, sep: str) -> list[str]:
    names = line.split() if sep == r"\s+" else [n.strip() for n in next(csv.reader([line], delimiter=sep))]
    twice = [n for i, n in enumerate(names) if n in names[:i]]
    if twice:
        raise InputError(path, f"column {twice[0]!r} appears twice", "rename or remove one", place="header")
    return names


def _require_whole_last_line(path: str | os.PathLike[str], text: str, sep: str, width: int) -> None:
    if '"' in text or "\n" not in text:
        return
    last = text[text.rfind("\n") + 1 :]
    found = len(last.split()) if sep == r"\s+" else last.count(sep) + 1
    if found < width:
        raise InputError(path, f"the last line has {found} of {width} fields: the file is cut off", _COPY)


def require_columns(path: str | os.PathLike[str], frame: pd.DataFrame, names: tuple[str, ...]) -> None:
    """Raise `InputError` naming the first column of `names` that is missing, and the nearest existing ones."""
    missing = [n for n in names if n not in frame.columns]
    if missing:
        raise InputError(path, f"column {missing[0]!r} is missing", nearest(missing[0], map(str, frame.columns)),
                         place="header")


def whole_numbers(path: str | os.PathLike[str], values: pd.Series, *, what: str, least: int = 0,
                  first_line: int = 2) -> np.ndarray:
    """Column of text as int64.

    Raises
    ------
    InputError
        A value is not a whole number of at least `least`; the message names its line.
    """
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float)
    with np.errstate(invalid="ignore"):
        bad = ~(np.isfinite(numbers) & (numbers == np.floor(numbers)) & (numbers >= least) & (numbers < 2**53))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(path, f"{what} is {values.iloc[row]!r}", f"give a whole number of at least {least}",
                         place=f"line {row + first_line}")
    return numbers.astype(np.int64)
