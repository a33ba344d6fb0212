"""The posterior of one cell over clones, in plain Python: the executable specification of `clones.posterior`.

Every hypothesis is a set of one or two clones. Its weight is its prior times the sum, over all ways to give each chain
seen to one of its clones or to the ambient (each clone owning at least one), of the product of the factors below.
"""

from __future__ import annotations

from itertools import combinations_with_replacement, product

from sclineage.clones.observed import CHANCE, Observed
from sclineage.clones.posterior import MOST_CLONES, SMOOTH, STRAY
from sclineage.clones.rates import Rates

NEW = "new"


class Cell:
    """One cell, the clones as the other cells know them, and the rates of its sample."""

    def __init__(self, i: int, obs: Observed, nuclei, rates: Rates, assigned, mine) -> None:
        self.k, self.r, self.s = nuclei, rates, int(obs.sample[i])
        entries = range(int(obs.ptr[i]), int(obs.ptr[i + 1]))
        self.chain = [int(obs.chain[e]) for e in entries]
        self.locus = [int(obs.locus[e]) for e in entries]
        self.umi = [int(obs.umi_class[e]) for e in entries]
        self.counted = [bool(mine[e]) for e in entries]
        self.ambient = [rates.ambient[self.s, obs.locus[e]] * obs.share[e] * rates.ambient_umi[self.s, obs.umi_class[e]]
                        for e in entries]
        self.home, self.stratum = int(assigned[i]), int(obs.stratum[i])

    def capture(self, locus: int) -> float:
        return float(self.r.capture[self.stratum, locus])

    def shows(self, e: int) -> float:
        """P(UMIs of entry e | it is an own chain)."""
        return float(self.r.own_umi[self.stratum, self.locus[e], self.umi[e]])

    def members(self, clone: int) -> dict[int, tuple[int, float]]:
        """Known chains of a clone without this cell: chain -> (locus, P(it is seen))."""
        out = {}
        for m in range(int(self.k.ptr[clone]), int(self.k.ptr[clone + 1])):
            chain, locus, support = int(self.k.chain[m]), int(self.k.locus[m]), self.k.support[m]
            if self.home == clone and any(c == chain and n for c, n in zip(self.chain, self.counted, strict=True)):
                support -= 1
            if support > 0:
                odds = self.k.lift[m] * self.capture(locus) / (1 - self.capture(locus))
                out[chain] = (locus, float(self.k.sure[m] * odds / (1 + odds)))
        return out

    def candidates(self) -> list[int]:
        found = []
        for chain in self.chain:
            for clone in map(int, self.k.of_clone[self.k.of_ptr[chain]:self.k.of_ptr[chain + 1]]):
                if clone not in found and self.k.size[clone] - (self.home == clone) > 0:
                    found.append(clone)
        assert len(found) <= MOST_CLONES, "the oracle does not choose among more"
        return found

    def prior(self, party) -> float:
        if party == NEW:
            return float(self.r.new[self.s])
        away = self.home == party
        rows = slice(int(self.k.sample_ptr[party]), int(self.k.sample_ptr[party + 1]))
        here = dict(zip(map(int, self.k.sample[rows]), map(int, self.k.sample_count[rows]), strict=True))
        in_sample = here.get(self.s, 0) - away
        pooled = (self.k.size[party] - away) / max(self.k.total, 1)
        return float((in_sample + SMOOTH * pooled) / (self.r.n[self.s] + SMOOTH))

    def chance(self, e: int, party) -> float:
        """P(a clone has the chain of entry e | it is not known to)."""
        chain = self.chain[e]
        by_chance, sister, seen, owned = map(float, self.k.of_chain[chain])
        owned -= self.counted[e]
        out = by_chance
        assert out >= CHANCE[self.locus[e]]
        if owned <= 0:
            out += STRAY * (seen - 1) / max(self.k.total, 1) / self.r.new[self.s]
        if party == NEW and self.locus[e] == 0:
            out += sister * max(owned, 0) / max(self.k.total, 1) / self.r.new[self.s]
        return out

    def extra_weight(self, party, locus: int, rank: int) -> float:
        """Factor of the rank-th chain of a locus beyond the known ones, over that of having none."""
        lost, second = 1 - self.capture(locus), float(self.k.second[locus])
        if party == NEW:
            return [1 / lost, second, 0.05 * second][min(rank, 2)]
        known = sum(1 for where, _ in self.members(party).values() if where == locus)
        bearing = self.k.bearing[party, locus]
        if self.home == party and any(n and x == locus for n, x in zip(self.counted, self.locus, strict=True)):
            bearing -= 1
        unseen = lost ** bearing  # the clone's other cells do not show it
        if known == 0:
            return [unseen / lost, second * unseen, 1e-3 * second * unseen][min(rank, 2)]
        first = second * unseen * (1 if known == 1 else 0.05)
        return first * 1e-3 ** min(rank, 2)

    def nothing_owned(self, party) -> float:
        """P(no chain of the clone is seen), its unknown ones included."""
        out = 1.0
        for locus in range(2):
            known = [p for where, p in (self.members(party).values() if party != NEW else ()) if where == locus]
            for p in known:
                out *= 1 - p
            if not known:
                out *= 1 - self.capture(locus)
        return out

    def owns(self, party, entries: list[int]) -> float:
        """P(the clone shows exactly these entries and no other known chain)."""
        known = self.members(party) if party != NEW else {}
        out, rank = self.nothing_owned(party), {0: 0, 1: 0}
        for e in entries:
            if self.chain[e] in known:
                p = known[self.chain[e]][1]
                out *= p / (1 - p) * self.shows(e)
            else:
                locus = self.locus[e]
                out *= self.capture(locus) * self.shows(e) * self.chance(e, party)
                out *= self.extra_weight(party, locus, rank[locus])
                rank[locus] += 1
        return out

    def likelihood(self, parties: tuple) -> tuple[float, list[float]]:
        """Sum over the ways to share the entries, and per entry the part in which it is not ambient."""
        n, total = len(self.chain), 0.0
        owned = [0.0] * n
        for way in product(range(len(parties) + 1), repeat=n):
            shares = [[e for e in range(n) if way[e] == k + 1] for k in range(len(parties))]
            if not all(shares):
                continue
            w = 1.0
            for party, share in zip(parties, shares, strict=True):
                w *= self.owns(party, share)
            for e in range(n):
                w *= self.ambient[e] if way[e] == 0 else 1.0
            w *= self.r.clump[self.s, way.count(0)]
            total += w
            for e in range(n):
                owned[e] += w * (way[e] > 0)
        return total, owned

    def posterior(self) -> tuple[dict[tuple, float], list[float]]:
        """Posterior of every hypothesis: ``()`` none, ``(c,)`` single, ``(c, d)`` doublet; and P(entry is own)."""
        parties = [*self.candidates(), NEW]
        nothing = float(self.r.none[self.stratum] * self.r.clump[self.s, len(self.chain)])
        for a in self.ambient:
            nothing *= a
        weight: dict[tuple, float] = {(): nothing}
        owned = [0.0] * len(self.chain)
        pairs = [(a, b) for a, b in combinations_with_replacement(parties, 2) if a != b or a == NEW]
        for hypothesis in [*((p,) for p in parties), *pairs]:
            prior = 1.0
            for party in hypothesis:
                prior *= self.prior(party)
            if len(hypothesis) == 2:
                prior *= self.r.doublet[self.s] * (1 if hypothesis[0] == hypothesis[1] else 2)
            mass, parts = self.likelihood(hypothesis)
            weight[hypothesis] = prior * mass
            owned = [o + prior * x for o, x in zip(owned, parts, strict=True)]
        total = sum(weight.values())
        return {h: w / total for h, w in weight.items()}, [o / total for o in owned]
