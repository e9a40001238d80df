"""The micro-batcher: when a batch of windows goes to the model. The thread that runs it is ``stream.runner``."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from stream.batch import Batch, Segment
from stream.cost import Cost

SLACK_S = 0.001  # from a batch's dispatch to its thread and back


class Why(StrEnum):
    """Why a batch was dispatched."""

    FULL = "full"
    DEADLINE = "deadline"
    IDLE = "idle"
    DRAIN = "drain"


class Batcher:
    """Owns a few preallocated batches: one is open, some are on their way, the rest are free.

    A bounded number of batches is the back-pressure: with none free there is no room, and whoever feeds waits.
    """

    def __init__(self, batches: list[Batch], deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self.cost = Cost()
        self._free = deque(batches)
        self._open: Batch | None = None
        self._running = 0

    def room(self) -> Batch | None:
        """The open batch, or nothing while it is full or all batches are on their way."""
        if self._open is None and self._free:
            self._open = self._free.popleft()
        return None if self._open is None or self._open.full else self._open

    def add(self, segment: Segment, now_s: float) -> None:
        """Notes whose windows were just written into the open batch."""
        batch = self._open
        assert batch is not None
        assert segment.start == batch.filled
        if segment.stop == segment.start:
            return
        if not batch.filled:
            batch.opened_s = now_s
        batch.filled = segment.stop
        batch.segments.append(segment)

    def due(self, now_s: float, *, draining: bool = False) -> Why | None:
        """Why the open batch should go to the model now, if it should."""
        batch = self._open
        if batch is None or not batch.filled:
            return None
        if batch.full:
            return Why.FULL
        if draining:
            return Why.DRAIN
        if not self._running:
            return Why.IDLE
        closes_s = self.closes_s()
        return Why.DEADLINE if closes_s is not None and now_s >= closes_s else None

    def closes_s(self) -> float | None:
        """When the open batch has to go for its oldest window to be back by the deadline; none where it just waits.

        More than one batch never waits behind the one that runs, and a deadline that not even one window can meet
        closes nothing: either would only make batches smaller than they could be.
        """
        batch = self._open
        if batch is None or not batch.filled or self._running != 1:
            return None
        if self.cost.seconds(1) + SLACK_S >= self.deadline_s:
            return None
        return batch.opened_s + max(self.deadline_s - self.cost.seconds(batch.filled) - SLACK_S, 0.0)

    def take(self) -> Batch:
        """The open batch, to be given to the model."""
        batch = self._open
        assert batch is not None
        self._open = None
        self._running += 1
        return batch

    def predicted(self, windows: int, seconds: float) -> None:
        """A batch came back from the model, which took so long for so many: the device may be idle now."""
        self._running -= 1
        if windows:  # else it was not asked
            self.cost.observe(windows, seconds)

    def give_back(self, batch: Batch) -> None:
        """A batch whose results were taken over."""
        batch.clear()
        self._free.append(batch)
