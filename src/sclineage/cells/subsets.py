"""Which kind of cell, by whole-number rules on marker UMIs: no clusters, no fit, no seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

MARKERS: dict[str, tuple[str, ...]] = {
    "t": ("CD3D", "CD3E", "CD3G", "TRAC", "TRBC1", "TRBC2"),
    "myeloid": ("LYZ", "CD14", "S100A8", "S100A9", "FCN1", "CST3"),
    "b": ("CD79A", "CD79B", "MS4A1", "CD19"),
    "nk": ("KLRF1", "NCAM1", "KLRD1", "GNLY", "NKG7"),
    "nk_only": ("KLRF1", "NCAM1"),
    "cd4": ("CD4",),
    "cd8": ("CD8A", "CD8B"),
}
STATES: dict[str, tuple[str, ...]] = {
    "cycling": ("MKI67", "TOP2A", "CDK1", "BIRC5", "TYMS", "RRM2", "UBE2C", "CCNB2"),
    "foxp3": ("FOXP3",),
    "regulatory": ("IL2RA", "CTLA4", "IKZF2", "TNFRSF18", "TIGIT"),
}
SUBSETS = ("CD4_T", "CD8_T", "T", "NK", "B", "myeloid", "other")


def subsets(umi: Mapping[str, np.ndarray], *, receptor: np.ndarray, car: np.ndarray) -> np.ndarray:
    """Name the subset of each cell.

    Parameters
    ----------
    umi
        UMIs of each group of `MARKERS`, int64 per cell.
    receptor
        Whether a T-cell receptor chain was seen.
    car
        CAR UMIs (0 where not assessed).

    Returns
    -------
    Object array of words of `SUBSETS`.

    Notes
    -----
    In this order:

    1. a receptor chain makes a T cell, whatever else the cell holds: a lymphoma may lose CD3;
    2. myeloid: at least 10 myeloid UMIs, and more than 5 per T-cell UMI;
    3. B: at least 3 B-cell UMIs, and more than 2 per T-cell UMI;
    4. T: two T-cell UMIs, or one CAR UMI;
    5. NK: 3 NK UMIs, one of them of KLRF1 or NCAM1, or 10 of any;
    6. other.

    2 and 3 do not look at the CAR, because monocytes and B cells measure its background: picking those without CAR
    would make the background zero. NK cells never measure it, so there a CAR UMI wins: among cells sorted for the CAR,
    "NK cells" are CAR-T cells whose CD3 was missed. T cells are CD4_T or CD8_T by the larger of CD4 and CD8A+CD8B
    UMIs, T when equal.
    """
    t, myeloid, b = umi["t"], umi["myeloid"], umi["b"]
    is_myeloid = (myeloid >= 10) & (myeloid > 5 * t)
    is_b = (b >= 3) & (b > 2 * t)
    is_nk = (umi["nk"] >= 10) | ((umi["nk"] >= 3) & (umi["nk_only"] >= 1))
    t_kind = np.select([umi["cd4"] > umi["cd8"], umi["cd8"] > umi["cd4"]], ["CD4_T", "CD8_T"], default="T")
    is_t = (t >= 2) | (car >= 1)
    return np.select([receptor, is_myeloid, is_b, is_t, is_nk], [t_kind, "myeloid", "B", t_kind, "NK"],
                     default="other").astype(object)


def states(umi: Mapping[str, np.ndarray], *, subset: np.ndarray) -> np.ndarray:
    """Name the state of each cell beside its subset: ``cycling``, ``regulatory`` or empty.

    Parameters
    ----------
    umi
        UMIs of each group of `MARKERS` and `STATES`, int64 per cell.
    subset
        Words of `SUBSETS`.

    Returns
    -------
    Object array. Cycling: at least 3 UMIs of S and G2/M genes that resting cells lack. Regulatory: a T cell, not CD8_T,
    with FOXP3 and 2 further UMIs of its fellows; FOXP3 alone is found in activated cells, and in lymphomas.
    """
    regulatory = np.isin(subset, ("CD4_T", "T")) & (umi["foxp3"] >= 1) & (umi["regulatory"] >= 2)
    return np.select([umi["cycling"] >= 3, regulatory], ["cycling", "regulatory"], default="").astype(object)
