"""Stable clone ids: a hash of the anchor chain, so the same clone has the same id in every run, subset and order."""

from __future__ import annotations

from hashlib import blake2b
from itertools import repeat

import numpy as np
import pandas as pd

from .chains import ChainList
from .ids_cells import heads as heads_

LENGTH = 12  # base32 letters, 60 bits: 1e6 clones collide with probability 4e-7
MAIN_SHARE = 0.75  # of an anchor's cells: the clone that holds them needs no partner in its id
DIGEST = 20  # bytes
_AT_ONCE = 1 << 14  # chains that are spelled at a time
_LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", np.uint8)


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
    digest = blake2b(f"{core}|{v_gene}|{j_gene}".encode(), digest_size=DIGEST).digest()
    return str(_spelled(np.frombuffer(digest[:8], ">u8").astype(np.uint64))[0])


def chain_heads(chains: ChainList) -> np.ndarray:
    """What `chain_hash` spells of every chain, as a number: the first 8 bytes of its digest; uint64 (C)."""
    kinds, kind, example = _numbered(chains.kind)
    texts = [f"|{v}|{j}".encode() for v, j in
             zip(*(chains.columns[g].take(example) for g in ("v_gene", "j_gene")), strict=True)]
    ptr = np.zeros(kinds + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=ptr[1:])
    return np.asarray(heads_(*chains.core, kind, np.frombuffer(b"".join(texts) + b" ", np.uint8), ptr))


def _numbered(kind: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """How many kinds occur, the number of every row's among them (int32), and a row of each."""
    code, distinct = pd.factorize(kind)
    example = np.zeros(distinct.size, np.int64)
    example[code] = np.arange(kind.size)
    return distinct.size, code.astype(np.int32), example


def _spelled(head: np.ndarray, prefix: str = "") -> np.ndarray:
    """Letters of the heads behind a prefix; object."""
    out = np.empty(head.size, dtype=object)
    for low in range(0, head.size, _AT_ONCE):
        some = head[low:low + _AT_ONCE, None]
        letters = _LETTERS[(some >> np.arange(59, 59 - 5 * LENGTH, -5, dtype=np.uint64)) & np.uint64(31)]
        words = letters.view(f"S{LENGTH}").astype(f"U{LENGTH}").ravel()
        out[low:low + _AT_ONCE] = np.char.add(prefix, words).astype(object) if prefix else words.astype(object)
    return out


def clone_ids(patient: str, clones: pd.DataFrame, heads: np.ndarray) -> tuple[np.ndarray, pd.DataFrame]:
    """Ids of a patient's clones and the aliases under which a smaller or larger data set may know them.

    Parameters
    ----------
    patient
        Patient id: clones of different patients never share an id.
    clones
        `assign.Assignment.clones`.
    heads
        `chain_heads` of the chain list.

    Returns
    -------
    ids
        ``<patient>:<hash>``; clones that share their anchor carry ``-<hash of the partner chain>`` besides, unless
        they hold three quarters of the anchor's cells.
    aliases
        ``alias, clone_id, reason`` (second_anchor, split, dual_partner), sorted.
    """
    split_by, anchor, second, one, two = (clones[c].to_numpy() for c in
                                          ("split_by", "anchor", "second_anchor", "partner_1", "partner_2"))
    partner = np.where(split_by >= 0, split_by, one)
    main = (split_by < 0) & (clones["n_cells"] >= MAIN_SHARE * clones["n_anchor_cells"]).to_numpy()
    suffixed = np.flatnonzero((split_by >= 0) | (alike(anchor) & ~main & (partner >= 0)))
    dual = two >= 0
    dual[suffixed] = False
    ids = _spelled(heads[anchor], f"{patient}:")
    plain, plain_of_dual = ids[suffixed], ids[dual]
    ids[suffixed] = [f"{p}-{h}" for p, h in zip(plain, _spelled(heads[partner[suffixed]]), strict=True)]
    has = second >= 0
    rows = list(zip(_spelled(heads[second[has]], f"{patient}:"), ids[has], repeat("second_anchor")))
    rows += zip(plain, ids[suffixed], repeat("split"))
    for mates in (one, two):
        rows += [(f"{p}-{h}", i, "dual_partner") for p, h, i in
                 zip(plain_of_dual, _spelled(heads[mates[dual]]), ids[dual], strict=True)]
    return ids, _aliases(rows, ids)


def alike(values: np.ndarray) -> np.ndarray:
    """Whether each of sorted values stands more than once."""
    same = values[1:] == values[:-1]
    return np.append(same, False) | np.append(False, same) if values.size else np.zeros(0, bool)


def _aliases(rows: list[tuple[str, str, str]], ids: np.ndarray) -> pd.DataFrame:
    asked = {row[0] for row in rows}
    taken = set(filter(asked.__contains__, ids))
    rows = sorted({row for row in rows if row[0] not in taken})
    return pd.DataFrame(rows, columns=["alias", "clone_id", "reason"], dtype=object)


def child_aliases(patient: str, clones: pd.DataFrame, ids: np.ndarray, heads: np.ndarray,
                  collapsed: pd.DataFrame) -> pd.DataFrame:
    """Ids that a collapsed anchor would have had on its own."""
    of = np.full(heads.size, -1, np.int32)
    of[clones["anchor"].to_numpy()] = np.arange(len(clones), dtype=np.int32)
    child, clone = collapsed["child"].to_numpy(np.int64), of[collapsed["parent"].to_numpy(np.int64)]
    child, clone = child[clone >= 0], clone[clone >= 0]
    return _aliases(list(zip(_spelled(heads[child], f"{patient}:"), ids[clone], repeat("sequencing_error"))), ids)
