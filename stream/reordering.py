"""Records that overtook one another are put back in order of event time, as far as a bound allows."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.state import StepState
from stream.records import Telemetry


class Held(NamedTuple):
    """A frame that waits for earlier ones; ``slot`` is its first."""

    t_ms: int
    offset: int
    arrived_ms: int
    slot: int
    frame: Telemetry


@dataclass(slots=True)
class _Lane:
    """The frames of one pack, or of one cell that reports by itself."""

    newest_ms: int
    released_ms: int
    waiting: list[Held] = field(default_factory=list)  # a heap


class Reordering:
    """Holds a frame back until no earlier one may come: one ``bound_ms`` later was seen, or so much time has passed.

    Both times are of the log (event time, arrival), so that reading it again gives the same order. What comes later
    still is let through at once, and counts as late.
    """

    def __init__(self, bound_ms: int, state: StepState) -> None:
        self.bound_ms = bound_ms
        self.state = state
        self._lanes: dict[int, _Lane] = {}
        self._arrivals: deque[Held] = deque()

    def push(self, held: Held) -> Iterator[Held]:
        """Takes a frame, and yields what need not wait any longer, in order."""
        lane = self._lane(held)
        if held.t_ms <= max(lane.released_ms, lane.newest_ms - self.bound_ms):
            yield held
            return
        heapq.heappush(lane.waiting, held)
        self._arrivals.append(held)
        lane.newest_ms = max(lane.newest_ms, held.t_ms)
        yield from self._release(lane, lane.newest_ms - self.bound_ms)

    def overdue(self, now_ms: int) -> Iterator[Held]:
        """Yields what has waited for so long that it need not wait any longer."""
        while self._arrivals and self._arrivals[0].arrived_ms + self.bound_ms <= now_ms:
            held = self._arrivals.popleft()
            if (lane := self._lanes.get(held.slot)) is not None:
                yield from self._release(lane, held.t_ms)

    def was_released(self, frame: Telemetry, slots: NDArray[np.int64]) -> bool:
        """Whether a frame from before the restored state is in it; otherwise it waited, and has to wait again."""
        return frame.t_ms <= self._stands_ms(slots)

    def waiting(self, slots: NDArray[np.int64]) -> tuple[int, int] | None:
        """Offset and arrival of the first frame that waits for the given slots, if any does."""
        lanes = (lane for slot in slots.tolist() if (lane := self._lanes.get(slot)) is not None)
        return min(((held.offset, held.arrived_ms) for lane in lanes for held in lane.waiting), default=None)

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Drops the lanes of a pack that is gone; nothing of it waits any more."""
        for slot in slots.tolist():
            lane = self._lanes.pop(slot, None)
            assert lane is None or not lane.waiting, "a pack is gone long after its last record was released"

    def _lane(self, held: Held) -> _Lane:
        lane = self._lanes.get(held.slot)
        if lane is None:
            cells = len(held.frame.voltage_v) if isinstance(held.frame.voltage_v, list) else 1
            stands_ms = self._stands_ms(np.arange(held.slot, held.slot + cells))
            lane = self._lanes[held.slot] = _Lane(newest_ms=stands_ms, released_ms=stands_ms)
        return lane

    def _release(self, lane: _Lane, until_ms: int) -> Iterator[Held]:
        while lane.waiting and lane.waiting[0].t_ms <= until_ms:
            held = heapq.heappop(lane.waiting)
            lane.released_ms = max(lane.released_ms, held.t_ms)
            yield held

    def _stands_ms(self, slots: NDArray[np.int64]) -> int:
        return int(self.state.arrays.rows["t_ms"][slots].max())
