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
    answered: cells with a value. standing: int64 [kinds], alerts. Of the weakest, [w]: their numbers and ``alerts``
    (bits of `KINDS`), int64, and what is said of them, float64 [w, 3]. All that is published is rounded to millionths.
    """

    soh: NDArray[np.float64]
    rul_cycles: NDArray[np.float64]
    p_warranty: float
    median: float
    spread: float
    answered: int
    standing: NDArray[np.int64]
    number: NDArray[np.int64]
    alerts: NDArray[np.int64]
    weak_soh: NDArray[np.float64]
    weak_rul_cycles: NDArray[np.float64]


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
                soh[quantile] = np.fmin(soh[quantile], _rounded(cell.soh[quantile]))
            if lasts:
                rul_cycles[quantile] = np.fmin(rul_cycles[quantile], _rounded(cell.rul_cycles[quantile]))
        if lasts:
            p_warranty = np.fmax(p_warranty, _rounded(cell.p_warranty))
        if told:
            medians[count], place[count], count = _rounded(cell.soh[1]), at, count + 1
    order = np.argsort(medians[:count], kind="mergesort")  # of equals the first is the weaker
    median = _rounded(np.median(medians[:count])) if count else np.nan
    spread = _rounded(medians[order[-1]] - medians[order[0]]) if count else np.nan
    weak = min(count, WEAKEST)
    number, alerts = np.empty(weak, np.int64), np.empty(weak, np.int64)
    weak_soh, weak_rul_cycles = np.empty((weak, 3)), np.empty((weak, 3))
    for rank in range(weak):
        cell = cells[place[order[rank]]]
        number[rank], alerts[rank] = cell.number, cell.standing
        for quantile in range(3):
            weak_soh[rank, quantile] = _rounded(cell.soh[quantile])
            weak_rul_cycles[rank, quantile] = _rounded(cell.rul_cycles[quantile])
    return Survey(
        soh, rul_cycles, p_warranty, median, spread, answered, standing, number, alerts, weak_soh, weak_rul_cycles
    )


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _rounded(value):  # type: ignore[no-untyped-def]
    return np.rint(np.float64(value) * 1e6) / 1e6


def rollup(
    pack_id: str, cells: NDArray[Any], newest: Any, model_id: str, source: Origin, eol_soh: float, factor: float | None
) -> PackRollup:
    """The record of a pack's cells (`CELL` [n]) at its ``newest`` answer; `Outlook.settle` says what ``factor`` is."""
    found = survey(cells)
    weak = (column.tolist() for column in found[-4:])
    soh, rul_cycles = found.soh.tolist(), found.rul_cycles.tolist()
    return PackRollup(
        1,
        pack_id,
        int(newest["t_ms"]),
        len(cells),
        found.answered,
        {kind: count for kind, count in zip(KINDS, found.standing.tolist(), strict=True) if count},
        [
            WeakCell(number, _interval(own, factor), _interval(left) if _said(left) else None, alerts_of(alerts))
            for number, alerts, own, left in zip(*weak, strict=True)
        ],
        model_id,
        source,
        numbered(newest),
        _interval(soh, factor) if _said(soh) else None,
        known(found.median),
        known(found.spread),
        RemainingLife(*Bounds(*rul_cycles), eol_soh) if _said(rul_cycles) else None,
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
    if factor is None:
        return Interval(*quantiles)
    low, median, high = widened(Bounds(*quantiles), factor)
    return Interval(round(low, 6), round(median, 6), round(high, 6))
