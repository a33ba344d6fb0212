"""The evidence table of a clone: independent axes side by side, each row with its number of informative cells.

The axes are kept apart on purpose: CAR positive does not mean caused by the vector, CAR negative does not mean
unrelated, and a clone may be older than the therapy and transduced at once.
"""

from __future__ import annotations

import pandas as pd

from .. import _schema as schema
from . import format as f
from .sentences import age, before, is_sorted, silent, virus_assessed, virus_found
from .statement import Row
from .tables import Cell, Table, car_verdict, nats, seen, share_up
from .view import View
from .words import plain

HEAD = ["Axis", "Where", "n informative", "Seen", "Reading"]


def evidence(view: View, clone: Row) -> Table:
    """All axes of evidence for one clone (its row of ``clones``)."""
    c = str(clone["clone_id"])
    rows = [*_malignancy(view, clone), *_car_rna(view, c), *_car_dna(view, c), *_car_protein(view, c),
            *_age(view, clone), *_virus(view, clone), *_distinct(view, clone)]
    return Table(f"Evidence on clone {view.names.get(c, c)}, axis by axis", HEAD, rows,
                 "The axes are independent: none of them follows from another.")


def _row(axis: str, where: str, n: object, seen: str, reading: str) -> list[Cell]:
    return [Cell(axis), Cell(where), Cell(f.count(n), "", "num"), Cell(seen, "", "long"), Cell(reading)]


def _malignancy(view: View, clone: Row) -> list[list[Cell]]:
    mine = view.lines[view.lines["clone_id"].astype(str) == str(clone["clone_id"])] if view.lines is not None else None
    if mine is None or mine.empty:
        reading = f"{plain(clone['malignant_call'] or 'not_assessable')}, {f.posterior(clone['malignant_p'])}"
        return [_row("Malignancy", "all samples", None, "no line of evidence recorded", reading)]
    return [_row(*_axis(str(r["line"])), r["n_informative"], _shown(r), _leans(r)) for r in mine.to_dict("records")]


def _shown(r: Row) -> str:
    return "; ".join(filter(None, (nats(r, " nats"), seen(r))))


def _axis(line: str) -> tuple[str, str]:
    """Name of a line of evidence as an axis, and where it was looked at."""
    own = {"driver": ("Driver mutation", "all samples; n in reads"), "copy_number": ("Copy number", "all samples")}
    return own.get(line, (f"Malignancy: {plain(line)}", "all samples"))


def _leans(r: Row) -> str:
    x = f.real(r["llr"])
    if x is None or not f.real(r["n_informative"]):
        return "no data on this line"
    return "neither way" if abs(x) < 0.005 else "for malignancy" if x > 0 else "against malignancy"


def _car_rna(view: View, clone: str) -> list[list[Cell]]:
    rows = view.of_clone("clone_car", clone)
    if rows is None or rows.empty:
        return [_row("CAR RNA", "", None, f.NOT_ASSESSED, "no CAR counts for this clone")]
    return [[*_row("CAR RNA", _place(r), r["n_informative"], _molecules(r), "")[:-1], car_verdict(r)]
            for r in rows.to_dict("records")]


def _place(r: Row) -> str:
    sort = {"none": "", "": "sorting unknown", "unknown": "sorting unknown"}.get(
        str(r["selection"]), f"sorted {r['selection']}")
    return ", ".join(w for w in (str(r["specimen"]), sort, f"{plain_members(r['population'])}") if w)


def plain_members(population: object) -> str:
    """Which members of a clone."""
    return {"all": "all members", "malignant": "malignant members", "other": "other members"}.get(
        str(population), str(population))


def _molecules(r: Row) -> str:
    if not f.known(r["umi"]) or not f.real(r["n_informative"]):
        return f.NOT_ASSESSED
    return (f"{f.cells(r['n_with_car'])} with {f.count(r['umi'])} CAR UMIs; expected "
            f"{f.quantity(r['expected_if_negative'])} without, {f.quantity(r['expected_if_positive'])} if all carry it")


def _car_dna(view: View, clone: str) -> list[list[Cell]]:
    rows = view.of_clone("car_dna", clone)
    if rows is None or rows.empty:
        return [_row("CAR DNA", "", None, f.NOT_ASSESSED, "no vector copy number was given for a specimen of it")]
    return [_row("CAR DNA", str(r["specimen"]), r["vcn_reference"], _copies(r), _dna_reading(r))
            for r in rows.to_dict("records")]


def _copies(r: Row) -> str:
    """Counts, copies per tumour cell and the main integration site of a specimen."""
    site = (f"main integration site {r['site']}{' in ' + str(r['site_gene']) if f.known(r['site_gene']) else ''}: "
            f"{f.share(r['site_share'])} of the reads of {f.count(r['n_sites'])} sites" if f.real(r["n_sites"]) else "")
    if not f.known(r["vcn_target"]):
        return site or f.NOT_ASSESSED
    counts = f"{f.count(r['vcn_target'])} vector and {f.count(r['vcn_reference'])} reference copies"
    low, high = r["tumor_copies_low"], r["tumor_copies_high"]
    per_cell = (f"purity {f.share(r['purity'])}: {f.quantity(low)} to {f.quantity(high)} copies per tumour cell"
                if f.known(high) else "purity unknown")
    return "; ".join(w for w in (counts, per_cell, site) if w)


