"""Genes that must not shape the embedding: what defines a clone, a vector or a stressed cell is not a cell type."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

# segments and constant genes of receptors (TRBC1 against TRBC2 is a clone's choice), mitochondrial, ribosomal genes
MASKED = re.compile(
    r"TR[ABGD]V(\d.*|[AB])|TR[BD]D\d|TR[ABGD]J(\d.*|P\d*)|TR(AC|DC|BC\d|GC\d)"
    r"|IG[HKL]V.*|IGHD(\d.*)?|IG[HKL]J\d.*|IGH([ME]|[GA]\d|GP|EP\d)|IGKC|IGLC\d"
    r"|MT-.*|RP[SL]\d+[AXYL]?\d*(-\d+)?|RPLP\d|RPSA\d?", re.IGNORECASE)


def masked(names: Iterable[str], *, extra: Iterable[str] = ()) -> np.ndarray:
    """Whether each gene is kept out of the highly variable genes.

    Parameters
    ----------
    names
        Gene symbols.
    extra
        Further names: CAR and viral features. With them in, a "CAR cluster" would be found because it was put in.

    Returns
    -------
    bool, one per name.
    """
    further = set(extra)
    return np.array([n in further or MASKED.fullmatch(n) is not None for n in map(str, names)], dtype=bool)
