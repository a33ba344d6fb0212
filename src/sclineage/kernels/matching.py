"""Matching a whole library of barcodes: both passes, or the calibrated error model, on either device.

Built on the kernels of `barcodes`, which hold the contract. Slow plain version: ``tests/oracles/barcodes.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .. import _backend
from .._errors import InputError
from .barcodes import STATES, THRESHOLD, Place, complete, correct, look_up, match_packed, pack, shares, spill
from .barcodes_cpu import AMBIGUOUS, BAD_LETTER, CORRECTED, EXACT, MANY_N, NO_N, NONE, WITH_N, quality_histogram
from .whitelists import Whitelist

POLICIES = ("cellranger", "unique", "calibrated")
Policy = Literal["cellranger", "unique", "calibrated"]
_NO_QUALITY = 33 + 33  # the quality byte that stands for all when none are given

__all__ = ["POLICIES", "STATES", "Calibration", "ErrorTally", "Match", "Policy", "barcode_weights", "calibrate",
           "decide", "junk_share", "match", "ratio_bins", "settle", "weigh"]


@dataclass(frozen=True, slots=True)
class Match:
    """What became of each read.

    Attributes
    ----------
    index
        int32 (n,): row of the whitelist as given, -1 for none.
    state
        uint8 (n,): position in `STATES`.
    posterior
        float32 (n,): posterior of the best candidate, taken or not; 0 without one.
    changed
        int8 (n,): position of the corrected base, -1 where none was changed.
    counts
        int32 (barcodes,): exact reads by rank in the sorted list.
    """

    index: np.ndarray
    state: np.ndarray
    posterior: np.ndarray
    changed: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True, slots=True)
class Calibration:
    """Error model of one library.

    Attributes
    ----------
    error
        float64 (256,): probability that a base of this quality byte is wrong, from the library itself.
    weights
        float32 (barcodes,): reads each barcode is taken to have had, by rank.
    junk
        Share of the reads that stem from no barcode of the list.
    """

    error: np.ndarray
    weights: np.ndarray
    junk: float


def _there(array: np.ndarray | None, device: Place) -> Any:
    return array if array is None or device == "cpu" else _backend.to_device(array)


# --- the calibrated policy -------------------------------------------------------------------------------------------
_PRIOR_BASES = 1000.0  # bases that the nominal error rate of a quality counts for
_FEW = 32  # exact reads up to which a barcode's weight is what is expected of one with as many
_RATES = np.geomspace(1e-6, 4 * _FEW, 160)  # expected reads of a barcode, the grid of the mixture
_EM_STEPS = 1000
_ROWS = 4096  # barcodes weighed at a time
_CLEAN = 0.02  # misreads up to which a barcode tells of the mixture
_MASS_BINS = 64  # bins per factor of two of the likelihood ratio
_MIN_WEIGHT = 1e-6
_NO_MASS = np.iinfo(np.int64).min


@dataclass(slots=True)
class ErrorTally:
    """Bases read and misread by quality byte, summed over any parts of a library.

    Attributes
    ----------
    bases, wrong
        int64 (256,): bases of exact and corrected reads; those of them that were corrected.
    corrected, unresolved
        Reads corrected under ``cellranger``, and ambiguous ones, which are taken to err alike.
    """

    bases: np.ndarray
    wrong: np.ndarray
    corrected: int = 0
    unresolved: int = 0

    @classmethod
    def empty(cls) -> ErrorTally:
        """Tally of no read."""
        return cls(np.zeros(256, np.int64), np.zeros(256, np.int64))

    def add(self, qualities: np.ndarray | None, state: np.ndarray, changed: np.ndarray, length: int) -> None:
        """Add reads with their state and changed position under ``cellranger``."""
        corrected = np.flatnonzero((state == CORRECTED) & (changed >= 0))
        used = np.flatnonzero((state == EXACT) | ((state == CORRECTED) & (changed >= 0)))
        if qualities is None:
            self.bases[_NO_QUALITY] += used.size * length
            self.wrong[_NO_QUALITY] += corrected.size
        else:
            quality_histogram(qualities, used, self.bases)
            self.wrong += np.bincount(qualities[corrected, changed[corrected]], minlength=256)
        self.corrected += corrected.size
        self.unresolved += int(np.count_nonzero(state == AMBIGUOUS))

    def rates(self) -> tuple[np.ndarray, float]:
        """Error rate by quality byte, shrunk to the nominal one, float64 (256,), and the plain rate per base."""
        scale = (self.corrected + self.unresolved) / self.corrected if self.corrected else 1.0
        nominal = np.clip(10.0 ** (-(np.arange(256) - 33) / 10.0), 1e-5, 0.75)
        rates = (self.wrong * scale + _PRIOR_BASES * nominal) / (self.bases + _PRIOR_BASES)
        return rates, float(self.wrong.sum() * scale / max(self.bases.sum(), 1))


def _log_poisson(reads: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Log chance of these reads at these rates, but for a term of the reads alone; (reads, rates)."""
    out: np.ndarray = reads[:, None] * np.log(rates) - rates
    return out - out.max(1, keepdims=True)


