"""Sets of targets as small integers: the sets that k-mers have, closed under intersection."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .._errors import InputError

MAX_SETS = 2048

__all__ = ["MAX_SETS", "Sets", "close"]


@dataclass(frozen=True, slots=True, eq=False)
class Sets:
    """Sets of targets that reads can point to.

    Attributes
    ----------
    members
        Targets of each set. First every target alone, in order; then the sets of several, small ones first; last the
        empty set: k-mers of different targets that no one target has together.
    meet
        int16 (sets, sets): intersection of two sets.
    """

    members: tuple[tuple[int, ...], ...]
    meet: np.ndarray


def close(targets: int, owners: np.ndarray, start: np.ndarray) -> tuple[Sets, np.ndarray]:
    """Number the sets of targets.

    Parameters
    ----------
    targets
        How many targets there are.
    owners, start
        int64: targets of k-mer i, ascending, are ``owners[start[i]:start[i + 1]]``, at least one.

    Returns
    -------
    The sets, and int16 (k-mers,): the set of each k-mer.

    Raises
    ------
    InputError
        More than `MAX_SETS` sets.
    """
    counts = np.diff(start)
    several = np.flatnonzero(counts > 1)
    found = [tuple(owners[start[i] : start[i + 1]].tolist()) for i in several]
    members = _closed(targets, set(found))
    number = {m: i for i, m in enumerate(members)}
    ids = owners[start[:-1]].astype(np.int16)
    ids[several] = [number[m] for m in found]
    return Sets(members, _meet(members, number)), ids


def _closed(targets: int, found: set[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    new, known = set(found), set(found)
    while new:
        made = {tuple(sorted({*a} & {*b})) for a, b in itertools.product(new, known)}
        new = {m for m in made if len(m) > 1} - known
        known |= new
        if len(known) + targets + 1 > MAX_SETS:
            raise InputError("targets", f"{targets} sequences that share k-mers in too many ways (over {MAX_SETS})",
                             "give fewer targets at once, or one for each family of near-identical sequences")
    singles = [(t,) for t in range(targets)]
    return (*singles, *sorted(known, key=lambda m: (len(m), m)), ())


def _meet(members: tuple[tuple[int, ...], ...], number: dict[tuple[int, ...], int]) -> np.ndarray:
    """Table of intersections; only sets of several targets need looking at one by one."""
    n, singles = len(members), sum(len(m) == 1 for m in members)
    meet = np.full((n, n), n - 1, np.int16)
    np.fill_diagonal(meet, np.arange(n))
    for i in range(singles, n - 1):
        inside = set(members[i])
        for t in members[i]:
            meet[i, t] = meet[t, i] = t
        for j in range(singles, i):
            both = tuple(t for t in members[j] if t in inside)
            meet[i, j] = meet[j, i] = number[both]
    return meet
