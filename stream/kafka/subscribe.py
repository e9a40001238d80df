"""Reading topics as an onlooker: no group, no commits, all partitions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stream.errors import Fatal
from stream.kafka.client import connection, patiently, started, stopped
from stream.settings import Settings


class NoTopicError(Fatal):
    """A topic does not exist, or this user may not see it."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic} does not exist on this broker; `cyclecast stream` creates it")
        self.topic = topic


async def subscribe(
    settings: Settings,
    topics: Sequence[str],
    since: Literal["earliest", "latest"] = "latest",
    *,
    poll_ms: int = 200,
    patience_s: float | None = 10.0,
) -> AsyncGenerator[list[Any], None]:
    """Yields what each poll brings (``aiokafka.ConsumerRecord``, in order within a partition), and ``[]`` when nothing.

    Raises `Retry` while no broker answers within ``patience_s`` and `NoTopicError` where a topic is not there.
    """

    def make() -> Any:
        return AIOKafkaConsumer(
            **connection(settings.kafka),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )

    partitions = await patiently(lambda: _partitions(settings, topics), settings.kafka.bootstrap, patience_s)
    consumer = await started(make, settings.kafka.bootstrap, patience_s)
    try:
        consumer.assign(partitions)
        if since == "latest":
            for partition, end in (await consumer.end_offsets(partitions)).items():
                consumer.seek(partition, end)
        else:
            for partition, begin in (await consumer.beginning_offsets(partitions)).items():
                consumer.seek(partition, begin)
        while True:
            fetched = await consumer.getmany(timeout_ms=poll_ms, max_records=2000)
            yield [record for records in fetched.values() for record in records]
    finally:
        await stopped(consumer)


async def _partitions(settings: Settings, topics: Sequence[str]) -> list[TopicPartition]:
    # A consumer's own metadata knows a topic only once it is subscribed, and an onlooker is not.
    admin = AIOKafkaAdminClient(**connection(settings.kafka))
    try:
        await admin.start()
        described = {each["topic"]: each["partitions"] for each in await admin.describe_topics()}
        for topic in topics:
            if not described.get(topic):  # one that is just being made has no partitions yet
                raise NoTopicError(topic)
        return [TopicPartition(topic, part["partition"]) for topic in topics for part in described[topic]]
    finally:
        await stopped(admin)
