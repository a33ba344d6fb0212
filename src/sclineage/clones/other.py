"""Receptors that make no alpha-beta clone: gamma-delta and B-cell chains. Recorded, and used against doublets.

Gamma-delta chains name no clone: the TRG chains of the commonest gamma-delta cells are public, and a frequency among
cells with a TRB would be none of theirs. Cells that show only such chains have the status ``no_receptor`` and their
``receptor_kind`` says what they showed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .flat import Words
from .observed import UMI_CLASSES
from .rates import DEFAULT_AMBIENT_UMI, DEFAULT_CAPTURE, DEFAULT_OWN, WEIGHT

KINDS = {"alpha_beta": ("TRA", "TRB"), "gamma_delta": ("TRG", "TRD"), "B_cell": ("IGH", "IGK", "IGL")}
_B = KINDS["B_cell"]


def kinds_shown(cell: np.ndarray, locus: Words, productive: np.ndarray, n_cells: int) -> np.ndarray:
    """Kinds of productive chains that each cell shows, given cell and locus of every one: bool (kinds, n)."""
    bits = np.zeros((len(KINDS), n_cells), bool)
    for row, loci in enumerate(KINDS.values()):
        bits[row, cell[productive & np.isin(locus.texts, loci)[locus.codes]]] = True
    return bits


def kind_names(bits: np.ndarray) -> np.ndarray:
    """Names of the kinds whose bits are set, uint8 (n,), the first kind lowest, joined by ``+``; object (n,)."""
    sets = range(1 << len(KINDS))
    names = ["+".join(kind for row, kind in enumerate(KINDS) if (chosen >> row) & 1) for chosen in sets]
    return np.array(names, dtype=object)[bits]


def beside_b_cell(table: pd.DataFrame, shown: np.ndarray, sample: np.ndarray, doublet: np.ndarray) -> np.ndarray:
    """P(a cell with a T-cell receptor is also a B cell), from its immunoglobulin chains. float64 per cell.

    Immunoglobulin chains of a T cell are ambient or those of a B cell in the same droplet. The rate of ambient ones
    is that of chains of one or two UMIs in T cells; the prior of a B cell is the doublet rate times the share of B
    cells.

    Parameters
    ----------
    table
        Chain table.
    shown
        `kinds_shown` of it.
    sample
        Sample per cell.
    doublet
        Doublet share per sample.
    """
    t_cell, b_only = shown[0], shown[2] & ~shown[0] & ~shown[1]
    if not shown[2].any():
        return np.zeros(sample.size)
    rows = table[table["productive"].to_numpy(bool) & table["locus"].isin(_B).to_numpy()]
    rows = rows.sort_values(["cell", "umis"], kind="stable")
    cell, umi = rows["cell"].to_numpy(np.int64), np.maximum(rows["umis"].to_numpy(np.int64), 1)
    n = doublet.size
    n_t, n_b = (np.bincount(sample[x], minlength=n) for x in (t_cell, b_only))
    weak = np.bincount(sample[cell[t_cell[cell] & (umi <= 2)]], minlength=n)
    ambient = (weak + 0.02 * WEIGHT) / (n_t + WEIGHT)
    share_b = (n_b + 0.05 * WEIGHT) / (n_t + n_b + WEIGHT)
    group = np.searchsorted(UMI_CLASSES, umi, side="right") - 1
    own = DEFAULT_CAPTURE[0] * DEFAULT_OWN[0][group]
    seen = np.log(own) - np.log(ambient[sample[cell]] * DEFAULT_AMBIENT_UMI[group])
    log_odds = np.log(doublet * share_b)[sample] + np.bincount(cell, seen, minlength=sample.size)
    has = np.bincount(cell, minlength=sample.size) > 0
    return np.where(t_cell & has, 1 / (1 + np.exp(-np.clip(log_odds, -50, 50))), 0.0)
