"""What measured capacities say about a cell at a cycle: its health, its health later, its cycles left."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.schema import Target

EOL_RUN = 5  # cycles in a row below the line: one alone may be a bad measurement


def end_of_life(cycle: NDArray[np.int32], soh: NDArray[np.float32], eol_soh: float) -> float:
    """The first of ``EOL_RUN`` consecutive measured cycles with an SOH below ``eol_soh``; NaN if there are none.

    ``cycle``: [k], ascending; ``soh``: [k]. Fewer than ``EOL_RUN`` cycles below at the end of the data are not yet an
    end of life: the cell is censored.
    """
    run = np.convolve(soh < eol_soh, np.ones(EOL_RUN, np.int64))[EOL_RUN - 1 : len(soh)] if len(soh) else np.zeros(0)
    starts = np.flatnonzero(run == EOL_RUN)
    return float(cycle[starts[0]]) if len(starts) else math.nan


def labels(
    targets: Sequence[Target],
    at_cycle: NDArray[np.int32],
    cycle: NDArray[np.int32],
    soh: NDArray[np.float32],
    eol_soh: float,
) -> NDArray[np.float32]:
    """The true value of each target at each of ``at_cycle`` [n] (-1 unknown), from one cell's measured ``soh`` [k].

    Returns float32 [n, T]: fractions of the nominal capacity, and cycles; NaN where nothing was measured at exactly
    that cycle, or the end of life was not reached. RUL is 0 from the end of life on.
    """
    found = np.full((len(at_cycle), len(targets)), np.nan, np.float32)
    known = at_cycle >= 0
    for index, target in enumerate(targets):
        if target.kind == "rul":
            found[known, index] = np.maximum(end_of_life(cycle, soh, eol_soh) - at_cycle[known], 0.0)
        elif len(cycle):
            wanted = at_cycle + target.horizon_cycles
            at = np.minimum(np.searchsorted(cycle, wanted), len(cycle) - 1)
            exact = known & (cycle[at] == wanted)
            found[exact, index] = soh[at[exact]]
    return found
