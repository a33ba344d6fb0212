"""Random TRB CDR3 (amino acids) with the length, the ends and the neighbour density of unselected human receptors.

A V end, a piece of D between random N residues, and a J start are joined and trimmed; usage and residue weights are
rough human values, not fitted. `planted` adds sequences one or two edits from drawn ones.
"""

from __future__ import annotations

import numpy as np

V_ENDS = {"CASSL": 18, "CASSP": 8, "CASSQ": 9, "CASSE": 8, "CASSY": 6, "CASSF": 5, "CASSV": 4, "CASSD": 4, "CASSS": 4,
          "CASSR": 2, "CASR": 3, "CASSLG": 3, "CASSIR": 2, "CSARD": 5, "CSAR": 3, "CAWSV": 3, "CAISE": 3, "CASTL": 2,
          "CATSR": 3, "CASSPT": 2, "CAWN": 1, "CASNL": 2}
J_STARTS = {"NTEAFF": 14, "NYGYTF": 8, "SGNTIYF": 4, "TNEKLFF": 6, "SNQPQHF": 8, "YNSPLHF": 3, "SYNEQFF": 13,
            "NTGELFF": 9, "STDTQYF": 11, "KNIQYF": 2, "QETQYF": 8, "SGANVLTF": 2, "SYEQYF": 14}
D_PIECES = {"": 20, "G": 16, "GG": 6, "GTG": 5, "TG": 4, "GTGG": 3, "GQG": 5, "GQ": 4, "RG": 5, "DR": 4, "DRG": 3,
            "TSG": 4, "TS": 3, "GTS": 3, "LAG": 3, "GLAG": 2, "AG": 4, "SG": 5, "LA": 2, "GA": 3}
RESIDUES = "GRPSTALVDEQNWKYIHFMC"
WEIGHTS = np.array([15, 10, 9, 9, 8, 7, 7, 5, 6, 4, 4, 3, 2, 2, 2, 2, 2, 1, 1, 0.3])
CUT_V = [0.35, 0.4, 0.2, 0.05]
CUT_J = [0.3, 0.3, 0.2, 0.15, 0.05]
N_RESIDUES = [0.12, 0.24, 0.27, 0.19, 0.11, 0.05, 0.02]


def _pick(rng: np.random.Generator, weighted: dict[str, int], n: int) -> list[str]:
    p = np.array(list(weighted.values()), dtype=float)
    names = list(weighted)
    return [names[k] for k in rng.choice(p.size, size=n, p=p / p.sum())]


def _random_residues(rng: np.random.Generator, n: int) -> list[str]:
    sizes = rng.choice(len(N_RESIDUES), size=n, p=N_RESIDUES)
    letters = "".join(np.array(list(RESIDUES))[rng.choice(20, size=int(sizes.sum()), p=WEIGHTS / WEIGHTS.sum())])
    ends = np.cumsum(sizes)
    return [letters[end - size:end] for size, end in zip(sizes.tolist(), ends.tolist(), strict=True)]


def _draw(rng: np.random.Generator, n: int) -> list[str]:
    cut_v, cut_j = rng.choice(4, size=n, p=CUT_V), rng.choice(5, size=n, p=CUT_J)
    parts = zip(_pick(rng, V_ENDS, n), cut_v.tolist(), _random_residues(rng, n), _pick(rng, D_PIECES, n),
                _random_residues(rng, n), _pick(rng, J_STARTS, n), cut_j.tolist(), strict=True)
    return [v[:len(v) - a] + n1 + d + n2 + j[min(b, len(j) - 3):] for v, a, n1, d, n2, j, b in parts]


def _edited(rng: np.random.Generator, sequence: str, edits: int) -> str:
    for _ in range(edits):
        if len(sequence) < 6:  # nothing between the ends
            return sequence
        at, kind = int(rng.integers(3, len(sequence) - 2)), int(rng.integers(3))
        letter = RESIDUES[int(rng.integers(20))]
        sequence = sequence[:at] + ("" if kind == 0 else letter) + sequence[at + (kind != 1):]
    return sequence


def planted(sequences: list[str], *, share: float, seed: int) -> list[str]:
    """The sequences, a share of them replaced by copies of others with one or two edits."""
    rng = np.random.default_rng([seed, 1])
    result = list(sequences)
    for row in rng.choice(len(result), size=int(share * len(result)), replace=False).tolist():
        result[row] = _edited(rng, sequences[int(rng.integers(len(sequences)))], int(rng.integers(1, 3)))
    return result


def unique_cdr3(n: int, *, seed: int = 0, share: float = 0.01) -> list[str]:
    """`n` different CDR3 in random order, some with planted neighbours."""
    rng = np.random.default_rng([seed, 0])
    found: dict[str, None] = {}
    while len(found) < n:
        drawn = _draw(rng, n - len(found) + 1000)
        found |= dict.fromkeys(planted(drawn, share=share, seed=seed + len(found)))
    return list(found)[:n]
