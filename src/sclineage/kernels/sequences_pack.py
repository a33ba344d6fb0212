"""From a list of strings to packed, length-grouped, distinct sequences: the input of every `sequences` kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from .. import _backend
from .._errors import InputError
from .sequences_bits import (
    AT_ONCE,
    BAD,
    CODES,
    FLIP,
    LOW,
    PER_WORD,
    RESIDUE_BITS,
    STANDARD,
    STAR,
    bytes_within,
    load_eight,
    trailing_zeros,
)
from .sequences_filter import filter_bits, filter_words, list_shared, note, table_bits

ALONE = 8192  # sequences up to which no second thread is woken
MOST_COUNTED = 1024  # lengths that are counted at the first try
_NOT_STANDARD, _UNKNOWN = 1, 2
BREAK = ord("\n")  # between two sequences
END = "\n" + 63 * "A"  # behind the last: what begins within the text is read 32 bytes at a time
_OFFENCE = np.where(BAD == CODES, _UNKNOWN, _NOT_STANDARD).astype(np.uint8)  # of each byte; 0 for the 20 amino acids
_OFFENCE[[ord(letter) for letter in STANDARD] + [BREAK]] = 0

_MIX = np.uint64(0x9E3779B97F4A7C15)
_BREAK, _FLIP, _LOW, _ZERO, _ONE = np.uint8(BREAK), np.uint64(FLIP), np.uint64(LOW), np.uint64(0), np.uint64(1)
_RANGES = tuple((np.uint8(ord(a)), np.uint8(ord(b))) for a, b in ("AA", "CI", "KN", "PT", "VW", "YY"))  # amino acids
_ALL = np.uint64((1 << AT_ONCE) - 1)
_ONES = np.uint64(0x001F001F001F001F), np.uint64(0x03E003E003E003E0)  # letters, each second one moved to its neighbour
_PAIRS = np.uint64(0x000003FF000003FF), np.uint64(0x000FFC00000FFC00)
_FOURS = np.uint64(0x00000000000FFFFF), np.uint64(0x000000FFFFF00000)


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
    """The sequences' letters, uint8, a line break behind each; then letters that no sequence has (`END`)."""
    try:
        joined = "\n".join(sequences) + (END if sequences else END[1:])
        return np.frombuffer(joined.encode("ascii"), dtype=np.uint8)
    except TypeError:
        raise _missing(sequences) from None
    except UnicodeEncodeError:
        row = next(r for r, s in enumerate(sequences) if not s.isascii())
        raise InputError("sequences", f"found {sequences[row]!r}", "give letters A-Z, * or _ only",
                         place=f"entry {row}") from None


def _sizes(text: np.ndarray, sequences: list[str]) -> np.ndarray:
    """Number of sequences of each length, int64."""
    for room in (MOST_COUNTED, text.size):
        sizes = np.zeros(room, dtype=np.int64)
        end = _count_lengths(text, len(sequences), sizes)
        if end >= 0:
            break
    if end != text.size - len(END) + 1:
        row = next(r for r, s in enumerate(sequences) if "\n" in s)
        raise InputError("sequences", "found a line break", "give letters A-Z, * or _ only", place=f"entry {row}")
    return sizes


@njit(cache=True)
def _length_at(text: np.ndarray, start: int) -> int:
    """Letters from here to the next line break."""
    at, found = start, bytes_within(text, start, _BREAK, _BREAK)
    while found == _ZERO:
        at += AT_ONCE
        found = bytes_within(text, at, _BREAK, _BREAK)
    return at - start + trailing_zeros(found)


@njit(cache=True)
def _count_lengths(text: np.ndarray, n: int, sizes: np.ndarray) -> int:
    """Count n sequences by length; return where the last one's break ends, or -1 where one is too long to count."""
    at = 0
    for _ in range(n):
        length = _length_at(text, at)
        if length >= sizes.size:
            return -1
        sizes[length] += 1
        at += length + 1
    return at


def _check_letters(text: np.ndarray) -> tuple[np.ndarray, tuple[str, int] | None]:
    """The text as it is packed, and the first letter beyond the amino acids and its sequence, if there is one."""
    if _is_standard(text):
        return text, None
    offence = _OFFENCE[text]
    worst = offence.max()
    at = int(np.argmax(offence == worst))
    letter, row = chr(text[at]), int(np.count_nonzero(text[:at] == BREAK))
    if worst == _UNKNOWN:
        fix = "upper-case the sequences" if letter.islower() else "give letters A-Z, * or _ only"
        raise InputError("sequences", f"found the letter {letter!r}", fix, place=f"entry {row}")
    return np.where(text == ord("*"), np.uint8(ord(STAR)), text), (letter, row)


@njit(cache=True)
def _is_standard(text: np.ndarray) -> bool:
    """Whether there are only amino acids and line breaks; less than 32 letters of `END` are not looked at."""
    every = ~_ZERO
    for at in range(0, text.size - AT_ONCE + 1, AT_ONCE):
        found = bytes_within(text, at, _BREAK, _BREAK)
        for first, last in _RANGES:
            found |= bytes_within(text, at, first, last)
        every &= found
    return every & _ALL == _ALL


