"""Records that overtook one another are put back in order of event time, as far as a bound allows."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.block import FrameBlock
from model.state import StepState


class Held(NamedTuple):
    """A frame that waits for earlier ones: the row of a block."""

    t_ms: int
    offset: int
    arrived_ms: int
    block: FrameBlock
    row: int

    @property
    def slot(self) -> int:
        """Its first slot."""
        return int(self.block.first_slot[self.row])


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

    def was_released(self, t_ms: int, slots: NDArray[np.int64]) -> bool:
        """Whether a frame of this time is in the restored state; otherwise it waited, and has to wait again."""
        return t_ms <= self._stands_ms(slots)

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
        slot = held.slot
        lane = self._lanes.get(slot)
        if lane is None:
            stands_ms = self._stands_ms(np.arange(slot, slot + held.block.cells[held.row]))
            lane = self._lanes[slot] = _Lane(newest_ms=stands_ms, released_ms=stands_ms)
        return lane

    def _release(self, lane: _Lane, until_ms: int) -> Iterator[Held]:
        while lane.waiting and lane.waiting[0].t_ms <= until_ms:
            held = heapq.heappop(lane.waiting)
            lane.released_ms = max(lane.released_ms, held.t_ms)
            yield held

    def _stands_ms(self, slots: NDArray[np.int64]) -> int:
        return int(self.state.column("t_ms")[slots].max())
