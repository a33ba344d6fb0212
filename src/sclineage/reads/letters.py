"""Texts of one length as arrays of ASCII letters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._errors import InputError


def ascii_rows(texts: Sequence[str] | np.ndarray, name: str, *, length: int | None = None) -> np.ndarray:
    """Letters as uint8 (n, L), C-contiguous.

    Parameters
    ----------
    texts
        Texts of one length, or uint8 (n, L) already.
    name
        What error messages call them.
    length
        The length they must have; None takes that of the first.

    Raises
    ------
    InputError
        Another shape, dtype or length, a letter outside ASCII, or an entry that is no text.
    """
    if isinstance(texts, np.ndarray) and texts.dtype == np.uint8:
        if texts.ndim != 2 or (length is not None and texts.shape[1] != length):
            wanted = "(n, L)" if length is None else f"(n, {length})"
            raise InputError(name, f"a uint8 array of shape {texts.shape}", f"give an array of shape {wanted}")
        return np.ascontiguousarray(texts)
    if isinstance(texts, str | bytes) or (isinstance(texts, np.ndarray) and texts.dtype.kind not in "OUS"):
        raise InputError(name, f"found {type(texts).__name__}", "give a list of str or a uint8 array (n, L) of ASCII")
    words = [w.decode("latin-1") if isinstance(w, bytes) else w for w in texts]
    for row, word in enumerate(words):
        if not isinstance(word, str):
            raise InputError(name, f"{word!r} is no text", "give a list of str", place=f"entry {row + 1}")
        length = len(word) if length is None else length
        if len(word) != length:
            raise InputError(name, f"{word!r} has {len(word)} letters, not {length}", "give texts of one length",
                             place=f"entry {row + 1}")
    try:
        joined = "".join(words).encode("ascii")
    except UnicodeEncodeError:
        row = next(i for i, w in enumerate(words) if not w.isascii())
        raise InputError(name, f"{words[row]!r} is not ASCII", "use A, C, G, T or N",
                         place=f"entry {row + 1}") from None
    return np.frombuffer(joined, np.uint8).reshape(len(words), length or 0)
