"""Calls: words for a posterior. "No malignant features" needs power; clone size alone never makes a call."""

from __future__ import annotations

import numpy as np

from .fusion import GENETIC, PI_SURVEILLANCE, Fused, clone_prior

MALIGNANT, SUSPICIOUS, UNLIKELY = 0.95, 0.5, 0.02
MIN_POWER = 0.8
SUPPORT = {"phenotype": 1.5, "cycling": 0.5, "virus": 0.6}
STRONG = 2.4  # capped nats of phenotype: five and more before the cap, as several lost markers give


def _above(values: np.ndarray, bound: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return values > bound


def calls(fused: Fused, *, prior: np.ndarray | None = None) -> np.ndarray:
    """Call of each clone.

    - ``malignant``: posterior > 0.95 and a genetic line > 3 nats;
    - ``suspicious``: posterior without the size of the clone > 0.5, or a genetic line > 3, or, in a clone larger than
      usual, phenotype > 2.4 (real benign clones stay below 0) or two of phenotype > 1.5, cycling > 0.5, virus > 0.6;
    - ``no_malignant_features``: posterior < 0.02 with and without the size, and a power of at least 0.8 (of a genetic
      line: markers, cycling and virus are normal in many lymphomas);
    - ``not_assessable``: the rest.

    Parameters
    ----------
    fused
        Posterior and its parts.
    prior
        Prior to use in place of the one fused with.

    Returns
    -------
    object (n_clones,)
    """
    shift = 0.0 if prior is None else _logit(prior) - _logit(fused.prior)
    size = fused.capped.get("dominance", np.zeros(fused.prior.size))
    posterior = _expit(fused.logit + shift)
    without_size = _expit(fused.logit + shift - np.where(np.isfinite(size), size, 0.0))
    genetic = fused.genetic > GENETIC
    support = sum(_above(fused.capped[k], bound).astype(int) for k, bound in SUPPORT.items() if k in fused.capped)
    strong = _above(fused.capped["phenotype"], STRONG) if "phenotype" in fused.capped else np.zeros(size.size, bool)
    joint = ((np.asarray(support) >= 2) | strong) & _above(size, 0.0)
    out = np.full(fused.prior.size, "not_assessable", dtype=object)
    out[(np.maximum(posterior, without_size) < UNLIKELY) & (fused.power >= MIN_POWER)] = "no_malignant_features"
    out[(without_size > SUSPICIOUS) | genetic | joint] = "suspicious"
    out[(posterior > MALIGNANT) & genetic] = "malignant"
    return out


def _expit(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def _logit(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)


def surveillance_prior(sizes: np.ndarray) -> np.ndarray:
    """Prior as if no diagnosis were known, float64 (n_clones,)."""
    return clone_prior(PI_SURVEILLANCE, sizes)


def basis(fused: Fused, call: np.ndarray, sizes: np.ndarray, *, from_diagnosis: bool) -> np.ndarray:
    """What a malignant or suspicious call rests on: a genetic line, or the diagnosis; else empty.

    Pathology carries a call that would not be made with the surveillance prior.
    """
    positive = np.isin(call, ("malignant", "suspicious"))
    blind = calls(fused, prior=surveillance_prior(sizes))
    out = np.full(call.size, "", dtype=object)
    if from_diagnosis:
        out[positive & ~np.isin(blind, ("malignant", "suspicious"))] = "pathology"
    out[positive & (fused.genetic > GENETIC)] = "genetic"
    return out


def sentences(fused: Fused, call: np.ndarray, sizes: np.ndarray, basis_: np.ndarray) -> list[str]:
    """The call of each clone in one sentence, with what drives it and what could not be seen."""
    low, high = fused.at_prior(_scaled(fused.prior, 0.1)), fused.at_prior(_scaled(fused.prior, 10.0))
    posterior, power, driver = fused.posterior, fused.power, fused.driver
    return [_sentence(fused, c, str(call[c]), int(sizes[c]), str(basis_[c]), driver[c], float(power[c]),
                      (float(posterior[c]), float(low[c]), float(high[c]))) for c in range(len(sizes))]


def _scaled(prior: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(prior * factor, 1e-12, 0.999)


def _sentence(fused: Fused, c: int, call: str, n: int, basis_: str, driver: str, power: float,
              p: tuple[float, float, float]) -> str:
    head = {"malignant": "malignant", "suspicious": "suspicious",
            "no_malignant_features": "no malignant features, with the power to see this patient's driver",
            "not_assessable": "malignancy not assessable"}[call]
    said = [f"{name} {fused.capped[name][c]:+.1f}" + (f" ({s.detail[c]})" if s.detail and s.detail[c] else "")
            for name, s in fused.lines.items() if np.isfinite(fused.capped[name][c])]
    lines = "; ".join(said) if said else "no line of evidence could be assessed"
    why = f", driven by {driver}" if driver and call in ("malignant", "suspicious") else ""
    rests = ", carried by the pathology diagnosis" if basis_ == "pathology" else ""
    return (f"{n} cells: {head} (posterior {p[0]:.2g}; {p[1]:.2g} to {p[2]:.2g} for a tenth or ten times the prior)"
            f"{why}{rests}; nats: {lines}; genetic power {power:.2f}.")
