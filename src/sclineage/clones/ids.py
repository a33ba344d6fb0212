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
    """`chain_hash` of the chains `rows`; object (C), other chains have none."""
    out, chosen = np.full(len(chains), None, dtype=object), np.zeros(len(chains), bool)
    chosen[rows] = True
    rows = np.flatnonzero(chosen)
    kind, distinct = pd.factorize(chains.kind[rows])
    example = np.zeros(distinct.size, np.int64)
    example[kind] = rows
    genes = [f"|{v}|{j}".encode() for v, j in
             zip(*(chains.columns[g].take(example) for g in ("v_gene", "j_gene")), strict=True)]
    spelled = zip(chains.core.take(rows).texts(), kind.tolist(), strict=True)
    out[rows] = _hashes([core + genes[k] for core, k in spelled])
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
    split_by, anchor, second, one, two = (clones[c].to_numpy(np.int64) for c in
                                          ("split_by", "anchor", "second_anchor", "partner_1", "partner_2"))
    partner = np.where(split_by >= 0, split_by, one)
    shared = clones.duplicated("anchor", keep=False).to_numpy()
    main = (split_by < 0) & (clones["n_cells"] >= MAIN_SHARE * clones["n_anchor_cells"]).to_numpy()
    suffixed = (split_by >= 0) | (shared & ~main & (partner >= 0))
    dual = ~suffixed & (two >= 0)
    name = chain_hashes(chains, np.concatenate([anchor, partner[suffixed], second[second >= 0], one[dual], two[dual]]))
    plain = np.array([f"{patient}:{h}" for h in name[anchor]], dtype=object)
    ids = plain.copy()
    ids[suffixed] = [f"{p}-{h}" for p, h in zip(plain[suffixed], name[partner[suffixed]], strict=True)]
    rows = [(f"{patient}:{h}", i, "second_anchor") for h, i in
            zip(name[second[second >= 0]], ids[second >= 0], strict=True)]
    rows += [(p, i, "split") for p, i in zip(plain[suffixed], ids[suffixed], strict=True)]
    for mates in (name[one[dual]], name[two[dual]]):
        rows += [(f"{p}-{h}", i, "dual_partner") for p, h, i in zip(plain[dual], mates, ids[dual], strict=True)]
    return ids, _aliases(rows, set(ids))


def _aliases(rows: list[tuple[str, str, str]], taken: set[str]) -> pd.DataFrame:
    rows = sorted({row for row in rows if row[0] not in taken})
    return pd.DataFrame(rows, columns=["alias", "clone_id", "reason"], dtype=object)


def child_aliases(patient: str, clones: pd.DataFrame, ids: np.ndarray, chains: ChainList,
                  collapsed: pd.DataFrame) -> pd.DataFrame:
    """Ids that a collapsed anchor would have had on its own."""
    of = np.full(len(chains), -1, np.int64)
    of[clones["anchor"].to_numpy(np.int64)] = np.arange(len(clones))
    child, clone = collapsed["child"].to_numpy(np.int64), of[collapsed["parent"].to_numpy(np.int64)]
    child, clone = child[clone >= 0], clone[clone >= 0]
    name = chain_hashes(chains, child)[child]
    return _aliases([(f"{patient}:{h}", i, "sequencing_error") for h, i in zip(name, ids[clone], strict=True)],
                    set(ids))
