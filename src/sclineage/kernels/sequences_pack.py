"""From a list of strings to packed, length-grouped, distinct sequences: the input of every `sequences` kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from .. import _backend
from .._errors import InputError
from .sequences_bits import BAD, CODES, PER_WORD, RESIDUE_BITS, STANDARD

CHUNK = 8192  # rows that one thread packs at a time; fewer in all wake no thread
_MIX = np.uint64(0x9E3779B97F4A7C15)
_NOT_STANDARD, _UNKNOWN = 1, 2
_OFFENCE = np.where(BAD == CODES, _UNKNOWN, _NOT_STANDARD).astype(np.uint8)  # of each byte; 0 for the 20 amino acids
BREAK = ord("\n")  # between two sequences
_AMINO_ACIDS = sum(1 << (ord(letter) & 31) for letter in STANDARD)
_OFFENCE[[ord(letter) for letter in STANDARD] + [BREAK]] = 0


class Index(NamedTuple):
    """Distinct sequences grouped by length, as flat arrays (see `Packed` for meaning and shapes)."""

    lengths: np.ndarray
    widths: np.ndarray
    counts: np.ndarray
    strides: np.ndarray
    bases: np.ndarray
    firsts: np.ndarray
    words: np.ndarray
    member_start: np.ndarray
    members: np.ndarray


@dataclass(frozen=True, slots=True)
class Packed:
    """Sequences packed once, to be searched any number of times.

    Attributes
    ----------
    n
        Number of sequences as given.
    index
        The distinct ones. Group g holds the ``counts[g]`` distinct sequences of length ``lengths[g]`` (ascending), each
        of ``widths[g]`` words; word w of the x-th lies at ``words[bases[g] + w * strides[g] + x]`` (uint64, 12 residues
        of 5 bits, first residue lowest). Distinct sequence ``u = firsts[g] + x`` stands for the sequences
        ``members[member_start[u]:member_start[u + 1]]`` (int32, ascending); within a group, u follows the first member.
    standard
        Whether all letters are among the 20 amino acids; if not, the first other letter and its sequence.
    """

    n: int
    index: Index
    standard: tuple[str, int] | None

    @property
    def n_distinct(self) -> int:
        """Number of distinct sequences."""
        return int(self.index.firsts[-1])

    def distinct_of(self) -> np.ndarray:
        """Distinct sequence of each sequence, int32 (n,)."""
        result = np.empty(self.n, dtype=np.int32)
        sizes = np.diff(self.index.member_start)
        result[self.index.members] = np.repeat(np.arange(self.n_distinct, dtype=np.int32), sizes)
        return result


# --- text -------------------------------------------------------------------------------------------------------------
def _missing(sequences: list[Any]) -> InputError:
    row = next(r for r, s in enumerate(sequences) if not isinstance(s, str))
    return InputError("sequences", f"found {sequences[row]!r}, not a string",
                      "drop the entries without a sequence first", place=f"entry {row}")


def _text(sequences: list[Any]) -> np.ndarray:
    """The sequences' letters, uint8, a line break between any two."""
    try:
        data = "\n".join(sequences).encode("ascii")
    except TypeError:
        raise _missing(sequences) from None
    except UnicodeEncodeError:
        row = next(r for r, s in enumerate(sequences) if not s.isascii())
        raise InputError("sequences", f"found {sequences[row]!r}", "give letters A-Z, * or _ only",
                         place=f"entry {row}") from None
    return np.frombuffer(data, dtype=np.uint8) if data else np.empty(0, dtype=np.uint8)


def _starts(text: np.ndarray, sequences: list[str]) -> np.ndarray:
    """Where each sequence begins, int64 (n + 1,): the last would begin past a line break at the end."""
    if np.count_nonzero(text == BREAK) > max(0, len(sequences) - 1):
        row = next(r for r, s in enumerate(sequences) if "\n" in s)
        raise InputError("sequences", "found a line break", "give letters A-Z, * or _ only", place=f"entry {row}")
    starts = np.zeros(len(sequences) + 1, dtype=np.int64)
    if sequences:
        _fill_starts(text, starts)
    return starts


@njit(cache=True)
def _fill_starts(text: np.ndarray, starts: np.ndarray) -> None:
    row = 1
    for at in range(text.size):  # without a branch: what stands there is right once the row moves on
        starts[row] = at + 1
        row += text[at] == BREAK
    starts[-1] = text.size + 1


