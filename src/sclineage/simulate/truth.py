"""What is true of a simulated patient: cells, clones, frequencies, variants, and the answers to expect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .people import Clones
from .plan import Plan
from .sampled import Sampled

PRODUCT = "product"  # material whose cells are not a share of the body


def cells_table(plan: Plan, sampled: Sequence[Sampled]) -> pd.DataFrame:
    """One row per barcode of every library, with the patient and how the library was sorted."""
    frames = []
    for one in sampled:
        frame = one.truth.copy()
        frame.insert(0, "patient", plan.patient)
        frame["selection"] = str(one.library.row.get("selection", ""))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def clones_table(plan: Plan, clones: Clones, cells: pd.DataFrame) -> pd.DataFrame:
    """One row per clone with a cell: chains, size, whether malignant, and how many of its members hold the CAR.

    `car` and `car_fraction` are of the members sampled outside CAR-sorted libraries, doublets left out; of all
    members where there are none. `car_fraction_malignant` is of the malignant members.
    """
    single = cells[(cells["clone"] != "") & (cells["doublet"] == 0)]
    rows = []
    members = {c.receptor.key: c for c in clones.members}
    for key, own in single.groupby("clone", sort=True):
        clone = members[str(key)]
        unsorted = own[~own["selection"].isin(["CAR+", "CAR-"])]
        counted = unsorted if len(unsorted) else own
        share, tumour = float(counted["car"].mean()), own[own["malignant"] == 1]
        rows.append({
            "patient": plan.patient, "name": clone.focus.name if clone.focus else "", "trb_junction": key,
            "trb_v": clone.receptor.trb[0].v, "trb_j": clone.receptor.trb[0].j, "trb_c": clone.receptor.trb[0].c,
            "tra_junction": ";".join(c.junction for c in clone.receptor.tra),
            "malignant": int(len(tumour) > 0),
            "car": "absent" if share == 0 else "clonal" if share == 1 else "mixed", "car_fraction": share,
            "car_fraction_malignant": float(tumour["car"].mean()) if len(tumour) else np.nan,
            "n_cells": len(own), "n_malignant": len(tumour), "car_strength": clone.strength})
    return pd.DataFrame(rows)


def frequencies_table(plan: Plan, cells: pd.DataFrame) -> pd.DataFrame:
    """Cells of every clone in every sample, doublets left out, and their share of the sample's T cells."""
    single = cells[(cells["clone"] != "") & (cells["doublet"] == 0)]
    days = {lib.sample: lib.row.get("day", "") for lib in plan.libraries}
    total = single.groupby("sample").size()
    table = single.groupby(["clone", "sample"], sort=True).size().rename("n_cells").reset_index()
    table["n_t_cells"] = table["sample"].map(total)
    table["frequency"] = table["n_cells"] / table["n_t_cells"]
    table.insert(0, "patient", plan.patient)
    table.insert(3, "day", table["sample"].map(days))
    return table.rename(columns={"clone": "trb_junction"})


def variants_table(plan: Plan, clones: Clones) -> pd.DataFrame:
    """Sites of the panel and who carries them."""
    keys = {c.focus.name: c.receptor.key for c in clones.members if c.focus}
    return pd.DataFrame([{"site": s.name, "gene": s.gene, "clones": ";".join(keys[f] for f in s.focus),
                          "malignant_only": int(s.malignant_only), "share_of_other_clones": s.clones,
                          "share_of_other_cells": s.others} for s in plan.sites])


def expected_table(plan: Plan, clones: Clones) -> pd.DataFrame:
    """The answers to expect: words separated by ``|`` or a comparison, and where in the output they stand."""
    keys = {c.focus.name: c.receptor.key for c in clones.members if c.focus}
    return pd.DataFrame([{"question": a.question, "expected": a.expected, "table": a.table, "column": a.column,
                          "patient": plan.patient, "trb_junction": keys.get(a.focus, ""), "where": a.where}
                         for a in plan.answers])
