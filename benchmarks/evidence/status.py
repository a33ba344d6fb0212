"""The whole CAR step of a patient of 50,000 cells: fit of every library, verdicts, power, cells and tables.

The cold time, the first call of a new process, holds the imports and the loading of the compiled kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData

from benchmarks._runner import Case, Contender
from sclineage.simulate.expression import CAR
from sclineage.simulate.library import CELLS, Params, simulate_library


def inputs(part: int) -> AnnData:
    """A tumour, its CAR+-sorted sister and pre-infusion T cells: 3,000 clones in 50,000 cells, or a part of it."""
    sizes = {size: max(1, 7 * n // part) for size, n in CELLS.items()}
    return simulate_library(Params(sizes=sizes, other=2000 // part, sister=8000 // part, before=8000 // part), seed=7)


def run(data: AnnData) -> AnnData:
    """The step as a user calls it."""
    from sclineage.evidence.api import car_status

    car_status(data, car=CAR, device="cpu")
    return data


def outputs(data: AnnData) -> dict[str, Any]:
    """Posteriors of the cells."""
    return {"car_p": np.asarray(data.obs["car_p"], np.float64)}


def cases(*, tiny: bool) -> list[Case]:
    """One case."""
    return [Case("CAR status of 50,000 cells", "cells", 2_500 if tiny else 50_000, lambda: inputs(20 if tiny else 1),
                 [Contender("sclineage", run)], outputs)]
