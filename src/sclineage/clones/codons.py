"""The genetic code."""

from __future__ import annotations

_BASES = "TCAG"
_ACIDS = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
CODE = {a + b + c: _ACIDS[16 * i + 4 * j + k] for i, a in enumerate(_BASES) for j, b in enumerate(_BASES)
        for k, c in enumerate(_BASES)}


def translate(nucleotides: str) -> str:
    """Amino acids of a junction read in frame; ``_`` for a codon that is none."""
    return "".join(CODE.get(nucleotides[i:i + 3], "_") for i in range(0, len(nucleotides) - 2, 3))
