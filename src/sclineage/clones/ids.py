"""Stable clone ids: a hash of the anchor chain, so the same clone has the same id in every run, subset and order."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import pandas as pd

from .chains import ChainList

LENGTH = 12  # base32 letters, 60 bits: 1e6 clones collide with probability 4e-7
MAIN_SHARE = 0.75  # of an anchor's cells: the clone that holds them needs no partner in its id
DIGEST = 20  # bytes
_AT_ONCE = 1 << 16  # chains that are spelled at a time
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
    return str(_hashes([f"{core}|{v_gene}|{j_gene}".encode()])[0])


def _hashes(spelled: Iterable[bytes]) -> np.ndarray:
    """First letters of the base32 of the BLAKE2b of every text; object."""
    digests = np.frombuffer(b"".join([blake2b(text, digest_size=DIGEST).digest() for text in spelled]), np.uint8)
    head = np.ascontiguousarray(digests.reshape(-1, DIGEST)[:, :8]).view(">u8").astype(np.uint64)
    letters = _LETTERS[(head >> np.arange(59, 59 - 5 * LENGTH, -5, dtype=np.uint64)) & np.uint64(31)]
    return letters.view(f"S{LENGTH}").astype(f"U{LENGTH}").astype(object).ravel()


def chain_hashes(chains: ChainList, rows: np.ndarray) -> np.ndarray:
    """`chain_hash` of the chains `rows`; object."""
    out = np.empty(rows.size, dtype=object)
    kinds, example = np.unique(chains.kind[rows], return_index=True)
    genes = [f"|{v}|{j}".encode() for v, j in
             zip(*(chains.columns[g].take(rows[example]) for g in ("v_gene", "j_gene")), strict=True)]
    for low in range(0, rows.size, _AT_ONCE):
        some = rows[low:low + _AT_ONCE]
        kind = np.searchsorted(kinds, chains.kind[some]).tolist()
        out[low:low + _AT_ONCE] = _hashes([core + genes[k] for core, k in zip(chains.spelled(some), kind, strict=True)])
    return out


def clone_ids(patient: str, clones: pd.DataFrame, chains: ChainList) -> tuple[np.ndarray, pd.DataFrame]:
    """Ids of a patient's clones and the aliases under which a smaller or larger data set may know them.

    Parameters
    ----------
    patient
        Patient id: clones of different patients never share an id.
    clones
        `assign.Assignment.clones`.
    chains
        The chain list.

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
    ids = _prefixed(f"{patient}:", chain_hashes(chains, anchor))
    plain, plain_of_dual = ids[suffixed], ids[dual]
    ids[suffixed] = [f"{p}-{h}" for p, h in zip(plain, chain_hashes(chains, partner[suffixed]), strict=True)]
    rows = [(f"{patient}:{h}", i, "second_anchor") for h, i in
            zip(chain_hashes(chains, second[second >= 0]), ids[second >= 0], strict=True)]
    rows += [(p, i, "split") for p, i in zip(plain, ids[suffixed], strict=True)]
    for mates in (one, two):
        rows += [(f"{p}-{h}", i, "dual_partner") for p, h, i in
                 zip(plain_of_dual, chain_hashes(chains, mates[dual]), ids[dual], strict=True)]
    return ids, _aliases(rows, ids)


def alike(values: np.ndarray) -> np.ndarray:
    """Whether each of sorted values stands more than once."""
    same = values[1:] == values[:-1]
    return np.append(same, False) | np.append(False, same) if values.size else np.zeros(0, bool)


def _prefixed(prefix: str, texts: np.ndarray) -> np.ndarray:
    for row, text in enumerate(texts):  # in place, so that two lists of them never stand together
        texts[row] = prefix + text
    return texts


def _aliases(rows: list[tuple[str, str, str]], ids: np.ndarray) -> pd.DataFrame:
    asked = {row[0] for row in rows}
    taken = set(filter(asked.__contains__, ids))
    rows = sorted({row for row in rows if row[0] not in taken})
    return pd.DataFrame(rows, columns=["alias", "clone_id", "reason"], dtype=object)


def child_aliases(patient: str, clones: pd.DataFrame, ids: np.ndarray, chains: ChainList,
                  collapsed: pd.DataFrame) -> pd.DataFrame:
    """Ids that a collapsed anchor would have had on its own."""
    of = np.full(len(chains), -1, np.int32)
    of[clones["anchor"].to_numpy()] = np.arange(len(clones), dtype=np.int32)
    child, clone = collapsed["child"].to_numpy(np.int64), of[collapsed["parent"].to_numpy(np.int64)]
    child, clone = child[clone >= 0], clone[clone >= 0]
    return _aliases([(f"{patient}:{h}", i, "sequencing_error") for h, i in
                     zip(chain_hashes(chains, child), ids[clone], strict=True)], ids)
