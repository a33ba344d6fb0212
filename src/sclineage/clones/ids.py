"""Stable clone ids: a hash of the anchor chain, so the same clone has the same id in every run, subset and order."""

from __future__ import annotations

import base64
import hashlib

import numpy as np
import pandas as pd

LENGTH = 12  # base32 letters, 60 bits: 1e6 clones collide with probability 4e-7
MAIN_SHARE = 0.75  # of an anchor's cells: the clone that holds them needs no partner in its id


def chain_hash(core: str, v_gene: str, j_gene: str) -> str:
    """First 12 base32 letters (lower case) of the BLAKE2b of a chain.

    Parameters
    ----------
    core
        Junction nucleotides without the two anchor codons, upper case (`normalise.core`): tables with and without
        these codons give one id.
    v_gene, j_gene
        IMGT genes without allele.
    """
    digest = hashlib.blake2b(f"{core}|{v_gene}|{j_gene}".encode(), digest_size=20).digest()
    return base64.b32encode(digest).decode().lower()[:LENGTH]


def _hashes(frame: pd.DataFrame, rows: np.ndarray) -> dict[int, str]:
    chosen = frame.iloc[np.unique(rows[rows >= 0])]
    return {int(i): chain_hash(c, v, j) for i, c, v, j in
            zip(chosen.index, chosen["core"], chosen["v_gene"], chosen["j_gene"], strict=True)}


def clone_ids(patient: str, clones: pd.DataFrame, chains: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Ids of a patient's clones and the aliases under which a smaller or larger data set may know them.

    Parameters
    ----------
    patient
        Patient id: clones of different patients never share an id.
    clones
        `assign.Assignment.clones`.
    chains
        `chains.ChainList.frame`.

    Returns
    -------
    ids
        ``<patient>:<hash>``; clones that share their anchor carry ``-<hash of the partner chain>`` besides, unless
        they hold three quarters of the anchor's cells.
    aliases
        ``alias, clone_id, reason`` (second_anchor, split, dual_partner), sorted.
    """
    split_by, anchor = clones["split_by"].to_numpy(), clones["anchor"].to_numpy()
    partner = np.where(split_by >= 0, split_by, clones["partner_1"].to_numpy())
    shared = clones.duplicated("anchor", keep=False).to_numpy()
    main = (split_by < 0) & (clones["n_cells"] >= MAIN_SHARE * clones["n_anchor_cells"]).to_numpy()
    used = np.concatenate([anchor, partner, *(clones[c].to_numpy() for c in
                                              ("second_anchor", "partner_1", "partner_2"))])
    name = _hashes(chains, used)
    plain = np.array([f"{patient}:{name[a]}" for a in anchor], dtype=object)
    suffixed = (split_by >= 0) | (shared & ~main & (partner >= 0))
    ids = np.array([f"{p}-{name[b]}" if s else p for p, b, s in zip(plain, partner, suffixed, strict=True)],
                   dtype=object)
    return ids, _aliases(patient, clones, ids, plain, suffixed, name)


def _aliases(patient: str, clones: pd.DataFrame, ids: np.ndarray, plain: np.ndarray, suffixed: np.ndarray,
             name: dict[int, str]) -> pd.DataFrame:
    second, one, two = (clones[c].to_numpy(np.int64) for c in ("second_anchor", "partner_1", "partner_2"))
    rows = [(f"{patient}:{name[second[i]]}", ids[i], "second_anchor") for i in np.flatnonzero(second >= 0)]
    rows += [(plain[i], ids[i], "split") for i in np.flatnonzero(suffixed)]
    for i in np.flatnonzero(~suffixed & (two >= 0)):
        rows += [(f"{plain[i]}-{name[p]}", ids[i], "dual_partner") for p in (one[i], two[i])]
    taken = set(ids)
    rows = sorted({r for r in rows if r[0] not in taken})
    return pd.DataFrame(rows, columns=["alias", "clone_id", "reason"], dtype=object)