def _check_letters(text: np.ndarray, starts: np.ndarray) -> tuple[str, int] | None:
    """The first letter beyond the amino acids and its sequence, if there is one."""
    if _is_standard(text, _AMINO_ACIDS):
        return None
    offence = _OFFENCE[text]
    worst = offence.max()
    at = int(np.flatnonzero(offence == worst)[0])
    letter, row = chr(text[at]), int(np.searchsorted(starts, at, side="right") - 1)
    if worst == _UNKNOWN:
        fix = "upper-case the sequences" if letter.islower() else "give letters A-Z, * or _ only"
        raise InputError("sequences", f"found the letter {letter!r}", fix, place=f"entry {row}")
    return letter, row


@njit(cache=True)
def _is_standard(text: np.ndarray, amino_acids: int) -> bool:
    """Whether there are only amino acids and line breaks: without a branch or a table, in vector registers."""
    found = 1
    for at in range(text.size):
        letter = np.int64(text[at])
        in_column = (letter >> 5) == 2
        found &= ((amino_acids >> (letter & 31)) & in_column) | (letter == BREAK)
    return found == 1


# --- packing ----------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _order_by_length(starts: np.ndarray, group_of_length: np.ndarray, cursor: np.ndarray) -> np.ndarray:
    order = np.empty(starts.size - 1, dtype=np.int32)
    for row in range(order.size):
        group = group_of_length[starts[row + 1] - starts[row] - 1]
        order[cursor[group]] = row
        cursor[group] += 1
    return order


@njit(cache=True)
def _pack_rows(text: np.ndarray, starts: np.ndarray, order: np.ndarray, group_start: np.ndarray, bases: np.ndarray,
               words: np.ndarray, codes: np.ndarray, first: int, last: int) -> None:
    """Pack the rows first ... last - 1 of the order by length."""
    group = np.searchsorted(group_start, first, side="right") - 1
    for row in range(first, last):
        while row >= group_start[group + 1]:
            group += 1
        stride, place = group_start[group + 1] - group_start[group], bases[group] + row - group_start[group]
        start, end = starts[order[row]], starts[order[row] + 1] - 1
        for word_start in range(start, end, PER_WORD):
            packed = np.uint64(0)
            for at in range(min(word_start + PER_WORD, end) - 1, word_start - 1, -1):
                packed = (packed << np.uint64(RESIDUE_BITS)) | np.uint64(codes[text[at]])
            words[place] = packed
            place += stride


