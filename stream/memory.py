"""Both seams in memory: backtests and tests run the very pipeline that Kafka feeds, without Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from itertools import islice

from stream.seams import Holder, Message, Partition, Polled, Record

POLL_RECORDS = 2000


class MemorySource:
    """Plays iterables of records, one a partition, in turns of up to ``poll_records``."""

    def __init__(self, partitions: Mapping[Partition, Iterable[Record]], poll_records: int = POLL_RECORDS) -> None:
        self.partitions = partitions
        self.poll_records = poll_records
        self.committed: dict[Partition, int] = {}

    async def poll(self, holder: Holder) -> AsyncIterator[Polled | None]:
        """Yields until every iterable is exhausted."""
        live = {partition: iter(records) for partition, records in self.partitions.items()}
        while live:
            for partition in await holder.free(live):
                polled = list(islice(live[partition], self.poll_records))
                if polled:
                    yield Polled(partition, polled)
                else:
                    del live[partition]
                await asyncio.sleep(0)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Keeps the offsets in ``committed``."""
        self.committed.update(offsets)


class MemorySink:
    """Keeps messages by topic, acknowledged at once."""

    def __init__(self) -> None:
        self.messages: dict[str, list[Message]] = {}

    async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
        """Appends the messages to their topics."""
        for message in messages:
            self.messages.setdefault(message.topic, []).append(message)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done
