"""Files that speak of several patients: each patient's step gets its own rows, and no row is passed over in silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .evidence import dna_rows
from .patient import access, given

FIX = "list cells by sample and barcode"


@dataclass(frozen=True)
class Shared:
    """What a run's files say of its patients.

    Attributes
    ----------
    sites
        Integration sites of all specimens, or None.
    tables
        The user's tables of cells or clones (``malignant_key``, ``classifier``, ``donors``), by patient; empty where
        the sheet holds one patient, who takes the whole file.
    """

    sites: pd.DataFrame | None
    tables: Mapping[str, Mapping[str, pd.DataFrame]]

    def rows(self, key: str, named: str | None, patient: str) -> str | pd.DataFrame | None:
        """The patient's rows of a table, or what was named where nothing had to be shared out."""
        return self.tables[key].get(patient) if key in self.tables else named

    def own_sites(self, data: access.Data) -> pd.DataFrame | None:
        """Integration sites of the patient's specimens; None without one."""
        if self.sites is None:
            return None
        own = self.sites[self.sites["specimen"].isin(dna_rows.names_of(access.sample_table(data)))]
        return own if len(own) else None


def share(sheet: pd.DataFrame, *, sites: str | None, tables: Mapping[str, str | None]) -> Shared:
    """Read the files of a run.

    Raises
    ------
    InputError
        A file names a specimen, sample or patient that the sheet does not hold, or does not say whose a row is.
    """
    found = None
    if sites is not None:
        found = dna_rows.read_sites(sites)
        dna_rows.refuse_unknown(found, dna_rows.names_of(sheet))
    files = {k: v for k, v in tables.items() if v is not None and Path(v).is_file()}
    if sheet["patient"].nunique() < 2:
        files = {}
    return Shared(found, {k: given.share_out(given.rows(v, fix=FIX), sheet) for k, v in files.items()})
