"""The pages of cell state in their compacted topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
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

    async def read(self, partition: Partition) -> AsyncIterator[Sequence[tuple[bytes, bytes | None]]]:
        """Yields keys and values in the order of writing, up to what is the end at the start."""
        tp = TopicPartition(self.topic, partition.number)
        async with self._turns:
            consumer = await started(self._consumer, self._settings.kafka.bootstrap)
            try:
                consumer.assign([tp])
                end = await patiently(lambda: self._end(consumer, tp), self._settings.kafka.bootstrap, PATIENCE_S)
                told_s = self._clock.monotonic_s()
                while (at := await consumer.position(tp)) < end:
                    fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
                    for records in fetched.values():
                        yield [(record.key, record.value) for record in records]
                    if self._clock.monotonic_s() - told_s > PROGRESS_S:
                        told_s = self._clock.monotonic_s()
                        log.info("reading state", partition=partition.number, offset=at, of=end)
            finally:
                await stopped(consumer)

    async def published(self, partition: Partition) -> int | None:
        """The input offset before which all is published: it is the last that a transaction writes here."""
        tp = TopicPartition(self.topic, partition.number)
        async with self._turns:
            consumer = await started(self._consumer, self._settings.kafka.bootstrap)
            try:
                consumer.assign([tp])
                end = await patiently(lambda: self._end(consumer, tp), self._settings.kafka.bootstrap, PATIENCE_S)
                newest, start, back = None, end, TAIL
                while newest is None and start > 0:  # aborted transactions may lie behind it
                    start, back = max(end - back, 0), 2 * back
                    consumer.seek(tp, start)
                    while await consumer.position(tp) < end:
                        for record in (await consumer.getmany(timeout_ms=POLL_MS)).get(tp, ()):
                            if record.key == PUBLISHED_KEY:
                                newest = record.value
                    back *= 2
                page = None if newest is None else decode(newest)
                return page.offset if isinstance(page, Published) else None
            finally:
                await stopped(consumer)

    def _consumer(self) -> Any:
        return AIOKafkaConsumer(
            **connection(self._settings.kafka),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # seeking there may lose to the client's own reset, which is to the end
        )

    async def _end(self, consumer: Any, tp: TopicPartition) -> int:
        ends: dict[TopicPartition, int] = await consumer.end_offsets([tp])
        return ends[tp]
