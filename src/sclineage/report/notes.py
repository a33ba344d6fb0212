"""Assumptions, limits, what was given and not used, and what the words mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import format as f
from .view import View
from .words import COUNTING, GROUPS, plain

_MEASURED = (("car_background_source", "CAR background"), ("car_sensitivity_source", "CAR sensitivity"))
_SILENCED = (0.01, 0.02, 0.10)


def assumptions(view: View) -> list[str]:
    """What the verdicts take for granted, with the values of this run where they are known."""
    config = _config(view)
    out = ["Cells with the same rearranged T-cell receptor (nucleotide sequence) descend from one T cell.",
           *_sources(view)]
    silenced = f.real(config.get("silenced_share"))
    out.append("CAR RNA stands for the vector: a clone that carries it expresses it"
               + (f", except for a share of {f.share(silenced)} that is wholly silenced." if silenced is not None else
                  ", with rare exceptions.") + f" {_silenced()}")
    if f.known(config.get("doublet_rate")):
        out.append(f"Doublets: {f.share(config['doublet_rate'])} of cells per 1,000 cells loaded, refined by the data.")
    if f.known(config.get("fraction_limit")):
        out.append("\u201cCAR transcript not detected\u201d is said only where at most "
                   f"{f.share(config['fraction_limit'])} carrying members remain possible.")
    out.append("Samples from before the infusion hold no CAR, unless several of their cells show it plainly; then they "
               "are flagged and not used as a control.")
    out.append("Cells whose sorting is unknown inform expression, but neither a share of CAR cells nor a negative.")
    return out + _priors(view)


def _config(view: View) -> Mapping[str, Any]:
    found = view.run.get("parameters", {})
    found = found.get("config", {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _silenced() -> str:
    shares = f.listing([f.share(s) for s in _SILENCED])
    silent = f.listing([f.share(s / (1 + s)) for s in _SILENCED])
    return (f"Were {shares} of the clones with a CAR silent, a clone without any CAR RNA would, at even odds "
            f"beforehand, carry a silent vector with probability {silent}.")


def _sources(view: View) -> Iterator[str]:
    frame = view.table("samples")
    for column, what in _MEASURED:
        if frame is None:
            break
        counts = frame[column].replace("", "not_assessed").value_counts().sort_index()
        yield f"{what} per sample, from: " + ", ".join(f"{plain(k)} ({n})" for k, n in counts.items()) + "."
    if "car_counting" in view.sheet:
        counts = view.sheet["car_counting"].map(lambda v: str(v) if f.known(v) else "unknown").value_counts()
        for k, n in counts.sort_index().items():
            meaning = COUNTING.get(str(k), "")
            yield f"CAR counting \u201c{plain(k)}\u201d in {n} sample{'s' if n != 1 else ''}: {meaning}"


def _priors(view: View) -> list[str]:
    if view.clones is None or not view.clones["malignant_prior"].notna().any():
        return []
    p = view.clones["malignant_prior"].dropna()
    low, high = f.probability(p.min()), f.probability(p.max())
    return [f"Prior probability that a clone is malignant: {low}" + (f" to {high}." if low != high else "."),
            *_copy_number(view)]


def _copy_number(view: View) -> list[str]:
    """What the copy-number line takes for granted, or why there is none."""
    why = dict(view.params.get("malignancy", {})).get("copy_number_not_assessed")
    if why:
        return [f"Copy number was not assessed: {why}."]
    return ["Copy number: seven of ten T-cell lymphomas are taken to have several chromosome arms altered, so that "
            "unaltered arms are weak evidence against malignancy, and never enough to clear a clone."]


LIMITS = [
    "RNA cannot tell a silenced CAR from one that was never there. Vector DNA or integration sites can.",
    "How many members carry the CAR and how many carriers are silent trade off against each other, so the interval of "
    "the carrying share is wide where some members show nothing.",
    "A few carrying members, below about three times the doublet share or 5 %, look like doublets with CAR-T cells.",
    "A background that only T cells have, and the same in all of them, looks like weak expression in every clone; only "
    "T cells that are known to lack the CAR can tell the two apart.",
    "A receptor clone is not the tumour: transduced and untransduced sisters share a receptor. Malignant members are "
    "therefore also scored on their own.",
    "One cell, or a clone of a few cells, can almost never be answered. That is in the data, not in the method.",
    "A clone that was not seen in a sample is below the limit of detection there, not absent.",
    "That a clone carries the CAR does not show that the vector caused it; that it does not carry it does not show "
    "that the therapy played no part.",
    "Copy number is read from expression, by whole chromosome arms: one arm alone and smaller changes are mostly "
    "missed. Its accuracy is known on planted changes, not on patients with known tumours.",
    "An antibody against the CAR shows protein on the surface: a cell without it may still hold the vector.",
    "The map of cells (UMAP) is for orientation and enters no verdict.",
]


def not_used(view: View) -> list[tuple[str, str]]:
    """Columns of the sample sheet that were given and not used: column, samples."""
    if "not_used" not in view.sheet:
        return []
    found: dict[str, list[str]] = {}
    for sample, value in view.sheet["not_used"].items():
        for column in str(value if f.known(value) else "").replace(";", ",").split(","):
            if column.strip():
                found.setdefault(column.strip(), []).append(str(sample))
    return [(c, f.listing(sorted(s))) for c, s in sorted(found.items())]


# --- glossary --------------------------------------------------------------------------------------------------------
def glossary(view: View) -> list[tuple[str, list[tuple[str, str]]]]:
    """Groups of words with their meaning: the words that occur in this patient's tables, and the general terms."""
    used = _used(view)
    groups = [(title, [(plain(w), m) for w, m in meanings.items() if key == "terms" or w in used[key]])
              for key, (title, meanings, _) in GROUPS.items()]
    return [(title, rows) for title, rows in groups if rows]


def _used(view: View) -> dict[str, set[str]]:
    """Words that occur, per group: in the group's column of any table, or of the sample sheet."""
    columns = {"members": "population"}
    used: dict[str, set[str]] = {}
    for key in GROUPS:
        name = columns.get(key, key)
        values = [v for frame in (*view.tables.values(), view.sheet) if name in frame for v in frame[name].unique()]
        used[key] = {_stem(w) for v in values if f.known(v) for w in str(v).replace(",", ";").split(";")}
    return used


def _stem(flag: str) -> str:
    """Flag without its value: ``not_used:alleles``, ``qc_flagged_members=3``."""
    return flag.strip().split("=")[0].split(":")[0]
