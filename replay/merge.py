"""Many recordings in one order of event time, a slice at a time: memory does not grow with their length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Slice(NamedTuple):
    """Consecutive rows of the merged order: whose row (int64 [n]), which row (int64 [n]), and when it is due.

    due_ms: int64 [n], ascending.
    """

    lane: NDArray[np.int64]
    row: NDArray[np.int64]
    due_ms: NDArray[np.int64]


class Lane(NamedTuple):
    """Rows in recorded order. due_ms: int64 [rows], ascending; when each is due is ``due_ms + shift_ms``."""

    due_ms: NDArray[np.int64]
    shift_ms: int


def due_ms(t_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """When rows are due, int64 [n]: a row that was recorded late (its time runs back) follows the one before it."""
    return np.maximum.accumulate(t_ms)


def merged(lanes: Sequence[Lane], rows: int) -> Iterator[Slice]:
    """Slices of at most ``rows`` rows of all lanes: by due time, then by lane; within a lane as recorded."""
    cursor = [0] * len(lanes)
    live = [index for index, lane in enumerate(lanes) if len(lane.due_ms)]
    while live:
        horizon = _horizon(lanes, live, cursor, max(rows // len(live), 1))
        taken = []
        for index in live:
            lane, start = lanes[index], cursor[index]
            stop = _stop(lane, start, horizon)
            if stop > start:
                taken.append((index, start, stop))
                cursor[index] = stop
        live = [index for index in live if cursor[index] < len(lanes[index].due_ms)]
        whole = _ordered(lanes, taken)
        for start in range(0, len(whole.row), rows):
            yield Slice(*(part[start : start + rows] for part in whole))


def _horizon(lanes: Sequence[Lane], live: Sequence[int], cursor: Sequence[int], share: int) -> int | None:
    """The latest time up to which no lane gives more than its share of rows, or nothing if all may end."""
    times = [
        int(lanes[index].due_ms[cursor[index] + share - 1]) + lanes[index].shift_ms
        for index in live
        if cursor[index] + share < len(lanes[index].due_ms)
    ]
    return min(times, default=None)


def _stop(lane: Lane, start: int, horizon: int | None) -> int:
    if horizon is None:
        return len(lane.due_ms)
    return start + int(np.searchsorted(lane.due_ms[start:], horizon - lane.shift_ms, side="right"))


def _ordered(lanes: Sequence[Lane], taken: Sequence[tuple[int, int, int]]) -> Slice:
    lane = np.repeat([index for index, _, _ in taken], [stop - start for _, start, stop in taken])
    row = np.concatenate([np.arange(start, stop) for _, start, stop in taken])
    due = np.concatenate([lanes[index].due_ms[start:stop] + lanes[index].shift_ms for index, start, stop in taken])
    order = np.argsort(due, kind="stable")  # stable: ties keep the order of lanes, and rows the order of recording
    return Slice(lane[order], row[order], due[order])
