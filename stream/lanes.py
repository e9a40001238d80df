"""Fairness between partitions: each is fed in a lane of its own, and no burst in one holds up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator

from stream.seams import Partition, Polled

# Pack frames of so many bytes that all end a cycle make some 35,000 predictions due, which then leave together. Runs of
# half of that would cost a stream of cell samples a tenth of its speed.
RUN_BYTES = 256 * 1024
_SAMPLE = 32  # records of one poll are alike: every so many-th tells their size


class Lanes:
    """Feeds what was polled; a partition that has to wait for room lets the others go on.

    Whoever writes windows takes a ``turn`` for each share of a batch; turns are first come, first served. At most one
    polled run of each partition waits here, which bounds what a burst can hold in memory.
    """

    def __init__(self, feed: Callable[[Polled], Awaitable[None]]) -> None:
        self.turn = asyncio.Lock()
        self._feed = feed
        self._lanes: dict[Partition, asyncio.Task[None]] = {}

    @property
    def busy(self) -> int:
        """How many partitions are being fed."""
        return sum(not lane.done() for lane in self._lanes.values())

    async def hand(self, polled: Polled, tasks: asyncio.TaskGroup) -> None:
        """Returns when the records are fed, or have to wait for room; what fails in them fails in ``tasks``."""
        await self.free([polled.partition])
        self._lanes[polled.partition] = tasks.create_task(self._run(polled))
        await asyncio.sleep(0)

    async def free(self, partitions: Collection[Partition], within_s: float | None = None) -> list[Partition]:
        """Waits until one of the partitions can be handed more, or until the time is over; those that can."""
        lanes = {self._lanes[each] for each in partitions if not self._is_free(each)}
        if lanes and len(lanes) == len(partitions):
            await asyncio.wait(lanes, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        return [each for each in partitions if self._is_free(each)]

    async def settled(self, partitions: Collection[Partition] | None = None) -> None:
        """Waits until nothing that was handed over (of the partitions, if named) is left to feed."""
        wanted = list(self._lanes) if partitions is None else partitions
        if running := [self._lanes[each] for each in wanted if not self._is_free(each)]:
            await asyncio.wait(running)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Feeds no more of the partitions; a run that has begun ends by itself, for nobody."""
        for partition in partitions:
            self._lanes.pop(partition, None)

    def _is_free(self, partition: Partition) -> bool:
        lane = self._lanes.get(partition)
        return lane is None or lane.done()

    async def _run(self, polled: Polled) -> None:
        for run in _runs(polled):
            if self._lanes.get(polled.partition) is not asyncio.current_task():
                return
            await self._feed(run)


def _runs(polled: Polled) -> Iterator[Polled]:
    """The records in pieces whose results may leave together."""
    largest = max(len(record.value or b"") for record in polled.records[::_SAMPLE])
    size = max(RUN_BYTES // max(largest, 1), 1)
    for start in range(0, len(polled.records), size):
        yield polled._replace(records=polled.records[start : start + size])
