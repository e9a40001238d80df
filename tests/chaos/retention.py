"""What the broker need not keep: telemetry that the pages of state stand for, and the topics of a run that is over."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from stream.clock import SystemClock
from stream.kafka.changelog import KafkaChangelog
from stream.pages import MARK_KEY, Mark, decode
from stream.seams import Partition
from stream.settings import Settings


async def delete_what_pages_hold(settings: Settings) -> int:
    """Deletes all telemetry before the newest mark of each partition's pages. Returns how many records that are."""
    topic = settings.topics.telemetry
    before = {number: await _mark(settings, Partition(topic, number)) for number in range(settings.topics.partitions)}
    async with _administering(settings) as admin:
        await admin.delete_records(
            {TopicPartition(topic, number): RecordsToDelete(offset) for number, offset in before.items()}
        )
    return sum(before.values())


async def delete_topics(settings: Settings) -> None:
    """Deletes all topics whose names begin with the app's."""
    async with _administering(settings) as admin:
        await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(settings.app)])


async def _mark(settings: Settings, partition: Partition) -> int:
    offset = 0
    async for written in KafkaChangelog(settings, SystemClock()).read(partition):
        for key, value in written:
            page = decode(value) if key == MARK_KEY and value is not None else None
            offset = page.offset if isinstance(page, Mark) else offset
    return offset


@contextlib.asynccontextmanager
async def _administering(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