# --- packing ----------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _codes_of_eight(text: np.ndarray, at: int) -> np.uint64:
    """Places in the alphabet of eight letters, five bits each: neighbours move together, then pairs, then fours."""
    word = load_eight(text, at)
    word = (word & _ONES[0]) | ((word >> np.uint64(3)) & _ONES[1])
    word = (word & _PAIRS[0]) | ((word >> np.uint64(6)) & _PAIRS[1])
    return (word & _FOURS[0]) | ((word >> np.uint64(12)) & _FOURS[1])


@njit(cache=True)
def _word_at(text: np.ndarray, at: int, letters: int) -> np.uint64:
    """A packed word of the first letters, at most 12, of those that begin here; twenty bytes are read."""
    word = _codes_of_eight(text, at) | (_codes_of_eight(text, at + 8) << np.uint64(8 * RESIDUE_BITS))
    word &= (_ONE << np.uint64(RESIDUE_BITS * letters)) - _ONE
    return word ^ ((word & _LOW) * _FLIP)


@njit(cache=True)
def _pack_all(text: np.ndarray, rank: np.ndarray, place: np.ndarray, stride: np.ndarray, words: np.ndarray,
              order: np.ndarray) -> None:
    """Pack every sequence to its place in its group, and note its row.

    By length: the `rank` of the next one in the order by length, the `place` of its first word, the `stride` from word
    to word, 0 where there is one word only.
    """
    at = 0
    for row in range(order.size):
        length = _length_at(text, at)
        order[rank[length]] = row
        rank[length] += 1
        if length:
            first = place[length]
            place[length] += 1
            words[first + stride[length]] = _word_at(text, at + PER_WORD, max(0, min(PER_WORD, length - PER_WORD)))
            words[first] = _word_at(text, at, min(PER_WORD, length))
            for word in range(2, (length + PER_WORD - 1) // PER_WORD):
                words[first + word * stride[length]] = _word_at(
                    text, at + word * PER_WORD, min(PER_WORD, length - word * PER_WORD))
        at += length + 1


# --- equal sequences --------------------------------------------------------------------------------------------------
@njit(cache=True)
def _key(words: np.ndarray, x: int) -> np.uint64:
    key = np.uint64(0)
    for word in range(words.shape[0]):
        key = (key ^ words[word, x]) * _MIX
        key ^= key >> np.uint64(32)
    return key * _MIX


@njit(cache=True)
def _equal(words: np.ndarray, x: int, y: int) -> bool:
    word = 0
    while word < words.shape[0] and words[word, x] == words[word, y]:
        word += 1
    return word == words.shape[0]


@njit(cache=True)
def _find_equal(words: np.ndarray, rank: np.ndarray) -> int:
    """Give each column the first one that equals it, in `rank`; return how many equal an earlier one."""
    n = rank.size
    turn, slots = np.uint64(64 - filter_bits(n)), np.zeros(filter_words(n), dtype=np.uint64)
    for x in range(n):
        slot = _key(words, x) >> turn
        rank[x] = slot
        note(slots, slot)
    listed = np.empty(n, dtype=np.int32)
    listed = listed[:list_shared(slots, rank, listed)]
    turn = np.uint64(64 - table_bits(listed.size))
    head, following = np.full(1 << table_bits(listed.size), -1, dtype=np.int32), np.empty(listed.size, dtype=np.int32)
    for x in range(n):
        rank[x] = x
    repeated = 0
    for k in range(listed.size):
        x, bucket = listed[k], _key(words, listed[k]) >> turn
        other = head[bucket]
        while other >= 0 and not _equal(words, x, listed[other]):
            other = following[other]
        if other >= 0:
            rank[x] = listed[other]
            repeated += 1
        else:
            following[k], head[bucket] = head[bucket], k
    return repeated


@njit(cache=True)
def _keep_distinct(words: np.ndarray, rank: np.ndarray) -> int:
    """Move the distinct columns of `words` to the front, in order; `rank` gets each column's new place."""
    n = rank.size
    if _find_equal(words, rank) == 0:
        return n
    distinct = 0
    for x in range(n):
        if rank[x] < x:
            rank[x] = rank[rank[x]]
            continue
        for word in range(words.shape[0]):
            words[word, distinct] = words[word, x]
        rank[x] = distinct
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
    sizes = _sizes(text, given)
    text, standard = _check_letters(text)
    lengths = np.flatnonzero(sizes)
    group_start, widths = _prefix(sizes[lengths]), -(-lengths // PER_WORD)
    bases = _prefix(widths * sizes[lengths])
    words, order = np.empty(bases[-1], dtype=np.uint64), np.empty(len(given), dtype=np.int32)
    rank, place, stride = np.zeros((3, sizes.size), dtype=np.int64)
    rank[lengths], place[lengths], stride[lengths] = group_start[:-1], bases[:-1], sizes[lengths] * (widths > 1)
    _pack_all(text, rank, place, stride, words, order)
    del text
    new_place = np.empty(order.size, dtype=np.int32)
    with _backend.threads(None):
        find = _distinct_serially if order.size <= ALONE else _distinct_in_parallel
        counts = find(words, group_start, widths, bases, new_place)
    firsts = _prefix(counts)
    start, members = (np.arange(order.size + 1, dtype=np.int32), order) if firsts[-1] == order.size else (
        _members(order, new_place, group_start, firsts))
    index = Index(lengths, widths, counts, sizes[lengths], bases, firsts, words, start, members)
    return Packed(len(given), index, standard)