@njit(cache=True, parallel=True)
def _pack_in_parallel(text: np.ndarray, starts: np.ndarray, order: np.ndarray, group_start: np.ndarray,
                      bases: np.ndarray, words: np.ndarray, codes: np.ndarray) -> None:
    for part in prange((order.size + CHUNK - 1) // CHUNK):
        _pack_rows(text, starts, order, group_start, bases, words, codes, part * CHUNK,
                   min(order.size, (part + 1) * CHUNK))


@njit(cache=True)
def _equal(words: np.ndarray, x: int, y: int) -> bool:
    word = 0
    while word < words.shape[0] and words[word, x] == words[word, y]:
        word += 1
    return word == words.shape[0]


@njit(cache=True)
def _keep_distinct(words: np.ndarray, rank: np.ndarray) -> int:
    """Move the distinct columns of `words` to the front, in order; `rank` gets each column's new place."""
    n = rank.size
    bits = 1
    while (1 << bits) < 2 * n:
        bits += 1
    head, following = np.full(1 << bits, -1, dtype=np.int32), np.empty(n, dtype=np.int32)
    distinct = 0
    for x in range(n):
        key = np.uint64(0)
        for word in range(words.shape[0]):
            key = (key ^ words[word, x]) * _MIX
            key ^= key >> np.uint64(32)
        bucket = (key * _MIX) >> np.uint64(64 - bits)
        seen = head[bucket]
        while seen >= 0 and not _equal(words, x, seen):
            seen = following[seen]
        rank[x] = seen if seen >= 0 else distinct
        if seen < 0:
            words[:, distinct] = words[:, x]
            following[distinct] = head[bucket]
            head[bucket] = distinct
            distinct += 1
    return distinct


@njit(cache=True)
def _distinct_group(words: np.ndarray, group_start: np.ndarray, widths: np.ndarray, bases: np.ndarray, rank: np.ndarray,
                    group: int) -> int:
    n = group_start[group + 1] - group_start[group]
    columns = words[bases[group]:bases[group] + n * widths[group]].reshape((widths[group], n))
    return _keep_distinct(columns, rank[group_start[group]:group_start[group + 1]])


@njit(cache=True, parallel=True)
def _distinct_in_parallel(words: np.ndarray, group_start: np.ndarray, widths: np.ndarray, bases: np.ndarray,
                          rank: np.ndarray) -> np.ndarray:
    """Keep the distinct sequences of every group; return how many each holds."""
    counts = np.zeros(widths.size, dtype=np.int64)
    for group in prange(widths.size):
        counts[group] = _distinct_group(words, group_start, widths, bases, rank, group)
    return counts


@njit(cache=True)
def _distinct_serially(words: np.ndarray, group_start: np.ndarray, widths: np.ndarray, bases: np.ndarray,
                       rank: np.ndarray) -> np.ndarray:
    counts = np.zeros(widths.size, dtype=np.int64)
    for group in range(widths.size):
        counts[group] = _distinct_group(words, group_start, widths, bases, rank, group)
    return counts


@njit(cache=True)
def _members(order: np.ndarray, rank: np.ndarray, group_start: np.ndarray, firsts: np.ndarray) -> tuple:
    """Sequences of each distinct sequence, ascending: starts int32 (distinct + 1,), members int32 (n,)."""
    start = np.zeros(firsts[-1] + 1, dtype=np.int32)
    for group in range(firsts.size - 1):
        for x in range(group_start[group], group_start[group + 1]):
            start[firsts[group] + rank[x] + 1] += 1
    start[:] = np.cumsum(start).astype(np.int32)
    cursor, members = start.copy(), np.empty(order.size, dtype=np.int32)
    for group in range(firsts.size - 1):
        for x in range(group_start[group], group_start[group + 1]):
            u = firsts[group] + rank[x]
            members[cursor[u]] = order[x]
            cursor[u] += 1
    return start, members


def _prefix(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts, dtype=np.int64)])


def pack(sequences: Sequence[str]) -> Packed:
    """Pack sequences for `sequences.neighbor_pairs` and its siblings.

    Parameters
    ----------
    sequences
        n strings of the letters A-Z, ``*`` and ``_`` (upper case), of any length, also empty; any iterable.

    Returns
    -------
    Packed
        About 40 bytes per sequence of up to 24 residues.

    Raises
    ------
    InputError
        On a missing value, a lower-case letter or another character; the message names the entry.
    """
    given = sequences if isinstance(sequences, list) else list(sequences)
    if len(given) >= 2**31:
        raise InputError("sequences", f"found {len(given)}", "give fewer than 2**31 at a time")
    text = _text(given)
    starts = _starts(text, given)
    standard = _check_letters(text, starts)
    order, lengths, group_start = _length_groups(starts)
    widths = -(-lengths // PER_WORD)
    bases = _prefix(widths * np.diff(group_start))
    words = np.empty(bases[-1], dtype=np.uint64)
    rank = np.empty(order.size, dtype=np.int32)
    with _backend.threads(None):
        if order.size <= CHUNK:
            _pack_rows(text, starts, order, group_start, bases, words, CODES, 0, order.size)
            counts = _distinct_serially(words, group_start, widths, bases, rank)
        else:
            _pack_in_parallel(text, starts, order, group_start, bases, words, CODES)
            del text, starts
            counts = _distinct_in_parallel(words, group_start, widths, bases, rank)
    firsts = _prefix(counts)
    start, members = _members(order, rank, group_start, firsts)
    index = Index(lengths, widths, counts, np.diff(group_start), bases, firsts, words, start, members)
    return Packed(len(given), index, standard)


def _length_groups(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = np.bincount(np.diff(starts) - 1)
    lengths = np.flatnonzero(sizes)
    group_start = _prefix(sizes[lengths])
    group_of_length = np.zeros(sizes.size, dtype=np.int64)
    group_of_length[lengths] = np.arange(lengths.size)
    return _order_by_length(starts, group_of_length, group_start[:-1].copy()), lengths, group_start
