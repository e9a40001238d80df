"""How results and the offsets that they work off leave together; here for brokers without transactions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from stream.clock import Clock
from stream.offsets import Ticket
from stream.seams import Partition, Sink
from stream.telemetry import Telemetry


class Outlet(Protocol):
    """Takes finished tickets of a partition in order, and makes them safe."""

    async def open(self, partition: Partition) -> None:
        """Before the partition's committed offset is read: from now on no former owner can publish for it."""

    async def close(self, partitions: Collection[Partition]) -> None:
        """Nothing more will be published for the partitions; what is not safe by now never will be."""

    async def publish(self, partition: Partition, tickets: Sequence[Ticket]) -> None:
        """Takes tickets over; waits while too many are on their way."""

    async def flush(self, partitions: Collection[Partition] | None = None) -> None:
        """Waits until all tickets (of the partitions, if named) that were taken over are published and committed."""

    async def run(self) -> None:
        """Works until cancelled; raises what makes going on impossible."""


class AtLeastOnce:
    """Results go out at once; offsets follow, at intervals, when their results are acknowledged.

    A crash between the two repeats results under the same identity, and loses none.
    """

    def __init__(
        self,
        sink: Sink,
        commit: Callable[[Mapping[Partition, int]], Awaitable[None]],
        *,
        interval_s: float,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._sink = sink
        self._commit = commit
        self._interval_s = interval_s
        self._telemetry = telemetry
        self._clock = clock
        self._sent: dict[Partition, deque[tuple[Sequence[Ticket], asyncio.Future[None]]]] = {}

    async def open(self, partition: Partition) -> None:
        """Nothing to do: a former owner may publish once more, under the same identity."""

    async def close(self, partitions: Collection[Partition]) -> None:
        """Forgets what is on its way: it may arrive, and its input will be read again."""
        for partition in partitions:
            self._sent.pop(partition, None)

    async def publish(self, partition: Partition, tickets: Sequence[Ticket]) -> None:
        """Sends the results; the client's bounded buffer is what makes it wait."""
        messages = [message for ticket in tickets for message in ticket.messages]
        acknowledged = asyncio.ensure_future(self._acknowledged(await self._sink.send(messages), tickets))
        self._sent.setdefault(partition, deque()).append((tickets, acknowledged))

    async def flush(self, partitions: Collection[Partition] | None = None) -> None:
        """Waits for every acknowledgement, then commits."""
        wanted = list(self._sent) if partitions is None else partitions
        await asyncio.gather(*(sent for partition in wanted for _, sent in self._sent.get(partition, ())))
        await self._commit_acknowledged()

    async def run(self) -> None:
        """Commits at intervals."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self._commit_acknowledged()

    async def _commit_acknowledged(self) -> None:
        moved: dict[Partition, int] = {}
        for partition, sent in self._sent.items():
            while sent and sent[0][1].done():
                tickets, acknowledged = sent.popleft()
                acknowledged.result()
                moved[partition] = tickets[-1].next_offset
        await self._commit(moved)

    async def _acknowledged(self, sent: Awaitable[None], tickets: Sequence[Ticket]) -> None:
        await sent
        count_published(tickets, self._telemetry, self._clock)


def count_published(tickets: Sequence[Ticket], telemetry: Telemetry, clock: Clock) -> None:
    """Counts what subscribers can read from now on, and how long it took."""
    now_ms = clock.time_ms()
    for ticket in tickets:
        if ticket.predictions:
            telemetry.predictions.inc(ticket.predictions)
            telemetry.end_to_end_seconds.observe(max(now_ms - ticket.received_ms, 0) / 1000)
