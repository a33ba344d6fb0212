"""Words: what the evidence allows to say of a unit, and why not more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import poisson

from . import controls
from .panel import Assessed, blocked

SURE, DECADES, RESOLVED = 0.95, 1.3, 0.5  # posterior; log10 Bayes factor; log10 ratio of clonal to mixed
LIKELY, EXCLUDED = 0.5, 0.01  # least posterior of no CAR, and largest of a clonal one, where a clonal CAR is excluded
CLONAL = 0.995  # posterior of a clonal CAR for `CAR_positive`
MINOR_DECADES = 3.0  # of members in a sort of a clone that is free of a clonal CAR: more than one doublet can give
MIN_NEGATIVE_CELLS = 4
MIN_CLONAL_CELLS = 10  # fewer cells cannot show that all members carry
BACKGROUND_LIMIT = 0.25  # misassigned reads per carrying cell's reads, above which absence means nothing
POISSON_TAIL = 0.01


@dataclass(frozen=True, slots=True)
class Support:
    """What a negative statement on each unit rests on: the unit's cells in samples with a positive control.

    Attributes
    ----------
    core
        bool (units,): the evidence itself excludes a clonal CAR, whatever was measured.
    strength
        int64 (units,): weakest control of the cells used (`controls.NONE`, `PAIRED`, `SAME`).
    silent, segment_seen, unique
        bool (units,): a control is silent; the chemistry sees the segment; few counts are misassigned reads. Cells
        of libraries that fail one of them have no control.
    whole_cds
        bool (units,): a library of the unit counts the whole coding sequence.
    """

    core: np.ndarray
    strength: np.ndarray
    silent: np.ndarray
    segment_seen: np.ndarray
    unique: np.ndarray
    whole_cds: np.ndarray


def no_clonal(state: np.ndarray) -> np.ndarray:
    """Whether posteriors (units, 3) leave a clonal CAR out: it is excluded, and none is likelier than some."""
    return (state[:, 0] >= LIKELY) & (state[:, 1] <= EXCLUDED)


def excludes_clonal(found: Assessed, strength: np.ndarray) -> np.ndarray:
    """Whether a clonal, expressed CAR is excluded by posterior and Bayes factors, with and without background doubt.

    The Bayes factor must hold for every expression down to 0.18 of the control's (same library) or 0.10 (another).
    """
    out = (found.n >= MIN_NEGATIVE_CELLS) & no_clonal(found.posterior.state) & no_clonal(found.base_state)
    for evidence in (found.evidence, found.other):
        if evidence is None:
            continue
        strict = np.where(strength == controls.SAME, evidence.excluded_at(controls.MULTIPLIER[controls.SAME]),
                          evidence.excluded_at(controls.MULTIPLIER[controls.PAIRED]))
        out &= (evidence.log10_clonal <= -DECADES) & (strict <= -DECADES)
    return out


def bayes_factor(found: Assessed) -> np.ndarray:
    """log10 Bayes factor of CAR against none; the more cautious of the two where the background is in doubt."""
    if found.other is None:
        return found.evidence.log10_bf
    return np.where(blocked(found), np.minimum(found.evidence.log10_bf, found.other.log10_bf),
                    found.evidence.log10_bf)


def words(found: Assessed, support: Support, high: np.ndarray, *, is_open: np.ndarray,
          limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Verdict and reason of every unit.

    Parameters
    ----------
    high
        float64 (units,): upper end of the share of carrying members.
    is_open
        bool (units,): the cells were not selected by the CAR, so the share means something.
    limit
        Largest share of carrying members under which the transcript counts as not detected.

    Returns
    -------
    Two object arrays of `_schema.CAR_VERDICTS` and `_schema.CAR_REASONS` (empty for definite verdicts).
    """
    state, evidence = found.posterior.state, found.evidence
    some = controls.carries(found)
    ratio = (evidence.reference[:, 1] - evidence.reference[:, 2]) / np.log(10)
    clonal = some & is_open & (found.n >= MIN_CLONAL_CELLS) & (state[:, 1] >= CLONAL) & (ratio >= RESOLVED)
    mixed = some & is_open & (found.sampled[:, 2] >= SURE) & (ratio <= -RESOLVED)
    negative = support.core & is_open & (support.strength > controls.NONE) & ~some
    rare = (np.maximum(high, 3 * found.eta) <= limit) & (state[:, 0] >= SURE)
    verdict = np.select([clonal, mixed, some, negative & rare, negative],
                        ["CAR_positive", "CAR_mixed", "CAR_present", "CAR_transcript_not_detected",
                         "no_clonal_CAR_expression"], "indeterminate").astype(object)
    reason = np.where(verdict == "indeterminate", reasons(found, support), "").astype(object)
    return verdict, reason


def reasons(found: Assessed, support: Support) -> np.ndarray:
    """Why a unit would be indeterminate: what would have to change first."""
    leaning = (found.base_state[:, 0] <= 1 - SURE) & (found.evidence.log10_bf >= DECADES) & blocked(found)
    surplus = poisson.sf(found.n_with_car - 1, np.maximum(found.expected[:, 0], 1e-12)) < POISSON_TAIL
    small = found.n < MIN_NEGATIVE_CELLS
    return np.select(
        [found.n == 0, leaning & support.whole_cds, leaning, small, support.core & ~support.segment_seen,
         support.core & ~support.unique, support.silent, (found.n_with_car > 0) & surplus,
         support.strength == controls.NONE],
        ["not_assessed", "counts_not_car_unique", "background_not_identified", "too_few_cells",
         "segment_not_seen_by_chemistry", "counts_not_car_unique", "control_silent", "doublets", "no_control"],
        "too_few_cells").astype(object)


def combine(own: str, reason: str, *, sorted_members: bool, sorted_surely: bool,
            specimen_members: bool) -> tuple[str, str, str]:
    """Verdict on a clone from its unselected cells together, and what single parts of it show.

    A clone whose unselected cells exclude a clonal CAR reaches a CAR+ sort by leaks more than by members, so that the
    members of the sort must be surer there than elsewhere.

    Parameters
    ----------
    own, reason
        Verdict and reason of the unselected cells of all specimens together.
    sorted_members, sorted_surely
        Whether selected cells hold carrying members, and whether by `MINOR_DECADES`.
    specimen_members
        Whether one specimen alone surely holds carrying members.

    Returns
    -------
    Verdict, reason, and a flag: ``minor`` where the clone as a whole excludes a clonal CAR, else ``from_sorted`` or
    ``one_specimen`` for where the members are.
    """
    if not (sorted_members or specimen_members):
        return own, reason, ""
    if own in ("no_clonal_CAR_expression", "CAR_transcript_not_detected"):
        return ("CAR_mixed", "", "minor") if sorted_surely or specimen_members else ("no_clonal_CAR_expression", "", "")
    if own == "indeterminate":
        return "CAR_present", "", "from_sorted" if sorted_members else "one_specimen"
    return own, reason, ""
