"""Ways to share a cell's chains among the clones of a hypothesis and the ambient, as sums over sets of chains.

A set of chains is a number whose bit e stands for entry e. What a party (a clone) contributes when it owns exactly a
set, and the sum over all it may own of a set whose rest is ambient, are worked out once per party: 2^n and 3^n products
for n chains. Every hypothesis of two parties then is a sum of 2^n products, not of 3^n.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .observed import MOST_CHAINS

SETS = 1 << MOST_CHAINS
TIE = 1 + 1e-12  # what is not likelier by more than this is as likely: the first then stands, whatever the rounding
_COUNT = np.array([bin(s).count("1") for s in range(SETS)])


@njit(cache=True, forceinline=True)
def ambient_sets(n, ambient, clump, s, out):  # type: ignore[no-untyped-def]
    """``out[set]``: factor of a droplet of sample s in which exactly this set is ambient."""
    out[0] = 1.0
    for e in range(n):
        for rest in range(1 << e):
            out[rest | 1 << e] = out[rest] * ambient[e]
    for chosen in range(1 << n):
        out[chosen] *= clump[s, _COUNT[chosen]]


@njit(cache=True, forceinline=True)
def owned_sets(k, n, locus, term, extra, slot, used, out):  # type: ignore[no-untyped-def]
    """``out[k, set]``: factor of party k when it owns exactly this set; `used` is working room."""
    out[k, 0], used[0, 0], used[0, 1] = 1.0, 0, 0
    for e in range(n):
        where = locus[e]
        for rest in range(1 << e):
            chosen, w = rest | 1 << e, out[k, rest] * term[k, e]
            used[chosen, 0], used[chosen, 1] = used[rest, 0], used[rest, 1]
            if extra[k, e]:
                w *= slot[k, where, min(used[rest, where], 2)]
                used[chosen, where] += 1
            out[k, chosen] = w


@njit(cache=True, forceinline=True)
def shared_with_ambient(k, n, owned, ambient, out):  # type: ignore[no-untyped-def]
    """``out[k, set]``: sum over all that party k, who owns something, may own of this set, the rest being ambient."""
    for chosen in range(1 << n):
        total, own = 0.0, chosen
        while own:
            total += owned[k, own] * ambient[chosen ^ own]
            own = (own - 1) & chosen
        out[k, chosen] = total


@njit(cache=True, forceinline=True)
def of_two(a, b, n, owned, shared):  # type: ignore[no-untyped-def]
    """Sum over all ways of two parties, each of which owns something."""
    total, whole = 0.0, (1 << n) - 1
    for own in range(1, whole):
        total += owned[a, own] * shared[b, whole ^ own]
    return total


@njit(cache=True, forceinline=True)
def owned_entries(last, n, scale, doublet, mass, owned, ambient, mates, weight, own):  # type: ignore[no-untyped-def]
    """Fill `own`: P(entry e is not ambient), all hypotheses together; `mates` and `weight` are working room.

    Parties are 0 to `last` with prior weights `scale`; two of the same only of the last.
    """
    whole = (1 << n) - 1
    for chosen in range(whole + 1):
        weight[chosen], mates[chosen] = 0.0, scale[last] * owned[last, chosen]
    for a in range(last, -1, -1):
        for chosen in range(1, whole + 1):
            total, part = 0.0, (chosen - 1) & chosen
            while part:
                total += owned[a, part] * mates[chosen ^ part]
                part = (part - 1) & chosen
            weight[chosen] += scale[a] * (owned[a, chosen] + doublet * total)
        for chosen in range(whole + 1):  # of two different parties either may be the first cell
            mates[chosen] = 2.0 * scale[a] * owned[a, chosen] + (mates[chosen] if a < last else 0.0)
    for e in range(n):
        own[e] = 0.0
        for chosen in range(1, whole + 1):
            if chosen >> e & 1:
                own[e] += weight[chosen] * ambient[whole ^ chosen]
        own[e] /= mass


@njit(cache=True)
def likeliest_way(a, b, n, owned, ambient, way):  # type: ignore[no-untyped-def]
    """Fill `way`, per entry, of party a alone (b: -1) or of two: 0 ambient, 1 party a, 2 party b.

    Of equally likely ways the one that is first in the order of the entries.
    """
    most, first, second, whole = 0.0, 0, 0, (1 << n) - 1
    for one in range(1, whole + 1):
        rest = whole ^ one
        other = rest if b >= 0 else 0
        while other or b < 0:
            w = owned[a, one] * ambient[rest ^ other] * (owned[b, other] if b >= 0 else 1.0)
            if w > most * TIE or (w * TIE >= most and _earlier(one, other, first, second)):
                most, first, second = w, one, other
            if b < 0:
                break
            other = (other - 1) & rest
    for e in range(n):
        way[e] = (first >> e & 1) + 2 * (second >> e & 1)


@njit(cache=True)
def _earlier(one, other, first, second):  # type: ignore[no-untyped-def]
    """Whether a way comes before another: at the first entry where they differ its owner is the lower one."""
    differing = (one ^ first) | (other ^ second)
    at = differing & -differing
    return (2 if other & at else 1 if one & at else 0) < (2 if second & at else 1 if first & at else 0)