def _dna_reading(r: Row) -> str:
    call, reason = str(r["dna_call"]), str(r["dna_reason"])
    if call != "not_decided":
        return plain_dna(call)
    needed = f.real(r["purity_needed"])
    purity = (f"; a negative from a purity of {f.share(needed, up=True)}"
              if needed is not None and needed <= 1 and reason != "malignant_clone_unknown" else "")
    more = (f"; a negative takes about {f.count(r['reference_needed'])} reference copies"
            if reason == "too_few_copies_counted" and f.known(r["reference_needed"]) else "")
    return f"{plain_dna(call)}: {plain(reason)}{purity}{more}"


def _car_protein(view: View, clone: str) -> list[list[Cell]]:
    rows = view.of_clone("car_protein", clone)
    if rows is None or rows.empty:
        return []
    calls = {"present": "CAR protein present", "not_detected": "CAR protein not detected"}
    out = []
    for r in rows.to_dict("records"):
        n = f.real(r["n_informative"])
        seen = (f"{f.cells(r['n_positive'])} with CAR protein, {f.quantity(r['positive_by_chance'])} expected by "
                f"chance; share {f.interval(r['share_low'], r['share_high'])}" if n else f.NOT_ASSESSED)
        conflict = "; disagrees with RNA" if "rna_protein_conflict" in f.words(r["flags"]) else ""
        out.append(_row("CAR protein", "all samples with antibodies", n, seen,
                        calls.get(str(r["protein_call"]), "not decided") + conflict))
    return out


def plain_dna(call: str) -> str:
    """Call of vector DNA in print."""
    return {"present": "vector DNA present", "not_detected": "vector DNA not detected"}.get(call, "not decided")


def _age(view: View, clone: Row) -> list[list[Cell]]:
    rows = before(view.of_clone("timeline", str(clone["clone_id"])))
    word = age(clone, None).word
    if rows is None or rows.empty:
        return [_row("Clone age", "before the infusion", None, f.NOT_ASSESSED, word)]
    out = []
    for r in rows.to_dict("records"):
        seen = (f"{f.cells(r['n_clone'])}, {f.share(r['frequency'])} ({f.interval(r['low'], r['high'])})"
                if f.real(r["n_clone"]) else f"none; below {share_up(r['limit_of_detection'])}")
        where = f"{r['sample']}, {f.day(r['day'])}" + (", sorted" if is_sorted(r["flags"]) else "")
        out.append(_row("Clone age", where, r["n_informative"], seen, word))
    return out


def _virus(view: View, clone: Row) -> list[list[Cell]]:
    frame = view.table("virus")
    malignant = str(clone["malignant_call"]) == "malignant"
    if frame is None or not malignant or not (frame["population"] == "malignant").any():
        why = "no virus was asked for" if frame is None else "assessed per population, see Virus"
        return [_row("Virus", "", None, f.NOT_ASSESSED, why)]
    part = frame[frame["population"] == "malignant"]
    return [_row(f"Virus: {r['virus']}", f"malignant cells, {r['sample']}", r["n_cells"], *_viral(r))
            for r in part.to_dict("records")]


def _viral(r: Row) -> tuple[str, str]:
    if not virus_assessed(r):
        return f.NOT_ASSESSED, f.NOT_ASSESSED
    times = f" ({f.quantity(r['ratio_to_ambient'])} times ambient)" if f.known(r["ratio_to_ambient"]) else ""
    return (f"{f.cells(r['n_positive'])}, {f.count(r['umi'])} UMIs, {f.count(r['n_loci'])} loci{times}",
            "above ambient" if virus_found(r) else f"not above ambient; below {f.quantity(r['high'])} UMIs per cell")


def _distinct(view: View, clone: Row) -> list[list[Cell]]:
    frame = view.table("distinct")
    if frame is None:
        return [_row("Distinctness", "", None, f.NOT_ASSESSED, "no pair of populations could be compared")]
    mine = {str(clone["clone_id"])} | ({"malignant"} if str(clone["malignant_call"]) == "malignant" else set())
    part = frame[(frame["line"] == "all") & (frame["population_a"].isin(mine) | frame["population_b"].isin(mine))]
    told = part[~silent(part)]
    if told.empty:
        why = "this clone is in no compared population" if part.empty else "no line of evidence could be assessed"
        return [_row("Distinctness", "", None, f.NOT_ASSESSED, why)]
    return [_row("Distinctness", f"{plain(r['population_a'])} and {plain(r['population_b'])}",
                 min((n for n in (r["n_informative_a"], r["n_informative_b"]) if f.known(n)), default=None),
                 f"{f.signed(r['llr'])} nats" if f.known(r["llr"]) else f.NOT_ASSESSED,
                 f"same T cell: {plain(r['same_t_cell']) or f.NOT_ASSESSED}") for r in told.to_dict("records")]


def no_rows(name: str) -> pd.DataFrame:
    """Table of the schema without a row."""
    return schema.empty(name)
