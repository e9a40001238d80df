"""How wrong predictions are: averaged within a cell, then over cells, so that a long life does not count for more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.schema import Frozen, Target


class CellMetrics(Frozen):
    """Errors of one target on one cell. Coverage is the fraction of truths within the 90 % interval, width its mean."""

    n: int
    mae: float
    rmse: float
    mape_pct: float
    coverage_90: float | None = None
    width_90: float | None = None


class TargetMetrics(Frozen):
    """Errors of one target: each number is the mean of the cells' numbers; ``n`` counts predictions.

    ``re_mean``, of RUL alone: the mean of error over true RUL. ``worst_cell`` has the largest MAE.
    """

    n: int
    mae: float
    rmse: float
    mape_pct: float
    coverage_90: float | None = None
    width_90: float | None = None
    re_mean: float | None = None
    worst_cell: str
    by_cell: dict[str, CellMetrics]


def score(
    target: Target, cell_ids: Sequence[str], truth: NDArray[np.float32], predicted: NDArray[np.float32]
) -> TargetMetrics | None:
    """Scores predictions of one target; ``None`` when no truth is known.

    cell_ids: [n], whose prediction each is. truth: [n], NaN unknown. predicted: [n] points, or [n, Q] ascending
    quantiles of which the first and the last bound the 90 % interval and the middle one is the point. A RUL is
    scored while there is life left (truth > 0); afterwards saying zero is no achievement.
    """
    quantiles = predicted[:, None] if predicted.ndim == 1 else predicted
    scored = np.isfinite(truth) & np.isfinite(quantiles).all(1)
    if target.kind == "rul":
        scored &= truth > 0
    names = np.asarray(cell_ids)[scored]
    truth, quantiles = truth[scored].astype(np.float64), quantiles[scored].astype(np.float64)
    by_cell = {str(name): _of_cell(truth[names == name], quantiles[names == name]) for name in np.unique(names)}
    if not by_cell:
        return None
    cells = list(by_cell.values())
    mape_pct = _mean(cell.mape_pct for cell in cells)
    banded = quantiles.shape[1] > 1
    return TargetMetrics(
        n=len(truth),
        mae=_mean(cell.mae for cell in cells),
        rmse=_mean(cell.rmse for cell in cells),
        mape_pct=mape_pct,
        coverage_90=_mean(cell.coverage_90 or 0.0 for cell in cells) if banded else None,
        width_90=_mean(cell.width_90 or 0.0 for cell in cells) if banded else None,
        re_mean=mape_pct / 100 if target.kind == "rul" else None,
        worst_cell=max(by_cell, key=lambda name: by_cell[name].mae),
        by_cell=by_cell,
    )


def last_baseline(
    target: Target, at_cycle: NDArray[np.int32], cycle: NDArray[np.int32], soh: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Copies the last SOH measured before each of ``at_cycle`` [n]: float32 [n], NaN where none was, and for RUL."""
    found = np.full(len(at_cycle), np.nan, np.float32)
    if target.kind != "rul":
        before = np.searchsorted(cycle, at_cycle)
        found[before > 0] = soh[before[before > 0] - 1]
    return found


def linear_baseline(
    target: Target, at_cycle: NDArray[np.int32], cycle: NDArray[np.int32], soh: NDArray[np.float32], eol_soh: float
) -> NDArray[np.float32]:
    """Continues the least-squares line through the SOHs measured before each of ``at_cycle`` [n]: float32 [n].

    NaN before two measurements, and for RUL where the line does not fall: it then has no opinion.
    """
    found = np.full(len(at_cycle), np.nan, np.float32)
    for index, now in enumerate(at_cycle):
        before = int(np.searchsorted(cycle, now))
        if before < 2:
            continue
        past_cycle, past_soh = cycle[:before].astype(np.float64), soh[:before].astype(np.float64)
        centred = past_cycle - past_cycle.mean()
        slope = float(centred @ past_soh / (centred @ centred))
        here = float(past_soh.mean() + slope * (now - past_cycle.mean()))
        if target.kind != "rul":
            found[index] = here + slope * target.horizon_cycles
        elif slope < 0:
            found[index] = max((eol_soh - here) / slope, 0.0)
    return found


def mean_baseline(label_mean: float, n: int) -> NDArray[np.float32]:
    """Says the mean label of the training cells every time: float32 [n]."""
    return np.full(n, label_mean, np.float32)


def _of_cell(truth: NDArray[np.float64], quantiles: NDArray[np.float64]) -> CellMetrics:
    low, point, high = quantiles[:, 0], quantiles[:, quantiles.shape[1] // 2], quantiles[:, -1]
    error = np.abs(point - truth)
    banded = quantiles.shape[1] > 1
    return CellMetrics(
        n=len(truth),
        mae=float(error.mean()),
        rmse=math.sqrt(float((error**2).mean())),
        mape_pct=100 * float((error / truth).mean()),
        coverage_90=float(((low <= truth) & (truth <= high)).mean()) if banded else None,
        width_90=float((high - low).mean()) if banded else None,
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
