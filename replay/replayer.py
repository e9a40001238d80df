"""Sends a feed into a sink at its pace, with a bounded number of records on their way, and counts exactly."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from replay.feeder import Feed, FeedBatch
from replay.journal import Journal, Position
from replay.pace import Pace
from stream.clock import Clock
from stream.seams import Message, Sink

_IN_FLIGHT = 20_000
_SAVE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What was acknowledged. ``first_ms`` and ``last_ms`` bound its event time; none where nothing was sent."""

    records: int
    cell_samples: int
    packs: int
    first_ms: int | None
    last_ms: int | None
    seconds: float


class _Sent(NamedTuple):
    acknowledged: asyncio.Future[None]
    member: NDArray[np.int64]
    t_ms: NDArray[np.int64]
    cell_samples: int


class Replayer:
    """One replay. ``run`` returns the counts; ``progress`` hears them on the way, and at the end however it comes."""

    def __init__(
        self,
        feed: Feed,
        sink: Sink,
        *,
        topic: str,
        speed: float,
        clock: Clock,
        progress: Callable[[Counts], None] = lambda _: None,
        journal: Journal | None = None,
        in_flight: int = _IN_FLIGHT,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.feed = feed
        self.sink = sink
        self.topic = topic
        self.speed = speed
        self.clock = clock
        self.progress = progress
        self.journal = journal
        self.in_flight = in_flight
        self.sleep = sleep
        self._pending: deque[_Sent] = deque()
        self._waiting = 0
        self._records = 0
        self._cell_samples = 0
        self._packs: set[int] = set()
        self._first_ms: int | None = None
        self._last_ms: int | None = None
        self._started_s = 0.0
        self._saved_s = 0.0

    async def run(self) -> Counts:
        """Sends everything and waits until all of it is acknowledged. Raises what the sink raises."""
        self._started_s = self._saved_s = self.clock.monotonic_s()
        pace: Pace | None = None
        try:
            for batch in self.feed:
                if pace is None:  # the first record is due at once, also where a replay continues
                    pace = Pace(self.speed, int(batch.due_ms[0]), self.clock.monotonic_s())
                await self._send_at_pace(batch, pace)
            while self._pending:
                await self._acknowledge()
        finally:
            await self._give_up()
            self._save()
            self.progress(self.counts)
        return self.counts

    @property
    def counts(self) -> Counts:
        """What is acknowledged so far."""
        seconds = self.clock.monotonic_s() - self._started_s
        return Counts(self._records, self._cell_samples, len(self._packs), self._first_ms, self._last_ms, seconds)

    async def _send_at_pace(self, batch: FeedBatch, pace: Pace) -> None:
        sent, size = 0, len(batch.values)
        while sent < size:
            now_s = self.clock.monotonic_s()
            due = pace.due(batch.due_ms, now_s)
            if due <= sent:
                self._collect()
                await self.sleep(max(pace.due_s(int(batch.due_ms[sent])) - now_s, 0.0))
                continue
            await self._send(batch, sent, due)
            sent = due

    async def _send(self, batch: FeedBatch, start: int, stop: int) -> None:
        messages = [
            Message(self.topic, key, value)
            for key, value in zip(batch.keys[start:stop], batch.values[start:stop], strict=True)
        ]
        acknowledged = asyncio.ensure_future(await self.sink.send(messages))
        part = slice(start, stop)
        self._pending.append(_Sent(acknowledged, batch.member[part], batch.t_ms[part], int(batch.cells[part].sum())))
        self._waiting += stop - start
        await asyncio.sleep(0)  # a sink that never waits must not keep others from running
        self._collect()
        while self._waiting > self.in_flight:
            await self._acknowledge()

    def _collect(self) -> None:
        """Counts what is acknowledged already, in the order of sending."""
        while self._pending and self._pending[0].acknowledged.done():
            self._settle(self._pending[0])

    async def _acknowledge(self) -> None:
        await asyncio.wait([self._pending[0].acknowledged])
        self._settle(self._pending[0])

    def _settle(self, sent: _Sent) -> None:
        sent.acknowledged.result()
        self._pending.popleft()
        self._waiting -= len(sent.t_ms)
        self._records += len(sent.t_ms)
        self._cell_samples += sent.cell_samples
        self._packs.update(np.unique(sent.member).tolist())
        first_ms, last_ms = int(sent.t_ms.min()), int(sent.t_ms.max())
        self._first_ms = first_ms if self._first_ms is None else min(self._first_ms, first_ms)
        self._last_ms = last_ms if self._last_ms is None else max(self._last_ms, last_ms)
        self.progress(self.counts)
        now_s = self.clock.monotonic_s()
        if now_s - self._saved_s >= _SAVE_EVERY_S:
            self._saved_s = now_s
            self._save()

    def _save(self) -> None:
        if self.journal is not None:
            acknowledged = self.feed.skip + self._records
            self.journal.save(Position(self.feed.fingerprint, self.feed.shift_ms, acknowledged))

    async def _give_up(self) -> None:
        """Counts what was still acknowledged, and leaves nothing behind; a sound replay has nothing left here."""
        while self._pending and _succeeded(self._pending[0].acknowledged):
            self._settle(self._pending[0])
        for sent in self._pending:
            sent.acknowledged.cancel()
        await asyncio.gather(*(sent.acknowledged for sent in self._pending), return_exceptions=True)
        self._pending.clear()


def _succeeded(acknowledged: asyncio.Future[None]) -> bool:
    return acknowledged.done() and not acknowledged.cancelled() and acknowledged.exception() is None
