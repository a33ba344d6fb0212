"""What the cells of a unit hold, beside what its clone is."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sclineage.evidence import grids, units
from sclineage.kernels.evidence import Multisets

RATIOS = np.array([0.3, 1.0, 40.0])  # likelihood of a cell of each key with the CAR, over that without


def unit(keys, counts, state=(0.2, 0.1, 0.7)):
    """One unit of cells with these keys; all m alike, no doublets, no silence to speak of."""
    logs = np.zeros((RATIOS.size, grids.M.size + 2))
    logs[:, 1:-1] = np.log(RATIOS)[:, None]
    sets = Multisets(np.array([0, len(keys)]), np.array(keys, np.int32), np.array(counts, np.int64))
    m = np.full((1, grids.M.size), 1 / grids.M.size)
    posterior = units.Posterior(np.array([state]), grids.UNIFORM[None], m)
    group = units.Weights(np.empty(0), np.empty(0), np.empty(0), np.empty(0), np.empty(0), 1e-12, 1e-12)
    return units.members(sets, logs, posterior, [group], np.zeros(1, np.int64))


@pytest.mark.parametrize("cells", [(0,), (2,), (0, 0), (0, 1, 2), (1, 1, 1, 2)])
def test_none_all_or_some_of_the_cells(cells):
    keys, counts = np.unique(cells, return_counts=True)
    found = unit(keys, counts)
    p = np.zeros(3)  # every assignment of members under every share
    for f, weight in zip(grids.F_MIDS, grids.UNIFORM, strict=True):
        for carries in product([False, True], repeat=len(cells)):
            odds = [f * RATIOS[k] / (1 - f + f * RATIOS[k]) for k in cells]
            chance = np.prod([o if c else 1 - o for o, c in zip(odds, carries, strict=True)])
            p[0 if not any(carries) else 1 if all(carries) else 2] += weight * chance
    assert found.state[0] == pytest.approx([0.2 + 0.7 * p[0], 0.1 + 0.7 * p[1], 0.7 * p[2]], abs=1e-9)
    assert found.p.max() <= 1 - found.state[0, 0] + 1e-9  # some member carries at least as surely as any one does


def test_many_cells_leave_the_hypotheses_as_they_are():
    found = unit([0, 2], [150, 150])
    assert found.state[0] == pytest.approx([0.2, 0.1, 0.7], abs=1e-3)