def rate_shares(barcodes: np.ndarray) -> np.ndarray:
    """Share of the barcodes at each of `_RATES`, float64, by EM on the number of barcodes with 0, 1, 2 ... exact reads.

    The maximum-likelihood mixture of Poisson laws (Kiefer and Wolfowitz): ambient barcodes and cells find themselves.
    """
    given = np.exp(_log_poisson(np.arange(float(barcodes.size)), _RATES[None]))
    share = np.full(_RATES.size, 1.0 / _RATES.size)
    for _ in range(_EM_STEPS):
        joint = given * share
        share = (joint * (barcodes / joint.sum(1))[:, None]).sum(0) / barcodes.sum()
    return share


def _expected(reads: np.ndarray, misread: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Own reads to be expected of barcodes with these exact reads, of which so many are expected to be misreads."""
    out = np.empty(reads.size)
    for k in range(0, reads.size, _ROWS):
        part = slice(k, k + _ROWS)
        weight = np.exp(_log_poisson(reads[part].astype(np.float64), _RATES + misread[part, None])) * share
        out[part] = (weight * _RATES).sum(1) / np.maximum(weight.sum(1), np.finfo(np.float64).tiny)
    return out


def barcode_weights(counts: np.ndarray, whitelist: Whitelist, rate: float, device: Place) -> np.ndarray:
    """Reads each barcode is expected to give, float32.

    Of a barcode with many exact reads these, less the misreads of its neighbours. Of one with few or none what the
    whole library lets expect of it (empirical Bayes): one seen once may well be ambient, and is then hardly ever seen.
    """
    seen = np.flatnonzero(counts > 0)
    reads, near = counts[seen], _backend.to_host(spill(seen, whitelist, counts=_there(counts, device), device=device))
    clean = reads[(near * (rate / 3.0) < _CLEAN) & (reads < 2 * _FEW)]
    barcodes = np.bincount(clean, minlength=2 * _FEW)
    barcodes[0] = whitelist.n - seen.size
    share = rate_shares(barcodes) if barcodes.any() else np.full(_RATES.size, 1.0 / _RATES.size)
    own = np.maximum(reads - near * (rate / 3.0), 0.0)
    few = np.flatnonzero(reads <= _FEW)
    kinds, kind = np.unique(near[few] * (_FEW + 1) + reads[few], return_inverse=True)
    own[few] = _expected(kinds % (_FEW + 1), kinds // (_FEW + 1) * (rate / 3.0), share)[kind]
    weights = np.full(whitelist.n, _expected(np.zeros(1), np.zeros(1), share)[0], np.float64)
    weights[seen] = own
    return np.maximum(weights, _MIN_WEIGHT).astype(np.float32)


def ratio_bins(mass: np.ndarray, scale: np.ndarray, weight: float, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Histogram of the likelihood ratio list : uniform; bins (int64, ascending) and reads in them."""
    fraction, exponent = np.frexp(mass / scale * (4.0**length / weight))
    bins = exponent.astype(np.int64) * _MASS_BINS + np.floor(fraction * 2 * _MASS_BINS).astype(np.int64)
    bins[mass == 0] = _NO_MASS
    return np.unique(bins, return_counts=True)


def junk_share(bins: np.ndarray, reads: np.ndarray) -> float:
    """Share of junk by EM on the histogram of `ratio_bins`, so that the order of the reads is nothing."""
    exponents = (bins - _MASS_BINS) // _MASS_BINS
    ratio = np.ldexp((bins - exponents * _MASS_BINS + 0.5) / (2 * _MASS_BINS), np.clip(exponents, -1000, 1000))
    ratio[bins == _NO_MASS] = 0.0
    junk = 0.01
    for _ in range(300):
        junk = float((reads * (junk / (junk + (1.0 - junk) * ratio))).sum() / max(reads.sum(), 1))
    return junk


def weigh(codes: np.ndarray, n_at: np.ndarray, exact: np.ndarray, qualities: np.ndarray | None, whitelist: Whitelist, *,
          weights: np.ndarray, error: np.ndarray, device: Place) -> tuple[np.ndarray, ...]:
    """`barcodes.shares` from and to host arrays."""
    found = shares(_there(codes, device), _there(n_at, device), _there(exact, device), _there(qualities, device),
                   whitelist, weights=_there(weights, device), error=error, device=device)
    return tuple(_backend.to_host(a) for a in found)


def calibrate(codes: Any, n_at: Any, exact: Any, qualities: Any | None, whitelist: Whitelist, *, counts: np.ndarray,
              device: Place = "cpu") -> tuple[Calibration, tuple[Any, ...]]:
    """Fit the error model of a library and weigh every read with it.

    The posterior of a candidate is its share of all that could have given the read: the barcodes at zero, one and two
    mismatches, each with (reads of the barcode) * product of e / 3 / (1 - e) over the mismatches, and junk, uniform
    over sequences. Everything is fitted from the library: e by quality byte from the bases corrected under
    ``cellranger`` (shrunk to the nominal rate with the weight of 1,000 bases), the reads of a barcode from its exact
    reads less the misreads its neighbours must have left there (if few, by empirical Bayes: `barcode_weights`), the
    share of junk by EM. No named peer has this policy; its posterior is meant to be true: of the reads at posterior p,
    a share p is right.

    Parameters
    ----------
    codes, n_at, exact, qualities
        All reads of the library, on the host; `exact` is the rank that `look_up` gave.
    counts
        int32 (barcodes,): exact reads by rank.

    Returns
    -------
    The model, and what `settle` needs to decide.
    """
    todo = np.flatnonzero(exact < 0)
    state, changed = np.full(exact.size, EXACT, np.uint8), np.full(exact.size, NO_N, np.int8)
    rows = None if qualities is None else qualities[todo]
    first = correct(_there(codes[todo], device), _there(n_at[todo], device), _there(rows, device), whitelist,
                    counts=_there(counts, device), device=device)
    _, state[todo], _, changed[todo] = (_backend.to_host(a) for a in first)
    tally = ErrorTally.empty()
    tally.add(qualities, state, changed, whitelist.length)
    error, rate = tally.rates()
    weights = barcode_weights(counts, whitelist, rate, device)
    out = weigh(codes, n_at, exact, qualities, whitelist, weights=weights, error=error, device=device)
    use = n_at != MANY_N
    junk = junk_share(*ratio_bins(out[4][use], out[5][use], float(weights.sum(dtype=np.float64)), whitelist.length))
    return Calibration(error, weights, junk), out


def settle(model: Calibration, n_at: np.ndarray, exact: np.ndarray, weighed: tuple[Any, ...], length: int,
           ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Decide with the calibrated posterior: ranks, states, posteriors and changed positions as `correct` gives them."""
    ranks, changed, found, best, mass, scale = weighed
    total = float(model.weights.sum(dtype=np.float64))
    junk = model.junk / max(1.0 - model.junk, 1e-12) * total * 4.0**-length
    posterior = best / (mass + np.maximum(junk * scale, np.finfo(np.float64).tiny))
    taken = (exact < 0) & (found > 0) & (posterior >= THRESHOLD)
    state = np.where(n_at != NO_N, WITH_N, np.where(found > 0, AMBIGUOUS, NONE))
    state = np.where(exact >= 0, EXACT, np.where(taken, CORRECTED, state)).astype(np.uint8)
    kept = taken | (exact >= 0)
    return (np.where(kept, ranks, -1).astype(np.int32), state, posterior.astype(np.float32),
            np.where(taken, changed, NO_N).astype(np.int8))


# --- all at once -----------------------------------------------------------------------------------------------------
def match(sequences: np.ndarray, qualities: np.ndarray | None, whitelist: Whitelist, *, policy: Policy = "cellranger",
          device: Place = "cpu") -> Match:
    """Match the barcodes of a whole library held in memory.

    Parameters
    ----------
    sequences
        uint8 (n, L): ASCII bases, L the length of the whitelist.
    qualities
        uint8 (n, L): Phred + 33, or None.
    policy
        ``cellranger``, ``unique`` or ``calibrated``.

    Raises
    ------
    InputError
        The policy is unknown, the length is not that of the list, or a letter is no base.
    """
    if policy not in POLICIES:
        raise InputError("policy", f"found {policy!r}", f"use one of {', '.join(POLICIES)}")
    if sequences.ndim != 2 or sequences.shape[1] != whitelist.length:
        raise InputError("sequences", f"array of shape {sequences.shape}",
                         f"the whitelist needs (reads, {whitelist.length})")
    codes, n_at = pack(_there(sequences, device), device=device)
    _refuse_letters(sequences, _backend.to_host(n_at), whitelist.length)
    counts = _there(np.zeros(whitelist.n, np.int32), device)
    if policy == "calibrated":
        exact = look_up(codes, n_at, whitelist, counts=counts, device=device)
        n_at, exact = _backend.to_host(n_at), _backend.to_host(exact)
        model, weighed = calibrate(_backend.to_host(codes), n_at, exact, qualities, whitelist,
                                   counts=_backend.to_host(counts), device=device)
        result: tuple[Any, ...] = settle(model, n_at, exact, weighed, whitelist.length)
    else:
        result = match_packed(codes, n_at, qualities, whitelist, counts=counts, policy=policy, device=device)
    ranks, state, posterior, changed = (_backend.to_host(a) for a in result)
    return Match(whitelist.rows(ranks), state, posterior, changed, _backend.to_host(counts))


def decide(codes: np.ndarray, n_at: np.ndarray, exact: np.ndarray, qualities: np.ndarray | None,
           whitelist: Whitelist, *, counts: np.ndarray, policy: Policy = "cellranger",
           model: Calibration | None = None, device: Place = "cpu",
           ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ranks, states, posteriors and changed positions of some reads of a library whose counts are known.

    Parameters
    ----------
    codes, n_at, exact, qualities
        The reads, on the host; `exact` is the rank that `look_up` gave.
    counts
        int32 (barcodes,): exact reads of the whole library, by rank.
    model
        Error model of the library; needed for ``calibrated``.
    """
    if policy == "calibrated":
        if model is None:
            raise ValueError("the policy calibrated needs a model")
        weighed = weigh(codes, n_at, exact, qualities, whitelist, weights=model.weights, error=model.error,
                        device=device)
        return settle(model, n_at, exact, weighed, whitelist.length)
    found = complete(_there(codes, device), _there(n_at, device), _there(exact.copy(), device), qualities, whitelist,
                     counts=_there(counts, device), policy=policy, device=device)
    ranks, state, posterior, changed = (_backend.to_host(a) for a in found)
    return ranks, state, posterior, changed


def _refuse_letters(sequences: np.ndarray, n_at: np.ndarray, length: int) -> None:
    if n_at.size == 0 or n_at.min() != BAD_LETTER:
        return
    row = int(np.flatnonzero(n_at == BAD_LETTER)[0])
    text = sequences[row, :length].tobytes().decode("ascii", "replace")
    raise InputError("sequences", f"read {text!r} has a letter that is no base", "use A, C, G, T or N",
                     place=f"read {row + 1}")
