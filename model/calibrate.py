"""Conformal widening of quantiles, from cells that neither trained nor validated the model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.artifact import TargetScaling


def enough_cells(coverage: float) -> int:
    """The fewest calibration cells from which ``coverage`` of a new cell's windows can be claimed: 9 for 90 %."""
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def calibrated(
    scaling: Sequence[TargetScaling],
    cell: NDArray[np.int32],
    labels: NDArray[np.float32],
    quantiles: NDArray[np.float32],
    coverage: float,
) -> tuple[TargetScaling, ...]:
    """The scaling of each target with its conformal offset, for intervals that hold ``coverage`` of truths.

    Where no label of a target is known, its offset stays as it was.

    cell: int [n], whose window each is. labels: float32 [n, T] and quantiles: float32 [n, T, Q], both in the network's
    space; a label is NaN where unknown or not to be scored. The offset is conformalised quantile regression (Romano et
    al. 2019) with cells as the exchangeable units (Dunn et al. 2023): a cell weighs the same however many windows it
    has, and the cell to come weighs as much as each seen. Too few cells for that claim: the largest miss is taken,
    and the scaling says that it is a guess.
    """
    return tuple(
        scale.model_copy(update=_offset(cell, labels[:, index], quantiles[:, index], coverage))
        for index, scale in enumerate(scaling)
    )


def _offset(
    cell: NDArray[np.int32], label: NDArray[np.float32], quantiles: NDArray[np.float32], coverage: float
) -> dict[str, float | int | bool]:
    known = np.isfinite(label)
    cell, label, quantiles = cell[known], label[known], quantiles[known]
    miss = np.maximum(quantiles[:, 0] - label, label - quantiles[:, -1]).astype(np.float64)
    cells, of_cell, sizes = np.unique(cell, return_inverse=True, return_counts=True)
    count = len(cells)
    guess = count < enough_cells(coverage)
    if count == 0:
        return {"calibration_cells": 0, "offset_is_guess": True}
    if guess:
        offset = max(float(miss.max()), 0.0)
    else:
        order = np.argsort(miss)
        weight = np.cumsum(1.0 / ((count + 1) * sizes[of_cell[order]]))
        at = min(int(np.searchsorted(weight, coverage - 1e-9)), len(miss) - 1)
        offset = float(miss[order[at]])
    return {"offset": offset, "calibration_cells": count, "offset_is_guess": guess}
