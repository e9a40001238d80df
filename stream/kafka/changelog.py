"""The pages of cell state in their compacted topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.clock import Clock
from stream.kafka.client import connection, patiently, started, stopped
from stream.kafka.topics import state_topic
from stream.pages import PUBLISHED_KEY, Published, decode
from stream.seams import Partition
from stream.settings import Settings

log = structlog.get_logger()

AT_ONCE = 4  # partitions that are read side by side
POLL_MS = 200
POLL_RECORDS = 500
PROGRESS_S = 5.0
PATIENCE_S = 60.0
TAIL = 64  # records
FETCH_MS = 20  # a fetch at the end of one partition holds up the next on its connection for so long


class KafkaChangelog:
    """Reads the pages of a partition, what is committed of them, from the first to the last.

    Where a topic ends, a leader elected a moment ago says only when it knows (KIP-207): unlike the offset of a group,
    what was committed before is never missing here.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.topic = state_topic(settings)
        self._settings = settings
        self._clock = clock
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._readings = 0
        self._idle: list[Any] = []

    async def read(self, partition: Partition) -> AsyncIterator[Sequence[tuple[bytes, bytes | None]]]:
        """Yields keys and values in the order of writing, up to what is the end at the start."""
        async with self._reading(partition) as (consumer, tp, end):
            told_s = self._clock.monotonic_s()
            if end:
                consumer.resume(tp)
            while (at := await consumer.position(tp)) < end:
                fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
                for records in fetched.values():
                    yield [(record.key, record.value) for record in records]
                if self._clock.monotonic_s() - told_s > PROGRESS_S:
                    told_s = self._clock.monotonic_s()
                    log.info("reading state", partition=partition.number, offset=at, of=end)

    async def published(self, partition: Partition) -> int | None:
        """The input offset before which all is published: it is the last that a transaction writes here."""
        async with self._reading(partition) as (consumer, tp, end):
            newest, start, back = None, end, TAIL
            while newest is None and start > 0:  # aborted transactions may lie behind it
                start, back = max(end - back, 0), 4 * back
                consumer.seek(tp, start)
                consumer.resume(tp)
                while await consumer.position(tp) < end:
                    for record in (await consumer.getmany(timeout_ms=POLL_MS)).get(tp, ()):
                        if record.key == PUBLISHED_KEY:
                            newest = record.value
            page = None if newest is None else decode(newest)
            return page.offset if isinstance(page, Published) else None

    @asynccontextmanager
    async def _reading(self, partition: Partition) -> AsyncIterator[tuple[Any, TopicPartition, int]]:
        """A consumer that stands, paused, at the partition's begin, and where it ends.

        To start one costs more than to read a partition of a few pages, so that they are handed on while any is in use.
        """
        tp, bootstrap = TopicPartition(self.topic, partition.number), self._settings.kafka.bootstrap
        self._readings += 1
        try:
            async with self._turns:
                consumer = self._idle.pop() if self._idle else await started(self._consumer, bootstrap)
                try:
                    consumer.assign([tp])
                    consumer.seek(tp, 0)  # before the client, which knows no position yet, looks for one
                    consumer.pause(tp)
                    yield consumer, tp, await patiently(lambda: self._end(consumer, tp), bootstrap, PATIENCE_S)
                except BaseException:
                    await stopped(consumer)
                    raise
                self._idle.append(consumer)
        finally:
            self._readings -= 1
            while self._idle and not self._readings:
                await stopped(self._idle.pop())

    def _consumer(self) -> Any:
        return AIOKafkaConsumer(
            **connection(self._settings.kafka),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_MS,
        )

    async def _end(self, consumer: Any, tp: TopicPartition) -> int:
        ends: dict[TopicPartition, int] = await consumer.end_offsets([tp])
        return ends[tp]
