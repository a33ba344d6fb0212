"""Public face of the reads: `sl.pp.match_barcodes`."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from .. import _backend
from .._errors import InputError
from .._settings import Device
from ..kernels.matching import STATES, Policy, match
from ..kernels.whitelists import Whitelist
from .letters import ascii_rows
from .whitelists import find_whitelist, from_words, read_whitelist

__all__ = ["match_barcodes"]


def match_barcodes(sequences: Sequence[str] | np.ndarray, qualities: Sequence[str] | np.ndarray | None = None, *,
                   whitelist: str | os.PathLike[str] | Sequence[str] | np.ndarray | Whitelist,
                   policy: Policy = "cellranger", device: Device = "auto") -> pd.DataFrame:
    """Match cell barcodes to a whitelist, correcting one wrong base.

    Parameters
    ----------
    sequences
        Barcode of each read: a list of texts, or uint8 (n, L) of ASCII, L the length of the whitelist. Lower case reads
        as upper case, ``N`` and ``.`` as an unknown base.
    qualities
        Phred + 33, in the same shape, or None (then Q 33 everywhere).
    whitelist
        Path or stored name of a list (one barcode a line, plain or gzip), the barcodes themselves, or what
        `sclineage.reads.whitelists.read_whitelist` returns (reuse it between calls).
    policy
        ``cellranger``: posterior of each entry one substitution away from (1 + its exact reads) and the quality of the
        changed base, taken at 0.975 or more (Cell Ranger; STARsolo ``1MM_multi_Nbase_pseudocounts``). ``unique``: the
        only entry one substitution away, N read as G (bustools). ``calibrated``: an error model fitted to these reads,
        junk and two mismatches included, whose posterior is meant to be the true one.
    device
        ``auto``, ``cpu`` or ``cuda``; the result is the same.

    Returns
    -------
    One row per read: ``index`` int32, row of the whitelist as given, -1 for none; ``state`` categorical, exact,
    corrected, ambiguous (entries one mismatch away, none good enough), none, n (not corrected, with an N);
    ``posterior`` float32 of the best entry, taken or not (0 without one).

    Raises
    ------
    InputError
        A barcode of another length or with a letter that is no base, qualities of another shape or below ``!``, a
        whitelist that is empty, has an entry twice or cannot be read, an unknown policy.

    Notes
    -----
    The exact reads of all `sequences` are the prior of the correction, so give a whole library at once.
    """
    listed = _whitelist(whitelist)
    rows = ascii_rows(sequences, "sequences", length=listed.length)
    scores = None if qualities is None else _scores(qualities, rows)
    place = _backend.pick(device, kernel="barcodes")
    with _backend.threads(None):
        found = match(rows, scores, listed, policy=policy, device=place)
    state = pd.Categorical.from_codes(found.state.astype(np.int8), categories=pd.Index(STATES))
    return pd.DataFrame({"index": found.index, "state": state, "posterior": found.posterior})


def _whitelist(given: str | os.PathLike[str] | Sequence[str] | np.ndarray | Whitelist) -> Whitelist:
    if isinstance(given, Whitelist):
        return given
    if isinstance(given, str | os.PathLike):
        return read_whitelist(find_whitelist(given))
    return from_words(given)


def _scores(qualities: Sequence[str] | np.ndarray, rows: np.ndarray) -> np.ndarray:
    scores = ascii_rows(qualities, "qualities", length=rows.shape[1])
    if scores.shape != rows.shape:
        raise InputError("qualities", f"{scores.shape[0]} entries for {rows.shape[0]} sequences",
                         "give one quality text per sequence")
    if scores.size and (scores.min() < 33 or scores.max() > 126):
        row = int(np.flatnonzero(((scores < 33) | (scores > 126)).any(axis=1))[0])
        raise InputError("qualities", "a character outside '!' to '~'", "give Phred + 33", place=f"entry {row + 1}")
    return scores
