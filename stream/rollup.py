"""A pack in one record: what its weakest cells say of it."""

from __future__ import annotations

from math import isnan
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from model.adaptive import Bounds, widened
from stream.alarms import KINDS
from stream.records import AlertKind, Interval, Origin, PackRollup, RemainingLife, WeakCell

WEAKEST = 5  # cells that a roll-up names


class Survey(NamedTuple):
    """What a pack's cells come to. soh, rul_cycles: float64 [3], the least of each quantile. p_warranty: the greatest.
    median, spread: of the medians of SOH, the latter from the lowest to the highest. NaN where nothing is said.
    answered: cells with a value. standing: int64 [kinds], alerts. weakest: int64 [w], places of cells.
    """

    soh: NDArray[np.float64]
    rul_cycles: NDArray[np.float64]
    p_warranty: float
    median: float
    spread: float
    answered: int
    standing: NDArray[np.int64]
    weakest: NDArray[np.int64]


@njit(cache=True, nogil=True, error_model="numpy")
def survey(cells):  # type: ignore[no-untyped-def]
    """The `Survey` of `CELL` [n]."""
    soh, rul_cycles, p_warranty = np.full(3, np.nan), np.full(3, np.nan), np.nan
    standing = np.zeros(len(KINDS), np.int64)
    medians, place = np.empty(cells.shape[0]), np.empty(cells.shape[0], np.int64)
    count = answered = 0
    for at in range(cells.shape[0]):
        cell = cells[at]
        told, lasts = not np.isnan(cell.soh[1]), not np.isnan(cell.rul_cycles[1])
        answered += told or lasts
        for kind in range(standing.shape[0]):
            standing[kind] += cell.standing >> kind & 1
        for quantile in range(3):
            if told:
                soh[quantile] = np.fmin(soh[quantile], cell.soh[quantile])
            if lasts:
                rul_cycles[quantile] = np.fmin(rul_cycles[quantile], cell.rul_cycles[quantile])
        if lasts:
            p_warranty = np.fmax(p_warranty, cell.p_warranty)
        if told:
            # As published, so that of equals the first is the weaker.
            medians[count], place[count], count = np.rint(cell.soh[1] * 1e6) / 1e6, at, count + 1
    order = np.argsort(medians[:count], kind="mergesort")
    median = np.median(medians[:count]) if count else np.nan
    spread = medians[order[-1]] - medians[order[0]] if count else np.nan
    return Survey(soh, rul_cycles, p_warranty, median, spread, answered, standing, place[order[:WEAKEST]])


def rollup(
    pack_id: str, cells: NDArray[Any], newest: Any, model_id: str, source: Origin, eol_soh: float, factor: float | None
) -> PackRollup:
    """The record of a pack's cells (`CELL` [n]) at its ``newest`` answer; `Outlook.settle` says what ``factor`` is."""
    found = survey(cells)
    weak = cells[found.weakest]
    columns = (weak[name].tolist() for name in ("number", "soh", "rul_cycles", "standing"))
    soh, rul_cycles = found.soh.tolist(), found.rul_cycles.tolist()
    return PackRollup(
        1,
        pack_id,
        int(newest["t_ms"]),
        len(cells),
        found.answered,
        {kind: count for kind, count in zip(KINDS, found.standing.tolist(), strict=True) if count},
        [
            WeakCell(number, _interval(own, factor), _interval(left) if _said(left) else None, alerts_of(standing))
            for number, own, left, standing in zip(*columns, strict=True)
        ],
        model_id,
        source,
        numbered(newest),
        _interval(soh, factor) if _said(soh) else None,
        known(found.median),
        known(found.spread),
        RemainingLife(*_rounded(Bounds(*rul_cycles)), eol_soh) if _said(rul_cycles) else None,
        known(found.p_warranty),
    )


def numbered(answer: Any) -> int | None:
    """The number of an answer's cycle, if it has one."""
    cycle = int(answer["cycle"])
    return cycle if cycle >= 0 else None


def known(value: float) -> float | None:
    """As all that is published; none of NaN."""
    return None if isnan(value) else round(float(value), 6)


def alerts_of(standing: int) -> list[AlertKind]:
    """The kinds whose bits are set."""
    return [kind for bit, kind in enumerate(KINDS) if standing >> bit & 1]


def _said(quantiles: list[float]) -> bool:
    """Whether the three quantiles are numbers."""
    return not isnan(quantiles[1])


def _interval(quantiles: list[float], factor: float | None = None) -> Interval:
    bounds = Bounds(*quantiles)
    return Interval(*_rounded(bounds if factor is None else widened(bounds, factor)))


def _rounded(bounds: Bounds) -> Bounds:
    return Bounds(round(bounds.p05, 6), round(bounds.p50, 6), round(bounds.p95, 6))
